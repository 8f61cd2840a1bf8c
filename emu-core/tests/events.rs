//! Delivery of interrupts and exceptions, single steps, breakpoints and shadows (SDM Vol. 3A chapter 6, Vol. 3B 18).

mod common;

use common::*;
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use emu_core::flags::{AC, FIXED1, IF, IOPL, RF, TF, VIF, VIP, VM};
use emu_core::run::RunExit;
use emu_core::state::derived::Attention;
use emu_core::state::system::Activity;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4, Dr6, Dr7};
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::arch::vector;

/// #AC is benign: where delivery raises it, the delivery of #AC raises it again, without end. It ends.
#[test]
fn delivery_that_raises_exceptions_without_end_comes_back() {
    for code in [&[0x0F, 0x0B][..], &[0xCD, 0x80]] {
        let mut bench = protected(code, 3);
        for vector in (0..32).chain([0x80]) {
            write(&mut bench, IDT + vector * 8, gate(CODE3, (HANDLERS + vector) as u32, 0xEE, 0));
        }
        bench.cpu.sys.cr0 |= Cr0::AM;
        bench.cpu.set_flags(FIXED1 | AC);
        bench.cpu.gpr[4] = STACK3 - 1;
        bench.cpu.changed_from_outside();
        assert_eq!(bench.run(100), RunExit::Stopped);
        assert_eq!(bench.cpu.sys.activity, Activity::Shutdown);
    }
}

#[test]
fn fault_in_ring_3_pushes_the_outer_stack_and_rf() {
    // ud2
    let mut bench = protected(&[0x0F, 0x0B], 3);
    bench.run(100);
    assert_eq!((handled(&bench), bench.cpu.sys.cpl), (Some(vector::UD.into()), 0));
    assert_eq!(bench.cpu.gpr[4], u64::from(STACK0) - 20);
    let frame: Vec<u64> = (0..5).map(|n| stacked(&bench, n)).collect();
    assert_eq!(frame, [START, CODE3.into(), RF | 2, STACK3, DATA3.into()]);
}

#[test]
fn software_interrupt_below_the_gates_dpl_is_gp_with_the_idt_bit() {
    // int 6
    let mut bench = protected(&[0xCD, 0x06], 3);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), 6 << 3 | 2));
    assert_eq!(stacked(&bench, 1), START);
}

#[test]
fn software_interrupt_returns_after_itself_and_a_trap_gate_keeps_if() {
    // int 80h
    let mut bench = protected(&[0xCD, 0x80], 3);
    bench.cpu.put_flags(IF, true);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(0x80), START + 2));
    assert_eq!(stacked(&bench, 2), IF | 2);
    assert!(bench.cpu.flags.has(IF));
}

#[test]
fn vector_beyond_the_idt_is_gp_with_ext_only_for_events_of_the_processor() {
    // int 90h
    let mut bench = protected(&[0xCD, 0x90], 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), 0x90 << 3 | 2));
}

#[test]
fn contributory_fault_in_a_contributory_fault_is_a_double_fault_and_a_third_shuts_down() {
    // mov es,[absent] by register: #GP on a selector beyond the GDT, whose gate is not present
    let code = [0x66, 0xB8, 0xF0, 0xFF, 0x8E, 0xC0];
    let mut bench = protected(&code, 0);
    write(&mut bench, IDT + 13 * 8, 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DF.into()), 0));
    let mut bench = protected(&code, 0);
    write(&mut bench, IDT + 13 * 8, 0);
    write(&mut bench, IDT + 8 * 8, 0);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.sys.activity, Activity::Shutdown);
}

#[test]
fn trap_flag_set_by_popf_traps_after_the_next_instruction() {
    // push 102h; popf; nop; nop
    let mut bench = protected(&[0x68, 0x02, 0x01, 0, 0, 0x9D, 0x90, 0x90], 0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START + 7));
    assert!(bench.cpu.sys.dr6.contains(Dr6::BS));
    assert_eq!(stacked(&bench, 2) & (TF | RF), TF, "a trap saves TF, and RF as it is");
    assert!(!bench.cpu.flags.has(TF));
}

