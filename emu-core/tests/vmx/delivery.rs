//! VM exits in the middle of things: during event delivery, between the iterations of a string instruction, in IRET.
//! [`crate::matrix`] checks every saved field of every combination; here are the rules, one by one.

use crate::guest::*;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

const RF: u64 = 1 << 16;
const UD2: [u8; 2] = [0x0F, 0x0B];
/// An address that guest paging does not map.
const UNMAPPED: u64 = 0x4000_0000;

/// MOV RAX, [`address`].
fn load(address: u64) -> Vec<u8> {
    [&[0x48, 0xA1][..], &address.to_le_bytes()].concat()
}

/// #GP(0): a load from an address that is not canonical.
fn gp() -> Vec<u8> {
    load(1 << 63)
}

/// Makes the gate of `vector` absent: its delivery is #NP.
fn absent(guest: &mut Guest, vector: u8) {
    let place = IDT + 16 * u64::from(vector);
    let gate = guest.read(place);
    guest.write(place, gate & !(1 << 47));
}

fn exit_on(guest: &mut Guest, vectors: &[u8]) {
    guest.set(Field::ExceptionBitmap, vectors.iter().map(|vector| 1 << vector).sum());
}

/// Exit reason, VM-exit interruption information and error code, IDT-vectoring information.
fn events(guest: &mut Guest) -> [u64; 4] {
    let mut found = [
        Field::ExitReason,
        Field::VmExitInterruptionInformation,
        Field::VmExitInterruptionErrorCode,
        Field::IdtVectoringInformation,
    ]
    .map(|field| guest.get(field));
    if found[1] >> 11 & 1 == 0 {
        found[2] = 0;
    }
    found
}

/// SDM Vol. 3C, "Other Causes of VM Exits", "Information for VM Exits During Event Delivery".
#[test]
fn exception_during_delivery_is_held_against_the_bitmap_before_it_becomes_a_double_fault() {
    // #GP, whose gate is absent, with and without #NP in the bitmap; then with #DF alone, then with its gate absent too.
    let delivery_of_gp = |vectors: &[u8], gone: &[u8]| {
        let mut guest = Guest::new(&gp());
        exit_on(&mut guest, vectors);
        gone.iter().for_each(|vector| absent(&mut guest, *vector));
        guest.run();
        events(&mut guest)
    };
    assert_eq!(delivery_of_gp(&[vector::NP], &[13]), [0, 0x8000_0B0B, 13 << 3 | 3, 0x8000_0B0D]);
    assert_eq!(delivery_of_gp(&[vector::DF], &[13]), [0, 0x8000_0B08, 0, 0]);
    // The third exception is that of the double fault's delivery.
    assert_eq!(delivery_of_gp(&[], &[13, 8]), [2, 0, 0, 0]);
    let mut guest = Guest::new(&gp());
    // #NP with an error code of which bit 1 is clear cannot come of a gate: only the gate of #DF leads to the exit.
    exit_on(&mut guest, &[vector::TS]);
    absent(&mut guest, 13);
    // The gate of #DF has IST 1, which lies beyond the TSS's limit.
    guest.set(Field::GuestTrLimit, 0x67);
    let gate = guest.read(IDT + 16 * 8);
    guest.write(IDT + 16 * 8, gate | 1 << 32);
    guest.set(Field::GuestTrBase, PAGES);
    guest.set(Field::GuestTrLimit, 0x20);
    guest.run();
    assert_eq!(events(&mut guest), [0, 0x8000_0B0A, 1, 0x8000_0B08]);
}

/// SDM Vol. 3C, "VM Exits During Event Injection".
#[test]
fn exception_during_delivery_of_an_injected_double_fault_exits_before_the_triple_fault() {
    for (vectors, found) in [(&[vector::NP][..], [0, 0x8000_0B0B, 8 << 3 | 3, 0x8000_0B08]), (&[], [2, 0, 0, 0])] {
        let mut guest = Guest::new(&[0xF4]);
        guest.set(Field::VmEntryInterruptionInformation, 0x8000_0B08);
        guest.set(Field::VmEntryExceptionErrorCode, 0);
        exit_on(&mut guest, vectors);
        absent(&mut guest, 8);
        guest.run();
        assert_eq!(events(&mut guest), found);
    }
}

