//! Rounding, and the exceptions that come of it (SDM Vol. 1 4.8.4, 4.9.1, 8.1.5, 8.5).

use super::Class;
use super::float80::{BIAS, F80, INTEGER_BIT, MIN_EXPONENT, Unpacked};
use super::status::*;

/// What unmasked overflow and underflow add to or take from the exponent of a result in a register.
const WRAP: i32 = 24576;

/// Rounding control (SDM Vol. 1 Table 4-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Towards -∞.
    Down,
    /// Towards +∞.
    Up,
    /// Towards zero.
    Truncate,
}

impl Rounding {
    /// Whether the last kept digit is to be incremented: `odd` is that digit, `half` the first that is cut off,
    /// `rest` whether any other is not zero.
    #[inline]
    pub fn increments(self, sign: bool, odd: bool, half: bool, rest: bool) -> bool {
        match self {
            Self::Nearest => half && (rest || odd),
            Self::Down => sign && (half || rest),
            Self::Up => !sign && (half || rest),
            Self::Truncate => false,
        }
    }

    /// Whether an overflow of `sign` gives infinity rather than the largest number.
    fn overflows_to_infinity(self, sign: bool) -> bool {
        match self {
            Self::Nearest => true,
            Self::Down => sign,
            Self::Up => !sign,
            Self::Truncate => false,
        }
    }
}

/// A format to round to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Bits of the significand.
    pub precision: u32,
    /// Exponent of the smallest normal number.
    pub min_exponent: i32,
    /// Exponent of the largest number.
    pub max_exponent: i32,
}

impl Format {
    /// Single precision.
    pub const SINGLE: Self = Self { precision: 24, min_exponent: -126, max_exponent: 127 };
    /// Double precision.
    pub const DOUBLE: Self = Self { precision: 53, min_exponent: -1022, max_exponent: 1023 };
    /// Double extended precision.
    pub const EXTENDED: Self = Self::register(64);

    /// A register with `precision` bits: the exponent range stays that of the register.
    pub const fn register(precision: u32) -> Self {
        Self { precision, min_exponent: MIN_EXPONENT, max_exponent: BIAS }
    }
}

/// An exact value: `significand` × 2^(`exponent` - 127), the top bit set; bit 0 may stand for any smaller rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// Negative.
    pub sign: bool,
    /// Unbiased exponent.
    pub exponent: i32,
    /// Normalized significand.
    pub significand: u128,
}

impl Exact {
    /// From a significand that is not zero and not normalized.
    #[inline]
    pub fn normalized(sign: bool, exponent: i32, significand: u128) -> Self {
        let shift = significand.leading_zeros();
        Self { sign, exponent: exponent - shift as i32, significand: significand.wrapping_shl(shift) }
    }
}

impl From<Unpacked> for Exact {
    #[inline]
    fn from(value: Unpacked) -> Self {
        Self { sign: value.sign, exponent: value.exponent, significand: u128::from(value.significand) << 64 }
    }
}

/// A rounded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounded {
    /// Infinity.
    Infinity,
    /// `significand` × 2^(`exponent` - 63); the top bit is clear only at the format's smallest exponent.
    Finite {
        /// Unbiased exponent.
        exponent: i32,
        /// Significand, its lowest bits clear beyond the precision.
        significand: u64,
    },
}

/// The numeric side of one instruction: the control word, and what the instruction reports.
#[derive(Debug, Clone, Copy)]
pub struct Numeric {
    /// Control word.
    control: u16,
    /// Exceptions and stack fault, as status-word bits.
    pub flags: u16,
    /// C1: the result was rounded away from zero, or the stack overflowed.
    pub c1: bool,
}

impl Numeric {
    /// Under a control word.
    #[inline]
    pub fn new(control: u16) -> Self {
        Self { control, flags: 0, c1: false }
    }

    /// Whether any of `exceptions` is unmasked.
    #[inline]
    pub fn unmasked(&self, exceptions: u16) -> bool {
        exceptions & !self.control & EXCEPTIONS != 0
    }

    /// Whether an exception that was found before the computation keeps it from happening.
    #[inline]
    pub fn stopped(&self) -> bool {
        self.unmasked(self.flags & BEFORE)
    }

    /// Whether a result cannot be stored in memory: an unmasked overflow or underflow has no wrapped result there.
    #[inline]
    pub fn withholds_store(&self) -> bool {
        self.unmasked(self.flags & (BEFORE | OE | UE))
    }

