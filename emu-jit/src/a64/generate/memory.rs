//! Memory operands: the effective address, and the compare with what the access used last; everything else is the
//! handler's.

use super::{Generator, HostFlags, Later};
use crate::a64::registers::{PAGE, pinned};
use crate::context::Remembered;
use crate::layout::{TLB_STAMP, segment_base, segment_bound};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::uop::{REG_RIP, REG_ZERO, Uop};
use emu_vmx::arch::segment::SegmentRegister;
use std::mem::offset_of;

// The page and the stamp are loaded as a pair.
const _: () = assert!(offset_of!(Remembered, page) == 0 && offset_of!(Remembered, stamp) == 8);

impl Generator<'_> {
    /// X0 = the effective address of the operand, which [`is_plain`](crate::forms::is_plain). X1 is lost; the host's flags
    /// stay.
    pub fn address(&mut self, uop: &Uop) {
        let disp = i64::from(uop.disp);
        if uop.base == REG_ZERO && uop.index == REG_ZERO {
            self.load_number(0, disp as u64);
        } else {
            let (base, disp) = match uop.base {
                REG_RIP => (PAGE, disp + i64::from(self.source.place)),
                base => (pinned(base), disp),
            };
            let from = if uop.index == REG_ZERO {
                base
            } else {
                let (index, shift) = (pinned(uop.index), u32::from(uop.scale & 3));
                dynasm!(self.asm ; .arch aarch64 ; add x0, X(base), X(index), lsl shift);
                0
            };
            self.add_number(0, from, disp, true);
        }
        self.cut_address(uop);
    }

    /// `to` = `from` + a number, 64 bits of it or 32, where `from` has a number. X1 is lost; the host's flags stay.
    pub fn add_number(&mut self, to: u8, from: u8, number: i64, wide: bool) {
        let size = number.unsigned_abs();
        if size < 4096 && from < 31 {
            let size = size as u32;
            match (number >= 0, wide) {
                (true, true) => dynasm!(self.asm ; .arch aarch64 ; add XSP(to), XSP(from), size),
                (false, true) => dynasm!(self.asm ; .arch aarch64 ; sub XSP(to), XSP(from), size),
                (true, false) => dynasm!(self.asm ; .arch aarch64 ; add WSP(to), WSP(from), size),
                (false, false) => dynasm!(self.asm ; .arch aarch64 ; sub WSP(to), WSP(from), size),
            }
            return;
        }
        self.load_number(1, number as u64);
        if wide {
            dynasm!(self.asm ; .arch aarch64 ; add X(to), X(from), x1);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; add W(to), W(from), w1);
        }
    }

    /// X0 as wide as addresses are.
    pub fn cut_address(&mut self, uop: &Uop) {
        if uop.scale >> 2 == 32 {
            dynasm!(self.asm ; .arch aarch64 ; mov w0, w0);
        }
    }

    /// X0 = the host's address of the `1 << width` bytes of the memory operand, if the access is a plain one; if not,
    /// the code goes on at `slow`. X1 to X4 and the host's flags are lost.
    pub fn translate(&mut self, uop: &Uop, width: usize, write: bool, slow: DynamicLabel) {
        self.address(uop);
        self.translate_offset(uop.seg, width, write, slow);
    }

    /// [`Generator::translate`] of the offset in X0 of the stack's segment.
    pub fn translate_stack(&mut self, width: usize, write: bool, slow: DynamicLabel) {
        self.translate_offset(SegmentRegister::Ss as u8, width, write, slow);
    }

    /// [`Generator::translate`] of the offset in X0. In 64-bit mode segments bound nothing, and FS and GS alone have a
    /// base. Elsewhere what may be written may be read, too.
    pub fn translate_offset(&mut self, segment: u8, width: usize, write: bool, slow: DynamicLabel) {
        let last = (1u32 << width) - 1;
        if !self.source.wide {
            self.load_field(2, segment_bound(segment, write));
            dynasm!(self.asm
                ; .arch aarch64
                ; add x1, x0, last
                ; cmp x1, x2
                ; b.hs =>slow
            );
        }
        let based = matches!(SegmentRegister::from_index(segment), Some(SegmentRegister::Fs | SegmentRegister::Gs));
        if !self.source.wide || based {
            self.load_field(1, segment_base(segment));
            dynasm!(self.asm ; .arch aarch64 ; add x0, x0, x1);
        }
        self.translate_linear(width, write, slow);
    }

    /// [`Generator::translate`] of the linear address in X0.
    fn translate_linear(&mut self, width: usize, write: bool, slow: DynamicLabel) {
        // Offsets in a page at which such an access lies in it with all its bytes.
        let offsets = 0x1000 - ((1u32 << width) - 1);
        let remembered = self.remembered[self.accesses].get();
        self.accesses += 1;
        let (at, found) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.later.push(Later::LookUp { at, found, slow, width, write });
        let (stamp, addend) = (TLB_STAMP as u32, offset_of!(Remembered, addend) as u32);
        self.load_number(3, remembered as u64);
        dynasm!(self.asm
            ; .arch aarch64
            ; ldp x1, x2, [x3]
            ; ldr x4, [x29, stamp]
            ; sub x1, x0, x1
            ; cmp x2, x4
            ; b.ne =>at
        );
        if width == 0 {
            dynasm!(self.asm ; .arch aarch64 ; lsr x1, x1, 12 ; cbnz x1, =>at);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; cmp x1, offsets ; b.hs =>at);
        }
        dynasm!(self.asm ; .arch aarch64 ; ldr x1, [x3, addend] ; add x0, x0, x1 ; =>found);
        self.host = HostFlags::None;
    }

    /// `to` = what is at the host's address X0, zero-extended. The host's flags stay.
    pub fn load(&mut self, width: usize, to: u8) {
        match width {
            0 => dynasm!(self.asm ; .arch aarch64 ; ldrb W(to), [x0]),
            1 => dynasm!(self.asm ; .arch aarch64 ; ldrh W(to), [x0]),
            2 => dynasm!(self.asm ; .arch aarch64 ; ldr W(to), [x0]),
            _ => dynasm!(self.asm ; .arch aarch64 ; ldr X(to), [x0]),
        }
    }

    /// Stores `from` at the host's address X0. The host's flags stay.
    pub fn store(&mut self, width: usize, from: u8) {
        match width {
            0 => dynasm!(self.asm ; .arch aarch64 ; strb W(from), [x0]),
            1 => dynasm!(self.asm ; .arch aarch64 ; strh W(from), [x0]),
            2 => dynasm!(self.asm ; .arch aarch64 ; str W(from), [x0]),
            _ => dynasm!(self.asm ; .arch aarch64 ; str X(from), [x0]),
        }
    }
}
