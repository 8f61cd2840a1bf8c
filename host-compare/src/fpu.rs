//! x87 and vector registers, as both sides take and give them.

use emu_core::fpu::FpuState;

/// Bytes of an XSAVE area with x87, SSE and AVX state.
pub const AREA: usize = 832;

/// x87, MMX, SSE and AVX state without the pointers of the last instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fpu {
    /// YMM0 to YMM15.
    pub ymm: [[u64; 4]; 16],
    /// MXCSR.
    pub mxcsr: u32,
    /// Control word.
    pub control: u16,
    /// Status word.
    pub status: u16,
    /// Abridged tag word.
    pub tags: u8,
    /// ST(0) to ST(7): significand, sign and exponent.
    pub st: [(u64, u16); 8],
}

impl Default for Fpu {
    fn default() -> Self {
        Self { ymm: [[0; 4]; 16], mxcsr: 0x1F80, control: 0x37F, status: 0, tags: 0, st: [(0, 0); 8] }
    }
}

fn word(area: &[u8; AREA], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&area[at..at + 8]);
    u64::from_le_bytes(bytes)
}

impl Fpu {
    /// As an XSAVE area in standard format.
    pub fn to_area(&self, area: &mut [u8; AREA]) {
        area.fill(0);
        area[0..2].copy_from_slice(&self.control.to_le_bytes());
        area[2..4].copy_from_slice(&self.status.to_le_bytes());
        area[4] = self.tags;
        area[24..28].copy_from_slice(&self.mxcsr.to_le_bytes());
        for (n, (significand, exponent)) in self.st.iter().enumerate() {
            area[32 + 16 * n..40 + 16 * n].copy_from_slice(&significand.to_le_bytes());
            area[40 + 16 * n..42 + 16 * n].copy_from_slice(&exponent.to_le_bytes());
        }
        for (n, ymm) in self.ymm.iter().enumerate() {
            for (k, value) in ymm.iter().enumerate() {
                let at = if k < 2 { 160 + 16 * n + 8 * k } else { 576 + 16 * n + 8 * (k - 2) };
                area[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        area[512] = 7;
    }

    /// From an XSAVE area in standard format; components that XSTATE_BV leaves out are in their initial state.
    pub fn from_area(area: &[u8; AREA]) -> Self {
        let used = area[512];
        let mut fpu = Self { mxcsr: word(area, 24) as u32, ..Self::default() };
        if used & 1 != 0 {
            fpu.control = word(area, 0) as u16;
            fpu.status = (word(area, 0) >> 16) as u16;
            fpu.tags = area[4];
            for (n, st) in fpu.st.iter_mut().enumerate() {
                *st = (word(area, 32 + 16 * n), word(area, 40 + 16 * n) as u16);
            }
        }
        for (n, ymm) in fpu.ymm.iter_mut().enumerate() {
            for (k, value) in ymm.iter_mut().enumerate() {
                if k < 2 && used & 2 != 0 {
                    *value = word(area, 160 + 16 * n + 8 * k);
                } else if k >= 2 && used & 4 != 0 {
                    *value = word(area, 576 + 16 * n + 8 * (k - 2));
                }
            }
        }
        fpu
    }

    /// Into the interpreter.
    pub fn load(&self, state: &mut FpuState) {
        state.control = self.control;
        state.status = self.status;
        state.tags = self.tags;
        state.mxcsr = self.mxcsr;
        for (n, (significand, exponent)) in self.st.iter().enumerate() {
            let physical = (state.top() + n) & 7;
            state.significand[physical] = *significand;
            state.exponent[physical] = *exponent;
        }
        for (vector, ymm) in state.vectors.iter_mut().zip(&self.ymm) {
            vector.0[..4].copy_from_slice(ymm);
        }
    }

    /// From the interpreter.
    pub fn of(state: &FpuState) -> Self {
        let mut fpu = Self {
            mxcsr: state.mxcsr,
            control: state.control,
            status: state.status,
            tags: state.tags,
            ..Self::default()
        };
        for (n, st) in fpu.st.iter_mut().enumerate() {
            let physical = (state.top() + n) & 7;
            *st = (state.significand[physical], state.exponent[physical]);
        }
        for (vector, ymm) in state.vectors.iter().zip(&mut fpu.ymm) {
            ymm.copy_from_slice(&vector.0[..4]);
        }
        fpu
    }
}
