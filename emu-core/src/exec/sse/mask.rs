//! Operation masks: the instructions on K0 to K7, and those between masks and vectors (SDM Vol. 2A, K…; Vol. 2C).

use super::by_number;
use super::element::{Element, get};
use super::float::predicate;
use super::operands::{Encoding, xcr0};
use crate::fault::Exec;
use crate::flags::{CF, ZF, bit};
use crate::fpu::VectorRegister;
use crate::fpu::soft::{Double, Fp, Single};
use crate::fpu::special;
use crate::ir::kernels::MaskComparison::{self, *};
use crate::ir::kernels::MaskOperation::{self, *};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

/// All bits of a mask of `u.r4()` bits.
#[inline(always)]
fn all(u: &Uop) -> u64 {
    u64::MAX >> (64 - u32::from(u.r4().clamp(1, 64)))
}

#[inline(always)]
fn require(cpu: &mut Cpu) -> Exec {
    cpu.require_avx(xcr0::SSE | xcr0::AVX | xcr0::AVX512)
}

/// An operation on two masks with the immediate and the number of bits.
type MaskKernel = fn(u64, u64, u32, u32) -> u64;

/// A row of a table: which operation, and what it does.
struct MaskRow(MaskOperation, MaskKernel);

const MASK_TABLE: &[MaskRow] = &[
    MaskRow(Kand, |a, b, _, _| a & b),
    MaskRow(Kandn, |a, b, _, _| !a & b),
    MaskRow(Kor, |a, b, _, _| a | b),
    MaskRow(Kxor, |a, b, _, _| a ^ b),
    MaskRow(Kxnor, |a, b, _, _| !(a ^ b)),
    MaskRow(Kadd, |a, b, _, _| a.wrapping_add(b)),
    MaskRow(Knot, |_, b, _, _| !b),
    MaskRow(Kmov, |_, b, _, _| b),
    MaskRow(Kshiftl, |_, b, imm, bits| if imm < bits { b << imm } else { 0 }),
    MaskRow(Kshiftr, |_, b, imm, bits| if imm < bits { (b & (u64::MAX >> (64 - bits))) >> imm } else { 0 }),
    // The width is that of the result.
    MaskRow(Kunpck, |a, b, _, bits| a << (bits / 2) | b & (u64::MAX >> (64 - bits / 2))),
];

static MASK_KERNELS: [MaskKernel; MaskOperation::ALL.len()] = by_number!(MaskOperation, [MASK_TABLE]);

/// K-instructions between mask registers.
pub fn mask_op(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    let masks = &cpu.fpu.masks;
    let (a, b) = (masks[u.r2 as usize & 7], masks[u.base as usize & 7]);
    let value = MASK_KERNELS[u.kernel()](a, b, u.imm8(), u.r4().into());
    cpu.fpu.masks[u.r1 as usize & 7] = value & all(u);
    Ok(())
}

/// KORTEST, and KTEST with `imm8` 1.
pub fn mask_test(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    let (a, b) = (cpu.fpu.masks[u.r1 as usize & 7] & all(u), cpu.fpu.masks[u.base as usize & 7] & all(u));
    let (zero, carry) = match u.imm8() {
        1 => (a & b == 0, !a & b == 0),
        _ => (a | b == 0, a | b == all(u)),
    };
    cpu.flags.set_status(bit(zero, ZF) | bit(carry, CF));
    Ok(())
}

/// KMOV from memory.
pub fn mask_register_load(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    let ea = cpu.ea(u);
    cpu.fpu.masks[u.r1 as usize & 7] = cpu.read_vector(env, u.seg, ea, usize::from(u.r4()) / 8)?.0[0];
    Ok(())
}

/// KMOV to memory.
pub fn mask_register_store(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    let value = VectorRegister([cpu.fpu.masks[u.r1 as usize & 7], 0, 0, 0, 0, 0, 0, 0]);
    let ea = cpu.ea(u);
    cpu.write_vector(env, u.seg, ea, usize::from(u.r4()) / 8, &value)
}

