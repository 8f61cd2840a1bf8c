//! Conversions between registers and the formats of memory (SDM Vol. 1 4.2, 4.7).

use super::arith::{Operand, special_operand};
use super::float80::{BIAS, Class, F80, INTEGER_BIT, Unpacked};
use super::round::{Exact, Format, Numeric, Rounded, Rounding};
use super::status::{IE, PE};
use Class::*;

/// 10^18: one more than the largest packed BCD integer.
const BCD_LIMIT: u128 = 1_000_000_000_000_000_000;

/// The fields of an IEEE format narrower than a register.
#[derive(Debug, Clone, Copy)]
struct Narrow {
    format: Format,
    /// Bits of the fraction.
    fraction: u32,
    /// Exponent field of all ones.
    top: u64,
}

const SINGLE: Narrow = Narrow { format: Format::SINGLE, fraction: 23, top: 0xFF };
const DOUBLE: Narrow = Narrow { format: Format::DOUBLE, fraction: 52, top: 0x7FF };

impl Narrow {
    fn widen(self, bits: u64) -> F80 {
        let exponent = bits >> self.fraction & self.top;
        let fraction = (bits & ((1 << self.fraction) - 1)) << (63 - self.fraction);
        let sign = bits >> self.fraction > self.top;
        let bias = self.format.max_exponent;
        let value = match exponent {
            0 if fraction == 0 => F80::ZERO,
            0 => {
                let shift = fraction.leading_zeros();
                F80::new((BIAS - bias + 1 - shift as i32) as u16, fraction << shift)
            }
            _ if exponent == self.top => F80::new(0x7FFF, INTEGER_BIT | fraction),
            _ => F80::new((exponent as i32 - bias + BIAS) as u16, INTEGER_BIT | fraction),
        };
        value.with_sign(sign)
    }

    #[inline]
    fn operand(self, bits: u64) -> Operand {
        let value = self.widen(bits);
        let denormal = bits >> self.fraction & self.top == 0 && value != F80::zero(value.sign());
        Operand { value, class: if denormal { Denormal } else { value.class() } }
    }

    fn narrow(self, n: &mut Numeric, a: F80) -> u64 {
        let with_sign = |sign: bool, bits: u64| (u64::from(sign) * (self.top + 1)) << self.fraction | bits;
        let infinity = self.top << self.fraction;
        let nan = |a: F80| with_sign(a.sign(), infinity | (a.significand & !INTEGER_BIT) >> (63 - self.fraction));
        if let Some(special) = special_operand(n, a) {
            return nan(special);
        }
        match a.class() {
            Zero => with_sign(a.sign(), 0),
            Infinity => with_sign(a.sign(), infinity),
            _ => {
                let bits = match n.round_to(Exact::from(a.unpack()), self.format, false) {
                    Rounded::Infinity => infinity,
                    Rounded::Finite { exponent, significand } => {
                        let biased = match significand & INTEGER_BIT {
                            0 => 0,
                            _ => (exponent + self.format.max_exponent) as u64,
                        };
                        biased << self.fraction | (significand & !INTEGER_BIT) >> (63 - self.fraction)
                    }
                };
                with_sign(a.sign(), bits)
            }
        }
    }
}

/// A single-precision operand.
#[inline]
pub fn from_single(bits: u64) -> Operand {
    SINGLE.operand(bits)
}

/// A double-precision operand.
#[inline]
pub fn from_double(bits: u64) -> Operand {
    DOUBLE.operand(bits)
}

/// FLD of a value in one of the narrower formats.
pub fn load(n: &mut Numeric, operand: Operand) -> F80 {
    let _ = n.denormal(operand.class);
    special_operand(n, operand.value).unwrap_or(operand.value)
}

/// FST m32.
pub fn to_single(n: &mut Numeric, a: F80) -> u64 {
    SINGLE.narrow(n, a)
}

/// FST m64.
pub fn to_double(n: &mut Numeric, a: F80) -> u64 {
    DOUBLE.narrow(n, a)
}

/// |a| as an integer by `rounding`, with #P and C1; 2^127 if it is far too large.
pub fn integer_magnitude(n: &mut Numeric, a: Unpacked, rounding: Rounding) -> u128 {
    let significand = u128::from(a.significand);
    if a.exponent >= 63 {
        return if a.exponent > 100 { 1 << 127 } else { significand << (a.exponent - 63) };
    }
    let shift = (63 - a.exponent) as u32;
    let (whole, half, rest) = match shift {
        1..=64 => {
            let half = 1u128 << (shift - 1);
            (significand >> shift, significand & half != 0, significand & (half - 1) != 0)
        }
        _ => (0, false, true),
    };
    let up = rounding.increments(a.sign, whole & 1 != 0, half, rest);
    if half || rest {
        n.raise(PE);
        n.c1 = up;
    }
    whole + u128::from(up)
}

/// FIST, FISTTP: a signed integer of `bits` bits; the integer indefinite if it does not fit.
pub fn to_integer(n: &mut Numeric, a: F80, bits: u32, rounding: Rounding) -> u64 {
    let indefinite = 1u64 << (bits - 1);
    let fits = match a.class() {
        Zero => Some(0),
        Normal | Denormal => {
            let mut trial = *n;
            let magnitude = integer_magnitude(&mut trial, a.unpack(), rounding);
            let limit = u128::from(indefinite) - u128::from(!a.sign());
            (magnitude <= limit).then(|| {
                *n = trial;
                let value = magnitude as u64;
                if a.sign() { value.wrapping_neg() } else { value }
            })
        }
        _ => None,
    };
    let Some(value) = fits else {
        n.raise(IE);
        return indefinite;
    };
    value & u64::MAX >> (64 - bits)
}

/// The packed BCD indefinite.
pub const BCD_INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF];

/// FBSTP: 18 digits and a sign.
pub fn to_bcd(n: &mut Numeric, a: F80) -> [u8; 10] {
    let magnitude = match a.class() {
        Zero => Some(0),
        Normal | Denormal => {
            let mut trial = *n;
            let magnitude = integer_magnitude(&mut trial, a.unpack(), n.rounding());
            (magnitude < BCD_LIMIT).then(|| {
                *n = trial;
                magnitude as u64
            })
        }
        _ => None,
    };
    let Some(mut rest) = magnitude else {
        n.raise(IE);
        return BCD_INDEFINITE;
    };
    let mut bytes = [0; 10];
    for byte in &mut bytes[..9] {
        *byte = ((rest % 10) | ((rest / 10 % 10) << 4)) as u8;
        rest /= 100;
    }
    bytes[9] = u8::from(a.sign()) << 7;
    bytes
}

/// FBLD. Digits above 9 count as what they are; the SDM leaves them undefined.
pub fn from_bcd(bytes: &[u8; 10]) -> F80 {
    let mut value = 0u64;
    for &byte in bytes[..9].iter().rev() {
        value = value * 100 + u64::from(byte >> 4) * 10 + u64::from(byte & 15);
    }
    F80::from_integer(value as i64).with_sign(bytes[9] & 0x80 != 0)
}
