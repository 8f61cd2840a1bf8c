//! Templates of SSE's arithmetic: the host's, where it cannot differ from the guest's by a bit.
//!
//! Both round as IEEE 754 says, and differ in NaNs, in what is tiny, and in DAZ and FTZ. So the operands and the result of a
//! template are normal numbers or zeros, a result is no zero but of zeros or as a difference, and not the smallest normal
//! number, to which a tiny one may be rounded. Then the one exception that there can be is that of precision. The guest
//! rounds to nearest, has all exceptions masked, and the flag of precision is set in MXCSR already, as it is in most programs
//! soon: nothing is left to be recorded. All else is the handler's.

use super::Generator;
use super::vector::{on, same};
use crate::a64::registers::pinned;
use crate::forms::is_arithmetic_rm;
use crate::layout::{FLAG_SOURCE, GUEST_MXCSR, vector};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::flags::{CF, FlagSource, STATUS, ZF};
use emu_core::ir::kernels::FloatOperation;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use emu_core::ir::vector::scalar::{DOUBLE, TRUNCATED, UNSIGNED, WIDE};

/// The bits of MXCSR that must be as in [`READY`]: PE, the masks, and how is rounded (SDM Vol. 1 10.2.3, "MXCSR Control and
/// Status Register").
const CONTROL: u32 = 0x7FA0;
/// PE is set, all exceptions are masked, results are rounded to nearest.
const READY: u32 = 0x1FA0;

const _: () = assert!(CF == 1 && ZF == 1 << 6);

/// What is computed of V0 and V1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// ADD or SUB: a result of zero is exact.
    Sum(u32),
    /// MUL or DIV.
    Product(u32),
    /// SQRT, of V1.
    Root(u32),
    /// MIN or MAX: the comparison that chooses V0.
    Choice(u32),
    /// CMP: the comparison, and whether its contrary is meant; `None` for those that ordered operands decide.
    Comparison(Option<u32>, bool),
    /// CVTSS2SD.
    Widening,
}

/// Elements: log2 of their bytes, and whether there is one alone.
type Elements = (u32, bool);

/// "Advanced SIMD three same" on floats of 4 or 8 bytes: U and bit 23 choose among those of an opcode. Of one element, the
/// other bits of the register are clear, and no exception's flag of the host matters.
const fn float_same(unsigned: u32, high: u32, opcode: u32, log2: u32) -> u32 {
    same(unsigned, high << 1 | (log2 - 2), opcode)
}

/// A greater than B, and A not less than B.
fn greater(log2: u32, first: u32, second: u32) -> u32 {
    on(float_same(1, 1, 0b11100, log2), 2, first, second)
}

fn not_less(log2: u32, first: u32, second: u32) -> u32 {
    on(float_same(1, 0, 0b11100, log2), 2, first, second)
}

fn arithmetic(op: Op) -> Option<(Operation, Elements)> {
    use Op::*;
    // Of several elements, FADD, FSUB, FMUL and FDIV; of one, those of "Floating-point data-processing (2 source)".
    let word = |unsigned, high, opcode, one: u32, (log2, alone): Elements| {
        let word =
            if alone { 0x1E20_0800 | (log2 - 2) << 22 | one << 12 } else { float_same(unsigned, high, opcode, log2) };
        on(word, 2, 0, 1)
    };
    let add = |elements| (Operation::Sum(word(0, 0, 0b11010, 2, elements)), elements);
    let sub = |elements| (Operation::Sum(word(0, 1, 0b11010, 3, elements)), elements);
    let mul = |elements| (Operation::Product(word(1, 0, 0b11011, 0, elements)), elements);
    let div = |elements| (Operation::Product(word(1, 0, 0b11111, 1, elements)), elements);
    Some(match op {
        AddPsRr | AddPsRm => add((2, false)),
        AddPdRr | AddPdRm => add((3, false)),
        AddSsRr | AddSsRm => add((2, true)),
        AddSdRr | AddSdRm => add((3, true)),
        SubPsRr | SubPsRm => sub((2, false)),
        SubPdRr | SubPdRm => sub((3, false)),
        SubSsRr | SubSsRm => sub((2, true)),
        SubSdRr | SubSdRm => sub((3, true)),
        MulPsRr | MulPsRm => mul((2, false)),
        MulPdRr | MulPdRm => mul((3, false)),
        MulSsRr | MulSsRm => mul((2, true)),
        MulSdRr | MulSdRm => mul((3, true)),
        DivPsRr | DivPsRm => div((2, false)),
        DivPdRr | DivPdRm => div((3, false)),
        DivSsRr | DivSsRm => div((2, true)),
        DivSdRr | DivSdRm => div((3, true)),
        _ => return None,
    })
}

