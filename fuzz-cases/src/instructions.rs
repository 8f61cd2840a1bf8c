//! Guest code: bytes as they come, and bytes in the shape of instructions.

use crate::Source;
use crate::tables::at;

/// MSRs that do something.
const MSRS: [u32; 47] = [
    0x10,
    0x1B,
    0x3A,
    0x3B,
    0x48,
    0x49,
    0x79,
    0x8B,
    0xC1,
    0xE1,
    0xFE,
    0x10A,
    0x122,
    0x174,
    0x175,
    0x176,
    0x179,
    0x17A,
    0x186,
    0x1A0,
    0x1D9,
    0x200,
    0x201,
    0x250,
    0x277,
    0x2FF,
    0x38F,
    0x480,
    0x48C,
    0x6A0,
    0x6A2,
    0x6A4,
    0x6A7,
    0x6A8,
    0x6E0,
    0x6E1,
    0x802,
    0x808,
    0x830,
    0x834,
    0xDA0,
    0xC000_0080,
    0xC000_0081,
    0xC000_0082,
    0xC000_0084,
    0xC000_0100,
    0xC000_0103,
];

/// Opcodes of the map 0F that change the system, besides those of [`instruction`]'s even choice.
const SYSTEM: [[u8; 3]; 31] = [
    [0x0F, 0x00, 0xD0],
    [0x0F, 0x00, 0xD8],
    [0x0F, 0x01, 0x10],
    [0x0F, 0x01, 0x18],
    [0x0F, 0x01, 0xC1],
    [0x0F, 0x01, 0xC2],
    [0x0F, 0x01, 0xC3],
    [0x0F, 0x01, 0xC8],
    [0x0F, 0x01, 0xC9],
    [0x0F, 0x01, 0xD0],
    [0x0F, 0x01, 0xD1],
    [0x0F, 0x01, 0xD4],
    [0x0F, 0x01, 0xF0],
    [0x0F, 0x01, 0xF8],
    [0x0F, 0x01, 0xF9],
    [0x0F, 0x06, 0x90],
    [0x0F, 0x05, 0x90],
    [0x0F, 0x07, 0x90],
    [0x0F, 0x08, 0x90],
    [0x0F, 0x20, 0xC0],
    [0x0F, 0x22, 0xC0],
    [0x0F, 0x22, 0xD8],
    [0x0F, 0x22, 0xE0],
    [0x0F, 0x23, 0xF8],
    [0x0F, 0x34, 0x90],
    [0x0F, 0x35, 0x90],
    [0x0F, 0xAE, 0x08],
    [0x0F, 0xAE, 0x20],
    [0x0F, 0xAE, 0x28],
    [0x0F, 0xC7, 0x18],
    [0x0F, 0xC7, 0x30],
];

/// Of performance monitoring: the counters in their ways of being written, what they count, their controls and status.
const COUNTERS: [u32; 18] = [
    0xC1, 0xC2, 0x4C1, 0x4C2, 0x186, 0x186, 0x187, 0x309, 0x30A, 0x30B, 0x38D, 0x38E, 0x38F, 0x390, 0x390, 0x391,
    0x392, 0x1D9,
];

/// EDX and EAX for them: no counter is far from its overflow; events with what they need, enables, all of the status.
const COUNTS: [(u32, u32); 14] = [
    (0xFFFF, 0xFFFF_FFFF),
    (0xFFFF, 0xFFFF_FFF0),
    (0xFF, 0xFFFF_FFC0),
    (0, 0xFFFF_FFE0),
    (0, 0),
    (0, 0x0053_00C0),
    (0, 0x0053_00C4),
    (0, 0x0053_003C),
    (0, 0x01D7_00C0),
    (0, 0x0000_0BBB),
    (0, 0x0000_1800),
    (7, 0xFF),
    (0xC800_0007, 0xFF),
    (0x0800_0000, 0),
];

/// Instructions of CET and branches that it tracks; operands in memory are at ESI.
const CONTROL_FLOW: [&[u8]; 30] = [
    &[0xF3, 0x0F, 0x1E, 0xFA],
    &[0xF3, 0x0F, 0x1E, 0xFB],
    &[0xF3, 0x0F, 0x1E, 0xC8],
    &[0xF3, 0x48, 0x0F, 0x1E, 0xCE],
    &[0xF3, 0x0F, 0xAE, 0xE8],
    &[0xF3, 0x48, 0x0F, 0xAE, 0xE9],
    &[0xF3, 0x0F, 0x01, 0xEA],
    &[0xF3, 0x0F, 0x01, 0x2E],
    &[0xF3, 0x0F, 0x01, 0x2E, 0xF3, 0x0F, 0x01, 0xEA],
    &[0xF3, 0x0F, 0x01, 0xE8],
    &[0xF3, 0x0F, 0xAE, 0x36],
    &[0x0F, 0x38, 0xF6, 0x06],
    &[0x48, 0x0F, 0x38, 0xF6, 0x06],
    &[0x66, 0x0F, 0x38, 0xF5, 0x06],
    &[0x66, 0x48, 0x0F, 0x38, 0xF5, 0x06],
    // CALL to the next instruction; one that returns.
    &[0xE8, 0, 0, 0, 0],
    &[0xE8, 2, 0, 0, 0, 0xEB, 1, 0xC3],
    &[0xE8, 2, 0, 0, 0, 0xEB, 3, 0xC2, 8, 0],
    &[0xC3],
    &[0xC2, 4, 0],
    &[0x66, 0xE8, 0, 0],
    &[0x66, 0xC3],
    &[0xFF, 0xE0],
    &[0xFF, 0xD0],
    &[0x3E, 0xFF, 0xE0],
    &[0x3E, 0xFF, 0xD0],
    &[0xCB],
    &[0xCF],
    &[0x48, 0xCF],
    &[0xCD, 0x30],
];

