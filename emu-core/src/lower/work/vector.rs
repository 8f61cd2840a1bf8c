//! The classes of vector and x87 instructions.

use super::class::{is_register, sources_are_one};
use crate::cycles::class::Class;
use iced_x86::{Instruction, Mnemonic, OpKind};
use std::sync::LazyLock;

fn is_gpr(i: &Instruction, n: u32) -> bool {
    is_register(i, n) && i.op_register(n).is_gpr()
}

fn is_wide(i: &Instruction) -> bool {
    is_register(i, 0) && (i.op0_register().is_ymm() || i.op0_register().is_zmm())
}

/// Names without the `V` of VEX, by the mnemonic's number: formatting one takes longer than all the rest.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let name = |mnemonic: Mnemonic| {
        let name = format!("{mnemonic:?}").to_ascii_lowercase();
        match name.strip_prefix('v') {
            Some(rest) if !name.starts_with("vzero") => rest.to_owned(),
            _ => name,
        }
    };
    Mnemonic::values().map(name).collect()
});

/// The class of a vector or x87 instruction, if it has one of its own.
pub fn class_of(i: &Instruction) -> Option<Class> {
    let name = NAMES.get(i.mnemonic() as usize).map_or("", String::as_str);
    x87(i).or_else(|| moves(i, name)).or_else(|| integers(i, name)).or_else(|| floats(i, name))
}

fn moves(i: &Instruction, name: &str) -> Option<Class> {
    Some(match name {
        "movd" | "movq" if is_gpr(i, 0) => Class::FromVector,
        "movd" | "movq" if is_gpr(i, 1) => Class::ToVector,
        "movmskps" | "movmskpd" | "pmovmskb" => Class::FromVector,
        "movd" | "movq" | "movaps" | "movapd" | "movups" | "movupd" | "movdqa" | "movdqu" | "movdqa32" | "movdqa64"
        | "movdqu8" | "movdqu16" | "movdqu32" | "movdqu64" | "lddqu" | "movntps" | "movntpd" | "movntdq" | "movntq"
        | "movntdqa" | "movdq2q" | "movq2dq" => Class::VectorMove,
        "movss" | "movsd" if is_register(i, 0) && is_register(i, 1) => Class::FloatShuffle,
        "movss" | "movsd" => Class::VectorMove,
        "movlps" | "movlpd" | "movhps" | "movhpd" if !is_register(i, 0) => Class::VectorMove,
        "movlps" | "movlpd" | "movhps" | "movhpd" | "movhlps" | "movlhps" | "movddup" | "movshdup" | "movsldup"
        | "shufps" | "shufpd" | "unpcklps" | "unpckhps" | "unpcklpd" | "unpckhpd" | "permilps" | "permilpd" => {
            Class::FloatShuffle
        }
        "insertps" => Class::FloatShuffle,
        "maskmovdqu" | "maskmovq" | "maskmovps" | "maskmovpd" | "pmaskmovd" | "pmaskmovq" => Class::MaskedStore,
        "pinsrb" | "pinsrw" | "pinsrd" | "pinsrq" => Class::Insert,
        "pextrb" | "pextrw" | "pextrd" | "pextrq" | "extractps" => Class::Pick,
        "perm2f128" | "perm2i128" | "extractf128" | "extracti128" | "insertf128" | "inserti128" | "permd" | "permq"
        | "permps" | "permpd" => Class::ShuffleFar,
        "broadcastss" | "broadcastsd" | "broadcastf128" | "pbroadcastb" | "pbroadcastw" | "pbroadcastd"
        | "pbroadcastq" => Class::Shuffle,
        "vzeroupper" | "vzeroall" | "emms" => Class::VectorState,
        "stmxcsr" => Class::StoreStatus,
        "ldmxcsr" => Class::LoadStatus,
        _ if name.starts_with("gather") || name.starts_with("pgather") || name.contains("scatter") => Class::Gather,
        _ => return None,
    })
}

fn integers(i: &Instruction, name: &str) -> Option<Class> {
    let by_immediate = i.op_count() > 1 && i.op_kind(i.op_count() - 1) == OpKind::Immediate8;
    let zero = sources_are_one(i);
    Some(match name {
        "pxor" | "xorps" | "xorpd" | "psubb" | "psubw" | "psubd" | "psubq" | "pxord" | "pxorq" if zero => Class::Zero,
        "pand" | "pandn" | "por" | "pxor" | "pandd" | "pandq" | "pord" | "porq" | "pxord" | "pxorq" => {
            Class::VectorLogic
        }
        "andps" | "andpd" | "andnps" | "andnpd" | "orps" | "orpd" | "xorps" | "xorpd" => Class::FloatLogic,
        "pcmpgtq" => Class::VectorCompareLong,
        "pmulld" => Class::VectorMultiplyDouble,
        "psadbw" => Class::SumDifferences,
        "mpsadbw" => Class::SumDifferencesMany,
        "phminposuw" => Class::Minimum,
        "ptest" | "testps" | "testpd" => Class::VectorTest,
        "pcmpistri" | "pcmpistrm" => Class::TextImplicit,
        "pcmpestri" | "pcmpestrm" => Class::TextExplicit,
        "pclmulqdq" => Class::CarrylessMultiply,
        "aesimc" => Class::AesMix,
        "aeskeygenassist" => Class::AesKey,
        "pblendw" | "blendps" | "blendpd" | "pblendd" => Class::Blend,
        "pblendvb" | "blendvps" | "blendvpd" => Class::BlendBy,
        _ if name.starts_with("aes") => Class::Aes,
        _ if name.starts_with("pmul") || name.starts_with("pmadd") => Class::VectorMultiply,
        _ if name.starts_with("phadd") || name.starts_with("phsub") => Class::Horizontal,
        "pslldq" | "psrldq" => Class::Shuffle,
        _ if name.starts_with("psll") || name.starts_with("psrl") || name.starts_with("psra") => {
            if by_immediate {
                Class::VectorShift
            } else {
                Class::VectorShiftBy
            }
        }
        _ if ["pshuf", "punpck", "pack", "palignr", "pmovzx", "pmovsx"].iter().any(|start| name.starts_with(start)) => {
            Class::Shuffle
        }
        _ if ["padd", "psub", "pcmpeq", "pcmpgt", "pmax", "pmin", "pavg", "pabs", "psign"]
            .iter()
            .any(|start| name.starts_with(start)) =>
        {
            Class::VectorAdd
        }
        _ => return None,
    })
}

