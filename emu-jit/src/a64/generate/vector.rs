//! Templates of SSE: moves, and operations on bits and integers. The guest's vector registers stay in memory: each template loads
//! what it needs and stores its result. Forms with VEX and EVEX have none.
//!
//! Instructions of the host are made from their fields (Arm ARM C4.1, "Data Processing -- Scalar Floating-Point and
//! Advanced SIMD"), on V0, the first source, and V1, the second one; V0 has the result.

use super::{Generator, HostFlags, float};
use crate::a64::registers::pinned;
use crate::forms::is_plain;
use crate::layout::{CR0, CR4, FPU, vector};
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use emu_core::ir::kernels::TwoSources;
use emu_core::ir::op::Op;
use emu_core::ir::uop::Uop;
use emu_core::ir::vector::column;
use emu_vmx::arch::cr::{Cr0, Cr4};

/// Vector registers that legacy encodings have.
const REGISTERS: u8 = 16;

const _: () = assert!(Cr0::EM.bits() | Cr0::TS.bits() == 0xC && Cr4::OSFXSR.bits() == 1 << 9);

/// The sources and the result of an instruction.
pub const fn on(word: u32, to: u32, first: u32, second: u32) -> u32 {
    word | second << 16 | first << 5 | to
}

/// "Advanced SIMD three same" of 128 bits.
pub const fn same(unsigned: u32, size: u32, opcode: u32) -> u32 {
    0x4E20_0400 | unsigned << 29 | size << 22 | opcode << 11
}

/// [`same`] of V0 and V1.
const fn plain(unsigned: u32, size: u32, opcode: u32) -> u32 {
    on(same(unsigned, size, opcode), 0, 0, 1)
}

/// UZP1, ZIP1, UZP2 and ZIP2 by opcode ("Advanced SIMD permute").
const fn permute(size: u32, opcode: u32) -> u32 {
    0x4E00_0800 | size << 22 | opcode << 12
}

/// SMULL and UMULL ("Advanced SIMD three different"), of the low halves or of the high ones.
const fn long_product(unsigned: u32, size: u32, high: u32) -> u32 {
    0x0E20_C000 | unsigned << 29 | size << 22 | high << 30
}

/// Instructions of one source ("Advanced SIMD two-register miscellaneous") on the low half or both.
const fn one(unsigned: u32, size: u32, opcode: u32, whole: u32) -> u32 {
    0x0E20_0800 | whole << 30 | unsigned << 29 | size << 22 | opcode << 12
}

/// INS of an element of a register into another one ("Advanced SIMD copy").
const fn insert(size: u32, to: u32, place: u32, from: u32, element: u32) -> u32 {
    on(0x6E00_0400 | ((place << 1 | 1) << size) << 16 | (element << size) << 11, to, from, 0)
}

/// XTN, SQXTUN and SQXTN.
const NARROW: (u32, u32) = (0, 0b10010);
const NARROW_TO_UNSIGNED: (u32, u32) = (1, 0b10010);
const NARROW_SIGNED: (u32, u32) = (0, 0b10100);

/// Packs both sources' elements, saturated to `size`.
fn pack((unsigned, opcode): (u32, u32), size: u32) -> Vec<u32> {
    vec![on(one(unsigned, size, opcode, 0), 0, 0, 0), on(one(unsigned, size, opcode, 1), 0, 1, 0)]
}

/// High halves of products of words.
fn high_product(unsigned: u32) -> Vec<u32> {
    vec![
        on(long_product(unsigned, 1, 0), 2, 0, 1),
        on(long_product(unsigned, 1, 1), 3, 0, 1),
        on(permute(1, 0b101), 0, 2, 3),
    ]
}

