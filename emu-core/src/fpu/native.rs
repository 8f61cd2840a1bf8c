//! The host's own arithmetic where it gives the same bits, and the same exceptions but perhaps precision.
//!
//! The host rounds to nearest, as Rust's arithmetic always does. Operands are normal numbers or zeros, and the magnitude
//! of the result is finite and above the smallest normal number, or the result is a zero that is exact: then IEEE 754
//! leaves one result only, and neither #I, #D, #Z, #O nor #U can have occurred. Whether precision was lost is told by
//! `EXACT`: with it there is a result only if it is exact. An exact result is the same in every rounding mode, except
//! that a sum of numbers other than zeros that is zero is −0 when rounding down.

use super::soft::{Double, Half, Rounding, Single};

/// Host arithmetic on bit patterns; `None` where it does not serve.
pub trait Native {
    /// a + b.
    #[inline(always)]
    fn native_add<const EXACT: bool>(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// a × b.
    #[inline(always)]
    fn native_mul<const EXACT: bool>(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// a ÷ b.
    #[inline(always)]
    fn native_div<const EXACT: bool>(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// a + b, rounded; the operands may be denormal numbers, too.
    #[inline(always)]
    fn native_add_any(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// a × b, likewise.
    #[inline(always)]
    fn native_mul_any(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// a ÷ b, likewise.
    #[inline(always)]
    fn native_div_any(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    /// √b.
    #[inline(always)]
    fn native_sqrt<const EXACT: bool>(_b: u64) -> Option<u64> {
        None
    }
    /// a × b + c, rounded once.
    #[inline(always)]
    fn native_fma<const EXACT: bool>(_a: u64, _b: u64, _c: u64) -> Option<u64> {
        None
    }
    /// a + b for all elements of a 128-bit lane.
    #[inline(always)]
    fn native_lane_add<const EXACT: bool>(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    /// a − b for all elements of a lane.
    #[inline(always)]
    fn native_lane_sub<const EXACT: bool>(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    /// a × b for all elements of a lane.
    #[inline(always)]
    fn native_lane_mul<const EXACT: bool>(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    /// a ÷ b for all elements of a lane.
    #[inline(always)]
    fn native_lane_div<const EXACT: bool>(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    /// The value of a normal number or zero.
    #[inline(always)]
    fn native_value(_a: u64) -> Option<f64> {
        None
    }
    /// A value in the format, if it is a zero or a number above the smallest normal one; whether it was rounded.
    #[inline(always)]
    fn native_from_value(_value: f64) -> Option<(u64, bool)> {
        None
    }
    /// A number from 1 to 2^64 − 1, rounded.
    #[inline(always)]
    fn native_from_integer(_magnitude: u64) -> Option<u64> {
        None
    }
}

impl Native for Half {}

/// What differs between the two formats in finding out whether a result is exact.
trait Exactness: Copy {
    type Bits;
    /// Fails if the product of two normal numbers was rounded.
    fn product_is_exact(a: Self, b: Self, product: Self) -> Self::Bits;
    /// a × b + c of normal numbers or zeros; fails unless it is exact and the product has a normal exponent, or is zero.
    fn exact_fma(a: Self, b: Self, c: Self) -> (Self, Self::Bits);
}

/// Tests are words whose top bit is set if they fail; or-ed together, without branches, those of a lane become vector
/// code.
macro_rules! native {
    ($format:ident, $module:ident, $float:ident, $bits:ident, $far:expr) => {
        mod $module {
            use super::Exactness;
            pub type Float = $float;
            pub type Bits = $bits;
            /// The top bit.
            pub const FAILED: Bits = 1 << (Bits::BITS - 1);
            const INFINITY: Bits = Float::INFINITY.to_bits();
            const SMALLEST: Bits = Float::MIN_POSITIVE.to_bits();

            #[inline(always)]
            fn magnitude(value: Float) -> Bits {
                value.to_bits() & !FAILED
            }
            /// Fails if not zero.
            #[inline(always)]
            pub fn is_zero(value: Float) -> Bits {
                !magnitude(value).wrapping_sub(1)
            }
            /// Fails for a denormal number.
            #[inline(always)]
            pub fn is_not_denormal(value: Float) -> Bits {
                magnitude(value).wrapping_sub(SMALLEST) & is_zero(value)
            }
            /// Fails up to the smallest normal number, to which a smaller result may have been rounded.
            #[inline(always)]
            pub fn is_not_tiny(value: Float) -> Bits {
                magnitude(value).wrapping_sub(SMALLEST + 1)
            }
            /// Fails for infinities and NaNs.
            #[inline(always)]
            pub fn is_finite(value: Float) -> Bits {
                (INFINITY - 1).wrapping_sub(magnitude(value))
            }
            /// Fails unless the sum is exact: Knuth's TwoSum, which gives the error itself as long as nothing overflows,
            /// and then something that is not zero.
            #[inline(always)]
            pub fn sum_is_exact(a: Float, b: Float, sum: Float) -> Bits {
                let of_b = sum - a;
                let of_a = sum - of_b;
                is_zero((a - of_a) + (b - of_b))
            }

            #[inline(always)]
            pub fn sum<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let (sum, test) = any_sum::<EXACT>(a, b);
                (sum, is_not_denormal(a) | is_not_denormal(b) | test)
            }
            /// The operands may be denormal numbers, too.
            #[inline(always)]
            pub fn any_sum<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let sum = a + b;
                let rounded = if EXACT { sum_is_exact(a, b, sum) } else { 0 };
                // A sum that is zero is exact, and has the sign that rounding to nearest gives it.
                (sum, is_finite(sum) | is_not_tiny(sum) & is_zero(sum) | rounded)
            }
            #[inline(always)]
            pub fn difference<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                sum::<EXACT>(a, -b)
            }
            #[inline(always)]
            pub fn product<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let (product, test) = any_product::<EXACT>(a, b);
                (product, is_not_denormal(a) | is_not_denormal(b) | test)
            }
            /// The operands may be denormal numbers, too, unless the result is to be exact.
            #[inline(always)]
            pub fn any_product<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let product = a * b;
                let rounded = if EXACT { Float::product_is_exact(a, b, product) } else { 0 };
                let result = (is_not_tiny(product) | rounded) & is_zero(a) & is_zero(b);
                (product, is_finite(product) | result)
            }
            #[inline(always)]
            pub fn quotient<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let (quotient, test) = any_quotient::<EXACT>(a, b);
                (quotient, is_not_denormal(a) | is_not_denormal(b) | test)
            }
            /// The operands may be denormal numbers, too, unless the result is to be exact.
            #[inline(always)]
            pub fn any_quotient<const EXACT: bool>(a: Float, b: Float) -> (Float, Bits) {
                let quotient = a / b;
                // Off by less than a unit of the last place of `a`, a product that has no more digits is `a`.
                let rounded = if EXACT { Float::product_is_exact(quotient, b, a) } else { 0 };
                let result = (is_not_tiny(quotient) | rounded) & is_zero(a);
                (quotient, is_finite(quotient) | result)
            }
            #[inline(always)]
            pub fn root<const EXACT: bool>(b: Float) -> (Float, Bits) {
                let root = b.sqrt();
                // The square may be off by more than that.
                let rounded = if EXACT {
                    (if root * root == b { 0 } else { FAILED }) | Float::product_is_exact(root, root, b)
                } else {
                    0
                };
                // The root of a positive normal number is one too, and far from the ends of the range.
                (root, is_not_denormal(b) | is_finite(b) | (b.to_bits() | rounded) & is_zero(b))
            }
            #[inline(always)]
            pub fn fma<const EXACT: bool>(a: Float, b: Float, c: Float) -> (Float, Bits) {
                let operands = is_not_denormal(a) | is_not_denormal(b) | is_not_denormal(c);
                if EXACT {
                    let (sum, rounded) = Float::exact_fma(a, b, c);
                    return (sum, operands | rounded | is_finite(sum) | is_not_tiny(sum) & is_zero(sum));
                }
                let sum = a.mul_add(b, c);
                // A product that cancels an addend as far from zero as this has all its digits above the smallest
                // denormal number.
                let far = magnitude($far).wrapping_sub(magnitude(c));
                let zero = is_zero(sum) | is_zero(a) & is_zero(b) & !far;
                (sum, operands | is_finite(sum) | is_not_tiny(sum) & zero)
            }
            /// The elements of a lane in pairs.
            #[inline(always)]
            pub fn lane(a: u128, b: u128, f: impl Fn(Float, Float) -> (Float, Bits)) -> Option<u128> {
                const BYTES: usize = size_of::<Bits>();
                let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
                let mut out = [0; 16];
                let mut failed = 0;
                for n in 0..16 / BYTES {
                    let element = |lane: &[u8; 16]| {
                        let mut bytes = [0; BYTES];
                        bytes.copy_from_slice(&lane[n * BYTES..(n + 1) * BYTES]);
                        Float::from_le_bytes(bytes)
                    };
                    let (result, test) = f(element(&a), element(&b));
                    failed |= test;
                    out[n * BYTES..(n + 1) * BYTES].copy_from_slice(&result.to_le_bytes());
                }
                (failed & FAILED == 0).then(|| u128::from_le_bytes(out))
            }
            /// A number from the low bits of a word.
            #[inline(always)]
            pub fn number(pattern: u64) -> Float {
                Float::from_bits(pattern as Bits)
            }
            /// A result whose tests have not failed.
            #[inline(always)]
            pub fn passed((result, test): (Float, Bits)) -> Option<u64> {
                (test & FAILED == 0).then(|| u64::from(result.to_bits()))
            }
            /// The same where operands are most often normal numbers: what they and the result are is then told by three
            /// branches. (An infinity or NaN would have made the result one, or a zero.)
            #[inline(always)]
            pub fn passed_most_often<const EXACT: bool>(a: Float, b: Float, of: (Float, Bits)) -> Option<u64> {
                let not_small = |value: Float| value.to_bits() & INFINITY != 0;
                let usual = !EXACT && not_small(a) && not_small(b) && is_not_tiny(of.0) < INFINITY - (SMALLEST + 1);
                if usual { Some(u64::from(of.0.to_bits())) } else { passed(of) }
            }
        }

        impl Native for $format {
            #[inline(always)]
            fn native_add<const EXACT: bool>(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($module::number(a), $module::number(b));
                $module::passed_most_often::<EXACT>(a, b, $module::sum::<EXACT>(a, b))
            }
            #[inline(always)]
            fn native_mul<const EXACT: bool>(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($module::number(a), $module::number(b));
                $module::passed_most_often::<EXACT>(a, b, $module::product::<EXACT>(a, b))
            }
            #[inline(always)]
            fn native_div<const EXACT: bool>(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($module::number(a), $module::number(b));
                $module::passed_most_often::<EXACT>(a, b, $module::quotient::<EXACT>(a, b))
            }
            #[inline(always)]
            fn native_add_any(a: u64, b: u64) -> Option<u64> {
                use $module::{any_sum, number, passed};
                passed(any_sum::<false>(number(a), number(b)))
            }
            #[inline(always)]
            fn native_mul_any(a: u64, b: u64) -> Option<u64> {
                use $module::{any_product, number, passed};
                passed(any_product::<false>(number(a), number(b)))
            }
            #[inline(always)]
            fn native_div_any(a: u64, b: u64) -> Option<u64> {
                use $module::{any_quotient, number, passed};
                passed(any_quotient::<false>(number(a), number(b)))
            }
            #[inline(always)]
            fn native_sqrt<const EXACT: bool>(b: u64) -> Option<u64> {
                use $module::{number, passed, root};
                passed(root::<EXACT>(number(b)))
            }
            #[inline(always)]
            fn native_fma<const EXACT: bool>(a: u64, b: u64, c: u64) -> Option<u64> {
                use $module::{fma, number, passed};
                passed(fma::<EXACT>(number(a), number(b), number(c)))
            }
            #[inline(always)]
            fn native_lane_add<const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
                $module::lane(a, b, $module::sum::<EXACT>)
            }
            #[inline(always)]
            fn native_lane_sub<const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
                $module::lane(a, b, $module::difference::<EXACT>)
            }
            #[inline(always)]
            fn native_lane_mul<const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
                $module::lane(a, b, $module::product::<EXACT>)
            }
            #[inline(always)]
            fn native_lane_div<const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
                $module::lane(a, b, $module::quotient::<EXACT>)
            }
            #[inline(always)]
            fn native_value(a: u64) -> Option<f64> {
                use $module::{FAILED, is_finite, is_not_denormal, number};
                let value = number(a);
                ((is_finite(value) | is_not_denormal(value)) & FAILED == 0).then(|| f64::from(value))
            }
            #[inline(always)]
            fn native_from_value(value: f64) -> Option<(u64, bool)> {
                use $module::{FAILED, Float, is_finite, is_not_tiny};
                let result = value as Float;
                let good = value == 0.0 || (is_finite(result) | is_not_tiny(result)) & FAILED == 0;
                good.then(|| (u64::from(result.to_bits()), f64::from(result) != value))
            }
            #[inline(always)]
            fn native_from_integer(magnitude: u64) -> Option<u64> {
                Some(u64::from((magnitude as $module::Float).to_bits()))
            }
        }
    };
}

