//! The two 8237A DMA controllers and their page registers (Intel 8237A data sheet; IBM PC/AT Technical Reference).
//!
//! The first serves channels 0 to 3 by bytes, the second channels 5 to 7 by words; its channel 0 (channel 4)
//! cascades the first, so nothing moves on channels 0 to 3 while channel 4 is masked.

use crate::device::{Claims, Ctx, Device, DmaMemory, DmaProgress, IsaDma, all_ones, split_read, split_write};
use crate::state::{StateError, Stateful};
use serde::{Deserialize, Serialize};

/// One channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "DmaChannelState")]
pub struct ChannelState {
    /// Base address, reloaded by auto-initialization.
    pub base_address: u16,
    /// Base count: transfers less one.
    pub base_count: u16,
    /// Current address.
    pub address: u16,
    /// Current count.
    pub count: u16,
    /// Mode register: bits 7-6 mode, 5 decrement, 4 auto-initialize, 3-2 transfer type.
    pub mode: u8,
    /// Page register: address bits 23-16.
    pub page: u8,
}

/// One 8237A.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerState {
    /// The channels.
    pub channels: [ChannelState; 4],
    /// Command register; bit 2 disables the controller.
    pub command: u8,
    /// Status bits 3-0: channels that reached terminal count since the last read.
    pub terminal_count: u8,
    /// Request register.
    pub request: u8,
    /// Mask register.
    pub mask: u8,
    /// Whether the next address or count access is to the high byte.
    pub flip_flop: bool,
}

/// Guest-visible state of the pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmaState {
    /// Channels 0-3, then channels 4-7.
    pub controllers: [ControllerState; 2],
}

/// Mode register, bits 7-6: cascade.
const MODE_CASCADE: u8 = 0xC0;
const MODE_DECREMENT: u8 = 0x20;
const MODE_AUTO_INITIALIZE: u8 = 0x10;
const TYPE_VERIFY: u8 = 0;
const TYPE_WRITE: u8 = 1;
const TYPE_READ: u8 = 2;
const COMMAND_MEMORY_TO_MEMORY: u8 = 0x01;
const COMMAND_DISABLE: u8 = 0x04;

/// The 8237A pair.
#[derive(Debug, Default)]
pub struct Dma {
    state: DmaState,
    cascade_logged: bool,
    memory_to_memory_logged: bool,
}

/// The DMA controller of a board that lends none: no request is ever answered. The controller itself is called with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDma;

impl IsaDma for NoDma {
    fn to_memory(&mut self, _: &mut dyn DmaMemory, _: u8, _: &[u8]) -> DmaProgress {
        DmaProgress { bytes: 0, terminal_count: false }
    }
    fn from_memory(&mut self, _: &mut dyn DmaMemory, _: u8, _: &mut [u8]) -> DmaProgress {
        DmaProgress { bytes: 0, terminal_count: false }
    }
}

