//! Operation masks: the instructions on K0 to K7, and those between masks and vectors (SDM Vol. 2A, K…; Vol. 2C).

use super::float::predicate;
use super::lanes::{has_immediate, sources};
use super::operands::{Encoding, number, vector_bytes, vector_uop, xcr0};
use crate::decode::lower::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use crate::fault::Exec;
use crate::flags::{CF, ZF, bit};
use crate::fpu::VectorRegister;
use crate::fpu::soft::{Double, Fp, Single};
use crate::fpu::special;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::Mnemonic::*;
use iced_x86::{Instruction, Mnemonic};

use super::element::{Element, get};

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

/// Mnemonics for 8, 16, 32 and 64 bits, and the operation.
struct MaskRow([Mnemonic; 4], MaskKernel);

const MASK_TABLE: &[MaskRow] = &[
    MaskRow([Kandb, Kandw, Kandd, Kandq], |a, b, _, _| a & b),
    MaskRow([Kandnb, Kandnw, Kandnd, Kandnq], |a, b, _, _| !a & b),
    MaskRow([Korb, Korw, Kord, Korq], |a, b, _, _| a | b),
    MaskRow([Kxorb, Kxorw, Kxord, Kxorq], |a, b, _, _| a ^ b),
    MaskRow([Kxnorb, Kxnorw, Kxnord, Kxnorq], |a, b, _, _| !(a ^ b)),
    MaskRow([Kaddb, Kaddw, Kaddd, Kaddq], |a, b, _, _| a.wrapping_add(b)),
    MaskRow([Knotb, Knotw, Knotd, Knotq], |_, b, _, _| !b),
    MaskRow([Kmovb, Kmovw, Kmovd, Kmovq], |_, b, _, _| b),
    MaskRow([Kshiftlb, Kshiftlw, Kshiftld, Kshiftlq], |_, b, imm, bits| if imm < bits { b << imm } else { 0 }),
    MaskRow([Kshiftrb, Kshiftrw, Kshiftrd, Kshiftrq], |_, b, imm, bits| {
        if imm < bits { (b & (u64::MAX >> (64 - bits))) >> imm } else { 0 }
    }),
    // The width is that of the result.
    MaskRow([INVALID, Kunpckbw, Kunpckwd, Kunpckdq], |a, b, _, bits| {
        a << (bits / 2) | b & (u64::MAX >> (64 - bits / 2))
    }),
];

