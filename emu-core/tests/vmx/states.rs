//! What VM entries that fail, VMX aborts, timers and start-up IPIs make of the processor's state.

use crate::guest::*;
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use emu_core::state::system::Activity;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

fn expect_found(guest: &mut Guest, reason: ExitReason) {
    assert_eq!(guest.get(Field::ExitReason), u64::from(reason.field()));
}

// 27.8 "VM-Entry Failures During or After Loading Guest State", step 3.
#[test]
fn vm_entry_that_fails_leaves_blocking_by_nmi_as_the_vmm_had_it() {
    let virtual_nmis = PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS;
    for reason in [ExitReason::EntryFailureGuestState, ExitReason::EntryFailureMsrLoading] {
        for (host, field) in [(false, 8), (true, 0), (true, 8), (false, 0)] {
            for pin in [PinBasedControls::empty(), virtual_nmis] {
                let mut guest = Guest::new(&[0xF4]);
                guest.pin(pin);
                guest.set(Field::GuestInterruptibilityState, field);
                guest.bench.cpu.sys.nmi_blocked = host;
                if reason == ExitReason::EntryFailureGuestState {
                    guest.set(Field::GuestRflags, 0);
                } else {
                    guest.write(PAGES, 0xC000_0100);
                    guest.set(Field::VmEntryMsrLoadAddress, PAGES);
                    guest.set(Field::VmEntryMsrLoadCount, 1);
                }
                guest.expect(reason);
                assert_eq!(guest.bench.cpu.sys.nmi_blocked, host, "{reason:?}, field {field}, {pin:?}");
                guest.bench.cpu.accept_nmi();
                guest.bench.run(100);
                let arrived = guest.bench.cpu.rip() == HANDLERS + u64::from(vector::NMI) + 1;
                assert_eq!(arrived, !host, "an NMI that the VMM sends to itself afterwards");
            }
        }
    }
}

// 28.7 "VMX Aborts": 6, IA-32e mode before the VM exit and "host address-space size" 0; 28.5 "Loading Host State".
#[test]
fn vm_exit_from_ia32e_mode_to_a_32_bit_vmm_is_vmx_abort_6_whatever_cr4_pcide() {
    for pcide in [0, 1 << 17] {
        // NOP; CPUID
        let mut guest = Guest::new(&[0x90, 0x0F, 0xA2]);
        guest.or(Field::HostCr4, pcide);
        guest.enter_until(CODE + 1);
        let exit = guest.get(Field::VmExitControls) & !u64::from(VmExitControls::HOST_ADDRESS_SPACE_SIZE.bits());
        guest.set(Field::VmExitControls, exit);
        guest.bench.run(1000);
        assert_eq!(guest.bench.ram.load(VMCS as usize + 4, 4), 6);
        assert_eq!(guest.bench.cpu.sys.activity, Activity::Shutdown);
    }
}

#[test]
fn vmx_abort_shutdown_is_ended_by_reset_alone() {
    let mut guest = Guest::new(&[0x0F, 0xA2]);
    guest.write(PAGES, 0xC000_0100);
    guest.set(Field::VmExitMsrLoadAddress, PAGES);
    guest.set(Field::VmExitMsrLoadCount, 1);
    guest.run();
    assert_eq!(guest.bench.ram.load(VMCS as usize + 4, 4), 4);
    let rip = guest.bench.cpu.rip();
    guest.bench.cpu.accept_nmi();
    guest.bench.cpu.accept_init();
    guest.bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
    guest.bench.cpu.accept(&message(DeliveryMode::Fixed, 0x40));
    guest.bench.run(1000);
    assert_eq!((guest.bench.cpu.sys.activity, guest.bench.cpu.rip()), (Activity::Shutdown, rip));
    guest.bench.cpu.reset();
    assert_eq!(guest.bench.cpu.sys.activity, Activity::Active);
}

/// A guest that VM entry puts into `activity`, and the cycles that pass until the preemption timer's VM exit.
fn timer_exit(activity: u64, value: u64) -> (Guest, u64) {
    let mut guest = Guest::new(&[0xF4]);
    guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
    guest.set(Field::VmxPreemptionTimerValue, value);
    guest.set(Field::GuestActivityState, activity);
    let start = guest.bench.cpu.cycles;
    guest.start();
    guest.bench.run(1_000_000);
    let passed = guest.bench.cpu.cycles - start;
    (guest, passed)
}

