//! A processor with RAM and no board, for tests and tools.

use crate::block::cache::CodeCache;
use crate::block::tier::{Refused, Source, Tier};
use crate::bus::{ApicMessage, Bus};
use crate::exec::table::execute;
use crate::fault::Exec;
use crate::mem::ram::{PAGE, Ram};
use crate::model::CpuModel;
use crate::run::{RunExit, Slice};
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Size;
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::segment::{AccessRights, Segment, SegmentRegister};
use std::sync::Arc;

/// A board on which nothing answers; it keeps what was asked of it.
#[derive(Debug, Default)]
pub struct BareBus {
    /// Port writes: port, size, value.
    pub written: Vec<(u16, u8, u32)>,
    /// What every port reads.
    pub port_value: u32,
    /// Reads: port or physical address, size.
    pub read: Vec<(u64, u8)>,
}

impl Bus for BareBus {
    fn port_read(&mut self, _memory: &mut Ram, _now: u64, port: u16, size: u8) -> u32 {
        self.read.push((port.into(), size));
        self.port_value & (u32::MAX >> (32 - 8 * u32::from(size)))
    }
    fn port_write(&mut self, _memory: &mut Ram, _now: u64, port: u16, size: u8, value: u32) {
        self.written.push((port, size, value));
    }
    fn mmio_read(&mut self, _memory: &mut Ram, _now: u64, address: u64, size: u8) -> u64 {
        self.read.push((address, size));
        u64::MAX
    }
    fn mmio_write(&mut self, _memory: &mut Ram, _now: u64, _address: u64, _size: u8, _value: u64) {}
    fn interrupt_acknowledge(&mut self, _now: u64) -> u8 {
        0
    }
    fn end_of_interrupt(&mut self, _now: u64, _vector: u8) {}
    fn attention(&self) -> bool {
        false
    }
}

/// One processor, RAM, and [`BareBus`].
pub struct Bench {
    /// The processor.
    pub cpu: Cpu,
    /// Guest memory.
    pub ram: Ram,
    /// The board.
    pub bus: BareBus,
    /// Decoded blocks.
    pub cache: CodeCache,
    /// APIC messages that the processor sent.
    pub outbox: Vec<ApicMessage>,
    /// Where the next paging structure goes.
    next_table: u64,
}

/// Physical address of the PML4 that [`Bench::long_mode`] sets up; further tables follow it.
const TABLES: u64 = 0x30_0000;
/// RAM of a bench, bytes.
const RAM: u64 = 4 << 20;
/// Where code starts.
const START: u64 = 0x7C00;

/// Paging-structure entry bit: present.
pub const PAGE_PRESENT: u64 = 1;
/// Paging-structure entry bit: writable.
pub const PAGE_WRITABLE: u64 = 2;
/// Paging-structure entry bit: user.
pub const PAGE_USER: u64 = 4;
const PAGE_ACCESSED_DIRTY: u64 = 0x60;

impl Bench {
    /// 4 MiB of RAM and a processor after reset.
    pub fn new(model: CpuModel) -> Self {
        Self {
            cpu: Cpu::new(Arc::new(model), 0, 0),
            ram: Ram::new(RAM).expect("the host has memory"),
            bus: BareBus::default(),
            cache: CodeCache::default(),
            outbox: Vec::new(),
            next_table: TABLES,
        }
    }

    /// Puts `code` at 0000:7C00 and starts there in real-address mode.
    pub fn real_mode(code: &[u8]) -> Self {
        let mut bench = Self::new(CpuModel::default_model());
        bench.ram.dma_write(START, code);
        bench.cpu.load_real_segment(SegmentRegister::Cs, 0);
        bench.cpu.set_rip(START);
        bench.cpu.gpr[4] = 0x7000;
        bench.cpu.refresh();
        bench
    }

    /// Puts `code` at 7C00h and starts there in 64-bit mode at CPL 0 with the model `max`; all of RAM below the paging
    /// structures is mapped to itself. The descriptor tables are empty.
    pub fn long_mode(code: &[u8]) -> Self {
        let model = CpuModel::named("max").expect("the model is built in");
        let mut bench = Self::new(model);
        bench.next_table += PAGE;
        for page in (0..TABLES).step_by(PAGE as usize) {
            bench.map(page, page, PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER);
        }
        bench.ram.dma_write(START, code);
        let sys = &mut bench.cpu.sys;
        sys.cr0 |= Cr0::PE | Cr0::PG | Cr0::NE | Cr0::WP;
        sys.cr4 |= Cr4::PAE | Cr4::OSFXSR | Cr4::OSXMMEXCPT;
        sys.cr3 = TABLES;
        sys.efer |= Efer::LME | Efer::LMA | Efer::NXE | Efer::SCE;
        bench.set_flat_segments(Size::Bits64, 0);
        bench.cpu.set_rip(START);
        bench.cpu.gpr[4] = 0x7000;
        bench
    }

