//! Task switches (SDM Vol. 1 18.2.4 "Shadow Stack Usage on Task Switch"; Vol. 3A 10.3 "Task Switching"; AMD64 Architecture
//! Programmer's Manual Vol. 2 12.3.2 "Switching Tasks").

use super::*;

const TOKEN: u64 = KERNEL_PAGE + 0x7F8;
const TARGET: u64 = 0x8000;

/// A task of CPL 0 in TSS2 that begins at the target; its SSP is that of the token.
fn tasks(code: &[u8], target: &[u8]) -> Bench {
    levels(code, target, 0, 0)
}

/// A task of level `to` in TSS2 that begins at the target, its SSP that of the token, and the present one of level `from`;
/// shadow stacks at both.
fn levels(code: &[u8], target: &[u8], from: u8, to: u8) -> Bench {
    let mut bench = cet32(code, from, SHSTK, SHSTK);
    bench.ram.dma_write(TARGET, target);
    set_descriptor(&mut bench, TSS2, descriptor(TSS2_AT as u32, 0x6B, 0xE9));
    let (code, data) = if to == 0 { (CODE0, DATA0) } else { (CODE3, DATA3) };
    let mut image = [0u32; 27];
    image[8] = TARGET as u32;
    image[9] = 2;
    image[14] = 0x6800;
    for (n, selector) in [(18, data), (19, code), (20, data), (21, data), (22, 0), (23, 0)] {
        image[n] = selector.into();
    }
    image[26] = TOKEN as u32;
    for (n, word) in image.iter().enumerate() {
        bench.ram.dma_write(TSS2_AT + 4 * n as u64, &word.to_le_bytes());
    }
    write(&mut bench, TOKEN, TOKEN);
    bench
}

/// call far TSS2:0
const CALL: [u8; 8] = [0x9A, 0, 0, 0, 0, TSS2 as u8, 0, 0x90];

#[test]
fn nested_task_has_the_old_place_on_its_stack_and_iret_goes_back() {
    let mut bench = tasks(&CALL, &[0xCF]);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp), (TARGET, TOKEN - 24));
    assert_eq!(read(&bench, TOKEN, 8), TOKEN | 1);
    let frame = [16, 8, 0].map(|offset| read(&bench, TOKEN - 24 + offset, 8));
    assert_eq!(frame, [CODE0.into(), START + 7, KERNEL_TOP]);
    // TSS 1 must have a place for SSP, too.
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp, read(&bench, TOKEN, 8)), (START + 7, KERNEL_TOP, TOKEN));
}

#[test]
fn jump_to_a_task_pushes_nothing() {
    let mut bench = tasks(&[0xEA, 0, 0, 0, 0, TSS2 as u8, 0], &[0xF4]);
    assert_eq!(steps(&mut bench, 1), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, TOKEN, 8)), (TOKEN, TOKEN | 1));
}

#[test]
fn task_without_a_good_shadow_stack_is_ts() {
    let ts = Err((10, Some(u32::from(TSS2))));
    for (limit, ssp, token) in
        [(0x67, TOKEN, TOKEN), (0x6B, TOKEN + 4, TOKEN), (0x6B, TOKEN, TOKEN | 1), (0x6B, TOKEN, TOKEN + 8)]
    {
        let mut bench = tasks(&CALL, &[0xF4]);
        set_descriptor(&mut bench, TSS2, descriptor(TSS2_AT as u32, limit, 0x89));
        bench.ram.dma_write(TSS2_AT + 104, &(ssp as u32).to_le_bytes());
        write(&mut bench, TOKEN, token);
        assert_eq!(steps(&mut bench, 1), ts, "{limit:#x} {ssp:#x} {token:#x}");
        assert_eq!(read(&bench, TOKEN, 8), token);
    }
}

#[test]
fn return_to_a_task_compares_its_place() {
    for (offset, value) in [(16, u64::from(CODE0) + 8), (8, START + 8), (0, KERNEL_TOP - 2), (0, 1 << 32)] {
        let mut bench = tasks(&CALL, &[0xCF]);
        steps(&mut bench, 1).unwrap();
        write(&mut bench, TOKEN - 24 + offset, value);
        assert_eq!(steps(&mut bench, 1), cp(2), "{offset}");
    }
    // SSP of the task that returns must be a multiple of 8.
    let mut bench = tasks(&CALL, &[0xCF]);
    steps(&mut bench, 1).unwrap();
    bench.cpu.sys.cet.ssp += 4;
    assert_eq!(steps(&mut bench, 1), Err((10, Some(u32::from(TSS2)))));
}

