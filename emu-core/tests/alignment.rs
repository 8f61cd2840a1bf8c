//! Alignment checks of every instruction with an operand in memory (SDM Vol. 3A 6.15, "Interrupt 17—Alignment Check
//! Exception (#AC)", Table 6-7 "Alignment Requirements by Data Type").
//!
//! The instructions are found by decoding all opcodes; what each must do follows from the type of its operand.

mod common;

use common::*;
use emu_core::fault::{Fault, Stop};
use emu_core::flags::{AC, IOPL};
use emu_core::model::CpuModel;
use emu_core::state::fpu::FpuState;
use emu_core::state::system::SystemState;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::segment::{AccessRights, SegmentRegister};
use emu_vmx::arch::vector;
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, MemorySize, Mnemonic, Register};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a type of operand must be a multiple of, by Table 6-7. `None`: not checked, or an alignment of its own whose
/// violation is #GP.
fn alignment(size: MemorySize) -> Option<u64> {
    use MemorySize::*;
    Some(match size {
        UInt8 | Int8 => 1,
        UInt16 | Int16 | Float16 | BFloat16 => 2,
        UInt32 | Int32 | Float32 => 4,
        UInt64 | Int64 | Float64 => 8,
        // Double extended-precision floating-point, and BCD of that size.
        Float80 | Bcd => 8,
        WordOffset => 2,
        DwordOffset => 4,
        QwordOffset => 8,
        // 32-bit far pointer, 48-bit far pointer.
        SegPtr16 => 2,
        SegPtr32 => 4,
        SegPtr64 => 8,
        // Two words, two doublewords.
        Bound16_WordWord => 2,
        Bound32_DwordDword => 4,
        // FSTENV and FSAVE, by operand size.
        FpuEnv14 | FpuState94 => 2,
        FpuEnv28 | FpuState108 => 4,
        size if size.size() >= 16 => return None,
        size if size.is_packed() => size.size() as u64,
        // INVLPG and the like, which access nothing; XSAVE areas; SGDT and SIDT, tested by themselves.
        Unknown | Xsave | Xsave64 | Fword6 | Fword10 | SegmentDescSelector => return None,
        other => panic!("which alignment has {other:?} (SDM Vol. 3A Table 6-7)?"),
    })
}

/// Bytes of their own: MASKMOVQ and MASKMOVDQU. 16 and more bytes that MASKMOV reads and writes by elements: "no #AC
/// reported for any mask bit combinations" (SDM Vol. 2A, Exceptions Type 6).
const NOT_CHECKED: [Mnemonic; 3] = [Mnemonic::Maskmovq, Mnemonic::Maskmovdqu, Mnemonic::Vmaskmovdqu];

