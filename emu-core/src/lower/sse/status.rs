//! Lowering: MXCSR: LDMXCSR and STMXCSR.

use super::operands::column_of;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::lower::lowerer::{End, Lowered, Lowerer};
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let op = match i.mnemonic() {
        Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr => Op::Ldmxcsr,
        Mnemonic::Stmxcsr | Mnemonic::Vstmxcsr => Op::Stmxcsr,
        _ => return None,
    };
    let mut u = Uop::new(op, column_of(i, 16), 0, 0);
    l.set_mem(&mut u, i);
    Some((u, End::Continues))
}
