//! A device sees the cycle of the instruction that reaches it, wherever that stands in a block.

use emu_core::observe::{Instruction, MemoryAccess, Observer, View, Watch};
use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use emu_devices::pc::{Pc, PcExit};
use emu_vmx::arch::cr::{Cr0, Dr7};
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};

/// One tick of the HPET a cycle.
const HZ: u64 = emu_devices::hpet::FREQUENCY;
const CODE: u64 = 0x1_0000;
const ROUNDS: u64 = 3;

/// Flat 32-bit protected mode, at `CODE`.
fn protected_mode(cpu: &mut Cpu) {
    let flat = |rights: u32| Segment {
        selector: 8,
        base: 0,
        limit: u32::MAX,
        access_rights: AccessRights::from_bits_retain(rights),
    };
    cpu.sys.cr0 |= Cr0::PE;
    for register in SegmentRegister::USER {
        cpu.sys.segments[register as usize] = flat(if register == SegmentRegister::Cs { 0xC09B } else { 0xC093 });
    }
    cpu.set_rip(CODE);
    cpu.refresh();
}

/// Where the loop leaves ESI of each round.
const RESULTS: u64 = 0x3000;

/// A machine that runs `body` in a loop that keeps each round's ESI; the code before it runs once.
fn machine(once: &[u8], body: &[u8]) -> Pc {
    let mut pc = Pc::builder().hz(HZ).memory(2 << 20).build().expect("the host has memory");
    // mov [ebp * 4 + 3000h], esi; inc ebp; jmp
    let mut code = [once, body, &[0x89, 0x34, 0xAD, 0x00, 0x30, 0x00, 0x00, 0x45, 0xE9]].concat();
    let back = -((body.len() + 13) as i32);
    code.extend(back.to_le_bytes());
    pc.ram.dma_write(CODE, &code);
    protected_mode(&mut pc.cpus[0]);
    pc
}

/// The first results, in which blocks are split, in one piece and by single steps.
fn differences(once: &[u8], body: &[u8]) -> Vec<u32> {
    let mut whole = machine(once, body);
    assert_eq!(whole.run_until(200), PcExit::Limit);
    let mut stepped = machine(once, body);
    while stepped.now() < 200 {
        assert_eq!(stepped.step(0, 200), PcExit::Limit);
    }
    let mut results = Vec::new();
    for pc in [whole, stepped] {
        assert!(pc.cpus[0].gpr[5] >= ROUNDS, "the code runs: RIP {:#x}", pc.cpus[0].rip());
        for round in 0..ROUNDS {
            let mut word = [0; 4];
            pc.ram.dma_read(RESULTS + 4 * round, &mut word);
            results.push(u32::from_le_bytes(word));
        }
    }
    results
}

#[test]
fn hpet_read_twice_in_one_block_differs_by_the_cycles_between() {
    let once = [
        0xC7, 0x05, 0x10, 0x00, 0xD0, 0xFE, 0x01, 0x00, 0x00, 0x00, // mov dword [FED00010h], 1: enable
    ];
    let body = [
        0xA1, 0xF0, 0x00, 0xD0, 0xFE, // mov eax, [FED000F0h]: the counter
        0x90, 0x90, 0x90, // three instructions
        0x8B, 0x35, 0xF0, 0x00, 0xD0, 0xFE, // mov esi, [FED000F0h]
        0x29, 0xC6, // sub esi, eax
        0x90, 0x90, // the block does not end there
    ];
    assert_eq!(differences(&once, &body), [4; 2 * ROUNDS as usize]);
}

#[test]
fn apic_timer_read_twice_in_one_block_differs_by_the_cycles_between() {
    let once = [
        0xC7, 0x05, 0xE0, 0x03, 0xE0, 0xFE, 0x0B, 0x00, 0x00, 0x00, // mov dword [FEE003E0h], 0Bh: divide by 1
        0xC7, 0x05, 0x80, 0x03, 0xE0, 0xFE, 0xFF, 0xFF, 0xFF, 0x7F, // mov dword [FEE00380h], 7FFFFFFFh: the count
    ];
    let body = [
        0x8B, 0x35, 0x90, 0x03, 0xE0, 0xFE, // mov esi, [FEE00390h]: the current count
        0x90, 0x90, // two instructions
        0xA1, 0x90, 0x03, 0xE0, 0xFE, // mov eax, [FEE00390h]
        0x29, 0xC6, // sub esi, eax
        0x90, // the block does not end there
    ];
    assert_eq!(differences(&once, &body), [3; 2 * ROUNDS as usize]);
}

