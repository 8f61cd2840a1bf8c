//! The instruction boundary: gathers what waits, asks the ladder of [`emu_vmx::boundary`] what comes next, and carries
//! it out.

use crate::fault::{EventKind, Fault};
use crate::flags::{IF, RF, TF};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::{Activity, Shadow};
use emu_vmx::arch::vector;
use emu_vmx::boundary::{self, Mode, Next, Pending, State};
use emu_vmx::vmcs::{ActivityState, Interruptibility};

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

/// What VMX non-root operation itself leaves for the boundary.
const TRAP_LIKE: Pending =
    Pending::TPR_BELOW_THRESHOLD.union(Pending::VIRTUALIZED_EOI).union(Pending::APIC_WRITE).union(Pending::MTF);

impl Cpu {
    /// Derives what the boundary has to look at from the state.
    pub fn refresh_attention(&mut self) {
        let step = self.flags.has(TF | RF)
            || self.sys.shadow != Shadow::None
            || self.sys.pending_debug != 0
            || self.has_code_breakpoints()
            || self.vmx.non_root.as_ref().is_some_and(|non_root| non_root.mtf());
        let bit = |flag: Attention, on: bool| if on { flag } else { Attention::empty() };
        self.attention = self.attention & Attention::APIC
            | bit(Attention::STEP, step)
            | bit(Attention::STOPPED, self.sys.activity != Activity::Active)
            | bit(Attention::INTR, self.sys.intr || self.sys.ext_int)
            | bit(Attention::NMI, self.sys.nmi_pending)
            | bit(Attention::INIT, self.sys.init_pending)
            | bit(Attention::SIPI, self.sys.sipi_pending)
            | bit(Attention::VMX, self.vmx.non_root.as_ref().is_some_and(|n| n.needs_boundary()));
    }

    /// Looks at what waits, highest priority first.
    #[inline(never)]
    pub fn boundary(&mut self, env: &mut Env) -> Boundary {
        if self.vmx.aborted {
            return Boundary::Stopped;
        }
        if self.in_non_root() {
            self.emulate_apic_write(env);
        } else if self.nothing_waits() {
            return self.run_or_stay(env);
        }
        match self.next_event() {
            Next::Nothing => return self.run_or_stay(env),
            Next::Exit(reason) => return self.exit_for_event(env, reason),
            Next::Init => self.take_init(),
            Next::Sipi => self.take_sipi(),
            Next::DebugTrap => {
                let conditions = std::mem::take(&mut self.sys.pending_debug);
                self.cycles += 1;
                self.deliver_debug(env, conditions);
            }
            Next::Nmi => {
                self.sys.nmi_pending = false;
                self.sys.nmi_blocked = true;
                self.wake();
                self.deliver_event(env, Fault { vector: vector::NMI, kind: EventKind::Nmi, error_code: None });
            }
            next @ (Next::VirtualInterrupt | Next::ExternalInterrupt) => {
                let vector = match next {
                    Next::VirtualInterrupt => self.take_virtual_interrupt(env),
                    _ => self.take_interrupt(env),
                };
                if let Some(vector) = vector {
                    self.wake();
                    self.deliver_event(env, Fault { vector, kind: EventKind::ExternalInterrupt, error_code: None });
                }
            }
            next @ (Next::MachineCheck | Next::Smi) => {
                unreachable!("{next:?} is never pending here")
            }
        }
        Boundary::Again
    }

    /// Outside VMX non-root operation nothing waits, or interrupts do while IF is clear: the ladder need not be asked.
    fn nothing_waits(&self) -> bool {
        let maskable = Attention::INTR | Attention::APIC;
        let waiting = self.attention - (Attention::STEP | Attention::STOPPED);
        (waiting.is_empty() || (maskable.contains(waiting) && !self.flags.has(IF))) && self.sys.pending_debug == 0
    }

    /// What the ladder says of the present state.
    fn next_event(&self) -> Next {
        let sys = &self.sys;
        let interrupt_flag = self.flags.has(IF);
        let mut pending = Pending::empty();
        let mut blocking = Interruptibility::empty();
        let mode = match &self.vmx.non_root {
            Some(non_root) => {
                pending = non_root.pending & TRAP_LIKE;
                pending.set(Pending::PREEMPTION_TIMER, self.cycles >= non_root.timer_deadline);
                pending.set(Pending::VIRTUAL_INTERRUPT, non_root.virtual_interrupt);
                blocking.set(Interruptibility::NMI, non_root.virtual_nmis() && non_root.virtual_nmi_blocked);
                Mode::NonRoot(&non_root.controls)
            }
            None if self.vmx.on() => Mode::Root,
            None => Mode::NoVmx,
        };
        let non_root = matches!(mode, Mode::NonRoot(_));
        pending.set(Pending::INIT, sys.init_pending);
        pending.set(Pending::SIPI, sys.sipi_pending);
        pending.set(Pending::DEBUG_TRAP, sys.pending_debug != 0);
        pending.set(Pending::NMI, sys.nmi_pending);
        let apic = self.attention.contains(Attention::APIC);
        debug_assert_eq!(apic, self.lapic.deliverable().is_some());
        let external = apic || sys.ext_int || (sys.intr && self.accepts_pic());
        pending.set(Pending::EXTERNAL_INTERRUPT, external);
        blocking.set(Interruptibility::STI, sys.shadow == Shadow::Sti);
        blocking.set(Interruptibility::MOV_SS, sys.shadow == Shadow::MovSs);
        let state = State {
            mode,
            activity: match sys.activity {
                Activity::Active => ActivityState::Active,
                Activity::Hlt | Activity::Mwait => ActivityState::Hlt,
                Activity::Shutdown => ActivityState::Shutdown,
                Activity::WaitForSipi => ActivityState::WaitForSipi,
            },
            interrupt_flag,
            blocking,
            // STI holds NMIs back too, as the SDM lets it (Vol. 2B, STI): an NMI does not come between STI and HLT.
            nmi_blocked: sys.nmi_blocked || (!non_root && sys.shadow == Shadow::Sti),
            smi_blocked: true,
        };
        boundary::next(&state, pending)
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
            && !self.carried.repeating
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
    fn wake(&mut self) {
        self.set_activity(Activity::Active);
        self.cycles += 1;
    }

    /// Acknowledges the interrupt that the local APIC or the PIC offers.
    pub(crate) fn take_interrupt(&mut self, env: &mut Env) -> Option<u8> {
        if let Some(vector) = self.lapic_take_interrupt(env) {
            return Some(vector);
        }
        if std::mem::take(&mut self.sys.ext_int) {
            self.refresh_attention();
            return Some(env.bus.interrupt_acknowledge(self.cycles));
        }
        if self.sys.intr && self.accepts_pic() {
            return Some(env.bus.interrupt_acknowledge(self.cycles));
        }
        None
    }
}
