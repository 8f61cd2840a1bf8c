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
}

macro_rules! native {
    ($format:ident, $float:ident, $bits:ident) => {
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
        }
    };
}

native!(Single, f32, u32);
native!(Double, f64, u64);
