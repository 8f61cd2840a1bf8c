//! Random code runs the same in both tiers: every common instruction, with every width and kind of operand.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use emu_core::hash::StableHash;
use emu_core::run::RunExit;
use emu_core::testing::Bench;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Where memory operands mostly lie.
const DATA: u64 = 0x10_0000;
/// Registers that hold addresses and are never written on purpose.
const BASES: [u8; 3] = [3, 6, 13];
/// Functions that programs call: inc rax, ret; not ecx, ret 0; jnz to another page, ret; jmp rel32 to it.
const FUNCTIONS: [u64; 5] = [0x7F80, 0x8C00, 0x8C10, 0x8C20, 0x8C30];
/// Rounds of a program.
const ROUNDS: u64 = 6;

struct Source(Xoshiro256PlusPlus);

impl Source {
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
    /// A register that may be written.
    fn target(&mut self) -> u8 {
        self.pick(&[0, 1, 2, 5, 7, 8, 9, 10, 11, 12])
    }
    fn number(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(4),
            1 => u64::MAX - self.below(4),
            2 => 1 << self.below(64),
            _ => self.0.next_u64(),
        }
    }
}

/// An instruction `opcode /r` with `reg` and a random register or memory operand; `wide` says whether the opcode has
/// REX.W and 66h forms.
fn with_operand(s: &mut Source, opcode: &[u8], reg: u8, wide: bool, immediate: usize, memory: Option<bool>) -> Vec<u8> {
    let memory = memory.unwrap_or_else(|| s.one_in(2));
    let mut prefix = Vec::new();
    let mut rex = 0x40 | reg >> 3 << 2;
    let mut size = 4;
    if wide {
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
        if s.one_in(12) {
            prefix.push(0x67);
        }
        if s.one_in(12) {
            prefix.push(s.pick(&[0x64, 0x65]));
        }
        let base = s.pick(&BASES);
        rex |= base >> 3;
        let disp = match s.below(16) {
            // The end of a page, and the next one.
            0 => 0xFF8 + s.below(16) as i32,
            1 => 0x3F_0000 + s.below(0x10000) as i32,
            _ => s.below(256) as i32,
        };
        if s.one_in(8) {
            // RIP-relative, near the code, but behind it.
            rex &= !1;
            tail.push(reg << 3 & 0x38 | 5);
            tail.extend((0x2000 + disp).to_le_bytes());
        } else if s.one_in(2) {
            tail.push(0x80 | reg << 3 & 0x38 | 4);
            rex |= 2;
            // R14 is the index.
            tail.push((s.below(4) as u8) << 6 | 6 << 3 | base & 7);
            tail.extend(disp.to_le_bytes());
        } else {
            tail.push(0x80 | reg << 3 & 0x38 | base & 7);
            tail.extend(disp.to_le_bytes());
        }
    } else {
        let operand = s.target();
        rex |= operand >> 3;
        tail.push(0xC0 | reg << 3 & 0x38 | operand & 7);
    }
    let bytes = if immediate == 4 { size } else { immediate };
    let number = s.number().to_le_bytes();
    tail.extend(&number[..bytes]);
    // Without REX the byte registers 4 to 7 are AH to BH, BH among them, which is a base.
    if rex != 0x40 || !s.one_in(4) {
        prefix.push(rex);
    }
    [prefix, opcode.to_vec(), tail].concat()
}

