//! Every x87 instruction, and states in which arithmetic turns.

use super::{OPERAND, Register, State};
use crate::random::Random;
use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};

const INTEGER: u64 = 1 << 63;
/// FST, FSTP and the like keep their operand's offset in the page: [RDI].
const AT_RDI: u8 = 7;

/// One x87 instruction; a memory operand is at RDI.
#[derive(Debug, Clone, Copy)]
pub struct Instruction {
    /// Its bytes.
    pub bytes: [u8; 4],
    /// How many.
    pub len: usize,
    /// What it is.
    pub code: Code,
    /// What it does.
    pub mnemonic: Mnemonic,
}

impl Instruction {
    /// Its name, in lower case.
    pub fn name(&self) -> String {
        format!("{:?}", self.mnemonic).to_lowercase()
    }
}

/// All encodings of the opcodes D8 to DF, and the 16-bit environments.
pub fn instructions() -> Vec<Instruction> {
    let mut list = Vec::new();
    for opcode in 0xD8..=0xDF {
        for modrm in (0..8).map(|reg| reg << 3 | AT_RDI).chain(0xC0..=0xFF) {
            add(&mut list, &[opcode, modrm]);
        }
    }
    for (opcode, reg) in [(0xD9, 4), (0xD9, 6), (0xDD, 4), (0xDD, 6)] {
        add(&mut list, &[0x66, opcode, reg << 3 | AT_RDI]);
    }
    list
}

fn add(list: &mut Vec<Instruction>, bytes: &[u8]) {
    let decoded = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
    if decoded.code() == Code::INVALID {
        return;
    }
    let mut place = [0; 4];
    place[..bytes.len()].copy_from_slice(bytes);
    list.push(Instruction { bytes: place, len: bytes.len(), code: decoded.code(), mnemonic: decoded.mnemonic() });
}

/// A state to run `instruction` in.
pub fn random_state(random: &mut Random, instruction: &Instruction) -> State {
    let masks = if random.chance(60) { 0x3F } else { random.below(64) as u16 };
    let control = masks | (random.below(16) as u16) << 8 | 0x40;
    let mut tags = 0u16;
    for n in 0..8 {
        if random.chance(25) {
            tags |= 3 << (2 * n);
        }
    }
    if random.chance(30) {
        // A full stack.
        tags = 0;
    }
    let top = random.below(8) as u16;
    // Exceptions of the past, but none that is pending.
    let past = if random.chance(50) { 0 } else { random.below(128) as u16 & (masks | 0x40) };
    let mut registers = [Register::default(); 8];
    for n in 0..8 {
        registers[n] = if n > 0 && random.chance(40) { related(random, registers[0]) } else { value(random) };
    }
    shape(random, instruction, &mut registers);
    State {
        control,
        status: past | (random.below(8) as u16 * 0x100) | (random.below(2) as u16) << 14 | top << 11,
        tags: tags.rotate_left(u32::from(top) * 2),
        instruction_pointer: None,
        opcode: 0,
        data_pointer: None,
        registers,
        memory: memory(random, instruction, registers[0]),
        flags: random.bits() & emu_core::flags::STATUS,
        ax: random.bits() as u16,
    }
}

/// Operands where an instruction is interesting.
fn shape(random: &mut Random, instruction: &Instruction, registers: &mut [Register; 8]) {
    use Mnemonic::*;
    if random.chance(20) {
        return;
    }
    let sign = |random: &mut Random| (random.below(2) as u16) << 15;
    match instruction.mnemonic {
        Frndint | Fist | Fistp | Fisttp | Fbstp => {
            registers[0].sign_exponent = sign(random) | (0x3FFF - 3 + random.below(72) as u16);
            registers[0].significand |= INTEGER;
        }
        Fscale => {
            registers[1].sign_exponent = sign(random) | (0x3FFF - 2 + random.below(20) as u16);
            registers[1].significand |= INTEGER;
        }
        F2xm1 => {
            registers[0].sign_exponent = sign(random) | (0x3FFF - random.below(70) as u16);
            registers[0].significand |= INTEGER;
        }
        Fsin | Fcos | Fsincos | Fptan => {
            registers[0].sign_exponent = sign(random) | (0x3FFF - 40 + random.below(106) as u16);
            registers[0].significand |= INTEGER;
        }
        Fyl2x => {
            registers[0].sign_exponent = 0x3FFF - 5 + random.below(10) as u16;
            registers[0].significand |= INTEGER;
        }
        Fyl2xp1 => {
            registers[0].sign_exponent = sign(random) | (0x3FFF - 2 - random.below(70) as u16);
            registers[0].significand |= INTEGER;
        }
        Fpatan => {
            let near = registers[1].sign_exponent.wrapping_add(random.below(140) as u16).wrapping_sub(70);
            registers[0].sign_exponent = near;
            registers[0].significand |= INTEGER;
        }
        Fprem | Fprem1 => {
            let near = registers[1].sign_exponent.wrapping_add(random.below(90) as u16).wrapping_sub(10);
            registers[0].sign_exponent = near;
            registers[0].significand |= INTEGER;
        }
        _ => {}
    }
}

