//! MMX: its registers are the significands of the x87 registers (SDM Vol. 1 9.2, Vol. 3A 13.2).
//!
//! The operations are those of the SSE tables, applied to the low half of a lane.

use super::sse::element::{from_fn, get};
use super::sse::lanes::{find2, has_immediate, kernel2};
use super::sse::moves::sign_mask;
use super::string::address_cut;
use crate::decode::lower::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use crate::fault::{Exec, Stop};
use crate::fpu::VectorRegister;
use crate::fpu::soft::{self, Double, Rounding, Single};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr0;
use iced_x86::{Instruction, Mnemonic, Register};

/// FSW.ES: an unmasked x87 exception is pending.
const ES: u16 = 1 << 7;

impl Cpu {
    /// #UD if CR0.EM is set, #NM if CR0.TS is, then #MF or FERR# for a pending x87 exception (SDM Vol. 3A 13.1,
    /// 23.25.3). False when the instruction must not go on and is to be tried again.
    #[inline(always)]
    pub fn mmx_ready(&mut self, env: &mut Env, u: &Uop) -> Result<bool, Stop> {
        if (self.sys.cr0 & (Cr0::EM | Cr0::TS)).is_empty() && self.fpu.status & ES == 0 {
            Ok(true)
        } else {
            self.mmx_not_ready(env, u)
        }
    }

    #[cold]
    #[inline(never)]
    fn mmx_not_ready(&mut self, env: &mut Env, u: &Uop) -> Result<bool, Stop> {
        if self.sys.cr0.contains(Cr0::EM) {
            self.ud()
        } else if self.sys.cr0.contains(Cr0::TS) {
            self.nm()
        } else {
            self.x87_error(env, u)
        }
    }

    /// Every MMX instruction but EMMS makes all registers valid and TOP 0 (SDM Vol. 3A Table 13-1).
    #[inline(always)]
    pub fn enter_mmx(&mut self) {
        self.fpu.tags = 0xFF;
        self.fpu.status &= !0x3800;
    }

    /// Writes an MMX register: the exponent above it becomes all ones.
    #[inline(always)]
    pub fn set_mmx(&mut self, register: u8, value: u64) {
        let n = usize::from(register) & 7;
        self.fpu.significand[n] = value;
        self.fpu.exponent[n] = 0xFFFF;
        self.enter_mmx();
    }

    /// An MMX register.
    #[inline(always)]
    pub fn mmx(&self, register: u8) -> u64 {
        self.fpu.significand[usize::from(register) & 7]
    }
}

/// How a 64-bit operation follows from the one on 128-bit lanes; in the micro-op's `r4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    /// The low half of the result depends on the low halves of the sources alone.
    Low,
    /// The sources side by side are the first source of the operation: packing and horizontal operations.
    Concatenated,
    /// The high half of the result of the low halves: unpacking.
    High,
    /// PSHUFB: indexes have three bits.
    Indexed,
    /// PALIGNR.
    Aligned,
    /// PSHUFW.
    Words,
}

const SHAPES: [Shape; 6] = [Shape::Low, Shape::Concatenated, Shape::High, Shape::Indexed, Shape::Aligned, Shape::Words];

fn shape(mnemonic: Mnemonic) -> Shape {
    use Mnemonic::*;
    match mnemonic {
        Packsswb | Packssdw | Packuswb | Phaddw | Phaddd | Phaddsw | Phsubw | Phsubd | Phsubsw => Shape::Concatenated,
        Punpckhbw | Punpckhwd | Punpckhdq => Shape::High,
        Pshufb => Shape::Indexed,
        Palignr => Shape::Aligned,
        Pshufw => Shape::Words,
        _ => Shape::Low,
    }
}

