//! Conversions element by element: between formats and integers, and integers to wider or narrower ones.

use super::lanes::has_immediate;
use super::operands::{Encoding, number, vector_bytes, vector_uop};
use crate::decode::lower::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use crate::fault::Exec;
use crate::flags::{CF, PF, ZF, bit};
use crate::fpu::VectorRegister;
use crate::fpu::soft::{self, Double, Format, Fp, Half, Relation, Rounding, Single};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::Mnemonic::*;
use iced_x86::{Instruction, Mnemonic};

/// A conversion of one element, with the immediate.
type Convert = fn(&mut Fp, u64, u32) -> u64;

/// A row: mnemonics, log2 of the bytes of source and result elements, the conversion.
struct Row(&'static [Mnemonic], u32, u32, Convert);

fn sign_extend(value: u64, bits: u32) -> i64 {
    (value << (64 - bits)) as i64 >> (64 - bits)
}

fn from_signed<F: Format>(fp: &mut Fp, value: i64) -> u64 {
    soft::from_integer::<F>(fp, value < 0, value.unsigned_abs())
}

/// To an integer with the rounding of MXCSR.
fn to_int<F: Format, const BITS: u32, const SIGNED: bool>(fp: &mut Fp, b: u64, _imm: u32) -> u64 {
    soft::to_integer::<F>(fp, b, BITS, SIGNED)
}

/// To an integer, truncated.
fn truncate<F: Format, const BITS: u32, const SIGNED: bool>(fp: &mut Fp, b: u64, _imm: u32) -> u64 {
    fp.with_rounding(Rounding::Zero, |fp| soft::to_integer::<F>(fp, b, BITS, SIGNED))
}

/// VCVTPS2PH: FTZ does not apply; rounding in the immediate.
fn to_half(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    let rounding = if imm & 4 != 0 { fp.rounding } else { Rounding::from_bits(imm) };
    fp.with_rounding(rounding, |fp| soft::convert::<Single, Half>(fp, b, true, false))
}

fn saturate_signed(value: u64, from: u32, to: u32) -> u64 {
    let limit = (1i64 << (to - 1)) - 1;
    sign_extend(value, from).clamp(-limit - 1, limit) as u64
}

fn saturate_unsigned(value: u64, to: u32) -> u64 {
    value.min((1 << to) - 1)
}

const TABLE: &[Row] = &[
    Row(&[Cvtps2pd, Vcvtps2pd], 2, 3, |fp, b, _| soft::convert::<Single, Double>(fp, b, true, true)),
    Row(&[Cvtpd2ps, Vcvtpd2ps], 3, 2, |fp, b, _| soft::convert::<Double, Single>(fp, b, true, true)),
    Row(&[Vcvtph2ps], 1, 2, |fp, b, _| soft::convert::<Half, Single>(fp, b, false, true)),
    Row(&[Vcvtps2ph], 2, 1, to_half),
    Row(&[Cvtdq2ps, Vcvtdq2ps], 2, 2, |fp, b, _| from_signed::<Single>(fp, sign_extend(b, 32))),
    Row(&[Cvtdq2pd, Vcvtdq2pd], 2, 3, |fp, b, _| from_signed::<Double>(fp, sign_extend(b, 32))),
    Row(&[Vcvtudq2ps], 2, 2, |fp, b, _| soft::from_integer::<Single>(fp, false, b)),
    Row(&[Vcvtudq2pd], 2, 3, |fp, b, _| soft::from_integer::<Double>(fp, false, b)),
    Row(&[Vcvtqq2ps], 3, 2, |fp, b, _| from_signed::<Single>(fp, b as i64)),
    Row(&[Vcvtqq2pd], 3, 3, |fp, b, _| from_signed::<Double>(fp, b as i64)),
    Row(&[Vcvtuqq2ps], 3, 2, |fp, b, _| soft::from_integer::<Single>(fp, false, b)),
    Row(&[Vcvtuqq2pd], 3, 3, |fp, b, _| soft::from_integer::<Double>(fp, false, b)),
    Row(&[Cvtps2dq, Vcvtps2dq], 2, 2, to_int::<Single, 32, true>),
    Row(&[Cvttps2dq, Vcvttps2dq], 2, 2, truncate::<Single, 32, true>),
    Row(&[Cvtpd2dq, Vcvtpd2dq], 3, 2, to_int::<Double, 32, true>),
    Row(&[Cvttpd2dq, Vcvttpd2dq], 3, 2, truncate::<Double, 32, true>),
    Row(&[Vcvtps2udq], 2, 2, to_int::<Single, 32, false>),
    Row(&[Vcvttps2udq], 2, 2, truncate::<Single, 32, false>),
    Row(&[Vcvtpd2udq], 3, 2, to_int::<Double, 32, false>),
    Row(&[Vcvttpd2udq], 3, 2, truncate::<Double, 32, false>),
    Row(&[Vcvtps2qq], 2, 3, to_int::<Single, 64, true>),
    Row(&[Vcvttps2qq], 2, 3, truncate::<Single, 64, true>),
    Row(&[Vcvtpd2qq], 3, 3, to_int::<Double, 64, true>),
    Row(&[Vcvttpd2qq], 3, 3, truncate::<Double, 64, true>),
    Row(&[Vcvtps2uqq], 2, 3, to_int::<Single, 64, false>),
    Row(&[Vcvttps2uqq], 2, 3, truncate::<Single, 64, false>),
    Row(&[Vcvtpd2uqq], 3, 3, to_int::<Double, 64, false>),
    Row(&[Vcvttpd2uqq], 3, 3, truncate::<Double, 64, false>),
    Row(&[Pmovzxbw, Vpmovzxbw], 0, 1, |_, b, _| b),
    Row(&[Pmovzxbd, Vpmovzxbd], 0, 2, |_, b, _| b),
    Row(&[Pmovzxbq, Vpmovzxbq], 0, 3, |_, b, _| b),
    Row(&[Pmovzxwd, Vpmovzxwd], 1, 2, |_, b, _| b),
    Row(&[Pmovzxwq, Vpmovzxwq], 1, 3, |_, b, _| b),
    Row(&[Pmovzxdq, Vpmovzxdq], 2, 3, |_, b, _| b),
    Row(&[Pmovsxbw, Vpmovsxbw], 0, 1, |_, b, _| sign_extend(b, 8) as u64),
    Row(&[Pmovsxbd, Vpmovsxbd], 0, 2, |_, b, _| sign_extend(b, 8) as u64),
    Row(&[Pmovsxbq, Vpmovsxbq], 0, 3, |_, b, _| sign_extend(b, 8) as u64),
    Row(&[Pmovsxwd, Vpmovsxwd], 1, 2, |_, b, _| sign_extend(b, 16) as u64),
    Row(&[Pmovsxwq, Vpmovsxwq], 1, 3, |_, b, _| sign_extend(b, 16) as u64),
    Row(&[Pmovsxdq, Vpmovsxdq], 2, 3, |_, b, _| sign_extend(b, 32) as u64),
    Row(&[Vpmovwb], 1, 0, |_, b, _| b),
    Row(&[Vpmovdb], 2, 0, |_, b, _| b),
    Row(&[Vpmovdw], 2, 1, |_, b, _| b),
    Row(&[Vpmovqb], 3, 0, |_, b, _| b),
    Row(&[Vpmovqw], 3, 1, |_, b, _| b),
    Row(&[Vpmovqd], 3, 2, |_, b, _| b),
    Row(&[Vpmovswb], 1, 0, |_, b, _| saturate_signed(b, 16, 8)),
    Row(&[Vpmovsdb], 2, 0, |_, b, _| saturate_signed(b, 32, 8)),
    Row(&[Vpmovsdw], 2, 1, |_, b, _| saturate_signed(b, 32, 16)),
    Row(&[Vpmovsqb], 3, 0, |_, b, _| saturate_signed(b, 64, 8)),
    Row(&[Vpmovsqw], 3, 1, |_, b, _| saturate_signed(b, 64, 16)),
    Row(&[Vpmovsqd], 3, 2, |_, b, _| saturate_signed(b, 64, 32)),
    Row(&[Vpmovuswb], 1, 0, |_, b, _| saturate_unsigned(b, 8)),
    Row(&[Vpmovusdb], 2, 0, |_, b, _| saturate_unsigned(b, 8)),
    Row(&[Vpmovusdw], 2, 1, |_, b, _| saturate_unsigned(b, 16)),
    Row(&[Vpmovusqb], 3, 0, |_, b, _| saturate_unsigned(b, 8)),
    Row(&[Vpmovusqw], 3, 1, |_, b, _| saturate_unsigned(b, 16)),
    Row(&[Vpmovusqd], 3, 2, |_, b, _| saturate_unsigned(b, 32)),
];

/// Converts as many elements as `r4` says.
#[inline(always)]
fn converted<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Result<VectorRegister, crate::fault::Stop> {
    let row = &TABLE[u.kernel()];
    let mut fp = cpu.begin_float(u);
    let mask = if E::EVEX { cpu.active_elements(u) } else { u64::MAX };
    let mut out = VectorRegister::ZERO;
    for n in 0..usize::from(u.r4()) {
        if mask >> n & 1 != 0 {
            out.set_element(row.2, n, (row.3)(&mut fp, b.element(row.1, n), u.imm8()));
        }
    }
    cpu.end_float(u, &fp)?;
    Ok(out)
}

/// Vector to vector.
pub fn convert_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    let out = converted::<E>(cpu, u, &b)?;
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Memory to vector.
pub fn convert_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    let out = converted::<E>(cpu, u, &b)?;
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Vector to memory.
pub fn convert_mr<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.r1);
    // A fault of the store comes before an exception of the conversion.
    if E::EVEX && u.mask_register() != 0 {
        cpu.probe_masked(env, u)?;
    } else {
        cpu.probe_write(env, u.seg, cpu.ea(u), u.memory_bytes())?;
    }
    let out = converted::<E>(cpu, u, &b)?;
    cpu.store_vector::<E>(env, u, &out)
}

