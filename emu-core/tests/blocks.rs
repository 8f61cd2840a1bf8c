//! Blocks: loops, self-modifying code, faults in the middle.

use emu_core::run::RunExit;
use emu_core::testing::Bench;

#[test]
fn loop_counts_and_sums_until_hlt() {
    // xor ax,ax; mov cx,1000; l: add ax,cx; loop l; hlt
    let mut bench = Bench::real_mode(&[0x31, 0xC0, 0xB9, 0xE8, 0x03, 0x01, 0xC8, 0xE2, 0xFC, 0xF4]);
    assert_eq!(bench.run(100_000), RunExit::Stopped);
    assert_eq!(bench.cpu.gpr[0] & 0xFFFF, (1000 * 1001 / 2) & 0xFFFF);
    assert_eq!(bench.cpu.instructions, 2 + 2000 + 1);
    assert_eq!(bench.cpu.rip(), 0x7C0A);
}

#[test]
fn a_store_into_the_next_instruction_takes_effect_at_once() {
    // mov byte [7C06],41h (inc cx); nop -> inc cx; hlt
    let mut bench = Bench::real_mode(&[0xC6, 0x06, 0x06, 0x7C, 0x41, 0x90, 0x90, 0xF4]);
    bench.cpu.gpr[1] = 5;
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.gpr[1], 6);
}

#[test]
fn a_write_drops_the_blocks_that_hold_its_bytes_and_no_other_of_the_page() {
    let built = |rounds: u8| {
        // mov cx,rounds; l: inc byte [7C09]; nop; mov al,0 (7C09: the 0); call 7D00; loop l; hlt; 7D00: add bx,ax; ret
        let mut code =
            vec![0xB9, rounds, 0x00, 0xFE, 0x06, 0x09, 0x7C, 0x90, 0xB0, 0x00, 0xE8, 0xF3, 0x00, 0xE2, 0xF4, 0xF4];
        code.resize(0x100, 0x90);
        code.extend([0x01, 0xC3, 0xC3]);
        let mut bench = Bench::real_mode(&code);
        bench.cpu.gpr[0] = 0;
        bench.cpu.gpr[3] = 0;
        assert_eq!(bench.run(10_000), RunExit::Stopped);
        assert_eq!(bench.cpu.gpr[3], (1..=u64::from(rounds)).sum());
        bench.cache.counts.built
    };
    // What ends with the write, and what begins behind it.
    assert_eq!(built(20) - built(10), 2 * 10);
}

#[test]
fn an_undefined_instruction_whose_later_bytes_are_written_is_another_one() {
    // inc al if the second byte is C0h; 66h at the end of a page and a NOP behind it if the byte after 0Fh is 1Fh; hlt.
    let cases: [(u64, &[u8], u16, u8); 3] = [
        (0x7D00, &[0xFE, 0xF8, 0xF4], 0x7D01, 0xC0),
        (0x7D3F, &[0xFE, 0xF8, 0xF4], 0x7D40, 0xC0),
        (0x7FFF, &[0x66, 0x0F, 0x04, 0x00, 0xF4], 0x8001, 0x1F),
    ];
    for (place, code, written, value) in cases {
        let [low, high] = (place as u16 - 0x7C03).to_le_bytes();
        let mut bench = Bench::real_mode(&[0xE9, low, high]);
        bench.ram.dma_write(place, code);
        bench.ram.dma_write(6 * 4, &[0x00, 0x90, 0x00, 0x00]);
        // mov byte [written],value; iret
        let [low, high] = written.to_le_bytes();
        bench.ram.dma_write(0x9000, &[0xC6, 0x06, low, high, value, 0xCF]);
        assert_eq!(bench.run(100), RunExit::Stopped, "{place:#x}");
        assert_eq!(bench.cpu.rip(), place + code.len() as u64, "{place:#x}");
    }
}

#[test]
fn an_undefined_opcode_enters_vector_6_with_its_own_address_pushed() {
    // inc ax; ud2
    let mut bench = Bench::real_mode(&[0x40, 0x0F, 0x0B]);
    bench.ram.dma_write(6 * 4, &[0x00, 0x80, 0x00, 0x00]);
    bench.ram.dma_write(0x8000, &[0xF4]);
    assert_eq!(bench.run(100), RunExit::Stopped);
    assert_eq!(bench.cpu.rip(), 0x8001);
    assert_eq!(bench.ram.load(0x7000 - 6, 2), 0x7C01);
}

#[test]
fn access_to_a_device_comes_to_its_time_however_few_blocks_are_kept() {
    // mov ax,A000h; mov ds,ax; mov [0],al; inc cx; mov [1],al; hlt
    let code = [0xB8, 0x00, 0xA0, 0x8E, 0xD8, 0xA2, 0x00, 0x00, 0x41, 0xA2, 0x01, 0x00, 0xF4];
    for limit in [1, 2, 3, 1000] {
        let mut bench = Bench::real_mode(&code);
        bench.cache.set_limit(limit);
        assert_eq!(bench.run(100), RunExit::Stopped, "{limit}");
        assert_eq!((bench.cpu.instructions, bench.cpu.rip()), (6, 0x7C0D), "{limit}");
    }
}

