//! What kind of branch a micro-op is: whoever counts, predicts or records branches asks here.

use super::op::Op;
use super::uop::Uop;

/// Kinds of branch instructions (SDM Vol. 1 7.3.8, "Control Transfer Instructions", and the fast system calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchKind {
    /// Jcc, JCXZ and LOOP with their relatives.
    Conditional,
    /// Near JMP to an address in the instruction.
    Jump,
    /// Near JMP to an address in a register or in memory.
    IndirectJump,
    /// Near CALL to an address in the instruction.
    Call,
    /// Near CALL to an address in a register or in memory.
    IndirectCall,
    /// Near RET.
    Return,
    /// INT n, INT3, INTO and INT1.
    Interrupt,
    /// All others that load CS.
    Far,
}

impl BranchKind {
    /// What kind of branch an instruction is, taken or not; `None` if it is none.
    #[inline]
    pub fn of(uop: &Uop) -> Option<Self> {
        use Op::*;
        Some(match uop.operation() {
            Jcc | Jcxz | Loop | JccZero | JccNotZero | JccNegative | JccNotNegative | JccBelow | JccNotBelow
            | JccBelowEqual | JccAbove | JccLess | JccNotLess | JccLessEqual | JccGreater => Self::Conditional,
            JmpRel => Self::Jump,
            JmpR | JmpM | CetJmpR | CetJmpM => Self::IndirectJump,
            CallRel | CetCallRel => Self::Call,
            CallR | CallM | CetCallR | CetCallM => Self::IndirectCall,
            Ret | CetRet => Self::Return,
            IntN | Into => Self::Interrupt,
            JmpFar | JmpFarM | CallFar | CallFarM | RetFar | Iret | Sysenter | Sysexit | Syscall | Sysret => Self::Far,
            _ => return None,
        })
    }
}
