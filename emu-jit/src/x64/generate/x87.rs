//! Templates of the x87 FPU: the host's own instructions on its own registers, under the guest's control word, as long as
//! that masks all exceptions. Functions whose last bits differ between processors have none.

use super::flags::HostFlags;
use super::{Generator, Later};
use crate::forms::is_plain;
use crate::known::Known;
use crate::layout::{CONTROL, FLAG_BITS, FPU, LAST_DATA, LAST_INSTRUCTION, selector};
use crate::x64::registers::{RAX, frame};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{AF, CF, OF, PF, SF, ZF};
use emu_core::fpu::x87::status::EXCEPTIONS;
use emu_core::ir::op::Op;
use emu_core::ir::operands::x87::{NO_CHECK, POP, POPS, QUIET, TRUNCATE};
use emu_core::ir::uop::Uop;
use emu_vmx::arch::segment::SegmentRegister;

/// AX.
const GUEST_RAX: u8 = 0;

/// FADD to FDIVR: the digit in ModR/M that chooses among them, and the kind of operand (SDM Vol. 2D Tables ).
fn arithmetic(op: Op) -> Option<(u8, Operand)> {
    use Op::*;
    let rows = [
        (0, [FaddSt, FaddM32, FaddM64, FaddInt]),
        (1, [FmulSt, FmulM32, FmulM64, FmulInt]),
        (4, [FsubSt, FsubM32, FsubM64, FsubInt]),
        (5, [FsubrSt, FsubrM32, FsubrM64, FsubrInt]),
        (6, [FdivSt, FdivM32, FdivM64, FdivInt]),
        (7, [FdivrSt, FdivrM32, FdivrM64, FdivrInt]),
    ];
    let kinds = [Operand::Register, Operand::Single, Operand::Double, Operand::Integer];
    rows.iter().find_map(|(digit, ops)| Some((*digit, kinds[ops.iter().position(|one| *one == op)?])))
}

/// Where the second operand of arithmetic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Register,
    Single,
    Double,
    Integer,
}

/// A form with a memory operand: opcode, digit in ModR/M, log2 of the bytes that are looked at, whether it writes them.
struct InMemory(u8, u8, usize, bool);

/// The form of a load, store, or comparison with or arithmetic on a memory operand.
fn in_memory(op: Op, uop: &Uop) -> Option<InMemory> {
    use Op::*;
    let width = uop.width_index();
    let pops = u8::from(uop.r2 & POP != 0);
    if let Some((digit, operand)) = arithmetic(op) {
        return match operand {
            Operand::Register => None,
            Operand::Single => Some(InMemory(0xD8, digit, 2, false)),
            Operand::Double => Some(InMemory(0xDC, digit, 3, false)),
            Operand::Integer => integer(0xDE, 0xDA, digit, width, false),
        };
    }
    let compared = 2 + (uop.r2 & POPS);
    Some(match op {
        FldM32 => InMemory(0xD9, 0, 2, false),
        FldM64 => InMemory(0xDD, 0, 3, false),
        // Ten bytes; what lies in the same page with sixteen is enough.
        FldM80 => InMemory(0xDB, 5, 4, false),
        FstpM80 => InMemory(0xDB, 7, 4, true),
        FstM32 => InMemory(0xD9, 2 + pops, 2, true),
        FstM64 => InMemory(0xDD, 2 + pops, 3, true),
        Fild if width == 3 => InMemory(0xDF, 5, 3, false),
        Fild => return integer(0xDF, 0xDB, 0, width, false),
        Fist if uop.r2 & TRUNCATE != 0 && width == 3 => InMemory(0xDD, 1, 3, true),
        Fist if uop.r2 & TRUNCATE != 0 => return integer(0xDF, 0xDB, 1, width, true),
        Fist if width == 3 => InMemory(0xDF, 7, 3, true),
        Fist => return integer(0xDF, 0xDB, 2 + pops, width, true),
        FcomM32 => InMemory(0xD8, compared, 2, false),
        FcomM64 => InMemory(0xDC, compared, 3, false),
        Ficom => return integer(0xDE, 0xDA, compared, width, false),
        _ => return None,
    })
}

/// A form with an integer of 16 or 32 bits.
fn integer(word: u8, doubleword: u8, digit: u8, width: usize, write: bool) -> Option<InMemory> {
    match width {
        1 => Some(InMemory(word, digit, 1, write)),
        2 => Some(InMemory(doubleword, digit, 2, write)),
        _ => None,
    }
}

