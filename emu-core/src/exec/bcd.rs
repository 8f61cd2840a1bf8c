//! Decimal adjustment (SDM Vol. 2A, AAA, AAD, AAM, AAS, DAA, DAS); not in 64-bit mode.

use crate::fault::{Exec, Fault};
use crate::flags::{AF, CF, bit};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::vector;

const AL: u8 = 0;
const AX: u8 = 0;
const BYTE_TOP: u8 = 7;

fn packed(cpu: &mut Cpu, adjust: impl Fn(u64, u64) -> u64, borrow: impl Fn(u64) -> bool) -> Exec {
    let old = u8::get(&cpu.gpr, AL);
    let (old_cf, old_af) = (cpu.flags.cf(), cpu.flags.af());
    let mut al = old;
    let mut cf = old_cf;
    let af = old & 0xF > 9 || old_af;
    if af {
        al = adjust(al, 6);
        cf |= borrow(old);
    }
    if old > 0x99 || old_cf {
        al = adjust(al, 0x60);
        cf = true;
    }
    u8::set(&mut cpu.gpr, AL, al);
    cpu.flags.record_result(BYTE_TOP, al, bit(cf, CF) | bit(af, AF));
    Ok(())
}

/// DAA.
pub fn daa(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    packed(cpu, |al, n| al.wrapping_add(n) & 0xFF, |old| old > 0xFF - 6)
}

/// DAS.
pub fn das(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    packed(cpu, |al, n| al.wrapping_sub(n) & 0xFF, |old| old < 6)
}

fn unpacked(cpu: &mut Cpu, adjust: impl Fn(u64) -> u64) -> Exec {
    let ax = u16::get(&cpu.gpr, AX);
    let carry = ax & 0xF > 9 || cpu.flags.af();
    let ax = if carry { adjust(ax) & 0xFF0F } else { ax & 0xFF0F };
    u16::set(&mut cpu.gpr, AX, ax);
    // PF, ZF and SF are undefined: they come from AL.
    cpu.flags.record_result(BYTE_TOP, ax & 0xFF, bit(carry, AF | CF));
    Ok(())
}

/// AAA.
pub fn aaa(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    unpacked(cpu, |ax| ax.wrapping_add(0x106))
}

/// AAS.
pub fn aas(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    unpacked(cpu, |ax| ax.wrapping_sub(6).wrapping_sub(0x100))
}

/// AAM; the base is in `imm`.
pub fn aam(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let al = u8::get(&cpu.gpr, AL);
    let base = u.imm & 0xFF;
    if base == 0 {
        return cpu.throw(Fault::exception(vector::DE));
    }
    u16::set(&mut cpu.gpr, AX, ((al / base) << 8) + al % base);
    cpu.flags.record_result(BYTE_TOP, al % base, 0);
    Ok(())
}

/// AAD; the base is in `imm`.
pub fn aad(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let ax = u16::get(&cpu.gpr, AX);
    let al = (ax & 0xFF).wrapping_add((ax >> 8).wrapping_mul(u.imm)) & 0xFF;
    u16::set(&mut cpu.gpr, AX, al);
    cpu.flags.record_result(BYTE_TOP, al, 0);
    Ok(())
}
