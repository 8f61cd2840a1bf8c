//! RFLAGS with the six status flags computed only when read.
//!
//! An arithmetic instruction stores its result and operands and what kind of operation they came from;
//! [`Flags::cf`] and the others derive the flag from those on demand.

use serde::{Deserialize, Serialize};

/// Carry flag.
pub const CF: u64 = 1 << 0;
/// Bit 1, always set.
pub const FIXED1: u64 = 1 << 1;
/// Parity flag.
pub const PF: u64 = 1 << 2;
/// Auxiliary carry flag.
pub const AF: u64 = 1 << 4;
/// Zero flag.
pub const ZF: u64 = 1 << 6;
/// Sign flag.
pub const SF: u64 = 1 << 7;
/// Trap flag.
pub const TF: u64 = 1 << 8;
/// Interrupt enable flag.
pub const IF: u64 = 1 << 9;
/// Direction flag.
pub const DF: u64 = 1 << 10;
/// Overflow flag.
pub const OF: u64 = 1 << 11;
/// I/O privilege level.
pub const IOPL: u64 = 3 << 12;
/// Nested task.
pub const NT: u64 = 1 << 14;
/// Resume flag.
pub const RF: u64 = 1 << 16;
/// Virtual-8086 mode.
pub const VM: u64 = 1 << 17;
/// Alignment check / SMAP access control.
pub const AC: u64 = 1 << 18;
/// Virtual interrupt flag.
pub const VIF: u64 = 1 << 19;
/// Virtual interrupt pending.
pub const VIP: u64 = 1 << 20;
/// Identification flag.
pub const ID: u64 = 1 << 21;
/// The six status flags.
pub const STATUS: u64 = CF | PF | AF | ZF | SF | OF;
/// Every flag that exists.
pub const DEFINED: u64 = STATUS | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

/// What the status flags are to be derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum FlagSource {
    /// `bits` holds all six.
    Explicit,
    /// As `Add`, but CF is in `bits`.
    Inc,
    /// As `Sub`, but CF is in `bits`.
    Dec,
    /// `result` gives PF, ZF and SF; CF, AF and OF are in `bits`. This and those before it have CF there.
    Result,
    /// `result = a + b` or `a + b + 1`.
    Add,
    /// `result = a - b` or `a - b - 1`.
    Sub,
    /// `result`; CF, OF and AF are clear.
    Logic,
    /// `result = a << b`, a count of 1 to 63; CF is the last bit shifted out, OF as a count of 1 leaves it; AF is clear.
    Shl,
    /// `result = a >> b`, likewise.
    Shr,
    /// `result = a >> b` with copies of the sign, likewise.
    Sar,
}

/// RFLAGS.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[repr(C)]
pub struct Flags {
    result: u64,
    a: u64,
    b: u64,
    /// All other flags, and the status flags when `source` says so.
    bits: u64,
    source: FlagSource,
    /// Operand width in bits, minus one.
    top: u8,
}

impl Default for Flags {
    fn default() -> Self {
        Self { result: 0, a: 0, b: 0, bits: FIXED1, source: FlagSource::Explicit, top: 0 }
    }
}

/// Where [`Flags`] keeps what its recorders store, for compiled code that stores it itself: offsets in bytes.
pub mod layout {
    use super::Flags;
    use std::mem::offset_of;

    /// The result, 64 bits.
    pub const RESULT: usize = offset_of!(Flags, result);
    /// The first operand, 64 bits.
    pub const A: usize = offset_of!(Flags, a);
    /// The second operand, 64 bits.
    pub const B: usize = offset_of!(Flags, b);
    /// The flags as bits, 64 bits.
    pub const BITS: usize = offset_of!(Flags, bits);
    /// The [`FlagSource`](super::FlagSource), a byte; behind it the operand width in bits minus one, a byte.
    pub const SOURCE: usize = offset_of!(Flags, source);

    const _: () = assert!(offset_of!(Flags, top) == SOURCE + 1);
}

impl Flags {
    /// Records an arithmetic result; all three values are zero-extended from a width of `top + 1` bits.
    #[inline(always)]
    pub fn record(&mut self, source: FlagSource, top: u8, a: u64, b: u64, result: u64) {
        self.result = result;
        self.a = a;
        self.b = b;
        self.source = source;
        self.top = top;
    }

    /// Records the result of a logical instruction.
    #[inline(always)]
    pub fn record_logic(&mut self, top: u8, result: u64) {
        self.result = result;
        self.source = FlagSource::Logic;
        self.top = top;
    }

