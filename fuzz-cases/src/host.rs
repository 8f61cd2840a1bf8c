//! What a guest costs its host: runs that are cut by their work, of guests that reset, drive devices and jump about.

use crate::{Source, instructions};
use emu_devices::pc::{Pc, PcExit};

/// Guest seconds of a run, at 1 MHz.
const END: u64 = 30_000;

/// What a guest does in each of its rounds.
const PIECES: [&[u8]; 8] = [
    // mov dx,0cf9h; mov al,6; out dx,al
    &[0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE],
    // mov al,0feh; out 64h,al: the keyboard controller's reset
    &[0xB0, 0xFE, 0xE6, 0x64],
    // mov dx,1ceh; mov ax,4; out dx,ax; inc dx; xor ax,bx; out dx,ax
    &[0xBA, 0xCE, 0x01, 0xB8, 0x04, 0x00, 0xEF, 0x42, 0x31, 0xD8, 0xEF],
    // mov al,34h; out 43h,al; mov al,bl; out 40h,al; out 40h,al
    &[0xB0, 0x34, 0xE6, 0x43, 0x88, 0xD8, 0xE6, 0x40, 0xE6, 0x40],
    // mov dx,0e9h; mov cx,bx; rep outsb
    &[0xBA, 0xE9, 0x00, 0x89, 0xD9, 0xF3, 0x6E],
    // sti; hlt
    &[0xFB, 0xF4],
    // mov ecx,ebx; rdmsr
    &[0x66, 0x89, 0xD9, 0x0F, 0x32],
    // imul bx,bx,25173; add bx,13849
    &[0x69, 0xDB, 0x55, 0x62, 0x81, 0xC3, 0x19, 0x36],
];

/// A ROM with a loop of such pieces, and some code of any kind.
fn rom(source: &mut Source) -> Vec<u8> {
    let mut rom = vec![0; 0x1_0000];
    let mut code = Vec::new();
    for _ in 0..1 + source.below(12) {
        if source.chance(30) {
            code.extend(instructions::code(source, 8));
        } else {
            code.extend(source.pick(&PIECES));
        }
    }
    rom[..code.len()].copy_from_slice(&code);
    // jmp to the start
    let back = 0u16.wrapping_sub(code.len() as u16 + 3).to_le_bytes();
    rom[code.len()..code.len() + 3].copy_from_slice(&[0xE9, back[0], back[1]]);
    rom[0xFFF0..0xFFF5].copy_from_slice(&[0xEA, 0, 0, 0, 0xF0]);
    rom
}

/// A run that is cut by its work is the run in one piece, and each piece comes to an end.
pub fn host_work(source: &mut Source) {
    let (rom, cpus) = (rom(source), 1 + source.below(3) as u32);
    let machine = || Pc::builder().hz(1_000_000).processors(cpus).memory(1 << 20).bios(rom.clone()).build();
    let (Ok(mut whole), Ok(mut cut)) = (machine(), machine()) else { panic!("the ROM is one") };
    cut.set_cache_limit(1 + source.below(50) as usize);
    let mut left = 40;
    let exit = loop {
        let before = cut.now();
        let exit = cut.run_bounded(END, source.below(20_000), None);
        assert!((before..=END).contains(&cut.now()));
        left -= 1;
        if exit != PcExit::Work || left == 0 {
            break exit;
        }
    };
    match exit {
        // Both come to the first place where a processor has come farther than any has now.
        PcExit::Work | PcExit::Limit => {
            let cycle = cut.cpus.iter().map(|cpu| cpu.cycles).fold(cut.now(), u64::max) + 1;
            assert_eq!(whole.run_until(cycle), cut.run_until(cycle));
        }
        _ => assert_eq!(whole.run_until(END), exit),
    }
    assert_eq!((whole.instructions(), whole.state_hash()), (cut.instructions(), cut.state_hash()));
}
