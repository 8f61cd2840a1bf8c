//! Addition, subtraction, multiplication and division: by the host's arithmetic where MXCSR and the operands allow it,
//! whole lanes at once, and element by element otherwise.

use super::float::{self, Row};
use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::fpu::soft::{self, Double, Format, Fp, Host, Rounding, Single};
use crate::ir::kernels::FloatOperation::*;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use std::marker::PhantomData;

/// What is done with two numbers.
pub trait ElementOperation {
    /// With single elements, where the host's arithmetic does not serve at once.
    fn otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64;
    /// With single elements, by the host.
    fn native<F: Format, const EXACT: bool>(a: u64, b: u64) -> Option<u64>;
    /// With all elements of a lane, by the host.
    fn lane<F: Format, const EXACT: bool>(a: u128, b: u128) -> Option<u128>;
}

macro_rules! arithmetic {
    ($($name:ident = $otherwise:ident, $lane:ident, |$f:ident, $a:ident, $b:ident| $native:ident, $second:expr;)*) => {$(
        #[doc = concat!("[`soft::", stringify!($otherwise), "`].")]
        pub struct $name;
        impl ElementOperation for $name {
            #[inline(always)]
            fn otherwise<F: Format>(fp: &mut Fp, a: u64, b: u64) -> u64 {
                soft::$otherwise::<F>(fp, a, b)
            }
            #[inline(always)]
            fn native<$f: Format, const EXACT: bool>($a: u64, $b: u64) -> Option<u64> {
                $f::$native::<EXACT>($a, $second)
            }
            #[inline(always)]
            fn lane<F: Format, const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
                F::$lane::<EXACT>(a, b)
            }
        }
    )*};
}

arithmetic! {
    Sum = add_otherwise, native_lane_add, |F, a, b| native_add, b;
    Difference = sub_otherwise, native_lane_sub, |F, a, b| native_add, b ^ F::SIGN;
    Product = mul_otherwise, native_lane_mul, |F, a, b| native_mul, b;
    Quotient = div_otherwise, native_lane_div, |F, a, b| native_div, b;
}

/// An operation on a lane.
pub trait LaneOperation {
    /// a op b by the host, rounded; `None` where it does not serve.
    fn rounded(a: u128, b: u128) -> Option<u128>;
    /// a op b by the host, if it is exact.
    fn exact(a: u128, b: u128) -> Option<u128>;
    /// a op b, element by element, where neither of the others serves for all of them.
    fn elements(fp: &mut Fp, a: u128, b: u128) -> u128;
}

/// All elements.
pub struct Packed<F, A>(PhantomData<(F, A)>);
/// Element 0; the others are those of the first source.
pub struct Scalar<F, A>(PhantomData<(F, A)>);

impl<F: Format, A: ElementOperation> LaneOperation for Packed<F, A> {
    #[inline(always)]
    fn rounded(a: u128, b: u128) -> Option<u128> {
        A::lane::<F, false>(a, b)
    }

    #[inline(always)]
    fn exact(a: u128, b: u128) -> Option<u128> {
        A::lane::<F, true>(a, b)
    }

    #[inline(never)]
    fn elements(fp: &mut Fp, a: u128, b: u128) -> u128 {
        float::packed::<F>(fp, a, b, 0, |fp, a, b, _| A::otherwise::<F>(fp, a, b))
    }
}

impl<F: Format, A: ElementOperation> Scalar<F, A> {
    #[inline(always)]
    fn native<const EXACT: bool>(a: u128, b: u128) -> Option<u128> {
        let mask = u64::MAX >> (64 - F::BITS);
        let low = A::native::<F, EXACT>(a as u64 & mask, b as u64 & mask)?;
        Some(a & !u128::from(mask) | u128::from(low))
    }
}

impl<F: Format, A: ElementOperation> LaneOperation for Scalar<F, A> {
    #[inline(always)]
    fn rounded(a: u128, b: u128) -> Option<u128> {
        Self::native::<false>(a, b)
    }

    #[inline(always)]
    fn exact(a: u128, b: u128) -> Option<u128> {
        Self::native::<true>(a, b)
    }

    #[inline(never)]
    fn elements(fp: &mut Fp, a: u128, b: u128) -> u128 {
        float::scalar::<F>(fp, a, b, 0, |fp, a, b, _| A::otherwise::<F>(fp, a, b))
    }
}