/// `imm8` of conversions between scalars and general registers, and of COMISS and its kind.
const DOUBLE: u32 = 1 << 0;
const WIDE: u32 = 1 << 1;
const UNSIGNED: u32 = 1 << 2;
const TRUNCATED: u32 = 1 << 3;
const SIGNALING: u32 = 1 << 4;

fn put_scalar<E: Encoding>(cpu: &mut Cpu, u: &Uop, integer: u64) -> Exec {
    let mut fp = cpu.begin_float(u);
    let imm = u.imm8();
    let (sign, magnitude) = match (imm & WIDE != 0, imm & UNSIGNED != 0) {
        (true, true) => (false, integer),
        (false, true) => (false, integer & 0xFFFF_FFFF),
        (true, false) => ((integer as i64) < 0, (integer as i64).unsigned_abs()),
        (false, false) => ((integer as i32) < 0, (integer as i32).unsigned_abs().into()),
    };
    let mut out = *cpu.vector(u.r2);
    if imm & DOUBLE != 0 {
        out.set_element(3, 0, soft::from_integer::<Double>(&mut fp, sign, magnitude));
    } else {
        out.set_element(2, 0, soft::from_integer::<Single>(&mut fp, sign, magnitude));
    }
    cpu.end_float(u, &fp)?;
    cpu.commit::<E>(u, out);
    Ok(())
}

