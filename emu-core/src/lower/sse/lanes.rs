//! Lowering: operations that work on each 128-bit lane by itself.

use super::operands::{number, vector_bytes, vector_uop};
use crate::ir::kernels::{ThreeSources, TwoSources};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The operation of a mnemonic.
pub fn find<T: Copy>(rows: &[(&[Mnemonic], T)], mnemonic: Mnemonic) -> Option<T> {
    rows.iter().find(|row| row.0.contains(&mnemonic)).map(|row| row.1)
}

/// A table of operations and of their mnemonics.
macro_rules! named {
    ($(#[$doc:meta])* $table:ident: $operation:ident $($name:ident [$($mnemonic:ident)*])*) => {
        $(#[$doc])*
        const $table: &[(&[iced_x86::Mnemonic], $operation)] =
            &[$((&[$(iced_x86::Mnemonic::$mnemonic),*], $operation::$name),)*];
    };
}
pub(super) use named;

named! {
    PLAIN: TwoSources
    Pand [Pand Vpand Vpandd Andps Vandps] Vpandq [Vpandq Andpd Vandpd] Pandn [Pandn Vpandn Vpandnd Andnps Vandnps]
    Vpandnq [Vpandnq Andnpd Vandnpd] Por [Por Vpor Vpord Orps Vorps] Vporq [Vporq Orpd Vorpd]
    Pxor [Pxor Vpxor Vpxord Xorps Vxorps] Vpxorq [Vpxorq Xorpd Vxorpd] Movss [Movss Vmovss] Movsd [Movsd Vmovsd]
    Movlps [Movlps Vmovlps Movlpd Vmovlpd] Movhps [Movhps Vmovhps Movhpd Vmovhpd Movlhps Vmovlhps]
    Movhlps [Movhlps Vmovhlps] Movq [Movq Vmovq] Paddb [Paddb Vpaddb] Paddw [Paddw Vpaddw] Paddd [Paddd Vpaddd]
    Paddq [Paddq Vpaddq] Psubb [Psubb Vpsubb] Psubw [Psubw Vpsubw] Psubd [Psubd Vpsubd] Psubq [Psubq Vpsubq]
    Paddsb [Paddsb Vpaddsb] Paddsw [Paddsw Vpaddsw] Paddusb [Paddusb Vpaddusb] Paddusw [Paddusw Vpaddusw]
    Psubsb [Psubsb Vpsubsb] Psubsw [Psubsw Vpsubsw] Psubusb [Psubusb Vpsubusb] Psubusw [Psubusw Vpsubusw]
    Pmullw [Pmullw Vpmullw] Pmulld [Pmulld Vpmulld] Vpmullq [Vpmullq] Pmulhw [Pmulhw Vpmulhw]
    Pmulhuw [Pmulhuw Vpmulhuw] Pmulhrsw [Pmulhrsw Vpmulhrsw] Pmuludq [Pmuludq Vpmuludq] Pmuldq [Pmuldq Vpmuldq]
    Pmaddwd [Pmaddwd Vpmaddwd] Pmaddubsw [Pmaddubsw Vpmaddubsw] Pavgb [Pavgb Vpavgb] Pavgw [Pavgw Vpavgw]
    Pminub [Pminub Vpminub] Pminuw [Pminuw Vpminuw] Pminud [Pminud Vpminud] Vpminuq [Vpminuq] Pminsb [Pminsb Vpminsb]
    Pminsw [Pminsw Vpminsw] Pminsd [Pminsd Vpminsd] Vpminsq [Vpminsq] Pmaxub [Pmaxub Vpmaxub] Pmaxuw [Pmaxuw Vpmaxuw]
    Pmaxud [Pmaxud Vpmaxud] Vpmaxuq [Vpmaxuq] Pmaxsb [Pmaxsb Vpmaxsb] Pmaxsw [Pmaxsw Vpmaxsw] Pmaxsd [Pmaxsd Vpmaxsd]
    Vpmaxsq [Vpmaxsq] Pabsb [Pabsb Vpabsb] Pabsw [Pabsw Vpabsw] Pabsd [Pabsd Vpabsd] Vpabsq [Vpabsq]
    Psignb [Psignb Vpsignb] Psignw [Psignw Vpsignw] Psignd [Psignd Vpsignd] Pcmpeqb [Pcmpeqb Vpcmpeqb]
    Pcmpeqw [Pcmpeqw Vpcmpeqw] Pcmpeqd [Pcmpeqd Vpcmpeqd] Pcmpeqq [Pcmpeqq Vpcmpeqq] Pcmpgtb [Pcmpgtb Vpcmpgtb]
    Pcmpgtw [Pcmpgtw Vpcmpgtw] Pcmpgtd [Pcmpgtd Vpcmpgtd] Pcmpgtq [Pcmpgtq Vpcmpgtq] Psadbw [Psadbw Vpsadbw]
    Mpsadbw [Mpsadbw Vmpsadbw] Phminposuw [Phminposuw Vphminposuw] Phaddw [Phaddw Vphaddw] Phaddd [Phaddd Vphaddd]
    Phaddsw [Phaddsw Vphaddsw] Phsubw [Phsubw Vphsubw] Phsubd [Phsubd Vphsubd] Phsubsw [Phsubsw Vphsubsw]
    Packsswb [Packsswb Vpacksswb] Packssdw [Packssdw Vpackssdw] Packuswb [Packuswb Vpackuswb]
    Packusdw [Packusdw Vpackusdw] Punpcklbw [Punpcklbw Vpunpcklbw] Punpcklwd [Punpcklwd Vpunpcklwd]
    Punpckldq [Punpckldq Vpunpckldq Unpcklps Vunpcklps] Punpcklqdq [Punpcklqdq Vpunpcklqdq Unpcklpd Vunpcklpd]
    Punpckhbw [Punpckhbw Vpunpckhbw] Punpckhwd [Punpckhwd Vpunpckhwd]
    Punpckhdq [Punpckhdq Vpunpckhdq Unpckhps Vunpckhps] Punpckhqdq [Punpckhqdq Vpunpckhqdq Unpckhpd Vunpckhpd]
    Pshufb [Pshufb Vpshufb] Pshufd [Pshufd Vpshufd] Pshuflw [Pshuflw Vpshuflw] Pshufhw [Pshufhw Vpshufhw]
    Palignr [Palignr Vpalignr] Shufps [Shufps Vshufps] Shufpd [Shufpd Vshufpd] Pblendw [Pblendw Vpblendw]
    Blendps [Blendps Vblendps Vpblendd] Blendpd [Blendpd Vblendpd] Insertps [Insertps Vinsertps]
    Movddup [Movddup Vmovddup] Movshdup [Movshdup Vmovshdup] Movsldup [Movsldup Vmovsldup] Vdbpsadbw [Vdbpsadbw]
    Vpmultishiftqb [Vpmultishiftqb] Vpopcntb [Vpopcntb] Vpopcntw [Vpopcntw] Vpopcntd [Vpopcntd] Vpopcntq [Vpopcntq]
    Vplzcntd [Vplzcntd] Vplzcntq [Vplzcntq] Vpsllvw [Vpsllvw] Vpsllvd [Vpsllvd] Vpsllvq [Vpsllvq] Vpsrlvw [Vpsrlvw]
    Vpsrlvd [Vpsrlvd] Vpsrlvq [Vpsrlvq] Vpsravw [Vpsravw] Vpsravd [Vpsravd] Vpsravq [Vpsravq] Vprolvd [Vprolvd]
    Vprolvq [Vprolvq] Vprorvd [Vprorvd] Vprorvq [Vprorvq] Aesenc [Aesenc Vaesenc] Aesenclast [Aesenclast Vaesenclast]
    Aesdec [Aesdec Vaesdec] Aesdeclast [Aesdeclast Vaesdeclast] Aesimc [Aesimc Vaesimc]
    Aeskeygenassist [Aeskeygenassist Vaeskeygenassist] Pclmulqdq [Pclmulqdq Vpclmulqdq]
    Gf2p8mulb [Gf2p8mulb Vgf2p8mulb] Gf2p8affineqb [Gf2p8affineqb Vgf2p8affineqb]
    Gf2p8affineinvqb [Gf2p8affineinvqb Vgf2p8affineinvqb] Sha1rnds4 [Sha1rnds4] Sha1nexte [Sha1nexte]
    Sha1msg1 [Sha1msg1] Sha1msg2 [Sha1msg2] Sha256msg1 [Sha256msg1] Sha256msg2 [Sha256msg2]
}

named! {
    /// Shifts whose second source is a count for all elements.
    BY_COUNT: TwoSources
    Psllw [Psllw Vpsllw] Pslld [Pslld Vpslld] Psllq [Psllq Vpsllq] Psrlw [Psrlw Vpsrlw] Psrld [Psrld Vpsrld]
    Psrlq [Psrlq Vpsrlq] Psraw [Psraw Vpsraw] Psrad [Psrad Vpsrad] Vpsraq [Vpsraq]
}

named! {
    /// Permutations whose control is the second source.
    BY_SOURCE: TwoSources
    Vpermilps [Vpermilps] Vpermilpd [Vpermilpd]
}

named! {
    /// Forms with an immediate, where a mnemonic may have others too.
    BY_IMMEDIATE: TwoSources
    PsllwImmediate [Psllw Vpsllw] PslldImmediate [Pslld Vpslld] PsllqImmediate [Psllq Vpsllq]
    PsrlwImmediate [Psrlw Vpsrlw] PsrldImmediate [Psrld Vpsrld] PsrlqImmediate [Psrlq Vpsrlq]
    PsrawImmediate [Psraw Vpsraw] PsradImmediate [Psrad Vpsrad] VpsraqImmediate [Vpsraq] Pslldq [Pslldq Vpslldq]
    Psrldq [Psrldq Vpsrldq] Vprold [Vprold] Vprolq [Vprolq] Vprord [Vprord] Vprorq [Vprorq] Vpshldw [Vpshldw]
    Vpshldd [Vpshldd] Vpshldq [Vpshldq] Vpshrdw [Vpshrdw] Vpshrdd [Vpshrdd] Vpshrdq [Vpshrdq]
    VpermilpsImmediate [Vpermilps] VpermilpdImmediate [Vpermilpd]
}

named! {
    THREE: ThreeSources
    Pblendvb [Pblendvb Vpblendvb] Blendvps [Blendvps Vblendvps] Blendvpd [Blendvpd Vblendvpd] Vpdpbusd [Vpdpbusd]
    Vpdpbusds [Vpdpbusds] Vpdpwssd [Vpdpwssd] Vpdpwssds [Vpdpwssds] Vpmadd52luq [Vpmadd52luq]
    Vpmadd52huq [Vpmadd52huq] Vpternlogd [Vpternlogd] Vpternlogq [Vpternlogq] Vpshldvw [Vpshldvw] Vpshldvd [Vpshldvd]
    Vpshldvq [Vpshldvq] Vpshrdvw [Vpshrdvw] Vpshrdvd [Vpshrdvd] Vpshrdvq [Vpshrdvq] Sha256rnds2 [Sha256rnds2]
}

/// The two-source operation of a mnemonic.
pub fn find2(mnemonic: Mnemonic, with_immediate: bool) -> Option<TwoSources> {
    if with_immediate {
        find(BY_IMMEDIATE, mnemonic).or_else(|| find(PLAIN, mnemonic))
    } else {
        find(PLAIN, mnemonic).or_else(|| find(BY_COUNT, mnemonic)).or_else(|| find(BY_SOURCE, mnemonic))
    }
}

/// Whether an operand is an immediate byte.
pub fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8 | OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64)
}

