//! Lowering: SYSENTER, SYSEXIT, SYSCALL, SYSRET, SWAPGS and the FS and GS base instructions (SDM Vol. 3A 5.8.7, 5.8.8).

use super::lowerer::{End, Lowered, Lowerer, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let base = |op: Op, imm: u64| {
        let mut u = l.uop(op, i.op0_register().size());
        u.r1 = reg(i.op0_register());
        u.imm = imm;
        (u, End::Continues)
    };
    Some(match i.mnemonic() {
        Mnemonic::Sysenter => (l.uop(Op::Sysenter, 4), End::Ends),
        Mnemonic::Sysexit => (l.uop(Op::Sysexit, 4), End::Ends),
        Mnemonic::Sysexitq => (l.uop(Op::Sysexit, 8), End::Ends),
        Mnemonic::Syscall => (l.uop(Op::Syscall, 4), End::Ends),
        Mnemonic::Sysret => (l.uop(Op::Sysret, 4), End::Ends),
        Mnemonic::Sysretq => (l.uop(Op::Sysret, 8), End::Ends),
        Mnemonic::Swapgs => (l.uop(Op::Swapgs, 4), End::Continues),
        Mnemonic::Rdfsbase => base(Op::ReadBase, 0),
        Mnemonic::Rdgsbase => base(Op::ReadBase, 1),
        Mnemonic::Wrfsbase => base(Op::WriteBase, 0),
        Mnemonic::Wrgsbase => base(Op::WriteBase, 1),
        _ => return None,
    })
}
