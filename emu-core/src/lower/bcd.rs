//! Lowering: decimal adjustment (SDM Vol. 2A, AAA, AAD, AAM, AAS, DAA, DAS); not in 64-bit mode.

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let op = match i.mnemonic() {
        Mnemonic::Daa => Op::Daa,
        Mnemonic::Das => Op::Das,
        Mnemonic::Aaa => Op::Aaa,
        Mnemonic::Aas => Op::Aas,
        Mnemonic::Aam => Op::Aam,
        Mnemonic::Aad => Op::Aad,
        _ => return None,
    };
    let mut u = l.uop(op, 1);
    if i.op_count() > 0 {
        u.imm = u64::from(i.immediate8());
    }
    Some((u, End::Continues))
}
