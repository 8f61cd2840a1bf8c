//! What a guest's system tables hold: descriptors, gates, task states and paging structures in the right shape with
//! some of their bits wrong.

use crate::Source;
use emu_core::mem::ram::Ram;
use emu_vmx::arch::segment::{AccessRights, Segment};

/// Where things are in the guest's memory; each table has a page or more of its own.
pub mod at {
    pub const GDT: u64 = 0x1000;
    pub const IDT: u64 = 0x2000;
    pub const LDT: u64 = 0x3000;
    pub const TSS: u64 = 0x4000;
    pub const TSS2: u64 = 0x5000;
    /// Where CR3 points; the next tables follow.
    pub const PAGING: u64 = 0x1_0000;
    /// The page table of the small pages.
    pub const LEAF: u64 = PAGING + 0x4000;
    pub const CODE: u64 = 0x2_0000;
    pub const DATA: u64 = 0x3_0000;
    /// Eight shadow stacks of an interrupt stack table.
    pub const SHADOW_TABLE: u64 = 0x3_8000;
    /// The page of the supervisor's shadow stacks.
    pub const SHADOW: u64 = 0x3_A000;
    /// The page of user mode's.
    pub const USER_SHADOW: u64 = 0x3_C000;
    pub const STACK: u64 = 0x3_F000;
}

/// Selectors of the GDT that [`fill`] builds.
pub mod selector {
    pub const CODE16: u16 = 0x08;
    pub const CODE32: u16 = 0x18;
    pub const DATA32: u16 = 0x20;
    pub const CODE64: u16 = 0x28;
    pub const LDT: u16 = 0x30;
    pub const TSS: u16 = 0x40;
    pub const TSS2: u16 = 0x60;
    /// Of DPL 0.
    pub const KERNEL32: u16 = 0x70;
    pub const KERNEL_DATA: u16 = 0x78;
    pub const KERNEL64: u16 = 0x80;
}

/// How linear addresses are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Not.
    None,
    /// 32-bit paging.
    Bits32,
    /// PAE paging.
    Pae,
    /// 4-level paging.
    Levels4,
    /// 5-level paging.
    Levels5,
}

fn put(ram: &mut Ram, address: u64, value: u64) {
    ram.dma_write(address, &value.to_le_bytes());
}

/// A descriptor with base 0 unless chance has it otherwise.
fn descriptor(source: &mut Source, rights: u32, dpl: u8) -> u64 {
    let base = if source.chance(6) { source.value() as u32 } else { 0 };
    let limit = if source.chance(8) { source.value() as u32 } else { u32::MAX };
    let access_rights = AccessRights::from_bits_retain(rights).with_dpl(dpl);
    Segment { selector: 0, base: base.into(), limit, access_rights }.to_descriptor()
}

fn gate(source: &mut Source, kind: u64, long: bool) -> [u64; 2] {
    let selector = match source.below(32) {
        0 => source.bits(2),
        1 => u64::from(selector::CODE16),
        2 => u64::from(selector::CODE64),
        3 => u64::from(selector::CODE32),
        _ if long => u64::from(selector::KERNEL64),
        _ => u64::from(selector::KERNEL32),
    };
    let selector = if kind == 5 { u64::from(selector::TSS2) } else { selector };
    let offset = at::CODE + source.bits(1) * 4;
    let dpl = if source.chance(60) { 3 } else { source.below(4) };
    let present = u64::from(!source.chance(3));
    let low = offset & 0xFFFF
        | selector << 16
        | (source.bits(1) & 0x1F & if source.chance(90) { 0 } else { 0x1F }) << 32
        | (kind | dpl << 5 | present << 7) << 40
        | (offset >> 16 & 0xFFFF) << 48;
    [low, if source.chance(3) { source.value() } else { 0 }]
}

