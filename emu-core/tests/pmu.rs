//! Performance monitoring (SDM Vol. 3B chapter 20, "Performance Monitoring"): what counts what, when, and what overflow does.

use emu_core::lapic::{LVT_MASKED, Lvt};
use emu_core::model::CpuModel;
use emu_core::model::features::Feature;
use emu_core::run::RunExit;
use emu_core::snapshot::CoreState;
use emu_core::state::derived::Size;
use emu_core::state::system::DescriptorTable;
use emu_core::testing::Bench;
use emu_vmx::arch::cet;
use emu_vmx::arch::cr::Cr4;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::segment::{AccessRights, Segment};
use emu_vmx::arch::vector;
use std::slice;
use std::sync::Arc;

const CYCLES: u64 = 0x3C;
const REFERENCE: u64 = 0x13C;
const INSTRUCTIONS: u64 = 0xC0;
const BRANCHES: u64 = 0xC4;
const LLC_MISSES: u64 = 0x412E;

const USR: u64 = 1 << 16;
const OS: u64 = 1 << 17;
const EDGE: u64 = 1 << 18;
const INT: u64 = 1 << 20;
const PIN: u64 = 1 << 19;
const ANY: u64 = 1 << 21;
const EN: u64 = 1 << 22;
const INV: u64 = 1 << 23;
/// Counts at all privilege levels.
const ALL: u64 = USR | OS | EN;
/// All counters of `max` are enabled globally.
const EVERYTHING: u64 = 0x7_0000_00FF;
const WIDTH: u64 = (1 << 48) - 1;
const VECTOR: u8 = 0x60;

const CODE: u64 = 0x7C00;
const IDT: u64 = 0x2000;
const GDT: u64 = 0x1000;
/// Handler of every vector: HLT.
const HANDLER: u64 = 0x9000;
/// Where SYSCALL goes to: HLT.
const KERNEL: u64 = 0xA000;

const fn cmask(n: u64) -> u64 {
    n << 24
}

fn model(name: &str) -> Arc<CpuModel> {
    Arc::new(CpuModel::named(name).expect("the model is built in"))
}

/// 64-bit code at CPL 0 whose interrupts and system calls halt. The performance-counter entry delivers [`VECTOR`].
fn bench(code: &[u8]) -> Bench {
    let mut bench = Bench::long_mode(code);
    let flat = |rights: u32| Segment {
        selector: 8,
        base: 0,
        limit: u32::MAX,
        access_rights: AccessRights::from_bits_retain(rights),
    };
    bench.ram.dma_write(GDT + 8, &flat(0xA09B).to_descriptor().to_le_bytes());
    bench.ram.dma_write(GDT + 16, &flat(0xC093).to_descriptor().to_le_bytes());
    let gate = HANDLER & 0xFFFF | 8 << 16 | 0x8E << 40;
    for n in 0..256u64 {
        bench.ram.dma_write(IDT + 16 * n, &gate.to_le_bytes());
    }
    bench.ram.dma_write(HANDLER, &[0xF4]);
    bench.ram.dma_write(KERNEL, &[0xF4]);
    bench.cpu.sys.idtr = DescriptorTable { base: IDT, limit: 0xFFF };
    bench.cpu.sys.gdtr = DescriptorTable { base: GDT, limit: 0x17 };
    bench.cpu.sys.syscall = [0x0010_0008_0000_0000, KERNEL, 0, 0];
    bench.cpu.lapic.svr = 0x1FF;
    bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = VECTOR.into();
    bench.cpu.set_flags(0x202);
    write(&mut bench, IA32_PERF_GLOBAL_CTRL, EVERYTHING);
    bench
}

#[track_caller]
fn write(bench: &mut Bench, number: u32, value: u64) {
    assert!(try_write(bench, number, value), "{number:#x} = {value:#x} is #GP");
}

fn try_write(bench: &mut Bench, number: u32, value: u64) -> bool {
    bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).is_ok()
}

#[track_caller]
fn read(bench: &Bench, number: u32) -> u64 {
    bench.cpu.read_msr_quiet(number).unwrap_or_else(|| panic!("{number:#x} is #GP"))
}

/// Counter `n` counts `select` from `value` on.
fn count(bench: &mut Bench, n: u32, select: u64, value: u64) {
    write(bench, IA32_A_PMC0 + n, value & WIDTH);
    write(bench, IA32_PERFEVTSEL0 + n, select);
}

