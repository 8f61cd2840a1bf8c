//! Caches and branch prediction as parts of the clock.

use crate::PROCESSORS;
use emu_core::cycles::parts::Parts;
use emu_core::cycles::table::Table;
use emu_core::hash::StableHash;
use emu_core::mem::ram::Ram;
use emu_core::model::CpuModel;
use emu_core::observe::{Observer, Watch, Watching};
use emu_core::run::{RunExit, Slice};
use emu_core::snapshot::CoreState;
use emu_core::state::cpu::Env;
use emu_core::state::derived::Size;
use emu_core::state::pmu::Misses;
use emu_core::state::system::Activity;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr0;

const BOTH: Parts = Parts { caches: true, branches: true };
const CACHES: Parts = Parts { caches: true, branches: false };
const BRANCHES: Parts = Parts { caches: false, branches: true };
/// Where code starts.
const START: u64 = 0x7C00;
/// Where data lies.
const DATA: u64 = 0x10_0000;

/// 32-bit code without paging, in 64 MiB, with caches on.
fn flat(table: &str, parts: Parts, code: &[u8]) -> Bench {
    let mut bench = Bench::new(CpuModel::default_model());
    bench.ram = Ram::new(64 << 20).expect("the host has memory");
    bench.cpu.sys.cr0 |= Cr0::PE;
    bench.cpu.sys.cr0 -= Cr0::CD | Cr0::NW;
    bench.set_flat_segments(Size::Bits32, 0);
    let table = Table::named(table).expect("it is built in");
    bench.cpu.model_clock(table, parts, &mut bench.ram);
    bench.ram.dma_write(START, code);
    bench.cpu.set_rip(START);
    bench.cpu.gpr[4] = 0x7000;
    bench.cpu.refresh();
    bench
}

/// Runs from the start to HLT: what it has taken, and the misses.
fn run(bench: &mut Bench) -> (u64, Misses) {
    let (cycles, before) = (bench.cpu.cycles, bench.cpu.pmu.misses);
    bench.cpu.set_rip(START);
    bench.cpu.sys.activity = Activity::Active;
    bench.cpu.refresh();
    assert_eq!(bench.run(1 << 40), RunExit::Stopped);
    let after = bench.cpu.pmu.misses;
    (bench.cpu.cycles - cycles, std::array::from_fn(|n| after[n] - before[n]))
}

/// l: mov eax,[eax]; dec ecx; jnz l; hlt
const CHASE: [u8; 6] = [0x8B, 0x00, 0x49, 0x75, 0xFB, 0xF4];

#[test]
fn a_chain_of_loads_takes_the_latency_of_the_level_that_holds_it() {
    for table in PROCESSORS {
        let mut bench = flat(table, CACHES, &CHASE);
        let caches = Table::named(table).expect("it is built in").caches;
        for (kib, extra, misses) in [
            (16, 0, [0, 0]),
            (64, caches.l2.extra, [0, 0]),
            (1024, caches.l3.extra, [1, 0]),
            (16 << 10, caches.memory, [1, 1]),
        ] {
            let lines = kib * 16;
            for n in 0..lines {
                // Strides of 17 lines: each is met once.
                let next = DATA + (n + 17) % lines * 64;
                bench.ram.dma_write(DATA + n * 64, &(next as u32).to_le_bytes());
            }
            let mut go = || {
                bench.cpu.gpr[0] = DATA;
                bench.cpu.gpr[1] = lines;
                run(&mut bench)
            };
            go();
            let (cycles, missed) = go();
            let load = cycles as f64 / lines as f64;
            let expected = 4.0 + f64::from(extra);
            assert!((load - expected).abs() < 0.2, "{table}, {kib} KiB: {load} cycles a load, and not {expected}");
            let once = misses.map(|each| each * lines);
            assert!(missed[0] - once[0] < 4 && missed[1] - once[1] < 4, "{table}, {kib} KiB: {missed:?}, not {once:?}");
        }
    }
}

