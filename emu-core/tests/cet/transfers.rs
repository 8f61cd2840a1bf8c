//! Far transfers, events and system calls (SDM Vol. 1 18.2.3 "Supervisor Shadow Stack Token"; Vol. 2A, CALL, INT n, IRET;
//! Vol. 2B, RET, SYSCALL).

use super::*;

const TOKEN: u64 = KERNEL_TOP - 8;
/// Another stack of the supervisor, by the interrupt shadow-stack table.
const IST_TOKEN: u64 = KERNEL_PAGE + 0x7F8;
const SSP_TABLE: u64 = 0x7_0000;
const TARGET: u64 = 0x8000;

/// Puts a free token at `at`.
fn put_token(bench: &mut Bench, at: u64) {
    write(bench, at, at);
}

fn frame(bench: &Bench, at: u64) -> [u64; 3] {
    [16, 8, 0].map(|offset| read(bench, at + offset, 8))
}

/// ud2 at CPL 3; the handler returns behind it: add qword [rsp],2; iretq.
fn interrupted() -> Bench {
    let mut bench = cet(&[0x0F, 0x0B, 0x90], 3, SHSTK, SHSTK);
    bench.ram.dma_write(HANDLERS + 6, &[0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xCF]);
    bench.cpu.sys.cet.ssps[0] = TOKEN;
    put_token(&mut bench, TOKEN);
    bench
}

#[test]
fn event_from_cpl_3_takes_the_token_and_iret_frees_it() {
    let mut bench = interrupted();
    bench.run(1);
    assert_eq!(bench.cpu.rip(), HANDLERS + 6);
    let state = bench.cpu.sys.cet;
    assert_eq!((state.ssp, state.ssps[3], read(&bench, TOKEN, 8)), (TOKEN, USER_TOP, TOKEN | 1));
    bench.run(2);
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.cpl), (START + 2, 3));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, TOKEN, 8)), (USER_TOP, TOKEN));
}

#[test]
fn supervisor_stack_that_cannot_be_taken_is_gp_in_the_delivery_and_so_a_double_fault() {
    // #UD is benign: its delivery's #GP is delivered, and fails the same way.
    for (ssp, token) in
        [(TOKEN, TOKEN | 1), (TOKEN, TOKEN - 8), (TOKEN + 4, TOKEN + 4), (KERNEL_PAGE + 0x810, KERNEL_PAGE + 0x810)]
    {
        let mut bench = interrupted();
        bench.cpu.sys.cet.ssps[0] = ssp;
        write(&mut bench, ssp & !7, token);
        bench.run(50);
        assert_eq!(bench.cpu.sys.activity, emu_core::state::system::Activity::Shutdown, "{ssp:#x}");
        assert_eq!((bench.cpu.sys.cpl, bench.cpu.sys.cet.ssp, bench.cpu.rip()), (3, USER_TOP, START));
        assert_eq!(read(&bench, ssp & !7, 8), token, "written back as it was");
    }
}

#[test]
fn event_at_cpl_0_pushes_a_frame_that_iret_compares() {
    let mut bench = cet(&[0xCC, 0x90], 0, 0, SHSTK);
    bench.ram.dma_write(HANDLERS + 3, &[0x48, 0xCF]);
    bench.cpu.sys.cet.ssp = KERNEL_TOP - 4;
    steps(&mut bench, 1).unwrap();
    let ssp = KERNEL_TOP - 32;
    assert_eq!(bench.cpu.sys.cet.ssp, ssp);
    assert_eq!(frame(&bench, ssp), [CODE64.into(), START + 1, KERNEL_TOP - 4]);
    assert_eq!(read(&bench, KERNEL_TOP - 8, 4), 0, "the hole");
    steps(&mut bench, 1).unwrap();
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp), (START + 1, KERNEL_TOP - 4));

    // Each of the frame's three parts, and the alignment of SSP.
    for (offset, value, result) in [
        (16, u64::from(CODE64) | 1 << 16, cp(2)),
        (8, START + 2, cp(2)),
        (0, KERNEL_TOP - 2, cp(2)),
        (0, 1 << 62, GP),
        (24, 4, cp(2)),
    ] {
        let mut bench = cet(&[0xCC, 0x90], 0, 0, SHSTK);
        bench.ram.dma_write(HANDLERS + 3, &[0x48, 0xCF]);
        steps(&mut bench, 1).unwrap();
        let ssp = bench.cpu.sys.cet.ssp;
        if offset == 24 {
            bench.cpu.sys.cet.ssp += value;
        } else {
            write(&mut bench, ssp + offset, value);
        }
        let before = (bench.cpu.sys.cet.ssp, bench.cpu.gpr[4], bench.cpu.flags.get());
        assert_eq!(steps(&mut bench, 1), result, "{offset}");
        assert_eq!((bench.cpu.sys.cet.ssp, bench.cpu.gpr[4], bench.cpu.flags.get()), before);
    }
}