/// Whether the last operand is an immediate byte.
pub fn has_immediate(i: &Instruction) -> bool {
    i.op_count() > 0 && is_immediate(i.op_kind(i.op_count() - 1))
}

/// Fills in the operands of an operation: destination, sources, immediate.
pub fn sources(l: &Lowerer, i: &Instruction, rr: Op, rm: Op) -> Uop {
    let count = (0..i.op_count()).filter(|&n| !is_immediate(i.op_kind(n))).count() as u32;
    // Which operands are the first and the second source; a legacy form's destination is its first source.
    let (first, second) = match count {
        0 | 1 => (0, 0),
        2 => (0, 1),
        _ => (1, 2),
    };
    // FMA4 and the like, with the memory operand last, belong to no model.
    let bytes = vector_bytes(i);
    let mut u = if is_mem(i, second) {
        vector_uop(l, rm, i, bytes)
    } else {
        let mut u = vector_uop(l, rr, i, bytes);
        u.base = number(i.op_register(second));
        u
    };
    u.r1 = number(i.op0_register());
    u.r2 = number(i.op_register(first));
    let legacy = u.width_index() == 0;
    u.set_r4(match count {
        4 => number(i.op_register(3)),
        _ if legacy => 0,
        _ => u.r1,
    });
    if has_immediate(i) {
        u.set_imm8(i.immediate8());
    }
    u.set_must_align(legacy && u.memory_bytes() == 16);
    u
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if (0..i.op_count()).any(|n| i.op_register(n).is_mm()) {
        return None;
    }
    // Comparisons of AVX-512 have their result in a mask register.
    if i.op0_register().is_k() {
        return None;
    }
    let two = find2(i.mnemonic(), has_immediate(i));
    let (kernel, elements, rr, rm) = match two {
        Some(two) if !has_immediate(i) && find(BY_COUNT, i.mnemonic()).is_some() => {
            (two as usize, two.elements(), Op::CountRr, Op::CountRm)
        }
        Some(two) => (two as usize, two.elements(), Op::TwoRr, Op::TwoRm),
        None => {
            let three = find(THREE, i.mnemonic())?;
            (three as usize, three.elements(), Op::ThreeRr, Op::ThreeRm)
        }
    };
    let mut u = sources(l, i, rr, rm);
    u.set_kernel(kernel);
    u.set_element_log2(elements.log2);
    u.set_scalar(matches!(i.mnemonic(), Mnemonic::Vmovss | Mnemonic::Vmovsd));
    if matches!(i.mnemonic(), Mnemonic::Insertps | Mnemonic::Vinsertps) && is_mem(i, i.op_count() - 2) {
        // There is one element in memory.
        u.set_imm8(i.immediate8() & 0x3F);
    }
    Some((u, End::Continues))
}
