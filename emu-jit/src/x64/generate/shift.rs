//! Templates of shifts and rotates.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{is_high, is_plain, shift_of};
use crate::known::Known;
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT};
use crate::x64::registers::{RAX, RCX, RDX, frame};
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

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn shift(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            Op::RolRi | Op::RorRi | Op::RolRc | Op::RorRc => self.rotate(op, uop),
            Op::RclRi | Op::RcrRi => self.rotate_through_carry(op, uop),
            Op::ShldRi | Op::ShrdRi | Op::ShldRc | Op::ShrdRc => self.double_shift(op, uop),
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

    /// ECX = the count in the guest's CL.
    fn load_count(&mut self) {
        let counter = self.read(1, RCX);
        if counter != RCX {
            dynasm!(self.asm ; .arch x64 ; mov ecx, Rd(counter));
        }
    }

    /// Rotates leave all flags but CF and OF, and those too if the count is 0.
    fn rotate(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if is_high(uop.r1) {
            return false;
        }
        let (left, by_counter) = (matches!(op, Op::RolRi | Op::RolRc), matches!(op, Op::RolRc | Op::RorRc));
        let seen = !self.nobody_sees_flags() && (by_counter || uop.imm != 0);
        let end = self.asm.new_dynamic_label();
        if by_counter {
            self.load_count();
        }
        if width == 2 {
            // It is written also by a count of 0.
            let host = self.read(uop.r1, RAX);
            dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
            self.wrote(uop.r1, host);
        }
        if seen {
            if by_counter {
                let mask = if width == 3 { 63 } else { 31 };
                dynasm!(self.asm ; .arch x64 ; test cl, mask ; jz =>end);
            }
            self.settle();
            if by_counter {
                self.load_count();
            }
        }
        let host = self.read(uop.r1, RAX);
        let count = uop.imm as i8;
        match (left, by_counter) {
            (true, false) => shift_by_width!(self, width, rol, host, BYTE count),
            (false, false) => shift_by_width!(self, width, ror, host, BYTE count),
            (true, true) => shift_by_width!(self, width, rol, host, cl),
            (false, true) => shift_by_width!(self, width, ror, host, cl),
        }
        self.wrote(uop.r1, host);
        self.host = HostFlags::None;
        if seen {
            dynasm!(self.asm ; .arch x64 ; mov rdx, Rq(host));
            self.record_rotation(width, left);
            dynasm!(self.asm ; .arch x64 ; =>end);
            // With a count of 0 the flags are what they were.
            self.leaves = Some(if by_counter { Known::Nothing } else { self.known.behind_rotation() });
        } else {
            self.leaves = Some(if by_counter || uop.imm != 0 { Known::Nothing } else { self.known });
        }
        true
    }

    /// RCL and RCR by a number: the processor's, whose count is below the width.
    fn rotate_through_carry(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, count) = (uop.width_index(), uop.imm as i8);
        if is_high(uop.r1) || width < 2 || count == 0 {
            return false;
        }
        let left = op == Op::RclRi;
        self.load_carry();
        dynasm!(self.asm ; .arch x64 ; setb al ; mov [rsp + frame::SPARE], al);
        self.settle();
        let host = self.read(uop.r1, RAX);
        dynasm!(self.asm ; .arch x64 ; cmp BYTE [rsp + frame::SPARE], 1 ; cmc);
        if left {
            shift_by_width!(self, width, rcl, host, BYTE count);
        } else {
            shift_by_width!(self, width, rcr, host, BYTE count);
        }
        self.wrote(uop.r1, host);
        dynasm!(self.asm ; .arch x64 ; mov rdx, Rq(host));
        self.record_rotation(width, left);
        self.leaves = Some(self.known.behind_rotation());
        true
    }

    /// SHLD and SHRD of registers; a count of 0 leaves the flags.
    fn double_shift(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, count) = (uop.width_index(), uop.imm as i8);
        let (left, by_counter) = (matches!(op, Op::ShldRi | Op::ShldRc), matches!(op, Op::ShldRc | Op::ShrdRc));
        if width < 2 || !by_counter && count == 0 {
            return false;
        }
        let seen = !self.nobody_sees_flags();
        let end = self.asm.new_dynamic_label();
        if by_counter {
            self.load_count();
        }
        let (to, from) = (self.read(uop.r1, RAX), self.read(uop.r2, RDX));
        if by_counter {
            if width == 2 {
                dynasm!(self.asm ; .arch x64 ; mov Rd(to), Rd(to));
                self.wrote(uop.r1, to);
            }
            if seen {
                let mask = if width == 3 { 63 } else { 31 };
                dynasm!(self.asm ; .arch x64 ; test cl, mask ; jz =>end);
            }
        }
        match (left, width, by_counter) {
            (true, 2, false) => dynasm!(self.asm ; .arch x64 ; shld Rd(to), Rd(from), BYTE count),
            (true, _, false) => dynasm!(self.asm ; .arch x64 ; shld Rq(to), Rq(from), BYTE count),
            (false, 2, false) => dynasm!(self.asm ; .arch x64 ; shrd Rd(to), Rd(from), BYTE count),
            (false, _, false) => dynasm!(self.asm ; .arch x64 ; shrd Rq(to), Rq(from), BYTE count),
            (true, 2, true) => dynasm!(self.asm ; .arch x64 ; shld Rd(to), Rd(from), cl),
            (true, _, true) => dynasm!(self.asm ; .arch x64 ; shld Rq(to), Rq(from), cl),
            (false, 2, true) => dynasm!(self.asm ; .arch x64 ; shrd Rd(to), Rd(from), cl),
            (false, _, true) => dynasm!(self.asm ; .arch x64 ; shrd Rq(to), Rq(from), cl),
        }
        self.wrote(uop.r1, to);
        self.host = HostFlags::None;
        self.leaves = Some(Known::Nothing);
        if seen {
            dynasm!(self.asm ; .arch x64 ; mov rdx, Rq(to));
            self.record_double_shift(width, left, to);
            dynasm!(self.asm ; .arch x64 ; =>end);
            if !by_counter {
                self.leaves = Some(Known::Result(width));
            }
        }
        true
    }
}
