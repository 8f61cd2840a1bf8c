//! `--kernel`: the firmware runs first, so that the kernel finds a PC that is set up; then, in place of a boot sector,
//! the kernel is put into memory and entered.
//!
//! A ROM of 512 bytes takes over interrupt 19h. Its handler asks the BIOS for the memory map and stops the boot processor
//! with interrupts off, which the machine reports; nothing of this is left for the kernel to see but the ROM itself.

use crate::loader::{
    EntryMode, EntryState, KernelFiles, LoadError, LoadedKernel, MemoryRegion, Rsdp, parse_e820, standard_memory_map,
};
use emu_core::state::cpu::Cpu;
use emu_core::state::system::{Activity, DescriptorTable};
use emu_devices::pc::Pc;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use std::ops::Range;

/// Where the ROM lies.
const ROM_BASE: u64 = 0xD_0000;
/// Offset of the handler for interrupt 19h.
const HANDLER: usize = 0x40;
/// Where the handler leaves the BIOS's memory map: the number of entries, and 4 bytes further on the entries.
const MAP: u64 = 0x7C00;
const MAP_ENTRY: usize = 20;
/// Entries that the handler takes at most.
const MAP_ENTRIES: usize = 128;
/// Where the RSDP is looked for (ACPI specification 5.2.5.1, "Finding the RSDP on IA-PC Systems").
const RSDP_AREA: Range<u64> = 0xE_0000..0x10_0000;

#[rustfmt::skip]
const HANDLER_CODE: [u8; 72] = [
    0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0,             // xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax
    0xBC, 0x00, 0x7C, 0xBF, 0x04, 0x7C,                         // mov sp,MAP; mov di,MAP+4
    0x31, 0xED, 0x66, 0x31, 0xDB,                               // xor bp,bp; xor ebx,ebx
    0x66, 0xB8, 0x20, 0xE8, 0x00, 0x00,                         // again: mov eax,0E820h
    0x66, 0xBA, 0x50, 0x41, 0x4D, 0x53,                         // mov edx,'SMAP'
    0x66, 0xB9, 0x14, 0x00, 0x00, 0x00,                         // mov ecx,20
    0xCD, 0x15, 0x72, 0x17,                                     // int 15h; jc done
    0x66, 0x3D, 0x50, 0x41, 0x4D, 0x53, 0x75, 0x0F,             // cmp eax,'SMAP'; jne done
    0x45, 0x83, 0xC7, 0x14,                                     // inc bp; add di,20
    0x81, 0xFD, MAP_ENTRIES as u8, 0x00, 0x73, 0x05,            // cmp bp,MAP_ENTRIES; jae done
    0x66, 0x85, 0xDB, 0x75, 0xD3,                               // test ebx,ebx; jnz again
    0x89, 0x2E, 0x00, 0x7C,                                     // done: mov [MAP],bp
    0xFA, 0xF4, 0xEB, 0xFC,                                     // stop: cli; hlt; jmp stop
];
/// Where the boot processor's RIP is when the handler has stopped it: behind the HLT.
const STOPPED: u64 = (HANDLER + HANDLER_CODE.len() - 2) as u64;

/// The ROM and its address.
pub fn loader_rom() -> (u64, Vec<u8>) {
    let mut rom = vec![0; 512];
    let segment = (ROM_BASE >> 4) as u16;
    #[rustfmt::skip]
    let code = [
        0x55, 0xAA, 0x01,                                       // signature, 512 bytes
        0x1E, 0x31, 0xC0, 0x8E, 0xD8,                           // push ds; xor ax,ax; mov ds,ax
        0xC7, 0x06, 0x64, 0x00, HANDLER as u8, 0x00,            // mov word [19h*4],HANDLER
        0xC7, 0x06, 0x66, 0x00, segment as u8, (segment >> 8) as u8, // mov word [19h*4+2],segment
        0x1F, 0xCB,                                             // pop ds; retf
    ];
    rom[..code.len()].copy_from_slice(&code);
    rom[HANDLER..][..HANDLER_CODE.len()].copy_from_slice(&HANDLER_CODE);
    let sum = rom.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    rom[511] = sum.wrapping_neg();
    (ROM_BASE, rom)
}

/// Whether the boot processor has come to the end of the handler.
pub fn firmware_is_done(pc: &Pc) -> bool {
    let cpu = &pc.cpus[0];
    let cs = cpu.sys.seg(SegmentRegister::Cs);
    cpu.sys.activity == Activity::Hlt && cs.base == ROM_BASE && cpu.rip() == STOPPED
}

/// The BIOS's memory map, which the handler has left; that of the machine's own BIOS if this one has none.
fn firmware_map(pc: &Pc, memory_mib: u64) -> Vec<MemoryRegion> {
    let mut area = [0; 4 + MAP_ENTRIES * MAP_ENTRY];
    pc.ram.dma_read(MAP, &mut area);
    let (count, entries) = area.split_at(4);
    let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
    let (entries, _) = entries.as_chunks();
    match count {
        0 => standard_memory_map(memory_mib),
        count => entries.iter().take(count).map(parse_e820).filter(|region| region.length > 0).collect(),
    }
}

