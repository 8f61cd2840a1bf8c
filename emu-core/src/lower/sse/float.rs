//! Lowering: packed and scalar floating-point operations.

use super::lanes::{find, named, sources};
use crate::ir::kernels::FloatOperation;
use crate::ir::op::Op;
use crate::lower::lowerer::{End, Lowered, Lowerer};
use iced_x86::Mnemonic::*;
use iced_x86::{EncodingKind, Instruction, Mnemonic};

/// The operation of an FMA mnemonic, and the immediate that says what it multiplies, adds and negates.
fn find_fused(mnemonic: Mnemonic) -> Option<(FloatOperation, u8)> {
    const KINDS: [&str; 6] = ["add", "sub", "nadd", "nsub", "addsub", "subadd"];
    const ORDERS: [&str; 3] = ["132", "213", "231"];
    use FloatOperation::{FusedPd, FusedPs, FusedSd, FusedSs};
    const FORMATS: [(&str, FloatOperation); 4] = [("ps", FusedPs), ("pd", FusedPd), ("ss", FusedSs), ("sd", FusedSd)];
    // Vfmadd132ps, Vfnmsub231sd, Vfmaddsub213pd …
    let name = format!("{mnemonic:?}").to_lowercase();
    let rest = name.strip_prefix("vf")?;
    let (negated, rest) = match rest.strip_prefix('n') {
        Some(rest) => ("n", rest),
        None => ("", rest),
    };
    let rest = rest.strip_prefix('m')?;
    let (kind, rest) = rest.split_at(rest.find(|c: char| c.is_ascii_digit())?);
    let (order, format) = rest.split_at_checked(3)?;
    let kind = format!("{negated}{kind}");
    let kind = KINDS.iter().position(|&known| known == kind)?;
    let order = ORDERS.iter().position(|&known| known == order)?;
    let (_, format) = FORMATS.into_iter().find(|known| known.0 == format)?;
    Some((format, (order | kind << 2) as u8))
}

named! {
    FLOATS: FloatOperation
    Addps [Addps Vaddps] Addpd [Addpd Vaddpd] Addss [Addss Vaddss] Addsd [Addsd Vaddsd] Subps [Subps Vsubps]
    Subpd [Subpd Vsubpd] Subss [Subss Vsubss] Subsd [Subsd Vsubsd] Mulps [Mulps Vmulps] Mulpd [Mulpd Vmulpd]
    Mulss [Mulss Vmulss] Mulsd [Mulsd Vmulsd] Divps [Divps Vdivps] Divpd [Divpd Vdivpd] Divss [Divss Vdivss]
    Divsd [Divsd Vdivsd] Minps [Minps Vminps] Minpd [Minpd Vminpd] Minss [Minss Vminss] Minsd [Minsd Vminsd]
    Maxps [Maxps Vmaxps] Maxpd [Maxpd Vmaxpd] Maxss [Maxss Vmaxss] Maxsd [Maxsd Vmaxsd] Sqrtps [Sqrtps Vsqrtps]
    Sqrtpd [Sqrtpd Vsqrtpd] Sqrtss [Sqrtss Vsqrtss] Sqrtsd [Sqrtsd Vsqrtsd] Roundps [Roundps Vroundps]
    Roundpd [Roundpd Vroundpd] Roundss [Roundss Vroundss] Roundsd [Roundsd Vroundsd] Cmpps [Cmpps Vcmpps]
    Cmppd [Cmppd Vcmppd] Cmpss [Cmpss Vcmpss] Cmpsd [Cmpsd Vcmpsd] Haddps [Haddps Vhaddps] Haddpd [Haddpd Vhaddpd]
    Hsubps [Hsubps Vhsubps] Hsubpd [Hsubpd Vhsubpd] Addsubps [Addsubps Vaddsubps] Addsubpd [Addsubpd Vaddsubpd]
    Dpps [Dpps Vdpps] Dppd [Dppd Vdppd] Rcpps [Rcpps Vrcpps] Rcpss [Rcpss Vrcpss] Rsqrtps [Rsqrtps Vrsqrtps]
    Rsqrtss [Rsqrtss Vrsqrtss] Cvtss2sd [Cvtss2sd Vcvtss2sd] Cvtsd2ss [Cvtsd2ss Vcvtsd2ss] Vrndscaleps [Vrndscaleps]
    Vrndscalepd [Vrndscalepd] Vrndscaless [Vrndscaless] Vrndscalesd [Vrndscalesd] Vreduceps [Vreduceps]
    Vreducepd [Vreducepd] Vreducess [Vreducess] Vreducesd [Vreducesd] Vgetexpps [Vgetexpps] Vgetexppd [Vgetexppd]
    Vgetexpss [Vgetexpss] Vgetexpsd [Vgetexpsd] Vgetmantps [Vgetmantps] Vgetmantpd [Vgetmantpd]
    Vgetmantss [Vgetmantss] Vgetmantsd [Vgetmantsd] Vscalefps [Vscalefps] Vscalefpd [Vscalefpd] Vscalefss [Vscalefss]
    Vscalefsd [Vscalefsd] Vrangeps [Vrangeps] Vrangepd [Vrangepd] Vrangess [Vrangess] Vrangesd [Vrangesd]
    Vfixupimmps [Vfixupimmps] Vfixupimmpd [Vfixupimmpd] Vfixupimmss [Vfixupimmss] Vfixupimmsd [Vfixupimmsd]
    Vrcp14ps [Vrcp14ps] Vrcp14pd [Vrcp14pd] Vrcp14ss [Vrcp14ss] Vrcp14sd [Vrcp14sd] Vrsqrt14ps [Vrsqrt14ps]
    Vrsqrt14pd [Vrsqrt14pd] Vrsqrt14ss [Vrsqrt14ss] Vrsqrt14sd [Vrsqrt14sd]
}

