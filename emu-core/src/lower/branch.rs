//! Lowering: near branches.

use super::int::condition_of;
use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

/// Bytes of the instruction pointer that a near branch writes.
fn branch_bytes(i: &Instruction) -> usize {
    match i.op0_kind() {
        OpKind::NearBranch16 => 2,
        OpKind::NearBranch32 => 4,
        _ => 8,
    }
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let relative = |op: Op| {
        let mut u = l.uop(op, branch_bytes(i));
        u.imm = i.near_branch_target();
        u
    };
    let indirect = |r: Op, m: Op| {
        if is_mem(i, 0) {
            l.mem(m, operand_bytes(i, 0), i)
        } else {
            let mut u = l.uop(r, operand_bytes(i, 0));
            u.r1 = reg(i.op0_register());
            u
        }
    };
    let counted = |op: Op, r1: u8| {
        let mut u = relative(op);
        u.r1 = r1;
        u.scale = match i.op_count().max(1) {
            _ if counter_bits(i) == 16 => 48 << 2,
            _ if counter_bits(i) == 32 => 32 << 2,
            _ => 0,
        };
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Jmp if is_near_relative(i) => relative(Op::JmpRel),
        Mnemonic::Jmp if i.is_jmp_near_indirect() => indirect(Op::JmpR, Op::JmpM),
        Mnemonic::Call if is_near_relative(i) => relative(Op::CallRel),
        Mnemonic::Call if i.is_call_near_indirect() => indirect(Op::CallR, Op::CallM),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => counted(Op::Jcxz, 0),
        Mnemonic::Loop => counted(Op::Loop, 2),
        Mnemonic::Loope => counted(Op::Loop, 1),
        Mnemonic::Loopne => counted(Op::Loop, 0),
        Mnemonic::Ret => {
            use iced_x86::Code::*;
            let bytes = match i.code() {
                Retnw | Retnw_imm16 => 2,
                Retnd | Retnd_imm16 => 4,
                _ => 8,
            };
            let mut u = l.uop(Op::Ret, bytes);
            u.imm = if i.op_count() == 1 { u64::from(i.immediate16()) } else { 0 };
            u
        }
        _ if i.is_jcc_short_or_near() => {
            let mut u = relative(Op::Jcc);
            u.r1 = condition_of(i)?;
            u
        }
        _ => return None,
    };
    // The block goes on with the instructions after a conditional branch.
    let conditional = i.flow_control() == FlowControl::ConditionalBranch;
    let uop = super::cet::enforced(l, i, uop);
    Some((uop, if conditional { End::Continues } else { End::Ends }))
}

fn is_near_relative(i: &Instruction) -> bool {
    matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
}

/// Width of the count register of LOOPcc and JrCXZ, bits.
fn counter_bits(i: &Instruction) -> u32 {
    use iced_x86::Code::*;
    match i.code() {
        Jcxz_rel8_16 | Jcxz_rel8_32 | Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX
        | Loopne_rel8_16_CX | Loopne_rel8_32_CX => 16,
        Jrcxz_rel8_16 | Jrcxz_rel8_64 | Loop_rel8_16_RCX | Loop_rel8_64_RCX | Loope_rel8_16_RCX | Loope_rel8_64_RCX
        | Loopne_rel8_16_RCX | Loopne_rel8_64_RCX => 64,
        _ => 32,
    }
}
