//! Templates of integer arithmetic and logic.

use super::{Generator, HostFlags, sized};
use crate::a64::registers::{ZERO, pinned};
use crate::forms::{Binary, Shape, binary_of, is_plain};
use crate::known::Known;
use crate::layout::FLAG_A;
use dynasmrt::{DynasmApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// Which register the second operand, the result of narrow instructions and what was loaded have.
const SECOND: u8 = 4;
/// See [`SECOND`].
const RESULT: u8 = 5;
/// See [`SECOND`].
const LOADED: u8 = 3;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn integer(&mut self, op: Op, uop: &Uop) -> bool {
        if let Some((binary, shape)) = binary_of(op) {
            return self.binary(binary, shape, uop);
        }
        self.unary(op, uop)
    }

    fn binary(&mut self, binary: Binary, shape: Shape, uop: &Uop) -> bool {
        let width = uop.width_index();
        let writes = !matches!(binary, Binary::Cmp | Binary::Test);
        let in_memory = matches!(shape, Shape::Rm | Shape::Mr | Shape::Mi);
        if in_memory && !is_plain(uop) {
            return false;
        }
        let live = in_memory || !self.is_dead(uop);
        if !live && !writes {
            return true;
        }
        if binary.carries() {
            self.load_carry();
        }
        if !in_memory {
            let first = self.read(uop.r1, width, LOADED);
            let second = match shape {
                Shape::Rr => self.read(uop.r2, width, SECOND),
                _ => self.number(uop),
            };
            let own = writes && width >= 2;
            let to = if own { pinned(uop.r1) } else { RESULT };
            self.apply(binary, width, to, first, second, live);
            if writes && !own {
                self.set(uop.r1, width, RESULT);
            }
            return true;
        }
        let (slow, back) = self.slow_path();
        let to_memory = writes && shape != Shape::Rm;
        self.translate(uop, width, to_memory, slow);
        self.load(width, LOADED);
        let (first, second) = match shape {
            Shape::Rm => (self.read(uop.r1, width, SECOND), LOADED),
            Shape::Mr => (LOADED, self.read(uop.r1, width, SECOND)),
            _ => (LOADED, self.number(uop)),
        };
        if to_memory || !writes || width < 2 {
            self.apply(binary, width, RESULT, first, second, true);
            if to_memory {
                self.store(width, RESULT);
            } else if writes {
                self.set(uop.r1, width, RESULT);
            }
        } else {
            self.apply(binary, width, pinned(uop.r1), first, second, true);
        }
        self.come_back(back);
        if binary.carries() {
            self.leaves = Some(Known::of(uop));
        }
        true
    }

    /// A register with the immediate operand.
    fn number(&mut self, uop: &Uop) -> u8 {
        if uop.imm == 0 {
            return ZERO;
        }
        self.load_number(SECOND, uop.imm);
        SECOND
    }

    /// `to` = an operation on the low `width` of two registers, which narrow operands fill; the flags are recorded if they
    /// are `live`. X1 and X2 are lost, W17 is CF.
    fn apply(&mut self, binary: Binary, width: usize, to: u8, first: u8, second: u8, live: bool) {
        let wide = width == 3;
        if live && binary.is_arithmetic() {
            if width == 2 {
                self.extend(2, 1, first);
                self.extend(2, 2, second);
                self.record_operands(1, 2);
            } else {
                self.record_operands(first, second);
            }
        }
        self.host = HostFlags::None;
        match binary {
            Binary::Add => sized!(self, wide, adds to, first, second),
            Binary::Sub | Binary::Cmp => sized!(self, wide, subs to, first, second),
            Binary::And | Binary::Test => sized!(self, wide, ands to, first, second),
            Binary::Or => sized!(self, wide, orr to, first, second),
            Binary::Xor => sized!(self, wide, eor to, first, second),
            Binary::Adc => {
                // C = CF.
                dynasm!(self.asm ; .arch aarch64 ; cmp w17, 1);
                sized!(self, wide, adc to, first, second);
            }
            Binary::Sbb => {
                // C = the contrary of CF.
                dynasm!(self.asm ; .arch aarch64 ; cmp wzr, w17);
                sized!(self, wide, sbc to, first, second);
            }
        }
        if width < 2 {
            self.extend(width, to, to);
        }
        if !live {
            return;
        }
        let (source, host) = match binary {
            Binary::Add => (FlagSource::Add, HostFlags::Sum),
            Binary::Adc => (FlagSource::Add, HostFlags::None),
            Binary::Sub | Binary::Cmp => (FlagSource::Sub, HostFlags::Difference),
            Binary::Sbb => (FlagSource::Sub, HostFlags::None),
            Binary::And | Binary::Test => (FlagSource::Logic, HostFlags::Logic),
            Binary::Or | Binary::Xor => (FlagSource::Logic, HostFlags::None),
        };
        self.record_result(source, width, to);
        if width >= 2 {
            self.host = host;
        }
    }

    fn unary(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if op == Op::XorZero {
            self.set(uop.r1, width, ZERO);
            self.host = HostFlags::None;
            if !self.is_dead(uop) {
                self.record_result(FlagSource::Logic, width, ZERO);
            }
            return true;
        }
        let in_memory = matches!(op, Op::IncM | Op::DecM | Op::NegM | Op::NotM);
        let known = in_memory || matches!(op, Op::IncR | Op::DecR | Op::NegR | Op::NotR);
        if !known || in_memory && !is_plain(uop) {
            return false;
        }
        let inverts = matches!(op, Op::NotR | Op::NotM);
        let live = !inverts && (in_memory || !self.is_dead(uop));
        if live && matches!(op, Op::IncR | Op::IncM | Op::DecR | Op::DecM) {
            // As the handler leaves it, if it comes to that.
            self.keep_carry();
        }
        let back = in_memory.then(|| {
            let (slow, back) = self.slow_path();
            self.translate(uop, width, true, slow);
            self.load(width, LOADED);
            back
        });
        if !in_memory {
            self.copy(uop.r1, width, LOADED);
        }
        self.change(op, width, live);
        if let Some(back) = back {
            self.store(width, RESULT);
            self.come_back(back);
        } else {
            self.set(uop.r1, width, RESULT);
            if live {
                self.host = HostFlags::None;
            }
        }
        if inverts {
            self.leaves = Some(self.known);
        }
        true
    }

    /// The zero-extended operand is in X3, the result will be in X5. X1 and X4 are lost.
    fn change(&mut self, op: Op, width: usize, live: bool) {
        match op {
            Op::IncR | Op::IncM => dynasm!(self.asm ; .arch aarch64 ; add x5, x3, 1),
            Op::DecR | Op::DecM => dynasm!(self.asm ; .arch aarch64 ; sub x5, x3, 1),
            Op::NegR | Op::NegM => dynasm!(self.asm ; .arch aarch64 ; neg x5, x3),
            _ => dynasm!(self.asm ; .arch aarch64 ; mvn x5, x3),
        }
        self.extend(width, RESULT, RESULT);
        if !live {
            return;
        }
        let source = match op {
            Op::IncR | Op::IncM => FlagSource::Inc,
            Op::DecR | Op::DecM => FlagSource::Dec,
            _ => FlagSource::Sub,
        };
        if source == FlagSource::Sub {
            self.record_operands(ZERO, LOADED);
        } else {
            self.load_number(SECOND, 1);
            self.record_operands(LOADED, SECOND);
        }
        self.record_result(source, width, RESULT);
    }
}

const _: () = assert!(FLAG_A % 8 == 0 && FLAG_A < 504);
