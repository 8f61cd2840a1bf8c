//! Segment loads, far transfers and the registers behind them (SDM Vol. 3A chapter 5).

mod common;

use common::*;
use emu_core::flags::IF;
use emu_core::run::RunExit;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::arch::vector;

/// mov ax, selector; mov Sreg, ax; hlt
fn load_selector(sreg: u8, selector: u16) -> [u8; 7] {
    let [low, high] = selector.to_le_bytes();
    [0x66, 0xB8, low, high, 0x8E, 0xC0 | sreg << 3, 0xF4]
}

#[test]
fn data_segment_load_sets_the_accessed_bit_in_the_table() {
    let mut bench = protected(&load_selector(0, 0x60), 0);
    set_descriptor(&mut bench, 0x60, descriptor(0, 0xFFFF, 0x92));
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(read(&bench, GDT + 0x65, 1), 0x93);
    assert!(bench.cpu.sys.seg(SegmentRegister::Es).access_rights.accessed());
}

#[test]
fn data_segment_not_present_is_np_with_the_selector() {
    let mut bench = protected(&load_selector(3, ABSENT), 0);
    bench.run(100);
    assert_eq!(handled(&bench), Some(vector::NP.into()));
    assert_eq!(stacked(&bench, 0), ABSENT.into());
    assert_eq!(stacked(&bench, 1), START + 4, "the return address is the instruction's");
}

#[test]
fn stack_segment_not_present_is_ss_and_null_is_gp_0() {
    let mut bench = protected(&load_selector(2, ABSENT), 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::SS.into()), ABSENT.into()));
    let mut bench = protected(&load_selector(2, 0), 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), 0));
}

#[test]
fn data_segment_above_the_privilege_is_gp_with_the_selector() {
    let mut bench = protected(&load_selector(0, DATA0), 3);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), DATA0.into()));
}

#[test]
fn null_data_segment_loads_and_faults_when_used() {
    // xor eax,eax; mov es,ax; mov al,[es:0]
    let mut bench = protected(&[0x31, 0xC0, 0x8E, 0xC0, 0x26, 0xA0, 0, 0, 0, 0], 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 1)), (Some(vector::GP.into()), START + 4));
}

#[test]
fn call_gate_to_the_inner_ring_switches_stacks_and_copies_parameters() {
    // push 22222222h; push 11111111h; call GATE:0
    let mut bench = protected(
        &[0x68, 0x22, 0x22, 0x22, 0x22, 0x68, 0x11, 0x11, 0x11, 0x11, 0x9A, 0, 0, 0, 0, GATE as u8 | 3, 0],
        3,
    );
    bench.run(100);
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.cpl), (0x8801, 0));
    assert_eq!(bench.cpu.gpr[4], u64::from(STACK0) - 24);
    let frame: Vec<u64> = (0..6).map(|n| stacked(&bench, n)).collect();
    assert_eq!(frame, [START + 17, CODE3.into(), 0x1111_1111, 0x2222_2222, STACK3 - 8, DATA3.into()]);
}

#[test]
fn return_to_the_outer_ring_takes_private_data_segments_away() {
    // push DATA3; push 5000h; push CODE3; push 8000h; retf
    let mut bench =
        protected(&[0x6A, DATA3 as u8, 0x68, 0, 0x50, 0, 0, 0x6A, CODE3 as u8, 0x68, 0, 0x80, 0, 0, 0xCB], 0);
    bench.ram.dma_write(0x8000, &[0xF4]);
    bench.run(100);
    // HLT at CPL 3 is #GP(0).
    assert_eq!(handled(&bench), Some(vector::GP.into()));
    assert_eq!((stacked(&bench, 1), stacked(&bench, 2)), (0x8000, CODE3.into()));
    assert_eq!((stacked(&bench, 4), stacked(&bench, 5)), (0x5000, DATA3.into()));
    assert_eq!(bench.cpu.sys.seg(SegmentRegister::Ds).selector, 0);
    assert!(bench.cpu.sys.seg(SegmentRegister::Ds).access_rights.unusable());
}

#[test]
fn far_jump_to_code_of_another_privilege_is_gp_and_to_conforming_code_keeps_cpl() {
    // jmp CODE0:8800
    let mut bench = protected(&[0xEA, 0, 0x88, 0, 0, CODE0 as u8, 0], 3);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), CODE0.into()));
    // jmp CONFORMING:8000; at 8000: int 80h
    let mut bench = protected(&[0xEA, 0, 0x80, 0, 0, CONFORMING as u8, 0], 3);
    bench.ram.dma_write(0x8000, &[0xCD, 0x80]);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 1)), (Some(0x80), u64::from(CONFORMING | 3)));
}