fn apply(u: &Uop, a: u64, b: u64) -> u64 {
    let (a, b) = (u128::from(a), u128::from(b));
    let kernel = |a: u128, b: u128| kernel2(u)(a, b, u.imm8());
    match SHAPES[usize::from(u.r4()) % SHAPES.len()] {
        Shape::Low => kernel(a, b) as u64,
        Shape::Concatenated => kernel(a | b << 64, 0) as u64,
        // The operation interleaves the high halves of lanes.
        Shape::High => {
            let (a, b) = (a << 64, b << 64);
            let wide = kernel(a, b);
            (wide >> 64) as u64
        }
        Shape::Indexed => kernel(a, b & 0x8787_8787_8787_8787) as u64,
        Shape::Aligned => (a << 64 | b).checked_shr(8 * u.imm8()).unwrap_or(0) as u64,
        Shape::Words => from_fn::<u16>(|n| get(b, (u.imm8() >> (2 * (n & 3))) as usize & 3)) as u64,
    }
}

/// op mm, mm.
pub fn mmx_rr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = apply(u, cpu.mmx(u.r2), cpu.mmx(u.base));
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// op mm, m.
pub fn mmx_rm(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let ea = cpu.ea(u);
    let b = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.0[0];
    let value = apply(u, cpu.mmx(u.r2), b);
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// MOVQ and MOVD mm, m.
pub fn mmx_mov_rm(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let ea = cpu.ea(u);
    let value = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.0[0];
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// MOVQ, MOVD and MOVNTQ m, mm.
pub fn mmx_mov_mr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = VectorRegister([cpu.mmx(u.r1), 0, 0, 0, 0, 0, 0, 0]);
    let ea = cpu.ea(u);
    cpu.write_vector(env, u.seg, ea, u.memory_bytes(), &value)?;
    cpu.enter_mmx();
    Ok(())
}

/// MOVD and MOVQ mm, r; the size is in `imm8`.
pub fn mmx_from_gpr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = cpu.gpr[u.base as usize & 31] & (u64::MAX >> (64 - 8 * u.imm8()));
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// MOVD and MOVQ r, mm.
pub fn mmx_to_gpr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    cpu.gpr[u.r1 as usize & 31] = cpu.mmx(u.base) & (u64::MAX >> (64 - 8 * u.imm8()));
    cpu.enter_mmx();
    Ok(())
}

/// MOVDQ2Q.
pub fn mmx_from_xmm(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = cpu.vector(u.base).0[0];
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// MOVQ2DQ.
pub fn mmx_to_xmm(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = u128::from(cpu.mmx(u.base));
    cpu.vector_mut(u.r1).set_lane(0, value);
    cpu.enter_mmx();
    Ok(())
}

/// PEXTRW r, mm.
pub fn mmx_extract(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    cpu.gpr[u.r1 as usize & 31] = cpu.mmx(u.base) >> (16 * (u.imm8() & 3)) & 0xFFFF;
    cpu.enter_mmx();
    Ok(())
}

fn insert(cpu: &mut Cpu, u: &Uop, value: u64) -> Exec {
    let shift = 16 * (u.imm8() & 3);
    let value = cpu.mmx(u.r1) & !(0xFFFF << shift) | (value & 0xFFFF) << shift;
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// PINSRW mm, r.
pub fn mmx_insert_r(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = cpu.gpr[u.base as usize & 31];
    insert(cpu, u, value)
}

/// PINSRW mm, m16.
pub fn mmx_insert_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = cpu.load::<u16>(env, u)?;
    insert(cpu, u, value)
}

/// PMOVMSKB r, mm.
pub fn mmx_move_mask(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let value = VectorRegister([cpu.mmx(u.base), 0, 0, 0, 0, 0, 0, 0]);
    cpu.gpr[u.r1 as usize & 31] = sign_mask(&value, 0, 8);
    cpu.enter_mmx();
    Ok(())
}

/// MASKMOVQ: the bytes of `r1` whose byte in `r2` has its top bit set go to DS:rDI.
pub fn mmx_mask_move(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    const RDI: u8 = 7;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let mut place = *u;
    place.base = RDI;
    let vector = |value: u64| VectorRegister([value, 0, 0, 0, 0, 0, 0, 0]);
    let (value, mask) = (vector(cpu.mmx(u.r1)), sign_mask(&vector(cpu.mmx(u.r2)), 0, 8));
    let ea = cpu.ea(&place);
    cpu.write_elements(env, u, ea, mask, 0, 8, &value)?;
    cpu.enter_mmx();
    Ok(())
}

/// `imm8` of conversions: doubles rather than singles, truncated.
const DOUBLE: u32 = 1;
const TRUNCATED: u32 = 2;

fn put_integers(cpu: &mut Cpu, u: &Uop, lane: u128) -> Exec {
    let mut fp = cpu.begin_float(u);
    if u.imm8() & TRUNCATED != 0 {
        fp.rounding = Rounding::Zero;
    }
    let mut integer = |n: u32| {
        if u.imm8() & DOUBLE != 0 {
            soft::to_integer::<Double>(&mut fp, (lane >> (64 * n)) as u64, 32, true)
        } else {
            soft::to_integer::<Single>(&mut fp, (lane >> (32 * n)) as u64 & 0xFFFF_FFFF, 32, true)
        }
    };
    let value = integer(0) | integer(1) << 32;
    cpu.end_float(u, &fp)?;
    cpu.set_mmx(u.r1, value);
    Ok(())
}

/// CVTPS2PI and its kind from a vector.
pub fn mmx_from_float_r(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let lane = cpu.vector(u.base).lane(0);
    put_integers(cpu, u, lane)
}

/// CVTPS2PI and its kind from memory.
pub fn mmx_from_float_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let ea = cpu.ea(u);
    if u.memory_bytes() == 16 {
        cpu.require_aligned(u.seg, ea, 16, false)?;
    }
    let lane = cpu.read_vector(env, u.seg, ea, u.memory_bytes())?.lane(0);
    put_integers(cpu, u, lane)
}

