//! Templates of SSE: the host's own instructions on its own registers of the same numbers, under the guest's MXCSR, as
//! long as all exceptions are masked. Forms with VEX and EVEX have none.

use super::flags::HostFlags;
use super::{Generator, Later};
use crate::forms::{is_arithmetic_rm, is_plain};
use crate::x64::registers::{RAX, frame, pinned};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::kernels::{Conversion, FloatOperation, TwoSources};
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use emu_core::ir::vector::column;
use emu_core::ir::vector::scalar::{DOUBLE, SIGNALING, TRUNCATED, UNSIGNED, WIDE};

/// An instruction of the host: mandatory prefix or 0, opcode behind 0Fh, and whether an immediate byte follows.
#[derive(Debug, Clone, Copy)]
struct Code(u8, u8, bool);

/// Vector registers that legacy encodings have.
const REGISTERS: u8 = 16;

fn arithmetic(op: Op) -> Option<Code> {
    use Op::*;
    let (prefix, opcode) = match op {
        AddPsRr | AddPsRm => (0, 0x58),
        AddPdRr | AddPdRm => (0x66, 0x58),
        AddSsRr | AddSsRm => (0xF3, 0x58),
        AddSdRr | AddSdRm => (0xF2, 0x58),
        MulPsRr | MulPsRm => (0, 0x59),
        MulPdRr | MulPdRm => (0x66, 0x59),
        MulSsRr | MulSsRm => (0xF3, 0x59),
        MulSdRr | MulSdRm => (0xF2, 0x59),
        SubPsRr | SubPsRm => (0, 0x5C),
        SubPdRr | SubPdRm => (0x66, 0x5C),
        SubSsRr | SubSsRm => (0xF3, 0x5C),
        SubSdRr | SubSdRm => (0xF2, 0x5C),
        DivPsRr | DivPsRm => (0, 0x5E),
        DivPdRr | DivPdRm => (0x66, 0x5E),
        DivSsRr | DivSsRm => (0xF3, 0x5E),
        DivSdRr | DivSdRm => (0xF2, 0x5E),
        _ => return None,
    };
    Some(Code(prefix, opcode, false))
}

fn float(kernel: FloatOperation) -> Option<Code> {
    use FloatOperation::*;
    let (prefix, opcode) = match kernel {
        Sqrtps => (0, 0x51),
        Sqrtpd => (0x66, 0x51),
        Sqrtss => (0xF3, 0x51),
        Sqrtsd => (0xF2, 0x51),
        Minps => (0, 0x5D),
        Minpd => (0x66, 0x5D),
        Minss => (0xF3, 0x5D),
        Minsd => (0xF2, 0x5D),
        Maxps => (0, 0x5F),
        Maxpd => (0x66, 0x5F),
        Maxss => (0xF3, 0x5F),
        Maxsd => (0xF2, 0x5F),
        Cvtss2sd => (0xF3, 0x5A),
        Cvtsd2ss => (0xF2, 0x5A),
        Cmpps => return Some(Code(0, 0xC2, true)),
        Cmppd => return Some(Code(0x66, 0xC2, true)),
        Cmpss => return Some(Code(0xF3, 0xC2, true)),
        Cmpsd => return Some(Code(0xF2, 0xC2, true)),
        _ => return None,
    };
    Some(Code(prefix, opcode, false))
}

fn conversion(kernel: Conversion) -> Option<Code> {
    use Conversion::*;
    let (prefix, opcode) = match kernel {
        Cvtps2pd => (0, 0x5A),
        Cvtpd2ps => (0x66, 0x5A),
        Cvtdq2ps => (0, 0x5B),
        Cvtps2dq => (0x66, 0x5B),
        Cvttps2dq => (0xF3, 0x5B),
        Cvtdq2pd => (0xF3, 0xE6),
        Cvttpd2dq => (0x66, 0xE6),
        Cvtpd2dq => (0xF2, 0xE6),
        _ => return None,
    };
    Some(Code(prefix, opcode, false))
}

