//! Templates of integer arithmetic and logic.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{Binary, Shape, binary_of, is_high, is_plain};
use crate::known::Known;
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT};
use crate::x64::registers::{RAX, RCX, RDX, frame};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// A number that the host can have as an operand: cut to the width and sign-extended, if it has 32 bits.
pub fn short(width: usize, number: u64) -> Option<i32> {
    match width {
        0 => Some(i32::from(number as i8)),
        1 => Some(i32::from(number as i16)),
        2 => Some(number as i32),
        _ => i32::try_from(number as i64).ok(),
    }
}

macro_rules! by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr, $from:expr) => {
        match $width {
            0 => dynasm!($self.asm ; .arch x64 ; $name Rb($to), Rb($from)),
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), Rw($from)),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), Rd($from)),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), Rq($from)),
        }
    };
}

macro_rules! by_width_number {
    ($self:ident, $width:expr, $name:ident, $to:expr, $number:expr) => {
        match $width {
            0 => dynasm!($self.asm ; .arch x64 ; $name Rb($to), BYTE $number as i8),
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), WORD $number as i16),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), DWORD $number),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), DWORD $number),
        }
    };
}

macro_rules! alone_by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr) => {
        match $width {
            0 => dynasm!($self.asm ; .arch x64 ; $name Rb($to)),
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to)),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to)),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to)),
        }
    };
}