/// l: mov [esi],eax; add esi,64; dec ecx; jnz l; hlt
const STORES: [u8; 9] = [0x89, 0x06, 0x83, 0xC6, 0x40, 0x49, 0x75, 0xF8, 0xF4];

#[test]
fn a_store_that_misses_takes_its_share_of_a_load() {
    let mut bench = flat("westmere", CACHES, &STORES);
    let caches = Table::named("westmere").expect("it is built in").caches;
    let lines = 1 << 16;
    let mut go = || {
        (bench.cpu.gpr[1], bench.cpu.gpr[6]) = (lines, DATA);
        run(&mut bench).0 / lines
    };
    let share = u64::from(caches.memory) * u64::from(caches.stores) / 100;
    let store = go();
    assert!(store > share && store <= share + 4, "{store} cycles a store, of which the memory's are {share}");
}

#[test]
fn instructions_that_control_caches_do_it() {
    // l: mov eax,[esi]; clflush [esi] | prefetcht0 [esi] | wbinvd; mov eax,[esi]; hlt
    let load = [0x8B, 0x06];
    let (flush, prefetch) = ([0x0F, 0xAE, 0x3E], [0x0F, 0x18, 0x0E]);
    let program = |parts: &[&[u8]]| [parts.concat(), vec![0xF4]].concat();
    let misses = |code: &[u8], uncached: bool| {
        let mut bench = flat("westmere", CACHES, code);
        bench.cpu.gpr[6] = DATA;
        // The code and the translation are known.
        run(&mut bench);
        bench.with_env(|cpu, env| {
            cpu.sys.cr0.set(Cr0::CD, uncached);
            let line = (DATA / 64) as u32;
            cpu.micro.caches.iter_mut().for_each(|caches| caches.remove(line));
            env.ram.shared_cache().into_iter().for_each(|cache| cache.remove(line));
        });
        let (cycles, missed) = run(&mut bench);
        (missed[1], cycles)
    };
    let memory = u64::from(Table::named("westmere").expect("it is built in").caches.memory);
    let once = misses(&program(&[&load, &load]), false);
    assert_eq!(once.0, 1);
    assert_eq!(misses(&program(&[&load, &load]), true).0, 2, "no-fill mode");
    assert_eq!(misses(&program(&[&load, &flush, &load]), false).0, 2);
    let (missed, cycles) = misses(&program(&[&prefetch, &load, &load]), false);
    assert_eq!(missed, 1);
    assert!(cycles < memory, "nobody has waited: {cycles}");
    // The code is gone, too.
    assert_eq!(misses(&program(&[&load, &[0x0F, 0x09], &load]), false).0, 3);
    assert_eq!(misses(&program(&[&load, &[0x0F, 0x08], &load]), false).0, 3);
}

#[test]
fn code_is_fetched_once_a_line_wherever_blocks_begin() {
    // 1,000 NOPs of 3 bytes across lines; hlt
    let code = [[0x0F, 0x1F, 0x00].repeat(1000), vec![0xF4]].concat();
    let mut bench = flat("westmere", CACHES, &code);
    let (first, missed) = run(&mut bench);
    assert_eq!(missed[1], (START + 3000) / 64 - START / 64 + 1);
    let (second, missed) = run(&mut bench);
    assert_eq!(missed, [0; 3]);
    assert!(first - second > 40 * 253, "{first} and {second}");
}

/// l: test byte [esi],1; jz s; inc edx; s: inc esi; dec ecx; jnz l; hlt
const PATTERN: [u8; 11] = [0xF6, 0x06, 0x01, 0x74, 0x01, 0x42, 0x46, 0x49, 0x75, 0xF6, 0xF4];