#[test]
fn two_runs_of_the_same_code_take_the_same_cycles() {
    let code = [0x31, 0xC0, 0xB9, 0xE8, 0x03, 0x01, 0xC8, 0xE2, 0xFC, 0xF4];
    let run = || {
        let mut bench = Bench::real_mode(&code);
        bench.run(100_000);
        (bench.cpu.cycles, bench.cpu.instructions, bench.cpu.gpr)
    };
    assert_eq!(run(), run());
}

#[test]
fn pause_leaves_the_rest_of_the_turn_to_other_processors_if_there_are_any() {
    // l: pause; jmp l
    let code = [0xF3, 0x90, 0xEB, 0xFC];
    for (takes_turns, instructions) in [(true, 1..=1), (false, 6..=8)] {
        let mut bench = Bench::real_mode(&code);
        bench.cpu.config.takes_turns = takes_turns;
        assert_eq!(bench.run(1000), RunExit::Budget);
        assert!(instructions.contains(&bench.cpu.instructions), "{takes_turns}: {}", bench.cpu.instructions);
    }
}

/// SDM Vol. 2B, "PAUSE": a finite delay that depends on the processor.
#[test]
fn pause_of_a_processor_alone_takes_its_time_but_not_beyond_the_turn() {
    // pause; l: inc ax; jmp l
    let code = [0xF3, 0x90, 0x40, 0xEB, 0xFD];
    for (cycles, increments) in [(100, 0), (250, 0), (251 + 20, 10)] {
        let mut bench = Bench::real_mode(&code);
        assert_eq!(bench.run(cycles), RunExit::Budget);
        assert_eq!((bench.cpu.cycles, bench.cpu.gpr[0]), (cycles, increments));
    }
}

/// Where a loop over two pages has its second half, and the two physical pages that hold one each.
const FAR: u64 = 0x20_0000;
const OTHER: u64 = 0x21_0000;

/// jmp FAR and, there, inc eax or, in the other page, inc ecx; jmp back.
fn loop_over_two_pages() -> Bench {
    let jump = |from: u64, to: u64| [&[0xE9][..], &(to.wrapping_sub(from + 5) as u32).to_le_bytes()].concat();
    let mut bench = Bench::long_mode(&jump(0x7C00, FAR));
    for (page, inc) in [(FAR, 0xC0), (OTHER, 0xC1)] {
        bench.ram.dma_write(page, &[&[0xFF, inc][..], &jump(FAR + 2, 0x7C00)].concat());
    }
    // Elsewhere: jmp back, and invlpg [rsi]; jmp back.
    bench.ram.dma_write(0x10_0000, &jump(0x10_0000, 0x7C00));
    bench.ram.dma_write(0x15_0000, &[&[0x0F, 0x01, 0x3E][..], &jump(0x15_0003, 0x7C00)].concat());
    bench.cpu.gpr[6] = FAR;
    bench
}

/// Changes the paging-structure entry of `linear`, and invalidates nothing.
fn remap_silently(bench: &mut Bench, linear: u64, physical: u64) {
    let table = [3, 2, 1].iter().fold(bench.cpu.sys.cr3, |table, level| {
        bench.ram.load((table + (linear >> (12 + 9 * level) & 0x1FF) * 8) as usize, 8) & !0xFFF
    });
    let at = table + (linear >> 12 & 0x1FF) * 8;
    let rights = bench.ram.load(at as usize, 8) & 0xFFF;
    bench.ram.dma_write(at, &(physical | rights).to_le_bytes());
}

/// SDM Vol. 3A 4.10.2.3, "Details of TLB Use": a translation is used whatever the paging structures hold by now. It is for
/// as long as the TLB has it, and not for as long as somebody else remembers where a jump led.
#[test]
fn code_page_remapped_under_a_running_loop_is_the_old_one_until_its_translation_is_gone() {
    // Fetches from a page whose entry lies in the same place of the fetch TLB; INVLPG.
    for ends_translation in [0x10_0000, 0x15_0000] {
        let mut bench = loop_over_two_pages();
        assert_eq!(bench.run(1000), RunExit::Budget);
        remap_silently(&mut bench, FAR, OTHER);
        let before = bench.cpu.gpr[0];
        assert_eq!(bench.run(1000), RunExit::Budget);
        assert!(before > 0 && bench.cpu.gpr[0] > before + 100, "{before} {}", bench.cpu.gpr[0]);
        assert_eq!(bench.cpu.gpr[1], 0);
        // Not in the middle of the loop's second half, which would count once more.
        while bench.cpu.rip() != 0x7C00 {
            assert_eq!(bench.run(1), RunExit::Budget);
        }
        let before = bench.cpu.gpr[0];
        bench.cpu.set_rip(ends_translation);
        assert_eq!(bench.run(1000), RunExit::Budget);
        assert_eq!(bench.cpu.gpr[0], before, "after {ends_translation:#x}");
        assert!(bench.cpu.gpr[1] > 100, "after {ends_translation:#x}: {}", bench.cpu.gpr[1]);
    }
}
