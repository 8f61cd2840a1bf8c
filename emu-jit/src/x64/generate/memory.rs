//! Memory operands: the effective address, and the compare with the TLB's entry; everything else is the handler's.

use super::{Generator, Later};
use crate::context::Remembered;
use crate::layout::{TLB_STAMP, segment_base, segment_bound};
use crate::x64::registers::{RAX, RCX, frame, pinned};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::uop::{REG_RIP, REG_ZERO, Uop};
use emu_vmx::arch::segment::SegmentRegister;
use std::mem::offset_of;

impl Generator<'_> {
    /// RAX = the effective address of the operand, which [`is_plain`](crate::forms::is_plain). RCX and RDX are lost.
    pub fn address(&mut self, uop: &Uop) {
        let disp = uop.disp;
        if let (Some(base), Some(index)) = (pinned(uop.base), pinned(uop.index)) {
            match uop.scale & 3 {
                0 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + Rq(index) + disp]),
                1 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + Rq(index) * 2 + disp]),
                2 => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + Rq(index) * 4 + disp]),
                _ => dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + Rq(index) * 8 + disp]),
            }
            return self.cut_address(uop);
        }
        if uop.base == REG_RIP {
            let from_page = disp.wrapping_add(i32::from(self.source.place));
            dynasm!(self.asm
                ; .arch x64
                ; mov rax, [rsp + frame::PAGE]
                ; lea rax, [rax + from_page]
            );
        } else if uop.base == REG_ZERO {
            dynasm!(self.asm ; .arch x64 ; mov rax, disp);
        } else if let (Some(base), REG_ZERO) = (pinned(uop.base), uop.index) {
            dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + disp]);
        } else {
            let base = self.read(uop.base, RAX);
            dynasm!(self.asm ; .arch x64 ; lea rax, [Rq(base) + disp]);
        }
        if uop.index != REG_ZERO {
            let index = self.read(uop.index, RCX);
            match uop.scale & 3 {
                0 => dynasm!(self.asm ; .arch x64 ; lea rax, [rax + Rq(index)]),
                1 => dynasm!(self.asm ; .arch x64 ; lea rax, [rax + Rq(index) * 2]),
                2 => dynasm!(self.asm ; .arch x64 ; lea rax, [rax + Rq(index) * 4]),
                _ => dynasm!(self.asm ; .arch x64 ; lea rax, [rax + Rq(index) * 8]),
            }
        }
        self.cut_address(uop);
    }

    /// RAX as wide as addresses are.
    pub fn cut_address(&mut self, uop: &Uop) {
        if uop.scale >> 2 == 32 {
            dynasm!(self.asm ; .arch x64 ; mov eax, eax);
        }
    }

    /// RAX = the host's address of the `1 << width` bytes of the memory operand, if the access is a plain one; if not,
    /// the code goes on at `slow`. RCX, RDX and the host's flags are lost.
    pub fn translate(&mut self, uop: &Uop, width: usize, write: bool, slow: DynamicLabel) {
        self.address(uop);
        self.translate_offset(uop.seg, width, write, slow);
    }

    /// [`Generator::translate`] of the offset in RAX of the stack's segment.
    pub fn translate_stack(&mut self, width: usize, write: bool, slow: DynamicLabel) {
        self.translate_offset(SegmentRegister::Ss as u8, width, write, slow);
    }

    /// [`Generator::translate`] of the offset in RAX. In 64-bit mode segments bound nothing, and FS and GS alone have a
    /// base. Elsewhere what may be written may be read, too.
    pub fn translate_offset(&mut self, segment: u8, width: usize, write: bool, slow: DynamicLabel) {
        if !self.source.wide {
            let last = (1 << width) - 1;
            dynasm!(self.asm
                ; .arch x64
                ; lea rdx, [rax + last]
                ; cmp rdx, [rbp + segment_bound(segment, write)]
                ; jae =>slow
                ; add rax, [rbp + segment_base(segment)]
            );
        } else if matches!(SegmentRegister::from_index(segment), Some(SegmentRegister::Fs | SegmentRegister::Gs)) {
            dynasm!(self.asm ; .arch x64 ; add rax, [rbp + segment_base(segment)]);
        }
        self.translate_linear(width, write, slow);
    }

    /// [`Generator::translate`] of the linear address in RAX.
    fn translate_linear(&mut self, width: usize, write: bool, slow: DynamicLabel) {
        // Offsets in a page at which such an access lies in it with all its bytes.
        let offsets = 0x1000 - ((1 << width) - 1);
        let remembered = self.remembered[self.accesses].get() as i64;
        self.accesses += 1;
        let (at, found) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.later.push(Later::LookUp { at, found, slow, width, write });
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, QWORD remembered
            ; mov rdx, rax
            ; sub rdx, [rcx + offset_of!(Remembered, page) as i32]
            ; cmp rdx, offsets
            ; jae =>at
            ; mov rdx, [rbp + TLB_STAMP]
            ; cmp rdx, [rcx + offset_of!(Remembered, stamp) as i32]
            ; jne =>at
            ; add rax, [rcx + offset_of!(Remembered, addend) as i32]
            ; =>found
        );
        self.host = super::flags::HostFlags::None;
    }

    /// `to` = what is at the host's address RAX, zero-extended. The host's flags stay.
    pub fn load(&mut self, width: usize, to: u8) {
        match width {
            0 => dynasm!(self.asm ; .arch x64 ; movzx Rd(to), BYTE [rax]),
            1 => dynasm!(self.asm ; .arch x64 ; movzx Rd(to), WORD [rax]),
            2 => dynasm!(self.asm ; .arch x64 ; mov Rd(to), [rax]),
            _ => dynasm!(self.asm ; .arch x64 ; mov Rq(to), [rax]),
        }
    }

    /// Stores `from` at the host's address RAX. The host's flags stay.
    pub fn store(&mut self, width: usize, from: u8) {
        match width {
            0 => dynasm!(self.asm ; .arch x64 ; mov [rax], Rb(from)),
            1 => dynasm!(self.asm ; .arch x64 ; mov [rax], Rw(from)),
            2 => dynasm!(self.asm ; .arch x64 ; mov [rax], Rd(from)),
            _ => dynasm!(self.asm ; .arch x64 ; mov [rax], Rq(from)),
        }
    }

    /// `to` = a guest register, cut to the width of addresses.
    pub fn copy_word(&mut self, register: u8, to: u8) {
        let from = self.read(register, to);
        self.extend(self.word, to, from);
    }
}
