//! The transcendental functions (SDM Vol. 1 8.3.10).
//!
//! Each is a reduction to a small argument and a series on 128 bits, then one rounding: results are correctly rounded
//! but for arguments whose result lies within 2^-100 of a rounding boundary. Arguments of the trigonometric functions
//! are reduced by the processor's own π of 66 bits (SDM Vol. 1 8.3.8), so that FSIN near multiples of π is off by as
//! much as on the processor.

use super::arith::{special_operand, special_operands};
use super::float80::{Class, F80, Unpacked};
use super::round::{Format, Numeric};
use super::status::{PE, UE, ZE};
use super::wide::{Wide, series};
use Class::*;

/// π/2 × 2^67, with π of 66 bits.
const HALF_PI_66: u128 = 0xC_90FD_AA22_168C_234C;

/// 1/`first`!, 1/(`first`+`step`)!, ... as fractions of 2^128.
const fn inverse_factorials<const N: usize>(first: u128, step: usize) -> [u128; N] {
    let mut table = [0; N];
    let mut n = 0;
    while n < N {
        let (mut factorial, mut factor) = (1u128, 2);
        while factor <= first + (n * step) as u128 {
            factorial *= factor;
            factor += 1;
        }
        table[n] = u128::MAX / factorial;
        n += 1;
    }
    table
}

/// 1/3, 1/5, 1/7, ...
const fn inverse_odds<const N: usize>() -> [u128; N] {
    let mut table = [0; N];
    let mut n = 0;
    while n < N {
        table[n] = u128::MAX / (2 * n as u128 + 3);
        n += 1;
    }
    table
}

/// (x - sin x) / x³ by x².
static SINE: [u128; 15] = inverse_factorials(3, 2);
/// (1 - cos x) / x² by x².
static COSINE: [u128; 15] = inverse_factorials(2, 2);
/// (e^x - 1 - x) / x² by x.
static EXPONENTIAL: [u128; 28] = inverse_factorials(2, 1);
/// (atanh x - x) / x³ by x² for x up to 3 - √8.
static AREA_TANGENT: [u128; 22] = inverse_odds();
/// (x - atan x) / x³ by x² for x up to √2 - 1.
static ARC_TANGENT: [u128; 42] = inverse_odds();

/// x ± x³·series(x²).
fn odd_function(x: Wide, coefficients: &[u128], alternating: bool) -> Wide {
    let square = x.times(x);
    let sum = Wide::from_fraction(series(coefficients, square.to_fraction(), alternating));
    let term = x.times(square).times(sum);
    if alternating { x.minus(term) } else { x.plus(term) }
}

fn sine(x: Wide) -> Wide {
    odd_function(x, &SINE, true)
}

fn cosine(x: Wide) -> Wide {
    let square = x.times(x);
    let sum = Wide::from_fraction(series(&COSINE, square.to_fraction(), true));
    Wide::ONE.minus(square.times(sum))
}

/// |x| - n·π/2 within ±π/4, and n; `None` if |x| is 2^63 or more.
fn reduce(x: Unpacked) -> Option<(u8, Wide)> {
    if x.exponent >= 63 {
        return None;
    }
    let magnitude = Wide::from(Unpacked { sign: false, ..x });
    if x.exponent < -1 {
        return Some((0, magnitude));
    }
    let shift = (x.exponent + 4) as u32;
    let first = shift.min(59);
    let shifted = u128::from(x.significand) << first;
    let (mut turns, mut rest) = (shifted / HALF_PI_66, shifted % HALF_PI_66);
    let more = rest << (shift - first);
    turns = (turns << (shift - first)) + more / HALF_PI_66;
    rest = more % HALF_PI_66;
    let mut sign = false;
    if 2 * rest > HALF_PI_66 {
        (sign, turns, rest) = (true, turns + 1, HALF_PI_66 - rest);
    }
    Some((turns as u8 & 3, Wide::normalized(sign, 60, rest)))
}

/// Sine and cosine of n·π/2 + r.
fn sine_of(n: u8, r: Wide) -> Wide {
    let value = if n & 1 == 0 { sine(r) } else { cosine(r) };
    if n & 2 == 0 { value } else { value.negated() }
}

fn cosine_of(n: u8, r: Wide) -> Wide {
    sine_of(n.wrapping_add(1), r)
}

fn finish(n: &mut Numeric, value: Wide) -> F80 {
    n.round(value.inexact(), Format::EXTENDED)
}

fn signed(value: Wide, sign: bool) -> Wide {
    if sign { value.negated() } else { value }
}

