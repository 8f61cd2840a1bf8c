//! Performance monitoring (SDM Vol. 3B chapter 20): its registers, when the counters must count, and its interrupt.

use crate::fault::{Exec, Stop};
use crate::ir::branch::BranchKind;
use crate::ir::uop::Uop;
use crate::lapic::{LVT_MASKED, Lvt};
use crate::model::CpuModel;
use crate::state::cpu::Cpu;
use crate::state::pmu::{CTR_FRZ, Clocks, LBR_FRZ, Pmu, Running};
use crate::state::system::Activity;
use emu_vmx::arch::msr::*;

/// Most instructions that retire in a cycle, where a table of cycles says what they cost. What goes beyond it interrupts a
/// few instructions late, as on a processor.
const RETIRED_PER_CYCLE: u64 = 8;
/// IA32_PERF_GLOBAL_STATUS: CondChgd, OvfBuf, from version 3 on Ovf_Uncore, from version 4 on ASCI.
const STATUS_CHANGED: u64 = 1 << 63;
const STATUS_BUFFER: u64 = 1 << 62;
const STATUS_UNCORE: u64 = 1 << 61;
const STATUS_ASCI: u64 = 1 << 60;

/// Whether the model has a register of performance monitoring.
pub(crate) fn exists(model: &CpuModel, number: u32) -> bool {
    let pmu = model.pmu();
    match number {
        IA32_PMC0..=IA32_PMC7 => number - IA32_PMC0 < pmu.general.into(),
        IA32_PERFEVTSEL0..=IA32_PERFEVTSEL7 => number - IA32_PERFEVTSEL0 < pmu.general.into(),
        IA32_A_PMC0..=IA32_A_PMC7 => pmu.full_writes && number - IA32_A_PMC0 < pmu.general.into(),
        IA32_FIXED_CTR0..=IA32_FIXED_CTR2 => number - IA32_FIXED_CTR0 < pmu.fixed.into(),
        IA32_PERF_GLOBAL_STATUS_SET | IA32_PERF_GLOBAL_INUSE => pmu.version >= 4,
        _ => pmu.version >= 2,
    }
}

/// The bits that may be written.
pub(crate) fn writable(model: &CpuModel, number: u32) -> u64 {
    let pmu = model.pmu();
    match number {
        IA32_PERFEVTSEL0..=IA32_PERFEVTSEL7 => {
            let field = |there: bool, bit: u32| if there { 1u64 << bit } else { 0 };
            0xFFD7_FFFF | field(pmu.any_thread, 21) | field(pmu.pin_control, 19)
        }
        IA32_A_PMC0..=IA32_A_PMC7 => u64::MAX >> (64 - pmu.width),
        IA32_FIXED_CTR0..=IA32_FIXED_CTR2 => u64::MAX >> (64 - pmu.fixed_width),
        IA32_FIXED_CTR_CTRL => {
            let field = if pmu.any_thread { 0xF } else { 0xB };
            (0..pmu.fixed).fold(0, |all, n| all | field << (4 * n))
        }
        IA32_PERF_GLOBAL_OVF_CTRL | IA32_PERF_GLOBAL_STATUS_SET => {
            let uncore = if pmu.version >= 3 { STATUS_UNCORE } else { 0 };
            let frozen = if pmu.version >= 4 { CTR_FRZ | LBR_FRZ | STATUS_ASCI } else { 0 };
            // CondChgd is only reset (SDM Vol. 4 Table 2-2): in IA32_PERF_GLOBAL_STATUS_SET bit 63 is reserved.
            let changed = if number == IA32_PERF_GLOBAL_OVF_CTRL { STATUS_CHANGED } else { 0 };
            pmu.global_mask() | STATUS_BUFFER | changed | uncore | frozen
        }
        _ => pmu.global_mask(),
    }
}

/// IA32_PERF_GLOBAL_CTRL after power-on (SDM Vol. 3A Table 10-1): the general-purpose counters are enabled.
pub(crate) fn enabled_at_reset(model: &CpuModel, _: u32) -> u64 {
    Pmu::new(model.pmu()).global_control
}

