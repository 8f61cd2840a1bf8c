//! SSE's arithmetic on numbers at the edges of their formats: where a host's instruction may differ from the guest's.

use crate::{DATA, state};
use emu_core::ir::op::Op;
use emu_core::run::RunExit;
use emu_core::testing::Bench;

/// Zeros, denormals, the smallest normal numbers, such as round to them, integers' ends, the largest numbers, NaNs.
const DOUBLES: [u64; 36] = [
    0,
    0x8000_0000_0000_0000,
    1,
    0x8000_0000_0000_0001,
    0x000F_FFFF_FFFF_FFFF,
    0x0010_0000_0000_0000,
    0x8010_0000_0000_0000,
    0x0010_0000_0000_0001,
    0x0020_0000_0000_0000,
    0x001F_FFFF_FFFF_FFFF,
    0x2000_0000_0000_0000,
    0x1FF0_0000_0000_0000,
    0x3FDF_FFFF_FFFF_FFFF,
    0x3FE0_0000_0000_0000,
    0x3FEF_FFFF_FFFF_FFFF,
    0x3FF0_0000_0000_0000,
    0xBFF0_0000_0000_0000,
    0x3FF0_0000_0000_0001,
    0x3FF8_0000_0000_0000,
    0x4004_0000_0000_0000,
    0x4009_21FB_5444_2D18,
    0xC008_0000_0000_0000,
    0x41DF_FFFF_FFC0_0000,
    0x41DF_FFFF_FFE0_0000,
    0xC1E0_0000_0000_0000,
    0xC1E0_0000_0010_0000,
    0xC1E0_0000_0020_0000,
    0x43DF_FFFF_FFFF_FFFF,
    0x43E0_0000_0000_0000,
    0xC3E0_0000_0000_0000,
    0x7FEF_FFFF_FFFF_FFFF,
    0xFFEF_FFFF_FFFF_FFFF,
    0x7FF0_0000_0000_0000,
    0xFFF0_0000_0000_0000,
    0x7FF8_0000_0000_0003,
    0xFFF0_0000_0000_0005,
];

/// Likewise.
const SINGLES: [u32; 36] = [
    0,
    0x8000_0000,
    1,
    0x8000_0001,
    0x007F_FFFF,
    0x0080_0000,
    0x8080_0000,
    0x0080_0001,
    0x0100_0000,
    0x00FF_FFFF,
    0x2000_0000,
    0x1F80_0000,
    0x3EFF_FFFF,
    0x3F00_0000,
    0x3F7F_FFFF,
    0x3F80_0000,
    0xBF80_0000,
    0x3F80_0001,
    0x3FC0_0000,
    0x4020_0000,
    0x4049_0FDB,
    0xC040_0000,
    0x4EFF_FFFF,
    0x4F00_0000,
    0xCF00_0000,
    0xCF00_0001,
    0x4F7F_FFFF,
    0x5EFF_FFFF,
    0x5F00_0000,
    0xDF00_0000,
    0x7F7F_FFFF,
    0xFF7F_FFFF,
    0x7F80_0000,
    0xFF80_0000,
    0x7FC0_0003,
    0xFF80_0005,
];

