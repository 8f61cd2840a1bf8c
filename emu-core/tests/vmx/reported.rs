//! What others have reported as mistakes of emulators, each with the rule of the SDM.

use crate::guest::*;
use emu_core::state::system::Activity;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::msr::IA32_FEATURE_CONTROL;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// Bochs 211, "Test stuck due to incorrect Virtual NMI handling" (SDM Vol. 3C 28.1, 28.3.4): the NMI that exits blocks
/// NMIs only after the VM exit, so "blocking by NMI" is saved as it was.
#[test]
fn nmi_exit_saves_virtual_nmi_blocking_as_it_was_and_blocks_nmis_afterwards() {
    let mut guest = Guest::new(&[0x90, 0xEB, 0xFD]);
    guest.pin(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS);
    guest.bench.cpu.accept_nmi();
    guest.bench.cpu.sys.nmi_blocked = true;
    // Blocked NMIs do not matter to a guest with virtual NMIs: VM entry unblocks them.
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(guest.get(Field::VmExitInterruptionInformation), 0x8000_0202);
    assert_eq!(guest.get(Field::GuestInterruptibilityState), 0);
    assert!(guest.bench.cpu.sys.nmi_blocked);
}

/// Bochs 132, "Bochs sets the Pending_debug_exceptions.BS bit" (SDM Vol. 3C 28.3.4): a fault-like exit of an instruction
/// that runs with TF has no pending single-step trap.
#[test]
fn cpuid_exit_with_tf_saves_no_pending_single_step() {
    // PUSH 102h; POPFQ; CPUID
    let mut guest = Guest::new(&[0x68, 2, 1, 0, 0, 0x9D, 0x0F, 0xA2]);
    guest.expect(ExitReason::Cpuid);
    assert_eq!(guest.get(Field::GuestPendingDebugExceptions), 0);
    assert_ne!(guest.get(Field::GuestRflags) & 0x100, 0);
}

/// Bochs 614, "Bochs does not enforce CR0 fixed bits (PE/PG) when Unrestricted Guest = 0" (SDM Vol. 3C 27.3.1.1, 24.8).
#[test]
fn guest_cr0_without_paging_needs_an_unrestricted_guest() {
    for unrestricted in [false, true] {
        // CPUID
        let mut guest = Guest::with_ept(&[0x0F, 0xA2]);
        let controls = u64::from(VmEntryControls::IA32E_MODE_GUEST.bits());
        let entry = guest.get(Field::VmEntryControls) & !controls;
        guest.set(Field::VmEntryControls, entry);
        guest.set(Field::GuestIa32Efer, 0);
        guest.set(Field::GuestCsAccessRights, 0xC09B);
        guest.set(Field::GuestCr0, 0x31);
        guest.set(Field::GuestCr4, 0x2000);
        if unrestricted {
            guest.secondary(SecondaryProcessorControls::UNRESTRICTED_GUEST);
            guest.expect(ExitReason::Cpuid);
        } else {
            guest.expect(ExitReason::EntryFailureGuestState);
        }
    }
}

/// Bochs 648, "The check for virtual NMI and blocking by NMI is missing during injection" (SDM Vol. 3C 27.3.1.5).
#[test]
fn injection_of_an_nmi_while_virtual_nmis_are_blocked_fails_vm_entry() {
    for (pin, fails) in
        [(PinBasedControls::NMI_EXITING | PinBasedControls::VIRTUAL_NMIS, true), (PinBasedControls::NMI_EXITING, false)]
    {
        let mut guest = Guest::new(&[0xF4]);
        guest.pin(pin);
        guest.set(Field::GuestInterruptibilityState, 8);
        guest.set(Field::VmEntryInterruptionInformation, 0x8000_0202);
        if fails {
            guest.expect(ExitReason::EntryFailureGuestState);
        } else {
            guest.expect_vector(vector::NMI);
        }
    }
}

/// SDM Vol. 3C 27.3.1.5 and 27.8: bits 0 and 1 of the interruptibility state are both 0 when an NMI is injected.
#[test]
fn injection_of_an_nmi_while_sti_or_mov_ss_blocks_fails_vm_entry() {
    for (blocking, qualification) in [(1, 3), (2, 0), (0, 0)] {
        let mut guest = Guest::new(&[0xF4]);
        guest.set(Field::GuestRflags, 0x202);
        guest.set(Field::GuestInterruptibilityState, blocking);
        guest.set(Field::VmEntryInterruptionInformation, 0x8000_0202);
        if blocking == 0 {
            guest.expect_vector(vector::NMI);
        } else {
            guest.expect(ExitReason::EntryFailureGuestState);
            assert_eq!(guest.get(Field::ExitQualification), qualification);
        }
    }
}

