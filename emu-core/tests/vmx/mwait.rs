//! MONITOR and MWAIT in VMX operation.

use crate::guest::*;
use emu_core::run::RunExit;
use emu_core::state::system::Activity;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::NO_VMCS;

const MONITOR: [u8; 3] = [0x0F, 0x01, 0xC8];
const MWAIT: [u8; 3] = [0x0F, 0x01, 0xC9];
const CPUID: [u8; 2] = [0x0F, 0xA2];

/// A guest that runs `code` with MONITOR's address in RAX and no extensions.
fn guest(code: &[&[u8]]) -> Guest {
    let mut guest = Guest::new(&[&code.concat()[..], &[0xF4]].concat());
    guest.bench.cpu.gpr[0] = DATA;
    guest.bench.cpu.gpr[1] = 0;
    guest.bench.cpu.gpr[2] = 0;
    guest
}

// 28.2.1 "Basic VM-Exit Information": MWAIT; 27.3.3 and 28.5.6 "Clearing Address-Range Monitoring".
#[test]
fn mwait_exit_says_whether_the_monitor_is_armed() {
    for (code, armed) in [(&[&MONITOR[..], &MWAIT][..], 1), (&[&MWAIT], 0)] {
        let mut guest = guest(code);
        guest.primary(PrimaryProcessorControls::MWAIT_EXITING);
        guest.expect(ExitReason::Mwait);
        assert_eq!((guest.get(Field::ExitQualification), guest.get(Field::VmExitInstructionLength)), (armed, 3));
    }
    let mut guest = guest(&[&MONITOR, &CPUID, &MWAIT]);
    guest.primary(PrimaryProcessorControls::MWAIT_EXITING);
    guest.expect(ExitReason::Cpuid);
    guest.set(Field::GuestRip, CODE + 5);
    guest.expect(ExitReason::Mwait);
    assert_eq!(guest.get(Field::ExitQualification), 0, "VM exit and VM entry have cleared it");
}

#[test]
fn mwait_waits_once_for_each_monitor() {
    // Nothing is armed; then armed for one MWAIT of two.
    for (code, stops) in [(&[&MWAIT[..]][..], 0), (&[&MONITOR, &MWAIT, &MWAIT], 1)] {
        let mut guest = guest(code);
        guest.start();
        let mut stopped = 0;
        while guest.bench.run(1000) == RunExit::Stopped && guest.bench.cpu.in_non_root() {
            assert_eq!(guest.bench.cpu.sys.activity, Activity::Mwait);
            stopped += 1;
        }
        assert_eq!((stopped, guest.get(Field::ExitReason)), (stops, u64::from(ExitReason::Hlt.field())));
    }
}

// 25.4.2 "Guest Non-Register State", footnote to the activity state; 28.1 "Architectural State Before a VM Exit".
#[test]
fn vm_exit_from_mwait_saves_the_active_state_and_leaves_the_vmm_s_next_hlt_alone() {
    let mut guest = guest(&[&MONITOR, &MWAIT]);
    guest.pin(PinBasedControls::NMI_EXITING);
    guest.start();
    assert_eq!(guest.bench.run(1000), RunExit::Stopped);
    assert!(guest.bench.cpu.in_non_root());
    guest.bench.cpu.accept_nmi();
    // In the same turn: nothing but the NMI wakes it.
    guest.bench.go_on(1000);
    assert_eq!(guest.get(Field::ExitReason), u64::from(ExitReason::ExceptionOrNmi.field()));
    assert_eq!((guest.get(Field::GuestActivityState), guest.get(Field::GuestRip)), (0, CODE + 6));
    // The VMM has halted; only an interrupt may end that.
    let rip = guest.bench.cpu.rip();
    assert_eq!(guest.bench.cpu.sys.activity, Activity::Hlt);
    assert_eq!(guest.bench.run(1000), RunExit::Stopped);
    assert_eq!((guest.bench.cpu.sys.activity, guest.bench.cpu.rip()), (Activity::Hlt, rip));
}

