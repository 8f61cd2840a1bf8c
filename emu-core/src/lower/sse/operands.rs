//! Lowering: encodings, and how a vector micro-op holds its operands.

use super::lanes::has_immediate;
use super::suppression::reads_all;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::ir::vector::{ROUNDING_MXCSR, ROUNDING_SAE, column};
use crate::lower::lowerer::{Lowerer, is_mem};
use iced_x86::{EncodingKind, Instruction, Register, RoundingControl};

/// Number of a vector, mask or general register.
pub fn number(register: Register) -> u8 {
    register.number() as u8
}

/// The longest vector register among the operands, bytes; 16 when there is none.
pub fn vector_bytes(i: &Instruction) -> usize {
    (0..i.op_count())
        .map(|n| i.op_register(n))
        .filter(|register| register.is_vector_register())
        .map(|register| register.size())
        .max()
        .unwrap_or(16)
}

/// The table column of an instruction whose vectors have `bytes`.
pub fn column_of(i: &Instruction, bytes: usize) -> usize {
    match i.encoding() {
        EncodingKind::Legacy => column::LEGACY,
        EncodingKind::EVEX => column::EVEX,
        _ if bytes == 32 => column::VEX256,
        _ => column::VEX128,
    }
}

/// A micro-op whose memory operand (if any) and EVEX fields are filled in; `bytes` is the vector length, 16 to 64.
pub fn vector_uop(l: &Lowerer, op: Op, i: &Instruction, bytes: usize) -> Uop {
    let mut u = Uop::new(op, column_of(i, bytes), 0, 0);
    if (0..i.op_count()).any(|n| is_mem(i, n)) {
        l.set_mem(&mut u, i);
        u.set_memory_bytes(i.memory_size().size());
    }
    let rounding = match i.rounding_control() {
        RoundingControl::None if i.suppress_all_exceptions() => ROUNDING_SAE,
        RoundingControl::None => ROUNDING_MXCSR,
        RoundingControl::RoundToNearest => 1,
        RoundingControl::RoundDown => 2,
        RoundingControl::RoundUp => 3,
        RoundingControl::RoundTowardZero => 4,
    };
    let mask = if i.has_op_mask() { number(i.op_mask()) } else { 0 };
    u.set_masking(mask, i.zeroing_masking());
    u.set_broadcast(i.is_broadcast());
    u.set_rounding(rounding);
    u.set_reads_all(mask != 0 && reads_all(i.mnemonic(), has_immediate(i)));
    u.set_lanes(bytes / 16);
    u
}
