//! Gathers and scatters: memory operands with an index of each element.

use super::operands::Encoding;
use crate::fault::Exec;
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};

/// Address of the element with the index that is element `n` of register `index`, whose elements have 4 bytes, or 8
/// with bit 0 of `imm8`.
fn place(cpu: &Cpu, u: &Uop, indexes: &VectorRegister, n: usize) -> u64 {
    let index = if u.imm8() & 1 != 0 { indexes.element(3, n) } else { indexes.element(2, n) as i32 as i64 as u64 };
    let base = cpu.gpr[u.base as usize & 31];
    base.wrapping_add(index << (u.scale & 3)).wrapping_add(u.disp as i64 as u64) & u.address_mask()
}

/// VGATHERDPS and its kind under a vector mask in `r2`. Elements done are committed when a later one faults, and their
/// mask is cleared, so that the instruction goes on where it stopped.
pub fn gather<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let log2 = u.element_log2();
    let count = usize::from(u.r4());
    let indexes = *cpu.vector(u.index);
    let (mut out, mut mask) = (*cpu.vector(u.r1), *cpu.vector(u.r2));
    // Two operands in one register are #UD (SDM Vol. 2C, VGATHERDPS).
    if u.r1 == u.r2 || u.r1 == u.index || u.r2 == u.index {
        return cpu.ud();
    }
    let top = (8 << log2) - 1;
    let mut fault = None;
    for n in 0..count {
        if mask.element(log2, n) >> top & 1 == 0 {
            mask.set_element(log2, n, 0);
            continue;
        }
        let ea = place(cpu, u, &indexes, n);
        match cpu.read_vector(env, u.seg, ea, 1 << log2) {
            Ok(value) => {
                out.set_element(log2, n, value.0[0]);
                mask.set_element(log2, n, 0);
            }
            Err(stop) => {
                fault = Some(stop);
                break;
            }
        }
    }
    match fault {
        None => {
            let mut result = VectorRegister::ZERO;
            for n in 0..count {
                result.set_element(log2, n, out.element(log2, n));
            }
            *cpu.vector_mut(u.r1) = result;
            *cpu.vector_mut(u.r2) = VectorRegister::ZERO;
            Ok(())
        }
        Some(stop) => {
            // What lies above the vector's length is cleared only at the end.
            *cpu.vector_mut(u.r1) = out;
            *cpu.vector_mut(u.r2) = mask;
            Err(stop)
        }
    }
}

/// The same under an operation mask, which becomes zero.
pub fn gather_masked<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    if u.r1 == u.index {
        return cpu.ud();
    }
    let log2 = u.element_log2();
    let count = usize::from(u.r4());
    let indexes = *cpu.vector(u.index);
    let k = u.mask_register();
    for n in 0..count {
        if cpu.fpu.masks[k] >> n & 1 != 0 {
            let ea = place(cpu, u, &indexes, n);
            let value = cpu.read_vector(env, u.seg, ea, 1 << log2)?.0[0];
            cpu.vector_mut(u.r1).set_element(log2, n, value);
            cpu.fpu.masks[k] &= !(1 << n);
        }
    }
    cpu.fpu.masks[k] = 0;
    let old = *cpu.vector(u.r1);
    let mut out = VectorRegister::ZERO;
    for n in 0..count {
        out.set_element(log2, n, old.element(log2, n));
    }
    *cpu.vector_mut(u.r1) = out;
    Ok(())
}

/// VSCATTERDPS and its kind, in order of the elements.
pub fn scatter<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let log2 = u.element_log2();
    let (indexes, source) = (*cpu.vector(u.index), *cpu.vector(u.r1));
    let k = u.mask_register();
    for n in 0..usize::from(u.r4()) {
        if cpu.fpu.masks[k] >> n & 1 != 0 {
            let ea = place(cpu, u, &indexes, n);
            let value = VectorRegister([source.element(log2, n), 0, 0, 0, 0, 0, 0, 0]);
            cpu.write_vector(env, u.seg, ea, 1 << log2, &value)?;
            cpu.fpu.masks[k] &= !(1 << n);
        }
    }
    cpu.fpu.masks[k] = 0;
    Ok(())
}
