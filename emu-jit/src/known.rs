//! What is known about the recorded status flags at a place in a block, whatever host it is compiled for.

use crate::forms::is_live;
use emu_core::ir::op::{FlagEffect, FlagForm, Op};
use emu_core::ir::uop::Uop;

/// What is known about the recorded flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// They are of a subtraction without a borrow, of this width.
    Difference(usize),
    /// They are of an addition without a carry.
    Sum(usize),
    /// They are of an addition that may have had a carry.
    CarriedSum(usize),
    /// They are of a subtraction that may have had a borrow.
    CarriedDifference(usize),
    /// They are of a logical instruction.
    Logic(usize),
    /// They are of some other result; CF is among the bits.
    Result(usize),
    /// They are of a shift.
    Shift(usize),
    /// They are among the bits.
    Explicit,
}

impl Known {
    /// Behind a micro-op that writes them all.
    pub fn of(uop: &Uop) -> Self {
        use Op::*;
        let width = uop.width_index();
        match uop.operation() {
            AddRr | AddRm | AddMr | AddRi | AddMi => Self::Sum(width),
            OrRr | OrRm | OrMr | OrRi | OrMi | AndRr | AndRm | AndMr | AndRi | AndMi | XorRr | XorRm | XorMr
            | XorRi | XorMi | TestRr | TestMr | TestRi | TestMi | XorZero => Self::Logic(width),
            NegR | NegM => Self::Difference(width),
            ShlRi | ShrRi | SarRi => Self::Shift(width),
            AdcRr | AdcRm | AdcMr | AdcRi | AdcMi => Self::CarriedSum(width),
            SbbRr | SbbRm | SbbMr | SbbRi | SbbMi => Self::CarriedDifference(width),
            op => match op.flag_effect() {
                FlagEffect::Writes { form: FlagForm::Difference, .. } => Self::Difference(width),
                FlagEffect::Writes { form: FlagForm::Result, .. } => Self::Result(width),
                _ => Self::Nothing,
            },
        }
    }

    /// Behind a micro-op, if it is known in front of it.
    pub fn behind(self, uop: &Uop) -> Self {
        match uop.operation().flag_effect() {
            FlagEffect::None | FlagEffect::Fails | FlagEffect::Reads => self,
            FlagEffect::Unknown => {
                let comparison =
                    matches!(uop.operation(), Op::CompareScalarR | Op::CompareScalarM | Op::Fcomi | Op::Sahf);
                if comparison { Self::Explicit } else { Self::Nothing }
            }
            FlagEffect::Writes { .. } => {
                let shift = matches!(uop.operation(), Op::ShlRi | Op::ShrRi | Op::SarRi);
                if !(shift && uop.imm == 0) && is_live(uop) { Self::of(uop) } else { self }
            }
        }
    }

    /// Behind a rotation, if it is known in front of it.
    pub fn behind_rotation(self) -> Self {
        match self {
            Self::Nothing | Self::Explicit => self,
            Self::Difference(width)
            | Self::Sum(width)
            | Self::CarriedSum(width)
            | Self::CarriedDifference(width)
            | Self::Logic(width)
            | Self::Result(width)
            | Self::Shift(width) => Self::Result(width),
        }
    }
}

/// Whether the micro-ops behind one surely overwrite the flags that it leaves before anybody sees them.
pub fn nobody_sees_flags(behind: &[Uop]) -> bool {
    for uop in behind {
        match uop.operation().flag_effect() {
            FlagEffect::None => {}
            FlagEffect::Writes { reads: false, fails: false, .. } => {
                // A shift by 0 writes nothing.
                return !matches!(uop.operation(), Op::ShlRi | Op::ShrRi | Op::SarRi) || uop.imm != 0;
            }
            _ => return false,
        }
    }
    false
}