/// SDM Vol. 3C, "Other Causes of VM Exits": the mask and the match of page faults count for nested ones too.
#[test]
fn nested_page_fault_exits_by_its_error_code_and_cr2_is_that_of_the_first() {
    for (wanted, exits) in [(0, true), (2, false)] {
        // A #PF that reads exits, or does not; that of the first is a write, of the second a read of the IDT.
        let store = [&[0x48, 0xA3][..], &UNMAPPED.to_le_bytes()].concat();
        let mut guest = Guest::new(&store);
        guest.set(Field::GuestIdtrBase, UNMAPPED + 0x1000);
        exit_on(&mut guest, &[vector::PF]);
        guest.set(Field::PageFaultErrorCodeMask, 2);
        guest.set(Field::PageFaultErrorCodeMatch, wanted);
        guest.run();
        let cr2 = guest.bench.cpu.sys.cr2;
        if exits {
            assert_eq!(events(&mut guest), [0, 0x8000_0B0E, 0, 0x8000_0B0E]);
            assert_eq!(guest.get(Field::ExitQualification), UNMAPPED + 0x1000 + 16 * 14);
            assert_eq!((guest.get(Field::IdtVectoringErrorCode), cr2), (2, UNMAPPED));
        } else {
            assert_eq!(events(&mut guest), [0, 0x8000_0B0E, 2, 0]);
            assert_eq!((guest.get(Field::ExitQualification), cr2), (UNMAPPED, 0));
        }
    }
}

fn saved_rf(guest: &mut Guest) -> bool {
    guest.get(Field::GuestRflags) & RF != 0
}

/// SDM Vol. 3C, "Saving RIP, RSP, RFLAGS, and SSP".
#[test]
fn rf_is_saved_as_1_by_exits_of_accesses_outside_event_delivery() {
    for (entry, reason) in [(0, ExitReason::EptViolation), (6, ExitReason::EptMisconfiguration)] {
        let mut guest = Guest::with_ept(&load(DATA));
        guest.write(Guest::ept_entry(DATA), entry);
        guest.expect(reason);
        assert!(saved_rf(&mut guest), "{reason:?}");
        // And for a fetch.
        let mut guest = Guest::with_ept(&[&[0x48, 0xB8][..], &DATA.to_le_bytes(), &[0xFF, 0xE0]].concat());
        guest.write(Guest::ept_entry(DATA), entry);
        guest.expect(reason);
        assert_eq!((guest.get(Field::GuestRip), saved_rf(&mut guest)), (DATA, true), "{reason:?}");
    }
    let mut guest = Guest::with_ept(&[0xF4]);
    guest.secondary(SecondaryProcessorControls::ENABLE_PML);
    guest.set(Field::PmlAddress, PAGES);
    guest.set(Field::PmlIndex, 512);
    guest.expect(ExitReason::PageModificationLogFull);
    assert!(saved_rf(&mut guest));
    let mut guest = Guest::new(&load(DATA));
    guest.secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES);
    guest.set(Field::ApicAccessAddress, DATA);
    guest.expect(ExitReason::ApicAccess);
    assert!(saved_rf(&mut guest));
    // An instruction that exits: 0, whatever it was.
    let mut guest = Guest::new(&[0x0F, 0xA2]);
    guest.set(Field::GuestRflags, RF | 2);
    guest.expect(ExitReason::Cpuid);
    assert!(!saved_rf(&mut guest));
}

/// The same: what the event's delivery would have pushed.
#[test]
fn rf_is_saved_as_delivery_would_have_pushed_it_by_exits_during_delivery() {
    // #UD, INT 80h, INT3
    for (code, rf) in [(&UD2[..], true), (&[0xCD, 0x80], false), (&[0xCC], false)] {
        let mut guest = Guest::with_ept(code);
        guest.write(Guest::ept_entry(IDT), 0);
        guest.expect(ExitReason::EptViolation);
        assert_eq!(saved_rf(&mut guest), rf, "{code:x?}");
    }
    // An injected event: as VM entry loads it.
    for (information, flags) in [(0x8000_0202, 2), (0x8000_0202, RF | 2), (0x8000_0306, 2), (0x8000_0306, RF | 2)] {
        let mut guest = Guest::with_ept(&[0xF4]);
        guest.set(Field::GuestRflags, flags);
        guest.set(Field::VmEntryInterruptionInformation, information);
        guest.write(Guest::ept_entry(IDT), 0);
        guest.expect(ExitReason::EptViolation);
        assert_eq!(saved_rf(&mut guest), flags & RF != 0, "{information:x}");
    }
}