fn pmc(bench: &Bench, n: u32) -> u64 {
    read(bench, IA32_PMC0 + n)
}

fn halts(bench: &mut Bench) {
    assert_eq!(bench.run(100_000), RunExit::Stopped);
}

/// mov ecx,`n`; l: dec ecx; jnz l; hlt: 2 n + 2 instructions, n branches.
fn looped(n: u8) -> Vec<u8> {
    [&[0xB9, n, 0, 0, 0][..], &[0xFF, 0xC9, 0x75, 0xFC, 0xF4]].concat()
}

/// To CPL 3, five NOPs and a system call: mov ecx,user; sysret; nop x 5; syscall. Then HLT.
const USER_CODE: &[u8] = &[0xB9, 0x08, 0x7C, 0, 0, 0x48, 0x0F, 0x07, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0F, 0x05];

/// "Pre-defined Architectural Performance Events".
#[test]
fn architectural_events_are_counted_exactly() {
    let mut bench = bench(&looped(10));
    for (n, event) in [CYCLES, INSTRUCTIONS, REFERENCE, BRANCHES, LLC_MISSES].into_iter().enumerate() {
        count(&mut bench, n as u32, event | ALL, 0);
    }
    write(&mut bench, IA32_FIXED_CTR_CTRL, 0x333);
    halts(&mut bench);
    let general: Vec<u64> = (0..5).map(|n| pmc(&bench, n)).collect();
    assert_eq!(general, [22, 22, 22, 10, 0]);
    assert_eq!([0, 1, 2].map(|n| read(&bench, IA32_FIXED_CTR0 + n)), [22, 22, 22]);
}

/// Every branch instruction retires once, whatever kind it is, and others are none.
#[test]
fn branches_are_all_transfers_of_control() {
    let nothing = [0x90];
    let cases: &[(&[u8], u64)] = &[
        (&nothing, 0),
        (&[0xEB, 0x00], 1),                         // jmp
        (&[0x74, 0x00, 0x75, 0x00], 2),             // jz; jnz: one is taken
        (&[0xE8, 0x00, 0x00, 0x00, 0x00, 0x58], 1), // call; pop rax
        (&[0xE3, 0x00, 0xE2, 0x00], 2),             // jrcxz; loop
        (&[0x0F, 0x05], 1),                         // syscall
        (&[0xCD, 0x40], 1),                         // int 40h
        (&[0x0F, 0x0B], 0),                         // ud2: an exception is none
    ];
    for (code, branches) in cases {
        let mut bench = bench(&[code, &[0xF4][..]].concat());
        count(&mut bench, 0, BRANCHES | ALL, 0);
        halts(&mut bench);
        assert_eq!(pmc(&bench, 0), *branches, "{code:x?}");
    }
}

/// A branch is one whatever CET makes of it (SDM Vol. 1 chapter 18 "Control-flow Enforcement Technology (CET)").
#[test]
fn branches_that_cet_tracks_are_counted_as_others_are() {
    // lea rbx,[rip+2]; then jmp rbx, call rbx, push rbx and ret; endbr64. And: call to the next instruction.
    let to_next = [0x48, 0x8D, 0x1D, 2, 0, 0, 0];
    let indirect = [[0xFF, 0xE3], [0xFF, 0xD3], [0x53, 0xC3]].map(|branch| [&to_next[..], &branch].concat());
    for code in indirect.into_iter().chain([vec![0xE8, 0, 0, 0, 0]]) {
        for control in [0, cet::ENDBRANCH] {
            let mut bench = bench(&[&code[..], &[0xF3, 0x0F, 0x1E, 0xFA, 0xF4]].concat());
            bench.cpu.sys.cr4 |= Cr4::CET;
            bench.cpu.sys.cet.supervisor = control;
            bench.cpu.changed_from_outside();
            count(&mut bench, 0, BRANCHES | ALL, 0);
            halts(&mut bench);
            assert_eq!(pmc(&bench, 0), 1, "{code:x?}, IA32_S_CET {control:x}");
        }
    }
}

