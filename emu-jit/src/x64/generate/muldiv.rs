//! Templates of multiplication and division.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{is_high, is_plain};
use crate::known::Known;
use crate::x64::registers::{RAX, RCX, RDX};
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
        let number = match op {
            Op::ImulRri | Op::ImulRmi => match super::int::short(width, uop.imm) {
                None => return false,
                number => number,
            },
            _ => None,
        };
        if width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, false, slow);
            self.load(width, RAX);
            back
        });
        let first = match number {
            _ if in_memory => RAX,
            Some(_) => self.read(uop.r2, RAX),
            None => self.read(uop.r1, RAX),
        };
        match number {
            Some(number) => match width {
                1 => dynasm!(self.asm ; .arch x64 ; imul ax, Rw(first), WORD number as i16),
                2 => dynasm!(self.asm ; .arch x64 ; imul eax, Rd(first), DWORD number),
                _ => dynasm!(self.asm ; .arch x64 ; imul rax, Rq(first), DWORD number),
            },
            None => {
                let second = self.read(if in_memory { uop.r1 } else { uop.r2 }, RCX);
                if first != RAX {
                    dynasm!(self.asm ; .arch x64 ; mov rax, Rq(first));
                }
                match width {
                    1 => dynasm!(self.asm ; .arch x64 ; imul ax, Rw(second)),
                    2 => dynasm!(self.asm ; .arch x64 ; imul eax, Rd(second)),
                    _ => dynasm!(self.asm ; .arch x64 ; imul rax, Rq(second)),
                }
            }
        }
        self.set(uop.r1, width, RAX);
        self.end_product(width);
        if let Some(back) = back {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        true
    }

    /// Records the product whose low half is in RAX.
    fn end_product(&mut self, width: usize) {
        if !self.nobody_sees_flags() {
            self.record_product(width, RAX);
        }
        self.host = HostFlags::None;
        self.leaves = Some(Known::Result(width));
    }

    /// The operand of an instruction on the accumulator: its own register, or RCX; the labels are of the slow path.
    fn operand(&mut self, uop: &Uop, in_memory: bool, always_slow: bool) -> Option<(u8, Option<[DynamicLabel; 2]>)> {
        if in_memory && !is_plain(uop) || !in_memory && is_high(uop.r1) {
            return None;
        }
        let labels = (in_memory || always_slow).then(|| {
            let (slow, back) = self.slow_path();
            [slow, back]
        });
        let operand = match labels {
            Some([slow, _]) if in_memory => {
                self.translate(uop, uop.width_index(), false, slow);
                self.load(uop.width_index(), RCX);
                RCX
            }
            _ => self.read(uop.r1, RCX),
        };
        Some((operand, labels))
    }

    fn multiply_accumulator(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::MulM | Op::Imul1M);
        let Some((operand, labels)) = self.operand(uop, in_memory, false) else { return false };
        let low = self.read(LOW, RAX);
        dynasm!(self.asm ; .arch x64 ; mov rax, Rq(low));
        match (matches!(op, Op::Imul1R | Op::Imul1M), width) {
            (false, 0) => dynasm!(self.asm ; .arch x64 ; mul Rb(operand)),
            (false, 1) => dynasm!(self.asm ; .arch x64 ; mul Rw(operand)),
            (false, 2) => dynasm!(self.asm ; .arch x64 ; mul Rd(operand)),
            (false, _) => dynasm!(self.asm ; .arch x64 ; mul Rq(operand)),
            (true, 0) => dynasm!(self.asm ; .arch x64 ; imul Rb(operand)),
            (true, 1) => dynasm!(self.asm ; .arch x64 ; imul Rw(operand)),
            (true, 2) => dynasm!(self.asm ; .arch x64 ; imul Rd(operand)),
            (true, _) => dynasm!(self.asm ; .arch x64 ; imul Rq(operand)),
        }
        self.set(LOW, width.max(1), RAX);
        if width != 0 {
            self.set(HIGH, width, RDX);
        }
        self.end_product(width);
        if let Some([_, back]) = labels {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        true
    }

    /// The flags stay as they are recorded. What would be a divide error, or might be one, is the handler's.
    fn divide(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::DivM | Op::IdivM);
        if width < 2 {
            return false;
        }
        let Some((divisor, Some([slow, back]))) = self.operand(uop, in_memory, true) else { return false };
        let (low, high) = (self.read(LOW, RAX), self.read(HIGH, RDX));
        match (matches!(op, Op::IdivR | Op::IdivM), width) {
            (false, 2) => dynasm!(self.asm
                ; .arch x64
                ; mov edx, Rd(high)
                ; cmp edx, Rd(divisor)
                ; jae =>slow
                ; mov eax, Rd(low)
                ; div Rd(divisor)
            ),
            (false, _) => dynasm!(self.asm
                ; .arch x64
                ; mov rdx, Rq(high)
                ; cmp rdx, Rq(divisor)
                ; jae =>slow
                ; mov rax, Rq(low)
                ; div Rq(divisor)
            ),
            // The dividend is as wide as the divisor, which is neither 0 nor -1.
            (true, 2) => dynasm!(self.asm
                ; .arch x64
                ; mov eax, Rd(low)
                ; cdq
                ; cmp edx, Rd(high)
                ; jne =>slow
                ; lea edx, [Rq(divisor) + 1]
                ; cmp edx, 1
                ; jbe =>slow
                ; cdq
                ; idiv Rd(divisor)
            ),
            (true, _) => dynasm!(self.asm
                ; .arch x64
                ; mov rax, Rq(low)
                ; cqo
                ; cmp rdx, Rq(high)
                ; jne =>slow
                ; lea rdx, [Rq(divisor) + 1]
                ; cmp rdx, 1
                ; jbe =>slow
                ; cqo
                ; idiv Rq(divisor)
            ),
        }
        self.set(LOW, width, RAX);
        self.set(HIGH, width, RDX);
        dynasm!(self.asm ; .arch x64 ; =>back);
        self.host = HostFlags::None;
        self.leaves = Some(self.known);
        true
    }
}