/// Reads a register; it changes nothing.
pub(crate) fn read(cpu: &Cpu, number: u32) -> Option<u64> {
    let pmu = cpu.counted_pmu();
    Some(match number {
        IA32_PMC0..=IA32_PMC7 => pmu.general[(number - IA32_PMC0) as usize],
        IA32_A_PMC0..=IA32_A_PMC7 => pmu.general[(number - IA32_A_PMC0) as usize],
        IA32_PERFEVTSEL0..=IA32_PERFEVTSEL7 => pmu.selects[(number - IA32_PERFEVTSEL0) as usize],
        IA32_FIXED_CTR0..=IA32_FIXED_CTR2 => pmu.fixed[(number - IA32_FIXED_CTR0) as usize],
        IA32_FIXED_CTR_CTRL => pmu.fixed_control,
        IA32_PERF_GLOBAL_CTRL => pmu.global_control,
        IA32_PERF_GLOBAL_STATUS => pmu.global_status,
        IA32_PERF_GLOBAL_INUSE => pmu.in_use(cpu.config.model.pmu()),
        // They act, and keep nothing.
        _ => 0,
    })
}

/// Writes a register; the value is allowed.
pub(crate) fn write(cpu: &mut Cpu, number: u32, value: u64) -> Exec {
    cpu.count_events();
    let width = u64::MAX >> (64 - cpu.config.model.pmu().width.max(1));
    let pmu = &mut cpu.pmu;
    match number {
        // Bits 31:0, sign-extended to the counter's width.
        IA32_PMC0..=IA32_PMC7 => pmu.general[(number - IA32_PMC0) as usize] = i64::from(value as i32) as u64 & width,
        IA32_A_PMC0..=IA32_A_PMC7 => pmu.general[(number - IA32_A_PMC0) as usize] = value,
        IA32_PERFEVTSEL0..=IA32_PERFEVTSEL7 => pmu.selects[(number - IA32_PERFEVTSEL0) as usize] = value,
        IA32_FIXED_CTR0..=IA32_FIXED_CTR2 => pmu.fixed[(number - IA32_FIXED_CTR0) as usize] = value,
        IA32_FIXED_CTR_CTRL => pmu.fixed_control = value,
        IA32_PERF_GLOBAL_CTRL => pmu.global_control = value,
        IA32_PERF_GLOBAL_OVF_CTRL => pmu.global_status &= !value,
        IA32_PERF_GLOBAL_STATUS_SET => pmu.global_status |= value,
        _ => {}
    }
    cpu.settle_pmu();
    cpu.refresh_recording();
    Ok(())
}

/// Whether the counters of branch instructions count it.
pub fn is_branch(uop: &Uop) -> bool {
    BranchKind::of(uop).is_some()
}

impl Cpu {
    /// The registers as they are now, whoever looks.
    pub fn counted_pmu(&self) -> Pmu {
        self.look_at_pmu().0
    }

    /// The registers as they are now, and whether a counter has overflowed and interrupts.
    fn look_at_pmu(&self) -> (Pmu, bool) {
        let (mut pmu, model) = (self.pmu, self.config.model.pmu());
        if !pmu.counting {
            return (pmu, false);
        }
        let overflowed = pmu.advance(self.cycles, self.instructions, model);
        let interrupts = pmu.freeze(overflowed, DebugCtl::from_bits_retain(self.sys.debugctl), model);
        (pmu, interrupts)
    }

    /// Cycle of the next overflow that interrupts if no instruction retires until then; `u64::MAX` if there is none.
    pub(crate) fn idle_overflow(&self) -> u64 {
        if self.pmu.deadline == u64::MAX {
            return u64::MAX;
        }
        match self.look_at_pmu() {
            (_, true) => self.cycles,
            (pmu, false) => pmu.idle_overflow(self.config.model.pmu()),
        }
    }

    /// What the counter that RDPMC selects holds; #GP(0) if there is none.
    pub(crate) fn read_counter(&mut self, selector: u32) -> Result<u64, Stop> {
        let pmu = *self.config.model.pmu();
        let n = selector & 0xFFFF;
        match selector >> 16 {
            0 if n < pmu.general.into() => Ok(self.counted_pmu().general[n as usize]),
            0x4000 if n < pmu.fixed.into() => Ok(self.counted_pmu().fixed[n as usize]),
            _ => self.gp(0),
        }
    }

    /// Loads IA32_PERF_GLOBAL_CTRL, as VM entries and VM exits do.
    pub(crate) fn load_perf_global_ctrl(&mut self, value: u64) {
        self.count_events();
        self.pmu.global_control = value;
        self.settle_pmu();
    }

    /// What the processor is doing, as far as counters depend on it.
    fn running(&self) -> Running {
        match (self.sys.activity, self.sys.cpl) {
            (Activity::Active, 0) => Running::Os,
            (Activity::Active, _) => Running::User,
            _ => Running::Halted,
        }
    }

    /// The processor executes, or does not.
    pub(crate) fn set_activity(&mut self, activity: Activity) {
        self.sys.activity = activity;
        self.see_running();
    }

