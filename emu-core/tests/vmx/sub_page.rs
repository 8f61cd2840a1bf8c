//! Sub-page write permissions for EPT (SDM Vol. 3C 31.3.4 "Sub-Page Write Permissions"), and the VM exits for misses and
//! misconfigurations of their table.

use super::guest::*;
use emu_core::mem::tlb::NO_TAG;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::ept::entry;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// The sub-page-permission table: L4 to L1 in one page each.
const TABLE: u64 = PAGES + 0x4000;
/// The EPT entry of a page with sub-page write permissions, without the address.
const MARKED: u64 = entry::SUB_PAGE | 0x35;
/// Bytes of a region.
const REGION: u64 = 0x80;
/// A source of string instructions.
const SOURCE: u64 = 0x5_8000;

/// Where the table's last entry for a page is.
fn last_entry(page: u64) -> u64 {
    TABLE + 0x3000 + (page >> 12) * 8
}

/// Write permissions of 32 regions as the table has them.
fn spread(regions: u32) -> u64 {
    (0..32).filter(|n| regions >> n & 1 != 0).map(|n| 1 << (2 * n)).sum()
}

/// Has the page at `page`, below 2 MiB, write permissions for `regions`.
fn protect(guest: &mut Guest, page: u64, regions: u32) {
    guest.write(TABLE, (TABLE + 0x1000) | 1);
    guest.write(TABLE + 0x1000, (TABLE + 0x2000) | 1);
    guest.write(TABLE + 0x2000, (TABLE + 0x3000) | 1);
    guest.write(Guest::ept_entry(page), page | MARKED);
    guest.write(last_entry(page), spread(regions));
}

/// A guest whose page DATA has write permissions for `regions`.
fn guarded(code: &[u8], regions: u32) -> Guest {
    guard(Guest::with_ept(code), regions)
}

fn guard(mut guest: Guest, regions: u32) -> Guest {
    guest.secondary(SecondaryProcessorControls::SUB_PAGE_WRITE_PERMISSIONS);
    guest.set(Field::SubPagePermissionTablePointer, TABLE);
    protect(&mut guest, DATA, regions);
    guest
}

/// mov [rdi],rax; hlt with RDI at `at`.
fn store(at: u64, regions: u32) -> Guest {
    let mut guest = guarded(&[0x48, 0x89, 0x07, 0xF4], regions);
    (guest.bench.cpu.gpr[0], guest.bench.cpu.gpr[7]) = (u64::MAX, at);
    guest
}

#[test]
fn write_to_a_writable_region_is_made_and_one_to_another_is_an_ept_violation() {
    let mut guest = store(DATA + 0x180, 1 << 3);
    guest.expect(ExitReason::Hlt);
    assert_eq!(guest.read(DATA + 0x180), u64::MAX);
    let mut guest = store(DATA + 0x180, !(1 << 3));
    guest.expect(ExitReason::EptViolation);
    // A write to a readable and executable page; the guest's page is user-mode and read/write.
    assert_eq!(guest.get(Field::ExitQualification), 0x7AA);
    assert_eq!([Field::GuestLinearAddress, Field::GuestPhysicalAddress].map(|f| guest.get(f)), [DATA + 0x180; 2]);
    assert_eq!((guest.get(Field::VmExitInstructionLength), guest.read(DATA + 0x180)), (3, 0));
}

#[test]
fn bit_61_means_nothing_without_the_control_and_the_control_nothing_without_the_bit() {
    let mut guest = Guest::with_ept(&[0x48, 0x89, 0x07, 0xF4]);
    guest.bench.cpu.gpr[7] = DATA;
    protect(&mut guest, DATA, u32::MAX);
    guest.expect(ExitReason::EptViolation);
    let mut guest = store(DATA, u32::MAX);
    guest.write(Guest::ept_entry(DATA), DATA | 0x35);
    guest.expect(ExitReason::EptViolation);
    // A page that may be written is not looked up, whatever the table says.
    let mut guest = store(DATA, 0);
    guest.write(Guest::ept_entry(DATA), DATA | MARKED | entry::WRITE);
    guest.write(TABLE, 0);
    guest.expect(ExitReason::Hlt);
}

