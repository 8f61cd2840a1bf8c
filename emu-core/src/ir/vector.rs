//! The fields of [`Uop::imm`] in vector, mask and MMX micro-ops.

use super::uop::Uop;

/// Encodings: the columns of vector operations.
pub mod column {
    /// Without a VEX or EVEX prefix.
    pub const LEGACY: usize = 0;
    /// VEX.128 and scalars.
    pub const VEX128: usize = 1;
    /// VEX.256.
    pub const VEX256: usize = 2;
    /// EVEX of any length.
    pub const EVEX: usize = 3;
}

/// In the immediate byte of conversions between scalars and general or MMX registers, and of COMISS and its kind.
pub mod scalar {
    /// Doubles, not singles.
    pub const DOUBLE: u32 = 1 << 0;
    /// 64-bit integers.
    pub const WIDE: u32 = 1 << 1;
    /// Unsigned integers.
    pub const UNSIGNED: u32 = 1 << 2;
    /// To integers: truncated.
    pub const TRUNCATED: u32 = 1 << 3;
    /// Comparisons: a quiet NaN is an invalid operand.
    pub const SIGNALING: u32 = 1 << 4;
}

/// In the fourth operand of PCMPESTRI and its kind.
pub mod strings {
    /// The lengths are in registers.
    pub const EXPLICIT: u8 = 1;
    /// The result is a mask, not an index.
    pub const MASK: u8 = 2;
    /// The length registers have 64 bits.
    pub const WIDE: u8 = 4;
}

/// How a 64-bit MMX operation follows from the one on 128-bit lanes; a number of this is its fourth operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Shape {
    /// The low half of the result depends on the low halves of the sources alone.
    Low,
    /// The sources side by side are the first source of the operation: packing and horizontal operations.
    Concatenated,
    /// The high half of the result of the low halves: unpacking.
    High,
    /// PSHUFB: indexes have three bits.
    Indexed,
    /// PALIGNR.
    Aligned,
    /// PSHUFW.
    Words,
}

impl Shape {
    /// All of them, by number.
    pub const ALL: [Self; 6] = [Self::Low, Self::Concatenated, Self::High, Self::Indexed, Self::Aligned, Self::Words];
}

/// How the exceptions of a float operation are rounded and reported, apart from MXCSR.
pub const ROUNDING_MXCSR: u64 = 0;
/// Static rounding to nearest, down, up, toward zero is 1 to 4; 5 suppresses exceptions only.
pub const ROUNDING_SAE: u64 = 5;

const KERNEL: u32 = 16;
const MASK: u32 = 32;
const ZEROING: u32 = 35;
const BROADCAST: u32 = 36;
const ROUNDING: u32 = 37;
const ELEMENT: u32 = 40;
const LANE_COUNT: u32 = 43;
const BYTES: u32 = 46;
const ALIGNED: u32 = 53;
const SCALAR: u32 = 54;
const PARTIAL: u32 = 55;
const WHOLE: u32 = 58;

