//! What templates ask of a micro-op, whatever host they are for.

use emu_core::block::tier::Source;
use emu_core::flags::FlagSource;
use emu_core::ir::op::{FORMS, NO_FLAGS, Op};
use emu_core::ir::uop::{REG_HIGH_BYTE, REG_MINUS_1G, REG_PLUS_1G, Uop};

/// Whether an operation leaves its block as often as not to run again, page by page: the interpreter comes back to it
/// without leaving compiled code first.
pub fn repeats(op: Op) -> bool {
    use Op::{RepCmps, RepIns, RepLods, RepMovs, RepOuts, RepScas, RepStos};
    matches!(op, RepMovs | RepStos | RepLods | RepScas | RepCmps | RepIns | RepOuts)
}

/// Whether a register operation leaves its status flags.
pub fn is_live(uop: &Uop) -> bool {
    uop.op & FORMS != NO_FLAGS
}

/// The register that a byte operand is a part of.
pub fn whole(register: u8) -> u8 {
    register & !REG_HIGH_BYTE
}

/// Whether an operand of this width is AH, CH, DH or BH.
pub fn is_high(register: u8) -> bool {
    register & REG_HIGH_BYTE != 0
}

/// Whether there is a template for a memory operand like this one.
pub fn is_plain(uop: &Uop) -> bool {
    let registers = [uop.base, uop.index];
    matches!(uop.scale >> 2, 0 | 32) && !registers.iter().any(|r| matches!(*r, REG_PLUS_1G | REG_MINUS_1G))
}

/// An operation of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// ADD.
    Add,
    /// OR.
    Or,
    /// ADC.
    Adc,
    /// SBB.
    Sbb,
    /// AND.
    And,
    /// SUB.
    Sub,
    /// XOR.
    Xor,
    /// CMP.
    Cmp,
    /// TEST.
    Test,
}

/// Where the two operands of an operation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Two registers.
    Rr,
    /// Register and memory.
    Rm,
    /// Memory and register.
    Mr,
    /// Register and number.
    Ri,
    /// Memory and number.
    Mi,
}

/// The operation of two operands that this one is, and where they are.
pub fn binary_of(op: Op) -> Option<(Binary, Shape)> {
    use Op::*;
    Some(match op {
        AddRr => (Binary::Add, Shape::Rr),
        AddRm => (Binary::Add, Shape::Rm),
        AddMr => (Binary::Add, Shape::Mr),
        AddRi => (Binary::Add, Shape::Ri),
        AddMi => (Binary::Add, Shape::Mi),
        OrRr => (Binary::Or, Shape::Rr),
        OrRm => (Binary::Or, Shape::Rm),
        OrMr => (Binary::Or, Shape::Mr),
        OrRi => (Binary::Or, Shape::Ri),
        OrMi => (Binary::Or, Shape::Mi),
        AdcRr => (Binary::Adc, Shape::Rr),
        AdcRm => (Binary::Adc, Shape::Rm),
        AdcMr => (Binary::Adc, Shape::Mr),
        AdcRi => (Binary::Adc, Shape::Ri),
        AdcMi => (Binary::Adc, Shape::Mi),
        SbbRr => (Binary::Sbb, Shape::Rr),
        SbbRm => (Binary::Sbb, Shape::Rm),
        SbbMr => (Binary::Sbb, Shape::Mr),
        SbbRi => (Binary::Sbb, Shape::Ri),
        SbbMi => (Binary::Sbb, Shape::Mi),
        AndRr => (Binary::And, Shape::Rr),
        AndRm => (Binary::And, Shape::Rm),
        AndMr => (Binary::And, Shape::Mr),
        AndRi => (Binary::And, Shape::Ri),
        AndMi => (Binary::And, Shape::Mi),
        SubRr => (Binary::Sub, Shape::Rr),
        SubRm => (Binary::Sub, Shape::Rm),
        SubMr => (Binary::Sub, Shape::Mr),
        SubRi => (Binary::Sub, Shape::Ri),
        SubMi => (Binary::Sub, Shape::Mi),
        XorRr => (Binary::Xor, Shape::Rr),
        XorRm => (Binary::Xor, Shape::Rm),
        XorMr => (Binary::Xor, Shape::Mr),
        XorRi => (Binary::Xor, Shape::Ri),
        XorMi => (Binary::Xor, Shape::Mi),
        CmpRr => (Binary::Cmp, Shape::Rr),
        CmpRm => (Binary::Cmp, Shape::Rm),
        CmpMr => (Binary::Cmp, Shape::Mr),
        CmpRi => (Binary::Cmp, Shape::Ri),
        CmpMi => (Binary::Cmp, Shape::Mi),
        TestRr => (Binary::Test, Shape::Rr),
        TestMr => (Binary::Test, Shape::Mr),
        TestRi => (Binary::Test, Shape::Ri),
        TestMi => (Binary::Test, Shape::Mi),
        _ => return None,
    })
}

