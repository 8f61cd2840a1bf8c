//! MXCSR: LDMXCSR and STMXCSR.

use super::operands::Encoding;
use crate::fault::Exec;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

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
