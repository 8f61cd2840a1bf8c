//! Lowering: loads and stores of segment registers (SDM Vol. 3A 3.4.3, 5.5 to 5.7).

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::operands::IN_MEMORY;
use emu_vmx::arch::segment::SegmentRegister;
use iced_x86::{Instruction, Mnemonic, Register};

fn segment_number(register: Register) -> u8 {
    (register as u32).wrapping_sub(Register::ES as u32) as u8
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let far_pointer = |segment: SegmentRegister| {
        let mut u = l.mem(Op::LoadFarPointer, i.op0_register().size(), i);
        u.r1 = segment as u8;
        u.r2 = reg(i.op0_register());
        u
    };
    let ends_if_ss = |number: u8| if number == SegmentRegister::Ss as u8 { End::Ends } else { End::Continues };
    Some(match i.mnemonic() {
        Mnemonic::Mov if i.op0_register().is_segment_register() => {
            let number = segment_number(i.op0_register());
            if number == SegmentRegister::Cs as u8 || number > 5 {
                return Some((l.uop(Op::Undefined, 1), End::Ends));
            }
            let mut u = if is_mem(i, 1) { l.mem(Op::MovToSreg, 2, i) } else { l.uop(Op::MovToSreg, 2) };
            u.r1 = number;
            u.r2 = if is_mem(i, 1) { IN_MEMORY } else { reg(i.op1_register()) };
            (u, ends_if_ss(number))
        }
        Mnemonic::Mov if i.op1_register().is_segment_register() => {
            let number = segment_number(i.op1_register());
            if number > 5 {
                return Some((l.uop(Op::Undefined, 1), End::Ends));
            }
            let mut u = if is_mem(i, 0) {
                l.mem(Op::StoreSreg, 2, i)
            } else {
                let mut u = l.uop(Op::MovFromSreg, i.op0_register().size());
                u.r2 = reg(i.op0_register());
                u
            };
            u.r1 = number;
            (u, End::Continues)
        }
        Mnemonic::Push if i.op0_register().is_segment_register() => {
            let mut u = l.uop(Op::PushSreg, stack_bytes(i));
            u.r1 = segment_number(i.op0_register());
            (u, End::Continues)
        }
        Mnemonic::Pop if i.op0_register().is_segment_register() => {
            let number = segment_number(i.op0_register());
            if number == SegmentRegister::Cs as u8 {
                return Some((l.uop(Op::Undefined, 1), End::Ends));
            }
            let mut u = l.uop(Op::PopSreg, stack_bytes(i));
            u.r1 = number;
            (u, ends_if_ss(number))
        }
        Mnemonic::Lds => (far_pointer(SegmentRegister::Ds), End::Continues),
        Mnemonic::Les => (far_pointer(SegmentRegister::Es), End::Continues),
        Mnemonic::Lfs => (far_pointer(SegmentRegister::Fs), End::Continues),
        Mnemonic::Lgs => (far_pointer(SegmentRegister::Gs), End::Continues),
        Mnemonic::Lss => (far_pointer(SegmentRegister::Ss), End::Ends),
        _ => return None,
    })
}

/// Operand width of PUSH and POP of a segment register, bytes.
fn stack_bytes(i: &Instruction) -> usize {
    debug_assert_eq!(operand_bytes(i, 0), 2);
    i.stack_pointer_increment().unsigned_abs() as usize
}
