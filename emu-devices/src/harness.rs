//! What unit tests lend a device in place of the board: lines, deadlines, flat memory and, if wanted, an ISA DMA controller.

use crate::device::{Ctx, Device, DeviceId, DmaMemory, IsaDma, Requests};
use crate::dma::NoDma;
use crate::line::Lines;
use crate::sched::Deadlines;

/// 2 MiB of RAM from address 0; nothing answers above.
pub struct Ram(pub Vec<u8>);

impl DmaMemory for Ram {
    fn dma_read(&mut self, address: u64, buffer: &mut [u8]) {
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = self.0.get(address as usize + i).copied().unwrap_or(0xFF);
        }
    }
    fn dma_write(&mut self, address: u64, data: &[u8]) {
        for (i, byte) in data.iter().enumerate() {
            if let Some(place) = self.0.get_mut(address as usize + i) {
                *place = *byte;
            }
        }
    }
}

/// A board with one device on it. The clock is 1 GHz, so that a cycle is a nanosecond.
pub struct Harness {
    pub now: u64,
    pub lines: Lines,
    pub deadlines: Deadlines,
    pub requests: Requests,
    pub memory: Ram,
    pub dma: Box<dyn IsaDma>,
    device: DeviceId,
}

impl Harness {
    pub fn new(device: DeviceId) -> Self {
        Harness {
            now: 0,
            lines: Lines::default(),
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            memory: Ram(vec![0; 2 << 20]),
            dma: Box::new(NoDma),
            device,
        }
    }

    pub fn call<R>(&mut self, call: impl FnOnce(&mut Ctx) -> R) -> R {
        call(&mut Ctx {
            now: self.now,
            hz: 1_000_000_000,
            device: self.device,
            lines: &mut self.lines,
            deadlines: &mut self.deadlines,
            requests: &mut self.requests,
            memory: &mut self.memory,
            dma: self.dma.as_mut(),
        })
    }

    pub fn read(&mut self, device: &mut impl Device, port: u16) -> u8 {
        self.call(|ctx| device.port_read(ctx, port, 1)) as u8
    }

    pub fn write(&mut self, device: &mut impl Device, port: u16, value: u8) {
        self.call(|ctx| device.port_write(ctx, port, 1, value.into()));
    }

    /// Lets all deadlines up to `nanoseconds` from now come, in order.
    pub fn advance(&mut self, device: &mut impl Device, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        while let Some(deadline) = self.deadlines.pop_due(end) {
            self.now = self.now.max(deadline.at);
            self.call(|ctx| device.deadline(ctx, deadline.tag));
        }
        self.now = end;
    }
}
