//! What INVEPT, INVVPID and other instructions make the processor forget, and what it keeps (SDM Vol. 3C 29.4): each
//! test changes a paging structure without telling, and looks at which accesses still use the old entry.

use crate::guest::*;
use emu_core::testing::{PAGE_PRESENT, PAGE_WRITABLE};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::vector;
use emu_vmx::controls::*;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;

/// Where pages move to; it holds 2, the others 1.
const NEW: u64 = DATA + 0x1_0000;
const GLOBAL: u64 = 1 << 8;
/// The other hierarchy.
const EPT_B: u64 = EPT + 0x8000;
const EPTP_A: u64 = EPT | 0x5E;
const EPTP_B: u64 = EPT_B | 0x5E;
/// Operand of INVEPT and INVVPID.
const DESCRIPTOR: u64 = PAGES;
/// Code of the VMM.
const VMM: u64 = 0xB000;

/// The two pages that context `n` reads: pages of one address have one place in the TLB, whatever the context.
fn pages(n: u64) -> [u64; 2] {
    [DATA + 0x2000 * n, DATA + 0x2000 * n + 0x1000]
}

/// MOV RAX, [RSI]; MOV RBX, [RDI]; HLT
fn reader(ept: bool) -> Guest {
    let code = [0x48, 0x8B, 0x06, 0x48, 0x8B, 0x1F, 0xF4];
    let mut guest = if ept { Guest::with_ept(&code) } else { Guest::new(&code) };
    guest.make_ept(EPT_B);
    guest.secondary(SecondaryProcessorControls::ENABLE_VPID);
    guest.set(Field::Vpid, 1);
    for page in (0..4).flat_map(pages) {
        guest.write(page, 1);
    }
    guest.write(NEW, 2);
    guest
}

/// What the guest reads at the pages of context `n`.
fn read(guest: &mut Guest, n: u64) -> (u64, u64) {
    guest.set(Field::GuestRip, CODE);
    [guest.bench.cpu.gpr[6], guest.bench.cpu.gpr[7]] = pages(n);
    guest.expect(ExitReason::Hlt);
    (guest.bench.cpu.gpr[0], guest.bench.cpu.gpr[3])
}

/// The same after a field has been set.
fn read_with(guest: &mut Guest, n: u64, field: Field, value: u64) -> (u64, u64) {
    guest.set(field, value);
    read(guest, n)
}

/// All pages come to lie at NEW, in both EPT hierarchies.
fn move_in_ept(guest: &mut Guest) {
    for page in (0..4).flat_map(pages) {
        for table in [EPT, EPT_B] {
            guest.write(table + 0x3000 + (page >> 12) * 8, NEW | 0x337);
        }
    }
}

/// The same in the guest's paging structures.
fn move_in_guest(guest: &mut Guest) {
    (0..4).for_each(|n| map(guest, n, true, 0));
}

/// Maps the pages of context `n` to NEW or to themselves; `flags` are those of the first one. Nothing is told to the
/// processor.
fn map(guest: &mut Guest, n: u64, new: bool, flags: u64) {
    for (page, flags) in pages(n).into_iter().zip([flags, 0]) {
        let entry = page_entry(guest, page, 1);
        guest.write(entry, if new { NEW } else { page } | 0x63 | flags);
    }
}

/// Where the guest's paging-structure entry of a level for `page` is: 1 is that of the page.
fn page_entry(guest: &mut Guest, page: u64, level: usize) -> u64 {
    let index = |shift: u32| (page >> shift & 0x1FF) * 8;
    let table = [39, 30, 21][..4 - level]
        .iter()
        .fold(guest.get(Field::HostCr3), |table, shift| guest.read(table + index(*shift)) & 0xF_FFFF_F000);
    table + index(3 + 9 * level as u32)
}

/// The VMM runs `code` and halts; RFLAGS.CF and ZF must be 0.
fn vmm(guest: &mut Guest, code: &[u8]) {
    guest.bench.ram.dma_write(VMM, &[code, &[0xF4]].concat());
    guest.bench.cpu.set_rip(VMM);
    guest.bench.cpu.sys.activity = emu_core::state::system::Activity::Active;
    guest.bench.cpu.refresh();
    guest.bench.run(100);
    assert_eq!(guest.bench.cpu.flags.get() & 0x41, 0, "VMsucceed");
}

/// INVEPT (80h) or INVVPID (81h) of a type.
fn invalidate(guest: &mut Guest, opcode: u8, kind: u64, descriptor: [u64; 2]) {
    guest.write(DESCRIPTOR, descriptor[0]);
    guest.write(DESCRIPTOR + 8, descriptor[1]);
    guest.bench.cpu.gpr[1] = kind;
    // INVEPT/INVVPID RCX, [DESCRIPTOR]
    let place = (DESCRIPTOR as u32).to_le_bytes();
    vmm(guest, &[&[0x66, 0x0F, 0x38, opcode, 0x0C, 0x25][..], &place].concat());
}

