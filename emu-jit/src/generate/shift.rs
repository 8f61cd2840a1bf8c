//! Templates of shifts and rotates.

use super::Generator;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use dynasmrt::{DynasmApi, dynasm};
use super::flags::HostFlags;
use super::is_high;
use crate::layout::RAX;

macro_rules! shift_by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr, $count:expr) => {
        match $width {
            0 => dynasm!($self.asm ; .arch x64 ; $name Rb($to), BYTE $count),
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), BYTE $count),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), BYTE $count),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), BYTE $count),
        }
    };
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn shift(&mut self, op: Op, uop: &Uop) -> bool {
        let known = matches!(op, Op::ShlRi | Op::ShrRi | Op::SarRi);
        if !known || is_high(uop.r1) || !self.is_dead(uop) {
            return false;
        }
        let (width, count) = (uop.width_index(), uop.imm as i8);
        let host = self.read(uop.r1, RAX);
        if count == 0 {
            // A register of 32 bits is written all the same.
            if width == 2 {
                dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
            }
        } else {
            match op {
                Op::ShlRi => shift_by_width!(self, width, shl, host, count),
                Op::ShrRi => shift_by_width!(self, width, shr, host, count),
                _ => shift_by_width!(self, width, sar, host, count),
            }
            self.host = HostFlags::None;
        }
        self.wrote(uop.r1, host);
        true
    }
}