    /// Rounding control.
    #[inline]
    pub fn rounding(&self) -> Rounding {
        match self.control >> 10 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Truncate,
        }
    }

    /// The format that precision control asks of FADD, FSUB, FMUL, FDIV and FSQRT (SDM Vol. 1 8.1.5.2).
    #[inline]
    pub fn controlled(&self) -> Format {
        match self.control >> 8 & 3 {
            0 => Format::register(24),
            2 => Format::register(53),
            _ => Format::EXTENDED,
        }
    }

    /// Raises exceptions.
    #[inline]
    pub fn raise(&mut self, flags: u16) {
        self.flags |= flags;
    }

    /// #IA, and its masked result.
    #[cold]
    pub fn invalid(&mut self) -> F80 {
        self.raise(IE);
        F80::INDEFINITE
    }

    /// Stack underflow: #IS with C1 clear, and the masked result.
    #[cold]
    pub fn stack_underflow(&mut self) -> F80 {
        self.raise(IE | SF);
        F80::INDEFINITE
    }

    /// Stack overflow: #IS with C1 set, and the masked result.
    #[cold]
    pub fn stack_overflow(&mut self) -> F80 {
        self.c1 = true;
        self.stack_underflow()
    }

    /// Raises #D if an operand is denormal; true when that stops the instruction.
    #[inline]
    pub fn denormal(&mut self, operand: Class) -> bool {
        if operand == Class::Denormal {
            self.raise(DE);
        }
        self.stopped()
    }

    /// Rounds `value` to a register format.
    #[inline(always)]
    pub fn round(&mut self, value: Exact, format: Format) -> F80 {
        // The usual case in line: all 64 bits, and an exponent that no carry takes out of the range.
        if format == Format::EXTENDED && value.exponent >= MIN_EXPONENT && value.exponent < BIAS {
            let (high, low) = ((value.significand >> 64) as u64, value.significand as u64);
            let up = low != 0 && self.rounding().increments(value.sign, high & 1 != 0, low >> 63 != 0, low << 1 != 0);
            self.note_inexact(low != 0, up);
            let (sum, carried) = high.overflowing_add(u64::from(up));
            let biased = (value.exponent + BIAS) as u16 + u16::from(carried);
            return F80::new(biased, sum | INTEGER_BIT).with_sign(value.sign);
        }
        self.round_unusual(value, format)
    }

    #[inline(never)]
    fn round_unusual(&mut self, value: Exact, format: Format) -> F80 {
        match self.round_to(value, format, true) {
            Rounded::Infinity => F80::infinity(value.sign),
            Rounded::Finite { exponent, significand } => {
                let biased = if significand & INTEGER_BIT == 0 { 0 } else { (exponent + BIAS) as u16 };
                F80::new(biased, significand).with_sign(value.sign)
            }
        }
    }

    /// Rounds `value` to any format; `wraps` says that unmasked overflow and underflow have the results that
    /// registers get.
    pub fn round_to(&mut self, value: Exact, format: Format, wraps: bool) -> Rounded {
        let (significand, carried, inexact, up) = self.cut(value, format.precision, 0);
        let exponent = value.exponent + i32::from(carried);
        if exponent < format.min_exponent {
            return self.underflow(value, format, wraps);
        }
        if exponent > format.max_exponent {
            return self.overflow(value.sign, exponent, significand, (inexact, up), format, wraps);
        }
        self.note_inexact(inexact, up);
        Rounded::Finite { exponent, significand }
    }

    /// The significand at `precision` bits after a shift to the right; whether it carried into the next exponent,
    /// whether digits were lost, and whether it grew.
    #[inline]
    fn cut(&self, value: Exact, precision: u32, shift: u32) -> (u64, bool, bool, bool) {
        let shifted = match shift {
            0 => value.significand,
            1..=127 => {
                let lost = value.significand << (128 - shift) != 0;
                value.significand >> shift | u128::from(lost)
            }
            _ => 1,
        };
        let kept = 128 - precision;
        let unit = 1u128 << kept;
        let rest = shifted & (unit - 1);
        let half = unit >> 1;
        let floor = shifted & !(unit - 1);
        if rest == 0 {
            return ((floor >> 64) as u64, false, false, false);
        }
        let up = self.rounding().increments(value.sign, floor & unit != 0, rest & half != 0, rest & (half - 1) != 0);
        if !up {
            return ((floor >> 64) as u64, false, true, false);
        }
        match floor.checked_add(unit) {
            Some(sum) => ((sum >> 64) as u64, false, true, true),
            None => (INTEGER_BIT, true, true, true),
        }
    }

    #[inline]
    fn note_inexact(&mut self, inexact: bool, up: bool) {
        if inexact {
            self.raise(PE);
            self.c1 = up;
        }
    }

    /// The value is tiny: below the smallest normal number even after rounding.
    #[cold]
    fn underflow(&mut self, value: Exact, format: Format, wraps: bool) -> Rounded {
        if self.unmasked(UE) {
            self.raise(UE);
            if !wraps {
                // The operand stays where it is, and only #U is reported.
                return Rounded::Finite { exponent: format.min_exponent, significand: 0 };
            }
            let (significand, carried, inexact, up) = self.cut(value, format.precision, 0);
            let exponent = value.exponent + i32::from(carried) + WRAP;
            self.note_inexact(inexact, up);
            if exponent < format.min_exponent {
                // FSCALE can reach further than the wrap.
                self.note_inexact(true, false);
                return Rounded::Finite { exponent: format.min_exponent, significand: 0 };
            }
            return Rounded::Finite { exponent, significand };
        }
        let shift = (format.min_exponent - value.exponent) as u32;
        let (significand, _, inexact, up) = self.cut(value, format.precision, shift);
        if inexact {
            self.raise(UE);
        }
        self.note_inexact(inexact, up);
        Rounded::Finite { exponent: format.min_exponent, significand }
    }

    #[cold]
    fn overflow(
        &mut self,
        sign: bool,
        exponent: i32,
        significand: u64,
        (inexact, up): (bool, bool),
        format: Format,
        wraps: bool,
    ) -> Rounded {
        self.raise(OE);
        if self.unmasked(OE) {
            if !wraps {
                return Rounded::Infinity;
            }
            self.note_inexact(inexact, up);
            if exponent - WRAP > format.max_exponent {
                self.note_inexact(true, true);
                return Rounded::Infinity;
            }
            return Rounded::Finite { exponent: exponent - WRAP, significand };
        }
        let infinite = self.rounding().overflows_to_infinity(sign);
        self.note_inexact(true, infinite);
        if infinite {
            return Rounded::Infinity;
        }
        Rounded::Finite { exponent: format.max_exponent, significand: u64::MAX << (64 - format.precision) }
    }
}