#[test]
fn write_access_bits_above_the_leaf_are_the_tables_to_overrule_too() {
    for level in [EPT, EPT + 0x1000, EPT + 0x2000] {
        for leaf in [DATA | MARKED, DATA | MARKED | entry::WRITE] {
            for (regions, reason) in [(1, ExitReason::Hlt), (!1, ExitReason::EptViolation)] {
                let mut guest = store(DATA, regions);
                // Page walks write nothing: no flags of EPT, and those of the guest's tables are set.
                guest.set(Field::EptPointer, EPT | 0x1E);
                guest.write(Guest::ept_entry(DATA), leaf);
                let upper = guest.read(level);
                guest.write(level, upper & !entry::WRITE);
                guest.expect(reason);
                assert_eq!(guest.read(DATA) == u64::MAX, reason == ExitReason::Hlt, "{level:#x} {leaf:#x}");
            }
        }
    }
}

#[test]
fn execute_only_page_can_be_written_where_the_table_says_so_and_not_read_for_it() {
    // mov [rdi],rax; hlt and add [rdi],rax; hlt
    for (opcode, reason) in [(0x89, ExitReason::Hlt), (0x01, ExitReason::EptViolation)] {
        let mut guest = guarded(&[0x48, opcode, 0x07, 0xF4], 1);
        (guest.bench.cpu.gpr[0], guest.bench.cpu.gpr[7]) = (u64::MAX, DATA);
        guest.write(Guest::ept_entry(DATA), (DATA | MARKED) & !entry::READ);
        guest.expect(reason);
        if reason == ExitReason::EptViolation {
            assert_eq!(guest.get(Field::ExitQualification), 0x7A2);
        }
    }
}

#[test]
fn write_across_regions_needs_both_and_the_violation_is_of_the_first_byte_that_is_denied() {
    let at = DATA + 0x17C;
    for (regions, denied) in [(3 << 2, None), (1 << 2, Some(at + 4)), (1 << 3, Some(at)), (0, Some(at))] {
        let mut guest = store(at, regions);
        match denied {
            None => guest.expect(ExitReason::Hlt),
            Some(address) => {
                guest.expect(ExitReason::EptViolation);
                assert_eq!(guest.get(Field::GuestPhysicalAddress), address, "{regions:#x}");
                assert_eq!(guest.get(Field::GuestLinearAddress), address, "{regions:#x}");
                assert_eq!(guest.read(at), 0);
            }
        }
    }
}

#[test]
fn write_across_pages_needs_the_regions_of_both_and_marks_neither_when_one_is_denied() {
    let next = DATA + 0x1000;
    for (first, second, denied) in [(1 << 31, 1, None), (1 << 31, !1, Some(next)), (0, 1, Some(next - 4))] {
        let mut guest = store(next - 4, first);
        protect(&mut guest, next, second);
        match denied {
            None => guest.expect(ExitReason::Hlt),
            Some(address) => {
                guest.expect(ExitReason::EptViolation);
                assert_eq!(guest.get(Field::GuestPhysicalAddress), address);
            }
        }
        let written = if denied.is_none() { u64::MAX } else { 0 };
        assert_eq!(guest.read(next - 4), written);
        let dirty = [DATA, next].map(|page| guest.read(Guest::ept_entry(page)) & entry::DIRTY != 0);
        assert_eq!(dirty, [denied.is_none(); 2]);
    }
}

/// What writes `length` bytes at DATA + `offset`: the code ends in HLT. RDI is there, RBX in the middle of the page, RSP
/// behind the bytes; RCX is 8, RDX:RAX 7, RSI at [`SOURCE`].
struct Writer {
    name: &'static str,
    code: &'static [u8],
    offset: u64,
    length: u64,
}

const fn writer(name: &'static str, code: &'static [u8], offset: u64, length: u64) -> Writer {
    Writer { name, code, offset, length }
}

