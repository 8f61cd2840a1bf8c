//! What reports say of VMX operation.

use crate::guest::*;
use emu_core::report::{CpuReport, Detail};
use emu_core::state::system::Activity;
use emu_vmx::arch::vector;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

fn report(guest: &Guest) -> CpuReport {
    CpuReport::new(&guest.bench.cpu, &guest.bench.ram)
}

#[test]
fn peek_in_non_root_operation_goes_through_ept_and_sets_no_flag() {
    let mut guest = Guest::with_ept(&[0xEB, 0xFE]);
    // The guest's page at DATA is the one after it; nothing may be done there.
    guest.write(Guest::ept_entry(DATA), (DATA + 0x1000) | 0x30 | 4);
    guest.write(DATA + 0x1000, 0x1234);
    guest.enter();
    let before = guest.bench.ram.ram().to_vec();
    let mut buffer = [0; 8];
    assert_eq!(guest.bench.cpu.peek_linear(&guest.bench.ram, DATA, &mut buffer), 8);
    assert_eq!(u64::from_le_bytes(buffer), 0x1234);
    assert!(guest.bench.ram.ram() == before);
    guest.write(Guest::ept_entry(DATA), 0);
    assert_eq!(guest.bench.cpu.peek_linear(&guest.bench.ram, DATA, &mut buffer), 0);
    let report = report(&guest);
    assert_eq!((report.vmx.operation, report.vmx.ept_pointer.map(|p| p.0)), ("non-root", Some(EPT | 0x5E)));
    assert_eq!(report.code[0].text, "jmp short 0x7c00");
}

#[test]
fn report_in_root_operation_names_the_guest_and_its_last_exit() {
    // CPUID
    let mut guest = Guest::new(&[0x0F, 0xA2]);
    guest.expect(ExitReason::Cpuid);
    let report = report(&guest);
    assert_eq!((report.vmx.operation, report.vmx.entries, report.vmx.exits), ("root", 1, 1));
    let text = report.text(Detail::Short);
    assert!(text.contains("  VMX root operation, current VMCS 0x101000 (launched)\n"), "{text}");
    assert!(text.contains("    its guest: 0008:0x7c00\n    last VM exit: 10 (CPUID), qualification 0x0\n"), "{text}");
}

#[test]
fn exceptions_of_a_guest_tell_of_the_vm_exit_that_they_caused() {
    // UD2
    let mut guest = Guest::new(&[0x0F, 0x0B]);
    guest.set(Field::ExceptionBitmap, 1 << vector::UD);
    guest.expect(ExitReason::ExceptionOrNmi);
    let chains = report(&guest).exceptions;
    assert_eq!((chains[0].text.as_str(), chains[0].non_root), ("#UD -> VM exit", true));
    let mut guest = Guest::new(&[0x0F, 0x0B]);
    guest.set(Field::GuestIdtrLimit, 0);
    guest.expect(ExitReason::TripleFault);
    let chains = report(&guest).exceptions;
    assert_eq!(chains[0].text, "#UD -> #GP(0x33) -> #GP(0x6b) -> #DF(0x0) -> #GP(0x43) -> triple fault");
}

#[test]
fn vmx_abort_is_told_as_what_it_is_until_the_processor_is_reset() {
    // CPUID; the VM exit is to load IA32_FS_BASE, which no MSR list may.
    let mut guest = Guest::new(&[0x0F, 0xA2]);
    guest.write(PAGES, 0xC000_0100);
    guest.set(Field::VmExitMsrLoadCount, 1);
    guest.set(Field::VmExitMsrLoadAddress, PAGES);
    guest.run();
    assert_eq!(guest.bench.cpu.sys.activity, Activity::Shutdown);
    let found = report(&guest);
    assert_eq!(found.activity, "shut down by VMX abort 4 (host MSRs could not be loaded)");
    assert!(found.is_shut_down());
    guest.bench.cpu.reset();
    assert_eq!(guest.bench.cpu.notes.history.vmx_abort(), None);
}
