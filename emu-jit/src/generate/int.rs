//! Templates of integer arithmetic, logic and moves.

use super::flags::HostFlags;
use super::memory::is_plain;
use super::{Generator, is_high};
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT, RAX, RCX, RDX};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// An operation of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Add,
    Or,
    And,
    Sub,
    Xor,
    Cmp,
    Test,
}

/// Where the two operands of an operation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rr,
    Rm,
    Mr,
    Ri,
    Mi,
}

/// A number that the host can have as an operand: cut to the width and sign-extended, if it has 32 bits.
fn short(width: usize, number: u64) -> Option<i32> {
    match width {
        0 => Some(i32::from(number as i8)),
        1 => Some(i32::from(number as i16)),
        2 => Some(number as i32),
        _ => i32::try_from(number as i64).ok(),
    }
}

fn binary_of(op: Op) -> Option<(Binary, Shape)> {
    use Op::*;
    Some(match op {
        AddRr => (Binary::Add, Shape::Rr),
        AddRm => (Binary::Add, Shape::Rm),
        AddMr => (Binary::Add, Shape::Mr),
        AddRi => (Binary::Add, Shape::Ri),
        AddMi => (Binary::Add, Shape::Mi),
        OrRr => (Binary::Or, Shape::Rr),
        OrRm => (Binary::Or, Shape::Rm),
        OrMr => (Binary::Or, Shape::Mr),
        OrRi => (Binary::Or, Shape::Ri),
        OrMi => (Binary::Or, Shape::Mi),
        AndRr => (Binary::And, Shape::Rr),
        AndRm => (Binary::And, Shape::Rm),
        AndMr => (Binary::And, Shape::Mr),
        AndRi => (Binary::And, Shape::Ri),
        AndMi => (Binary::And, Shape::Mi),
        SubRr => (Binary::Sub, Shape::Rr),
        SubRm => (Binary::Sub, Shape::Rm),
        SubMr => (Binary::Sub, Shape::Mr),
        SubRi => (Binary::Sub, Shape::Ri),
        SubMi => (Binary::Sub, Shape::Mi),
        XorRr => (Binary::Xor, Shape::Rr),
        XorRm => (Binary::Xor, Shape::Rm),
        XorMr => (Binary::Xor, Shape::Mr),
        XorRi => (Binary::Xor, Shape::Ri),
        XorMi => (Binary::Xor, Shape::Mi),
        CmpRr => (Binary::Cmp, Shape::Rr),
        CmpRm => (Binary::Cmp, Shape::Rm),
        CmpMr => (Binary::Cmp, Shape::Mr),
        CmpRi => (Binary::Cmp, Shape::Ri),
        CmpMi => (Binary::Cmp, Shape::Mi),
        TestRr => (Binary::Test, Shape::Rr),
        TestMr => (Binary::Test, Shape::Mr),
        TestRi => (Binary::Test, Shape::Ri),
        TestMi => (Binary::Test, Shape::Mi),
        _ => return None,
    })
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
        self.unary(op, uop) || self.movement(op, uop) || self.extension(op, uop) || self.conditional(op, uop)
    }

    fn binary(&mut self, binary: Binary, shape: Shape, uop: &Uop) -> bool {
        let width = uop.width_index();
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
        let writes = !matches!(binary, Binary::Cmp | Binary::Test);
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
        let (slow, back) = self.slow_path();
        let to_memory = writes && shape != Shape::Rm;
        self.translate(uop, width, to_memory, slow);
        if shape == Shape::Rm {
            // The loaded operand is the second one.
            self.load(width, RAX);
            let first = self.read(uop.r1, RCX);
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
            self.apply_keeping_rax(binary, width, second);
            if to_memory {
                self.store(width, RCX);
            }
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// A register as the second operand where RAX and RCX are taken.
    fn read_beside(&mut self, register: u8) -> u8 {
        self.read(register, RDX)
    }

    /// Applies an operation to host register `first`, and records the flags if they are `live`. Comparisons leave the
    /// result in RDX, the others in `first`. RDX is lost; RAX and RCX stay, but for the operands.
    fn apply(&mut self, binary: Binary, width: usize, first: u8, second: Second, live: bool) -> u8 {
        let arithmetic = matches!(binary, Binary::Add | Binary::Sub | Binary::Cmp);
        if live && arithmetic {
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
        let arithmetic = matches!(binary, Binary::Add | Binary::Sub | Binary::Cmp);
        if arithmetic {
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
            Binary::Add => FlagSource::Add,
            Binary::Sub | Binary::Cmp => FlagSource::Sub,
            Binary::Or | Binary::And | Binary::Xor | Binary::Test => FlagSource::Logic,
        };
        self.record_source(source, width);
        self.host = HostFlags::All;
    }

    fn operate(&mut self, binary: Binary, width: usize, to: u8, second: Second) {
        self.host = HostFlags::None;
        match second {
            Second::Register(from) => match binary {
                Binary::Add => by_width!(self, width, add, to, from),
                Binary::Or => by_width!(self, width, or, to, from),
                Binary::And | Binary::Test => by_width!(self, width, and, to, from),
                Binary::Sub | Binary::Cmp => by_width!(self, width, sub, to, from),
                Binary::Xor => by_width!(self, width, xor, to, from),
            },
            Second::Number(number) => {
                let number = short(width, number).unwrap_or_default();
                match binary {
                    Binary::Add => by_width_number!(self, width, add, to, number),
                    Binary::Or => by_width_number!(self, width, or, to, number),
                    Binary::And | Binary::Test => by_width_number!(self, width, and, to, number),
                    Binary::Sub | Binary::Cmp => by_width_number!(self, width, sub, to, number),
                    Binary::Xor => by_width_number!(self, width, xor, to, number),
                }
            }
        }
    }

    fn unary(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
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
            Op::MovRi => match crate::layout::pinned(uop.r1) {
                Some(host) if width >= 2 => self.load_number(host, uop.imm),
                _ => {
                    self.load_number(RAX, uop.imm);
                    self.set(uop.r1, width, RAX);
                }
            },
            Op::MovRm => {
                let (slow, back) = self.slow_path();
                self.translate(uop, width, false, slow);
                match crate::layout::pinned(uop.r1) {
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
            Op::Lea => {
                self.address(uop);
                self.set(uop.r1, width, RAX);
            }
            Op::Nop => {}
            _ => return false,
        }
        true
    }

    fn extension(&mut self, op: Op, uop: &Uop) -> bool {
        use Op::*;
        let (from_width, signed, in_memory) = match op {
            MovzxRr8 => (0, false, false),
            MovzxRm8 => (0, false, true),
            MovzxRr16 => (1, false, false),
            MovzxRm16 => (1, false, true),
            MovsxRr8 => (0, true, false),
            MovsxRm8 => (0, true, true),
            MovsxRr16 => (1, true, false),
            MovsxRm16 => (1, true, true),
            MovsxRr32 => (2, true, false),
            MovsxRm32 => (2, true, true),
            _ => return false,
        };
        if is_high(uop.r1) || is_high(uop.r2) || in_memory && !is_plain(uop) {
            return false;
        }
        let back = if in_memory {
            let (slow, back) = self.slow_path();
            self.translate(uop, from_width, false, slow);
            if let Some(host) = crate::layout::pinned(uop.r1)
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
            let from = self.read(uop.r2, RAX);
            self.extend(from_width, RAX, from);
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
            Op::CmovRr => {
                let width = uop.width_index();
                let code = self.condition(uop.condition());
                let from = self.read(uop.r2, RCX);
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
                true
            }
            _ => false,
        }
    }

    fn set_host(&mut self, to: u8, width: usize, from: u8) {
        by_width!(self, width, mov, to, from);
    }
}