fn floats(i: &Instruction, name: &str) -> Option<Class> {
    let single = name.ends_with("ss") || name.ends_with("ps");
    let pick = |one, two| if single { one } else { two };
    Some(match name {
        "divps" if is_wide(i) => Class::FloatDivideWide,
        "divpd" if is_wide(i) => Class::FloatDivideDoubleWide,
        "divss" | "divps" | "divsd" | "divpd" => pick(Class::FloatDivide, Class::FloatDivideDouble),
        "sqrtss" | "sqrtps" | "sqrtsd" | "sqrtpd" => pick(Class::FloatRoot, Class::FloatRootDouble),
        "mulss" | "mulps" | "mulsd" | "mulpd" => pick(Class::FloatMultiply, Class::FloatMultiplyDouble),
        "rcpss" | "rcpps" | "rsqrtss" | "rsqrtps" => Class::FloatApproximate,
        "roundss" | "roundps" | "roundsd" | "roundpd" => Class::FloatRound,
        "dpps" => Class::DotProduct,
        "dppd" => Class::DotProductDouble,
        "haddps" | "haddpd" | "hsubps" | "hsubpd" => Class::FloatHorizontal,
        "comiss" | "comisd" | "ucomiss" | "ucomisd" => Class::FloatCompare,
        "cvtsi2ss" | "cvtsi2sd" | "cvtpi2ps" | "cvtpi2pd" | "cvtusi2ss" | "cvtusi2sd" => Class::FromInteger,
        "cvtss2si" | "cvtsd2si" | "cvttss2si" | "cvttsd2si" | "cvtps2pi" | "cvttps2pi" | "cvtpd2pi" | "cvttpd2pi" => {
            Class::ToInteger
        }
        "cvtdq2ps" | "cvtps2dq" | "cvttps2dq" => Class::ConvertSingle,
        "cvtdq2pd" | "cvtpd2dq" | "cvttpd2dq" | "cvtpd2ps" | "cvtsd2ss" => Class::ConvertDouble,
        "cvtps2pd" => Class::Widen,
        "cvtss2sd" => Class::WidenScalar,
        "addsubps" | "addsubpd" => Class::FloatAdd,
        _ if name.starts_with("fmadd") || name.starts_with("fmsub") || name.starts_with("fnm") => Class::FloatFused,
        _ if ["adds", "addp", "subs", "subp", "max", "min"].iter().any(|start| name.starts_with(start)) => {
            Class::FloatAdd
        }
        _ if name.starts_with("cmp") && is_register(i, 0) && !is_gpr(i, 0) => Class::FloatAdd,
        _ => return None,
    })
}

fn x87(i: &Instruction) -> Option<Class> {
    use Mnemonic::*;
    Some(match i.mnemonic() {
        Fld | Fst | Fstp | Fxch | Ffree | Ffreep | Fld1 | Fldz | Fldpi | Fldl2e | Fldl2t | Fldlg2 | Fldln2
        | Fincstp | Fdecstp => Class::X87Move,
        Fchs | Fabs => Class::X87Sign,
        Fadd | Faddp | Fsub | Fsubp | Fsubr | Fsubrp | Fiadd | Fisub | Fisubr | Fcom | Fcomp | Fcompp | Fucom
        | Fucomp | Fucompp | Fcomi | Fcomip | Fucomi | Fucomip | Ficom | Ficomp | Ftst => Class::X87Add,
        Fmul | Fmulp | Fimul => Class::X87Multiply,
        Fdiv | Fdivp | Fdivr | Fdivrp | Fidiv | Fidivr => Class::X87Divide,
        Fsqrt => Class::X87Root,
        Fild | Fist | Fistp | Fisttp => Class::X87Integer,
        Frndint | Fscale | Fxtract | Fprem | Fprem1 | Fxam => Class::X87Slow,
        Fsin | Fcos | Fsincos | Fptan | Fpatan | Fyl2x | Fyl2xp1 | F2xm1 => Class::X87Transcendental,
        Fldcw | Fnstcw | Fstcw | Fnstsw | Fstsw | Fnclex | Fclex | Fninit | Finit => Class::X87Control,
        Fbld | Fbstp => Class::X87Decimal,
        _ => return None,
    })
}