/// The operation of a table's row; `imm` is the instruction's own immediate.
fn float(kernel: FloatOperation, imm: u32) -> Option<(Operation, Elements)> {
    use FloatOperation::*;
    let elements = match kernel {
        Sqrtps | Minps | Maxps | Cmpps => (2, false),
        Sqrtpd | Minpd | Maxpd | Cmppd => (3, false),
        Sqrtss | Minss | Maxss | Cmpss | Cvtss2sd => (2, true),
        Sqrtsd | Minsd | Maxsd | Cmpsd => (3, true),
        _ => return None,
    };
    let log2 = elements.0;
    let operation = match kernel {
        // FSQRT ("Advanced SIMD two-register miscellaneous", "Floating-point data-processing (1 source)").
        Sqrtps | Sqrtpd => Operation::Root(on(0x6EA1_F800 | (log2 - 2) << 22, 2, 1, 0)),
        Sqrtss | Sqrtsd => Operation::Root(on(0x1E21_C000 | (log2 - 2) << 22, 2, 1, 0)),
        Minps | Minpd | Minss | Minsd => Operation::Choice(greater(log2, 1, 0)),
        Maxps | Maxpd | Maxss | Maxsd => Operation::Choice(greater(log2, 0, 1)),
        Cvtss2sd => Operation::Widening,
        _ => {
            let comparison = match imm & 3 {
                0 => Some(on(float_same(0, 0, 0b11100, log2), 2, 0, 1)),
                1 => Some(greater(log2, 1, 0)),
                2 => Some(not_less(log2, 1, 0)),
                _ => None,
            };
            if imm > 7 {
                return None;
            }
            Operation::Comparison(comparison, imm & 4 != 0)
        }
    };
    Some((operation, elements))
}

