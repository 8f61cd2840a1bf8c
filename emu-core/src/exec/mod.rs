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

/// Lowers an instruction by the family that knows it.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    int::lower(l, i)
        .or_else(|| branch::lower(l, i))
        .or_else(|| stack::lower(l, i))
        .or_else(|| shift::lower(l, i))
        .or_else(|| muldiv::lower(l, i))
        .or_else(|| bits::lower(l, i))
        .or_else(|| atomic::lower(l, i))
        .or_else(|| bmi::lower(l, i))
        .or_else(|| string::lower(l, i))
        .or_else(|| bcd::lower(l, i))
        .or_else(|| io::lower(l, i))
        .or_else(|| misc::lower(l, i))
        .or_else(|| system::lower(l, i))
        .or_else(|| segment::lower(l, i))
        .or_else(|| far::lower(l, i))
        .or_else(|| interrupt::lower(l, i))
        .or_else(|| flags_io::lower(l, i))
        .or_else(|| control::lower(l, i))
        .or_else(|| cpuid::lower(l, i))
        .or_else(|| msr::lower(l, i))
        .or_else(|| vmx::lower(l, i))
        .or_else(|| tables::lower(l, i))
        .or_else(|| fast_call::lower(l, i))
        .or_else(|| sse::lower(l, i))
        .or_else(|| mmx::lower(l, i))
        .or_else(|| xsave::lower(l, i))
        .or_else(|| x87::lower(l, i))
}
