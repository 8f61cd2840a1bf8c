//! A processor with RAM and no board, for tests and tools.

use crate::bus::{ApicMessage, Bus};
use crate::decode::cache::CodeCache;
use crate::mem::ram::Ram;
use crate::model::CpuModel;
use crate::run::RunExit;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::segment::SegmentRegister;
use std::sync::Arc;

/// A board on which nothing answers; it keeps what was written to ports.
#[derive(Debug, Default)]
pub struct BareBus {
    /// Port writes: port, size, value.
    pub written: Vec<(u16, u8, u32)>,
    /// What every port reads.
    pub port_value: u32,
}

impl Bus for BareBus {
    fn port_read(&mut self, _memory: &mut Ram, _now: u64, _port: u16, size: u8) -> u32 {
        self.port_value & (u32::MAX >> (32 - 8 * u32::from(size)))
    }
    fn port_write(&mut self, _memory: &mut Ram, _now: u64, port: u16, size: u8, value: u32) {
        self.written.push((port, size, value));
    }
    fn mmio_read(&mut self, _memory: &mut Ram, _now: u64, _address: u64, _size: u8) -> u64 {
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
}

impl Bench {
    /// 4 MiB of RAM and a processor after reset.
    pub fn new(model: CpuModel) -> Self {
        Self {
            cpu: Cpu::new(Arc::new(model), 0, 0),
            ram: Ram::new(4 << 20),
            bus: BareBus::default(),
            cache: CodeCache::default(),
            outbox: Vec::new(),
        }
    }

    /// Puts `code` at 0000:7C00 and starts there in real-address mode.
    pub fn real_mode(code: &[u8]) -> Self {
        let mut bench = Self::new(CpuModel::default_model());
        bench.ram.dma_write(0x7C00, code);
        bench.cpu.load_real_segment(SegmentRegister::Cs, 0);
        bench.cpu.set_rip(0x7C00);
        bench.cpu.gpr[4] = 0x7000;
        bench.cpu.refresh();
        bench
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
}
