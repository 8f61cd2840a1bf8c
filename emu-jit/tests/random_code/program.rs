//! Random programs: loops over every common integer instruction, with every width and kind of operand.

use crate::vector::vector;
use crate::x87::x87;
use crate::{BASES, DATA, FUNCTIONS, START};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Where programs come from.
pub struct Source {
    random: Xoshiro256PlusPlus,
    /// Code of 64-bit mode; else of 32 bits.
    pub wide: bool,
}

impl Source {
    pub fn new(seed: u64, wide: bool) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), wide }
    }
    pub fn bits(&mut self) -> u64 {
        self.random.next_u64()
    }
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.random.fill_bytes(bytes);
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
    /// A register that may be written, with any width.
    pub fn target(&mut self) -> u8 {
        if self.wide { self.pick(&[0, 1, 2, 5, 7, 8, 9, 10, 11, 12]) } else { self.pick(&[0, 1, 2, 5]) }
    }
    pub fn vector_register(&mut self) -> u8 {
        self.below(if self.wide { 16 } else { 8 }) as u8
    }
    fn base(&mut self) -> u8 {
        if self.wide { self.pick(&BASES) } else { self.pick(&BASES[..2]) }
    }
    pub fn number(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(4),
            1 => u64::MAX - self.below(4),
            2 => 1 << self.below(64),
            _ => self.bits(),
        }
    }
}

/// The operand of an instruction: whether it is in memory, or either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    Register,
    Memory,
    Either,
}
use Operand::{Either, Memory, Register};

/// An instruction `opcode /r` with `reg` and a random operand; `sized` says whether the opcode has operands of 16 to 64
/// bits. `immediate` is its size, with 4 for as many as the operand has.
pub fn with_operand(
    s: &mut Source,
    opcode: &[u8],
    reg: u8,
    sized: bool,
    immediate: usize,
    operand: Operand,
) -> Vec<u8> {
    let memory = operand == Memory || operand == Either && s.one_in(2);
    let mut prefix = Vec::new();
    let mut rex = 0x40 | reg >> 3 << 2;
    let mut size = 4;
    if sized {
        match s.below(4) {
            0 => {
                prefix.push(0x66);
                size = 2;
            }
            1 | 2 => rex |= 8,
            _ => {}
        }
    }
    let mut tail = Vec::new();
    if memory {
        if s.wide && s.one_in(12) {
            prefix.push(0x67);
        }
        if s.one_in(12) {
            prefix.push(if s.wide { s.pick(&[0x64, 0x65]) } else { s.pick(&[0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65]) });
        }
        let base = s.base();
        rex |= base >> 3;
        let disp = match s.below(16) {
            // The end of a page, and the next one.
            0 => 0xFF8 + s.below(16) as i32,
            1 => 0x3F_0000 + s.below(0x10000) as i32,
            _ => s.below(256) as i32,
        };
        if s.one_in(8) {
            // RIP-relative, near the code, but behind it; or absolute.
            rex &= !1;
            tail.push(reg << 3 & 0x38 | 5);
            let near = if s.wide { 0x2000 } else { DATA as i32 };
            tail.extend((near + disp).to_le_bytes());
        } else if s.one_in(2) {
            tail.push(0x80 | reg << 3 & 0x38 | 4);
            let index = if s.wide { 14 } else { 7 };
            rex |= index >> 3 << 1;
            tail.push((s.below(4) as u8) << 6 | (index & 7) << 3 | base & 7);
            tail.extend(disp.to_le_bytes());
        } else {
            tail.push(0x80 | reg << 3 & 0x38 | base & 7);
            tail.extend(disp.to_le_bytes());
        }
    } else {
        let operand = if sized || s.wide { s.target() } else { s.pick(&[0, 1, 2, 4, 5, 6]) };
        rex |= operand >> 3;
        tail.push(0xC0 | reg << 3 & 0x38 | operand & 7);
    }
    let bytes = if immediate == 4 { size } else { immediate };
    let number = s.number().to_le_bytes();
    tail.extend(&number[..bytes]);
    // Without REX the byte registers 4 to 7 are AH to BH, BH among them, which is a base.
    if s.wide && (rex != 0x40 || !s.one_in(4)) {
        prefix.push(rex);
    }
    [prefix, opcode.to_vec(), tail].concat()
}

/// An instruction on one register of 32 bits or, in 64-bit mode, perhaps 64, named in its last byte.
fn on_register(s: &mut Source, opcode: &[u8]) -> Vec<u8> {
    let register = s.target();
    let mut code = Vec::new();
    if s.wide {
        code.push(0x40 | if s.one_in(2) { 8 } else { 0 } | register >> 3);
    }
    code.extend(opcode);
    if let Some(last) = code.last_mut() {
        *last |= register & 7;
    }
    code
}

