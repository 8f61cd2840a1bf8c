//! Operations across the lanes of a vector: permutations, broadcasts, insertion and extraction of lanes.

use super::by_number;
use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::kernels::AcrossLanes::{self, *};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

/// Sources of an operation: first, second, destination, immediate, length in bytes.
pub struct Sources<'a> {
    a: &'a VectorRegister,
    b: &'a VectorRegister,
    c: &'a VectorRegister,
    imm: usize,
    bytes: usize,
}

type Kernel = fn(&Sources) -> VectorRegister;

/// A row of the table: which operation, and what it does.
struct Row(AcrossLanes, Kernel);

/// A vector of `bytes` bytes by element number.
fn build(log2: u32, bytes: usize, element: impl Fn(usize) -> u64) -> VectorRegister {
    let mut out = VectorRegister::ZERO;
    for n in 0..bytes >> log2 {
        out.set_element(log2, n, element(n));
    }
    out
}

fn lanes(bytes: usize, lane: impl Fn(usize) -> u128) -> VectorRegister {
    let mut out = VectorRegister::ZERO;
    for n in 0..bytes / 16 {
        out.set_lane(n, lane(n));
    }
    out
}

/// Element `n` of two vectors of `bytes` bytes laid side by side.
fn of_two(low: &VectorRegister, high: &VectorRegister, log2: u32, bytes: usize, n: usize) -> u64 {
    let count = bytes >> log2;
    if n & count != 0 { high.element(log2, n & (count - 1)) } else { low.element(log2, n & (count - 1)) }
}

/// VPERM2F128.
fn permute_halves(s: &Sources) -> VectorRegister {
    lanes(32, |n| {
        let control = s.imm >> (4 * n);
        match (control & 8 != 0, control & 2 != 0) {
            (true, _) => 0,
            (_, false) => s.a.lane(control & 1),
            (_, true) => s.b.lane(control & 1),
        }
    })
}

/// VPERMQ and VPERMPD by an immediate, within each 256 bits.
fn permute_quadwords(s: &Sources) -> VectorRegister {
    build(3, s.bytes, |n| s.b.element(3, (n & 4) + (s.imm >> (2 * (n & 3)) & 3)))
}

/// VPERMD and its kind: indexes in `a`.
macro_rules! permute {
    ($log2:expr) => {
        |s| build($log2, s.bytes, |n| s.b.element($log2, s.a.element($log2, n) as usize & ((s.bytes >> $log2) - 1)))
    };
}

/// VPERMT2x: the destination and `b` are the table, indexes in `a`.
macro_rules! permute_tables {
    ($log2:expr) => {
        |s| build($log2, s.bytes, |n| of_two(s.c, s.b, $log2, s.bytes, s.a.element($log2, n) as usize))
    };
}

/// VPERMI2x: `a` and `b` are the table, indexes in the destination.
macro_rules! permute_index {
    ($log2:expr) => {
        |s| build($log2, s.bytes, |n| of_two(s.a, s.b, $log2, s.bytes, s.c.element($log2, n) as usize))
    };
}

/// The low element of `b`, repeated.
macro_rules! broadcast {
    ($log2:expr) => {
        |s| build($log2, s.bytes, |n| s.b.element($log2, n & 0))
    };
}

/// The low `bytes` bytes of `b`, repeated.
macro_rules! broadcast_part {
    ($bytes:expr) => {
        |s| build(3, s.bytes, |n| s.b.element(3, n & ($bytes / 8 - 1)))
    };
}

/// `a` with `bytes` bytes of it replaced by `b`.
macro_rules! insert {
    ($bytes:expr) => {
        |s| {
            let place = s.imm & (s.bytes / $bytes - 1);
            build(3, s.bytes, |n| {
                if n / ($bytes / 8) == place { s.b.element(3, n % ($bytes / 8)) } else { s.a.element(3, n) }
            })
        }
    };
}

/// VSHUFF32X4 and its kind: lanes of `a`, then of `b`.
fn shuffle_lanes(s: &Sources) -> VectorRegister {
    let (count, bits) = (s.bytes / 16, if s.bytes == 64 { 2 } else { 1 });
    lanes(s.bytes, |n| {
        let from = if n < count / 2 { s.a } else { s.b };
        from.lane(s.imm >> (bits * n) & (count - 1))
    })
}

/// VALIGND, VALIGNQ.
macro_rules! align {
    ($log2:expr) => {
        |s| {
            let count = s.bytes >> $log2;
            build($log2, s.bytes, |n| of_two(s.b, s.a, $log2, s.bytes, n + (s.imm & (count - 1))))
        }
    };
}

/// VPCONFLICTD, VPCONFLICTQ.
macro_rules! conflict {
    ($log2:expr) => {
        |s| {
            build($log2, s.bytes, |n| {
                (0..n).fold(0, |bits, k| bits | u64::from(s.b.element($log2, k) == s.b.element($log2, n)) << k)
            })
        }
    };
}

