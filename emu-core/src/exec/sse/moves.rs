//! Moves between vector registers, memory and general registers.

use super::operands::{Encoding, Evex, column, number, vector_bytes, vector_uop};
use crate::decode::lower::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use iced_x86::{Instruction, Mnemonic};

/// Vector to vector, all of it.
pub fn vmov_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = *cpu.vector(u.base);
    cpu.commit::<E>(u, value);
    Ok(())
}

/// Memory to vector; what the memory operand does not fill is cleared.
pub fn vmov_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    if u.must_align() {
        let ea = cpu.ea(u);
        cpu.require_aligned(u.seg, ea, u.memory_bytes(), false)?;
    }
    let value = cpu.vector_operand::<E>(env, u)?;
    cpu.commit::<E>(u, value);
    Ok(())
}

/// Vector to memory.
pub fn vmov_mr<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    if u.must_align() {
        let ea = cpu.ea(u);
        cpu.require_aligned(u.seg, ea, u.memory_bytes(), true)?;
    }
    let value = *cpu.vector(u.r1);
    cpu.store_vector::<E>(env, u, &value)
}

/// The high quadword of lane 0 to memory: MOVHPS, MOVHPD.
pub fn store_high<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let high = cpu.vector(u.r1).0[1];
    let ea = cpu.ea(u);
    cpu.write_vector(env, u.seg, ea, 8, &VectorRegister([high, 0, 0, 0, 0, 0, 0, 0]))
}

/// General register to vector, zero-extended; its size is in `imm8`.
pub fn vmov_from_gpr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.gpr[u.base as usize & 31] & (u64::MAX >> (64 - 8 * u.imm8()));
    let vector = VectorRegister([value, 0, 0, 0, 0, 0, 0, 0]);
    // No form of these has an operation mask, so that an EVEX form commits as VEX.128 does.
    if E::LEGACY {
        cpu.commit::<E>(u, vector)
    } else {
        *cpu.vector_mut(u.r1) = vector
    }
    Ok(())
}

/// Low element of a vector to a general register; its size is in `imm8`.
pub fn vmov_to_gpr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    cpu.gpr[u.r1 as usize & 31] = cpu.vector(u.base).0[0] & (u64::MAX >> (64 - 8 * u.imm8()));
    Ok(())
}

/// PEXTRB to PEXTRQ and EXTRACTPS: element `imm8` of `r2` to a general register.
pub fn extract_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    cpu.gpr[u.r1 as usize & 31] = extracted(cpu, u);
    Ok(())
}

/// The same to memory.
pub fn extract_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = VectorRegister([extracted(cpu, u), 0, 0, 0, 0, 0, 0, 0]);
    let ea = cpu.ea(u);
    cpu.write_vector(env, u.seg, ea, 1 << u.element_log2(), &value)
}

#[inline(always)]
fn extracted(cpu: &Cpu, u: &Uop) -> u64 {
    let log2 = u.element_log2();
    cpu.vector(u.r2).element(log2, u.imm8() as usize & ((16 >> log2) - 1))
}

/// PINSRB to PINSRQ from a general register.
pub fn insert_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let value = cpu.gpr[u.base as usize & 31];
    inserted::<E>(cpu, u, value);
    Ok(())
}

/// The same from memory.
pub fn insert_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    let value = cpu.read_vector(env, u.seg, ea, 1 << u.element_log2())?.0[0];
    inserted::<E>(cpu, u, value);
    Ok(())
}

#[inline(always)]
fn inserted<E: Encoding>(cpu: &mut Cpu, u: &Uop, value: u64) {
    let log2 = u.element_log2();
    let mut vector = *cpu.vector(u.r2);
    vector.set_element(log2, u.imm8() as usize & ((16 >> log2) - 1), value);
    cpu.commit::<E>(u, vector);
}

/// MOVMSKPS, MOVMSKPD, PMOVMSKB: the sign bits of all elements to a general register.
pub fn move_mask<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    cpu.gpr[u.r1 as usize & 31] = sign_mask(cpu.vector(u.base), u.element_log2(), 16 * E::LANES);
    Ok(())
}

/// The sign bits of the elements in the low `bytes` bytes.
pub fn sign_mask(vector: &VectorRegister, log2: u32, bytes: usize) -> u64 {
    let top = (8 << log2) - 1;
    (0..bytes >> log2).fold(0, |mask, n| mask | (vector.element(log2, n) >> top & 1) << n)
}

