//! Operations that work on each 128-bit lane by itself: their tables and handlers.

use super::logic;
use super::operands::{Encoding, number, vector_bytes, vector_uop};
use crate::decode::lower::{End, Lowered, Lowerer, is_mem};
use crate::decode::uop::Uop;
use crate::exec::table::Op;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::state::cpu::{Cpu, Env};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// An operation on one lane: first source, second source (the one that may be in memory), and the immediate with the
/// number of the lane in bits 9:8.
pub type Kernel2 = fn(u128, u128, u32) -> u128;

/// A row: mnemonics, log2 of the bytes of the elements that masks select, the operation.
pub struct TwoSources(pub &'static [Mnemonic], pub u32, pub Kernel2);

/// All two-source operations.
const TABLES2: &[&[TwoSources]] = &[logic::TABLE];

/// Operations by the number that a micro-op holds: the table in the high byte, the row in the low one.
#[inline(always)]
fn kernel2(u: &Uop) -> Kernel2 {
    TABLES2[u.kernel() >> 8][u.kernel() & 0xFF].2
}

fn find2(mnemonic: Mnemonic) -> Option<(usize, u32)> {
    TABLES2.iter().enumerate().find_map(|(table, rows)| {
        let row = rows.iter().position(|row| row.0.contains(&mnemonic))?;
        Some((table << 8 | row, rows[row].1))
    })
}

#[inline(always)]
fn apply2<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: VectorRegister) -> Exec {
    let kernel = kernel2(u);
    let a = *cpu.vector(u.r2);
    let mut out = VectorRegister::ZERO;
    let lanes = if E::EVEX { u.lanes() } else { E::LANES };
    for n in 0..lanes {
        out.set_lane(n, kernel(a.lane(n), b.lane(n), u.imm8() | (n as u32) << 8));
    }
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Two sources in registers.
pub fn two_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    apply2::<E>(cpu, u, b)
}

/// The second source in memory.
pub fn two_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply2::<E>(cpu, u, b)
}

/// Fills in the operands of an operation: destination, sources, immediate.
pub fn sources(l: &Lowerer, i: &Instruction, rr: Op, rm: Op) -> Uop {
    let immediate = |kind: OpKind| {
        matches!(kind, OpKind::Immediate8 | OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64)
    };
    let count = (0..i.op_count()).filter(|&n| !immediate(i.op_kind(n))).count() as u32;
    // Which operands are the first and the second source; a legacy form's destination is its first source.
    let (first, second) = match count {
        0 | 1 => (0, 0),
        2 => (0, 1),
        _ => (1, 2),
    };
    // FMA4 and the like, with the memory operand last, belong to no model.
    let bytes = vector_bytes(i);
    let mut u = if is_mem(i, second) {
        vector_uop(l, rm, i, bytes)
    } else {
        let mut u = vector_uop(l, rr, i, bytes);
        u.base = number(i.op_register(second));
        u
    };
    u.r1 = number(i.op0_register());
    u.r2 = number(i.op_register(first));
    if count == 4 {
        u.set_r4(number(i.op_register(3)));
    }
    if i.op_count() > 0 && immediate(i.op_kind(i.op_count() - 1)) {
        u.set_imm8(i.immediate8());
    }
    u.set_must_align(u.width_index() == 0 && u.memory_bytes() == 16);
    u
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if (0..i.op_count()).any(|n| i.op_register(n).is_mm()) {
        return None;
    }
    let (kernel, log2) = find2(i.mnemonic())?;
    let mut u = sources(l, i, Op::TwoRr, Op::TwoRm);
    u.set_kernel(kernel);
    u.set_element_log2(log2);
    Some((u, End::Continues))
}
