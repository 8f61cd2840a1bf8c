//! The VMX instructions: operands and faults. What they do is in [`crate::vmx`].

use crate::fault::{Exec, Stop};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use crate::vmx::diagnose::field_words;
use crate::vmx::non_root::bitmap_byte;
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::instruction_information::{self, Operand};
use emu_vmx::intercept::Instruction as Intercept;
use emu_vmx::operation::VmFail;
use emu_vmx::tags;
use emu_vmx::vmcs::VmInstructionError;

/// VMXON m64.
pub fn vmxon(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmxon, Operands::Memory)?;
    if !cpu.vmxon_faults(env, u)? {
        return Ok(());
    }
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmxon(env, u, pointer)
}

/// VMXOFF.
pub fn vmxoff(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmxoff, Operands::None)?;
    cpu.vmxoff(env)
}

/// VMCLEAR m64.
pub fn vmclear(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmclear, Operands::Memory)?;
    cpu.require_vmx_root()?;
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmclear(env, u, pointer);
    Ok(())
}

/// VMPTRLD m64.
pub fn vmptrld(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmptrld, Operands::Memory)?;
    cpu.require_vmx_root()?;
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmptrld(env, u, pointer);
    Ok(())
}

/// VMPTRST m64.
pub fn vmptrst(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmptrst, Operands::Memory)?;
    cpu.require_vmx_root()?;
    let pointer = cpu.vmx.current;
    cpu.store::<u64>(env, u, pointer)?;
    cpu.set_vmx_result(Ok(()));
    Ok(())
}

/// VMREAD r, r: the encoding is in `r2`. `W` is 32 or 64 bits, as the mode has it.
pub fn vmread_r<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmcs_access(env, u, false, W::get(&cpu.gpr, u.r2), u.r2, Some(u.r1))?;
    cpu.require_vmx_root()?;
    let encoding = W::get(&cpu.gpr, u.r2);
    let result = cpu.vmread(env, encoding);
    if let Ok(value) = result {
        W::set(&mut cpu.gpr, u.r1, value & W::MASK);
    }
    cpu.vmx_result(u, result.map(|_| ()), &|| format!("VMREAD of {}", field_words(encoding)));
    Ok(())
}

/// VMREAD m, r.
pub fn vmread_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmcs_access(env, u, false, W::get(&cpu.gpr, u.r1), u.r1, None)?;
    cpu.require_vmx_root()?;
    let encoding = W::get(&cpu.gpr, u.r1);
    let result = cpu.vmread(env, encoding);
    if let Ok(value) = result {
        cpu.store::<W>(env, u, value)?;
    }
    cpu.vmx_result(u, result.map(|_| ()), &|| format!("VMREAD of {}", field_words(encoding)));
    Ok(())
}

/// VMWRITE r, r: the encoding is in `r1`.
pub fn vmwrite_r<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmcs_access(env, u, true, W::get(&cpu.gpr, u.r1), u.r1, Some(u.r2))?;
    cpu.require_vmx_root()?;
    let (encoding, value) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    let result = cpu.vmwrite(env, encoding, value);
    cpu.vmx_result(u, result, &|| format!("VMWRITE of {value:X}h to {}", field_words(encoding)));
    Ok(())
}

/// VMWRITE r, m.
pub fn vmwrite_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmcs_access(env, u, true, W::get(&cpu.gpr, u.r1), u.r1, None)?;
    cpu.require_vmx_root()?;
    let encoding = W::get(&cpu.gpr, u.r1);
    // Whether there is a VMCS to write to is known before the source is read, whether it has the field afterwards.
    let (value, result) = match cpu.find_accessed_vmcs(env) {
        Err(fail) => (0, Err(fail)),
        Ok(()) => {
            let value = cpu.load::<W>(env, u)?;
            (value, cpu.vmwrite(env, encoding, value))
        }
    };
    cpu.vmx_result(u, result, &|| format!("VMWRITE of {value:X}h to {}", field_words(encoding)));
    Ok(())
}

/// The operand of INVEPT and INVVPID; it is not read if the processor does not have the type.
fn descriptor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Result<[u64; 2], Stop> {
    let mut bytes = [0; 16];
    let ea = cpu.ea(u);
    cpu.read_bytes(env, u.seg, ea, &mut bytes)?;
    let quad = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok([quad(0), quad(8)])
}

