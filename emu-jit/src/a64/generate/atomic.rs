//! Templates of exchanges that compare or add. One processor runs at a time: LOCK makes no difference.

use super::Generator;
use crate::forms::is_plain;
use crate::known::Known;
use dynasmrt::{DynasmLabelApi, dynasm};
use emu_core::flags::FlagSource;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;

/// The guest's accumulator.
const ACCUMULATOR: u8 = 0;

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn atomic(&mut self, op: Op, uop: &Uop) -> bool {
        if !matches!(op, Op::CmpxchgMr | Op::XaddMr) || !is_plain(uop) {
            return false;
        }
        let width = uop.width_index();
        let (slow, back) = self.slow_path();
        self.translate(uop, width, true, slow);
        // The old operand.
        self.load(width, 3);
        self.leaves = Some(if op == Op::CmpxchgMr {
            self.compare_and_exchange(uop, width);
            Known::Difference(width)
        } else {
            self.copy(uop.r1, width, 4);
            self.record_operands(3, 4);
            dynasm!(self.asm ; .arch aarch64 ; add x5, x3, x4);
            self.extend(width, 5, 5);
            self.record_result(FlagSource::Add, width, 5);
            self.store(width, 5);
            self.set(uop.r1, width, 3);
            Known::Sum(width)
        });
        self.come_back(back);
        true
    }

    /// An accumulator that is equal stays, all 64 bits of it.
    fn compare_and_exchange(&mut self, uop: &Uop, width: usize) {
        let (differs, end) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.copy(ACCUMULATOR, width, 4);
        self.record_operands(4, 3);
        dynasm!(self.asm ; .arch aarch64 ; sub x5, x4, x3);
        self.extend(width, 5, 5);
        self.record_result(FlagSource::Sub, width, 5);
        dynasm!(self.asm ; .arch aarch64 ; cbnz x5, =>differs);
        let new = self.read(uop.r1, width, 4);
        self.store(width, new);
        dynasm!(self.asm ; .arch aarch64 ; b =>end ; =>differs);
        self.set(ACCUMULATOR, width, 3);
        dynasm!(self.asm ; .arch aarch64 ; =>end);
    }
}
