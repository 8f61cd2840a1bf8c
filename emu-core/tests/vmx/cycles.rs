//! What VM entries and VM exits cost when the clock is the model's.

use super::guest::Guest;
use emu_core::cycles::table::Table;

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
