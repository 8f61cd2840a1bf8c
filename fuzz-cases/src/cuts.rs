//! One run, whatever is done to it: cut, watched, interpreted or compiled, looked at, and gone on with in another machine
//! from a snapshot.

use crate::Source;
use crate::guest::any_pc;
use crate::tiers::Tiers;
use emu_core::observe::{Instruction, Observer, View, Watch};
use emu_devices::pc::{Pc, PcExit};
use emu_devices::snapshot::Snapshot;

/// After so many ends a triple fault is the last.
const MOST_EXITS: usize = 3;

/// Looks at counters before each instruction.
struct Watcher {
    watch: Watch,
    seen: u64,
}

impl Observer for Watcher {
    fn watches(&self) -> Watch {
        self.watch
    }

    fn before_instruction(&mut self, view: View, _: Instruction) {
        self.seen = self.seen.wrapping_add(view.cpu.counted_pmu().global_status);
    }
}

fn moved(pc: &mut Pc, origin: &Source, written: bool) -> Pc {
    let mut other = any_pc(&mut origin.clone());
    let mut snapshot = pc.snapshot().expect("a snapshot can be taken");
    if written {
        let mut bytes = Vec::new();
        snapshot.write(&mut bytes).expect("memory takes it");
        snapshot = Snapshot::read(&mut bytes.as_slice(), &other.configuration()).expect("it has just been written");
    }
    other.restore(&snapshot).expect("it is of a machine like this");
    for (one, other) in pc.cpus.iter().zip(&other.cpus) {
        assert_eq!(one.pmu, other.pmu, "the counters of a machine taken from a snapshot");
    }
    assert_eq!(other.state_hash(), pc.state_hash(), "a machine taken from a snapshot is another");
    other
}

/// A run of `guest_code`'s PC in one piece, and the same with all that a user can do to it, end in the same state.
pub fn cuts(source: &mut Source) {
    let origin = source.clone();
    let (mut whole, mut cut) = (any_pc(source), any_pc(&mut origin.clone()));
    let tiers = [Tiers::INTERPRETED, Tiers::COMPILED];
    let mut tier = source.pick(&tiers);
    whole.set_tier(source.pick(&tiers).tier());
    cut.set_tier(tier.tier());
    let end = 1 + source.below(4000);
    let mut exits = Vec::new();
    let exit = loop {
        let limit = (cut.now() + 1 + source.below(400)).min(end);
        let before = cut.now();
        let exit = match source.below(4) {
            0 => {
                let watch =
                    if source.chance(50) { Watch::all() } else { Watch::from_bits_truncate(source.bits(2) as u16) };
                cut.run_observed(limit, &mut Watcher { watch, seen: 0 })
            }
            1 => cut.run_bounded(limit, 1 + source.below(3000), None),
            _ => cut.run_until(limit),
        };
        assert!(cut.now() >= before, "time goes back");
        match source.below(8) {
            0 => drop(cut.state_hash()),
            number @ (1 | 2) => {
                cut = moved(&mut cut, &origin, number == 1);
                cut.set_tier(tier.tier());
            }
            3 => {
                tier = source.pick(&tiers);
                cut.set_tier(tier.tier());
            }
            4 => cut.set_cache_limit(1 + source.below(50) as usize),
            _ => {}
        }
        match exit {
            PcExit::Limit if cut.now() < end => {}
            PcExit::Work => {}
            PcExit::ExitStatus(_) => exits.push(exit),
            PcExit::Shutdown { .. } if exits.len() < MOST_EXITS => {
                exits.push(exit);
                cut.reset();
            }
            exit => break exit,
        }
    };
    let other = loop {
        match whole.run_until(end) {
            exit @ PcExit::ExitStatus(_) => {
                assert!(!exits.is_empty() && exits.remove(0) == exit, "{exit:?} is only of the run in one piece");
            }
            exit @ PcExit::Shutdown { .. } if !exits.is_empty() => {
                assert_eq!(exits.remove(0), exit, "the run in one piece, and the other");
                whole.reset();
            }
            exit => break exit,
        }
    };
    assert_eq!((&other, exits.len()), (&exit, 0), "the run in one piece, and the other");
    if exit == PcExit::Limit {
        // Both come to the first place where a processor has come farther than any has now.
        let cycle = cut.cpus.iter().map(|cpu| cpu.cycles).fold(cut.now().max(whole.now()), u64::max) + 1;
        assert_eq!(whole.run_until(cycle), cut.run_until(cycle));
    }
    for (one, other) in whole.cpus.iter().zip(&cut.cpus) {
        let state = |cpu: &emu_core::state::cpu::Cpu| {
            (cpu.rip(), cpu.instructions, cpu.cycles, cpu.counted_pmu().general, cpu.counted_pmu().global_status)
        };
        assert_eq!(state(one), state(other), "processor {}", one.sys.index);
        assert_eq!(one.pmu, other.pmu, "processor {}", one.sys.index);
    }
    assert_eq!(whole.state_hash(), cut.state_hash());
}
