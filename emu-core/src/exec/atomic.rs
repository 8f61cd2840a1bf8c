//! Exchanges that compare or add. With one processor running at a time each instruction is atomic as it is.

use crate::fault::Exec;
use crate::flags::{FlagSource, ZF, bit};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

const RAX: u8 = 0;
const RCX: u8 = 1;
const RDX: u8 = 2;
const RBX: u8 = 3;

#[inline(always)]
fn add<W: Width>(cpu: &mut Cpu, a: u64, b: u64) -> u64 {
    let r = a.wrapping_add(b) & W::MASK;
    cpu.flags.record(FlagSource::Add, W::TOP, a, b, r);
    r
}

/// XADD r, r: the sum is written last, so that it wins when both are one register.
pub fn xadd_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let (a, b) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    let sum = add::<W>(cpu, a, b);
    W::set(&mut cpu.gpr, u.r2, a);
    W::set(&mut cpu.gpr, u.r1, sum);
    Ok(())
}

/// XADD m, r.
pub fn xadd_mr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (a, target) = cpu.read_for_write::<W>(env, u.seg, cpu.ea(u))?;
    let b = W::get(&cpu.gpr, u.r1);
    let sum = add::<W>(cpu, a, b);
    cpu.write_back::<W>(env, target, sum);
    W::set(&mut cpu.gpr, u.r1, a);
    Ok(())
}

/// Compares the accumulator with `old`; flags as of CMP.
#[inline(always)]
fn compare<W: Width>(cpu: &mut Cpu, old: u64) -> bool {
    let a = W::get(&cpu.gpr, RAX);
    cpu.flags.record(FlagSource::Sub, W::TOP, a, old, a.wrapping_sub(old) & W::MASK);
    a == old
}

/// CMPXCHG r, r.
pub fn cmpxchg_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let old = W::get(&cpu.gpr, u.r1);
    if compare::<W>(cpu, old) {
        let new = W::get(&cpu.gpr, u.r2);
        W::set(&mut cpu.gpr, u.r1, new);
    } else {
        W::set(&mut cpu.gpr, RAX, old);
    }
    Ok(())
}

/// CMPXCHG m, r: memory is written either way (SDM Vol. 2A, CMPXCHG).
pub fn cmpxchg_mr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (old, target) = cpu.read_for_write::<W>(env, u.seg, cpu.ea(u))?;
    if compare::<W>(cpu, old) {
        let new = W::get(&cpu.gpr, u.r1);
        cpu.write_back::<W>(env, target, new);
    } else {
        cpu.write_back::<W>(env, target, old);
        W::set(&mut cpu.gpr, RAX, old);
    }
    Ok(())
}

/// CMPXCHG8B.
pub fn cmpxchg8b(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let pair = |cpu: &Cpu, high: u8, low: u8| u32::get(&cpu.gpr, high) << 32 | u32::get(&cpu.gpr, low);
    let (old, target) = cpu.read_for_write::<u64>(env, u.seg, cpu.ea(u))?;
    let equal = old == pair(cpu, RDX, RAX);
    if equal {
        let new = pair(cpu, RCX, RBX);
        cpu.write_back::<u64>(env, target, new);
    } else {
        cpu.write_back::<u64>(env, target, old);
        u32::set(&mut cpu.gpr, RAX, old & 0xFFFF_FFFF);
        u32::set(&mut cpu.gpr, RDX, old >> 32);
    }
    cpu.flags.set_status_masked(ZF, bit(equal, ZF));
    Ok(())
}

/// CMPXCHG16B.
pub fn cmpxchg16b(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let ea = cpu.ea(u);
    if cpu.linear(u.seg, ea, 16, true)? & 15 != 0 {
        return cpu.gp(0);
    }
    cpu.probe_write(env, u.seg, ea, 16)?;
    let mut bytes = [0; 16];
    cpu.read_bytes(env, u.seg, ea, &mut bytes)?;
    let old = u128::from_le_bytes(bytes);
    let pair =
        |cpu: &Cpu, high: u8, low: u8| u128::from(cpu.gpr[high as usize]) << 64 | u128::from(cpu.gpr[low as usize]);
    let equal = old == pair(cpu, RDX, RAX);
    let new = if equal { pair(cpu, RCX, RBX) } else { old };
    cpu.write_bytes(env, u.seg, ea, &new.to_le_bytes())?;
    if !equal {
        cpu.gpr[RAX as usize] = old as u64;
        cpu.gpr[RDX as usize] = (old >> 64) as u64;
    }
    cpu.flags.set_status_masked(ZF, bit(equal, ZF));
    Ok(())
}