/// SSE instructions with vector operands: prefix or 0, opcode, whether an immediate follows, bytes of a memory operand.
const VECTOR: [(u8, u8, bool, u64); 66] = [
    (0, 0x58, false, 16),
    (0x66, 0x58, false, 16),
    (0xF3, 0x58, false, 4),
    (0xF2, 0x58, false, 8),
    (0, 0x59, false, 16),
    (0x66, 0x59, false, 16),
    (0xF3, 0x59, false, 4),
    (0xF2, 0x59, false, 8),
    (0, 0x5C, false, 16),
    (0x66, 0x5C, false, 16),
    (0xF3, 0x5C, false, 4),
    (0xF2, 0x5C, false, 8),
    (0, 0x5E, false, 16),
    (0x66, 0x5E, false, 16),
    (0xF3, 0x5E, false, 4),
    (0xF2, 0x5E, false, 8),
    (0, 0x51, false, 16),
    (0x66, 0x51, false, 16),
    (0xF3, 0x51, false, 4),
    (0xF2, 0x51, false, 8),
    (0, 0x5D, false, 16),
    (0x66, 0x5D, false, 16),
    (0xF3, 0x5D, false, 4),
    (0xF2, 0x5F, false, 8),
    (0, 0x5F, false, 16),
    (0, 0x5A, false, 8),
    (0x66, 0x5A, false, 16),
    (0xF3, 0x5A, false, 4),
    (0xF2, 0x5A, false, 8),
    (0, 0x5B, false, 16),
    (0x66, 0x5B, false, 16),
    (0xF3, 0x5B, false, 16),
    (0xF3, 0xE6, false, 8),
    (0x66, 0xE6, false, 16),
    (0xF2, 0xE6, false, 16),
    (0, 0xC2, true, 16),
    (0x66, 0xC2, true, 16),
    (0xF3, 0xC2, true, 4),
    (0xF2, 0xC2, true, 8),
    (0, 0x2E, false, 4),
    (0x66, 0x2E, false, 8),
    (0, 0x2F, false, 4),
    (0x66, 0x2F, false, 8),
    (0, 0x10, false, 16),
    (0, 0x11, false, 16),
    (0xF3, 0x10, false, 4),
    (0xF3, 0x11, false, 4),
    (0xF2, 0x10, false, 8),
    (0xF2, 0x11, false, 8),
    (0, 0x28, false, 16),
    (0, 0x29, false, 16),
    (0x66, 0x6F, false, 16),
    (0xF3, 0x7F, false, 16),
    (0xF3, 0x7E, false, 8),
    (0x66, 0xD6, false, 8),
    (0, 0x12, false, 8),
    (0, 0x16, false, 8),
    (0x66, 0x70, true, 16),
    (0xF2, 0x70, true, 16),
    (0xF3, 0x70, true, 16),
    (0, 0xC6, true, 16),
    (0x66, 0xC6, true, 16),
    (0x66, 0x14, false, 16),
    (0, 0x15, false, 16),
    (0, 0x53, false, 16),
    (0x66, 0xEF, false, 16),
];

/// Whole-register operations of SSE2 by the byte behind 66h 0Fh.
const WHOLE: [u8; 48] = [
    0xDB, 0xDF, 0xEB, 0xEF, 0xFC, 0xFD, 0xFE, 0xD4, 0xF8, 0xF9, 0xFA, 0xFB, 0xEC, 0xED, 0xDC, 0xDD, 0xE8, 0xE9, 0xD8,
    0xD9, 0xD5, 0xE5, 0xE4, 0xF4, 0xF5, 0xF6, 0xE0, 0xE3, 0xDA, 0xDE, 0xEA, 0xEE, 0x74, 0x75, 0x76, 0x64, 0x65, 0x66,
    0x60, 0x61, 0x62, 0x6C, 0x68, 0x69, 0x6A, 0x6D, 0x63, 0x67,
];

/// An SSE instruction. Memory operands are mostly aligned, and within a page.
fn vector(s: &mut Source) -> Vec<u8> {
    let reg = s.below(16) as u8;
    if s.one_in(8) {
        // Between vector and general registers.
        let general = s.target();
        let wide = if s.one_in(2) { 8 } else { 0 };
        let (prefix, opcode, from_general) = s.pick(&[
            (0x66, 0x6E, true),
            (0xF2, 0x2A, true),
            (0xF3, 0x2A, true),
            (0xF2, 0x2C, false),
            (0xF3, 0x2C, false),
            (0xF2, 0x2D, false),
            (0xF3, 0x2D, false),
        ]);
        let (first, second) = if from_general { (reg, general) } else { (general, reg) };
        let rex = 0x40 | wide | first >> 3 << 2 | second >> 3;
        return vec![prefix, rex, 0x0F, opcode, 0xC0 | first << 3 & 0x38 | second & 7];
    }
    let (prefix, opcode, immediate, bytes) =
        if s.one_in(3) { (0x66, s.pick(&WHOLE), false, 16) } else { s.pick(&VECTOR) };
    let mut code = Vec::new();
    if prefix != 0 {
        code.push(prefix);
    }
    let other = s.below(16) as u8;
    let memory = s.one_in(2);
    code.push(0x40 | reg >> 3 << 2 | if memory { 0 } else { other >> 3 });
    code.extend([0x0F, opcode]);
    if memory {
        code.extend([reg << 3 & 0x38 | 4, 0x25]);
        let skew = if s.one_in(200) { s.below(16) } else { 0 };
        code.extend((DATA as u32 + (s.below(0x100) * bytes + skew) as u32).to_le_bytes());
    } else {
        code.push(0xC0 | reg << 3 & 0x38 | other & 7);
    }
    if immediate {
        code.push(if opcode == 0xC2 { s.below(8) as u8 } else { s.below(256) as u8 });
    }
    code
}

