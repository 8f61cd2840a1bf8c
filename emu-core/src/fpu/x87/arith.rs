//! Addition, multiplication, division, square root, comparison, and the choice between NaNs.

use super::float80::{Class, F80, Unpacked};
use super::round::{Exact, Numeric, Rounding};
use super::status::{IE, ZE};
use Class::*;

/// A value and its class. A denormal of a narrower format is a normal number of the register, and still a denormal
/// operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The value as a register holds it.
    pub value: F80,
    /// The class of the operand where it came from.
    pub class: Class,
}

impl From<F80> for Operand {
    #[inline]
    fn from(value: F80) -> Self {
        Self { value, class: value.class() }
    }
}

/// Outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// The first operand is the greater.
    Greater,
    /// The first operand is the less.
    Less,
    /// Equal.
    Equal,
    /// An operand is a NaN or unsupported.
    Unordered,
}

/// The result of an operation on one operand that is a NaN or unsupported, if it is.
pub fn special_operand(n: &mut Numeric, a: F80) -> Option<F80> {
    match a.class() {
        Unsupported => Some(n.invalid()),
        Signaling => {
            n.raise(IE);
            Some(a.quieted())
        }
        Quiet => Some(a),
        _ => None,
    }
}

/// The result of an operation of which an operand is a NaN or unsupported, if one is (SDM Vol. 1 Table 4-7).
#[inline]
pub fn special_operands(n: &mut Numeric, a: Operand, b: Operand) -> Option<F80> {
    let plain = |class: Class| matches!(class, Zero | Denormal | Normal | Infinity);
    if plain(a.class) && plain(b.class) { None } else { Some(choose_nan(n, a.value, b.value)) }
}

#[cold]
fn choose_nan(n: &mut Numeric, a: F80, b: F80) -> F80 {
    let (class_a, class_b) = (a.class(), b.class());
    if class_a == Unsupported || class_b == Unsupported {
        return n.invalid();
    }
    if class_a == Signaling || class_b == Signaling {
        n.raise(IE);
    }
    let chosen = match (a.is_nan(), b.is_nan()) {
        (true, false) => a,
        (false, true) => b,
        // A quiet NaN goes before a signaling one.
        _ if class_a == Signaling && class_b == Quiet => b,
        _ if class_a == Quiet && class_b == Signaling => a,
        // The larger significand; of equal ones the positive.
        _ if a.significand != b.significand => {
            if a.significand > b.significand {
                a
            } else {
                b
            }
        }
        _ if a.sign() => b,
        _ => a,
    };
    chosen.quieted()
}

/// a + b.
pub fn add(n: &mut Numeric, a: Operand, b: Operand) -> F80 {
    if let Some(special) = special_operands(n, a, b) {
        return special;
    }
    let (class_a, class_b) = (a.class, b.class);
    let (a, b) = (a.value, b.value);
    if class_a == Infinity && class_b == Infinity && a.sign() != b.sign() {
        return n.invalid();
    }
    if n.denormal(class_a) || n.denormal(class_b) {
        return a;
    }
    match (class_a, class_b) {
        (Infinity, _) => a,
        (_, Infinity) => b,
        (Zero, Zero) if a.sign() == b.sign() => a,
        (Zero, Zero) => zero_difference(n),
        (Zero, _) => n.round(b.unpack().into(), n.controlled()),
        (_, Zero) => n.round(a.unpack().into(), n.controlled()),
        _ => add_finite(n, a.unpack(), b.unpack()),
    }
}

fn zero_difference(n: &Numeric) -> F80 {
    F80::zero(n.rounding() == Rounding::Down)
}

/// a + b of numbers that are not zero.
#[inline]
pub fn add_finite(n: &mut Numeric, a: Unpacked, b: Unpacked) -> F80 {
    let (big, small) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    // What is too small to be shifted into the 128 bits still shows in their last one.
    let (upper, lower) = match (big.exponent - small.exponent) as u32 {
        shift @ 0..64 => (small.significand >> shift, small.significand << 1 << (63 - shift)),
        shift @ 64..128 => {
            let shift = shift - 64;
            (0, small.significand >> shift | u64::from(small.significand << 1 << (63 - shift) != 0))
        }
        _ => (0, 1),
    };
    let (sign, exponent) = (big.sign, big.exponent);
    let format = n.controlled();
    if a.sign == b.sign {
        let (sum, carried) = big.significand.overflowing_add(upper);
        let value = if carried {
            let significand = u128::from(sum >> 1 | 1 << 63) << 64 | u128::from(sum << 63 | lower >> 1 | lower & 1);
            Exact { sign, exponent: exponent + 1, significand }
        } else {
            Exact { sign, exponent, significand: u128::from(sum) << 64 | u128::from(lower) }
        };
        return n.round(value, format);
    }
    let difference = (u128::from(big.significand) << 64).wrapping_sub(u128::from(upper) << 64 | u128::from(lower));
    // With equal exponents the second may be the greater.
    let (sign, difference) = if small.exponent == exponent && small.significand > big.significand {
        (small.sign, difference.wrapping_neg())
    } else {
        (sign, difference)
    };
    if difference == 0 {
        return zero_difference(n);
    }
    n.round(Exact::normalized(sign, exponent, difference), format)
}

