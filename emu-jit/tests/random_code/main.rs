//! Random code runs the same in both tiers: every common instruction, with every width and kind of operand.
#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]

mod edges;
mod program;
mod vector;
mod x87;

use emu_core::hash::StableHash;
use emu_core::run::RunExit;
use emu_core::state::derived::Size;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::SegmentRegister;
use program::{Source, program};
use vector::float;

/// Where programs begin.
const START: u64 = 0x7C00;
/// Where memory operands mostly lie.
const DATA: u64 = 0x10_0000;
/// Registers that hold addresses and are never written on purpose; code of 32 bits has the first two.
const BASES: [u8; 3] = [3, 6, 13];
/// Functions that programs call: inc rax, ret; not ecx, ret 0; jnz to another page, ret; jmp rel32 to it.
const FUNCTIONS: [u64; 5] = [0x7F80, 0x8C00, 0x8C10, 0x8C20, 0x8C30];
/// Rounds of a program.
const ROUNDS: u64 = 6;
/// Where code of 32 bits counts them.
const ROUNDS_LEFT: u32 = DATA as u32 + 0x3FF0;

fn bench(code: &[u8], seed: u64, wide: bool) -> Bench {
    let mut s = Source::new(seed, wide);
    let mut bench = Bench::long_mode(code);
    let mut memory = vec![0; 0x4000];
    s.fill(&mut memory);
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
        bench.cpu.fpu.mxcsr ^= (s.bits() as u32) & 0x8040;
    }
    if s.one_in(8) {
        bench.cpu.fpu.mxcsr ^= (s.bits() as u32) & 0x1F80;
    }
    x87::fill(&mut s, &mut bench.cpu.fpu);
    if s.one_in(2) {
        bench.cpu.sys.cr0 |= Cr0::NE;
    }
    for base in BASES {
        bench.cpu.gpr[usize::from(base)] = DATA + s.below(0x1800);
    }
    bench.cpu.gpr[14] = s.below(64);
    bench.cpu.gpr[15] = ROUNDS;
    bench.cpu.gpr[4] = DATA + 0x2000;
    bench.cpu.set_flags(s.bits() & 0x8D5 | 2);
    if !wide {
        bench.set_flat_segments(Size::Bits32, 0);
        bench.cpu.gpr[7] = s.below(64);
        bench.ram.dma_write(ROUNDS_LEFT.into(), &(ROUNDS as u32).to_le_bytes());
        // Segments with a base and a limit that some accesses are beyond.
        for register in [SegmentRegister::Es, SegmentRegister::Fs, SegmentRegister::Gs] {
            let base = s.below(3) * 0x800;
            let mut segment = bench.cpu.sys.segments[SegmentRegister::Ds as usize];
            (segment.base, segment.limit) = (base, (DATA + s.below(0x4000)) as u32);
            bench.cpu.sys.segments[register as usize] = segment;
        }
        bench.cpu.refresh();
    }
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
    let mut s = Source::new(seed, true);
    let end = bench.cpu.cycles + cycles;
    while bench.cpu.cycles < end {
        let slice = (1 + s.below(100)).min(end - bench.cpu.cycles);
        if bench.run(slice) == RunExit::Stopped {
            break;
        }
    }
}

fn compare(seed: u64, wide: bool) {
    let mut s = Source::new(seed, wide);
    let code = program(&mut s);
    let mut interpreted = bench(&code, seed, wide);
    let mut compiled = bench(&code, seed, wide);
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
        let x87 = |bench: &Bench| {
            let fpu = &bench.cpu.fpu;
            let pointers = (fpu.instruction_pointer, fpu.data_pointer, fpu.instruction_selector, fpu.data_selector);
            format!("{:x?}", (fpu.control, fpu.status, fpu.tags, fpu.opcode, pointers, fpu.exponent, fpu.significand))
        };
        println!("x87 {}\n    {}", x87(&interpreted), x87(&compiled));
        println!("mxcsr {:x} {:x}", interpreted.cpu.fpu.mxcsr, compiled.cpu.fpu.mxcsr);
        println!("memory is the same: {}", interpreted.ram.ram() == compiled.ram.ram());
        let hex: Vec<String> = code.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("seed {seed}: the tiers differ; the code is {}", hex.join(" "));
    }
}

/// How many programs each test runs.
fn count() -> u64 {
    std::env::var("RVMX_RANDOM_CODE").ok().and_then(|count| count.parse().ok()).unwrap_or(2000)
}

#[test]
fn random_code_of_64_bits_ends_in_the_same_state_in_both_tiers() {
    (0..count()).for_each(|seed| compare(seed, true));
}

#[test]
fn random_code_of_32_bits_ends_in_the_same_state_in_both_tiers() {
    (0..count()).for_each(|seed| compare(seed, false));
}

