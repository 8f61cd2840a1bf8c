//! The x87, SSE, AVX and AVX-512 registers.

use serde::{Deserialize, Serialize};

/// One vector register, 64 bytes, low part first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorRegister(pub [u64; 8]);

/// 128-bit lanes of a vector register.
pub const LANES: usize = 4;

impl VectorRegister {
    /// All zero.
    pub const ZERO: Self = Self([0; 8]);

    /// 128-bit lane `n`, 0 to 3.
    #[inline(always)]
    pub fn lane(&self, n: usize) -> u128 {
        let n = n & (LANES - 1);
        u128::from(self.0[2 * n]) | u128::from(self.0[2 * n + 1]) << 64
    }

    /// Replaces 128-bit lane `n`, 0 to 3.
    #[inline(always)]
    pub fn set_lane(&mut self, n: usize, value: u128) {
        let n = n & (LANES - 1);
        self.0[2 * n] = value as u64;
        self.0[2 * n + 1] = (value >> 64) as u64;
    }

    /// The bytes in memory order.
    #[inline(always)]
    pub fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (place, word) in bytes.chunks_exact_mut(8).zip(&self.0) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// A register from its bytes in memory order.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut words = [0; 8];
        for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(place);
            *word = u64::from_le_bytes(eight);
        }
        Self(words)
    }

    /// Element `n` of `1 << log2` bytes, zero-extended.
    #[inline(always)]
    pub fn element(&self, log2: u32, n: usize) -> u64 {
        let per_word = 8usize >> log2;
        let word = self.0[(n / per_word) & 7];
        let bits = 8 << log2;
        word >> (bits * (n % per_word) as u32) & (u64::MAX >> (64 - bits))
    }

    /// Replaces element `n` of `1 << log2` bytes.
    #[inline(always)]
    pub fn set_element(&mut self, log2: u32, n: usize, value: u64) {
        let per_word = 8usize >> log2;
        let bits = 8 << log2;
        let mask = u64::MAX >> (64 - bits);
        let shift = bits * (n % per_word) as u32;
        let word = &mut self.0[(n / per_word) & 7];
        *word = *word & !(mask << shift) | (value & mask) << shift;
    }
}

/// Floating-point and vector state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FpuState {
    /// R0 to R7 (physical order): significand.
    pub significand: [u64; 8],
    /// R0 to R7: sign and exponent.
    pub exponent: [u16; 8],
    /// Control word.
    pub control: u16,
    /// Status word; TOP in bits 13:11.
    pub status: u16,
    /// Abridged tag word: bit n is set when Rn is not empty (FXSAVE format).
    pub tags: u8,
    /// Last instruction opcode, 11 bits.
    pub opcode: u16,
    /// Last instruction pointer.
    pub instruction_pointer: u64,
    /// Last code-segment selector.
    pub instruction_selector: u16,
    /// Last data pointer.
    pub data_pointer: u64,
    /// Last data-segment selector.
    pub data_selector: u16,
    /// FERR# is asserted: an x87 exception waits for IRQ 13 to be served (CR0.NE clear).
    pub ferr: bool,
    /// ZMM0 to ZMM31.
    pub vectors: [VectorRegister; 32],
    /// K0 to K7.
    pub masks: [u64; 8],
    /// MXCSR.
    pub mxcsr: u32,
}

impl FpuState {
    /// TOP: which of R0 to R7 is ST(0).
    #[inline(always)]
    pub fn top(&self) -> usize {
        usize::from(self.status >> 11) & 7
    }

    /// The x87 part as FNINIT leaves it, the registers cleared too: the initial configuration of XSAVE's component 0
    /// (SDM Vol. 1 13.6).
    pub fn initialize_x87(&mut self) {
        self.significand = [0; 8];
        self.exponent = [0; 8];
        self.fninit();
    }
}

impl Default for FpuState {
    /// State after power-on (SDM Vol. 3A Table 10-1).
    fn default() -> Self {
        Self {
            significand: [0; 8],
            exponent: [0; 8],
            control: 0x40,
            status: 0,
            tags: 0xFF,
            opcode: 0,
            instruction_pointer: 0,
            instruction_selector: 0,
            data_pointer: 0,
            data_selector: 0,
            ferr: false,
            vectors: [VectorRegister([0; 8]); 32],
            masks: [0; 8],
            mxcsr: 0x1F80,
        }
    }
}