/// KMOV from a general register.
pub fn mask_from_gpr(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    cpu.fpu.masks[u.r1 as usize & 7] = cpu.gpr[u.base as usize & 31] & all(u);
    Ok(())
}

/// KMOV to a general register.
pub fn mask_to_gpr(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    cpu.gpr[u.r1 as usize & 31] = cpu.fpu.masks[u.base as usize & 7] & all(u);
    Ok(())
}

/// A comparison of the lanes of two sources with the immediate (and the number of the lane in bits 9:8): a bit for
/// each element.
type Compare = fn(&mut Fp, u128, u128, u32) -> u64;

/// A row of a table: which comparison, and what it does.
struct CompareRow(MaskComparison, Compare);

#[inline(always)]
fn bits<T: Element>(a: u128, b: u128, f: impl Fn(T, T) -> bool) -> u64 {
    (0..T::COUNT).fold(0, |bits, n| bits | u64::from(f(get(a, n), get(b, n))) << n)
}

/// VPCMPx's predicates.
fn ordered<T: PartialOrd>(a: T, b: T, imm: u32) -> bool {
    match imm & 7 {
        0 => a == b,
        1 => a < b,
        2 => a <= b,
        3 => false,
        4 => a != b,
        5 => a >= b,
        6 => a > b,
        _ => true,
    }
}

/// A comparison of integers by a predicate.
macro_rules! by_predicate {
    ($type:ident) => {
        |_, a, b, imm| bits::<$type>(a, b, |a, b| ordered(a, b, imm))
    };
}

/// VCMPPS and its kind on the active elements.
macro_rules! floats {
    ($format:ident, $type:ident) => {
        |fp, a, b, imm| {
            let active = fp.active;
            (0..$type::COUNT).filter(|n| active >> n & 1 != 0).fold(0, |bits, n| {
                let (a, b) = (get::<$type>(a, n).into(), get::<$type>(b, n).into());
                bits | u64::from(predicate::<$format>(fp, a, b, imm & 31)) << n
            })
        }
    };
}

macro_rules! class {
    ($format:ident, $type:ident) => {
        |fp, _, b, imm| bits::<$type>(b, b, |b, _| special::is_of_class::<$format>(fp, b.into(), imm))
    };
}

const COMPARE_TABLE: &[CompareRow] = &[
    CompareRow(Vpcmpeqb, |_, a, b, _| bits::<u8>(a, b, |a, b| a == b)),
    CompareRow(Vpcmpeqw, |_, a, b, _| bits::<u16>(a, b, |a, b| a == b)),
    CompareRow(Vpcmpeqd, |_, a, b, _| bits::<u32>(a, b, |a, b| a == b)),
    CompareRow(Vpcmpeqq, |_, a, b, _| bits::<u64>(a, b, |a, b| a == b)),
    CompareRow(Vpcmpgtb, |_, a, b, _| bits::<i8>(a, b, |a, b| a > b)),
    CompareRow(Vpcmpgtw, |_, a, b, _| bits::<i16>(a, b, |a, b| a > b)),
    CompareRow(Vpcmpgtd, |_, a, b, _| bits::<i32>(a, b, |a, b| a > b)),
    CompareRow(Vpcmpgtq, |_, a, b, _| bits::<i64>(a, b, |a, b| a > b)),
    CompareRow(Vpcmpb, by_predicate!(i8)),
    CompareRow(Vpcmpw, by_predicate!(i16)),
    CompareRow(Vpcmpd, by_predicate!(i32)),
    CompareRow(Vpcmpq, by_predicate!(i64)),
    CompareRow(Vpcmpub, by_predicate!(u8)),
    CompareRow(Vpcmpuw, by_predicate!(u16)),
    CompareRow(Vpcmpud, by_predicate!(u32)),
    CompareRow(Vpcmpuq, by_predicate!(u64)),
    CompareRow(Vptestmb, |_, a, b, _| bits::<u8>(a, b, |a, b| a & b != 0)),
    CompareRow(Vptestmw, |_, a, b, _| bits::<u16>(a, b, |a, b| a & b != 0)),
    CompareRow(Vptestmd, |_, a, b, _| bits::<u32>(a, b, |a, b| a & b != 0)),
    CompareRow(Vptestmq, |_, a, b, _| bits::<u64>(a, b, |a, b| a & b != 0)),
    CompareRow(Vptestnmb, |_, a, b, _| bits::<u8>(a, b, |a, b| a & b == 0)),
    CompareRow(Vptestnmw, |_, a, b, _| bits::<u16>(a, b, |a, b| a & b == 0)),
    CompareRow(Vptestnmd, |_, a, b, _| bits::<u32>(a, b, |a, b| a & b == 0)),
    CompareRow(Vptestnmq, |_, a, b, _| bits::<u64>(a, b, |a, b| a & b == 0)),
    // The bit of the quadword that each byte of the second source names.
    CompareRow(Vpshufbitqmb, |_, a, b, _| {
        (0..16).fold(0, |bits, n| bits | (get::<u64>(a, n / 8) >> (get::<u8>(b, n) & 63) & 1) << n)
    }),
    CompareRow(Vcmpps, floats!(Single, u32)),
    CompareRow(Vcmppd, floats!(Double, u64)),
    CompareRow(Vcmpss, floats!(Single, u32)),
    CompareRow(Vcmpsd, floats!(Double, u64)),
    CompareRow(Vfpclassps, class!(Single, u32)),
    CompareRow(Vfpclasspd, class!(Double, u64)),
    CompareRow(Vfpclassss, class!(Single, u32)),
    CompareRow(Vfpclasssd, class!(Double, u64)),
];

