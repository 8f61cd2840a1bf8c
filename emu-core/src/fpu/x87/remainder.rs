//! Partial remainder, scaling, extraction and rounding to an integer.

use super::arith::{special_operand, special_operands};
use super::float80::{BIAS, Class, F80};
use super::round::{Exact, Format, Numeric};
use super::status::{C0, C1, C2, C3, ZE};
use Class::*;

/// FPREM (`nearest` false: the quotient is truncated) and FPREM1 (rounded to nearest, as IEEE 754 has it): the
/// remainder, and the condition code unless the operands allow none (SDM Vol. 2A, FPREM).
pub fn remainder(n: &mut Numeric, a: F80, b: F80, nearest: bool) -> (F80, Option<u16>) {
    if let Some(special) = special_operands(n, a.into(), b.into()) {
        return (special, None);
    }
    let (class_a, class_b) = (a.class(), b.class());
    if class_a == Infinity || class_b == Zero {
        return (n.invalid(), None);
    }
    if n.denormal(class_a) || n.denormal(class_b) || class_a == Zero {
        return (a, Some(0));
    }
    if class_b == Infinity {
        // The result is the operand, rounded as any result is.
        return (n.round(a.unpack().into(), Format::EXTENDED), Some(0));
    }
    let (a, b) = (a.unpack(), b.unpack());
    let difference = a.exponent - b.exponent;
    if difference < -1 || (difference < 0 && !nearest) {
        return (n.round(a.into(), Format::EXTENDED), Some(0));
    }
    let divisor = u128::from(b.significand);
    if difference >= 64 {
        // Takes so many bits off the quotient that a multiple of 32 remains.
        let bits = (difference & 31 | 32) as u32;
        let rest = (u128::from(a.significand) << bits) % divisor;
        let exponent = b.exponent + difference - bits as i32;
        return (exact_result(n, a.sign, exponent, rest), Some(C2));
    }
    // The unit of both is half of the divisor's last place, so that a difference of -1 is whole too.
    let dividend = u128::from(a.significand);
    let (mut quotient, mut rest) = if difference < 0 {
        (0, dividend)
    } else {
        let shifted = dividend << difference;
        (shifted / divisor, shifted % divisor)
    };
    let mut sign = a.sign;
    if nearest {
        let (twice, whole) = if difference < 0 { (rest, divisor) } else { (2 * rest, divisor) };
        if twice > whole || (twice == whole && quotient & 1 == 1) {
            quotient += 1;
            rest = if difference < 0 { 2 * divisor - rest } else { divisor - rest };
            sign = !sign;
        }
    }
    let exponent = if difference < 0 { b.exponent - 1 } else { b.exponent };
    let mut code = 0;
    for (bit, flag) in [(1, C1), (2, C3), (4, C0)] {
        if quotient & bit != 0 {
            code |= flag;
        }
    }
    if rest == 0 {
        return (F80::zero(a.sign), Some(code));
    }
    (exact_result(n, sign, exponent, rest), Some(code))
}

/// `rest` × 2^(`exponent` - 63), which a register holds exactly unless it is tiny and #U is unmasked.
fn exact_result(n: &mut Numeric, sign: bool, exponent: i32, rest: u128) -> F80 {
    if rest == 0 {
        return F80::zero(sign);
    }
    n.round(Exact::normalized(sign, exponent + 64, rest), Format::EXTENDED)
}

/// FSCALE: a × 2^trunc(b) (SDM Vol. 2A Table 3-33).
pub fn scale(n: &mut Numeric, a: F80, b: F80) -> F80 {
    if let Some(special) = special_operands(n, a.into(), b.into()) {
        return special;
    }
    let (class_a, class_b) = (a.class(), b.class());
    if class_b == Infinity {
        return match (class_a, b.sign()) {
            (Zero, false) | (Infinity, true) => n.invalid(),
            _ if n.denormal(class_a) => a,
            (_, false) => F80::infinity(a.sign()),
            (_, true) => F80::zero(a.sign()),
        };
    }
    if n.denormal(class_a) || n.denormal(class_b) || matches!(class_a, Zero | Infinity) {
        return a;
    }
    let mut value = Exact::from(a.unpack());
    if class_b != Zero {
        let b = b.unpack();
        let power = match b.exponent {
            ..0 => 0,
            0..=16 => (b.significand >> (63 - b.exponent)) as i32,
            _ => 1 << 17,
        };
        value.exponent += if b.sign { -power } else { power };
    }
    n.round(value, Format::EXTENDED)
}

/// FXTRACT: exponent (which goes to the operand's register) and significand (which is pushed).
pub fn extract(n: &mut Numeric, a: F80) -> (F80, F80) {
    if let Some(special) = special_operand(n, a) {
        return (special, special);
    }
    match a.class() {
        Zero => {
            n.raise(ZE);
            (F80::infinity(true), a)
        }
        Infinity => (F80::INFINITY, a),
        class => {
            n.denormal(class);
            let parts = a.unpack();
            let significand = F80::new(BIAS as u16, parts.significand).with_sign(parts.sign);
            (F80::from_integer(parts.exponent.into()), significand)
        }
    }
}

/// FRNDINT.
pub fn round_to_integer(n: &mut Numeric, a: F80) -> F80 {
    if let Some(special) = special_operand(n, a) {
        return special;
    }
    let class = a.class();
    if matches!(class, Zero | Infinity) || n.denormal(class) {
        return a;
    }
    let parts = a.unpack();
    if parts.exponent >= 63 {
        return a;
    }
    let magnitude = super::convert::integer_magnitude(n, parts, n.rounding());
    if magnitude == 0 {
        return F80::zero(parts.sign);
    }
    let shift = (magnitude as u64).leading_zeros();
    F80::new((BIAS as u32 + 63 - shift) as u16, (magnitude as u64) << shift).with_sign(parts.sign)
}