#[test]
fn repeated_instruction_on_a_device_takes_a_cycle_for_each_read() {
    let once = [
        0xC7, 0x05, 0x10, 0x00, 0xD0, 0xFE, 0x01, 0x00, 0x00, 0x00, // mov dword [FED00010h], 1
    ];
    let body = [
        0xBE, 0xF0, 0x00, 0xD0, 0xFE, // mov esi, FED000F0h
        0xBF, 0x00, 0x20, 0x00, 0x00, // mov edi, 2000h
        0xB9, 0x02, 0x00, 0x00, 0x00, // mov ecx, 2: the low and the high half
        0xF3, 0xA5, // rep movsd
        0x8B, 0x35, 0xF0, 0x00, 0xD0, 0xFE, // mov esi, [FED000F0h]
        0x2B, 0x35, 0x00, 0x20, 0x00, 0x00, // sub esi, [2000h]
    ];
    assert_eq!(differences(&once, &body), [2; 2 * ROUNDS as usize]);
}

#[test]
fn mwait_of_a_single_processor_with_a_timer_ends_at_the_same_cycle_however_the_run_is_cut() {
    let once = [
        0xC7, 0x05, 0xE0, 0x03, 0xE0, 0xFE, 0x0B, 0x00, 0x00, 0x00, // mov dword [FEE003E0h], 0Bh: divide by 1
        0xC7, 0x05, 0x80, 0x03, 0xE0, 0xFE, 0x40, 0x1F, 0x00, 0x00, // mov dword [FEE00380h], 8000: the count
    ];
    let body = [
        0xB8, 0x00, 0x20, 0x00, 0x00, // mov eax, 2000h
        0x31, 0xC9, 0x31, 0xD2, // xor ecx, ecx; xor edx, edx
        0x0F, 0x01, 0xC8, 0x0F, 0x01, 0xC9, // monitor; mwait
        0x0F, 0x31, 0x89, 0xC6, // rdtsc; mov esi, eax
    ];
    let ends = |most: u64| {
        let mut pc = machine(&once, &body);
        while pc.now() < 20_000 {
            assert_eq!(pc.run_until((pc.now() + most).min(20_000)), PcExit::Limit);
        }
        (pc.instructions(), pc.state_hash())
    };
    let whole = ends(20_000);
    for most in [1, 7, 500, 3_000] {
        assert_eq!(ends(most), whole, "pieces of {most} cycles");
    }
}

/// Stops behind each instruction.
#[derive(Default)]
struct EachInstruction {
    done: bool,
}

impl Observer for EachInstruction {
    fn watches(&self) -> Watch {
        Watch::INSTRUCTIONS
    }

    fn after_instruction(&mut self, _: View<'_>, _: Instruction<'_>) {
        self.done = true;
    }

    fn stops(&mut self) -> bool {
        self.done
    }
}

/// Three processors in turns of `quantum` cycles that run `code`, processor 0 from byte `first` on.
fn in_turns(quantum: u64, code: &[u8], first: u64) -> Pc {
    let mut pc = Pc::builder().processors(3).quantum(quantum).memory(2 << 20).build().expect("the host has memory");
    pc.ram.dma_write(CODE, code);
    for cpu in &mut pc.cpus {
        protected_mode(cpu);
        cpu.sys.activity = Activity::Active;
        // There are no handlers.
        cpu.sys.nmi_blocked = true;
        cpu.refresh();
    }
    pc.cpus[0].set_rip(CODE + first);
    pc
}

