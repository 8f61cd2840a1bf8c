//! What VM entries and VM exits cost when the clock is the model's.

use super::guest::{CODE, DATA, EPT, Guest, PAGES};
use emu_core::cycles::table::Table;
use emu_vmx::field::Field;
use std::sync::Arc;

/// Cycles of VM entry and VM exit together on Westmere: Agesen, Mattson, Rugina, Sheldon, Software Techniques for Avoiding
/// Hardware Virtualization Exits, USENIX ATC 2012, Table 1.
const PUBLISHED: f64 = 761.0;

#[test]
fn round_trip_of_a_vm_exit_takes_what_was_published_for_westmere() {
    // hlt
    let mut guest = Guest::new(&[0xF4]);
    guest.bench.cpu.config.cycles = Some(Table::named("westmere").expect("it is built in"));
    guest.run();
    let before = guest.bench.cpu.cycles;
    guest.run();
    let round = (guest.bench.cpu.cycles - before) as f64;
    println!("{round} cycles");
    assert!((round - PUBLISHED).abs() < 0.3 * PUBLISHED, "{round} cycles");
}

#[test]
fn an_instruction_is_a_cycle_and_so_is_an_exit_without_a_table() {
    let mut guest = Guest::new(&[0xF4]);
    guest.run();
    let before = (guest.bench.cpu.cycles, guest.bench.cpu.instructions);
    guest.run();
    // VMRESUME, the exit of HLT, and the VMM's HLT.
    assert_eq!(guest.bench.cpu.cycles - before.0, 3);
    assert_eq!(guest.bench.cpu.instructions - before.1, 2);
}

/// Cycles that MOV RAX, [RCX] takes more than where its page is in the TLB; `data` is the page.
fn miss(table: &Arc<Table>, data: u64, prepare: impl Fn(&mut Guest)) -> u64 {
    // mov rax,[rbx]; mov rax,[rcx]; hlt
    let mut guest = Guest::with_ept(&[0x48, 0x8B, 0x03, 0x48, 0x8B, 0x01, 0xF4]);
    prepare(&mut guest);
    guest.bench.cpu.config.cycles = Some(Arc::clone(table));
    let mut took = |rcx: u64| {
        (guest.bench.cpu.gpr[3], guest.bench.cpu.gpr[1]) = (DATA, rcx);
        guest.set(Field::GuestRip, CODE);
        let before = guest.bench.cpu.cycles;
        guest.run();
        guest.bench.cpu.cycles - before
    };
    // Without VPID the TLB is empty after each VM entry and each VM exit. Accessed flags are set by the first run.
    took(data);
    let missing = took(data);
    missing - took(DATA + 8)
}

/// SDM Vol. 3C 29.3.1, "EPT Overview": the guest's paging structures are read by guest-physical addresses. With n levels of
/// the guest and m of EPT a walk reads n times an entry and the m that lead to it, and the m that lead to the page.
#[test]
fn a_tlb_miss_under_ept_takes_the_entries_of_both_dimensions() {
    for name in Table::names() {
        let table = Table::named(name).expect("it is built in");
        let (miss_alone, entry) = (u64::from(table.events.tlb_miss), u64::from(table.events.walk_entry));
        let walk = |entries: u64| miss_alone + entry * entries;
        // The guest's paging structures lie in a page of 2 MiB, which three levels of EPT lead to.
        assert_eq!(miss(&table, DATA + 0x1000, |_| ()), walk(4 * (3 + 1) + 4), "{name}");
        assert_eq!(miss(&table, EPT + 0x8_0000, |_| ()), walk(4 * (3 + 1) + 3), "{name}");
        // The same memory by pages of 4 KiB.
        let small = |guest: &mut Guest| {
            for page in 0..512 {
                guest.write(PAGES + 8 * page, (0x20_0000 + (page << 12)) | 0x37);
            }
            guest.write(EPT + 0x2008, PAGES | 7);
        };
        assert_eq!(miss(&table, DATA + 0x1000, small), walk(4 * (4 + 1) + 4), "{name}");
    }
}