/// SDM Vol. 3B 20.2.1.1, "Architectural Performance Monitoring Version 1 Facilities": USR counts at CPL 1 to 3, OS at CPL 0.
#[test]
fn counters_count_at_the_privilege_levels_of_their_controls() {
    // OS: mov, sysret, hlt. USR: five NOPs, syscall.
    for (levels, instructions, branches) in [(0, 0, 0), (OS, 3, 1), (USR, 6, 1), (USR | OS, 9, 2)] {
        let mut bench = bench(USER_CODE);
        count(&mut bench, 0, INSTRUCTIONS | EN | levels, 0);
        count(&mut bench, 1, BRANCHES | EN | levels, 0);
        count(&mut bench, 2, CYCLES | EN | levels, 0);
        write(&mut bench, IA32_FIXED_CTR_CTRL, (levels >> 17 & 1 | levels >> 15 & 2) * 0x111);
        halts(&mut bench);
        let counted = [pmc(&bench, 0), pmc(&bench, 1), pmc(&bench, 2), read(&bench, IA32_FIXED_CTR0)];
        assert_eq!(counted, [instructions, branches, instructions, instructions], "{levels:x}");
        assert_eq!(read(&bench, IA32_FIXED_CTR2), instructions);
    }
}

/// EN, IA32_PERF_GLOBAL_CTRL and, from version 4 on, CTR_FRZ enable together (SDM Vol. 3B 20.2.4.1).
#[test]
fn counter_counts_when_all_of_its_enables_say_so() {
    for (enabled, global, frozen, counts) in
        [(true, true, false, true), (false, true, false, false), (true, false, false, false), (true, true, true, false)]
    {
        let mut bench = bench(&looped(10));
        count(&mut bench, 3, INSTRUCTIONS | USR | OS | if enabled { EN } else { 0 }, 0);
        write(&mut bench, IA32_FIXED_CTR_CTRL, if enabled { 0x30 } else { 0 });
        write(&mut bench, IA32_PERF_GLOBAL_CTRL, if global { 0x2_0000_0008 } else { 0x5_0000_00F7 });
        if frozen {
            write(&mut bench, IA32_PERF_GLOBAL_STATUS_SET, 1 << 59);
        }
        halts(&mut bench);
        let expected = if counts { 22 } else { 0 };
        assert_eq!(
            (pmc(&bench, 3), read(&bench, IA32_FIXED_CTR1)),
            (expected, expected),
            "{enabled} {global} {frozen}"
        );
    }
}

/// Unhalted cycles: neither HLT nor what ends it is one.
#[test]
fn cycles_in_hlt_are_not_counted() {
    let mut bench = bench(&looped(10));
    count(&mut bench, 0, CYCLES | ALL, 0);
    halts(&mut bench);
    bench.cpu.cycles += 1000;
    assert_eq!(pmc(&bench, 0), 22);
    bench.cpu.lapic.request(VECTOR, false);
    bench.cpu.refresh_apic_attention();
    halts(&mut bench);
    // Waking takes a cycle, HLT of the handler another one.
    assert_eq!(pmc(&bench, 0), 24);
}

/// RDPMC between two instructions sees what has retired, itself included.
#[test]
fn rdpmc_counts_itself_and_what_was_before() {
    // mov ecx,38fh; mov edx,7; xor eax,eax; wrmsr; nop x 4; mov ecx,40000000h; rdpmc; hlt
    let code = [
        &[0xB9, 0x8F, 0x03, 0, 0, 0xBA, 7, 0, 0, 0, 0x31, 0xC0, 0x0F, 0x30][..],
        &[0x90, 0x90, 0x90, 0x90, 0xB9, 0, 0, 0, 0x40, 0x0F, 0x33, 0xF4],
    ];
    let mut bench = bench(&code.concat());
    write(&mut bench, IA32_PERF_GLOBAL_CTRL, 0);
    write(&mut bench, IA32_FIXED_CTR_CTRL, 0x333);
    halts(&mut bench);
    assert_eq!((bench.cpu.gpr[0], bench.cpu.gpr[2]), (6, 0));
}

