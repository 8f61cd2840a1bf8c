//! Lowering: exchanges that compare or add.

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let (rr, mr) = match i.mnemonic() {
        Mnemonic::Xadd => (Op::XaddRr, Op::XaddMr),
        Mnemonic::Cmpxchg => (Op::CmpxchgRr, Op::CmpxchgMr),
        Mnemonic::Cmpxchg8b => return Some((l.mem(Op::Cmpxchg8b, 8, i), End::Continues)),
        Mnemonic::Cmpxchg16b => return Some((l.mem(Op::Cmpxchg16b, 8, i), End::Continues)),
        _ => return None,
    };
    let bytes = operand_bytes(i, 0);
    let u = if is_mem(i, 0) {
        let mut u = l.mem(mr, bytes, i);
        u.r1 = reg(i.op1_register());
        u
    } else {
        let mut u = l.uop(rr, bytes);
        (u.r1, u.r2) = (reg(i.op0_register()), reg(i.op1_register()));
        u
    };
    Some((u, End::Continues))
}