#[test]
fn patterns_are_predicted_and_chance_is_not() {
    let missed = |outcome: &mut dyn FnMut(u64) -> bool| {
        let mut bench = flat("westmere", BRANCHES, &PATTERN);
        let outcomes: Vec<u8> = (0..20_000).map(|n| outcome(n).into()).collect();
        bench.ram.dma_write(DATA, &outcomes);
        let mut go = |from: u64, count: u64| {
            (bench.cpu.gpr[1], bench.cpu.gpr[6]) = (count, DATA + from);
            run(&mut bench)
        };
        go(0, 10_000);
        let (cycles, missed) = go(10_000, 10_000);
        (cycles, missed[2])
    };
    let always = missed(&mut |_| true);
    // The way out of the loop, and what that leaves in the history.
    assert!(always.1 < 20, "{always:?}");
    assert!(missed(&mut |n| n % 2 == 0).1 < 20);
    assert!(missed(&mut |n| n % 7 == 0).1 < 40);
    let mut state = 1u64;
    let chance = missed(&mut |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 63 != 0
    });
    assert!((4000..6000).contains(&chance.1), "{chance:?}");
    let penalty = u64::from(Table::named("westmere").expect("it is built in").branches.penalty);
    assert!(chance.0 + 10_000 > always.0 + (chance.1 - always.1) * penalty, "{chance:?} and {always:?}");
}

/// f: dec ecx; jz e; call f; e: ret, begun by: call f; hlt
const CALLS: [u8; 15] = [0xE8, 0x01, 0x00, 0x00, 0x00, 0xF4, 0x49, 0x74, 0x05, 0xE8, 0xF8, 0xFF, 0xFF, 0xFF, 0xC3];

#[test]
fn returns_are_predicted_as_deep_as_the_stack_of_returns_is() {
    let missed = |depth: u64| {
        let mut bench = flat("westmere", BRANCHES, &CALLS);
        let mut go = || {
            bench.cpu.gpr[1] = depth;
            run(&mut bench).1[2]
        };
        (0..5).for_each(|_| _ = go());
        go()
    };
    // The way out of the recursion.
    assert!(missed(16) <= 2, "{}", missed(16));
    let deep = missed(40);
    // All those returns go to the same place: an old address is as good as the right one, but for the last.
    assert!(deep <= 3, "{deep}");
}

/// Sorts of everything: mov rsi,18000h; mov ecx,40h; l: mov eax,ecx; mov [rsi+rcx*8],rax; add rax,[rsi+rcx*8+3Dh];
/// test dl,1; je s; push rdi; pop r8; s: call f; push rcx; push rsi; mov edi,20FF0h; mov ecx,29h; rep movsb; pop rsi;
/// pop rcx; clflush [rsi]; dec ecx; jne l; hlt; f: lea rdx,[rdx+rax+5]; ret
const PROGRAM: [u8; 66] = [
    0x48, 0xC7, 0xC6, 0x00, 0x80, 0x01, 0x00, 0xB9, 0x40, 0x00, 0x00, 0x00, 0x89, 0xC8, 0x48, 0x89, 0x04, 0xCE, 0x48,
    0x03, 0x44, 0xCE, 0x3D, 0xF6, 0xC2, 0x01, 0x74, 0x03, 0x57, 0x41, 0x58, 0xE8, 0x18, 0x00, 0x00, 0x00, 0x51, 0x56,
    0xBF, 0xF0, 0x0F, 0x02, 0x00, 0xB9, 0x29, 0x00, 0x00, 0x00, 0xF3, 0xA4, 0x5E, 0x59, 0x0F, 0xAE, 0x3E, 0xFF, 0xC9,
    0x75, 0xD1, 0xF4, 0x48, 0x8D, 0x54, 0x02, 0x05, 0xC3,
];

fn program(table: &str, parts: Parts) -> Bench {
    let mut bench = Bench::long_mode(&PROGRAM);
    bench.cpu.sys.cr0 -= Cr0::CD | Cr0::NW;
    let table = Table::named(table).expect("it is built in");
    bench.cpu.model_clock(table, parts, &mut bench.ram);
    bench.cpu.refresh();
    bench
}

