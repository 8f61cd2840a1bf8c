//! Lowering: instructions that control the processor.

use super::lowerer::{End, Lowered, Lowerer};
use crate::flags::{CF, DF};
use crate::ir::op::Op;
use crate::model::features::Feature;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let flag = |mask: u64, action: u8| {
        let mut u = l.uop(Op::FlagBit, 4);
        u.imm = mask;
        u.r1 = action;
        Some((u, End::Continues))
    };
    match i.mnemonic() {
        Mnemonic::Clc => flag(CF, 0),
        Mnemonic::Stc => flag(CF, 1),
        Mnemonic::Cmc => flag(CF, 2),
        Mnemonic::Cld => flag(DF, 0),
        Mnemonic::Std => flag(DF, 1),
        // SDM Vol. 2A, LAHF: in 64-bit mode only where CPUID.80000001H:ECX.LAHF-SAHF[bit 0] is 1.
        Mnemonic::Lahf | Mnemonic::Sahf if l.mode.is_64bit() && !l.model.has(Feature::Lahf64) => {
            Some((l.uop(Op::Undefined, 1), End::Ends))
        }
        Mnemonic::Sahf => Some((l.uop(Op::Sahf, 1), End::Continues)),
        Mnemonic::Lahf => Some((l.uop(Op::Lahf, 1), End::Continues)),
        Mnemonic::Cli => Some((l.uop(Op::Cli, 1), End::Continues)),
        Mnemonic::Sti => Some((l.uop(Op::Sti, 1), End::Ends)),
        Mnemonic::Hlt => Some((l.uop(Op::Hlt, 1), End::Ends)),
        _ => None,
    }
}
