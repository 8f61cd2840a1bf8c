//! SYSENTER, SYSEXIT, SYSCALL, SYSRET, SWAPGS and the FS and GS base instructions (SDM Vol. 3A 5.8.7, 5.8.8).

use crate::fault::Exec;
use crate::flags::{IF, RF, VM};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::protect::selector::Selector;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};

const RCX: usize = 1;
const RDX: usize = 2;
const RSP: usize = 4;
const R11: usize = 11;

/// A flat code segment as these instructions load it: readable, accessed, present.
fn flat_code(selector: u16, dpl: u8, long: bool) -> Segment {
    let size = if long { AccessRights::L } else { AccessRights::DB };
    let rights = AccessRights::from_bits_retain(0x809B) | size;
    Segment { selector, base: 0, limit: 0xFFFF_FFFF, access_rights: rights.with_dpl(dpl) }
}

/// A flat stack segment: writable, accessed, present, 32-bit.
fn flat_stack(selector: u16, dpl: u8) -> Segment {
    Segment {
        selector,
        base: 0,
        limit: 0xFFFF_FFFF,
        access_rights: AccessRights::from_bits_retain(0xC093).with_dpl(dpl),
    }
}

impl Cpu {
    fn enter_flat(&mut self, code: Segment, stack: Segment, cpl: u8) {
        self.sys.segments[SegmentRegister::Ss as usize] = stack;
        self.set_code_segment(code, cpl);
    }
}

/// SYSENTER.
pub fn sysenter(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let [cs, esp, eip] = cpu.sys.sysenter;
    let selector = Selector(cs as u16);
    if !cpu.derived.mode.protected || selector.is_null() {
        return cpu.gp(0);
    }
    let long = cpu.derived.mode.long;
    cpu.enter_system_call();
    cpu.put_flags(VM | IF, false);
    let code = Selector(selector.0 & !3);
    let mask = if long { u64::MAX } else { 0xFFFF_FFFF };
    cpu.enter_flat(flat_code(code.0, 0, long), flat_stack(code.0.wrapping_add(8), 0), 0);
    cpu.gpr[RSP] = esp & mask;
    cpu.branch_to(eip & mask);
    cpu.expect_endbranch();
    Ok(())
}

/// SYSEXIT: to 64-bit code with REX.W, else to 32-bit code.
pub fn sysexit<W: Width>(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let selector = Selector(cpu.sys.sysenter[0] as u16);
    if !cpu.derived.mode.protected || selector.is_null() || cpu.sys.cpl != 0 {
        return cpu.gp(0);
    }
    let long = W::BITS == 64;
    let (rip, rsp) = (cpu.gpr[RDX], cpu.gpr[RCX]);
    if long && (!cpu.is_canonical(rip) || !cpu.is_canonical(rsp)) {
        return cpu.gp(0);
    }
    cpu.leave_system_call();
    let (code, stack) = if long { (32, 40) } else { (16, 24) };
    let at = |offset: u16| selector.0.wrapping_add(offset) | 3;
    cpu.enter_flat(flat_code(at(code), 3, long), flat_stack(at(stack), 3), 3);
    let mask = if long { u64::MAX } else { 0xFFFF_FFFF };
    cpu.gpr[RSP] = rsp & mask;
    cpu.branch_to(rip & mask);
    Ok(())
}

/// SYSCALL: 64-bit mode only.
pub fn syscall(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if !cpu.derived.mode.is_64bit() || !cpu.sys.efer.contains(Efer::SCE) {
        return cpu.ud();
    }
    cpu.enter_system_call();
    let [star, lstar, _, fmask] = cpu.sys.syscall;
    cpu.gpr[RCX] = cpu.next_rip(u);
    cpu.gpr[R11] = cpu.flags.get() & !RF;
    cpu.set_flags(cpu.flags.get() & !(fmask | RF));
    cpu.step_by_new_flags();
    let cs = (star >> 32) as u16 & !3;
    cpu.enter_flat(flat_code(cs, 0, true), flat_stack(cs.wrapping_add(8), 0), 0);
    cpu.branch_to(lstar);
    cpu.expect_endbranch();
    Ok(())
}

/// SYSRET: to 64-bit code with REX.W, else to 32-bit code.
pub fn sysret<W: Width>(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    if !cpu.derived.mode.is_64bit() || !cpu.sys.efer.contains(Efer::SCE) {
        return cpu.ud();
    }
    let rip = cpu.gpr[RCX];
    let long = W::BITS == 64;
    if cpu.sys.cpl != 0 || (long && !cpu.is_canonical(rip)) {
        return cpu.gp(0);
    }
    cpu.leave_system_call();
    let base = (cpu.sys.syscall[0] >> 48) as u16;
    let flags = cpu.gpr[R11] & crate::flags::DEFINED & !(RF | VM);
    cpu.set_flags(flags);
    cpu.step_by_new_flags();
    let code = if long { base.wrapping_add(16) } else { base } | 3;
    cpu.enter_flat(flat_code(code, 3, long), flat_stack(base.wrapping_add(8) | 3, 3), 3);
    cpu.branch_to(if long { rip } else { rip & 0xFFFF_FFFF });
    Ok(())
}

/// SWAPGS.
pub fn swapgs(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    if !cpu.derived.mode.is_64bit() {
        return cpu.ud();
    }
    cpu.require_cpl0()?;
    let gs = &mut cpu.sys.segments[SegmentRegister::Gs as usize];
    std::mem::swap(&mut gs.base, &mut cpu.sys.kernel_gs_base);
    cpu.refresh_segment(SegmentRegister::Gs);
    Ok(())
}

impl Cpu {
    fn require_fsgsbase(&mut self) -> Exec {
        if self.derived.mode.is_64bit() && self.sys.cr4.contains(Cr4::FSGSBASE) { Ok(()) } else { self.ud() }
    }
}

fn base_register(u: &Uop) -> SegmentRegister {
    if u.variant() == 0 { SegmentRegister::Fs } else { SegmentRegister::Gs }
}

/// RDFSBASE (`imm` = 0) and RDGSBASE (1).
pub fn read_base<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_fsgsbase()?;
    let base = cpu.sys.seg(base_register(u)).base;
    W::set(&mut cpu.gpr, u.r1, base & W::MASK);
    Ok(())
}

/// WRFSBASE (`imm` = 0) and WRGSBASE (1).
pub fn write_base<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_fsgsbase()?;
    let base = W::get(&cpu.gpr, u.r1);
    if !cpu.is_canonical(base) {
        return cpu.gp(0);
    }
    let register = base_register(u);
    cpu.sys.segments[register as usize].base = base;
    cpu.refresh_segment(register);
    Ok(())
}