/// SDM Vol. 2B, RDPMC.
#[test]
fn rdpmc_reads_the_counters_there_are_and_needs_pce_above_cpl_0() {
    let rdpmc = |selector: u32, cpl: u8, pce: bool, name: &str| {
        let mut bench = Bench::long_mode(&[0x0F, 0x33]);
        bench.cpu.config.model = model(name);
        bench.cpu.sys.cr4.set(Cr4::PCE, pce);
        bench.set_flat_segments(Size::Bits64, cpl);
        bench.cpu.gpr[1] = selector.into();
        for n in 0..8 {
            bench.cpu.pmu.general[n] = 0x1_0000_0010 + n as u64;
        }
        bench.cpu.pmu.fixed = [0x20, 0x21, 0x22];
        match bench.step() {
            Ok(()) => Some(bench.cpu.gpr[2] << 32 | bench.cpu.gpr[0]),
            Err(_) => {
                assert_eq!((bench.cpu.scratch.fault.vector, bench.cpu.scratch.fault.error_code), (vector::GP, Some(0)));
                None
            }
        }
    };
    for (name, counters) in [("max", 8), ("ice_lake", 8), ("corei5_arrandale_m520", 4), ("penryn", 2)] {
        for n in 0..9 {
            let expected = (n < counters).then_some(0x1_0000_0010 + u64::from(n));
            assert_eq!(rdpmc(n, 0, false, name), expected, "{name}: {n}");
        }
        for n in 0..4 {
            let expected = (n < 3).then_some(0x20 + u64::from(n));
            assert_eq!(rdpmc(0x4000_0000 + n, 0, false, name), expected, "{name}: {n}");
        }
        assert_eq!(rdpmc(0x2000_0000, 0, false, name), None, "{name}");
        assert_eq!(rdpmc(0x8000_0000, 0, false, name), None, "{name}");
        assert_eq!((rdpmc(0, 3, false, name), rdpmc(0, 3, true, name)), (None, Some(0x1_0000_0010)), "{name}");
    }
    assert_eq!(rdpmc(0, 0, false, "max,-perfmon".split(',').next().unwrap()), Some(0x1_0000_0010));
}

/// SDM Vol. 3B 20.2.6, "Full-Width Writes to Performance Counter Registers".
#[test]
fn writes_of_pmc_are_sign_extended_and_those_of_a_pmc_are_not() {
    let mut bench = bench(&[0xF4]);
    for (written, read) in
        [(0x7FFF_FFFF, 0x7FFF_FFFF), (0x8000_0000, 0xFFFF_8000_0000), (u64::MAX << 31, 0xFFFF_8000_0000)]
    {
        write(&mut bench, IA32_PMC0 + 7, written);
        assert_eq!(pmc(&bench, 7), read, "{written:x}");
    }
    write(&mut bench, IA32_A_PMC0 + 7, 0x1234_8765_4321);
    assert_eq!((pmc(&bench, 7), bench.cpu.read_msr_quiet(IA32_A_PMC0 + 7)), (0x1234_8765_4321, Some(0x1234_8765_4321)));
    for number in [IA32_A_PMC0, IA32_FIXED_CTR0] {
        assert!(try_write(&mut bench, number, WIDTH) && !try_write(&mut bench, number, 1 << 48));
    }
}

