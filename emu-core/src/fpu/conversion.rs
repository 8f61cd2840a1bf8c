//! Conversions of floating-point numbers to integers, from integers, and to other formats, as exact as the arithmetic of
//! [`super::soft`].

use super::native::to_integral;
use super::soft::flag::{IE, PE};
use super::soft::{Finite, Format, Fp, Host, is_infinite, is_nan, is_signaling, is_zero, round_to, unpack};

/// Rounds to an integral value in the format; precision is not reported if `quiet`.
pub fn round_to_integral<F: Format>(fp: &mut Fp, b: u64, quiet: bool) -> u64 {
    if fp.host != Host::Never
        && let Some(value) = F::native_value(b)
        && let Some((integer, inexact)) = to_integral(value, fp.rounding)
        && let Some((result, _)) = F::native_from_value((integer as f64).copysign(value))
    {
        if inexact && !quiet {
            fp.raise(PE);
        }
        return result;
    }
    if let Some(nan) = fp.nan::<F>(&[b]) {
        return nan;
    }
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) || is_infinite::<F>(b) {
        return b;
    }
    let value = unpack::<F>(b);
    if value.exponent >= F::FRACTION as i32 {
        return b;
    }
    let shift = (127 - value.exponent) as u32;
    let (integer, inexact) = fp.round_shift(value.significand, shift, value.sign);
    if inexact && !quiet {
        fp.raise(PE);
    }
    if integer == 0 {
        return Fp::signed_zero::<F>(value.sign);
    }
    let zeros = integer.leading_zeros();
    let exponent = 127 - zeros as i32;
    // Exact: an integer below 2^(fraction bits + 1).
    let field = (exponent + F::BIAS) as u64;
    let fraction = (integer << zeros >> (127 - F::FRACTION)) as u64 & F::FRACTION_MASK;
    Fp::signed_zero::<F>(value.sign) | field << F::FRACTION | fraction
}

/// To an integer of `bits` bits, or the indefinite integer and #I.
pub fn to_integer<F: Format>(fp: &mut Fp, b: u64, bits: u32, signed: bool) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    if fp.host != Host::Never
        && let Some(value) = F::native_value(b)
        && let Some((integer, inexact)) = to_integral(value, fp.rounding)
    {
        let low = if signed { i64::MIN >> (64 - bits) } else { 0 };
        let high = if signed { mask >> 1 } else { mask.min(i64::MAX as u64) } as i64;
        if low <= integer && integer <= high {
            if inexact {
                fp.raise(PE);
            }
            return integer as u64 & mask;
        }
    }
    let indefinite = if signed { 1 << (bits - 1) } else { mask };
    if is_nan::<F>(b) || is_infinite::<F>(b) {
        fp.raise(IE);
        return indefinite;
    }
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) {
        return 0;
    }
    let value = unpack::<F>(b);
    if value.exponent > 64 {
        fp.raise(IE);
        return indefinite;
    }
    let (integer, inexact) = fp.round_shift(value.significand, (127 - value.exponent) as u32, value.sign);
    let limit = match (signed, value.sign) {
        (true, false) => (1u128 << (bits - 1)) - 1,
        (true, true) => 1 << (bits - 1),
        (false, false) => u128::from(mask),
        (false, true) => 0,
    };
    if integer > limit {
        fp.raise(IE);
        return indefinite;
    }
    if inexact {
        fp.raise(PE);
    }
    let integer = integer as u64;
    (if value.sign { integer.wrapping_neg() } else { integer }) & mask
}

/// From an integer; `magnitude` with a sign.
pub fn from_integer<F: Format>(fp: &mut Fp, sign: bool, magnitude: u64) -> u64 {
    if magnitude == 0 {
        return 0;
    }
    let zeros = magnitude.leading_zeros();
    let exact = magnitude << zeros << (F::FRACTION + 1) == 0;
    if (fp.host == Host::Rounded || fp.host == Host::Exact && exact)
        && let Some(result) = F::native_from_integer(magnitude)
    {
        return Fp::signed_zero::<F>(sign) | result;
    }
    let significand = u128::from(magnitude) << (64 + zeros);
    fp.round::<F>(Finite { sign, exponent: 63 - zeros as i32, significand })
}

/// From one format to another. `daz` says whether DAZ and the denormal-operand exception apply, `flush` whether FTZ
/// does.
pub fn convert<F: Format, G: Format>(fp: &mut Fp, b: u64, daz: bool, flush: bool) -> u64 {
    if fp.host != Host::Never
        && let Some(value) = F::native_value(b)
        && let Some((result, inexact)) = G::native_from_value(value)
        && (!inexact || fp.host == Host::Rounded)
    {
        return result;
    }
    let sign = if b & F::SIGN != 0 { G::SIGN } else { 0 };
    if is_nan::<F>(b) {
        if is_signaling::<F>(b) {
            fp.raise(IE);
        }
        let fraction = b & F::FRACTION_MASK;
        let fraction = if G::FRACTION >= F::FRACTION {
            fraction << (G::FRACTION - F::FRACTION.min(G::FRACTION))
        } else {
            fraction >> (F::FRACTION - G::FRACTION.min(F::FRACTION))
        };
        return sign | G::INFINITY | G::QUIET | fraction;
    }
    let b = if daz { fp.operand::<F>(b) } else { b };
    if daz {
        fp.note_denormal::<F>(b);
    }
    if is_infinite::<F>(b) {
        return sign | G::INFINITY;
    }
    if is_zero::<F>(b) {
        return sign;
    }
    round_to::<G>(fp, unpack::<F>(b), flush)
}