    /// Gives CS, SS, DS and ES flat segments for code of width `code` at `cpl`; FS and GS become null.
    pub fn set_flat_segments(&mut self, code: Size, cpl: u8) {
        let code_rights = AccessRights::P | AccessRights::S | AccessRights::G | AccessRights::CODE;
        let width = match code {
            Size::Bits64 => AccessRights::L,
            Size::Bits32 => AccessRights::DB,
            Size::Bits16 => AccessRights::empty(),
        };
        let common = AccessRights::READ_WRITE | AccessRights::ACCESSED;
        let stack = if code == Size::Bits16 { AccessRights::empty() } else { AccessRights::DB };
        let data_rights = AccessRights::P | AccessRights::S | AccessRights::G;
        let flat = |selector: u16, rights: AccessRights| Segment {
            selector: selector | u16::from(cpl),
            base: 0,
            limit: u32::MAX,
            access_rights: (rights | common).with_dpl(cpl),
        };
        for register in SegmentRegister::USER {
            self.cpu.sys.segments[register as usize] = match register {
                SegmentRegister::Cs => flat(8, code_rights | width),
                SegmentRegister::Fs | SegmentRegister::Gs => Segment::NULL,
                _ => flat(0x10, data_rights | stack),
            };
        }
        self.cpu.sys.cpl = cpl;
        self.cpu.refresh();
    }

    /// Maps one 4 KiB page in the paging structures of [`Bench::long_mode`]; `rights` are bits of the last entry. The
    /// TLB is flushed.
    pub fn map(&mut self, linear: u64, physical: u64, rights: u64) {
        let mut table = TABLES;
        for level in [3, 2, 1] {
            let at = table + (linear >> (12 + 9 * level) & 0x1FF) * 8;
            let entry = self.ram.load(at as usize, 8);
            table = if entry & PAGE_PRESENT != 0 {
                entry & !0xFFF
            } else {
                let new = self.next_table;
                assert!(new + PAGE <= RAM, "the bench is out of paging structures");
                self.next_table += PAGE;
                let all = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED_DIRTY;
                self.ram.dma_write(at, &(new | all).to_le_bytes());
                new
            };
        }
        let at = table + (linear >> 12 & 0x1FF) * 8;
        self.ram.dma_write(at, &(physical & !0xFFF | rights | PAGE_ACCESSED_DIRTY).to_le_bytes());
        self.cpu.flush_tlb();
    }

    /// Executes the instruction at RIP (one go of a repeated one), without the loop around it: a fault is parked in
    /// `cpu.scratch.fault` and nothing is delivered.
    pub fn step(&mut self) -> Exec {
        let mut env = Env { ram: &mut self.ram, bus: &mut self.bus, outbox: &mut self.outbox };
        if env.ram.has_stale_pages() {
            self.cache.drop_stale(&mut env);
        }
        let cpu = &mut self.cpu;
        let id = self.cache.find(cpu, &mut env)?;
        let uop = self.cache.block(id).alone;
        cpu.block_limit = u64::MAX;
        cpu.scratch.undone = 0;
        cpu.scratch.flow.branched = false;
        cpu.cycles += u64::from(uop.cost);
        execute(cpu, &mut env, &uop, &[])?;
        cpu.instructions = cpu.instructions.wrapping_add(1);
        if !cpu.scratch.flow.branched {
            let next = cpu.next_rip(&uop);
            cpu.set_rip(next);
        }
        Ok(())
    }

    /// [`Bench::step`] in flat code by what `tier` makes of the one instruction, if it makes anything of it.
    pub fn step_compiled(&mut self, tier: &mut dyn Tier) -> Exec {
        let mut env = Env { ram: &mut self.ram, bus: &mut self.bus, outbox: &mut self.outbox };
        if env.ram.has_stale_pages() {
            self.cache.drop_stale(&mut env);
        }
        let cpu = &mut self.cpu;
        let block = self.cache.find(cpu, &mut env)?;
        let uop = self.cache.block(block).alone;
        let (start, wide) = (cpu.rip(), cpu.derived.mode.is_64bit());
        let place = (start % PAGE) as u16;
        if u64::from(place) + u64::from(uop.len) > PAGE {
            return self.step();
        }
        let (cost, records_data) = (uop.cost.into(), cpu.records_data_pointers());
        let (bound, priced) = (u64::max(cost, 1), cpu.config.cycles.is_some());
        let source = Source { block, uops: &[uop], cost, bound, place, wide, priced, records_data };
        let mut made = tier.compile(source);
        if let Err(Refused::Full) = made {
            tier.clear();
            made = tier.compile(source);
        }
        let Ok(code) = made else { return self.step() };
        cpu.block_limit = cpu.cycles + u64::from(uop.cost);
        cpu.scratch.undone = 0;
        cpu.scratch.flow.branched = false;
        let left = tier.enter(cpu, &mut env, code);
        tier.forget(code);
        left.result.unwrap_or(Ok(()))?;
        if !cpu.scratch.flow.branched {
            cpu.set_rip(start.wrapping_add(uop.len.into()));
        }
        Ok(())
    }

    /// Lends the processor its surroundings.
    pub fn with_env<R>(&mut self, call: impl FnOnce(&mut Cpu, &mut Env) -> R) -> R {
        let mut env = Env { ram: &mut self.ram, bus: &mut self.bus, outbox: &mut self.outbox };
        call(&mut self.cpu, &mut env)
    }

    /// Runs for at most `cycles` more cycles.
    pub fn run(&mut self, cycles: u64) -> RunExit {
        let limit = self.cpu.cycles + cycles;
        let mut env = Env { ram: &mut self.ram, bus: &mut self.bus, outbox: &mut self.outbox };
        self.cpu.run(&mut env, &mut self.cache, limit)
    }

    /// Goes on with the turn that [`Bench::run`] has begun, for at most `cycles` more cycles.
    pub fn go_on(&mut self, cycles: u64) -> RunExit {
        let slice = Slice::turn(self.cpu.cycles + cycles);
        let mut env = Env { ram: &mut self.ram, bus: &mut self.bus, outbox: &mut self.outbox };
        self.cpu.run_slice(&mut env, &mut self.cache, slice, None)
    }
}