/// INVEPT r, m128.
pub fn invept<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Invept, Operands::Descriptor)?;
    cpu.require_vmx_root()?;
    let (kind, cap) = (W::get(&cpu.gpr, u.r1), cpu.vmx_model()?.caps.ept_vpid_cap);
    let descriptor = if tags::has_invept(kind, cap) { Some(descriptor(cpu, env, u)?) } else { None };
    cpu.invept(u, kind, descriptor)
}

/// INVVPID r, m128.
pub fn invvpid<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Invvpid, Operands::Descriptor)?;
    cpu.require_vmx_root()?;
    let (kind, cap) = (W::get(&cpu.gpr, u.r1), cpu.vmx_model()?.caps.ept_vpid_cap);
    let descriptor = if tags::has_invvpid(kind, cap) { Some(descriptor(cpu, env, u)?) } else { None };
    cpu.invvpid(u, kind, descriptor)
}

/// VMLAUNCH.
pub fn vmlaunch(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmlaunch, Operands::None)?;
    cpu.vm_entry(env, u, false)
}

/// VMRESUME.
pub fn vmresume(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept_vmx(u, Intercept::Vmresume, Operands::None)?;
    cpu.vm_entry(env, u, true)
}

/// What instruction information a VMX instruction reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operands {
    None,
    Memory,
    /// Descriptor in memory, type in `r1`.
    Descriptor,
}

impl Cpu {
    /// In VMX non-root operation VMX instructions exit whatever the CPL; #UD of the mode comes first.
    fn intercept_vmx(&mut self, u: &Uop, instruction: Intercept, operands: Operands) -> Exec {
        if !self.in_non_root() {
            return Ok(());
        }
        self.require_vmx_mode()?;
        self.intercept_with(u, instruction, |cpu, u| {
            if operands == Operands::None {
                return (0, None);
            }
            let (memory, displacement) = cpu.memory_information(u);
            let information = match operands {
                Operands::Descriptor => instruction_information::invalidate(memory, u.r1),
                _ => instruction_information::memory_only(memory),
            };
            (displacement, Some(information))
        })
    }

    /// VMREAD and VMWRITE in VMX non-root operation: the encoding's register is `encoding_register`. Without a
    /// VM exit the access goes to the shadow VMCS.
    fn intercept_vmcs_access(
        &mut self,
        env: &Env,
        u: &Uop,
        write: bool,
        encoding: u64,
        encoding_register: u8,
        register: Option<u8>,
    ) -> Exec {
        if !self.in_non_root() {
            return Ok(());
        }
        self.require_vmx_mode()?;
        let exits = self
            .vm_controls()
            .is_some_and(|controls| controls.vmcs_access(encoding, write, |address| bitmap_byte(env.ram, address)));
        if !exits {
            return self.require_cpl0();
        }
        let (operand, displacement) = match register {
            Some(register) => (Operand::Register(register), 0),
            None => {
                let (memory, displacement) = self.memory_information(u);
                (Operand::Memory(memory), displacement)
            }
        };
        let information = instruction_information::vmread_vmwrite(operand, encoding_register);
        let reason = if write { ExitReason::Vmwrite } else { ExitReason::Vmread };
        self.exit_with_information(u, reason, displacement, information)
    }
}

/// VMCALL: in root operation there is no dual-monitor treatment to enter.
pub fn vmcall(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.intercept(u, Intercept::Vmcall)?;
    cpu.require_vmx_root()?;
    cpu.vmx_result(u, Err(VmFail::Error(VmInstructionError::VmcallInRoot)), &|| "VMCALL".to_owned());
    Ok(())
}

/// VMFUNC: #UD outside VMX non-root operation, at any CPL (SDM Vol. 3C 26.5.6).
pub fn vmfunc(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let Some(controls) = cpu.vm_controls() else { return cpu.ud() };
    let decision = controls.vmfunc(cpu.gpr[0] as u32);
    cpu.decide(u, decision, |_, _| (0, None))?;
    // EPTP switching is the only function that can be enabled.
    if cpu.switch_eptp(env) { Ok(()) } else { cpu.exit_at(u, ExitReason::Vmfunc, 0) }
}
