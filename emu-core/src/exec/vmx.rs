//! The VMX instructions: operands and faults. What they do is in [`crate::vmx`].

use super::table::Op;
use crate::decode::lower::{End, Lowered, Lowerer, is_mem, reg};
use crate::decode::uop::Uop;
use crate::fault::{Exec, Stop};
use crate::state::cpu::{Cpu, Env};
use crate::width::Width;
use emu_vmx::operation::VmFail;
use emu_vmx::vmcs::VmInstructionError;
use iced_x86::{Instruction, Mnemonic};

/// VMXON m64.
pub fn vmxon(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    if !cpu.vmxon_faults()? {
        return Ok(());
    }
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmxon(env, pointer)
}

/// VMXOFF.
pub fn vmxoff(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.vmxoff()
}

/// VMCLEAR m64.
pub fn vmclear(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_vmx_root()?;
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmclear(env, pointer);
    Ok(())
}

/// VMPTRLD m64.
pub fn vmptrld(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_vmx_root()?;
    let pointer = cpu.load::<u64>(env, u)?;
    cpu.vmptrld(env, pointer);
    Ok(())
}

/// VMPTRST m64.
pub fn vmptrst(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_vmx_root()?;
    let pointer = cpu.vmx.current;
    cpu.store::<u64>(env, u, pointer)?;
    cpu.vmx_result(Ok(()));
    Ok(())
}

/// VMREAD r, r: the encoding is in `r2`. `W` is 32 or 64 bits, as the mode has it.
pub fn vmread_r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let result = cpu.vmread(&model, W::get(&cpu.gpr, u.r2));
    if let Ok(value) = result {
        W::set(&mut cpu.gpr, u.r1, value & W::MASK);
    }
    cpu.vmx_result(result.map(|_| ()));
    Ok(())
}

/// VMREAD m, r.
pub fn vmread_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let result = cpu.vmread(&model, W::get(&cpu.gpr, u.r1));
    if let Ok(value) = result {
        cpu.store::<W>(env, u, value)?;
    }
    cpu.vmx_result(result.map(|_| ()));
    Ok(())
}

/// VMWRITE r, r: the encoding is in `r1`.
pub fn vmwrite_r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let (encoding, value) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    let result = cpu.vmwrite(&model, encoding, value);
    cpu.vmx_result(result);
    Ok(())
}

/// VMWRITE r, m.
pub fn vmwrite_m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let value = cpu.load::<W>(env, u)?;
    let result = cpu.vmwrite(&model, W::get(&cpu.gpr, u.r1), value);
    cpu.vmx_result(result);
    Ok(())
}

fn descriptor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Result<[u64; 2], Stop> {
    let mut bytes = [0; 16];
    let ea = cpu.ea(u);
    cpu.read_bytes(env, u.seg, ea, &mut bytes)?;
    let quad = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok([quad(0), quad(8)])
}

/// INVEPT r, m128.
pub fn invept<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let descriptor = descriptor(cpu, env, u)?;
    cpu.invept(&model, W::get(&cpu.gpr, u.r1), descriptor);
    Ok(())
}

/// INVVPID r, m128.
pub fn invvpid<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let model = cpu.require_vmx_root()?;
    let descriptor = descriptor(cpu, env, u)?;
    cpu.invvpid(&model, W::get(&cpu.gpr, u.r1), descriptor);
    Ok(())
}

/// VMCALL: in root operation there is no dual-monitor treatment to enter.
pub fn vmcall(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.require_vmx_root()?;
    cpu.vmx_result(Err(VmFail::Error(VmInstructionError::VmcallInRoot)));
    Ok(())
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let bytes = if l.mode.is_64bit() { 8 } else { 4 };
    let pointer = |op: Op| l.mem(op, 8, i);
    let invalidate = |op: Op| {
        let mut u = l.mem(op, bytes, i);
        u.r1 = reg(i.op0_register());
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Vmxon => pointer(Op::Vmxon),
        Mnemonic::Vmxoff => l.uop(Op::Vmxoff, 4),
        Mnemonic::Vmclear => pointer(Op::Vmclear),
        Mnemonic::Vmptrld => pointer(Op::Vmptrld),
        Mnemonic::Vmptrst => pointer(Op::Vmptrst),
        Mnemonic::Vmread if is_mem(i, 0) => {
            let mut u = l.mem(Op::VmreadM, bytes, i);
            u.r1 = reg(i.op1_register());
            u
        }
        Mnemonic::Vmread => {
            let mut u = l.uop(Op::VmreadR, bytes);
            (u.r1, u.r2) = (reg(i.op0_register()), reg(i.op1_register()));
            u
        }
        Mnemonic::Vmwrite if is_mem(i, 1) => {
            let mut u = l.mem(Op::VmwriteM, bytes, i);
            u.r1 = reg(i.op0_register());
            u
        }
        Mnemonic::Vmwrite => {
            let mut u = l.uop(Op::VmwriteR, bytes);
            (u.r1, u.r2) = (reg(i.op0_register()), reg(i.op1_register()));
            u
        }
        Mnemonic::Invept => invalidate(Op::Invept),
        Mnemonic::Invvpid => invalidate(Op::Invvpid),
        Mnemonic::Vmcall => l.uop(Op::Vmcall, 4),
        _ => return None,
    };
    Some((uop, End::Ends))
}
