//! One logical processor.

use super::carried::Carried;
use super::derived::{Attention, Derived, SegmentAccess};
use super::fault::{Exec, Fault, Stop};
use super::flags::{AC, FIXED1, Flags, IF, RF, TF};
use super::fpu::FpuState;
use super::history::History;
use super::lapic::Lapic;
use super::lbr::Lbr;
use super::micro::Micro;
use super::observed::{Observed, Watch};
use super::pmu::Pmu;
use super::scratch::Scratch;
use super::system::SystemState;
use super::vmx::VmxState;
use crate::bus::ApicMessage;
use crate::bus::Bus;
use crate::cycles::table::{Events, Table};
use crate::ir::uop::{REG_MINUS_1G, REG_PLUS_1G, REG_RIP};
use crate::mem::known_tables::KnownTables;
use crate::mem::ram::Ram;
use crate::mem::tlb::Tlb;
use crate::model::CpuModel;
use crate::model::lbr::LbrModel;
use emu_vmx::arch::msr::{IA32_APERF, IA32_MPERF};
use emu_vmx::arch::vector;
use std::sync::Arc;

/// What a processor is lent while it runs.
pub struct Env<'a> {
    /// Guest memory.
    pub ram: &'a mut Ram,
    /// The board.
    pub bus: &'a mut dyn Bus,
    /// APIC messages that this processor sends; the scheduler delivers them.
    pub outbox: &'a mut Vec<ApicMessage>,
}

/// One logical processor: first what every block touches, then the architecture, then what serves it.
#[repr(C, align(64))]
pub struct Cpu {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15; then the constants that address generation uses, and RIP
    /// at [`REG_RIP`].
    pub gpr: [u64; 32],
    /// RFLAGS.
    pub flags: Flags,
    /// Cycles since power-on: this processor's clock.
    pub cycles: u64,
    /// Instructions completed.
    pub instructions: u64,
    /// The block loop looks for events once `cycles` reaches this; 0 ends the present block after this instruction.
    pub block_limit: u64,
    /// The context that fast paths compare with: none that an entry has, while accesses are watched.
    pub fast_context: u64,
    /// Bases and bounds of ES, CS, SS, DS, FS and GS as the present mode applies them.
    pub seg_access: [SegmentAccess; 8],
    /// The software TLB.
    pub tlb: Tlb,
    /// What the next boundary has to look at.
    pub attention: Attention,
    /// What the present instruction leaves for its own later steps.
    pub scratch: Scratch,
    /// What the interpreter derives from the architectural state.
    pub derived: Derived,
    /// What one instruction leaves for the boundary or the turn behind it.
    pub carried: Carried,
    /// System registers.
    pub sys: SystemState,
    /// x87, SSE and extended state.
    pub fpu: Box<FpuState>,
    /// The local APIC.
    pub lapic: Lapic,
    /// VMX operation.
    pub vmx: VmxState,
    /// Performance monitoring.
    pub pmu: Pmu,
    /// Last branch records.
    pub lbr: Box<Lbr>,
    /// Caches and branch prediction, where the clock models them.
    pub micro: Micro,
    /// What the owner has chosen.
    pub config: Config,
    /// What is told about the run; no part of the state.
    pub notes: Notes,
    /// What walks of EPT remember; no part of the state.
    pub(crate) known_tables: KnownTables,
}

/// What the owner of a processor has chosen.
#[derive(Debug, Clone)]
pub struct Config {
    /// The model: CPUID, MSRs, features.
    pub model: Arc<CpuModel>,
    /// Cycles in a guest second, for messages and for what ports cost; 0 if nobody has said it.
    pub hz: u64,
    /// What instructions and events cost; without, an instruction is a cycle. It belongs to the machine for good: blocks
    /// have their costs.
    pub cycles: Option<Arc<Table>>,
    /// There are other processors, and PAUSE leaves the rest of a turn to them.
    pub takes_turns: bool,
    /// MSRs that the model does not have read 0 and swallow writes instead of raising #GP.
    pub ignore_bad_msrs: bool,
}

