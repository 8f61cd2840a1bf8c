//! Bitwise operations and merges: rows of the table of two-source operations.

use super::lanes::Row2 as Row;
use crate::ir::kernels::TwoSources::*;

const LOW: u128 = u64::MAX as u128;

/// Bitwise operations, and moves that keep a part of the first source.
pub const TABLE: &[Row] = &[
    Row(Pand, |a, b, _| a & b),
    Row(Vpandq, |a, b, _| a & b),
    Row(Pandn, |a, b, _| !a & b),
    Row(Vpandnq, |a, b, _| !a & b),
    Row(Por, |a, b, _| a | b),
    Row(Vporq, |a, b, _| a | b),
    Row(Pxor, |a, b, _| a ^ b),
    Row(Vpxorq, |a, b, _| a ^ b),
    // Register forms of the scalar moves, and half moves.
    Row(Movss, |a, b, _| a & !0xFFFF_FFFF | b & 0xFFFF_FFFF),
    Row(Movsd, |a, b, _| a & !LOW | b & LOW),
    Row(Movlps, |a, b, _| a & !LOW | b & LOW),
    Row(Movhps, |a, b, _| a & LOW | b << 64),
    Row(Movhlps, |a, b, _| a & !LOW | b >> 64),
    Row(Movq, |_, b, _| b & LOW),
];
