//! What AVX-512 adds to the arithmetic of [`super::soft`]: exponents, significands, scaling, ranges, classes, repairs
//! (SDM Vol. 2C, the instruction in each comment).

use super::conversion::{convert, from_integer};
use super::soft::{Double, Finite, Format, Fp, Relation, Rounding, Single, flag, relation, sub, unpack};
use super::soft::{is_denormal, is_infinite, is_nan, is_signaling, is_zero};

/// The quiet NaN of a NaN; a signaling one is invalid.
fn quieted<F: Format>(fp: &mut Fp, a: u64) -> u64 {
    if is_signaling::<F>(a) {
        fp.raise(flag::IE);
    }
    a | F::QUIET
}

/// VRNDSCALE: to a multiple of 2^−M, M in bits 7:4 of the immediate, which otherwise is ROUNDPS's.
pub fn round_scale<F: Format>(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    if is_nan::<F>(b) {
        return quieted::<F>(fp, b);
    }
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) || is_infinite::<F>(b) {
        return b;
    }
    let rounding = if imm & 4 != 0 { fp.rounding } else { Rounding::from_bits(imm) };
    let scale = (imm >> 4 & 15) as i32;
    let value = unpack::<F>(b);
    if value.exponent + scale >= F::FRACTION as i32 {
        return b;
    }
    let shift = (127 - value.exponent - scale) as u32;
    let (integer, inexact) = fp.with_rounding(rounding, |fp| fp.round_shift(value.significand, shift, value.sign));
    if inexact && imm & 8 == 0 {
        fp.raise(flag::PE);
    }
    if integer == 0 {
        return b & F::SIGN;
    }
    // Exact: an integer of at most as many bits as the format has, and far from its smallest exponent.
    let zeros = integer.leading_zeros();
    fp.round::<F>(Finite { sign: value.sign, exponent: 127 - zeros as i32 - scale, significand: integer << zeros })
}

/// VREDUCE: what [`round_scale`] takes away.
pub fn reduce<F: Format>(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    if is_nan::<F>(b) {
        return quieted::<F>(fp, b);
    }
    let b = fp.operand::<F>(b);
    let rounding = if imm & 4 != 0 { fp.rounding } else { Rounding::from_bits(imm) };
    if is_zero::<F>(b) || is_infinite::<F>(b) {
        return if rounding == Rounding::Down { F::SIGN } else { 0 };
    }
    let mut quiet = Fp::suppressed(fp.control & !(1 << 15), Some(rounding as u32));
    let rounded = round_scale::<F>(&mut quiet, b, imm | 4);
    let inexact = quiet.flags & flag::PE != 0 || rounded != b;
    let rest = sub::<F>(&mut quiet, b, rounded);
    if inexact && imm & 8 == 0 {
        fp.raise(flag::PE);
    }
    rest
}

/// VGETEXP: the exponent of b as a number.
pub fn exponent<F: Format>(fp: &mut Fp, b: u64) -> u64 {
    if is_nan::<F>(b) {
        return quieted::<F>(fp, b);
    }
    if is_infinite::<F>(b) {
        return F::INFINITY;
    }
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) {
        return F::SIGN | F::INFINITY;
    }
    if is_denormal::<F>(b) {
        fp.raise(flag::DE);
    }
    let exponent = unpack::<F>(b).exponent;
    from_integer::<F>(fp, exponent < 0, exponent.unsigned_abs().into())
}

/// VGETMANT: the significand of b in the interval of bits 1:0 of the immediate, its sign by bits 3:2.
pub fn significand<F: Format>(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    if is_nan::<F>(b) {
        return quieted::<F>(fp, b);
    }
    let negative = b & F::SIGN != 0;
    let sign = if negative && imm & 4 == 0 { F::SIGN } else { 0 };
    let b = fp.operand::<F>(b);
    if is_zero::<F>(b) {
        return sign | F::ONE;
    }
    if negative && imm & 8 != 0 {
        return fp.invalid::<F>();
    }
    if is_infinite::<F>(b) {
        return sign | F::ONE;
    }
    if is_denormal::<F>(b) {
        fp.raise(flag::DE);
    }
    let value = unpack::<F>(b);
    let fraction = (value.significand >> (127 - F::FRACTION)) as u64 & F::FRACTION_MASK;
    let below = match imm & 3 {
        0 => false,
        1 => value.exponent & 1 != 0,
        2 => true,
        _ => fraction & F::QUIET != 0,
    };
    sign | (F::ONE - (u64::from(below) << F::FRACTION)) | fraction
}

/// The largest integer not above b, held between −2^20 and 2^20.
fn floor<F: Format>(b: u64) -> i32 {
    const LIMIT: i32 = 1 << 20;
    if is_zero::<F>(b) {
        return 0;
    }
    let value = unpack::<F>(b);
    if value.exponent >= 20 {
        return if value.sign { -LIMIT } else { LIMIT };
    }
    if value.exponent < 0 {
        return if value.sign { -1 } else { 0 };
    }
    let shift = 127 - value.exponent;
    let whole = (value.significand >> shift) as i32;
    let rest = value.significand & ((1 << shift) - 1) != 0;
    if value.sign { -whole - i32::from(rest) } else { whole }
}