/// What is told about the run, and what was told already; no part of the state.
#[derive(Debug, Default)]
pub struct Notes {
    /// What is noted for an observer; nothing between runs.
    pub watch: Watch,
    /// What was noted and has not been told yet.
    pub observed: Vec<Observed>,
    /// The last exceptions, for reports.
    pub history: History,
    /// Guest-triggered log lines that were given already.
    pub logged: std::collections::BTreeSet<(&'static str, u64)>,
}

/// Most guest-triggered log lines of one processor ([`Cpu::log_once`]).
pub const MAX_LOGGED: usize = 1000;

impl Cpu {
    /// A processor after power-on. `index` 0 is the bootstrap processor.
    pub fn new(model: Arc<CpuModel>, index: u32, apic_id: u32) -> Self {
        let mut cpu = Self {
            gpr: [0; 32],
            flags: Flags::default(),
            cycles: 0,
            instructions: 0,
            block_limit: 0,
            fast_context: 0,
            seg_access: [SegmentAccess::default(); 8],
            tlb: Tlb::default(),
            attention: Attention::empty(),
            scratch: Scratch::default(),
            derived: Derived::default(),
            carried: Carried::default(),
            sys: SystemState::new(index, apic_id),
            fpu: Box::default(),
            lapic: Lapic::new(apic_id),
            vmx: VmxState::default(),
            pmu: Pmu::new(model.pmu()),
            lbr: Box::new(Lbr::new(model.lbr())),
            micro: Micro::default(),
            config: Config { model, hz: 0, cycles: None, takes_turns: false, ignore_bad_msrs: false },
            notes: Notes::default(),
            known_tables: KnownTables::default(),
        };
        cpu.tlb.stamp = u64::from(index) << 52;
        cpu.reset();
        cpu
    }

    /// Power-on or hard reset (SDM Vol. 3A 10.1.1). Time goes on.
    pub fn reset(&mut self) {
        let (index, apic_id, intr) = (self.sys.index, self.sys.apic_id, self.sys.intr);
        let tsc_offset = 0u64.wrapping_sub(self.cycles);
        // A warm reset ends recording, and keeps all else of architectural records (SDM Vol. 3B chapter 19).
        let keeps_records = self.config.model.lbr().is_some_and(LbrModel::is_architectural);
        let lbr_ctl = if keeps_records { self.sys.lbr_ctl & !crate::lbr::ENABLE } else { 0 };
        self.sys = SystemState { tsc_offset, intr, lbr_ctl, ..SystemState::new(index, apic_id) };
        if self.cycles != 0 {
            // Clocks that start anew.
            self.sys.plain_msrs.extend([(IA32_MPERF, tsc_offset), (IA32_APERF, tsc_offset)]);
        }
        *self.fpu = FpuState::default();
        self.lapic = self.new_lapic(apic_id);
        let (parts, misses) = (self.micro.parts(), self.pmu.misses);
        self.pmu = Pmu { modelled: parts, misses, ..Pmu::new(self.config.model.pmu()) };
        if !keeps_records {
            *self.lbr = Lbr::new(self.config.model.lbr());
        }
        if let Some(table) = &self.config.cycles {
            self.micro = Micro::new(table, parts);
        }
        let counts = std::mem::take(&mut self.vmx.counts);
        self.vmx = VmxState { counts, ..VmxState::default() };
        self.notes.history.set_vmx_abort(None);
        self.reset_registers();
        if index != 0 {
            self.sys.activity = super::system::Activity::WaitForSipi;
        }
        self.refresh_misc_enable();
        self.refresh_recording();
        self.refresh();
        self.refresh_apic_attention();
    }

    /// The registers that both reset and INIT set.
    pub(crate) fn reset_registers(&mut self) {
        self.gpr = [0; 32];
        // What the instruction before has left is nobody's any more.
        self.carried = Carried { tsc_shown: self.carried.tsc_shown, asleep: self.carried.asleep, ..Carried::default() };
        self.gpr[REG_PLUS_1G as usize] = 0x4000_0000;
        self.gpr[REG_MINUS_1G as usize] = 0u64.wrapping_sub(0x4000_0000);
        self.gpr[2] = u64::from(self.config.model.signature());
        self.set_rip(0xFFF0);
        self.set_flags(FIXED1);
        self.tlb.flush_all();
    }