/// What a trigonometric function made of its operand.
pub enum Trigonometric {
    /// Results: for FSINCOS sine and cosine, for FPTAN tangent and 1.
    Done(F80, F80),
    /// The operand is out of range: C2 is set, and nothing else happens.
    OutOfRange,
}

/// The trigonometric instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// FSIN.
    Sine,
    /// FCOS.
    Cosine,
    /// FSINCOS.
    Both,
    /// FPTAN.
    Tangent,
}

/// FSIN, FCOS, FSINCOS and FPTAN.
pub fn trigonometric(n: &mut Numeric, a: F80, function: Function) -> Trigonometric {
    use Trigonometric::*;
    let second = |first: F80| if function == Function::Tangent { F80::ONE } else { first };
    if let Some(special) = special_operand(n, a) {
        return Done(special, special);
    }
    let class = a.class();
    if class == Infinity {
        let result = n.invalid();
        return Done(result, result);
    }
    if class == Zero {
        return match function {
            Function::Cosine => Done(F80::ONE, F80::ONE),
            _ => Done(a, F80::ONE),
        };
    }
    if n.denormal(class) {
        return Done(a, second(a));
    }
    let x = a.unpack();
    let Some((quadrant, r)) = reduce(x) else {
        return OutOfRange;
    };
    match function {
        Function::Sine => Done(finish(n, signed(sine_of(quadrant, r), x.sign)), F80::ONE),
        Function::Cosine => Done(finish(n, cosine_of(quadrant, r)), F80::ONE),
        Function::Both => {
            let sine = finish(n, signed(sine_of(quadrant, r), x.sign));
            let cosine = finish(n, cosine_of(quadrant, r));
            Done(sine, cosine)
        }
        Function::Tangent => {
            let tangent = sine_of(quadrant, r).over(cosine_of(quadrant, r));
            Done(finish(n, signed(tangent, x.sign)), F80::ONE)
        }
    }
}

/// F2XM1: 2^a - 1 for |a| up to 1. Beyond, the SDM leaves the result undefined: the operand stays.
pub fn power_minus_one(n: &mut Numeric, a: F80) -> F80 {
    if let Some(special) = special_operand(n, a) {
        return special;
    }
    let class = a.class();
    match class {
        Zero => return a,
        Infinity => return if a.sign() { F80::ONE.negated() } else { a },
        _ => {}
    }
    if n.denormal(class) {
        return a;
    }
    let x = a.unpack();
    if x.exponent >= 0 {
        if x.exponent == 0 && x.significand == 1 << 63 {
            n.raise(PE);
            return if x.sign { F80::new(0xBFFE, 1 << 63) } else { a };
        }
        n.raise(PE);
        return a;
    }
    let t = Wide::from(x).times(Wide::LN_2);
    // (e^t - 1) / t = 1 + t·series(t).
    let sum = Wide::from_fraction(series(&EXPONENTIAL, t.to_fraction(), x.sign));
    finish(n, t.times(Wide::ONE.plus(t.times(sum))))
}

/// log2 of a significand m / d, with m / d between √½ and √2: 2/ln 2 · atanh((m - d) / (m + d)).
fn log2_of(difference: Wide, sum: Wide) -> Wide {
    odd_function(difference.over(sum), &AREA_TANGENT, false).times(Wide::TWO_LOG2_E)
}

/// log2(x) of a positive number.
fn log2(x: Wide) -> Wide {
    /// √2 × 2^127.
    const SQRT_2: u128 = 0xB504_F333_F9DE_6484_597D_89B3_754A_BE9F;
    let mut exponent = x.exponent;
    let mut m = Wide { sign: false, exponent: 0, significand: x.significand };
    if m.significand > SQRT_2 {
        (exponent, m.exponent) = (exponent + 1, -1);
    }
    let fraction = log2_of(m.minus(Wide::ONE), m.plus(Wide::ONE));
    Wide::from_integer(exponent).plus(fraction)
}

/// FYL2X: y · log2(x) (SDM Vol. 2A Table 3-48).
pub fn y_log2_x(n: &mut Numeric, x: F80, y: F80) -> F80 {
    if let Some(special) = special_operands(n, x.into(), y.into()) {
        return special;
    }
    let (class_x, class_y) = (x.class(), y.class());
    if class_x == Zero {
        return match class_y {
            Zero => n.invalid(),
            Infinity => y.negated(),
            _ => {
                n.raise(ZE);
                F80::infinity(!y.sign())
            }
        };
    }
    if x.sign() {
        return n.invalid();
    }
    if class_x == Infinity {
        if class_y == Zero {
            return n.invalid();
        }
        n.denormal(class_y);
        return F80::infinity(y.sign());
    }
    let below_one = x.biased() < 0x3FFF;
    if class_y == Infinity {
        if x == F80::ONE {
            return n.invalid();
        }
        n.denormal(class_x);
        return F80::infinity(y.sign() != below_one);
    }
    if n.denormal(class_x) || n.denormal(class_y) {
        return y;
    }
    if class_y == Zero || x == F80::ONE {
        return F80::zero(y.sign() != below_one);
    }
    let parts = x.unpack();
    let product = log2(parts.into()).times(y.unpack().into());
    if parts.significand == 1 << 63 {
        // A power of two has a whole logarithm: the product may be exact, and is reported as inexact all the same.
        n.raise(PE);
        let exact =
            super::round::Exact { sign: product.sign, exponent: product.exponent, significand: product.significand };
        let result = n.round(exact, Format::EXTENDED);
        if result.biased() == 0 {
            n.raise(UE);
        }
        return result;
    }
    finish(n, product)
}