#[test]
fn interrupt_stack_table_has_shadow_stacks_of_its_own_from_both_levels() {
    for cpl in [0, 3] {
        let mut bench = cet(&[0x0F, 0x0B, 0x90], cpl, SHSTK, SHSTK);
        bench.ram.dma_write(HANDLERS + 6, &[0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xCF]);
        // IST 2.
        write(&mut bench, IDT + 6 * 16, gate(CODE64, (HANDLERS + 6) as u32, 0x8E, 0) | 2 << 32);
        write(&mut bench, TSS_AT + 2 * 8 + 28, 0x6800);
        bench.cpu.sys.cet.interrupt_table = SSP_TABLE;
        write(&mut bench, SSP_TABLE + 16, IST_TOKEN);
        put_token(&mut bench, IST_TOKEN);
        let top = bench.cpu.sys.cet.ssp;
        bench.run(1);
        assert_eq!(read(&bench, IST_TOKEN, 8), IST_TOKEN | 1);
        if cpl == 3 {
            assert_eq!(bench.cpu.sys.cet.ssp, IST_TOKEN);
        } else {
            assert_eq!(bench.cpu.sys.cet.ssp, IST_TOKEN - 24);
            assert_eq!(frame(&bench, IST_TOKEN - 24), [CODE64.into(), START, top]);
        }
        // The handler of CPL 0 that changes its return address is found out.
        bench.run(2);
        if cpl == 3 {
            assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, IST_TOKEN, 8)), (top, IST_TOKEN));
        } else {
            assert_ne!(bench.cpu.rip(), START + 2);
        }
    }
    // int3 at CPL 0 by IST: the return frees the token.
    let mut bench = cet(&[0xCC, 0x90], 0, 0, SHSTK);
    bench.ram.dma_write(HANDLERS + 3, &[0x48, 0xCF]);
    write(&mut bench, IDT + 3 * 16, gate(CODE64, (HANDLERS + 3) as u32, 0x8E, 0) | 1 << 32);
    write(&mut bench, TSS_AT + 36, 0x6800);
    bench.cpu.sys.cet.interrupt_table = SSP_TABLE;
    write(&mut bench, SSP_TABLE + 8, IST_TOKEN);
    put_token(&mut bench, IST_TOKEN);
    assert_eq!(steps(&mut bench, 2), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, IST_TOKEN, 8)), (KERNEL_TOP, IST_TOKEN));
}

#[test]
fn shadow_stack_of_an_interrupt_is_looked_up_before_the_stack_is_looked_at() {
    // int3 by IST 1, whose stack is not canonical (#SS), or is not there (#PF).
    for stack in [1 << 62, 0x4000_0000] {
        let mut bench = cet(&[0xCC], 0, 0, SHSTK);
        write(&mut bench, IDT + 3 * 16, gate(CODE64, HANDLERS as u32, 0x8E, 0) | 1 << 32);
        write(&mut bench, TSS_AT + 36, stack);
        bench.cpu.sys.cet.interrupt_table = 0x5000_0000;
        bench.run(1);
        assert_eq!(bench.cpu.sys.cr2, 0x5000_0008, "{stack:#x}");
    }
}

#[test]
fn far_call_and_far_ret_on_one_level_push_and_compare_cs_lip_and_ssp() {
    // call far [rbx]; the target returns: retfq
    for narrow in [false, true] {
        let mut bench = cet(&[0x48, 0xFF, 0x1B], 0, 0, SHSTK);
        bench.ram.dma_write(TARGET, if narrow { &[0xCB, 0x90] } else { &[0x48, 0xCB] });
        if narrow {
            bench.ram.dma_write(START, &[0xFF, 0x1B]);
        }
        bench.cpu.gpr[3] = 0x8800;
        write(&mut bench, 0x8800, TARGET | if narrow { u64::from(CODE64) << 32 } else { 0 });
        write(&mut bench, 0x8808, if narrow { 0 } else { CODE64.into() });
        bench.cpu.sys.cet.ssp = KERNEL_TOP - 4;
        steps(&mut bench, 1).unwrap();
        let next = START + if narrow { 2 } else { 3 };
        assert_eq!(frame(&bench, KERNEL_TOP - 32), [CODE64.into(), next, KERNEL_TOP - 4]);
        let mut wrong = bench.cpu.gpr[4];
        steps(&mut bench, 1).unwrap();
        assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp), (next, KERNEL_TOP - 4));
        // The same, tampered with.
        std::mem::swap(&mut wrong, &mut bench.cpu.gpr[4]);
        bench.cpu.set_rip(TARGET);
        bench.cpu.sys.cet.ssp = KERNEL_TOP - 32;
        let at = bench.cpu.gpr[4];
        bench.ram.dma_write(at, &[(next + 1) as u8]);
        assert_eq!(steps(&mut bench, 1), cp(2));
    }
}