/// An instruction that has reached a page, and then the end of the page before it and the start of that page: the two are
/// not neighbours in memory.
#[test]
fn access_across_pages_behind_one_to_the_upper_page_reaches_both() {
    // mov [rbx],rax | mov rax,[rbx] | add [rbx],rax | mov [rbx],ax; sub rbx,step; dec ecx; jnz; hlt
    for access in [[0x48, 0x89, 0x03], [0x48, 0x8B, 0x03], [0x48, 0x01, 0x03], [0x66, 0x89, 0x03]] {
        for step in 1..9 {
            let code = [&access[..], &[0x48, 0x83, 0xEB, step, 0xFF, 0xC9, 0x75, 0xF5, 0xF4]].concat();
            let machine = || {
                let mut bench = Bench::long_mode(&code);
                for (page, physical) in [(0x40_0000, DATA + 0x5000), (0x40_1000, DATA + 0x2000)] {
                    bench.map(page, physical, 7);
                }
                bench.ram.dma_write(DATA, &(0..0x8000).map(|n| (n * 7 % 251) as u8).collect::<Vec<_>>());
                (bench.cpu.gpr[0], bench.cpu.gpr[1]) = (0x0102_0304_0506_0708, 40);
                bench.cpu.gpr[3] = 0x40_1000 + 20 * u64::from(step) - 3;
                bench.cpu.changed_from_outside();
                bench
            };
            let (mut interpreted, mut compiled) = (machine(), machine());
            compiled.cache.set_tier(emu_jit::tier(1));
            for bench in [&mut interpreted, &mut compiled] {
                assert_eq!(bench.run(1000), RunExit::Stopped);
            }
            assert!(state(&interpreted) == state(&compiled), "{access:x?} {step}");
        }
    }
}

/// What some instructions leave of the flags is what those before them have recorded, each in its own way.
#[test]
fn instruction_that_keeps_flags_keeps_those_of_every_other_one() {
    // inc r9b | dec r9d | add r9d,ecx | sub r9,rcx | adc r9w,cx | sbb r9d,ecx | and r9d,ecx | neg r9d | shl r9d,3 |
    // sar r9b,1 | imul r9d,ecx | cmp r9,rcx | sahf | tzcnt r9d,ecx | bsf r9d,ecx
    let writers: [&[u8]; 15] = [
        &[0x41, 0xFE, 0xC1],
        &[0x41, 0xFF, 0xC9],
        &[0x41, 0x01, 0xC9],
        &[0x49, 0x29, 0xC9],
        &[0x66, 0x41, 0x11, 0xC9],
        &[0x41, 0x19, 0xC9],
        &[0x41, 0x21, 0xC9],
        &[0x41, 0xF7, 0xD9],
        &[0x41, 0xC1, 0xE1, 3],
        &[0x41, 0xD0, 0xF9],
        &[0x44, 0x0F, 0xAF, 0xC9],
        &[0x49, 0x39, 0xC9],
        &[0x9E],
        &[0xF3, 0x44, 0x0F, 0xBC, 0xC9],
        &[0x44, 0x0F, 0xBC, 0xC9],
    ];
    // rol rbp,1 | ror rbp,1 | rol ebp,7 | ror ebp,9 | rol bp,3 | rcl rbp,1 | rol rbp,cl | bt r8,rcx | stc | cmc |
    // inc r8d | dec r8b | shl r8d,cl
    let keepers: [&[u8]; 13] = [
        &[0x48, 0xD1, 0xC5],
        &[0x48, 0xD1, 0xCD],
        &[0xC1, 0xC5, 7],
        &[0xC1, 0xCD, 9],
        &[0x66, 0xC1, 0xC5, 3],
        &[0x48, 0xD1, 0xD5],
        &[0x48, 0xD3, 0xC5],
        &[0x49, 0x0F, 0xA3, 0xC8],
        &[0xF9],
        &[0xF5],
        &[0x41, 0xFF, 0xC0],
        &[0x41, 0xFE, 0xC8],
        &[0x41, 0xD3, 0xE0],
    ];
    for (writer, keeper) in writers.iter().flat_map(|writer| keepers.iter().map(move |keeper| (writer, keeper))) {
        // …; setl al; pushfq; pop rdx; add r10,rdx; rol r10,5; add r10,rax; dec ecx; jnz; hlt
        let tail = [0x0F, 0x9C, 0xC0, 0x9C, 0x5A, 0x49, 0x01, 0xD2, 0x49, 0xC1, 0xC2, 5, 0x49, 0x01, 0xC2, 0xFF, 0xC9];
        let mut code = [&writer[..], &keeper[..], &tail[..]].concat();
        let back = -(code.len() as i8 + 2);
        code.extend([0x75, back as u8, 0xF4]);
        let machine = || {
            let mut bench = Bench::long_mode(&code);
            bench.cpu.gpr[1] = 70;
            bench.cpu.gpr[4] = DATA + 0x2000;
            bench.cpu.gpr[5] = 0x8000_0001_4000_C003;
            (bench.cpu.gpr[8], bench.cpu.gpr[9]) = (0x7FFF_FFF8_FF0F_00FA, 0x7FFF_FFFF_7FFF_7FFA);
            bench.cpu.changed_from_outside();
            bench
        };
        let (mut interpreted, mut compiled) = (machine(), machine());
        compiled.cache.set_tier(emu_jit::tier(1));
        for bench in [&mut interpreted, &mut compiled] {
            assert_eq!(bench.run(2000), RunExit::Stopped);
        }
        assert!(state(&interpreted) == state(&compiled), "{writer:02x?} {keeper:02x?}");
    }
}