macro_rules! operations {
    ($($kind:ident $operation:ident = $shape:ident $format:ident $arithmetic:ident;)*) => {
        $(
            #[doc = stringify!($kind)]
            pub type $kind = $shape<$format, $arithmetic>;
        )*
        /// The rows of the table of [`super::float`].
        pub const TABLE: &[Row] = &[$(Row($operation, by_lane::<$kind>),)*];
    };
}

operations! {
    AddPs Addps = Packed Single Sum;
    AddPd Addpd = Packed Double Sum;
    AddSs Addss = Scalar Single Sum;
    AddSd Addsd = Scalar Double Sum;
    SubPs Subps = Packed Single Difference;
    SubPd Subpd = Packed Double Difference;
    SubSs Subss = Scalar Single Difference;
    SubSd Subsd = Scalar Double Difference;
    MulPs Mulps = Packed Single Product;
    MulPd Mulpd = Packed Double Product;
    MulSs Mulss = Scalar Single Product;
    MulSd Mulsd = Scalar Double Product;
    DivPs Divps = Packed Single Quotient;
    DivPd Divpd = Packed Double Quotient;
    DivSs Divss = Scalar Single Quotient;
    DivSd Divsd = Scalar Double Quotient;
}

/// What the table of [`super::float`] holds for an operation.
fn by_lane<O: LaneOperation>(fp: &mut Fp, a: u128, b: u128, _c: u128, _imm: u32) -> u128 {
    let whole = match fp.host {
        Host::Rounded => O::rounded(a, b),
        Host::Exact if fp.rounding != Rounding::Down => O::exact(a, b),
        _ => None,
    };
    whole.unwrap_or_else(|| O::elements(fp, a, b))
}

/// All lanes by `f`, if it serves for them.
#[inline(always)]
fn lanes<E: Encoding>(
    cpu: &Cpu,
    u: &Uop,
    b: &VectorRegister,
    f: impl Fn(u128, u128) -> Option<u128>,
) -> Option<VectorRegister> {
    let a = cpu.vector(u.r2);
    let mut out = VectorRegister::ZERO;
    for n in 0..E::LANES {
        out.set_lane(n, f(a.lane(n), b.lane(n))?);
    }
    Some(out)
}

/// By the host, if the result is exact, or else by elements. Apart from [`apply`], which is to be short.
#[inline(never)]
fn exact<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, u: &Uop, memory: Option<&VectorRegister>) -> Exec {
    // A sum that is zero depends on the rounding.
    if !Fp::rounds_down(cpu.fpu.mxcsr)
        && let Some(result) = lanes::<E>(cpu, u, memory.unwrap_or_else(|| cpu.vector(u.base)), O::exact)
    {
        cpu.commit::<E>(u, result);
        return Ok(());
    }
    elements::<O, E>(cpu, u, memory)
}

/// By elements, each by the host or not.
#[inline(never)]
fn elements<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, u: &Uop, memory: Option<&VectorRegister>) -> Exec {
    let mut fp = Fp::new(cpu.fpu.mxcsr);
    let (a, b) = (cpu.vector(u.r2), memory.unwrap_or_else(|| cpu.vector(u.base)));
    let mut out = VectorRegister::ZERO;
    for n in 0..E::LANES {
        out.set_lane(n, O::elements(&mut fp, a.lane(n), b.lane(n)));
    }
    cpu.end_float(u, &fp)?;
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Computes and commits; the second source is in a register unless it has been read from memory. EVEX forms have masks
/// and rounding of their own, and are not operations of this file.
#[inline(always)]
fn apply<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, u: &Uop, memory: Option<VectorRegister>) -> Exec {
    if E::EVEX {
        return float::apply::<E>(cpu, u, memory);
    }
    if !Fp::host_rounds(cpu.fpu.mxcsr) {
        return exact::<O, E>(cpu, u, memory.as_ref());
    }
    match lanes::<E>(cpu, u, memory.as_ref().unwrap_or_else(|| cpu.vector(u.base)), O::rounded) {
        Some(result) => {
            cpu.commit::<E>(u, result);
            Ok(())
        }
        None => elements::<O, E>(cpu, u, memory.as_ref()),
    }
}

/// The second source in a register.
pub fn native_rr<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    apply::<O, E>(cpu, u, None)
}

/// The second source in memory.
pub fn native_rm<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply::<O, E>(cpu, u, Some(b))
}
