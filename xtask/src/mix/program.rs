//! Guests made at random of what depends on time: timers, waits, IPIs, traps, breakpoints, repeated instructions on
//! devices, self-modifying code. All processors run the same code in flat 32-bit protected mode.

use emu_core::state::cpu::Cpu;
use emu_core::state::system::Activity;
use emu_devices::pc::Pc;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const IDT: u64 = 0x1000;
const GDT: u64 = 0x1800;
/// Handlers of interrupts and traps, of faults, and of NMIs.
const RETURNS: u64 = 0x2000;
const STARTS_ANEW: u64 = 0x2100;
/// Where a start-up IPI leads, in real-address mode.
const STARTED: u64 = 0x9000;
const CODE: u64 = 0x1_0000;
const STACKS: u64 = 0x4_0000;

/// Writes a program and lets all processors begin it, each with registers of its own.
pub fn start(pc: &mut Pc, seed: u64) {
    let mut random = SplitMix64::seed_from_u64(seed);
    for vector in 0..256u64 {
        // Faults start the program anew; IRET of the others goes on with it.
        let handler = if matches!(vector, 0 | 4..=7 | 8 | 10..=14 | 16..=19) { STARTS_ANEW } else { RETURNS };
        pc.ram.dma_write(IDT + 8 * vector, &(handler & 0xFFFF | 8 << 16 | 0x8E00 << 32).to_le_bytes());
    }
    for (n, descriptor) in [0u64, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF].into_iter().enumerate() {
        pc.ram.dma_write(GDT + 8 * n as u64, &descriptor.to_le_bytes());
    }
    // mov dword [FEE000B0h], 0; mov dr7 from 400h now and then costs a register: only EOI and IRETD.
    pc.ram.dma_write(RETURNS, &[0xC7, 0x05, 0xB0, 0x00, 0xE0, 0xFE, 0, 0, 0, 0, 0xCF]);
    // and esp, ~FFFh; or esp, F00h; push 2; popfd; sti; jmp CODE
    let mut anew = vec![0x81, 0xE4, 0x00, 0xF0, 0xFF, 0xFF, 0x81, 0xCC, 0x00, 0x0F, 0, 0, 0x6A, 0x02, 0x9D, 0xFB, 0xE9];
    anew.extend((CODE.wrapping_sub(STARTS_ANEW + 21) as u32).to_le_bytes());
    pc.ram.dma_write(STARTS_ANEW, &anew);
    // inc ax; pause; out 80h, al; jmp
    pc.ram.dma_write(STARTED, &[0x40, 0xF3, 0x90, 0xE6, 0x80, 0xEB, 0xF9]);
    let mut code = Vec::new();
    for _ in 0..60 + random.next_u64() % 100 {
        let here = code.len() as u64;
        code.extend(snippet(&mut random, here));
    }
    let back = (-(code.len() as i64 + 5)) as u32;
    code.push(0xE9);
    code.extend(back.to_le_bytes());
    pc.ram.dma_write(CODE, &code);
    for (n, cpu) in pc.cpus.iter_mut().enumerate() {
        begin(cpu, n as u64, random.next_u64());
    }
}

fn begin(cpu: &mut Cpu, n: u64, value: u64) {
    cpu.sys.cr0 |= Cr0::PE;
    let rights = |code| AccessRights::from_bits_retain(if code { 0xC09B } else { 0xC093 });
    for register in SegmentRegister::USER {
        let code = register == SegmentRegister::Cs;
        cpu.sys.segments[register as usize] =
            Segment { selector: if code { 8 } else { 16 }, base: 0, limit: u32::MAX, access_rights: rights(code) };
    }
    (cpu.sys.idtr.base, cpu.sys.idtr.limit) = (IDT, 0x7FF);
    (cpu.sys.gdtr.base, cpu.sys.gdtr.limit) = (GDT, 23);
    cpu.sys.activity = Activity::Active;
    cpu.gpr[0] = value & 0xFFFF_FFFF;
    cpu.gpr[4] = STACKS + 0x1000 * n + 0xF00;
    cpu.set_rip(CODE);
    cpu.set_flags(0x202);
    cpu.refresh();
    cpu.refresh_attention();
}

