//! Templates of shifts and rotates.

use super::flags::{HostFlags, Known};
use super::memory::is_plain;
use super::{Generator, is_high};
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT, RAX, RCX, RDX};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

macro_rules! shift_by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr, $($count:tt)*) => {
        match $width {
            0 => dynasm!($self.asm ; .arch x64 ; $name Rb($to), $($count)*),
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), $($count)*),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), $($count)*),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), $($count)*),
        }
    };
}

/// Which shift, and what its flags are recorded as.
fn shift_of(op: Op) -> Option<FlagSource> {
    use Op::*;
    Some(match op {
        ShlRi | ShlMi | ShlRc => FlagSource::Shl,
        ShrRi | ShrMi | ShrRc => FlagSource::Shr,
        SarRi | SarMi | SarRc => FlagSource::Sar,
        _ => return None,
    })
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn shift(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            Op::RolRi | Op::RorRi | Op::RolRc | Op::RorRc => self.rotate(op, uop),
            Op::ShldRi | Op::ShrdRi => self.double_shift(op, uop),
            Op::ShlRc | Op::ShrRc | Op::SarRc => self.shift_by_counter(op, uop),
            Op::ShlMi | Op::ShrMi | Op::SarMi => self.shift_in_memory(op, uop),
            Op::ShlRi | Op::ShrRi | Op::SarRi => self.shift_register(op, uop),
            _ => false,
        }
    }

    fn shift_host(&mut self, source: FlagSource, width: usize, host: u8, count: i8) {
        match source {
            FlagSource::Shl => shift_by_width!(self, width, shl, host, BYTE count),
            FlagSource::Shr => shift_by_width!(self, width, shr, host, BYTE count),
            _ => shift_by_width!(self, width, sar, host, BYTE count),
        }
    }

    fn shift_register(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(source) = shift_of(op) else { return false };
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
        self.shift_host(source, width, host, count);
        self.wrote(uop.r1, host);
        self.host = HostFlags::None;
        if live {
            self.store_cut(FLAG_RESULT, width, host, RDX);
            self.record_source(source, width);
            self.host = if count == 1 { HostFlags::All } else { HostFlags::AllButOverflow };
        }
        true
    }

    fn shift_in_memory(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(source) = shift_of(op) else { return false };
        let (width, count) = (uop.width_index(), uop.imm as i8);
        if !is_plain(uop) || count == 0 || count >= 8 << width {
            return false;
        }
        let (slow, back) = self.slow_path();
        self.translate(uop, width, true, slow);
        self.load(width, RCX);
        dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_A], rcx);
        self.store_number(FLAG_B, uop.imm, RDX);
        self.shift_host(source, width, RCX, count);
        self.store(width, RCX);
        dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_RESULT], rcx);
        self.record_source(source, width);
        dynasm!(self.asm ; .arch x64 ; =>back);
        self.host = HostFlags::None;
        self.leaves = Some(Known::Shift(width));
        true
    }

    /// By CL: a count of 0 leaves the flags.
    fn shift_by_counter(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(source) = shift_of(op) else { return false };
        let width = uop.width_index();
        if is_high(uop.r1) {
            return false;
        }
        let counter = self.read(1, RCX);
        if counter != RCX {
            dynasm!(self.asm ; .arch x64 ; mov ecx, Rd(counter));
        }
        let host = self.read(uop.r1, RAX);
        let end = self.asm.new_dynamic_label();
        let seen = !self.nobody_sees_flags();
        if width == 2 {
            // It is written also by a count of 0.
            dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
        }
        if seen {
            let mask = if width == 3 { 63 } else { 31 };
            dynasm!(self.asm ; .arch x64 ; and ecx, mask ; jz =>end);
            self.store_cut(crate::layout::FLAG_A, width, host, RDX);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_B], rcx);
        }
        match source {
            FlagSource::Shl => shift_by_width!(self, width, shl, host, cl),
            FlagSource::Shr => shift_by_width!(self, width, shr, host, cl),
            _ => shift_by_width!(self, width, sar, host, cl),
        }
        if seen {
            self.store_cut(FLAG_RESULT, width, host, RDX);
            self.record_source(source, width);
        }
        dynasm!(self.asm ; .arch x64 ; =>end);
        self.wrote(uop.r1, host);
        self.host = HostFlags::None;
        self.leaves = Some(Known::Nothing);
        true
    }

    /// Rotates leave most flags as they are: they have a template where the next micro-ops overwrite them all.
    fn rotate(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if is_high(uop.r1) || !self.nobody_sees_flags() {
            return false;
        }
        let by_counter = matches!(op, Op::RolRc | Op::RorRc);
        if by_counter {
            let counter = self.read(1, RCX);
            if counter != RCX {
                dynasm!(self.asm ; .arch x64 ; mov ecx, Rd(counter));
            }
        }
        let host = self.read(uop.r1, RAX);
        if width == 2 {
            dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
        }
        let count = uop.imm as i8;
        match op {
            Op::RolRi => shift_by_width!(self, width, rol, host, BYTE count),
            Op::RorRi => shift_by_width!(self, width, ror, host, BYTE count),
            Op::RolRc => shift_by_width!(self, width, rol, host, cl),
            _ => shift_by_width!(self, width, ror, host, cl),
        }
        self.wrote(uop.r1, host);
        self.host = HostFlags::None;
        true
    }

    /// SHLD and SHRD, likewise.
    fn double_shift(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, count) = (uop.width_index(), uop.imm as i8);
        if width < 2 || count == 0 || !self.nobody_sees_flags() {
            return false;
        }
        let (to, from) = (self.read(uop.r1, RAX), self.read(uop.r2, RDX));
        match (op, width) {
            (Op::ShldRi, 2) => dynasm!(self.asm ; .arch x64 ; shld Rd(to), Rd(from), BYTE count),
            (Op::ShldRi, _) => dynasm!(self.asm ; .arch x64 ; shld Rq(to), Rq(from), BYTE count),
            (_, 2) => dynasm!(self.asm ; .arch x64 ; shrd Rd(to), Rd(from), BYTE count),
            _ => dynasm!(self.asm ; .arch x64 ; shrd Rq(to), Rq(from), BYTE count),
        }
        self.wrote(uop.r1, to);
        self.host = HostFlags::None;
        true
    }
}
