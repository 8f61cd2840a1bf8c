//! Snapshots of the processors and of memory: everything that a guest can notice, now or later.
//!
//! What is saved is taken apart field by field, so that a new field cannot be forgotten. Decoded blocks are not saved:
//! they are dropped, and nothing of a run depends on them. The TLBs are saved, since a guest that has changed its paging
//! structures and invalidated nothing sees what they hold; they are no part of a state's hash, which so does not depend
//! on translations that nobody may ever use.

use crate::block::cache::CodeCache;
use crate::fpu::FpuState;
use crate::lapic::Lapic;
use crate::mem::image::MemoryImage;
use crate::mem::ram::{Ram, RamState};
use crate::mem::tlb::{Tlb, TlbState};
use crate::state::DamagedState;
use crate::state::carried::Carried;
use crate::state::cpu::Cpu;
use crate::state::derived::Attention;
use crate::state::history::History;
use crate::state::lbr::Lbr;
use crate::state::micro::Micro;
use crate::state::pmu::Pmu;
use crate::state::scratch::Scratch;
use crate::state::system::SystemState;
use crate::state::vmx::{TransitionCounts, VmxState};
use serde::{Deserialize, Serialize};

/// The last cycle that a state may speak of: far beyond any run, and far from where arithmetic on times would wrap.
const LAST_CYCLE: u64 = 1 << 60;

/// A processor's state as its guest can notice it; the general registers, then RIP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CpuState {
    registers: [u64; 17],
    flags: u64,
    cycles: u64,
    instructions: u64,
    attention: Attention,
    carried: Carried,
    sys: SystemState,
    fpu: Box<FpuState>,
    lapic: Lapic,
    vmx: VmxState,
    pmu: Pmu,
    lbr: Box<Lbr>,
    micro: Micro,
}

/// A processor's state with the translations that it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedCpu {
    state: CpuState,
    tlb: TlbState,
    /// The TLB was filled under the present memory map; otherwise the next turn flushes it.
    tlb_is_of_this_map: bool,
    /// For reports, which must not tell of what a restored machine has yet to do.
    history: History,
    /// VM entries and VM exits since power-on.
    counts: TransitionCounts,
}

/// Processors and the map of memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoreState {
    cpus: Vec<SavedCpu>,
    ram: RamState,
}

impl CoreState {
    /// Saves the processors, memory's map, and memory's contents. Whatever was saved before shares all pages that were
    /// not written since.
    pub fn save(cpus: &mut [Cpu], ram: &mut Ram) -> (CoreState, MemoryImage) {
        let memory = ram.save_pages();
        for cpu in &mut *cpus {
            cpu.tlb.withhold_write_tags();
        }
        (CoreState { cpus: cpus.iter().map(|cpu| cpu.save(ram)).collect(), ram: ram.save() }, memory)
    }

    /// Checks that this can be the state of a machine of that configuration.
    pub fn check(&self, memory: &MemoryImage, cpus: &[Cpu], ram: &Ram) -> Result<(), DamagedState> {
        ram.check(&self.ram, memory)?;
        if self.cpus.len() != cpus.len() {
            return Err(DamagedState("there is another number of processors"));
        }
        for (cpu, saved) in cpus.iter().zip(&self.cpus) {
            cpu.check(&saved.state)?;
            if !saved.counts.is_sound() {
                return Err(DamagedState("a processor's counts of VM entries and VM exits are out of range"));
            }
            Tlb::check(&saved.tlb, ram)?;
        }
        Ok(())
    }

    /// Puts everything back into a machine of the same configuration, and drops its decoded blocks. An error leaves it
    /// as it was.
    pub fn restore(
        &self,
        memory: &MemoryImage,
        cpus: &mut [Cpu],
        ram: &mut Ram,
        cache: &mut CodeCache,
    ) -> Result<(), DamagedState> {
        self.check(memory, cpus, ram)?;
        ram.restore(&self.ram, memory);
        for (cpu, saved) in cpus.iter_mut().zip(&self.cpus) {
            cpu.restore(saved, ram);
        }
        cache.clear();
        Ok(())
    }
}

impl Cpu {
    fn save(&self, ram: &Ram) -> SavedCpu {
        SavedCpu {
            state: self.whole_state(),
            tlb: self.tlb.save(),
            tlb_is_of_this_map: self.derived.seen_map_epoch == ram.map_epoch(),
            history: self.notes.history.clone(),
            counts: self.vmx.counts.clone(),
        }
    }

