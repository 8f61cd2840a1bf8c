//! Lowering: integer arithmetic, logic and moves.

use super::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};

/// The five rows of a two-operand operation, and whether it is commutative with memory first.
fn alu_rows(mnemonic: Mnemonic) -> Option<[Op; 5]> {
    Some(match mnemonic {
        Mnemonic::Add => [Op::AddRr, Op::AddRm, Op::AddMr, Op::AddRi, Op::AddMi],
        Mnemonic::Or => [Op::OrRr, Op::OrRm, Op::OrMr, Op::OrRi, Op::OrMi],
        Mnemonic::Adc => [Op::AdcRr, Op::AdcRm, Op::AdcMr, Op::AdcRi, Op::AdcMi],
        Mnemonic::Sbb => [Op::SbbRr, Op::SbbRm, Op::SbbMr, Op::SbbRi, Op::SbbMi],
        Mnemonic::And => [Op::AndRr, Op::AndRm, Op::AndMr, Op::AndRi, Op::AndMi],
        Mnemonic::Sub => [Op::SubRr, Op::SubRm, Op::SubMr, Op::SubRi, Op::SubMi],
        Mnemonic::Xor => [Op::XorRr, Op::XorRm, Op::XorMr, Op::XorRi, Op::XorMi],
        Mnemonic::Cmp => [Op::CmpRr, Op::CmpRm, Op::CmpMr, Op::CmpRi, Op::CmpMi],
        Mnemonic::Test => [Op::TestRr, Op::TestMr, Op::TestMr, Op::TestRi, Op::TestMi],
        Mnemonic::Mov => [Op::MovRr, Op::MovRm, Op::MovMr, Op::MovRi, Op::MovMi],
        _ => return None,
    })
}

/// The condition code of Jcc, SETcc or CMOVcc.
pub fn condition_of(i: &Instruction) -> Option<u8> {
    // The decoder numbers o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g from 1: the hardware's order.
    (i.condition_code() as u8).checked_sub(1)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let m = i.mnemonic();
    let bytes = if i.op_count() > 0 { operand_bytes(i, 0) } else { 0 };
    if let Some(rows) = alu_rows(m) {
        return lower_binary(l, i, rows, bytes);
    }
    let unary = |r: Op, mem: Op| {
        if is_mem(i, 0) {
            l.mem(mem, bytes, i)
        } else {
            let mut u = l.uop(r, bytes);
            u.r1 = reg(i.op0_register());
            u
        }
    };
    // Destination register, source register or memory.
    let two = |rr: Op, rm: Op| {
        let mut u = if is_mem(i, 1) { l.mem(rm, bytes, i) } else { l.uop(rr, bytes) };
        u.r1 = reg(i.op0_register());
        if is_reg(i, 1) {
            u.r2 = reg(i.op1_register());
        }
        u
    };
    let uop = match m {
        Mnemonic::Inc => unary(Op::IncR, Op::IncM),
        Mnemonic::Dec => unary(Op::DecR, Op::DecM),
        Mnemonic::Not => unary(Op::NotR, Op::NotM),
        Mnemonic::Neg => unary(Op::NegR, Op::NegM),
        Mnemonic::Movzx => match operand_bytes(i, 1) {
            1 => two(Op::MovzxRr8, Op::MovzxRm8),
            _ => two(Op::MovzxRr16, Op::MovzxRm16),
        },
        Mnemonic::Movsx | Mnemonic::Movsxd => match operand_bytes(i, 1) {
            1 => two(Op::MovsxRr8, Op::MovsxRm8),
            2 if bytes != 2 || m == Mnemonic::Movsx => two(Op::MovsxRr16, Op::MovsxRm16),
            2 => two(Op::MovRr, Op::MovRm),
            _ if bytes == 8 => two(Op::MovsxRr32, Op::MovsxRm32),
            _ => two(Op::MovRr, Op::MovRm),
        },
        Mnemonic::Lea => {
            let mut u = l.mem(Op::Lea, bytes, i);
            u.r1 = reg(i.op0_register());
            u
        }
        Mnemonic::Xchg => {
            let (memory, register) = if is_mem(i, 1) { (1, 0) } else { (0, 1) };
            if is_mem(i, memory) {
                let mut u = l.mem(Op::XchgMr, operand_bytes(i, register), i);
                u.r1 = reg(i.op_register(register));
                u
            } else {
                two(Op::XchgRr, Op::XchgRr)
            }
        }
        Mnemonic::Cbw => l.uop(Op::Cbw, 2),
        Mnemonic::Cwde => l.uop(Op::Cbw, 4),
        Mnemonic::Cdqe => l.uop(Op::Cbw, 8),
        Mnemonic::Cwd => l.uop(Op::Cwd, 2),
        Mnemonic::Cdq => l.uop(Op::Cwd, 4),
        Mnemonic::Cqo => l.uop(Op::Cwd, 8),
        Mnemonic::Nop | Mnemonic::Reservednop => l.uop(Op::Nop, 4),
        _ => {
            let code = condition_of(i)?;
            // Jcc and LOOPcc have a condition too, and so have CMPccXADD and FCMOVcc.
            let mut u = match i.op_count() {
                1 if i.flow_control() == FlowControl::Next => unary(Op::SetccR, Op::SetccM),
                2 if is_reg(i, 0) && i.op0_register().is_gpr() => two(Op::CmovRr, Op::CmovRm),
                _ => return None,
            };
            u.imm = u64::from(code);
            u
        }
    };
    Some((uop, End::Continues))
}

