//! Lowering: single bits, bit scans and counts, byte order, CRC32.

use super::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use iced_x86::{Instruction, Mnemonic};

/// TZCNT and LZCNT as processors without them execute the bytes: BSF and BSR (the F3 prefix means nothing).
pub fn lower_as_scan(l: &Lowerer, i: &Instruction) -> Lowered {
    let (rr, rm) = match i.mnemonic() {
        Mnemonic::Tzcnt => (Op::BsfRr, Op::BsfRm),
        Mnemonic::Lzcnt => (Op::BsrRr, Op::BsrRm),
        _ => return None,
    };
    Some((source(l, i, rr, rm, operand_bytes(i, 0)), End::Continues))
}

/// Destination register, source register or memory; `bytes` is the width.
fn source(l: &Lowerer, i: &Instruction, rr: Op, rm: Op, bytes: usize) -> Uop {
    let mut u = if is_mem(i, 1) {
        l.mem(rm, bytes, i)
    } else {
        let mut u = l.uop(rr, bytes);
        u.r2 = reg(i.op1_register());
        u
    };
    u.r1 = reg(i.op0_register());
    u
}

fn lower_bit(l: &Lowerer, i: &Instruction, [rr, ri, mr, mi]: [Op; 4]) -> Uop {
    let bytes = operand_bytes(i, 0);
    let mut u = match (is_mem(i, 0), is_reg(i, 1)) {
        (false, true) => l.uop(rr, bytes),
        (false, false) => l.uop(ri, bytes),
        (true, true) => l.mem(mr, bytes, i),
        (true, false) => l.mem(mi, bytes, i),
    };
    if !is_mem(i, 0) {
        u.r1 = reg(i.op0_register());
    }
    if is_reg(i, 1) {
        u.r2 = reg(i.op1_register());
    } else {
        u.imm = i.immediate(1) & (8 * bytes as u64 - 1);
    }
    u
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let bytes = if i.op_count() > 0 { operand_bytes(i, 0) } else { 0 };
    let u = match i.mnemonic() {
        Mnemonic::Bt => lower_bit(l, i, [Op::BtRr, Op::BtRi, Op::BtMr, Op::BtMi]),
        Mnemonic::Bts => lower_bit(l, i, [Op::BtsRr, Op::BtsRi, Op::BtsMr, Op::BtsMi]),
        Mnemonic::Btr => lower_bit(l, i, [Op::BtrRr, Op::BtrRi, Op::BtrMr, Op::BtrMi]),
        Mnemonic::Btc => lower_bit(l, i, [Op::BtcRr, Op::BtcRi, Op::BtcMr, Op::BtcMi]),
        Mnemonic::Bsf => source(l, i, Op::BsfRr, Op::BsfRm, bytes),
        Mnemonic::Bsr => source(l, i, Op::BsrRr, Op::BsrRm, bytes),
        Mnemonic::Popcnt => source(l, i, Op::PopcntRr, Op::PopcntRm, bytes),
        Mnemonic::Lzcnt => source(l, i, Op::LzcntRr, Op::LzcntRm, bytes),
        Mnemonic::Tzcnt => source(l, i, Op::TzcntRr, Op::TzcntRm, bytes),
        Mnemonic::Crc32 => source(l, i, Op::Crc32Rr, Op::Crc32Rm, operand_bytes(i, 1)),
        Mnemonic::Bswap => {
            let mut u = l.uop(Op::Bswap, bytes);
            u.r1 = reg(i.op0_register());
            u
        }
        Mnemonic::Movbe if is_mem(i, 0) => {
            let mut u = l.mem(Op::MovbeMr, bytes, i);
            u.r1 = reg(i.op1_register());
            u
        }
        Mnemonic::Movbe => source(l, i, Op::MovbeRm, Op::MovbeRm, bytes),
        _ => return None,
    };
    Some((u, End::Continues))
}
