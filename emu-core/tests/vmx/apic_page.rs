//! Accesses to the APIC-access page (SDM Vol. 3C 30.4 "Virtualizing Memory-Mapped APIC Accesses").

use crate::guest::*;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// The virtual-APIC page.
const VAPIC: u64 = PAGES;
/// A linear address above all that the guest's code needs, in paging structures of its own.
const FAR: u64 = 0x4000_0000;

/// The access types of Table 28-6 "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical
/// Accesses".
const READ: u64 = 0;
const WRITE: u64 = 1;
const FETCH: u64 = 2;
const DELIVERY: u64 = 3;
const PHYSICAL_DELIVERY: u64 = 10;
const PHYSICAL: u64 = 15;

fn virtualize(guest: &mut Guest, page: u64, more: SecondaryProcessorControls) {
    guest.primary(PrimaryProcessorControls::USE_TPR_SHADOW);
    guest.secondary(SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES | more);
    guest.set(Field::ApicAccessAddress, page);
    guest.set(Field::VirtualApicAddress, VAPIC);
    if more.contains(SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY) {
        guest.pin(PinBasedControls::EXTERNAL_INTERRUPT_EXITING);
    }
}

/// A guest that runs `code` and halts, with RBX at the APIC-access page.
fn guest(code: &[u8], more: SecondaryProcessorControls) -> Guest {
    let mut guest = Guest::new(&[code, &[0xF4]].concat());
    virtualize(&mut guest, DATA, more);
    guest.bench.cpu.gpr[3] = DATA;
    guest
}

#[track_caller]
fn expect_apic_access(guest: &mut Guest, kind: u64, offset: u64) {
    guest.expect(ExitReason::ApicAccess);
    let found = guest.get(Field::ExitQualification);
    assert_eq!((found >> 12, found & 0xFFF), (kind, offset));
    let vectored = guest.get(Field::IdtVectoringInformation) >> 31 & 1 != 0;
    assert_eq!(vectored, matches!(kind, DELIVERY | PHYSICAL_DELIVERY), "event delivery and nothing else is vectored");
}

const NONE: SecondaryProcessorControls = SecondaryProcessorControls::empty();
const DELIVER: SecondaryProcessorControls = SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY;
const REGISTERS: SecondaryProcessorControls = SecondaryProcessorControls::APIC_REGISTER_VIRTUALIZATION;

// 30.4.2 "Virtualizing Reads from the APIC-Access Page", 30.4.3 "Virtualizing Writes to the APIC-Access Page"; 28.2.1
// "Basic VM-Exit Information".
#[test]
fn apic_access_page_exits_with_the_exact_offset_of_what_is_not_virtualized() {
    // MOV AL, [RBX + n]; MOV [RBX + n], AL; MOV EAX, [RBX + n]; MOV [RBX + n], EAX with a 32-bit displacement
    let code = |opcode: u8, n: u32| [&[opcode, 0x83][..], &n.to_le_bytes()].concat();
    let cases = [
        (0x8A, 0x81, READ, NONE),
        (0x88, 0x81, WRITE, NONE),
        (0x8B, 0x81, READ, REGISTERS),
        (0x89, 0xB0, WRITE, NONE),
        (0x8B, 0xB0, READ, NONE),
        (0x8A, 0xB1, READ, DELIVER),
        (0x88, 0xB1, WRITE, DELIVER),
        (0x89, 0x300, WRITE, NONE),
        (0x8B, 0x300, READ, NONE),
        (0x8B, 0x310, READ, DELIVER),
        (0x89, 0x30, WRITE, REGISTERS),
        (0x8B, 0x3F0, READ, REGISTERS),
        (0x8B, 0xFFC, READ, REGISTERS),
    ];
    for (opcode, offset, kind, controls) in cases {
        expect_apic_access(&mut guest(&code(opcode, offset), controls), kind, offset.into());
    }
    for (opcode, offset, controls) in [
        (0x8A, 0x80, NONE),
        (0x8B, 0x80, NONE),
        (0x88, 0x80, NONE),
        (0x89, 0xB0, DELIVER),
        (0x8B, 0xB0, DELIVER),
        (0x8A, 0xB0, DELIVER),
        (0x8B, 0x300, DELIVER),
        (0x8A, 0x81, REGISTERS),
        (0x8B, 0x30, REGISTERS),
    ] {
        guest(&code(opcode, offset), controls).expect(ExitReason::Hlt);
    }
    let mut fetch = guest(&[0xFF, 0xE3], NONE);
    expect_apic_access(&mut fetch, FETCH, 0);
}