/// What each model's leaf 0Ah says is what its registers are; SDM Vol. 3B 20.2.2 to 20.2.5, versions 2 to 5.
#[test]
fn registers_are_those_that_leaf_0ah_reports() {
    // Version, counters, width, AnyThread, full-width writes.
    let models = [
        ("penryn", 2, 2, 40, false, false),
        ("corei5_arrandale_m520", 3, 4, 48, true, false),
        ("sandy_bridge", 3, 4, 48, true, true),
        ("haswell", 3, 4, 48, true, true),
        ("skylake_sp", 4, 4, 48, true, true),
        ("ice_lake", 5, 8, 48, false, true),
        ("tiger_lake", 5, 8, 48, false, true),
        ("sapphire_rapids", 5, 8, 48, false, true),
        ("wildcat_lake", 5, 8, 48, false, true),
        ("max", 5, 8, 48, false, true),
    ];
    assert_eq!(models.len(), CpuModel::names().count());
    for (name, version, counters, width, any_thread, full) in models {
        let mut bench = Bench::new(CpuModel::named(name).unwrap());
        let leaf = bench.cpu.cpuid_leaf(0xA, 0);
        assert_eq!(
            (leaf.eax & 0xFF, leaf.eax >> 8 & 0xFF, leaf.eax >> 16 & 0xFF),
            (version, counters, width),
            "{name}"
        );
        assert_eq!((leaf.edx & 0x1F, leaf.edx >> 5 & 0xFF, leaf.ecx & !7), (3, width, 0), "{name}");
        assert_eq!(read(&bench, IA32_PERF_GLOBAL_CTRL), (1 << counters) - 1, "{name}: after power-on");
        let mask = u64::MAX >> (64 - width);
        for n in 0..8 {
            let there = n < counters;
            assert_eq!(try_write(&mut bench, IA32_PMC0 + n, 5), there, "{name}: {n}");
            assert_eq!(try_write(&mut bench, IA32_A_PMC0 + n, mask), there && full, "{name}: {n}");
            assert_eq!(try_write(&mut bench, IA32_PERFEVTSEL0 + n, 0xFF97_FFFF), there, "{name}: {n}");
            assert_eq!(try_write(&mut bench, IA32_PERFEVTSEL0 + n, ANY), there && any_thread, "{name}: {n}");
            // Pin control is reserved from Sandy Bridge on.
            let older = ["penryn", "corei5_arrandale_m520"].contains(&name);
            assert_eq!(try_write(&mut bench, IA32_PERFEVTSEL0 + n, PIN), there && older, "{name}: {n}");
            assert_eq!(try_write(&mut bench, IA32_PERF_GLOBAL_CTRL, 1 << n), there, "{name}: {n}");
        }
        assert!(try_write(&mut bench, IA32_FIXED_CTR0, mask) && !try_write(&mut bench, IA32_FIXED_CTR0, mask + 1));
        assert!(try_write(&mut bench, IA32_FIXED_CTR_CTRL, 0xBBB), "{name}");
        assert_eq!(try_write(&mut bench, IA32_FIXED_CTR_CTRL, 0x004), any_thread, "{name}");
        assert!(!try_write(&mut bench, IA32_FIXED_CTR_CTRL, 0x1000), "{name}");
        assert!(!try_write(&mut bench, IA32_PERF_GLOBAL_STATUS, 0), "{name}: it is read-only");
        // SDM Vol. 4 Table 2-2: which bits may be reset, and which may be set, from which version on.
        for bit in 0..64 {
            let since = match bit {
                0..8 if bit >= counters => u32::MAX,
                0..8 | 32..35 | 62 | 63 => 2,
                61 => 3,
                58..=60 => 4,
                _ => u32::MAX,
            };
            let reset = try_write(&mut bench, IA32_PERF_GLOBAL_OVF_CTRL, 1 << bit);
            assert_eq!(reset, version >= since, "{name}: bit {bit}");
            let set = version >= 4 && try_write(&mut bench, IA32_PERF_GLOBAL_STATUS_SET, 1 << bit);
            assert_eq!(set, version >= since.max(4) && bit != 63, "{name}: bit {bit}");
        }
        let set = bench.cpu.read_msr_quiet(IA32_PERF_GLOBAL_INUSE).is_some();
        assert_eq!(set, version >= 4 || name == "corei5_arrandale_m520", "{name}: or what the uncore has there");
        let capabilities = read(&bench, IA32_PERF_CAPABILITIES);
        assert_eq!(capabilities >> 13 & 1 != 0, full, "{name}");
        let changed = CpuModel::named(name).unwrap().with("-perfmon").unwrap();
        let without = Bench::new(changed);
        for number in [IA32_PMC0, IA32_PERFEVTSEL0, IA32_PERF_GLOBAL_CTRL, IA32_FIXED_CTR0, IA32_PERF_CAPABILITIES] {
            assert_eq!(without.cpu.read_msr_quiet(number), None, "{name}: {number:#x}");
        }
    }
}

/// CPUID.0AH:EBX: an event that is not available is not counted.
#[test]
fn event_that_was_taken_away_is_not_counted() {
    for (event, name) in [
        (CYCLES, "core_cycles"),
        (INSTRUCTIONS, "instructions"),
        (REFERENCE, "reference_cycles"),
        (BRANCHES, "branches"),
    ] {
        let changed = CpuModel::named("max").unwrap().with(&format!("-event_{name}")).unwrap();
        let mut bench = bench(&looped(10));
        bench.cpu.config.model = Arc::new(changed);
        count(&mut bench, 0, event | ALL, 0);
        halts(&mut bench);
        assert_eq!(pmc(&bench, 0), 0, "{name}");
    }
}

