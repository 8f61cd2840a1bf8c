//! Vector operands in memory.

use super::operands::Encoding;
use crate::fault::{Exec, Stop};
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::vector;

impl Cpu {
    /// The host offset of `len` bytes at `seg:ea` if they can be read or written without further checks.
    #[inline(always)]
    fn plain_offset(&self, seg: u8, ea: u64, len: usize, write: bool) -> Option<usize> {
        let segment = &self.seg_access[seg as usize & 7];
        let linear = segment.base.wrapping_add(ea);
        let last = len as u64 - 1;
        let entry = self.tlb.slot(linear);
        let (bound, tag) = if write { (segment.write_bound, entry.write) } else { (segment.read_bound, entry.read) };
        (ea.wrapping_add(last) < bound && tag == linear.wrapping_add(last) & !0xFFF | self.fast_context)
            .then(|| linear.wrapping_add(entry.addend) as usize)
    }

    /// Reads `len` bytes (1 to 64) at `seg:ea`, zero-extended to a vector.
    #[inline(always)]
    pub fn read_vector(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize) -> Result<VectorRegister, Stop> {
        let mut bytes = [0; 64];
        let Some(offset) = self.plain_offset(seg, ea, len, false) else {
            self.read_vector_slow(env, seg, ea, &mut bytes[..len])?;
            return Ok(VectorRegister::from_bytes(&bytes));
        };
        // The usual sizes as single loads: a copy of variable length is a call.
        let ram = &env.ram.bytes()[offset..];
        match len {
            4 | 8 => return Ok(VectorRegister([env.ram.load(offset, len), 0, 0, 0, 0, 0, 0, 0])),
            16 => bytes[..16].copy_from_slice(&ram[..16]),
            32 => bytes[..32].copy_from_slice(&ram[..32]),
            _ => bytes[..len].copy_from_slice(&ram[..len]),
        }
        Ok(VectorRegister::from_bytes(&bytes))
    }

    /// Writes the low `len` bytes (1 to 64) of a vector at `seg:ea`.
    #[inline(always)]
    pub fn write_vector(&mut self, env: &mut Env, seg: u8, ea: u64, len: usize, value: &VectorRegister) -> Exec {
        let bytes = value.bytes();
        match self.plain_offset(seg, ea, len, true) {
            Some(offset) => {
                let place = env.ram.page_bytes_mut(offset, len);
                match len {
                    4 => place.copy_from_slice(&bytes[..4]),
                    8 => place.copy_from_slice(&bytes[..8]),
                    16 => place.copy_from_slice(&bytes[..16]),
                    32 => place.copy_from_slice(&bytes[..32]),
                    _ => place.copy_from_slice(&bytes[..len]),
                }
                Ok(())
            }
            None => self.write_vector_slow(env, seg, ea, &bytes[..len]),
        }
    }

    #[cold]
    #[inline(never)]
    fn read_vector_slow(&mut self, env: &mut Env, seg: u8, ea: u64, bytes: &mut [u8]) -> Exec {
        self.check_vector_alignment(seg, ea, bytes.len(), false)?;
        self.read_bytes(env, seg, ea, bytes)
    }

    #[cold]
    #[inline(never)]
    fn write_vector_slow(&mut self, env: &mut Env, seg: u8, ea: u64, bytes: &[u8]) -> Exec {
        self.check_vector_alignment(seg, ea, bytes.len(), true)?;
        self.write_bytes(env, seg, ea, bytes)
    }

    /// #AC where alignment is checked (SDM Vol. 3A 6.15, interrupt 17).
    fn check_vector_alignment(&mut self, seg: u8, ea: u64, len: usize, write: bool) -> Exec {
        // Context privilege 3 says that CPL is 3 and that CR0.AM and RFLAGS.AC are set.
        if self.derived.context & 3 == 3 && len.is_power_of_two() {
            let linear = self.linear(seg, ea, len as u64, write)?;
            if linear & (len as u64 - 1) != 0 {
                return self.exception(vector::AC, 0);
            }
        }
        Ok(())
    }

    /// #GP(0) unless the `len` bytes at `seg:ea` are aligned to `len`; the segment is checked first.
    #[inline(always)]
    pub fn require_aligned(&mut self, seg: u8, ea: u64, len: usize, write: bool) -> Exec {
        let linear = self.seg_access[seg as usize & 7].base.wrapping_add(ea);
        if linear & (len as u64 - 1) == 0 { Ok(()) } else { self.misaligned(seg, ea, len, write) }
    }

