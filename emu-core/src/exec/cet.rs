//! Near branches where CET works, and CET's own instructions (SDM Vol. 1 chapter 18; Vol. 2).

use crate::fault::{Exec, Stop};
use crate::flags::CF;
use crate::ir::operands::branch::{NO_PUSH, NO_TRACK};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::access::Checked;
use crate::protect::shadow_stack::ShadowMode;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cet::{self, code};
use emu_vmx::arch::cr::Cr4;

const SS: u8 = 2;
/// A shadow-stack-restore token, or one that RSTORSSP leaves, is of 64-bit mode.
const TOKEN_64: u64 = 1 << 0;
/// The token is the previous SSP that RSTORSSP leaves.
const TOKEN_PREVIOUS: u64 = 1 << 1;
/// SSP in the token was not a multiple of 8.
const TOKEN_HOLE: u64 = 1 << 2;

impl Cpu {
    /// Bytes of a near return address on the shadow stack: 16-bit ones take 4.
    fn shadow_bytes<W: Width>() -> u64 {
        W::BYTES.max(4)
    }

    /// CALL to `target`, which has been checked.
    fn call_near<W: Width>(&mut self, env: &mut Env, u: &Uop, target: u64) -> Exec {
        let back = self.next_rip(u);
        let mut ssp = self.sys.cet.ssp;
        if self.derived.mode.shadow_stack && u.r2 & NO_PUSH == 0 {
            // The stack comes first, but its store is not made before that on the shadow stack has been.
            let top = self.sp().wrapping_sub(W::BYTES) & self.derived.mode.stack.mask();
            self.check_operand_alignment(SS, top, W::BYTES, true)?;
            self.probe_write(env, SS, top, W::BYTES as usize)?;
            let bytes = Self::shadow_bytes::<W>();
            let mode = self.shadow_mode();
            ssp = mode.moved(ssp.wrapping_sub(bytes));
            self.shadow_store(env, ssp, bytes as usize, back & W::MASK, mode)?;
        }
        self.push_by::<Checked, W>(env, back)?;
        self.sys.cet.ssp = ssp;
        self.branch_to(target);
        Ok(())
    }

    /// #UD unless shadow stacks are enabled.
    fn require_shadow_stack(&mut self) -> Result<ShadowMode, Stop> {
        if self.derived.mode.shadow_stack { Ok(self.shadow_mode()) } else { self.ud() }
    }

    /// #UD unless CR4.CET, in protected mode, and with `stacks` shadow stacks of the supervisor; then CPL 0.
    fn require_supervisor_cet(&mut self, stacks: bool) -> Exec {
        let on = self.sys.cr4.contains(Cr4::CET) && !self.derived.mode.real_segments();
        if !on || stacks && self.sys.cet.supervisor & cet::SHADOW_STACK == 0 {
            return self.ud();
        }
        self.require_cpl0()
    }

    /// Linear address of an operand that must be a multiple of its `bytes`, or #GP(0).
    fn aligned_operand(&mut self, u: &Uop, bytes: u64) -> Result<u64, Stop> {
        let ea = self.ea(u);
        let linear = self.linear(u.seg, ea, bytes, true)?;
        if linear & (bytes - 1) != 0 { self.gp(0) } else { Ok(linear) }
    }
}

/// JMP r.
pub fn cet_jmp_r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let target = W::get(&cpu.gpr, u.r1);
    cpu.check_target(target)?;
    cpu.branch_to(target);
    cpu.track_near_branch(u.r2 & NO_TRACK != 0);
    Ok(())
}

/// JMP m.
pub fn cet_jmp_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.load::<W>(env, u)?;
    cpu.check_target(target)?;
    cpu.branch_to(target);
    cpu.track_near_branch(u.r2 & NO_TRACK != 0);
    Ok(())
}

/// CALL rel.
pub fn cet_call_rel<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.rip().wrapping_add(u.branch_offset()) & W::MASK;
    cpu.check_target(target)?;
    cpu.call_near::<W>(env, u, target)
}

/// CALL r.
pub fn cet_call_r<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = W::get(&cpu.gpr, u.r1);
    cpu.check_target(target)?;
    cpu.call_near::<W>(env, u, target)?;
    cpu.track_near_branch(u.r2 & NO_TRACK != 0);
    Ok(())
}

/// CALL m.
pub fn cet_call_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.load::<W>(env, u)?;
    cpu.check_target(target)?;
    cpu.call_near::<W>(env, u, target)?;
    cpu.track_near_branch(u.r2 & NO_TRACK != 0);
    Ok(())
}

/// RET, RET imm: #CP unless the shadow stack has the same address.
pub fn cet_ret<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.peek::<W>(env, 0)?;
    cpu.check_target(target)?;
    if cpu.derived.mode.shadow_stack {
        let (bytes, ssp, mode) = (Cpu::shadow_bytes::<W>(), cpu.sys.cet.ssp, cpu.shadow_mode());
        if cpu.shadow_load(env, ssp, bytes as usize, mode)? != target {
            return cpu.control_protection(code::NEAR_RET);
        }
        cpu.sys.cet.ssp = mode.moved(ssp.wrapping_add(bytes));
    }
    cpu.adjust_stack(W::BYTES.wrapping_add(u.stack_bytes()));
    cpu.branch_to(target);
    Ok(())
}