fn invept(guest: &mut Guest, kind: u64, eptp: u64) {
    invalidate(guest, 0x80, kind, [eptp, 0]);
}

fn invvpid(guest: &mut Guest, kind: u64, vpid: u64, address: u64) {
    invalidate(guest, 0x81, kind, [vpid, address]);
}

const OLD: (u64, u64) = (1, 1);
const FRESH: (u64, u64) = (2, 2);

#[test]
fn vm_entry_and_exit_with_vpid_forget_nothing_and_without_vpid_the_mappings_of_vpid_0() {
    for vpid in [true, false] {
        let mut guest = reader(true);
        if !vpid {
            let controls = guest.get(Field::SecondaryProcessorControls);
            let enable = u64::from(SecondaryProcessorControls::ENABLE_VPID.bits());
            guest.set(Field::SecondaryProcessorControls, controls & !enable);
        }
        assert_eq!(read(&mut guest, 0), OLD);
        move_in_ept(&mut guest);
        assert_eq!(read(&mut guest, 0), if vpid { OLD } else { FRESH });
    }
}

#[test]
fn invept_single_context_forgets_the_mappings_of_its_eptp_alone() {
    let mut guest = reader(true);
    let eptps = [(0, EPTP_A), (1, EPTP_B)];
    for (n, eptp) in eptps {
        assert_eq!(read_with(&mut guest, n, Field::EptPointer, eptp), OLD);
    }
    move_in_ept(&mut guest);
    invept(&mut guest, 1, EPTP_B);
    assert_eq!(eptps.map(|(n, eptp)| read_with(&mut guest, n, Field::EptPointer, eptp)), [OLD, FRESH]);
    invept(&mut guest, 1, EPTP_A);
    assert_eq!(read_with(&mut guest, 0, Field::EptPointer, EPTP_A), FRESH);
}

#[test]
fn invept_single_context_is_for_every_vpid() {
    let mut guest = reader(true);
    for vpid in [1, 2] {
        assert_eq!(read_with(&mut guest, vpid, Field::Vpid, vpid), OLD);
    }
    move_in_ept(&mut guest);
    invept(&mut guest, 1, EPTP_A);
    for vpid in [1, 2] {
        assert_eq!(read_with(&mut guest, vpid, Field::Vpid, vpid), FRESH);
    }
}

#[test]
fn invept_all_context_forgets_every_hierarchy_and_no_linear_mapping() {
    let eptps = [(0, EPTP_A), (1, EPTP_B)];
    let mut guest = reader(true);
    for (n, eptp) in eptps {
        assert_eq!(read_with(&mut guest, n, Field::EptPointer, eptp), OLD);
    }
    move_in_ept(&mut guest);
    invept(&mut guest, 2, 0);
    for (n, eptp) in eptps {
        assert_eq!(read_with(&mut guest, n, Field::EptPointer, eptp), FRESH);
    }
    let mut guest = reader(false);
    assert_eq!(read(&mut guest, 0), OLD);
    move_in_guest(&mut guest);
    invept(&mut guest, 2, 0);
    assert_eq!(read(&mut guest, 0), OLD);
}

#[test]
fn invvpid_individual_address_forgets_the_page_in_its_vpid_alone() {
    let mut guest = reader(false);
    for vpid in [1, 2] {
        assert_eq!(read_with(&mut guest, vpid, Field::Vpid, vpid), OLD);
    }
    move_in_guest(&mut guest);
    invvpid(&mut guest, 0, 1, pages(1)[0] + 0x123);
    // The address is not one of this VPID.
    invvpid(&mut guest, 0, 1, pages(2)[0]);
    assert_eq!(read_with(&mut guest, 1, Field::Vpid, 1), (2, 1));
    assert_eq!(read_with(&mut guest, 2, Field::Vpid, 2), OLD);
}

#[test]
fn invvpid_individual_address_forgets_a_global_page() {
    let mut guest = reader(false);
    guest.or(Field::GuestCr4, Cr4::PGE.bits());
    map(&mut guest, 0, false, GLOBAL);
    assert_eq!(read(&mut guest, 0), OLD);
    map(&mut guest, 0, true, GLOBAL);
    invvpid(&mut guest, 0, 1, DATA);
    assert_eq!(read(&mut guest, 0), (2, 1));
}

