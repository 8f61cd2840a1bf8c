//! Lowering: the instructions on control and debug registers, caches and translations.

use super::lowerer::{End, Lowered, Lowerer, is_mem, reg};
use crate::ir::op::Op;
use iced_x86::{Mnemonic, Register};

fn control_number(register: Register) -> Option<u64> {
    matches!(register, Register::CR0 | Register::CR2 | Register::CR3 | Register::CR4 | Register::CR8)
        .then(|| register.number() as u64)
}

fn debug_number(register: Register) -> Option<u64> {
    (register.is_dr() && register.number() < 8).then(|| register.number() as u64)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &iced_x86::Instruction) -> Lowered {
    let undefined = || Some((l.uop(Op::Undefined, 1), End::Ends));
    let special = |op: Op, general: Register, number: Option<u64>| {
        let Some(number) = number else { return undefined() };
        let mut u = l.uop(op, general.size());
        u.r1 = reg(general);
        u.imm = number;
        Some((u, End::Ends))
    };
    let simple = |op: Op| Some((l.uop(op, 1), End::Ends));
    match i.mnemonic() {
        Mnemonic::Mov if i.op0_register().is_cr() => {
            special(Op::MovToCr, i.op1_register(), control_number(i.op0_register()))
        }
        Mnemonic::Mov if i.op1_register().is_cr() => {
            special(Op::MovFromCr, i.op0_register(), control_number(i.op1_register()))
        }
        Mnemonic::Mov if i.op0_register().is_dr() => {
            special(Op::MovToDr, i.op1_register(), debug_number(i.op0_register()))
        }
        Mnemonic::Mov if i.op1_register().is_dr() => {
            special(Op::MovFromDr, i.op0_register(), debug_number(i.op1_register()))
        }
        Mnemonic::Mov if i.op0_register().is_tr() || i.op1_register().is_tr() => undefined(),
        Mnemonic::Rdpkru => simple(Op::Rdpkru),
        Mnemonic::Wrpkru => simple(Op::Wrpkru),
        Mnemonic::Clts => simple(Op::Clts),
        Mnemonic::Smsw if is_mem(i, 0) => Some((l.mem(Op::SmswM, 2, i), End::Continues)),
        Mnemonic::Smsw => {
            let mut u = l.uop(Op::SmswR, i.op0_register().size());
            u.r1 = reg(i.op0_register());
            Some((u, End::Continues))
        }
        Mnemonic::Lmsw if is_mem(i, 0) => Some((l.mem(Op::LmswM, 2, i), End::Ends)),
        Mnemonic::Lmsw => {
            let mut u = l.uop(Op::LmswR, 2);
            u.r1 = reg(i.op0_register());
            Some((u, End::Ends))
        }
        Mnemonic::Invlpg => Some((l.mem(Op::Invlpg, 1, i), End::Ends)),
        Mnemonic::Invpcid => {
            let mut u = l.mem(Op::Invpcid, i.op0_register().size(), i);
            u.r1 = reg(i.op0_register());
            Some((u, End::Ends))
        }
        Mnemonic::Invd | Mnemonic::Wbinvd | Mnemonic::Wbnoinvd => {
            let mut u = l.uop(Op::InvalidateCaches, 1);
            u.imm = match i.mnemonic() {
                Mnemonic::Invd => 0,
                Mnemonic::Wbinvd => 1,
                _ => 2,
            };
            Some((u, End::Ends))
        }
        Mnemonic::Clac => simple(Op::SetAc),
        Mnemonic::Stac => {
            let mut u = l.uop(Op::SetAc, 1);
            u.imm = 1;
            Some((u, End::Ends))
        }
        _ => None,
    }
}
