//! Templates of instructions on bits and bytes.

use super::{Generator, HostFlags, sized};
use crate::a64::registers::pinned;
use crate::forms::{BitShape, Change, bit_of, is_plain};
use crate::known::Known;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{CF, FlagSource, STATUS};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn bits(&mut self, op: Op, uop: &Uop) -> bool {
        if let Some((change, shape)) = bit_of(op) {
            return self.bit(change, shape, uop);
        }
        let width = uop.width_index();
        match op {
            Op::FlagBit if uop.imm == CF => self.carry_flag(uop.r1),
            Op::LzcntRr | Op::LzcntRm | Op::TzcntRr | Op::TzcntRm => self.count_zeros(op, uop),
            Op::BsfRr | Op::BsrRr | Op::BsfRm | Op::BsrRm => self.scan(op, uop),
            Op::Bswap if width >= 2 => {
                let host = pinned(uop.r1);
                sized!(self, width == 3, rev host, host);
                true
            }
            Op::Cbw if width > 0 => {
                self.sign_extend(width - 1, 3, pinned(0));
                self.set(0, width, 3);
                true
            }
            Op::Cwd if width > 0 => {
                self.sign_extend(width, 3, pinned(0));
                dynasm!(self.asm ; .arch aarch64 ; asr x3, x3, 63);
                self.set(2, width, 3);
                true
            }
            _ => false,
        }
    }

    fn bit(&mut self, change: Change, shape: BitShape, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = shape == BitShape::Mi;
        if width == 0 || shape == BitShape::Mr || in_memory && !is_plain(uop) {
            return false;
        }
        let seen = !self.nobody_sees_flags();
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, change != Change::Nothing, slow);
            self.load(width, 3);
            back
        });
        if !in_memory {
            self.copy(uop.r1, width, 3);
        }
        let top = (8u64 << width) - 1;
        if shape == BitShape::Rr {
            let number = pinned(uop.r2);
            self.load_number(4, top);
            dynasm!(self.asm ; .arch aarch64 ; and x4, x4, X(number));
        } else {
            self.load_number(4, uop.imm & top);
        }
        dynasm!(self.asm ; .arch aarch64 ; lsr x17, x3, x4 ; and x17, x17, 1);
        if change != Change::Nothing {
            self.load_number(1, 1);
            dynasm!(self.asm ; .arch aarch64 ; lsl x1, x1, x4);
            match change {
                Change::Set => dynasm!(self.asm ; .arch aarch64 ; orr x3, x3, x1),
                Change::Reset => dynasm!(self.asm ; .arch aarch64 ; bic x3, x3, x1),
                _ => dynasm!(self.asm ; .arch aarch64 ; eor x3, x3, x1),
            }
            if in_memory {
                self.store(width, 3);
            } else {
                self.set(uop.r1, width, 3);
            }
        }
        if seen {
            self.set_carry();
        }
        self.host = HostFlags::None;
        if let Some(back) = back {
            self.come_back(back);
        }
        true
    }

    /// CLC, STC and CMC.
    fn carry_flag(&mut self, action: u8) -> bool {
        match action {
            0 | 1 => self.load_number(17, action.into()),
            _ => {
                self.load_carry();
                dynasm!(self.asm ; .arch aarch64 ; eor w17, w17, 1);
            }
        }
        self.set_carry();
        true
    }

    /// The zero-extended source is in X3; where the handler comes back that does a slow access.
    fn source(&mut self, uop: &Uop, in_memory: bool) -> Option<dynasmrt::DynamicLabel> {
        let width = uop.width_index();
        if !in_memory {
            self.copy(uop.r2, width, 3);
            return None;
        }
        let (slow, back) = self.slow_path();
        self.translate(uop, width, false, slow);
        self.load(width, 3);
        Some(back)
    }

    /// A source of 0 leaves the destination alone, all 64 bits of it.
    fn scan(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::BsfRm | Op::BsrRm);
        if width == 0 || in_memory && !is_plain(uop) || !self.nobody_sees_flags() {
            return false;
        }
        let back = self.source(uop, in_memory);
        let zero = self.asm.new_dynamic_label();
        dynasm!(self.asm ; .arch aarch64 ; cbz x3, =>zero);
        if matches!(op, Op::BsfRr | Op::BsfRm) {
            dynasm!(self.asm ; .arch aarch64 ; rbit x5, x3 ; clz x5, x5);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; clz x5, x3 ; eor x5, x5, 63);
        }
        self.set(uop.r1, width, 5);
        dynasm!(self.asm ; .arch aarch64 ; =>zero);
        self.host = HostFlags::None;
        if let Some(back) = back {
            self.come_back(back);
        }
        self.leaves = Some(Known::Nothing);
        true
    }

    /// LZCNT and TZCNT: CF says that the source is 0.
    fn count_zeros(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::LzcntRm | Op::TzcntRm);
        if width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let back = self.source(uop, in_memory);
        let bits = 8u64 << width;
        dynasm!(self.asm ; .arch aarch64 ; cmp x3, 0 ; cset w17, eq);
        if matches!(op, Op::TzcntRr | Op::TzcntRm) {
            dynasm!(self.asm ; .arch aarch64 ; rbit x5, x3 ; clz x5, x5);
            self.load_number(4, bits);
            dynasm!(self.asm ; .arch aarch64 ; csel x5, x4, x5, eq);
        } else {
            self.load_number(4, 64 - bits);
            dynasm!(self.asm ; .arch aarch64 ; clz x5, x3 ; sub x5, x5, x4);
        }
        self.change_bits(STATUS);
        self.record_result(FlagSource::Result, width, 5);
        self.set(uop.r1, width, 5);
        self.host = HostFlags::None;
        if let Some(back) = back {
            self.come_back(back);
        }
        self.leaves = Some(Known::Result(width));
        true
    }
}
