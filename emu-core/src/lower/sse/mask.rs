//! Lowering: operation masks: the instructions on K0 to K7, and those between masks and vectors (SDM Vol. 2A, K…; Vol. 2C).

use super::lanes::{find, has_immediate, named, sources};
use super::operands::{number, vector_bytes, vector_uop};
use crate::ir::kernels::{MaskComparison, MaskOperation};
use crate::ir::op::Op;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use iced_x86::Instruction;
use iced_x86::Mnemonic::*;

named! {
    /// For 8, 16, 32 and 64 bits.
    MASKS: MaskOperation
    Kand [Kandb Kandw Kandd Kandq] Kandn [Kandnb Kandnw Kandnd Kandnq] Kor [Korb Korw Kord Korq]
    Kxor [Kxorb Kxorw Kxord Kxorq] Kxnor [Kxnorb Kxnorw Kxnord Kxnorq] Kadd [Kaddb Kaddw Kaddd Kaddq]
    Knot [Knotb Knotw Knotd Knotq] Kmov [Kmovb Kmovw Kmovd Kmovq] Kshiftl [Kshiftlb Kshiftlw Kshiftld Kshiftlq]
    Kshiftr [Kshiftrb Kshiftrw Kshiftrd Kshiftrq] Kunpck [INVALID Kunpckbw Kunpckwd Kunpckdq]
}

named! {
    COMPARISONS: MaskComparison
    Vpcmpeqb [Vpcmpeqb] Vpcmpeqw [Vpcmpeqw] Vpcmpeqd [Vpcmpeqd] Vpcmpeqq [Vpcmpeqq] Vpcmpgtb [Vpcmpgtb]
    Vpcmpgtw [Vpcmpgtw] Vpcmpgtd [Vpcmpgtd] Vpcmpgtq [Vpcmpgtq] Vpcmpb [Vpcmpb] Vpcmpw [Vpcmpw] Vpcmpd [Vpcmpd]
    Vpcmpq [Vpcmpq] Vpcmpub [Vpcmpub] Vpcmpuw [Vpcmpuw] Vpcmpud [Vpcmpud] Vpcmpuq [Vpcmpuq] Vptestmb [Vptestmb]
    Vptestmw [Vptestmw] Vptestmd [Vptestmd] Vptestmq [Vptestmq] Vptestnmb [Vptestnmb] Vptestnmw [Vptestnmw]
    Vptestnmd [Vptestnmd] Vptestnmq [Vptestnmq] Vpshufbitqmb [Vpshufbitqmb] Vcmpps [Vcmpps] Vcmppd [Vcmppd]
    Vcmpss [Vcmpss] Vcmpsd [Vcmpsd] Vfpclassps [Vfpclassps] Vfpclasspd [Vfpclasspd] Vfpclassss [Vfpclassss]
    Vfpclasssd [Vfpclasssd]
}

fn lower_mask(l: &Lowerer, i: &Instruction) -> Lowered {
    let known = MASKS.iter().find_map(|&(names, operation)| {
        names.iter().position(|&name| name != INVALID && name == i.mnemonic()).map(|column| (operation, 8u8 << column))
    });
    let test = match i.mnemonic() {
        Kortestb => Some((0, 8)),
        Kortestw => Some((0, 16)),
        Kortestd => Some((0, 32)),
        Kortestq => Some((0, 64)),
        Ktestb => Some((1, 8)),
        Ktestw => Some((1, 16)),
        Ktestd => Some((1, 32)),
        Ktestq => Some((1, 64)),
        _ => None,
    };
    if let Some((kind, bits)) = test {
        let mut u = vector_uop(l, Op::MaskTest, i, 16);
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_imm8(kind);
        u.set_r4(bits);
        return Some((u, End::Continues));
    }
    let (operation, bits) = known?;
    let gpr = |n: u32| is_reg(i, n) && i.op_register(n).is_gpr();
    let mut u = if is_mem(i, 0) {
        let mut u = vector_uop(l, Op::MaskStore, i, 16);
        u.r1 = number(i.op1_register());
        u
    } else if is_mem(i, 1) {
        let mut u = vector_uop(l, Op::MaskLoad, i, 16);
        u.r1 = number(i.op0_register());
        u
    } else if gpr(0) {
        let mut u = vector_uop(l, Op::MaskToGpr, i, 16);
        (u.r1, u.base) = (reg(i.op0_register()), number(i.op1_register()));
        u
    } else if gpr(1) {
        let mut u = vector_uop(l, Op::MaskFromGpr, i, 16);
        (u.r1, u.base) = (number(i.op0_register()), reg(i.op1_register()));
        u
    } else {
        let mut u = vector_uop(l, Op::MaskOp, i, 16);
        u.r1 = number(i.op0_register());
        (u.r2, u.base) = if is_reg(i, 2) && i.op_count() == 3 {
            (number(i.op1_register()), number(i.op2_register()))
        } else {
            (u.r1, number(i.op1_register()))
        };
        u.set_kernel(operation as usize);
        u
    };
    u.set_r4(bits);
    if has_immediate(i) {
        u.set_imm8(i.immediate8());
    }
    Some((u, End::Continues))
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if let Some(lowered) = lower_mask(l, i) {
        return Some(lowered);
    }
    let to_vector = match i.mnemonic() {
        Vpmovm2b => Some((0, 0)),
        Vpmovm2w => Some((1, 0)),
        Vpmovm2d => Some((2, 0)),
        Vpmovm2q => Some((3, 0)),
        Vpbroadcastmb2q => Some((3, 8)),
        Vpbroadcastmw2d => Some((2, 16)),
        _ => None,
    };
    if let Some((log2, bits)) = to_vector {
        let mut u = vector_uop(l, Op::MaskToVector, i, vector_bytes(i));
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_element_log2(log2);
        u.set_imm8(bits);
        return Some((u, End::Continues));
    }
    if !i.op0_register().is_k() {
        return None;
    }
    let signs = match i.mnemonic() {
        Vpmovb2m => Some(0),
        Vpmovw2m => Some(1),
        Vpmovd2m => Some(2),
        Vpmovq2m => Some(3),
        _ => None,
    };
    if let Some(log2) = signs {
        let mut u = vector_uop(l, Op::SignsToMask, i, vector_bytes(i));
        (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
        u.set_element_log2(log2);
        return Some((u, End::Continues));
    }
    let comparison = find(COMPARISONS, i.mnemonic())?;
    let elements = comparison.elements();
    let mut u = sources(l, i, Op::MaskCompareRr, Op::MaskCompareRm);
    u.set_kernel(comparison as usize);
    u.set_element_log2(elements.log2);
    u.set_scalar(elements.scalar);
    // VFPCLASS from memory has no vector operand that tells its length.
    if i.op_count() > 1 && is_mem(i, 1) && !elements.scalar {
        let bytes = super::convert::evex_length(i).max(u.memory_bytes());
        u.set_lanes((bytes / 16).max(1));
    }
    Some((u, End::Continues))
}