/// The second operand.
#[derive(Debug, Clone, Copy)]
enum Second {
    Register(u8),
    Number(u64),
}

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
        let compares = matches!(binary, Binary::Cmp | Binary::Test);
        if compares && shape == Shape::Ri && is_high(uop.r1) {
            if !self.is_dead(uop) {
                self.read_high(uop.r1, RAX);
                self.apply(binary, width, RAX, Second::Number(uop.imm), true);
            }
            return true;
        }
        let registers = match shape {
            Shape::Rr => is_high(uop.r1) || is_high(uop.r2),
            Shape::Mi => false,
            Shape::Rm | Shape::Mr | Shape::Ri => is_high(uop.r1),
        };
        let in_memory = matches!(shape, Shape::Rm | Shape::Mr | Shape::Mi);
        if registers || in_memory && !is_plain(uop) {
            return false;
        }
        // A number of 64 bits is a sign-extended one of 32.
        if matches!(shape, Shape::Ri | Shape::Mi) && short(width, uop.imm).is_none() {
            return false;
        }
        let writes = !compares;
        if binary.carries() {
            self.load_carry();
        }
        if !in_memory {
            let live = !self.is_dead(uop);
            if !live && !writes {
                return true;
            }
            let first = self.read(uop.r1, RAX);
            let second = match shape {
                Shape::Rr => Second::Register(self.read(uop.r2, RCX)),
                _ => Second::Number(uop.imm),
            };
            let result = self.apply(binary, width, first, second, live);
            if writes {
                debug_assert_eq!(result, first);
                self.wrote(uop.r1, first);
            }
            return true;
        }
        if binary.carries() {
            // The way to memory has no place for it.
            dynasm!(self.asm ; .arch x64 ; setb al ; mov [rsp + frame::SPARE], al);
        }
        let (slow, back) = self.slow_path();
        let to_memory = writes && shape != Shape::Rm;
        self.translate(uop, width, to_memory, slow);
        if shape == Shape::Rm {
            // The loaded operand is the second one.
            self.load(width, RAX);
            let first = self.read(uop.r1, RCX);
            self.carry_is_spare = true;
            self.apply(binary, width, first, Second::Register(RAX), true);
            if writes {
                self.wrote(uop.r1, first);
            }
        } else {
            self.load(width, RCX);
            let second = match shape {
                // What is in memory is recorded before RDX is needed for anything else.
                Shape::Mr => Second::Register(self.read_beside(uop.r1)),
                _ => Second::Number(uop.imm),
            };
            self.carry_is_spare = true;
            self.apply_keeping_rax(binary, width, second);
            if to_memory {
                self.store(width, RCX);
            }
        }
        self.carry_is_spare = false;
        dynasm!(self.asm ; .arch x64 ; =>back);
        if binary.carries() {
            self.host = HostFlags::None;
            self.leaves = Some(Known::of(uop));
        }
        true
    }

    /// A register as the second operand where RAX and RCX are taken.
    fn read_beside(&mut self, register: u8) -> u8 {
        self.read(register, RDX)
    }

    /// Applies an operation to host register `first`, and records the flags if they are `live`. Comparisons leave the
    /// result in RDX, the others in `first`. RDX is lost; RAX and RCX stay, but for the operands.
    fn apply(&mut self, binary: Binary, width: usize, first: u8, second: Second, live: bool) -> u8 {
        if live && binary.is_arithmetic() {
            match second {
                Second::Register(second) => self.store_cut(FLAG_B, width, second, RDX),
                Second::Number(number) => self.store_number(FLAG_B, number, RDX),
            }
            self.store_cut(FLAG_A, width, first, RDX);
        }
        let target = match binary {
            Binary::Cmp | Binary::Test => {
                self.extend(width, RDX, first);
                RDX
            }
            _ => first,
        };
        self.operate(binary, width, target, second);
        if live {
            if target == RDX || width >= 2 {
                dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_RESULT], Rq(target));
            } else {
                self.store_cut(FLAG_RESULT, width, target, RDX);
            }
            self.record(binary, width);
        }
        target
    }

    /// Applies an operation to RCX, zero-extended, and records the flags. RDX may be the second operand.
    fn apply_keeping_rax(&mut self, binary: Binary, width: usize, second: Second) {
        if binary.is_arithmetic() {
            dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_A], rcx);
            match second {
                // Cut to the width, it is as good an operand.
                Second::Register(second) => {
                    self.extend(width, RDX, second);
                    dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_B], rdx);
                }
                Second::Number(number) => self.store_number(FLAG_B, number, RDX),
            }
        }
        self.operate(binary, width, RCX, second);
        dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_RESULT], rcx);
        self.record(binary, width);
    }

    fn record(&mut self, binary: Binary, width: usize) {
        let source = match binary {
            Binary::Add | Binary::Adc => FlagSource::Add,
            Binary::Sub | Binary::Sbb | Binary::Cmp => FlagSource::Sub,
            Binary::Or | Binary::And | Binary::Xor | Binary::Test => FlagSource::Logic,
        };
        self.record_source(source, width);
        self.host = HostFlags::All;
    }

    fn operate(&mut self, binary: Binary, width: usize, to: u8, second: Second) {
        self.host = HostFlags::None;
        if binary.carries() && self.carry_is_spare {
            dynasm!(self.asm ; .arch x64 ; cmp BYTE [rsp + frame::SPARE], 1 ; cmc);
        }
        match second {
            Second::Register(from) => match binary {
                Binary::Add => by_width!(self, width, add, to, from),
                Binary::Or => by_width!(self, width, or, to, from),
                Binary::And | Binary::Test => by_width!(self, width, and, to, from),
                Binary::Sub | Binary::Cmp => by_width!(self, width, sub, to, from),
                Binary::Xor => by_width!(self, width, xor, to, from),
                Binary::Adc => by_width!(self, width, adc, to, from),
                Binary::Sbb => by_width!(self, width, sbb, to, from),
            },
            Second::Number(number) => {
                let number = short(width, number).unwrap_or_default();
                match binary {
                    Binary::Add => by_width_number!(self, width, add, to, number),
                    Binary::Or => by_width_number!(self, width, or, to, number),
                    Binary::And | Binary::Test => by_width_number!(self, width, and, to, number),
                    Binary::Sub | Binary::Cmp => by_width_number!(self, width, sub, to, number),
                    Binary::Xor => by_width_number!(self, width, xor, to, number),
                    Binary::Adc => by_width_number!(self, width, adc, to, number),
                    Binary::Sbb => by_width_number!(self, width, sbb, to, number),
                }
            }
        }
    }

    fn unary(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if matches!(op, Op::IncM | Op::DecM | Op::NegM | Op::NotM) {
            return is_plain(uop) && self.unary_in_memory(op, uop);
        }
        let known = matches!(op, Op::IncR | Op::DecR | Op::NegR | Op::NotR | Op::XorZero);
        if !known || is_high(uop.r1) {
            return false;
        }
        let live = !self.is_dead(uop);
        if op == Op::XorZero {
            let host = self.read(uop.r1, RAX);
            by_width!(self, width, xor, host, host);
            self.wrote(uop.r1, host);
            self.host = HostFlags::None;
            if live {
                self.store_number(FLAG_RESULT, 0, RDX);
                self.record_source(FlagSource::Logic, width);
                self.host = HostFlags::All;
            }
            return true;
        }
        if live && matches!(op, Op::IncR | Op::DecR) {
            self.keep_carry();
        }
        let host = self.read(uop.r1, RAX);
        if live && op != Op::NotR {
            let (a, b) = if op == Op::NegR { (FLAG_B, FLAG_A) } else { (FLAG_A, FLAG_B) };
            self.store_cut(a, width, host, RDX);
            self.store_number(b, u64::from(op != Op::NegR), RDX);
        }
        match op {
            Op::IncR => alone_by_width!(self, width, inc, host),
            Op::DecR => alone_by_width!(self, width, dec, host),
            Op::NegR => alone_by_width!(self, width, neg, host),
            _ => alone_by_width!(self, width, not, host),
        }
        self.wrote(uop.r1, host);
        if op == Op::NotR {
            return true;
        }
        self.host = HostFlags::None;
        if live {
            self.store_cut(FLAG_RESULT, width, host, RDX);
            let (source, flags) = match op {
                Op::IncR => (FlagSource::Inc, HostFlags::AllButCarry),
                Op::DecR => (FlagSource::Dec, HostFlags::AllButCarry),
                _ => (FlagSource::Sub, HostFlags::All),
            };
            self.record_source(source, width);
            self.host = flags;
        }
        true
    }

    fn unary_in_memory(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if matches!(op, Op::IncM | Op::DecM) {
            // As the handler leaves it, if it comes to that.
            self.keep_carry();
        }
        let (slow, back) = self.slow_path();
        self.translate(uop, width, true, slow);
        self.load(width, RCX);
        if op != Op::NotM {
            let (a, b) = if op == Op::NegM { (FLAG_B, FLAG_A) } else { (FLAG_A, FLAG_B) };
            dynasm!(self.asm ; .arch x64 ; mov [rbp + a], rcx);
            self.store_number(b, u64::from(op != Op::NegM), RDX);
        }
        match op {
            Op::IncM => alone_by_width!(self, width, inc, RCX),
            Op::DecM => alone_by_width!(self, width, dec, RCX),
            Op::NegM => alone_by_width!(self, width, neg, RCX),
            _ => alone_by_width!(self, width, not, RCX),
        }
        self.store(width, RCX);
        if op != Op::NotM {
            dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_RESULT], rcx);
            let source = match op {
                Op::IncM => FlagSource::Inc,
                Op::DecM => FlagSource::Dec,
                _ => FlagSource::Sub,
            };
            self.record_source(source, width);
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        self.host = HostFlags::None;
        if op == Op::NotM {
            self.leaves = Some(self.known);
        }
        true
    }
}