fn lower_binary(l: &Lowerer, i: &Instruction, [rr, rm, mr, ri, mi]: [Op; 5], bytes: usize) -> Lowered {
    let gpr = |n: u32| is_reg(i, n) && i.op_register(n).is_gpr();
    if (is_reg(i, 0) && !gpr(0)) || (is_reg(i, 1) && !gpr(1)) {
        // MOV to and from segment, control and debug registers is the system family's.
        return None;
    }
    let mask = u64::MAX >> (64 - 8 * bytes.clamp(1, 8));
    let uop = match (i.op_kind(0), i.op_kind(1)) {
        (OpKind::Register, OpKind::Register) => {
            let (r1, r2) = (reg(i.op0_register()), reg(i.op1_register()));
            let zero = r1 == r2 && matches!(rr, Op::XorRr | Op::SubRr);
            let mut u = l.uop(if zero && rr == Op::XorRr { Op::XorZero } else { rr }, bytes);
            (u.r1, u.r2) = (r1, r2);
            u
        }
        (OpKind::Register, OpKind::Memory) => {
            let mut u = l.mem(rm, bytes, i);
            u.r1 = reg(i.op0_register());
            absolute(&mut u, i, Op::MovRm, Op::MovRmAbsolute);
            u
        }
        (OpKind::Memory, OpKind::Register) => {
            let mut u = l.mem(mr, bytes, i);
            u.r1 = reg(i.op1_register());
            absolute(&mut u, i, Op::MovMr, Op::MovMrAbsolute);
            u
        }
        (OpKind::Register, _) => {
            let mut u = l.uop(ri, bytes);
            u.r1 = reg(i.op0_register());
            u.imm = i.immediate(1) & mask;
            u
        }
        (OpKind::Memory, _) => {
            let mut u = l.mem(mi, bytes, i);
            u.imm = i.immediate(1) & mask;
            u
        }
        _ => return None,
    };
    Some((uop, End::Continues))
}

/// MOV with a 64-bit moffs has an address that the displacement field cannot hold.
fn absolute(u: &mut Uop, i: &Instruction, from: Op, to: Op) {
    if i.memory_displ_size() == 8
        && i.memory_base() == iced_x86::Register::None
        && i.memory_index() == iced_x86::Register::None
        && u.operation() == from
    {
        u.set_operation(to);
        u.imm = i.memory_displacement64();
    }
}