/// CVTSI2SS and its kind, from a general register.
pub fn int_to_float_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.gpr[u.base as usize & 31];
    put_scalar::<E>(cpu, u, value)
}

/// CVTSI2SS and its kind, from memory.
pub fn int_to_float_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    let value = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.0[0];
    put_scalar::<E>(cpu, u, value)
}

fn put_integer(cpu: &mut Cpu, u: &Uop, value: u64) -> Exec {
    let mut fp = cpu.begin_float(u);
    let imm = u.imm8();
    if imm & TRUNCATED != 0 {
        fp.rounding = Rounding::Zero;
    }
    let bits = if imm & WIDE != 0 { 64 } else { 32 };
    let result = if imm & DOUBLE != 0 {
        soft::to_integer::<Double>(&mut fp, value, bits, imm & UNSIGNED == 0)
    } else {
        soft::to_integer::<Single>(&mut fp, value & 0xFFFF_FFFF, bits, imm & UNSIGNED == 0)
    };
    cpu.end_float(u, &fp)?;
    cpu.gpr[u.r1 as usize & 31] = result;
    Ok(())
}

/// CVTSS2SI and its kind, from a vector.
pub fn float_to_int_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.vector(u.base).0[0];
    put_integer(cpu, u, value)
}

/// CVTSS2SI and its kind, from memory.
pub fn float_to_int_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    let value = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.0[0];
    put_integer(cpu, u, value)
}

