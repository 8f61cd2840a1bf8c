//! Near CALL and RET (SDM Vol. 2A, CALL; Vol. 2B, RET).

use super::*;
use emu_core::run::RunExit;

/// call +2; hlt; hlt; ret
const CALL_RET: [u8; 8] = [0xE8, 2, 0, 0, 0, 0xF4, 0xF4, 0xC3];

#[test]
fn near_call_pushes_on_both_stacks_and_ret_pops_both() {
    for cpl in [0, 3] {
        let mut bench = cet(&CALL_RET, cpl, SHSTK, SHSTK);
        let top = bench.cpu.sys.cet.ssp;
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp), (START + 7, top - 8));
        assert_eq!(read(&bench, top - 8, 8), START + 5);
        assert_eq!(stacked64(&bench, 0), START + 5);
        assert_eq!(steps(&mut bench, 1), Ok(()));
        assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp, bench.cpu.gpr[4]), (START + 5, top, STACK3));
    }
}

#[test]
fn ret_to_another_address_is_cp_near_ret_and_changes_nothing() {
    let mut bench = cet(&CALL_RET, 3, SHSTK, 0);
    steps(&mut bench, 1).unwrap();
    write(&mut bench, STACK3 - 8, START + 6);
    assert_eq!(steps(&mut bench, 1), cp(1));
    assert_eq!((bench.cpu.sys.cet.ssp, bench.cpu.gpr[4], bench.cpu.rip()), (USER_TOP - 8, STACK3 - 8, START + 7));
}

#[test]
fn near_branches_without_shadow_stacks_leave_ssp_alone() {
    for (cpl, user, supervisor) in [(3, 0, SHSTK), (0, SHSTK, 0), (3, ENDBR, ENDBR)] {
        let mut bench = cet(&CALL_RET, cpl, user, supervisor);
        let top = bench.cpu.sys.cet.ssp;
        assert_eq!(steps(&mut bench, 2), Ok(()));
        assert_eq!(bench.cpu.sys.cet.ssp, top);
    }
    let mut bench = cet(&CALL_RET, 3, SHSTK, SHSTK);
    bench.cpu.sys.cr4 -= Cr4::CET;
    bench.cpu.changed_from_outside();
    assert_eq!(steps(&mut bench, 2), Ok(()));
    assert_eq!(bench.cpu.sys.cet.ssp, USER_TOP);
}

#[test]
fn call_to_the_next_instruction_pushes_nothing_on_the_shadow_stack() {
    // call +0; pop rax
    let mut bench = cet(&[0xE8, 0, 0, 0, 0, 0x58], 3, SHSTK, 0);
    assert_eq!(steps(&mut bench, 2), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, bench.cpu.gpr[0]), (USER_TOP, START + 5));
}

#[test]
fn near_calls_of_all_forms_and_sizes_push_what_they_return_to() {
    // 32-bit code: call +0x10; call eax; call [ebx]; and with 66h.
    let cases: [(&[u8], u64); 6] = [
        (&[0xE8, 0x10, 0, 0, 0], 5),
        (&[0xFF, 0xD0], 2),
        (&[0xFF, 0x13], 2),
        (&[0x66, 0xE8, 0x10, 0], 4),
        (&[0x66, 0xFF, 0xD0], 3),
        (&[0x66, 0xFF, 0x13], 3),
    ];
    for (code, len) in cases {
        let mut bench = cet32(code, 3, SHSTK, 0);
        (bench.cpu.gpr[0], bench.cpu.gpr[3]) = (0x8000, 0x8100);
        write(&mut bench, 0x8100, 0x8000);
        assert_eq!(steps(&mut bench, 1), Ok(()), "{code:X?}");
        // Always 4 bytes, of which a 16-bit address is the lower half.
        assert_eq!(bench.cpu.sys.cet.ssp, USER_TOP - 4, "{code:X?}");
        assert_eq!(read(&bench, USER_TOP - 4, 4), START + len, "{code:X?}");
        // ret, or with 66h.
        let ret: &[u8] = if code[0] == 0x66 { &[0x66, 0xC2, 4, 0] } else { &[0xC2, 4, 0] };
        let (at, sp) = (bench.cpu.rip(), bench.cpu.gpr[4]);
        bench.ram.dma_write(at, ret);
        let pops = if code[0] == 0x66 { 2 } else { 4 };
        assert_eq!(steps(&mut bench, 1), Ok(()), "{code:X?}");
        assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp, bench.cpu.gpr[4]), (START + len, USER_TOP, sp + pops + 4));
    }
}

#[test]
fn ssp_that_moves_outside_64_bit_mode_has_32_bits() {
    // call +0x10; ret. SYSRET leaves an SSP like this.
    let mut bench = cet32(&[0xE8, 0x10, 0, 0, 0], 3, SHSTK, 0);
    bench.ram.dma_write(START + 0x15, &[0xC3]);
    bench.cpu.sys.cet.ssp = 1 << 32 | USER_TOP;
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, USER_TOP - 4, 4)), (USER_TOP - 4, START + 5));
    bench.cpu.sys.cet.ssp |= 1 << 32;
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, bench.cpu.rip()), (USER_TOP, START + 5));
    // incsspd eax
    let mut bench = cet32(&[0xF3, 0x0F, 0xAE, 0xE8], 3, SHSTK, 0);
    (bench.cpu.gpr[0], bench.cpu.sys.cet.ssp) = (1, 1 << 32 | (USER_TOP - 8));
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!(bench.cpu.sys.cet.ssp, USER_TOP - 4);
}

#[test]
fn shadow_stack_that_faults_leaves_registers_and_ssp_alone() {
    let mut bench = cet(&CALL_RET, 3, SHSTK, 0);
    // An ordinary page, where the push is made; the page below it is no shadow stack either.
    bench.cpu.sys.cet.ssp = 0x6_0000;
    assert_eq!(steps(&mut bench, 1), pf(0x47), "present, write, user, shadow stack");
    assert_eq!(bench.cpu.sys.cr2, 0x5_FFF8);
    assert_eq!((bench.cpu.gpr[4], bench.cpu.rip(), bench.cpu.sys.cet.ssp), (STACK3, START, 0x6_0000));
    // The stack's own fault comes first.
    bench.cpu.gpr[4] = 0x4000_0000;
    assert_eq!(steps(&mut bench, 1), pf(0x06));
    let mut bench = cet(&CALL_RET, 3, SHSTK, 0);
    steps(&mut bench, 1).unwrap();
    bench.cpu.sys.cet.ssp = 0x6_0000;
    assert_eq!(steps(&mut bench, 1), pf(0x45), "a load");
}

#[test]
fn runs_and_steps_of_enforced_code_end_alike() {
    // mov ecx,50; L: call F; dec ecx; jnz L; hlt; F: call G; ret; G: ret
    let code = [0xB9, 50, 0, 0, 0, 0xE8, 5, 0, 0, 0, 0xFF, 0xC9, 0x75, 0xF7, 0xF4, 0xE8, 1, 0, 0, 0, 0xC3, 0xC3];
    let mut whole = cet(&code, 0, 0, SHSTK);
    whole.run(10_000);
    let mut slow = cet(&code, 0, 0, SHSTK);
    while slow.run(1) != RunExit::Stopped {}
    assert_eq!((whole.cpu.gpr[1], whole.cpu.sys.cet.ssp), (0, KERNEL_TOP));
    assert_eq!((slow.cpu.cycles, slow.cpu.instructions), (whole.cpu.cycles, whole.cpu.instructions));
}
