//! Templates of moves, exchanges, extensions, and of what moves on a condition.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{Extension, extension_of, is_high, is_plain};
use crate::x64::registers::{RAX, RCX, RDX, frame, pinned};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn moves(&mut self, op: Op, uop: &Uop) -> bool {
        self.movement(op, uop) || self.extension(op, uop) || self.conditional(op, uop)
    }

    fn exchange(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if is_high(uop.r1) || op == Op::XchgRr && is_high(uop.r2) || op == Op::XchgMr && !is_plain(uop) {
            return false;
        }
        if op == Op::XchgRr {
            let (first, second) = (self.read(uop.r1, RCX), self.read(uop.r2, RDX));
            if first != RCX {
                dynasm!(self.asm ; .arch x64 ; mov rcx, Rq(first));
            }
            self.set(uop.r1, width, second);
            self.set(uop.r2, width, RCX);
        } else {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, true, slow);
            self.load(width, RCX);
            let new = self.read(uop.r1, RDX);
            self.store(width, new);
            self.set(uop.r1, width, RCX);
            dynasm!(self.asm ; .arch x64 ; =>back);
            self.host = HostFlags::None;
        }
        // Neither sees the flags.
        self.leaves = Some(self.known);
        true
    }

    fn movement(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::MovRm | Op::MovMr | Op::MovMi);
        if is_high(uop.r1) || is_high(uop.r2) || (in_memory || op == Op::Lea) && !is_plain(uop) {
            return false;
        }
        match op {
            Op::MovRr => {
                let from = self.read(uop.r2, RAX);
                self.set(uop.r1, width, from);
            }
            Op::MovRi => match pinned(uop.r1) {
                Some(host) if width >= 2 => self.load_number(host, uop.imm),
                _ => {
                    self.load_number(RAX, uop.imm);
                    self.set(uop.r1, width, RAX);
                }
            },
            Op::MovRm => {
                let (slow, back) = self.slow_path();
                self.translate(uop, width, false, slow);
                match pinned(uop.r1) {
                    Some(host) if width >= 2 => self.load(width, host),
                    _ => {
                        self.load(width, RAX);
                        self.set(uop.r1, width, RAX);
                    }
                }
                dynasm!(self.asm ; .arch x64 ; =>back);
            }
            Op::MovMr => {
                let (slow, back) = self.slow_path();
                self.translate(uop, width, true, slow);
                let from = self.read(uop.r1, RCX);
                self.store(width, from);
                dynasm!(self.asm ; .arch x64 ; =>back);
            }
            Op::MovMi => {
                let (slow, back) = self.slow_path();
                self.translate(uop, width, true, slow);
                self.load_number(RCX, uop.imm);
                self.store(width, RCX);
                dynasm!(self.asm ; .arch x64 ; =>back);
            }
            Op::MovRmAbsolute | Op::MovMrAbsolute => {
                let (slow, back) = self.slow_path();
                self.load_number(RAX, uop.imm);
                self.translate_offset(uop.seg, width, op == Op::MovMrAbsolute, slow);
                if op == Op::MovMrAbsolute {
                    let from = self.read(uop.r1, RCX);
                    self.store(width, from);
                } else {
                    self.load(width, RAX);
                    self.set(uop.r1, width, RAX);
                }
                dynasm!(self.asm ; .arch x64 ; =>back);
                self.host = HostFlags::None;
                // Neither sees the flags.
                self.leaves = Some(self.known);
            }
            Op::Lea => {
                self.address(uop);
                self.set(uop.r1, width, RAX);
            }
            Op::Nop | Op::Prefetch => {}
            Op::XchgRr | Op::XchgMr => return self.exchange(op, uop),
            _ => return false,
        }
        true
    }

    fn extension(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(Extension { from_width, signed, in_memory }) = extension_of(op) else { return false };
        if is_high(uop.r1) || in_memory && !is_plain(uop) {
            return false;
        }
        let back = if in_memory {
            let (slow, back) = self.slow_path();
            self.translate(uop, from_width, false, slow);
            if let Some(host) = pinned(uop.r1)
                && !signed
                && uop.width_index() >= 2
            {
                self.load(from_width, host);
                dynasm!(self.asm ; .arch x64 ; =>back);
                return true;
            }
            self.load(from_width, RAX);
            Some(back)
        } else {
            if is_high(uop.r2) {
                self.read_high(uop.r2, RAX);
            } else {
                let from = self.read(uop.r2, RAX);
                self.extend(from_width, RAX, from);
            }
            None
        };
        if signed {
            match from_width {
                0 => dynasm!(self.asm ; .arch x64 ; movsx rax, al),
                1 => dynasm!(self.asm ; .arch x64 ; movsx rax, ax),
                _ => dynasm!(self.asm ; .arch x64 ; movsxd rax, eax),
            }
        }
        self.set(uop.r1, uop.width_index(), RAX);
        if let Some(back) = back {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        true
    }

    fn conditional(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            Op::SetccR if !is_high(uop.r1) => {
                let code = self.condition(uop.condition());
                self.set_al(code);
                self.set(uop.r1, 0, RAX);
                true
            }
            Op::SetccM if is_plain(uop) => {
                let code = self.condition(uop.condition());
                self.set_al(code);
                dynasm!(self.asm ; .arch x64 ; mov [rsp + frame::SPARE], al);
                let (slow, back) = self.slow_path();
                self.translate(uop, 0, true, slow);
                dynasm!(self.asm ; .arch x64 ; mov cl, [rsp + frame::SPARE]);
                self.store(0, RCX);
                dynasm!(self.asm ; .arch x64 ; =>back);
                true
            }
            Op::CmovRm if is_plain(uop) => {
                let width = uop.width_index();
                let (slow, back) = self.slow_path();
                self.translate(uop, width, false, slow);
                self.load(width, RCX);
                dynasm!(self.asm ; .arch x64 ; mov [rsp + frame::SPARE], rcx);
                self.choose(uop, None);
                dynasm!(self.asm ; .arch x64 ; =>back);
                self.host = HostFlags::None;
                true
            }
            Op::CmovRr => {
                self.choose(uop, Some(uop.r2));
                true
            }
            _ => false,
        }
    }

    /// CMOVcc from a register or, without one, from where a template has put the loaded operand.
    fn choose(&mut self, uop: &Uop, register: Option<u8>) {
        let width = uop.width_index();
        let code = self.condition(uop.condition());
        let from = match register {
            Some(register) => self.read(register, RCX),
            None => {
                dynasm!(self.asm ; .arch x64 ; mov rcx, [rsp + frame::SPARE]);
                RCX
            }
        };
        let to = self.read(uop.r1, RAX);
        if width == 2 {
            // Zero-extended even when the condition is false.
            dynasm!(self.asm ; .arch x64 ; mov Rd(to), Rd(to));
        }
        let skip = self.asm.new_dynamic_label();
        self.jump_if(code ^ 1, skip);
        self.set_host(to, width, from);
        dynasm!(self.asm ; .arch x64 ; =>skip);
        self.wrote(uop.r1, to);
    }

    fn set_host(&mut self, to: u8, width: usize, from: u8) {
        match width {
            0 => dynasm!(self.asm ; .arch x64 ; mov Rb(to), Rb(from)),
            1 => dynasm!(self.asm ; .arch x64 ; mov Rw(to), Rw(from)),
            2 => dynasm!(self.asm ; .arch x64 ; mov Rd(to), Rd(from)),
            _ => dynasm!(self.asm ; .arch x64 ; mov Rq(to), Rq(from)),
        }
    }
}
