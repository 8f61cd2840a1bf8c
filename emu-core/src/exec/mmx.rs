//! MMX: its registers are the significands of the x87 registers (SDM Vol. 1 9.2, Vol. 3A 13.2).
//!
//! The operations are those of the SSE tables, applied to the low half of a lane.

use super::sse::element::{from_fn, get};
use super::sse::lanes::kernel2;
use super::sse::moves::sign_mask;
use crate::fault::{Exec, Stop};
use crate::fpu::VectorRegister;
use crate::fpu::conversion;
use crate::fpu::soft::{Double, Rounding, Single};
use crate::ir::uop::Uop;
use crate::ir::vector::Shape;
use crate::ir::vector::scalar::{DOUBLE, TRUNCATED};
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr0;

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

fn apply(u: &Uop, a: u64, b: u64) -> u64 {
    let (a, b) = (u128::from(a), u128::from(b));
    let kernel = |a: u128, b: u128| kernel2(u)(a, b, u.imm8());
    match Shape::ALL[usize::from(u.r4()) % Shape::ALL.len()] {
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

fn put_integers(cpu: &mut Cpu, u: &Uop, lane: u128) -> Exec {
    let mut fp = cpu.begin_float(u);
    if u.imm8() & TRUNCATED != 0 {
        fp.rounding = Rounding::Zero;
    }
    let mut integer = |n: u32| {
        if u.imm8() & DOUBLE != 0 {
            conversion::to_integer::<Double>(&mut fp, (lane >> (64 * n)) as u64, 32, true)
        } else {
            conversion::to_integer::<Single>(&mut fp, (lane >> (32 * n)) as u64 & 0xFFFF_FFFF, 32, true)
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
        let [low, high] = parts.map(|i| conversion::from_integer::<Double>(&mut fp, i < 0, i.unsigned_abs().into()));
        u128::from(low) | u128::from(high) << 64
    } else {
        let [low, high] = parts.map(|i| conversion::from_integer::<Single>(&mut fp, i < 0, i.unsigned_abs().into()));
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

/// EMMS: all x87 registers are empty.
pub fn emms(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.mmx_ready(env, u)? {
        return Ok(());
    }
    cpu.fpu.tags = 0;
    cpu.fpu.status &= !0x3800;
    Ok(())
}