/// Bochs 757, "Incorrect activity state saved on VM Exit" (SDM Vol. 3C 28.1, 28.3.4): an event that exits directly ends
/// the inactive state only after the VM exit.
#[test]
fn sipi_exit_saves_wait_for_sipi_and_no_blocking_by_nmi() {
    let mut guest = Guest::new(&[0xF4]);
    guest.set(Field::GuestActivityState, 3);
    guest.bench.cpu.lapic.sipi_vector = 0x9A;
    guest.enter();
    assert_eq!(guest.bench.cpu.sys.activity, Activity::WaitForSipi);
    guest.bench.cpu.sys.sipi_pending = true;
    guest.bench.cpu.refresh_attention();
    guest.bench.run(1000);
    assert_eq!(guest.get(Field::ExitReason), u64::from(ExitReason::Sipi.field()));
    assert_eq!((guest.get(Field::ExitQualification), guest.get(Field::GuestActivityState)), (0x9A, 3));
    assert_eq!(guest.get(Field::GuestInterruptibilityState), 0);
}

#[test]
fn nmi_exit_from_hlt_saves_the_activity_state_hlt() {
    let mut guest = Guest::new(&[0xF4]);
    guest.pin(PinBasedControls::NMI_EXITING);
    guest.set(Field::GuestActivityState, 1);
    guest.enter();
    guest.bench.cpu.accept_nmi();
    guest.bench.run(1000);
    assert_eq!(guest.get(Field::ExitReason), u64::from(ExitReason::ExceptionOrNmi.field()));
    assert_eq!(guest.get(Field::GuestActivityState), 1);
}

/// Bochs 862, "Typo in the vmxon instruction" (SDM Vol. 3C 31.3, VMXON; 24.8): every fixed bit of CR0 counts, CR0.PG too.
#[test]
fn vmxon_without_paging_is_gp() {
    // VMXON [RIP + 0]
    let mut guest = Guest::new(&[0xF4]);
    let cpu = &mut guest.bench.cpu;
    cpu.vmx = Default::default();
    cpu.sys.plain_msrs.insert(IA32_FEATURE_CONTROL, 5);
    cpu.sys.efer = Default::default();
    cpu.sys.cr0 -= Cr0::PG;
    guest.bench.set_flat_segments(emu_core::state::derived::Size::Bits32, 0);
    // F3 0F C7 /6 with a 32-bit displacement.
    guest.bench.ram.dma_write(0xB000, &[0xF3, 0x0F, 0xC7, 0x35, 0, 0, 5, 0]);
    guest.bench.cpu.set_rip(0xB000);
    assert!(guest.bench.step().is_err());
    assert_eq!((guest.bench.cpu.scratch.fault.vector, guest.bench.cpu.scratch.fault.error_code), (vector::GP, Some(0)));
}

/// Bochs 256, "No blocking of A20M during VMX operation" (SDM Vol. 3C 24.8): VMXON fails in A20M mode, and VMX operation
/// blocks A20M.
#[test]
fn a20m_makes_vmxon_gp_and_is_blocked_in_vmx_operation() {
    // MOV RAX, [DATA | 100000h]; HLT
    let odd = 0x10_0000 | DATA;
    let mut guest = Guest::new(&[&[0x48, 0xA1][..], &odd.to_le_bytes(), &[0xF4]].concat());
    guest.write(DATA, 1);
    guest.write(odd, 2);
    guest.bench.ram.set_a20(false);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.bench.cpu.gpr[0], 2);

    guest.bench.cpu.vmx = Default::default();
    guest.bench.cpu.sys.plain_msrs.insert(IA32_FEATURE_CONTROL, 5);
    guest.bench.ram.dma_write(0xB000, &[0xF3, 0x0F, 0xC7, 0x34, 0x25, 0, 0, 5, 0]);
    guest.bench.cpu.set_rip(0xB000);
    assert!(guest.bench.step().is_err());
    assert_eq!(guest.bench.cpu.scratch.fault.vector, vector::GP);
}
