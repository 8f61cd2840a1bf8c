//! Random SSE instructions and numbers for them.

use crate::DATA;
use crate::program::Source;

/// SSE instructions with vector operands: prefix or 0, opcode, whether an immediate follows, bytes of a memory operand.
const VECTOR: [(u8, u8, bool, u64); 66] = [
    (0, 0x58, false, 16),
    (0x66, 0x58, false, 16),
    (0xF3, 0x58, false, 4),
    (0xF2, 0x58, false, 8),
    (0, 0x59, false, 16),
    (0x66, 0x59, false, 16),
    (0xF3, 0x59, false, 4),
    (0xF2, 0x59, false, 8),
    (0, 0x5C, false, 16),
    (0x66, 0x5C, false, 16),
    (0xF3, 0x5C, false, 4),
    (0xF2, 0x5C, false, 8),
    (0, 0x5E, false, 16),
    (0x66, 0x5E, false, 16),
    (0xF3, 0x5E, false, 4),
    (0xF2, 0x5E, false, 8),
    (0, 0x51, false, 16),
    (0x66, 0x51, false, 16),
    (0xF3, 0x51, false, 4),
    (0xF2, 0x51, false, 8),
    (0, 0x5D, false, 16),
    (0x66, 0x5D, false, 16),
    (0xF3, 0x5D, false, 4),
    (0xF2, 0x5F, false, 8),
    (0, 0x5F, false, 16),
    (0, 0x5A, false, 8),
    (0x66, 0x5A, false, 16),
    (0xF3, 0x5A, false, 4),
    (0xF2, 0x5A, false, 8),
    (0, 0x5B, false, 16),
    (0x66, 0x5B, false, 16),
    (0xF3, 0x5B, false, 16),
    (0xF3, 0xE6, false, 8),
    (0x66, 0xE6, false, 16),
    (0xF2, 0xE6, false, 16),
    (0, 0xC2, true, 16),
    (0x66, 0xC2, true, 16),
    (0xF3, 0xC2, true, 4),
    (0xF2, 0xC2, true, 8),
    (0, 0x2E, false, 4),
    (0x66, 0x2E, false, 8),
    (0, 0x2F, false, 4),
    (0x66, 0x2F, false, 8),
    (0, 0x10, false, 16),
    (0, 0x11, false, 16),
    (0xF3, 0x10, false, 4),
    (0xF3, 0x11, false, 4),
    (0xF2, 0x10, false, 8),
    (0xF2, 0x11, false, 8),
    (0, 0x28, false, 16),
    (0, 0x29, false, 16),
    (0x66, 0x6F, false, 16),
    (0xF3, 0x7F, false, 16),
    (0xF3, 0x7E, false, 8),
    (0x66, 0xD6, false, 8),
    (0, 0x12, false, 8),
    (0, 0x16, false, 8),
    (0x66, 0x70, true, 16),
    (0xF2, 0x70, true, 16),
    (0xF3, 0x70, true, 16),
    (0, 0xC6, true, 16),
    (0x66, 0xC6, true, 16),
    (0x66, 0x14, false, 16),
    (0, 0x15, false, 16),
    (0, 0x53, false, 16),
    (0x66, 0xEF, false, 16),
];

/// Whole-register operations of SSE2 by the byte behind 66h 0Fh.
const WHOLE: [u8; 56] = [
    0xDB, 0xDF, 0xEB, 0xEF, 0xFC, 0xFD, 0xFE, 0xD4, 0xF8, 0xF9, 0xFA, 0xFB, 0xEC, 0xED, 0xDC, 0xDD, 0xE8, 0xE9, 0xD8,
    0xD9, 0xD5, 0xE5, 0xE4, 0xF4, 0xF5, 0xF6, 0xE0, 0xE3, 0xDA, 0xDE, 0xEA, 0xEE, 0x74, 0x75, 0x76, 0x64, 0x65, 0x66,
    0x60, 0x61, 0x62, 0x6C, 0x68, 0x69, 0x6A, 0x6D, 0x63, 0x67, 0xD1, 0xD2, 0xD3, 0xE1, 0xE2, 0xF1, 0xF2, 0xF3,
];

