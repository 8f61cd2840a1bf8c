//! Random vector instructions, and vector registers full of the values at which arithmetic turns.

use crate::fpu::Fpu;
use crate::generate::{Case, takes_any_alignment};
use crate::layout::{AT, HIGH_CODE, LOW_CODE};
use crate::random::Random;
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Classes of vector instructions that the host's processor has.
pub fn host_features() -> Vec<CpuidFeature> {
    use CpuidFeature::*;
    [
        (MMX, is_x86_feature_detected!("mmx")),
        (SSE, is_x86_feature_detected!("sse")),
        (SSE2, is_x86_feature_detected!("sse2")),
        (SSE3, is_x86_feature_detected!("sse3")),
        (SSSE3, is_x86_feature_detected!("ssse3")),
        (SSE4_1, is_x86_feature_detected!("sse4.1")),
        (SSE4_2, is_x86_feature_detected!("sse4.2")),
        (AES, is_x86_feature_detected!("aes")),
        (PCLMULQDQ, is_x86_feature_detected!("pclmulqdq")),
        (SHA, is_x86_feature_detected!("sha")),
        (AVX, is_x86_feature_detected!("avx")),
        (AVX2, is_x86_feature_detected!("avx2")),
        (FMA, is_x86_feature_detected!("fma")),
        (F16C, is_x86_feature_detected!("f16c")),
        (GFNI, is_x86_feature_detected!("gfni")),
        (VAES, is_x86_feature_detected!("vaes")),
        (VPCLMULQDQ, is_x86_feature_detected!("vpclmulqdq")),
        (X64, true),
    ]
    .into_iter()
    .filter_map(|(feature, there)| there.then_some(feature))
    .collect()
}

/// Results that the SDM leaves to the processor: approximations.
fn is_approximate(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Rcpps | Rcpss | Rsqrtps | Rsqrtss | Vrcpps | Vrcpss | Vrsqrtps | Vrsqrtss)
}

/// An address that one register decides, so that it can be aligned.
fn has_simple_address(i: &Instruction) -> bool {
    !(0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory)
        || (i.memory_index() == Register::None && i.memory_base().is_gpr())
}

fn compares(i: &Instruction, bits: u32, features: &[CpuidFeature]) -> bool {
    use Mnemonic::*;
    let vector = (0..i.op_count()).any(|n| {
        i.op_kind(n) == OpKind::Register && (i.op_register(n).is_vector_register() || i.op_register(n).is_mm())
    });
    (vector || matches!(i.mnemonic(), Emms | Vzeroall | Vzeroupper | Ldmxcsr | Stmxcsr | Vldmxcsr | Vstmxcsr))
        && i.code() != Code::INVALID
        && i.cpuid_features().iter().all(|feature| features.contains(feature))
        && !is_approximate(i.mnemonic())
        && i.segment_prefix() != Register::FS
        // Page 0 is not the process's.
        && i.op0_kind() != OpKind::MemorySegDI
        && (!takes_any_alignment(i.mnemonic()) || has_simple_address(i))
        // AMD's processors refuse VEX.W outside 64-bit mode here, Intel's ignore it.
        && !(bits == 32 && matches!(i.mnemonic(), Vpextrd | Vpinsrd))
}

/// A vector instruction in random bytes, if they hold one.
pub fn try_instruction(r: &mut Random, features: &[CpuidFeature]) -> Option<Case> {
    let wide = r.chance(85);
    let mut bytes = [0u8; 16];
    let mut len = 0;
    let mut put = |byte: u8| {
        bytes[len] = byte;
        len += 1;
    };
    let prefix = [0, 0x66, 0xF3, 0xF2][r.below(4) as usize];
    if r.chance(3) {
        put(0x67);
    }
    let map = [1, 1, 2, 3][r.below(4) as usize];
    if r.chance(50) {
        if prefix != 0 {
            put(prefix);
        }
        if wide && r.chance(50) {
            put(0x40 | r.bits() as u8 & 0xF);
        }
        put(0x0F);
        match map {
            2 => put(0x38),
            3 => put(0x3A),
            _ => {}
        }
    } else {
        put(0xC4);
        put((if wide { r.bits() as u8 & 0xE0 } else { 0xE0 }) | map);
        let vvvv = if r.chance(50) { 0x78 } else { r.bits() as u8 & 0x78 };
        put(r.bits() as u8 & 0x87 | vvvv);
    }
    for byte in bytes[len..].iter_mut() {
        *byte = r.bits() as u8;
    }
    if r.chance(40) {
        bytes[len + 1] |= 0xC0;
    }
    let start = AT as u64 + if wide { HIGH_CODE } else { LOW_CODE };
    let bits = if wide { 64 } else { 32 };
    let mut decoder = Decoder::with_ip(bits, &bytes[..15], start, DecoderOptions::NONE);
    let mut instruction = decoder.decode();
    if !compares(&instruction, bits, features) {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&instruction);
    if offsets.has_displacement() {
        let (at, size) = (offsets.displacement_offset(), offsets.displacement_size());
        let mut set = |value: u64| bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        let absolute = instruction.memory_base() == Register::None && instruction.memory_index() == Register::None;
        if instruction.is_ip_rel_memory_operand() {
            set(r.address(true).wrapping_sub(start + instruction.len() as u64));
        } else if absolute && size >= 4 {
            set(r.address(false));
        } else if size == 4 && r.chance(60) {
            set(r.below(0x2000).wrapping_sub(0x1000));
        }
        instruction = Decoder::with_ip(bits, &bytes[..15], start, DecoderOptions::NONE).decode();
    }
    Some(Case::new(bytes, instruction, wide))
}

