//! Templates of stack instructions.

use super::Generator;
use crate::forms::is_plain;
use crate::x64::registers::{RAX, RCX, frame, pinned};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// The stack pointer's number.
pub const RSP: u8 = 4;
/// The frame pointer's number.
const RBP: u8 = 5;

impl Generator<'_> {
    /// The host register of the guest's stack pointer.
    pub fn stack_pointer(&self) -> u8 {
        match pinned(RSP) {
            Some(host) => host,
            None => unreachable!("the stack pointer has a host register"),
        }
    }

    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn stack(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if !matches!(op, Op::PushR | Op::PushM | Op::PushI | Op::PopR | Op::Leave)
            || width != self.word
            || op == Op::PushM && !is_plain(uop)
        {
            return false;
        }
        let sp = self.stack_pointer();
        let (slow, back) = self.slow_path();
        match op {
            Op::PushR | Op::PushI => {
                self.below_top(RAX);
                self.translate_stack(width, true, slow);
                let from = if op == Op::PushR {
                    self.read(uop.r1, RCX)
                } else {
                    self.load_number(RCX, uop.imm);
                    RCX
                };
                self.store(width, from);
                self.below_top(sp);
            }
            Op::PushM => {
                self.translate(uop, width, false, slow);
                self.load(width, RAX);
                dynasm!(self.asm ; .arch x64 ; mov [rsp + frame::SPARE], rax);
                self.below_top(RAX);
                self.translate_stack(width, true, slow);
                dynasm!(self.asm ; .arch x64 ; mov rcx, [rsp + frame::SPARE]);
                self.store(width, RCX);
                self.below_top(sp);
            }
            Op::PopR => {
                self.extend(width, RAX, sp);
                self.translate_stack(width, false, slow);
                self.load(width, RAX);
                self.move_stack(sp, sp, 1 << width);
                self.set(uop.r1, width, RAX);
            }
            _ => {
                let frame = self.read(RBP, RAX);
                self.extend(width, RAX, frame);
                self.translate_stack(width, false, slow);
                self.load(width, RAX);
                let frame = self.read(RBP, RCX);
                self.move_stack(sp, frame, 1 << width);
                self.set(RBP, width, RAX);
            }
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// `to` = where the stack's top is behind a push. The host's flags stay.
    pub fn below_top(&mut self, to: u8) {
        let sp = self.stack_pointer();
        self.move_stack(to, sp, -(1 << self.word));
    }

    /// `to` = `from` + `bytes`, as wide as the stack. The host's flags stay.
    pub fn move_stack(&mut self, to: u8, from: u8, bytes: i32) {
        if self.source.wide {
            dynasm!(self.asm ; .arch x64 ; lea Rq(to), [Rq(from) + bytes]);
        } else {
            dynasm!(self.asm ; .arch x64 ; lea Rd(to), [Rq(from) + bytes]);
        }
    }
}
