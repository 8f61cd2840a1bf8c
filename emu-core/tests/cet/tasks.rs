//! Task switches (SDM Vol. 1 18.2.4 "Shadow Stack Usage on Task Switch"; Vol. 3A 8.3 "Task Switching").

use super::*;

const TOKEN: u64 = KERNEL_PAGE + 0x7F8;
const TARGET: u64 = 0x8000;

/// A task of CPL 0 in TSS2 that begins at the target; its SSP is that of the token.
fn tasks(code: &[u8], target: &[u8]) -> Bench {
    let mut bench = cet32(code, 0, 0, SHSTK);
    bench.ram.dma_write(TARGET, target);
    set_descriptor(&mut bench, TSS2, descriptor(TSS2_AT as u32, 0x6B, 0x89));
    let mut image = [0u32; 27];
    image[8] = TARGET as u32;
    image[9] = 2;
    image[14] = 0x6800;
    for (n, selector) in [(18, DATA0), (19, CODE0), (20, DATA0), (21, DATA0), (22, 0), (23, 0)] {
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