/// Operations that the host's arithmetic may do, with the second source in a register and in memory.
const NATIVE: &[([Mnemonic; 2], Op, Op)] = &[
    ([Addps, Vaddps], Op::AddPsRr, Op::AddPsRm),
    ([Addpd, Vaddpd], Op::AddPdRr, Op::AddPdRm),
    ([Addss, Vaddss], Op::AddSsRr, Op::AddSsRm),
    ([Addsd, Vaddsd], Op::AddSdRr, Op::AddSdRm),
    ([Subps, Vsubps], Op::SubPsRr, Op::SubPsRm),
    ([Subpd, Vsubpd], Op::SubPdRr, Op::SubPdRm),
    ([Subss, Vsubss], Op::SubSsRr, Op::SubSsRm),
    ([Subsd, Vsubsd], Op::SubSdRr, Op::SubSdRm),
    ([Mulps, Vmulps], Op::MulPsRr, Op::MulPsRm),
    ([Mulpd, Vmulpd], Op::MulPdRr, Op::MulPdRm),
    ([Mulss, Vmulss], Op::MulSsRr, Op::MulSsRm),
    ([Mulsd, Vmulsd], Op::MulSdRr, Op::MulSdRm),
    ([Divps, Vdivps], Op::DivPsRr, Op::DivPsRm),
    ([Divpd, Vdivpd], Op::DivPdRr, Op::DivPdRm),
    ([Divss, Vdivss], Op::DivSsRr, Op::DivSsRm),
    ([Divsd, Vdivsd], Op::DivSdRr, Op::DivSdRm),
];

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if i.op0_register().is_k() {
        return None;
    }
    let (operation, fused) = match find_fused(i.mnemonic()) {
        Some((operation, imm)) => (operation, Some(imm)),
        None => (find(FLOATS, i.mnemonic())?, None),
    };
    let elements = operation.elements();
    let mut u = sources(l, i, Op::FloatRr, Op::FloatRm);
    u.set_kernel(operation as usize);
    u.set_element_log2(elements.log2);
    u.set_scalar(elements.scalar);
    if elements.scalar {
        u.set_lanes(1);
    }
    if let Some(imm) = fused {
        u.set_imm8(imm);
    } else if i.encoding() == EncodingKind::Legacy && matches!(i.mnemonic(), Cmpps | Cmppd | Cmpss | Cmpsd) {
        u.set_imm8(i.immediate8() & 7);
    }
    if i.encoding() != EncodingKind::EVEX
        && let Some(&(_, rr, rm)) = NATIVE.iter().find(|row| row.0.contains(&i.mnemonic()))
    {
        u.set_operation(if u.operation() == Op::FloatRr { rr } else { rm });
    }
    Some((u, End::Continues))
}
