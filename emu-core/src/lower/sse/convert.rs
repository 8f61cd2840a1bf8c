//! Lowering: conversions element by element: between formats and integers, and integers to wider or narrower ones.

use super::lanes::{find, has_immediate, named};
use super::operands::{number, vector_bytes, vector_uop};
use crate::ir::kernels::Conversion;
use crate::ir::op::Op;
use crate::ir::vector::scalar::{DOUBLE, SIGNALING, TRUNCATED, UNSIGNED, WIDE};
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use iced_x86::Mnemonic::*;
use iced_x86::{Instruction, Mnemonic};

named! {
    CONVERSIONS: Conversion
    Cvtps2pd [Cvtps2pd Vcvtps2pd] Cvtpd2ps [Cvtpd2ps Vcvtpd2ps] Vcvtph2ps [Vcvtph2ps] Vcvtps2ph [Vcvtps2ph]
    Cvtdq2ps [Cvtdq2ps Vcvtdq2ps] Cvtdq2pd [Cvtdq2pd Vcvtdq2pd] Vcvtudq2ps [Vcvtudq2ps] Vcvtudq2pd [Vcvtudq2pd]
    Vcvtqq2ps [Vcvtqq2ps] Vcvtqq2pd [Vcvtqq2pd] Vcvtuqq2ps [Vcvtuqq2ps] Vcvtuqq2pd [Vcvtuqq2pd]
    Cvtps2dq [Cvtps2dq Vcvtps2dq] Cvttps2dq [Cvttps2dq Vcvttps2dq] Cvtpd2dq [Cvtpd2dq Vcvtpd2dq]
    Cvttpd2dq [Cvttpd2dq Vcvttpd2dq] Vcvtps2udq [Vcvtps2udq] Vcvttps2udq [Vcvttps2udq] Vcvtpd2udq [Vcvtpd2udq]
    Vcvttpd2udq [Vcvttpd2udq] Vcvtps2qq [Vcvtps2qq] Vcvttps2qq [Vcvttps2qq] Vcvtpd2qq [Vcvtpd2qq]
    Vcvttpd2qq [Vcvttpd2qq] Vcvtps2uqq [Vcvtps2uqq] Vcvttps2uqq [Vcvttps2uqq] Vcvtpd2uqq [Vcvtpd2uqq]
    Vcvttpd2uqq [Vcvttpd2uqq] Pmovzxbw [Pmovzxbw Vpmovzxbw] Pmovzxbd [Pmovzxbd Vpmovzxbd]
    Pmovzxbq [Pmovzxbq Vpmovzxbq] Pmovzxwd [Pmovzxwd Vpmovzxwd] Pmovzxwq [Pmovzxwq Vpmovzxwq]
    Pmovzxdq [Pmovzxdq Vpmovzxdq] Pmovsxbw [Pmovsxbw Vpmovsxbw] Pmovsxbd [Pmovsxbd Vpmovsxbd]
    Pmovsxbq [Pmovsxbq Vpmovsxbq] Pmovsxwd [Pmovsxwd Vpmovsxwd] Pmovsxwq [Pmovsxwq Vpmovsxwq]
    Pmovsxdq [Pmovsxdq Vpmovsxdq] Vpmovwb [Vpmovwb] Vpmovdb [Vpmovdb] Vpmovdw [Vpmovdw] Vpmovqb [Vpmovqb]
    Vpmovqw [Vpmovqw] Vpmovqd [Vpmovqd] Vpmovswb [Vpmovswb] Vpmovsdb [Vpmovsdb] Vpmovsdw [Vpmovsdw]
    Vpmovsqb [Vpmovsqb] Vpmovsqw [Vpmovsqw] Vpmovsqd [Vpmovsqd] Vpmovuswb [Vpmovuswb] Vpmovusdb [Vpmovusdb]
    Vpmovusdw [Vpmovusdw] Vpmovusqb [Vpmovusqb] Vpmovusqw [Vpmovusqw] Vpmovusqd [Vpmovusqd]
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
    let conversion = find(CONVERSIONS, i.mnemonic())?;
    let (from, to) = (conversion.elements().source, conversion.elements().log2);
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
    u.set_kernel(conversion as usize);
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
