//! Page faults (SDM Vol. 3A 4.7).

mod common;

use common::*;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::vector;

/// MOV [9000h], EAX and HLT at CPL 0; 9000h is read-only with protection key 1.
fn write_to_read_only_page(pkru: u32) -> Bench {
    let mut bench = Bench::long_mode(&[0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00, 0xF4]);
    bench.map(0x9000, 0x9000, 1 << 59 | 5);
    bench.cpu.sys.cr4 |= Cr4::PKE;
    bench.cpu.sys.cr0 |= Cr0::WP;
    bench.cpu.sys.pkru = pkru;
    bench.cpu.flush_tlb();
    bench
}

#[test]
fn page_fault_reports_the_protection_key_whatever_else_denies_the_access() {
    // Key 1: nothing, write disable, access disable.
    for (pkru, error) in [(0, 0x3), (8, 0x23), (4, 0x23)] {
        let mut bench = write_to_read_only_page(pkru);
        assert!(bench.step().is_err());
        assert_eq!(
            (bench.cpu.scratch.fault.vector, bench.cpu.scratch.fault.error_code),
            (vector::PF, Some(error)),
            "PKRU {pkru}"
        );
    }
}

/// MOV EAX, [400000h] by a 4 MiB page with these bits of its entry; the first 4 MiB are mapped one to one.
fn read_by_4_mib_page(bits: u64) -> Bench {
    let mut bench = protected(&[0xA1, 0x00, 0x00, 0x40, 0x00, 0xF4], 0);
    write(&mut bench, 0x10000, 0x83 | (0x83 | bits) << 32);
    bench.cpu.sys.cr3 = 0x10000;
    bench.cpu.sys.cr4 |= Cr4::PSE;
    bench.cpu.sys.cr0 |= Cr0::PG;
    bench.cpu.refresh();
    bench.cpu.flush_tlb();
    bench.run(100);
    bench
}

#[test]
fn pse_36_places_a_4_mib_page_above_4_gib() {
    let at_0 = read_by_4_mib_page(0);
    assert_eq!((handled(&at_0), at_0.cpu.gpr[0]), (None, read(&at_0, 0, 4)));
    // Nothing answers at 4 GiB.
    let above = read_by_4_mib_page(1 << 13);
    assert_eq!((handled(&above), above.cpu.gpr[0]), (None, 0xFFFF_FFFF));
    let reserved = read_by_4_mib_page(1 << 21);
    assert_eq!((handled(&reserved), stacked(&reserved, 0)), (Some(vector::PF.into()), 9));
}

#[test]
fn write_whose_fast_way_is_withheld_goes_by_the_translation_that_is_held() {
    // MOV [9000h], EAX, three times
    let mut bench = Bench::long_mode(&[0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00].repeat(3));
    let entry = 0x30_0000 + 3 * 0x1000 + 9 * 8;
    assert_eq!(read(&bench, entry, 8) & !0xFFF, 0x9000);
    bench.cpu.gpr[0] = 1;
    assert!(bench.step().is_ok());
    // The guest changes the entry and invalidates nothing.
    write(&mut bench, entry, 0);
    bench.ram.mark_code(0x9000, 1);
    bench.cpu.see_new_code(&mut bench.ram);
    bench.cpu.gpr[0] = 2;
    assert!(bench.step().is_ok());
    assert_eq!(read(&bench, 0x9000, 4), 2);
    bench.cpu.tlb.withhold_write_tags();
    bench.cpu.gpr[0] = 3;
    assert!(bench.step().is_ok());
    assert_eq!(read(&bench, 0x9000, 4), 3);
    bench.cpu.flush_tlb();
    bench.cpu.set_rip(0x7C00);
    assert!(bench.step().is_err());
}