/// VSCALEF: a × 2^⌊b⌋ (SDM Vol. 2C Table 5-36).
pub fn scale<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
    let b = fp.operand::<F>(b);
    if is_nan::<F>(a) {
        if is_signaling::<F>(a) || is_signaling::<F>(b) {
            fp.raise(flag::IE);
        } else if is_infinite::<F>(b) {
            return if b & F::SIGN != 0 { 0 } else { F::INFINITY };
        }
        return a | F::QUIET;
    }
    if is_nan::<F>(b) {
        return quieted::<F>(fp, b);
    }
    let a = fp.operand::<F>(a);
    let sign = a & F::SIGN;
    let down = b & F::SIGN != 0;
    if is_infinite::<F>(b) && (is_infinite::<F>(a) && down || is_zero::<F>(a) && !down) {
        return fp.invalid::<F>();
    }
    if is_denormal::<F>(a) {
        fp.raise(flag::DE);
    }
    if is_infinite::<F>(b) && !is_infinite::<F>(a) && !is_zero::<F>(a) {
        return sign | if down { 0 } else { F::INFINITY };
    }
    if is_infinite::<F>(a) || is_zero::<F>(a) {
        return a;
    }
    let value = unpack::<F>(a);
    fp.round::<F>(Finite { exponent: value.exponent + floor::<F>(b), ..value })
}

/// VRANGE: minimum, maximum, those by magnitude (bits 1:0 of the immediate), with a sign by bits 3:2.
pub fn range<F: Format>(fp: &mut Fp, a: u64, b: u64, imm: u32) -> u64 {
    if is_signaling::<F>(a) || is_signaling::<F>(b) {
        fp.raise(flag::IE);
        return F::QUIET | if is_signaling::<F>(a) { a } else { b };
    }
    let (a, b) = (fp.operand::<F>(a), fp.operand::<F>(b));
    let nan = (is_nan::<F>(a), is_nan::<F>(b));
    if !nan.0 && !nan.1 && (is_denormal::<F>(a) || is_denormal::<F>(b)) {
        fp.raise(flag::DE);
    }
    let chosen = match nan {
        (true, true) => a,
        (true, false) => b,
        (false, true) => a,
        _ => {
            let magnitudes = relation::<F>(a & !F::SIGN, b & !F::SIGN);
            // Zeros and equal magnitudes: the negative one is the less.
            let less = match relation::<F>(a, b) {
                Relation::Less => true,
                Relation::Equal => a & F::SIGN != 0,
                _ => false,
            };
            let a_first = match magnitudes {
                Relation::Equal => less,
                _ if imm & 2 != 0 => magnitudes == Relation::Less,
                _ => less,
            };
            if a_first != (imm & 1 != 0) { a } else { b }
        }
    };
    let sign = match imm >> 2 & 3 {
        0 => a & F::SIGN,
        1 => return chosen,
        2 => 0,
        _ => F::SIGN,
    };
    sign | chosen & !F::SIGN
}

/// VFPCLASS: whether b is of one of the classes in the immediate.
pub fn is_of_class<F: Format>(fp: &Fp, b: u64, imm: u32) -> bool {
    let b = fp.operand::<F>(b);
    let negative = b & F::SIGN != 0;
    let classes = [
        is_nan::<F>(b) && !is_signaling::<F>(b),
        b == 0,
        b == F::SIGN,
        b == F::INFINITY,
        b == F::SIGN | F::INFINITY,
        is_denormal::<F>(b),
        negative && !is_zero::<F>(b) && b & F::INFINITY != F::INFINITY,
        is_signaling::<F>(b),
    ];
    classes.iter().enumerate().any(|(n, &is)| is && imm >> n & 1 != 0)
}

/// A double as a number of the format.
fn constant<F: Format>(value: f64) -> u64 {
    if F::BITS == 64 {
        value.to_bits()
    } else {
        convert::<Double, Single>(&mut Fp::suppressed(0x1F80, None), value.to_bits(), false, false)
    }
}

/// VFIXUPIMM: what the table `table` says for the class of `a`; `kept` is the destination, `imm` which classes report
/// an exception.
pub fn fix_up<F: Format>(fp: &mut Fp, kept: u64, a: u64, table: u64, imm: u32) -> u64 {
    let a = fp.operand::<F>(a);
    let negative = a & F::SIGN != 0;
    // The class, and the bits of the immediate for #I and #Z.
    let (class, invalid, divide) = if is_signaling::<F>(a) {
        (1, 1 << 4, 0)
    } else if is_nan::<F>(a) {
        (0, 0, 0)
    } else if is_zero::<F>(a) {
        (2, 1 << 1, 1 << 0)
    } else if a == F::ONE {
        (3, 1 << 3, 1 << 2)
    } else if is_infinite::<F>(a) {
        if negative { (4, 1 << 5, 0) } else { (5, 1 << 7, 0) }
    } else if negative {
        (6, 1 << 6, 0)
    } else {
        (7, 0, 0)
    };
    if imm & invalid != 0 {
        fp.raise(flag::IE);
    }
    if imm & divide != 0 {
        fp.raise(flag::ZE);
    }
    match table >> (4 * class) & 15 {
        0 => kept,
        1 => a,
        2 => a | F::INFINITY | F::QUIET,
        3 => F::INDEFINITE,
        4 => F::SIGN | F::INFINITY,
        5 => F::INFINITY,
        6 => a & F::SIGN | F::INFINITY,
        7 => F::SIGN,
        8 => 0,
        9 => F::SIGN | F::ONE,
        10 => F::ONE,
        11 => constant::<F>(0.5),
        12 => constant::<F>(90.0),
        13 => constant::<F>(std::f64::consts::FRAC_PI_2),
        14 => F::LARGEST,
        _ => F::SIGN | F::LARGEST,
    }
}
