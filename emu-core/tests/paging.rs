//! Page faults (SDM Vol. 3A 4.7).

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
        assert_eq!((bench.cpu.fault.vector, bench.cpu.fault.error_code), (vector::PF, Some(error)), "PKRU {pkru}");
    }
}