/// ENDBR32 or ENDBR64 of the present mode.
pub fn endbranch(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.end_branch();
    Ok(())
}

/// What stands in the place of an ENDBRANCH.
pub fn missing_endbranch(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let rip = cpu.rip().wrapping_add(u.off.into());
    cpu.miss_endbranch(env, rip)
}

/// INCSSPD, INCSSPQ: the first and the last of the elements are read.
pub fn incssp<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let mode = cpu.require_shadow_stack()?;
    let count = W::get(&cpu.gpr, u.r1) & 0xFF;
    let ssp = cpu.sys.cet.ssp;
    cpu.shadow_load(env, ssp, W::BYTES as usize, mode)?;
    if count > 0 {
        cpu.shadow_load(env, ssp.wrapping_add(W::BYTES * (count - 1)), W::BYTES as usize, mode)?;
    }
    cpu.sys.cet.ssp = mode.moved(ssp.wrapping_add(W::BYTES * count));
    Ok(())
}

/// RDSSPD, RDSSPQ: without shadow stacks nothing.
pub fn rdssp<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if cpu.derived.mode.shadow_stack {
        let ssp = cpu.sys.cet.ssp;
        W::set(&mut cpu.gpr, u.r1, ssp & W::MASK);
    }
    Ok(())
}

/// RSTORSSP: to the shadow stack whose token is the operand.
pub fn rstorssp(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let mode = cpu.require_shadow_stack()?;
    let at = cpu.aligned_operand(u, 8)?;
    let wide = u64::from(mode.wide) * TOKEN_64;
    let previous = cpu.sys.cet.ssp | wide | TOKEN_PREVIOUS;
    let valid = |token: u64| {
        token & (TOKEN_64 | TOKEN_PREVIOUS) == wide
            && (mode.wide || token >> 32 == 0)
            && (token & !TOKEN_64).wrapping_sub(8) & !7 == at
    };
    let token = cpu.shadow_exchange(env, at, mode, |token| valid(token).then_some(previous))?;
    if !valid(token) {
        return cpu.control_protection(code::RSTORSSP);
    }
    cpu.sys.cet.ssp = at;
    cpu.flags.set_status(if token & TOKEN_HOLE != 0 { CF } else { 0 });
    Ok(())
}

/// SAVEPREVSSP: a token on the shadow stack that RSTORSSP has left.
pub fn saveprevssp(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let mode = cpu.require_shadow_stack()?;
    let mut ssp = cpu.sys.cet.ssp;
    if ssp & 7 != 0 {
        return cpu.gp(0);
    }
    let token = cpu.shadow_load(env, ssp, 8, mode)?;
    ssp = ssp.wrapping_add(8);
    if cpu.flags.cf() {
        if mode.wide || cpu.shadow_load(env, ssp, 4, mode)? != 0 {
            return cpu.gp(0);
        }
        ssp = ssp.wrapping_add(4);
    }
    if token & TOKEN_PREVIOUS == 0 || !mode.wide && token >> 32 != 0 {
        return cpu.gp(0);
    }
    let old = token & !(TOKEN_64 | TOKEN_PREVIOUS);
    let saved = old | (u64::from(mode.wide) * TOKEN_64);
    cpu.shadow_store(env, old.wrapping_sub(4), 4, 0, mode)?;
    cpu.shadow_store(env, (old & !7).wrapping_sub(8), 8, saved, mode)?;
    cpu.sys.cet.ssp = mode.moved(ssp);
    Ok(())
}

/// WRSSD, WRSSQ.
pub fn wrss<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let mode = cpu.require_shadow_stack()?;
    if cpu.sys.cet.control(cpu.sys.cpl) & cet::WRITE == 0 {
        return cpu.ud();
    }
    let at = cpu.aligned_operand(u, W::BYTES)?;
    let value = W::get(&cpu.gpr, u.r1);
    cpu.shadow_store(env, at, W::BYTES as usize, value, mode)
}

/// WRUSSD, WRUSSQ: at CPL 0, by user-mode accesses.
pub fn wruss<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_supervisor_cet(false)?;
    let at = cpu.aligned_operand(u, W::BYTES)?;
    let value = W::get(&cpu.gpr, u.r1);
    let mode = ShadowMode { user: true, ..cpu.shadow_mode() };
    cpu.shadow_store(env, at, W::BYTES as usize, value, mode)
}

/// SETSSBSY: to the shadow stack of IA32_PL0_SSP, whose token must be free.
pub fn setssbsy(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    cpu.require_supervisor_cet(true)?;
    let ssp = cpu.sys.cet.ssps[0];
    if ssp & 7 != 0 {
        return cpu.gp(0);
    }
    let mode = cpu.shadow_mode();
    if !cpu.acquire_token(env, ssp, mode)? {
        return cpu.control_protection(code::SETSSBSY);
    }
    cpu.sys.cet.ssp = ssp;
    Ok(())
}

/// CLRSSBSY: frees the token that is the operand; CF if it is none, or not busy.
pub fn clrssbsy(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_supervisor_cet(true)?;
    let at = cpu.aligned_operand(u, 8)?;
    let mode = cpu.shadow_mode();
    let freed = cpu.free_token(env, at, mode)?;
    cpu.flags.set_status(if freed { 0 } else { CF });
    cpu.sys.cet.ssp = 0;
    Ok(())
}