/// Everything that could tell two runs apart.
fn outcome(bench: &mut Bench) -> (u64, u64, u64) {
    let mut hash = StableHash::new();
    let shared = bench.ram.shared_cache().cloned();
    hash.value(&(bench.cpu.guest_state(), shared)).expect("a state has an encoding");
    (bench.cpu.cycles, bench.cpu.instructions, hash.get())
}

fn slice(bench: &mut Bench, slice: Slice) -> RunExit {
    let mut env = Env { ram: &mut bench.ram, bus: &mut bench.bus, outbox: &mut bench.outbox };
    bench.cpu.run_slice(&mut env, &mut bench.cache, slice, None)
}

#[test]
fn wherever_a_run_is_cut_caches_and_predictions_are_the_same() {
    const END: u64 = 10_000_000;
    for table in PROCESSORS {
        for parts in [BOTH, CACHES, BRANCHES] {
            let mut whole = program(table, parts);
            assert_eq!(whole.run(END), RunExit::Stopped);
            let expected = outcome(&mut whole);
            assert!(whole.cpu.pmu.misses[0] > 0 || !parts.caches);
            assert!(whole.cpu.pmu.misses[2] > 0 || !parts.branches);
            for piece in [1, 2, 3, 7, 20, 1000] {
                let mut cut = program(table, parts);
                let mut stop = 0;
                while slice(&mut cut, Slice { stop, turn_end: END, step: false }) != RunExit::Stopped {
                    stop = cut.cpu.cycles + piece;
                    if stop % 3 == 0 {
                        cut.cache.clear();
                    }
                }
                assert_eq!(outcome(&mut cut), expected, "{table} {parts:?} in pieces of {piece}");
            }
            let mut stepped = program(table, parts);
            while slice(&mut stepped, Slice { stop: END, turn_end: END, step: true }) != RunExit::Stopped {}
            assert_eq!(outcome(&mut stepped), expected, "{table} {parts:?} in steps");
        }
    }
}

/// Watches, and says nothing.
struct Silent(Watch);

impl Observer for Silent {
    fn watches(&self) -> Watch {
        self.0
    }
}

/// Copies and fills, up and down, of all widths, at odd places: rep movsb, movsw, movsd, movsq and stosd.
fn copies() -> Vec<u8> {
    let mut code = Vec::new();
    for (n, element) in [&[0xA4][..], &[0xA5], &[0x66, 0xA5], &[0x48, 0xA5], &[0xAB]].iter().enumerate() {
        for down in [false, true] {
            code.push(if down { 0xFD } else { 0xFC });
            // mov esi, edi, ecx
            for (op, value) in [(0xBE, 0x1_8033 + n as u32 * 13), (0xBF, 0x1_80F5 + n as u32 * 61), (0xB9, 150)] {
                code.push(op);
                code.extend(u32::to_le_bytes(value));
            }
            code.push(0xF3);
            code.extend(*element);
        }
    }
    code.push(0xF4);
    code
}

/// clflush [rsi]; mov edi,40000000h, which is not mapped; mov ecx,1; rep movsb
const COPY_THAT_FAULTS: [u8; 15] =
    [0x0F, 0xAE, 0x3E, 0xBF, 0x00, 0x00, 0x00, 0x40, 0xB9, 0x01, 0x00, 0x00, 0x00, 0xF3, 0xA4];

#[test]
fn a_copy_is_the_same_to_caches_element_by_element() {
    copy_is_the_same_element_by_element(&copies());
}

#[test]
fn a_copy_whose_destination_faults_has_read_its_source_whoever_watches() {
    copy_is_the_same_element_by_element(&COPY_THAT_FAULTS);
}

