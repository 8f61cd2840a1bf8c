//! MMX: its registers are the significands of the x87 registers (SDM Vol. 1 9.2, Vol. 3A 13.2).

use super::table::Op;
use crate::decode::lower::{End, Lowered, Lowerer};
use crate::decode::uop::Uop;
use crate::fault::{Exec, Fault};
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::vector;
use iced_x86::{Instruction, Mnemonic};

/// FSW.ES: an unmasked x87 exception is pending.
const ES: u16 = 1 << 7;

impl Cpu {
    /// #UD if CR0.EM is set, #NM if CR0.TS is, then #MF for a pending x87 exception (SDM Vol. 3A 13.1, 23.25.3).
    #[inline(always)]
    pub fn require_mmx(&mut self) -> Exec {
        if (self.sys.cr0 & (Cr0::EM | Cr0::TS)).is_empty() && self.fpu.status & ES == 0 {
            Ok(())
        } else {
            self.no_mmx()
        }
    }

    #[cold]
    #[inline(never)]
    fn no_mmx(&mut self) -> Exec {
        if self.sys.cr0.contains(Cr0::EM) {
            self.ud()
        } else if self.sys.cr0.contains(Cr0::TS) {
            self.nm()
        } else {
            self.throw(Fault::exception(vector::MF))
        }
    }
}

/// EMMS: all x87 registers are empty.
pub fn emms(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    cpu.require_mmx()?;
    cpu.fpu.tags = 0;
    cpu.fpu.status &= !0x3800;
    Ok(())
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    match i.mnemonic() {
        Mnemonic::Emms => Some((l.uop(Op::Emms, 1), End::Continues)),
        _ => None,
    }
}
