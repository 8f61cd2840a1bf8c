//! Bitwise operations and merges: rows of the table of two-source operations.

use super::lanes::TwoSources;
use iced_x86::Mnemonic::*;

const LOW: u128 = u64::MAX as u128;

/// Bitwise operations, and moves that keep a part of the first source.
pub const TABLE: &[TwoSources] = &[
    TwoSources(&[Pand, Vpand, Vpandd, Andps, Vandps], 2, |a, b, _| a & b),
    TwoSources(&[Vpandq, Andpd, Vandpd], 3, |a, b, _| a & b),
    TwoSources(&[Pandn, Vpandn, Vpandnd, Andnps, Vandnps], 2, |a, b, _| !a & b),
    TwoSources(&[Vpandnq, Andnpd, Vandnpd], 3, |a, b, _| !a & b),
    TwoSources(&[Por, Vpor, Vpord, Orps, Vorps], 2, |a, b, _| a | b),
    TwoSources(&[Vporq, Orpd, Vorpd], 3, |a, b, _| a | b),
    TwoSources(&[Pxor, Vpxor, Vpxord, Xorps, Vxorps], 2, |a, b, _| a ^ b),
    TwoSources(&[Vpxorq, Xorpd, Vxorpd], 3, |a, b, _| a ^ b),
    // Register forms of the scalar moves, and half moves.
    TwoSources(&[Movss, Vmovss], 2, |a, b, _| a & !0xFFFF_FFFF | b & 0xFFFF_FFFF),
    TwoSources(&[Movsd, Vmovsd], 3, |a, b, _| a & !LOW | b & LOW),
    TwoSources(&[Movlps, Vmovlps, Movlpd, Vmovlpd], 3, |a, b, _| a & !LOW | b & LOW),
    TwoSources(&[Movhps, Vmovhps, Movhpd, Vmovhpd, Movlhps, Vmovlhps], 3, |a, b, _| a & LOW | b << 64),
    TwoSources(&[Movhlps, Vmovhlps], 3, |a, b, _| a & !LOW | b >> 64),
    TwoSources(&[Movq, Vmovq], 3, |_, b, _| b & LOW),
];
