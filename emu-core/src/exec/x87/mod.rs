//! The x87 FPU's instructions (SDM Vol. 1 chapter 8; Vol. 2A): what surrounds the arithmetic of [`crate::fpu::x87`].
//!
//! Every handler takes the same steps: [`Cpu::x87_ready`] (#NM, then #MF of an earlier instruction), memory operands,
//! the computation, and last [`Cpu::x87_complete`], which records pointers and exceptions and says whether results are
//! to be committed.

pub mod compare;
pub mod compute;
pub mod control;
pub mod environment;
pub mod transfer;

use crate::fault::{Exec, Fault, Stop};
use crate::fpu::x87::status::{B, C1, ES, EXCEPTIONS, SF};
use crate::fpu::x87::{F80, Numeric};
use crate::ir::uop::Uop;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;

impl Cpu {
    /// Before a waiting instruction: #NM, #MF. False when the instruction must not go on and is to be tried again.
    #[inline(always)]
    fn x87_ready(&mut self, env: &mut Env, u: &Uop) -> Result<bool, Stop> {
        self.x87_present()?;
        if self.fpu.status & ES != 0 { self.x87_error(env, u) } else { Ok(true) }
    }

    /// #NM if CR0.EM or CR0.TS is set (SDM Vol. 3A Table 9-3): all that instructions which do not wait look at.
    #[inline(always)]
    fn x87_present(&mut self) -> Exec {
        if self.sys.cr0.intersects(Cr0::EM | Cr0::TS) {
            return self.nm();
        }
        Ok(())
    }

    /// An exception of an earlier instruction is pending: #MF, or FERR# and IRQ 13 (SDM Vol. 1 8.7).
    #[cold]
    #[inline(never)]
    pub(crate) fn x87_error(&mut self, env: &mut Env, u: &Uop) -> Result<bool, Stop> {
        if self.sys.cr0.contains(Cr0::NE) {
            return self.throw(Fault::exception(vector::MF));
        }
        self.require_exact()?;
        self.fpu.ferr = true;
        if env.bus.numeric_error(env.ram, self.cycles, true) {
            return Ok(true);
        }
        // The processor waits before the instruction, open to interrupts. Time passes even if the instruction costs none.
        self.cycles += u64::from(u.cost == 0);
        self.branch_to(self.rip().wrapping_add(u64::from(u.off)));
        self.leave_block();
        Ok(false)
    }

    /// Of an instruction that may change the summary of exceptions: whether FERR# falls is for a device to see.
    #[inline]
    pub fn x87_before_summary(&mut self) -> Exec {
        if self.fpu.ferr { self.require_exact() } else { Ok(()) }
    }

    /// After a change of the status or control word: FERR# falls when no exception is pending any more.
    pub fn x87_summary_changed(&mut self, env: &mut Env) {
        self.fpu.refresh_summary();
        if self.fpu.ferr && self.fpu.status & ES == 0 {
            self.fpu.ferr = false;
            env.bus.numeric_error(env.ram, self.cycles, false);
            self.leave_block();
        }
    }

    /// Records a non-control instruction and its exceptions. False when an unmasked exception keeps its results from
    /// being committed.
    #[inline(always)]
    fn x87_complete(&mut self, u: &Uop, n: &Numeric) -> bool {
        let selector = self.sys.seg(SegmentRegister::Cs).selector;
        let pointer = self.rip().wrapping_add(u64::from(u.off));
        let fpu = &mut *self.fpu;
        fpu.instruction_pointer = pointer;
        fpu.instruction_selector = selector;
        fpu.status = fpu.status & !C1 | n.flags & (EXCEPTIONS | SF) | if n.c1 { C1 } else { 0 };
        let unmasked = n.unmasked(n.flags);
        if u.x87_has_memory() && (unmasked || self.records_data_pointers()) {
            self.fpu.data_pointer = self.ea(u);
            self.fpu.data_selector = self.sys.segments[usize::from(u.seg & 7)].selector;
        }
        !unmasked || self.x87_unmasked(u, n)
    }

    /// Whether data pointers are recorded without an unmasked exception, too (SDM Vol. 1 8.1.8).
    #[inline(always)]
    pub fn records_data_pointers(&self) -> bool {
        !self.config.model.has(Feature::FdpExceptionOnly)
    }

    /// An exception will be reported by the next waiting instruction. False if it also keeps the results from being
    /// committed.
    #[cold]
    fn x87_unmasked(&mut self, u: &Uop, n: &Numeric) -> bool {
        self.fpu.status |= ES | B;
        // Without the fopcode compatibility mode, which only processors of the NetBurst family had, other
        // instructions are not recorded (SDM Vol. 1 8.1.9).
        self.fpu.opcode = u.x87_opcode();
        !n.stopped()
    }

    /// Sets condition-code bits, leaving C1 as [`Cpu::x87_complete`] made it.
    #[inline]
    fn set_condition(&mut self, mask: u16, code: u16) {
        self.fpu.status = self.fpu.status & !mask | code & mask;
    }

    /// ST(i) and ST(j), or the masked response to one of them being empty.
    #[inline(always)]
    fn pair(&self, n: &mut Numeric, i: u8, j: u8) -> Option<(F80, F80)> {
        if self.fpu.is_empty(i) || self.fpu.is_empty(j) {
            n.stack_underflow();
            return None;
        }
        Some((self.fpu.st(i), self.fpu.st(j)))
    }

    #[inline(always)]
    fn numeric(&self) -> Numeric {
        Numeric::new(self.fpu.control)
    }
}

/// The steps of a waiting instruction around its own.
macro_rules! waiting {
    ($cpu:ident, $env:ident, $u:ident) => {
        if !$cpu.x87_ready($env, $u)? {
            return Ok(());
        }
    };
}
pub(crate) use waiting;
