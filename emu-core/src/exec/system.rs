//! Instructions that control the processor.

use crate::fault::Exec;
use crate::flags::{AF, CF, IF, PF, SF, VIF, VIP, ZF};
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::cr::Cr4;

/// An instruction that the model does not have, or that is not an instruction: #UD.
pub fn undefined(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.ud()
}

/// More than 15 bytes: #GP(0).
pub fn too_long(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.gp(0)
}

/// An instruction that the model has and this version does not: said once a site, then #UD.
pub fn unimplemented(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let rip = cpu.rip().wrapping_add(u.off as u64);
    if cpu.log_once("unimplemented instruction", u.imm << 48 ^ rip) {
        let name = crate::lower::unimplemented_name(u);
        log::error!(target: "cpu", "unimplemented instruction {name} at {rip:#x}: #UD");
    }
    cpu.ud()
}

/// HLT.
pub fn hlt(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    cpu.intercept(u, emu_vmx::intercept::Instruction::Hlt)?;
    cpu.set_activity(Activity::Hlt);
    cpu.raise(Attention::STOPPED);
    Ok(())
}

impl Cpu {
    /// Whether CLI and STI act on VIF rather than IF (SDM Vol. 3B 21.3.3.5, Vol. 3A 21.4).
    fn uses_vif(&self) -> Option<bool> {
        let (cpl, iopl) = (self.sys.cpl, self.flags.iopl());
        if !self.derived.mode.protected {
            Some(false)
        } else if self.derived.mode.v86 {
            match (iopl == 3, self.sys.cr4.contains(Cr4::VME)) {
                (true, _) => Some(false),
                (false, true) => Some(true),
                (false, false) => None,
            }
        } else if cpl <= iopl {
            Some(false)
        } else if cpl == 3 && self.sys.cr4.contains(Cr4::PVI) {
            Some(true)
        } else {
            None
        }
    }
}

/// CLI.
pub fn cli(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    match cpu.uses_vif() {
        Some(false) => cpu.put_flags(IF, false),
        Some(true) => cpu.put_flags(VIF, false),
        None => return cpu.gp(0),
    }
    Ok(())
}

/// STI.
pub fn sti(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    match cpu.uses_vif() {
        Some(false) => {
            if !cpu.flags.has(IF) {
                cpu.put_flags(IF, true);
                cpu.open_shadow(Shadow::Sti);
            }
            // An interrupt may have waited for IF.
            cpu.leave_block();
        }
        Some(true) if cpu.flags.has(VIP) => return cpu.gp(0),
        Some(true) => cpu.put_flags(VIF, true),
        None => return cpu.gp(0),
    }
    Ok(())
}

/// CLC, STC, CMC, CLD, STD: the flag in `imm`, what to do in `r1` (0 clear, 1 set, 2 complement).
pub fn flag_bit(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if u.imm == CF {
        let on = if u.r1 == 2 { !cpu.flags.cf() } else { u.r1 == 1 };
        cpu.flags.set_cf(on);
    } else {
        cpu.put_flags(u.imm, u.r1 == 1);
    }
    Ok(())
}

/// SAHF.
pub fn sahf(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.flags.set_status_masked(SF | ZF | AF | PF | CF, cpu.gpr[0] >> 8);
    Ok(())
}

/// LAHF.
pub fn lahf(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let flags = cpu.flags.status() & (SF | ZF | AF | PF | CF) | 2;
    cpu.gpr[0] = cpu.gpr[0] & !0xFF00 | flags << 8;
    Ok(())
}