/// A bit pattern with `fraction` fraction bits and `exponent` exponent bits, often special.
fn float(r: &mut Random, exponent: u32, fraction: u32) -> u64 {
    let top = (1u64 << exponent) - 1;
    let mask = (1u64 << fraction) - 1;
    let sign = (r.bits() & 1) << (exponent + fraction);
    let near = |r: &mut Random| match r.below(4) {
        0 => r.below(4),
        1 => mask - r.below(4),
        2 => 1 << r.below(u64::from(fraction)),
        _ => r.bits() & mask,
    };
    let (e, f) = match r.below(16) {
        0 | 1 => (0, 0),
        2 => (0, near(r).max(1)),
        3 => (1, near(r)),
        4 => (top, 0),
        5 => (top, (1 << (fraction - 1)) | r.bits() & mask),
        6 => (top, (r.bits() & (mask >> 1)).max(1)),
        7 => (top - 1, near(r)),
        8 | 9 => (top / 2 + r.below(4), near(r)),
        10 => (top / 2 + r.below(u64::from(2 * fraction + 6)).min(top / 2 - 1), near(r)),
        11 => (top / 4 + r.below(6), near(r)),
        12 => (top / 2 - r.below(u64::from(fraction) + 3).min(top / 2), near(r)),
        _ => (r.bits() & top, r.bits() & mask),
    };
    sign | e << fraction | f
}

/// 32 bytes: floats of one format or integers.
pub fn block(r: &mut Random) -> [u64; 4] {
    let style = r.below(8);
    let mut words = [0; 4];
    for word in &mut words {
        *word = match style {
            0..=2 => float(r, 8, 23) | float(r, 8, 23) << 32,
            3..=5 => float(r, 11, 52),
            6 => (0..4).fold(0, |all, n| all | float(r, 5, 10) << (16 * n)),
            _ => r.value(),
        };
    }
    words
}

/// MXCSR: often the usual one; otherwise any rounding, FTZ, DAZ, flags and masks.
pub fn mxcsr(r: &mut Random) -> u32 {
    let mut mxcsr = 0x1F80;
    if r.chance(60) {
        mxcsr |= r.bits() as u32 & 0x6000;
    }
    if r.chance(40) {
        mxcsr |= r.bits() as u32 & 0x8040;
    }
    if r.chance(50) {
        mxcsr |= r.bits() as u32 & 0x3F;
    }
    if r.chance(30) {
        mxcsr &= !(r.bits() as u32 & 0x1F80);
    }
    mxcsr
}

/// Vector state for a case; some registers repeat others, so that operands are equal or near each other.
pub fn state(r: &mut Random, case: &mut Case) {
    let mut fpu = Fpu::default();
    for n in 0..fpu.ymm.len() {
        fpu.ymm[n] = match r.below(8) {
            0 if n > 0 => fpu.ymm[r.below(n as u64) as usize],
            1 if n > 0 => fpu.ymm[r.below(n as u64) as usize].map(|word| word ^ 1 << 63 ^ 1 << 31),
            2 if n > 0 => {
                let mut near = fpu.ymm[r.below(n as u64) as usize];
                near[r.below(4) as usize] ^= 1 << r.below(64);
                near
            }
            _ => block(r),
        };
    }
    fpu.mxcsr = mxcsr(r);
    fpu.status = (r.below(8) as u16) << 11;
    fpu.tags = r.bits() as u8;
    for st in &mut fpu.st {
        *st = (block(r)[0], r.bits() as u16);
    }
    case.fpu = fpu;
    // What an operation reads from memory is of the same kinds.
    let words = block(r);
    let mut bytes = [0; 64];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words.iter().cycle()) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    if matches!(case.instruction.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Vldmxcsr) {
        // Bit 17 is AMD's mode for misaligned operands.
        bytes.iter_mut().skip(2).step_by(4).for_each(|byte| *byte &= !2);
    }
    case.data[0].1 = bytes;
}