/// Every instruction that has [rBX] as its operand, or none but implied ones, in code of so many bits.
fn instructions(bits: u32) -> Vec<(Vec<u8>, Instruction)> {
    let mut prefixes: Vec<Vec<u8>> = Vec::new();
    // REX.W.
    let wide: &[&[u8]] = if bits == 64 { &[&[], &[0x48]] } else { &[&[]] };
    for prefix in [&[][..], &[0x66], &[0xF2], &[0xF3], &[0x66, 0xF2], &[0x66, 0xF3]] {
        for wide in wide {
            for map in [&[][..], &[0x0F], &[0x0F, 0x38], &[0x0F, 0x3A]] {
                prefixes.push([prefix, wide, map].concat());
            }
        }
    }
    // VEX and EVEX, 128 bits, without a second source or mask.
    for pp in 0..4u8 {
        for w in [0, 0x80] {
            prefixes.extend((1..=3).map(|map| vec![0xC4, 0xE0 | map, 0x78 | pp | w]));
            prefixes.extend((1..=6).map(|map| vec![0x62, 0xF0 | map, 0x7C | pp | w, 0x08]));
        }
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for prefix in prefixes {
        for (opcode, reg) in (0..=255u8).flat_map(|opcode| (0..8u8).map(move |reg| (opcode, reg))) {
            let bytes = [&prefix[..], &[opcode, reg << 3 | 3, 0, 0, 0, 0, 0, 0, 0]].concat();
            let instruction = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
            if !instruction.is_invalid() && seen.insert(instruction.code() as usize) {
                all.push((bytes, instruction));
            }
        }
    }
    all
}

/// A processor at privilege level 3 that checks alignment, and its state before each instruction.
struct Machine {
    bench: Bench,
    sys: SystemState,
    fpu: Box<FpuState>,
}

/// Where the registers point that address memory; zeros are there.
const PLACES: [(Register, usize, u64); 5] = [
    (Register::RBX, 3, 0xA000),
    (Register::RSP, 4, 0xB400),
    (Register::RBP, 5, 0xB800),
    (Register::RSI, 6, 0xC000),
    (Register::RDI, 7, 0xD000),
];

impl Machine {
    fn new(bits: u32) -> Self {
        let mut bench = if bits == 64 { long(&[]) } else { protected(&[], 3) };
        bench.cpu.config.model = Arc::new(CpuModel::everything());
        bench.cpu.sys.cr0 |= Cr0::AM | Cr0::NE;
        bench.cpu.sys.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::OSXSAVE | Cr4::FSGSBASE;
        bench.cpu.sys.xcr0 = 0xE7;
        if bits == 64 {
            let cs = &mut bench.cpu.sys.segments[SegmentRegister::Cs as usize];
            cs.access_rights = AccessRights::from_bits_retain(0xA0FB);
            bench.cpu.sys.cpl = 3;
        }
        let (sys, fpu) = (bench.cpu.sys.clone(), bench.cpu.fpu.clone());
        Self { bench, sys, fpu }
    }

    /// What the instruction does if one register is `offset` bytes on: the exception, if any.
    fn outcome(&mut self, code: &[u8], register: Register, offset: u64) -> Option<Fault> {
        let cpu = &mut self.bench.cpu;
        (cpu.sys, cpu.fpu) = (self.sys.clone(), self.fpu.clone());
        cpu.gpr[..16].fill(0);
        // A count, and a divisor that is not 0.
        cpu.gpr[1] = 1;
        for (named, number, place) in PLACES {
            cpu.gpr[number] = place + if named == register { offset } else { 0 };
            self.bench.ram.dma_write(place - 0x80, &[0; 0x180]);
        }
        cpu.set_flags(AC | IOPL | 2);
        cpu.refresh();
        cpu.set_rip(START);
        self.bench.ram.dma_write(START, code);
        match self.bench.step() {
            Ok(()) => None,
            Err(stop) => {
                assert_eq!(stop, Stop::Fault);
                Some(self.bench.cpu.scratch.fault)
            }
        }
    }
}

const MISALIGNED: Option<Fault> = Some(Fault::with_code(vector::AC, 0));

/// The strictest alignment of what `instruction` accesses by `register`, if that is all checked.
fn required(factory: &mut InstructionInfoFactory, instruction: &Instruction, register: Register) -> Option<u64> {
    if instruction.mnemonic() == Mnemonic::Push && instruction.op0_register().is_segment_register() {
        // "The segment selector is written on the stack using a 16-bit move" (SDM Vol. 2B, PUSH), but for 64 bits.
        return (register == Register::RSP).then_some(if instruction.stack_pointer_increment() == -8 { 8 } else { 2 });
    }
    let used = factory.info(instruction).used_memory();
    let mut of_register = used.iter().filter(|used| used.base().full_register() == register).peekable();
    of_register.peek()?;
    of_register.map(|used| alignment(used.memory_size())).try_fold(1, |most, one| Some(most.max(one?)))
}

/// How many instructions were checked, by each register.
fn check_all(bits: u32) -> [usize; PLACES.len()] {
    let mut machine = Machine::new(bits);
    let mut factory = InstructionInfoFactory::new();
    let mut checked = [0; PLACES.len()];
    for (code, instruction) in instructions(bits) {
        if NOT_CHECKED.contains(&instruction.mnemonic()) {
            continue;
        }
        for (place, (register, ..)) in PLACES.into_iter().enumerate() {
            let Some(required) = required(&mut factory, &instruction, register) else { continue };
            let aligned = machine.outcome(&code, register, 0);
            assert_ne!(aligned, MISALIGNED, "{:?} {code:x?}", instruction.code());
            for offset in [1, 2, 4] {
                let found = machine.outcome(&code, register, offset);
                let what = || format!("{:?} {code:x?} by {register:?}, {offset} too far", instruction.code());
                if aligned.is_some() {
                    // Privilege, or what the zeros in memory lead to.
                    assert!(found == MISALIGNED || found == aligned, "{}: {found:?}", what());
                } else {
                    let expected = if offset % required == 0 { None } else { MISALIGNED };
                    assert_eq!(found, expected, "{}", what());
                }
            }
            checked[place] += usize::from(aligned.is_none() && required > 1);
        }
    }
    checked
}

#[test]
fn every_instruction_checks_the_alignment_of_its_operands_in_64_bit_code() {
    let checked = check_all(64);
    let least = [300, 15, 1, 10, 10];
    assert!(checked.iter().zip(least).all(|(checked, least)| *checked >= least), "{checked:?}");
}

#[test]
fn every_instruction_checks_the_alignment_of_its_operands_in_32_bit_code() {
    let checked = check_all(32);
    let least = [250, 15, 1, 8, 8];
    assert!(checked.iter().zip(least).all(|(checked, least)| *checked >= least), "{checked:?}");
}

/// What the rule above cannot see: these fault on the zeros in memory when they are aligned.
#[test]
fn far_pointers_and_frames_are_checked_before_what_they_name() {
    // lss eax,[rbx]; call far [rbx]; jmp far [rbx]; by RSP: retf; iretd
    let cases: [(&[u8], Register, u64); 5] = [
        (&[0x0F, 0xB2, 0x03], Register::RBX, 4),
        (&[0xFF, 0x1B], Register::RBX, 4),
        (&[0xFF, 0x2B], Register::RBX, 4),
        (&[0xCB], Register::RSP, 4),
        (&[0xCF], Register::RSP, 4),
    ];
    for bits in [32, 64] {
        let mut machine = Machine::new(bits);
        for (code, register, required) in cases {
            for offset in [0, 1, 2, 4] {
                let found = machine.outcome(code, register, offset) == MISALIGNED;
                assert_eq!(found, offset % required != 0, "{code:x?} by {register:?}, {offset} too far, {bits} bits");
            }
        }
    }
}

/// A far CALL at one privilege level pushes on the user's stack.
#[test]
fn pushes_of_a_far_call_are_checked() {
    // call 1Bh:8000h
    let code = [0x9A, 0x00, 0x80, 0x00, 0x00, CODE3 as u8, 0x00];
    let mut machine = Machine::new(32);
    for offset in [0, 1, 2, 4] {
        let expected = if offset % 4 == 0 { None } else { MISALIGNED };
        assert_eq!(machine.outcome(&code, Register::RSP, offset), expected, "{offset} too far");
    }
}

/// SDM Vol. 2A, INT n: #AC(EXT) "if alignment checking is enabled, the gate DPL is 3, and a stack push is unaligned".
#[test]
fn pushes_of_an_interrupt_on_the_users_stack_are_checked() {
    let code = [0xCD, 0x80]; // int 80h, to a gate that leads to user code
    let mut machine = Machine::new(32);
    write(&mut machine.bench, IDT + 0x80 * 8, gate(CODE3, 0x8000, 0xEF, 0));
    for offset in [0, 1, 2, 4] {
        let expected = if offset % 4 == 0 { None } else { MISALIGNED };
        assert_eq!(machine.outcome(&code, Register::RSP, offset), expected, "{offset} too far");
    }
    // On the stack of privilege level 0 nothing is checked.
    write(&mut machine.bench, IDT + 0x80 * 8, gate(CODE0, 0x9080, 0xEF, 0));
    write(&mut machine.bench, TSS_AT + 4, u64::from(STACK0 + 1) | u64::from(DATA0) << 32);
    assert_eq!(machine.outcome(&code, Register::RSP, 1), None);
}

/// SDM Vol. 3A 3.5.1 "Segment Descriptor Tables": a word, then a doubleword (in 64-bit mode a quadword).
#[test]
fn stored_table_registers_are_aligned_at_an_odd_word() {
    for (bits, base) in [(32, 4), (64, 8)] {
        let mut machine = Machine::new(bits);
        // sgdt [rbx]; sidt [rbx]
        for code in [[0x0F, 0x01, 0x03], [0x0F, 0x01, 0x0B]] {
            for offset in 0..8 {
                let expected = if (offset + 2) % base == 0 { None } else { MISALIGNED };
                assert_eq!(machine.outcome(&code, Register::RBX, offset), expected, "{code:x?}, {offset}, {bits} bits");
            }
        }
    }
}

#[test]
fn ins_checks_its_destination_before_it_reads_the_port() {
    let mut machine = Machine::new(32);
    // insw; insd; rep insd
    for code in [&[0x66, 0x6D][..], &[0x6D], &[0xF3, 0x6D]] {
        assert_eq!(machine.outcome(code, Register::RDI, 1), MISALIGNED, "{code:x?}");
        assert_eq!(machine.bench.bus.read, [], "{code:x?}");
    }
    assert_eq!(machine.outcome(&[0x6D], Register::RDI, 0), None);
    assert_eq!(machine.bench.bus.read, [(0, 4)]);
}
