//! Addition, subtraction, multiplication and division by the host's arithmetic, where MXCSR and the operands allow it;
//! everything else goes the way of [`super::float`].

use super::float;
use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::fpu::native::Native;
use crate::fpu::soft::{Double, Format, Fp, Single};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::Mnemonic::{self, *};
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
    ($($kind:ident $rr:ident $rm:ident [$legacy:ident $vex:ident] = $shape:ident $format:ident $arithmetic:ident;)*) => {
        $(
            #[doc = concat!(stringify!($legacy), ".")]
            pub type $kind = $shape<$format, $arithmetic>;
        )*
        /// Mnemonics, and the operations with the second source in a register and in memory.
        const OPERATIONS: &[([Mnemonic; 2], Op, Op)] = &[$(([$legacy, $vex], Op::$rr, Op::$rm),)*];
    };
}

operations! {
    AddPs AddPsRr AddPsRm [Addps Vaddps] = Packed Single Sum;
    AddPd AddPdRr AddPdRm [Addpd Vaddpd] = Packed Double Sum;
    AddSs AddSsRr AddSsRm [Addss Vaddss] = Scalar Single Sum;
    AddSd AddSdRr AddSdRm [Addsd Vaddsd] = Scalar Double Sum;
    SubPs SubPsRr SubPsRm [Subps Vsubps] = Packed Single Difference;
    SubPd SubPdRr SubPdRm [Subpd Vsubpd] = Packed Double Difference;
    SubSs SubSsRr SubSsRm [Subss Vsubss] = Scalar Single Difference;
    SubSd SubSdRr SubSdRm [Subsd Vsubsd] = Scalar Double Difference;
    MulPs MulPsRr MulPsRm [Mulps Vmulps] = Packed Single Product;
    MulPd MulPdRr MulPdRm [Mulpd Vmulpd] = Packed Double Product;
    MulSs MulSsRr MulSsRm [Mulss Vmulss] = Scalar Single Product;
    MulSd MulSdRr MulSdRm [Mulsd Vmulsd] = Scalar Double Product;
    DivPs DivPsRr DivPsRm [Divps Vdivps] = Packed Single Quotient;
    DivPd DivPdRr DivPdRm [Divpd Vdivpd] = Packed Double Quotient;
    DivSs DivSsRr DivSsRm [Divss Vdivss] = Scalar Single Quotient;
    DivSd DivSdRr DivSdRm [Divsd Vdivsd] = Scalar Double Quotient;
}

/// The operations of a mnemonic that have handlers here.
pub fn operations(mnemonic: Mnemonic) -> Option<(Op, Op)> {
    OPERATIONS.iter().find(|row| row.0.contains(&mnemonic)).map(|row| (row.1, row.2))
}

/// The result, if the host's arithmetic serves for all lanes.
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