/// A number of one or two formats that is worth trying.
fn float(s: &mut Source) -> u64 {
    let single = |s: &mut Source| {
        let special = [0, 0x8000_0000, 0x3F80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0001, 0x7F80_0001, 1, 0x007F_FFFF];
        u64::from(if s.one_in(2) { s.pick(&special) } else { s.below(1 << 32) as u32 })
    };
    match s.below(4) {
        0 => single(s) | single(s) << 32,
        1 => (s.below(2000) as f64 - 1000.0).to_bits(),
        2 => f64::from_bits(s.0.next_u64()).to_bits(),
        _ => s.pick(&[
            0,
            1 << 63,
            0x7FF0_0000_0000_0000,
            0xFFF0_0000_0000_0000,
            0x7FF8_0000_0000_0001,
            0x7FF0_0000_0000_0001,
            1,
            0x000F_FFFF_FFFF_FFFF,
            0x0010_0000_0000_0000,
            0x7FEF_FFFF_FFFF_FFFF,
        ]),
    }
}

/// One instruction. Which registers it may write is [`Source::target`]'s, but for byte registers of old.
fn instruction(s: &mut Source) -> Vec<u8> {
    let reg = s.target();
    match s.below(30) {
        0..=8 => {
            let row = (s.below(8) as u8) << 3;
            let form = s.below(4) as u8;
            // What writes its register operand has a target as register; what writes r/m has a target there anyway.
            with_operand(s, &[row | form], reg, form & 1 != 0, 0, None)
        }
        9 | 10 => {
            let digit = s.below(8) as u8;
            match s.below(3) {
                0 => with_operand(s, &[0x80], digit, false, 1, None),
                1 => with_operand(s, &[0x81], digit, true, 4, None),
                _ => with_operand(s, &[0x83], digit, true, 1, None),
            }
        }
        11 | 12 => {
            let form = s.below(4) as u8;
            with_operand(s, &[0x88 | form], reg, form & 1 != 0, 0, None)
        }
        13 => match s.below(3) {
            0 => with_operand(s, &[0xC6], 0, false, 1, None),
            1 => with_operand(s, &[0xC7], 0, true, 4, None),
            _ => {
                let mut code = vec![0x48 | reg >> 3, 0xB8 | reg & 7];
                code.extend(s.number().to_le_bytes());
                code
            }
        },
        14 => {
            let opcode = [0x0F, s.pick(&[0xB6, 0xB7, 0xBE, 0xBF])];
            with_operand(s, &opcode, reg, true, 0, None)
        }
        15 => with_operand(s, &[0x63], reg, true, 0, None),
        16 => with_operand(s, &[0x8D], reg, true, 0, Some(true)),
        17 | 18 => {
            let (digit, wide) = (s.below(2) as u8, s.one_in(2));
            with_operand(s, &[0xFE | u8::from(wide)], digit, wide, 0, None)
        }
        19 => {
            let (digit, wide) = (s.pick(&[2, 3, 2, 3, 4, 5]), s.one_in(2));
            with_operand(s, &[0xF6 | u8::from(wide)], digit, wide, 0, None)
        }
        20 => {
            let (digit, wide) = (s.below(2) as u8, s.one_in(2));
            with_operand(s, &[0xF6 | u8::from(wide)], digit, wide, if wide { 4 } else { 1 }, None)
        }
        21 | 22 => {
            let (digit, opcode) = (s.below(8) as u8, s.pick(&[0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3, 0xC1, 0xC1]));
            with_operand(s, &[opcode], digit, opcode & 1 != 0, usize::from(opcode < 0xD0), None)
        }
        23 => {
            let (pop, register) = (s.one_in(2), s.pick(&[0, 1, 2, 5, 7, 8, 9, 10, 11, 12]));
            vec![0x40 | register >> 3, 0x50 | u8::from(pop) << 3 | register & 7]
        }
        24 => {
            let opcode = [0x0F, 0x90 | s.below(16) as u8];
            with_operand(s, &opcode, 0, false, 0, None)
        }
        25 => {
            let opcode = [0x0F, 0x40 | s.below(16) as u8];
            with_operand(s, &opcode, reg, true, 0, None)
        }
        26 => {
            let skipped = instruction(s);
            [vec![0x70 | s.below(16) as u8, skipped.len() as u8], skipped].concat()
        }
        27 => {
            let row = s.pick(&[0xAF, 0xA3, 0xAB, 0xC1, 0xB3, 0xBC, 0xBD]);
            with_operand(s, &[0x0F, row], reg, true, 0, Some(false))
        }
        28 => match s.below(4) {
            0 => with_operand(s, &[0x69], reg, true, 4, None),
            1 => with_operand(s, &[0x6B], reg, true, 1, None),
            2 => with_operand(s, &[0x87], reg, true, 0, None),
            _ => with_operand(s, &[0x84], reg, false, 0, None),
        },
        _ => s
            .pick::<&[u8]>(&[&[0xF5], &[0xF8], &[0xF9], &[0x9F], &[0x9E], &[0x98], &[0x48, 0x99], &[0x90], &[0x99]])
            .to_vec(),
    }
}