// 26.5.1 "VMX-Preemption Timer".
#[test]
fn preemption_timer_ends_hlt_and_shutdown_in_time_and_never_wait_for_sipi() {
    for activity in [1, 2] {
        let (mut guest, passed) = timer_exit(activity, 1000);
        expect_found(&mut guest, ExitReason::PreemptionTimer);
        let shift = guest.bench.cpu.config.model.vmx().expect("VMX").caps.misc.preemption_timer_shift();
        let expected = 1000 << shift;
        assert!((expected - (1 << shift)..expected + 20).contains(&passed), "state {activity}: {passed}");
        assert_eq!(guest.get(Field::GuestActivityState), activity);
    }
    let (guest, _) = timer_exit(3, 1000);
    assert!(guest.bench.cpu.in_non_root());
    assert_eq!(guest.bench.cpu.sys.activity, Activity::WaitForSipi);
}

#[test]
fn interrupt_that_the_apic_timer_requests_does_not_end_shutdown_before_the_preemption_timer() {
    let mut guest = Guest::new(&[0xF4]);
    guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER | PinBasedControls::EXTERNAL_INTERRUPT_EXITING);
    guest.set(Field::VmxPreemptionTimerValue, 1000);
    guest.set(Field::GuestActivityState, 2);
    guest.bench.cpu.lapic.svr = 0x1FF;
    let now = guest.bench.cpu.cycles;
    for (register, value) in [(0x320, 0x40), (0x3E0, 0xB), (0x380, 50)] {
        assert!(guest.bench.cpu.lapic.write_register(register, value, now, 0).is_ok());
    }
    guest.expect(ExitReason::PreemptionTimer);
    assert_eq!(guest.bench.cpu.lapic.deliverable(), Some(0x40));
}

/// PAUSE; INC EBX; JMP $-4 with PAUSE-loop exiting.
fn pause_loop(gap: u64, window: u64) -> Guest {
    let mut guest = Guest::new(&[0xF3, 0x90, 0xFF, 0xC3, 0xEB, 0xFA]);
    guest.secondary(SecondaryProcessorControls::PAUSE_LOOP_EXITING);
    guest.set(Field::PleGap, gap);
    guest.set(Field::PleWindow, window);
    guest.bench.cpu.gpr[3] = 0;
    guest
}

// 25.6.13 "Controls for PAUSE-Loop Exiting".
#[test]
fn pause_loop_exits_after_as_many_passes_whether_or_not_pause_gives_the_turn_away() {
    let mut passes = [0; 2];
    for (takes_turns, passes) in [false, true].into_iter().zip(&mut passes) {
        let mut guest = pause_loop(10, 300);
        guest.bench.cpu.config.takes_turns = takes_turns;
        guest.start();
        for _ in 0..200 {
            guest.bench.run(10_000);
        }
        expect_found(&mut guest, ExitReason::Pause);
        assert_eq!(guest.get(Field::GuestRip), CODE);
        *passes = guest.bench.cpu.gpr[3];
    }
    assert_eq!(passes[0], passes[1]);
    assert!((90..=110).contains(&passes[0]), "three cycles a pass: {}", passes[0]);
}

#[test]
fn pause_that_gives_the_turn_away_does_not_sleep_through_the_preemption_timer() {
    let mut guest = pause_loop(10, 100_000);
    guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
    guest.set(Field::VmxPreemptionTimerValue, 100);
    guest.bench.cpu.config.takes_turns = true;
    let start = guest.bench.cpu.cycles;
    guest.start();
    guest.bench.run(1_000_000);
    expect_found(&mut guest, ExitReason::PreemptionTimer);
    let shift = guest.bench.cpu.config.model.vmx().expect("VMX").caps.misc.preemption_timer_shift();
    assert!(guest.bench.cpu.cycles - start <= (100 << shift) + 20);
}