#[test]
fn the_instruction_that_clears_tf_still_traps() {
    // popf (clears TF); nop
    let mut bench = protected(&[0x9D, 0x90, 0xF4], 0);
    bench.cpu.put_flags(TF, true);
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START + 1));
}

#[test]
fn a_software_interrupt_does_not_step_into_its_handler() {
    let mut bench = protected(&[0xCD, 0x80], 0);
    bench.cpu.put_flags(TF, true);
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!(handled(&bench), Some(0x80));
    assert!(!bench.cpu.sys.dr6.contains(Dr6::BS));
}

#[test]
fn mov_ss_loses_its_own_single_step_trap() {
    // mov ss,ax; nop; nop
    let mut bench = protected(&[0x8E, 0xD0, 0x90, 0x90], 0);
    bench.cpu.gpr[0] = DATA0.into();
    bench.cpu.put_flags(TF, true);
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START + 3));
}

#[test]
fn mov_ss_holds_an_nmi_back_for_one_instruction() {
    let mut bench = protected(&[0x8E, 0xD0, 0x90, 0x90], 0);
    bench.cpu.gpr[0] = DATA0.into();
    bench.run(1);
    bench.cpu.sys.nmi_pending = true;
    bench.cpu.raise(Attention::NMI);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::NMI.into()), START + 3));
    assert!(bench.cpu.sys.nmi_blocked);
}

#[test]
fn iret_opens_nmis_even_if_it_faults() {
    // iret with a null CS
    let mut bench = protected(&[0xCF], 0);
    bench.cpu.sys.nmi_blocked = true;
    bench.run(100);
    assert_eq!(handled(&bench), Some(vector::GP.into()));
    assert!(!bench.cpu.sys.nmi_blocked);
}

/// Runs `code` in real-address mode with an NMI-like external interrupt waiting; gives the saved IP.
fn interrupted_at(code: &[u8]) -> u64 {
    let mut bench = Bench::real_mode(code);
    bench.ram.dma_write(0, &[0x00, 0x90, 0, 0]);
    bench.ram.dma_write(0x9000, &[0xF4]);
    // The local APIC switched off: the PIC's line is the processor's.
    bench.cpu.sys.apic_base &= !0x800;
    bench.cpu.set_intr(true, true);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.rip(), 0x9001);
    read(&bench, bench.cpu.gpr[4], 2)
}

#[test]
fn sti_covers_one_instruction_and_a_second_sti_does_not_extend_it() {
    // sti; nop; nop
    assert_eq!(interrupted_at(&[0xFB, 0x90, 0x90, 0xF4]), START + 2);
    // sti; sti; nop
    assert_eq!(interrupted_at(&[0xFB, 0xFB, 0x90, 0xF4]), START + 2);
    // sti; hlt
    assert_eq!(interrupted_at(&[0xFB, 0xF4]), START + 2);
}

#[test]
fn instruction_breakpoint_faults_before_the_instruction_and_rf_lets_it_pass() {
    // inc eax; hlt
    let breakpoint = |bench: &mut Bench| {
        bench.cpu.sys.dr[1] = START;
        bench.cpu.sys.dr7 = Dr7::from_write(Dr7::L1.bits());
        bench.cpu.refresh();
    };
    let mut bench = protected(&[0x40, 0xF4], 0);
    breakpoint(&mut bench);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START));
    assert_eq!((bench.cpu.gpr[0], bench.cpu.sys.dr6.bits() & 0xF), (0, 2));
    assert_eq!(stacked(&bench, 2) & RF, 0);
    let mut bench = protected(&[0x40, 0xF4], 0);
    breakpoint(&mut bench);
    bench.cpu.put_flags(RF, true);
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!((bench.cpu.rip(), bench.cpu.gpr[0]), (START + 2, 1));
    assert!(!bench.cpu.flags.has(RF), "RF ends with the instruction");
}