#[test]
fn invvpid_single_context_forgets_its_vpid_alone_in_every_hierarchy() {
    let contexts = [(1, EPTP_A), (1, EPTP_B), (2, EPTP_A)];
    let mut guest = reader(true);
    let read_all = |guest: &mut Guest| {
        let mut n = 0;
        contexts.map(|(vpid, eptp)| {
            n += 1;
            guest.set(Field::EptPointer, eptp);
            read_with(guest, n, Field::Vpid, vpid)
        })
    };
    assert_eq!(read_all(&mut guest), [OLD; 3]);
    move_in_ept(&mut guest);
    invvpid(&mut guest, 1, 1, 0);
    assert_eq!(read_all(&mut guest), [FRESH, FRESH, OLD]);
}

/// MOV RAX, [DATA] of the VMM.
fn vmm_read(guest: &mut Guest) -> u64 {
    vmm(guest, &[&[0x48, 0x8B, 0x04, 0x25][..], &(DATA as u32).to_le_bytes()].concat());
    guest.bench.cpu.gpr[0]
}

#[test]
fn invvpid_all_context_forgets_every_vpid_but_0() {
    let contexts = [(1, 1), (2, 2), (3, 0xFFFF)];
    let mut guest = reader(false);
    for (n, vpid) in contexts {
        assert_eq!(read_with(&mut guest, n, Field::Vpid, vpid), OLD);
    }
    assert_eq!(vmm_read(&mut guest), 1);
    move_in_guest(&mut guest);
    invvpid(&mut guest, 2, 0, 0);
    assert_eq!(vmm_read(&mut guest), 1);
    for (n, vpid) in contexts {
        assert_eq!(read_with(&mut guest, n, Field::Vpid, vpid), FRESH);
    }
}

#[test]
fn invvpid_retaining_globals_keeps_the_global_pages_of_its_vpid() {
    let mut guest = reader(false);
    guest.or(Field::GuestCr4, Cr4::PGE.bits());
    map(&mut guest, 0, false, GLOBAL);
    assert_eq!(read(&mut guest, 0), OLD);
    map(&mut guest, 0, true, GLOBAL);
    invvpid(&mut guest, 3, 1, 0);
    assert_eq!(read(&mut guest, 0), (1, 2));
    invvpid(&mut guest, 1, 1, 0);
    assert_eq!(read(&mut guest, 0), FRESH);
}

#[test]
fn translations_of_one_pcid_are_not_used_in_another_and_outlive_its_vm_entries() {
    let mut guest = reader(false);
    guest.or(Field::GuestCr4, Cr4::PCIDE.bits());
    let cr3 = guest.get(Field::GuestCr3);
    assert_eq!(read_with(&mut guest, 1, Field::GuestCr3, cr3 | 1), OLD);
    move_in_guest(&mut guest);
    assert_eq!(read_with(&mut guest, 2, Field::GuestCr3, cr3 | 2), FRESH);
    assert_eq!(read_with(&mut guest, 1, Field::GuestCr3, cr3 | 1), OLD);
    assert_eq!(read_with(&mut guest, 1, Field::GuestCr3, cr3 | 2), FRESH);
}

#[test]
fn mov_to_cr3_under_one_eptp_forgets_the_combined_mappings_of_all() {
    let mut guest = reader(true);
    assert_eq!(read_with(&mut guest, 0, Field::EptPointer, EPTP_B), OLD);
    move_in_guest(&mut guest);
    // MOV RCX, CR3; MOV CR3, RCX; HLT under the other EPTP.
    let reload = CODE + 0x100;
    guest.bench.ram.dma_write(reload, &[0x0F, 0x20, 0xD9, 0x0F, 0x22, 0xD9, 0xF4]);
    guest.set(Field::EptPointer, EPTP_A);
    guest.set(Field::GuestRip, reload);
    guest.expect(ExitReason::Hlt);
    assert_eq!(read_with(&mut guest, 0, Field::EptPointer, EPTP_B), FRESH);
}

/// What the guest reads by MOV RAX, [DATA] after MOV [`to`], RAX, which is not allowed.
fn read_after_denied_write(guest: &mut Guest, to: u64) -> u64 {
    let code = [&[0x48, 0x89, 0x04, 0x25][..], &(to as u32).to_le_bytes()].concat();
    guest.bench.ram.dma_write(CODE + 0x100, &code);
    guest.set(Field::GuestRip, CODE + 0x100);
    guest.run();
    read(guest, 0).0
}

// 31.4.3.1 "Operations that Invalidate Cached Mappings".
#[test]
fn ept_violation_forgets_the_mappings_of_its_address_and_no_others() {
    for (to, found) in [(pages(0)[0] + 0x10, (2, 1)), (pages(1)[0], OLD)] {
        let mut guest = reader(true);
        assert_eq!(read(&mut guest, 0), OLD);
        // The pages move, and become read-only.
        for page in (0..4).flat_map(pages) {
            guest.write(Guest::ept_entry(page), NEW | 0x135);
        }
        read_after_denied_write(&mut guest, to);
        assert_eq!(read(&mut guest, 0), found, "{to:#x}");
    }
}