fn message(delivery: DeliveryMode, vector: u8) -> ApicMessage {
    ApicMessage {
        destination: 0,
        logical: false,
        delivery,
        vector,
        level_triggered: false,
        assert: true,
        shorthand: Shorthand::None,
    }
}

// 24.8 "Restrictions on VMX Operation"; 26.2 "Other Causes of VM Exits", "Start-up IPIs (SIPIs)".
#[test]
fn startup_ipi_while_root_operation_blocks_an_init_is_discarded() {
    // VMXOFF; NOP; NOP
    let mut guest = Guest::new(&[0xF4]);
    let cpu = &mut guest.bench.cpu;
    cpu.sys.apic_base &= !0x100;
    cpu.accept_init();
    cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
    assert!(cpu.sys.init_pending && !cpu.sys.sipi_pending);
    guest.bench.ram.dma_write(0xB000, &[0x0F, 0x01, 0xC4, 0x90, 0x90]);
    guest.bench.cpu.set_rip(0xB000);
    guest.bench.run(100);
    assert_eq!(guest.bench.cpu.sys.activity, Activity::WaitForSipi, "INIT came after VMXOFF, and no SIPI with it");
    guest.bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9B));
    guest.bench.ram.dma_write(0x9_B000, &[0xF4]);
    guest.bench.run(100);
    assert_eq!(guest.bench.cpu.sys.segments[1].base, 0x9_B000);
}

#[test]
fn startup_ipi_to_a_guest_that_does_not_wait_for_it_is_discarded() {
    for (activity, init) in [(1, false), (2, false), (1, true)] {
        let mut guest = Guest::new(&[0xF4]);
        guest.set(Field::GuestActivityState, activity);
        guest.enter();
        if init {
            guest.bench.cpu.accept_init();
        }
        guest.bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
        assert!(!guest.bench.cpu.sys.sipi_pending);
        guest.bench.run(100);
        assert_eq!(guest.bench.cpu.in_non_root(), !init);
        if init {
            expect_found(&mut guest, ExitReason::Init);
        }
    }
}

// docs/decisions/0009-init-while-waiting-for-sipi.md; 27.7.2 "Activity State".
#[test]
fn init_to_a_guest_that_waits_for_a_startup_ipi_is_dropped() {
    let mut guest = Guest::new(&[0xF4]);
    guest.set(Field::GuestActivityState, 3);
    guest.enter();
    guest.bench.cpu.accept_init();
    guest.bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
    guest.bench.run(1000);
    expect_found(&mut guest, ExitReason::Sipi);
    assert_eq!(guest.get(Field::ExitQualification), 0x9A);
    guest.set(Field::GuestActivityState, 0);
    guest.expect(ExitReason::Hlt);
}

#[test]
fn init_that_root_operation_held_is_pending_still_after_a_startup_ipi_s_exit() {
    let mut guest = Guest::new(&[0xF4]);
    guest.bench.cpu.accept_init();
    guest.set(Field::GuestActivityState, 3);
    guest.enter();
    guest.bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
    guest.bench.run(1000);
    expect_found(&mut guest, ExitReason::Sipi);
    guest.set(Field::GuestActivityState, 0);
    guest.expect(ExitReason::Init);
}

#[test]
fn init_takes_a_startup_ipi_that_came_before_it_away() {
    let mut bench = Bench::real_mode(&[0x90]);
    bench.cpu.sys.apic_base &= !0x100;
    bench.cpu.sys.activity = Activity::WaitForSipi;
    bench.cpu.refresh();
    bench.cpu.accept(&message(DeliveryMode::StartUp, 0x9A));
    bench.cpu.accept_init();
    bench.run(100);
    assert_eq!(bench.cpu.sys.activity, Activity::WaitForSipi);
}

