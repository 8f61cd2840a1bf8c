//! The host's own arithmetic where it gives the same bits and could raise no exception but precision.
//!
//! The operands are normal numbers or zeros, rounding is to nearest (as Rust's arithmetic always rounds), and the
//! magnitude of the result is finite and above the smallest normal number, or the result is a zero that is exact: then
//! IEEE 754 leaves one result only, and neither #I, #D, #Z, #O nor #U can have occurred.

use super::soft::{Double, Half, Single};

/// Host arithmetic on bit patterns; `None` where it does not serve.
pub trait Native {
    /// a + b.
    fn native_add(a: u64, b: u64) -> Option<u64>;
    /// a × b.
    fn native_mul(a: u64, b: u64) -> Option<u64>;
    /// a ÷ b.
    fn native_div(a: u64, b: u64) -> Option<u64>;
    /// √b.
    fn native_sqrt(b: u64) -> Option<u64>;
    /// a × b + c, rounded once.
    fn native_fma(a: u64, b: u64, c: u64) -> Option<u64>;
    /// a + b for all elements of a 128-bit lane.
    fn native_lane_add(a: u128, b: u128) -> Option<u128>;
    /// a − b for all elements of a lane.
    fn native_lane_sub(a: u128, b: u128) -> Option<u128>;
    /// a × b for all elements of a lane.
    fn native_lane_mul(a: u128, b: u128) -> Option<u128>;
    /// a ÷ b for all elements of a lane.
    fn native_lane_div(a: u128, b: u128) -> Option<u128>;
}

impl Native for Half {
    fn native_add(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    fn native_mul(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    fn native_div(_a: u64, _b: u64) -> Option<u64> {
        None
    }
    fn native_sqrt(_b: u64) -> Option<u64> {
        None
    }
    fn native_fma(_a: u64, _b: u64, _c: u64) -> Option<u64> {
        None
    }
    fn native_lane_add(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    fn native_lane_sub(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    fn native_lane_mul(_a: u128, _b: u128) -> Option<u128> {
        None
    }
    fn native_lane_div(_a: u128, _b: u128) -> Option<u128> {
        None
    }
}

macro_rules! native {
    ($format:ident, $float:ident, $bits:ident, $lane:ident) => {
        /// An operation on the elements of a lane, if all operands are normal numbers and all results are finite and
        /// above the smallest normal number. There are no branches, so that it becomes vector code.
        #[inline(always)]
        fn $lane(a: u128, b: u128, f: impl Fn($float, $float) -> $float) -> Option<u128> {
            const BYTES: usize = size_of::<$bits>();
            const INFINITY: $bits = $float::INFINITY.to_bits();
            const SMALLEST: $bits = $float::MIN_POSITIVE.to_bits();
            let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
            let mut out = [0; 16];
            let mut good = true;
            for n in 0..16 / BYTES {
                let element = |lane: &[u8; 16]| {
                    let mut bytes = [0; BYTES];
                    bytes.copy_from_slice(&lane[n * BYTES..(n + 1) * BYTES]);
                    $bits::from_le_bytes(bytes)
                };
                let (x, y) = (element(&a), element(&b));
                let result = f($float::from_bits(x), $float::from_bits(y)).to_bits();
                let normal = |value: $bits| (value & INFINITY).wrapping_sub(SMALLEST) < INFINITY - SMALLEST;
                let magnitude = result & !(1 << ($bits::BITS - 1));
                good &= normal(x) & normal(y) & (magnitude > SMALLEST) & (magnitude < INFINITY);
                out[n * BYTES..(n + 1) * BYTES].copy_from_slice(&result.to_le_bytes());
            }
            good.then(|| u128::from_le_bytes(out))
        }

        impl Native for $format {
            #[inline(always)]
            fn native_add(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($float::from_bits(a as $bits), $float::from_bits(b as $bits));
                let sum = a + b;
                // A sum of normal numbers or zeros that is zero is exact; its sign is that of rounding to nearest.
                let good = (a.is_normal() || a == 0.0)
                    && (b.is_normal() || b == 0.0)
                    && (sum == 0.0 || (sum.is_finite() && sum.abs() > $float::MIN_POSITIVE));
                good.then(|| u64::from(sum.to_bits()))
            }
            #[inline(always)]
            fn native_mul(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($float::from_bits(a as $bits), $float::from_bits(b as $bits));
                let product = a * b;
                let good =
                    a.is_normal() && b.is_normal() && product.is_finite() && product.abs() > $float::MIN_POSITIVE;
                good.then(|| u64::from(product.to_bits()))
            }
            #[inline(always)]
            fn native_div(a: u64, b: u64) -> Option<u64> {
                let (a, b) = ($float::from_bits(a as $bits), $float::from_bits(b as $bits));
                let quotient = a / b;
                let good =
                    a.is_normal() && b.is_normal() && quotient.is_finite() && quotient.abs() > $float::MIN_POSITIVE;
                good.then(|| u64::from(quotient.to_bits()))
            }
            #[inline(always)]
            fn native_sqrt(b: u64) -> Option<u64> {
                let b = $float::from_bits(b as $bits);
                // The root of a positive normal number is one too.
                (b.is_normal() && b > 0.0).then(|| u64::from(b.sqrt().to_bits()))
            }
            #[inline(always)]
            fn native_fma(a: u64, b: u64, c: u64) -> Option<u64> {
                let (a, b, c) =
                    ($float::from_bits(a as $bits), $float::from_bits(b as $bits), $float::from_bits(c as $bits));
                let sum = a.mul_add(b, c);
                let good = a.is_normal()
                    && b.is_normal()
                    && c.is_normal()
                    && sum.is_finite()
                    && sum.abs() > $float::MIN_POSITIVE;
                good.then(|| u64::from(sum.to_bits()))
            }
            #[inline(always)]
            fn native_lane_add(a: u128, b: u128) -> Option<u128> {
                $lane(a, b, |a, b| a + b)
            }
            #[inline(always)]
            fn native_lane_sub(a: u128, b: u128) -> Option<u128> {
                $lane(a, b, |a, b| a - b)
            }
            #[inline(always)]
            fn native_lane_mul(a: u128, b: u128) -> Option<u128> {
                $lane(a, b, |a, b| a * b)
            }
            #[inline(always)]
            fn native_lane_div(a: u128, b: u128) -> Option<u128> {
                $lane(a, b, |a, b| a / b)
            }
        }
    };
}

native!(Single, f32, u32, lane_of_singles);
native!(Double, f64, u64, lane_of_doubles);
