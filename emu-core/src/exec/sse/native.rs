//! Addition, subtraction, multiplication and division by the host's arithmetic, where MXCSR and the operands allow it;
//! everything else goes the way of [`super::float`].

use super::float;
use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::fpu::native::Native;
use crate::fpu::soft::{Double, Format, Fp, Single};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use std::marker::PhantomData;

/// What is done with two numbers.
pub trait ElementOperation {
    /// With single elements.
    fn one<F: Native + Format>(a: u64, b: u64) -> Option<u64>;
    /// With all elements of a lane.
    fn lane<F: Native>(a: u128, b: u128) -> Option<u128>;
}

macro_rules! arithmetic {
    ($($name:ident = $lane:ident, |$f:ident, $a:ident, $b:ident| $one:expr;)*) => {$(
        #[doc = concat!("[`Native::", stringify!($lane), "`].")]
        pub struct $name;
        impl ElementOperation for $name {
            #[inline(always)]
            fn one<$f: Native + Format>($a: u64, $b: u64) -> Option<u64> {
                $one
            }
            #[inline(always)]
            fn lane<F: Native>(a: u128, b: u128) -> Option<u128> {
                F::$lane(a, b)
            }
        }
    )*};
}

arithmetic! {
    Sum = native_lane_add, |F, a, b| F::native_add(a, b);
    Difference = native_lane_sub, |F, a, b| F::native_add(a, b ^ F::SIGN);
    Product = native_lane_mul, |F, a, b| F::native_mul(a, b);
    Quotient = native_lane_div, |F, a, b| F::native_div(a, b);
}

/// An operation on a lane; `None` where the host does not serve.
pub trait LaneOperation {
    /// a op b.
    fn apply(a: u128, b: u128) -> Option<u128>;
}

/// All elements.
pub struct Packed<F, A>(PhantomData<(F, A)>);
/// Element 0; the others are those of the first source.
pub struct Scalar<F, A>(PhantomData<(F, A)>);

impl<F: Native, A: ElementOperation> LaneOperation for Packed<F, A> {
    #[inline(always)]
    fn apply(a: u128, b: u128) -> Option<u128> {
        A::lane::<F>(a, b)
    }
}

impl<F: Native + Format, A: ElementOperation> LaneOperation for Scalar<F, A> {
    #[inline(always)]
    fn apply(a: u128, b: u128) -> Option<u128> {
        let mask = u64::MAX >> (64 - F::BITS);
        let low = A::one::<F>(a as u64 & mask, b as u64 & mask)?;
        Some(a & !u128::from(mask) | u128::from(low))
    }
}

macro_rules! operations {
    ($($kind:ident = $shape:ident $format:ident $arithmetic:ident;)*) => {$(
        #[doc = stringify!($kind)]
        pub type $kind = $shape<$format, $arithmetic>;
    )*};
}

operations! {
    AddPs = Packed Single Sum;
    AddPd = Packed Double Sum;
    AddSs = Scalar Single Sum;
    AddSd = Scalar Double Sum;
    SubPs = Packed Single Difference;
    SubPd = Packed Double Difference;
    SubSs = Scalar Single Difference;
    SubSd = Scalar Double Difference;
    MulPs = Packed Single Product;
    MulPd = Packed Double Product;
    MulSs = Scalar Single Product;
    MulSd = Scalar Double Product;
    DivPs = Packed Single Quotient;
    DivPd = Packed Double Quotient;
    DivSs = Scalar Single Quotient;
    DivSd = Scalar Double Quotient;
}

#[inline(always)]
fn compute<O: LaneOperation, E: Encoding>(cpu: &Cpu, u: &Uop, b: &VectorRegister) -> Option<VectorRegister> {
    if E::EVEX || !Fp::new(cpu.fpu.mxcsr).fast {
        return None;
    }
    let a = cpu.vector(u.r2);
    let mut out = VectorRegister::ZERO;
    for n in 0..E::LANES {
        out.set_lane(n, O::apply(a.lane(n), b.lane(n))?);
    }
    Some(out)
}

/// Computes and commits; the second source is in a register unless it has been read from memory.
#[inline(always)]
fn apply<O: LaneOperation, E: Encoding>(cpu: &mut Cpu, u: &Uop, memory: Option<VectorRegister>) -> Exec {
    let b = memory.as_ref().unwrap_or_else(|| cpu.vector(u.base));
    match compute::<O, E>(cpu, u, b) {
        Some(result) => {
            cpu.commit::<E>(u, result);
            Ok(())
        }
        None => float::apply::<E>(cpu, u, memory),
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