/// DIV or IDIV that mostly does not fault.
fn division(s: &mut Source) -> Vec<u8> {
    let rex: &[u8] = if s.wide && s.one_in(2) { &[0x48] } else { &[] };
    let high: &[u8] = s.pick(&[&[0x31, 0xD2], &[0x99], &[0x31, 0xD2], &[0x83, 0xE2, 0x01]]);
    let divisor: &[u8] = s.pick(&[&[0x83, 0xC9, 0x02], &[0x83, 0xC9, 0x01], &[0x83, 0xC9, 0xF0]]);
    let divide: &[u8] = s.pick(&[&[0xF7, 0xF1], &[0xF7, 0xF9]]);
    [rex, high, rex, divisor, rex, divide].concat()
}

/// One instruction. Which registers it may write is [`Source::target`]'s, but for byte registers of old.
fn instruction(s: &mut Source) -> Vec<u8> {
    let reg = s.target();
    match s.below(39) {
        0..=8 => {
            let row = (s.below(8) as u8) << 3;
            let form = s.below(4) as u8;
            // What writes its register operand has a target as register; what writes r/m has a target there anyway.
            with_operand(s, &[row | form], reg, form & 1 != 0, 0, Either)
        }
        9 | 10 => {
            let digit = s.below(8) as u8;
            match s.below(3) {
                0 => with_operand(s, &[0x80], digit, false, 1, Either),
                1 => with_operand(s, &[0x81], digit, true, 4, Either),
                _ => with_operand(s, &[0x83], digit, true, 1, Either),
            }
        }
        11 | 12 => {
            let form = s.below(4) as u8;
            with_operand(s, &[0x88 | form], reg, form & 1 != 0, 0, Either)
        }
        13 if s.wide && s.one_in(3) => {
            // mov rax, [moffs64], and back.
            let wide = if s.one_in(2) { 0x48 } else { 0x40 };
            let place = DATA + s.below(0x1010);
            [&[wide, s.pick(&[0xA0, 0xA1, 0xA2, 0xA3])][..], &place.to_le_bytes()].concat()
        }
        13 => match s.below(3) {
            0 => with_operand(s, &[0xC6], 0, false, 1, Either),
            1 => with_operand(s, &[0xC7], 0, true, 4, Either),
            _ if !s.wide => [&[0xB8 | reg][..], &s.number().to_le_bytes()[..4]].concat(),
            _ => [&[0x48 | reg >> 3, 0xB8 | reg & 7][..], &s.number().to_le_bytes()].concat(),
        },
        14 => {
            let opcode = [0x0F, s.pick(&[0xB6, 0xB7, 0xBE, 0xBF])];
            with_operand(s, &opcode, reg, true, 0, Either)
        }
        15 if s.wide => with_operand(s, &[0x63], reg, true, 0, Either),
        15 | 16 => with_operand(s, &[0x8D], reg, true, 0, Memory),
        17 | 18 => {
            let (digit, sized) = (s.below(2) as u8, s.one_in(2));
            with_operand(s, &[0xFE | u8::from(sized)], digit, sized, 0, Either)
        }
        19 => {
            let (digit, sized) = (s.pick(&[2, 3, 2, 3, 4, 5]), s.one_in(2));
            with_operand(s, &[0xF6 | u8::from(sized)], digit, sized, 0, Either)
        }
        20 => {
            let (digit, sized) = (s.below(2) as u8, s.one_in(2));
            with_operand(s, &[0xF6 | u8::from(sized)], digit, sized, if sized { 4 } else { 1 }, Either)
        }
        21 | 22 => {
            let (digit, opcode) = (s.below(8) as u8, s.pick(&[0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3, 0xC1, 0xC1, 0xD3]));
            with_operand(s, &[opcode], digit, opcode & 1 != 0, usize::from(opcode < 0xD0), Either)
        }
        23 => {
            let (pop, register) = (s.one_in(2), s.target());
            let rex = s.wide.then_some(0x40 | register >> 3);
            rex.into_iter().chain([0x50 | u8::from(pop) << 3 | register & 7]).collect()
        }
        24 => {
            let opcode = [0x0F, 0x90 | s.below(16) as u8];
            with_operand(s, &opcode, 0, false, 0, Either)
        }
        25 => {
            let opcode = [0x0F, 0x40 | s.below(16) as u8];
            with_operand(s, &opcode, reg, true, 0, Either)
        }
        26 => {
            let skipped = instruction(s);
            let opcode = if s.one_in(4) { s.pick(&[0xE0, 0xE1, 0xE2, 0xE2, 0xE3]) } else { 0x70 | s.below(16) as u8 };
            [vec![opcode, skipped.len() as u8], skipped].concat()
        }
        27 => {
            let row = s.pick(&[0xA3, 0xAB, 0xC1, 0xB3, 0xBB]);
            with_operand(s, &[0x0F, row], reg, true, 0, Register)
        }
        28 => match s.below(5) {
            0 => with_operand(s, &[0x69], reg, true, 4, Either),
            1 => with_operand(s, &[0x6B], reg, true, 1, Either),
            2 => with_operand(s, &[0x87], reg, true, 0, Either),
            3 => with_operand(s, &[0x86], reg, false, 0, Either),
            _ => with_operand(s, &[0x84], reg, false, 0, Either),
        },
        29 => division(s),
        30 => {
            let row = s.pick(&[0xAF, 0xBC, 0xBD]);
            with_operand(s, &[0x0F, row], reg, true, 0, Either)
        }
        31 => {
            let digit = s.pick(&[4, 5, 6, 7]);
            with_operand(s, &[0x0F, 0xBA], digit, true, 1, Either)
        }
        32 => {
            let (row, by_number) = s.pick(&[(0xA4, true), (0xA5, false), (0xAC, true), (0xAD, false)]);
            with_operand(s, &[0x0F, row], reg, true, usize::from(by_number), Either)
        }
        33 => match s.below(4) {
            0 => on_register(s, &[0x0F, 0xC8]),
            1 => vec![0x6A, s.below(256) as u8],
            2 => [&[0x68][..], &s.number().to_le_bytes()[..4]].concat(),
            _ => with_operand(s, &[0xFF], 6, true, 0, Memory),
        },
        35 => {
            let opcode = [0x0F, s.pick(&[0xB8, 0xBC, 0xBD])];
            [vec![0xF3], with_operand(s, &opcode, reg, true, 0, Either)].concat()
        }
        36 => {
            let opcode = s.pick(&[0xB0, 0xB1, 0xC0, 0xC1, 0xB1, 0xC1]);
            with_operand(s, &[0x0F, opcode], reg, opcode & 1 != 0, 0, Either)
        }
        // A bit of a bit string: and reg, 3ff; bt [m], reg.
        37 => {
            let rex = s.wide.then_some(0x48 | reg >> 3);
            let cut = rex.into_iter().chain([0x81, 0xE0 | reg & 7, 0xFF, 3, 0, 0]).collect();
            let row = s.pick(&[0xA3, 0xAB, 0xB3, 0xBB]);
            [cut, with_operand(s, &[0x0F, row], reg, true, 0, Memory)].concat()
        }
        // A frame: mov rbp, rsp; push rax; leave. The popped one is any.
        34 if s.wide => vec![0x48, 0x89, 0xE5, 0x50, 0xC9],
        34 => vec![0x89, 0xE5, 0x50, 0xC9],
        _ if s.wide && s.one_in(4) => vec![0x48, s.pick(&[0x98, 0x99])],
        _ => s
            .pick::<&[u8]>(&[
                &[0xF5],
                &[0xF8],
                &[0xF9],
                &[0x9F],
                &[0x9E],
                &[0x98],
                &[0x66, 0x98],
                &[0x66, 0x99],
                &[0x99],
            ])
            .to_vec(),
    }
}