    /// The state without what is derived anew wherever it is looked at: equal for machines that cannot be told apart.
    pub fn guest_state(&self) -> CpuState {
        let carried = Carried { asleep: false, ..self.carried };
        CpuState { attention: Attention::empty(), carried, ..self.whole_state() }
    }

    fn whole_state(&self) -> CpuState {
        let Self {
            gpr,
            flags,
            cycles,
            instructions,
            // Of the present block.
            block_limit: _,
            // Derived from the rest, and from who watches.
            fast_context: _,
            seg_access: _,
            // Its epochs are saved beside this.
            derived: _,
            // Saved beside this.
            tlb: _,
            attention,
            // Nothing of it outlives a slice.
            scratch: _,
            carried,
            sys,
            fpu,
            lapic,
            vmx,
            pmu,
            lbr,
            micro,
            config: _,
            // The host's; its history is saved beside this.
            notes: _,
            known_tables: _,
        } = self;
        let mut registers = [0; 17];
        registers[..16].copy_from_slice(&gpr[..16]);
        registers[16] = self.rip();
        CpuState {
            registers,
            flags: flags.get(),
            cycles: *cycles,
            instructions: *instructions,
            attention: *attention,
            carried: *carried,
            sys: sys.clone(),
            fpu: fpu.clone(),
            lapic: lapic.clone(),
            vmx: vmx.clone(),
            pmu: *pmu,
            lbr: lbr.clone(),
            micro: micro.clone(),
        }
    }

    fn check(&self, state: &CpuState) -> Result<(), DamagedState> {
        if (state.sys.index, state.sys.apic_id) != (self.sys.index, self.sys.apic_id) {
            return Err(DamagedState("a processor has another number"));
        }
        if state.cycles > LAST_CYCLE || state.lapic.timer_start > state.cycles {
            return Err(DamagedState("a processor's time is out of range"));
        }
        // Both may be ahead of an instruction that was taken back.
        let (counted, open) = (state.pmu.counted, state.pmu.open.cycle());
        let ahead = |counted: u64, now: u64| counted > now.saturating_add(1);
        if counted.cycles > LAST_CYCLE
            || open > LAST_CYCLE + 1
            || ahead(counted.instructions, state.instructions)
            || ahead(counted.branches, state.pmu.branches)
        {
            return Err(DamagedState("a processor's counters are ahead of its time"));
        }
        if !self.micro.is_like(&state.micro) || state.pmu.modelled != self.pmu.modelled {
            return Err(DamagedState("a processor's caches or branch prediction are of another kind"));
        }
        if !state.lbr.fits(self.config.model.lbr()) || state.lbr.updated > LAST_CYCLE {
            return Err(DamagedState("a processor's last branch records are none that it can have"));
        }
        if state.sys.cpl > 3 {
            return Err(DamagedState("a processor's privilege level is above 3"));
        }
        Ok(())
    }

    fn restore(&mut self, saved: &SavedCpu, ram: &Ram) {
        let SavedCpu { state, tlb, tlb_is_of_this_map, history, counts } = saved;
        self.notes.history = history.clone();
        let CpuState {
            registers,
            flags,
            cycles,
            instructions,
            attention,
            carried,
            sys,
            fpu,
            lapic,
            vmx,
            pmu,
            lbr,
            micro,
        } = state.clone();
        self.gpr[..16].copy_from_slice(&registers[..16]);
        self.set_rip(registers[16]);
        self.set_flags(flags);
        self.cycles = cycles;
        self.instructions = instructions;
        self.carried = carried;
        self.sys = sys;
        self.fpu = fpu;
        self.lapic = lapic;
        self.vmx = VmxState { counts: counts.clone(), ..vmx };
        self.pmu = pmu;
        self.lbr = lbr;
        self.micro = micro;

        self.tlb.restore(tlb);
        // No map has had the number 0.
        self.derived.seen_map_epoch = if *tlb_is_of_this_map { ram.map_epoch() } else { 0 };
        self.derived.seen_code_epoch = ram.code_epoch();
        self.scratch = Scratch::default();
        self.refresh_misc_enable();
        self.refresh_recording();
        self.refresh();
        self.attention = attention;
        self.refresh_apic_attention();
        // Its deadline is of the clock that it was saved under.
        self.hasten_pmu();
        self.carried.asleep = carried.asleep;
    }
}
