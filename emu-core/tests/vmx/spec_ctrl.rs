//! IA32_SPEC_CTRL in VMX operation: loaded by VM entries and VM exits, and virtualized.

use super::guest::*;
use emu_vmx::arch::msr::IA32_SPEC_CTRL;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::VmInstructionError;

/// mov ecx,48h; rdmsr; vmcall; hlt: what the guest finds is in EAX.
const READ: [u8; 11] = [0xB9, 0x48, 0, 0, 0, 0x0F, 0x32, 0x0F, 0x01, 0xC1, 0xF4];
/// mov ecx,48h; xor edx,edx; mov eax,5; wrmsr; hlt
const WRITE: [u8; 15] = [0xB9, 0x48, 0, 0, 0, 0x31, 0xD2, 0xB8, 5, 0, 0, 0, 0x0F, 0x30, 0xF4];

/// MSR bitmaps of zeros: the register is the guest's own.
fn passed_through(code: &[u8]) -> Guest {
    let mut guest = Guest::new(code);
    guest.primary(PrimaryProcessorControls::USE_MSR_BITMAPS);
    guest.set(Field::MsrBitmaps, PAGES);
    guest
}

fn loads_on_entry(guest: &mut Guest, value: u64) {
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_IA32_SPEC_CTRL.bits().into());
    guest.set(Field::GuestIa32SpecCtrl, value);
}

fn loads_on_exit(guest: &mut Guest, value: u64) {
    guest.or(Field::VmExitControls, VmExitControls::ACTIVATE_SECONDARY_CONTROLS.bits().into());
    guest.or(Field::SecondaryVmExitControls, SecondaryVmExitControls::LOAD_IA32_SPEC_CTRL.bits());
    guest.set(Field::HostIa32SpecCtrl, value);
}

fn register(guest: &Guest) -> u64 {
    guest.bench.cpu.read_msr_quiet(IA32_SPEC_CTRL).expect("the model has it")
}

fn set_register(guest: &mut Guest, value: u64) {
    guest.bench.cpu.sys.plain_msrs.insert(IA32_SPEC_CTRL, value);
}

#[test]
fn entry_loads_the_guests_value_and_exit_saves_it_and_loads_the_hosts() {
    let mut guest = passed_through(&WRITE);
    set_register(&mut guest, 1);
    loads_on_entry(&mut guest, 2);
    loads_on_exit(&mut guest, 6);
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.get(Field::GuestIa32SpecCtrl), register(&guest)), (5, 6));
    let mut guest = passed_through(&READ);
    loads_on_entry(&mut guest, 2);
    guest.expect(ExitReason::Vmcall);
    assert_eq!(guest.bench.cpu.gpr[0], 2);
    assert_eq!(register(&guest), 2, "nothing is loaded on exit without the control");
}

#[test]
fn value_passes_through_without_the_controls_and_is_saved_all_the_same() {
    let mut guest = passed_through(&WRITE);
    set_register(&mut guest, 2);
    guest.set(Field::GuestIa32SpecCtrl, 1);
    guest.set(Field::HostIa32SpecCtrl, 1);
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.get(Field::GuestIa32SpecCtrl), register(&guest)), (5, 5));
}

#[test]
fn msr_lists_come_behind_the_controls() {
    let mut guest = passed_through(&READ);
    loads_on_entry(&mut guest, 2);
    loads_on_exit(&mut guest, 6);
    // The entry's list, the exit's store and load lists: an entry each.
    for (n, value) in [4, 0, 1].into_iter().enumerate() {
        guest.write(PAGES + 0x1000 + 16 * n as u64, IA32_SPEC_CTRL.into());
        guest.write(PAGES + 0x1008 + 16 * n as u64, value);
    }
    for (n, (address, count)) in [
        (Field::VmEntryMsrLoadAddress, Field::VmEntryMsrLoadCount),
        (Field::VmExitMsrStoreAddress, Field::VmExitMsrStoreCount),
        (Field::VmExitMsrLoadAddress, Field::VmExitMsrLoadCount),
    ]
    .into_iter()
    .enumerate()
    {
        guest.set(address, PAGES + 0x1000 + 16 * n as u64);
        guest.set(count, 1);
    }
    guest.expect(ExitReason::Vmcall);
    assert_eq!(guest.bench.cpu.gpr[0], 4, "the list of the entry wins");
    assert_eq!(guest.read(PAGES + 0x1018), 4, "the list of the exit stores the guest's");
    assert_eq!((guest.get(Field::GuestIa32SpecCtrl), register(&guest)), (4, 1), "and the list of the exit wins");
}

#[test]
fn reserved_bits_fail_vm_entry_as_guest_state_or_as_host_state() {
    let mut guest = passed_through(&READ);
    set_register(&mut guest, 1);
    loads_on_entry(&mut guest, 1 << 9);
    loads_on_exit(&mut guest, 6);
    guest.expect(ExitReason::EntryFailureGuestState);
    assert_eq!((guest.get(Field::ExitQualification), register(&guest)), (0, 6), "the host's state is loaded");
    assert_eq!(guest.get(Field::GuestIa32SpecCtrl), 1 << 9, "and the guest's is not saved");
    let mut guest = passed_through(&READ);
    set_register(&mut guest, 1);
    loads_on_exit(&mut guest, 8);
    guest.run();
    assert_eq!(guest.get(Field::VmInstructionError), VmInstructionError::EntryInvalidHostState.number().into());
    assert_eq!(register(&guest), 1);
}

#[test]
fn entry_that_fails_in_its_msr_list_has_loaded_the_guests_value_and_loads_the_hosts() {
    for (loads, expected) in [(true, 6), (false, 2)] {
        let mut guest = passed_through(&READ);
        set_register(&mut guest, 1);
        loads_on_entry(&mut guest, 2);
        if loads {
            loads_on_exit(&mut guest, 6);
        }
        // There is no MSR 0 that takes bits 63:32.
        guest.write(PAGES + 0x1000, 1 << 32);
        guest.set(Field::VmEntryMsrLoadAddress, PAGES + 0x1000);
        guest.set(Field::VmEntryMsrLoadCount, 1);
        guest.expect(ExitReason::EntryFailureMsrLoading);
        assert_eq!(register(&guest), expected);
    }
}

#[test]
fn virtualization_keeps_the_vmm_s_bits_and_reads_the_shadow() {
    // mov ecx,48h; xor edx,edx; mov eax,5; wrmsr; xor eax,eax; rdmsr; hlt
    let code = [&WRITE[..14], &[0x31, 0xC0, 0x0F, 0x32, 0xF4]].concat();
    for loads in [false, true] {
        let mut guest = passed_through(&code);
        guest.tertiary(TertiaryProcessorControls::VIRTUALIZE_IA32_SPEC_CTRL);
        guest.set(Field::Ia32SpecCtrlMask, 6);
        if loads {
            // The field is the register's value, not the shadow's.
            loads_on_entry(&mut guest, 2);
            loads_on_exit(&mut guest, 4);
        } else {
            set_register(&mut guest, 2);
        }
        guest.expect(ExitReason::Hlt);
        assert_eq!(guest.bench.cpu.gpr[0], 5, "the shadow");
        assert_eq!(guest.get(Field::Ia32SpecCtrlShadow), 5);
        assert_eq!(guest.get(Field::GuestIa32SpecCtrl), 3, "bit 0 from the guest, bits 1 and 2 kept");
        assert_eq!(register(&guest), if loads { 4 } else { 3 });
    }
}