#[test]
fn observer_that_stops_at_the_end_of_a_turn_changes_neither_senders_nor_whose_turn_it_is() {
    let ipi = [
        &[0x3C, 0xAA, 0x75, 0xFC][..], // cmp al, AAh; jne back: processors 1 and 2 stay here
        &[0xC7, 0x05, 0x00, 0x03, 0xE0, 0xFE, 0x00, 0x44, 0x0C, 0x00], // mov dword [FEE00300h], C4400h: NMI to the others
        &[0x40, 0xEB, 0xF3],                                           // inc eax; jmp there
    ];
    let pause = [0xF3, 0x90, 0x40, 0x40, 0xEB, 0xFA]; // pause; inc eax; inc eax; jmp back
    for (name, code, first) in [("IPI", ipi.concat(), 4), ("PAUSE", pause.to_vec(), 0)] {
        // Every place of an instruction within a turn comes up, its end too.
        for quantum in [1, 2, 3, 5, 7] {
            let (mut whole, mut stopped) = (in_turns(quantum, &code, first), in_turns(quantum, &code, first));
            for cycle in 1..60 {
                assert_eq!(whole.run_until(cycle), PcExit::Limit);
                while stopped.run_observed(cycle, &mut EachInstruction::default()) != PcExit::Limit {}
                assert!(!whole.cpus[0].sys.nmi_pending, "to all but itself");
                assert_eq!(stopped.state_hash(), whole.state_hash(), "{name}, turns of {quantum}, cycle {cycle}");
                for cpu in whole.cpus.iter_mut().chain(&mut stopped.cpus) {
                    cpu.sys.nmi_pending = false;
                    cpu.refresh_attention();
                }
            }
        }
    }
}

#[test]
fn input_behind_a_reset_of_the_same_cycle_comes_behind_it() {
    let hash = |at_once: bool| {
        let mut pc = Pc::builder().memory(2 << 20).build().expect("the host has memory");
        for event in [InputEvent::Reset, InputEvent::Key { key: Key::A, pressed: true }] {
            assert_eq!(pc.inject(1000, event), Ok(1000));
            if !at_once {
                assert_eq!(pc.run_until(1000), PcExit::Limit);
            }
        }
        assert_eq!(pc.run_until(2000), PcExit::Limit);
        (pc.instructions(), pc.state_hash())
    };
    assert_eq!(hash(true), hash(false));
}

/// What is told of memory.
#[derive(Default)]
struct Accesses(Vec<(u64, bool)>);

impl Observer for Accesses {
    fn watches(&self) -> Watch {
        Watch::MEMORY
    }

    fn memory_access(&mut self, _: View<'_>, access: &MemoryAccess) {
        self.0.push((access.linear, access.write));
    }
}

/// Reads 8000h and writes a device, in one instruction; with a data breakpoint there, whose handler counts in EDX.
fn from_memory_to_a_device() -> Pc {
    let body = [
        0xBE, 0x00, 0x80, 0x00, 0x00, // mov esi, 8000h
        0xBF, 0xF0, 0x00, 0xD0, 0xFE, // mov edi, FED000F0h
        0xB9, 0x03, 0x00, 0x00, 0x00, // mov ecx, 3
        0xF3, 0xA5, // rep movsd
        0xA5, // movsd
    ];
    let mut pc = machine(&[], &body);
    // inc edx; iretd
    pc.ram.dma_write(0x2100, &[0x42, 0xCF]);
    pc.ram.dma_write(0x2000 + 8, &(0x2100 | 8 << 16 | 0x8E00u64 << 32).to_le_bytes());
    pc.ram.dma_write(0x2208, &0x00CF_9B00_0000_FFFFu64.to_le_bytes());
    let cpu = &mut pc.cpus[0];
    (cpu.sys.idtr.base, cpu.sys.idtr.limit) = (0x2000, 15);
    (cpu.sys.gdtr.base, cpu.sys.gdtr.limit) = (0x2200, 15);
    (cpu.gpr[2], cpu.gpr[4]) = (0, 0x4000);
    pc
}

#[test]
fn instruction_that_has_to_run_alone_meets_its_breakpoints_and_observers_once() {
    let run = |most: u64, breakpoint: bool| {
        let mut pc = from_memory_to_a_device();
        if breakpoint {
            pc.cpus[0].sys.dr[0] = 0x8000;
            // Four bytes, read or written.
            pc.cpus[0].sys.dr7 = Dr7::from_bits_retain(0xF_0402);
            pc.cpus[0].refresh();
        }
        let mut accesses = Accesses::default();
        while pc.now() < 400 {
            assert_eq!(pc.run_observed((pc.now() + most).min(400), &mut accesses), PcExit::Limit);
        }
        assert!(pc.cpus[0].gpr[5] >= ROUNDS);
        assert_eq!(pc.cpus[0].gpr[2] != 0, breakpoint);
        (accesses.0, pc.state_hash())
    };
    for breakpoint in [false, true] {
        let whole = run(400, breakpoint);
        for most in [1, 3, 50] {
            assert_eq!(run(most, breakpoint), whole, "pieces of {most} cycles, breakpoint {breakpoint}");
        }
    }
}