    /// RIP (outside a block: of the next instruction; inside: of the block's first).
    #[inline(always)]
    pub fn rip(&self) -> u64 {
        self.gpr[REG_RIP as usize]
    }

    /// Sets RIP.
    #[inline(always)]
    pub fn set_rip(&mut self, rip: u64) {
        self.gpr[REG_RIP as usize] = rip;
    }

    /// Ends the instruction with a branch to `rip`, which has been checked.
    #[inline(always)]
    pub fn branch_to(&mut self, rip: u64) {
        self.gpr[REG_RIP as usize] = rip;
        self.scratch.flow.branched = true;
    }

    /// Replaces RFLAGS; undefined bits are dropped. Whatever depends on the flags follows at once, but for what depends on
    /// VM: that changes with the mode, of which [`Cpu::refresh`] derives everything.
    pub fn set_flags(&mut self, value: u64) {
        let old = self.flags.system();
        self.flags.set(value);
        self.see_flags(old);
    }

    /// Sets or clears the flags of `mask`, which holds no status flags; what depends on them follows as from
    /// [`Cpu::set_flags`].
    #[inline]
    pub fn put_flags(&mut self, mask: u64, on: bool) {
        let old = self.flags.system();
        self.flags.put(mask, on);
        self.see_flags(old);
    }

    /// RF has done its work: the instruction that it was for is about to run.
    pub(crate) fn end_resume(&mut self) {
        self.flags.put(RF, false);
    }

    /// System flags have changed from `old`.
    #[inline]
    fn see_flags(&mut self, old: u64) {
        let new = self.flags.system();
        let changed = old ^ new;
        if changed & AC != 0 {
            self.refresh_context();
        }
        if changed & (TF | RF) != 0 {
            self.refresh_attention();
            self.leave_block();
        }
        // An interrupt may have waited for IF; one that is cleared holds back what comes from now on.
        if changed & new & IF != 0 {
            self.leave_block();
        }
    }

    /// Ends the present block after this instruction, so that the boundary looks at `attention`.
    #[inline(always)]
    pub fn leave_block(&mut self) {
        self.block_limit = 0;
        self.scratch.resumes_to = 0;
    }

    /// Goes on with the block after an instruction behind which it ended for its walks alone.
    #[cold]
    #[inline(never)]
    pub fn resume_block(&mut self) -> bool {
        let limit = std::mem::take(&mut self.scratch.resumes_to);
        if limit != 0 {
            (self.block_limit, self.scratch.walking) = (limit, 0);
        }
        limit != 0
    }

    /// Whether the present block ends after this instruction whatever follows in it.
    #[inline(always)]
    pub fn leaves_block(&self) -> bool {
        self.block_limit == 0
    }

    /// Asks the next boundary to look at something.
    #[inline]
    pub fn raise(&mut self, attention: Attention) {
        self.attention |= attention;
        self.carried.asleep = false;
        self.leave_block();
    }

    /// Parks an exception.
    #[cold]
    pub fn throw<T>(&mut self, fault: Fault) -> Result<T, Stop> {
        self.scratch.fault = fault;
        Err(Stop::Fault)
    }

    /// #UD.
    #[cold]
    pub fn ud<T>(&mut self) -> Result<T, Stop> {
        self.throw(Fault::exception(vector::UD))
    }

    /// #GP with an error code (a selector, or 0).
    #[cold]
    pub fn gp<T>(&mut self, code: u32) -> Result<T, Stop> {
        self.throw(Fault::with_code(vector::GP, code))
    }

    /// Any other exception with an error code.
    #[cold]
    pub fn exception<T>(&mut self, vector: u8, code: u32) -> Result<T, Stop> {
        self.throw(Fault::with_code(vector, code))
    }

