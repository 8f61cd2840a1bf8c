//! Both tiers: guests that are interpreted and guests whose code is compiled at its first run end in the same states.

use crate::Source;
use crate::guest::guest_code_in;
use crate::vmx::{vmx_entry_in, vmx_ept_in, vmx_instructions_in};
use emu_core::block::tier::Tier;
use emu_core::cycles::parts::Parts;
use emu_core::cycles::table::Table;
use emu_core::hash::StableHash;
use emu_core::mem::ram::Ram;
use emu_core::model::CpuModel;
use emu_core::state::cpu::Cpu;
use emu_core::state::pmu::Pmu;
use std::sync::Arc;

/// How a case runs.
#[derive(Debug, Clone, Copy)]
pub struct Tiers {
    /// Compile what has run so often; `None` to interpret all.
    threshold: Option<u32>,
    /// Whether anybody wants the [`Trail`].
    noted: bool,
    /// The clock counts the cycles of the CPU model and these, and not instructions.
    model_clock: Option<Parts>,
}

impl Tiers {
    /// Everything is interpreted, and nobody asks what the runs have come to.
    pub const INTERPRETED: Self = Self { threshold: None, noted: false, model_clock: None };

    /// Everything is compiled at its first run.
    pub const COMPILED: Self = Self { threshold: Some(1), noted: false, model_clock: None };

    /// The clock of a PC's processors.
    pub fn clock(self, model: &CpuModel) -> Option<(Arc<Table>, Parts)> {
        model.table().ok().zip(self.model_clock)
    }

    /// Gives a processor its clock, and its memory what processors share.
    pub fn set_clock(self, cpu: &mut Cpu, ram: &mut Ram) {
        if let Some((table, parts)) = self.clock(&cpu.config.model) {
            cpu.model_clock(table, parts, ram);
        }
    }

    /// Who compiles.
    pub fn tier(self) -> Option<Box<dyn Tier>> {
        self.threshold.and_then(emu_jit::tier)
    }
}

/// What the runs of a case have come to, one behind the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trail(Vec<Step>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    rip: u64,
    instructions: u64,
    cycles: u64,
    pmu: Pmu,
    state: u64,
}

impl Trail {
    /// A run has ended with the processor as it is.
    pub fn note(&mut self, tiers: Tiers, cpu: &Cpu) {
        if tiers.noted {
            let mut hash = StableHash::new();
            hash.value(&cpu.guest_state()).expect("a state has an encoding");
            self.0.push(Step {
                rip: cpu.rip(),
                instructions: cpu.instructions,
                cycles: cpu.cycles,
                pmu: cpu.pmu,
                state: hash.get(),
            });
        }
    }

    /// The case is over.
    pub fn end(&mut self, tiers: Tiers, ram: &Ram) {
        if tiers.noted {
            self.ends_with(StableHash::of(ram.ram()));
        }
    }

    /// The case is over; everything else has this hash.
    pub fn ends_with(&mut self, state: u64) {
        self.0.push(Step { state, ..Step::default() });
    }
}

/// What the clock of the model counts beside instructions and events: nothing, mostly.
pub fn any_parts(source: &mut Source) -> Parts {
    match source.below(4) {
        0 => Parts { caches: true, branches: true },
        1 => Parts { caches: source.chance(50), branches: true },
        _ => Parts::NONE,
    }
}

/// A case of another target, interpreted and compiled.
pub fn tiers(source: &mut Source) {
    let case =
        source.pick(&[guest_code_in, guest_code_in, guest_code_in, vmx_entry_in, vmx_ept_in, vmx_instructions_in]);
    let model_clock = source.chance(40).then(|| any_parts(source));
    let mut again = source.clone();
    let interpreted = case(source, Tiers { threshold: None, noted: true, model_clock });
    let compiled = case(&mut again, Tiers { threshold: Some(1), noted: true, model_clock });
    let same = interpreted.0.iter().zip(&compiled.0).take_while(|(one, other)| one == other).count();
    let (one, other) = (interpreted.0.get(same), compiled.0.get(same));
    assert!(interpreted == compiled, "run {same} of the case differs: {one:x?} interpreted, {other:x?} compiled");
}