fn copy_is_the_same_element_by_element(code: &[u8]) {
    let bench = || {
        let mut bench = Bench::long_mode(code);
        bench.cpu.sys.cr0 -= Cr0::CD | Cr0::NW;
        bench.cpu.model_clock(Table::named("westmere").expect("it is built in"), BOTH, &mut bench.ram);
        bench.cpu.refresh();
        bench
    };
    let mut whole = bench();
    assert_eq!(whole.run(1_000_000), RunExit::Stopped);
    let expected = outcome(&mut whole);
    for watch in [Watch::MEMORY, Watch::INSTRUCTIONS, Watch::INSTRUCTIONS | Watch::ITERATIONS] {
        let mut watched = bench();
        let Bench { cpu, ram, bus, outbox, cache, .. } = &mut watched;
        let mut env = Env { ram, bus, outbox };
        let mut silent = Silent(watch);
        let exit = cpu.run_slice(&mut env, cache, Slice::turn(1_000_000), Some(Watching::new(&mut silent)));
        assert_eq!(exit, RunExit::Stopped);
        assert_eq!(outcome(&mut watched), expected, "{watch:?}");
    }
    for piece in [1, 3, 50] {
        let mut cut = bench();
        let mut stop = 0;
        while slice(&mut cut, Slice { stop, turn_end: 1_000_000, step: false }) != RunExit::Stopped {
            stop = cut.cpu.cycles + piece;
        }
        assert_eq!(outcome(&mut cut), expected, "in pieces of {piece}");
    }
}

#[test]
fn a_run_goes_on_from_a_saved_state_and_is_refused_by_another_clock() {
    let mut whole = program("haswell", BOTH);
    assert_eq!(whole.run(10_000_000), RunExit::Stopped);
    let mut first = program("haswell", BOTH);
    first.run(20_000);
    let (state, memory) = CoreState::save(std::slice::from_mut(&mut first.cpu), &mut first.ram);
    let mut second = program("haswell", BOTH);
    second.run(12_345);
    let Bench { cpu, ram, cache, .. } = &mut second;
    state.restore(&memory, std::slice::from_mut(cpu), ram, cache).expect("it is of the same clock");
    assert_eq!(second.go_on(10_000_000), RunExit::Stopped);
    assert_eq!(outcome(&mut second), outcome(&mut whole));
    for (table, parts) in [("haswell", CACHES), ("haswell", BRANCHES), ("westmere", BOTH), ("haswell", Parts::NONE)] {
        let mut other = program(table, parts);
        let Bench { cpu, ram, cache, .. } = &mut other;
        assert!(state.restore(&memory, std::slice::from_mut(cpu), ram, cache).is_err(), "{table} {parts:?}");
    }
}

/// mov ecx,186h; mov eax,EVENT; xor edx,edx; wrmsr; mov ecx,64; l: mov eax,[esi]; add esi,64; dec ecx; jnz l; rdpmc; hlt
fn counting(event: u32) -> Vec<u8> {
    let mut code = vec![0xB9, 0x86, 0x01, 0x00, 0x00, 0xB8];
    code.extend((0x43_0000 | event).to_le_bytes());
    code.extend([0x31, 0xD2, 0x0F, 0x30, 0xB9, 0x40, 0x00, 0x00, 0x00]);
    code.extend([0x8B, 0x06, 0x83, 0xC6, 0x40, 0x49, 0x75, 0xF8, 0x0F, 0x33, 0xF4]);
    code
}

#[test]
fn performance_counters_count_what_misses() {
    for (event, parts, least, most) in [
        (0x4F2E, BOTH, 64, 66),
        (0x412E, BOTH, 64, 66),
        (0x00C5, BOTH, 1, 16),
        (0x00C5, CACHES, 0, 0),
        (0x412E, BRANCHES, 0, 0),
        (0x412E, Parts::NONE, 0, 0),
    ] {
        let mut bench = flat("westmere", parts, &counting(event));
        bench.cpu.gpr[6] = DATA;
        let missed = run(&mut bench).1;
        let counted = bench.cpu.gpr[0];
        assert!(event != 0x00C5 || counted == missed[2], "{counted} of {missed:?}");
        assert!((least..=most).contains(&counted), "event {event:x} with {parts:?}: {counted}");
    }
}
