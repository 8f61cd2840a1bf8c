//! Control-flow enforcement (SDM Vol. 1 chapter 18 "Control-flow Enforcement Technology (CET)").

#[path = "../common/mod.rs"]
mod common;
mod instructions;
mod paging;
mod registers;
mod stacks;
mod tasks;
mod tracking;
mod transfers;

use common::*;
use emu_core::fault::Stop;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::segment::{Segment, SegmentRegister};

/// Shadow-stack pages of CPL 3 and of the supervisor; SSP begins at the top.
const USER_PAGE: u64 = 0x4_0000;
const USER_TOP: u64 = USER_PAGE + 0x1000;
const KERNEL_PAGE: u64 = 0x5_0000;
const KERNEL_TOP: u64 = KERNEL_PAGE + 0x1000;
/// Code of CPL 3: 64 bits.
const USER64: u16 = 0x68 | 3;
/// A page table of the first 2 MiB.
const PAGE_TABLE: u64 = 0x1_3000;
/// IA32_U_CET and IA32_S_CET: shadow stacks, WRSS, tracking.
const SHSTK: u64 = 1;
const WRSS: u64 = 2;
const ENDBR: u64 = 4;

/// 64-bit mode at `cpl` with CR4.CET, IA32_U_CET and IA32_S_CET; the shadow stack of `cpl` is that of its page.
fn cet(code: &[u8], cpl: u8, user: u64, supervisor: u64) -> Bench {
    let mut bench = long(code);
    for page in 0..512u64 {
        write(&mut bench, PAGE_TABLE + 8 * page, page << 12 | 0x67);
    }
    write(&mut bench, PAGE_TABLE + 8 * (USER_PAGE >> 12), USER_PAGE | 0x65);
    write(&mut bench, PAGE_TABLE + 8 * (KERNEL_PAGE >> 12), KERNEL_PAGE | 0x61);
    write(&mut bench, 0x12000, PAGE_TABLE | 0x27);
    set_descriptor(&mut bench, USER64, descriptor(0, 0xFFFF_FFFF, 0xA0FB));
    if cpl == 3 {
        for (register, selector) in [(SegmentRegister::Cs, USER64), (SegmentRegister::Ss, DATA3)] {
            let low = read(&bench, GDT + u64::from(selector & !7), 8);
            bench.cpu.sys.segments[register as usize] = Segment::from_descriptor(selector, low);
        }
    }
    let sys = &mut bench.cpu.sys;
    sys.cpl = cpl;
    sys.cr0 |= Cr0::WP;
    sys.cr4 |= Cr4::CET;
    (sys.cet.user, sys.cet.supervisor) = (user, supervisor);
    sys.cet.ssp = if cpl == 3 { USER_TOP } else { KERNEL_TOP };
    bench.cpu.changed_from_outside();
    bench.cpu.flush_tlb();
    bench
}

/// The same in 32-bit protected mode without paging.
fn cet32(code: &[u8], cpl: u8, user: u64, supervisor: u64) -> Bench {
    let mut bench = protected(code, cpl);
    let sys = &mut bench.cpu.sys;
    sys.cr0 |= Cr0::WP;
    sys.cr4 |= Cr4::CET;
    (sys.cet.user, sys.cet.supervisor) = (user, supervisor);
    sys.cet.ssp = if cpl == 3 { USER_TOP } else { KERNEL_TOP };
    bench.cpu.changed_from_outside();
    bench
}

/// Executes `count` instructions: the vector and the error code of the first that faults.
fn steps(bench: &mut Bench, count: usize) -> Result<(), (u8, Option<u32>)> {
    for _ in 0..count {
        loop {
            match bench.step() {
                Ok(()) => break,
                Err(Stop::Alone) => {}
                Err(Stop::Fault) => {
                    let fault = bench.cpu.scratch.fault;
                    return Err((fault.vector, fault.error_code));
                }
                Err(stop) => panic!("{stop:?}"),
            }
        }
    }
    Ok(())
}

fn cp(code: u32) -> Result<(), (u8, Option<u32>)> {
    Err((21, Some(code)))
}

const UD: Result<(), (u8, Option<u32>)> = Err((6, None));
const GP: Result<(), (u8, Option<u32>)> = Err((13, Some(0)));

fn pf(code: u32) -> Result<(), (u8, Option<u32>)> {
    Err((14, Some(code)))
}
