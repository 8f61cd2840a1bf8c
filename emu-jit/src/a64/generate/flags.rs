//! Status flags: recorded as the interpreter records them, and the host's own where they say what the guest's do.

use super::{Generator, sized};
use crate::forms::is_live;
use crate::known::{Known, nobody_sees_flags};
use crate::layout::{FLAG_A, FLAG_BITS, FLAG_RESULT, FLAG_SOURCE};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{AF, CF, FlagSource, OF, PF, STATUS, ZF};
use emu_core::ir::uop::Uop;

const _: () = assert!(AF == 1 << 4);

/// What the host's flags are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFlags {
    /// Anything.
    None,
    /// The guest's subtraction: C is the contrary of the guest's CF.
    Difference,
    /// The guest's addition.
    Sum,
    /// The guest's logical instruction: C and V are clear.
    Logic,
}

/// Conditions of the host by their number (Arm ARM C1.2.4, "Condition code").
pub const EQ: u8 = 0;
/// See [`EQ`].
pub const NE: u8 = 1;

/// The host's condition that says the guest's: EQ NE HS LO MI PL VS VC HI LS GE LT GT LE are 0 to 13.
fn host_condition(host: HostFlags, code: u8) -> Option<u8> {
    let when_set = match (host, code >> 1 & 7) {
        (HostFlags::None, _) | (_, 5) | (HostFlags::Sum, 3) => return None,
        (_, 0) => 6,
        (HostFlags::Difference, 1) => 3,
        (_, 1) => 2,
        (_, 2) => EQ,
        (HostFlags::Difference, _) if code >> 1 == 3 => 9,
        (_, 3) => EQ,
        (_, 4) => 4,
        (_, 6) => 11,
        _ => 13,
    };
    Some(when_set ^ code & 1)
}