const TABLE: &[Row] = &[
    Row(Vperm2f128, permute_halves),
    Row(Vpermd, permute!(2)),
    Row(Vpermb, permute!(0)),
    Row(Vpermw, permute!(1)),
    Row(Vpermt2b, permute_tables!(0)),
    Row(Vpermt2w, permute_tables!(1)),
    Row(Vpermt2d, permute_tables!(2)),
    Row(Vpermt2q, permute_tables!(3)),
    Row(Vpermi2b, permute_index!(0)),
    Row(Vpermi2w, permute_index!(1)),
    Row(Vpermi2d, permute_index!(2)),
    Row(Vpermi2q, permute_index!(3)),
    Row(Vpbroadcastb, broadcast!(0)),
    Row(Vpbroadcastw, broadcast!(1)),
    Row(Vpbroadcastd, broadcast!(2)),
    Row(Vpbroadcastq, broadcast!(3)),
    Row(Vbroadcastf32x2, broadcast_part!(8)),
    Row(Vbroadcastf128, broadcast_part!(16)),
    Row(Vbroadcastf64x2, broadcast_part!(16)),
    Row(Vbroadcastf32x8, broadcast_part!(32)),
    Row(Vbroadcastf64x4, broadcast_part!(32)),
    Row(Vinsertf128, insert!(16)),
    Row(Vinsertf64x2, insert!(16)),
    Row(Vinsertf32x8, insert!(32)),
    Row(Vinsertf64x4, insert!(32)),
    Row(Vshuff32x4, shuffle_lanes),
    Row(Vshuff64x2, shuffle_lanes),
    Row(Valignd, align!(2)),
    Row(Valignq, align!(3)),
    Row(Vpconflictd, conflict!(2)),
    Row(Vpconflictq, conflict!(3)),
    Row(VpermqImmediate, permute_quadwords),
    Row(Vpermq, permute!(3)),
];

static KERNELS: [Kernel; AcrossLanes::ALL.len()] = by_number!(AcrossLanes, [TABLE]);

#[inline(always)]
fn apply<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Exec {
    let (a, c) = (*cpu.vector(u.r2), *cpu.vector(u.r1));
    let bytes = 16 * if E::EVEX { u.lanes() } else { E::LANES };
    let out = KERNELS[u.kernel()](&Sources { a: &a, b, c: &c, imm: u.imm8() as usize, bytes });
    cpu.commit::<E>(u, out);
    Ok(())
}

/// The second source in a register.
pub fn wide_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    apply::<E>(cpu, u, &b)
}

/// The second source in memory.
pub fn wide_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = if u.memory_bytes() < 16 * u.lanes() && !u.broadcast() {
        part_operand::<E>(cpu, env, u)?
    } else {
        cpu.vector_operand::<E>(env, u)?
    };
    apply::<E>(cpu, u, &b)
}

/// A part that is inserted, as a whole, or a part that is repeated, as far as active elements need it.
fn part_operand<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Result<VectorRegister, crate::fault::Stop> {
    let (ea, log2) = (cpu.ea(u), u.element_log2());
    if !E::EVEX || u.mask_register() == 0 || u.reads_all() {
        return cpu.read_vector(env, u.seg, ea, u.memory_bytes());
    }
    let (mask, count) = (cpu.active_elements(u), (u.memory_bytes() >> log2).max(1));
    let mut part = VectorRegister::ZERO;
    for n in 0..count {
        if (n..(16 * u.lanes()) >> log2).step_by(count).any(|element| mask >> element & 1 != 0) {
            let at = ea.wrapping_add((n << log2) as u64) & u.address_mask();
            let element = cpu.read_vector(env, u.seg, at, 1 << log2)?.0[0];
            part.set_element(log2, n, element);
        }
    }
    Ok(part)
}

/// VPBROADCASTx from a general register.
pub fn broadcast_gpr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.gpr[u.base as usize & 31];
    let out = build(u.element_log2(), 16 * u.lanes(), |_| value);
    cpu.commit::<E>(u, out);
    Ok(())
}

/// `imm8` in units of 16 (or with `r4` 32) bytes: a part of `r2`.
fn extracted(cpu: &Cpu, u: &Uop) -> VectorRegister {
    let words = usize::from(u.r4()) / 8;
    let parts = 8 / words.max(1);
    let source = cpu.vector(u.r2);
    let first = (u.imm8() as usize & (u.lanes() * 16 / usize::from(u.r4()).max(1)).wrapping_sub(1)) % parts * words;
    build(3, 8 * words, |n| source.element(3, first + n))
}

/// VEXTRACTF128 and its kind to a register.
pub fn extract_lane_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let out = extracted(cpu, u);
    let mut place = *u;
    place.set_lanes(usize::from(u.r4()) / 16);
    if E::EVEX {
        cpu.commit_masked(&place, out)
    } else {
        *cpu.vector_mut(u.r1) = out
    }
    Ok(())
}

/// VEXTRACTF128 and its kind to memory.
pub fn extract_lane_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let out = extracted(cpu, u);
    cpu.store_vector::<E>(env, u, &out)
}