#[test]
fn preemption_timer_ends_mwait_in_time() {
    let mut guest = guest(&[&MONITOR, &MWAIT]);
    guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
    guest.set(Field::VmxPreemptionTimerValue, 100);
    let start = guest.bench.cpu.cycles;
    guest.start();
    assert_eq!(guest.bench.run(100_000), RunExit::Stopped);
    // Who gives the turns goes on to the deadline at the latest.
    let deadline = guest.bench.cpu.wake_deadline();
    let shift = guest.bench.cpu.config.model.vmx().expect("VMX").caps.misc.preemption_timer_shift();
    assert!(deadline - start <= (100 << shift) + 20);
    guest.bench.cpu.cycles = deadline;
    guest.bench.run(100_000);
    assert_eq!(guest.get(Field::ExitReason), u64::from(ExitReason::PreemptionTimer.field()));
    assert_eq!(guest.get(Field::GuestActivityState), 0);
}

// 26.3 "Changes to Instruction Behavior in VMX Non-Root Operation": MWAIT.
#[test]
fn mwait_that_masked_interrupts_end_does_not_wait_with_interrupt_window_exiting() {
    for (window, waits) in [(false, true), (true, false)] {
        // MONITOR; INC ECX; MWAIT with IF clear.
        let mut guest = guest(&[&MONITOR, &[0xFF, 0xC1], &MWAIT]);
        if window {
            guest.primary(PrimaryProcessorControls::INTERRUPT_WINDOW_EXITING);
        }
        guest.start();
        guest.bench.run(1000);
        assert_eq!(guest.bench.cpu.in_non_root(), waits);
    }
}

// Vol. 2B, UMWAIT: not without UMONITOR; MONITOR does not arm it, nor UMONITOR MWAIT.
#[test]
fn umwait_waits_only_after_umonitor_and_mwait_only_after_monitor() {
    const UMONITOR: [u8; 4] = [0xF3, 0x0F, 0xAE, 0xF0];
    // UMWAIT ECX until the TSC is EDX:EAX; RAX is the address of UMONITOR, too.
    const UMWAIT: [u8; 4] = [0xF2, 0x0F, 0xAE, 0xF1];
    for (first, waits) in [(&UMONITOR[..], true), (&MONITOR, false), (&[][..], false)] {
        let mut guest = guest(&[first, &UMWAIT]);
        guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
        let start = guest.bench.cpu.cycles;
        guest.start();
        guest.bench.run(1_000_000);
        assert_eq!(guest.get(Field::ExitReason), u64::from(ExitReason::Hlt.field()));
        let passed = guest.bench.cpu.cycles - start;
        assert_eq!(passed > 10_000, waits, "{first:x?}: {passed}");
    }
    let mut guest = guest(&[&UMONITOR, &MWAIT]);
    guest.secondary(SecondaryProcessorControls::ENABLE_USER_WAIT_AND_PAUSE);
    guest.primary(PrimaryProcessorControls::MWAIT_EXITING);
    guest.expect(ExitReason::Mwait);
    assert_eq!(guest.get(Field::ExitQualification), 0);
}

// 33.3 "VMX Instructions", VMXON and VMXOFF: address-range monitoring is cleared.
#[test]
fn vmxon_and_vmxoff_clear_the_monitor() {
    // The VMM's own: MONITOR; VMXOFF; MWAIT. MONITOR; VMXON [RBX]; MWAIT.
    let off = [&MONITOR[..], &[0x0F, 0x01, 0xC4], &MWAIT, &[0xF4]].concat();
    let on = [&MONITOR[..], &[0xF3, 0x0F, 0xC7, 0x33], &MWAIT, &[0xF4]].concat();
    let none = [&MONITOR[..], &MWAIT, &[0xF4]].concat();
    for (code, activity) in [(&off, Activity::Hlt), (&on, Activity::Hlt), (&none, Activity::Mwait)] {
        let mut guest = guest(&[]);
        let revision = guest.bench.cpu.config.model.vmx().expect("it has VMX").caps.basic.revision_id();
        guest.write(DATA + 0x1000, u64::from(revision));
        guest.write(DATA, DATA + 0x1000);
        let cpu = &mut guest.bench.cpu;
        if code == &on {
            cpu.vmx.vmxon = NO_VMCS;
            cpu.vmx.current = NO_VMCS;
            cpu.sys.plain_msrs.insert(0x3A, 5);
        }
        cpu.gpr[3] = DATA;
        guest.bench.ram.dma_write(CODE, code);
        guest.bench.cpu.set_rip(CODE);
        guest.bench.run(100);
        assert_eq!(guest.bench.cpu.sys.activity, activity, "{code:x?}");
        assert_eq!(guest.bench.cpu.flags.get() & 0x41, 0);
    }
}
