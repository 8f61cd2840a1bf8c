//! Instructions of no family: XLAT, BOUND, SALC, cache control, fences, direct stores, random numbers, RDPID.

use crate::fault::{Exec, Fault};
use crate::flags::CF;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::vector;
use emu_vmx::intercept::Instruction as Intercept;

const RAX: u8 = 0;
const ES: u8 = 0;
const LINE: u64 = 64;

/// XLAT: AL indexes the table at rBX, which is the base register of the micro-op.
pub fn xlat(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let al = u8::get(&cpu.gpr, RAX);
    let ea = cpu.ea(u).wrapping_add(al) & u.address_mask();
    let value = cpu.read::<u8>(env, u.seg, ea)?;
    u8::set(&mut cpu.gpr, RAX, value);
    Ok(())
}

/// BOUND: #BR unless the signed index lies within both bounds.
pub fn bound<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let ea = cpu.ea(u);
    let lower = W::sign_extend(cpu.read::<W>(env, u.seg, ea)?) as i64;
    let upper = W::sign_extend(cpu.read::<W>(env, u.seg, ea.wrapping_add(W::BYTES) & u.address_mask())?) as i64;
    let index = W::sign_extend(W::get(&cpu.gpr, u.r1)) as i64;
    if index < lower || index > upper {
        return cpu.throw(Fault::exception(vector::BR));
    }
    Ok(())
}

/// SALC (D6h): AL is FFh if CF is set, else 0.
pub fn salc(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let value = 0u64.wrapping_sub(u64::from(cpu.flags.cf()));
    u8::set(&mut cpu.gpr, RAX, value);
    Ok(())
}

/// CLFLUSH, CLFLUSHOPT, CLWB (`imm` = 1): checked as the load of a byte, but for a segment that may only be executed (SDM
/// Vol. 2A, CLFLUSH). Caches hold no data; where they are modelled, the line leaves them.
pub fn cache_line(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let ea = cpu.ea(u);
    let execute_only = cpu.probe_execute_only(env, u.seg, ea)?;
    if !cpu.has_caches() {
        return if execute_only { Ok(()) } else { cpu.read::<u8>(env, u.seg, ea).map(|_| ()) };
    }
    let place = cpu.cacheable_place(env, u.seg, ea, execute_only)?;
    if !execute_only {
        cpu.beside_caches(|cpu| cpu.read::<u8>(env, u.seg, ea))?;
    }
    if let Some(offset) = place.filter(|_| u.variant() == 0) {
        cpu.flush_line(env.ram, offset);
    }
    Ok(())
}

/// PREFETCHh, PREFETCHW: hints for caches, which never fault.
pub fn prefetch(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if cpu.has_caches() {
        let ea = cpu.ea(u);
        cpu.prefetch(env, u.seg, ea);
    }
    Ok(())
}

/// A line that is going to be written: checked as a store.
pub fn cache_line_write(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.probe_write(env, u.seg, cpu.ea(u), 1)
}

/// MOVDIR64B: 64 bytes to ES:`r1`, which must be aligned.
pub fn movdir64b(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let to = cpu.gpr[u.r1 as usize & 31] & u.address_mask();
    if cpu.linear(ES, to, LINE, true)? & (LINE - 1) != 0 {
        return cpu.gp(0);
    }
    let mut line = [0; LINE as usize];
    let from = cpu.ea(u);
    cpu.read_bytes(env, u.seg, from, &mut line)?;
    cpu.write_bytes(env, ES, to, &line)
}

impl Cpu {
    /// The next number of a generator whose state is part of the processor's (Weyl sequence, then a mixing function),
    /// so that a run can be repeated.
    fn next_random(&mut self) -> u64 {
        self.sys.random = self.sys.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.sys.random;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

/// RDRAND, RDSEED: always a number, CF set and the other status flags clear.
pub fn random<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_with(u, if u.variant() == 0 { Intercept::Rdrand } else { Intercept::Rdseed }, |_, u| {
        (0, Some(emu_vmx::exit::instruction_information::random(u.r1, W::BITS as u8)))
    })?;
    let value = cpu.next_random();
    W::set(&mut cpu.gpr, u.r1, value & W::MASK);
    cpu.flags.set_status(CF);
    Ok(())
}

/// RDPID.
pub fn rdpid(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept(u, Intercept::Rdpid)?;
    cpu.gpr[u.r1 as usize & 31] = u64::from(cpu.sys.tsc_aux);
    Ok(())
}

/// SERIALIZE: the block ends, which is all there is to wait for.
pub fn serialize(_cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    Ok(())
}
