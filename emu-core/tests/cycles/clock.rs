//! A processor whose clock counts the cycles of a table.

use crate::PROCESSORS;
use emu_core::cycles::table::Table;
use emu_core::run::{RunExit, Slice};
use emu_core::state::cpu::Env;
use emu_core::state::observed::Watch;
use emu_core::testing::Bench;

/// Sorts, divides, walks through memory and calls: mov rsi,18000h; mov ecx,400h; l: mov eax,ecx; xor edx,edx; mov ebx,7;
/// div ebx; mov [rsi+rcx*8],rdx; add rax,[rsi+rcx*8+8]; imul rax,rax,3; test dl,1; je s; add rdi,rax; push rdi; pop r8;
/// s: call f; dec ecx; jne l; hlt; f: shl r8,2; lea r9,[r8+rdi+5]; ret
const PROGRAM: [u8; 67] = [
    0x48, 0xC7, 0xC6, 0x00, 0x80, 0x01, 0x00, 0xB9, 0x00, 0x04, 0x00, 0x00, 0x89, 0xC8, 0x31, 0xD2, 0xBB, 0x07, 0x00,
    0x00, 0x00, 0xF7, 0xF3, 0x48, 0x89, 0x14, 0xCE, 0x48, 0x03, 0x44, 0xCE, 0x08, 0x48, 0x6B, 0xC0, 0x03, 0xF6, 0xC2,
    0x01, 0x74, 0x06, 0x48, 0x01, 0xC7, 0x57, 0x41, 0x58, 0xE8, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xC9, 0x75, 0xD4, 0xF4,
    0x49, 0xC1, 0xE0, 0x02, 0x4D, 0x8D, 0x4C, 0x38, 0x05, 0xC3,
];

fn bench(table: &str) -> Bench {
    let mut bench = Bench::long_mode(&PROGRAM);
    bench.cpu.gpr[4] = 0x7000;
    bench.cpu.config.cycles = Some(Table::named(table).expect("it is built in"));
    bench
}

/// Everything that the program could tell of the run.
fn outcome(bench: &Bench) -> (u64, u64, [u64; 32]) {
    (bench.cpu.cycles, bench.cpu.instructions, bench.cpu.gpr)
}

/// Runs a part of a turn.
fn slice(bench: &mut Bench, slice: Slice) -> RunExit {
    let mut env = Env { ram: &mut bench.ram, bus: &mut bench.bus, outbox: &mut bench.outbox };
    bench.cpu.run_slice(&mut env, &mut bench.cache, slice, None)
}

#[test]
fn wherever_a_run_is_cut_it_takes_the_same_cycles() {
    for table in PROCESSORS {
        let mut whole = bench(table);
        assert_eq!(whole.run(1_000_000), RunExit::Stopped);
        assert_ne!(whole.cpu.cycles, whole.cpu.instructions);
        for piece in [1, 2, 3, 5, 7, 20, 1000] {
            let mut cut = bench(table);
            let mut stop = 0;
            while slice(&mut cut, Slice { stop, turn_end: 1_000_000, step: false }) != RunExit::Stopped {
                stop = cut.cpu.cycles + piece;
                // What was decoded is nobody's business.
                if stop % 3 == 0 {
                    cut.cache.clear();
                }
            }
            assert_eq!(outcome(&cut), outcome(&whole), "{table} in pieces of {piece}");
        }
        let mut stepped = bench(table);
        let mut steps = 0;
        while slice(&mut stepped, Slice { stop: 1_000_000, turn_end: 1_000_000, step: true }) != RunExit::Stopped {
            steps += 1;
            assert_eq!(stepped.cpu.instructions, steps, "a step is one instruction, whatever it costs");
        }
        assert_eq!(outcome(&stepped), outcome(&whole), "{table} in steps");
    }
}

/// mov rsi,1017000h; mov rdi,18000h; mov ecx,600h; rep movsb; hlt: the two pages have one entry of the TLB.
const COPY: [u8; 22] = [
    0x48, 0xC7, 0xC6, 0x00, 0x70, 0x01, 0x01, 0x48, 0xC7, 0xC7, 0x00, 0x80, 0x01, 0x00, 0xB9, 0x00, 0x06, 0x00, 0x00,
    0xF3, 0xA4, 0xF4,
];

