//! Lowering: far JMP, CALL and RET (SDM Vol. 3A 5.8; Vol. 2A, CALL, JMP; Vol. 2B, RET).

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use iced_x86::Code::*;
    let bytes = match i.code() {
        Jmp_ptr1616 | Call_ptr1616 | Jmp_m1616 | Call_m1616 | Retfw | Retfw_imm16 => 2,
        Jmp_ptr1632 | Call_ptr1632 | Jmp_m1632 | Call_m1632 | Retfd | Retfd_imm16 => 4,
        Jmp_m1664 | Call_m1664 | Retfq | Retfq_imm16 => 8,
        _ => return None,
    };
    let immediate = |op: Op| {
        let offset = if bytes == 2 { u64::from(i.far_branch16()) } else { u64::from(i.far_branch32()) };
        let mut u = l.uop(op, bytes);
        u.imm = u64::from(i.far_branch_selector()) << 32 | offset;
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Jmp if i.is_jmp_far() => immediate(Op::JmpFar),
        Mnemonic::Call if i.is_call_far() => immediate(Op::CallFar),
        Mnemonic::Jmp => l.mem(Op::JmpFarM, bytes, i),
        Mnemonic::Call => l.mem(Op::CallFarM, bytes, i),
        _ => {
            let mut u = l.uop(Op::RetFar, bytes);
            u.imm = if i.op_count() == 1 { u64::from(i.immediate16()) } else { 0 };
            u
        }
    };
    Some((uop, End::Ends))
}