fn compare_scalars(cpu: &mut Cpu, u: &Uop, b: u64) -> Exec {
    let mut fp = cpu.begin_float(u);
    let a = cpu.vector(u.r1).0[0];
    let signaling = u.imm8() & SIGNALING != 0;
    let relation = if u.imm8() & DOUBLE != 0 {
        soft::compare::<Double>(&mut fp, a, b, signaling)
    } else {
        soft::compare::<Single>(&mut fp, a & 0xFFFF_FFFF, b & 0xFFFF_FFFF, signaling)
    };
    cpu.end_float(u, &fp)?;
    let unordered = relation == Relation::Unordered;
    cpu.flags.set_status(
        bit(unordered || relation == Relation::Equal, ZF)
            | bit(unordered, PF)
            | bit(unordered || relation == Relation::Less, CF),
    );
    Ok(())
}

/// COMISS, UCOMISS, COMISD, UCOMISD.
pub fn compare_scalar_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector(u.base).0[0];
    compare_scalars(cpu, u, b)
}

/// The same with the second operand in memory.
pub fn compare_scalar_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    let b = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.0[0];
    compare_scalars(cpu, u, b)
}

/// Handlers and `imm8` (but [`WIDE`]) of the instructions between scalars, general registers and flags.
fn scalar(mnemonic: Mnemonic) -> Option<(Op, Op, u32)> {
    let (rr, rm, imm) = match mnemonic {
        Cvtsi2ss | Vcvtsi2ss => (Op::IntToFloatR, Op::IntToFloatM, 0),
        Cvtsi2sd | Vcvtsi2sd => (Op::IntToFloatR, Op::IntToFloatM, DOUBLE),
        Vcvtusi2ss => (Op::IntToFloatR, Op::IntToFloatM, UNSIGNED),
        Vcvtusi2sd => (Op::IntToFloatR, Op::IntToFloatM, UNSIGNED | DOUBLE),
        Cvtss2si | Vcvtss2si => (Op::FloatToIntR, Op::FloatToIntM, 0),
        Cvtsd2si | Vcvtsd2si => (Op::FloatToIntR, Op::FloatToIntM, DOUBLE),
        Cvttss2si | Vcvttss2si => (Op::FloatToIntR, Op::FloatToIntM, TRUNCATED),
        Cvttsd2si | Vcvttsd2si => (Op::FloatToIntR, Op::FloatToIntM, TRUNCATED | DOUBLE),
        Vcvtss2usi => (Op::FloatToIntR, Op::FloatToIntM, UNSIGNED),
        Vcvtsd2usi => (Op::FloatToIntR, Op::FloatToIntM, UNSIGNED | DOUBLE),
        Vcvttss2usi => (Op::FloatToIntR, Op::FloatToIntM, UNSIGNED | TRUNCATED),
        Vcvttsd2usi => (Op::FloatToIntR, Op::FloatToIntM, UNSIGNED | TRUNCATED | DOUBLE),
        Ucomiss | Vucomiss => (Op::CompareScalarR, Op::CompareScalarM, 0),
        Ucomisd | Vucomisd => (Op::CompareScalarR, Op::CompareScalarM, DOUBLE),
        Comiss | Vcomiss => (Op::CompareScalarR, Op::CompareScalarM, SIGNALING),
        Comisd | Vcomisd => (Op::CompareScalarR, Op::CompareScalarM, SIGNALING | DOUBLE),
        _ => return None,
    };
    Some((rr, rm, imm))
}

