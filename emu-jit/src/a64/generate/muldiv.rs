//! Templates of multiplication and division.

use super::{Generator, HostFlags, sized};
use crate::a64::registers::pinned;
use crate::forms::{is_high, is_plain};
use crate::known::Known;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// Guest registers: the accumulator and its upper half.
const LOW: u8 = 0;
/// See [`LOW`].
const HIGH: u8 = 2;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn product(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            Op::ImulRr | Op::ImulRri | Op::ImulRm | Op::ImulRmi => self.multiply_into(op, uop),
            Op::MulR | Op::Imul1R | Op::MulM | Op::Imul1M => self.multiply_accumulator(op, uop),
            Op::DivR | Op::IdivR | Op::DivM | Op::IdivM => self.divide(op, uop),
            _ => false,
        }
    }

    fn multiply_into(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::ImulRm | Op::ImulRmi);
        if width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, false, slow);
            self.load(width, 3);
            back
        });
        match op {
            Op::ImulRr => {
                self.copy(uop.r2, width, 3);
                self.copy(uop.r1, width, 4);
            }
            Op::ImulRm => self.copy(uop.r1, width, 4),
            Op::ImulRri => {
                self.copy(uop.r2, width, 3);
                self.load_number(4, uop.imm);
            }
            _ => self.load_number(4, uop.imm),
        }
        self.multiply_signed(width);
        self.set(uop.r1, width, 5);
        self.end_product(width);
        self.end(back);
        true
    }

    fn end(&mut self, back: Option<DynamicLabel>) {
        if let Some(back) = back {
            self.come_back(back);
        }
    }

    /// X5 = the zero-extended low half of the product of X3 and X4, X2 = the upper half, W17 is not 0 if the low half is not
    /// all. X3 and X4 are lost.
    fn multiply_signed(&mut self, width: usize) {
        if width == 3 {
            dynasm!(self.asm
                ; .arch aarch64
                ; mul x5, x3, x4
                ; smulh x2, x3, x4
                ; cmp x2, x5, asr 63
                ; cset w17, ne
            );
            return;
        }
        let bits = 8u32 << width;
        self.sign_extend(width, 3, 3);
        self.sign_extend(width, 4, 4);
        dynasm!(self.asm ; .arch aarch64 ; mul x5, x3, x4);
        self.sign_extend(width, 3, 5);
        dynasm!(self.asm ; .arch aarch64 ; cmp x3, x5 ; cset w17, ne ; lsr x2, x5, bits);
        self.extend(width, 5, 5);
    }

    /// The same of unsigned numbers, which are zero-extended.
    fn multiply_unsigned(&mut self, width: usize) {
        if width == 3 {
            dynasm!(self.asm ; .arch aarch64 ; mul x5, x3, x4 ; umulh x2, x3, x4 ; cmp x2, 0 ; cset w17, ne);
            return;
        }
        let bits = 8u32 << width;
        dynasm!(self.asm ; .arch aarch64 ; mul x5, x3, x4 ; lsr x2, x5, bits ; cmp x2, 0 ; cset w17, ne);
        self.extend(width, 5, 5);
    }

    /// Records the product.
    fn end_product(&mut self, width: usize) {
        if !self.nobody_sees_flags() {
            self.record_product(width);
        }
        self.host = HostFlags::None;
        self.leaves = Some(Known::Result(width));
    }

    /// X3 = the zero-extended operand of an instruction on the accumulator; where a handler comes back that does a slow
    /// access.
    fn operand(&mut self, uop: &Uop, in_memory: bool, labels: Option<(DynamicLabel, DynamicLabel)>) {
        match labels {
            Some((slow, _)) if in_memory => {
                self.translate(uop, uop.width_index(), false, slow);
                self.load(uop.width_index(), 3);
            }
            _ => self.copy(uop.r1, uop.width_index(), 3),
        }
    }

    fn multiply_accumulator(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::MulM | Op::Imul1M);
        if in_memory && !is_plain(uop) || !in_memory && is_high(uop.r1) {
            return false;
        }
        let labels = in_memory.then(|| self.slow_path());
        self.operand(uop, in_memory, labels);
        self.copy(LOW, width, 4);
        if matches!(op, Op::Imul1R | Op::Imul1M) {
            self.multiply_signed(width);
        } else {
            self.multiply_unsigned(width);
        }
        self.set(LOW, width, 5);
        if width == 0 {
            let host = pinned(LOW);
            dynasm!(self.asm ; .arch aarch64 ; bfi X(host), x2, 8, 8);
        } else {
            self.set(HIGH, width, 2);
        }
        self.end_product(width);
        self.end(labels.map(|(_, back)| back));
        true
    }

    /// The flags stay as they are recorded. What would be a divide error, or might be one, is the handler's.
    fn divide(&mut self, op: Op, uop: &Uop) -> bool {
        let (width, wide) = (uop.width_index(), uop.width_index() == 3);
        let in_memory = matches!(op, Op::DivM | Op::IdivM);
        if width < 2 || in_memory && !is_plain(uop) {
            return false;
        }
        let labels = self.slow_path();
        let (slow, back) = labels;
        self.operand(uop, in_memory, Some(labels));
        let (low, high) = (pinned(LOW), pinned(HIGH));
        if matches!(op, Op::IdivR | Op::IdivM) {
            // The dividend is as wide as the divisor, which is neither 0 nor -1.
            let top = (8u32 << width) - 1;
            sized!(self, wide, asr 4, low, # top);
            sized!(self, wide, cmp 4, high);
            dynasm!(self.asm ; .arch aarch64 ; b.ne =>slow);
            if wide {
                dynasm!(self.asm ; .arch aarch64 ; add x4, x3, 1 ; cmp x4, 1);
            } else {
                dynasm!(self.asm ; .arch aarch64 ; add w4, w3, 1 ; cmp w4, 1);
            }
            dynasm!(self.asm ; .arch aarch64 ; b.ls =>slow);
            sized!(self, wide, sdiv 5, low, 3);
            if wide {
                dynasm!(self.asm ; .arch aarch64 ; msub x2, x5, x3, X(low));
            } else {
                dynasm!(self.asm ; .arch aarch64 ; msub w2, w5, w3, W(low));
            }
        } else if wide {
            // So is it here, with the upper half 0.
            dynasm!(self.asm
                ; .arch aarch64
                ; cbnz X(high), =>slow
                ; cbz x3, =>slow
                ; udiv x5, X(low), x3
                ; msub x2, x5, x3, X(low)
            );
        } else {
            // The quotient fits if the divisor is greater than the upper half.
            dynasm!(self.asm
                ; .arch aarch64
                ; cmp W(high), w3
                ; b.hs =>slow
                ; mov w4, W(low)
                ; bfi x4, X(high), 32, 32
                ; udiv x5, x4, x3
                ; msub x2, x5, x3, x4
            );
        }
        self.set(LOW, width, 5);
        self.set(HIGH, width, 2);
        self.come_back(back);
        self.leaves = Some(self.known);
        true
    }
}