#[test]
fn data_breakpoint_in_a_repeated_string_instruction_saves_rf() {
    // rep stosb
    let mut bench = protected(&[0xF3, 0xAA, 0xF4], 0);
    (bench.cpu.gpr[1], bench.cpu.gpr[7]) = (3, 0x4000);
    bench.cpu.sys.dr[0] = 0x4000;
    bench.cpu.sys.dr7 = Dr7::from_write(Dr7::L0.bits() | 1 << 16);
    bench.cpu.flush_tlb();
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START));
    assert_eq!((bench.cpu.gpr[1], stacked(&bench, 2) & RF), (2, RF));
}

#[test]
fn btf_traps_after_a_taken_branch_only_and_its_handler_runs_without() {
    // nop; nop; jmp $+2; nop
    let mut bench = protected(&[0x90, 0x90, 0xEB, 0x00, 0x90], 0);
    bench.cpu.put_flags(TF, true);
    bench.cpu.sys.debugctl = 2;
    bench.cpu.refresh();
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START + 4));
    assert!(bench.cpu.sys.dr6.contains(Dr6::BS));
    assert_eq!(bench.cpu.sys.debugctl, 0);
}

#[test]
fn mwait_stops_until_the_next_turn_and_takes_only_the_break_extension() {
    // mov eax,6000h; xor ecx,ecx; monitor; mov cl,1; mwait; inc ebx; mov cl,2; mwait
    let code = [
        0xB8, 0x00, 0x60, 0x00, 0x00, 0x31, 0xC9, 0x0F, 0x01, 0xC8, 0xB1, 0x01, 0x0F, 0x01, 0xC9, 0x43, 0xB1, 0x02,
        0x0F, 0x01, 0xC9,
    ];
    let mut bench = protected(&code, 0);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!((bench.cpu.rip(), bench.cpu.gpr[3]), (START + 15, 0));
    bench.run(100);
    assert_eq!((bench.cpu.gpr[3], handled(&bench)), (1, Some(vector::GP.into())));
    assert_eq!(stacked(&bench, 1), START + 18);
    for instruction in [0xC8, 0xC9] {
        let mut bench = protected(&[0x0F, 0x01, instruction], 3);
        bench.run(100);
        assert_eq!(handled(&bench), Some(vector::UD.into()));
    }
}

#[test]
fn general_detect_is_a_fault_that_sets_bd_and_clears_gd() {
    // mov eax,dr0
    let mut bench = protected(&[0x0F, 0x21, 0xC0], 0);
    bench.cpu.sys.dr7 |= Dr7::GD;
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), START));
    assert!(bench.cpu.sys.dr6.contains(Dr6::BD));
    assert!(!bench.cpu.sys.dr7.contains(Dr7::GD));
}

/// A virtual-8086 task whose code is at 07C0:0000.
fn v86(code: &[u8]) -> Bench {
    let mut bench = protected(code, 0);
    bench.cpu.put_flags(VM, true);
    bench.cpu.sys.cpl = 3;
    for register in SegmentRegister::USER {
        bench.cpu.sys.segments[register as usize] = Segment::virtual_8086(0x7C0);
    }
    bench.cpu.sys.segments[SegmentRegister::Ss as usize] = Segment::virtual_8086(0x400);
    bench.cpu.gpr[4] = 0x100;
    bench.cpu.set_rip(0);
    bench.cpu.refresh();
    bench
}

#[test]
fn fault_in_virtual_8086_mode_pushes_and_clears_the_data_segments() {
    let mut bench = v86(&[0x0F, 0x0B]);
    bench.run(100);
    assert_eq!((handled(&bench), bench.cpu.sys.cpl), (Some(vector::UD.into()), 0));
    let frame: Vec<u64> = (0..9).map(|n| stacked(&bench, n)).collect();
    assert_eq!(frame, [0, 0x7C0, VM | RF | 2, 0x100, 0x400, 0x7C0, 0x7C0, 0x7C0, 0x7C0]);
    assert!(bench.cpu.sys.seg(SegmentRegister::Ds).access_rights.unusable());
    assert!(!bench.cpu.flags.has(VM));
}

