//! Lowering: multiplication and division.

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let bytes = if i.op_count() > 0 { operand_bytes(i, 0) } else { 0 };
    let one = |r: Op, m: Op| {
        if is_mem(i, 0) {
            l.mem(m, bytes, i)
        } else {
            let mut u = l.uop(r, bytes);
            u.r1 = reg(i.op0_register());
            u
        }
    };
    let u = match (i.mnemonic(), i.op_count()) {
        (Mnemonic::Mul, _) => one(Op::MulR, Op::MulM),
        (Mnemonic::Div, _) => one(Op::DivR, Op::DivM),
        (Mnemonic::Idiv, _) => one(Op::IdivR, Op::IdivM),
        (Mnemonic::Imul, 1) => one(Op::Imul1R, Op::Imul1M),
        (Mnemonic::Imul, count) => {
            let (r, m) = if count == 2 { (Op::ImulRr, Op::ImulRm) } else { (Op::ImulRri, Op::ImulRmi) };
            let mut u = if is_mem(i, 1) {
                l.mem(m, bytes, i)
            } else {
                let mut u = l.uop(r, bytes);
                u.r2 = reg(i.op1_register());
                u
            };
            u.r1 = reg(i.op0_register());
            if count == 3 {
                u.imm = i.immediate(2) & (u64::MAX >> (64 - 8 * bytes));
            }
            u
        }
        _ => return None,
    };
    Some((u, End::Continues))
}