/// Operations on whole registers, with the second source in a register or 16 bytes of memory.
fn two_sources(kernel: TwoSources) -> Option<Code> {
    use TwoSources::*;
    let opcode = match kernel {
        Pand | Vpandq => 0xDB,
        Pandn | Vpandnq => 0xDF,
        Por | Vporq => 0xEB,
        Pxor | Vpxorq => 0xEF,
        Paddb => 0xFC,
        Paddw => 0xFD,
        Paddd => 0xFE,
        Paddq => 0xD4,
        Psubb => 0xF8,
        Psubw => 0xF9,
        Psubd => 0xFA,
        Psubq => 0xFB,
        Paddsb => 0xEC,
        Paddsw => 0xED,
        Paddusb => 0xDC,
        Paddusw => 0xDD,
        Psubsb => 0xE8,
        Psubsw => 0xE9,
        Psubusb => 0xD8,
        Psubusw => 0xD9,
        Pmullw => 0xD5,
        Pmulhw => 0xE5,
        Pmulhuw => 0xE4,
        Pmuludq => 0xF4,
        Pmaddwd => 0xF5,
        Psadbw => 0xF6,
        Pavgb => 0xE0,
        Pavgw => 0xE3,
        Pminub => 0xDA,
        Pmaxub => 0xDE,
        Pminsw => 0xEA,
        Pmaxsw => 0xEE,
        Pcmpeqb => 0x74,
        Pcmpeqw => 0x75,
        Pcmpeqd => 0x76,
        Pcmpgtb => 0x64,
        Pcmpgtw => 0x65,
        Pcmpgtd => 0x66,
        Punpcklbw => 0x60,
        Punpcklwd => 0x61,
        Punpckldq => 0x62,
        Punpcklqdq => 0x6C,
        Punpckhbw => 0x68,
        Punpckhwd => 0x69,
        Punpckhdq => 0x6A,
        Punpckhqdq => 0x6D,
        Packsswb => 0x63,
        Packuswb => 0x67,
        Packssdw => 0x6B,
        Pshufd => return Some(Code(0x66, 0x70, true)),
        Pshuflw => return Some(Code(0xF2, 0x70, true)),
        Pshufhw => return Some(Code(0xF3, 0x70, true)),
        Shufps => return Some(Code(0, 0xC6, true)),
        Shufpd => return Some(Code(0x66, 0xC6, true)),
        _ => return None,
    };
    Some(Code(0x66, opcode, false))
}

/// Shifts by an immediate number: the digit that stands in place of the first register.
fn by_number(kernel: TwoSources) -> Option<(Code, u8)> {
    use TwoSources::*;
    let (opcode, digit) = match kernel {
        PsrlwImmediate => (0x71, 2),
        PsrawImmediate => (0x71, 4),
        PsllwImmediate => (0x71, 6),
        PsrldImmediate => (0x72, 2),
        PsradImmediate => (0x72, 4),
        PslldImmediate => (0x72, 6),
        PsrlqImmediate => (0x73, 2),
        Psrldq => (0x73, 3),
        PsllqImmediate => (0x73, 6),
        Pslldq => (0x73, 7),
        _ => return None,
    };
    Some((Code(0x66, opcode, true), digit))
}

/// Shifts of all elements by the number in a register.
fn by_count(kernel: TwoSources) -> Option<Code> {
    use TwoSources::*;
    let opcode = match kernel {
        Psrlw => 0xD1,
        Psrld => 0xD2,
        Psrlq => 0xD3,
        Psraw => 0xE1,
        Psrad => 0xE2,
        Psllw => 0xF1,
        Pslld => 0xF2,
        Psllq => 0xF3,
        _ => return None,
    };
    Some(Code(0x66, opcode, false))
}

