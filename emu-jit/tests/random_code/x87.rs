//! Random instructions of the x87 FPU, and states for them.

use crate::program::{Operand, Source, with_operand};
use emu_core::fpu::FpuState;
use emu_core::fpu::x87::F80;

/// Some forms of one operand that have no memory operand: FNSTSW AX, SAHF, FNCLEX, FINCSTP, FDECSTP, FWAIT, FNOP, FINIT.
const OTHERS: [&[u8]; 8] =
    [&[0xDF, 0xE0], &[0x9E], &[0xDB, 0xE2], &[0xD9, 0xF7], &[0xD9, 0xF6], &[0x9B], &[0xD9, 0xD0], &[0xDB, 0xE3]];

/// An instruction with a memory operand, by its opcode and digit: all but those of whole states.
fn in_memory(s: &mut Source) -> Vec<u8> {
    loop {
        let (opcode, digit) = (0xD8 + s.below(8) as u8, s.below(8) as u8);
        let defined = !matches!((opcode, digit), (0xD9, 1 | 4 | 6) | (0xDB, 4 | 6) | (0xDD, 4..=6));
        if defined {
            return with_operand(s, &[opcode], digit, false, 0, Operand::Memory);
        }
    }
}

/// An instruction of the x87 FPU.
pub fn x87(s: &mut Source) -> Vec<u8> {
    match s.below(16) {
        0..5 => in_memory(s),
        // D8, DC, DE: arithmetic; D9: FLD, FXCH; DA, DB: FCMOV, FCOMI; DD: FST, FUCOM; DF: FCOMIP.
        5..8 => vec![s.pick(&[0xD8, 0xDC]), 0xC0 | s.below(64) as u8],
        8 => vec![0xDE, s.pick(&[0xC0, 0xC8, 0xD9, 0xE0, 0xE8, 0xF0, 0xF8]) | s.below(2) as u8],
        9 => vec![0xD9, s.pick(&[0xC0, 0xC8]) | s.below(8) as u8],
        10 => vec![s.pick(&[0xDA, 0xDB]), 0xC0 | s.below(32) as u8],
        11 => vec![s.pick(&[0xDB, 0xDF]), s.pick(&[0xE8, 0xF0]) | s.below(8) as u8],
        12 => vec![0xDD, s.pick(&[0xC0, 0xD0, 0xD8, 0xE0, 0xE8]) | s.below(8) as u8],
        13 => vec![0xD9, s.pick(&[0xE0, 0xE1, 0xE4, 0xE5, 0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEE, 0xFA, 0xFC])],
        14 => s.pick(&OTHERS).to_vec(),
        // Functions without a template, seldom.
        _ if s.one_in(8) => vec![0xD9, s.pick(&[0xF0, 0xF2, 0xF4, 0xF8, 0xFD, 0xFE])],
        _ => vec![0xD9, 0xE8],
    }
}

/// Registers, tags and control words of every kind; seldom not all exceptions are masked.
pub fn fill(s: &mut Source, fpu: &mut FpuState) {
    for n in 0..8 {
        let exponent = match s.below(8) {
            0 => 0,
            1 => 0x7FFF,
            2 => s.below(0x8000),
            _ => 0x3FF0 + s.below(32),
        };
        let integer = u64::from(exponent != 0 && !s.one_in(16)) << 63;
        let fraction = if s.one_in(4) { 0 } else { s.bits() >> 1 };
        fpu.set_st(n, F80::new(exponent as u16 | (s.below(2) as u16) << 15, integer | fraction));
    }
    fpu.tags = if s.one_in(2) { 0 } else { s.bits() as u8 };
    fpu.status = (s.bits() as u16) & 0x7F7F;
    fpu.set_control(0x7F | (s.below(16) as u16) << 8);
    if s.one_in(12) {
        fpu.status &= !0x3F;
        fpu.set_control(s.bits() as u16);
    }
}
