//! Templates of exchanges that compare or add. One processor runs at a time: LOCK makes no difference.

use super::Generator;
use super::flags::HostFlags;
use crate::forms::{is_high, is_plain};
use crate::known::Known;
use crate::layout::{FLAG_A, FLAG_B, FLAG_RESULT};
use crate::x64::registers::{RCX, RDX};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// The guest's accumulator.
const ACCUMULATOR: u8 = 0;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn atomic(&mut self, op: Op, uop: &Uop) -> bool {
        if !matches!(op, Op::CmpxchgMr | Op::XaddMr) || is_high(uop.r1) || !is_plain(uop) {
            return false;
        }
        let width = uop.width_index();
        let (slow, back) = self.slow_path();
        self.translate(uop, width, true, slow);
        self.load(width, RCX);
        self.leaves = Some(if op == Op::CmpxchgMr {
            self.compare_and_exchange(uop, width);
            Known::Difference(width)
        } else {
            self.exchange_and_add(uop, width);
            Known::Sum(width)
        });
        dynasm!(self.asm ; .arch x64 ; =>back);
        self.host = HostFlags::None;
        true
    }

    /// The old operand is in RCX, its place in RAX. An accumulator that is equal stays, all 64 bits of it.
    fn compare_and_exchange(&mut self, uop: &Uop, width: usize) {
        let (differs, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        let accumulator = self.read(ACCUMULATOR, RDX);
        self.extend(width, RDX, accumulator);
        dynasm!(self.asm
            ; .arch x64
            ; mov [rbp + FLAG_A], rdx
            ; mov [rbp + FLAG_B], rcx
            ; sub rdx, rcx
        );
        self.record_result(FlagSource::Sub, width);
        dynasm!(self.asm ; .arch x64 ; test rdx, rdx ; jne =>differs);
        let new = self.read(uop.r1, RDX);
        self.store(width, new);
        dynasm!(self.asm ; .arch x64 ; jmp =>end ; =>differs);
        self.set(ACCUMULATOR, width, RCX);
        dynasm!(self.asm ; .arch x64 ; =>end);
    }

    /// The operand is in RCX, its place in RAX.
    fn exchange_and_add(&mut self, uop: &Uop, width: usize) {
        let added = self.read(uop.r1, RDX);
        self.extend(width, RDX, added);
        dynasm!(self.asm
            ; .arch x64
            ; mov [rbp + FLAG_A], rcx
            ; mov [rbp + FLAG_B], rdx
            ; add rdx, rcx
        );
        self.record_result(FlagSource::Add, width);
        self.store(width, RDX);
        self.set(uop.r1, width, RCX);
    }

    /// Records the result in RDX, cut to its width, behind its operands.
    fn record_result(&mut self, source: FlagSource, width: usize) {
        self.extend(width, RDX, RDX);
        dynasm!(self.asm ; .arch x64 ; mov [rbp + FLAG_RESULT], rdx);
        self.record_source(source, width);
    }
}