/// K-instructions between mask registers.
pub fn mask_op(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    require(cpu)?;
    let masks = &cpu.fpu.masks;
    let (a, b) = (masks[u.r2 as usize & 7], masks[u.base as usize & 7]);
    let value = (MASK_TABLE[u.kernel()].1)(a, b, u.imm8(), u.r4().into());
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

fn lower_mask(l: &Lowerer, i: &Instruction) -> Lowered {
    let known = MASK_TABLE.iter().enumerate().find_map(|(row, MaskRow(names, _))| {
        names.iter().position(|&name| name != INVALID && name == i.mnemonic()).map(|column| (row, 8u8 << column))
    });
    let test = match i.mnemonic() {
        Kortestb => Some((0, 8)),
        Kortestw => Some((0, 16)),
        Kortestd => Some((0, 32)),
        Kortestq => Some((0, 64)),
        Ktestb => Some((1, 8)),
        Ktestw => Some((1, 16)),
        Ktestd => Some((1, 32)),
        Ktestq => Some((1, 64)),
        _ => None,
    };
    if let Some((kind, bits)) = test {
        let mut u = vector_uop(l, Op::MaskTest, i, 16);
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_imm8(kind);
        u.set_r4(bits);
        return Some((u, End::Continues));
    }
    let (row, bits) = known?;
    let gpr = |n: u32| is_reg(i, n) && i.op_register(n).is_gpr();
    let mut u = if is_mem(i, 0) {
        let mut u = vector_uop(l, Op::MaskStore, i, 16);
        u.r1 = number(i.op1_register());
        u
    } else if is_mem(i, 1) {
        let mut u = vector_uop(l, Op::MaskLoad, i, 16);
        u.r1 = number(i.op0_register());
        u
    } else if gpr(0) {
        let mut u = vector_uop(l, Op::MaskToGpr, i, 16);
        (u.r1, u.base) = (reg(i.op0_register()), number(i.op1_register()));
        u
    } else if gpr(1) {
        let mut u = vector_uop(l, Op::MaskFromGpr, i, 16);
        (u.r1, u.base) = (number(i.op0_register()), reg(i.op1_register()));
        u
    } else {
        let mut u = vector_uop(l, Op::MaskOp, i, 16);
        u.r1 = number(i.op0_register());
        (u.r2, u.base) = if is_reg(i, 2) && i.op_count() == 3 {
            (number(i.op1_register()), number(i.op2_register()))
        } else {
            (u.r1, number(i.op1_register()))
        };
        u.set_kernel(row);
        u
    };
    u.set_r4(bits);
    if has_immediate(i) {
        u.set_imm8(i.immediate8());
    }
    Some((u, End::Continues))
}

/// A comparison of the lanes of two sources with the immediate (and the number of the lane in bits 9:8): a bit for
/// each element.
type Compare = fn(&mut Fp, u128, u128, u32) -> u64;

/// A row: mnemonics, log2 of an element's bytes, whether only element 0 is compared, the comparison.
struct CompareRow(&'static [Mnemonic], u32, bool, Compare);

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
    CompareRow(&[Vpcmpeqb], 0, false, |_, a, b, _| bits::<u8>(a, b, |a, b| a == b)),
    CompareRow(&[Vpcmpeqw], 1, false, |_, a, b, _| bits::<u16>(a, b, |a, b| a == b)),
    CompareRow(&[Vpcmpeqd], 2, false, |_, a, b, _| bits::<u32>(a, b, |a, b| a == b)),
    CompareRow(&[Vpcmpeqq], 3, false, |_, a, b, _| bits::<u64>(a, b, |a, b| a == b)),
    CompareRow(&[Vpcmpgtb], 0, false, |_, a, b, _| bits::<i8>(a, b, |a, b| a > b)),
    CompareRow(&[Vpcmpgtw], 1, false, |_, a, b, _| bits::<i16>(a, b, |a, b| a > b)),
    CompareRow(&[Vpcmpgtd], 2, false, |_, a, b, _| bits::<i32>(a, b, |a, b| a > b)),
    CompareRow(&[Vpcmpgtq], 3, false, |_, a, b, _| bits::<i64>(a, b, |a, b| a > b)),
    CompareRow(&[Vpcmpb], 0, false, by_predicate!(i8)),
    CompareRow(&[Vpcmpw], 1, false, by_predicate!(i16)),
    CompareRow(&[Vpcmpd], 2, false, by_predicate!(i32)),
    CompareRow(&[Vpcmpq], 3, false, by_predicate!(i64)),
    CompareRow(&[Vpcmpub], 0, false, by_predicate!(u8)),
    CompareRow(&[Vpcmpuw], 1, false, by_predicate!(u16)),
    CompareRow(&[Vpcmpud], 2, false, by_predicate!(u32)),
    CompareRow(&[Vpcmpuq], 3, false, by_predicate!(u64)),
    CompareRow(&[Vptestmb], 0, false, |_, a, b, _| bits::<u8>(a, b, |a, b| a & b != 0)),
    CompareRow(&[Vptestmw], 1, false, |_, a, b, _| bits::<u16>(a, b, |a, b| a & b != 0)),
    CompareRow(&[Vptestmd], 2, false, |_, a, b, _| bits::<u32>(a, b, |a, b| a & b != 0)),
    CompareRow(&[Vptestmq], 3, false, |_, a, b, _| bits::<u64>(a, b, |a, b| a & b != 0)),
    CompareRow(&[Vptestnmb], 0, false, |_, a, b, _| bits::<u8>(a, b, |a, b| a & b == 0)),
    CompareRow(&[Vptestnmw], 1, false, |_, a, b, _| bits::<u16>(a, b, |a, b| a & b == 0)),
    CompareRow(&[Vptestnmd], 2, false, |_, a, b, _| bits::<u32>(a, b, |a, b| a & b == 0)),
    CompareRow(&[Vptestnmq], 3, false, |_, a, b, _| bits::<u64>(a, b, |a, b| a & b == 0)),
    // The bit of the quadword that each byte of the second source names.
    CompareRow(&[Vpshufbitqmb], 0, false, |_, a, b, _| {
        (0..16).fold(0, |bits, n| bits | (get::<u64>(a, n / 8) >> (get::<u8>(b, n) & 63) & 1) << n)
    }),
    CompareRow(&[Vcmpps], 2, false, floats!(Single, u32)),
    CompareRow(&[Vcmppd], 3, false, floats!(Double, u64)),
    CompareRow(&[Vcmpss], 2, true, floats!(Single, u32)),
    CompareRow(&[Vcmpsd], 3, true, floats!(Double, u64)),
    CompareRow(&[Vfpclassps], 2, false, class!(Single, u32)),
    CompareRow(&[Vfpclasspd], 3, false, class!(Double, u64)),
    CompareRow(&[Vfpclassss], 2, true, class!(Single, u32)),
    CompareRow(&[Vfpclasssd], 3, true, class!(Double, u64)),
];

fn compared(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Exec {
    let row = &COMPARE_TABLE[u.kernel()];
    let a = *cpu.vector(u.r2);
    let mut fp = cpu.begin_float(u);
    let mask = match u.mask_register() {
        0 => u64::MAX,
        k => cpu.fpu.masks[k],
    };
    let per_lane = 16usize >> row.1;
    let mut result = 0;
    for n in 0..u.lanes() {
        fp.active = (mask >> (n * per_lane)) as u32 & if row.2 { 1 } else { u32::MAX };
        result |= (row.3)(&mut fp, a.lane(n), b.lane(n), u.imm8() | (n as u32) << 8) << (n * per_lane);
    }
    cpu.end_float(u, &fp)?;
    let count = if row.2 { 1 } else { u.lanes() * per_lane };
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

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if let Some(lowered) = lower_mask(l, i) {
        return Some(lowered);
    }
    let to_vector = match i.mnemonic() {
        Vpmovm2b => Some((0, 0)),
        Vpmovm2w => Some((1, 0)),
        Vpmovm2d => Some((2, 0)),
        Vpmovm2q => Some((3, 0)),
        Vpbroadcastmb2q => Some((3, 8)),
        Vpbroadcastmw2d => Some((2, 16)),
        _ => None,
    };
    if let Some((log2, bits)) = to_vector {
        let mut u = vector_uop(l, Op::MaskToVector, i, vector_bytes(i));
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_element_log2(log2);
        u.set_imm8(bits);
        return Some((u, End::Continues));
    }
    if !i.op0_register().is_k() {
        return None;
    }
    let signs = match i.mnemonic() {
        Vpmovb2m => Some(0),
        Vpmovw2m => Some(1),
        Vpmovd2m => Some(2),
        Vpmovq2m => Some(3),
        _ => None,
    };
    if let Some(log2) = signs {
        let mut u = vector_uop(l, Op::SignsToMask, i, vector_bytes(i));
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_element_log2(log2);
        return Some((u, End::Continues));
    }
    let row = COMPARE_TABLE.iter().position(|row| row.0.contains(&i.mnemonic()))?;
    let mut u = sources(l, i, Op::MaskCompareRr, Op::MaskCompareRm);
    u.set_kernel(row);
    u.set_element_log2(COMPARE_TABLE[row].1);
    u.set_scalar(COMPARE_TABLE[row].2);
    // VFPCLASS from memory has no vector operand that tells its length.
    if i.op_count() > 1 && is_mem(i, 1) && !COMPARE_TABLE[row].2 {
        let bytes = super::convert::evex_length(i).max(u.memory_bytes());
        u.set_lanes((bytes / 16).max(1));
    }
    Some((u, End::Continues))
}
