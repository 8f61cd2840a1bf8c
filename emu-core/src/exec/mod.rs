//! The instructions, by family: each file lowers its instructions and holds their handlers.

pub mod branch;
pub mod control;
pub mod cpuid;
pub mod int;
pub mod msr;
pub mod stack;
pub mod system;
pub mod table;

use crate::decode::lower::{Lowered, Lowerer};
use iced_x86::Instruction;

/// Lowers an instruction by the family that knows it.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    int::lower(l, i)
        .or_else(|| branch::lower(l, i))
        .or_else(|| stack::lower(l, i))
        .or_else(|| system::lower(l, i))
        .or_else(|| control::lower(l, i))
        .or_else(|| cpuid::lower(l, i))
        .or_else(|| msr::lower(l, i))
}
