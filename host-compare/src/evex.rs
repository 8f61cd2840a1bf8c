//! The table of the test image `evex`: random AVX-512 instructions, operands, and the checksums of what they must leave.
//!
//! A host without AVX-512 cannot prove these instructions natively; the image runs anywhere, so that a processor or
//! another emulator that has them gives the checksums, and the interpreter must give the same.

use crate::random::Random;
use crate::vectors::{block, mxcsr};
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter};
use iced_x86::{OpKind, Register};
use std::collections::HashMap;

/// Bytes of the pool of operands.
const POOL: usize = 0x1_0000;
/// Bytes of the header behind it.
const HEADER: usize = 512;
/// Bytes of an entry.
const ENTRY: usize = 32;
/// Entries at most: the table ends at 68000h.
pub const MOST: usize = (0x5_8000 - POOL - HEADER) / ENTRY;

/// What the image does with the table.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of instructions and operands.
    pub seed: u64,
    /// Instructions.
    pub count: usize,
    /// States of each.
    pub states: u32,
    /// Print checksums instead of comparing them.
    pub print: bool,
    /// Print the states of this instruction, and the one of this number in full.
    pub dump: Option<(u32, u32)>,
}

fn features() -> Vec<CpuidFeature> {
    use CpuidFeature::*;
    vec![
        AVX512F,
        AVX512CD,
        AVX512BW,
        AVX512DQ,
        AVX512VL,
        AVX512_IFMA,
        AVX512_VBMI,
        AVX512_VBMI2,
        AVX512_VNNI,
        AVX512_BITALG,
        AVX512_VPOPCNTDQ,
        GFNI,
        VAES,
        VPCLMULQDQ,
    ]
}

/// Approximations differ from processor to processor.
fn is_approximate(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Vrcp14ps | Vrcp14pd | Vrcp14ss | Vrcp14sd | Vrsqrt14ps | Vrsqrt14pd | Vrsqrt14ss | Vrsqrt14sd)
}

/// Whether the image can run an instruction: its only memory operand is at RSI, RSP stays.
fn serves(i: &Instruction, features: &[CpuidFeature]) -> bool {
    i.code() != Code::INVALID
        && i.cpuid_features().iter().all(|feature| features.contains(feature) || *feature == CpuidFeature::AVX)
        && i.cpuid_features().iter().any(|feature| features.contains(feature))
        && !is_approximate(i.mnemonic())
        && (0..i.op_count()).all(|n| {
            let register = i.op_register(n);
            !(i.op_kind(n) == OpKind::Register && register.full_register() == Register::RSP)
                && (i.op_kind(n) != OpKind::Memory
                    || i.memory_base() == Register::RSI
                        && (i.memory_index() == Register::None || i.memory_index().is_vector_register()))
        })
        && i.memory_displacement64() as i64 >= -256
        && i.memory_displacement64() as i64 <= 128
}

/// An instruction in random bytes, if they hold one that serves.
fn draw(r: &mut Random, features: &[CpuidFeature]) -> Option<([u8; 16], Instruction)> {
    let mut bytes = [0u8; 16];
    bytes.iter_mut().for_each(|byte| *byte = r.bits() as u8);
    let memory = r.chance(50);
    let at = if r.chance(93) {
        bytes[0] = 0x62;
        bytes[1] = bytes[1] & 0xF0 | [1, 2, 2, 3][r.below(4) as usize] | if memory { 0x60 } else { 0 };
        bytes[2] |= 4;
        if r.chance(40) {
            bytes[2] |= 0x78;
            bytes[3] |= 8;
        }
        if r.chance(30) {
            bytes[3] &= 0x78;
        }
        5
    } else {
        bytes[0] = 0xC4;
        bytes[1] = bytes[1] & 0xE0 | [1, 2, 3][r.below(3) as usize] | if memory { 0x60 } else { 0 };
        if r.chance(50) {
            bytes[2] |= 0x78;
        }
        4
    };
    bytes[at] = if memory {
        let mod_ = (r.bits() as u8 & 1) << 6;
        if r.chance(25) {
            // A vector index.
            bytes[at + 1] = bytes[at + 1] & 0xF8 | 6;
            bytes[1] |= 0x20;
            bytes[1] = bytes[1] & !0x40 | r.bits() as u8 & 0x40;
            bytes[at + 2] = (r.below(4) as i8 - 2) as u8;
            bytes[at] & 0x38 | 4 | mod_
        } else {
            bytes[at + 1] = if mod_ != 0 { (r.below(4) as i8 - 2) as u8 } else { bytes[at + 1] };
            bytes[at] & 0x38 | 6 | mod_
        }
    } else {
        bytes[at] | 0xC0
    };
    let decode = |bytes: &[u8; 16]| Decoder::with_ip(64, bytes, 0x21_0000, DecoderOptions::NONE).decode();
    let instruction = decode(&bytes);
    // Bits that the instruction ignores – EVEX.X for general registers, W of WIG forms – are what assemblers write.
    for (byte, set, clear) in [(1, 0x40, 0), (2, 0, 0x80)] {
        let mut plain = bytes;
        plain[byte] = plain[byte] & !clear | set;
        if decode(&plain) == instruction {
            bytes = plain;
        }
    }
    serves(&instruction, features).then_some((bytes, instruction))
}

