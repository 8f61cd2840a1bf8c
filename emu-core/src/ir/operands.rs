//! What [`Uop::imm`] holds: one meaning for each group of operations, read by the accessor of that name.
//!
//! | operations | `imm` | accessor |
//! | --- | --- | --- |
//! | with an immediate operand | the operand, sign-extended as its instruction says, then cut to the operand's width | the field |
//! | shifts, BT… by an immediate | the count or bit number, already masked to the operand's width | the field |
//! | `MovRmAbsolute`, `MovMrAbsolute` | the offset in the segment, 64 bits | the field |
//! | `Cmov…`, `Setcc…` | the condition, in the low four bits of the opcode's encoding (`Jcc` has it in `r1`) | [`Uop::condition`] |
//! | `JmpRel`, `CallRel`, `CetCallRel`, `Jcc…`, `Jcxz`, `Loop` | the target minus the RIP of the block's first instruction | [`Uop::branch_offset`] |
//! | `JmpFar`, `CallFar` | selector in bits 47:32, offset below | [`Uop::far_pointer`] |
//! | `Ret`, `CetRet`, `RetFar`, `Enter` | bytes of parameters to release, or of the frame to make | [`Uop::stack_bytes`] |
//! | `InImm`, `OutImm` | the port, 0 to FFh | [`Uop::port`] |
//! | `IntN` | the vector | [`Uop::vector`] |
//! | `MovToCr`, `MovFromCr`, `MovToDr`, `MovFromDr` | the number of the control or debug register | [`Uop::system_register`] |
//! | `FlagBit` | the flag, as its bit in RFLAGS | the field |
//! | `Lgdt`, `Lidt` | the mask that the operand size puts on the base outside 64-bit mode | [`Uop::base_mask`] |
//! | `Fxsave`, `Fxrstor`, `Xsave`, `Xrstor` | bits of [`area`] | [`Uop::area_has`] |
//! | BMI and ADX | the immediate in the low byte; the register source of the `…Rr` form above it | [`Uop::low_byte`], [`Uop::second_byte`] |
//! | x87 | FOP's eleven bits; bit 11 for a memory operand | [`Uop::x87_opcode`], [`Uop::x87_has_memory`] |
//! | `Unimplemented` | the decoder's number of the instruction | the field |
//! | vectors, MMX, masks | fields: see [`super::vector`] | |
//!
//! Operations that stand for several instructions say which one ([`Uop::variant`]): 0 or 1 is RDTSC or RDTSCP, UMWAIT or
//! TPAUSE, RDRAND or RDSEED, VERR or VERW, CLAC or STAC, INVD or WBINVD, the base of FS or of GS.
//!
//! The other operations leave it 0.

use super::uop::Uop;

/// In `r2` of a micro-op: the operand is not a register but in memory.
pub const IN_MEMORY: u8 = 0xFF;
/// In `r2` of a BMI micro-op: the other operand is the immediate.
pub const IMMEDIATE: u8 = 0xFF;

/// In `r2` of near branches where CET works.
pub mod branch {
    /// The no-track prefix.
    pub const NO_TRACK: u8 = 1 << 0;
    /// CALL to the next instruction, which pushes nothing on the shadow stack.
    pub const NO_PUSH: u8 = 1 << 1;
}

/// Which saved-state instruction it is.
pub mod area {
    /// REX.W: 64-bit instruction and data pointers.
    pub const WIDE: u64 = 1 << 0;
    /// XSAVEOPT.
    pub const OPTIMIZED: u64 = 1 << 1;
    /// XSAVEC and XSAVES: the compacted format.
    pub const COMPACT: u64 = 1 << 2;
    /// XSAVES and XRSTORS: supervisor components too.
    pub const SUPERVISOR: u64 = 1 << 3;
}

/// How an x87 micro-op says what its instruction is: in `r2`, where not said otherwise.
pub mod x87 {
    /// Loads, stores and comparisons: pops once.
    pub const POP: u8 = 1;
    /// Stores of integers: FISTTP, truncates.
    pub const TRUNCATE: u8 = 2;
    /// Comparisons: how often they pop.
    pub const POPS: u8 = 3;
    /// FSTPNCE: an empty source is no stack fault.
    pub const NO_CHECK: u8 = 4;
    /// Comparisons: FUCOM and the like, a quiet NaN is no invalid operand.
    pub const QUIET: u8 = 4;
    /// In `imm`: the bits that FOP keeps.
    pub const OPCODE: u64 = 0x7FF;
    /// In `imm`: there is a memory operand.
    pub const HAS_MEMORY: u64 = 1 << 11;
}

impl Uop {
    /// Condition code, 0 to 15.
    #[inline(always)]
    pub fn condition(&self) -> u8 {
        self.imm as u8
    }

    /// Target of a relative branch minus the RIP of the block's first instruction.
    #[inline(always)]
    pub fn branch_offset(&self) -> u64 {
        self.imm
    }

    /// Selector and offset of a direct far transfer.
    pub fn far_pointer(&self) -> (u16, u64) {
        ((self.imm >> 32) as u16, self.imm & 0xFFFF_FFFF)
    }

    /// Bytes that RET releases besides the return address, or that ENTER allocates.
    #[inline(always)]
    pub fn stack_bytes(&self) -> u64 {
        self.imm
    }

    /// Port of IN and OUT with an immediate.
    #[inline(always)]
    pub fn port(&self) -> u16 {
        self.imm as u16
    }

    /// Vector of INT n.
    pub fn vector(&self) -> u8 {
        self.imm as u8
    }

    /// Number of the control or debug register.
    pub fn system_register(&self) -> u8 {
        self.imm as u8
    }

    /// Which of the instructions that share the operation.
    #[inline(always)]
    pub fn variant(&self) -> u64 {
        self.imm
    }

    /// Mask of a descriptor table's base: 24 or 32 bits.
    pub fn base_mask(&self) -> u64 {
        self.imm
    }

    /// Whether a bit of [`area`] is set.
    pub fn area_has(&self, bit: u64) -> bool {
        self.imm & bit != 0
    }

    /// The immediate byte of an instruction that has a register in `imm` too.
    #[inline(always)]
    pub fn low_byte(&self) -> u64 {
        self.imm & 0xFF
    }

    /// The register in the second byte of `imm`.
    #[inline(always)]
    pub fn second_byte(&self) -> u8 {
        (self.imm >> 8) as u8
    }

    /// The eleven bits that FOP keeps of the instruction.
    pub fn x87_opcode(&self) -> u16 {
        (self.imm & x87::OPCODE) as u16
    }

    /// Whether an x87 instruction has a memory operand.
    #[inline(always)]
    pub fn x87_has_memory(&self) -> bool {
        self.imm & x87::HAS_MEMORY != 0
    }
}
