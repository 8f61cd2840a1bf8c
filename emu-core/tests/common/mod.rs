//! A processor already in protected or 64-bit mode, with tables whose handlers halt.
#![allow(dead_code)]

use emu_core::flags::FIXED1;
use emu_core::model::CpuModel;
use emu_core::state::system::DescriptorTable;
use emu_core::testing::Bench;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};

pub const CODE0: u16 = 0x08;
pub const DATA0: u16 = 0x10;
pub const CODE3: u16 = 0x18 | 3;
pub const DATA3: u16 = 0x20 | 3;
pub const TSS: u16 = 0x28;
pub const CODE64: u16 = 0x38;
pub const ABSENT: u16 = 0x40;
/// Call gate of DPL 3 to CODE0:8800 with two parameters.
pub const GATE: u16 = 0x48;
pub const TSS2: u16 = 0x50;
pub const CONFORMING: u16 = 0x58;
/// SS0:ESP0 and RSP0.
pub const STACK0: u32 = 0x6000;
pub const STACK3: u64 = 0x5000;
pub const START: u64 = 0x7C00;
pub const GDT: u64 = 0x1000;
pub const IDT: u64 = 0x2000;
pub const TSS_AT: u64 = 0x3000;
pub const TSS2_AT: u64 = 0x3200;
/// Vector n's handler is one HLT at this address plus n.
pub const HANDLERS: u64 = 0x9000;

pub fn write(bench: &mut Bench, address: u64, value: u64) {
    bench.ram.dma_write(address, &value.to_le_bytes());
}

pub fn read(bench: &Bench, address: u64, size: usize) -> u64 {
    bench.ram.load(address as usize, size)
}

/// A flat 4 GiB (or system) descriptor.
pub fn descriptor(base: u32, limit: u32, rights: u32) -> u64 {
    let segment =
        Segment { selector: 0, base: base.into(), limit, access_rights: AccessRights::from_bits_retain(rights) };
    segment.to_descriptor()
}

pub fn set_descriptor(bench: &mut Bench, selector: u16, value: u64) {
    write(bench, GDT + u64::from(selector & !7), value);
}

pub fn gate(selector: u16, offset: u32, rights: u64, parameters: u64) -> u64 {
    u64::from(offset & 0xFFFF)
        | u64::from(selector) << 16
        | parameters << 32
        | rights << 40
        | u64::from(offset >> 16) << 48
}

fn load(bench: &mut Bench, register: SegmentRegister, selector: u16) {
    let low = read(bench, GDT + u64::from(selector & !7), 8);
    bench.cpu.sys.segments[register as usize] = Segment::from_descriptor(selector, low);
}

fn tables(bench: &mut Bench) {
    for (selector, rights) in
        [(CODE0, 0xC09B), (DATA0, 0xC093), (CODE3, 0xC0FB), (DATA3, 0xC0F3), (CODE64, 0xA09B), (CONFORMING, 0xC09F)]
    {
        set_descriptor(bench, selector, descriptor(0, 0xFFFF_FFFF, rights));
    }
    set_descriptor(bench, ABSENT, descriptor(0, 0xFFFF_FFFF, 0xC013));
    set_descriptor(bench, TSS, descriptor(TSS_AT as u32, 0x8F, 0x8B));
    set_descriptor(bench, TSS2, descriptor(TSS2_AT as u32, 0x67, 0x89));
    set_descriptor(bench, GATE, gate(CODE0, 0x8800, 0xEC, 2));
    bench.cpu.sys.gdtr = DescriptorTable { base: GDT, limit: 0xFF };
    bench.ram.dma_write(HANDLERS, &[0xF4; 256]);
    bench.ram.dma_write(0x8800, &[0xF4]);
}

/// 32-bit protected mode at `cpl` (0 or 3), flat, at [`START`]; vectors 0 to 31 have interrupt gates of DPL 0, vector
/// 80h a trap gate of DPL 3.
pub fn protected(code: &[u8], cpl: u8) -> Bench {
    let mut bench = Bench::new(CpuModel::named("max").expect("the model is built in"));
    tables(&mut bench);
    bench.ram.dma_write(START, code);
    for vector in 0..32 {
        write(&mut bench, IDT + vector * 8, gate(CODE0, (HANDLERS + vector) as u32, 0x8E, 0));
    }
    write(&mut bench, IDT + 0x80 * 8, gate(CODE0, HANDLERS as u32 + 0x80, 0xEF, 0));
    bench.cpu.sys.idtr = DescriptorTable { base: IDT, limit: 0x81 * 8 - 1 };
    write(&mut bench, TSS_AT + 4, u64::from(STACK0) | u64::from(DATA0) << 32);
    bench.ram.dma_write(TSS_AT + 0x66, &0x68u16.to_le_bytes());
    bench.cpu.sys.cr0 = Cr0::PE | Cr0::ET;
    let (cs, ds) = if cpl == 0 { (CODE0, DATA0) } else { (CODE3, DATA3) };
    load(&mut bench, SegmentRegister::Cs, cs);
    for register in
        [SegmentRegister::Ss, SegmentRegister::Ds, SegmentRegister::Es, SegmentRegister::Fs, SegmentRegister::Gs]
    {
        load(&mut bench, register, ds);
    }
    load(&mut bench, SegmentRegister::Tr, TSS);
    bench.cpu.sys.segments[SegmentRegister::Ldtr as usize] = Segment::NULL;
    bench.cpu.sys.cpl = cpl;
    bench.cpu.gpr[4] = STACK3;
    bench.cpu.set_flags(FIXED1);
    bench.cpu.set_rip(START);
    bench.cpu.refresh();
    bench
}

/// 64-bit mode at CPL 0 with the first 2 MiB mapped one to one for both privileges.
pub fn long(code: &[u8]) -> Bench {
    let mut bench = protected(code, 0);
    for (place, entry) in [(0x10000, 0x11007), (0x11000, 0x12007), (0x12000, 0x87)] {
        write(&mut bench, place, entry);
    }
    for vector in 0..32 {
        write(&mut bench, IDT + vector * 16, gate(CODE64, (HANDLERS + vector) as u32, 0x8E, 0));
        write(&mut bench, IDT + vector * 16 + 8, 0);
    }
    write(&mut bench, TSS_AT + 4, STACK0.into());
    bench.cpu.sys.idtr = DescriptorTable { base: IDT, limit: 32 * 16 - 1 };
    bench.cpu.sys.cr3 = 0x10000;
    bench.cpu.sys.cr4 = Cr4::PAE;
    bench.cpu.sys.efer = Efer::LME | Efer::LMA | Efer::SCE;
    bench.cpu.sys.cr0 |= Cr0::PG;
    load(&mut bench, SegmentRegister::Cs, CODE64);
    bench.cpu.refresh();
    bench
}

/// The vector whose handler halted the processor, if one did.
pub fn handled(bench: &Bench) -> Option<u64> {
    let rip = bench.cpu.rip();
    (HANDLERS + 1..HANDLERS + 257).contains(&rip).then(|| rip - HANDLERS - 1)
}

/// Doubleword `n` above the stack pointer.
pub fn stacked(bench: &Bench, n: u64) -> u64 {
    read(bench, bench.cpu.gpr[4] + 4 * n, 4)
}

/// Quadword `n` above the stack pointer.
pub fn stacked64(bench: &Bench, n: u64) -> u64 {
    read(bench, bench.cpu.gpr[4] + 8 * n, 8)
}