/// The same: RF keeps the breakpoint of an instruction that is to run again from firing a second time.
#[test]
fn code_breakpoint_fires_once_on_an_instruction_that_exits_for_its_page() {
    let mut guest = Guest::with_ept(&[&load(DATA)[..], &[0xF4]].concat());
    guest.bench.cpu.sys.dr[0] = CODE;
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestDr7, 0x402);
    exit_on(&mut guest, &[vector::DB]);
    guest.write(Guest::ept_entry(DATA), 0);
    guest.expect(ExitReason::ExceptionOrNmi);
    guest.or(Field::GuestRflags, RF);
    guest.expect(ExitReason::EptViolation);
    guest.write(Guest::ept_entry(DATA), DATA | 0x37);
    guest.expect(ExitReason::Hlt);
}

/// SDM Vol. 3B, "Instruction-Breakpoint Exception Condition": RF is set in what is saved between iterations.
#[test]
fn rf_is_saved_as_1_between_the_iterations_of_a_string_instruction() {
    // REP MOVSB
    let string = || {
        let mut guest = Guest::new(&[0xF3, 0xA4, 0xF4]);
        (guest.bench.cpu.gpr[1], guest.bench.cpu.gpr[6], guest.bench.cpu.gpr[7]) = (1000, DATA, DATA + 0x1000);
        guest
    };
    let check = |guest: &mut Guest, reason: ExitReason| {
        assert_eq!(guest.get(Field::ExitReason), u64::from(reason.field()));
        assert!((1..1000).contains(&guest.bench.cpu.gpr[1]), "{reason:?}");
        assert_eq!((guest.get(Field::GuestRip), saved_rf(guest)), (CODE, true), "{reason:?}");
    };
    let mut guest = string();
    guest.pin(PinBasedControls::NMI_EXITING);
    guest.enter();
    guest.bench.cpu.accept_nmi();
    guest.bench.run(2000);
    check(&mut guest, ExitReason::ExceptionOrNmi);
    let mut guest = string();
    guest.pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING);
    guest.enter();
    guest.interrupt(0x40);
    guest.bench.run(2000);
    check(&mut guest, ExitReason::ExternalInterrupt);
    let mut guest = string();
    guest.pin(PinBasedControls::ACTIVATE_VMX_PREEMPTION_TIMER);
    guest.set(Field::VmxPreemptionTimerValue, 8);
    guest.run();
    check(&mut guest, ExitReason::PreemptionTimer);
    let mut guest = string();
    guest.primary(PrimaryProcessorControls::MONITOR_TRAP_FLAG);
    guest.run();
    check(&mut guest, ExitReason::MonitorTrapFlag);
    let mut guest = string();
    guest.enter();
    guest.bench.cpu.accept_init();
    guest.bench.run(2000);
    check(&mut guest, ExitReason::Init);
}

/// IA32_DEBUGCTL.LBR, DR7.GD and a DR6 that differs from every other.
fn with_debug_state(code: &[u8]) -> Guest {
    let mut guest = Guest::new(code);
    guest.keep_branches("haswell");
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.or(Field::VmExitControls, VmExitControls::SAVE_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestDr7, 0x2400);
    guest.set(Field::GuestIa32Debugctl, 1);
    guest.set(Field::GuestRflags, 0x102);
    guest
}

