//! Conversions element by element: between formats and integers, and integers to wider or narrower ones.

use super::by_number;
use super::operands::Encoding;
use crate::fault::Exec;
use crate::flags::{CF, PF, ZF, bit};
use crate::fpu::VectorRegister;
use crate::fpu::conversion;
use crate::fpu::soft::{self, Double, Format, Fp, Half, Relation, Rounding, Single};
use crate::ir::kernels::Conversion::{self, *};
use crate::ir::uop::Uop;
use crate::ir::vector::scalar::{DOUBLE, SIGNALING, TRUNCATED, UNSIGNED, WIDE};
use crate::state::cpu::{Cpu, Env};

/// A conversion of one element, with the immediate.
type Convert = fn(&mut Fp, u64, u32) -> u64;

/// A row of the table: which conversion, and what it does.
struct Row(Conversion, Convert);

fn sign_extend(value: u64, bits: u32) -> i64 {
    (value << (64 - bits)) as i64 >> (64 - bits)
}

fn from_signed<F: Format>(fp: &mut Fp, value: i64) -> u64 {
    conversion::from_integer::<F>(fp, value < 0, value.unsigned_abs())
}

/// To an integer with the rounding of MXCSR.
fn to_int<F: Format, const BITS: u32, const SIGNED: bool>(fp: &mut Fp, b: u64, _imm: u32) -> u64 {
    conversion::to_integer::<F>(fp, b, BITS, SIGNED)
}

/// To an integer, truncated.
fn truncate<F: Format, const BITS: u32, const SIGNED: bool>(fp: &mut Fp, b: u64, _imm: u32) -> u64 {
    fp.with_rounding(Rounding::Zero, |fp| conversion::to_integer::<F>(fp, b, BITS, SIGNED))
}

/// VCVTPS2PH: FTZ does not apply; rounding in the immediate.
fn to_half(fp: &mut Fp, b: u64, imm: u32) -> u64 {
    let rounding = if imm & 4 != 0 { fp.rounding } else { Rounding::from_bits(imm) };
    fp.with_rounding(rounding, |fp| conversion::convert::<Single, Half>(fp, b, true, false))
}

fn saturate_signed(value: u64, from: u32, to: u32) -> u64 {
    let limit = (1i64 << (to - 1)) - 1;
    sign_extend(value, from).clamp(-limit - 1, limit) as u64
}

fn saturate_unsigned(value: u64, to: u32) -> u64 {
    value.min((1 << to) - 1)
}

