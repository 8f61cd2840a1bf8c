//! Lowering: operations across the lanes of a vector: permutations, broadcasts, insertion and extraction of lanes.

use super::lanes::{find, has_immediate, named, sources};
use super::operands::{number, vector_bytes, vector_uop};
use crate::ir::kernels::AcrossLanes;
use crate::ir::op::Op;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use iced_x86::Instruction;
use iced_x86::Mnemonic::*;

named! {
    /// VPERMQ and VPERMPD are here for their forms with indexes in a register.
    WIDE: AcrossLanes
    Vperm2f128 [Vperm2f128 Vperm2i128] Vpermd [Vpermd Vpermps] Vpermb [Vpermb] Vpermw [Vpermw] Vpermt2b [Vpermt2b]
    Vpermt2w [Vpermt2w] Vpermt2d [Vpermt2d Vpermt2ps] Vpermt2q [Vpermt2q Vpermt2pd] Vpermi2b [Vpermi2b]
    Vpermi2w [Vpermi2w] Vpermi2d [Vpermi2d Vpermi2ps] Vpermi2q [Vpermi2q Vpermi2pd] Vpbroadcastb [Vpbroadcastb]
    Vpbroadcastw [Vpbroadcastw] Vpbroadcastd [Vpbroadcastd Vbroadcastss] Vpbroadcastq [Vpbroadcastq Vbroadcastsd]
    Vbroadcastf32x2 [Vbroadcastf32x2 Vbroadcasti32x2]
    Vbroadcastf128 [Vbroadcastf128 Vbroadcasti128 Vbroadcastf32x4 Vbroadcasti32x4]
    Vbroadcastf64x2 [Vbroadcastf64x2 Vbroadcasti64x2] Vbroadcastf32x8 [Vbroadcastf32x8 Vbroadcasti32x8]
    Vbroadcastf64x4 [Vbroadcastf64x4 Vbroadcasti64x4] Vinsertf128 [Vinsertf128 Vinserti128 Vinsertf32x4 Vinserti32x4]
    Vinsertf64x2 [Vinsertf64x2 Vinserti64x2] Vinsertf32x8 [Vinsertf32x8 Vinserti32x8]
    Vinsertf64x4 [Vinsertf64x4 Vinserti64x4] Vshuff32x4 [Vshuff32x4 Vshufi32x4] Vshuff64x2 [Vshuff64x2 Vshufi64x2]
    Valignd [Valignd] Valignq [Valignq] Vpconflictd [Vpconflictd] Vpconflictq [Vpconflictq] Vpermq [Vpermq Vpermpd]
}

fn lower_extract(l: &Lowerer, i: &Instruction) -> Lowered {
    let (size, log2) = match i.mnemonic() {
        Vextractf128 | Vextracti128 | Vextractf32x4 | Vextracti32x4 => (16, 2),
        Vextractf64x2 | Vextracti64x2 => (16, 3),
        Vextractf32x8 | Vextracti32x8 => (32, 2),
        Vextractf64x4 | Vextracti64x4 => (32, 3),
        _ => return None,
    };
    let op = if is_mem(i, 0) { Op::ExtractLaneM } else { Op::ExtractLaneR };
    let mut u = vector_uop(l, op, i, vector_bytes(i));
    if is_reg(i, 0) {
        u.r1 = number(i.op0_register());
    }
    u.r2 = number(i.op1_register());
    u.set_r4(size);
    u.set_element_log2(log2);
    u.set_imm8(i.immediate8());
    Some((u, End::Continues))
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if let Some(extract) = lower_extract(l, i) {
        return Some(extract);
    }
    let operation = match i.mnemonic() {
        Vpermq | Vpermpd if has_immediate(i) => AcrossLanes::VpermqImmediate,
        mnemonic => find(WIDE, mnemonic)?,
    };
    let from_gpr = i.op_count() > 1 && is_reg(i, 1) && i.op1_register().is_gpr();
    let mut u = if from_gpr {
        let mut u = vector_uop(l, Op::BroadcastGpr, i, vector_bytes(i));
        (u.r1, u.base) = (number(i.op0_register()), reg(i.op1_register()));
        u
    } else {
        sources(l, i, Op::WideRr, Op::WideRm)
    };
    u.set_kernel(operation as usize);
    u.set_element_log2(operation.elements().log2);
    Some((u, End::Continues))
}
