//! Indirect-branch tracking (SDM Vol. 1 18.3 "Indirect Branch Tracking").

use super::*;
use emu_core::cycles::table::Table;
use emu_core::lapic::Lvt;
use emu_core::run::RunExit;
use emu_vmx::arch::cet as bits;
use emu_vmx::arch::msr::*;

const ENDBR64: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xFA];
const ENDBR32: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xFB];
const TARGET: u64 = 0x8000;

/// The indirect branches, with rax and [rbx] leading to the target.
const BRANCHES: [&[u8]; 4] = [&[0xFF, 0xE0], &[0xFF, 0x23], &[0xFF, 0xD0], &[0xFF, 0x13]];

fn branching(code: &[u8], target: &[u8], cpl: u8, control: u64) -> Bench {
    let mut bench = cet(code, cpl, control, control);
    bench.ram.dma_write(TARGET, target);
    write(&mut bench, 0x8800, TARGET);
    (bench.cpu.gpr[0], bench.cpu.gpr[3]) = (TARGET, 0x8800);
    bench
}

fn control(bench: &Bench) -> u64 {
    bench.cpu.sys.cet.control(bench.cpu.sys.cpl)
}

#[test]
fn indirect_branches_must_lead_to_endbranch() {
    for cpl in [0, 3] {
        for branch in BRANCHES {
            let mut bench = branching(branch, &ENDBR64, cpl, ENDBR);
            assert_eq!(steps(&mut bench, 1), Ok(()));
            assert_eq!(control(&bench), ENDBR | bits::TRACKER, "{branch:X?}");
            assert_eq!(steps(&mut bench, 1), Ok(()));
            assert_eq!((control(&bench), bench.cpu.rip()), (ENDBR, TARGET + 4));
            // NOP, the other mode's ENDBRANCH, an undefined instruction, a fault of its own kind.
            for target in [&[0x90][..], &ENDBR32, &[0x0F, 0x0B], &[0x06], &[0x0F, 0x20, 0xC0]] {
                let mut bench = branching(branch, target, cpl, ENDBR);
                assert_eq!(steps(&mut bench, 2), cp(3), "{branch:X?} to {target:X?}");
                assert_eq!((bench.cpu.rip(), control(&bench)), (TARGET, ENDBR | bits::TRACKER));
            }
        }
    }
}

#[test]
fn code_of_32_bits_waits_for_endbr32() {
    for (target, result) in [(ENDBR32, Ok(())), (ENDBR64, cp(3))] {
        let mut bench = cet32(&[0xFF, 0xE0], 3, ENDBR, 0);
        bench.ram.dma_write(TARGET, &target);
        bench.cpu.gpr[0] = TARGET;
        assert_eq!(steps(&mut bench, 2), result);
    }
}

/// What cannot be decoded is an instruction of one byte: it has a last byte, which is within CS or not.
#[test]
fn bytes_that_are_no_instruction_are_a_missing_endbranch() {
    for (limit, vector) in [(u32::MAX, 21), (START as u32, 21), (START as u32 - 1, 13)] {
        let mut bench = cet32(&[0x0F, 0x04], 0, 0, ENDBR | bits::TRACKER);
        bench.cpu.sys.segments[1].limit = limit;
        bench.cpu.changed_from_outside();
        bench.run(1);
        assert_eq!(bench.cpu.scratch.fault.vector, vector, "{limit:#x}");
    }
}

#[test]
fn untracked_branches_lead_anywhere() {
    // Direct: jmp, call, jz; ret.
    for code in [&[0xE9, 0xFB, 3, 0, 0][..], &[0xE8, 0xFB, 3, 0, 0], &[0x0F, 0x84, 0xFA, 3, 0, 0], &[0xC3]] {
        let mut bench = branching(code, &[0x90], 3, ENDBR);
        bench.cpu.flags.set_status(0x40);
        write(&mut bench, STACK3, TARGET);
        assert_eq!(steps(&mut bench, 2), Ok(()), "{code:X?}");
        assert_eq!(bench.cpu.rip(), TARGET + 1);
    }
    // Where it is not enabled, or suppressed.
    for value in [0, SHSTK, ENDBR | bits::SUPPRESS] {
        let mut bench = branching(BRANCHES[0], &[0x90], 3, value);
        assert_eq!(steps(&mut bench, 2), Ok(()), "{value:#x}");
        assert_eq!(control(&bench), value);
    }
}

