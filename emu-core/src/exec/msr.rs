//! RDMSR, WRMSR and RDPMC; what each model-specific register does is in [`crate::msr`].

use crate::fault::Exec;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::*;

/// RDMSR.
pub fn rdmsr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let index = cpu.gpr[1] as u32;
    cpu.intercept_msr(env, u, index, false)?;
    let virtual_register = match index {
        IA32_TSC => Some(cpu.show_guest_tsc()),
        IA32_SPEC_CTRL => cpu.virtual_spec_ctrl(),
        IA32_X2APIC_BASE..=IA32_X2APIC_LAST if cpu.in_non_root() => cpu.virtual_x2apic_read(env, index)?,
        _ => None,
    };
    let value = match virtual_register {
        Some(value) => value,
        None => cpu.read_msr(index)?,
    };
    cpu.gpr[0] = value & 0xFFFF_FFFF;
    cpu.gpr[2] = value >> 32;
    Ok(())
}

/// WRMSR.
pub fn wrmsr(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_cpl0()?;
    let index = cpu.gpr[1] as u32;
    cpu.intercept_msr(env, u, index, true)?;
    let value = cpu.edx_eax();
    if index == IA32_SPEC_CTRL && cpu.virtual_spec_ctrl().is_some() {
        return cpu.write_virtual_spec_ctrl(env, value);
    }
    if cpu.in_non_root()
        && matches!(index, IA32_X2APIC_BASE..=IA32_X2APIC_LAST)
        && cpu.virtual_x2apic_write(env, index, value)?
    {
        return Ok(());
    }
    cpu.write_msr(env, cpu.gpr[1] as u32, value)
}

/// RDPMC.
pub fn rdpmc(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if cpu.sys.cpl != 0 && cpu.derived.mode.protected && !cpu.sys.cr4.contains(Cr4::PCE) {
        return cpu.gp(0);
    }
    cpu.intercept(u, emu_vmx::intercept::Instruction::Rdpmc)?;
    let value = cpu.read_counter(cpu.gpr[1] as u32)?;
    cpu.gpr[0] = value & 0xFFFF_FFFF;
    cpu.gpr[2] = value >> 32;
    Ok(())
}