static COMPARE_KERNELS: [Compare; MaskComparison::ALL.len()] = by_number!(MaskComparison, [COMPARE_TABLE]);

fn compared(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Exec {
    let (compare, elements) = (COMPARE_KERNELS[u.kernel()], MaskComparison::ALL[u.kernel()].1);
    let a = *cpu.vector(u.r2);
    let mut fp = cpu.begin_float(u);
    let mask = match u.mask_register() {
        0 => u64::MAX,
        k => cpu.fpu.masks[k],
    };
    let per_lane = 16usize >> elements.log2;
    let mut result = 0;
    for n in 0..u.lanes() {
        fp.active = (mask >> (n * per_lane)) as u32 & if elements.scalar { 1 } else { u32::MAX };
        result |= compare(&mut fp, a.lane(n), b.lane(n), u.imm8() | (n as u32) << 8) << (n * per_lane);
    }
    cpu.end_float(u, &fp)?;
    let count = if elements.scalar { 1 } else { u.lanes() * per_lane };
    cpu.fpu.masks[u.r1 as usize & 7] = result & mask & (u64::MAX >> (64 - count as u32));
    Ok(())
}

/// Comparisons into a mask register, the second source in a register.
pub fn mask_compare_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    compared(cpu, u, &b)
}

/// The same with the second source in memory.
pub fn mask_compare_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    compared(cpu, u, &b)
}

/// VPMOVB2M and its kind: the sign bits of the elements.
pub fn signs_to_mask<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let signs = super::moves::sign_mask(cpu.vector(u.base), u.element_log2(), 16 * u.lanes());
    cpu.fpu.masks[u.r1 as usize & 7] = signs;
    Ok(())
}

/// VPMOVM2B and its kind: elements of all ones or zeros; VPBROADCASTMB2Q, VPBROADCASTMW2D with `imm8` the bits: the
/// mask in every element.
pub fn mask_to_vector<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let mask = cpu.fpu.masks[u.base as usize & 7];
    let log2 = u.element_log2();
    let mut out = VectorRegister::ZERO;
    for n in 0..(16 * u.lanes()) >> log2 {
        let value = match u.imm8() {
            0 => (mask >> n & 1).wrapping_neg(),
            count => mask & (u64::MAX >> (64 - count.min(64))),
        };
        out.set_element(log2, n, value);
    }
    *cpu.vector_mut(u.r1) = out;
    Ok(())
}