impl Binary {
    /// Whether both operands are recorded.
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Adc | Self::Sub | Self::Sbb | Self::Cmp)
    }

    /// Whether it reads CF.
    pub fn carries(self) -> bool {
        matches!(self, Self::Adc | Self::Sbb)
    }
}

/// What becomes of the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// BT.
    Nothing,
    /// BTS.
    Set,
    /// BTR.
    Reset,
    /// BTC.
    Complement,
}

/// Where the operand is, and where the bit's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitShape {
    /// Two registers.
    Rr,
    /// Register and number.
    Ri,
    /// Memory and number.
    Mi,
    /// Memory and register.
    Mr,
}

/// The operation on one bit that this one is.
pub fn bit_of(op: Op) -> Option<(Change, BitShape)> {
    use Op::*;
    Some(match op {
        BtRr => (Change::Nothing, BitShape::Rr),
        BtRi => (Change::Nothing, BitShape::Ri),
        BtMi => (Change::Nothing, BitShape::Mi),
        BtMr => (Change::Nothing, BitShape::Mr),
        BtsRr => (Change::Set, BitShape::Rr),
        BtsRi => (Change::Set, BitShape::Ri),
        BtsMi => (Change::Set, BitShape::Mi),
        BtsMr => (Change::Set, BitShape::Mr),
        BtrRr => (Change::Reset, BitShape::Rr),
        BtrRi => (Change::Reset, BitShape::Ri),
        BtrMi => (Change::Reset, BitShape::Mi),
        BtrMr => (Change::Reset, BitShape::Mr),
        BtcRr => (Change::Complement, BitShape::Rr),
        BtcRi => (Change::Complement, BitShape::Ri),
        BtcMi => (Change::Complement, BitShape::Mi),
        BtcMr => (Change::Complement, BitShape::Mr),
        _ => return None,
    })
}

/// Which shift, and what its flags are recorded as.
pub fn shift_of(op: Op) -> Option<FlagSource> {
    use Op::*;
    Some(match op {
        ShlRi | ShlMi | ShlRc => FlagSource::Shl,
        ShrRi | ShrMi | ShrRc => FlagSource::Shr,
        SarRi | SarMi | SarRc => FlagSource::Sar,
        _ => return None,
    })
}

/// Whether it is ADDPS, MULPS, SUBPS, DIVPS or one of its kind with an operand in memory.
pub fn is_arithmetic_rm(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        AddPsRm
            | AddPdRm
            | AddSsRm
            | AddSdRm
            | MulPsRm
            | MulPdRm
            | MulSsRm
            | MulSdRm
            | SubPsRm
            | SubPdRm
            | SubSsRm
            | SubSdRm
            | DivPsRm
            | DivPdRm
            | DivSsRm
            | DivSdRm
    )
}

/// MOVZX, MOVSX or MOVSXD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Width of what is extended.
    pub from_width: usize,
    /// By its sign.
    pub signed: bool,
    /// It is in memory.
    pub in_memory: bool,
}

/// The extension that this one is.
pub fn extension_of(op: Op) -> Option<Extension> {
    use Op::*;
    let (from_width, signed, in_memory) = match op {
        MovzxRr8 => (0, false, false),
        MovzxRm8 => (0, false, true),
        MovzxRr16 => (1, false, false),
        MovzxRm16 => (1, false, true),
        MovsxRr8 => (0, true, false),
        MovsxRm8 => (0, true, true),
        MovsxRr16 => (1, true, false),
        MovsxRm16 => (1, true, true),
        MovsxRr32 => (2, true, false),
        MovsxRm32 => (2, true, true),
        _ => return None,
    };
    Some(Extension { from_width, signed, in_memory })
}

/// Where a branch relative to its block goes, from the page's start on. Where code is not of 64-bit mode, that is 32 bits.
pub fn branch_target(source: &Source, uop: &Uop) -> i64 {
    let offset = if source.wide { uop.branch_offset() as i64 } else { i64::from(uop.branch_offset() as i32) };
    i64::from(source.place).wrapping_add(offset)
}

/// Whether an offset from the page's start lies in the page.
pub fn in_page(to: i64) -> bool {
    (0..4096).contains(&to)
}

/// The condition of a conditional branch on flags.
pub fn condition_of(op: Op, uop: &Uop) -> Option<u8> {
    Some(match op {
        Op::Jcc => uop.r1,
        Op::JccBelow => 2,
        Op::JccNotBelow => 3,
        Op::JccZero => 4,
        Op::JccNotZero => 5,
        Op::JccBelowEqual => 6,
        Op::JccAbove => 7,
        Op::JccNegative => 8,
        Op::JccNotNegative => 9,
        Op::JccLess => 12,
        Op::JccNotLess => 13,
        Op::JccLessEqual => 14,
        Op::JccGreater => 15,
        _ => return None,
    })
}