/// Writes GDT, IDT, LDT and two task states. `cpl` is the DPL of the flat segments.
pub fn fill(source: &mut Source, ram: &mut Ram, long: bool, cpl: u8) {
    let flat = [(0x9B, 0), (0x93, 0), (0xC09B, 0), (0xC093, 0), (0xA09B, 0)];
    for (n, (rights, _)) in flat.into_iter().enumerate() {
        put(ram, at::GDT + 8 + n as u64 * 8, descriptor(source, rights, cpl));
    }
    let system = |base: u64, limit: u64, kind: u64| {
        limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | (kind | 0x80) << 40 | (base >> 24 & 0xFF) << 56
    };
    put(ram, at::GDT + u64::from(selector::LDT), system(at::LDT, 0xFFF, 2));
    put(ram, at::GDT + u64::from(selector::TSS), system(at::TSS, 0x20FF, 0xB));
    let tss_kind = source.pick(&[9, 9, 1, 0xB, 3]);
    let tss_limit = source.pick(&[0x67, 0x2B, 0xFFF, 0x66, 0]);
    put(ram, at::GDT + u64::from(selector::TSS2), system(at::TSS2, tss_limit, tss_kind));
    // Half of the rest: conforming, expand-down, absent, call gates, task gates, anything.
    for (selector, rights) in
        [(selector::KERNEL32, 0xC09B), (selector::KERNEL_DATA, 0xC093), (selector::KERNEL64, 0xA09B)]
    {
        put(ram, at::GDT + u64::from(selector), descriptor(&mut Source::seeded(1), rights, 0) | 0xF_0000_0000_FFFF);
    }
    for n in 17..64 {
        let value = match source.below(8) {
            0 => descriptor(source, 0x9F, 0),
            1 => descriptor(source, 0xC097, cpl),
            2 => descriptor(source, 0xC0FA, 3),
            3 => gate(source, if long { 12 } else { 4 }, long)[0],
            4 => gate(source, 12, long)[0],
            5 => gate(source, 5, long)[0],
            6 => source.bits(8),
            _ => continue,
        };
        put(ram, at::GDT + n * 8, value);
        put(ram, at::LDT + n * 8, value);
    }
    let size = if long { 16 } else { 8 };
    for vector in 0..256 {
        let kind = if source.chance(85) { 14 } else { source.pick(&[15, 5, 6, 7, 12, 0, 2]) };
        let [low, high] = gate(source, kind, long);
        put(ram, at::IDT + vector * size, low);
        if long {
            put(ram, at::IDT + vector * size + 8, high);
        }
    }
    for tss in [at::TSS, at::TSS2] {
        for word in 0..26 {
            let value = if source.chance(8) { source.value() as u32 } else { at::STACK as u32 };
            ram.dma_write(tss + word * 4, &value.to_le_bytes());
        }
        for (offset, value) in [
            (8, selector::KERNEL_DATA),
            (0x10, selector::DATA32),
            (0x48, selector::DATA32),
            (0x4C, selector::CODE32),
            (0x50, selector::DATA32),
            (0x60, selector::LDT),
        ] {
            if source.chance(95) && !long {
                ram.dma_write(tss + offset, &value.to_le_bytes());
            }
        }
        if long && source.chance(90) {
            for stack in 0..10 {
                put(ram, tss + 4 + stack * 8, at::STACK);
            }
        }
        let io_map = if source.chance(60) { 0x68 } else { source.bits(2) as u16 };
        ram.dma_write(tss + 0x66, &io_map.to_le_bytes());
    }
    let holes = source.below(6) * source.below(2);
    for _ in 0..holes {
        let table = source.pick(&[at::GDT, at::IDT, at::LDT, at::TSS, at::TSS2]);
        let value = source.bits(8);
        put(ram, table + source.below(0x400), value);
    }
}

/// An entry of a paging structure that leads to `address`.
fn entry(source: &mut Source, address: u64, extra: u64, wide: bool) -> u64 {
    let mut entry = address | 7 | extra;
    // What the code, the stack and the tables need is seldom wrong.
    let odds = if address < 0x4_0000 { 3000 } else { 40 };
    match source.below(odds) {
        0 => entry &= !1,
        1 => entry &= !2,
        2 => entry &= !4,
        3 => entry |= 0x80,
        4 => entry |= 0x100,
        5 if wide => entry |= 1 << 63,
        6 if wide => entry |= source.bits(1) << 52,
        7 => entry ^= 1 << (12 + source.below(40)),
        8 => entry = source.bits(8) | 1,
        _ => {}
    }
    entry
}

/// Writes paging structures that map the first megabytes one to one, with mistakes; the value for CR3. The small pages
/// are for CPL 3 if `user` is 4, not if it is 0.
pub fn fill_paging(source: &mut Source, ram: &mut Ram, paging: Paging, user: u64) -> u64 {
    let [top, second, third, fourth, leaf] = [0, 1, 2, 3, 4].map(|n| at::PAGING + n * 0x1000);
    if paging == Paging::Bits32 {
        for n in 0..1024u64 {
            let extra = source.bits(1) & 0x60;
            let value = (entry(source, n << 12, extra, false) & (user | !4)) as u32;
            ram.dma_write(leaf + n * 4, &value.to_le_bytes());
        }
        for n in 0..8u64 {
            let value = if n > 0 && source.chance(50) { n << 22 | 0x87 } else { leaf | 7 };
            let value = if source.chance(10) { entry(source, value, 0, false) } else { value };
            ram.dma_write(top + n * 4, &(value as u32).to_le_bytes());
        }
        // The last entry: the structures themselves.
        ram.dma_write(top + 0xFFC, &(top as u32 | 7).to_le_bytes());
        return top;
    }
    for n in 0..512u64 {
        let value = entry(source, n << 12, 0x20, true);
        put(ram, leaf + n * 8, value & (user | !4));
    }
    // Directory: the first 2 MiB by small pages, then large ones, and one of devices.
    put(ram, fourth, leaf | 7);
    for n in 1..8u64 {
        let value = entry(source, n << 21, 0x80, true);
        put(ram, fourth + n * 8, value);
    }
    put(ram, fourth + 8 * 8, 0xFEC0_0000 | 0x87);
    put(ram, fourth + 9 * 8, 0xFEE0_0000 | 0x87);
    let wrong = if source.chance(15) { entry(source, third, 0, true) } else { fourth | 7 };
    match paging {
        Paging::Pae => {
            for n in 0..4 {
                put(ram, top + n * 8, if n == 0 || source.chance(50) { fourth | 1 } else { 0 });
            }
        }
        Paging::Levels4 | Paging::Levels5 => {
            put(ram, third, fourth | 7);
            put(ram, third + 8, wrong);
            put(ram, third + 16, entry(source, 0, 0x80, true));
            put(ram, second, third | 7);
            put(ram, second + 0xFF8, third | 7);
            put(ram, top, if paging == Paging::Levels5 { second } else { third } | 7);
            put(ram, top + 0xFF8, entry(source, if paging == Paging::Levels5 { second } else { third }, 0, true));
        }
        Paging::None | Paging::Bits32 => {}
    }
    top | if source.chance(5) { source.below(0x1000) } else { 0 }
}