native!(Single, single, f32, u32, f32::from_bits(0x1C00_0000)); // 2^-71
native!(Double, double, f64, u64, f64::from_bits(0x0780_0000_0000_0000)); // 2^-903

impl Exactness for f32 {
    type Bits = u32;

    /// A double holds the whole product.
    #[inline(always)]
    fn product_is_exact(a: Self, b: Self, product: Self) -> u32 {
        if f64::from(a) * f64::from(b) == f64::from(product) { 0 } else { single::FAILED }
    }

    #[inline(always)]
    fn exact_fma(a: Self, b: Self, c: Self) -> (Self, u32) {
        let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
        let sum = product + c;
        let rounded = double::sum_is_exact(product, c, sum) & double::FAILED != 0;
        let result = sum as f32;
        (result, if rounded || f64::from(result) != sum { single::FAILED } else { 0 })
    }
}

impl Exactness for f64 {
    type Bits = u64;

    /// The product of the significands has 105 bits, or 106 if it carries into the exponent; exact, it has zeros below
    /// the upper 53 of them. Rounding can add a carry only to a product that is not exact, and that has no such zeros.
    #[inline(always)]
    fn product_is_exact(a: Self, b: Self, product: Self) -> u64 {
        const ONE: u64 = 1.0f64.to_bits();
        const EXPONENT: u64 = f64::INFINITY.to_bits();
        const FRACTION: u64 = (1 << 52) - 1;
        let (a, b, product) = (a.to_bits(), b.to_bits(), product.to_bits());
        let exponents = (a & EXPONENT).wrapping_add(b & EXPONENT).wrapping_sub(ONE);
        let carry = (product & EXPONENT).wrapping_sub(exponents) >> 52 & 1;
        let significand = |bits: u64| bits & FRACTION | (FRACTION + 1);
        let low = significand(a).wrapping_mul(significand(b)) << (12 - carry);
        low | low.wrapping_neg()
    }

    #[inline(always)]
    fn exact_fma(a: Self, b: Self, c: Self) -> (Self, u64) {
        let (product, test) = double::product::<true>(a, b);
        let sum = product + c;
        (sum, test | double::sum_is_exact(product, c, sum))
    }
}

/// An integral value near `value`, whose magnitude is below 2^62, and what it differs by from the value.
#[inline(always)]
pub fn to_integral(value: f64, rounding: Rounding) -> Option<(i64, bool)> {
    const LIMIT: f64 = (1u64 << 62) as f64;
    (value.abs() < LIMIT).then_some(())?;
    let truncated = value as i64;
    // From 2^53 up all numbers are integral; below, the difference is a number of the format.
    let rest = value - truncated as f64;
    let up = i64::from(rest > 0.0) - i64::from(rest < 0.0);
    let step = match rounding {
        Rounding::Nearest if rest.abs() > 0.5 || rest.abs() == 0.5 && truncated & 1 != 0 => up,
        Rounding::Down if rest < 0.0 => up,
        Rounding::Up if rest > 0.0 => up,
        _ => 0,
    };
    Some((truncated + step, rest != 0.0))
}