#[test]
fn no_track_prefix_counts_where_it_is_enabled_and_no_other_segment_prefix_is() {
    for (prefix, enabled, result) in [
        (&[0x3E][..], true, Ok(())),
        (&[0x3E], false, cp(3)),
        (&[0x3E, 0x65], true, cp(3)),
        (&[0x65, 0x3E], true, cp(3)),
        (&[0x2E], true, cp(3)),
        // The prefixes of the segments that 64-bit mode does not know are none.
        (&[0x3E, 0x2E], true, Ok(())),
        (&[0x26, 0x3E, 0x36], true, Ok(())),
        (&[0x48, 0x3E, 0x26], true, Ok(())),
        (&[0x3E, 0x64, 0x2E], true, cp(3)),
    ] {
        for branch in BRANCHES {
            let value = ENDBR | if enabled { bits::NO_TRACK } else { 0 };
            let mut bench = branching(&[prefix, branch].concat(), &[0x90], 3, value);
            assert_eq!(steps(&mut bench, 2), result, "{prefix:X?} {branch:X?}");
        }
    }
    // Outside 64-bit mode the last one counts.
    for (prefix, result) in [(&[0x65, 0x3E][..], Ok(())), (&[0x3E, 0x65], cp(3)), (&[0x3E, 0x2E], cp(3))] {
        let mut bench = cet32(&[prefix, &[0xFF, 0xE0]].concat(), 3, ENDBR | bits::NO_TRACK, 0);
        bench.ram.dma_write(TARGET, &[0x90]);
        bench.cpu.gpr[0] = TARGET;
        assert_eq!(steps(&mut bench, 2), result, "{prefix:X?}");
    }
}

#[test]
fn endbranch_ends_suppression_and_does_nothing_without_tracking() {
    let mut bench = branching(&ENDBR64, &[], 3, ENDBR | bits::SUPPRESS);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!(control(&bench), ENDBR);
    for code in [ENDBR64, ENDBR32] {
        let mut bench = branching(&code, &[], 3, bits::SUPPRESS);
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!(control(&bench), bits::SUPPRESS);
    }
}

#[test]
fn breakpoint_instructions_come_before_the_missing_endbranch() {
    for (target, vector) in [(0xCC, 3), (0xF1, 1)] {
        let mut bench = branching(BRANCHES[0], &[target], 0, ENDBR);
        bench.ram.dma_write(HANDLERS + vector, &ENDBR64);
        bench.run(3);
        assert_eq!(bench.cpu.rip(), HANDLERS + vector + 4, "the handler began with ENDBR64");
    }
}

#[test]
fn missing_endbranch_comes_behind_page_faults_and_breakpoints_of_the_target() {
    let mut bench = branching(BRANCHES[0], &[], 3, ENDBR);
    bench.cpu.gpr[0] = 0x4000_0000;
    assert_eq!(steps(&mut bench, 2), Err((14, Some(4))));
    assert_eq!(control(&bench), ENDBR | bits::TRACKER);
}

/// SDM Vol. 1 18.3.6 "Legacy Compatibility Treatment".
#[test]
fn legacy_code_page_bitmap_lets_the_tracker_go_idle() {
    const BITMAP: u64 = 0x7_0000;
    for (enabled, page_bit, suppress_disable, result, after) in [
        (true, true, false, Ok(()), bits::SUPPRESS),
        (true, true, true, Ok(()), 0),
        (true, false, false, cp(3), bits::TRACKER),
        (false, true, false, cp(3), bits::TRACKER),
    ] {
        let flags = ENDBR
            | BITMAP
            | if enabled { bits::LEGACY } else { 0 }
            | if suppress_disable { bits::SUPPRESS_DISABLE } else { 0 };
        let mut bench = branching(BRANCHES[0], &[0x90], 3, flags);
        // Page 8: bit 0 of byte 1.
        bench.ram.dma_write(BITMAP + 1, &[u8::from(page_bit)]);
        assert_eq!(steps(&mut bench, 2), result);
        assert_eq!(control(&bench), flags | after);
    }
    // The bitmap's own fault; the tracker still waits.
    let flags = ENDBR | bits::LEGACY | 0x4000_0000;
    let mut bench = branching(BRANCHES[0], &[0x90], 3, flags);
    assert_eq!(steps(&mut bench, 2), Err((14, Some(4))));
    assert_eq!((control(&bench), bench.cpu.rip(), bench.cpu.sys.cr2), (flags | bits::TRACKER, TARGET, 0x4000_0001));
}