#[test]
fn copy_between_pages_that_displace_each_other_in_the_tlb_takes_the_same_cycles_however_it_is_cut_and_watched() {
    for table in PROCESSORS {
        let bench = |watch| {
            let mut bench = Bench::long_mode(&COPY);
            bench.map(0x101_7000, 0x2_0000, 3);
            bench.cpu.config.cycles = Some(Table::named(table).expect("it is built in"));
            bench.cpu.notes.watch = watch;
            bench
        };
        let mut whole = bench(Watch::empty());
        assert_eq!(whole.run(10_000_000), RunExit::Stopped);
        assert!(whole.cpu.cycles > 2 * 0x600 * 7, "{table}: {} cycles", whole.cpu.cycles);
        for watch in [Watch::empty(), Watch::MEMORY, Watch::ITERATIONS] {
            for piece in [1, 5, 50, 300, 1000, 1100, 5000] {
                let mut cut = bench(watch);
                let mut stop = 0;
                while slice(&mut cut, Slice { stop, turn_end: 10_000_000, step: false }) != RunExit::Stopped {
                    stop = cut.cpu.cycles + piece;
                }
                assert_eq!(outcome(&cut), outcome(&whole), "{table} in pieces of {piece}, watched: {watch:?}");
            }
        }
    }
}

/// Ports by an instruction and by a repeated one: mov ecx,14h; l: out 80h,al; dec ecx; jnz l; mov rsi,18000h; mov ecx,28h;
/// mov dx,80h; rep outsb; hlt
const PORTS: [u8; 30] = [
    0xB9, 0x14, 0x00, 0x00, 0x00, 0xE6, 0x80, 0xFF, 0xC9, 0x75, 0xFA, 0x48, 0xC7, 0xC6, 0x00, 0x80, 0x01, 0x00, 0xB9,
    0x28, 0x00, 0x00, 0x00, 0x66, 0xBA, 0x80, 0x00, 0xF3, 0x6E, 0xF4,
];

#[test]
fn what_takes_time_in_a_block_lets_it_go_on_no_farther_than_to_the_cut() {
    let table = Table::named("westmere").expect("it is built in");
    for hz in [1_000_000, 3_000_000] {
        let bench = || {
            let mut bench = Bench::long_mode(&PORTS);
            bench.cpu.config.hz = hz;
            bench.cpu.config.cycles = Some(table.clone());
            bench
        };
        let mut whole = bench();
        assert_eq!(whole.run(1_000_000), RunExit::Stopped);
        assert_eq!(whole.bus.written.len(), 60);
        for piece in [1, 2, 3, 5, 7, 20] {
            let mut cut = bench();
            let mut stop = 0;
            while slice(&mut cut, Slice { stop, turn_end: 1_000_000, step: false }) != RunExit::Stopped {
                stop = cut.cpu.cycles.max(stop) + piece;
            }
            assert_eq!(outcome(&cut), outcome(&whole), "{hz} Hz in pieces of {piece}");
        }
        // A cut comes to the first place behind it that single steps come to.
        let mut places = Vec::new();
        let mut stepped = bench();
        while slice(&mut stepped, Slice { stop: 1_000_000, turn_end: 1_000_000, step: true }) != RunExit::Stopped {
            places.push(stepped.cpu.cycles);
        }
        places.push(whole.cpu.cycles);
        for stop in 1..whole.cpu.cycles {
            let mut cut = bench();
            slice(&mut cut, Slice { stop, turn_end: 1_000_000, step: false });
            let first = places.iter().find(|place| **place >= stop);
            assert_eq!(first, Some(&cut.cpu.cycles), "{hz} Hz, cut at {stop}");
        }
    }
}

#[test]
fn a_run_of_instructions_costs_its_estimate_and_a_part_of_it_no_more() {
    // l: dec ecx; jne l; hlt: one micro-operation.
    let mut bench = Bench::long_mode(&[0xFF, 0xC9, 0x75, 0xFC, 0xF4]);
    bench.cpu.config.cycles = Some(Table::named("haswell").expect("it is built in"));
    bench.cpu.gpr[1] = 1000;
    assert_eq!(bench.run(1_000_000), RunExit::Stopped);
    assert_eq!(bench.cpu.instructions, 2001);
    let cycles = bench.cpu.cycles;
    assert!((1000..1100).contains(&cycles), "{cycles} cycles for 1000 iterations");
}

#[test]
fn a_walk_takes_time_for_each_entry_that_it_reads() {
    // mov rax,[rbx]; hlt
    let mut bench = Bench::long_mode(&[0x48, 0x8B, 0x03, 0xF4]);
    let table = Table::named("westmere").expect("it is built in");
    bench.cpu.config.cycles = Some(table.clone());
    bench.cpu.gpr[3] = 0x9000;
    assert_eq!(bench.run(1_000_000), RunExit::Stopped);
    let first = bench.cpu.cycles;
    bench.cpu.set_rip(0x7C00);
    bench.cpu.sys.activity = emu_core::state::system::Activity::Active;
    bench.cpu.refresh();
    assert_eq!(bench.run(1_000_000), RunExit::Stopped);
    let walk = u64::from(table.events.tlb_miss) + 4 * u64::from(table.events.walk_entry);
    // The fetch has walked, and the load.
    assert_eq!(first - (bench.cpu.cycles - first), 2 * walk);
}
