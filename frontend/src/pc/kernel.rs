//! `--kernel`: the firmware runs first, so that the kernel finds a PC that is set up; then, in place of a boot sector,
//! the kernel is put into memory and entered.
//!
//! A ROM of 512 bytes takes over interrupt 19h. Its handler stops the boot processor with interrupts off, which the
//! machine reports; nothing of this is left for the kernel to see but the ROM itself.

use crate::loader::{EntryMode, LoadedKernel};
use emu_core::state::system::{Activity, DescriptorTable};
use emu_devices::pc::Pc;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};

/// Where the ROM lies.
const ROM_BASE: u64 = 0xD_0000;
/// Offset of the handler for interrupt 19h.
const HANDLER: u16 = 0x40;

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
    // cli; hlt; jmp to the cli
    rom[usize::from(HANDLER)..][..4].copy_from_slice(&[0xFA, 0xF4, 0xEB, 0xFC]);
    let sum = rom.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    rom[511] = sum.wrapping_neg();
    (ROM_BASE, rom)
}

/// Whether the boot processor has come to the handler.
pub fn firmware_is_done(pc: &Pc) -> bool {
    let cpu = &pc.cpus[0];
    let cs = cpu.sys.seg(SegmentRegister::Cs);
    cpu.sys.activity == Activity::Hlt && cs.base == ROM_BASE && cpu.rip() == u64::from(HANDLER) + 2
}

/// Puts the kernel into memory and the boot processor at its entry.
pub fn enter(pc: &mut Pc, kernel: &LoadedKernel) {
    log::info!(target: "boot", "starting {}", kernel.description);
    for segment in &kernel.segments {
        pc.ram.dma_write(segment.address, &segment.bytes);
        let mut at = segment.address + segment.bytes.len() as u64;
        while at < segment.end() {
            let zeros = [0; 4096];
            let count = (segment.end() - at).min(4096);
            pc.ram.dma_write(at, &zeros[..count as usize]);
            at += count;
        }
    }
    let entry = &kernel.entry;
    let cpu = &mut pc.cpus[0];
    cpu.gpr[..16].fill(0);
    cpu.gpr[0] = u64::from(entry.eax);
    cpu.gpr[3] = u64::from(entry.ebx);
    cpu.gpr[4] = u64::from(entry.esp);
    cpu.gpr[6] = u64::from(entry.esi);
    cpu.set_flags(2);
    if let Some((base, limit)) = entry.gdt {
        cpu.sys.gdtr = DescriptorTable { base: u64::from(base), limit };
    }
    let data =
        [SegmentRegister::Es, SegmentRegister::Ss, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs];
    match entry.mode {
        EntryMode::Real16 => {
            for register in data {
                cpu.load_real_segment(register, entry.data_selector);
            }
            cpu.load_real_segment(SegmentRegister::Cs, entry.cs);
        }
        EntryMode::Protected32 => {
            let flat = |selector, rights| Segment {
                selector,
                base: 0,
                limit: u32::MAX,
                access_rights: AccessRights::from_bits_retain(rights),
            };
            for register in data {
                cpu.sys.segments[register as usize] = flat(entry.data_selector, 0xC093);
            }
            cpu.sys.segments[SegmentRegister::Cs as usize] = flat(entry.cs, 0xC09B);
            cpu.sys.cr0.insert(Cr0::PE);
        }
    }
    cpu.sys.activity = Activity::Active;
    cpu.set_rip(u64::from(entry.eip));
    // The handler's HLT is over.
    cpu.asleep = false;
    cpu.refresh();
    cpu.refresh_attention();
    pc.ram.set_a20(true);
}