fn lower_scalar(l: &Lowerer, i: &Instruction) -> Lowered {
    let (rr, rm, mut imm) = scalar(i.mnemonic())?;
    let last = i.op_count() - 1;
    let memory = is_mem(i, last);
    let mut u = vector_uop(l, if memory { rm } else { rr }, i, 16);
    let any = |n: u32| if i.op_register(n).is_gpr() { reg(i.op_register(n)) } else { number(i.op_register(n)) };
    u.r1 = any(0);
    u.r2 = if last == 2 { any(1) } else { any(0) };
    if is_reg(i, last) {
        u.base = any(last);
    }
    let integer = if rr == Op::FloatToIntR {
        i.op0_register().size()
    } else if memory {
        i.memory_size().size()
    } else {
        i.op_register(last).size()
    };
    if integer == 8 && rr != Op::CompareScalarR {
        imm |= WIDE;
    }
    u.set_imm8(imm as u8);
    Some((u, End::Continues))
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if let Some(scalar) = lower_scalar(l, i) {
        return Some(scalar);
    }
    let row = TABLE.iter().position(|row| row.0.contains(&i.mnemonic()))?;
    let (from, to) = (TABLE[row].1, TABLE[row].2);
    let bytes = vector_bytes(i);
    let mut u = if is_mem(i, 0) {
        let mut u = vector_uop(l, Op::ConvertMr, i, bytes);
        u.r1 = number(i.op1_register());
        u
    } else if is_mem(i, 1) {
        let mut u = vector_uop(l, Op::ConvertRm, i, bytes);
        u.r1 = number(i.op0_register());
        u
    } else {
        let mut u = vector_uop(l, Op::ConvertRr, i, bytes);
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u
    };
    // CVTPD2PS and its kind with a memory operand: its size tells the length that the register does not.
    let bytes = if is_mem(i, 1) && !i.is_broadcast() { bytes.max(u.memory_bytes()) } else { bytes };
    let bytes = if i.is_broadcast() { bytes.max(evex_length(i)) } else { bytes };
    let count = bytes >> from.max(to);
    let result = count << to;
    u.set_kernel(row);
    u.set_element_log2(to);
    u.set_r4(count as u8);
    u.set_lanes(result.div_ceil(16));
    if result < 16 {
        u.set_partial_result(result);
    }
    if bytes == 32 && u.width_index() == 1 {
        u.op += 1;
    }
    if has_immediate(i) {
        u.set_imm8(i.immediate8());
    }
    u.set_must_align(u.width_index() == 0 && u.memory_bytes() == 16);
    Some((u, End::Continues))
}

/// The vector length of an EVEX form with a broadcast operand: elements of the broadcast's target.
pub fn evex_length(i: &Instruction) -> usize {
    i.memory_size().element_size().max(1) * broadcast_elements(i)
}

/// How many elements a broadcast fills, from the code's name ("b32" forms of VCVTPD2PS and its kind have no operand
/// that tells).
fn broadcast_elements(i: &Instruction) -> usize {
    use iced_x86::MemorySize::*;
    match i.memory_size() {
        Broadcast64_Float32 | Broadcast64_Int32 | Broadcast64_UInt32 => 2,
        Broadcast128_Float64 | Broadcast128_Int64 | Broadcast128_UInt64 => 2,
        Broadcast128_Float32 | Broadcast128_Int32 | Broadcast128_UInt32 => 4,
        Broadcast256_Float64 | Broadcast256_Int64 | Broadcast256_UInt64 => 4,
        Broadcast256_Float32 | Broadcast256_Int32 | Broadcast256_UInt32 => 8,
        Broadcast512_Float64 | Broadcast512_Int64 | Broadcast512_UInt64 => 8,
        Broadcast512_Float32 | Broadcast512_Int32 | Broadcast512_UInt32 => 16,
        _ => 1,
    }
}
