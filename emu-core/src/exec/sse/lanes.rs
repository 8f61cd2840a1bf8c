//! Operations that work on each 128-bit lane by itself: their tables and handlers.

use super::by_number;
use super::operands::Encoding;
use super::{crypto, integer, logic, ternary};
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::kernels::{ThreeSources, TwoSources};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

/// An operation on one lane: first source, second source (the one that may be in memory), and the immediate with the
/// number of the lane in bits 9:8.
pub type Kernel2 = fn(u128, u128, u32) -> u128;

/// A row of a table: which operation, and what it does.
pub struct Row2(pub TwoSources, pub Kernel2);

/// An operation with a third source: the destination, the register of a fourth operand, or XMM0.
pub type Kernel3 = fn(u128, u128, u128, u32) -> u128;

/// A row of those with a third source.
pub struct Row3(pub ThreeSources, pub Kernel3);

/// All two-source operations.
static KERNELS2: [Kernel2; TwoSources::ALL.len()] = by_number!(
    TwoSources,
    [
        logic::TABLE,
        integer::TABLE,
        integer::SHIFT_EACH,
        crypto::TABLE,
        integer::SHIFT_BY_SOURCE,
        integer::PERMUTE_BY_SOURCE,
        integer::SHIFT_BY_IMMEDIATE,
        integer::PERMUTE_BY_IMMEDIATE,
    ]
);

static KERNELS3: [Kernel3; ThreeSources::ALL.len()] = by_number!(ThreeSources, [ternary::TABLE, crypto::TABLE3]);

/// The function of a two-source operation.
#[inline(always)]
pub fn kernel2(u: &Uop) -> Kernel2 {
    KERNELS2[u.kernel()]
}

#[inline(always)]
fn apply2<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: VectorRegister) -> Exec {
    let kernel = kernel2(u);
    let a = *cpu.vector(u.r2);
    let mut out = VectorRegister::ZERO;
    let lanes = if E::EVEX { u.lanes() } else { E::LANES };
    for n in 0..lanes {
        out.set_lane(n, kernel(a.lane(n), b.lane(n), u.imm8() | (n as u32) << 8));
    }
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Two sources in registers.
pub fn two_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    apply2::<E>(cpu, u, b)
}

/// The second source in memory.
pub fn two_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply2::<E>(cpu, u, b)
}

/// A count for all lanes in the low quadword of a register.
pub fn by_count_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector(u.base).lane(0);
    apply2::<E>(cpu, u, repeated(b))
}

/// The same in memory.
pub fn by_count_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    if u.must_align() {
        cpu.require_aligned(u.seg, ea, 16, false)?;
    }
    let b = cpu.read_vector(env, u.seg, ea, 16)?.lane(0);
    apply2::<E>(cpu, u, repeated(b))
}

#[inline(always)]
fn repeated(lane: u128) -> VectorRegister {
    let mut vector = VectorRegister::ZERO;
    for n in 0..4 {
        vector.set_lane(n, lane);
    }
    vector
}

#[inline(always)]
fn apply3<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: VectorRegister) -> Exec {
    let kernel = KERNELS3[u.kernel()];
    let (a, c) = (*cpu.vector(u.r2), *cpu.vector(u.r4()));
    let mut out = VectorRegister::ZERO;
    let lanes = if E::EVEX { u.lanes() } else { E::LANES };
    for n in 0..lanes {
        out.set_lane(n, kernel(a.lane(n), b.lane(n), c.lane(n), u.imm8()));
    }
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Three sources in registers.
pub fn three_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    apply3::<E>(cpu, u, b)
}

/// The second of three sources in memory.
pub fn three_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply3::<E>(cpu, u, b)
}
