//! Floating-point operations that AVX-512 adds: rows of the table of [`super::float`].

use super::float::{Row, packed, scalar};
use crate::fpu::soft::{self, Double, Format, Fp, Rounding, Single};
use crate::fpu::special;
use crate::ir::kernels::FloatOperation::*;

/// Four rows – packed single and double, scalar single and double – of an operation on elements of the three sources,
/// with the immediate.
macro_rules! rows {
    ($([$ps:ident $pd:ident $ss:ident $sd:ident] |$fp:ident, $a:ident, $b:ident, $c:ident, $imm:ident, $format:ident| $body:expr;)*) => {
        &[$(
            Row($ps, |fp, a, b, c, $imm| {
                type $format = Single;
                packed::<Single>(fp, a, b, c, |$fp, $a, $b, $c| $body)
            }),
            Row($pd, |fp, a, b, c, $imm| {
                type $format = Double;
                packed::<Double>(fp, a, b, c, |$fp, $a, $b, $c| $body)
            }),
            Row($ss, |fp, a, b, c, $imm| {
                type $format = Single;
                scalar::<Single>(fp, a, b, c, |$fp, $a, $b, $c| $body)
            }),
            Row($sd, |fp, a, b, c, $imm| {
                type $format = Double;
                scalar::<Double>(fp, a, b, c, |$fp, $a, $b, $c| $body)
            }),
        )*]
    };
}

/// The significant bits that VRCP14 and VRSQRT14 leave: a relative error below 2^−14, as the SDM promises.
const KEPT_BITS: u32 = 15;

/// Rounds the significand to [`KEPT_BITS`] fraction bits; infinities and NaNs stay.
fn approximate<F: Format>(value: u64) -> u64 {
    if value & F::INFINITY == F::INFINITY {
        return value;
    }
    let dropped = F::FRACTION - KEPT_BITS;
    (value + (1 << (dropped - 1))) & !((1 << dropped) - 1)
}

/// Arithmetic without exceptions or flushing, for an approximation.
fn quiet(fp: &Fp) -> Fp {
    Fp::suppressed(fp.control & !(1 << 15), Some(Rounding::Nearest as u32))
}

/// VRCP14: about 1/b.
fn reciprocal<F: Format>(fp: &Fp, b: u64) -> u64 {
    if soft::is_nan::<F>(b) {
        return b | F::QUIET;
    }
    approximate::<F>(soft::div::<F>(&mut quiet(fp), F::ONE, b))
}

/// VRSQRT14: about 1/√b.
fn reciprocal_root<F: Format>(fp: &Fp, b: u64) -> u64 {
    if soft::is_nan::<F>(b) {
        return b | F::QUIET;
    }
    let root = soft::sqrt::<F>(&mut quiet(fp), b);
    if soft::is_nan::<F>(root) {
        return root;
    }
    approximate::<F>(soft::div::<F>(&mut quiet(fp), F::ONE, root))
}

/// The rows.
pub const TABLE: &[Row] = rows! {
    [Vrndscaleps Vrndscalepd Vrndscaless Vrndscalesd] |fp, _a, b, _c, imm, F| special::round_scale::<F>(fp, b, imm);
    [Vreduceps Vreducepd Vreducess Vreducesd] |fp, _a, b, _c, imm, F| special::reduce::<F>(fp, b, imm);
    [Vgetexpps Vgetexppd Vgetexpss Vgetexpsd] |fp, _a, b, _c, _imm, F| special::exponent::<F>(fp, b);
    [Vgetmantps Vgetmantpd Vgetmantss Vgetmantsd] |fp, _a, b, _c, imm, F| special::significand::<F>(fp, b, imm);
    [Vscalefps Vscalefpd Vscalefss Vscalefsd] |fp, a, b, _c, _imm, F| special::scale::<F>(fp, a, b);
    [Vrangeps Vrangepd Vrangess Vrangesd] |fp, a, b, _c, imm, F| special::range::<F>(fp, a, b, imm);
    [Vfixupimmps Vfixupimmpd Vfixupimmss Vfixupimmsd] |fp, a, b, c, imm, F| special::fix_up::<F>(fp, c, a, b, imm);
    [Vrcp14ps Vrcp14pd Vrcp14ss Vrcp14sd] |fp, _a, b, _c, _imm, F| reciprocal::<F>(fp, b);
    [Vrsqrt14ps Vrsqrt14pd Vrsqrt14ss Vrsqrt14sd] |fp, _a, b, _c, _imm, F| reciprocal_root::<F>(fp, b);
};