/// FYL2XP1: y · log2(x + 1) (SDM Vol. 2A Table 3-49).
pub fn y_log2_x_plus_1(n: &mut Numeric, x: F80, y: F80) -> F80 {
    if let Some(special) = special_operands(n, x.into(), y.into()) {
        return special;
    }
    let (class_x, class_y) = (x.class(), y.class());
    let sign = x.sign() != y.sign();
    match (class_x, class_y) {
        (Zero, Infinity) => return n.invalid(),
        (Infinity, Zero) => return n.invalid(),
        (Infinity, _) if x.sign() => return n.invalid(),
        _ => {}
    }
    if n.denormal(class_x) || n.denormal(class_y) {
        return y;
    }
    match (class_x, class_y) {
        (Infinity, _) | (_, Infinity) => return F80::infinity(sign),
        (Zero, _) | (_, Zero) => return F80::zero(sign),
        _ => {}
    }
    let parts = x.unpack();
    let wide = Wide::from(parts);
    let logarithm = if parts.exponent < -1 {
        // x / (x + 2): nothing cancels.
        log2_of(wide, wide.plus(Wide::ONE.scaled(1)))
    } else {
        let sum = wide.plus(Wide::ONE);
        if sum.sign || sum.significand == 0 {
            // Beyond 1 - √½ the result is undefined; from -1 down there is no logarithm, and the operand stays.
            n.raise(PE);
            return x;
        }
        log2(sum)
    };
    if logarithm.significand == 0 {
        return F80::zero(sign);
    }
    finish(n, logarithm.times(y.unpack().into()))
}

/// atan(q) for 0 ≤ q = a / b ≤ 1.
fn arc_tangent(a: Wide, b: Wide) -> Wide {
    /// √2 - 1.
    const LIMIT: u128 = 0xD413_CCCF_E779_9211_65F6_26CD_D52A_FA7C;
    let q = a.over(b);
    if q.exponent < -2 || (q.exponent == -2 && q.significand <= LIMIT) {
        return odd_function(q, &ARC_TANGENT, true);
    }
    // atan(q) = π/4 - atan((1 - q) / (1 + q)).
    let other = b.minus(a).over(b.plus(a));
    Wide::PI.scaled(-2).minus(odd_function(other, &ARC_TANGENT, true))
}

/// FPATAN: the angle of the point (x, y) (SDM Vol. 2A Table 3-30).
pub fn angle(n: &mut Numeric, x: F80, y: F80) -> F80 {
    if let Some(special) = special_operands(n, x.into(), y.into()) {
        return special;
    }
    let (class_x, class_y) = (x.class(), y.class());
    if n.denormal(class_x) || n.denormal(class_y) {
        return y;
    }
    let left = x.sign();
    let pi = Wide::PI;
    let angle = match (class_y, class_x) {
        (Infinity, Infinity) if left => pi.scaled(-1).plus(pi.scaled(-2)),
        (Infinity, Infinity) => pi.scaled(-2),
        (Zero, _) | (_, Infinity) if left => pi,
        (Zero, _) | (_, Infinity) => return F80::zero(y.sign()),
        (Infinity, _) | (_, Zero) => pi.scaled(-1),
        _ => {
            let (a, b) = (Wide::from(y.unpack()), Wide::from(x.unpack()));
            let (a, b) = (Wide { sign: false, ..a }, Wide { sign: false, ..b });
            let steep = (a.exponent, a.significand) > (b.exponent, b.significand);
            match (steep, left) {
                (false, false) => arc_tangent(a, b),
                (false, true) => pi.minus(arc_tangent(a, b)),
                (true, false) => pi.scaled(-1).minus(arc_tangent(b, a)),
                (true, true) => pi.scaled(-1).plus(arc_tangent(b, a)),
            }
        }
    };
    finish(n, signed(angle, y.sign()))
}