#[rustfmt::skip]
const WRITERS: &[Writer] = &[
    writer("mov byte", &[0x88, 0x07, 0xF4], 0xFF, 1),
    writer("mov word", &[0x66, 0x89, 0x07, 0xF4], 0xFF, 2),
    writer("mov dword", &[0x89, 0x07, 0xF4], 0xFE, 4),
    writer("mov quadword", &[0x48, 0x89, 0x07, 0xF4], 0xFC, 8),
    writer("movnti", &[0x48, 0x0F, 0xC3, 0x07, 0xF4], 0xFC, 8),
    writer("add", &[0x48, 0x01, 0x07, 0xF4], 0xFC, 8),
    writer("lock inc", &[0xF0, 0x48, 0xFF, 0x07, 0xF4], 0xF9, 8),
    writer("xchg", &[0x48, 0x87, 0x07, 0xF4], 0xFC, 8),
    writer("lock xadd", &[0xF0, 0x48, 0x0F, 0xC1, 0x07, 0xF4], 0xFC, 8),
    writer("cmpxchg that fails", &[0x48, 0x0F, 0xB1, 0x0F, 0xF4], 0xFC, 8),
    writer("cmpxchg16b", &[0xF0, 0x48, 0x0F, 0xC7, 0x0F, 0xF4], 0xF0, 16),
    writer("bts", &[0x48, 0x0F, 0xAB, 0x0F, 0xF4], 0xFC, 8),
    writer("shl", &[0x48, 0xD1, 0x27, 0xF4], 0xFC, 8),
    writer("setz", &[0x0F, 0x94, 0x07, 0xF4], 0x100, 1),
    writer("push", &[0x50, 0xF4], 0xFC, 8),
    writer("push word", &[0x66, 0x50, 0xF4], 0xFF, 2),
    writer("call", &[0xE8, 0, 0, 0, 0, 0xF4], 0xFC, 8),
    writer("enter", &[0xC8, 0, 0, 0, 0xF4], 0xFC, 8),
    writer("pushfq", &[0x9C, 0xF4], 0xFC, 8),
    writer("stosb", &[0xAA, 0xF4], 0x100, 1),
    writer("stosq", &[0x48, 0xAB, 0xF4], 0xFC, 8),
    writer("movsq", &[0x48, 0xA5, 0xF4], 0xFC, 8),
    writer("fstp tword", &[0xDB, 0xE3, 0xD9, 0xE8, 0xDB, 0x3F, 0xF4], 0xF8, 10),
    writer("fnstenv", &[0xD9, 0x37, 0xF4], 0xF0, 28),
    writer("fnsave", &[0xDD, 0x37, 0xF4], 0xF0, 108),
    writer("fnstcw", &[0xD9, 0x3F, 0xF4], 0xFF, 2),
    writer("fxsave", &[0x0F, 0xAE, 0x07, 0xF4], 0xF0, 416),
    writer("stmxcsr", &[0x0F, 0xAE, 0x1F, 0xF4], 0xFE, 4),
    writer("movups", &[0x0F, 0x11, 0x07, 0xF4], 0xF8, 16),
    writer("movaps", &[0x0F, 0x29, 0x07, 0xF4], 0x100, 16),
    writer("movss", &[0xF3, 0x0F, 0x11, 0x07, 0xF4], 0xFE, 4),
    writer("pextrb", &[0x66, 0x0F, 0x3A, 0x14, 0x07, 0, 0xF4], 0x100, 1),
    writer("sgdt", &[0x0F, 0x01, 0x07, 0xF4], 0xF8, 10),
    writer("sidt", &[0x0F, 0x01, 0x0F, 0xF4], 0xF8, 10),
    writer("mov to memory from a segment", &[0x8C, 0x1F, 0xF4], 0xFF, 2),
    writer("movbe", &[0x48, 0x0F, 0x38, 0xF1, 0x07, 0xF4], 0xFC, 8),
    writer("xsave", &[0x0F, 0xAE, 0x27, 0xF4], 0, 832),
];

impl Writer {
    /// The guest that is about to write, with these regions.
    fn guest(&self, regions: u32) -> Guest {
        let mut guest = guarded(self.code, regions);
        guest.set(Field::GuestRsp, DATA + self.offset + self.length);
        guest.or(Field::GuestCr4, (Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE).bits());
        let cpu = &mut guest.bench.cpu;
        cpu.sys.xcr0 = 7;
        (cpu.gpr[0], cpu.gpr[1], cpu.gpr[2], cpu.gpr[3]) = (7, 8, 0, DATA + 0x800);
        (cpu.gpr[6], cpu.gpr[7]) = (SOURCE, DATA + self.offset);
        for n in 0..512 {
            // Not what any of them writes.
            guest.write(DATA + 8 * n, 0x5A5A_5A5A_5A5A_5A5A);
        }
        guest
    }

    fn page(&self, guest: &Guest) -> Vec<u64> {
        (0..512).map(|n| guest.read(DATA + 8 * n)).collect()
    }
}

