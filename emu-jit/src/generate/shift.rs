//! Templates of shifts and rotates.

use super::flags::HostFlags;
use super::{Generator, is_high};
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT, RAX, RDX};
use dynasmrt::{DynasmApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

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
        let source = match op {
            Op::ShlRi => FlagSource::Shl,
            Op::ShrRi => FlagSource::Shr,
            Op::SarRi => FlagSource::Sar,
            _ => return false,
        };
        let (width, count) = (uop.width_index(), uop.imm as i8);
        // The host's CF is undefined where all bits are shifted out.
        if is_high(uop.r1) || count >= 8 << width {
            return false;
        }
        let host = self.read(uop.r1, RAX);
        if count == 0 {
            // A register of 32 bits is written all the same.
            if width == 2 {
                dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
            }
            self.wrote(uop.r1, host);
            return true;
        }
        let live = !self.is_dead(uop);
        if live {
            self.store_cut(FLAG_A, width, host, RDX);
            self.store_number(FLAG_B, uop.imm, RDX);
        }
        match op {
            Op::ShlRi => shift_by_width!(self, width, shl, host, count),
            Op::ShrRi => shift_by_width!(self, width, shr, host, count),
            _ => shift_by_width!(self, width, sar, host, count),
        }
        self.wrote(uop.r1, host);
        self.host = HostFlags::None;
        if live {
            self.store_cut(FLAG_RESULT, width, host, RDX);
            self.record_source(source, width);
            self.host = if count == 1 { HostFlags::All } else { HostFlags::AllButOverflow };
        }
        true
    }
}