    /// The processor may have stopped or begun to execute, or its CPL have changed.
    #[inline]
    pub(crate) fn see_running(&mut self) {
        if self.pmu.counting && self.pmu.running != self.running() {
            self.change_running();
        }
    }

    /// Counts up to now before IA32_DEBUGCTL, which says what an overflow freezes, is another.
    pub(crate) fn sync_pmu(&mut self) {
        if self.pmu.counting {
            self.change_running();
        }
    }

    #[cold]
    #[inline(never)]
    fn change_running(&mut self) {
        self.count_events();
        self.settle_pmu();
    }

    /// Counts up to now.
    fn count_events(&mut self) {
        if self.pmu.counting {
            let overflowed = self.pmu.advance(self.cycles, self.instructions, self.config.model.pmu());
            self.overflow(overflowed);
        }
    }

    /// After [`Cpu::count_events`], and a change of what the counters depend on.
    pub(crate) fn settle_pmu(&mut self) {
        let running = self.running();
        if !self.pmu.counting {
            let branches = self.pmu.branches;
            let (cycles, instructions, misses) = (self.cycles, self.instructions, self.pmu.misses);
            self.pmu.counted = Clocks { cycles, instructions, branches, misses };
        }
        if !self.pmu.counting || self.pmu.running != running {
            self.pmu.run_as(running);
        }
        let per_cycle = self.retired_per_cycle();
        self.pmu.settle(per_cycle, self.config.model.pmu());
        self.leave_block();
    }

    /// Under another clock than the one before, a counter may overflow sooner than was thought. Under the same one nothing
    /// changes: what is due is due where it would be.
    pub(crate) fn hasten_pmu(&mut self) {
        let per_cycle = self.retired_per_cycle();
        if self.pmu.counting && self.pmu.per_cycle != per_cycle {
            self.pmu.settle(per_cycle, self.config.model.pmu());
        }
    }

    /// Instructions that retire in a cycle at most, as a rule.
    pub fn retired_per_cycle(&self) -> u64 {
        if self.config.cycles.is_some() { RETIRED_PER_CYCLE } else { 1 }
    }

    /// Counts if a counter may have overflowed.
    #[inline]
    pub(crate) fn check_pmu(&mut self) {
        if self.cycles >= self.pmu.deadline {
            self.change_running();
        }
    }

    /// An instruction of a run one by one is about to execute.
    pub(crate) fn retire(&mut self, uop: &Uop) {
        // What an overflow on the way to this cycle freezes has counted until then.
        if self.cycles > self.pmu.deadline {
            let overflowed = self.pmu.advance(self.cycles - 1, self.instructions, self.config.model.pmu());
            self.overflow(overflowed);
            self.settle_pmu();
        }
        let overflowed = self.pmu.retire(self.cycles, is_branch(uop), self.config.model.pmu());
        self.overflow(overflowed);
    }

    /// Counters have overflowed: the interrupt, if one of them asks for it, and what it freezes.
    fn overflow(&mut self, overflowed: u64) {
        let model = *self.config.model.pmu();
        let debugctl = DebugCtl::from_bits_retain(self.sys.debugctl);
        if !self.pmu.freeze(overflowed, debugctl, &model) {
            return;
        }
        if debugctl.contains(DebugCtl::FREEZE_LBRS_ON_PMI) && model.version < 4 {
            self.sys.debugctl &= !DebugCtl::LBR.bits();
        }
        self.refresh_recording();
        // Whoever has counted settles; what an instruction that retires has brought is settled at the boundary.
        self.pmu.deadline = 0;
        self.leave_block();
        self.performance_interrupt();
    }

    /// The interrupt of the local APIC's performance-counter entry, which it masks (SDM Vol. 3A 11.5.1, "Local Vector
    /// Table").
    fn performance_interrupt(&mut self) {
        let entry = &mut self.lapic.lvt[Lvt::PerformanceCounter as usize];
        if *entry & LVT_MASKED != 0 {
            return;
        }
        let (delivery, vector) = (*entry >> 8 & 7, *entry as u8);
        *entry |= LVT_MASKED;
        match delivery {
            0 => {
                self.lapic.request(vector, false);
                self.refresh_apic_attention();
            }
            4 => self.accept_nmi(),
            _ => {
                if self.log_once("performance interrupt", delivery.into()) {
                    log::warn!(target: "apic", "performance-monitoring interrupt with delivery mode {delivery} is not delivered: the entry takes fixed and NMI (SDM Vol. 3A 11.5.1)");
                }
            }
        }
    }
}
