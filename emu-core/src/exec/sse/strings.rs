//! PTEST, VTESTPS, and the string comparisons of SSE4.2 (SDM Vol. 2B 4.1).

use super::element::get;
use super::operands::Encoding;
use crate::fault::Exec;
use crate::flags::{CF, OF, SF, ZF, bit};
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::ir::vector::strings::{EXPLICIT, MASK, WIDE};
use crate::state::cpu::{Cpu, Env};

/// Bits that PTEST (0), VTESTPS (2) and VTESTPD (3) look at, by log2 of the bytes of an element.
fn tested_bits(log2: u32) -> u64 {
    match log2 {
        2 => 0x8000_0000_8000_0000,
        3 => 1 << 63,
        _ => u64::MAX,
    }
}

#[inline(always)]
fn test<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: &VectorRegister) -> Exec {
    let bits = tested_bits(u.element_log2());
    let a = cpu.vector(u.r1);
    let words = a.0.iter().zip(&b.0).take(2 * E::LANES);
    let (and, and_not) = words.fold((0, 0), |(and, and_not), (a, b)| (and | a & b & bits, and_not | !a & b & bits));
    cpu.flags.set_status(bit(and == 0, ZF) | bit(and_not == 0, CF));
    Ok(())
}

/// PTEST and its kind.
pub fn vtest_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = *cpu.vector(u.base);
    test::<E>(cpu, u, &b)
}

/// The same with the second operand in memory.
pub fn vtest_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector_operand::<E>(env, u)?;
    test::<E>(cpu, u, &b)
}

/// The fields of the control byte (SDM Vol. 2B 4.1).
struct Control(u32);

impl Control {
    fn words(&self) -> bool {
        self.0 & 1 != 0
    }
    fn signed(&self) -> bool {
        self.0 & 2 != 0
    }
    fn count(&self) -> usize {
        if self.words() { 8 } else { 16 }
    }
    fn element(&self, lane: u128, n: usize) -> i32 {
        match (self.words(), self.signed()) {
            (false, false) => get::<u8>(lane, n).into(),
            (false, true) => get::<i8>(lane, n).into(),
            (true, false) => get::<u16>(lane, n).into(),
            (true, true) => get::<i16>(lane, n).into(),
        }
    }
    /// Length up to the first zero.
    fn implicit_length(&self, lane: u128) -> usize {
        (0..self.count()).find(|&n| self.element(lane, n) == 0).unwrap_or(self.count())
    }
    /// Magnitude of a length register, at most all elements.
    fn explicit_length(&self, value: i64) -> usize {
        (value.unsigned_abs().min(self.count() as u64)) as usize
    }

    /// IntRes2: one bit for each element of the second operand.
    fn compare(&self, a: u128, a_length: usize, b: u128, b_length: usize) -> u32 {
        let count = self.count();
        let mut result = 0;
        for j in 0..count {
            let y = self.element(b, j);
            let in_b = j < b_length;
            let hit = match self.0 >> 2 & 3 {
                // Equal any.
                0 => in_b && (0..a_length).any(|k| self.element(a, k) == y),
                // Ranges: pairs of a lower and an upper bound.
                1 => {
                    in_b && (0..count / 2).any(|pair| {
                        2 * pair + 1 < a_length && self.element(a, 2 * pair) <= y && y <= self.element(a, 2 * pair + 1)
                    })
                }
                // Equal each: two elements beyond their ends are equal.
                2 => match (j < a_length, in_b) {
                    (true, true) => self.element(a, j) == y,
                    (false, false) => true,
                    _ => false,
                },
                // Equal ordered: the first operand as a substring from here on.
                _ => (0..count - j)
                    .all(|k| k >= a_length || (j + k < b_length && self.element(a, k) == self.element(b, j + k))),
            };
            result |= u32::from(hit) << j;
        }
        let all = (1 << count) - 1;
        match self.0 >> 4 & 3 {
            1 => result ^ all,
            // Negative only where the second operand has elements.
            3 => result ^ ((1 << b_length) - 1),
            _ => result,
        }
    }
}

fn compare_strings<E: Encoding>(cpu: &mut Cpu, u: &Uop, b: u128) -> Exec {
    const RAX: usize = 0;
    const RCX: usize = 1;
    const RDX: usize = 2;
    let control = Control(u.imm8());
    let a = cpu.vector(u.r1).lane(0);
    let (a_length, b_length) = if u.r4() & EXPLICIT != 0 {
        let length = |n: usize| {
            let value = cpu.gpr[n];
            control.explicit_length(if u.r4() & WIDE != 0 { value as i64 } else { i64::from(value as i32) })
        };
        (length(RAX), length(RDX))
    } else {
        (control.implicit_length(a), control.implicit_length(b))
    };
    let result = control.compare(a, a_length, b, b_length);
    let count = control.count();
    if u.r4() & MASK != 0 {
        let mut mask = u128::from(result);
        if u.imm8() & 0x40 != 0 {
            let (bits, ones) = if control.words() { (16, 0xFFFF) } else { (8, 0xFF) };
            mask = (0..count).filter(|n| result >> n & 1 != 0).fold(0, |all, n| all | ones << (bits * n));
        }
        let mut out = VectorRegister::ZERO;
        out.set_lane(0, mask);
        let mut place = *u;
        place.r1 = 0;
        cpu.commit::<E>(&place, out);
    } else {
        let index = match (result, u.imm8() & 0x40 != 0) {
            (0, _) => count as u64,
            (_, false) => result.trailing_zeros().into(),
            (_, true) => 31 - u64::from(result.leading_zeros()),
        };
        cpu.gpr[RCX] = index;
    }
    cpu.flags.set_status(
        bit(result != 0, CF) | bit(b_length < count, ZF) | bit(a_length < count, SF) | bit(result & 1 != 0, OF),
    );
    Ok(())
}

/// PCMPESTRI and its kind.
pub fn strings_rr<E: Encoding>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let b = cpu.vector(u.base).lane(0);
    compare_strings::<E>(cpu, u, b)
}

/// The same with the second operand in memory, which need not be aligned.
pub fn strings_rm<E: Encoding>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    E::require(cpu)?;
    let ea = cpu.ea(u);
    let b = cpu.read_vector(env, u.seg, ea, 16)?.lane(0);
    compare_strings::<E>(cpu, u, b)
}
