//! Instructions that control the FPU.

use super::waiting;
use crate::fault::Exec;
use crate::fpu::x87::status::{B, C1, ES, EXCEPTIONS, SF};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr0;

const RAX: u8 = 0;

/// FWAIT: #NM only if CR0.MP and CR0.TS are both set.
pub fn fwait(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cr0.contains(Cr0::MP | Cr0::TS) {
        return cpu.nm();
    }
    if cpu.fpu.status & ES != 0 {
        cpu.x87_error(env, u)?;
    }
    Ok(())
}

/// FNOP.
pub fn fnop(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    Ok(())
}

/// FNENI, FNDISI, FNSETPM: no effect since the 80387.
pub fn fnoop(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.x87_present()
}

/// FNINIT.
pub fn fninit(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    cpu.x87_present()?;
    cpu.x87_before_summary()?;
    cpu.fpu.fninit();
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FNCLEX.
pub fn fnclex(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    cpu.x87_present()?;
    cpu.x87_before_summary()?;
    cpu.fpu.status &= !(EXCEPTIONS | SF | ES | B);
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FNSTSW AX.
pub fn fnstsw_ax(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.x87_present()?;
    let status = cpu.fpu.status.into();
    u16::set(&mut cpu.gpr, RAX, status);
    Ok(())
}

/// FNSTSW m16.
pub fn fnstsw_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.x87_present()?;
    let status = cpu.fpu.status.into();
    cpu.store::<u16>(env, u, status)
}

/// FNSTCW m16.
pub fn fnstcw(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.x87_present()?;
    let control = cpu.fpu.control.into();
    cpu.store::<u16>(env, u, control)
}

/// FLDCW m16: may unmask an exception that has happened before.
pub fn fldcw(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    cpu.x87_before_summary()?;
    let control = cpu.load::<u16>(env, u)?;
    cpu.fpu.set_control(control as u16);
    cpu.x87_summary_changed(env);
    Ok(())
}

/// FINCSTP (`r1` 1), FDECSTP (`r1` 7): TOP moves, tags stay.
pub fn fmove_top(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let top = cpu.fpu.top() + usize::from(u.r1);
    cpu.fpu.set_top(top);
    cpu.set_condition(C1, 0);
    Ok(())
}

/// FFREE ST(`r1`); FFREEP (`r2` 1) pops as well.
pub fn ffree(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    cpu.fpu.free(u.r1);
    cpu.set_condition(C1, 0);
    if u.r2 == 1 {
        cpu.fpu.pop();
    }
    Ok(())
}
