//! Lowering: saving and restoring of x87, vector and other extended state: FXSAVE and the XSAVE feature set.

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use crate::ir::operands::area::{COMPACT, OPTIMIZED, SUPERVISOR, WIDE};
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    let (op, imm) = match i.mnemonic() {
        Fxsave => (Op::Fxsave, 0),
        Fxsave64 => (Op::Fxsave, WIDE),
        Fxrstor => (Op::Fxrstor, 0),
        Fxrstor64 => (Op::Fxrstor, WIDE),
        Xsave => (Op::Xsave, 0),
        Xsave64 => (Op::Xsave, WIDE),
        Xsaveopt => (Op::Xsave, OPTIMIZED),
        Xsaveopt64 => (Op::Xsave, OPTIMIZED | WIDE),
        Xsavec => (Op::Xsave, COMPACT),
        Xsavec64 => (Op::Xsave, COMPACT | WIDE),
        Xsaves => (Op::Xsave, COMPACT | SUPERVISOR),
        Xsaves64 => (Op::Xsave, COMPACT | SUPERVISOR | WIDE),
        Xrstor => (Op::Xrstor, 0),
        Xrstor64 => (Op::Xrstor, WIDE),
        Xrstors => (Op::Xrstor, SUPERVISOR),
        Xrstors64 => (Op::Xrstor, SUPERVISOR | WIDE),
        Xgetbv => return Some((l.uop(Op::Xgetbv, 4), End::Continues)),
        Xsetbv => return Some((l.uop(Op::Xsetbv, 4), End::Ends)),
        _ => return None,
    };
    let mut u = l.mem(op, 1, i);
    u.imm = imm;
    Some((u, End::Ends))
}
