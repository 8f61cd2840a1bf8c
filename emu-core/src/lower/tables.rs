//! Lowering: descriptor-table registers and descriptor inspection: LGDT to LTR, LAR, LSL, VERR, VERW, ARPL.

use super::lowerer::{End, Lowered, Lowerer, is_mem, reg};
use crate::ir::op::Op;
use crate::ir::operands::IN_MEMORY;
use emu_vmx::arch::segment::SegmentRegister;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use iced_x86::Code::*;
    let table = |op: Op| {
        let mut u = l.mem(op, 4, i);
        u.imm = if matches!(i.code(), Lgdt_m1632_16 | Lidt_m1632_16) { 0x00FF_FFFF } else { 0xFFFF_FFFF };
        u
    };
    // Operand `n` is a 16-bit register or memory operand: its register goes to `r2`.
    let word = |op: Op, bytes: usize, n: u32| {
        let mut u = if is_mem(i, n) { l.mem(op, bytes, i) } else { l.uop(op, bytes) };
        u.r2 = if is_mem(i, n) { IN_MEMORY } else { reg(i.op_register(n)) };
        u
    };
    let store = |register: SegmentRegister| {
        let bytes = if is_mem(i, 0) { 2 } else { i.op0_register().size() };
        let mut u = word(Op::StoreSystemSelector, bytes, 0);
        u.r1 = register as u8;
        u
    };
    let inspect = |op: Op| {
        let mut u = word(op, i.op0_register().size(), 1);
        u.r1 = reg(i.op0_register());
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Lgdt => table(Op::Lgdt),
        Mnemonic::Lidt => table(Op::Lidt),
        Mnemonic::Sgdt => table(Op::Sgdt),
        Mnemonic::Sidt => table(Op::Sidt),
        Mnemonic::Lldt => word(Op::Lldt, 2, 0),
        Mnemonic::Ltr => word(Op::Ltr, 2, 0),
        Mnemonic::Sldt => store(SegmentRegister::Ldtr),
        Mnemonic::Str => store(SegmentRegister::Tr),
        Mnemonic::Lar => inspect(Op::Lar),
        Mnemonic::Lsl => inspect(Op::Lsl),
        Mnemonic::Verr => word(Op::Verify, 2, 0),
        Mnemonic::Verw => {
            let mut u = word(Op::Verify, 2, 0);
            u.imm = 1;
            u
        }
        Mnemonic::Arpl => {
            let mut u = word(Op::Arpl, 2, 0);
            u.r1 = reg(i.op1_register());
            u
        }
        _ => return None,
    };
    Some((uop, End::Continues))
}
