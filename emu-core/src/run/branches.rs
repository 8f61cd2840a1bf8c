//! Branches as the modelled prediction sees them.

use crate::cycles::predictor::Branch;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::Cpu;
use crate::state::pmu::Miss;

/// What a near branch is to the prediction; `taken`: it has set RIP. Direct jumps are always predicted, and so is what goes
/// through gates and descriptors never: its time is in the table.
fn kind_of(uop: &Uop, taken: bool) -> Option<Branch> {
    use Op::*;
    Some(match uop.operation() {
        Jcc | Jcxz | Loop | JccZero | JccNotZero | JccNegative | JccNotNegative | JccBelow | JccNotBelow
        | JccBelowEqual | JccAbove | JccLess | JccNotLess | JccLessEqual | JccGreater => Branch::Conditional { taken },
        CallRel => Branch::Call,
        CallR | CallM => Branch::IndirectCall,
        JmpR | JmpM => Branch::IndirectJump,
        Ret => Branch::Return,
        _ => return None,
    })
}

impl Cpu {
    /// An instruction of the block at `start` has completed: if it is a branch that was mispredicted, that takes time.
    pub(super) fn see_branch(&mut self, uop: &Uop, start: u64) {
        let taken = self.scratch.flow.branched;
        let Some(branch) = kind_of(uop, taken) else { return };
        let base = if self.derived.mode.is_64bit() { 0 } else { self.sys.segments[1].base };
        let linear = |ip: u64| self.wrap_operand(base.wrapping_add(ip));
        let (address, next) = (linear(start.wrapping_add(uop.off.into())), linear(start.wrapping_add(uop.next())));
        let target = if taken { linear(self.rip()) } else { next };
        let (Some(predictor), Some(table)) = (&mut self.micro.predictor, &self.config.cycles) else { return };
        if !predictor.see(branch, address, target, next) {
            let penalty = table.branches.penalty;
            self.pmu.note(Miss::Branch);
            self.spend_cycles(penalty.into());
        }
    }
}