/// Moves between registers that are operations of two sources.
fn register_move(kernel: TwoSources) -> Option<Code> {
    use TwoSources::*;
    let (prefix, opcode) = match kernel {
        Movss => (0xF3, 0x10),
        Movsd => (0xF2, 0x10),
        Movq => (0xF3, 0x7E),
        Movhlps => (0, 0x12),
        Movhps => (0, 0x16),
        _ => return None,
    };
    Some(Code(prefix, opcode, false))
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn vector(&mut self, op: Op, uop: &Uop) -> bool {
        if uop.width_index() != column::LEGACY || uop.r1 >= REGISTERS || uop.base >= REGISTERS && !in_memory(op) {
            return false;
        }
        let whole = uop.r1 == uop.r2;
        match op {
            Op::VmovRr => self.on_registers(Code(0, 0x28, false), uop.r1, uop.base, uop),
            Op::VmovRm | Op::VmovMr | Op::StoreHigh => self.vector_move(op, uop),
            Op::VmovFromGpr | Op::VmovToGpr => self.general_move(op, uop),
            Op::TwoRr if whole => {
                let kernel = TwoSources::ALL[uop.kernel()].0;
                if let Some((code, digit)) = by_number(kernel).filter(|_| uop.base == uop.r1) {
                    return self.on_registers(code, digit, uop.r1, uop);
                }
                let code = two_sources(kernel).or_else(|| register_move(kernel));
                code.is_some_and(|code| self.on_registers(code, uop.r1, uop.base, uop))
            }
            Op::TwoRm if whole => {
                let code = match TwoSources::ALL[uop.kernel()].0 {
                    TwoSources::Movlps => Some(Code(0, 0x12, false)),
                    TwoSources::Movhps => Some(Code(0, 0x16, false)),
                    kernel => two_sources(kernel).filter(|_| uop.memory_bytes() == 16),
                };
                code.is_some_and(|code| self.on_memory(code, uop))
            }
            Op::FloatRr if whole => {
                let code = float(FloatOperation::ALL[uop.kernel()].0);
                code.is_some_and(|code| self.on_registers(code, uop.r1, uop.base, uop))
            }
            Op::FloatRm if whole => {
                float(FloatOperation::ALL[uop.kernel()].0).is_some_and(|code| self.on_memory(code, uop))
            }
            Op::ConvertRr => {
                let code = conversion(Conversion::ALL[uop.kernel()].0);
                code.is_some_and(|code| self.on_registers(code, uop.r1, uop.base, uop))
            }
            Op::ConvertRm => conversion(Conversion::ALL[uop.kernel()].0).is_some_and(|code| self.on_memory(code, uop)),
            Op::IntToFloatR | Op::FloatToIntR => self.between(op, uop),
            Op::IntToFloatM | Op::FloatToIntM => self.between_memory(op, uop),
            Op::VmoveMask => self.move_mask(uop),
            Op::CountRr if whole => {
                let code = by_count(TwoSources::ALL[uop.kernel()].0);
                code.is_some_and(|code| self.on_registers(code, uop.r1, uop.base, uop))
            }
            Op::CompareScalarR | Op::CompareScalarM => self.comparison(op, uop),
            _ => match arithmetic(op) {
                Some(code) if whole && in_memory(op) => self.on_memory(code, uop),
                Some(code) if whole => self.on_registers(code, uop.r1, uop.base, uop),
                _ => false,
            },
        }
    }

    /// From here on the host has the guest's vector registers; the label is for the end of the template, where the
    /// handler has done it.
    fn with_vectors(&mut self) -> DynamicLabel {
        let (at, again, back) =
            (self.asm.new_dynamic_label(), self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        self.later.push(Later::Load { at, index: self.index, thunk: self.thunks.vectors, again, back });
        dynasm!(self.asm
            ; .arch x64
            ; cmp BYTE [rsp + frame::VECTORS], 0
            ; je =>at
            ; =>again
        );
        self.host = HostFlags::None;
        back
    }

    /// The host's instruction: `reg` and `rm` are registers, or `rm` is the memory at RAX.
    fn emit(&mut self, code: Code, wide: bool, reg: u8, rm: Option<u8>, uop: &Uop) {
        let Code(prefix, opcode, immediate) = code;
        if prefix != 0 {
            self.asm.push(prefix);
        }
        let rex = 0x40 | u8::from(wide) << 3 | reg >> 3 << 2 | rm.unwrap_or(RAX) >> 3;
        if rex != 0x40 {
            self.asm.push(rex);
        }
        self.asm.push(0x0F);
        self.asm.push(opcode);
        let mode = if rm.is_some() { 0xC0 } else { 0 };
        self.asm.push(mode | reg << 3 & 0x38 | rm.unwrap_or(RAX) & 7);
        if immediate {
            self.asm.push(uop.imm8() as u8);
        }
    }

    fn on_registers(&mut self, code: Code, reg: u8, rm: u8, uop: &Uop) -> bool {
        let back = self.with_vectors();
        self.emit(code, false, reg, Some(rm), uop);
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// RAX = the host's address of the operand, as far as the access is plain and aligned if it must be; the labels are
    /// for the end of the template, where the handler has done it.
    fn vector_place(&mut self, uop: &Uop, write: bool, aligned: bool) -> Option<[DynamicLabel; 2]> {
        let width = uop.memory_bytes().trailing_zeros() as usize;
        if !is_plain(uop) || !(2..=4).contains(&width) {
            return None;
        }
        let end = self.with_vectors();
        let (slow, back) = self.slow_path();
        self.translate(uop, width, write, slow);
        if aligned && width == 4 {
            dynasm!(self.asm
                ; .arch x64
                ; test al, 15
                ; jnz =>slow
            );
        }
        Some([end, back])
    }

    fn end_vector(&mut self, [end, back]: [DynamicLabel; 2]) {
        dynasm!(self.asm ; .arch x64 ; =>end ; =>back);
    }

    fn on_memory(&mut self, code: Code, uop: &Uop) -> bool {
        let Some(end) = self.vector_place(uop, false, true) else { return false };
        self.emit(code, false, uop.r1, None, uop);
        self.end_vector(end);
        true
    }

    fn vector_move(&mut self, op: Op, uop: &Uop) -> bool {
        let code = match (op, uop.memory_bytes()) {
            (Op::StoreHigh, 8) => Code(0, 0x17, false),
            (Op::VmovRm, 16) => Code(0, 0x10, false),
            (Op::VmovRm, 8) => Code(0xF3, 0x7E, false),
            (Op::VmovRm, 4) => Code(0xF3, 0x10, false),
            (Op::VmovMr, 16) => Code(0, 0x11, false),
            (Op::VmovMr, 8) => Code(0x66, 0xD6, false),
            (Op::VmovMr, 4) => Code(0xF3, 0x11, false),
            _ => return false,
        };
        let Some(end) = self.vector_place(uop, op != Op::VmovRm, uop.must_align()) else { return false };
        self.emit(code, false, uop.r1, None, uop);
        self.end_vector(end);
        true
    }

    fn general_move(&mut self, op: Op, uop: &Uop) -> bool {
        let wide = match uop.imm8() {
            4 => false,
            8 => true,
            _ => return false,
        };
        let back = self.with_vectors();
        if op == Op::VmovFromGpr {
            let from = self.read(uop.base, RAX);
            self.emit(Code(0x66, 0x6E, false), wide, uop.r1, Some(from), uop);
        } else {
            let to = pinned(uop.r1).unwrap_or(RAX);
            self.emit(Code(0x66, 0x7E, false), wide, uop.base, Some(to), uop);
            self.wrote(uop.r1, to);
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// Conversions between scalars and general registers.
    fn between(&mut self, op: Op, uop: &Uop) -> bool {
        let imm = uop.imm8();
        if imm & UNSIGNED != 0 || op == Op::IntToFloatR && uop.r1 != uop.r2 {
            return false;
        }
        let prefix = if imm & DOUBLE != 0 { 0xF2 } else { 0xF3 };
        let wide = imm & WIDE != 0;
        let back = self.with_vectors();
        if op == Op::IntToFloatR {
            let from = self.read(uop.base, RAX);
            self.emit(Code(prefix, 0x2A, false), wide, uop.r1, Some(from), uop);
        } else {
            let opcode = if imm & TRUNCATED != 0 { 0x2C } else { 0x2D };
            let to = pinned(uop.r1).unwrap_or(RAX);
            self.emit(Code(prefix, opcode, false), wide, to, Some(uop.base), uop);
            self.wrote(uop.r1, to);
        }
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    /// Conversions between scalars in memory and general registers.
    fn between_memory(&mut self, op: Op, uop: &Uop) -> bool {
        let imm = uop.imm8();
        if imm & UNSIGNED != 0 || op == Op::IntToFloatM && uop.r1 != uop.r2 {
            return false;
        }
        let prefix = if imm & DOUBLE != 0 { 0xF2 } else { 0xF3 };
        let wide = imm & WIDE != 0;
        let Some(end) = self.vector_place(uop, false, false) else { return false };
        if op == Op::IntToFloatM {
            self.emit(Code(prefix, 0x2A, false), wide, uop.r1, None, uop);
        } else {
            let opcode = if imm & TRUNCATED != 0 { 0x2C } else { 0x2D };
            let to = pinned(uop.r1).unwrap_or(RAX);
            self.emit(Code(prefix, opcode, false), wide, to, None, uop);
            self.wrote(uop.r1, to);
        }
        self.end_vector(end);
        true
    }

    /// PMOVMSKB, MOVMSKPS and MOVMSKPD.
    fn move_mask(&mut self, uop: &Uop) -> bool {
        let code = match uop.element_log2() {
            0 => Code(0x66, 0xD7, false),
            2 => Code(0, 0x50, false),
            3 => Code(0x66, 0x50, false),
            _ => return false,
        };
        let back = self.with_vectors();
        let to = pinned(uop.r1).unwrap_or(RAX);
        self.emit(code, false, to, Some(uop.base), uop);
        self.wrote(uop.r1, to);
        dynasm!(self.asm ; .arch x64 ; =>back);
        true
    }

    fn comparison(&mut self, op: Op, uop: &Uop) -> bool {
        let imm = uop.imm8();
        let prefix = if imm & DOUBLE != 0 { 0x66 } else { 0 };
        let opcode = if imm & SIGNALING != 0 { 0x2F } else { 0x2E };
        let code = Code(prefix, opcode, false);
        if op == Op::CompareScalarR {
            let back = self.with_vectors();
            self.emit(code, false, uop.r1, Some(uop.base), uop);
            self.record_comparison();
            dynasm!(self.asm ; .arch x64 ; =>back);
            return true;
        }
        let Some(end) = self.vector_place(uop, false, false) else { return false };
        self.emit(code, false, uop.r1, None, uop);
        self.record_comparison();
        self.end_vector(end);
        true
    }
}

fn in_memory(op: Op) -> bool {
    use Op::*;
    is_arithmetic_rm(op)
        || matches!(
            op,
            VmovRm | VmovMr | StoreHigh | TwoRm | FloatRm | ConvertRm | CompareScalarM | IntToFloatM | FloatToIntM
        )
}