/// A register value, often a special one.
fn value(random: &mut Random) -> Register {
    let sign = (random.below(2) as u16) << 15;
    let fraction = fraction(random);
    let (exponent, significand) = match random.below(32) {
        0 => (0, 0),
        1 => (0, fraction),
        2 => (0, fraction | INTEGER),
        3 => (0x7FFF, INTEGER),
        4 => (0x7FFF, fraction | INTEGER | INTEGER >> 1),
        5 => (0x7FFF, (fraction | INTEGER) & !(INTEGER >> 1)),
        6 => (random.below(0x8000) as u16, fraction),
        7 => (0x3FFF, INTEGER),
        8 => (1 + random.below(80) as u16, fraction | INTEGER),
        9 => (0x7FFE - random.below(80) as u16, fraction | INTEGER),
        10 => (0x3FFF - 1080 + random.below(70) as u16, fraction | INTEGER),
        11 => (0x3FFF - 1023 + random.below(4) as u16, fraction | INTEGER),
        12 => (0x3FFF + 1020 + random.below(8) as u16, fraction | INTEGER),
        13 => (0x3FFF - 152 + random.below(30) as u16, fraction | INTEGER),
        14 => (0x3FFF + 125 + random.below(6) as u16, fraction | INTEGER),
        15..=17 => (random.below(0x8000) as u16, fraction | INTEGER),
        _ => (0x3FFF - 40 + random.below(110) as u16, fraction | INTEGER),
    };
    Register { sign_exponent: sign | exponent, significand }
}

/// 63 bits with runs of zeros and ones where formats end.
fn fraction(random: &mut Random) -> u64 {
    let bits = match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX << random.below(64),
        3 => 1 << random.below(64),
        _ => random.bits(),
    };
    let tail = match random.below(5) {
        0 => 40,
        1 => 11,
        2 => random.below(64) as u32,
        _ => 0,
    };
    let half = 1u64.checked_shl(tail.wrapping_sub(1)).unwrap_or(0);
    let cut = bits >> tail << tail;
    (match random.below(4) {
        0 => cut,
        1 => cut | half,
        2 => (cut | half).wrapping_add(1),
        _ => (cut | half).wrapping_sub(1),
    }) & !INTEGER
}

/// A value near another: the same, its opposite, or close in exponent.
fn related(random: &mut Random, to: Register) -> Register {
    let mut register = to;
    match random.below(6) {
        0 => {}
        1 => register.sign_exponent ^= 0x8000,
        2 => register.significand = to.significand.wrapping_add(random.below(3)).wrapping_sub(1),
        3 => {
            let exponent = (to.sign_exponent & 0x7FFF).wrapping_add(random.below(5) as u16).wrapping_sub(2) & 0x7FFF;
            register.sign_exponent = exponent | to.sign_exponent & 0x8000;
        }
        4 => {
            register = value(random);
            let exponent = (to.sign_exponent & 0x7FFF).wrapping_add(random.below(140) as u16).wrapping_sub(70) & 0x7FFF;
            register.sign_exponent = exponent | register.sign_exponent & 0x8000;
        }
        _ => {
            // The product or quotient of the two is near one end of the range.
            register = value(random);
            let edge = 0x7FFEu16.wrapping_sub(to.sign_exponent & 0x7FFF).wrapping_add(random.below(160) as u16);
            register.sign_exponent = edge.wrapping_sub(80) & 0x7FFF | register.sign_exponent & 0x8000;
        }
    }
    register
}

fn memory(random: &mut Random, instruction: &Instruction, top: Register) -> [u8; OPERAND] {
    use Code::*;
    let mut memory = [0; OPERAND];
    for place in memory.chunks_exact_mut(8) {
        place.copy_from_slice(&random.bits().to_le_bytes());
    }
    let name = format!("{:?}", instruction.code);
    let exponent = i32::from(top.sign_exponent & 0x7FFF) - 0x3FFF;
    let narrow = |random: &mut Random, fraction_bits: u32, bias: i32| -> u64 {
        let all = 2 * bias as u64 + 1;
        let exponent = match random.below(12) {
            0 => 0,
            1 => all,
            2 => 1 + random.below(3),
            3 => all - 1 - random.below(3),
            4..=7 => (exponent + bias + random.below(5) as i32 - 2).clamp(0, all as i32) as u64,
            _ => random.bits() & all,
        };
        let fraction = if random.chance(10) { 0 } else { fraction(random) << 1 >> (64 - fraction_bits) };
        ((random.below(2) * (all + 1)) | exponent) << fraction_bits | fraction
    };
    if name.ends_with("m32fp") {
        memory[..4].copy_from_slice(&(narrow(random, 23, 127) as u32).to_le_bytes());
    } else if name.ends_with("m64fp") {
        memory[..8].copy_from_slice(&narrow(random, 52, 1023).to_le_bytes());
    } else if name.ends_with("int") {
        memory[..8].copy_from_slice(&random.value().to_le_bytes());
    }
    match instruction.code {
        Fld_m80fp => {
            let register = value(random);
            memory[..8].copy_from_slice(&register.significand.to_le_bytes());
            memory[8..10].copy_from_slice(&register.sign_exponent.to_le_bytes());
        }
        Fbld_m80bcd => {
            for byte in &mut memory[..9] {
                *byte = (random.below(10) | random.below(10) << 4) as u8;
            }
        }
        _ => {}
    }
    memory
}
