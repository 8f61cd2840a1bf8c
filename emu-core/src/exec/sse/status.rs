//! MXCSR: LDMXCSR and STMXCSR.

use super::operands::{Encoding, column};
use crate::decode::lower::{End, Lowered, Lowerer};
use crate::fault::Exec;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::{Instruction, Mnemonic};

/// The bits of MXCSR that exist; DAZ is among them (SDM Vol. 1 10.2.3, 11.6.6).
pub const MXCSR_MASK: u32 = 0xFFFF;

/// LDMXCSR, VLDMXCSR.
pub fn ldmxcsr<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.load::<u32>(env, u)? as u32;
    if value & !MXCSR_MASK != 0 {
        return cpu.gp(0);
    }
    cpu.fpu.mxcsr = value;
    Ok(())
}

/// STMXCSR, VSTMXCSR.
pub fn stmxcsr<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = u64::from(cpu.fpu.mxcsr);
    cpu.store::<u32>(env, u, value)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let op = match i.mnemonic() {
        Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr => Op::Ldmxcsr,
        Mnemonic::Stmxcsr | Mnemonic::Vstmxcsr => Op::Stmxcsr,
        _ => return None,
    };
    let mut u = Uop::new(op, column(i, 16), 0, 0);
    l.set_mem(&mut u, i);
    Some((u, End::Continues))
}
