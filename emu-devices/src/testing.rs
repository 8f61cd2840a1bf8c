//! A bench for unit tests: the context a device is lent, and a clock that runs its deadlines; random numbers.

use crate::device::{Ctx, Device, DeviceId, DmaMemory, IsaDma, Requests};
use crate::dma::NoDma;
use crate::line::Lines;
use crate::sched::Deadlines;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Random numbers, the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`; 0 when `limit` is.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// 2 MiB of RAM from address 0; nothing answers above.
pub struct Ram(pub Vec<u8>);

impl DmaMemory for Ram {
    fn dma_read(&mut self, address: u64, buffer: &mut [u8]) {
        for (place, at) in buffer.iter_mut().zip(address as usize..) {
            *place = self.0.get(at).copied().unwrap_or(0xFF);
        }
    }
    fn dma_write(&mut self, address: u64, data: &[u8]) {
        for (byte, at) in data.iter().zip(address as usize..) {
            if let Some(place) = self.0.get_mut(at) {
                *place = *byte;
            }
        }
    }
}

/// What a board lends, owned by a test.
pub struct Bench {
    /// Cycles.
    pub now: u64,
    /// Cycles per second.
    pub hz: u64,
    /// The device under test.
    pub device: DeviceId,
    pub lines: Lines,
    pub deadlines: Deadlines,
    pub requests: Requests,
    pub memory: Ram,
    pub dma: Box<dyn IsaDma>,
}

impl Bench {
    /// A bench at cycle 0 whose clock runs at `hz`.
    pub fn new(device: DeviceId, hz: u64) -> Self {
        Self {
            now: 0,
            hz,
            device,
            lines: Lines::default(),
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            memory: Ram(vec![0; 2 << 20]),
            dma: Box::new(NoDma),
        }
    }

    /// The context of a call now.
    pub fn ctx(&mut self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            hz: self.hz,
            device: self.device,
            lines: &mut self.lines,
            deadlines: &mut self.deadlines,
            requests: &mut self.requests,
            memory: &mut self.memory,
            dma: self.dma.as_mut(),
        }
    }

    /// A call with the context of now.
    pub fn call<R>(&mut self, call: impl FnOnce(&mut Ctx) -> R) -> R {
        call(&mut self.ctx())
    }

    /// OUT of one byte.
    pub fn outb(&mut self, device: &mut dyn Device, port: u16, value: u8) {
        device.port_write(&mut self.ctx(), port, 1, u32::from(value));
    }

    /// IN of one byte.
    pub fn inb(&mut self, device: &mut dyn Device, port: u16) -> u8 {
        device.port_read(&mut self.ctx(), port, 1) as u8
    }

    /// Runs the clock to `until`, with every deadline at its own time.
    pub fn run_until(&mut self, device: &mut dyn Device, until: u64) {
        while self.deadlines.next() <= until {
            self.now = self.now.max(self.deadlines.next());
            if let Some(due) = self.deadlines.pop_due(self.now) {
                device.deadline(&mut self.ctx(), due.tag);
            }
        }
        self.now = until;
    }

    /// Runs the clock on by `nanoseconds`.
    pub fn run_ns(&mut self, device: &mut dyn Device, nanoseconds: u64) {
        let cycles = (u128::from(nanoseconds) * u128::from(self.hz) / 1_000_000_000) as u64;
        self.run_until(device, self.now + cycles);
    }
}