/// The fields of `imm` in a vector micro-op. `r1` is the destination, `r2` the first source; the second source is
/// register `base` or in memory.
impl Uop {
    /// The instruction's own immediate.
    #[inline(always)]
    pub fn imm8(&self) -> u32 {
        self.imm as u32 & 0xFF
    }
    /// The register of a fourth operand (VEX is4).
    #[inline(always)]
    pub fn r4(&self) -> u8 {
        (self.imm >> 8) as u8
    }
    /// Row of the table of operations.
    #[inline(always)]
    pub fn kernel(&self) -> usize {
        (self.imm >> KERNEL) as usize & 0xFFFF
    }
    /// Operation mask K1 to K7; 0 for none.
    #[inline(always)]
    pub fn mask_register(&self) -> usize {
        (self.imm >> MASK) as usize & 7
    }
    /// Elements whose mask bit is clear become zero, else they keep their value.
    #[inline(always)]
    pub fn zeroing(&self) -> bool {
        self.imm >> ZEROING & 1 != 0
    }
    /// The memory operand is one element for all.
    #[inline(always)]
    pub fn broadcast(&self) -> bool {
        self.imm >> BROADCAST & 1 != 0
    }
    /// [`ROUNDING_MXCSR`], 1 to 4, or [`ROUNDING_SAE`].
    #[inline(always)]
    pub fn rounding(&self) -> u64 {
        self.imm >> ROUNDING & 7
    }
    /// Log2 of the bytes of the elements that operation masks select.
    #[inline(always)]
    pub fn element_log2(&self) -> u32 {
        (self.imm >> ELEMENT) as u32 & 7
    }
    /// 128-bit lanes of an EVEX form.
    #[inline(always)]
    pub fn lanes(&self) -> usize {
        (self.imm >> LANE_COUNT) as usize & 7
    }
    /// Bytes of the memory operand.
    #[inline(always)]
    pub fn memory_bytes(&self) -> usize {
        (self.imm >> BYTES) as usize & 0x7F
    }
    /// The memory operand must be aligned to its size.
    #[inline(always)]
    pub fn must_align(&self) -> bool {
        self.imm >> ALIGNED & 1 != 0
    }
    /// An operation mask acts on element 0 alone.
    #[inline(always)]
    pub fn scalar(&self) -> bool {
        self.imm >> SCALAR & 1 != 0
    }
    /// Says whether an operation mask acts on element 0 alone.
    pub fn set_scalar(&mut self, on: bool) {
        self.imm = self.imm & !(1 << SCALAR) | u64::from(on) << SCALAR;
    }
    /// The memory operand is read as a whole, whatever the operation mask.
    #[inline(always)]
    pub fn reads_all(&self) -> bool {
        self.imm >> WHOLE & 1 != 0
    }
    /// Bytes of the result of an EVEX form; what lies above becomes zero.
    #[inline(always)]
    pub fn result_bytes(&self) -> usize {
        match self.imm >> PARTIAL & 7 {
            0 => 16 * self.lanes(),
            log2 => 1 << log2,
        }
    }
    /// Sets the operation mask (K1 to K7, 0 for none) and whether it zeroes.
    pub fn set_masking(&mut self, register: u8, zeroing: bool) {
        self.imm = self.imm & !(7 << MASK | 1 << ZEROING) | u64::from(register) << MASK | u64::from(zeroing) << ZEROING;
    }
    /// Says whether the memory operand is one element for all.
    pub fn set_broadcast(&mut self, on: bool) {
        self.imm = self.imm & !(1 << BROADCAST) | u64::from(on) << BROADCAST;
    }
    /// Sets [`ROUNDING_MXCSR`], 1 to 4, or [`ROUNDING_SAE`].
    pub fn set_rounding(&mut self, rounding: u64) {
        self.imm = self.imm & !(7 << ROUNDING) | rounding << ROUNDING;
    }
    /// Says whether the memory operand is read as a whole, whatever the operation mask.
    pub fn set_reads_all(&mut self, on: bool) {
        self.imm = self.imm & !(1 << WHOLE) | u64::from(on) << WHOLE;
    }
    /// Says that a result has less than 16 bytes: 2, 4 or 8.
    pub fn set_partial_result(&mut self, bytes: usize) {
        self.imm = self.imm & !(7 << PARTIAL) | u64::from(bytes.trailing_zeros()) << PARTIAL;
    }
    /// Sets the row of the table of operations.
    pub fn set_kernel(&mut self, kernel: usize) {
        self.imm = self.imm & !(0xFFFF << KERNEL) | (kernel as u64) << KERNEL;
    }
    /// Sets log2 of the bytes of the elements that operation masks select.
    pub fn set_element_log2(&mut self, log2: u32) {
        self.imm = self.imm & !(7 << ELEMENT) | u64::from(log2) << ELEMENT;
    }
    /// Sets the register of a fourth operand.
    pub fn set_r4(&mut self, register: u8) {
        self.imm = self.imm & !0xFF00 | u64::from(register) << 8;
    }
    /// Sets the instruction's own immediate.
    pub fn set_imm8(&mut self, imm8: u8) {
        self.imm = self.imm & !0xFF | u64::from(imm8);
    }
    /// Sets the bytes of the memory operand.
    pub fn set_memory_bytes(&mut self, bytes: usize) {
        self.imm = self.imm & !(0x7F << BYTES) | (bytes as u64) << BYTES;
    }
    /// Says whether the memory operand must be aligned.
    pub fn set_must_align(&mut self, on: bool) {
        self.imm = self.imm & !(1 << ALIGNED) | u64::from(on) << ALIGNED;
    }
    /// Sets the 128-bit lanes of an EVEX form.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.imm = self.imm & !(7 << LANE_COUNT) | (lanes as u64) << LANE_COUNT;
    }
}
