//! What begins and ends recording: #DB, performance-monitoring interrupts, reset; and that runs repeat.

use super::*;
use emu_core::cycles::parts::Parts;
use emu_core::cycles::table::Table;
use emu_core::lapic::Lvt;
use emu_core::snapshot::CoreState;
use emu_core::state::micro::Micro;
use emu_vmx::arch::cr::Dr7;
use std::slice;

/// mov ecx,20; l: dec ecx; jnz l; ud2
const LOOP: [u8; 11] = [0xB9, 20, 0, 0, 0, 0xFF, 0xC9, 0x75, 0xFC, 0x0F, 0x0B];

fn looping(model: &str) -> Bench {
    let mut bench = long(&LOOP);
    become_model(&mut bench, model);
    bench
}

/// SDM Vol. 3B 18.4.2 "Monitoring Branches, Exceptions, and Interrupts"; 19.1.2: #DB clears LBR and LBREn, and is not recorded.
#[test]
fn debug_exception_ends_recording_and_is_not_recorded() {
    for model in KINDS {
        let mut bench = looping(model);
        bench.cpu.sys.dr[0] = START + 9;
        bench.cpu.sys.dr7 = Dr7::from_bits_retain(0x402);
        record(&mut bench);
        bench.cpu.changed_from_outside();
        halts(&mut bench);
        assert_eq!(handled(&bench), Some(1), "{model}");
        assert_eq!(records(&bench)[0].1, START + 5, "{model}: the last is that of the loop");
        let enabled = if is_architectural(&bench) { get(&bench, IA32_LBR_CTL) } else { get(&bench, IA32_DEBUGCTL) };
        assert_eq!(enabled, if is_architectural(&bench) { EVERYTHING & !1 } else { 0 }, "{model}");
        assert!(!bench.cpu.derived.records_branches, "{model}");
    }
}

/// SDM Vol. 3B 18.12.3 "Last Exception Records": the branch before the last interrupt or exception.
#[test]
fn last_event_record_is_the_branch_before_the_event() {
    for model in KINDS {
        let mut bench = looping(model);
        record(&mut bench);
        halts(&mut bench);
        let found = records(&bench);
        assert_eq!((found[0].0, found[0].1), (START + 9, HANDLERS + 6), "{model}: #UD");
        assert_eq!((get(&bench, IA32_LER_FROM_IP), get(&bench, IA32_LER_TO_IP)), (found[1].0, found[1].1), "{model}");
        assert_eq!((found[1].0, found[1].1), (START + 7, START + 5), "{model}");
        let information = bench.cpu.read_msr_quiet(IA32_LER_INFO);
        assert_eq!(information, is_architectural(&bench).then_some(found[1].2), "{model}");
    }
}

/// SDM Vol. 3B 19.1: the architectural last-event registers depend on the same filters as the records. Those of a stack do not.
#[test]
fn filtered_events_leave_the_architectural_last_event_record_alone() {
    for model in KINDS {
        let mut bench = looping(model);
        record(&mut bench);
        let architectural = is_architectural(&bench);
        match architectural {
            // LBREn and USR; the code runs at level 0.
            true => set(&mut bench, IA32_LBR_CTL, EVERYTHING & !2),
            false if model == "penryn" => continue,
            // FAR_BRANCH.
            false => set(&mut bench, MSR_LBR_SELECT, 0x100),
        }
        halts(&mut bench);
        assert_eq!(get(&bench, IA32_LER_TO_IP) == 0, architectural, "{model}");
    }
}

/// SDM Vol. 3B 18.4.7 "Freezing LBR and Performance Counters on PMI"; 18.10.2 "Streamlined Freeze_LBRs_On_PMI Operation".
#[test]
fn performance_interrupt_freezes_the_records() {
    for model in ["corei5_arrandale_m520", "haswell", "skylake_sp", "max"] {
        for freezes in [false, true] {
            let mut bench = looping(model);
            bench.cpu.lapic.svr = 0x1FF;
            bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = 0x400;
            set(&mut bench, IA32_PERFEVTSEL0, 0x53_00C0);
            set(&mut bench, IA32_PMC0, 0u64.wrapping_sub(10) & 0xFFFF_FFFF);
            set(&mut bench, IA32_PERF_GLOBAL_CTRL, 1);
            set(&mut bench, IA32_DEBUGCTL, 1 | u64::from(freezes) << 11);
            if is_architectural(&bench) {
                set(&mut bench, IA32_LBR_CTL, EVERYTHING);
            }
            halts(&mut bench);
            assert_eq!(handled(&bench), Some(2), "{model}");
            // The interrupt itself is the last one that is recorded, or the first that is not.
            assert_eq!(records(&bench)[0].1 != HANDLERS + 2, freezes, "{model}");
            assert_eq!(bench.cpu.derived.records_branches, !freezes, "{model}");
            let version = bench.cpu.config.model.pmu().version;
            if freezes && version >= 4 {
                assert_eq!(get(&bench, IA32_PERF_GLOBAL_STATUS) >> 58 & 1, 1, "{model}: LBR_FRZ");
                set(&mut bench, IA32_PERF_GLOBAL_OVF_CTRL, 1 << 58);
                assert!(bench.cpu.derived.records_branches, "{model}: and goes on without it");
            } else if !is_architectural(&bench) {
                assert_eq!(get(&bench, IA32_DEBUGCTL) & 1, u64::from(!freezes), "{model}: LBR");
            }
        }
    }
}