#[test]
fn apic_access_page_virtualizes_a_read_modify_write_that_may_both_read_and_write() {
    // LOCK OR dword [RBX + n], 1
    let code = |n: u32| [&[0xF0, 0x83, 0x8B][..], &n.to_le_bytes(), &[1]].concat();
    let mut tpr = guest(&code(0x80), NONE);
    tpr.write(VAPIC + 0x80, 0x40);
    tpr.expect(ExitReason::Hlt);
    assert_eq!(tpr.read(VAPIC + 0x80), 0x41);
    // "Virtual-interrupt delivery" has both.
    let mut eoi = guest(&code(0xB0), DELIVER);
    eoi.write(VAPIC + 0xB0, 0);
    eoi.expect(ExitReason::Hlt);
    // By "IPI virtualization" writes there are virtualized, reads are not; the exit is that of a write, as bit 1 of a page
    // fault's error code.
    let mut ipi = guest(&code(0x300), NONE);
    ipi.tertiary(TertiaryProcessorControls::IPI_VIRTUALIZATION);
    expect_apic_access(&mut ipi, WRITE, 0x300);
    // Reads are virtualized, writes are not.
    expect_apic_access(&mut guest(&code(0x30), REGISTERS), WRITE, 0x30);
}

#[test]
fn apic_access_page_takes_no_other_access_of_an_operation_that_has_written_it() {
    // ENTER 0, 1 with 16-bit operands pushes BP and then the frame pointer.
    let mut guest = guest(&[0x66, 0xC8, 0, 0, 1], REGISTERS);
    guest.set(Field::GuestRsp, DATA + 0x84);
    expect_apic_access(&mut guest, WRITE, 0x80);
}

#[test]
fn repeated_string_instruction_reads_and_writes_the_apic_access_page_in_each_iteration() {
    // REP MOVSD from the page to itself: an operation reads first and writes then.
    let mut guest = guest(&[0xF3, 0xA5], REGISTERS);
    (guest.bench.cpu.gpr[1], guest.bench.cpu.gpr[6], guest.bench.cpu.gpr[7]) = (1, DATA + 0x380, DATA + 0x80);
    guest.write(VAPIC + 0x380, 0x45);
    guest.expect(ExitReason::Hlt);
    assert_eq!((guest.read(VAPIC + 0x80), guest.bench.cpu.gpr[1]), (0x45, 0));
}

// 30.4.3.3 "APIC-Write VM Exits".
#[test]
fn apic_write_exit_carries_the_exact_offset() {
    for offset in [0x323_u32, 0x81, 0x20, 0xB0] {
        // MOV [RBX + n], AL
        let mut guest = guest(&[&[0x88, 0x83][..], &offset.to_le_bytes()].concat(), REGISTERS);
        guest.expect(ExitReason::ApicWrite);
        assert_eq!(guest.get(Field::ExitQualification), offset.into());
        assert_eq!(guest.get(Field::GuestRip), CODE + 6, "trap-like");
    }
}

/// A guest in real-address mode whose interrupt table begins at the APIC-access page.
fn real_mode(code: &[u8]) -> Guest {
    let mut guest = Guest::with_ept(code);
    virtualize(&mut guest, DATA, SecondaryProcessorControls::UNRESTRICTED_GUEST);
    let entry = guest.get(Field::VmEntryControls) & !u64::from(VmEntryControls::IA32E_MODE_GUEST.bits());
    guest.set(Field::VmEntryControls, entry);
    for (field, value) in [
        (Field::GuestIa32Efer, 0),
        (Field::GuestCr0, 0x30),
        (Field::GuestCr4, 0x2000),
        (Field::GuestIdtrBase, DATA),
        (Field::GuestIdtrLimit, 0x3FF),
    ] {
        guest.set(field, value);
    }
    for register in SegmentRegister::USER {
        let access_rights = AccessRights::from_bits_retain(if register == SegmentRegister::Cs { 0x9B } else { 0x93 });
        guest.vmcs().set_guest_segment(register, &Segment { selector: 0, base: 0, limit: 0xFFFF, access_rights });
    }
    guest
}

// 30.4.2: what is virtualized does not depend on whether an instruction or the delivery of an event accesses the page.
#[test]
fn apic_access_page_is_virtualized_during_event_delivery_too() {
    // INT 20h: the table's entry is at 080H.
    let mut guest = real_mode(&[0xCD, 0x20]);
    guest.write(VAPIC + 0x80, HANDLERS + 0x20);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.get(Field::GuestRip), HANDLERS + 0x20);
    // INT 21h: 084H.
    let mut guest = real_mode(&[0xCD, 0x21]);
    expect_apic_access(&mut guest, DELIVERY, 0x84);
    assert_eq!(guest.get(Field::IdtVectoringInformation), 0x8000_0421);
}

