//! Lowering: gathers and scatters: memory operands with an index of each element.

use super::operands::{number, vector_uop};
use crate::ir::op::Op;
use crate::ir::uop::REG_ZERO;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem};
use iced_x86::Mnemonic::*;
use iced_x86::{Instruction, Register};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    // Log2 of the bytes of an element, whether indexes are quadwords, whether it stores.
    let (log2, wide, store) = match i.mnemonic() {
        Vgatherdps | Vpgatherdd => (2, false, false),
        Vgatherdpd | Vpgatherdq => (3, false, false),
        Vgatherqps | Vpgatherqd => (2, true, false),
        Vgatherqpd | Vpgatherqq => (3, true, false),
        Vscatterdps | Vpscatterdd => (2, false, true),
        Vscatterdpd | Vpscatterdq => (3, false, true),
        Vscatterqps | Vpscatterqd => (2, true, true),
        Vscatterqpd | Vpscatterqq => (3, true, true),
        _ => return None,
    };
    let index = i.memory_index();
    let data = if store { i.op1_register() } else { i.op0_register() };
    let vex = i.op_count() == 3 && !is_mem(i, 0);
    let op = match (store, vex) {
        (true, _) => Op::Scatter,
        (_, true) => Op::Gather,
        _ => Op::GatherMasked,
    };
    let mut u = vector_uop(l, op, i, index.size().max(data.size()));
    let address_size = match i.memory_base() {
        Register::None => i.memory_displ_size() as usize,
        base => base.size(),
    };
    u.scale = u.scale & 3 | if address_size == 4 { 32 << 2 } else { 0 };
    if i.memory_base() == Register::None {
        u.base = REG_ZERO;
    }
    u.index = number(index);
    u.r1 = number(data);
    u.r2 = if vex { number(i.op2_register()) } else { u.r1 };
    let count = (data.size() >> log2).min(index.size() >> if wide { 3 } else { 2 });
    u.set_r4(count as u8);
    u.set_imm8(u8::from(wide));
    u.set_element_log2(log2);
    Some((u, End::Continues))
}
