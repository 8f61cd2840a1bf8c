//! What happens at an instruction boundary: one ladder of priorities (SDM Vol. 3A Table 6-2 "Priority Among Concurrent
//! Events"; Vol. 3C 26.2 "Other Causes of VM Exits", 26.5.1 "VMX-Preemption Timer", 26.5.2 "Monitor Trap Flag",
//! 27.7 "Special Features of VM Entry", 30.2.2 "Virtual-Interrupt Delivery").

use crate::controls::*;
use crate::exit::ExitReason;
use crate::intercept::ExecutionControls;
use crate::vmcs::{ActivityState, Interruptibility};
use serde::{Deserialize, Serialize};

bitflags::bitflags! {
    /// What is pending.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
    pub struct Pending: u32 {
        /// Machine check.
        const MACHINE_CHECK = 1 << 0;
        /// TPR below threshold, found by VM entry or by TPR virtualization.
        const TPR_BELOW_THRESHOLD = 1 << 1;
        /// Virtualized EOI that exits.
        const VIRTUALIZED_EOI = 1 << 2;
        /// APIC-write VM exit.
        const APIC_WRITE = 1 << 3;
        /// System-management interrupt.
        const SMI = 1 << 4;
        /// INIT signal.
        const INIT = 1 << 5;
        /// Start-up IPI (only waited for in the wait-for-SIPI state).
        const SIPI = 1 << 6;
        /// MTF VM exit.
        const MTF = 1 << 7;
        /// Debug trap on the previous instruction (single step, data or I/O breakpoint), or task-switch trap.
        const DEBUG_TRAP = 1 << 8;
        /// The VMX-preemption timer has counted down to zero.
        const PREEMPTION_TIMER = 1 << 9;
        /// Non-maskable interrupt.
        const NMI = 1 << 10;
        /// External interrupt that the local APIC (or the PIC) offers; its TPR has already been respected.
        const EXTERNAL_INTERRUPT = 1 << 11;
        /// A virtual interrupt is recognized: RVI is above VPPR.
        const VIRTUAL_INTERRUPT = 1 << 12;
    }
}

/// Where the processor is.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Outside VMX operation.
    NoVmx,
    /// VMX root operation: INIT is blocked.
    Root,
    /// VMX non-root operation.
    NonRoot(&'a ExecutionControls),
}

/// What to do. `Exit` carries the basic exit reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Execute the next instruction, or stay in the inactive state.
    Nothing,
    /// VM exit.
    Exit(ExitReason),
    /// Deliver #MC.
    MachineCheck,
    /// Enter system-management mode.
    Smi,
    /// INIT: reset to the state after INIT.
    Init,
    /// Start at the SIPI's vector.
    Sipi,
    /// Deliver #DB (as an exception, which may still exit by the exception bitmap).
    DebugTrap,
    /// Deliver an NMI.
    Nmi,
    /// Deliver the virtual interrupt RVI.
    VirtualInterrupt,
    /// Acknowledge and deliver an external interrupt.
    ExternalInterrupt,
}

/// State of the processor that blocks events.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// Mode.
    pub mode: Mode<'a>,
    /// Activity state.
    pub activity: ActivityState,
    /// RFLAGS.IF.
    pub interrupt_flag: bool,
    /// Blocking by STI, MOV SS, SMI (in SMM) and NMI. With “virtual NMIs” bit NMI is virtual-NMI blocking.
    pub blocking: Interruptibility,
    /// “Virtual NMIs” aside: NMIs are physically blocked (an NMI handler of the host has not executed IRET).
    pub nmi_blocked: bool,
    /// A20M or SMX state that blocks SMI: SMIs are masked.
    pub smi_blocked: bool,
}