/// SDM Vol. 3B 18.10.1 "MSR_LBR_INFO_x MSR": cycles since the record before, 65,535 at most; Table 19-2, CYC_CNT_VALID.
#[test]
fn elapsed_cycles_are_those_since_the_record_before() {
    for model in ["skylake_sp", "ice_lake", "tiger_lake", "max"] {
        let mut bench = looping(model);
        record(&mut bench);
        bench.cpu.cycles = 100_000;
        halts(&mut bench);
        let found = records(&bench);
        let cycles: Vec<u64> = found.iter().map(|record| record.2 & 0xFFFF).collect();
        // dec, jnz that is not taken, the exception; else dec and jnz.
        assert_eq!(cycles, [&[3u64][..], &[2; 18], &[0xFFFF]].concat(), "{model}");
        let valid = if is_architectural(&bench) { 1 } else { 0 };
        assert!(found.iter().all(|record| record.2 >> 60 & 1 == valid && record.2 >> 61 == 0), "{model}");
    }
}

#[test]
fn misprediction_is_told_where_branch_prediction_is_modelled() {
    for model in ["corei5_arrandale_m520", "haswell", "skylake_sp", "max"] {
        for modelled in [false, true] {
            let mut bench = looping(model);
            let table = Table::named("haswell").expect("it is built in");
            if modelled {
                bench.cpu.micro = Micro::new(&table, Parts { caches: false, branches: true });
            }
            bench.cpu.config.cycles = Some(table);
            record(&mut bench);
            halts(&mut bench);
            let found = records(&bench);
            let flags = |record: &(u64, u64, u64)| (record.2 | if record.2 == 0 { record.0 } else { 0 }) >> 63;
            let missed: u64 = found.iter().map(flags).sum();
            assert_eq!(missed != 0, modelled, "{model}: the first times are mispredicted");
            assert!(missed < found.len() as u64, "{model}: the last ones are not");
        }
    }
}

/// SDM Vol. 3B 18.7.2, "Filtering of Last Branch Records": the filter is 0 after reset. Chapter 19, "Last Branch Records": a
/// warm reset clears LBREn, and the architectural registers keep the rest.
#[test]
fn reset_ends_recording_and_keeps_architectural_records_alone() {
    for model in KINDS {
        let mut bench = looping(model);
        record(&mut bench);
        halts(&mut bench);
        let before = bench.cpu.lbr.clone();
        bench.cpu.reset();
        assert!(!bench.cpu.derived.records_branches, "{model}");
        if is_architectural(&bench) {
            assert_eq!(get(&bench, IA32_LBR_CTL), EVERYTHING & !1, "{model}");
            assert_eq!(bench.cpu.lbr, before, "{model}");
        } else {
            let fresh = Bench::new(CpuModel::named(model).expect("it is built in"));
            assert_eq!(bench.cpu.lbr, fresh.cpu.lbr, "{model}");
        }
    }
}

/// The state at the end of a run in pieces of so many cycles.
fn run_in_pieces(model: &str, pieces: u64, saves: bool) -> (Lbr, u64, u64, u64) {
    let mut bench = looping(model);
    bench.cpu.config.cycles = Some(Table::named("skylake").expect("it is built in"));
    record(&mut bench);
    bench.cpu.begin_turn();
    while bench.go_on(pieces) == RunExit::Budget {
        if saves {
            let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
            let mut other = looping(model);
            other.cpu.config.cycles = bench.cpu.config.cycles.clone();
            let cpus = slice::from_mut(&mut other.cpu);
            state.restore(&memory, cpus, &mut other.ram, &mut other.cache).expect("it is whole");
            bench = other;
        }
    }
    ((*bench.cpu.lbr).clone(), bench.cpu.cycles, bench.cpu.instructions, bench.cpu.rip())
}

#[test]
fn records_are_the_same_however_a_run_is_cut_or_saved() {
    for model in KINDS {
        let whole = run_in_pieces(model, 100_000, false);
        assert_ne!(whole.0.updated, 0);
        for pieces in [1, 2, 3, 7, 50] {
            for saves in [false, true] {
                assert_eq!(run_in_pieces(model, pieces, saves), whole, "{model}: {pieces} {saves}");
            }
        }
    }
}

#[test]
fn state_with_records_of_another_kind_is_refused_and_changes_nothing() {
    let mut bench = looping("max");
    record(&mut bench);
    halts(&mut bench);
    let (state, memory) = CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram);
    for model in ["penryn", "haswell", "max,-arch_lbr"] {
        let mut other = looping(model);
        let before = other.cpu.lbr.clone();
        let refused = state.restore(&memory, slice::from_mut(&mut other.cpu), &mut other.ram, &mut other.cache);
        assert!(refused.expect_err(model).to_string().contains("last branch records"), "{model}");
        assert_eq!(other.cpu.lbr, before, "{model}");
    }
}