/// SDM Vol. 3C, "Architectural State Before a VM Exit".
#[test]
fn debug_exception_updates_the_debug_registers_only_if_it_exits_indirectly() {
    let mut guest = with_debug_state(&[0x90, 0x90]);
    let before = guest.bench.cpu.sys.dr6.bits();
    exit_on(&mut guest, &[vector::DB]);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(events(&mut guest), [0, 0x8000_0301, 0, 0]);
    assert_eq!(guest.get(Field::ExitQualification), 0x4000);
    assert_eq!((guest.get(Field::GuestDr7), guest.get(Field::GuestIa32Debugctl)), (0x2400, 1));
    assert_eq!(guest.bench.cpu.sys.dr6.bits(), before);

    let mut guest = with_debug_state(&[0x90, 0x90]);
    exit_on(&mut guest, &[vector::NP]);
    absent(&mut guest, 1);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(events(&mut guest), [0, 0x8000_0B0B, 1 << 3 | 3, 0x8000_0301]);
    assert_eq!((guest.get(Field::GuestDr7), guest.get(Field::GuestIa32Debugctl)), (0x400, 0));
    assert_eq!(guest.bench.cpu.sys.dr6.bits(), before | 0x4000);
    assert_eq!(guest.get(Field::GuestPendingDebugExceptions), 0);

    // An injected one never updates them ("Details of Vectored-Event Injection").
    let mut guest = with_debug_state(&[0x90, 0x90]);
    exit_on(&mut guest, &[vector::NP]);
    absent(&mut guest, 1);
    guest.set(Field::VmEntryInterruptionInformation, 0x8000_0301);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!((guest.get(Field::GuestDr7), guest.get(Field::GuestIa32Debugctl)), (0x2400, 1));
    assert_eq!(guest.bench.cpu.sys.dr6.bits(), before);
}

/// The same: "there is no blocking by STI or by MOV SS when the VM exit commences", if the event exits indirectly.
#[test]
fn interrupt_shadow_ends_with_an_event_that_exits_indirectly_and_not_with_one_that_exits_directly() {
    for (vectors, shadow) in [([vector::UD], 1), ([vector::NP], 0)] {
        // STI; UD2
        let mut guest = Guest::new(&[&[0xFB][..], &UD2].concat());
        exit_on(&mut guest, &vectors);
        absent(&mut guest, 6);
        guest.expect(ExitReason::ExceptionOrNmi);
        assert_eq!(guest.get(Field::GuestInterruptibilityState), shadow, "{vectors:?}");
    }
}

/// The same: an inactive state ends after a VM exit that is direct, and before one that is not.
#[test]
fn debug_exception_in_hlt_saves_the_state_hlt_only_if_it_exits_directly() {
    for (vectors, activity) in [([vector::DB], 1), ([vector::NP], 0)] {
        let mut guest = Guest::new(&[0x90]);
        guest.set(Field::GuestActivityState, 1);
        guest.set(Field::GuestPendingDebugExceptions, 0x4000);
        guest.set(Field::GuestRflags, 0x102);
        exit_on(&mut guest, &vectors);
        absent(&mut guest, 1);
        guest.expect(ExitReason::ExceptionOrNmi);
        assert_eq!(guest.get(Field::GuestActivityState), activity, "{vectors:?}");
    }
}

const NMI_UNBLOCKING: u64 = 1 << 12;

/// IRETQ of a stack at `rsp` with virtual NMIs blocked.
fn iret(code: &[u8], rsp: u64) -> Guest {
    let mut guest = Guest::with_ept(code);
    guest.pin(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS);
    guest.set(Field::GuestInterruptibilityState, 8);
    guest.set(Field::GuestRsp, rsp);
    guest
}

/// SDM Vol. 3C, "Information for VM Exits Due to Vectored Events", "Exit Qualification for EPT Violations".
#[test]
fn nmi_unblocking_due_to_iret_is_told_by_the_exit_of_the_iret_and_by_no_later_one() {
    const IRETQ: [u8; 2] = [0x48, 0xCF];
    // Its stack.
    let mut guest = iret(&IRETQ, DATA);
    guest.write(Guest::ept_entry(DATA), 0);
    guest.expect(ExitReason::EptViolation);
    assert_ne!(guest.get(Field::ExitQualification) & NMI_UNBLOCKING, 0);
    assert_eq!(guest.get(Field::GuestInterruptibilityState), 0);
    // Its #GP: the selector is null.
    let mut guest = iret(&IRETQ, STACK);
    exit_on(&mut guest, &[vector::GP]);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(guest.get(Field::VmExitInterruptionInformation), 0x8000_0B0D | NMI_UNBLOCKING);
    // The delivery of its #GP, and an access by the handler.
    for vector_of_handler in [false, true] {
        let mut guest = iret(&IRETQ, STACK);
        if vector_of_handler {
            guest.bench.ram.dma_write(HANDLERS + 13, &load(DATA));
            guest.write(Guest::ept_entry(DATA), 0);
        } else {
            guest.write(Guest::ept_entry(IDT), 0);
        }
        guest.expect(ExitReason::EptViolation);
        assert_eq!(guest.get(Field::ExitQualification) & NMI_UNBLOCKING, 0, "{vector_of_handler}");
    }
    // An access after it: back to an address whose page is absent.
    let mut guest = iret(&IRETQ, PAGES);
    for (n, value) in [DATA, 8, 2, STACK, 0x10].into_iter().enumerate() {
        guest.write(PAGES + 8 * n as u64, value);
    }
    guest.write(Guest::ept_entry(DATA), 0);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::GuestRip), DATA);
    assert_eq!(guest.get(Field::ExitQualification) & NMI_UNBLOCKING, 0);
}

