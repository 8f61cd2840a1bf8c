//! Arithmetic of the x87 FPU on 80-bit extended values (SDM Vol. 1 chapter 8).
//!
//! Written here on 64- and 128-bit integers rather than taken from a crate: the crates for the format
//! (`rustc_apfloat`) know neither precision control – 24 or 53 bits rounded once within the 15-bit exponent range – nor
//! the denormal-operand exception, pseudo-denormals, unsupported encodings, the direction of rounding that C1 shows,
//! or the wrapped results of unmasked overflow and underflow. With a 128-bit significand each operation is one exact
//! integer step and one rounding, so that those fall out of [`round`] alone.
//!
//! Everything here is a pure function of its operands and of a [`Numeric`], which carries the control word in and the
//! exceptions out.

pub mod arith;
pub mod convert;
pub mod float80;
pub mod remainder;
pub mod round;
pub mod stack;
pub mod transcendental;
pub mod wide;

pub use float80::{Class, F80};
pub use round::Numeric;

/// Bits of the status word (SDM Vol. 1 8.1.3).
pub mod status {
    /// Invalid operation.
    pub const IE: u16 = 1 << 0;
    /// Denormal operand.
    pub const DE: u16 = 1 << 1;
    /// Division by zero.
    pub const ZE: u16 = 1 << 2;
    /// Overflow.
    pub const OE: u16 = 1 << 3;
    /// Underflow.
    pub const UE: u16 = 1 << 4;
    /// Precision.
    pub const PE: u16 = 1 << 5;
    /// Stack fault.
    pub const SF: u16 = 1 << 6;
    /// Exception summary.
    pub const ES: u16 = 1 << 7;
    /// Condition code 0.
    pub const C0: u16 = 1 << 8;
    /// Condition code 1.
    pub const C1: u16 = 1 << 9;
    /// Condition code 2.
    pub const C2: u16 = 1 << 10;
    /// Lowest bit of TOP.
    pub const TOP_SHIFT: u32 = 11;
    /// Condition code 3.
    pub const C3: u16 = 1 << 14;
    /// Busy: a copy of [`ES`].
    pub const B: u16 = 1 << 15;
    /// The six exceptions that the control word masks.
    pub const EXCEPTIONS: u16 = 0x3F;
    /// Exceptions found before the computation: unmasked, they leave the operands alone.
    pub const BEFORE: u16 = IE | DE | ZE;
    /// All condition codes.
    pub const CONDITION: u16 = C0 | C1 | C2 | C3;
}
