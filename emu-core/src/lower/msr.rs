//! Lowering: RDMSR, WRMSR, RDPMC.

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let op = match i.mnemonic() {
        Mnemonic::Rdmsr => Op::Rdmsr,
        Mnemonic::Wrmsr => Op::Wrmsr,
        Mnemonic::Rdpmc => Op::Rdpmc,
        _ => return None,
    };
    Some((l.uop(op, 4), End::Ends))
}