#[test]
fn every_kind_of_write_needs_just_the_regions_that_it_touches() {
    for writer in WRITERS {
        let (first, last) = (writer.offset / REGION, (writer.offset + writer.length - 1) / REGION);
        let touched = (first..=last).fold(0u32, |regions, n| regions | 1 << n);
        let mut guest = writer.guest(touched);
        guest.run();
        assert_eq!(guest.get(Field::ExitReason), ExitReason::Hlt as u64, "{}", writer.name);
        let end = CODE + writer.code.len() as u64 - 1;
        assert_eq!(guest.get(Field::GuestRip), end, "{} faults", writer.name);
        for region in first..=last {
            let mut guest = writer.guest(!(1 << region));
            let before = writer.page(&guest);
            guest.run();
            assert_eq!(guest.get(Field::ExitReason), ExitReason::EptViolation as u64, "{} {region}", writer.name);
            // XSAVE writes component by component.
            let pieces = writer.name == "xsave";
            let address = guest.get(Field::GuestPhysicalAddress);
            assert_eq!(guest.get(Field::GuestLinearAddress), address, "{} {region}", writer.name);
            let first = DATA + (region * REGION).max(writer.offset);
            assert!(address == first || pieces && address / REGION == first / REGION, "{} {region}", writer.name);
            assert_eq!(guest.get(Field::ExitQualification) & 2, 2, "{} {region}", writer.name);
            assert!(pieces || writer.page(&guest) == before, "{} {region}", writer.name);
        }
    }
}

#[test]
fn xsave_of_one_component_needs_the_regions_of_that_and_of_the_header() {
    // fninit; mov al,1; xsave [rdi]; hlt
    let writer = writer("xsave", &[0xDB, 0xE3, 0xB0, 1, 0x0F, 0xAE, 0x27, 0xF4], 0, 576);
    for (regions, reason) in [(0b1_0011, ExitReason::Hlt), (0b0_0011, ExitReason::EptViolation)] {
        let mut guest = writer.guest(regions);
        guest.expect(reason);
        if reason == ExitReason::EptViolation {
            assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA + 512);
        }
    }
}

#[test]
fn repeated_string_stores_stop_at_the_region_that_is_denied() {
    // rep stosb; rep movsb, of a whole page each.
    for code in [[0xF3, 0xAA, 0xF4], [0xF3, 0xA4, 0xF4]] {
        let mut guest = guarded(&code, !(1 << 9));
        let cpu = &mut guest.bench.cpu;
        (cpu.gpr[0], cpu.gpr[1], cpu.gpr[6], cpu.gpr[7]) = (0xFF, 0x1000, SOURCE, DATA);
        for n in 0..512 {
            guest.write(SOURCE + 8 * n, u64::MAX);
        }
        guest.expect(ExitReason::EptViolation);
        assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA + 9 * REGION);
        let cpu = &guest.bench.cpu;
        assert_eq!((cpu.gpr[1], cpu.gpr[7]), (0x1000 - 9 * REGION, DATA + 9 * REGION));
        assert_eq!((guest.read(DATA + 9 * REGION - 8), guest.read(DATA + 9 * REGION)), (u64::MAX, 0));
        // The VMM opens the region, and the guest goes on.
        guest.write(last_entry(DATA), spread(u32::MAX));
        guest.expect(ExitReason::Hlt);
        assert_eq!(guest.read(DATA + 0xFF8), u64::MAX);
    }
}

#[test]
fn permissions_are_looked_up_for_each_write_and_need_no_invalidation() {
    // mov [rdi],rax; mov [rdi],rax; vmcall; mov [rdi],rax; mov [rdi+80h],rax; hlt
    let code = [
        &[0x48, 0x89, 0x07, 0x48, 0x89, 0x07, 0x0F, 0x01, 0xC1, 0x48, 0x89, 0x07][..],
        &[0x48, 0x89, 0x87, 0x80, 0, 0, 0, 0xF4],
    ];
    let mut guest = guarded(&code.concat(), 1);
    guest.bench.cpu.gpr[7] = DATA;
    guest.expect(ExitReason::Vmcall);
    guest.set(Field::GuestRip, CODE + 9);
    guest.write(last_entry(DATA), 0);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA);
    guest.write(last_entry(DATA), 1);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA + REGION, "the first is made, the second is not");
}

#[test]
fn page_with_permissions_never_has_the_tag_of_plain_writes() {
    // mov rax,[rdi]; mov [rdi],rax; hlt, with the handlers' stack left alone
    let mut guest = guarded(&[0x48, 0x8B, 0x07, 0x48, 0x89, 0x07, 0xF4], u32::MAX);
    guest.bench.cpu.gpr[7] = DATA;
    guest.enter_until(CODE + 6);
    let slot = guest.bench.cpu.tlb.slot(DATA);
    assert_eq!((slot.key & !0xFFF, slot.write), (DATA, NO_TAG));
    assert_ne!(slot.read, NO_TAG, "reads are plain");
}

