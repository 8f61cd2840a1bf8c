//! Templates of moves, exchanges, extensions, and of what moves on a condition.

use super::{Generator, sized};
use crate::a64::registers::pinned;
use crate::forms::{Extension, extension_of, is_plain};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn moves(&mut self, op: Op, uop: &Uop) -> bool {
        self.movement(op, uop) || self.extension(op, uop) || self.conditional(op, uop)
    }

    fn movement(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::MovRm | Op::MovMr | Op::MovMi | Op::XchgMr | Op::Lea);
        if in_memory && !is_plain(uop) {
            return false;
        }
        match op {
            Op::MovRr => {
                let from = self.read(uop.r2, width, 3);
                self.set(uop.r1, width, from);
            }
            Op::MovRi if width >= 2 => self.load_number(pinned(uop.r1), uop.imm),
            Op::MovRi => {
                self.load_number(3, uop.imm);
                self.set(uop.r1, width, 3);
            }
            Op::Lea => {
                self.address(uop);
                self.set(uop.r1, width, 0);
            }
            Op::Nop | Op::Prefetch => {}
            Op::XchgRr => {
                self.copy(uop.r1, width, 3);
                self.copy(uop.r2, width, 4);
                self.set(uop.r1, width, 4);
                self.set(uop.r2, width, 3);
                // It does not see the flags.
                self.leaves = Some(self.known);
            }
            Op::MovRm | Op::MovMr | Op::MovMi | Op::MovRmAbsolute | Op::MovMrAbsolute | Op::XchgMr => {
                self.access(op, uop);
            }
            _ => return false,
        }
        true
    }

    fn access(&mut self, op: Op, uop: &Uop) {
        let width = uop.width_index();
        let write = !matches!(op, Op::MovRm | Op::MovRmAbsolute);
        let (slow, back) = self.slow_path();
        if matches!(op, Op::MovRmAbsolute | Op::MovMrAbsolute) {
            self.load_number(0, uop.imm);
        } else {
            self.address(uop);
        }
        self.translate_offset(uop.seg, width, write, slow);
        match op {
            Op::MovRm if width >= 2 => self.load(width, pinned(uop.r1)),
            Op::MovRm | Op::MovRmAbsolute => {
                self.load(width, 3);
                self.set(uop.r1, width, 3);
            }
            Op::MovMi => {
                self.load_number(4, uop.imm);
                self.store(width, 4);
            }
            Op::XchgMr => {
                self.load(width, 3);
                let new = self.read(uop.r1, width, 4);
                self.store(width, new);
                self.set(uop.r1, width, 3);
            }
            _ => {
                let from = self.read(uop.r1, width, 4);
                self.store(width, from);
            }
        }
        self.come_back(back);
        // None of them sees the flags.
        self.leaves = Some(self.known);
    }

    fn extension(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(Extension { from_width, signed, in_memory }) = extension_of(op) else { return false };
        if in_memory && !is_plain(uop) {
            return false;
        }
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, from_width, false, slow);
            self.load(from_width, 3);
            back
        });
        if !in_memory {
            self.copy(uop.r2, from_width, 3);
        }
        if signed {
            self.sign_extend(from_width, 3, 3);
        }
        self.set(uop.r1, uop.width_index(), 3);
        if let Some(back) = back {
            self.come_back(back);
        }
        true
    }

    fn conditional(&mut self, op: Op, uop: &Uop) -> bool {
        let in_memory = matches!(op, Op::SetccM | Op::CmovRm);
        if in_memory && !is_plain(uop) {
            return false;
        }
        match op {
            Op::SetccR => {
                let condition = self.condition(uop.condition());
                self.set_if(condition);
                self.set(uop.r1, 0, 17);
            }
            Op::SetccM => {
                let condition = self.condition(uop.condition());
                self.set_if(condition);
                let (slow, back) = self.slow_path();
                self.translate(uop, 0, true, slow);
                self.store(0, 17);
                self.come_back(back);
            }
            Op::CmovRr => {
                let condition = self.condition(uop.condition());
                self.choose(uop, condition, pinned(uop.r2));
            }
            Op::CmovRm => {
                let condition = self.condition(uop.condition());
                self.set_if(condition);
                let (slow, back) = self.slow_path();
                let width = uop.width_index();
                self.translate(uop, width, false, slow);
                self.load(width, 3);
                dynasm!(self.asm ; .arch aarch64 ; cmp w17, 0);
                self.choose(uop, super::flags::NE, 3);
                self.come_back(back);
            }
            _ => return false,
        }
        true
    }

    /// CMOVcc from a host register. One of 32 bits is zero-extended even when the condition is false.
    fn choose(&mut self, uop: &Uop, condition: u8, from: u8) {
        let (width, to) = (uop.width_index(), pinned(uop.r1));
        let skip = self.asm.new_dynamic_label();
        if width == 2 {
            sized!(self, false, mov to, to);
        }
        self.jump_if(condition ^ 1, skip);
        self.set(uop.r1, width, from);
        dynasm!(self.asm ; .arch aarch64 ; =>skip);
    }
}
