//! Templates of stack instructions.

use super::Generator;
use crate::a64::registers::pinned;
use crate::forms::is_plain;
use dynasmrt::DynamicLabel;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// The stack pointer's number.
const RSP: u8 = 4;
/// The frame pointer's number.
const RBP: u8 = 5;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn stack(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if !matches!(op, Op::PushR | Op::PushM | Op::PushI | Op::PopR | Op::Leave)
            || width != self.word
            || op == Op::PushM && !is_plain(uop)
        {
            return false;
        }
        let (slow, back) = self.slow_path();
        match op {
            Op::PushM => {
                self.translate(uop, width, false, slow);
                self.load(width, 5);
                self.push(5, slow);
            }
            Op::PushI => {
                self.load_number(5, uop.imm);
                self.push(5, slow);
            }
            Op::PushR => self.push(pinned(uop.r1), slow),
            _ => {
                let (from, to) = if op == Op::PopR { (RSP, uop.r1) } else { (RBP, RBP) };
                self.copy(from, width, 0);
                self.translate_stack(width, false, slow);
                self.load(width, 5);
                self.release(from, 1 << width);
                self.set(to, width, 5);
            }
        }
        self.come_back(back);
        true
    }

    /// Pushes a host register that is none of X0 to X4, or goes to `slow`.
    pub fn push(&mut self, from: u8, slow: DynamicLabel) {
        let below = -(1 << self.word);
        self.add_number(0, pinned(RSP), below, self.source.wide);
        self.translate_stack(self.word, true, slow);
        self.store(self.word, from);
        self.add_number(pinned(RSP), pinned(RSP), below, self.source.wide);
    }

    /// The stack pointer = a guest register + `bytes`.
    pub fn release(&mut self, from: u8, bytes: i64) {
        self.add_number(pinned(RSP), pinned(from), bytes, self.source.wide);
    }

    /// X5 = what is popped, or the code goes on at `slow`. The stack pointer stays.
    pub fn top(&mut self, slow: DynamicLabel) {
        self.copy(RSP, self.word, 0);
        self.translate_stack(self.word, false, slow);
        self.load(self.word, 5);
    }

    /// Releases what was popped, and `bytes` more.
    pub fn pop(&mut self, bytes: i64) {
        self.release(RSP, (1 << self.word) + bytes);
    }
}
