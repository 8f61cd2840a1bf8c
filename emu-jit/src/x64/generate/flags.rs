//! Status flags: recorded as the interpreter records them, and the host's own where they are still those of the guest.

use super::Generator;
use crate::forms::is_live;
use crate::known::{Known, nobody_sees_flags};
use crate::layout::{FLAG_A, FLAG_B, FLAG_BITS, FLAG_RESULT, FLAG_SOURCE};
use crate::x64::registers::{RCX, RDX};
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{CF, FlagSource, OF, PF, STATUS, ZF};
use emu_core::ir::op::FlagEffect;
use emu_core::ir::uop::Uop;

/// What the host's flags are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFlags {
    /// Anything.
    None,
    /// Those of the guest, but CF.
    AllButCarry,
    /// Those of the guest, but OF.
    AllButOverflow,
    /// Those of the guest: CF, PF, ZF, SF and OF.
    All,
}

/// How the host's flags come back behind a handler: from what it has recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore(Known);

/// The host's flags after a condition was evaluated, by the condition that holds.
pub const NOT_ZERO: u8 = 5;
/// Its contrary.
pub const ZERO: u8 = 4;

impl Generator<'_> {
    /// If the next micro-op may ask for the host's flags as the present one leaves them.
    pub fn restore_behind(&self) -> Option<Restore> {
        let uop = self.source.uops.get(self.index)?;
        let known = Known::of(uop);
        let writes = matches!(uop.operation().flag_effect(), FlagEffect::Writes { .. });
        (writes && known != Known::Nothing).then_some(Restore(known))
    }

    /// Gives the host the flags that a handler has recorded.
    pub fn restore(&mut self, Restore(known): Restore) {
        match known {
            Known::Difference(width) => self.compare_recorded(width),
            Known::Sum(width) => {
                dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + FLAG_A]);
                match width {
                    0 => dynasm!(self.asm ; .arch x64 ; add al, [rbp + FLAG_B]),
                    1 => dynasm!(self.asm ; .arch x64 ; add ax, [rbp + FLAG_B]),
                    2 => dynasm!(self.asm ; .arch x64 ; add eax, [rbp + FLAG_B]),
                    _ => dynasm!(self.asm ; .arch x64 ; add rax, [rbp + FLAG_B]),
                }
            }
            Known::Logic(width) => self.test_recorded(width),
            // Such micro-ops do not leave the host's flags.
            _ => {}
        }
    }

    fn compare_recorded(&mut self, width: usize) {
        dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + FLAG_A]);
        match width {
            0 => dynasm!(self.asm ; .arch x64 ; cmp al, [rbp + FLAG_B]),
            1 => dynasm!(self.asm ; .arch x64 ; cmp ax, [rbp + FLAG_B]),
            2 => dynasm!(self.asm ; .arch x64 ; cmp eax, [rbp + FLAG_B]),
            _ => dynasm!(self.asm ; .arch x64 ; cmp rax, [rbp + FLAG_B]),
        }
    }

    fn test_recorded(&mut self, width: usize) {
        dynasm!(self.asm ; .arch x64 ; mov rax, [rbp + FLAG_RESULT]);
        match width {
            0 => dynasm!(self.asm ; .arch x64 ; test al, al),
            1 => dynasm!(self.asm ; .arch x64 ; test ax, ax),
            2 => dynasm!(self.asm ; .arch x64 ; test eax, eax),
            _ => dynasm!(self.asm ; .arch x64 ; test rax, rax),
        }
    }

    /// Sets the host's flags for a condition of the guest; the condition of the host that then says the same.
    pub fn condition(&mut self, code: u8) -> u8 {
        let there = match self.host {
            HostFlags::None => false,
            HostFlags::AllButCarry => !matches!(code >> 1, 1 | 3),
            HostFlags::AllButOverflow => !matches!(code >> 1, 0 | 6 | 7),
            HostFlags::All => true,
        };
        if there {
            return code;
        }
        self.host = HostFlags::None;
        match self.known {
            Known::Difference(width) => self.compare_recorded(width),
            Known::Logic(width) => self.test_recorded(width),
            // ZF, SF and PF are those of the result.
            Known::Sum(width)
            | Known::CarriedSum(width)
            | Known::CarriedDifference(width)
            | Known::Result(width)
            | Known::Shift(width)
                if matches!(code >> 1, 2 | 4 | 5) =>
            {
                self.test_recorded(width)
            }
            Known::Sum(_) | Known::CarriedSum(_) | Known::CarriedDifference(_) if code >> 1 == 1 => self.load_carry(),
            Known::Result(_) if code >> 1 == 1 => return self.test_bits(CF, code),
            Known::Explicit if matches!(code >> 1, 1 | 2 | 3 | 5) => {
                let flags = [0, CF, ZF, CF | ZF, 0, PF, 0, 0];
                return self.test_bits(flags[usize::from(code >> 1)], code);
            }
            _ => {
                let thunk = self.thunks.condition;
                dynasm!(self.asm
                    ; .arch x64
                    ; mov edx, DWORD code as i32
                    ; call extern thunk
                    ; test al, al
                );
                return NOT_ZERO;
            }
        }
        code
    }

    /// Sets the host's flags for a condition of the guest that is said by recorded bits, any of which makes it true.
    fn test_bits(&mut self, bits: u64, code: u8) -> u8 {
        dynasm!(self.asm ; .arch x64 ; test BYTE [rbp + FLAG_BITS], bits as i8);
        NOT_ZERO ^ code & 1
    }

    /// Records the host's CF, PF and ZF; the other status flags are clear. RAX and RCX are lost.
    pub fn record_comparison(&mut self) {
        dynasm!(self.asm
            ; .arch x64
            ; lahf
            ; movzx eax, ah
            ; and eax, (CF | PF | ZF) as i32
        );
        self.record_bits();
    }

    /// Records where the flags come from.
    pub fn record_source(&mut self, source: FlagSource, width: usize) {
        let top = (8i16 << width) - 1;
        dynasm!(self.asm ; .arch x64 ; mov WORD [rbp + FLAG_SOURCE], top << 8 | source as i16);
    }

    /// Stores the low `width` of a host register, zero-extended, through `scratch` if need be.
    pub fn store_cut(&mut self, field: i32, width: usize, from: u8, scratch: u8) {
        if width == 3 {
            dynasm!(self.asm ; .arch x64 ; mov [rbp + field], Rq(from));
        } else {
            self.extend(width, scratch, from);
            dynasm!(self.asm ; .arch x64 ; mov [rbp + field], Rq(scratch));
        }
    }

    /// Stores a number of 64 bits, through `scratch` if need be.
    pub fn store_number(&mut self, field: i32, number: u64, scratch: u8) {
        match i32::try_from(number as i64) {
            Ok(number) => dynasm!(self.asm ; .arch x64 ; mov QWORD [rbp + field], number),
            Err(_) => {
                self.load_number(scratch, number);
                dynasm!(self.asm ; .arch x64 ; mov [rbp + field], Rq(scratch));
            }
        }
    }

    /// Loads a number; the host's flags stay.
    pub fn load_number(&mut self, to: u8, number: u64) {
        if let Ok(number) = u32::try_from(number) {
            dynasm!(self.asm ; .arch x64 ; mov Rd(to), DWORD number as i32);
        } else if let Ok(number) = i32::try_from(number as i64) {
            dynasm!(self.asm ; .arch x64 ; mov Rq(to), number);
        } else {
            dynasm!(self.asm ; .arch x64 ; mov Rq(to), QWORD number as i64);
        }
    }

    /// Sets the host's CF to the guest's. RAX, RCX, RDX and the host's other flags are lost.
    pub fn load_carry(&mut self) {
        if matches!(self.host, HostFlags::All | HostFlags::AllButOverflow) {
            return;
        }
        self.host = HostFlags::None;
        match self.known {
            Known::Difference(_) => dynasm!(self.asm
                ; .arch x64
                ; mov rax, [rbp + FLAG_A]
                ; cmp rax, [rbp + FLAG_B]
            ),
            Known::Sum(_) => dynasm!(self.asm
                ; .arch x64
                ; mov rax, [rbp + FLAG_RESULT]
                ; cmp rax, [rbp + FLAG_A]
            ),
            Known::CarriedSum(width) => {
                let top = (8i8 << width).wrapping_sub(1);
                dynasm!(self.asm
                    ; .arch x64
                    ; mov rax, [rbp + FLAG_A]
                    ; mov rcx, rax
                    ; and rax, [rbp + FLAG_B]
                    ; or rcx, [rbp + FLAG_B]
                    ; mov rdx, [rbp + FLAG_RESULT]
                    ; not rdx
                    ; and rcx, rdx
                    ; or rax, rcx
                    ; bt rax, top
                );
            }
            Known::CarriedDifference(width) => {
                let top = (8i8 << width).wrapping_sub(1);
                dynasm!(self.asm
                    ; .arch x64
                    ; mov rax, [rbp + FLAG_A]
                    ; not rax
                    ; mov rcx, rax
                    ; and rax, [rbp + FLAG_B]
                    ; or rcx, [rbp + FLAG_B]
                    ; and rcx, [rbp + FLAG_RESULT]
                    ; or rax, rcx
                    ; bt rax, top
                );
            }
            Known::Logic(_) => dynasm!(self.asm ; .arch x64 ; clc),
            Known::Result(_) | Known::Explicit => dynasm!(self.asm ; .arch x64 ; bt DWORD [rbp + FLAG_BITS], 0),
            Known::Nothing | Known::Shift(_) => {
                let thunk = self.thunks.condition;
                dynasm!(self.asm
                    ; .arch x64
                    ; mov edx, DWORD 2
                    ; call extern thunk
                    ; add al, -1
                );
            }
        }
    }

    /// Records the host's CF as the guest's; the other flags stay. RAX, RCX and the host's flags are lost.
    pub fn set_carry(&mut self) {
        if matches!(self.known, Known::Nothing | Known::Shift(_)) {
            let thunk = self.thunks.set_carry;
            dynasm!(self.asm ; .arch x64 ; setb dl ; movzx edx, dl ; call extern thunk);
            self.host = HostFlags::None;
            self.leaves = Some(match self.known {
                Known::Shift(width) => Known::Result(width),
                known => known,
            });
            return;
        }
        dynasm!(self.asm ; .arch x64 ; setb al ; movzx eax, al ; mov rcx, [rbp + FLAG_BITS]);
        let (source, leaves) = match self.known {
            Known::Sum(width) | Known::CarriedSum(width) => (Some(FlagSource::Inc), Known::Result(width)),
            Known::Difference(width) | Known::CarriedDifference(width) => (Some(FlagSource::Dec), Known::Result(width)),
            // AF and OF are clear.
            Known::Logic(width) => {
                dynasm!(self.asm ; .arch x64 ; and rcx, !STATUS as i32);
                (Some(FlagSource::Result), Known::Result(width))
            }
            known => (None, known),
        };
        dynasm!(self.asm
            ; .arch x64
            ; and rcx, !(CF as i32)
            ; or rcx, rax
            ; mov [rbp + FLAG_BITS], rcx
        );
        if let Some(source) = source {
            dynasm!(self.asm ; .arch x64 ; mov BYTE [rbp + FLAG_SOURCE], source as i8);
        }
        self.host = HostFlags::None;
        self.leaves = Some(leaves);
    }

    /// Before a rotation, which leaves all flags but CF and OF; RAX, RCX and the host's flags are lost.
    pub fn settle(&mut self) {
        let thunk = self.thunks.settle;
        dynasm!(self.asm ; .arch x64 ; call extern thunk);
        self.host = HostFlags::None;
    }

    /// Behind [`Generator::settle`] and a rotation: the host's CF is the guest's, and OF is the difference of the result's
    /// upper two bits or, for one to the left, of the upper one and CF. The result is in RDX, which is lost, as RAX and RCX.
    pub fn record_rotation(&mut self, width: usize, left: bool) {
        self.carry_and_overflow(width, left);
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, [rbp + FLAG_BITS]
            ; and rcx, !(CF | OF) as i32
            ; or rcx, rax
            ; mov [rbp + FLAG_BITS], rcx
        );
        self.host = HostFlags::None;
    }

    /// The same of SHLD and SHRD, which leave no flag as it is; the result is in `to`, too.
    pub fn record_double_shift(&mut self, width: usize, left: bool, to: u8) {
        self.store_cut(FLAG_RESULT, width, to, RCX);
        self.carry_and_overflow(width, left);
        self.set_bits();
        self.record_source(FlagSource::Result, width);
        self.host = HostFlags::None;
    }

    /// The recorded status flags are those in EAX. RCX is lost.
    fn set_bits(&mut self) {
        dynasm!(self.asm
            ; .arch x64
            ; mov rcx, [rbp + FLAG_BITS]
            ; and rcx, !STATUS as i32
            ; or rcx, rax
            ; mov [rbp + FLAG_BITS], rcx
        );
    }

    /// EAX = CF and OF as of [`Generator::record_rotation`]. RDX and RCX are lost.
    fn carry_and_overflow(&mut self, width: usize, left: bool) {
        let (top, second) = ((8i8 << width).wrapping_sub(1), (8i8 << width).wrapping_sub(2));
        dynasm!(self.asm ; .arch x64 ; setb al ; movzx eax, al);
        if left {
            dynasm!(self.asm ; .arch x64 ; shr rdx, BYTE top ; xor edx, eax);
        } else {
            dynasm!(self.asm ; .arch x64 ; shr rdx, BYTE second ; mov ecx, edx ; shr ecx, 1 ; xor edx, ecx);
        }
        dynasm!(self.asm ; .arch x64 ; and edx, 1 ; shl edx, 11 ; or eax, edx);
    }

    /// Records a product whose low half is in `low`: the host's CF says whether it is all. RCX, RDX and the host's flags
    /// are lost.
    pub fn record_product(&mut self, width: usize, low: u8) {
        dynasm!(self.asm
            ; .arch x64
            ; sbb ecx, ecx
            ; and ecx, (CF | OF) as i32
            ; mov rdx, [rbp + FLAG_BITS]
            ; and rdx, !STATUS as i32
            ; or rdx, rcx
            ; mov [rbp + FLAG_BITS], rdx
        );
        self.store_cut(FLAG_RESULT, width, low, RDX);
        self.record_source(FlagSource::Result, width);
        self.host = HostFlags::None;
    }

    /// Records the status flags in EAX as all that there are. RCX is lost.
    pub fn record_bits(&mut self) {
        self.set_bits();
        dynasm!(self.asm ; .arch x64 ; mov BYTE [rbp + FLAG_SOURCE], FlagSource::Explicit as i8);
        self.host = HostFlags::None;
    }

    /// Whether the next micro-ops surely overwrite the flags that the present one leaves before anybody sees them.
    pub fn nobody_sees_flags(&self) -> bool {
        nobody_sees_flags(&self.source.uops[self.index + 1..])
    }

    /// Puts CF among the bits, where INC and DEC leave it. RAX, RCX, RDX and the host's flags are lost.
    pub fn keep_carry(&mut self) {
        match self.known {
            Known::Result(_) | Known::Explicit => return,
            Known::Logic(_) => {
                dynasm!(self.asm ; .arch x64 ; and BYTE [rbp + FLAG_BITS], !(CF as i8));
                return;
            }
            Known::Difference(_) | Known::Sum(_) | Known::CarriedSum(_) | Known::CarriedDifference(_) => {
                self.host = HostFlags::None;
                self.load_carry();
            }
            Known::Nothing | Known::Shift(_) => {
                let thunk = self.thunks.keep_carry;
                dynasm!(self.asm
                    ; .arch x64
                    ; cmp BYTE [rbp + FLAG_SOURCE], FlagSource::Result as i8
                    ; jbe >kept
                    ; call extern thunk
                    ; kept:
                );
                return;
            }
        }
        dynasm!(self.asm
            ; .arch x64
            ; setb al
            ; mov cl, [rbp + FLAG_BITS]
            ; and cl, !(CF as i8)
            ; or cl, al
            ; mov [rbp + FLAG_BITS], cl
        );
    }

    /// The present micro-op's flags are nobody's.
    pub fn is_dead(&self, uop: &Uop) -> bool {
        !is_live(uop)
    }
}
