//! Lowering: SSE, AVX and AVX-512.

pub mod convert;
pub mod float;
pub mod gather;
pub mod lanes;
pub mod mask;
pub mod moves;
pub mod operands;
pub mod select;
pub mod status;
pub mod strings;
pub mod suppression;
pub mod wide;

use super::lowerer::{Lowered, Lowerer};
use iced_x86::Instruction;

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    moves::lower(l, i)
        .or_else(|| lanes::lower(l, i))
        .or_else(|| float::lower(l, i))
        .or_else(|| convert::lower(l, i))
        .or_else(|| wide::lower(l, i))
        .or_else(|| strings::lower(l, i))
        .or_else(|| gather::lower(l, i))
        .or_else(|| mask::lower(l, i))
        .or_else(|| select::lower(l, i))
        .or_else(|| status::lower(l, i))
}