/// a - b. A NaN keeps its sign.
pub fn sub(n: &mut Numeric, a: Operand, b: Operand) -> F80 {
    if let Some(special) = special_operands(n, a, b) {
        return special;
    }
    add(n, a, Operand { value: b.value.negated(), ..b })
}

/// a × b.
pub fn mul(n: &mut Numeric, a: Operand, b: Operand) -> F80 {
    if let Some(special) = special_operands(n, a, b) {
        return special;
    }
    let (class_a, class_b) = (a.class, b.class);
    let (a, b) = (a.value, b.value);
    let sign = a.sign() != b.sign();
    if matches!((class_a, class_b), (Infinity, Zero) | (Zero, Infinity)) {
        return n.invalid();
    }
    if n.denormal(class_a) || n.denormal(class_b) {
        return a;
    }
    match (class_a, class_b) {
        (Infinity, _) | (_, Infinity) => F80::infinity(sign),
        (Zero, _) | (_, Zero) => F80::zero(sign),
        _ => mul_finite(n, a.unpack(), b.unpack()),
    }
}

/// a × b of numbers that are not zero.
#[inline]
pub fn mul_finite(n: &mut Numeric, a: Unpacked, b: Unpacked) -> F80 {
    let product = u128::from(a.significand) * u128::from(b.significand);
    let format = n.controlled();
    n.round(Exact::normalized(a.sign != b.sign, a.exponent + b.exponent + 1, product), format)
}

/// a / b.
pub fn div(n: &mut Numeric, a: Operand, b: Operand) -> F80 {
    if let Some(special) = special_operands(n, a, b) {
        return special;
    }
    let (class_a, class_b) = (a.class, b.class);
    let (a, b) = (a.value, b.value);
    let sign = a.sign() != b.sign();
    match (class_a, class_b) {
        (Infinity, Infinity) | (Zero, Zero) => return n.invalid(),
        (Normal | Denormal, Zero) => {
            n.raise(ZE);
            return F80::infinity(sign);
        }
        _ => {}
    }
    if n.denormal(class_a) || n.denormal(class_b) {
        return a;
    }
    match (class_a, class_b) {
        (Infinity, _) => F80::infinity(sign),
        (Zero, _) | (_, Infinity) => F80::zero(sign),
        _ => div_finite(n, a.unpack(), b.unpack()),
    }
}

/// a / b of numbers that are not zero.
#[inline]
pub fn div_finite(n: &mut Numeric, a: Unpacked, b: Unpacked) -> F80 {
    let quotient = quotient(a.significand, b.significand);
    let format = n.controlled();
    n.round(Exact::normalized(a.sign != b.sign, a.exponent - b.exponent + 3, quotient), format)
}

/// a / b of normalized significands, as a multiple of 2^-124, bit 0 jammed.
fn quotient(a: u64, b: u64) -> u128 {
    let b = u128::from(b);
    let high = u128::from(a) << 64;
    let upper = high / b;
    let rest = (high - upper * b) << 60;
    let lower = rest / b;
    upper << 60 | lower | u128::from(rest != lower * b)
}

/// √a.
pub fn sqrt(n: &mut Numeric, a: F80) -> F80 {
    if let Some(special) = special_operand(n, a) {
        return special;
    }
    let class = a.class();
    if class == Zero {
        return a;
    }
    if a.sign() {
        return n.invalid();
    }
    if n.denormal(class) || class == Infinity {
        return a;
    }
    let a = a.unpack();
    // An even exponent, and a root of 64 bits.
    let odd = a.exponent & 1;
    let radicand = u128::from(a.significand) << (63 + odd);
    let root = u128::from(integer_root(radicand));
    let rest = radicand - root * root;
    // The rest is above root exactly if the cut-off digits are above a half.
    let significand = root << 64 | u128::from(rest > root) << 63 | u128::from(rest != 0);
    let format = n.controlled();
    n.round(Exact { sign: false, exponent: (a.exponent - odd) / 2, significand }, format)
}

/// ⌊√radicand⌋ of a radicand of at least 2^126: the root of its upper half by the host, one step of Newton's method
/// for the lower half, and a look at the neighbours.
fn integer_root(radicand: u128) -> u64 {
    let estimate = (((radicand >> 64) as u64 as f64).sqrt() * f64::from(1u32 << 31) * 2.0) as u64;
    let square = |root: u64| u128::from(root) * u128::from(root);
    let error = radicand.wrapping_sub(square(estimate)) as i128;
    let step = (error >> 20) as i64 as f64 / estimate as f64 * f64::from(1 << 19);
    let mut root = estimate.saturating_add_signed(step as i64);
    while square(root) > radicand {
        root -= 1;
    }
    while radicand - square(root) > 2 * u128::from(root) {
        root += 1;
    }
    root
}

