//! Lowering: MMX.

use super::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use super::sse::lanes::{find2, has_immediate};
use super::string::address_cut;
use crate::ir::kernels::TwoSources;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::ir::vector::Shape;
use crate::ir::vector::scalar::{DOUBLE, TRUNCATED};
use iced_x86::{Instruction, Mnemonic, Register};

fn shape(mnemonic: Mnemonic) -> Shape {
    use Mnemonic::*;
    match mnemonic {
        Packsswb | Packssdw | Packuswb | Phaddw | Phaddd | Phaddsw | Phsubw | Phsubd | Phsubsw => Shape::Concatenated,
        Punpckhbw | Punpckhwd | Punpckhdq => Shape::High,
        Pshufb => Shape::Indexed,
        Palignr => Shape::Aligned,
        Pshufw => Shape::Words,
        _ => Shape::Low,
    }
}

fn lower_conversion(l: &Lowerer, i: &Instruction) -> Option<Uop> {
    use Mnemonic::*;
    let (rr, rm, imm) = match i.mnemonic() {
        Cvtps2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, 0),
        Cvttps2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, TRUNCATED),
        Cvtpd2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, DOUBLE),
        Cvttpd2pi => (Op::MmxFromFloatR, Op::MmxFromFloatM, DOUBLE | TRUNCATED),
        Cvtpi2ps => (Op::MmxToFloatR, Op::MmxToFloatM, 0),
        Cvtpi2pd => (Op::MmxToFloatR, Op::MmxToFloatM, DOUBLE),
        _ => return None,
    };
    let mut u = if is_mem(i, 1) { l.mem(rm, 1, i) } else { l.uop(rr, 1) };
    if is_mem(i, 1) {
        u.set_memory_bytes(i.memory_size().size());
    } else {
        u.base = i.op1_register().number() as u8;
    }
    u.r1 = i.op0_register().number() as u8;
    u.set_imm8(imm as u8);
    Some(u)
}

fn lower_move(l: &Lowerer, i: &Instruction) -> Option<Uop> {
    let number = |n: u32| i.op_register(n).number() as u8;
    let memory = |op: Op| {
        let mut u = l.mem(op, 8, i);
        u.set_memory_bytes(i.memory_size().size());
        u
    };
    if is_mem(i, 0) {
        let mut u = memory(Op::MmxMovMr);
        u.r1 = number(1);
        return Some(u);
    }
    let to = i.op0_register();
    if is_mem(i, 1) {
        let mut u = memory(Op::MmxMovRm);
        u.r1 = number(0);
        return Some(u);
    }
    let from = i.op1_register();
    let kind = |register: Register| (register.is_gpr(), register.is_mm());
    let op = match (kind(to), kind(from)) {
        ((true, _), _) => Op::MmxToGpr,
        (_, (true, _)) => Op::MmxFromGpr,
        ((_, true), (_, true)) => Op::MmxRr,
        ((_, true), _) => Op::MmxFromXmm,
        _ => Op::MmxToXmm,
    };
    let mut u = l.uop(op, 8);
    (u.r1, u.base) = (if to.is_gpr() { reg(to) } else { number(0) }, if from.is_gpr() { reg(from) } else { number(1) });
    u.set_imm8(if to.is_gpr() { to.size() } else { from.size() } as u8);
    if op == Op::MmxRr {
        u.set_kernel(TwoSources::Movq as usize);
    }
    Some(u)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    if i.mnemonic() == Emms {
        return Some((l.uop(Op::Emms, 1), End::Continues));
    }
    if let Some(u) = lower_conversion(l, i) {
        return Some((u, End::Continues));
    }
    if !(0..i.op_count()).any(|n| is_reg(i, n) && i.op_register(n).is_mm()) {
        return None;
    }
    let number = |n: u32| i.op_register(n).number() as u8;
    let u = match i.mnemonic() {
        Movd | Movq | Movntq | Movq2dq | Movdq2q => lower_move(l, i)?,
        Pextrw => {
            let mut u = l.uop(Op::MmxExtract, 4);
            (u.r1, u.base) = (reg(i.op0_register()), number(1));
            u.set_imm8(i.immediate8());
            u
        }
        Pinsrw => {
            let mut u = if is_mem(i, 1) { l.mem(Op::MmxInsertM, 2, i) } else { l.uop(Op::MmxInsertR, 4) };
            if is_reg(i, 1) {
                u.base = reg(i.op1_register());
            }
            u.r1 = number(0);
            u.set_imm8(i.immediate8());
            u
        }
        Pmovmskb => {
            let mut u = l.uop(Op::MmxMoveMask, 4);
            (u.r1, u.base) = (reg(i.op0_register()), number(1));
            u
        }
        Maskmovq => {
            let mut u = l.uop(Op::MmxMaskMove, 8);
            (u.r1, u.r2) = (number(1), number(2));
            u.seg = (i.memory_segment() as u32).wrapping_sub(Register::ES as u32) as u8;
            u.scale = address_cut(i.op0_kind())?;
            u
        }
        mnemonic => {
            let immediate = has_immediate(i);
            let kernel = if mnemonic == Pshufw { 0 } else { find2(mnemonic, immediate)? as usize };
            let source = if immediate && i.op_count() == 2 { 0 } else { 1 };
            let mut u = if is_mem(i, source) {
                let mut u = l.mem(Op::MmxRm, 8, i);
                u.set_memory_bytes(i.memory_size().size());
                u
            } else {
                let mut u = l.uop(Op::MmxRr, 8);
                u.base = number(source);
                u
            };
            (u.r1, u.r2) = (number(0), number(0));
            u.set_kernel(kernel);
            u.set_r4(shape(mnemonic) as u8);
            if immediate {
                u.set_imm8(i.immediate8());
            }
            u
        }
    };
    Some((u, End::Continues))
}