#[test]
fn interrupted_tracker_waits_on_when_its_level_comes_back() {
    // At CPL 3: jmp rax to a NOP, with an interrupt waiting; the handler at CPL 0 returns.
    let mut bench = branching(BRANCHES[0], &[0x90, 0x90], 3, ENDBR);
    bench.cpu.sys.cet.supervisor = 0;
    steps(&mut bench, 1).unwrap();
    bench.cpu.sys.nmi_pending = true;
    bench.cpu.changed_from_outside();
    // iretq; the handler of #CP is HLT
    bench.ram.dma_write(HANDLERS + 2, &[0x48, 0xCF]);
    bench.run(100);
    assert_eq!(handled(&bench), Some(21));
    assert_eq!((stacked64(&bench, 0), stacked64(&bench, 1)), (3, TARGET));
    assert_eq!(bench.cpu.sys.cet.user, ENDBR | bits::TRACKER);
}

#[test]
fn events_far_branches_and_system_calls_wait_for_endbranch_and_end_suppression() {
    // int3 at CPL 0, whose handler is no ENDBRANCH: #CP, and that of #CP is none either; it is a double fault's then.
    let start = ENDBR | bits::SUPPRESS;
    let mut bench = branching(&[0xCC], &[], 0, start);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!(control(&bench), ENDBR | bits::TRACKER);
    assert_eq!(steps(&mut bench, 1), cp(3));
    // jmp far [rbx], call far [rbx]
    for code in [[0xFF, 0x2B], [0xFF, 0x1B]] {
        let mut bench = branching(&code, &ENDBR64, 0, start);
        write(&mut bench, 0x8800, TARGET | u64::from(CODE64) << 32);
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!((control(&bench), bench.cpu.rip()), (ENDBR | bits::TRACKER, TARGET));
        assert_eq!(steps(&mut bench, 1), Ok(()));
    }
    // syscall, sysenter
    for code in [[0x0F, 0x05], [0x0F, 0x34]] {
        let mut bench = branching(&code, &ENDBR64, 3, ENDBR);
        bench.cpu.sys.syscall = [u64::from(CODE64) << 32, TARGET, 0, 0];
        bench.cpu.sys.sysenter = [CODE64.into(), 0x6000, TARGET];
        bench.cpu.sys.cet.supervisor = start;
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!((bench.cpu.sys.cpl, control(&bench)), (0, ENDBR | bits::TRACKER));
        assert_eq!(bench.cpu.sys.cet.user, ENDBR, "that of CPL 3 keeps its state");
    }
}

/// What reading the bitmap takes ends a counter's wait before the instruction, whether the bitmap was read in the middle of
/// a run or at its end: a run in pieces of any length freezes what the run in one piece does.
#[test]
fn overflow_while_the_bitmap_is_read_freezes_the_same_however_the_run_is_cut() {
    const BITMAP: u64 = 0x7_0000;
    let run = |left: u64, cuts: u64| {
        // A load, whose page is not in the TLB either; HLT.
        let code = [0x48, 0x8B, 0x04, 0x25, 0, 0, 9, 0, 0xF4];
        let mut bench = branching(BRANCHES[0], &code, 0, ENDBR | bits::LEGACY | BITMAP);
        // The handlers' page, too.
        bench.ram.dma_write(BITMAP, &[0xFF; 64]);
        bench.cpu.config.cycles = Some(Table::named("haswell").expect("it is built in"));
        // The NMI's handler is HLT.
        bench.cpu.lapic.svr = 0x1FF;
        bench.cpu.lapic.lvt[Lvt::PerformanceCounter as usize] = 0x400;
        for (number, value) in [
            (IA32_A_PMC0, 0u64.wrapping_sub(left) & ((1 << 48) - 1)),
            (IA32_FIXED_CTR_CTRL, 0x33),
            // Cycles with INT, and those that a freeze stops.
            (IA32_PERFEVTSEL0, 0x53_003C),
            (IA32_DEBUGCTL, 1 << 12),
            (IA32_PERF_GLOBAL_CTRL, 0x3_0000_0001),
        ] {
            assert!(bench.with_env(|cpu, env| cpu.write_msr(env, number, value)).is_ok(), "{number:#x}");
        }
        let end = bench.cpu.cycles + 2000;
        bench.cpu.begin_turn();
        while bench.go_on(cuts) == RunExit::Budget {
            assert!(bench.cpu.cycles < end, "it comes to HLT: {:x} {:?}", bench.cpu.rip(), bench.cpu.sys.activity);
        }
        (bench.cpu.cycles, bench.cpu.rip(), bench.cpu.counted_pmu())
    };
    for left in 1..400 {
        let whole = run(left, 2000);
        for cuts in [1, 2, 3, 7, 19, 50, 120] {
            assert_eq!(run(left, cuts), whole, "{left} cycles before the overflow, in pieces of {cuts}");
        }
    }
}