/// Compares; `quiet` comparisons (FUCOM) let quiet NaNs pass.
pub fn compare(n: &mut Numeric, a: Operand, b: Operand, quiet: bool) -> Ordering {
    let (class_a, class_b) = (a.class, b.class);
    let (a, b) = (a.value, b.value);
    let among = |class: Class| class_a == class || class_b == class;
    if among(Unsupported) || among(Signaling) || among(Quiet) {
        if !quiet || among(Unsupported) || among(Signaling) {
            n.raise(IE);
        }
        return Ordering::Unordered;
    }
    let _ = n.denormal(class_a) || n.denormal(class_b);
    if class_a == Zero && class_b == Zero {
        return Ordering::Equal;
    }
    if a.sign() != b.sign() {
        return if a.sign() { Ordering::Less } else { Ordering::Greater };
    }
    // A pseudo-denormal is the number that exponent 1 makes of it.
    let magnitude = |value: F80| match value.class() {
        Denormal => (value.significand >> 63, value.significand),
        _ => (u64::from(value.biased()), value.significand),
    };
    match magnitude(a).cmp(&magnitude(b)) {
        std::cmp::Ordering::Equal => Ordering::Equal,
        std::cmp::Ordering::Greater if a.sign() => Ordering::Less,
        std::cmp::Ordering::Greater => Ordering::Greater,
        std::cmp::Ordering::Less if a.sign() => Ordering::Greater,
        std::cmp::Ordering::Less => Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use super::super::float80::{F80, Unpacked};
    use super::super::round::{Exact, Numeric};
    use super::{add_finite, integer_root};

    /// Every rounding at every precision of sums of which 128 bits hold all digits.
    #[test]
    fn sum_at_any_distance_of_exponents_is_the_rounded_exact_one() {
        let significands = [1 << 63, u64::MAX, 3 << 62, (1 << 63) + (1 << 45), (1 << 63) + 1, 0xAAAA_AAAA_AAAA_AAAA]
            .map(|significand: u64| [significand, significand >> 44 << 44])
            .concat();
        let mut sums = 0;
        for control in (0..16).map(|n| 0x7F | n << 8).filter(|control| control >> 8 & 3 != 1) {
            for (&a, &b) in significands.iter().flat_map(|a| significands.iter().map(move |b| (a, b))) {
                for distance in 0..120 {
                    // All digits, in units of the last of `a` or `b`.
                    let unit = a.trailing_zeros() + distance;
                    let unit = unit.min(b.trailing_zeros());
                    let (high, low) = (u128::from(a), u128::from(b >> unit));
                    if distance + 64 - unit > 127 {
                        continue;
                    }
                    let high = if distance >= unit { high << (distance - unit) } else { high >> (unit - distance) };
                    for negative in [false, true] {
                        let (sign, total) = match negative {
                            false => (false, high + low),
                            true => (high < low, high.abs_diff(low)),
                        };
                        sums += 1;
                        let big = Unpacked { sign: false, exponent: distance as i32, significand: a };
                        let small = Unpacked { sign: negative, exponent: 0, significand: b };
                        let mut exact = Numeric::new(control);
                        let expected = if total == 0 {
                            F80::zero(control >> 10 & 3 == 1)
                        } else {
                            let exponent = 127 - 63 + unit as i32;
                            let format = exact.controlled();
                            exact.round(Exact::normalized(sign, exponent, total), format)
                        };
                        for (x, y) in [(big, small), (small, big)] {
                            let mut n = Numeric::new(control);
                            let sum = add_finite(&mut n, x, y);
                            let case = format!("{x:x?} + {y:x?} under {control:#x}");
                            assert_eq!((sum, n.flags, n.c1), (expected, exact.flags, exact.c1), "{case}");
                        }
                    }
                }
            }
        }
        assert!(sums > 100_000, "{sums}");
    }

    #[test]
    fn integer_root_of_squares_and_their_neighbours_is_exact() {
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        let edges = [1 << 63, (1 << 63) + 1, u64::MAX, u64::MAX - 1, 0xFFFF_FFFF_0000_0000, 0xB504_F333_F9DE_6484];
        let random = (0..100_000).map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x | 1 << 63
        });
        for root in edges.into_iter().chain(random) {
            let square = u128::from(root) * u128::from(root);
            for radicand in [square - 1, square, square + 1, square + u128::from(root), square + 2 * u128::from(root)] {
                if radicand >= 1 << 126 {
                    assert_eq!(u128::from(integer_root(radicand)), radicand.isqrt(), "{radicand:#X}");
                }
            }
        }
    }
}
