//! Floating point with 128 bits of significand, for the inner steps of the transcendental functions. Results are
//! truncated: an error of a few units of 2^-127 is far below what rounding to 64 bits can show.

use super::float80::Unpacked;
use super::round::Exact;
use std::cmp::Ordering;

/// `significand` × 2^(`exponent` - 127), normalized; zero has a significand of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wide {
    /// Negative.
    pub sign: bool,
    /// Unbiased exponent.
    pub exponent: i32,
    /// Significand.
    pub significand: u128,
}

impl From<Unpacked> for Wide {
    fn from(value: Unpacked) -> Self {
        Self { sign: value.sign, exponent: value.exponent, significand: u128::from(value.significand) << 64 }
    }
}

impl Wide {
    /// Zero.
    pub const ZERO: Self = Self { sign: false, exponent: 0, significand: 0 };
    /// One.
    pub const ONE: Self = Self { sign: false, exponent: 0, significand: 1 << 127 };
    /// ln 2.
    pub const LN_2: Self = Self { sign: false, exponent: -1, significand: 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF };
    /// 2 / ln 2.
    pub const TWO_LOG2_E: Self =
        Self { sign: false, exponent: 1, significand: 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88 };
    /// π.
    pub const PI: Self = Self { sign: false, exponent: 1, significand: 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1 };

    /// From a significand that need not be normalized.
    pub fn normalized(sign: bool, exponent: i32, significand: u128) -> Self {
        if significand == 0 {
            return Self::ZERO;
        }
        let shift = significand.leading_zeros();
        Self { sign, exponent: exponent - shift as i32, significand: significand << shift }
    }

    /// A small integer.
    pub fn from_integer(value: i32) -> Self {
        Self::normalized(value < 0, 127, u128::from(value.unsigned_abs()))
    }

    /// A fraction of 2^128.
    pub fn from_fraction(fraction: u128) -> Self {
        Self::normalized(false, -1, fraction)
    }

    /// |self| as a fraction of 2^128; it must be below 1.
    pub fn to_fraction(self) -> u128 {
        match -1 - self.exponent {
            shift @ 0..=127 => self.significand >> shift,
            _ => 0,
        }
    }

    /// The value to round; it must not be zero. The result is not exact, and rounding must see that.
    pub fn inexact(self) -> Exact {
        Exact { sign: self.sign, exponent: self.exponent, significand: self.significand | 1 }
    }

    /// The other sign.
    pub fn negated(self) -> Self {
        Self { sign: !self.sign, ..self }
    }

    /// Half, quarter, ... or a multiple: × 2^`power`.
    pub fn scaled(self, power: i32) -> Self {
        Self { exponent: self.exponent + power, ..self }
    }

    /// self × other.
    pub fn times(self, other: Self) -> Self {
        if self.significand == 0 || other.significand == 0 {
            return Self::ZERO;
        }
        let sign = self.sign != other.sign;
        Self::normalized(sign, self.exponent + other.exponent + 1, high_product(self.significand, other.significand))
    }

    /// self + other.
    pub fn plus(self, other: Self) -> Self {
        if self.significand == 0 {
            return other;
        }
        if other.significand == 0 {
            return self;
        }
        let (big, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let distance = (big.exponent - small.exponent) as u32;
        let high = big.significand >> 1;
        // What is too small to reach still says on which side of `big` the sum lies.
        let low = if distance >= 127 { 1 } else { small.significand >> 1 >> distance };
        if big.sign == small.sign {
            return Self::normalized(big.sign, big.exponent + 1, high + low);
        }
        match high.cmp(&low) {
            Ordering::Less => Self::normalized(small.sign, big.exponent + 1, low - high),
            Ordering::Equal => Self::ZERO,
            Ordering::Greater => Self::normalized(big.sign, big.exponent + 1, high - low),
        }
    }

    /// self - other.
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// self / other, which is not zero.
    pub fn over(self, other: Self) -> Self {
        if self.significand == 0 {
            return Self::ZERO;
        }
        let sign = self.sign != other.sign;
        let mut exponent = self.exponent - other.exponent;
        let mut rest = self.significand;
        if rest < other.significand {
            exponent -= 1;
        } else {
            rest -= other.significand;
        }
        // Long division; the first digit is a one in either case.
        let first_taken = self.significand >= other.significand;
        let mut quotient = u128::from(first_taken);
        let digits = if first_taken { 127 } else { 128 };
        for _ in 0..digits {
            let carry = rest >> 127 != 0;
            rest <<= 1;
            quotient <<= 1;
            if carry || rest >= other.significand {
                rest = rest.wrapping_sub(other.significand);
                quotient |= 1;
            }
        }
        Self { sign, exponent, significand: quotient }
    }
}

/// The upper half of a product.
pub const fn high_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0) = (a >> 64, a & LOW);
    let (b1, b0) = (b >> 64, b & LOW);
    let middle = a1 * b0 + ((a0 * b0) >> 64);
    let other = a0 * b1 + (middle & LOW);
    a1 * b1 + (middle >> 64) + (other >> 64)
}

/// Σ ± `coefficients`[k] × `x`^k of fractions of 2^128: all signs positive, or alternating. The coefficients fall, so
/// that no partial sum leaves the range.
pub fn series(coefficients: &[u128], x: u128, alternating: bool) -> u128 {
    coefficients.iter().rev().fold(0, |sum, &coefficient| {
        let term = high_product(sum, x);
        if alternating { coefficient.wrapping_sub(term) } else { coefficient.wrapping_add(term) }
    })
}