/// Operations on whole registers; `imm` is the instruction's own immediate.
fn two_sources(kernel: TwoSources, imm: u32) -> Option<Vec<u32>> {
    use TwoSources::*;
    let interleave = |size, high: u32| on(permute(size, 0b011 | high << 2), 0, 0, 1);
    let word = match kernel {
        Pand | Vpandq => plain(0, 0, 0b00011),
        // BIC has its complement in the second source.
        Pandn | Vpandnq => on(same(0, 1, 0b00011), 0, 1, 0),
        Por | Vporq => plain(0, 2, 0b00011),
        Pxor | Vpxorq => plain(1, 0, 0b00011),
        Paddb => plain(0, 0, 0b10000),
        Paddw => plain(0, 1, 0b10000),
        Paddd => plain(0, 2, 0b10000),
        Paddq => plain(0, 3, 0b10000),
        Psubb => plain(1, 0, 0b10000),
        Psubw => plain(1, 1, 0b10000),
        Psubd => plain(1, 2, 0b10000),
        Psubq => plain(1, 3, 0b10000),
        Paddsb => plain(0, 0, 0b00001),
        Paddsw => plain(0, 1, 0b00001),
        Paddusb => plain(1, 0, 0b00001),
        Paddusw => plain(1, 1, 0b00001),
        Psubsb => plain(0, 0, 0b00101),
        Psubsw => plain(0, 1, 0b00101),
        Psubusb => plain(1, 0, 0b00101),
        Psubusw => plain(1, 1, 0b00101),
        Pmullw => plain(0, 1, 0b10011),
        Pavgb => plain(1, 0, 0b00010),
        Pavgw => plain(1, 1, 0b00010),
        Pminub => plain(1, 0, 0b01101),
        Pmaxub => plain(1, 0, 0b01100),
        Pminsw => plain(0, 1, 0b01101),
        Pmaxsw => plain(0, 1, 0b01100),
        Pcmpeqb => plain(1, 0, 0b10001),
        Pcmpeqw => plain(1, 1, 0b10001),
        Pcmpeqd => plain(1, 2, 0b10001),
        Pcmpgtb => plain(0, 0, 0b00110),
        Pcmpgtw => plain(0, 1, 0b00110),
        Pcmpgtd => plain(0, 2, 0b00110),
        Punpcklbw => interleave(0, 0),
        Punpcklwd => interleave(1, 0),
        Punpckldq => interleave(2, 0),
        Punpcklqdq => interleave(3, 0),
        Punpckhbw => interleave(0, 1),
        Punpckhwd => interleave(1, 1),
        Punpckhdq => interleave(2, 1),
        Punpckhqdq => interleave(3, 1),
        Packsswb => return Some(pack(NARROW_SIGNED, 0)),
        Packuswb => return Some(pack(NARROW_TO_UNSIGNED, 0)),
        Packssdw => return Some(pack(NARROW_SIGNED, 1)),
        Pmulhw => return Some(high_product(0)),
        Pmulhuw => return Some(high_product(1)),
        Pmuludq => {
            let low = |register| on(one(NARROW.0, 2, NARROW.1, 0), register, register, 0);
            return Some(vec![low(0), low(1), on(long_product(1, 2, 0), 0, 0, 1)]);
        }
        Pmaddwd => {
            let sum = on(same(0, 2, 0b10111), 0, 2, 3);
            return Some(vec![on(long_product(0, 1, 0), 2, 0, 1), on(long_product(0, 1, 1), 3, 0, 1), sum]);
        }
        Psadbw => {
            let pairs = |size| on(one(1, size, 0b00010, 1), 0, 0, 0);
            return Some(vec![plain(1, 0, 0b01110), pairs(0), pairs(1), pairs(2)]);
        }
        Pshufd => return Some((0..4).map(|n| insert(2, 0, n, 1, imm >> (2 * n) & 3)).collect()),
        Pshuflw | Pshufhw => {
            let first = if kernel == Pshufhw { 4 } else { 0 };
            // ORR of a register with itself moves it.
            let whole = on(same(0, 2, 0b00011), 0, 1, 1);
            let words = (0..4).map(|n| insert(1, 0, first + n, 1, first + (imm >> (2 * n) & 3)));
            return Some(std::iter::once(whole).chain(words).collect());
        }
        Shufps => {
            let words = (0..4).map(|n| insert(2, 2, n, n >> 1, imm >> (2 * n) & 3));
            return Some(words.chain([on(same(0, 2, 0b00011), 0, 2, 2)]).collect());
        }
        Shufpd => {
            let words = (0..2).map(|n| insert(3, 2, n, n, imm >> n & 1));
            return Some(words.chain([on(same(0, 2, 0b00011), 0, 2, 2)]).collect());
        }
        _ => return None,
    };
    Some(vec![word])
}

/// Moves between registers that are operations of two sources.
fn register_move(kernel: TwoSources) -> Option<Vec<u32>> {
    use TwoSources::*;
    let word = match kernel {
        Movss => insert(2, 0, 0, 1, 0),
        Movsd => insert(3, 0, 0, 1, 0),
        Movhlps => insert(3, 0, 0, 1, 1),
        Movhps => insert(3, 0, 1, 1, 0),
        // MOV of the low half clears the other one: ORR of 64 bits.
        Movq => on(same(0, 2, 0b00011) & !(1 << 30), 0, 1, 1),
        _ => return None,
    };
    Some(vec![word])
}

