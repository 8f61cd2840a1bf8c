//! The instruction boundary in VMX non-root operation: the ladder of `emu_vmx::boundary`.

use crate::event::boundary::Boundary;
use crate::fault::{EventKind, Fault};
use crate::flags::IF;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::vector;
use emu_vmx::boundary::{self, Mode, Next, Pending, State};
use emu_vmx::vmcs::{ActivityState, Interruptibility};

impl Cpu {
    /// Looks at what waits, highest priority first.
    pub(crate) fn boundary_non_root(&mut self, env: &mut Env) -> Boundary {
        self.emulate_apic_write(env);
        let intr = self.attention.contains(Attention::INTR) && self.accepts_pic();
        let external = intr || self.lapic.deliverable().is_some();
        let Some(non_root) = &self.vmx.non_root else { return Boundary::Again };
        let mut pending = non_root.pending;
        pending.set(Pending::INIT, self.attention.contains(Attention::INIT));
        pending.set(Pending::SIPI, self.attention.contains(Attention::SIPI));
        pending.set(Pending::DEBUG_TRAP, self.sys.pending_debug != 0);
        pending.set(Pending::PREEMPTION_TIMER, self.cycles >= non_root.timer_deadline);
        pending.set(Pending::NMI, self.sys.nmi_pending);
        pending.set(Pending::EXTERNAL_INTERRUPT, external);
        pending.set(Pending::VIRTUAL_INTERRUPT, non_root.virtual_interrupt);
        let mut blocking = Interruptibility::empty();
        blocking.set(Interruptibility::STI, self.sys.shadow == Shadow::Sti);
        blocking.set(Interruptibility::MOV_SS, self.sys.shadow == Shadow::MovSs);
        blocking.set(Interruptibility::NMI, non_root.virtual_nmis() && non_root.virtual_nmi_blocked);
        let state = State {
            mode: Mode::NonRoot(&non_root.controls),
            activity: match self.sys.activity {
                Activity::Active => ActivityState::Active,
                Activity::Hlt => ActivityState::Hlt,
                Activity::Shutdown => ActivityState::Shutdown,
                Activity::WaitForSipi => ActivityState::WaitForSipi,
            },
            interrupt_flag: self.flags.has(IF),
            blocking,
            nmi_blocked: self.sys.nmi_blocked,
            smi_blocked: true,
        };
        match boundary::next(&state, pending) {
            Next::Nothing => self.run_or_stay(env),
            Next::Exit(reason) => self.exit_for_event(env, reason),
            Next::DebugTrap => {
                let conditions = std::mem::take(&mut self.sys.pending_debug);
                self.wake();
                self.deliver_debug(env, conditions);
                Boundary::Again
            }
            Next::Nmi => {
                self.sys.nmi_pending = false;
                self.sys.nmi_blocked = true;
                self.wake();
                self.deliver_event(env, Fault { vector: vector::NMI, kind: EventKind::Nmi, error_code: None });
                Boundary::Again
            }
            Next::VirtualInterrupt => {
                let Some(vector) = self.take_virtual_interrupt(env) else { return Boundary::Again };
                self.wake();
                self.deliver_event(env, Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None });
                Boundary::Again
            }
            Next::ExternalInterrupt => {
                if let Some(vector) = self.take_interrupt(env) {
                    self.wake();
                    self.deliver_event(env, Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None });
                }
                Boundary::Again
            }
            next @ (Next::MachineCheck | Next::Smi | Next::Init | Next::Sipi) => {
                if self.log_once("event in non-root", 0) {
                    log::error!(target: "vmx", "{next:?} in VMX non-root operation: not raised here (SDM Vol. 3C 26.2)");
                }
                self.run_or_stay(env)
            }
        }
    }
}
