//! Templates of stack instructions.

use super::Generator;
use crate::layout::{RAX, RCX, pinned};
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
        if !matches!(op, Op::PushR | Op::PushI | Op::PopR | Op::Leave) || width != 3 {
            return false;
        }
        let sp = self.stack_pointer();
        let (slow, back) = self.slow_path();
        match op {
            Op::PushR | Op::PushI => {
                dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(sp) - 8]);
                self.translate_linear(width, true, slow);
                let from = if op == Op::PushR {
                    self.read(uop.r1, RCX)
                } else {
                    self.load_number(RCX, uop.imm);
                    RCX
                };
                self.store(width, from);
                dynasm!(self.asm ; .arch x64 ; lea Rq(sp), [Rq(sp) - 8]);
            }
            Op::PopR => {
                dynasm!(self.asm ; .arch x64 ; mov rax, Rq(sp));
                self.translate_linear(width, false, slow);
                self.load(width, RAX);
                dynasm!(self.asm ; .arch x64 ; lea Rq(sp), [Rq(sp) + 8]);
                self.set(uop.r1, width, RAX);
            }
            _ => {
                self.copy(RBP, RAX);
                self.translate_linear(width, false, slow);
                self.load(width, RAX);
                let frame = self.read(RBP, RCX);
                dynasm!(self.asm ; .arch x64 ; lea Rq(sp), [Rq(frame) + 8]);
                self.set(RBP, width, RAX);
            }
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }
}