/// All pairs as operands: those of singles, or of doubles, in the low element, and in the others every second time others.
fn operands(double: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = DOUBLES.len();
    for pair in 0..count * count {
        let numbers = |first: usize, second: usize| {
            let other = |usual: usize| if pair % 2 == 0 { usual } else { (first + 7 * second) % count };
            if double {
                [DOUBLES[first], DOUBLES[other(19)]]
            } else {
                let upper = u64::from(SINGLES[other(19)]);
                [u64::from(SINGLES[first]) | upper << 32, upper | upper << 32]
            }
        };
        let (first, second) = (pair / count, pair % count);
        for number in numbers(first, second).into_iter().chain(numbers(second, first)) {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes
}

/// Instructions on XMM0 and XMM1 or RAX by prefix, opcode and immediate byte, and whether they are of doubles.
fn instructions() -> Vec<(Vec<u8>, bool)> {
    let mut all = Vec::new();
    let mut add = |prefix: u8, rex: u8, opcode: u8, mode: u8, tail: Option<u8>, double: bool| {
        let bytes = [prefix, rex].into_iter().filter(|byte| *byte != 0);
        all.push((bytes.chain([0x0F, opcode, mode]).chain(tail).collect(), double));
    };
    for (prefix, double) in [(0, false), (0x66, true), (0xF3, false), (0xF2, true)] {
        for opcode in [0x51, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F] {
            add(prefix, 0, opcode, 0xC1, None, double);
        }
        (0..8).for_each(|predicate| add(prefix, 0, 0xC2, 0xC1, Some(predicate), double));
    }
    for (prefix, double) in [(0xF3, false), (0xF2, true)] {
        for rex in [0, 0x48] {
            // To and from EAX or RAX.
            [0x2C, 0x2D].into_iter().for_each(|opcode| add(prefix, rex, opcode, 0xC1, None, double));
            add(prefix, rex, 0x2A, 0xC0, None, double);
        }
    }
    for (prefix, double) in [(0, false), (0x66, true)] {
        [0x2E, 0x2F].into_iter().for_each(|opcode| add(prefix, 0, opcode, 0xC1, None, double));
    }
    all
}

#[test]
fn arithmetic_on_numbers_at_the_edges_is_the_same_in_both_tiers() {
    const FROM: u64 = DATA;
    const TO: u64 = DATA + 0x10_0000;
    let numbers = [operands(false), operands(true)];
    let count = (DOUBLES.len() * DOUBLES.len()) as u64;
    for (instruction, double) in instructions() {
        // ldmxcsr [rbx]; mov rax,[rsi]; movups xmm0,[rsi]; movups xmm1,[rsi+16]
        let head = [0x0F, 0xAE, 0x13, 0x48, 0x8B, 0x06, 0x0F, 0x10, 0x06, 0x0F, 0x10, 0x4E, 0x10];
        // movups [rdi],xmm0; mov [rdi+16],rax; lahf; mov [rdi+30],ah; stmxcsr [rdi+24]; add rsi,32; add rdi,32; dec ecx
        let tail = [
            0x0F, 0x11, 0x07, 0x48, 0x89, 0x47, 0x10, 0x9F, 0x88, 0x67, 0x1E, 0x0F, 0xAE, 0x5F, 0x18, 0x48, 0x83, 0xC6,
            0x20, 0x48, 0x83, 0xC7, 0x20, 0xFF, 0xC9,
        ];
        let mut code = [&head[..], &instruction, &tail].concat();
        let back = -(code.len() as i8 + 2);
        code.extend([0x75, back as u8, 0xF4]);
        // Nothing seen yet; only a loss of precision, and all else; DAZ and FTZ; another rounding.
        for mxcsr in [0x1F80u32, 0x1FA0, 0x1FBF, 0x9FE0, 0x3FA0] {
            let machine = || {
                let mut bench = Bench::long_mode(&code);
                bench.ram.dma_write(FROM, &numbers[usize::from(double)]);
                bench.ram.dma_write(0x9000, &mxcsr.to_le_bytes());
                (bench.cpu.gpr[1], bench.cpu.gpr[3]) = (count, 0x9000);
                (bench.cpu.gpr[6], bench.cpu.gpr[7]) = (FROM, TO);
                bench.cpu.changed_from_outside();
                bench
            };
            let (mut interpreted, mut compiled) = (machine(), machine());
            compiled.cache.set_tier(emu_jit::tier(1));
            for bench in [&mut interpreted, &mut compiled] {
                assert_eq!(bench.run(100 * count), RunExit::Stopped);
            }
            if state(&interpreted) != state(&compiled) {
                let (one, other) = (interpreted.ram.ram(), compiled.ram.ram());
                let at = |n: usize| &numbers[usize::from(double)][32 * n..32 * n + 32];
                let result = |ram: &[u8], n: usize| ram[TO as usize + 32 * n..][..32].to_vec();
                let first = (0..count as usize).find(|n| result(one, *n) != result(other, *n));
                let shown = first.map(|n| (at(n).to_vec(), result(one, n), result(other, n)));
                panic!("{instruction:02x?} with MXCSR {mxcsr:x}: operands, interpreted, compiled: {shown:02x?}");
            }
            // What was compared was not the handlers with themselves. Conversions of vectors may have no template.
            let others = |op: &Op| matches!(op, Op::Ldmxcsr | Op::Stmxcsr | Op::Lahf | Op::MovMr);
            let calls = compiled.cache.handler_calls().into_iter().filter(|(op, _)| !others(op));
            let calls: u64 = calls.map(|(_, calls)| calls).sum();
            assert!(mxcsr != 0x1FA0 || instruction.contains(&0x5A) || calls < count, "{instruction:02x?}: {calls}");
        }
    }
}
