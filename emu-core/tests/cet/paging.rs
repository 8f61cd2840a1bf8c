//! Shadow-stack pages (SDM Vol. 3A 4.6 "Access Rights", 4.7 "Page-Fault Exceptions").

use super::*;

/// wrssq [rbx],rax
const WRSSQ: [u8; 5] = [0x48, 0x0F, 0x38, 0xF6, 0x03];
/// rstorssp [rbx] reads and writes; incsspq rax reads.
const INCSSPQ: [u8; 5] = [0xF3, 0x48, 0x0F, 0xAE, 0xE8];

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const D: u64 = 0x40;

/// Every combination of R/W, U/S and D of the last entry, and of R/W above it, for both levels.
#[test]
fn shadow_stack_accesses_are_to_dirty_pages_that_are_not_writable_of_their_own_mode() {
    for bits in 0..16 {
        let leaf = P | ((bits & 1) * RW) | ((bits >> 1 & 1) * US) | ((bits >> 2 & 1) * D);
        let above = bits >> 3 & 1;
        for cpl in [0u8, 3] {
            for (code, write_access) in [(&WRSSQ[..], true), (&INCSSPQ[..], false)] {
                let mut bench = cet(code, cpl, SHSTK | WRSS, SHSTK | WRSS);
                // A linear address of its own, so that code and stack keep their pages.
                super::write(&mut bench, 0x12008, 0x1_4000 | 0x25 | (above * RW));
                super::write(&mut bench, 0x1_4000, 0x3_0000 | leaf);
                bench.cpu.flush_tlb();
                (bench.cpu.gpr[3], bench.cpu.gpr[0], bench.cpu.sys.cet.ssp) = (0x20_0000, 0, 0x20_0000);
                let marked = leaf & (RW | D) == D && above == 1;
                let own = (leaf & US != 0) == (cpl == 3);
                let code = 0x41 | u32::from(write_access) << 1 | if cpl == 3 { 4 } else { 0 };
                let result = if marked && own { Ok(()) } else { pf(code) };
                assert_eq!(steps(&mut bench, 1), result, "{leaf:#x} above {above} CPL {cpl}");
                let entry = read(&bench, 0x1_4000, 8);
                let accessed = if result.is_ok() { 0x20 } else { 0 };
                assert_eq!(entry, 0x3_0000 | leaf | accessed, "the dirty flag is never set");
            }
        }
    }
}

#[test]
fn missing_page_of_a_shadow_stack_says_so_in_the_error_code() {
    let mut bench = cet(&WRSSQ, 3, SHSTK | WRSS, 0);
    bench.cpu.gpr[3] = 0x4000_0000;
    assert_eq!(steps(&mut bench, 1), pf(0x46));
}

#[test]
fn ordinary_stores_to_shadow_stacks_fault_and_loads_do_not() {
    // mov rax,[rbx]; mov [rbx],rax
    for (cpl, page) in [(3, USER_PAGE), (0, KERNEL_PAGE), (0, USER_PAGE)] {
        let mut bench = cet(&[0x48, 0x8B, 0x03, 0x48, 0x89, 0x03], cpl, SHSTK, SHSTK);
        bench.cpu.gpr[3] = page;
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!(steps(&mut bench, 1), pf(if cpl == 3 { 7 } else { 3 }));
    }
    // What the TLB has of plain accesses says nothing of the others, nor the other way.
    let mut bench = cet(&[&WRSSQ[..], &[0x48, 0x89, 0x03]].concat(), 3, SHSTK | WRSS, 0);
    bench.cpu.gpr[3] = USER_PAGE;
    assert_eq!(steps(&mut bench, 2), pf(7));
    let mut bench = cet(&[&[0x48, 0x89, 0x03], &WRSSQ[..]].concat(), 3, SHSTK | WRSS, 0);
    bench.cpu.gpr[3] = 0x6_0000;
    assert_eq!(steps(&mut bench, 2), pf(0x47));
}

#[test]
fn protection_keys_keep_shadow_stacks_too() {
    for (pkru, code, result) in [
        (0b0100u32, &WRSSQ[..], pf(0x67)),
        (0b0100, &INCSSPQ[..], pf(0x65)),
        (0b1000, &WRSSQ[..], pf(0x67)),
        (0b1000, &INCSSPQ[..], Ok(())),
    ] {
        let mut bench = cet(code, 3, SHSTK | WRSS, 0);
        super::write(&mut bench, PAGE_TABLE + 8 * (USER_PAGE >> 12), USER_PAGE | 0x65 | 1 << 59);
        bench.cpu.sys.cr4 |= Cr4::PKE;
        bench.cpu.sys.pkru = pkru;
        bench.cpu.changed_from_outside();
        (bench.cpu.gpr[3], bench.cpu.gpr[0], bench.cpu.sys.cet.ssp) = (USER_PAGE, 1, USER_PAGE);
        assert_eq!(steps(&mut bench, 1), result, "{pkru:#b}");
    }
}
