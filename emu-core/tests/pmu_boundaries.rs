//! Performance counters where clocks are taken back, where time passes without instructions, and where a freeze begins (SDM
//! Vol. 3B chapter 20, "Performance Monitoring"; 18.4.7, "Freezing LBR and Performance Counters on PMI").

use emu_core::cycles::table::Table;
use emu_core::lapic::Lvt;
use emu_core::model::CpuModel;
use emu_core::run::RunExit;
use emu_core::snapshot::CoreState;
use emu_core::testing::Bench;
use emu_vmx::arch::msr::*;
use emu_vmx::arch::vector;
use std::slice;

mod common;
use common::*;

/// USR, OS, EN.
const ALL: u64 = 0x43_0000;
const CYCLES: u64 = ALL | 0x3C;
const INSTRUCTIONS: u64 = ALL | 0xC0;
const EDGE: u64 = 1 << 18;
const INT: u64 = 1 << 20;
const INV: u64 = 1 << 23;
const fn cmask(n: u64) -> u64 {
    n << 24
}
const WIDTH: u64 = (1 << 48) - 1;
const EVERYTHING: u64 = 0x7_0000_00FF;
const FREEZE_PERFMON_ON_PMI: u64 = 1 << 12;
const CTR_FRZ: u64 = 1 << 59;

fn wrmsr(bench: &mut Bench, number: u32, value: u64) -> bool {
    bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).is_ok()
}

fn rdmsr(bench: &Bench, number: u32) -> u64 {
    bench.cpu.read_msr_quiet(number).expect("the model has it")
}

fn count(bench: &mut Bench, n: u32, select: u64, value: u64) {
    assert!(wrmsr(bench, IA32_A_PMC0 + n, value & WIDTH));
    assert!(wrmsr(bench, IA32_PERFEVTSEL0 + n, select));
}

/// 64-bit code with all counters enabled globally; their interrupt is an NMI.
fn counted(code: &[u8]) -> Bench {
    let mut bench = long(code);
    bench.cpu.lapic.svr = 0x1FF;
    bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = 0x400;
    assert!(wrmsr(&mut bench, IA32_PERF_GLOBAL_CTRL, EVERYTHING));
    bench
}

fn halts(bench: &mut Bench) {
    assert_eq!(bench.run(100_000), RunExit::Stopped);
}

/// A task switch to CPL 3 whose SS is none for it faults in the new task: the instruction, which has not retired, has
/// overflowed nothing.
#[test]
fn instruction_that_faults_behind_a_change_of_cpl_overflows_nothing() {
    let far_jmp = [&[0xEA, 0, 0, 0, 0][..], &TSS2.to_le_bytes()].concat();
    for branches in [false, true] {
        let mut bench = protected(&far_jmp, 0);
        write(&mut bench, TSS2_AT + 4, u64::from(STACK0) | u64::from(DATA0) << 32);
        write(&mut bench, TSS2_AT + 0x20, 0x8000 | 2 << 32);
        for (place, selector) in [(0x4C, CODE3), (0x50, DATA0)] {
            bench.ram.dma_write(TSS2_AT + place, &selector.to_le_bytes());
        }
        // jmp $+2; hlt
        bench.ram.dma_write(HANDLERS + u64::from(vector::TS), &[0xEB, 0, 0xF4]);
        assert!(wrmsr(&mut bench, IA32_PERF_GLOBAL_CTRL, EVERYTHING));
        assert!(wrmsr(&mut bench, IA32_FIXED_CTR0, 5));
        assert!(wrmsr(&mut bench, IA32_FIXED_CTR_CTRL, 3));
        if branches {
            count(&mut bench, 0, ALL | 0xC4, 5);
        }
        halts(&mut bench);
        assert_eq!(bench.cpu.rip(), HANDLERS + u64::from(vector::TS) + 3);
        // Both instructions of the handler have retired.
        assert_eq!((rdmsr(&bench, IA32_FIXED_CTR0), rdmsr(&bench, IA32_PERF_GLOBAL_STATUS)), (7, 0), "{branches}");
        assert_eq!(rdmsr(&bench, IA32_PMC0), if branches { 6 } else { 0 });
    }
}

