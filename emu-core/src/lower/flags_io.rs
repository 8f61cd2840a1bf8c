//! Lowering: PUSHF and POPF (SDM Vol. 2B).

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let uop = match i.mnemonic() {
        Mnemonic::Pushf => l.uop(Op::Pushf, 2),
        Mnemonic::Pushfd => l.uop(Op::Pushf, 4),
        Mnemonic::Pushfq => l.uop(Op::Pushf, 8),
        Mnemonic::Popf => l.uop(Op::Popf, 2),
        Mnemonic::Popfd => l.uop(Op::Popf, 4),
        Mnemonic::Popfq => l.uop(Op::Popf, 8),
        _ => return None,
    };
    Some((uop, End::Continues))
}