    /// Records a result that gives PF, ZF and SF; `carries` holds CF, AF and OF.
    #[inline(always)]
    pub fn record_result(&mut self, top: u8, result: u64, carries: u64) {
        self.bits = self.bits & !STATUS | carries;
        self.result = result;
        self.source = FlagSource::Result;
        self.top = top;
    }

    /// Sets CF and leaves the other five as they are.
    #[inline]
    pub fn set_cf(&mut self, on: bool) {
        self.source = match self.source {
            FlagSource::Add => FlagSource::Inc,
            FlagSource::Sub => FlagSource::Dec,
            FlagSource::Logic | FlagSource::Shl | FlagSource::Shr | FlagSource::Sar => {
                self.bits = self.bits & !STATUS | bit(self.of(), OF);
                FlagSource::Result
            }
            other => other,
        };
        self.bits = self.bits & !CF | u64::from(on);
    }

    /// Sets CF and OF and leaves the other four as they are.
    #[inline]
    pub fn set_cf_of(&mut self, cf: bool, of: bool) {
        if self.source != FlagSource::Explicit {
            let af = bit(self.af(), AF);
            self.bits = self.bits & !AF | af;
            self.source = FlagSource::Result;
        }
        self.bits = self.bits & !(CF | OF) | bit(cf, CF) | bit(of, OF);
    }

    /// Records INC or DEC, which leave CF as it was.
    #[inline(always)]
    pub fn record_keeping_cf(&mut self, source: FlagSource, top: u8, a: u64, result: u64) {
        let cf = u64::from(self.cf());
        self.bits = self.bits & !CF | cf;
        self.record(source, top, a, 1, result);
    }