#[test]
fn misses_and_misconfigurations_exit_66_with_the_addresses_of_the_access() {
    let at = DATA + 0x17C;
    for level in 0..3 {
        for (value, qualification) in [(0, 0x800), (3, 0), (TABLE + 1 + (1 << 52), 0)] {
            let mut guest = store(at, u32::MAX);
            guest.write(TABLE + 0x1000 * level, value);
            guest.expect(ExitReason::SppEvent);
            assert_eq!(guest.get(Field::ExitQualification), qualification, "{level} {value:#x}");
            assert_eq!([Field::GuestLinearAddress, Field::GuestPhysicalAddress].map(|f| guest.get(f)), [at; 2]);
            assert_eq!((guest.get(Field::VmExitInstructionLength), guest.read(at)), (3, 0));
            assert_eq!(guest.get(Field::GuestRflags) >> 16 & 1, 1, "RF, as of every access that exits");
        }
    }
    let mut guest = store(at, 0);
    guest.write(last_entry(DATA), 2);
    guest.expect(ExitReason::SppEvent);
    assert_eq!(guest.get(Field::ExitQualification), 0);
}

#[test]
fn flags_and_the_page_modification_log_are_of_writes_that_are_made() {
    for (regions, dirty) in [(1, true), (2, false)] {
        let mut guest = store(DATA, regions);
        guest.secondary(SecondaryProcessorControls::ENABLE_PML);
        guest.set(Field::PmlAddress, PAGES);
        guest.set(Field::PmlIndex, 511);
        guest.run();
        assert_eq!(guest.read(Guest::ept_entry(DATA)) & entry::DIRTY != 0, dirty);
        let first = guest.get(Field::PmlIndex) + 1;
        assert_eq!((first..512).any(|n| guest.read(PAGES + 8 * n) == DATA), dirty);
    }
    // The access is judged before the log is looked at.
    for (regions, reason) in [(1, ExitReason::PageModificationLogFull), (2, ExitReason::EptViolation)] {
        let mut guest = store(DATA, regions);
        // What the walk itself touches is marked already.
        for page in 0..512 {
            if page != DATA >> 12 {
                guest.write(EPT + 0x3000 + 8 * page, page << 12 | 0x337);
            }
        }
        for at in [EPT, EPT + 0x1000, EPT + 0x2000, EPT + 0x2008] {
            let value = guest.read(at);
            guest.write(at, value | 0x300);
        }
        guest.secondary(SecondaryProcessorControls::ENABLE_PML);
        guest.set(Field::PmlAddress, PAGES);
        guest.set(Field::PmlIndex, 512);
        guest.expect(reason);
    }
}

#[test]
fn denied_write_becomes_a_virtualization_exception_as_other_violations_do() {
    for (bits, vector) in [(0, true), (entry::SUPPRESS_VE, false)] {
        let mut guest = store(DATA + 0x17C, 1 << 2);
        guest.secondary(SecondaryProcessorControls::EPT_VIOLATION_VE);
        guest.set(Field::VirtualizationExceptionInformationAddress, PAGES);
        guest.write(Guest::ept_entry(DATA), DATA | MARKED | bits);
        if vector {
            guest.expect_vector(vector::VE);
            assert_eq!((guest.read(PAGES + 16), guest.read(PAGES + 24)), (DATA + 0x180, DATA + 0x180));
        } else {
            guest.expect(ExitReason::EptViolation);
        }
    }
    // A miss is no violation.
    let mut guest = store(DATA, 0);
    guest.secondary(SecondaryProcessorControls::EPT_VIOLATION_VE);
    guest.set(Field::VirtualizationExceptionInformationAddress, PAGES);
    guest.write(TABLE, 0);
    guest.expect(ExitReason::SppEvent);
}