/// The highest-priority event that is pending and not blocked.
#[inline]
pub fn next(state: &State, pending: Pending) -> Next {
    use PrimaryProcessorControls as P1;
    let controls = match state.mode {
        Mode::NonRoot(controls) => Some(controls),
        _ => None,
    };
    let has = |event| pending.contains(event);
    let pin = |bit| controls.is_some_and(|c| c.pin.contains(bit));
    let primary = |bit| controls.is_some_and(|c| c.primary.contains(bit));

    // Wait-for-SIPI: everything but SIPI, and INIT outside VMX operation (and machine checks outside our scope), is
    // blocked.
    if state.activity == ActivityState::WaitForSipi {
        return match state.mode {
            // It stays in this state, and a SIPI that has come since then starts it.
            Mode::NoVmx if has(Pending::INIT) => Next::Init,
            Mode::NonRoot(_) if has(Pending::SIPI) => Next::Exit(ExitReason::Sipi),
            _ if has(Pending::SIPI) => Next::Sipi,
            _ => Next::Nothing,
        };
    }
    let shutdown = state.activity == ActivityState::Shutdown;
    let mov_ss = state.blocking.contains(Interruptibility::MOV_SS);
    let sti = state.blocking.contains(Interruptibility::STI);

    // 1. Machine check.
    if has(Pending::MACHINE_CHECK) {
        return Next::MachineCheck;
    }
    // Trap-like VM exits of the instruction (or VM entry) that just ended come before SMI, INIT and all below
    // (27.7.7 "VM Exits Induced by the TPR Threshold", 30.4.3.3 "APIC-Write VM Exits").
    // In the shutdown state they wait until an event ends it.
    if controls.is_some() && !shutdown {
        let trap_like = [
            (Pending::TPR_BELOW_THRESHOLD, ExitReason::TprBelowThreshold),
            (Pending::VIRTUALIZED_EOI, ExitReason::VirtualizedEoi),
            (Pending::APIC_WRITE, ExitReason::ApicWrite),
        ];
        if let Some((_, reason)) = trap_like.into_iter().find(|(event, _)| has(*event)) {
            return Next::Exit(reason);
        }
    }
    // 3. External hardware interventions: SMI, INIT. SMIs do not exit (no dual-monitor treatment).
    if has(Pending::SMI) && !state.smi_blocked && !state.blocking.contains(Interruptibility::SMI) {
        return Next::Smi;
    }
    if has(Pending::INIT) {
        match state.mode {
            Mode::NoVmx => return Next::Init,
            Mode::NonRoot(_) => return Next::Exit(ExitReason::Init),
            // Blocked, stays pending.
            Mode::Root => {}
        }
    }
    // MTF VM exits come before debug traps (26.5.2); none in the shutdown state.
    if has(Pending::MTF) && controls.is_some() && !shutdown {
        return Next::Exit(ExitReason::MonitorTrapFlag);
    }
    // 4. Traps on the previous instruction. MOV SS holds them back for one instruction.
    if has(Pending::DEBUG_TRAP) && !mov_ss && !shutdown {
        return Next::DebugTrap;
    }
    // The preemption timer comes after debug traps and before the NMI window (26.5.1); it works in every state but
    // wait-for-SIPI.
    if has(Pending::PREEMPTION_TIMER) && pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER) {
        return Next::Exit(ExitReason::PreemptionTimer);
    }
    // 5. NMI window, NMI: both also end the shutdown state (27.7.6).
    let virtual_nmis = pin(PinBasedControls::VIRTUAL_NMIS);
    let virtual_nmi_blocked = virtual_nmis && state.blocking.contains(Interruptibility::NMI);
    // Blocking by STI holds the window back, too, and NMIs themselves not.
    if primary(P1::NMI_WINDOW_EXITING) && !virtual_nmi_blocked && !sti && !mov_ss {
        return Next::Exit(ExitReason::NmiWindow);
    }
    let nmi_blocked = state.nmi_blocked || (!virtual_nmis && state.blocking.contains(Interruptibility::NMI)) || mov_ss;
    if has(Pending::NMI) && !nmi_blocked {
        return match pin(PinBasedControls::NMI_EXITING) {
            true => Next::Exit(ExitReason::ExceptionOrNmi),
            false => Next::Nmi,
        };
    }
    if shutdown {
        return Next::Nothing;
    }
    // 6. Interrupt window, virtual interrupt, external interrupt.
    let interruptible = state.interrupt_flag && !sti && !mov_ss;
    if interruptible && primary(P1::INTERRUPT_WINDOW_EXITING) {
        return Next::Exit(ExitReason::InterruptWindow);
    }
    let virtual_delivery =
        controls.is_some_and(|c| c.secondary.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY));
    if interruptible && virtual_delivery && has(Pending::VIRTUAL_INTERRUPT) {
        return Next::VirtualInterrupt;
    }
    if has(Pending::EXTERNAL_INTERRUPT) {
        // 26.4.1: with “external-interrupt exiting” RFLAGS.IF does not block, STI and MOV SS do.
        if pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING) {
            if !sti && !mov_ss {
                return Next::Exit(ExitReason::ExternalInterrupt);
            }
        } else if interruptible {
            return Next::ExternalInterrupt;
        }
    }
    Next::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(controls: &ExecutionControls) -> State<'_> {
        State {
            mode: Mode::NonRoot(controls),
            activity: ActivityState::Active,
            interrupt_flag: false,
            blocking: Interruptibility::empty(),
            nmi_blocked: false,
            smi_blocked: false,
        }
    }

    #[test]
    fn boundary_events_in_non_root_come_in_the_order_of_the_table() {
        let controls = ExecutionControls {
            pin: PinBasedControls::all(),
            primary: PrimaryProcessorControls::NMI_WINDOW_EXITING | PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING,
            secondary: SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY,
            ..ExecutionControls::default()
        };
        let mut state = state(&controls);
        state.interrupt_flag = true;
        let mut pending = Pending::all();
        let mut seen = alloc::vec::Vec::new();
        for event in [
            Pending::MACHINE_CHECK,
            Pending::TPR_BELOW_THRESHOLD,
            Pending::VIRTUALIZED_EOI,
            Pending::APIC_WRITE,
            Pending::SMI,
            Pending::INIT,
            Pending::MTF,
            Pending::DEBUG_TRAP,
            Pending::PREEMPTION_TIMER,
        ] {
            seen.push(next(&state, pending));
            pending.remove(event);
        }
        use ExitReason as R;
        assert_eq!(
            seen,
            [
                Next::MachineCheck,
                Next::Exit(R::TprBelowThreshold),
                Next::Exit(R::VirtualizedEoi),
                Next::Exit(R::ApicWrite),
                Next::Smi,
                Next::Exit(R::Init),
                Next::Exit(R::MonitorTrapFlag),
                Next::DebugTrap,
                Next::Exit(R::PreemptionTimer),
            ]
        );
        assert_eq!(next(&state, pending), Next::Exit(R::NmiWindow));
        state.blocking = Interruptibility::NMI;
        assert_eq!(next(&state, pending), Next::Exit(R::ExceptionOrNmi), "a virtual NMI block does not stop an NMI");
        state.nmi_blocked = true;
        assert_eq!(next(&state, pending), Next::Exit(R::InterruptWindow));
        let no_window = ExecutionControls { primary: PrimaryProcessorControls::empty(), ..controls };
        state.mode = Mode::NonRoot(&no_window);
        assert_eq!(next(&state, pending), Next::VirtualInterrupt);
        pending.remove(Pending::VIRTUAL_INTERRUPT);
        assert_eq!(next(&state, pending), Next::Exit(R::ExternalInterrupt));
    }

    #[test]
    fn external_interrupt_exits_with_if_0_but_not_under_sti() {
        let exiting =
            ExecutionControls { pin: PinBasedControls::EXTERNAL_INTERRUPT_EXITING, ..ExecutionControls::default() };
        let mut s = state(&exiting);
        assert_eq!(next(&s, Pending::EXTERNAL_INTERRUPT), Next::Exit(ExitReason::ExternalInterrupt));
        s.activity = ActivityState::Hlt;
        assert_eq!(next(&s, Pending::EXTERNAL_INTERRUPT), Next::Exit(ExitReason::ExternalInterrupt));
        s.activity = ActivityState::Active;
        s.blocking = Interruptibility::STI;
        assert_eq!(next(&s, Pending::EXTERNAL_INTERRUPT), Next::Nothing);
        let none = ExecutionControls::default();
        assert_eq!(next(&state(&none), Pending::EXTERNAL_INTERRUPT), Next::Nothing);
    }

    #[test]
    fn init_is_blocked_in_root_and_resets_outside_vmx() {
        let none = ExecutionControls::default();
        assert_eq!(next(&State { mode: Mode::Root, ..state(&none) }, Pending::INIT), Next::Nothing);
        assert_eq!(next(&State { mode: Mode::NoVmx, ..state(&none) }, Pending::INIT), Next::Init);
    }

    #[test]
    fn wait_for_sipi_takes_nothing_but_sipi() {
        let none = ExecutionControls::default();
        let s = State { activity: ActivityState::WaitForSipi, ..state(&none) };
        assert_eq!(next(&s, Pending::INIT | Pending::NMI | Pending::SMI), Next::Nothing);
        assert_eq!(next(&s, Pending::SIPI), Next::Exit(ExitReason::Sipi));
        let no_vmx = State { mode: Mode::NoVmx, ..s };
        assert_eq!(next(&no_vmx, Pending::SIPI), Next::Sipi);
        assert_eq!(next(&no_vmx, Pending::INIT | Pending::SIPI), Next::Init);
    }

    #[test]
    fn mov_ss_holds_back_debug_traps_and_nmis() {
        let none = ExecutionControls::default();
        let s = State { blocking: Interruptibility::MOV_SS, ..state(&none) };
        assert_eq!(next(&s, Pending::DEBUG_TRAP | Pending::NMI), Next::Nothing);
        assert_eq!(next(&state(&none), Pending::DEBUG_TRAP | Pending::NMI), Next::DebugTrap);
    }

    // 28.2 "Other Causes of VM Exits".
    #[test]
    fn nmi_window_waits_for_blocking_by_sti_and_by_mov_ss_and_nmis_for_the_latter() {
        let window = ExecutionControls {
            pin: PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS,
            primary: PrimaryProcessorControls::NMI_WINDOW_EXITING,
            ..ExecutionControls::default()
        };
        let under = |blocking, pending| next(&State { blocking, ..state(&window) }, pending);
        assert_eq!(under(Interruptibility::empty(), Pending::empty()), Next::Exit(ExitReason::NmiWindow));
        for blocking in [Interruptibility::STI, Interruptibility::MOV_SS, Interruptibility::NMI] {
            assert_eq!(under(blocking, Pending::empty()), Next::Nothing);
        }
        assert_eq!(under(Interruptibility::STI, Pending::NMI), Next::Exit(ExitReason::ExceptionOrNmi));
        assert_eq!(under(Interruptibility::MOV_SS, Pending::NMI), Next::Nothing);
    }

    #[test]
    fn shutdown_takes_nmis_and_the_nmi_window_but_no_mtf_or_interrupt_window() {
        let controls = ExecutionControls {
            pin: PinBasedControls::EXTERNAL_INTERRUPT_EXITING | PinBasedControls::NMI_EXITING,
            primary: PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING,
            ..ExecutionControls::default()
        };
        let s = State { activity: ActivityState::Shutdown, interrupt_flag: true, ..state(&controls) };
        let pending = Pending::MTF | Pending::TPR_BELOW_THRESHOLD | Pending::EXTERNAL_INTERRUPT;
        assert_eq!(next(&s, pending), Next::Nothing);
        assert_eq!(next(&s, pending | Pending::NMI), Next::Exit(ExitReason::ExceptionOrNmi));
        let window = ExecutionControls {
            pin: controls.pin | PinBasedControls::VIRTUAL_NMIS,
            primary: PrimaryProcessorControls::NMI_WINDOW_EXITING,
            ..controls
        };
        assert_eq!(next(&State { mode: Mode::NonRoot(&window), ..s }, pending), Next::Exit(ExitReason::NmiWindow));
    }
}
