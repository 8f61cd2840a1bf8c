//! Templates of shifts and rotates.

use super::{Generator, HostFlags, sized};
use crate::a64::registers::pinned;
use crate::forms::{is_plain, shift_of};
use crate::known::Known;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{CF, FlagSource, OF};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// The guest's counter.
const RCX: u8 = 1;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn shift(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            Op::ShlRi | Op::ShrRi | Op::SarRi | Op::ShlMi | Op::ShrMi | Op::SarMi => self.shift_by_number(op, uop),
            Op::ShlRc | Op::ShrRc | Op::SarRc => self.shift_by_counter(op, uop),
            Op::RolRi | Op::RorRi => self.rotate(op, uop),
            Op::ShldRi | Op::ShrdRi => self.double_shift(op, uop),
            _ => false,
        }
    }

    fn shift_by_number(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(source) = shift_of(op) else { return false };
        let (width, count) = (uop.width_index(), uop.imm as u32);
        let in_memory = matches!(op, Op::ShlMi | Op::ShrMi | Op::SarMi);
        if count >= 8 << width || in_memory && (count == 0 || !is_plain(uop)) {
            return false;
        }
        if count == 0 {
            // A register of 32 bits is written all the same.
            self.copy(uop.r1, width, 3);
            self.set(uop.r1, width, 3);
            return true;
        }
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, true, slow);
            self.load(width, 3);
            back
        });
        if !in_memory {
            self.copy(uop.r1, width, 3);
        }
        let wide = width == 3;
        match source {
            FlagSource::Shl => sized!(self, wide, lsl 5, 3, # count),
            FlagSource::Shr => sized!(self, wide, lsr 5, 3, # count),
            _ => {
                self.sign_extend(width, 5, 3);
                dynasm!(self.asm ; .arch aarch64 ; asr x5, x5, count);
            }
        }
        self.extend(width, 5, 5);
        if in_memory || !self.is_dead(uop) {
            self.load_number(4, count.into());
            self.record_operands(3, 4);
            self.record_result(source, width, 5);
            self.host = HostFlags::None;
        }
        if let Some(back) = back {
            self.store(width, 5);
            self.come_back(back);
            self.leaves = Some(Known::Shift(width));
        } else {
            self.set(uop.r1, width, 5);
        }
        true
    }

    /// By CL: a count of 0 leaves the flags.
    fn shift_by_counter(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(source) = shift_of(op) else { return false };
        let (width, wide) = (uop.width_index(), uop.width_index() == 3);
        let counter = pinned(RCX);
        self.copy(uop.r1, width, 3);
        if wide {
            dynasm!(self.asm ; .arch aarch64 ; and x4, X(counter), 63);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; and w4, W(counter), 31);
        }
        match source {
            FlagSource::Shl => sized!(self, wide, lsl 5, 3, 4),
            FlagSource::Shr => sized!(self, wide, lsr 5, 3, 4),
            _ => {
                self.sign_extend(width, 5, 3);
                dynasm!(self.asm ; .arch aarch64 ; asr x5, x5, x4);
            }
        }
        self.extend(width, 5, 5);
        self.set(uop.r1, width, 5);
        if !self.nobody_sees_flags() {
            let end = self.asm.new_dynamic_label();
            dynasm!(self.asm ; .arch aarch64 ; cbz x4, =>end);
            self.record_operands(3, 4);
            self.record_result(source, width, 5);
            dynasm!(self.asm ; .arch aarch64 ; =>end);
        }
        self.host = HostFlags::None;
        self.leaves = Some(Known::Nothing);
        true
    }

    /// Rotates leave all flags but CF and OF, and those too if the count is 0.
    fn rotate(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, count) = (uop.width_index(), uop.imm as u32);
        let seen = !self.nobody_sees_flags();
        if width < 2 || count == 0 {
            return false;
        }
        if seen {
            self.settle();
        }
        let (wide, bits, host) = (width == 3, 8u32 << width, pinned(uop.r1));
        let right = if op == Op::RolRi { (bits - count) % bits } else { count };
        sized!(self, wide, ror host, host, # right);
        self.host = HostFlags::None;
        if !seen {
            self.leaves = Some(Known::Nothing);
            return true;
        }
        let top = bits - 1;
        if op == Op::RolRi {
            // CF is the lowest bit, OF the upper one's difference from it.
            dynasm!(self.asm
                ; .arch aarch64
                ; and x17, X(host), 1
                ; ubfx x3, X(host), top, 1
                ; eor x3, x3, x17
            );
        } else {
            let second = top - 1;
            dynasm!(self.asm
                ; .arch aarch64
                ; ubfx x17, X(host), top, 1
                ; ubfx x3, X(host), second, 1
                ; eor x3, x3, x17
            );
        }
        dynasm!(self.asm ; .arch aarch64 ; orr x17, x17, x3, lsl 11);
        self.change_bits(CF | OF);
        self.leaves = Some(self.known.behind_rotation());
        true
    }

    /// SHLD and SHRD of registers by a number, where nobody sees the flags.
    fn double_shift(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, count) = (uop.width_index(), uop.imm as u32);
        if width < 2 || count == 0 || !self.nobody_sees_flags() {
            return false;
        }
        let (wide, bits) = (width == 3, 8u32 << width);
        let (to, from) = (pinned(uop.r1), pinned(uop.r2));
        let (high, low, right) = if op == Op::ShldRi { (to, from, bits - count) } else { (from, to, count) };
        if wide {
            dynasm!(self.asm ; .arch aarch64 ; extr X(to), X(high), X(low), right);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; extr W(to), W(high), W(low), right);
        }
        self.host = HostFlags::None;
        self.leaves = Some(Known::Nothing);
        true
    }
}