/// The two bytes of a form without a memory operand.
fn on_registers(op: Op, uop: &Uop) -> Option<[u8; 2]> {
    use Op::*;
    if let Some((digit, Operand::Register)) = arithmetic(op) {
        // Where the result goes to ST(i), the digits of FSUB and FSUBR, and of FDIV and FDIVR, change places.
        return Some(if uop.base == 1 || uop.r1 != 0 {
            let digit = if digit >= 4 { digit ^ 1 } else { digit };
            [if uop.base == 1 { 0xDE } else { 0xDC }, 0xC0 | digit << 3 | uop.r1]
        } else {
            [0xD8, 0xC0 | digit << 3 | uop.r2]
        });
    }
    Some(match op {
        FldSt => [0xD9, 0xC0 | uop.r1],
        Fxch => [0xD9, 0xC8 | uop.r1],
        FstSt if uop.r2 & NO_CHECK == 0 => [0xDD, if uop.r2 & POP != 0 { 0xD8 } else { 0xD0 } | uop.r1],
        FldConstant => [0xD9, 0xE8 | uop.r1],
        FcomSt => match (uop.r2 & QUIET != 0, uop.r2 & POPS) {
            (false, 0) => [0xD8, 0xD0 | uop.r1],
            (false, 1) => [0xD8, 0xD8 | uop.r1],
            (true, 0) => [0xDD, 0xE0 | uop.r1],
            (true, 1) => [0xDD, 0xE8 | uop.r1],
            (quiet, 2) if uop.r1 == 1 => {
                if quiet {
                    [0xDA, 0xE9]
                } else {
                    [0xDE, 0xD9]
                }
            }
            _ => return None,
        },
        Fcomi => {
            let opcode = if uop.r2 & POPS != 0 { 0xDF } else { 0xDB };
            [opcode, if uop.r2 & QUIET != 0 { 0xE8 } else { 0xF0 } | uop.r1]
        }
        Fchs => [0xD9, 0xE0],
        Fabs => [0xD9, 0xE1],
        Ftst => [0xD9, 0xE4],
        Fxam => [0xD9, 0xE5],
        Fsqrt => [0xD9, 0xFA],
        Frndint => [0xD9, 0xFC],
        // CF of the host is the condition.
        Fcmov => [0xDA, 0xC0 | uop.r1],
        _ => return None,
    })
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn x87(&mut self, op: Op, uop: &Uop) -> bool {
        if op == Op::Sahf {
            self.store_flags();
            return true;
        }
        if !self.has_x87 {
            return false;
        }
        let done = self.x87_control(op, uop) || self.x87_registers(op, uop) || self.x87_memory(op, uop);
        self.numeric += usize::from(done);
        done
    }

    /// SAHF: OF stays.
    fn store_flags(&mut self) {
        if self.known == Known::Explicit {
            dynasm!(self.asm ; .arch x64 ; mov edx, [rbp + FLAG_BITS] ; and edx, OF as i32);
        } else {
            let overflow = self.condition(0);
            match overflow {
                0 => dynasm!(self.asm ; .arch x64 ; seto dl),
                _ => dynasm!(self.asm ; .arch x64 ; setnz dl),
            }
            dynasm!(self.asm ; .arch x64 ; movzx edx, dl ; shl edx, OF.trailing_zeros() as i8);
        }
        self.read_high(GUEST_RAX, RAX);
        dynasm!(self.asm
            ; .arch x64
            ; and eax, (SF | ZF | AF | PF | CF) as i32
            ; or eax, edx
        );
        self.record_bits();
    }

    /// From here on the host's x87 FPU is the guest's; the label is for the end of the template, where the handler has done
    /// it.
    fn with_x87(&mut self) -> DynamicLabel {
        let (at, again, back) =
            (self.asm.new_dynamic_label(), self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.later.push(Later::Load { at, index: self.index, thunk: self.thunks.x87, again, back });
        dynasm!(self.asm
            ; .arch x64
            ; cmp BYTE [rsp + frame::X87], 0
            ; je =>at
            ; =>again
        );
        self.host = HostFlags::None;
        back
    }

    /// Records where the instruction is; RCX = the floating-point state. RDX is lost.
    fn record_instruction(&mut self, uop: &Uop) {
        dynasm!(self.asm ; .arch x64 ; mov rcx, [rbp + FPU]);
        // What can neither fail nor leave the block, and records itself, follows.
        let behind = self.source.uops.get(self.index + 1);
        if behind.is_some_and(|next| on_registers(next.operation(), next).is_some()) {
            return;
        }
        let from_page = i32::from(self.source.place) + i32::from(uop.off);
        let [pointer, code] = LAST_INSTRUCTION;
        dynasm!(self.asm
            ; .arch x64
            ; mov rdx, [rsp + frame::PAGE]
            ; add rdx, from_page
            ; mov [rcx + pointer], rdx
            ; mov dx, [rbp + selector(SegmentRegister::Cs as u8)]
            ; mov [rcx + code], dx
        );
    }

    fn x87_registers(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(bytes) = on_registers(op, uop) else { return false };
        let back = self.with_x87();
        self.record_instruction(uop);
        if op == Op::Fcmov {
            let holds = self.condition(uop.r2);
            self.set_condition(holds);
            dynasm!(self.asm ; .arch x64 ; shr al, 1);
            self.host = HostFlags::None;
        }
        bytes.into_iter().for_each(|byte| self.asm.push(byte));
        if op == Op::Fcomi {
            self.record_comparison();
            // Not every processor clears C1, as the SDM has it: FINCSTP and FDECSTP do.
            dynasm!(self.asm ; .arch x64 ; fincstp ; fdecstp);
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// AL = whether a condition of the host holds.
    fn set_condition(&mut self, code: u8) {
        self.asm.push(0x0F);
        self.asm.push(0x90 | code);
        self.asm.push(0xC0 | RAX);
    }

    fn x87_memory(&mut self, op: Op, uop: &Uop) -> bool {
        let Some(InMemory(opcode, digit, width, write)) = in_memory(op, uop).filter(|_| is_plain(uop)) else {
            return false;
        };
        let end = self.with_x87();
        let (slow, back) = self.slow_path();
        self.address(uop);
        if self.source.records_data {
            dynasm!(self.asm ; .arch x64 ; mov [rsp + frame::SPARE], rax);
        }
        self.translate_offset(uop.seg, width, write, slow);
        self.record_instruction(uop);
        if self.source.records_data {
            let [pointer, segment] = LAST_DATA;
            dynasm!(self.asm
                ; .arch x64
                ; mov rdx, [rsp + frame::SPARE]
                ; mov [rcx + pointer], rdx
                ; mov dx, [rbp + selector(uop.seg)]
                ; mov [rcx + segment], dx
            );
        }
        // The memory at RAX.
        self.asm.push(opcode);
        self.asm.push(digit << 3);
        dynasm!(self.asm ; .arch x64 ; =>end ; =>back);
        true
    }

    /// What controls the FPU, and does not count as its last instruction.
    fn x87_control(&mut self, op: Op, uop: &Uop) -> bool {
        match op {
            // Nothing is pending where all is masked.
            Op::Fwait => {
                let back = self.with_x87();
                dynasm!(self.asm ; .arch x64 ; =>back);
            }
            Op::FnstswAx => {
                let back = self.with_x87();
                dynasm!(self.asm ; .arch x64 ; fnstsw ax);
                self.set(GUEST_RAX, 1, RAX);
                dynasm!(self.asm ; .arch x64 ; =>back);
            }
            Op::FnstswM | Op::Fnstcw | Op::Fldcw if is_plain(uop) => {
                let end = self.with_x87();
                let (slow, back) = self.slow_path();
                self.translate(uop, 1, op != Op::Fldcw, slow);
                match op {
                    Op::FnstswM => dynasm!(self.asm ; .arch x64 ; fnstsw [rax]),
                    Op::Fnstcw => dynasm!(self.asm
                        ; .arch x64
                        ; mov rcx, [rbp + FPU]
                        ; mov cx, [rcx + CONTROL]
                        ; mov [rax], cx
                    ),
                    _ => self.load_control(slow),
                }
                dynasm!(self.asm ; .arch x64 ; =>end ; =>back);
            }
            Op::FmoveTop => self.on_stack(if uop.r1 == 1 { [0xD9, 0xF7] } else { [0xD9, 0xF6] }),
            Op::Ffree if uop.r2 == 0 => self.on_stack([0xDD, 0xC0 | uop.r1]),
            Op::Fnclex => self.on_stack([0xDB, 0xE2]),
            _ => return false,
        }
        true
    }

    fn on_stack(&mut self, bytes: [u8; 2]) {
        let back = self.with_x87();
        bytes.into_iter().for_each(|byte| self.asm.push(byte));
        dynasm!(self.asm ; .arch x64 ; =>back);
    }

    /// FLDCW of the word at RAX, as long as that masks all exceptions.
    fn load_control(&mut self, slow: DynamicLabel) {
        let exceptions = i32::from(EXCEPTIONS);
        dynasm!(self.asm
            ; .arch x64
            ; movzx ecx, WORD [rax]
            ; mov edx, ecx
            ; and edx, exceptions
            ; cmp edx, exceptions
            ; jne =>slow
            ; and ecx, 0x1F3F
            ; or ecx, 0x40
            ; mov rdx, [rbp + FPU]
            ; mov [rdx + CONTROL], cx
            ; fldcw [rdx + CONTROL]
        );
    }
}