/// A loop of random instructions, counted by R15, and HLT.
fn program(s: &mut Source) -> Vec<u8> {
    let count = 1 + s.below(24);
    let vectors = s.one_in(2);
    let mut code = Vec::new();
    for _ in 0..count {
        if vectors && s.one_in(2) {
            code.extend(vector(s));
            continue;
        }
        match s.below(14) {
            // call rel32
            0 => {
                let displacement = s.pick(&FUNCTIONS) as i32 - (0x7C00 + code.len() as i32 + 5);
                code.push(0xE8);
                code.extend(displacement.to_le_bytes());
            }
            // mov r11d, imm32; call r11
            1 => {
                code.extend([0x41, 0xBB]);
                code.extend((s.pick(&FUNCTIONS) as u32).to_le_bytes());
                code.extend([0x41, 0xFF, 0xD3]);
            }
            // call [imm32], where mov dword [imm32], function is before it
            2 => {
                code.extend([0xC7, 0x04, 0x25]);
                code.extend((DATA as u32 + 0x3000).to_le_bytes());
                code.extend((s.pick(&FUNCTIONS) as u32).to_le_bytes());
                code.extend([0xC7, 0x04, 0x25]);
                code.extend((DATA as u32 + 0x3004).to_le_bytes());
                code.extend([0, 0, 0, 0]);
                code.extend([0xFF, 0x14, 0x25]);
                code.extend((DATA as u32 + 0x3000).to_le_bytes());
            }
            // lea r12, [rip + 3]; jmp r12
            3 => code.extend([0x4C, 0x8D, 0x25, 3, 0, 0, 0, 0x41, 0xFF, 0xE4]),
            _ => code.extend(instruction(s)),
        }
    }
    code.extend([0x49, 0xFF, 0xCF]);
    let back = -(code.len() as i32 + 6);
    code.extend([0x0F, 0x85]);
    code.extend(back.to_le_bytes());
    code.push(0xF4);
    code
}