/// MASKMOVDQU: the bytes of `r1` whose byte in `base` has its top bit set go to DS:rDI.
pub fn mask_move<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let mut m = *u;
    m.base = 7;
    let mask = sign_mask(cpu.vector(u.r2), 0, 16);
    let value = *cpu.vector(u.r1);
    let ea = cpu.ea(&m);
    cpu.write_elements(env, u, ea, mask, 0, 16, &value)
}

/// VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ: loads the elements whose sign bit in `r2` is set, clears the rest.
pub fn mask_load<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let log2 = u.element_log2();
    let mask = sign_mask(cpu.vector(u.r2), log2, 16 * E::LANES);
    let ea = cpu.ea(u);
    let mut value = VectorRegister::ZERO;
    for n in (0..(16 * E::LANES) >> log2).filter(|n| mask >> n & 1 != 0) {
        let at = ea.wrapping_add((n << log2) as u64) & u.address_mask();
        let element = cpu.read_vector(env, u.seg, at, 1 << log2)?.0[0];
        value.set_element(log2, n, element);
    }
    cpu.commit::<E>(u, value);
    Ok(())
}

/// The same, to memory.
pub fn mask_store<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let log2 = u.element_log2();
    let mask = sign_mask(cpu.vector(u.r2), log2, 16 * E::LANES);
    let value = *cpu.vector(u.r1);
    let ea = cpu.ea(u);
    cpu.write_elements(env, u, ea, mask, log2, (16 * E::LANES) >> log2, &value)
}

/// VZEROUPPER, and VZEROALL with `imm8` 1. Outside 64-bit mode only eight registers are there.
pub fn vzero<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let count = if cpu.mode.is_64bit() { 16 } else { 8 };
    let all = u.imm8() == 1;
    for register in &mut cpu.fpu.vectors[..count] {
        let low = if all { 0 } else { register.lane(0) };
        *register = VectorRegister::ZERO;
        register.set_lane(0, low);
    }
    Ok(())
}

/// How a move is lowered.
enum Move {
    /// Whole vectors; elements of `1 << log2` bytes for masks; aligned or not.
    Whole(u32, bool),
    /// Low element of memory or a register: MOVSS, MOVSD, MOVQ.
    Low(usize),
    /// MOVD, MOVQ between general and vector registers.
    General,
    /// MOVHPS, MOVHPD, MOVLPS, MOVLPD to memory.
    Half(bool),
    /// PEXTRx, PINSRx.
    Element(u32),
    /// Sign bits.
    Signs(u32),
    /// By the sign bits of a vector.
    Masked(u32),
    ToDestination,
    Zero(u8),
}

