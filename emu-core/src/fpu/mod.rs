//! State of the x87, SSE, AVX and AVX-512 registers.

use serde::{Deserialize, Serialize};

/// One vector register, 64 bytes, low part first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorRegister(pub [u64; 8]);

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
    /// ZMM0 to ZMM31.
    pub vectors: [VectorRegister; 32],
    /// K0 to K7.
    pub masks: [u64; 8],
    /// MXCSR.
    pub mxcsr: u32,
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
            vectors: [VectorRegister([0; 8]); 32],
            masks: [0; 8],
            mxcsr: 0x1F80,
        }
    }
}