/// The same for an IRET inside a block that reaches a device, and is run alone then.
#[test]
fn nmi_unblocking_due_to_iret_is_not_lost_when_the_iret_runs_again_alone() {
    const APIC: u64 = 0xFEE0_0000;
    // NOP; IRETQ
    let mut guest = Guest::new(&[0x90, 0x48, 0xCF]);
    guest.bench.map(APIC, APIC, 3);
    guest.pin(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS);
    guest.set(Field::GuestInterruptibilityState, 8);
    guest.set(Field::GuestRsp, APIC + 0x20);
    exit_on(&mut guest, &[vector::GP]);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(guest.get(Field::VmExitInterruptionInformation), 0x8000_0B0D | NMI_UNBLOCKING);
}

/// INT 21h in virtual-8086 mode; with CR4.VME the redirection bitmap sends the vector to protected mode.
fn virtual_8086(iopl: u64, vme: bool) -> Guest {
    let mut guest = Guest::legacy(&[]);
    guest.set(Field::GuestRflags, 0x2_0002 | iopl << 12);
    for register in SegmentRegister::USER {
        let selector = if register == SegmentRegister::Cs { 0x7C0 } else { 0x100 };
        let segment = Segment::virtual_8086(selector);
        guest.vmcs().set_guest_segment(register, &segment);
    }
    let tss =
        Segment { selector: 0, base: LEGACY_TSS, limit: 0xFF, access_rights: AccessRights::from_bits_retain(0x8B) };
    guest.vmcs().set_guest_segment(SegmentRegister::Tr, &tss);
    if vme {
        guest.or(Field::GuestCr4, Cr4::VME.bits());
        guest.write(LEGACY_TSS + 0x66, 0x88);
        guest.write(LEGACY_TSS + 0x68, u64::MAX);
    }
    guest.bench.ram.dma_write(CODE, &[0xCD, 0x21]);
    guest.set(Field::GuestRip, 0);
    guest
}

/// SDM Vol. 3C, "Details of Vectored-Event Injection".
#[test]
fn injected_software_interrupt_in_virtual_8086_mode_ignores_iopl() {
    for (iopl, vme) in [(0, false), (2, false), (3, false), (0, true), (3, true)] {
        let mut guest = virtual_8086(iopl, vme);
        guest.set(Field::VmEntryInterruptionInformation, 0x8000_0421);
        guest.set(Field::VmEntryInstructionLength, 2);
        guest.expect_vector(0x21);
        // As an instruction it is #GP(0).
        let mut guest = virtual_8086(iopl, vme);
        guest.expect_vector(if iopl == 3 { 0x21 } else { vector::GP });
    }
    // The gate's DPL counts.
    let mut guest = virtual_8086(0, false);
    let place = LEGACY_IDT + 8 * 0x21;
    let gate = guest.read(place);
    guest.write(place, gate & !(3 << 45));
    guest.set(Field::VmEntryInterruptionInformation, 0x8000_0421);
    guest.set(Field::VmEntryInstructionLength, 2);
    guest.expect_vector(vector::GP);
}

