//! Control-flow enforcement in VMX operation (SDM Vol. 3C 27.3.2.1 "Loading Guest Control Registers, Debug Registers, and
//! MSRs"; 28.3 "Saving Guest State"; 28.5 "Loading Host State"; 29.3.3.2 "EPT Violations").

use super::guest::*;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// The guest's supervisor shadow stack, a page of its own.
const PAGE: u64 = 0x6_0000;
const TOP: u64 = PAGE + 0x1000;

/// A guest with CR4.CET that loads its CET state, and a VMM that does.
fn enforced(mut guest: Guest, s_cet: u64) -> Guest {
    guest.bench.map(PAGE, PAGE, 1);
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_CET_STATE.bits().into());
    guest.or(Field::VmExitControls, VmExitControls::LOAD_CET_STATE.bits().into());
    guest.or(Field::GuestCr4, Cr4::CET.bits());
    guest.set(Field::GuestIa32SCet, s_cet);
    guest.set(Field::GuestSsp, TOP);
    guest.set(Field::GuestIa32InterruptSspTableAddr, 0x1230);
    guest.set(Field::HostIa32SCet, 4);
    guest.set(Field::HostSsp, 0x7770);
    guest.set(Field::HostIa32InterruptSspTableAddr, 0x4560);
    guest
}

/// call +1; hlt; ret. The VM exit is that of HLT in the middle.
const CALL: [u8; 7] = [0xE8, 1, 0, 0, 0, 0xC3, 0xF4];

#[test]
fn entry_loads_the_guests_state_and_exit_saves_it_and_loads_the_hosts() {
    let mut guest = enforced(Guest::new(&CALL), 1);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.get(Field::GuestSsp), TOP - 8);
    assert_eq!(guest.bench.ram.load(TOP as usize - 8, 8), CODE + 5);
    assert_eq!((guest.get(Field::GuestIa32SCet), guest.get(Field::GuestIa32InterruptSspTableAddr)), (1, 0x1230));
    let cet = guest.bench.cpu.sys.cet;
    assert_eq!((cet.supervisor, cet.ssp, cet.interrupt_table), (4, 0x7770, 0x4560));
    assert!(!guest.bench.cpu.sys.cr4.contains(Cr4::CET), "the host's CR4");
}

#[test]
fn state_passes_through_without_the_controls_and_is_saved_all_the_same() {
    let mut guest = Guest::new(&[0xF4]);
    let cet = &mut guest.bench.cpu.sys.cet;
    (cet.supervisor, cet.ssp, cet.interrupt_table, cet.user) = (2, 0x1110, 0x2220, 1);
    guest.run();
    let state = guest.bench.cpu.sys.cet;
    assert_eq!((state.supervisor, state.ssp, state.interrupt_table, state.user), (2, 0x1110, 0x2220, 1));
    let saved = [Field::GuestIa32SCet, Field::GuestSsp, Field::GuestIa32InterruptSspTableAddr];
    assert_eq!(saved.map(|field| guest.get(field)), [2, 0x1110, 0x2220]);
}

#[test]
fn ssp_of_the_guest_need_not_be_canonical_below_the_linear_address_width() {
    let mut guest = enforced(Guest::new(&[0xF4]), 1);
    let ssp = 1 << (guest.bench.cpu.config.model.linear_bits() - 1);
    guest.set(Field::GuestSsp, ssp);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.get(Field::GuestSsp), ssp);
}

#[test]
fn tracker_is_part_of_the_state() {
    // The entry is to a NOP with the tracker waiting: #CP, which the exception bitmap makes an exit.
    let mut guest = enforced(Guest::new(&[0x90, 0xF4]), 0x804);
    guest.set(Field::ExceptionBitmap, 1 << 21);
    guest.expect(ExitReason::ExceptionOrNmi);
    assert_eq!(guest.get(Field::VmExitInterruptionInformation), 0x8000_0B15);
    assert_eq!((guest.get(Field::VmExitInterruptionErrorCode), guest.get(Field::GuestIa32SCet)), (3, 0x804));
}

#[test]
fn control_protection_exception_can_be_injected_with_its_error_code() {
    // Its handler begins with ENDBR64 or does not matter: no tracking.
    let mut guest = enforced(Guest::new(&[0x90]), 0);
    guest.set(Field::VmEntryInterruptionInformation, 0x8000_0B15);
    guest.set(Field::VmEntryExceptionErrorCode, 3);
    guest.expect_vector(21);
}

/// The rights of the EPT entry of the stack's page, with and without enforcement by bit 7 of EPTP.
#[test]
fn supervisor_shadow_stack_control_looks_at_bit_60_of_the_ept_entry() {
    const SSS: u64 = 1 << 60;
    for (control, rights, violation) in [
        (false, 7, None),
        (false, 5, Some(0x2182 | 5 << 3)),
        (false, SSS | 5, Some(0x2182 | 5 << 3)),
        (true, 7, Some(0x2182 | 7 << 3)),
        (true, SSS | 7, None),
        (true, SSS | 5, None),
        (true, SSS | 1, None),
    ] {
        let mut guest = enforced(Guest::with_ept(&CALL), 1);
        let eptp = guest.get(Field::EptPointer) | if control { 0x80 } else { 0 };
        guest.set(Field::EptPointer, eptp);
        guest.write(Guest::ept_entry(PAGE), PAGE | 0x30 | rights);
        match violation {
            None => guest.expect(ExitReason::Hlt),
            Some(qualification) => {
                guest.expect(ExitReason::EptViolation);
                let advanced = 0xE00;
                assert_eq!(guest.get(Field::ExitQualification) & !advanced, qualification, "{control} {rights:#x}");
                assert_eq!(guest.get(Field::GuestLinearAddress), TOP - 8);
                assert_eq!(guest.get(Field::GuestSsp), TOP);
            }
        }
    }
}