/// The instructions of a table.
pub fn instructions(options: &Options) -> Vec<([u8; 16], Instruction)> {
    let features = features();
    let mut r = Random::new(options.seed);
    let mut seen: HashMap<(Code, bool, bool, u8), usize> = HashMap::new();
    let mut list = Vec::new();
    let mut tries: u64 = 0;
    // Forms that are there often enough are not taken again, until there are no others to be found.
    while list.len() < options.count.min(MOST) {
        tries += 1;
        let most = 1 + (tries / 2_000_000) as usize;
        let Some((bytes, instruction)) = draw(&mut r, &features) else { continue };
        let memory = (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
        let rounding = instruction.rounding_control() as u8 * 2 + u8::from(instruction.suppress_all_exceptions());
        let places = seen.entry((instruction.code(), memory, instruction.is_broadcast(), rounding)).or_default();
        if *places < most {
            *places += 1;
            list.push((bytes, instruction));
        }
    }
    list
}

/// The table; `expected` are the checksums: an instruction with `None` is skipped.
pub fn table(options: &Options, list: &[([u8; 16], Instruction)], expected: &[Option<u32>]) -> Vec<u8> {
    let mut r = Random::new(options.seed ^ 0x5EED);
    let mut bytes = Vec::with_capacity(POOL + HEADER + ENTRY * list.len());
    while bytes.len() < POOL {
        let half = block(&mut r);
        let other = if r.chance(70) { block(&mut r) } else { half };
        half.iter().chain(&other).for_each(|word| bytes.extend(word.to_le_bytes()));
    }
    let mut header = [0; HEADER];
    let mut put = |at: usize, value: &[u8]| header[at..at + value.len()].copy_from_slice(value);
    let (dump, state) = options.dump.unwrap_or((u32::MAX, u32::MAX));
    put(0, &(list.len() as u32).to_le_bytes());
    put(4, &options.states.to_le_bytes());
    put(8, &u32::from(options.print).to_le_bytes());
    put(12, &dump.to_le_bytes());
    put(16, &state.to_le_bytes());
    put(24, &options.seed.to_le_bytes());
    for n in 0..64 {
        put(256 + 4 * n, &mxcsr(&mut r).to_le_bytes());
    }
    bytes.extend(header);
    for (n, (code, instruction)) in list.iter().enumerate() {
        let index = instruction.memory_index();
        let mut entry = [0; ENTRY];
        entry[0] = instruction.len() as u8;
        if index.is_vector_register() {
            entry[1] = index.number() as u8 + 1;
            entry[2] = u8::from(has_quadword_index(instruction.mnemonic()));
        }
        entry[4..20].copy_from_slice(code);
        match expected.get(n) {
            Some(Some(sum)) => entry[20..24].copy_from_slice(&sum.to_le_bytes()),
            Some(None) => entry[2] |= 2,
            None => {}
        }
        bytes.extend(entry);
    }
    bytes
}

fn has_quadword_index(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Vgatherqps | Vgatherqpd | Vpgatherqd | Vpgatherqq | Vscatterqps | Vscatterqpd | Vpscatterqd | Vpscatterqq
    )
}

/// One line for each instruction: number, bytes, text.
pub fn listing(list: &[([u8; 16], Instruction)]) -> String {
    let mut text = String::new();
    for (n, (bytes, instruction)) in list.iter().enumerate() {
        let code: String = bytes[..instruction.len()].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut line = format!("{n} {code} ");
        NasmFormatter::new().format(instruction, &mut line);
        text += &line;
        text.push('\n');
    }
    text
}