/// Where the firmware has put the root of the ACPI tables.
fn firmware_rsdp(pc: &Pc) -> Option<Rsdp> {
    let mut area = vec![0; (RSDP_AREA.end - RSDP_AREA.start) as usize];
    pc.ram.dma_read(RSDP_AREA.start, &mut area);
    let valid = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0;
    (0..area.len()).step_by(16).find_map(|at| {
        let rest = area.get(at..)?;
        let first = rest.get(..20).filter(|first| first.starts_with(b"RSD PTR ") && valid(first))?;
        let bytes = match first[15] {
            0 => first,
            _ => rest.get(..36).filter(|whole| valid(whole))?,
        };
        Some(Rsdp { address: RSDP_AREA.start + at as u64, bytes: bytes.to_vec() })
    })
}

/// Puts the kernel into memory and the boot processor at its entry.
///
/// # Errors
/// [`LoadError`] if it does not fit into the memory that the BIOS says there is.
pub fn start(pc: &mut Pc, files: &KernelFiles, memory_mib: u64) -> Result<(), LoadError> {
    let kernel = files.load(firmware_map(pc, memory_mib), firmware_rsdp(pc))?;
    log::info!(target: "boot", "starting {}", kernel.description);
    fill(pc, MAP, 4 + (MAP_ENTRIES * MAP_ENTRY) as u64);
    put_into_memory(pc, &kernel);
    enter(&mut pc.cpus[0], &kernel.entry);
    pc.ram.set_a20(true);
    pc.cpus[0].changed_from_outside();
    Ok(())
}

fn put_into_memory(pc: &mut Pc, kernel: &LoadedKernel) {
    for segment in &kernel.segments {
        pc.ram.dma_write(segment.address, &segment.bytes);
        let end = segment.address + segment.bytes.len() as u64;
        fill(pc, end, segment.end() - end);
    }
}

/// Writes zeros.
fn fill(pc: &mut Pc, at: u64, size: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    for done in (0..size).step_by(ZEROS.len()) {
        let count = (size - done).min(ZEROS.len() as u64);
        pc.ram.dma_write(at + done, &ZEROS[..count as usize]);
    }
}

fn enter(cpu: &mut Cpu, entry: &EntryState) {
    cpu.gpr[..16].fill(0);
    cpu.gpr[0] = u64::from(entry.eax);
    cpu.gpr[3] = u64::from(entry.ebx);
    cpu.gpr[4] = u64::from(entry.esp);
    cpu.gpr[6] = u64::from(entry.esi);
    cpu.set_flags(2);
    if let Some((base, limit)) = entry.gdt {
        cpu.sys.gdtr = DescriptorTable { base: u64::from(base), limit };
    }
    let code_rights = match entry.mode {
        EntryMode::Real16 => None,
        EntryMode::Protected32 => Some(0xC09B),
        EntryMode::Long64 { .. } => Some(0xA09B),
    };
    let data =
        [SegmentRegister::Es, SegmentRegister::Ss, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs];
    match code_rights {
        None => {
            for register in data {
                cpu.load_real_segment(register, entry.data_selector);
            }
            cpu.load_real_segment(SegmentRegister::Cs, entry.cs);
        }
        Some(rights) => {
            let flat = |selector, rights| Segment {
                selector,
                base: 0,
                limit: u32::MAX,
                access_rights: AccessRights::from_bits_retain(rights),
            };
            for register in data {
                cpu.sys.segments[register as usize] = flat(entry.data_selector, 0xC093);
            }
            cpu.sys.segments[SegmentRegister::Cs as usize] = flat(entry.cs, rights);
            // A busy 32-bit TSS without an I/O bitmap, as PVH wants it.
            let tss = Segment { limit: 0x67, ..flat(0, 0x8B) };
            cpu.sys.segments[SegmentRegister::Tr as usize] = tss;
            cpu.sys.cr0.insert(Cr0::PE);
        }
    }
    if let EntryMode::Long64 { cr3 } = entry.mode {
        cpu.sys.cr3 = u64::from(cr3);
        cpu.sys.cr4.insert(Cr4::PAE);
        cpu.sys.efer.insert(Efer::LME | Efer::LMA);
        cpu.sys.cr0.insert(Cr0::PG);
    }
    cpu.sys.activity = Activity::Active;
    cpu.set_rip(u64::from(entry.eip));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MachineConfig;
    use crate::pc::build;
    use emu_devices::pc::PcExit;

    fn booted(memory: u64) -> Pc {
        let config = MachineConfig { memory, ..MachineConfig::default() };
        let mut pc = build::pc(&config, true, None).expect("a PC");
        assert_eq!(pc.run_for(config.ips), PcExit::Halted);
        assert!(firmware_is_done(&pc));
        pc
    }

    #[test]
    fn memory_map_before_the_run_is_what_the_bios_says_then() {
        for memory in [1, 2, 3, 16, 17, 512, 3071, 3072, 3073, 6000] {
            let pc = booted(memory);
            assert_eq!(firmware_map(&pc, 0), standard_memory_map(memory), "{memory} MiB");
        }
    }

    #[test]
    fn rsdp_is_found_with_the_tables_and_not_without_them() {
        let rsdp = firmware_rsdp(&booted(512)).expect("an RSDP");
        assert_eq!(rsdp.bytes.len(), 36);
        let tables = u32::from_le_bytes([rsdp.bytes[16], rsdp.bytes[17], rsdp.bytes[18], rsdp.bytes[19]]);
        let map = standard_memory_map(512);
        let inside = map.iter().find(|r| (r.base..r.end()).contains(&u64::from(tables))).map(|r| r.kind);
        assert_eq!(inside, Some(crate::loader::MemoryKind::AcpiReclaimable));
        assert_eq!(firmware_rsdp(&booted(1)), None);
    }
}
