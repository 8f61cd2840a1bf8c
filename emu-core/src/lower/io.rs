//! Lowering: IN, OUT, INS, OUTS (SDM Vol. 1 chapter 19).

use super::lowerer::{End, Lowered, Lowerer, operand_bytes};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Lowers IN and OUT; INS and OUTS are lowered with the strings.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let (accumulator, port) = match i.mnemonic() {
        Mnemonic::In => (0, 1),
        Mnemonic::Out => (1, 0),
        _ => return None,
    };
    let bytes = operand_bytes(i, accumulator);
    let immediate = i.op_kind(port) == OpKind::Immediate8;
    let op = match (accumulator == 0, immediate) {
        (true, true) => Op::InImm,
        (true, false) => Op::InDx,
        (false, true) => Op::OutImm,
        (false, false) => Op::OutDx,
    };
    let mut u = l.uop(op, bytes);
    if immediate {
        u.imm = i.immediate(port) & 0xFF;
    }
    Some((u, End::Ends))
}