/// What a device does with the bytes of a transfer.
enum Peer<'a> {
    Source(&'a [u8]),
    Sink(&'a mut [u8]),
}

/// The channel (0-7) whose page register a port is.
fn page_channel(port: u16) -> Option<usize> {
    match port {
        0x87 => Some(0),
        0x83 => Some(1),
        0x81 => Some(2),
        0x82 => Some(3),
        0x8F => Some(4),
        0x8B => Some(5),
        0x89 => Some(6),
        0x8A => Some(7),
        _ => None,
    }
}

impl Dma {
    /// The pair after power-on: all channels masked.
    pub fn new() -> Self {
        let mut dma = Dma::default();
        dma.state.controllers.iter_mut().for_each(ControllerState::master_clear);
        dma
    }

    /// The guest-visible state.
    pub fn state(&self) -> &DmaState {
        &self.state
    }

    fn read(&mut self, port: u16) -> u8 {
        if let Some(channel) = page_channel(port) {
            return self.state.controllers[channel / 4].channels[channel % 4].page;
        }
        match port {
            0x00..=0x0F => self.state.controllers[0].read(port as u8),
            0xC0..=0xDF => self.state.controllers[1].read(((port - 0xC0) / 2) as u8),
            _ => 0xFF,
        }
    }

    fn write(&mut self, ctx: &mut Ctx, port: u16, value: u8) {
        if let Some(channel) = page_channel(port) {
            self.state.controllers[channel / 4].channels[channel % 4].page = value;
            return;
        }
        let (controller, register) = match port {
            0x00..=0x0F => (0, port as u8),
            0xC0..=0xDF => (1, ((port - 0xC0) / 2) as u8),
            _ => return,
        };
        self.state.controllers[controller].write(register, value);
        let state = &self.state.controllers[controller];
        let memory_to_memory = state.command & COMMAND_MEMORY_TO_MEMORY != 0;
        if register == 8 && memory_to_memory && !std::mem::replace(&mut self.memory_to_memory_logged, true) {
            log::error!(
                "8237A: memory-to-memory transfer is not wired up on a PC and not done (8237A data sheet, Command Register)"
            );
        }
        if register == 9 && state.request != 0 {
            self.software_requests(ctx.memory, controller);
        }
    }

    /// A software request runs its channel to terminal count against a bus that no device drives.
    fn software_requests(&mut self, memory: &mut dyn DmaMemory, controller: usize) {
        for index in 0..4 {
            if self.state.controllers[controller].request & (1 << index) == 0 {
                continue;
            }
            let channel = (controller * 4 + index) as u8;
            let unit = if controller == 0 { 1 } else { 2 };
            let mut bytes = vec![0xFF; (usize::from(self.channel(channel).count) + 1) * unit];
            if self.channel(channel).mode >> 2 & 3 == TYPE_READ {
                self.from_memory(memory, channel, &mut bytes);
            } else {
                self.to_memory(memory, channel, &bytes);
            }
        }
    }

    fn channel(&self, channel: u8) -> &ChannelState {
        &self.state.controllers[usize::from(channel / 4) & 1].channels[usize::from(channel % 4)]
    }

    fn may_move(&mut self, channel: u8, wanted_type: u8) -> bool {
        let refused = DmaState::masked(&self.state.controllers[1], 0);
        if channel < 4 && refused {
            if !std::mem::replace(&mut self.cascade_logged, true) {
                log::warn!(
                    "8237A: channel {channel} is requested while channel 4 (cascade) is masked; firmware must unmask it"
                );
            }
            return false;
        }
        let Some(controller) = self.state.controllers.get(usize::from(channel / 4)) else { return false };
        let index = channel % 4;
        let software = controller.request & (1 << index) != 0;
        let mode = controller.channels[usize::from(index)].mode;
        let kind = mode >> 2 & 3;
        channel != 4
            && controller.command & COMMAND_DISABLE == 0
            && (software || !DmaState::masked(controller, index))
            && mode & MODE_CASCADE != MODE_CASCADE
            && (kind == wanted_type || kind == TYPE_VERIFY)
    }

    fn transfer(&mut self, memory: &mut dyn DmaMemory, channel: u8, mut peer: Peer) -> DmaProgress {
        let mut progress = DmaProgress { bytes: 0, terminal_count: false };
        let index = usize::from(channel % 4);
        let controller = &mut self.state.controllers[usize::from(channel / 4)];
        let state = &mut controller.channels[index];
        // The word channels shift the address left by one and ignore bit 0 of the page.
        let (unit, page) =
            if channel < 4 { (1, u64::from(state.page) << 16) } else { (2, u64::from(state.page & 0xFE) << 16) };
        let length = match &peer {
            Peer::Source(data) => data.len(),
            Peer::Sink(buffer) => buffer.len(),
        };
        let mut left = length / unit;
        let verify = state.mode >> 2 & 3 == TYPE_VERIFY;
        let decrement = state.mode & MODE_DECREMENT != 0;
        while left > 0 && !progress.terminal_count {
            // A run of rising addresses up to the wrap; falling ones go unit by unit.
            let to_wrap = 0x1_0000 - usize::from(state.address);
            let run = if decrement { 1 } else { left.min(usize::from(state.count) + 1).min(to_wrap) };
            let address = page + u64::from(state.address) * unit as u64;
            let span = progress.bytes..progress.bytes + run * unit;
            match &mut peer {
                Peer::Source(data) if !verify => memory.dma_write(address, &data[span]),
                Peer::Sink(buffer) if !verify => memory.dma_read(address, &mut buffer[span]),
                Peer::Sink(buffer) => buffer[span].fill(0xFF),
                Peer::Source(_) => {}
            }
            progress.bytes += run * unit;
            left -= run;
            let step = run as u16;
            state.address = if decrement { state.address.wrapping_sub(1) } else { state.address.wrapping_add(step) };
            progress.terminal_count = run > usize::from(state.count);
            state.count = state.count.wrapping_sub(step);
        }
        if progress.terminal_count {
            controller.terminal_count |= 1 << index;
            controller.request &= !(1 << index);
            if state.mode & MODE_AUTO_INITIALIZE != 0 {
                state.address = state.base_address;
                state.count = state.base_count;
            } else {
                controller.mask |= 1 << index;
            }
        }
        progress
    }
}

impl DmaState {
    fn masked(controller: &ControllerState, index: u8) -> bool {
        controller.mask & (1 << index) != 0
    }
}

impl ControllerState {
    /// Master clear: as a hardware reset; the channels' registers stay.
    fn master_clear(&mut self) {
        *self = ControllerState { channels: self.channels, mask: 0x0F, ..ControllerState::default() };
    }

    /// The byte that this address or count access means; the next one means the other.
    fn next_is_high(&mut self) -> bool {
        self.flip_flop = !self.flip_flop;
        !self.flip_flop
    }

    fn read(&mut self, register: u8) -> u8 {
        match register {
            0..=7 => {
                let channel = &self.channels[usize::from(register / 2)];
                let value = if register & 1 == 0 { channel.address } else { channel.count };
                let high = self.next_is_high();
                value.to_le_bytes()[usize::from(high)]
            }
            8 => std::mem::take(&mut self.terminal_count) | self.request << 4,
            0xD => 0, // Temporary register: the last byte of a memory-to-memory transfer.
            0xF => self.mask | 0xF0,
            _ => 0xFF,
        }
    }

    fn write(&mut self, register: u8, value: u8) {
        let selected = usize::from(value & 3);
        let set_bit = |bits: u8| if value & 4 != 0 { bits | 1 << selected } else { bits & !(1 << selected) };
        match register {
            0..=7 => {
                let high = self.next_is_high();
                let channel = &mut self.channels[usize::from(register / 2)];
                let (base, current) = if register & 1 == 0 {
                    (&mut channel.base_address, &mut channel.address)
                } else {
                    (&mut channel.base_count, &mut channel.count)
                };
                let mut bytes = base.to_le_bytes();
                bytes[usize::from(high)] = value;
                *base = u16::from_le_bytes(bytes);
                *current = *base;
            }
            8 => self.command = value,
            9 => self.request = set_bit(self.request),
            0xA => self.mask = set_bit(self.mask),
            0xB => self.channels[selected].mode = value & 0xFC,
            0xC => self.flip_flop = false,
            0xD => self.master_clear(),
            0xE => self.mask = 0,
            0xF => self.mask = value & 0x0F,
            _ => {}
        }
    }
}

impl IsaDma for Dma {
    fn to_memory(&mut self, memory: &mut dyn DmaMemory, channel: u8, data: &[u8]) -> DmaProgress {
        if !self.may_move(channel, TYPE_WRITE) {
            return DmaProgress { bytes: 0, terminal_count: false };
        }
        self.transfer(memory, channel, Peer::Source(data))
    }

    fn from_memory(&mut self, memory: &mut dyn DmaMemory, channel: u8, buffer: &mut [u8]) -> DmaProgress {
        if !self.may_move(channel, TYPE_READ) {
            return DmaProgress { bytes: 0, terminal_count: false };
        }
        self.transfer(memory, channel, Peer::Sink(buffer))
    }
}

impl Stateful for Dma {
    type Saved = DmaState;

    fn save(&self) -> DmaState {
        let Self { state, cascade_logged: _, memory_to_memory_logged: _ } = self;
        state.clone()
    }

    fn restore(&mut self, state: DmaState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for Dma {
    fn claims(&self) -> Claims {
        let pages = [0x81..0x84, 0x87..0x88, 0x89..0x8C, 0x8F..0x90];
        Claims { ports: [0x00..0x10, 0xC0..0xE0].into_iter().chain(pages).collect(), mmio: Vec::new() }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        self.state = DmaState::default();
        self.state.controllers.iter_mut().for_each(ControllerState::master_clear);
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        if size > 4 { all_ones(size) } else { split_read(port, size, |port| self.read(port)) }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        split_write(port, size, value, |port, byte| self.write(ctx, port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    fn program(h: &mut Bench, dma: &mut Dma, mode: u8, address: u32, count: u16) {
        h.outb(dma, 0xD6, 0xC0);
        h.outb(dma, 0xD4, 0x00);
        h.outb(dma, 0x0C, 0);
        h.outb(dma, 0x0B, mode | 2);
        h.outb(dma, 0x04, address as u8);
        h.outb(dma, 0x04, (address >> 8) as u8);
        h.outb(dma, 0x05, count as u8);
        h.outb(dma, 0x05, (count >> 8) as u8);
        h.outb(dma, 0x81, (address >> 16) as u8);
        h.outb(dma, 0x0A, 2);
    }

    #[test]
    fn dma_write_transfer_ends_at_terminal_count_and_masks_the_channel() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x44, 0x1_2345, 3);
        let progress = dma.to_memory(&mut h.memory, 2, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(progress, DmaProgress { bytes: 4, terminal_count: true });
        assert_eq!(h.memory.0[0x1_2345..0x1_234A], [1, 2, 3, 4, 0]);
        assert_eq!(h.inb(&mut dma, 0x08), 0x04);
        assert_eq!(h.inb(&mut dma, 0x08), 0x00);
        assert_eq!(dma.to_memory(&mut h.memory, 2, &[1]).bytes, 0);
        assert_eq!(dma.state().controllers[0].channels[2].count, 0xFFFF);
    }

    #[test]
    fn dma_channel_set_for_the_other_direction_moves_nothing() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x44, 0, 3);
        assert_eq!(dma.from_memory(&mut h.memory, 2, &mut [0; 4]).bytes, 0);
    }

    #[test]
    fn dma_of_the_first_controller_needs_channel_4_unmasked() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x44, 0, 3);
        h.outb(&mut dma, 0xD4, 0x04);
        assert_eq!(dma.to_memory(&mut h.memory, 2, &[1]).bytes, 0);
    }

    #[test]
    fn dma_address_wraps_inside_its_64_kib_page() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x44, 0x1_FFFF, 9);
        dma.to_memory(&mut h.memory, 2, &[1, 2]);
        assert_eq!((h.memory.0[0x1_FFFF], h.memory.0[0x1_0000], h.memory.0[0x2_0000]), (1, 2, 0));
    }

    #[test]
    fn dma_auto_initialization_reloads_address_and_count() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x58, 0x100, 1);
        h.memory.0[0x100..0x102].copy_from_slice(&[8, 9]);
        for _ in 0..2 {
            let mut buffer = [0; 4];
            assert!(dma.from_memory(&mut h.memory, 2, &mut buffer).terminal_count);
            assert_eq!(buffer, [8, 9, 0, 0]);
        }
    }

    #[test]
    fn dma_decrement_stores_downwards() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x64, 0x202, 2);
        dma.to_memory(&mut h.memory, 2, &[1, 2, 3]);
        assert_eq!(h.memory.0[0x200..0x203], [3, 2, 1]);
    }

    #[test]
    fn dma_word_channel_shifts_the_address_and_counts_words() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        for (port, value) in [(0xD6, 0x45), (0xC4, 0x00), (0xC4, 0x08), (0xC6, 1), (0xC6, 0), (0x8B, 0x03), (0xD4, 1)] {
            h.outb(&mut dma, port, value);
        }
        let progress = dma.to_memory(&mut h.memory, 5, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(progress, DmaProgress { bytes: 4, terminal_count: true });
        assert_eq!(h.memory.0[0x2_1000..0x2_1004], [1, 2, 3, 4]);
    }

    #[test]
    fn dma_master_clear_masks_all_and_resets_the_flip_flop() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        h.outb(&mut dma, 0x0E, 0);
        h.outb(&mut dma, 0x00, 1);
        h.outb(&mut dma, 0x0D, 0);
        assert_eq!(h.inb(&mut dma, 0x0F), 0xFF);
        h.outb(&mut dma, 0x00, 0x34);
        h.outb(&mut dma, 0x00, 0x12);
        assert_eq!(dma.state().controllers[0].channels[0].address, 0x1234);
    }

    #[test]
    fn dma_software_request_runs_the_channel_to_terminal_count() {
        let (mut h, mut dma) = (Bench::new(DeviceId::Dma, 1_000_000_000), Dma::new());
        program(&mut h, &mut dma, 0x84, 0x300, 1);
        h.outb(&mut dma, 0x0A, 6);
        h.outb(&mut dma, 0x09, 6);
        assert_eq!(h.memory.0[0x300..0x303], [0xFF, 0xFF, 0]);
        assert_eq!(h.inb(&mut dma, 0x08), 0x04);
    }
}