/// Shifts of V1 by an immediate number ("Advanced SIMD shift by immediate"), with the result in V0.
fn by_number(kernel: TwoSources, imm: u32) -> Option<u32> {
    use TwoSources::*;
    let (size, left, signed) = match kernel {
        PsrlwImmediate => (1, false, false),
        PsrldImmediate => (2, false, false),
        PsrlqImmediate => (3, false, false),
        PsrawImmediate => (1, false, true),
        PsradImmediate => (2, false, true),
        PsllwImmediate => (1, true, false),
        PslldImmediate => (2, true, false),
        PsllqImmediate => (3, true, false),
        // EXT of the source and of V2, which is clear.
        Psrldq if imm < 16 => return Some(on(0x6E00_0000 | imm << 11, 0, 1, 2)),
        Pslldq if (1..16).contains(&imm) => return Some(on(0x6E00_0000 | (16 - imm) << 11, 0, 2, 1)),
        Pslldq if imm == 0 => return Some(on(same(0, 2, 0b00011), 0, 1, 1)),
        // All bits of V2 are clear.
        Psrldq | Pslldq => return Some(on(same(0, 2, 0b00011), 0, 2, 2)),
        _ => return None,
    };
    let bits: u32 = 8 << size;
    Some(match (left, signed) {
        _ if imm == 0 => on(same(0, 2, 0b00011), 0, 1, 1),
        (_, false) if imm >= bits => on(same(0, 2, 0b00011), 0, 2, 2),
        (true, _) => on(0x4F00_5400 | (bits + imm) << 16, 0, 1, 0),
        (false, true) => on(0x4F00_0400 | (2 * bits - imm.min(bits)) << 16, 0, 1, 0),
        (false, false) => on(0x6F00_0400 | (2 * bits - imm) << 16, 0, 1, 0),
    })
}

/// Shifts of all elements by the number in a register: log2 of their bytes, and USHL or SSHL of V0 by V1.
fn by_count(kernel: TwoSources) -> Option<(u32, bool, u32)> {
    use TwoSources::*;
    let (size, left, unsigned) = match kernel {
        Psrlw => (1, false, 1),
        Psrld => (2, false, 1),
        Psrlq => (3, false, 1),
        Psraw => (1, false, 0),
        Psrad => (2, false, 0),
        Psllw => (1, true, 1),
        Pslld => (2, true, 1),
        Psllq => (3, true, 1),
        _ => return None,
    };
    Some((size, left, plain(unsigned, size, 0b01000)))
}