/// A call, or a jump over nothing; the program so far has `len` bytes.
fn transfer(s: &mut Source, len: usize) -> Vec<u8> {
    let function = s.pick(&FUNCTIONS) as u32;
    let here = START as u32 + len as u32;
    let pointer = DATA as u32 + 0x3000;
    match s.below(4) {
        // call rel32
        0 => [&[0xE8][..], &function.wrapping_sub(here + 5).to_le_bytes()].concat(),
        // mov r11d, imm32; call r11
        1 if s.wide => [&[0x41, 0xBB][..], &function.to_le_bytes(), &[0x41, 0xFF, 0xD3]].concat(),
        1 => [&[0xBD][..], &function.to_le_bytes(), &[0xFF, 0xD5]].concat(),
        // call [imm32], where the function's address is stored before
        2 => {
            let store =
                |at: u32, value: u32| [&[0xC7, 0x04, 0x25][..], &at.to_le_bytes(), &value.to_le_bytes()].concat();
            let call = [&[0xFF, 0x14, 0x25][..], &pointer.to_le_bytes()].concat();
            [store(pointer, function), store(pointer + 4, 0), call].concat()
        }
        // lea r12, [rip + 3]; jmp r12
        _ if s.wide => vec![0x4C, 0x8D, 0x25, 3, 0, 0, 0, 0x41, 0xFF, 0xE4],
        _ => [&[0xBD][..], &(here + 7).to_le_bytes(), &[0xFF, 0xE5]].concat(),
    }
}

/// A loop of random instructions, counted by R15 or in memory, and HLT.
pub fn program(s: &mut Source) -> Vec<u8> {
    let count = 1 + s.below(24);
    let vectors = s.one_in(2);
    // How many of eight instructions are of the x87 FPU.
    let x87s = s.pick(&[0, 0, 1, 4, 7]);
    let mut code = Vec::new();
    for _ in 0..count {
        let next = if s.below(8) < x87s {
            x87(s)
        } else if vectors && s.one_in(2) {
            vector(s)
        } else if s.below(14) < 4 {
            transfer(s, code.len())
        } else {
            instruction(s)
        };
        code.extend(next);
    }
    if s.wide {
        code.extend([0x49, 0xFF, 0xCF]);
    } else {
        code.extend([0xFF, 0x0D]);
        code.extend(crate::ROUNDS_LEFT.to_le_bytes());
    }
    let back = -(code.len() as i32 + 6);
    code.extend([0x0F, 0x85]);
    code.extend(back.to_le_bytes());
    code.push(0xF4);
    code
}
