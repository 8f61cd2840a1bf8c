//! Templates of near branches.

use super::flags::{EQ, NE};
use super::{Generator, HostFlags, Later, sized};
use crate::a64::registers::{BUDGET, PAGE, frame, pinned};
use crate::context::{JUMP_BITS, Jump};
use crate::forms::{branch_target, condition_of, in_page, is_plain};
use crate::layout::{CONTEXT, FETCH_KEY, FETCH_PHYSICAL, RIP};
use crate::made::Kind;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use std::mem::{offset_of, size_of};

const _: () = assert!(size_of::<Jump>() == 32 && JUMP_BITS == 12);

/// The guest's counter.
const RCX: u8 = 1;

impl Generator<'_> {
    /// Generates a branch; whether the code goes on behind it. `None`, and nothing, for another micro-op.
    pub fn branch(&mut self, op: Op, uop: &Uop) -> Option<bool> {
        if uop.width_index() != self.word {
            return None;
        }
        let to = branch_target(self.source, uop);
        let near = i32::try_from(to).is_ok();
        if let Some(condition) = condition_of(op, uop) {
            if !near {
                return None;
            }
            let condition = self.condition(condition);
            self.take_if(condition, to);
            return Some(true);
        }
        match op {
            Op::Jcxz | Op::Loop if near => return self.count(op, to, uop),
            Op::JmpRel if near => self.take(to),
            Op::CallRel if near => self.call(to, uop),
            Op::JmpR | Op::CallR => self.through_register(op, uop),
            Op::JmpM | Op::CallM if is_plain(uop) => self.through_memory(op, uop),
            Op::Ret => self.return_near(uop),
            _ => return None,
        }
        Some(false)
    }

    /// The branch at the present index is taken if a condition of the host holds. The host's flags stay where it is not.
    fn take_if(&mut self, condition: u8, to: i64) {
        let rest = self.source.uops.len() - self.index - 1;
        let label = if rest == 0 && in_page(to) {
            self.exit_label(Kind::Jump(to as u16))
        } else {
            let at = self.asm.new_dynamic_label();
            self.later.push(Later::Taken { at, index: self.index, to });
            at
        };
        self.jump_if(condition, label);
    }

    /// JECXZ, JRCXZ and LOOP. The counter changes only if the branch does not fail: that is sure within the page.
    fn count(&mut self, op: Op, to: i64, uop: &Uop) -> Option<bool> {
        let wide = match uop.scale >> 2 {
            0 => true,
            32 => false,
            _ => return None,
        };
        let unconditional = op == Op::Jcxz || uop.r1 == 2;
        if !unconditional || !in_page(to) {
            return None;
        }
        let counter = pinned(RCX);
        self.host = HostFlags::None;
        if op == Op::Jcxz {
            sized!(self, wide, tst counter, counter);
            self.take_if(EQ, to);
        } else {
            self.load_number(1, 1);
            sized!(self, wide, subs counter, counter, 1);
            self.take_if(NE, to);
        }
        Some(true)
    }

    /// The branch at the present index goes to an offset from the page's start: what follows it in the block does not
    /// count.
    pub fn take(&mut self, to: i64) {
        if !in_page(to) {
            let fails = self.asm.new_dynamic_label();
            self.static_target(to);
            self.check_target(fails);
            self.give_back_rest();
            self.elsewhere();
            dynasm!(self.asm ; .arch aarch64 ; =>fails);
            self.only_handler();
            return;
        }
        self.give_back_rest();
        self.leave(Kind::Jump(to as u16));
    }

    /// What follows the present micro-op in the block is not executed. X1 and X2 are lost.
    fn give_back_rest(&mut self) {
        let rest = &self.source.uops[self.index + 1..];
        let cost: u64 = rest.iter().map(|uop| u64::from(uop.cost)).sum();
        let count = rest.len() as u64;
        if cost != 0 {
            self.add_number(BUDGET, BUDGET, cost as i64, true);
        }
        self.count_instructions(cost.wrapping_sub(count));
    }

    /// X5 = RIP at an offset from the page's start. X1 is lost.
    fn static_target(&mut self, to: i64) {
        self.add_number(5, PAGE, to, self.source.wide);
    }

    /// Goes to `fails` unless the address in X5 is surely canonical, as far as the present page's says it. X1 is lost.
    /// Where code is not of 64-bit mode, CS bounds no address of 32 bits.
    fn check_target(&mut self, fails: DynamicLabel) {
        if self.source.wide {
            dynasm!(self.asm
                ; .arch aarch64
                ; eor x1, x5, X(PAGE)
                ; lsr x1, x1, 47
                ; cbnz x1, =>fails
            );
        }
    }

    /// The handler of the present micro-op, which does not come back: it branches, or does not complete.
    pub fn only_handler(&mut self) {
        self.call_handler();
        dynasm!(self.asm ; .arch aarch64 ; brk 0);
    }

    /// A label of [`Generator::only_handler`], out of line.
    fn handler_label(&mut self) -> DynamicLabel {
        let at = self.asm.new_dynamic_label();
        self.later.push(Later::Handler { at, index: self.index });
        at
    }

    /// Pushes the address of the next instruction, or goes to `fails`. X0 to X4 and X16 are lost.
    fn push_return(&mut self, uop: &Uop, fails: DynamicLabel) {
        let back = i64::from(self.source.place) + uop.next() as i64;
        self.add_number(16, PAGE, back, true);
        self.push(16, fails);
    }

    fn call(&mut self, to: i64, uop: &Uop) {
        let fails = self.handler_label();
        if !in_page(to) {
            self.static_target(to);
            self.check_target(fails);
        }
        self.push_return(uop, fails);
        if in_page(to) {
            self.take(to);
        } else {
            self.elsewhere();
        }
    }

    fn through_register(&mut self, op: Op, uop: &Uop) {
        let fails = self.handler_label();
        self.copy(uop.r1, self.word, 5);
        self.check_target(fails);
        if op == Op::CallR {
            self.push_return(uop, fails);
        }
        self.elsewhere();
    }

    fn through_memory(&mut self, op: Op, uop: &Uop) {
        let fails = self.handler_label();
        self.translate(uop, self.word, false, fails);
        self.load(self.word, 5);
        self.check_target(fails);
        if op == Op::CallM {
            self.push_return(uop, fails);
        }
        self.elsewhere();
    }

    fn return_near(&mut self, uop: &Uop) {
        let fails = self.handler_label();
        self.top(fails);
        self.check_target(fails);
        self.pop(uop.stack_bytes() as i64);
        self.elsewhere();
    }

    /// Goes to the compiled block at RIP X5 if it is among the jumps that are remembered, and the fetch of its page, as
    /// the interpreter would make it, finds it where it was; if not, leaves.
    fn elsewhere(&mut self) {
        let leave = self.exit_label(Kind::Elsewhere);
        let jumps = if self.source.wide { frame::JUMPS } else { frame::NARROW_JUMPS };
        let (rip, page) = (offset_of!(Jump, rip) as u32, offset_of!(Jump, page) as u32);
        let code = offset_of!(Jump, code) as u32;
        let (key, physical) = (FETCH_KEY as u32, FETCH_PHYSICAL as u32);
        self.store_field(RIP, 5);
        self.load_field(16, CONTEXT);
        dynasm!(self.asm
            ; .arch aarch64
            ; eor x2, x5, x5, lsr 12
            ; and x2, x2, 0xFFF
            ; ldr x3, [sp, jumps]
            ; add x2, x3, x2, lsl 5
            ; ldr x3, [x2, rip]
            ; cmp x3, x5
            ; b.ne =>leave
            ; ubfx x3, x5, 12, 8
            ; add x3, x3, x3, lsl 1
            ; ldr x4, [sp, frame::FETCHES]
            ; add x4, x4, x3, lsl 3
            ; and x1, x5, 0xFFFF_FFFF_FFFF_F000
            ; orr x16, x16, x1
            ; ldr x3, [x4, key]
            ; cmp x3, x16
            ; b.ne =>leave
            ; ldr x3, [x4, physical]
            ; ldr x16, [x2, page]
            ; cmp x3, x16
            ; b.ne =>leave
            ; mov X(PAGE), x1
            ; ldr x16, [x2, code]
            ; br x16
        );
    }
}