    /// Carry.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        let (a, b, r) = (self.a, self.b, self.result);
        match self.source {
            FlagSource::Add => ((a & b) | ((a | b) & !r)) >> self.top & 1 != 0,
            FlagSource::Sub => ((!a & b) | ((!a | b) & r)) >> self.top & 1 != 0,
            FlagSource::Logic => false,
            FlagSource::Explicit | FlagSource::Inc | FlagSource::Dec | FlagSource::Result => self.bits & CF != 0,
            FlagSource::Shl => a.wrapping_shl(b as u32 - 1) >> self.top & 1 != 0,
            FlagSource::Shr => a.wrapping_shr(b as u32 - 1) & 1 != 0,
            FlagSource::Sar => {
                let upper = 63 - u32::from(self.top);
                (a.wrapping_shl(upper) as i64).wrapping_shr(upper).wrapping_shr(b as u32 - 1) & 1 != 0
            }
        }
    }

    /// Zero.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        if self.source == FlagSource::Explicit { self.bits & ZF != 0 } else { self.result == 0 }
    }

    /// Sign.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        if self.source == FlagSource::Explicit { self.bits & SF != 0 } else { self.result >> self.top & 1 != 0 }
    }

    /// Overflow.
    #[inline(always)]
    pub fn of(&self) -> bool {
        let (a, b, r) = (self.a, self.b, self.result);
        match self.source {
            FlagSource::Add | FlagSource::Inc => ((a ^ r) & (b ^ r)) >> self.top & 1 != 0,
            FlagSource::Sub | FlagSource::Dec => ((a ^ b) & (a ^ r)) >> self.top & 1 != 0,
            FlagSource::Logic | FlagSource::Sar => false,
            FlagSource::Shl => self.cf() != self.sf(),
            FlagSource::Shr => r >> (self.top - 1) & 1 != 0,
            FlagSource::Explicit | FlagSource::Result => self.bits & OF != 0,
        }
    }

    /// Auxiliary carry.
    #[inline(always)]
    pub fn af(&self) -> bool {
        match self.source {
            FlagSource::Add | FlagSource::Inc | FlagSource::Sub | FlagSource::Dec => {
                (self.a ^ self.b ^ self.result) & AF != 0
            }
            FlagSource::Logic | FlagSource::Shl | FlagSource::Shr | FlagSource::Sar => false,
            FlagSource::Explicit | FlagSource::Result => self.bits & AF != 0,
        }
    }

    /// Parity.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        if self.source == FlagSource::Explicit { self.bits & PF != 0 } else { parity(self.result) }
    }

    /// The six status flags as bits.
    pub fn status(&self) -> u64 {
        use FlagSource as From;
        // One look at the source for all six, not one for each.
        match self.source {
            From::Explicit => self.bits & STATUS,
            From::Inc => self.status_by(From::Inc),
            From::Dec => self.status_by(From::Dec),
            From::Result => self.status_by(From::Result),
            From::Add => self.status_by(From::Add),
            From::Sub => self.status_by(From::Sub),
            From::Logic => self.status_by(From::Logic),
            From::Shl => self.status_by(From::Shl),
            From::Shr => self.status_by(From::Shr),
            From::Sar => self.status_by(From::Sar),
        }
    }

    /// [`Flags::status`] where the source is known.
    #[inline(always)]
    fn status_by(&self, source: FlagSource) -> u64 {
        let flags = Self { source, ..*self };
        bit(flags.cf(), CF)
            | bit(flags.pf(), PF)
            | bit(flags.af(), AF)
            | bit(flags.zf(), ZF)
            | bit(flags.sf(), SF)
            | bit(flags.of(), OF)
    }

    /// Sets all six status flags.
    #[inline]
    pub fn set_status(&mut self, status: u64) {
        self.bits = self.bits & !STATUS | status & STATUS;
        self.source = FlagSource::Explicit;
    }

    /// Sets those status flags that `mask` names and keeps the others.
    pub fn set_status_masked(&mut self, mask: u64, status: u64) {
        let kept = self.status() & !mask;
        self.set_status(kept | status & mask);
    }

    /// The whole register.
    pub fn get(&self) -> u64 {
        self.bits & !STATUS | self.status() | FIXED1
    }

    /// Replaces the whole register; undefined bits are dropped. [`Cpu::set_flags`](super::cpu::Cpu::set_flags) also looks
    /// at what depends on them.
    pub(super) fn set(&mut self, value: u64) {
        self.bits = value & DEFINED | FIXED1;
        self.source = FlagSource::Explicit;
    }

    /// The flags that are not status flags.
    #[inline(always)]
    pub fn system(&self) -> u64 {
        self.bits & !STATUS
    }

    /// Whether any of `mask` is set; `mask` holds no status flags.
    #[inline(always)]
    pub fn has(&self, mask: u64) -> bool {
        debug_assert_eq!(mask & STATUS, 0);
        self.bits & mask != 0
    }

    /// Sets or clears the flags of `mask`, which holds no status flags.
    #[inline]
    pub(super) fn put(&mut self, mask: u64, on: bool) {
        debug_assert_eq!(mask & STATUS, 0);
        self.bits = if on { self.bits | mask } else { self.bits & !mask };
    }

    /// IOPL, 0 to 3.
    pub fn iopl(&self) -> u8 {
        (self.bits >> 12 & 3) as u8
    }

    /// ZF when a recorded result gives it.
    #[inline(always)]
    pub fn result_is_zero(&self) -> bool {
        self.result == 0
    }

    /// SF when a recorded result gives it.
    #[inline(always)]
    pub fn result_is_negative(&self) -> bool {
        self.result >> (self.top & 63) & 1 != 0
    }

    /// CF of a recorded subtraction without a borrow.
    #[inline(always)]
    pub fn is_below(&self) -> bool {
        self.a < self.b
    }

    /// Whether the first operand of a recorded subtraction was the smaller signed number.
    #[inline(always)]
    pub fn is_less(&self) -> bool {
        let upper = 63 - u32::from(self.top);
        ((self.a.wrapping_shl(upper)) as i64) < self.b.wrapping_shl(upper) as i64
    }

    /// A condition of Jcc, SETcc and CMOVcc: `code` is the low four opcode bits (SDM Vol. 2D B.1.4.7).
    #[inline(always)]
    pub fn condition(&self, code: u8) -> bool {
        let truth = match code >> 1 & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        truth != (code & 1 != 0)
    }
}

/// `mask` if `on`, else 0.
#[inline(always)]
pub fn bit(on: bool, mask: u64) -> u64 {
    if on { mask } else { 0 }
}

/// PF of a result: even number of ones in its low byte.
#[inline(always)]
pub fn parity(result: u64) -> bool {
    (result as u8).count_ones() & 1 == 0
}

/// PF, ZF and SF of a result of `top + 1` bits (zero-extended).
#[inline(always)]
pub fn pzs(top: u8, result: u64) -> u64 {
    bit(parity(result), PF) | bit(result == 0, ZF) | bit(result >> top & 1 != 0, SF)
}