/// What a freeze stops has counted until then, however long the instruction in which the overflow comes.
#[test]
fn freeze_within_a_long_instruction_loses_nothing_of_other_counters() {
    // mov ecx,3; xor edx,edx; div rcx; hlt
    let code = [0xB9, 3, 0, 0, 0, 0x31, 0xD2, 0x48, 0xF7, 0xF1, 0xF4];
    for left in [3, 5, 10] {
        let mut bench = counted(&code);
        bench.cpu.config.cycles = Some(Table::named("haswell").expect("it is built in"));
        assert!(wrmsr(&mut bench, IA32_DEBUGCTL, FREEZE_PERFMON_ON_PMI));
        count(&mut bench, 0, INSTRUCTIONS | INT | INV | cmask(16), WIDTH + 1 - left);
        count(&mut bench, 1, CYCLES, 0);
        halts(&mut bench);
        assert_eq!(rdmsr(&bench, IA32_PERF_GLOBAL_STATUS), CTR_FRZ | 1, "{left}");
        assert!(rdmsr(&bench, IA32_PMC0 + 1) >= left, "{left}: {}", rdmsr(&bench, IA32_PMC0 + 1));
    }
}

/// RDMSR that itself makes a counter overflow reads the freeze with the overflow.
#[test]
fn overflow_that_is_read_is_frozen() {
    // mov ecx,38eh; rdmsr; hlt
    let code = [0xB9, 0x8E, 3, 0, 0, 0x0F, 0x32, 0xF4];
    let mut bench = counted(&code);
    assert!(wrmsr(&mut bench, IA32_DEBUGCTL, FREEZE_PERFMON_ON_PMI));
    count(&mut bench, 0, INSTRUCTIONS | INT, WIDTH - 1);
    halts(&mut bench);
    assert_eq!((bench.cpu.gpr[2] << 32 | bench.cpu.gpr[0], handled(&bench)), (CTR_FRZ | 1, Some(2)));
}

/// PAUSE lets as much time pass as ever unless time alone makes a counter overflow.
#[test]
fn pause_ends_for_an_overflow_of_time_alone() {
    let code = [0xF3, 0x90, 0xF3, 0x90, 0xF4];
    let mut plain = counted(&code);
    halts(&mut plain);
    let start = counted(&code).cpu.cycles;
    for (select, in_time) in [
        (INSTRUCTIONS | INT, false),
        (INSTRUCTIONS | INT | cmask(1), false),
        (CYCLES | INT | cmask(2), false),
        (CYCLES | INT | EDGE, false),
        (CYCLES | INT, true),
        (CYCLES | INT | cmask(1), true),
    ] {
        let mut bench = counted(&code);
        count(&mut bench, 0, select, WIDTH - 99);
        halts(&mut bench);
        let handler = in_time.then_some(2);
        assert_eq!(handled(&bench), handler, "{select:#x}");
        if in_time {
            // To the first PAUSE's end; then the interrupt and its HLT.
            assert!(bench.cpu.cycles - start < 110, "{select:#x}");
            assert_eq!(stacked64(&bench, 0), START + 2, "{select:#x}");
        } else {
            assert_eq!(bench.cpu.cycles, plain.cpu.cycles, "{select:#x}");
        }
    }
}

/// A counter with E begins anew when it is enabled again, whatever its neighbours do.
#[test]
fn edge_counter_begins_anew_when_it_is_enabled_again() {
    for neighbour in [false, true] {
        let mut bench = counted(&[0x90; 64]);
        count(&mut bench, 0, CYCLES | EDGE, 0);
        if neighbour {
            count(&mut bench, 1, CYCLES, 0);
        }
        for enabled in [EVERYTHING & !1, EVERYTHING, EVERYTHING & !1, EVERYTHING] {
            bench.run(8);
            assert!(wrmsr(&mut bench, IA32_PERF_GLOBAL_CTRL, enabled));
        }
        bench.run(8);
        assert_eq!(rdmsr(&bench, IA32_PMC0), 3, "{neighbour}");
    }
}

/// SDM Vol. 4 Table 2-2, 1D9H: bits 11 and 12 with PDCM and version 2, bit 14 with IA32_PERF_CAPABILITIES[12].
#[test]
fn debugctl_has_the_freezes_that_the_model_reports() {
    for name in CpuModel::names() {
        for (changes, on_pmi) in [(None, true), (Some("-perfmon"), false)] {
            let mut model = CpuModel::named(name).expect("it is built in");
            if let Some(changes) = changes {
                model = model.with(changes).expect("it can be taken away");
            }
            let mut bench = Bench::new(model);
            let in_smm = bench.cpu.read_msr_quiet(IA32_PERF_CAPABILITIES).is_some_and(|value| value >> 12 & 1 != 0);
            for (bit, has) in [(0, true), (1, true), (11, on_pmi), (12, on_pmi), (14, in_smm)] {
                assert_eq!(wrmsr(&mut bench, IA32_DEBUGCTL, 1 << bit), has, "{name} {changes:?}: {bit}");
            }
        }
    }
}

