//! Changes of system flags take effect with the instruction that makes them, whichever that is.

mod common;

use common::*;
use emu_core::fault::Stop;
use emu_core::flags::{AC, IF, RF, TF};
use emu_core::state::derived::Attention;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4, Dr6};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;

/// The user pages; all others are the supervisor's.
const PAGE: u64 = 0xD000;
/// Where SYSCALL, SYSRET and the frames go.
const TARGET: u64 = 0xE000;
const DS: u8 = SegmentRegister::Ds as u8;

/// 64-bit code at CPL 0 with SMAP, SYSCALL to [`TARGET`] at CPL 0 and SYSRET to 64-bit code at CPL 3.
fn machine(code: &[u8], flags: u64) -> Bench {
    let mut bench = long(code);
    write(&mut bench, 0x12000, 0x13007);
    for page in (0..0x20_0000).step_by(0x1000) {
        let user = if page == PAGE || page == TARGET { 4 } else { 0 };
        write(&mut bench, 0x13000 + page / 512, page | 0x63 | user);
    }
    bench.cpu.sys.cr0 |= Cr0::AM;
    bench.cpu.sys.cr4 |= Cr4::SMAP;
    bench.cpu.sys.syscall[0] = u64::from(CODE64) << 32 | u64::from(CODE64) << 48;
    bench.cpu.sys.syscall[1] = TARGET;
    bench.cpu.set_flags(flags);
    bench.cpu.refresh();
    bench
}

/// Whether a supervisor's read of a user page is allowed.
fn smap_is_open(bench: &mut Bench) -> bool {
    match bench.with_env(|cpu, env| cpu.read::<u32>(env, DS, PAGE)) {
        Ok(_) => true,
        Err(stop) => {
            assert_eq!((stop, bench.cpu.scratch.fault.vector), (Stop::Fault, vector::PF));
            false
        }
    }
}

/// A frame for IRETQ to [`TARGET`] at CPL 0, and the image of POPFQ, with these flags.
fn push_flags(bench: &mut Bench, flags: u64, frame: bool) {
    bench.cpu.gpr[4] = 0x5000;
    if frame {
        for (n, value) in [TARGET, CODE64.into(), flags, 0x5000, 0].into_iter().enumerate() {
            write(bench, 0x5000 + 8 * n as u64, value);
        }
    } else {
        write(bench, 0x5000, flags);
    }
}

const POPFQ: &[u8] = &[0x9D];
const IRETQ: &[u8] = &[0x48, 0xCF];
const SYSCALL: &[u8] = &[0x0F, 0x05];
const SYSRETQ: &[u8] = &[0x48, 0x0F, 0x07];

/// A machine about to replace its flags `before` by `after`, by an instruction that can.
fn replaces(code: &[u8], before: u64, after: u64) -> Bench {
    let mut bench = machine(code, before);
    match code {
        POPFQ | IRETQ => push_flags(&mut bench, after, code == IRETQ),
        SYSCALL => bench.cpu.sys.syscall[3] = before & !after,
        SYSRETQ => (bench.cpu.gpr[1], bench.cpu.gpr[11]) = (TARGET, after),
        _ => {}
    }
    bench
}

/// SDM Vol. 3A 4.6.1 "Determination of Access Rights": with SMAP, RFLAGS.AC opens user pages to a supervisor.
#[test]
fn ac_cleared_by_any_instruction_closes_smap_at_once() {
    // clac
    for code in [POPFQ, IRETQ, SYSCALL, &[0x0F, 0x01, 0xCA]] {
        let mut bench = replaces(code, AC | 2, 2);
        assert!(smap_is_open(&mut bench), "{code:x?}");
        assert_eq!(bench.step(), Ok(()), "{code:x?}");
        assert_eq!(bench.cpu.sys.cpl, 0);
        assert!(!smap_is_open(&mut bench), "{code:x?}");
    }
    // stac
    for code in [POPFQ, IRETQ, &[0x0F, 0x01, 0xCB]] {
        let mut bench = replaces(code, 2, AC | 2);
        assert!(!smap_is_open(&mut bench), "{code:x?}");
        assert_eq!(bench.step(), Ok(()), "{code:x?}");
        assert!(smap_is_open(&mut bench), "{code:x?}");
    }
}

/// SDM Vol. 3A Table 6-7 "Alignment Requirements by Data Type": with CR0.AM and AC, at CPL 3.
#[test]
fn ac_loaded_on_the_way_to_privilege_level_3_checks_alignment_at_once() {
    let mut bench = replaces(SYSRETQ, 2, AC | 2);
    assert_eq!(bench.step(), Ok(()));
    assert_eq!(bench.cpu.sys.cpl, 3);
    assert_eq!(bench.with_env(|cpu, env| cpu.read::<u32>(env, DS, PAGE + 1)), Err(Stop::Fault));
    assert_eq!(bench.cpu.scratch.fault.vector, vector::AC);
}

#[test]
fn if_set_by_any_instruction_lets_the_boundary_look() {
    for code in [POPFQ, IRETQ, SYSRETQ] {
        let mut bench = replaces(code, 2, IF | 2);
        assert_eq!(bench.step(), Ok(()), "{code:x?}");
        assert!(bench.cpu.flags.has(IF) && bench.cpu.leaves_block(), "{code:x?}");
    }
}

#[test]
fn tf_set_by_any_instruction_lets_the_next_one_run_alone() {
    for code in [POPFQ, IRETQ] {
        let mut bench = replaces(code, 2, TF | 2);
        assert_eq!(bench.step(), Ok(()), "{code:x?}");
        assert!(bench.cpu.leaves_block() && bench.cpu.attention.contains(Attention::STEP), "{code:x?}");
        assert_eq!(bench.cpu.sys.pending_debug, 0, "{code:x?}");
    }
}

/// SDM Vol. 3B 18.3.1.4 "Single-Step Exception Condition".
#[test]
fn syscall_and_sysret_trap_by_the_tf_that_they_leave() {
    // SYSCALL cannot set TF.
    let cases = [(SYSRETQ, 0, TF), (SYSRETQ, TF, 0), (SYSRETQ, TF, TF), (SYSRETQ, 0, 0)].into_iter().chain([
        (SYSCALL, TF, 0),
        (SYSCALL, TF, TF),
        (SYSCALL, 0, 0),
    ]);
    for (code, before, after) in cases {
        let mut bench = replaces(code, before | 2, after | 2);
        bench.ram.dma_write(TARGET, &[0x90, 0xF4]); // nop; hlt
        bench.run(1);
        assert_eq!(bench.cpu.rip(), TARGET, "{code:x?}");
        let expected = if after == 0 { 0 } else { Dr6::BS.bits() };
        assert_eq!(bench.cpu.sys.pending_debug, expected, "{code:x?} from {before:#x} to {after:#x}");
        if code == SYSRETQ {
            // What follows is user code: HLT there is #GP.
            bench.ram.dma_write(TARGET, &[0x90, 0xEB, 0xFE]); // nop; jmp $
        }
        bench.run(20);
        if after == 0 {
            assert_eq!(handled(&bench), None);
        } else {
            assert_eq!((handled(&bench), stacked64(&bench, 0)), (Some(vector::DB.into()), TARGET), "{code:x?}");
            assert_eq!(stacked64(&bench, 2) & (TF | RF), TF, "{code:x?}");
        }
    }
}