#[test]
fn ept_violation_of_a_paging_structure_entry_forgets_no_translation() {
    // EPT does not allow the page table of an address.
    let (far, table) = (0x4000_0000, pages(3)[0]);
    let mut guest = reader(true);
    guest.bench.map(far, DATA, 3);
    assert_eq!(read(&mut guest, 0), OLD);
    move_in_ept(&mut guest);
    let place = page_entry(&mut guest, far, 2);
    guest.write(place, table | 7);
    guest.write(Guest::ept_entry(table), 0);
    guest.bench.ram.dma_write(CODE + 0x100, &[&[0x48, 0x8B, 0x04, 0x25][..], &(far as u32).to_le_bytes()].concat());
    guest.set(Field::GuestRip, CODE + 0x100);
    guest.expect(ExitReason::EptViolation);
    assert_eq!(guest.get(Field::ExitQualification) >> 7 & 3, 1);
    assert_eq!(read(&mut guest, 0), OLD);
}

// 28.5.8 "Virtualization Exceptions": it is an EPT violation all the same.
#[test]
fn virtualization_exception_forgets_the_mappings_of_its_address() {
    let mut guest = reader(true);
    guest.secondary(SecondaryProcessorControls::EPT_VIOLATION_VE);
    guest.set(Field::VirtualizationExceptionInformationAddress, PAGES + 0x2000);
    assert_eq!(read(&mut guest, 0), OLD);
    for page in (0..4).flat_map(pages) {
        guest.write(Guest::ept_entry(page), NEW | 0x135);
    }
    read_after_denied_write(&mut guest, DATA);
    assert_eq!(guest.read(PAGES + 0x2000) & 0xFFFF_FFFF, u64::from(ExitReason::EptViolation.field()));
    assert_eq!(read(&mut guest, 0), (2, 1));
}

// Vol. 3A 5.10.4.1 "Operations that Invalidate TLBs and Paging-Structure Caches".
#[test]
fn page_fault_forgets_the_translations_of_its_page_and_no_others() {
    for (to, found) in [(pages(0)[0] + 0x10, (2, 1)), (pages(1)[0], OLD)] {
        let mut guest = reader(false);
        guest.set(Field::ExceptionBitmap, 1 << vector::PF);
        let cr0 = guest.get(Field::GuestCr0) | Cr0::WP.bits();
        guest.set(Field::GuestCr0, cr0);
        // Read-only pages, which then move.
        for new in [false, true] {
            for page in pages(0).into_iter().chain(pages(1)) {
                let place = page_entry(&mut guest, page, 1);
                guest.write(place, if new { NEW } else { page } | 0x61);
            }
            assert_eq!(read(&mut guest, 0), OLD);
        }
        read_after_denied_write(&mut guest, to);
        assert_eq!(read(&mut guest, 0), found, "{to:#x}");
    }
}

/// MOV [DATA], RAX; HLT.
fn writer() -> Guest {
    let mut guest = Guest::new(&[&[0x48, 0x89, 0x04, 0x25][..], &(DATA as u32).to_le_bytes(), &[0xF4]].concat());
    guest.secondary(SecondaryProcessorControls::ENABLE_VPID);
    guest.set(Field::Vpid, 1);
    guest
}

fn write(guest: &mut Guest) -> bool {
    guest.set(Field::GuestRip, CODE);
    guest.set(Field::GuestRsp, STACK);
    guest.expect(ExitReason::Hlt);
    guest.get(Field::GuestRip) != HANDLERS + u64::from(vector::PF)
}

#[test]
fn guest_cr0_wp_that_the_vmm_changes_counts_at_once_for_cached_translations() {
    let mut guest = writer();
    guest.bench.map(DATA, DATA, PAGE_PRESENT);
    let cr0 = guest.get(Field::GuestCr0);
    for _ in 0..2 {
        guest.set(Field::GuestCr0, cr0 & !Cr0::WP.bits());
        assert!(write(&mut guest));
        guest.set(Field::GuestCr0, cr0);
        assert!(!write(&mut guest));
    }
}

#[test]
fn guest_pkrs_that_vm_entry_loads_counts_at_once_for_cached_translations() {
    let mut guest = writer();
    guest.bench.map(DATA, DATA, PAGE_PRESENT | PAGE_WRITABLE | 1 << 59);
    guest.or(Field::GuestCr4, Cr4::PKS.bits());
    guest.or(Field::VmEntryControls, VmEntryControls::LOAD_PKRS.bits().into());
    for _ in 0..2 {
        guest.set(Field::GuestIa32Pkrs, 0);
        assert!(write(&mut guest));
        guest.set(Field::GuestIa32Pkrs, 0b1000);
        assert!(!write(&mut guest), "write-disable of key 1");
    }
}