/// Counters may be ahead of an instruction that was taken back, and no further.
#[test]
fn snapshot_with_clocks_ahead_of_an_instruction_taken_back_is_restored() {
    for (cycles, instructions, accepted) in [(0, 0, true), (40, 1, true), (0, 2, false), (1 << 61, 0, false)] {
        let mut bench = counted(&[0x90; 64]);
        count(&mut bench, 0, INSTRUCTIONS, 0);
        count(&mut bench, 1, CYCLES | EDGE, 0);
        bench.run(8);
        let model = *bench.cpu.config.model.pmu();
        let (to, count) = (bench.cpu.cycles + cycles, bench.cpu.instructions + instructions);
        bench.cpu.pmu.advance(to, count, &model);
        let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
        let cpus = slice::from_mut(&mut bench.cpu);
        let restored = state.restore(&memory, cpus, &mut bench.ram, &mut bench.cache);
        assert_eq!(restored.is_ok(), accepted, "{cycles} {instructions}");
    }
}

/// What is due is due where it would be without: the counters with CMASK are ahead of the others.
#[test]
fn snapshot_restored_under_the_same_clock_has_the_same_counters() {
    let mut bench = counted(&[0x90; 64]);
    count(&mut bench, 0, INSTRUCTIONS | INT | cmask(1), WIDTH - 99);
    bench.run(20);
    let before = bench.cpu.pmu;
    assert_ne!(before.general[0], WIDTH - 99);
    let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
    let cpus = slice::from_mut(&mut bench.cpu);
    state.restore(&memory, cpus, &mut bench.ram, &mut bench.cache).expect("it is this machine's");
    assert_eq!(bench.cpu.pmu, before);
}

/// A run that goes on under another clock looks at its counters as often as that one needs.
#[test]
fn snapshot_restored_under_another_clock_has_that_clocks_deadline() {
    let mut bench = counted(&[0x90; 64]);
    count(&mut bench, 0, INSTRUCTIONS | INT, WIDTH - 799);
    let start = bench.cpu.cycles;
    assert_eq!(bench.cpu.pmu.deadline, start + 800);
    let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
    bench.cpu.config.cycles = Some(Table::named("haswell").expect("it is built in"));
    let cpus = slice::from_mut(&mut bench.cpu);
    state.restore(&memory, cpus, &mut bench.ram, &mut bench.cache).expect("it is this machine's");
    assert_eq!(bench.cpu.pmu.deadline, start + 100);
}

/// An instruction that is repeated retires with its last iteration, however the run is cut and whoever watches.
#[test]
fn repeated_instruction_retires_in_its_last_cycle_however_it_is_cut() {
    // rep movsb; nop; nop; repe cmpsb; cld; rep stosb; hlt
    let code = [0xF3, 0xA4, 0x90, 0x90, 0xB9, 9, 0, 0, 0, 0xF3, 0xA6, 0xFC, 0xB1, 30, 0xF3, 0xAA, 0xF4];
    let mut moved = false;
    for clock in [None, Some("haswell"), Some("westmere")] {
        for select in [EDGE, cmask(1), cmask(2), cmask(1) | INV, cmask(1) | INV | EDGE, cmask(2) | EDGE] {
            let counts = |slice: u64, cycle: u64| {
                let mut bench = counted(&code);
                bench.cpu.config.cycles = clock.map(|name| Table::named(name).expect("it is built in"));
                (bench.cpu.gpr[1], bench.cpu.gpr[6], bench.cpu.gpr[7]) = (20, 0x9000, 0x9800);
                count(&mut bench, 0, INSTRUCTIONS | select, 0);
                let limit = bench.cpu.cycles + cycle;
                bench.cpu.begin_turn();
                while bench.cpu.cycles < limit && bench.go_on(slice.min(limit - bench.cpu.cycles)) != RunExit::Stopped {
                }
                rdmsr(&bench, IA32_A_PMC0)
            };
            for cycle in [5, 15, 25, 40, 200] {
                let whole = counts(1000, cycle);
                assert_eq!([counts(1, cycle), counts(7, cycle)], [whole; 2], "{clock:?} {select:x} to {cycle}");
                moved |= whole != 0;
            }
        }
    }
    assert!(moved);
}