/// CMASK, INV and E: SDM Vol. 3B 20.2.1.1, "Architectural Performance Monitoring Version 1 Facilities".
#[test]
fn cmask_inv_and_e_count_cycles_and_their_beginnings() {
    // Each instruction has a cycle of its own; sysret, syscall change the level.
    let cases: &[(&[u8], u64, u64)] = &[
        (&[], CYCLES | ALL | cmask(1), 22),
        (&[], CYCLES | ALL | cmask(2), 0),
        (&[], CYCLES | ALL | cmask(1) | INV, 0),
        (&[], CYCLES | ALL | cmask(2) | INV, 22),
        // INV means nothing without CMASK.
        (&[], CYCLES | ALL | INV, 22),
        (&[], CYCLES | ALL | EDGE, 1),
        (&[], INSTRUCTIONS | ALL | cmask(1), 22),
        (&[], INSTRUCTIONS | ALL | cmask(2), 0),
        (&[], INSTRUCTIONS | ALL | cmask(16) | INV, 22),
        (&[], INSTRUCTIONS | ALL | EDGE, 1),
        (&[], BRANCHES | ALL | cmask(1), 10),
        (&[], BRANCHES | ALL | cmask(1) | INV, 12),
        (&[], BRANCHES | ALL | EDGE, 10),
        // From DEC to JNZ, with MOV before the first and HLT behind the last.
        (&[], BRANCHES | ALL | EDGE | INV | cmask(1), 11),
        (&[], LLC_MISSES | ALL | cmask(1) | INV, 22),
        // Level changes: into CPL 0 at the start and by the system call, out of it once.
        (USER_CODE, CYCLES | OS | EN | EDGE | cmask(1), 2),
        (USER_CODE, CYCLES | USR | EN | EDGE, 1),
        (USER_CODE, INSTRUCTIONS | USR | EN | cmask(1), 6),
    ];
    for (code, select, expected) in cases {
        let mut bench = bench(if code.is_empty() { looped(10) } else { code.to_vec() }.as_slice());
        count(&mut bench, 0, *select, 0);
        halts(&mut bench);
        assert_eq!(pmc(&bench, 0), *expected, "{select:#x}");
    }
}

/// SDM Vol. 3B 20.6.3, "Generating an Interrupt on Overflow"; Vol. 3A 11.5.1: the entry is masked by its interrupt.
#[test]
fn overflow_interrupts_behind_the_very_event() {
    for (event, steps) in [(INSTRUCTIONS, 7), (CYCLES, 7), (REFERENCE, 7), (BRANCHES, 3), (BRANCHES | cmask(1), 3)] {
        for slice in [1, 3, 100] {
            let mut bench = bench(&looped(10));
            count(&mut bench, 1, event | ALL | INT, 0u64.wrapping_sub(steps));
            bench.cpu.begin_turn();
            while bench.go_on(slice) != RunExit::Stopped {}
            let returns_to = bench.ram.load((bench.cpu.gpr[4]) as usize, 8);
            // Behind the third JNZ, which leads to DEC.
            assert_eq!((bench.cpu.rip(), returns_to), (HANDLER + 1, CODE + 5), "{event:x}, {slice}");
            assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 2, "{event:x}");
            assert_eq!(bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize], u32::from(VECTOR) | LVT_MASKED);
            write(&mut bench, IA32_PERF_GLOBAL_OVF_CTRL, 2);
            assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 0);
        }
    }
}

#[test]
fn overflow_of_a_fixed_counter_interrupts_if_its_field_says_so() {
    for (n, pmi) in [(0, true), (1, true), (2, true), (0, false)] {
        let mut bench = bench(&looped(10));
        write(&mut bench, IA32_FIXED_CTR0 + n, WIDTH - 6);
        write(&mut bench, IA32_FIXED_CTR_CTRL, if pmi { 0xB } else { 3 } << (4 * n));
        halts(&mut bench);
        assert_eq!(bench.cpu.rip() == HANDLER + 1, pmi, "{n}");
        assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 1 << (32 + n));
        assert_eq!(bench.cpu.gpr[1] & 0xFFFF_FFFF, if pmi { 7 } else { 0 });
    }
}

