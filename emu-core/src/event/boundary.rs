//! The instruction boundary: which waiting event comes next (SDM Vol. 3A Table 6-2, "Priority Among Concurrent
//! Events").

use crate::fault::{EventKind, Fault};
use crate::flags::{IF, TF};
use crate::run::RunExit;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::vector;

impl Cpu {
    /// Derives what the boundary has to look at from the state.
    pub fn refresh_attention(&mut self) {
        let step = self.flags.has(TF)
            || self.sys.shadow != Shadow::None
            || self.sys.pending_debug != 0
            || self.has_code_breakpoints();
        self.attention.set(Attention::STEP, step);
        self.attention.set(Attention::STOPPED, self.sys.activity != Activity::Active);
        self.attention.set(Attention::NMI, self.sys.nmi_pending);
    }

    /// Whether a maskable interrupt would be taken now.
    pub fn accepts_interrupts(&self) -> bool {
        self.flags.has(IF) && self.sys.shadow == Shadow::None
    }

    /// Looks at what waits, highest priority first. `Some` when the processor cannot run.
    pub fn boundary(&mut self, env: &mut Env) -> Option<RunExit> {
        if self.attention.contains(Attention::INIT) {
            self.take_init();
        }
        if self.attention.contains(Attention::SIPI) && self.sys.activity == Activity::WaitForSipi {
            self.take_sipi();
        }
        if matches!(self.sys.activity, Activity::Shutdown | Activity::WaitForSipi) {
            return Some(RunExit::Stopped);
        }
        self.single_step = false;
        // Traps on the previous instruction (BS, data and I/O breakpoints), unless MOV SS holds them back.
        if self.sys.pending_debug != 0 && self.sys.shadow != Shadow::MovSs {
            self.sys.activity = Activity::Active;
            let conditions = std::mem::take(&mut self.sys.pending_debug);
            self.sys.shadow = Shadow::None;
            self.deliver_debug(env, conditions);
            return None;
        }
        if self.sys.nmi_pending && !self.sys.nmi_blocked && self.sys.shadow != Shadow::MovSs {
            self.sys.nmi_pending = false;
            self.sys.activity = Activity::Active;
            self.sys.nmi_blocked = true;
            self.deliver_event(env, Fault { vector: vector::NMI, kind: EventKind::Nmi, error_code: None });
            self.refresh_attention();
            return None;
        }
        if self.accepts_interrupts()
            && let Some(vector) = self.take_interrupt(env)
        {
            self.sys.activity = Activity::Active;
            self.deliver_event(env, Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None });
            self.refresh_attention();
            return None;
        }
        if self.sys.activity == Activity::Hlt {
            return Some(RunExit::Stopped);
        }
        // Instruction breakpoints come before the instruction, unless RF or MOV SS holds them back.
        if self.has_code_breakpoints()
            && !self.flags.has(crate::flags::RF)
            && self.sys.shadow != Shadow::MovSs
            && let Some(hits) = self.code_breakpoint_hits()
        {
            self.fault_debug(env, hits);
            return None;
        }
        if self.attention.contains(Attention::STEP) {
            self.single_step = true;
        }
        self.refresh_attention();
        None
    }

    fn take_interrupt(&mut self, env: &mut Env) -> Option<u8> {
        if let Some(vector) = self.lapic_take_interrupt(env) {
            return Some(vector);
        }
        if self.attention.contains(Attention::INTR) && self.accepts_pic() {
            return Some(env.bus.interrupt_acknowledge(self.cycles));
        }
        None
    }

    /// After an instruction that ran alone: the trap flag's #DB, and the end of the shadow it ran in.
    pub(crate) fn after_single_step(&mut self) {
        self.single_step = false;
        // The flags that matter are those the instruction began with; POPF and IRET that set TF trap one later,
        // which holds because a change of TF asks for the boundary itself.
        self.end_of_stepped_instruction();
        self.refresh_attention();
    }
}