fn put_floats(cpu: &mut Cpu, u: &Uop, integers: u64) -> Exec {
    let mut fp = cpu.begin_float(u);
    let parts = [integers as i32, (integers >> 32) as i32];
    let lane = if u.imm8() & DOUBLE != 0 {
        let [low, high] = parts.map(|i| soft::from_integer::<Double>(&mut fp, i < 0, i.unsigned_abs().into()));
        u128::from(low) | u128::from(high) << 64
    } else {
        let [low, high] = parts.map(|i| soft::from_integer::<Single>(&mut fp, i < 0, i.unsigned_abs().into()));
        cpu.vector(u.r1).lane(0) >> 64 << 64 | u128::from(low | high << 32)
    };
    cpu.end_float(u, &fp)?;
    cpu.vector_mut(u.r1).set_lane(0, lane);
    Ok(())
}

/// CVTPI2PS and CVTPI2PD from an MMX register.
pub fn mmx_to_float_r(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let integers = cpu.mmx(u.base);
    put_floats(cpu, u, integers)?;
    cpu.enter_mmx();
    Ok(())
}

/// CVTPI2PS and CVTPI2PD from memory: CVTPI2PD leaves the x87 state alone then.
pub fn mmx_to_float_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_sse()?;
    let ps = u.imm8() & DOUBLE == 0;
    if ps && !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    let ea = cpu.ea(u);
    let integers = cpu.read_vector(env, u.seg, ea, 8)?.0[0];
    put_floats(cpu, u, integers)?;
    if ps {
        cpu.enter_mmx();
    }
    Ok(())
}

fn lower_conversion(l: &Lowerer, i: &Instruction) -> Option<Uop> {
    use Mnemonic::*;
    let (rr, rm, imm) = match i.mnemonic() {
        Cvtps2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, 0),
        Cvttps2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, TRUNCATED),
        Cvtpd2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, DOUBLE),
        Cvttpd2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, DOUBLE | TRUNCATED),
        Cvtpi2ps => (Op::MmxToFloatR, Op::MmxToFloatM, 0),
        Cvtpi2pd => (Op::MmxToFloatR, Op::MmxToFloatM, DOUBLE),
        _ => return None,
    };
    let mut u = if is_mem(i, 1) { l.mem(rm, 1, i) } else { l.uop(rr, 1) };
    if is_mem(i, 1) {
        u.set_memory_bytes(i.memory_size().size());
    } else {
        u.base = i.op1_register().number() as u8;
    }
    u.r1 = i.op0_register().number() as u8;
    u.set_imm8(imm as u8);
    Some(u)
}