#[test]
fn popf_above_iopl_leaves_if_and_iopl() {
    // push 3202h; popf; pushf; pop eax; int 80h
    let mut bench = protected(&[0x68, 0x02, 0x32, 0, 0, 0x9D, 0x9C, 0x58, 0xCD, 0x80], 3);
    bench.run(100);
    assert_eq!(handled(&bench), Some(0x80));
    assert_eq!(bench.cpu.gpr[0], 2);
    assert!(!bench.cpu.flags.has(IF));
}

#[test]
fn cr0_with_pg_but_not_pe_is_gp() {
    let mut bench = protected(&[], 0);
    let value = (Cr0::PG | Cr0::ET).bits();
    assert!(bench.with_env(|cpu, env| cpu.write_cr0(env, value)).is_err());
    assert_eq!(bench.cpu.scratch.fault.vector, vector::GP);
    assert!(bench.cpu.sys.cr0.contains(Cr0::PE));
}

#[test]
fn lmsw_cannot_clear_pe() {
    // xor eax,eax; lmsw ax; hlt
    let mut bench = protected(&[0x31, 0xC0, 0x0F, 0x01, 0xF0, 0xF4], 0);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.rip(), START + 6);
    assert!(bench.cpu.sys.cr0.contains(Cr0::PE));
}

#[test]
fn cr4_without_pae_in_ia32e_mode_is_gp_and_so_is_pcide_outside_of_it() {
    let mut bench = long(&[]);
    assert!(bench.with_env(|cpu, env| cpu.write_cr4(env, 0)).is_err());
    let pcide = (Cr4::PAE | Cr4::PCIDE).bits();
    assert!(bench.with_env(|cpu, env| cpu.write_cr4(env, pcide)).is_ok());
    let mut bench = protected(&[], 0);
    assert!(bench.with_env(|cpu, env| cpu.write_cr4(env, pcide)).is_err());
}

#[test]
fn umip_keeps_sgdt_from_ring_3() {
    // sgdt [4000h]
    let mut bench = protected(&[0x0F, 0x01, 0x05, 0, 0x40, 0, 0, 0xCD, 0x80], 3);
    bench.run(100);
    assert_eq!(handled(&bench), Some(0x80));
    assert_eq!(read(&bench, 0x4000, 2), 0xFF);
    let mut bench = protected(&[0x0F, 0x01, 0x05, 0, 0x40, 0, 0, 0xCD, 0x80], 3);
    bench.cpu.sys.cr4 |= Cr4::UMIP;
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), 0));
}

#[test]
fn syscall_and_sysret_go_by_star_lstar_and_fmask() {
    // syscall; at 8000: sysretq; then at the return: hlt at CPL 3 is #GP
    let mut bench = long(&[0x0F, 0x05, 0xF4]);
    bench.ram.dma_write(0x8000, &[0x48, 0x0F, 0x07]);
    bench.cpu.sys.syscall = [0x0010_0008 << 32, 0x8000, 0, IF];
    bench.cpu.put_flags(IF, true);
    bench.run(100);
    assert_eq!(handled(&bench), Some(vector::GP.into()));
    assert_eq!((bench.cpu.gpr[1], bench.cpu.gpr[11]), (START + 2, IF | 2));
    assert_eq!(stacked64(&bench, 1), START + 2);
    assert_eq!((stacked64(&bench, 2), stacked64(&bench, 5)), (0x23, 0x1B));
}

#[test]
fn swapgs_exchanges_the_bases() {
    // swapgs; hlt
    let mut bench = long(&[0x0F, 0x01, 0xF8, 0xF4]);
    bench.cpu.sys.kernel_gs_base = 0xFFFF_8000_0000_1000;
    bench.cpu.sys.segments[SegmentRegister::Gs as usize].base = 0x1234;
    bench.run(100);
    assert_eq!(bench.cpu.sys.seg(SegmentRegister::Gs).base, 0xFFFF_8000_0000_1000);
    assert_eq!(bench.cpu.sys.kernel_gs_base, 0x1234);
}

#[test]
fn msr_that_the_model_lacks_is_gp_unless_bad_msrs_are_ignored() {
    // RDMSR; WRMSR; HLT
    for ignored in [false, true] {
        let mut bench = long(&[0x0F, 0x32, 0x0F, 0x30, 0xF4]);
        bench.cpu.config.ignore_bad_msrs = ignored;
        bench.cpu.gpr[..3].copy_from_slice(&[5, 0x1234_5678, 6]);
        bench.run(100);
        let expected = if ignored { (None, [0, 0]) } else { (Some(vector::GP.into()), [5, 6]) };
        assert_eq!((handled(&bench), [bench.cpu.gpr[0], bench.cpu.gpr[2]]), expected);
    }
}