/// The paging structures that translate `linear`: PDPT, page directory, page table.
fn tables(guest: &mut Guest, linear: u64) -> [u64; 3] {
    let mut table = guest.get(Field::HostCr3);
    [39, 30, 21].map(|shift| {
        table = guest.read(table + (linear >> shift & 0x1FF) * 8) & 0xF_FFFF_F000;
        table
    })
}

// 30.4.6.1 "Guest-Physical Accesses to the APIC-Access Page".
#[test]
fn guest_paging_structure_on_the_apic_access_page_exits_with_access_type_15() {
    for level in [1, 2] {
        // MOV RAX, [RBX]
        let mut guest = Guest::with_ept(&[0x48, 0x8B, 0x03, 0xF4]);
        guest.bench.map(FAR, DATA, 7);
        let table = tables(&mut guest, FAR)[level];
        virtualize(&mut guest, table, NONE);
        guest.bench.cpu.gpr[3] = FAR;
        expect_apic_access(&mut guest, PHYSICAL, 0);
        assert_eq!((guest.get(Field::GuestRip), guest.get(Field::VmExitInstructionLength)), (CODE, 3));
    }
}

#[test]
fn guest_paging_structure_of_a_fetch_on_the_apic_access_page_exits_with_access_type_15() {
    // JMP RBX
    let mut guest = Guest::with_ept(&[0xFF, 0xE3]);
    guest.bench.map(FAR, DATA, 7);
    let table = tables(&mut guest, FAR)[2];
    virtualize(&mut guest, table, NONE);
    guest.bench.cpu.gpr[3] = FAR;
    expect_apic_access(&mut guest, PHYSICAL, 0);
    assert_eq!(guest.get(Field::GuestRip), FAR);
}

#[test]
fn guest_paging_structure_of_event_delivery_on_the_apic_access_page_exits_with_access_type_10() {
    // INT 80h; the IDT lies where only it needs the page table.
    let mut guest = Guest::with_ept(&[0xCD, 0x80]);
    let idt = guest.get(Field::GuestIdtrBase);
    guest.bench.map(FAR, idt, 3);
    let table = tables(&mut guest, FAR)[2];
    virtualize(&mut guest, table, NONE);
    guest.set(Field::GuestIdtrBase, FAR);
    expect_apic_access(&mut guest, PHYSICAL_DELIVERY, 0);
    assert_eq!(guest.get(Field::IdtVectoringInformation), 0x8000_0480);
}

// An EPT violation has priority (30.4.6.1).
#[test]
fn guest_paging_structure_that_ept_does_not_allow_is_an_ept_violation_first() {
    let mut guest = Guest::with_ept(&[0x48, 0x8B, 0x03, 0xF4]);
    guest.bench.map(FAR, DATA, 7);
    // The page table moves to where EPT has 4 KiB pages.
    let [_, directory, table] = tables(&mut guest, FAR);
    for n in 0..512 {
        let entry = guest.read(table + 8 * n);
        guest.write(DATA + 8 * n, entry);
    }
    guest.write(directory, DATA | 7);
    virtualize(&mut guest, DATA, NONE);
    guest.write(Guest::ept_entry(DATA), 0);
    guest.bench.cpu.gpr[3] = FAR;
    guest.expect(ExitReason::EptViolation);
}

#[test]
fn pdptes_on_the_apic_access_page_exit_with_access_type_15() {
    // MOV CR3, EAX; HLT in 32-bit code with PAE paging.
    let mut guest = Guest::with_ept(&[0x0F, 0x22, 0xD8, 0xF4]);
    let [_, directory, _] = tables(&mut guest, CODE);
    virtualize(&mut guest, DATA, NONE);
    let entry = guest.get(Field::VmEntryControls) & !u64::from(VmEntryControls::IA32E_MODE_GUEST.bits());
    guest.set(Field::VmEntryControls, entry);
    guest.set(Field::GuestIa32Efer, 0);
    guest.set(Field::GuestCsAccessRights, 0xC09B);
    guest.set(Field::GuestPdpte0, directory | 1);
    guest.write(DATA + 0x20, directory | 1);
    guest.bench.cpu.gpr[0] = DATA + 0x20;
    expect_apic_access(&mut guest, PHYSICAL, 0x20);
    assert_eq!(guest.get(Field::GuestRip), CODE);
}
