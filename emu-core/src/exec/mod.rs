//! The instructions, by family: each file lowers its instructions and holds their handlers.

pub mod atomic;
pub mod bcd;
pub mod bits;
pub mod bmi;
pub mod branch;
pub mod control;
pub mod cpuid;
pub mod far;
pub mod fast_call;
pub mod flags_io;
pub mod int;
pub mod interrupt;
pub mod io;
pub mod misc;
pub mod mmx;
pub mod msr;
pub mod muldiv;
pub mod segment;
pub mod shift;
pub mod sse;
pub mod stack;
pub mod string;
pub mod system;
pub mod table;
pub mod tables;
pub mod task;
pub mod vmx;
pub mod x87;
pub mod xsave;

use crate::decode::lower::{Lowered, Lowerer};
use iced_x86::Instruction;

/// The families, the most frequent first. They are called through pointers: inlined into one function, their results
/// would be copied from place to place more often than the work itself costs.
const FAMILIES: [fn(&Lowerer, &Instruction) -> Lowered; 27] = [
    int::lower,
    branch::lower,
    stack::lower,
    shift::lower,
    muldiv::lower,
    bits::lower,
    atomic::lower,
    bmi::lower,
    string::lower,
    bcd::lower,
    io::lower,
    misc::lower,
    system::lower,
    segment::lower,
    far::lower,
    interrupt::lower,
    flags_io::lower,
    control::lower,
    cpuid::lower,
    msr::lower,
    vmx::lower,
    tables::lower,
    fast_call::lower,
    sse::lower,
    mmx::lower,
    xsave::lower,
    x87::lower,
];

/// Lowers an instruction by the family that knows it.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    FAMILIES.iter().find_map(|family| family(l, i))
}