impl Generator<'_> {
    /// Generates a micro-op of this family; `false`, and nothing, for another one.
    pub fn vector(&mut self, op: Op, uop: &Uop) -> bool {
        if uop.width_index() != column::LEGACY
            || uop.r1 >= REGISTERS
            || uop.base >= REGISTERS && !in_memory(op) && !float::in_memory(op)
        {
            return false;
        }
        let whole = uop.r1 == uop.r2;
        match op {
            Op::VmovRr => self.on_registers(&[on(same(0, 2, 0b00011), 0, 1, 1)], uop),
            Op::VmovRm | Op::VmovMr | Op::StoreHigh => return self.vector_move(op, uop),
            Op::VmovFromGpr | Op::VmovToGpr => return self.general_move(op, uop),
            Op::TwoRr if whole => {
                let kernel = TwoSources::ALL[uop.kernel()].0;
                let shift = by_number(kernel, uop.imm8()).filter(|_| uop.base == uop.r1).map(|word| vec![word]);
                let words = shift.or_else(|| two_sources(kernel, uop.imm8())).or_else(|| register_move(kernel));
                let Some(words) = words else { return false };
                self.on_registers(&words, uop);
            }
            Op::TwoRm if whole => {
                let kernel = TwoSources::ALL[uop.kernel()].0;
                let words = match kernel {
                    TwoSources::Movlps => register_move(TwoSources::Movsd),
                    TwoSources::Movhps => register_move(kernel),
                    _ => two_sources(kernel, uop.imm8()).filter(|_| uop.memory_bytes() == 16),
                };
                return words.is_some_and(|words| self.on_memory(&words, uop));
            }
            Op::CountRr if whole => {
                let Some(shift) = by_count(TwoSources::ALL[uop.kernel()].0) else { return false };
                self.shift_by_count(shift, uop);
            }
            Op::VmoveMask => return self.move_mask(uop),
            _ => return self.float(op, uop),
        }
        true
    }

    /// X5 = where the guest's vector registers are; the code goes on at `slow` unless the guest may use SSE. X1 and the
    /// host's flags are lost.
    pub fn with_vectors(&mut self, slow: DynamicLabel) {
        // What comes back from the handler may use it, too.
        if !std::mem::replace(&mut self.has_vectors, true) {
            let (cr0, cr4) = (CR0 as u32, CR4 as u32);
            dynasm!(self.asm
                ; .arch aarch64
                ; ldr x1, [x29, cr0]
                ; tst x1, 0xC
                ; b.ne =>slow
                ; ldr x1, [x29, cr4]
                ; tbz x1, 9, =>slow
            );
        }
        self.load_field(5, FPU);
        let first = vector(0) as u32;
        dynasm!(self.asm ; .arch aarch64 ; add x5, x5, first);
        self.host = HostFlags::None;
    }

    /// V(`to`) = the low `1 << width` bytes of a guest's vector register, zero-extended.
    pub fn load_vector(&mut self, width: usize, to: u8, register: u8) {
        let at = place(register);
        match width {
            4 => dynasm!(self.asm ; .arch aarch64 ; ldr Q(to), [x5, at]),
            3 => dynasm!(self.asm ; .arch aarch64 ; ldr D(to), [x5, at]),
            _ => dynasm!(self.asm ; .arch aarch64 ; ldr S(to), [x5, at]),
        }
    }

    /// The low `1 << width` bytes of a guest's vector register = those of V(`from`); the others stay.
    pub fn store_vector(&mut self, width: usize, from: u8, register: u8) {
        let at = place(register);
        match width {
            4 => dynasm!(self.asm ; .arch aarch64 ; str Q(from), [x5, at]),
            3 => dynasm!(self.asm ; .arch aarch64 ; str D(from), [x5, at]),
            _ => dynasm!(self.asm ; .arch aarch64 ; str S(from), [x5, at]),
        }
    }

    /// The host's instructions on V0 and V1; V2 is clear for those that need it.
    fn compute(&mut self, words: &[u32], uop: &Uop) {
        dynasm!(self.asm ; .arch aarch64 ; movi v2.d2, 0);
        words.iter().for_each(|word| self.asm.push_u32(*word));
        self.store_vector(4, 0, uop.r1);
    }

    fn on_registers(&mut self, words: &[u32], uop: &Uop) {
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        self.load_vector(4, 0, uop.r1);
        self.load_vector(4, 1, uop.base);
        self.compute(words, uop);
        self.come_back(back);
    }

    /// X0 = the host's address of the operand, and its log2 of bytes, as far as the access is plain and aligned if it must
    /// be; the label is for the end of the template. X5 is as of [`Generator::with_vectors`].
    pub fn vector_place(
        &mut self,
        uop: &Uop,
        write: bool,
        aligned: bool,
    ) -> Option<(usize, DynamicLabel, DynamicLabel)> {
        let width = uop.memory_bytes().trailing_zeros() as usize;
        if !is_plain(uop) || !(2..=4).contains(&width) {
            return None;
        }
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        self.translate(uop, width, write, slow);
        if aligned && width == 4 {
            dynasm!(self.asm ; .arch aarch64 ; tst x0, 15 ; b.ne =>slow);
        }
        Some((width, slow, back))
    }

    /// V(`to`) = the `1 << width` bytes at X0, zero-extended.
    pub fn load_vector_from_memory(&mut self, width: usize, to: u8) {
        match width {
            4 => dynasm!(self.asm ; .arch aarch64 ; ldr Q(to), [x0]),
            3 => dynasm!(self.asm ; .arch aarch64 ; ldr D(to), [x0]),
            _ => dynasm!(self.asm ; .arch aarch64 ; ldr S(to), [x0]),
        }
    }

    fn on_memory(&mut self, words: &[u32], uop: &Uop) -> bool {
        let Some((width, _, back)) = self.vector_place(uop, false, true) else { return false };
        self.load_vector_from_memory(width, 1);
        self.load_vector(4, 0, uop.r1);
        self.compute(words, uop);
        self.come_back(back);
        true
    }

    fn vector_move(&mut self, op: Op, uop: &Uop) -> bool {
        if op == Op::StoreHigh && uop.memory_bytes() != 8 {
            return false;
        }
        let write = op != Op::VmovRm;
        let Some((width, _, back)) = self.vector_place(uop, write, uop.must_align()) else { return false };
        if op == Op::VmovRm {
            self.load_vector_from_memory(width, 0);
            self.store_vector(4, 0, uop.r1);
        } else if op == Op::StoreHigh {
            let at = place(uop.r1) + 8;
            dynasm!(self.asm ; .arch aarch64 ; ldr d0, [x5, at] ; str d0, [x0]);
        } else {
            self.load_vector(width, 0, uop.r1);
            match width {
                4 => dynasm!(self.asm ; .arch aarch64 ; str q0, [x0]),
                3 => dynasm!(self.asm ; .arch aarch64 ; str d0, [x0]),
                _ => dynasm!(self.asm ; .arch aarch64 ; str s0, [x0]),
            }
        }
        self.come_back(back);
        true
    }

    fn general_move(&mut self, op: Op, uop: &Uop) -> bool {
        let wide = match uop.imm8() {
            4 => false,
            8 => true,
            _ => return false,
        };
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        if op == Op::VmovFromGpr {
            self.copy(uop.base, if wide { 3 } else { 2 }, 0);
            dynasm!(self.asm ; .arch aarch64 ; fmov d0, x0);
            self.store_vector(4, 0, uop.r1);
        } else {
            let (to, at) = (pinned(uop.r1), place(uop.base));
            if wide {
                dynasm!(self.asm ; .arch aarch64 ; ldr X(to), [x5, at]);
            } else {
                dynasm!(self.asm ; .arch aarch64 ; ldr W(to), [x5, at]);
            }
        }
        self.come_back(back);
        true
    }

    /// A number of all bits or more shifts as that of all bits does.
    fn shift_by_count(&mut self, (size, left, word): (u32, bool, u32), uop: &Uop) {
        let (bits, at) = (8u32 << size, place(uop.base));
        let (slow, back) = self.slow_path();
        self.with_vectors(slow);
        dynasm!(self.asm
            ; .arch aarch64
            ; ldr x1, [x5, at]
            ; movz x2, bits
            ; cmp x1, x2
            ; csel x1, x1, x2, lo
        );
        if !left {
            dynasm!(self.asm ; .arch aarch64 ; neg x1, x1);
        }
        match size {
            1 => dynasm!(self.asm ; .arch aarch64 ; dup v1.h8, w1),
            2 => dynasm!(self.asm ; .arch aarch64 ; dup v1.s4, w1),
            _ => dynasm!(self.asm ; .arch aarch64 ; dup v1.d2, x1),
        }
        self.load_vector(4, 0, uop.r1);
        self.asm.push_u32(word);
        self.store_vector(4, 0, uop.r1);
        self.come_back(back);
    }

    /// PMOVMSKB, MOVMSKPS and MOVMSKPD: each element's sign, moved to its place, and their sum.
    fn move_mask(&mut self, uop: &Uop) -> bool {
        let size = uop.element_log2();
        let (slow, back) = match size {
            0 | 2 | 3 => self.slow_path(),
            _ => return false,
        };
        let to = pinned(uop.r1);
        self.with_vectors(slow);
        self.load_vector(4, 0, uop.base);
        match size {
            0 => {
                self.load_number(1, 0x8040_2010_0804_0201);
                dynasm!(self.asm
                    ; .arch aarch64
                    ; sshr v0.b16, v0.b16, 7
                    ; dup v1.d2, x1
                    ; and v0.b16, v0.b16, v1.b16
                    ; addp v0.b16, v0.b16, v0.b16
                    ; addp v0.b16, v0.b16, v0.b16
                    ; addp v0.b16, v0.b16, v0.b16
                    ; umov W(to), v0.h[0]
                );
            }
            2 => {
                dynasm!(self.asm ; .arch aarch64 ; ushr v0.s4, v0.s4, 31 ; fmov x1, d0 ; umov x2, v0.d[1]);
                // Two in 64 bits: the upper one of each goes beside the lower one.
                dynasm!(self.asm
                    ; .arch aarch64
                    ; orr x1, x1, x1, lsr 31
                    ; orr x2, x2, x2, lsr 31
                    ; and w1, w1, 3
                    ; and w2, w2, 3
                    ; orr W(to), w1, w2, lsl 2
                );
            }
            _ => dynasm!(self.asm
                ; .arch aarch64
                ; fmov x1, d0
                ; umov x2, v0.d[1]
                ; lsr x1, x1, 63
                ; lsr x2, x2, 63
                ; orr W(to), w1, w2, lsl 1
            ),
        }
        self.come_back(back);
        true
    }
}

/// Offset from X5 of a guest's vector register.
pub fn place(register: u8) -> u32 {
    (vector(register) - vector(0)) as u32
}

/// Whether the second operand is in memory.
pub fn in_memory(op: Op) -> bool {
    use Op::*;
    matches!(op, VmovRm | VmovMr | StoreHigh | TwoRm)
}