// 26.1.1 "Relative Priority of Faults and VM Exits", 26.1.3 "Instructions That Cause VM Exits Conditionally"; 26.3
// "Changes to Instruction Behavior in VMX Non-Root Operation"; Vol. 2, XSAVES and XRSTORS.
#[test]
fn xsaves_and_xrstors_find_ud_then_privilege_then_the_vm_exit_then_nm() {
    for (opcode, reason) in [(0x2F, ExitReason::Xsaves), (0x1F, ExitReason::Xrstors)] {
        for n in 0..32 {
            let [osxsave, control, privileged, exits, switched] = [0, 1, 2, 3, 4].map(|bit| n >> bit & 1 != 0);
            // XSAVES [RDI] or XRSTORS [RDI], from CPL 3 by way of IRET.
            let mut guest = Guest::new(&[0x0F, 0xC7, opcode, 0xF4]);
            guest.bench.cpu.gpr[7] = DATA;
            guest.bench.cpu.gpr[0] = 0x100;
            guest.bench.cpu.sys.xss = 0x100;
            if !osxsave {
                let cr4 = guest.get(Field::GuestCr4) & !(1 << 18);
                guest.set(Field::GuestCr4, cr4);
            }
            if control {
                guest.secondary(SecondaryProcessorControls::ENABLE_XSAVES_XRSTORS);
            }
            if exits {
                guest.set(Field::XssExitingBitmap, 0x100);
            }
            if switched {
                guest.or(Field::GuestCr0, Cr0::TS.bits());
            }
            // Faults exit, so that there is no need of a stack for the handler.
            guest.set(Field::ExceptionBitmap, u32::MAX.into());
            if !privileged {
                for (field, bits) in [(Field::GuestCsAccessRights, 0x60), (Field::GuestSsAccessRights, 0x60)] {
                    guest.or(field, bits);
                }
                for field in [Field::GuestCsSelector, Field::GuestSsSelector] {
                    guest.or(field, 3);
                }
            }
            let exception = |vector| (0, 0x8000_0300 | u64::from(vector));
            let expected = if !osxsave || !control {
                exception(vector::UD)
            } else if !privileged {
                (0, 0x8000_0B00 | u64::from(vector::GP))
            } else if exits {
                (u64::from(reason.field()), 0)
            } else if switched {
                exception(vector::NM)
            } else {
                continue;
            };
            guest.run();
            let found = (guest.get(Field::ExitReason), guest.get(Field::VmExitInterruptionInformation));
            assert_eq!(found, expected, "{opcode:x} {n:05b}");
        }
    }
}

// 30.3.2 "Saving Segment Registers and Descriptor-Table Registers": bits 31:17 and 11:8 are cleared, also of what is
// unusable, where VM entry does not look at them.
#[test]
fn vm_exit_clears_the_reserved_access_rights_of_unusable_segments() {
    let mut guest = Guest::new(&[0xF4]);
    let fields = [Field::GuestDsAccessRights, Field::GuestEsAccessRights, Field::GuestLdtrAccessRights];
    fields.into_iter().for_each(|field| guest.set(field, 0xFFFF_0F93));
    guest.expect(ExitReason::Hlt);
    for field in fields {
        assert_eq!(guest.get(field) & 0xFFFF_0F00, 0x1_0000, "{field:?}");
    }
}

/// SDM Vol. 3C 30.1 "Architectural State Before a VM Exit".
#[test]
fn exit_that_mf_causes_directly_has_no_blocking_by_sti_or_mov_ss() {
    // FNINIT; FLDCW [DATA]; FLDZ; FLDZ; FDIVP, which is invalid; what blocks; an instruction of another exception, or #MF.
    let divided = [0xDB, 0xE3, 0xD9, 0x2C, 0x25, 0x00, 0x00, 0x05, 0x00, 0xD9, 0xEE, 0xD9, 0xEE, 0xDE, 0xF9];
    for (blocks, bit) in [(&[0xFB][..], 1), (&[0x8E, 0xD0], 2)] {
        for (raises, vector, blocked) in [(&[0x9B][..], vector::MF, 0), (&[0x0F, 0x0B], vector::UD, bit)] {
            let mut guest = Guest::new(&[&divided, blocks, raises].concat());
            guest.write(DATA, 0x037E);
            guest.bench.cpu.gpr[0] = 0x10;
            guest.or(Field::ExceptionBitmap, 1 << vector);
            guest.expect(ExitReason::ExceptionOrNmi);
            assert_eq!(guest.get(Field::VmExitInterruptionInformation) & 0xFF, u64::from(vector));
            assert_eq!(guest.get(Field::GuestInterruptibilityState), blocked, "{blocks:X?} {raises:X?}");
        }
    }
}
