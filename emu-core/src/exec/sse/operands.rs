//! Encodings, and how a vector micro-op holds its operands.

use crate::fault::{Exec, Fault};
use crate::fpu::VectorRegister;
use crate::ir::uop::Uop;
use crate::state::cpu::Cpu;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::vector;

/// XCR0: x87, SSE, AVX and the three components of AVX-512 (SDM Vol. 1 13.1).
pub mod xcr0 {
    /// SSE state.
    pub const SSE: u64 = 1 << 1;
    /// Upper halves of YMM0 to YMM15.
    pub const AVX: u64 = 1 << 2;
    /// Opmask, ZMM_Hi256, Hi16_ZMM.
    pub const AVX512: u64 = 7 << 5;
}

/// An encoding of vector instructions: a column of the handler table (see [`crate::ir::vector::column`]).
pub trait Encoding: 'static {
    /// Writes leave the register's bits from 128 up alone, and memory operands of 16 bytes must be aligned.
    const LEGACY: bool = false;
    /// Operation masks, and the length in the micro-op.
    const EVEX: bool = false;
    /// 128-bit lanes; for EVEX the most.
    const LANES: usize;

    /// #UD or #NM unless the encoding can be used now.
    fn require(cpu: &mut Cpu) -> Exec;
}

/// Without a VEX or EVEX prefix.
pub struct Legacy;
/// VEX.128 and scalars.
pub struct Vex128;
/// VEX.256.
pub struct Vex256;
/// EVEX of any length.
pub struct Evex;

impl Encoding for Legacy {
    const LEGACY: bool = true;
    const LANES: usize = 1;
    #[inline(always)]
    fn require(cpu: &mut Cpu) -> Exec {
        cpu.require_sse()
    }
}

impl Encoding for Vex128 {
    const LANES: usize = 1;
    #[inline(always)]
    fn require(cpu: &mut Cpu) -> Exec {
        cpu.require_avx(xcr0::SSE | xcr0::AVX)
    }
}

impl Encoding for Vex256 {
    const LANES: usize = 2;
    #[inline(always)]
    fn require(cpu: &mut Cpu) -> Exec {
        cpu.require_avx(xcr0::SSE | xcr0::AVX)
    }
}

impl Encoding for Evex {
    const EVEX: bool = true;
    const LANES: usize = 4;
    #[inline(always)]
    fn require(cpu: &mut Cpu) -> Exec {
        cpu.require_avx(xcr0::SSE | xcr0::AVX | xcr0::AVX512)
    }
}

impl Cpu {
    /// #UD if CR0.EM is set or CR4.OSFXSR clear, then #NM if CR0.TS is set (SDM Vol. 3A 14.1, Vol. 2A 2.6).
    #[inline(always)]
    pub fn require_sse(&mut self) -> Exec {
        let cr0 = self.sys.cr0 & (Cr0::EM | Cr0::TS);
        if cr0.is_empty() && self.sys.cr4.contains(Cr4::OSFXSR) { Ok(()) } else { self.no_sse() }
    }

    #[cold]
    #[inline(never)]
    fn no_sse(&mut self) -> Exec {
        if self.sys.cr0.contains(Cr0::EM) || !self.sys.cr4.contains(Cr4::OSFXSR) { self.ud() } else { self.nm() }
    }

    /// #UD without CR4.OSXSAVE or without `components` in XCR0; then #NM if CR0.TS is set (SDM Vol. 2A 2.4.3, 2.8). In
    /// real-address and virtual-8086 mode the encodings themselves are undefined.
    #[inline(always)]
    pub fn require_avx(&mut self, components: u64) -> Exec {
        if self.sys.xcr0 & components == components
            && self.sys.cr4.contains(Cr4::OSXSAVE)
            && !self.sys.cr0.contains(Cr0::TS)
        {
            Ok(())
        } else {
            self.no_avx(components)
        }
    }

    #[cold]
    #[inline(never)]
    fn no_avx(&mut self, components: u64) -> Exec {
        let usable = self.sys.xcr0 & components == components && self.sys.cr4.contains(Cr4::OSXSAVE);
        if usable { self.nm() } else { self.ud() }
    }

    /// #NM.
    #[cold]
    pub fn nm<T>(&mut self) -> Result<T, crate::fault::Stop> {
        self.throw(Fault::exception(vector::NM))
    }
}

impl Cpu {
    /// A vector register.
    #[inline(always)]
    pub fn vector(&self, register: u8) -> &VectorRegister {
        &self.fpu.vectors[register as usize & 31]
    }

    /// A vector register, to be written.
    #[inline(always)]
    pub fn vector_mut(&mut self, register: u8) -> &mut VectorRegister {
        &mut self.fpu.vectors[register as usize & 31]
    }

    /// The mask bits in force for the elements of an EVEX form: all of them without a mask register.
    #[inline(always)]
    pub fn active_elements(&self, u: &Uop) -> u64 {
        match u.mask_register() {
            0 => u64::MAX,
            k if u.scalar() => self.fpu.masks[k] | !1,
            k => self.fpu.masks[k],
        }
    }

    /// Commits a vector result to `r1` as the encoding demands: a legacy form keeps the bits from 128 up, the others
    /// clear what lies above their length, EVEX merges by mask.
    #[inline(always)]
    pub fn commit<E: Encoding>(&mut self, u: &Uop, result: VectorRegister) {
        if E::LEGACY {
            let lane = result.lane(0);
            self.vector_mut(u.r1).set_lane(0, lane);
        } else if !E::EVEX {
            let mut out = VectorRegister::ZERO;
            for n in 0..E::LANES {
                out.set_lane(n, result.lane(n));
            }
            *self.vector_mut(u.r1) = out;
        } else {
            self.commit_masked(u, result);
        }
    }

    /// [`Cpu::commit`] of EVEX forms.
    pub fn commit_masked(&mut self, u: &Uop, result: VectorRegister) {
        if u.mask_register() != 0 {
            return self.commit_elements(u, result, self.active_elements(u));
        }
        let mut out = VectorRegister::ZERO;
        for n in 0..u.lanes() {
            out.set_lane(n, result.lane(n));
        }
        *self.vector_mut(u.r1) = out;
    }

    /// Commits the elements whose bit in `mask` is set; the others keep their value or become zero.
    pub fn commit_elements(&mut self, u: &Uop, result: VectorRegister, mask: u64) {
        let old = *self.vector(u.r1);
        let log2 = u.element_log2();
        let mut out = VectorRegister::ZERO;
        for n in 0..u.result_bytes() >> log2 {
            if mask >> n & 1 != 0 {
                out.set_element(log2, n, result.element(log2, n));
            } else if !u.zeroing() {
                out.set_element(log2, n, old.element(log2, n));
            }
        }
        *self.vector_mut(u.r1) = out;
    }
}