#[test]
fn task_is_entered_waiting_for_endbranch() {
    let mut bench = tasks(&CALL, &[0xF4]);
    bench.cpu.sys.cet.supervisor |= ENDBR;
    bench.cpu.changed_from_outside();
    assert_eq!(steps(&mut bench, 2), cp(3));
}

#[test]
fn nested_task_of_any_level_has_the_old_place_on_its_stack_but_a_kernels_from_user_code() {
    const KEPT: u64 = 0x1238;
    for (from, to) in [(0, 0), (0, 3), (3, 3), (3, 0)] {
        let mut bench = levels(&CALL, &[0xCF], from, to);
        bench.cpu.sys.cet.ssps[3] = KEPT;
        let (ssp, cs) = if from == 0 { (KERNEL_TOP, CODE0) } else { (USER_TOP, CODE3) };
        assert_eq!(steps(&mut bench, 1), Ok(()), "{from} {to}");
        let kept = from == 3 && to == 0;
        assert_eq!(bench.cpu.sys.cet.ssps[3], if kept { ssp } else { KEPT }, "{from} {to}");
        assert_eq!(bench.cpu.sys.cet.ssp, if kept { TOKEN } else { TOKEN - 24 }, "{from} {to}");
        let frame = [16, 8, 0].map(|offset| read(&bench, TOKEN - 24 + offset, 8));
        assert_eq!(frame, if kept { [0; 3] } else { [cs.into(), START + 7, ssp] }, "{from} {to}");
        assert_eq!(read(&bench, TOKEN, 8), TOKEN | 1);
        // IRET finds the place where the call has put it.
        assert_eq!(steps(&mut bench, 1), Ok(()), "{from} {to}");
        assert_eq!((bench.cpu.rip(), bench.cpu.sys.cet.ssp, read(&bench, TOKEN, 8)), (START + 7, ssp, TOKEN));
        assert_eq!(bench.cpu.sys.cpl, from);
    }
}

#[test]
fn jump_to_a_task_keeps_nothing_of_the_old_stack() {
    for (from, to) in [(0, 3), (3, 3), (3, 0)] {
        let mut bench = levels(&[0xEA, 0, 0, 0, 0, TSS2 as u8, 0], &[0xF4], from, to);
        bench.cpu.sys.cet.ssps[3] = 0x1238;
        assert_eq!(steps(&mut bench, 1), Ok(()), "{from} {to}");
        assert_eq!((bench.cpu.sys.cet.ssp, bench.cpu.sys.cet.ssps[3]), (TOKEN, 0x1238), "{from} {to}");
    }
}

#[test]
fn return_from_a_task_leaves_no_stack_where_the_other_has_none() {
    let mut bench = levels(&CALL, &[0xCF], 3, 0);
    bench.cpu.sys.cet.user = 0;
    bench.cpu.changed_from_outside();
    assert_eq!(steps(&mut bench, 2), Ok(()));
    assert_eq!((bench.cpu.sys.cet.ssp, read(&bench, TOKEN, 8)), (0, TOKEN));
}

#[test]
fn task_of_virtual_8086_mode_with_enforcement_is_ts() {
    for (user, fault) in [(0, false), (SHSTK, true), (ENDBR, true)] {
        for code in [CALL, [0xEA, 0, 0, 0, 0, TSS2 as u8, 0, 0x90]] {
            let mut bench = tasks(&code, &[0xF4]);
            bench.cpu.sys.cet.user = user;
            bench.cpu.changed_from_outside();
            bench.ram.dma_write(TSS2_AT + 36, &0x2_0002u32.to_le_bytes());
            let found = steps(&mut bench, 1);
            assert_eq!(found, if fault { Err((10, Some(u32::from(TSS2)))) } else { Ok(()) }, "{user}");
        }
        // IRET, too: the old task has gone to virtual-8086 mode meanwhile.
        let mut bench = tasks(&CALL, &[0xCF]);
        steps(&mut bench, 1).unwrap();
        bench.cpu.sys.cet.user = user;
        bench.cpu.changed_from_outside();
        bench.ram.dma_write(TSS_AT + 36, &0x2_0002u32.to_le_bytes());
        let found = steps(&mut bench, 1);
        assert_eq!(found, if fault { Err((10, Some(u32::from(TSS)))) } else { Ok(()) }, "{user}");
    }
}
