//! Lowering: the VMX instructions.

use super::lowerer::{End, Lowered, Lowerer, is_mem, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let bytes = if l.mode.is_64bit() { 8 } else { 4 };
    let pointer = |op: Op| l.mem(op, 8, i);
    let invalidate = |op: Op| {
        let mut u = l.mem(op, bytes, i);
        u.r1 = reg(i.op0_register());
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Vmxon => pointer(Op::Vmxon),
        Mnemonic::Vmxoff => l.uop(Op::Vmxoff, 4),
        Mnemonic::Vmclear => pointer(Op::Vmclear),
        Mnemonic::Vmptrld => pointer(Op::Vmptrld),
        Mnemonic::Vmptrst => pointer(Op::Vmptrst),
        Mnemonic::Vmread if is_mem(i, 0) => {
            let mut u = l.mem(Op::VmreadM, bytes, i);
            u.r1 = reg(i.op1_register());
            u
        }
        Mnemonic::Vmread => {
            let mut u = l.uop(Op::VmreadR, bytes);
            (u.r1, u.r2) = (reg(i.op0_register()), reg(i.op1_register()));
            u
        }
        Mnemonic::Vmwrite if is_mem(i, 1) => {
            let mut u = l.mem(Op::VmwriteM, bytes, i);
            u.r1 = reg(i.op0_register());
            u
        }
        Mnemonic::Vmwrite => {
            let mut u = l.uop(Op::VmwriteR, bytes);
            (u.r1, u.r2) = (reg(i.op0_register()), reg(i.op1_register()));
            u
        }
        Mnemonic::Invept => invalidate(Op::Invept),
        Mnemonic::Invvpid => invalidate(Op::Invvpid),
        Mnemonic::Vmcall => l.uop(Op::Vmcall, 4),
        Mnemonic::Vmfunc => l.uop(Op::Vmfunc, 4),
        Mnemonic::Vmlaunch => l.uop(Op::Vmlaunch, 4),
        Mnemonic::Vmresume => l.uop(Op::Vmresume, 4),
        _ => return None,
    };
    Some((uop, End::Ends))
}