/// `len` bytes of code, or a little more.
pub fn code(source: &mut Source, len: usize) -> Vec<u8> {
    let mut code = Vec::new();
    while code.len() < len {
        match source.below(16) {
            0 => {
                let bytes = source.below(16) as usize;
                code.extend(source.bytes(bytes));
            }
            1 => msr(source, &mut code),
            2 => {
                if source.chance(30) {
                    code.push(0xF3);
                }
                code.extend(source.pick(&SYSTEM));
            }
            3 => load(source, &mut code),
            4 if source.chance(50) => control_flow(source, &mut code),
            4 => counter(source, &mut code),
            _ => instruction(source, &mut code),
        }
    }
    code
}

/// MOV of immediates to ECX, EAX and EDX, then RDMSR, WRMSR, XSETBV or RDPMC. In 16-bit code the immediates are half
/// as long and what follows is code of its own.
fn msr(source: &mut Source, code: &mut Vec<u8>) {
    let number = if source.chance(80) { source.pick(&MSRS) } else { source.value() as u32 };
    for (opcode, value) in [(0xB9, number), (0xB8, source.value() as u32), (0xBA, source.pick(&[0, 0, 0, 1, u32::MAX]))]
    {
        code.push(opcode);
        code.extend(value.to_le_bytes());
    }
    let end: &[u8] = source.pick(&[&[0x0F, 0x30], &[0x0F, 0x30], &[0x0F, 0x32], &[0x0F, 0x01, 0xD1], &[0x0F, 0x33]]);
    code.extend(end);
}

/// Some instructions of CET, mostly with ESI in a shadow stack and EAX in code or such.
fn control_flow(source: &mut Source, code: &mut Vec<u8>) {
    for _ in 0..1 + source.below(4) {
        if source.chance(50) {
            let place = source.pick(&[at::SHADOW, at::USER_SHADOW]) + source.below(0x200) * 8;
            let value = if source.chance(50) { at::CODE + source.below(0x500) } else { source.below(5) };
            for (opcode, value) in [(0xBE, place), (0xB8, value)] {
                code.push(opcode);
                code.extend((value as u32).to_le_bytes());
            }
        }
        code.extend(source.pick(&CONTROL_FLOW));
    }
}

/// A register of performance monitoring is written or read, a counter read by RDPMC, or the local APIC's entry for their
/// interrupt written, which unmasks it.
fn counter(source: &mut Source, code: &mut Vec<u8>) {
    match source.below(4) {
        0 => {
            let counter = source.pick(&[0, 1, 2, 7, 8, 0x4000_0000, 0x4000_0001, 0x4000_0002, 0x4000_0003]);
            code.push(0xB9);
            code.extend(u32::to_le_bytes(counter));
            code.extend([0x0F, 0x33]);
        }
        1 => {
            // MOV [at], immediate: where the APIC's page is mapped, or is without paging.
            code.extend([0xC7, 0x04, 0x25]);
            let page = source.pick(&[9 << 21, 0xFEE0_0000]);
            let entry = source.pick(&[0x400, 0x50, 0x1_0050]);
            code.extend(u32::to_le_bytes(page | 0x340));
            code.extend(u32::to_le_bytes(entry));
        }
        _ => {
            let (high, low) = source.pick(&COUNTS);
            for (opcode, value) in [(0xB9, source.pick(&COUNTERS)), (0xB8, low), (0xBA, high)] {
                code.push(opcode);
                code.extend(value.to_le_bytes());
            }
            code.extend([0x0F, if source.chance(80) { 0x30 } else { 0x32 }]);
        }
    }
}

/// A register gets a new value: counts of repeated instructions, addresses.
fn load(source: &mut Source, code: &mut Vec<u8>) {
    code.push(0xB8 | source.byte() & 7);
    code.extend((source.value() as u32).to_le_bytes());
}

/// Prefixes, opcode of any map, ModRM and what may follow.
fn instruction(source: &mut Source, code: &mut Vec<u8>) {
    let shape = source.byte();
    if shape & 1 != 0 {
        let count = 1 + source.below(2);
        for _ in 0..count {
            let prefix = source.pick(&[0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0xF3]);
            code.push(prefix);
        }
    }
    match shape >> 1 & 15 {
        // REX.
        0..=3 => {
            code.push(0x40 | source.byte() & 15);
            code.push(source.byte());
        }
        4..=6 => code.extend([0x0F, source.byte()]),
        7 => code.extend([0x48 | source.byte() & 7, 0x0F, source.byte()]),
        8 => code.extend([0x0F, 0x38, source.byte()]),
        9 => code.extend([0x0F, 0x3A, source.byte()]),
        // x87.
        10 => code.push(0xD8 | source.byte() & 7),
        // VEX and EVEX.
        11 => code.extend([0xC5, source.byte(), source.byte()]),
        12 => code.extend([0xC4, 0xE0 & source.byte() | source.pick(&[1, 2, 3]), source.byte(), source.byte()]),
        13 => {
            let p0 = source.byte() & 0xF0 | source.pick(&[1, 2, 3, 5, 6]);
            code.extend([0x62, p0, source.byte() | 4, source.byte(), source.byte()]);
        }
        _ => code.push(source.byte()),
    }
    // ModRM: registers, [register], [register + disp8], or as it comes.
    let modrm = source.byte();
    code.push(modrm);
    let displacement = match modrm >> 6 {
        1 => 1,
        2 => 4,
        _ => 0,
    };
    let immediate = source.pick(&[0, 0, 0, 1, 1, 2, 4]);
    for _ in 0..displacement + immediate {
        code.push(source.byte());
    }
}