#[test]
fn int_n_in_virtual_8086_mode_below_iopl_3_is_gp_0_without_vme() {
    let mut bench = v86(&[0xCD, 0x80]);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::GP.into()), 0));
}

#[test]
fn vme_redirects_int_n_to_the_tasks_own_handler_with_vif_as_if() {
    let mut bench = v86(&[0xCD, 0x21]);
    bench.cpu.sys.cr4 |= Cr4::VME;
    // The redirection bitmap lies before the I/O bitmap; all bits 0: redirect.
    bench.ram.dma_write(TSS_AT + 0x66, &0x88u16.to_le_bytes());
    write(&mut bench, 0x21 * 4, 0x07C0_0100);
    bench.ram.dma_write(START + 0x100, &[0x0F, 0x0B]);
    bench.cpu.put_flags(VIF, true);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::UD.into()), 0x100));
    assert_eq!(stacked(&bench, 2) & VIF, 0);
    assert_eq!(read(&bench, 0x40FA, 2), 2);
    assert_eq!(read(&bench, 0x40FE, 2), 2 | IF | IOPL);
}

#[test]
fn vme_cli_and_sti_move_vif_and_sti_with_vip_is_gp() {
    // cli; pushf; sti
    let mut bench = v86(&[0xFA, 0x9C, 0xFB]);
    bench.cpu.sys.cr4 |= Cr4::VME;
    bench.cpu.put_flags(IF | VIF | VIP, true);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0), stacked(&bench, 1)), (Some(vector::GP.into()), 0, 2));
    assert_eq!(stacked(&bench, 3) & (IF | VIF | VIP), IF | VIP);
    assert_eq!(read(&bench, 0x40FE, 2), 2 | IOPL);
}

#[test]
fn pvi_gives_ring_3_the_virtual_interrupt_flag() {
    // cli; sti; ud2, at IOPL 0
    for (cr4, handler, at) in [(Cr4::PVI, vector::UD, 2), (Cr4::empty(), vector::GP, 0)] {
        let mut bench = protected(&[0xFA, 0xFB, 0x0F, 0x0B], 3);
        bench.cpu.sys.cr4 |= cr4;
        bench.cpu.put_flags(IF, true);
        bench.run(100);
        let error_code = usize::from(handler == vector::GP) as u64;
        assert_eq!((handled(&bench), stacked(&bench, error_code)), (Some(handler.into()), START + at));
        assert_eq!(stacked(&bench, error_code + 2) & (IF | VIF), if at == 2 { IF | VIF } else { IF });
    }
}

#[test]
fn long_mode_interrupt_aligns_the_stack_and_uses_ist() {
    // ud2
    let mut bench = long(&[0x0F, 0x0B]);
    bench.cpu.gpr[4] = 0x5009;
    bench.run(100);
    assert_eq!(handled(&bench), Some(vector::UD.into()));
    assert_eq!(bench.cpu.gpr[4], 0x5000 - 40);
    let frame: Vec<u64> = (0..5).map(|n| stacked64(&bench, n)).collect();
    assert_eq!(frame, [START, CODE64.into(), RF | 2, 0x5009, DATA0.into()]);

    let mut bench = long(&[0x0F, 0x0B]);
    write(&mut bench, IDT + 6 * 16, gate(CODE64, HANDLERS as u32 + 6, 0x8E, 3));
    write(&mut bench, TSS_AT + 36 + 2 * 8, 0x6F08);
    bench.run(100);
    assert_eq!((handled(&bench), bench.cpu.gpr[4]), (Some(vector::UD.into()), 0x6F00 - 40));
}

#[test]
fn page_fault_in_64_bit_mode_pushes_its_error_code() {
    // mov al,[200000h]
    let mut bench = long(&[0x8A, 0x04, 0x25, 0, 0, 0x20, 0]);
    bench.run(100);
    assert_eq!((handled(&bench), stacked64(&bench, 0), stacked64(&bench, 1)), (Some(vector::PF.into()), 0, START));
    assert_eq!(bench.cpu.sys.cr2, 0x20_0000);
}

