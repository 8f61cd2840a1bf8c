//! Instructions that select elements by an operation mask: blends, compression, expansion.

use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

/// How many elements a vector has.
#[inline(always)]
fn count(u: &Uop) -> usize {
    (16 * u.lanes()) >> u.element_log2()
}

/// The bits below `n`.
fn below(n: usize) -> u64 {
    if n == 0 { 0 } else { u64::MAX >> (64 - n.min(64) as u32) }
}

fn blended(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) {
    let a = *cpu.vector(u.r2);
    let (mask, log2) = (cpu.active_elements(u), u.element_log2());
    let mut out = VectorRegister::ZERO;
    for n in 0..count(u) {
        if mask >> n & 1 != 0 {
            out.set_element(log2, n, b.element(log2, n));
        } else if !u.zeroing() {
            out.set_element(log2, n, a.element(log2, n));
        }
    }
    *cpu.vector_mut(u.r1) = out;
}

/// VPBLENDMB and its kind: elements of the second source where the mask has a one, else of the first.
pub fn blend_mask_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    blended(cpu, u, &b);
    Ok(())
}

/// The same with the second source in memory.
pub fn blend_mask_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    blended(cpu, u, &b);
    Ok(())
}

/// The active elements of `base` side by side, and how many they are.
fn compressed(cpu: &Cpu, u: &Uop, source: u8) -> (VectorRegister, usize) {
    let (mask, log2) = (cpu.active_elements(u), u.element_log2());
    let source = cpu.vector(source);
    let mut out = VectorRegister::ZERO;
    let active = (0..count(u)).filter(|n| mask >> n & 1 != 0);
    let mut used = 0;
    for (place, n) in active.enumerate() {
        out.set_element(log2, place, source.element(log2, n));
        used = place + 1;
    }
    (out, used)
}

/// VCOMPRESSPS and its kind, to a register.
pub fn compress_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let (out, used) = compressed(cpu, u, u.base);
    cpu.commit_elements(u, out, below(used));
    Ok(())
}

/// The same to memory: just those elements.
pub fn compress_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let (out, used) = compressed(cpu, u, u.r1);
    let ea = cpu.ea(u);
    cpu.write_elements(env, u, ea, below(used), u.element_log2(), count(u), &out)
}

/// The low elements of `source` where the mask has ones.
fn expanded(cpu: &Cpu, u: &Uop, source: &VectorRegister) -> VectorRegister {
    let (mask, log2) = (cpu.active_elements(u), u.element_log2());
    let mut out = VectorRegister::ZERO;
    let active = (0..count(u)).filter(|n| mask >> n & 1 != 0);
    for (place, n) in active.enumerate() {
        out.set_element(log2, n, source.element(log2, place));
    }
    out
}

/// VEXPANDPS and its kind, from a register.
pub fn expand_r<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let out = expanded(cpu, u, cpu.vector(u.base));
    cpu.commit_masked(u, out);
    Ok(())
}

/// The same from memory, which is read as far as there are active elements.
pub fn expand_m<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let log2 = u.element_log2();
    let used = (cpu.active_elements(u) & below(count(u))).count_ones() as usize;
    let ea = cpu.ea(u);
    let mut source = VectorRegister::ZERO;
    for n in 0..used {
        let at = ea.wrapping_add((n << log2) as u64) & u.address_mask();
        let element = cpu.read_vector(env, u.seg, at, 1 << log2)?.0[0];
        source.set_element(log2, n, element);
    }
    let out = expanded(cpu, u, &source);
    cpu.commit_masked(u, out);
    Ok(())
}
