//! SSE, AVX and AVX-512: what their instructions share – availability, operands, writing of results.
//!
//! An operation is written once, for a 128-bit lane, as a row of a table ([`integer`], [`float`]); a handler of this
//! folder applies it to the lanes of a legacy-SSE, VEX.128, VEX.256 or EVEX form, which are the four columns of a row
//! in [`crate::exec::table::TABLE`].

pub mod convert;
pub mod crypto;
pub mod element;
pub mod float;
pub mod gather;
pub mod integer;
pub mod lanes;
pub mod logic;
pub mod mask;
pub mod memory;
pub mod moves;
pub mod native;
pub mod operands;
pub mod scaled;
pub mod select;
pub mod status;
pub mod strings;
pub mod suppression;
pub mod ternary;
pub mod wide;

use crate::decode::lower::{Lowered, Lowerer};
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