impl Generator<'_> {
    /// Sets the host's flags for a condition of the guest; the condition of the host that then says the same. X0, X1, X16
    /// and X17 are lost.
    pub fn condition(&mut self, code: u8) -> u8 {
        if let Some(condition) = host_condition(self.host, code) {
            return condition;
        }
        let of_result = matches!(code >> 1, 2 | 4);
        let host = match self.known {
            Known::Difference(width) => {
                self.compare_recorded(width);
                HostFlags::Difference
            }
            Known::Logic(width) => {
                self.test_recorded(width);
                HostFlags::Logic
            }
            Known::Sum(width)
            | Known::CarriedSum(width)
            | Known::CarriedDifference(width)
            | Known::Result(width)
            | Known::Shift(width)
                if of_result =>
            {
                self.test_recorded(width);
                HostFlags::Logic
            }
            _ => HostFlags::None,
        };
        self.host = HostFlags::None;
        if let Some(condition) = host_condition(host, code) {
            return condition;
        }
        match self.known {
            Known::Sum(_) | Known::CarriedSum(_) | Known::CarriedDifference(_) if code >> 1 == 1 => {
                self.load_carry();
                dynasm!(self.asm ; .arch aarch64 ; cmp w17, 0);
            }
            Known::Result(_) if code >> 1 == 1 => self.test_bits(CF),
            Known::Explicit if matches!(code >> 1, 1 | 2 | 3 | 5) => {
                self.test_bits([0, CF, ZF, CF | ZF, 0, PF, 0, 0][usize::from(code >> 1 & 7)]);
            }
            _ => {
                let thunk = self.thunks.condition;
                self.load_number(1, u64::from(code & !1));
                dynasm!(self.asm ; .arch aarch64 ; bl extern thunk ; tst w0, 1);
            }
        }
        NE ^ code & 1
    }

    /// NE = any of these recorded bits is set.
    fn test_bits(&mut self, bits: u64) {
        self.load_field(0, FLAG_BITS);
        self.load_number(1, bits);
        dynasm!(self.asm ; .arch aarch64 ; tst x0, x1);
    }

    fn compare_recorded(&mut self, width: usize) {
        let at = FLAG_A;
        dynasm!(self.asm ; .arch aarch64 ; ldp x0, x1, [x29, at]);
        if width < 2 {
            let shift = 32 - (8u32 << width);
            dynasm!(self.asm ; .arch aarch64 ; lsl w0, w0, shift ; lsl w1, w1, shift);
        }
        sized!(self, width == 3, cmp 0, 1);
    }

    fn test_recorded(&mut self, width: usize) {
        self.load_field(0, FLAG_RESULT);
        if width < 2 {
            let shift = 32 - (8u32 << width);
            dynasm!(self.asm ; .arch aarch64 ; lsl w0, w0, shift);
        }
        sized!(self, width == 3, tst 0, 0);
    }

    /// Records where the flags come from. X1 is lost; the host's flags stay.
    pub fn record_source(&mut self, source: FlagSource, width: usize) {
        let (top, at) = ((8u32 << width) - 1, FLAG_SOURCE as u32);
        let both = top << 8 | source as u32;
        dynasm!(self.asm ; .arch aarch64 ; movz w1, both ; strh w1, [x29, at]);
    }

    /// Records both operands, which are zero-extended. The host's flags stay.
    pub fn record_operands(&mut self, first: u8, second: u8) {
        let at = FLAG_A;
        dynasm!(self.asm ; .arch aarch64 ; stp X(first), X(second), [x29, at]);
    }

    /// Records a zero-extended result, and where it comes from. X1 is lost; the host's flags stay.
    pub fn record_result(&mut self, source: FlagSource, width: usize, result: u8) {
        self.store_field(FLAG_RESULT, result);
        self.record_source(source, width);
    }

    /// W17 = the guest's CF. X0, X1, X16 and the host's flags are lost.
    pub fn load_carry(&mut self) {
        let host = std::mem::replace(&mut self.host, HostFlags::None);
        match host {
            HostFlags::Difference => dynasm!(self.asm ; .arch aarch64 ; cset w17, lo),
            HostFlags::Sum => dynasm!(self.asm ; .arch aarch64 ; cset w17, hs),
            HostFlags::Logic => dynasm!(self.asm ; .arch aarch64 ; movz w17, 0),
            HostFlags::None => self.load_recorded_carry(),
        }
    }

    fn load_recorded_carry(&mut self) {
        let at = FLAG_A;
        match self.known {
            Known::Difference(_) => {
                dynasm!(self.asm ; .arch aarch64 ; ldp x0, x1, [x29, at] ; cmp x0, x1 ; cset w17, lo);
            }
            Known::Sum(_) => {
                self.load_field(0, FLAG_RESULT);
                self.load_field(1, FLAG_A);
                dynasm!(self.asm ; .arch aarch64 ; cmp x0, x1 ; cset w17, lo);
            }
            Known::CarriedSum(width) | Known::CarriedDifference(width) => {
                let top = (8u32 << width) - 1;
                dynasm!(self.asm ; .arch aarch64 ; ldp x0, x1, [x29, at]);
                self.load_field(16, FLAG_RESULT);
                // The majority of a, b and the contrary of the result, or of the contrary of a, b and the result.
                if matches!(self.known, Known::CarriedSum(_)) {
                    dynasm!(self.asm ; .arch aarch64 ; mvn x16, x16);
                } else {
                    dynasm!(self.asm ; .arch aarch64 ; mvn x0, x0);
                }
                dynasm!(self.asm
                    ; .arch aarch64
                    ; and x17, x0, x1
                    ; orr x0, x0, x1
                    ; and x0, x0, x16
                    ; orr x17, x17, x0
                    ; ubfx x17, x17, top, 1
                );
            }
            Known::Logic(_) => dynasm!(self.asm ; .arch aarch64 ; movz w17, 0),
            Known::Result(_) | Known::Explicit => {
                self.load_field(17, FLAG_BITS);
                dynasm!(self.asm ; .arch aarch64 ; and w17, w17, 1);
            }
            Known::Nothing | Known::Shift(_) => {
                let thunk = self.thunks.condition;
                dynasm!(self.asm ; .arch aarch64 ; movz w1, 2 ; bl extern thunk ; and w17, w0, 1);
            }
        }
    }

    /// Records W17 as the guest's CF; the other flags stay. X0, X1, X16 and the host's flags are lost.
    pub fn set_carry(&mut self) {
        self.host = HostFlags::None;
        if matches!(self.known, Known::Nothing | Known::Shift(_)) {
            let thunk = self.thunks.set_carry;
            dynasm!(self.asm ; .arch aarch64 ; mov w1, w17 ; bl extern thunk);
            self.leaves = Some(match self.known {
                Known::Shift(width) => Known::Result(width),
                known => known,
            });
            return;
        }
        let (source, leaves) = match self.known {
            Known::Sum(width) | Known::CarriedSum(width) => (Some(FlagSource::Inc), Known::Result(width)),
            Known::Difference(width) | Known::CarriedDifference(width) => (Some(FlagSource::Dec), Known::Result(width)),
            // AF and OF are clear.
            Known::Logic(width) => (Some(FlagSource::Result), Known::Result(width)),
            known => (None, known),
        };
        let cleared = if matches!(self.known, Known::Logic(_)) { STATUS } else { CF };
        self.change_bits(cleared);
        if let Some(source) = source {
            let (source, at) = (source as u32, FLAG_SOURCE as u32);
            dynasm!(self.asm ; .arch aarch64 ; movz w1, source ; strb w1, [x29, at]);
        }
        self.leaves = Some(leaves);
    }

    /// The recorded bits `cleared` become those in X17. X0 and X1 are lost; the host's flags stay.
    pub fn change_bits(&mut self, cleared: u64) {
        self.load_field(0, FLAG_BITS);
        self.load_number(1, cleared);
        dynasm!(self.asm ; .arch aarch64 ; bic x0, x0, x1 ; orr x0, x0, x17);
        self.store_field(FLAG_BITS, 0);
    }

    /// Puts CF among the bits, where INC and DEC leave it. X0, X1, X16, X17 and the host's flags are lost.
    pub fn keep_carry(&mut self) {
        match self.known {
            Known::Result(_) | Known::Explicit => {}
            Known::Nothing | Known::Shift(_) => {
                let thunk = self.thunks.keep_carry;
                dynasm!(self.asm ; .arch aarch64 ; bl extern thunk);
                self.host = HostFlags::None;
            }
            _ => {
                self.load_carry();
                self.change_bits(CF);
            }
        }
    }

    /// Makes AF one of the bits, and PF, ZF and SF the result's unless they are bits, too: CF and OF are to be set, as
    /// [`Flags::set_cf_of`](emu_core::flags::Flags::set_cf_of) does it. X0, X1, X3, X4 and the host's flags are lost.
    pub fn settle(&mut self) {
        let (settled, clear) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        let (at, operands) = (FLAG_SOURCE as u32, FLAG_A);
        let (result, logic) = (FlagSource::Result as u32, FlagSource::Logic as u32);
        self.host = HostFlags::None;
        dynasm!(self.asm
            ; .arch aarch64
            ; ldrb w0, [x29, at]
            ; cbz w0, =>settled
            ; cmp w0, result
            ; b.eq =>settled
            ; movz x3, 0
            ; cmp w0, logic
            ; b.hs =>clear
            ; ldp x3, x4, [x29, operands]
            ; eor x3, x3, x4
        );
        self.load_field(4, FLAG_RESULT);
        dynasm!(self.asm ; .arch aarch64 ; eor x3, x3, x4 ; =>clear);
        self.load_field(4, FLAG_BITS);
        dynasm!(self.asm
            ; .arch aarch64
            ; ubfx x3, x3, 4, 1
            ; bfi x4, x3, 4, 1
            ; movz w0, result
            ; strb w0, [x29, at]
        );
        self.store_field(FLAG_BITS, 4);
        dynasm!(self.asm ; .arch aarch64 ; =>settled);
    }

    /// Records a product whose zero-extended low half is in X5: W17 is not 0 if that is not all. X0, X1 and X17 are lost.
    pub fn record_product(&mut self, width: usize) {
        let both = CF | OF;
        self.load_number(0, both);
        dynasm!(self.asm ; .arch aarch64 ; cmp w17, 0 ; csel x17, x0, xzr, ne);
        self.change_bits(STATUS);
        self.record_result(FlagSource::Result, width, 5);
        self.host = HostFlags::None;
    }

    /// The present micro-op's flags are nobody's.
    pub fn is_dead(&self, uop: &Uop) -> bool {
        !is_live(uop)
    }

    /// Whether the next micro-ops surely overwrite the flags that the present one leaves before anybody sees them.
    pub fn nobody_sees_flags(&self) -> bool {
        nobody_sees_flags(&self.source.uops[self.index + 1..])
    }

    /// Jumps if a condition of the host holds.
    pub fn jump_if(&mut self, condition: u8, to: DynamicLabel) {
        match condition & 15 {
            0 => dynasm!(self.asm ; .arch aarch64 ; b.eq =>to),
            1 => dynasm!(self.asm ; .arch aarch64 ; b.ne =>to),
            2 => dynasm!(self.asm ; .arch aarch64 ; b.hs =>to),
            3 => dynasm!(self.asm ; .arch aarch64 ; b.lo =>to),
            4 => dynasm!(self.asm ; .arch aarch64 ; b.mi =>to),
            5 => dynasm!(self.asm ; .arch aarch64 ; b.pl =>to),
            6 => dynasm!(self.asm ; .arch aarch64 ; b.vs =>to),
            7 => dynasm!(self.asm ; .arch aarch64 ; b.vc =>to),
            8 => dynasm!(self.asm ; .arch aarch64 ; b.hi =>to),
            9 => dynasm!(self.asm ; .arch aarch64 ; b.ls =>to),
            10 => dynasm!(self.asm ; .arch aarch64 ; b.ge =>to),
            11 => dynasm!(self.asm ; .arch aarch64 ; b.lt =>to),
            12 => dynasm!(self.asm ; .arch aarch64 ; b.gt =>to),
            _ => dynasm!(self.asm ; .arch aarch64 ; b.le =>to),
        }
    }

    /// X17 = 1 if a condition of the host holds, else 0: CSINC of XZR on the contrary (Arm ARM C6.2, "CSINC").
    pub fn set_if(&mut self, condition: u8) {
        let contrary = u32::from(condition ^ 1);
        self.asm.push_u32(0x9A9F_07E0 | contrary << 12 | 17);
    }
}