/// mov dword [address], value
fn store(address: u32, value: u32) -> Vec<u8> {
    [&[0xC7, 0x05][..], &address.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// mov esi, from; mov edi, to; mov ecx, count; then the string instruction
fn string(from: u32, to: u32, count: u32, instruction: &[u8]) -> Vec<u8> {
    let moves = [(0xBE, from), (0xBF, to), (0xB9, count)];
    let mut code: Vec<u8> = moves.iter().flat_map(|(op, value)| [&[*op][..], &value.to_le_bytes()].concat()).collect();
    code.extend(instruction);
    code
}

/// A few instructions that belong together; `here` is their offset in the code.
fn snippet(random: &mut SplitMix64, here: u64) -> Vec<u8> {
    const APIC: u32 = 0xFEE0_0000;
    let number = random.next_u64();
    let small = (number >> 8) as u32 & 0xFFF;
    let vector = 0x30 + (number >> 20) as u32 % 0x40;
    let data = 0x8000 + small;
    match number % 40 {
        0 => vec![0xF3, 0x90],
        1 => vec![0xFB, 0xF4],
        2 => vec![0xFA],
        3 => vec![0xFB],
        4 => vec![0x0F, 0xA2],
        5 => vec![0x0F, 0x31, 0x01, 0x05, 0x00, 0x80, 0x00, 0x00],
        6 => vec![0x0F, 0x01, 0xF9],
        7 => vec![0xE4, 0x40],
        8 => vec![0xE4, 0x61, 0xE6, 0x80],
        9 => [&[0xA1][..], &0xFED0_00F0u32.to_le_bytes()].concat(),
        10 => [&[0xA1][..], &(APIC + 0x390).to_le_bytes(), &[0x01, 0x05][..], &data.to_le_bytes()].concat(),
        11 | 12 => store(APIC + 0x380, small + 1),
        13 => store(APIC + 0x320, vector | [0, 0x2_0000, 0x4_0000][small as usize % 3]),
        14 => store(APIC + 0x3E0, 0xB),
        15 => store(APIC + 0x300, 0xC_4000 | vector),
        16 => store(APIC + 0x300, 0x4_4000 | vector),
        17 => store(APIC + 0x300, 0xC_4400),
        18 => store(APIC + 0xF0, 0x1FF),
        19 => string(0xFED0_00F0, data, small % 5, &[0xF3, 0xA5]),
        20 => string(data, 0xB_8000, small % 300, &[0xF3, 0xA4]),
        21 => string(0x8000, 0xA000, small, &[0xF3, 0xA5]),
        22 => string(0, data, small % 20, &[0xBA, 0x40, 0, 0, 0, 0xF3, 0x6C]),
        23 => string(0x8000, 0x8000, small, &[0xF3, 0xA6]),
        // pushfd; or dword [esp], 100h; popfd
        24 => vec![0x9C, 0x81, 0x0C, 0x24, 0x00, 0x01, 0, 0, 0x9D],
        25 | 26 => vec![0x9C, 0x81, 0x24, 0x24, 0xFF, 0xFE, 0xFF, 0xFF, 0x9D],
        27 => vec![0x8C, 0xD0, 0x8E, 0xD0],
        // mov eax, 8000h; xor ecx, ecx; xor edx, edx; monitor; mwait
        28 => vec![0xB8, 0, 0x80, 0, 0, 0x31, 0xC9, 0x31, 0xD2, 0x0F, 0x01, 0xC8, 0x31, 0xC0, 0x0F, 0x01, 0xC9],
        // rdtsc; add eax, n; xor ecx, ecx; tpause ecx
        29 => vec![0x0F, 0x31, 0x05, small as u8, (small >> 8) as u8, 0, 0, 0x31, 0xC9, 0x66, 0x0F, 0xAE, 0xF1],
        // mov eax, 8000h; umonitor eax; rdtsc; add eax, n; xor ecx, ecx; umwait ecx
        30 => [
            &[0xB8, 0, 0x80, 0, 0, 0xF3, 0x0F, 0xAE, 0xF0, 0x0F, 0x31, 0x05, small as u8, 2, 0, 0][..],
            &[0x31, 0xC9, 0xF2, 0x0F, 0xAE, 0xF1],
        ]
        .concat(),
        // mov ecx, 10h; rdtsc; add eax, n; wrmsr
        31 => vec![0xB9, 0x10, 0, 0, 0, 0x0F, 0x31, 0x05, small as u8, 0, 0, 0, 0x0F, 0x30],
        // mov ecx, 6E0h; rdtsc; add eax, n; wrmsr
        32 | 33 => vec![0xB9, 0xE0, 6, 0, 0, 0x0F, 0x31, 0x05, small as u8, (small >> 8) as u8, 0, 0, 0x0F, 0x30],
        34 => vec![0xCD, vector as u8],
        // mov eax, cr3; mov cr3, eax
        35 => vec![0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8],
        // add byte [an immediate of the next instruction], 1; mov al, n
        36 => [&[0x80, 0x05][..], &((CODE + here) as u32 + 8).to_le_bytes(), &[1, 0xB0, small as u8]].concat(),
        // mov eax, data; mov dr0, eax; mov eax, on or off; mov dr7, eax
        37 => {
            let on = [0x400, 0xD_0402, 0xF_0402, 0x400][small as usize % 4];
            [&[0xB8][..], &data.to_le_bytes(), &[0x0F, 0x23, 0xC0, 0xB8], &u32::to_le_bytes(on), &[0x0F, 0x23, 0xF8]]
                .concat()
        }
        // mov al, n; out 92h, al: the A20 gate
        38 => vec![0xB0, [0, 2, 2, 2][small as usize % 4], 0xE6, 0x92],
        // INIT and a start-up IPI to the others, rarely
        _ if small.is_multiple_of(8) => [store(APIC + 0x300, 0xC_4500), store(APIC + 0x300, 0xC_4609)].concat(),
        _ => [&[0xF0, 0x01, 0x05][..], &data.to_le_bytes()].concat(),
    }
}
