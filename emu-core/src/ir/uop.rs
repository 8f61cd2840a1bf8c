//! The micro-op: plain data, one guest instruction each, operand kinds and sizes resolved.

use super::op::{FORMS, NO_FLAGS, Op};

/// Instructions in a block at most.
pub const MAX_UOPS: usize = 32;
/// Longest instruction, bytes (SDM Vol. 2A 2.3.11).
pub const MAX_INSTRUCTION: usize = 15;
/// Register-file index that reads as zero: an absent base or index register.
pub const REG_ZERO: u8 = 16;
/// Register-file index of the RIP of the block's first instruction.
pub const REG_RIP: u8 = 17;
/// Register-file index that reads as 4000_0000h, for RIP-relative displacements beyond 32 bits.
pub const REG_PLUS_1G: u8 = 18;
/// Register-file index that reads as -4000_0000h.
pub const REG_MINUS_1G: u8 = 19;
/// Added to 0..=3: AH, CH, DH, BH.
pub const REG_HIGH_BYTE: u8 = 64;

/// One guest instruction, lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Uop {
    /// Number of the handler: form, operation, column (from the highest bits to the lowest).
    pub op: u16,
    /// Bytes from the block's start to this instruction.
    pub off: u16,
    /// Instruction length, bytes.
    pub len: u8,
    /// Static cost, cycles.
    pub cost: u8,
    /// First register operand (usually the destination).
    pub r1: u8,
    /// Second register operand.
    pub r2: u8,
    /// Segment of the memory operand (SegmentRegister order: ES CS SS DS FS GS).
    pub seg: u8,
    /// Base register of the memory operand, or a third register operand.
    pub base: u8,
    /// Index register of the memory operand.
    pub index: u8,
    /// Bits 1:0 log2 of the scale; bits 7:2 how many upper bits the address size cuts (0, 32 or 48).
    pub scale: u8,
    /// Displacement, sign-extended.
    pub disp: i32,
    /// Immediate operand, or what [`super::operands`] and [`super::vector`] say for the operation.
    pub imm: u64,
}

impl Uop {
    /// An empty micro-op for `op`, `len` bytes long, `off` bytes into its block.
    pub fn new(op: Op, width: usize, off: u16, len: u8) -> Self {
        Self {
            op: op as u16 * 4 + width as u16,
            off,
            len,
            cost: 1,
            r1: 0,
            r2: 0,
            seg: 3,
            base: REG_ZERO,
            index: REG_ZERO,
            scale: 0,
            disp: 0,
            imm: 0,
        }
    }

    /// Offset of the next instruction from the block's start.
    #[inline(always)]
    pub fn next(&self) -> u64 {
        self.off as u64 + self.len as u64
    }

    /// The operation.
    pub fn operation(&self) -> Op {
        Op::ALL[usize::from((self.op & !FORMS) >> 2)]
    }

    /// The same operation in the form that leaves the status flags whoever sees them.
    #[inline]
    pub fn showing_flags(mut self) -> Self {
        if self.op & FORMS == NO_FLAGS {
            self.op &= !FORMS;
        }
        self
    }

    /// Replaces the operation; width and form stay.
    pub fn set_operation(&mut self, op: Op) {
        self.op = self.op & (FORMS | 3) | (op as u16) << 2;
    }

    /// Index of this handler's operand width: 0 to 3 for 8 to 64 bits.
    #[inline(always)]
    pub fn width_index(&self) -> usize {
        (self.op & 3) as usize
    }

    /// Address-size mask of the memory operand.
    #[inline(always)]
    pub fn address_mask(&self) -> u64 {
        u64::MAX >> (self.scale >> 2)
    }
}