#[test]
fn pushes_of_event_delivery_are_judged_and_the_exit_tells_of_the_event() {
    // int 40h
    let code = [0xCD, 0x40];
    for (regions, exits) in [(3 << 1, false), (1 << 2, true), (1 << 1, true)] {
        let mut guest = guarded(&code, regions);
        guest.set(Field::GuestRsp, DATA + 0x110);
        if !exits {
            guest.expect_vector(0x40);
            continue;
        }
        guest.expect(ExitReason::EptViolation);
        let denied = if regions == 1 << 2 { 1 } else { 2 };
        assert_eq!((guest.get(Field::GuestPhysicalAddress) - DATA) / REGION, denied);
        assert_eq!(guest.get(Field::IdtVectoringInformation), 0x8000_0440, "a software interrupt");
    }
    let mut guest = guarded(&code, 0);
    guest.set(Field::GuestRsp, DATA + 0x110);
    guest.write(TABLE, 0);
    guest.expect(ExitReason::SppEvent);
    assert_eq!(guest.get(Field::IdtVectoringInformation), 0x8000_0440);
    assert_eq!((guest.get(Field::ExitQualification), guest.get(Field::GuestRip)), (0x800, CODE));
}

#[test]
fn accessed_and_busy_bits_of_descriptors_are_writes() {
    // mov ds,eax; hlt and ltr ax; hlt
    for (code, descriptor) in
        [([0x8E, 0xD8, 0x90, 0xF4], 0x00CF_9200_0000_FFFF_u64), ([0x0F, 0x00, 0xD8, 0xF4], 0x0000_8900_0000_0067)]
    {
        for (regions, reason) in [(1 << 1, ExitReason::Hlt), (!(1 << 1), ExitReason::EptViolation)] {
            let mut guest = guarded(&code, regions);
            guest.write(DATA + 0x80, descriptor);
            guest.write(DATA + 0x88, 0);
            guest.set(Field::GuestGdtrBase, DATA);
            guest.set(Field::GuestGdtrLimit, 0xFFF);
            guest.bench.cpu.gpr[0] = 0x80;
            guest.expect(reason);
            let changed = guest.read(DATA + 0x80) != descriptor;
            assert_eq!(changed, reason == ExitReason::Hlt, "{code:x?}");
        }
    }
}

#[test]
fn page_walks_are_not_eligible() {
    // mov rax,[rdi]; hlt, of a page whose table is in DATA: its accessed flag is to be set there.
    let mapped = 0x5_A000u64;
    for (eptp, accessed, reason) in [
        (0x1E, 0, ExitReason::EptViolation),
        (0x1E, 0x20, ExitReason::Hlt),
        // With accessed and dirty flags of EPT, using an entry counts as a write.
        (0x5E, 0x20, ExitReason::EptViolation),
    ] {
        let mut guest = guarded(&[0x48, 0x8B, 0x07, 0xF4], u32::MAX);
        guest.set(Field::EptPointer, EPT | eptp);
        let (pml4, pdpt, directory) = (0x4_0000, 0x4_1000, 0x4_2000);
        // The guest's own code and the page are mapped by a table in DATA.
        guest.write(pml4, pdpt | 0x27);
        guest.write(pdpt, directory | 0x27);
        guest.write(directory, DATA | 0x27);
        for page in 0..512u64 {
            guest.write(DATA + 8 * page, page << 12 | 0x67);
        }
        guest.write(DATA + (mapped >> 12) * 8, mapped | 0x47 | accessed);
        guest.set(Field::GuestCr3, pml4);
        guest.bench.cpu.gpr[7] = mapped;
        guest.expect(reason);
        if eptp == 0x1E && accessed == 0 {
            assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA + (mapped >> 12) * 8);
            assert_eq!(guest.get(Field::ExitQualification) & 0x182, 0x82, "not the final address");
        }
    }
}

#[test]
fn shadow_stack_pushes_are_judged_too() {
    // call +1; hlt; ret: the exit of HLT is in the middle.
    let code = [0xE8, 1, 0, 0, 0, 0xC3, 0xF4];
    for (regions, reason) in [(1 << 31, ExitReason::Hlt), (!(1 << 31), ExitReason::EptViolation)] {
        let mut guest = guarded(&code, regions);
        guest.bench.map(DATA, DATA, 1);
        guest.or(Field::VmEntryControls, VmEntryControls::LOAD_CET_STATE.bits().into());
        guest.or(Field::VmExitControls, VmExitControls::LOAD_CET_STATE.bits().into());
        guest.or(Field::GuestCr4, Cr4::CET.bits());
        guest.set(Field::GuestIa32SCet, 1);
        guest.set(Field::GuestSsp, DATA + 0x1000);
        guest.expect(reason);
        if reason == ExitReason::EptViolation {
            assert_eq!(guest.get(Field::GuestPhysicalAddress), DATA + 0xFF8);
            assert_eq!(guest.get(Field::ExitQualification) & 0x2002, 0x2002, "a write to a shadow stack");
        }
    }
}