const TABLE: &[Row] = &[
    Row(Cvtps2pd, |fp, b, _| conversion::convert::<Single, Double>(fp, b, true, true)),
    Row(Cvtpd2ps, |fp, b, _| conversion::convert::<Double, Single>(fp, b, true, true)),
    Row(Vcvtph2ps, |fp, b, _| conversion::convert::<Half, Single>(fp, b, false, true)),
    Row(Vcvtps2ph, to_half),
    Row(Cvtdq2ps, |fp, b, _| from_signed::<Single>(fp, sign_extend(b, 32))),
    Row(Cvtdq2pd, |fp, b, _| from_signed::<Double>(fp, sign_extend(b, 32))),
    Row(Vcvtudq2ps, |fp, b, _| conversion::from_integer::<Single>(fp, false, b)),
    Row(Vcvtudq2pd, |fp, b, _| conversion::from_integer::<Double>(fp, false, b)),
    Row(Vcvtqq2ps, |fp, b, _| from_signed::<Single>(fp, b as i64)),
    Row(Vcvtqq2pd, |fp, b, _| from_signed::<Double>(fp, b as i64)),
    Row(Vcvtuqq2ps, |fp, b, _| conversion::from_integer::<Single>(fp, false, b)),
    Row(Vcvtuqq2pd, |fp, b, _| conversion::from_integer::<Double>(fp, false, b)),
    Row(Cvtps2dq, to_int::<Single, 32, true>),
    Row(Cvttps2dq, truncate::<Single, 32, true>),
    Row(Cvtpd2dq, to_int::<Double, 32, true>),
    Row(Cvttpd2dq, truncate::<Double, 32, true>),
    Row(Vcvtps2udq, to_int::<Single, 32, false>),
    Row(Vcvttps2udq, truncate::<Single, 32, false>),
    Row(Vcvtpd2udq, to_int::<Double, 32, false>),
    Row(Vcvttpd2udq, truncate::<Double, 32, false>),
    Row(Vcvtps2qq, to_int::<Single, 64, true>),
    Row(Vcvttps2qq, truncate::<Single, 64, true>),
    Row(Vcvtpd2qq, to_int::<Double, 64, true>),
    Row(Vcvttpd2qq, truncate::<Double, 64, true>),
    Row(Vcvtps2uqq, to_int::<Single, 64, false>),
    Row(Vcvttps2uqq, truncate::<Single, 64, false>),
    Row(Vcvtpd2uqq, to_int::<Double, 64, false>),
    Row(Vcvttpd2uqq, truncate::<Double, 64, false>),
    Row(Pmovzxbw, |_, b, _| b),
    Row(Pmovzxbd, |_, b, _| b),
    Row(Pmovzxbq, |_, b, _| b),
    Row(Pmovzxwd, |_, b, _| b),
    Row(Pmovzxwq, |_, b, _| b),
    Row(Pmovzxdq, |_, b, _| b),
    Row(Pmovsxbw, |_, b, _| sign_extend(b, 8) as u64),
    Row(Pmovsxbd, |_, b, _| sign_extend(b, 8) as u64),
    Row(Pmovsxbq, |_, b, _| sign_extend(b, 8) as u64),
    Row(Pmovsxwd, |_, b, _| sign_extend(b, 16) as u64),
    Row(Pmovsxwq, |_, b, _| sign_extend(b, 16) as u64),
    Row(Pmovsxdq, |_, b, _| sign_extend(b, 32) as u64),
    Row(Vpmovwb, |_, b, _| b),
    Row(Vpmovdb, |_, b, _| b),
    Row(Vpmovdw, |_, b, _| b),
    Row(Vpmovqb, |_, b, _| b),
    Row(Vpmovqw, |_, b, _| b),
    Row(Vpmovqd, |_, b, _| b),
    Row(Vpmovswb, |_, b, _| saturate_signed(b, 16, 8)),
    Row(Vpmovsdb, |_, b, _| saturate_signed(b, 32, 8)),
    Row(Vpmovsdw, |_, b, _| saturate_signed(b, 32, 16)),
    Row(Vpmovsqb, |_, b, _| saturate_signed(b, 64, 8)),
    Row(Vpmovsqw, |_, b, _| saturate_signed(b, 64, 16)),
    Row(Vpmovsqd, |_, b, _| saturate_signed(b, 64, 32)),
    Row(Vpmovuswb, |_, b, _| saturate_unsigned(b, 8)),
    Row(Vpmovusdb, |_, b, _| saturate_unsigned(b, 8)),
    Row(Vpmovusdw, |_, b, _| saturate_unsigned(b, 16)),
    Row(Vpmovusqb, |_, b, _| saturate_unsigned(b, 8)),
    Row(Vpmovusqw, |_, b, _| saturate_unsigned(b, 16)),
    Row(Vpmovusqd, |_, b, _| saturate_unsigned(b, 32)),
];

static KERNELS: [Convert; Conversion::ALL.len()] = by_number!(Conversion, [TABLE]);

/// Converts as many elements as `r4` says.
#[inline(always)]
fn converted<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Result<VectorRegister, crate::fault::Stop> {
    let (convert, elements) = (KERNELS[u.kernel()], Conversion::ALL[u.kernel()].1);
    let mut fp = cpu.begin_float(u);
    let mask = if E::EVEX { cpu.active_elements(u) } else { u64::MAX };
    let mut out = VectorRegister::ZERO;
    for n in 0..usize::from(u.r4()) {
        if mask >> n & 1 != 0 {
            out.set_element(elements.log2, n, convert(&mut fp, b.element(elements.source, n), u.imm8()));
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
        out.set_element(3, 0, conversion::from_integer::<Double>(&mut fp, sign, magnitude));
    } else {
        out.set_element(2, 0, conversion::from_integer::<Single>(&mut fp, sign, magnitude));
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
        conversion::to_integer::<Double>(&mut fp, value, bits, imm & UNSIGNED == 0)
    } else {
        conversion::to_integer::<Single>(&mut fp, value & 0xFFFF_FFFF, bits, imm & UNSIGNED == 0)
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
