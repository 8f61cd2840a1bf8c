//! Lowering: stack instructions.

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let uop = match i.mnemonic() {
        Mnemonic::Push => match i.op0_kind() {
            OpKind::Memory => l.mem(Op::PushM, operand_bytes(i, 0), i),
            OpKind::Register if i.op0_register().is_gpr() => {
                let mut u = l.uop(Op::PushR, operand_bytes(i, 0));
                u.r1 = reg(i.op0_register());
                u
            }
            OpKind::Register => return None,
            _ => {
                use iced_x86::Code::*;
                let bytes = match i.code() {
                    Push_imm16 | Pushw_imm8 => 2,
                    Pushd_imm32 | Pushd_imm8 => 4,
                    _ => 8,
                };
                let mut u = l.uop(Op::PushI, bytes);
                u.imm = i.immediate(0) & (u64::MAX >> (64 - 8 * bytes));
                u
            }
        },
        Mnemonic::Pop if is_mem(i, 0) => l.mem(Op::PopM, operand_bytes(i, 0), i),
        Mnemonic::Pop if i.op0_register().is_gpr() => {
            let mut u = l.uop(Op::PopR, operand_bytes(i, 0));
            u.r1 = reg(i.op0_register());
            u
        }
        Mnemonic::Pusha => l.uop(Op::PushA, 2),
        Mnemonic::Pushad => l.uop(Op::PushA, 4),
        Mnemonic::Popa => l.uop(Op::PopA, 2),
        Mnemonic::Popad => l.uop(Op::PopA, 4),
        Mnemonic::Enter => {
            use iced_x86::Code::*;
            let bytes = match i.code() {
                Enterw_imm16_imm8 => 2,
                Enterd_imm16_imm8 => 4,
                _ => 8,
            };
            let mut u = l.uop(Op::Enter, bytes);
            u.imm = u64::from(i.immediate16());
            u.r1 = i.immediate8_2nd();
            u
        }
        Mnemonic::Leave => {
            use iced_x86::Code::*;
            let bytes = match i.code() {
                Leavew => 2,
                Leaved => 4,
                _ => 8,
            };
            l.uop(Op::Leave, bytes)
        }
        _ => return None,
    };
    Some((uop, End::Continues))
}