fn classify(i: &Instruction) -> Option<Move> {
    use Mnemonic::*;
    use Move::*;
    Some(match i.mnemonic() {
        Movaps | Vmovaps | Movntps | Vmovntps => Whole(2, true),
        Movapd | Vmovapd | Movntpd | Vmovntpd => Whole(3, true),
        Movdqa | Vmovdqa | Vmovdqa32 | Movntdq | Vmovntdq | Movntdqa | Vmovntdqa => Whole(2, true),
        Vmovdqa64 => Whole(3, true),
        Movups | Vmovups | Movdqu | Vmovdqu | Vmovdqu32 | Lddqu | Vlddqu => Whole(2, false),
        Movupd | Vmovupd | Vmovdqu64 => Whole(3, false),
        Vmovdqu8 => Whole(0, false),
        Vmovdqu16 => Whole(1, false),
        Movss | Vmovss => Low(4),
        Movsd | Vmovsd if !i.is_string_instruction() => Low(8),
        Movd | Vmovd => General,
        Movq | Vmovq if (0..2).any(|n| is_reg(i, n) && i.op_register(n).is_gpr()) => General,
        Movq | Vmovq => Low(8),
        Vmovw if (0..2).any(|n| is_reg(i, n) && i.op_register(n).is_gpr()) => General,
        Movhps | Vmovhps | Movhpd | Vmovhpd if is_mem(i, 0) => Half(true),
        Movlps | Vmovlps | Movlpd | Vmovlpd if is_mem(i, 0) => Half(false),
        Pextrb | Vpextrb | Pinsrb | Vpinsrb => Element(0),
        Pextrw | Vpextrw | Pinsrw | Vpinsrw => Element(1),
        Pextrd | Vpextrd | Pinsrd | Vpinsrd | Extractps | Vextractps => Element(2),
        Pextrq | Vpextrq | Pinsrq | Vpinsrq => Element(3),
        Movmskps | Vmovmskps => Signs(2),
        Movmskpd | Vmovmskpd => Signs(3),
        Pmovmskb | Vpmovmskb => Signs(0),
        Vmaskmovps | Vpmaskmovd => Masked(2),
        Vmaskmovpd | Vpmaskmovq => Masked(3),
        Maskmovdqu | Vmaskmovdqu => ToDestination,
        Vzeroupper => Zero(0),
        Vzeroall => Zero(1),
        _ => return None,
    })
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let kind = classify(i)?;
    if (0..i.op_count()).any(|n| is_reg(i, n) && i.op_register(n).is_mm()) {
        return None;
    }
    let bytes = vector_bytes(i);
    let uop = |op: Op| vector_uop(l, op, i, bytes);
    let r = |n: u32| number(i.op_register(n));
    let u = match kind {
        Move::Whole(log2, aligned) => {
            let mut u = match (is_mem(i, 0), is_mem(i, 1)) {
                (true, _) => {
                    let mut u = uop(Op::VmovMr);
                    u.r1 = r(1);
                    u
                }
                (_, true) => {
                    let mut u = uop(Op::VmovRm);
                    u.r1 = r(0);
                    u
                }
                _ => {
                    let mut u = uop(Op::VmovRr);
                    (u.r1, u.base) = (r(0), r(1));
                    u
                }
            };
            u.set_element_log2(log2);
            u.set_must_align(aligned);
            u
        }
        Move::Low(size) => {
            let mut u = if is_mem(i, 0) {
                let mut u = uop(Op::VmovMr);
                u.r1 = r(1);
                u
            } else if is_mem(i, 1) {
                let mut u = uop(Op::VmovRm);
                u.r1 = r(0);
                u
            } else {
                return None;
            };
            u.set_memory_bytes(size);
            u.set_element_log2(size.trailing_zeros());
            u.set_scalar(true);
            u
        }
        Move::General => {
            let (to, from) = (0, 1);
            let mut u = if is_mem(i, to) {
                let mut u = uop(Op::VmovMr);
                u.r1 = r(from);
                u
            } else if is_mem(i, from) {
                let mut u = uop(Op::VmovRm);
                u.r1 = r(to);
                u
            } else if i.op_register(to).is_gpr() {
                let mut u = uop(Op::VmovToGpr);
                (u.r1, u.base) = (reg(i.op_register(to)), r(from));
                u.set_imm8(i.op_register(to).size() as u8);
                u
            } else {
                let mut u = uop(Op::VmovFromGpr);
                (u.r1, u.base) = (r(to), reg(i.op_register(from)));
                u.set_imm8(i.op_register(from).size() as u8);
                u
            };
            u.set_scalar(true);
            u
        }
        Move::Half(high) => {
            let mut u = uop(if high { Op::StoreHigh } else { Op::VmovMr });
            u.r1 = r(1);
            u
        }
        Move::Element(log2) => {
            let last = i.op_count() - 1;
            let mut u = if last == 2 && (is_mem(i, 0) || i.op_register(0).is_gpr()) {
                let mut u = uop(if is_mem(i, 0) { Op::VextractM } else { Op::VextractR });
                u.r2 = r(1);
                if is_reg(i, 0) {
                    u.r1 = reg(i.op0_register());
                }
                u
            } else {
                let source = last - 1;
                let mut u = uop(if is_mem(i, source) { Op::VinsertM } else { Op::VinsertR });
                u.r1 = r(0);
                u.r2 = if last == 3 { r(1) } else { r(0) };
                if is_reg(i, source) {
                    u.base = reg(i.op_register(source));
                }
                // The length of a register is that of lane 0.
                u.set_lanes(1);
                u
            };
            u.set_element_log2(log2);
            u.set_imm8(i.immediate8());
            u
        }
        Move::Signs(log2) => {
            let mut u = uop(Op::VmoveMask);
            (u.r1, u.base) = (reg(i.op0_register()), r(1));
            u.set_element_log2(log2);
            u
        }
        Move::Masked(log2) => {
            let store = is_mem(i, 0);
            let mut u = uop(if store { Op::VmaskStore } else { Op::VmaskLoad });
            (u.r1, u.r2) = if store { (r(2), r(1)) } else { (r(0), r(1)) };
            u.set_element_log2(log2);
            u
        }
        Move::ToDestination => {
            let mut u = uop(Op::VmaskMove);
            (u.r1, u.r2) = (r(1), r(2));
            u.seg = (i.memory_segment() as u32).wrapping_sub(iced_x86::Register::ES as u32) as u8;
            u.scale = super::super::string::address_cut(i.op0_kind())?;
            u
        }
        Move::Zero(all) => {
            let column = column(i, 16);
            let mut u = Uop::new(Op::Vzero, column, 0, 0);
            u.set_imm8(all);
            u
        }
    };
    debug_assert!(u.width_index() <= Evex::COLUMN);
    Some((u, End::Continues))
}
