//! Moves between vector registers, memory and general registers.

use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

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
    let count = if cpu.derived.mode.is_64bit() { 16 } else { 8 };
    let all = u.imm8() == 1;
    for register in &mut cpu.fpu.vectors[..count] {
        let low = if all { 0 } else { register.lane(0) };
        *register = VectorRegister::ZERO;
        register.set_lane(0, low);
    }
    Ok(())
}
