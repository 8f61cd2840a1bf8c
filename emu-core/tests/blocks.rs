//! Blocks: loops, self-modifying code, faults in the middle.

use emu_core::run::RunExit;
use emu_core::testing::Bench;

#[test]
fn loop_counts_and_sums_until_hlt() {
    // xor ax,ax; mov cx,1000; l: add ax,cx; loop l; hlt
    let mut bench = Bench::real_mode(&[0x31, 0xC0, 0xB9, 0xE8, 0x03, 0x01, 0xC8, 0xE2, 0xFC, 0xF4]);
    assert_eq!(bench.run(100_000), RunExit::Stopped);
    assert_eq!(bench.cpu.gpr[0] & 0xFFFF, (1000 * 1001 / 2) & 0xFFFF);
    assert_eq!(bench.cpu.instructions, 2 + 2000 + 1);
    assert_eq!(bench.cpu.rip(), 0x7C0A);
}

#[test]
fn a_store_into_the_next_instruction_takes_effect_at_once() {
    // mov byte [7C06],41h (inc cx); nop -> inc cx; hlt
    let mut bench = Bench::real_mode(&[0xC6, 0x06, 0x06, 0x7C, 0x41, 0x90, 0x90, 0xF4]);
    bench.cpu.gpr[1] = 5;
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.gpr[1], 6);
}

#[test]
fn an_undefined_opcode_enters_vector_6_with_its_own_address_pushed() {
    // inc ax; ud2
    let mut bench = Bench::real_mode(&[0x40, 0x0F, 0x0B]);
    bench.ram.dma_write(6 * 4, &[0x00, 0x80, 0x00, 0x00]);
    bench.ram.dma_write(0x8000, &[0xF4]);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.rip(), 0x8001);
    assert_eq!(bench.ram.load(0x7000 - 6, 2), 0x7C01);
}

#[test]
fn two_runs_of_the_same_code_take_the_same_cycles() {
    let code = [0x31, 0xC0, 0xB9, 0xE8, 0x03, 0x01, 0xC8, 0xE2, 0xFC, 0xF4];
    let run = || {
        let mut bench = Bench::real_mode(&code);
        bench.run(100_000);
        (bench.cpu.cycles, bench.cpu.instructions, bench.cpu.gpr)
    };
    assert_eq!(run(), run());
}

#[test]
fn pause_leaves_the_rest_of_the_turn_to_other_processors_if_there_are_any() {
    // l: pause; jmp l
    let code = [0xF3, 0x90, 0xEB, 0xFC];
    for (takes_turns, instructions) in [(true, 1..=1), (false, 6..=8)] {
        let mut bench = Bench::real_mode(&code);
        bench.cpu.config.takes_turns = takes_turns;
        assert_eq!(bench.run(1000), RunExit::Budget);
        assert!(instructions.contains(&bench.cpu.instructions), "{takes_turns}: {}", bench.cpu.instructions);
    }
}

/// SDM Vol. 2B, "PAUSE": a finite delay that depends on the processor.
#[test]
fn pause_of_a_processor_alone_takes_its_time_but_not_beyond_the_turn() {
    // pause; l: inc ax; jmp l
    let code = [0xF3, 0x90, 0x40, 0xEB, 0xFD];
    for (cycles, increments) in [(100, 0), (250, 0), (251 + 20, 10)] {
        let mut bench = Bench::real_mode(&code);
        assert_eq!(bench.run(cycles), RunExit::Budget);
        assert_eq!((bench.cpu.cycles, bench.cpu.gpr[0]), (cycles, increments));
    }
}