#[test]
fn task_switch_with_the_t_bit_traps_before_the_new_tasks_first_instruction() {
    // jmp TSS2:0
    let mut bench = protected(&[0xEA, 0, 0, 0, 0, TSS2 as u8, 0], 0);
    new_task(&mut bench, CODE0);
    bench.ram.dma_write(TSS2_AT + 0x64, &[1]);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::DB.into()), 0x8000));
    assert!(bench.cpu.sys.dr6.contains(Dr6::BT));
    assert_eq!(read(&bench, TSS_AT + 0x20, 4), START + 7, "the old task goes on after the jump");
    assert_eq!((read(&bench, GDT + 0x2D, 1), read(&bench, GDT + 0x55, 1)), (0x89, 0x8B), "busy bits");
}

#[test]
fn segment_fault_of_a_task_switch_is_the_new_tasks() {
    let mut bench = protected(&[0xEA, 0, 0, 0, 0, TSS2 as u8, 0], 0);
    new_task(&mut bench, CODE0);
    // DS beyond the GDT.
    write(&mut bench, TSS2_AT + 0x54, 0xFFF0);
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::TS.into()), 0xFFF0));
    assert_eq!((stacked(&bench, 1), bench.cpu.sys.seg(SegmentRegister::Tr).selector), (0x8000, TSS2));
}

fn new_task(bench: &mut Bench, cs: u16) {
    write(bench, TSS2_AT + 0x20, 0x8000 | 2 << 32);
    write(bench, TSS2_AT + 0x38, 0x4800);
    for (offset, selector) in [(0x48, DATA0), (0x4C, cs), (0x50, DATA0), (0x54, DATA0)] {
        write(bench, TSS2_AT + offset, selector.into());
    }
}

#[test]
fn nmi_ends_shutdown() {
    let mut bench = protected(&[0x90], 0);
    bench.cpu.sys.activity = Activity::Shutdown;
    bench.cpu.refresh();
    assert_eq!((bench.run(100), handled(&bench)), (RunExit::Stopped, None));
    bench.cpu.accept_nmi();
    bench.run(100);
    assert_eq!((handled(&bench), bench.cpu.sys.activity), (Some(vector::NMI.into()), Activity::Hlt));
}

#[test]
fn init_and_a_startup_ipi_that_wait_together_start_the_processor() {
    // 9A00:0000: hlt
    let mut bench = Bench::real_mode(&[0x90]);
    bench.ram.dma_write(0x9_A000, &[0xF4]);
    bench.cpu.sys.apic_base &= !0x100;
    for activity in [Activity::Hlt, Activity::WaitForSipi] {
        bench.cpu.sys.activity = activity;
        bench.cpu.accept_init();
        bench.cpu.accept(&ApicMessage {
            destination: 0,
            logical: false,
            delivery: DeliveryMode::StartUp,
            vector: 0x9A,
            level_triggered: false,
            assert: true,
            shorthand: Shorthand::None,
        });
        assert!(bench.cpu.sys.init_pending && bench.cpu.sys.sipi_pending);
        assert_eq!(bench.run(100), RunExit::Stopped);
        assert_eq!((bench.cpu.sys.activity, bench.cpu.rip()), (Activity::Hlt, 1), "from {activity:?}");
        assert_eq!(bench.cpu.sys.segments[1].base, 0x9_A000);
        assert!(!bench.cpu.sys.init_pending && !bench.cpu.sys.sipi_pending);
    }
}

#[test]
fn sti_holds_an_nmi_back_for_one_instruction() {
    // sti; nop; nop
    let mut bench = protected(&[0xFB, 0x90, 0x90], 0);
    bench.run(1);
    bench.cpu.accept_nmi();
    bench.run(100);
    assert_eq!((handled(&bench), stacked(&bench, 0)), (Some(vector::NMI.into()), START + 2));
}
