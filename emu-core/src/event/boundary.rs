//! The instruction boundary: which waiting event comes next (SDM Vol. 3A Table 6-2, "Priority Among Concurrent
//! Events").

use crate::fault::{EventKind, Fault};
use crate::flags::{IF, RF, TF};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::vector;

/// What the processor does after a look at the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The next instruction.
    Run,
    /// An event was delivered: look again.
    Again,
    /// Nothing, until an event comes.
    Stopped,
}

impl Cpu {
    /// Derives what the boundary has to look at from the state.
    pub fn refresh_attention(&mut self) {
        let step = self.flags.has(TF | RF)
            || self.sys.shadow != Shadow::None
            || self.sys.pending_debug != 0
            || self.has_code_breakpoints()
            || self.vmx.non_root.as_ref().is_some_and(|non_root| non_root.mtf());
        self.attention.set(Attention::STEP, step);
        self.attention.set(Attention::STOPPED, self.sys.activity != Activity::Active);
        self.attention.set(Attention::NMI, self.sys.nmi_pending);
        self.attention.set(Attention::VMX, self.vmx.non_root.as_ref().is_some_and(|n| n.needs_boundary()));
    }

    /// Whether a maskable interrupt would be taken now.
    pub fn accepts_interrupts(&self) -> bool {
        self.flags.has(IF) && self.sys.shadow == Shadow::None
    }

    /// Looks at what waits, highest priority first.
    pub fn boundary(&mut self, env: &mut Env) -> Boundary {
        if self.in_non_root() {
            return self.boundary_non_root(env);
        }
        if self.attention.contains(Attention::INIT) && !self.vmx.on() {
            self.take_init();
        }
        if self.attention.contains(Attention::SIPI) && self.sys.activity == Activity::WaitForSipi {
            self.take_sipi();
        }
        if matches!(self.sys.activity, Activity::Shutdown | Activity::WaitForSipi) {
            return Boundary::Stopped;
        }
        // Traps on the previous instruction (BT, BS, data and I/O breakpoints), unless MOV SS holds them back.
        if self.sys.pending_debug != 0 && self.sys.shadow != Shadow::MovSs {
            let conditions = std::mem::take(&mut self.sys.pending_debug);
            self.wake();
            self.deliver_debug(env, conditions);
            return Boundary::Again;
        }
        if self.sys.nmi_pending && !self.sys.nmi_blocked && self.sys.shadow == Shadow::None {
            self.sys.nmi_pending = false;
            self.sys.nmi_blocked = true;
            self.wake();
            self.deliver_event(env, Fault { vector: vector::NMI, kind: EventKind::Nmi, error_code: None });
            return Boundary::Again;
        }
        if self.accepts_interrupts()
            && let Some(vector) = self.take_interrupt(env)
        {
            self.wake();
            self.deliver_event(env, Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None });
            return Boundary::Again;
        }
        self.run_or_stay(env)
    }

    /// No event comes before the next instruction.
    pub(crate) fn run_or_stay(&mut self, env: &mut Env) -> Boundary {
        if self.sys.activity != Activity::Active {
            return Boundary::Stopped;
        }
        // Instruction breakpoints come before the instruction, unless RF or MOV SS holds them back; a string
        // instruction meets them before its first iteration only.
        if self.has_code_breakpoints()
            && !self.flags.has(RF)
            && !self.repeating
            && self.sys.shadow != Shadow::MovSs
            && let Some(hits) = self.code_breakpoint_hits()
        {
            self.cycles += 1;
            self.fault_debug(env, hits);
            return Boundary::Again;
        }
        self.refresh_attention();
        Boundary::Run
    }

    /// An event ends HLT, and its delivery takes time.
    pub(crate) fn wake(&mut self) {
        self.sys.activity = Activity::Active;
        self.cycles += 1;
    }

    /// Acknowledges the interrupt that the local APIC or the PIC offers.
    pub(crate) fn take_interrupt(&mut self, env: &mut Env) -> Option<u8> {
        if let Some(vector) = self.lapic_take_interrupt(env) {
            return Some(vector);
        }
        if self.attention.contains(Attention::INTR) && self.accepts_pic() {
            return Some(env.bus.interrupt_acknowledge(self.cycles));
        }
        None
    }
}
