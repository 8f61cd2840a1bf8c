//! Templates of near branches.

use super::flags::{HostFlags, NOT_ZERO, ZERO};
use super::{Generator, Later};
use crate::context::{JUMP_BITS, Jump};
use crate::forms::{branch_target, condition_of, in_page, is_plain};
use crate::layout::{CONTEXT, FETCH_KEY, FETCH_PHYSICAL, RIP};
use crate::made::Kind;
use crate::x64::registers::{BUDGET, RAX, RCX, frame};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use std::mem::{offset_of, size_of};

const _: () = assert!(size_of::<Jump>() == 32);

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
            let host = self.condition(condition);
            self.take_if(host, to);
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

    /// The branch at the present index is taken if a condition of the host holds.
    fn take_if(&mut self, condition: u8, to: i64) {
        let rest = self.source.uops.len() - self.index - 1;
        if rest == 0 && in_page(to) {
            let label = self.exit_label(Kind::Jump(to as u16));
            self.jump_if(condition, label);
            self.note_site();
        } else {
            let at = self.asm.new_dynamic_label();
            self.later.push(Later::Taken { at, index: self.index, to });
            self.jump_if(condition, at);
        }
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
        let counter = self.read(1, RCX);
        match (op, wide) {
            (Op::Jcxz, true) => dynasm!(self.asm ; .arch x64 ; test Rq(counter), Rq(counter)),
            (Op::Jcxz, false) => dynasm!(self.asm ; .arch x64 ; test Rd(counter), Rd(counter)),
            (_, true) => dynasm!(self.asm ; .arch x64 ; sub Rq(counter), 1),
            (_, false) => dynasm!(self.asm ; .arch x64 ; sub Rd(counter), 1),
        }
        self.host = HostFlags::None;
        self.take_if(if op == Op::Jcxz { ZERO } else { NOT_ZERO }, to);
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
            dynasm!(self.asm ; .arch x64 ; =>fails);
            self.only_handler();
            return;
        }
        self.give_back_rest();
        let label = self.exit_label(Kind::Jump(to as u16));
        dynasm!(self.asm ; .arch x64 ; jmp =>label);
        self.note_site();
    }

    /// What follows the present micro-op in the block is not executed.
    fn give_back_rest(&mut self) {
        let rest = &self.source.uops[self.index + 1..];
        if !rest.is_empty() {
            let cost = rest.iter().map(|uop| u64::from(uop.cost)).sum();
            let back = self.price(cost, rest.len());
            dynasm!(self.asm ; .arch x64 ; add Rq(BUDGET), back);
        }
    }

    /// RCX = RIP at an offset from the page's start.
    fn static_target(&mut self, to: i64) {
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rsp + frame::PAGE]);
        if self.source.wide {
            dynasm!(self.asm ; .arch x64 ; lea rcx, [rcx + to as i32]);
        } else {
            dynasm!(self.asm ; .arch x64 ; lea ecx, [rcx + to as i32]);
        }
    }

    /// Goes to `fails` unless the address in RCX is surely canonical, as far as the present page's says it. RDX is lost.
    /// Where code is not of 64-bit mode, CS bounds no address of 32 bits.
    fn check_target(&mut self, fails: DynamicLabel) {
        if !self.source.wide {
            return;
        }
        dynasm!(self.asm
            ; .arch x64
            ; mov rdx, rcx
            ; xor rdx, [rsp + frame::PAGE]
            ; shr rdx, 47
            ; jnz =>fails
        );
    }

    /// The handler of the present micro-op, which does not come back: it branches, or does not complete.
    pub fn only_handler(&mut self) {
        self.call_handler();
        dynasm!(self.asm ; .arch x64 ; ud2);
    }

    /// A label of [`Generator::only_handler`], out of line.
    fn handler_label(&mut self) -> DynamicLabel {
        let at = self.asm.new_dynamic_label();
        self.later.push(Later::Handler { at, index: self.index });
        at
    }

    /// Pushes the address of the next instruction, or goes to `fails`.
    fn push_return(&mut self, uop: &Uop, fails: DynamicLabel) {
        let back = i32::from(self.source.place) + uop.next() as i32;
        self.below_top(RAX);
        self.translate_stack(self.word, true, fails);
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, [rsp + frame::PAGE]
            ; lea rcx, [rcx + back]
        );
        self.store(self.word, RCX);
    }

    fn call(&mut self, to: i64, uop: &Uop) {
        let sp = self.stack_pointer();
        let fails = self.handler_label();
        if !in_page(to) {
            self.static_target(to);
            self.check_target(fails);
        }
        self.push_return(uop, fails);
        self.below_top(sp);
        if in_page(to) {
            self.take(to);
        } else {
            self.static_target(to);
            self.elsewhere();
        }
    }

    fn through_register(&mut self, op: Op, uop: &Uop) {
        let fails = self.handler_label();
        self.copy_word(uop.r1, RCX);
        self.check_target(fails);
        if op == Op::CallR {
            let sp = self.stack_pointer();
            self.push_return(uop, fails);
            self.copy_word(uop.r1, RCX);
            self.below_top(sp);
        }
        self.elsewhere();
    }

    fn through_memory(&mut self, op: Op, uop: &Uop) {
        let fails = self.handler_label();
        self.translate(uop, self.word, false, fails);
        self.load(self.word, RCX);
        self.check_target(fails);
        if op == Op::CallM {
            let sp = self.stack_pointer();
            dynasm!(self.asm ; .arch x64 ; mov [rsp + frame::SPARE], rcx);
            self.push_return(uop, fails);
            dynasm!(self.asm ; .arch x64 ; mov rcx, [rsp + frame::SPARE]);
            self.below_top(sp);
        }
        self.elsewhere();
    }

    fn return_near(&mut self, uop: &Uop) {
        let sp = self.stack_pointer();
        let fails = self.handler_label();
        let released = (1 << self.word) + uop.stack_bytes() as i32;
        self.extend(self.word, RAX, sp);
        self.translate_stack(self.word, false, fails);
        self.load(self.word, RCX);
        self.check_target(fails);
        self.move_stack(sp, sp, released);
        self.elsewhere();
    }

    /// Goes to the compiled block at RIP RCX if it is among the jumps that are remembered, and the fetch of its page, as
    /// the interpreter would make it, finds it where it was; if not, leaves.
    fn elsewhere(&mut self) {
        let leave = self.exit_label(Kind::Elsewhere);
        let jumps = if self.source.wide { frame::JUMPS } else { frame::NARROW_JUMPS };
        let (rip, page, code) = (offset_of!(Jump, rip), offset_of!(Jump, page), offset_of!(Jump, code));
        dynasm!(self.asm
            ; .arch x64
            ; mov [rbp + RIP], rcx
            ; mov rdx, rcx
            ; shr rdx, 12
            ; mov eax, ecx
            ; xor eax, edx
            ; and eax, (1 << JUMP_BITS) - 1
            ; shl eax, 5
            ; add rax, [rsp + jumps]
            ; cmp [rax + rip as i32], rcx
            ; jne =>leave
            ; movzx edx, dl
            ; lea edx, [rdx + rdx * 2]
            ; shl edx, 3
            ; add rdx, [rsp + frame::FETCHES]
            ; and rcx, -4096
            ; or rcx, [rbp + CONTEXT]
            ; cmp [rdx + FETCH_KEY], rcx
            ; jne =>leave
            ; mov rdx, [rdx + FETCH_PHYSICAL]
            ; cmp [rax + page as i32], rdx
            ; jne =>leave
            ; and rcx, -4096
            ; mov [rsp + frame::PAGE], rcx
            ; jmp QWORD [rax + code as i32]
        );
    }

    /// Jumps if a condition of the host holds.
    pub fn jump_if(&mut self, code: u8, to: DynamicLabel) {
        match code & 15 {
            0 => dynasm!(self.asm ; .arch x64 ; jo =>to),
            1 => dynasm!(self.asm ; .arch x64 ; jno =>to),
            2 => dynasm!(self.asm ; .arch x64 ; jb =>to),
            3 => dynasm!(self.asm ; .arch x64 ; jae =>to),
            4 => dynasm!(self.asm ; .arch x64 ; je =>to),
            5 => dynasm!(self.asm ; .arch x64 ; jne =>to),
            6 => dynasm!(self.asm ; .arch x64 ; jbe =>to),
            7 => dynasm!(self.asm ; .arch x64 ; ja =>to),
            8 => dynasm!(self.asm ; .arch x64 ; js =>to),
            9 => dynasm!(self.asm ; .arch x64 ; jns =>to),
            10 => dynasm!(self.asm ; .arch x64 ; jp =>to),
            11 => dynasm!(self.asm ; .arch x64 ; jnp =>to),
            12 => dynasm!(self.asm ; .arch x64 ; jl =>to),
            13 => dynasm!(self.asm ; .arch x64 ; jge =>to),
            14 => dynasm!(self.asm ; .arch x64 ; jle =>to),
            _ => dynasm!(self.asm ; .arch x64 ; jg =>to),
        }
    }

    /// AL = 1 if a condition of the host holds, else 0.
    pub fn set_al(&mut self, code: u8) {
        match code & 15 {
            0 => dynasm!(self.asm ; .arch x64 ; seto al),
            1 => dynasm!(self.asm ; .arch x64 ; setno al),
            2 => dynasm!(self.asm ; .arch x64 ; setb al),
            3 => dynasm!(self.asm ; .arch x64 ; setae al),
            4 => dynasm!(self.asm ; .arch x64 ; sete al),
            5 => dynasm!(self.asm ; .arch x64 ; setne al),
            6 => dynasm!(self.asm ; .arch x64 ; setbe al),
            7 => dynasm!(self.asm ; .arch x64 ; seta al),
            8 => dynasm!(self.asm ; .arch x64 ; sets al),
            9 => dynasm!(self.asm ; .arch x64 ; setns al),
            10 => dynasm!(self.asm ; .arch x64 ; setp al),
            11 => dynasm!(self.asm ; .arch x64 ; setnp al),
            12 => dynasm!(self.asm ; .arch x64 ; setl al),
            13 => dynasm!(self.asm ; .arch x64 ; setge al),
            14 => dynasm!(self.asm ; .arch x64 ; setle al),
            _ => dynasm!(self.asm ; .arch x64 ; setg al),
        }
    }
}
