//! ROM files of any size and contents as system BIOS, VGA BIOS and option ROMs.

use crate::guest::model;
use crate::{Source, board, instructions};
use emu_core::mem::ram::MAX_ROM;
use emu_devices::pc::{Pc, PcConfig};

/// Lengths at and around which something changes, bytes.
const SIZES: [usize; 14] = [0, 1, 15, 16, 17, 511, 512, 4095, 4096, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, MAX_ROM];

/// The real ROM with mistakes, a part of it, or anything.
fn rom(source: &mut Source, real: &[u8], option: bool) -> Vec<u8> {
    let mut size = source.pick(&SIZES);
    if source.chance(40) {
        size = (size as u64).wrapping_add(source.below(33)).saturating_sub(16) as usize;
    }
    let mut rom = match source.below(4) {
        // Some bytes wrong, and perhaps cut.
        0 | 1 => {
            let mut rom = real.to_vec();
            let mistakes = source.below(12);
            for _ in 0..mistakes {
                let at = source.below(rom.len() as u64) as usize;
                if let Some(byte) = rom.get_mut(at) {
                    *byte = source.byte();
                }
            }
            match source.below(4) {
                0 => rom.truncate(size),
                // The end remains: the reset vector is there.
                1 => drop(rom.drain(..rom.len() - size.min(rom.len()))),
                _ => {}
            }
            rom
        }
        2 => {
            let piece = instructions::code(source, 128);
            piece.iter().copied().cycle().take(size).collect()
        }
        _ => {
            let piece = source.bytes(61);
            piece.iter().copied().cycle().take(size).collect()
        }
    };
    if option && source.chance(80) {
        // 55 AA, the length in 512-byte units, a jump.
        let head = [0x55, 0xAA, (rom.len() / 512) as u8, 0xEB, source.byte()];
        rom.iter_mut().zip(head).for_each(|(place, byte)| *place = byte);
        // Some have the sum that they must have.
        let sum = rom.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        if source.chance(80)
            && let Some(last) = rom.last_mut()
        {
            *last = last.wrapping_sub(sum);
        }
    }
    rom
}

/// A PC with such ROMs is refused, or runs.
pub fn roms(source: &mut Source) {
    let whole = source.chance(50);
    let bios = if whole { firmware::BIOS.to_vec() } else { rom(source, firmware::BIOS, false) };
    let vga_bios = match source.below(4) {
        0 => Vec::new(),
        1 => firmware::VGABIOS.to_vec(),
        _ => rom(source, firmware::VGABIOS, true),
    };
    let count = source.below(3);
    let option_roms = (0..count)
        .map(|_| {
            let address = match source.below(4) {
                0 => source.value(),
                1 => 0xC_0000 + source.below(0x4_0000),
                _ => 0xC_8000 + source.below(0x20) * 0x800,
            };
            (address, rom(source, firmware::VGABIOS, true))
        })
        .collect();
    let max = source.chance(30);
    let processors = 1 + source.below(2) as u32;
    let mut config = PcConfig {
        processors,
        model: model(max),
        memory: source.below(5) << 19,
        quantum: 1000,
        cycles: None,
        parts: emu_core::cycles::parts::Parts::NONE,
        bios,
        vga_bios,
        option_roms,
        board: board::config(source),
    };
    config.board.hz = 1_000_000;
    let acceptable = (1..=MAX_ROM).contains(&config.bios.len());
    match Pc::new(config) {
        Ok(mut pc) => {
            assert!(acceptable, "a system ROM of a wrong size was taken");
            let limit = 20_000 + source.below(400_000);
            pc.run_until(limit);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