/// An SSE instruction. Memory operands are mostly aligned, and within a page.
pub fn vector(s: &mut Source) -> Vec<u8> {
    let reg = s.vector_register();
    if s.one_in(8) {
        // Between vector and general registers.
        let general = s.target();
        let wide = if s.wide && s.one_in(2) { 8 } else { 0 };
        let (prefix, opcode, from_general) = s.pick(&[
            (0x66, 0x6E, true),
            (0xF2, 0x2A, true),
            (0xF3, 0x2A, true),
            (0xF2, 0x2C, false),
            (0xF3, 0x2C, false),
            (0xF2, 0x2D, false),
            (0xF3, 0x2D, false),
            (0x66, 0xD7, false),
            (0x66, 0x50, false),
        ]);
        let (first, second) = if from_general { (reg, general) } else { (general, reg) };
        let rex = 0x40 | wide | first >> 3 << 2 | second >> 3;
        let rex = s.wide.then_some(rex);
        let tail = [0x0F, opcode, 0xC0 | first << 3 & 0x38 | second & 7];
        return [prefix].into_iter().chain(rex).chain(tail).collect();
    }
    if s.one_in(10) {
        // Between memory and general registers.
        let (prefix, opcode) = s.pick(&[(0xF2, 0x2A), (0xF3, 0x2A), (0xF2, 0x2C), (0xF3, 0x2C), (0xF2, 0x2D)]);
        let first = if opcode == 0x2A { reg } else { s.target() };
        let rex = s.wide.then_some(0x40 | if s.one_in(2) { 8 } else { 0 } | first >> 3 << 2);
        let tail = [0x0F, opcode, first << 3 & 0x38 | 4, 0x25];
        let place = (DATA as u32 + 8 * s.below(0x100) as u32).to_le_bytes();
        return [prefix].into_iter().chain(rex).chain(tail).chain(place).collect();
    }
    if s.one_in(10) {
        // Shifts by a number.
        let (opcode, digit) = s.pick(&[(0x71, 2), (0x71, 4), (0x71, 6), (0x72, 2), (0x72, 4), (0x72, 6), (0x73, 2)]);
        let digit = if opcode == 0x73 { s.pick(&[2, 3, 6, 7]) } else { digit };
        let rex = s.wide.then_some(0x40 | reg >> 3);
        let tail = [0x0F, opcode, 0xC0 | digit << 3 | reg & 7, s.below(70) as u8];
        return [0x66].into_iter().chain(rex).chain(tail).collect();
    }
    let (prefix, opcode, immediate, bytes) =
        if s.one_in(3) { (0x66, s.pick(&WHOLE), false, 16) } else { s.pick(&VECTOR) };
    let mut code = Vec::new();
    if prefix != 0 {
        code.push(prefix);
    }
    let other = s.vector_register();
    let memory = s.one_in(2);
    if s.wide {
        code.push(0x40 | reg >> 3 << 2 | if memory { 0 } else { other >> 3 });
    }
    code.extend([0x0F, opcode]);
    if memory {
        code.extend([reg << 3 & 0x38 | 4, 0x25]);
        let skew = if s.one_in(200) { s.below(16) } else { 0 };
        code.extend((DATA as u32 + (s.below(0x100) * bytes + skew) as u32).to_le_bytes());
    } else {
        code.push(0xC0 | reg << 3 & 0x38 | other & 7);
    }
    if immediate {
        code.push(if opcode == 0xC2 { s.below(8) as u8 } else { s.below(256) as u8 });
    }
    code
}

/// A number of one or two formats that is worth trying.
pub fn float(s: &mut Source) -> u64 {
    let single = |s: &mut Source| {
        let special = [0, 0x8000_0000, 0x3F80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0001, 0x7F80_0001, 1, 0x007F_FFFF];
        u64::from(if s.one_in(2) { s.pick(&special) } else { s.below(1 << 32) as u32 })
    };
    match s.below(4) {
        0 => single(s) | single(s) << 32,
        1 => (s.below(2000) as f64 - 1000.0).to_bits(),
        2 => f64::from_bits(s.bits()).to_bits(),
        _ => s.pick(&[
            0,
            1 << 63,
            0x7FF0_0000_0000_0000,
            0xFFF0_0000_0000_0000,
            0x7FF8_0000_0000_0001,
            0x7FF0_0000_0000_0001,
            1,
            0x000F_FFFF_FFFF_FFFF,
            0x0010_0000_0000_0000,
            0x7FEF_FFFF_FFFF_FFFF,
        ]),
    }
}
