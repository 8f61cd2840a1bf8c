//! The register stack, tags, and the status word's own rules.

use super::float80::{Class, F80};
use super::status::*;
use crate::fpu::FpuState;

impl FpuState {
    /// Sets TOP.
    #[inline]
    pub fn set_top(&mut self, top: usize) {
        self.status = self.status & !(7 << TOP_SHIFT) | (top as u16 & 7) << TOP_SHIFT;
    }

    #[inline]
    fn physical(&self, i: u8) -> usize {
        (self.top() + usize::from(i)) & 7
    }

    /// ST(i), whatever its tag.
    #[inline]
    pub fn st(&self, i: u8) -> F80 {
        let n = self.physical(i);
        F80::new(self.exponent[n], self.significand[n])
    }

    /// Whether ST(i) is empty.
    #[inline]
    pub fn is_empty(&self, i: u8) -> bool {
        self.tags >> self.physical(i) & 1 == 0
    }

    /// Writes ST(i), which is not empty any more.
    #[inline]
    pub fn set_st(&mut self, i: u8, value: F80) {
        let n = self.physical(i);
        self.exponent[n] = value.sign_exponent;
        self.significand[n] = value.significand;
        self.tags |= 1 << n;
    }

    /// Makes ST(i) empty.
    #[inline]
    pub fn free(&mut self, i: u8) {
        self.tags &= !(1 << self.physical(i));
    }

    /// Pops the stack.
    #[inline]
    pub fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top() + 1);
    }

    /// Pushes a value.
    #[inline]
    pub fn push(&mut self, value: F80) {
        self.set_top(self.top() + 7);
        self.set_st(0, value);
    }

    /// The tag word in its full form (SDM Vol. 1 8.1.7): two bits a physical register.
    pub fn tag_word(&self) -> u16 {
        (0..8).fold(0, |word, n| {
            let tag = if self.tags >> n & 1 == 0 {
                3
            } else {
                match F80::new(self.exponent[n], self.significand[n]).class() {
                    Class::Zero => 1,
                    Class::Normal => 0,
                    _ => 2,
                }
            };
            word | tag << (2 * n)
        })
    }

    /// Loads a full tag word: only "empty" matters, the rest follows from the registers.
    pub fn set_tag_word(&mut self, word: u16) {
        self.tags = (0..8).fold(0, |tags, n| tags | u8::from(word >> (2 * n) & 3 != 3) << n);
    }

    /// Loads the control word: bit 6 is always set, bits 7 and 15:13 never.
    pub fn set_control(&mut self, control: u16) {
        self.control = control & 0x1F3F | 0x40;
        self.refresh_summary();
    }

    /// ES and B follow from the exceptions and their masks.
    pub fn refresh_summary(&mut self) {
        let pending = self.status & !self.control & EXCEPTIONS != 0;
        self.status = self.status & !(ES | B) | if pending { ES | B } else { 0 };
    }

    /// FNINIT: the registers keep their contents.
    pub fn fninit(&mut self) {
        self.control = 0x37F;
        self.status = 0;
        self.tags = 0;
        self.opcode = 0;
        (self.instruction_pointer, self.instruction_selector) = (0, 0);
        (self.data_pointer, self.data_selector) = (0, 0);
    }
}
