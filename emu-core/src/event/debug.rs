//! Debug exceptions: DR6, instruction breakpoints, and what a single step leaves (SDM Vol. 3B 18.2, 18.3).

use crate::fault::{EventKind, Fault};
use crate::flags::{RF, TF};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::cr::{BreakpointKind, Dr6, Dr7};
use emu_vmx::arch::vector;
use emu_vmx::vmcs::PendingDebug;

/// IA32_DEBUGCTL.BTF: TF traps branches only.
pub(crate) const DEBUGCTL_BTF: u64 = 1 << 1;

impl Cpu {
    /// #DB as a trap: `conditions` are bits of DR6.
    pub fn deliver_debug(&mut self, env: &mut Env, conditions: u64) {
        if self.exits_on(&Fault::exception(vector::DB)) {
            let resume = self.flags.has(RF) || self.carried.repeating;
            return self.exit_for_debug(env, conditions, resume);
        }
        // An exception that exits directly leaves the activity state as well (SDM Vol. 3C 28.1).
        self.set_activity(Activity::Active);
        self.set_dr6(conditions);
        self.deliver_event(env, Fault::exception(vector::DB));
    }

    /// #DB for an instruction breakpoint, before the instruction at RIP: the one fault that saves RF as it is.
    pub fn fault_debug(&mut self, env: &mut Env, conditions: u64) {
        if self.exits_on(&Fault::exception(vector::DB)) {
            let resume = self.flags.has(RF);
            return self.exit_for_debug(env, conditions, resume);
        }
        self.set_dr6(conditions);
        self.deliver_event(env, Fault { vector: vector::DB, kind: EventKind::HardwareException, error_code: None });
    }

    /// INT1 reports what MOV SS held back along with itself: one #DB, not two.
    pub(crate) fn merge_pending_debug(&mut self) {
        let conditions = std::mem::take(&mut self.sys.pending_debug);
        if conditions != 0 {
            self.set_dr6(conditions);
            self.refresh_attention();
        }
    }

    /// B0 to B3 are replaced, the other conditions stay until software clears them.
    fn set_dr6(&mut self, conditions: u64) {
        let kept = self.sys.dr6.bits() & !0xF;
        self.sys.dr6 = Dr6::from_bits_retain(kept | conditions & !PendingDebug::ENABLED_BREAKPOINT.bits());
    }

    /// The handler may use the debug registers and is not traced (SDM Vol. 3B 18.2.4, 18.4.2). That has happened even if
    /// a VM exit keeps it from its handler (SDM Vol. 3C 28.1, "Architectural State Before a VM Exit").
    pub(super) fn begin_debug_exception(&mut self) {
        self.sys.dr7 -= Dr7::GD;
        self.sys.debugctl &= !DEBUGCTL_BTF;
        self.stop_recording();
    }

    /// Whether DR7 enables an instruction breakpoint.
    pub fn has_code_breakpoints(&self) -> bool {
        self.sys.dr7.bits() & Dr7::ENABLES != 0
            && (0..4).any(|n| self.sys.dr7.enabled(n) && self.sys.dr7.kind(n) == BreakpointKind::Execute)
    }

    /// The instruction breakpoints that match RIP, if an enabled one is among them.
    pub fn code_breakpoint_hits(&self) -> Option<u64> {
        let linear = self.wrap_operand(self.seg_access[1].base.wrapping_add(self.rip()));
        let mut hits = 0;
        for n in 0..4u8 {
            if self.sys.dr7.kind(n) == BreakpointKind::Execute && self.sys.dr[n as usize] == linear {
                hits |= 1 << n;
            }
        }
        (0..4u8).any(|n| hits >> n & 1 != 0 && self.sys.dr7.enabled(n)).then_some(hits)
    }

    /// Opens the interrupt shadow over the instruction after the present one.
    pub fn open_shadow(&mut self, shadow: Shadow) {
        self.sys.shadow = shadow;
        self.carried.shadow_is_new = true;
        self.raise(Attention::STEP);
    }

    /// The next instruction runs alone: notes TF as it begins, and ends RF, which has done its work.
    pub(crate) fn begin_step(&mut self) {
        self.carried.single_step = true;
        self.carried.shadow_is_new = false;
        self.carried.trap_after = self.flags.has(TF);
        self.scratch.began_with_rf = self.flags.has(RF);
        self.scratch.held_debug = self.sys.pending_debug;
        self.end_resume();
    }

    /// An instruction that does not complete reports no breakpoints; what MOV SS has held back for it stays.
    pub(crate) fn forget_debug_hits(&mut self) {
        self.sys.pending_debug = if self.carried.single_step { self.scratch.held_debug } else { 0 };
    }

    /// The step is over without a trap of its own.
    pub(crate) fn end_step(&mut self) {
        self.carried.single_step = false;
        self.carried.trap_after = false;
        self.carried.repeating = false;
    }

    /// SYSCALL and SYSRET trap at once by the TF that they leave, whatever it was when they began: as if SYSRET came back
    /// behind a SYSCALL that has just completed (SDM Vol. 3B 18.3.1.4, "Single-Step Exception Condition").
    pub(crate) fn step_by_new_flags(&mut self) {
        self.carried.trap_after = false;
        if self.flags.has(TF) {
            self.sys.pending_debug |= Dr6::BS.bits();
            self.raise(Attention::STEP);
        }
    }

    /// A task switch ends the step: TF of the new task traps after its first instruction.
    pub(crate) fn end_step_for_task(&mut self) {
        self.carried.trap_after = false;
        self.sys.shadow = Shadow::None;
    }

    /// After an instruction that ran alone: the trap flag's #DB, and the end of the shadow it ran in.
    pub(crate) fn after_single_step(&mut self) {
        self.carried.single_step = false;
        if !self.carried.shadow_is_new {
            self.sys.shadow = Shadow::None;
        }
        // The single-step trap of MOV SS itself is lost; breakpoints that it met are held back.
        let suppressed = self.sys.shadow == Shadow::MovSs;
        let steps_here =
            self.sys.debugctl & DEBUGCTL_BTF == 0 || (self.scratch.flow.branched && !self.carried.repeating);
        if self.carried.trap_after && !suppressed && steps_here {
            self.sys.pending_debug |= Dr6::BS.bits();
        }
        self.carried.trap_after = false;
        self.note_mtf();
        self.refresh_attention();
    }

    /// "Monitor trap flag": the next boundary is to exit.
    pub(super) fn note_mtf(&mut self) {
        if let Some(non_root) = &mut self.vmx.non_root
            && non_root.mtf()
        {
            non_root.pending |= emu_vmx::boundary::Pending::MTF;
        }
    }
}
