//! Operations that work on each 128-bit lane by itself: their tables and handlers.

use super::operands::{Encoding, number, vector_bytes, vector_uop};
use super::{crypto, integer, logic, ternary};
use crate::decode::lower::{End, Lowered, Lowerer, is_mem};
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// An operation on one lane: first source, second source (the one that may be in memory), and the immediate with the
/// number of the lane in bits 9:8.
pub type Kernel2 = fn(u128, u128, u32) -> u128;

/// A row: mnemonics, log2 of the bytes of the elements that masks select, the operation.
pub struct TwoSources(pub &'static [Mnemonic], pub u32, pub Kernel2);

/// An operation with a third source: the destination, the register of a fourth operand, or XMM0.
pub type Kernel3 = fn(u128, u128, u128, u32) -> u128;

/// A row of those with a third source.
pub struct ThreeSources(pub &'static [Mnemonic], pub u32, pub Kernel3);

/// All two-source operations.
const TABLES2: &[&[TwoSources]] = &[
    logic::TABLE,
    integer::TABLE,
    integer::SHIFT_EACH,
    crypto::TABLE,
    integer::SHIFT_BY_SOURCE,
    integer::PERMUTE_BY_SOURCE,
    integer::SHIFT_BY_IMMEDIATE,
    integer::PERMUTE_BY_IMMEDIATE,
];
/// The table in [`TABLES2`] whose second source is a count for all lanes.
const BY_COUNT: usize = 4;
/// Tables of forms without and with an immediate, where a mnemonic has both.
const WITHOUT_IMMEDIATE: std::ops::Range<usize> = 0..6;
const WITH_IMMEDIATE: [usize; 6] = [6, 7, 0, 1, 2, 3];

const TABLES3: &[&[ThreeSources]] = &[ternary::TABLE, crypto::TABLE3];

/// Operations by the number that a micro-op holds: the table in the high byte, the row in the low one.
#[inline(always)]
pub fn kernel2(u: &Uop) -> Kernel2 {
    TABLES2[u.kernel() >> 8][u.kernel() & 0xFF].2
}

/// The two-source operation of a mnemonic: its number, and log2 of its elements' bytes.
pub fn find2(mnemonic: Mnemonic, with_immediate: bool) -> Option<(usize, u32)> {
    let find = |table: usize| {
        let rows = TABLES2[table];
        let row = rows.iter().position(|row| row.0.contains(&mnemonic))?;
        Some((table << 8 | row, rows[row].1))
    };
    if with_immediate {
        WITH_IMMEDIATE.into_iter().find_map(find)
    } else {
        WITHOUT_IMMEDIATE.into_iter().find_map(find)
    }
}

fn find3(mnemonic: Mnemonic) -> Option<(usize, u32)> {
    TABLES3.iter().enumerate().find_map(|(table, rows)| {
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

/// A count for all lanes in the low quadword of a register.
pub fn by_count_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector(u.base).lane(0);
    apply2::<E>(cpu, u, repeated(b))
}

/// The same in memory.
pub fn by_count_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    if u.must_align() {
        cpu.require_aligned(u.seg, ea, 16, false)?;
    }
    let b = cpu.read_vector(env, u.seg, ea, 16)?.lane(0);
    apply2::<E>(cpu, u, repeated(b))
}

#[inline(always)]
fn repeated(lane: u128) -> VectorRegister {
    let mut vector = VectorRegister::ZERO;
    for n in 0..4 {
        vector.set_lane(n, lane);
    }
    vector
}

#[inline(always)]
fn apply3<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: VectorRegister) -> Exec {
    let kernel = TABLES3[u.kernel() >> 8][u.kernel() & 0xFF].2;
    let (a, c) = (*cpu.vector(u.r2), *cpu.vector(u.r4()));
    let mut out = VectorRegister::ZERO;
    let lanes = if E::EVEX { u.lanes() } else { E::LANES };
    for n in 0..lanes {
        out.set_lane(n, kernel(a.lane(n), b.lane(n), c.lane(n), u.imm8()));
    }
    cpu.commit::<E>(u, out);
    Ok(())
}

/// Three sources in registers.
pub fn three_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    apply3::<E>(cpu, u, b)
}

/// The second of three sources in memory.
pub fn three_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    apply3::<E>(cpu, u, b)
}

/// Whether an operand is an immediate byte.
pub fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8 | OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64)
}

/// Whether the last operand is an immediate byte.
pub fn has_immediate(i: &Instruction) -> bool {
    i.op_count() > 0 && is_immediate(i.op_kind(i.op_count() - 1))
}

/// Fills in the operands of an operation: destination, sources, immediate.
pub fn sources(l: &Lowerer, i: &Instruction, rr: Op, rm: Op) -> Uop {
    let count = (0..i.op_count()).filter(|&n| !is_immediate(i.op_kind(n))).count() as u32;
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
    let legacy = u.width_index() == 0;
    u.set_r4(match count {
        4 => number(i.op_register(3)),
        _ if legacy => 0,
        _ => u.r1,
    });
    if has_immediate(i) {
        u.set_imm8(i.immediate8());
    }
    u.set_must_align(legacy && u.memory_bytes() == 16);
    u
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    if (0..i.op_count()).any(|n| i.op_register(n).is_mm()) {
        return None;
    }
    // Comparisons of AVX-512 have their result in a mask register.
    if i.op0_register().is_k() {
        return None;
    }
    let (kernel, log2, rr, rm) = match find2(i.mnemonic(), has_immediate(i)) {
        Some((kernel, log2)) if kernel >> 8 == BY_COUNT => (kernel, log2, Op::CountRr, Op::CountRm),
        Some((kernel, log2)) => (kernel, log2, Op::TwoRr, Op::TwoRm),
        None => {
            let (kernel, log2) = find3(i.mnemonic())?;
            (kernel, log2, Op::ThreeRr, Op::ThreeRm)
        }
    };
    let mut u = sources(l, i, rr, rm);
    u.set_kernel(kernel);
    u.set_element_log2(log2);
    u.set_scalar(matches!(i.mnemonic(), Mnemonic::Vmovss | Mnemonic::Vmovsd));
    if matches!(i.mnemonic(), Mnemonic::Insertps | Mnemonic::Vinsertps) && is_mem(i, i.op_count() - 2) {
        // There is one element in memory.
        u.set_imm8(i.immediate8() & 0x3F);
    }
    Some((u, End::Continues))
}
