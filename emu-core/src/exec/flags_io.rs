//! PUSHF and POPF (SDM Vol. 2B).

use crate::fault::Exec;
use crate::flags::*;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr4;

impl Cpu {
    /// In virtual-8086 mode with IOPL below 3: the instruction works on VIF if CR4.VME is set and its operand has 16
    /// bits, else #GP(0). False outside of that.
    fn pushes_virtual_if<W: Width>(&mut self) -> Result<bool, crate::fault::Stop> {
        if !self.derived.mode.v86 || self.flags.iopl() == 3 {
            return Ok(false);
        }
        if W::BITS == 16 && self.sys.cr4.contains(Cr4::VME) { Ok(true) } else { self.gp(0) }
    }
}

/// PUSHF, PUSHFD, PUSHFQ: VM and RF are pushed as 0.
pub fn pushf<W: Width>(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let virtual_if = cpu.pushes_virtual_if::<W>()?;
    let flags = cpu.flags.get() & !(VM | RF);
    let image = if virtual_if { (flags | IOPL) & !IF | bit(flags & VIF != 0, IF) } else { flags };
    cpu.push::<W>(env, image & W::MASK)
}

/// POPF, POPFD, POPFQ.
pub fn popf<W: Width>(cpu: &mut Cpu, env: &mut Env, _u: &Uop) -> Exec {
    let virtual_if = cpu.pushes_virtual_if::<W>()?;
    let image = cpu.peek::<W>(env, 0)?;
    // RF is cleared, VM, VIF and VIP stay.
    let mut mask = DEFINED & !(VM | VIF | VIP) & W::MASK;
    let cpl = cpu.sys.cpl;
    if virtual_if {
        if image & TF != 0 || (image & IF != 0 && cpu.flags.has(VIP)) {
            return cpu.gp(0);
        }
        mask &= !(IF | IOPL);
        cpu.put_flags(VIF, image & IF != 0);
    } else {
        if cpl > 0 {
            mask &= !IOPL;
        }
        if cpl > cpu.flags.iopl() {
            mask &= !IF;
        }
    }
    cpu.adjust_stack(W::BYTES);
    cpu.replace_flags(image & !RF, mask);
    Ok(())
}
