//! Templates of near branches.

use super::{Generator, Kind, Later};
use crate::layout::{CYCLES, INSTRUCTIONS, RIP, frame};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// Offsets in a page end here.
const PAGE: i64 = 4096;

/// The condition of a conditional branch on flags.
fn condition_of(op: Op, uop: &Uop) -> Option<u8> {
    Some(match op {
        Op::Jcc => uop.r1,
        Op::JccBelow => 2,
        Op::JccNotBelow => 3,
        Op::JccZero => 4,
        Op::JccNotZero => 5,
        Op::JccBelowEqual => 6,
        Op::JccAbove => 7,
        Op::JccNegative => 8,
        Op::JccNotNegative => 9,
        Op::JccLess => 12,
        Op::JccNotLess => 13,
        Op::JccLessEqual => 14,
        Op::JccGreater => 15,
        _ => return None,
    })
}

impl Generator<'_> {
    /// Generates a branch; whether the code goes on behind it. `None`, and nothing, for another micro-op.
    pub fn branch(&mut self, op: Op, uop: &Uop) -> Option<bool> {
        if uop.width_index() != 3 {
            return None;
        }
        let to = i64::from(self.source.place).wrapping_add(uop.branch_offset() as i64);
        let in_page = (0..PAGE).contains(&to);
        if let Some(condition) = condition_of(op, uop) {
            if !in_page {
                return None;
            }
            let host = self.condition(condition);
            let rest = self.source.uops.len() - self.index - 1;
            if rest == 0 {
                let label = self.exit_label(Kind::Jump(to as u16));
                self.jump_if(host, label);
                self.note_site();
            } else {
                let at = self.asm.new_dynamic_label();
                self.later.push(Later::Taken { at, index: self.index, to });
                self.jump_if(host, at);
            }
            return Some(true);
        }
        match op {
            Op::JmpRel if in_page => {
                self.take(to);
                Some(false)
            }
            _ => None,
        }
    }

    /// The branch at the present index goes to an offset in the page: what follows it in the block does not count.
    pub fn take(&mut self, to: i64) {
        let rest = &self.source.uops[self.index + 1..];
        if !rest.is_empty() {
            let cost: i32 = rest.iter().map(|uop| i32::from(uop.cost)).sum();
            let count = rest.len() as i32;
            dynasm!(self.asm
                ; .arch x64
                ; sub Rq(CYCLES), cost
                ; sub QWORD [rbp + INSTRUCTIONS], count
            );
        }
        let label = self.exit_label(Kind::Jump(to as u16));
        dynasm!(self.asm ; .arch x64 ; jmp =>label);
        self.note_site();
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
const _: i32 = RIP + frame::PAGE;