    #[cold]
    #[inline(never)]
    fn misaligned(&mut self, seg: u8, ea: u64, len: usize, write: bool) -> Exec {
        self.linear(seg, ea, len as u64, write)?;
        self.gp(0)
    }

    /// The memory operand of an operation, as its encoding reads it: aligned if it must be, element by element under
    /// a mask (elements masked out raise no fault), repeated if it is broadcast.
    #[inline(always)]
    pub fn vector_operand<E: Encoding>(&mut self, env: &mut Env, u: &Uop) -> Result<VectorRegister, Stop> {
        let ea = self.ea(u);
        let len = u.memory_bytes();
        if E::EVEX && (u.broadcast() || u.mask_register() != 0) {
            return self.masked_operand(env, u, ea);
        }
        if E::LEGACY && u.must_align() {
            self.require_aligned(u.seg, ea, len, false)?;
        }
        self.read_vector(env, u.seg, ea, len)
    }

    #[inline(never)]
    fn masked_operand(&mut self, env: &mut Env, u: &Uop, ea: u64) -> Result<VectorRegister, Stop> {
        let log2 = u.element_log2();
        let count = if u.scalar() { 1 } else { (u.result_bytes() >> log2).max(1) };
        let all = u64::MAX >> (64 - count as u32);
        let mask = if u.reads_all() { u64::MAX } else { self.active_elements(u) };
        let mut value = VectorRegister::ZERO;
        if u.broadcast() {
            if mask & all != 0 {
                // The broadcast element may be narrower than those of the mask, never wider than 8 bytes.
                let bytes = u.memory_bytes();
                let element = self.read_vector(env, u.seg, ea, bytes)?.0[0];
                let size = bytes.trailing_zeros();
                for n in 0..64 >> size {
                    value.set_element(size, n, element);
                }
            }
            return Ok(value);
        }
        let len = u.memory_bytes();
        // Conversions read elements of another size than they write: as many as there are mask bits.
        let size = (len / count).max(1).trailing_zeros();
        if mask & all == all {
            return self.read_vector(env, u.seg, ea, len);
        }
        for n in (0..count).filter(|n| mask >> n & 1 != 0) {
            let at = ea.wrapping_add((n << size) as u64) & u.address_mask();
            let element = self.read_vector(env, u.seg, at, 1 << size)?.0[0];
            value.set_element(size, n, element);
        }
        Ok(value)
    }

    /// Writes `len` bytes of a vector to the memory operand, under the mask of an EVEX form if there is one.
    #[inline(always)]
    pub fn store_vector<E: Encoding>(&mut self, env: &mut Env, u: &Uop, value: &VectorRegister) -> Exec {
        let ea = self.ea(u);
        if E::EVEX && u.mask_register() != 0 {
            return self.store_masked(env, u, ea, value);
        }
        self.write_vector(env, u.seg, ea, u.memory_bytes(), value)
    }

    /// Writes the elements whose mask bit is set; all are checked before any is written.
    pub fn store_masked(&mut self, env: &mut Env, u: &Uop, ea: u64, value: &VectorRegister) -> Exec {
        let mask = self.active_elements(u);
        let log2 = u.element_log2();
        let count = u.memory_bytes() >> log2;
        self.write_elements(env, u, ea, mask, log2, count, value)
    }

    /// Checks that the elements whose mask bit is set could be written.
    pub fn probe_masked(&mut self, env: &mut Env, u: &Uop) -> Exec {
        let (mask, log2, ea) = (self.active_elements(u), u.element_log2(), self.ea(u));
        for n in (0..u.memory_bytes() >> log2).filter(|n| mask >> n & 1 != 0) {
            let place = ea.wrapping_add((n << log2) as u64) & u.address_mask();
            self.probe_write(env, u.seg, place, 1 << log2)?;
        }
        Ok(())
    }

    /// Writes those of `count` elements of `1 << log2` bytes whose bit in `mask` is set.
    #[allow(clippy::too_many_arguments)]
    pub fn write_elements(
        &mut self,
        env: &mut Env,
        u: &Uop,
        ea: u64,
        mask: u64,
        log2: u32,
        count: usize,
        value: &VectorRegister,
    ) -> Exec {
        let place = |n: usize| ea.wrapping_add((n << log2) as u64) & u.address_mask();
        for n in (0..count).filter(|n| mask >> n & 1 != 0) {
            self.probe_write(env, u.seg, place(n), 1 << log2)?;
        }
        for n in (0..count).filter(|n| mask >> n & 1 != 0) {
            let bytes = value.element(log2, n).to_le_bytes();
            self.write_bytes(env, u.seg, place(n), &bytes[..1 << log2])?;
        }
        Ok(())
    }
}
