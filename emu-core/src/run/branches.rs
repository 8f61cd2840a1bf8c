//! Branches as the modelled prediction sees them.

use crate::cycles::predictor::Branch;
use crate::ir::branch::BranchKind;
use crate::ir::uop::Uop;
use crate::state::cpu::Cpu;
use crate::state::pmu::Miss;

/// What a near branch is to the prediction; `taken`: it has set RIP. Direct jumps are always predicted, and so is what goes
/// through gates and descriptors never: its time is in the table.
fn predicted(uop: &Uop, taken: bool) -> Option<Branch> {
    Some(match BranchKind::of(uop)? {
        BranchKind::Conditional => Branch::Conditional { taken },
        BranchKind::Call => Branch::Call,
        BranchKind::IndirectCall => Branch::IndirectCall,
        BranchKind::IndirectJump => Branch::IndirectJump,
        BranchKind::Return => Branch::Return,
        BranchKind::Jump | BranchKind::Interrupt | BranchKind::Far => return None,
    })
}

impl Cpu {
    /// An instruction of the block at `start` has completed: if it is a branch that was mispredicted, that takes time. Whether
    /// it was.
    pub(super) fn see_branch(&mut self, uop: &Uop, start: u64) -> bool {
        let taken = self.scratch.flow.branched;
        let Some(branch) = predicted(uop, taken) else { return false };
        let base = if self.derived.mode.is_64bit() { 0 } else { self.sys.segments[1].base };
        let linear = |ip: u64| self.wrap_operand(base.wrapping_add(ip));
        let (address, next) = (linear(start.wrapping_add(uop.off.into())), linear(start.wrapping_add(uop.next())));
        let target = if taken { linear(self.rip()) } else { next };
        let (Some(predictor), Some(table)) = (&mut self.micro.predictor, &self.config.cycles) else { return false };
        let mispredicted = !predictor.see(branch, address, target, next);
        if mispredicted {
            let penalty = table.branches.penalty;
            self.pmu.note(Miss::Branch);
            self.spend_cycles(penalty.into());
        }
        mispredicted
    }
}