impl Generator<'_> {
    /// Generates a micro-op of this family, which is a legacy form; `false`, and nothing, for another one.
    pub fn float(&mut self, op: Op, uop: &Uop) -> bool {
        let whole = uop.r1 == uop.r2;
        match op {
            Op::FloatRr | Op::FloatRm if whole => {
                let operation = float(FloatOperation::ALL[uop.kernel()].0, uop.imm8());
                operation.is_some_and(|operation| self.operation(operation, op == Op::FloatRm, uop))
            }
            Op::IntToFloatR => self.integer_to_float(uop),
            Op::FloatToIntR => self.float_to_integer(uop),
            Op::CompareScalarR | Op::CompareScalarM => self.comparison(op == Op::CompareScalarM, uop),
            _ if whole => arithmetic(op).is_some_and(|operation| self.operation(operation, in_memory(op), uop)),
            _ => false,
        }
    }

    /// The code goes on at `slow` unless MXCSR is as templates need it. X1, X2 and the host's flags are lost.
    fn need_ready(&mut self, slow: DynamicLabel) {
        let at = (GUEST_MXCSR - vector(0)) as u32;
        dynasm!(self.asm
            ; .arch aarch64
            ; ldr w1, [x5, at]
            ; movz w2, CONTROL
            ; and w1, w1, w2
            ; movz w2, READY
            ; cmp w1, w2
            ; b.ne =>slow
        );
    }

    /// V0 = the first source, V1 = the second one, as far as there are elements; the labels are those of
    /// [`Generator::slow_path`].
    fn operands(&mut self, (log2, alone): Elements, memory: bool, uop: &Uop) -> Option<[DynamicLabel; 2]> {
        let width = if alone { log2 as usize } else { 4 };
        let labels = if memory {
            if uop.memory_bytes() != 1 << width {
                return None;
            }
            let (_, slow, back) = self.vector_place(uop, false, !alone)?;
            self.load_vector_from_memory(width, 1);
            [slow, back]
        } else {
            let (slow, back) = self.slow_path();
            self.with_vectors(slow);
            self.load_vector(width, 1, uop.base);
            [slow, back]
        };
        self.need_ready(labels[0]);
        self.load_vector(width, 0, uop.r1);
        Some(labels)
    }

    /// The code goes on at `slow` unless all elements of V0, V1 and V2 are as templates need them. X1 and the host's flags
    /// are lost.
    fn check(&mut self, log2: u32, sum: bool, slow: DynamicLabel) {
        let check = self.thunks.check[usize::from(sum)][log2 as usize - 2];
        dynasm!(self.asm ; .arch aarch64 ; bl extern check ; cbnz x1, =>slow);
    }

    /// V`to` = V1, for [`Generator::check`].
    fn duplicate(&mut self, to: u32) {
        self.asm.push_u32(on(same(0, 2, 0b00011), to, 1, 1));
    }

    fn operation(&mut self, (operation, elements): (Operation, Elements), memory: bool, uop: &Uop) -> bool {
        let Some([slow, back]) = self.operands(elements, memory, uop) else { return false };
        let (log2, alone) = elements;
        let mut width = if alone { log2 as usize } else { 4 };
        match operation {
            Operation::Sum(word) => {
                self.asm.push_u32(word);
                self.check(log2, true, slow);
            }
            Operation::Product(word) => {
                self.asm.push_u32(word);
                self.check(log2, false, slow);
            }
            Operation::Root(word) => {
                self.duplicate(0);
                self.asm.push_u32(word);
                self.check(log2, false, slow);
            }
            Operation::Choice(word) => {
                self.duplicate(2);
                self.check(log2, true, slow);
                self.asm.push_u32(word);
                // BSL: V0 where the comparison holds, else V1.
                self.asm.push_u32(on(same(1, 1, 0b00011), 2, 0, 1));
            }
            Operation::Comparison(word, contrary) => {
                self.duplicate(2);
                self.check(log2, true, slow);
                match word {
                    Some(word) => self.asm.push_u32(word),
                    None => dynasm!(self.asm ; .arch aarch64 ; movi v2.d2, 0),
                }
                if contrary {
                    dynasm!(self.asm ; .arch aarch64 ; mvn v2.b16, v2.b16);
                }
            }
            Operation::Widening => {
                self.duplicate(0);
                self.duplicate(2);
                self.check(log2, true, slow);
                dynasm!(self.asm ; .arch aarch64 ; fcvt d2, s1);
                width = 3;
            }
        }
        self.store_vector(width, 2, uop.r1);
        self.come_back(back);
        true
    }

    /// CVTSI2SS and CVTSI2SD: the result is normal or zero.
    fn integer_to_float(&mut self, uop: &Uop) -> bool {
        let imm = uop.imm8();
        if imm & UNSIGNED != 0 || uop.r1 != uop.r2 {
            return false;
        }
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        self.need_ready(slow);
        let from = pinned(uop.base);
        match (imm & WIDE != 0, imm & DOUBLE != 0) {
            (true, true) => dynasm!(self.asm ; .arch aarch64 ; scvtf d2, X(from)),
            (true, false) => dynasm!(self.asm ; .arch aarch64 ; scvtf s2, X(from)),
            (false, true) => dynasm!(self.asm ; .arch aarch64 ; scvtf d2, W(from)),
            (false, false) => dynasm!(self.asm ; .arch aarch64 ; scvtf s2, W(from)),
        }
        self.store_vector(if imm & DOUBLE != 0 { 3 } else { 2 }, 2, uop.r1);
        self.come_back(back);
        true
    }

    /// CVTSS2SI, CVTSD2SI and their truncating forms. What is beyond the integers becomes one of the two at their ends.
    fn float_to_integer(&mut self, uop: &Uop) -> bool {
        let imm = uop.imm8();
        if imm & UNSIGNED != 0 {
            return false;
        }
        let log2 = if imm & DOUBLE != 0 { 3 } else { 2 };
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        self.need_ready(slow);
        self.load_vector(log2 as usize, 1, uop.base);
        self.duplicate(0);
        self.duplicate(2);
        self.check(log2, true, slow);
        let to = pinned(uop.r1);
        match (imm & WIDE != 0, log2, imm & TRUNCATED != 0) {
            (true, 3, true) => dynasm!(self.asm ; .arch aarch64 ; fcvtzs x3, d1),
            (true, 3, false) => dynasm!(self.asm ; .arch aarch64 ; fcvtns x3, d1),
            (true, _, true) => dynasm!(self.asm ; .arch aarch64 ; fcvtzs x3, s1),
            (true, _, false) => dynasm!(self.asm ; .arch aarch64 ; fcvtns x3, s1),
            (false, 3, true) => dynasm!(self.asm ; .arch aarch64 ; fcvtzs w3, d1),
            (false, 3, false) => dynasm!(self.asm ; .arch aarch64 ; fcvtns w3, d1),
            (false, _, true) => dynasm!(self.asm ; .arch aarch64 ; fcvtzs w3, s1),
            (false, _, false) => dynasm!(self.asm ; .arch aarch64 ; fcvtns w3, s1),
        }
        // The sum of either end and 2^(n-1) is 0 or all ones; that and 1 is 0 or 1.
        if imm & WIDE != 0 {
            dynasm!(self.asm
                ; .arch aarch64
                ; eor x1, x3, 0x8000_0000_0000_0000
                ; add x1, x1, 1
                ; cmp x1, 1
                ; b.ls =>slow
                ; mov X(to), x3
            );
        } else {
            dynasm!(self.asm
                ; .arch aarch64
                ; eor w1, w3, 0x8000_0000
                ; add w1, w1, 1
                ; cmp w1, 1
                ; b.ls =>slow
                ; mov W(to), w3
            );
        }
        self.come_back(back);
        true
    }

    /// COMISS and its kind: of ordered operands, ZF says that they are equal and CF that the first one is less.
    fn comparison(&mut self, memory: bool, uop: &Uop) -> bool {
        let log2 = if uop.imm8() & DOUBLE != 0 { 3 } else { 2 };
        let Some([slow, back]) = self.operands((log2, true), memory, uop) else { return false };
        self.duplicate(2);
        self.check(log2, true, slow);
        if log2 == 3 {
            dynasm!(self.asm ; .arch aarch64 ; fcmp d0, d1);
        } else {
            dynasm!(self.asm ; .arch aarch64 ; fcmp s0, s1);
        }
        let (at, source) = (FLAG_SOURCE as u32, FlagSource::Explicit as u32);
        dynasm!(self.asm ; .arch aarch64 ; cset w17, mi ; cset w1, eq ; orr w17, w17, w1, lsl 6);
        self.change_bits(STATUS);
        dynasm!(self.asm ; .arch aarch64 ; movz w1, source ; strb w1, [x29, at]);
        self.come_back(back);
        true
    }
}

/// Whether the second operand is in memory.
pub fn in_memory(op: Op) -> bool {
    use Op::*;
    is_arithmetic_rm(op) || matches!(op, FloatRm | CompareScalarM)
}