#[test]
fn overflow_is_noted_without_interrupt_and_lost_on_a_masked_entry() {
    for (select, entry) in
        [(INSTRUCTIONS | ALL, VECTOR.into()), (INSTRUCTIONS | ALL | INT, u32::from(VECTOR) | LVT_MASKED)]
    {
        let mut bench = bench(&looped(10));
        bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = entry;
        count(&mut bench, 0, select, 5u64.wrapping_neg());
        halts(&mut bench);
        assert_eq!((bench.cpu.rip(), pmc(&bench, 0)), (CODE + 10, 17));
        assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 1);
        assert_eq!(bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize], entry);
    }
}

#[test]
fn overflow_is_an_nmi_if_the_entry_delivers_one() {
    let mut bench = bench(&looped(10));
    bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = 0x400;
    bench.cpu.set_flags(2);
    count(&mut bench, 0, INSTRUCTIONS | ALL | INT, 7u64.wrapping_neg());
    halts(&mut bench);
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.nmi_blocked), (HANDLER + 1, true));
    assert_eq!(bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize], 0x1_0400);
}

/// SDM Vol. 3B 18.4.7, "Freezing LBR and Performance Counters on PMI": before version 4 the enables are cleared, from then
/// on IA32_PERF_GLOBAL_STATUS says it.
#[test]
fn performance_interrupt_freezes_what_debugctl_says() {
    for (name, streamlined) in [("haswell", false), ("skylake_sp", true), ("max", true)] {
        for (counters, lbrs) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut bench = bench(&looped(10));
            bench.cpu.config.model = model(name);
            write(&mut bench, IA32_PERF_GLOBAL_CTRL, 0x7_0000_000F);
            // Beside architectural records, LBR means nothing.
            let lbr = u64::from(!bench.cpu.config.model.has(Feature::ArchLbr));
            write(&mut bench, IA32_DEBUGCTL, 1 | u64::from(lbrs) << 11 | u64::from(counters) << 12);
            let debugctl = lbr | u64::from(lbrs) << 11 | u64::from(counters) << 12;
            count(&mut bench, 0, INSTRUCTIONS | ALL | INT, 7u64.wrapping_neg());
            count(&mut bench, 1, CYCLES | ALL, 0);
            halts(&mut bench);
            // What follows: the interrupt, which takes a cycle, and HLT.
            assert_eq!((pmc(&bench, 0), pmc(&bench, 1)), if counters { (0, 7) } else { (1, 9) }, "{name}");
            let frozen = u64::from(counters) << 59 | u64::from(lbrs) << 58;
            let expected = if streamlined {
                (0x7_0000_000F, 1 | frozen, debugctl)
            } else {
                (if counters { 0 } else { 0x7_0000_000F }, 1, debugctl & !u64::from(lbrs))
            };
            let found = (
                read(&bench, IA32_PERF_GLOBAL_CTRL),
                read(&bench, IA32_PERF_GLOBAL_STATUS),
                read(&bench, IA32_DEBUGCTL),
            );
            assert_eq!(found, expected, "{name} {counters} {lbrs}");
        }
    }
}

/// SDM Vol. 3B 20.2.4.2 and 20.2.4.3: IA32_PERF_GLOBAL_STATUS_RESET, IA32_PERF_GLOBAL_STATUS_SET, IA32_PERF_GLOBAL_INUSE.
#[test]
fn status_is_set_and_reset_bit_by_bit_and_inuse_tells_of_counters() {
    let mut bench = bench(&[0xF4]);
    write(&mut bench, IA32_PERF_GLOBAL_STATUS_SET, 0x4C00_0007_0000_00F1);
    assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 0x4C00_0007_0000_00F1);
    write(&mut bench, IA32_PERF_GLOBAL_OVF_CTRL, 0x8800_0002_0000_00F0);
    assert_eq!(read(&bench, IA32_PERF_GLOBAL_STATUS), 0x4400_0005_0000_0001);
    assert_eq!((read(&bench, IA32_PERF_GLOBAL_STATUS_SET), read(&bench, IA32_PERF_GLOBAL_OVF_CTRL)), (0, 0));
    write(&mut bench, IA32_PERFEVTSEL0 + 2, INSTRUCTIONS);
    write(&mut bench, IA32_FIXED_CTR_CTRL, 0x020);
    assert_eq!(read(&bench, IA32_PERF_GLOBAL_INUSE), 0x2_0000_0004);
    write(&mut bench, IA32_FIXED_CTR_CTRL, 0x080);
    assert_eq!(read(&bench, IA32_PERF_GLOBAL_INUSE), 1 << 63 | 4);
}