/// SDM Vol. 3C, "Saving Non-Register State", "Delivery of Pending Debug Exceptions after VM Entry".
#[test]
fn enabled_breakpoint_of_the_pending_debug_exceptions_is_a_bit_of_its_own() {
    // Held by MOV SS, saved by CPUID: bit 12 alone, and with conditions.
    for pending in [0x1000, 0x1005] {
        let mut guest = Guest::new(&[0x0F, 0xA2]);
        guest.set(Field::GuestInterruptibilityState, 2);
        guest.set(Field::GuestPendingDebugExceptions, pending);
        guest.expect(ExitReason::Cpuid);
        assert_eq!(guest.get(Field::GuestPendingDebugExceptions), pending);
    }
    // A condition that no enabled breakpoint met goes with a single step, and does not become an enabled one.
    let mut guest = Guest::new(&[0x90]);
    guest.set(Field::GuestPendingDebugExceptions, 0x4002);
    guest.set(Field::GuestRflags, 0x102);
    guest.set(Field::VmEntryInterruptionInformation, 0x8000_0700);
    guest.expect(ExitReason::MonitorTrapFlag);
    assert_eq!(guest.get(Field::GuestPendingDebugExceptions), 0x4002);
    // Delivered: #DB, of which neither the qualification nor DR6 has the bit.
    for direct in [true, false] {
        let mut guest = Guest::new(&[0x90]);
        guest.set(Field::GuestPendingDebugExceptions, 0x1000);
        exit_on(&mut guest, if direct { &[vector::DB] } else { &[] });
        let before = guest.bench.cpu.sys.dr6.bits();
        if direct {
            guest.expect(ExitReason::ExceptionOrNmi);
            assert_eq!(
                (guest.get(Field::VmExitInterruptionInformation), guest.get(Field::ExitQualification)),
                (0x8000_0301, 0)
            );
        } else {
            guest.expect_vector(vector::DB);
        }
        assert_eq!(guest.bench.cpu.sys.dr6.bits(), before);
    }
    // A data breakpoint that MOV SS holds back: MOV SS, [RBX]; CPUID.
    let mut guest = Guest::new(&[0x8E, 0x13, 0x0F, 0xA2]);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_DEBUG_CONTROLS.bits().into());
    guest.set(Field::GuestDr7, 0x3_0402);
    guest.bench.cpu.sys.dr[0] = DATA;
    guest.bench.cpu.gpr[3] = DATA;
    guest.write(DATA, 0x10);
    guest.expect(ExitReason::Cpuid);
    assert_eq!(guest.get(Field::GuestPendingDebugExceptions), 0x1001);
    assert_eq!(guest.get(Field::GuestInterruptibilityState), 2);
}

/// SDM Vol. 3C 30.2.4 "Information for VM Exits During Event Delivery": #GP of INT n in virtual-8086 mode with IOPL below 3
/// is the instruction's own; that of the gate is met during delivery.
#[test]
fn fault_of_int_n_by_iopl_in_virtual_8086_mode_is_not_one_of_event_delivery() {
    for (vme, blocking) in [(false, 0), (false, 2), (true, 0), (true, 2)] {
        let mut guest = virtual_8086(0, vme);
        guest.set(Field::GuestInterruptibilityState, blocking);
        exit_on(&mut guest, &[vector::GP]);
        guest.expect(ExitReason::ExceptionOrNmi);
        assert_eq!(events(&mut guest), [0, 0x8000_0B0D, 0, 0]);
        // As after any fault that exits directly.
        assert_eq!(guest.get(Field::GuestInterruptibilityState), blocking);
        // The next exit is not one of delivery either: an absent handler of #GP itself.
        let mut guest = virtual_8086(0, vme);
        guest.set(Field::GuestInterruptibilityState, blocking);
        let place = LEGACY_IDT + 8 * u64::from(vector::GP);
        let gate = guest.read(place);
        guest.write(place, gate & !(1 << 47));
        exit_on(&mut guest, &[vector::NP]);
        guest.expect(ExitReason::ExceptionOrNmi);
        assert_eq!(events(&mut guest)[3], 0x8000_0B0D);
        assert_eq!(guest.get(Field::GuestInterruptibilityState), 0);
    }
    let mut guest = virtual_8086(3, false);
    guest.set(Field::GuestInterruptibilityState, 2);
    let place = LEGACY_IDT + 8 * 0x21;
    let gate = guest.read(place);
    guest.write(place, gate & !(3 << 45));
    exit_on(&mut guest, &[vector::GP]);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(events(&mut guest)[3], 0x8000_0421);
    assert_eq!(guest.get(Field::GuestInterruptibilityState), 0);
}