#[test]
fn far_branch_to_compatibility_mode_needs_ssp_below_4_gbytes() {
    // jmp far [rbx], call far [rbx]
    for code in [[0xFF, 0x2B], [0xFF, 0x1B]] {
        for (ssp, result) in [(KERNEL_TOP, Ok(())), (1 << 32 | KERNEL_TOP, GP)] {
            let mut bench = cet(&code, 0, 0, SHSTK);
            (bench.cpu.gpr[3], bench.cpu.sys.cet.ssp) = (0x8800, ssp);
            write(&mut bench, 0x8800, TARGET | u64::from(CODE0) << 32);
            assert_eq!(steps(&mut bench, 1), result, "{code:X?} {ssp:#x}");
        }
    }
}

#[test]
fn call_gate_to_cpl_0_switches_shadow_stacks_and_far_ret_switches_back() {
    let mut bench = cet(&[0xFF, 0x1B, 0x90], 3, SHSTK, SHSTK);
    bench.ram.dma_write(TARGET, &[0x48, 0xCB]);
    // A call gate of DPL 3 takes two entries.
    set_descriptor(&mut bench, 0x70, gate(CODE64, TARGET as u32, 0xEC, 0));
    set_descriptor(&mut bench, 0x78, 0);
    bench.cpu.gpr[3] = 0x8800;
    write(&mut bench, 0x8800, 0x73u64 << 32);
    bench.cpu.sys.cet.ssps[0] = TOKEN;
    put_token(&mut bench, TOKEN);
    bench.cpu.sys.cet.ssp = USER_TOP - 8;
    assert_eq!(steps(&mut bench, 1), Ok(()));
    let state = bench.cpu.sys.cet;
    assert_eq!((bench.cpu.sys.cpl, state.ssp, state.ssps[3]), (0, TOKEN, USER_TOP - 8));
    assert_eq!(read(&bench, TOKEN, 8), TOKEN | 1);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cpl, bench.cpu.sys.cet.ssp, bench.cpu.rip()), (3, USER_TOP - 8, START + 2));
    assert_eq!(read(&bench, TOKEN, 8), TOKEN);
}

#[test]
fn system_calls_keep_the_user_ssp_and_begin_without_a_stack() {
    for (enter, leave) in [([0x0F, 0x05], [0x48, 0x0F, 0x07]), ([0x0F, 0x34], [0x48, 0x0F, 0x35])] {
        for supervisor in [SHSTK, 0] {
            let mut bench = cet(&enter, 3, SHSTK, supervisor);
            bench.ram.dma_write(TARGET, &leave);
            bench.cpu.sys.syscall = [u64::from(CODE64) << 32 | 0x58 << 48, TARGET, 0, 0];
            bench.cpu.sys.sysenter = [CODE64.into(), 0x6000, TARGET];
            assert_eq!(steps(&mut bench, 1), Ok(()));
            assert_eq!((bench.cpu.sys.cpl, bench.cpu.sys.cet.ssps[3]), (0, USER_TOP));
            assert_eq!(bench.cpu.sys.cet.ssp, if supervisor == 0 { USER_TOP } else { 0 });
            (bench.cpu.gpr[1], bench.cpu.gpr[2]) = (if enter[1] == 5 { START } else { STACK3 }, START);
            bench.cpu.sys.cet.ssps[3] = USER_TOP - 16;
            assert_eq!(steps(&mut bench, 1), Ok(()));
            assert_eq!((bench.cpu.sys.cpl, bench.cpu.sys.cet.ssp), (3, USER_TOP - 16));
        }
    }
}

#[test]
fn return_to_cpl_3_checks_pl3_ssp_and_leaves_a_wrong_token_alone() {
    for (ssp, token, result, after) in [
        (USER_TOP, TOKEN | 1, Ok(()), TOKEN),
        (1 << 62, TOKEN | 1, GP, TOKEN | 1),
        (USER_TOP, TOKEN, Ok(()), TOKEN),
        (USER_TOP, 0x1235, Ok(()), 0x1235),
    ] {
        let mut bench = interrupted();
        bench.run(2);
        bench.cpu.sys.cet.ssps[3] = ssp;
        write(&mut bench, TOKEN, token);
        assert_eq!(steps(&mut bench, 1), result);
        assert_eq!(read(&bench, TOKEN, 8), after);
        let expected = if result.is_ok() { (3, USER_TOP) } else { (0, TOKEN) };
        assert_eq!((bench.cpu.sys.cpl, bench.cpu.sys.cet.ssp), expected);
    }
}

/// SDM Vol. 3A "Interrupt 21—Control Protection Exception (#CP)": a fault, contributory, with its error code.
#[test]
fn control_protection_exception_is_delivered_with_its_code() {
    // call +1; ret; (target) mov [rsp],rax; ret
    let mut bench = cet(&[0xE8, 1, 0, 0, 0, 0xC3, 0x48, 0x89, 0x04, 0x24, 0xC3], 0, 0, SHSTK);
    bench.run(100);
    assert_eq!(handled(&bench), Some(21));
    assert_eq!((stacked64(&bench, 0), stacked64(&bench, 1)), (1, START + 10));
}