/// EMMS: all x87 registers are empty.
pub fn emms(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    cpu.fpu.tags = 0;
    cpu.fpu.status &= !0x3800;
    Ok(())
}

fn lower_move(l: &Lowerer, i: &Instruction) -> Option<Uop> {
    let number = |n: u32| i.op_register(n).number() as u8;
    let memory = |op: Op| {
        let mut u = l.mem(op, 8, i);
        u.set_memory_bytes(i.memory_size().size());
        u
    };
    if is_mem(i, 0) {
        let mut u = memory(Op::MmxMovMr);
        u.r1 = number(1);
        return Some(u);
    }
    let to = i.op0_register();
    if is_mem(i, 1) {
        let mut u = memory(Op::MmxMovRm);
        u.r1 = number(0);
        return Some(u);
    }
    let from = i.op1_register();
    let kind = |register: Register| (register.is_gpr(), register.is_mm());
    let op = match (kind(to), kind(from)) {
        ((true, _), _) => Op::MmxToGpr,
        (_, (true, _)) => Op::MmxFromGpr,
        ((_, true), (_, true)) => Op::MmxRr,
        ((_, true), _) => Op::MmxFromXmm,
        _ => Op::MmxToXmm,
    };
    let mut u = l.uop(op, 8);
    (u.r1, u.base) = (if to.is_gpr() { reg(to) } else { number(0) }, if from.is_gpr() { reg(from) } else { number(1) });
    u.set_imm8(if to.is_gpr() { to.size() } else { from.size() } as u8);
    if op == Op::MmxRr {
        u.set_kernel(find2(Mnemonic::Movq, false)?.0);
    }
    Some(u)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    if i.mnemonic() == Emms {
        return Some((l.uop(Op::Emms, 1), End::Continues));
    }
    if let Some(u) = lower_conversion(l, i) {
        return Some((u, End::Continues));
    }
    if !(0..i.op_count()).any(|n| is_reg(i, n) && i.op_register(n).is_mm()) {
        return None;
    }
    let number = |n: u32| i.op_register(n).number() as u8;
    let u = match i.mnemonic() {
        Movd | Movq | Movntq | Movq2dq | Movdq2q => lower_move(l, i)?,
        Pextrw => {
            let mut u = l.uop(Op::MmxExtract, 4);
            (u.r1, u.base) = (reg(i.op0_register()), number(1));
            u.set_imm8(i.immediate8());
            u
        }
        Pinsrw => {
            let mut u = if is_mem(i, 1) { l.mem(Op::MmxInsertM, 2, i) } else { l.uop(Op::MmxInsertR, 4) };
            if is_reg(i, 1) {
                u.base = reg(i.op1_register());
            }
            u.r1 = number(0);
            u.set_imm8(i.immediate8());
            u
        }
        Pmovmskb => {
            let mut u = l.uop(Op::MmxMoveMask, 4);
            (u.r1, u.base) = (reg(i.op0_register()), number(1));
            u
        }
        Maskmovq => {
            let mut u = l.uop(Op::MmxMaskMove, 8);
            (u.r1, u.r2) = (number(1), number(2));
            u.seg = (i.memory_segment() as u32).wrapping_sub(Register::ES as u32) as u8;
            u.scale = address_cut(i.op0_kind())?;
            u
        }
        mnemonic => {
            let immediate = has_immediate(i);
            let kernel = if mnemonic == Pshufw { 0 } else { find2(mnemonic, immediate)?.0 };
            let source = if immediate && i.op_count() == 2 { 0 } else { 1 };
            let mut u = if is_mem(i, source) {
                let mut u = l.mem(Op::MmxRm, 8, i);
                u.set_memory_bytes(i.memory_size().size());
                u
            } else {
                let mut u = l.uop(Op::MmxRr, 8);
                u.base = number(source);
                u
            };
            (u.r1, u.r2) = (number(0), number(0));
            u.set_kernel(kernel);
            u.set_r4(shape(mnemonic) as u8);
            if immediate {
                u.set_imm8(i.immediate8());
            }
            u
        }
    };
    Some((u, End::Continues))
}