    /// #GP(0) unless CPL is 0.
    #[inline]
    pub fn require_cpl0(&mut self) -> Exec {
        if self.sys.cpl != 0 { self.gp(0) } else { Ok(()) }
    }

    /// EDX:EAX.
    #[inline]
    pub(crate) fn edx_eax(&self) -> u64 {
        self.gpr[2] << 32 | self.gpr[0] & 0xFFFF_FFFF
    }

    /// Whether a guest-triggered log line of this kind about `what` (an index, an address, ...) is to be given: once.
    ///
    /// Of [`MAX_LOGGED`] such lines the last says that there are no more: a guest has any number of things to do for the
    /// first time.
    pub fn log_once(&mut self, kind: &'static str, what: u64) -> bool {
        let logged = &mut self.notes.logged;
        if logged.len() > MAX_LOGGED || !logged.insert((kind, what)) {
            return false;
        }
        if logged.len() > MAX_LOGGED {
            let n = self.sys.index;
            log::warn!("processor {n} has done {MAX_LOGGED} unusual things; no more of them are logged");
            return false;
        }
        true
    }

    /// An event takes the time that the table of cycles has for it.
    #[inline]
    pub(crate) fn spend(&mut self, cost: impl FnOnce(&Events) -> u64) {
        if let Some(table) = &self.config.cycles {
            let cost = cost(&table.events);
            self.spend_cycles(cost);
        }
    }

    /// Something takes this time.
    #[inline]
    pub(crate) fn spend_cycles(&mut self, cost: u64) {
        self.cycles += cost;
        // What follows in the block has been counted: it goes on if all of it still begins in time.
        if self.cycles >= self.block_limit {
            self.leave_block();
        }
    }

    /// A translation has walked: what that takes, once its outcome is known.
    #[inline]
    pub(crate) fn spend_walk(&mut self) {
        let entries = std::mem::take(&mut self.scratch.walked);
        if entries != 0 {
            if self.scratch.resumes_to != 0 {
                self.block_limit = self.scratch.resumes_to;
            }
            let before = self.cycles;
            // Where there are caches, they have said what each entry takes.
            let entries = if self.micro.caches.is_some() { 0 } else { entries };
            self.spend(|events| u64::from(events.tlb_miss) + u64::from(events.walk_entry) * u64::from(entries));
            self.scratch.walking += self.cycles - before;
            // Who gives the instruction up must know what it alone has walked: the next one begins with nothing.
            if self.scratch.walking != 0 {
                self.scratch.resumes_to = self.block_limit;
                self.block_limit = 0;
            }
        }
    }

    /// The time-stamp counter by the processor's own clock, for what measures how long it ran.
    pub(crate) fn own_tsc(&self) -> u64 {
        self.cycles.wrapping_add(self.sys.tsc_offset)
    }

    /// The time-stamp counter as software reads it: never below what another processor has shown before. Within a turn
    /// processors run one after the other, each from the turn's start; by their own clocks a later reading could be the
    /// lower one (SDM Vol. 3B 19.17.4, "Invariant Time-Keeping").
    pub fn tsc(&self) -> u64 {
        self.carried.tsc_shown.max(self.cycles).wrapping_add(self.sys.tsc_offset)
    }

    /// [`Cpu::tsc`], which software now gets to see.
    pub(crate) fn show_tsc(&mut self) -> u64 {
        self.carried.tsc_shown = self.carried.tsc_shown.max(self.cycles);
        self.tsc()
    }

    /// Another processor has shown its time-stamp counter at `cycle`.
    pub fn see_tsc(&mut self, cycle: u64) {
        self.carried.tsc_shown = self.carried.tsc_shown.max(cycle);
    }

    /// The time-stamp counter is 0 at `cycle`, as at all processors that are reset together.
    pub fn restart_tsc(&mut self, cycle: u64) {
        self.sys.tsc_offset = 0u64.wrapping_sub(cycle);
        self.see_tsc(cycle);
    }
}