fn bench(code: &[u8], seed: u64) -> Bench {
    let mut s = Source(Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut bench = Bench::long_mode(code);
    let mut memory = vec![0; 0x4000];
    s.0.fill_bytes(&mut memory);
    bench.ram.dma_write(DATA, &memory);
    bench.ram.dma_write(0x9000, &memory);
    bench.ram.dma_write(0x7F80, &[0x48, 0x83, 0xC2, 7, 0xC3]);
    bench.ram.dma_write(0x8C00, &[0x48, 0xFF, 0xC0, 0xC3]);
    bench.ram.dma_write(0x8C10, &[0xF7, 0xD1, 0xC2, 0, 0]);
    bench.ram.dma_write(0x8C20, &[0x0F, 0x85, 0xDA, 0x1F, 0, 0, 0xC3]);
    bench.ram.dma_write(0x8C30, &[0xE9, 0xCB, 0x1F, 0, 0]);
    bench.ram.dma_write(0xAC00, &[0x48, 0xC1, 0xE1, 3, 0xC3]);
    for register in 0..16 {
        bench.cpu.gpr[register] = s.number();
    }
    for register in 0..16 {
        bench.cpu.fpu.vectors[register].0 = std::array::from_fn(|_| float(&mut s));
    }
    for at in 0..0x200 {
        if s.one_in(2) {
            bench.ram.dma_write(DATA + 8 * at, &float(&mut s).to_le_bytes());
        }
    }
    // Rounding, DAZ and FTZ of every kind; sometimes not all exceptions are masked.
    bench.cpu.fpu.mxcsr = 0x1F80 | (s.below(4) as u32) << 13;
    if s.one_in(3) {
        bench.cpu.fpu.mxcsr ^= (s.0.next_u64() as u32) & 0x8040;
    }
    if s.one_in(8) {
        bench.cpu.fpu.mxcsr ^= (s.0.next_u64() as u32) & 0x1F80;
    }
    for base in BASES {
        bench.cpu.gpr[usize::from(base)] = DATA + s.below(0x1800);
    }
    bench.cpu.gpr[14] = s.below(64);
    bench.cpu.gpr[15] = ROUNDS;
    bench.cpu.gpr[4] = DATA + 0x2000;
    bench.cpu.set_flags(s.0.next_u64() & 0x8D5 | 2);
    bench
}

/// What a run can be told by: the processor's state, and guest memory.
fn state(bench: &Bench) -> (u64, u64) {
    let mut hash = StableHash::new();
    hash.value(&bench.cpu.guest_state()).expect("a state has an encoding");
    (hash.get(), StableHash::of(bench.ram.ram()))
}

/// Runs in slices whose lengths come from `seed` until nothing executes any more or `cycles` are over.
fn run(bench: &mut Bench, cycles: u64, seed: u64) {
    let mut s = Source(Xoshiro256PlusPlus::seed_from_u64(seed));
    let end = bench.cpu.cycles + cycles;
    while bench.cpu.cycles < end {
        let slice = (1 + s.below(100)).min(end - bench.cpu.cycles);
        if bench.run(slice) == RunExit::Stopped {
            break;
        }
    }
}

fn compare(seed: u64) {
    let mut s = Source(Xoshiro256PlusPlus::seed_from_u64(seed));
    let code = program(&mut s);
    let mut interpreted = bench(&code, seed);
    let mut compiled = bench(&code, seed);
    compiled.cache.set_tier(emu_jit::tier(1));
    assert!(compiled.cache.has_tier(), "this host is served");
    run(&mut interpreted, 2000, seed);
    run(&mut compiled, 2000, seed ^ u64::from(seed.is_multiple_of(3)));
    if state(&interpreted) != state(&compiled) {
        for register in 0..18 {
            let (a, b) = (interpreted.cpu.gpr[register], compiled.cpu.gpr[register]);
            let mark = if a == b { "" } else { " <--" };
            println!("{register:2} {a:016x} {b:016x}{mark}");
        }
        println!("flags {:x} {:x}", interpreted.cpu.flags.get(), compiled.cpu.flags.get());
        println!("cycles {} {}", interpreted.cpu.cycles, compiled.cpu.cycles);
        println!("instructions {} {}", interpreted.cpu.instructions, compiled.cpu.instructions);
        for n in 0..16 {
            let (a, b) = (interpreted.cpu.fpu.vectors[n].0, compiled.cpu.fpu.vectors[n].0);
            if a != b {
                println!("xmm{n} {a:016x?} {b:016x?}");
            }
        }
        println!("mxcsr {:x} {:x}", interpreted.cpu.fpu.mxcsr, compiled.cpu.fpu.mxcsr);
        println!("memory is the same: {}", interpreted.ram.ram() == compiled.ram.ram());
        let hex: Vec<String> = code.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("seed {seed}: the tiers differ; the code is {}", hex.join(" "));
    }
}

#[test]
fn random_code_ends_in_the_same_state_in_both_tiers() {
    let count = std::env::var("RVMX_RANDOM_CODE").ok().and_then(|count| count.parse().ok()).unwrap_or(2000);
    for seed in 0..count {
        compare(seed);
    }
}
