//! Lowering: shifts and rotates (SDM Vol. 2B, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Rows of an operation: register/immediate, register/CL, memory/immediate, memory/CL.
fn rows(mnemonic: Mnemonic) -> Option<[Op; 4]> {
    Some(match mnemonic {
        Mnemonic::Shl | Mnemonic::Sal => [Op::ShlRi, Op::ShlRc, Op::ShlMi, Op::ShlMc],
        Mnemonic::Shr => [Op::ShrRi, Op::ShrRc, Op::ShrMi, Op::ShrMc],
        Mnemonic::Sar => [Op::SarRi, Op::SarRc, Op::SarMi, Op::SarMc],
        Mnemonic::Rol => [Op::RolRi, Op::RolRc, Op::RolMi, Op::RolMc],
        Mnemonic::Ror => [Op::RorRi, Op::RorRc, Op::RorMi, Op::RorMc],
        Mnemonic::Rcl => [Op::RclRi, Op::RclRc, Op::RclMi, Op::RclMc],
        Mnemonic::Rcr => [Op::RcrRi, Op::RcrRc, Op::RcrMi, Op::RcrMc],
        Mnemonic::Shld => [Op::ShldRi, Op::ShldRc, Op::ShldMi, Op::ShldMc],
        Mnemonic::Shrd => [Op::ShrdRi, Op::ShrdRc, Op::ShrdMi, Op::ShrdMc],
        _ => return None,
    })
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let [ri, rc, mi, mc] = rows(i.mnemonic())?;
    let bytes = operand_bytes(i, 0);
    let last = i.op_count() - 1;
    let by_cl = i.op_kind(last) == OpKind::Register;
    let mut u = match (is_mem(i, 0), by_cl) {
        (false, false) => l.uop(ri, bytes),
        (false, true) => l.uop(rc, bytes),
        (true, false) => l.mem(mi, bytes, i),
        (true, true) => l.mem(mc, bytes, i),
    };
    if !is_mem(i, 0) {
        u.r1 = reg(i.op0_register());
    }
    if last == 2 {
        u.r2 = reg(i.op1_register());
    }
    if !by_cl {
        u.imm = i.immediate(last) & if bytes == 8 { 63 } else { 31 };
    }
    Some((u, End::Continues))
}
