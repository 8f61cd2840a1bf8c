//! Templates of single bits, bit scans and byte order.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{BitShape, Change, bit_of, is_plain};
use crate::known::Known;
use crate::layout::{FLAG_BITS, FLAG_RESULT};
use crate::x64::registers::{RAX, RCX, RDX};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{CF, FlagSource, STATUS};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

macro_rules! bit_by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr, $($number:tt)*) => {
        match $width {
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), $($number)*),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), $($number)*),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), $($number)*),
        }
    };
}

macro_rules! on_register_by_width {
    ($self:ident, $width:expr, $name:ident, $to:expr, $from:expr) => {
        match $width {
            1 => dynasm!($self.asm ; .arch x64 ; $name Rw($to), Rw($from)),
            2 => dynasm!($self.asm ; .arch x64 ; $name Rd($to), Rd($from)),
            _ => dynasm!($self.asm ; .arch x64 ; $name Rq($to), Rq($from)),
        }
    };
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn bits(&mut self, op: Op, uop: &Uop) -> bool {
        if let Some((change, shape)) = bit_of(op) {
            return self.bit(change, shape, uop);
        }
        match op {
            Op::FlagBit if uop.imm == CF => self.carry_flag(uop.r1),
            Op::PopcntRr | Op::PopcntRm | Op::LzcntRr | Op::LzcntRm | Op::TzcntRr | Op::TzcntRm => {
                self.count_bits(op, uop)
            }
            Op::BsfRr | Op::BsrRr | Op::BsfRm | Op::BsrRm => self.scan(op, uop),
            Op::Bswap if uop.width_index() >= 2 => {
                let host = self.read(uop.r1, RAX);
                match uop.width_index() {
                    2 => dynasm!(self.asm ; .arch x64 ; bswap Rd(host)),
                    _ => dynasm!(self.asm ; .arch x64 ; bswap Rq(host)),
                }
                self.wrote(uop.r1, host);
                true
            }
            Op::Cbw | Op::Cwd => self.widen_accumulator(op, uop),
            _ => false,
        }
    }

    fn bit(&mut self, change: Change, shape: BitShape, uop: &Uop) -> bool {
        let width = uop.width_index();
        let seen = !self.nobody_sees_flags();
        let in_memory = matches!(shape, BitShape::Mi | BitShape::Mr);
        if width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let number = uop.imm as i8;
        let back = if in_memory {
            let (slow, back) = self.slow_path();
            if shape == BitShape::Mi {
                self.translate(uop, width, change != Change::Nothing, slow);
                self.load(width, RCX);
                self.change_bit(change, width, RCX, number);
            } else {
                self.translate_bit_string(uop, width, change != Change::Nothing, slow);
                self.load(width, RCX);
                let number = self.read(uop.r2, RDX);
                self.change_numbered(change, width, RCX, number);
            }
            if change != Change::Nothing {
                self.store(width, RCX);
            }
            Some(back)
        } else {
            let host = self.read(uop.r1, RAX);
            if width == 2 && change != Change::Nothing {
                dynasm!(self.asm ; .arch x64 ; mov Rd(host), Rd(host));
            }
            if shape == BitShape::Ri {
                self.change_bit(change, width, host, number);
            } else {
                let number = self.read(uop.r2, RCX);
                self.change_numbered(change, width, host, number);
            }
            if change != Change::Nothing {
                self.wrote(uop.r1, host);
            }
            None
        };
        self.host = HostFlags::None;
        if seen {
            self.set_carry();
        }
        if let Some(back) = back {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        true
    }

    /// RAX = the host's address of that word of a bit string which the number in `r2` is in.
    fn translate_bit_string(&mut self, uop: &Uop, width: usize, write: bool, slow: DynamicLabel) {
        self.address(uop);
        let number = self.read(uop.r2, RCX);
        let (to_word, to_bytes) = (3 + width as i8, width as i8);
        match width {
            1 => dynasm!(self.asm ; .arch x64 ; movsx rcx, Rw(number)),
            2 => dynasm!(self.asm ; .arch x64 ; movsxd rcx, Rd(number)),
            _ => dynasm!(self.asm ; .arch x64 ; mov rcx, Rq(number)),
        }
        dynasm!(self.asm ; .arch x64 ; sar rcx, BYTE to_word ; shl rcx, BYTE to_bytes ; add rax, rcx);
        self.cut_address(uop);
        self.translate_offset(uop.seg, width, write, slow);
    }

    fn change_numbered(&mut self, change: Change, width: usize, host: u8, number: u8) {
        match change {
            Change::Nothing => on_register_by_width!(self, width, bt, host, number),
            Change::Set => on_register_by_width!(self, width, bts, host, number),
            Change::Reset => on_register_by_width!(self, width, btr, host, number),
            Change::Complement => on_register_by_width!(self, width, btc, host, number),
        }
    }

    fn change_bit(&mut self, change: Change, width: usize, host: u8, number: i8) {
        match change {
            Change::Nothing => bit_by_width!(self, width, bt, host, BYTE number),
            Change::Set => bit_by_width!(self, width, bts, host, BYTE number),
            Change::Reset => bit_by_width!(self, width, btr, host, BYTE number),
            Change::Complement => bit_by_width!(self, width, btc, host, BYTE number),
        }
    }

    /// The source in a register, of the host's, and where the handler comes back to that does a slow access instead.
    fn source(&mut self, in_memory: bool, width: usize, uop: &Uop) -> (u8, Option<DynamicLabel>) {
        if !in_memory {
            return (self.read(uop.r2, RCX), None);
        }
        let (slow, back) = self.slow_path();
        self.translate(uop, width, false, slow);
        self.load(width, RCX);
        (RCX, Some(back))
    }

    /// A source of 0 leaves the destination alone, all 64 bits of it.
    fn scan(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::BsfRm | Op::BsrRm);
        if width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let seen = !self.nobody_sees_flags();
        let (source, back) = self.source(in_memory, width, uop);
        self.extend(width, RAX, source);
        let (zero, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        if matches!(op, Op::BsfRr | Op::BsfRm) {
            dynasm!(self.asm ; .arch x64 ; bsf rdx, rax);
        } else {
            dynasm!(self.asm ; .arch x64 ; bsr rdx, rax);
        }
        dynasm!(self.asm ; .arch x64 ; jz =>zero);
        // The number fits in 32 bits.
        self.set(uop.r1, if width == 2 { 3 } else { width }, RDX);
        if seen {
            dynasm!(self.asm
                ; .arch x64
                ; test dl, dl
                ; setp al
                ; movzx eax, al
                ; shl eax, 2
            );
            self.record_bits();
            dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>zero);
            self.store_number(FLAG_RESULT, 0, RDX);
            self.record_source(FlagSource::Logic, width);
        } else {
            dynasm!(self.asm ; .arch x64 ; =>zero);
        }
        dynasm!(self.asm ; .arch x64 ; =>end);
        if let Some(back) = back {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        self.host = HostFlags::None;
        self.leaves = Some(Known::Nothing);
        true
    }

    /// CLC, STC and CMC.
    fn carry_flag(&mut self, action: u8) -> bool {
        if action == 2 {
            self.load_carry();
        }
        self.host = HostFlags::None;
        match action {
            0 => dynasm!(self.asm ; .arch x64 ; clc),
            1 => dynasm!(self.asm ; .arch x64 ; stc),
            _ => dynasm!(self.asm ; .arch x64 ; cmc),
        }
        self.set_carry();
        true
    }

    /// POPCNT, LZCNT and TZCNT, where the host has them, too.
    fn count_bits(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        let in_memory = matches!(op, Op::PopcntRm | Op::LzcntRm | Op::TzcntRm);
        let there = match op {
            Op::PopcntRr | Op::PopcntRm => is_x86_feature_detected!("popcnt"),
            Op::LzcntRr | Op::LzcntRm => is_x86_feature_detected!("lzcnt"),
            _ => is_x86_feature_detected!("bmi1"),
        };
        if !there || width == 0 || in_memory && !is_plain(uop) {
            return false;
        }
        let (source, back) = self.source(in_memory, width, uop);
        // The number fits in 16 bits.
        dynasm!(self.asm ; .arch x64 ; mov edx, 0);
        match op {
            Op::PopcntRr | Op::PopcntRm => on_register_by_width!(self, width, popcnt, RDX, source),
            Op::LzcntRr | Op::LzcntRm => on_register_by_width!(self, width, lzcnt, RDX, source),
            _ => on_register_by_width!(self, width, tzcnt, RDX, source),
        }
        self.host = HostFlags::None;
        if matches!(op, Op::PopcntRr | Op::PopcntRm) {
            dynasm!(self.asm ; .arch x64 ; setz al ; movzx eax, al ; shl eax, 6);
            self.record_bits();
            self.leaves = Some(Known::Explicit);
        } else {
            dynasm!(self.asm
                ; .arch x64
                ; setb al
                ; movzx eax, al
                ; mov rcx, [rbp + FLAG_BITS]
                ; and rcx, !STATUS as i32
                ; or rcx, rax
                ; mov [rbp + FLAG_BITS], rcx
                ; mov [rbp + FLAG_RESULT], rdx
            );
            self.record_source(FlagSource::Result, width);
            self.leaves = Some(Known::Result(width));
        }
        self.set(uop.r1, width, RDX);
        if let Some(back) = back {
            dynasm!(self.asm ; .arch x64 ; =>back);
        }
        true
    }

    /// CBW, CWDE, CDQE, and CWD, CDQ, CQO.
    fn widen_accumulator(&mut self, op: Op, uop: &Uop) -> bool {
        let width = uop.width_index();
        if width == 0 {
            return false;
        }
        let low = self.read(0, RAX);
        match (op, width) {
            (Op::Cbw, 1) => dynasm!(self.asm ; .arch x64 ; movsx ax, Rb(low)),
            (Op::Cbw, 2) => dynasm!(self.asm ; .arch x64 ; movsx eax, Rw(low)),
            (Op::Cbw, _) => dynasm!(self.asm ; .arch x64 ; movsxd rax, Rd(low)),
            (_, 1) => dynasm!(self.asm ; .arch x64 ; mov eax, Rd(low) ; cwd),
            (_, 2) => dynasm!(self.asm ; .arch x64 ; mov eax, Rd(low) ; cdq),
            _ => dynasm!(self.asm ; .arch x64 ; mov rax, Rq(low) ; cqo),
        }
        if op == Op::Cbw {
            self.set(0, width, RAX);
        } else {
            self.set(2, width, RDX);
        }
        true
    }
}