/// SDM Vol. 3A Table 10-1: INIT leaves the counters alone, reset does not.
#[test]
fn init_keeps_the_counters_and_reset_clears_them() {
    let mut bench = bench(&looped(10));
    count(&mut bench, 0, INSTRUCTIONS | ALL, 100);
    bench.cpu.sys.init_pending = true;
    bench.cpu.refresh_attention();
    bench.run(1);
    assert_eq!((pmc(&bench, 0) >= 100, read(&bench, IA32_PERFEVTSEL0)), (true, INSTRUCTIONS | ALL));
    bench.cpu.reset();
    assert_eq!((pmc(&bench, 0), read(&bench, IA32_PERFEVTSEL0), read(&bench, IA32_PERF_GLOBAL_CTRL)), (0, 0, 0xFF));
}

/// Counting changes nothing in a run, and a run that is cut, saved and restored counts the same.
#[test]
fn counting_and_slicing_change_nothing() {
    // l: add [9100h],rcx; call f; imul rcx,rcx,3; inc rcx; test cl,7; jnz l; rep stosb; jmp l. f: ret
    const LOOP: &[u8] = &[
        0x48, 0x01, 0x0C, 0x25, 0x00, 0x91, 0x00, 0x00, // add [9100h],rcx
        0xE8, 0x24, 0x00, 0x00, 0x00, // call f
        0x48, 0x6B, 0xC9, 0x03, // imul rcx,rcx,3
        0x48, 0xFF, 0xC1, // inc rcx
        0xF6, 0xC1, 0x07, // test cl,7
        0x75, 0xE7, // jnz l
        0x48, 0x89, 0xCB, // mov rbx,rcx
        0xB9, 0x05, 0x00, 0x00, 0x00, // mov ecx,5
        0xBF, 0x00, 0x92, 0x00, 0x00, // mov edi,9200h
        0xF3, 0xAA, // rep stosb
        0x48, 0x89, 0xD9, // mov rcx,rbx
        0xEB, 0xD3, // jmp l
        0x90, 0x90, 0x90, 0x90, 0xC3, // f: ret
    ];
    let selects = [
        INSTRUCTIONS | ALL,
        CYCLES | ALL,
        BRANCHES | ALL,
        INSTRUCTIONS | ALL | cmask(1) | INV,
        BRANCHES | ALL | EDGE,
        CYCLES | OS | EN | EDGE,
    ];
    let plain = {
        let mut bench = bench(LOOP);
        bench.cpu.begin_turn();
        bench.go_on(9000);
        (bench.cpu.gpr, bench.cpu.cycles, bench.cpu.instructions)
    };
    let mut found = Vec::new();
    for counters in [0, 2, 6] {
        let mut each = Vec::new();
        for slice in [9000, 1000, 7, 1] {
            let mut bench = bench(LOOP);
            for (n, &select) in selects.iter().take(counters).enumerate() {
                count(&mut bench, n as u32, select, 0);
            }
            bench.cpu.begin_turn();
            let end = bench.cpu.cycles + 9000;
            while bench.cpu.cycles < end {
                bench.go_on(slice.min(end - bench.cpu.cycles));
                if slice == 1000 {
                    let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
                    let cpus = slice::from_mut(&mut bench.cpu);
                    state.restore(&memory, cpus, &mut bench.ram, &mut bench.cache).expect("it is this machine's");
                }
            }
            assert_eq!((bench.cpu.gpr, bench.cpu.cycles, bench.cpu.instructions), plain, "{counters}, {slice}");
            each.push((0..8).map(|n| pmc(&bench, n)).collect::<Vec<_>>());
        }
        assert!(each.iter().all(|counts| *counts == each[0]), "{each:?}");
        found.push(each.swap_remove(0));
    }
    assert_eq!(found[1][..2], found[2][..2]);
    assert_eq!(found[2][1], 9000);
    assert!(found[2][2] > 1000 && found[2][3] == found[2][1] - found[2][0], "{found:?}");
}
