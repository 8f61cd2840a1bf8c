//! The flash memory below UEFI firmware's code, in which it keeps its variables: a NOR flash with Intel's command set, as
//! OVMF drives it. In the array mode it is memory; a command's bytes go to any of its addresses.

use crate::device::{Claims, Ctx, Device};
use crate::state::{StateError, Stateful, check};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bytes that are erased together.
pub const BLOCK: usize = 4096;
/// Most bytes of a buffered write.
const BUFFER: usize = 256;

/// Bits of the status register: the last command is done; an erase or a program failed.
const READY: u8 = 0x80;
const ERASE_FAILED: u8 = 0x20;
const PROGRAM_FAILED: u8 = 0x10;

/// The flash memory as it is made.
#[derive(Debug, Clone)]
pub struct FlashConfig {
    /// Physical address of the first byte.
    pub address: u64,
    /// What it holds; whole blocks.
    pub contents: Vec<u8>,
}

/// What reads give, and what the next write is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "FlashMode")]
enum Mode {
    /// Reads give the contents.
    Array,
    /// Reads give the status.
    Status,
    /// Reads give the identifiers.
    Identifiers,
    /// Reads give the answers to the common flash interface's query.
    Query,
    /// The next write is data.
    Program,
    /// The next write confirms an erase.
    Erase,
    /// The next write sets or clears a lock, which is accepted and means nothing.
    Lock,
    /// The next write is the number of a buffered write's bytes less one.
    Count,
    /// So many bytes of a buffered write are still to come; those that have, with their places.
    Buffer { left: u16, bytes: Vec<(u32, u8)> },
    /// The next write confirms a buffered write.
    Confirm { bytes: Vec<(u32, u8)> },
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlashState {
    mode: Mode,
    status: u8,
    contents: serde_bytes::ByteBuf,
}

/// The device.
#[derive(Debug)]
pub struct Flash {
    address: u64,
    state: FlashState,
    /// What the host has not taken yet.
    changed: Option<Range<usize>>,
}

impl Flash {
    /// A flash memory with these contents.
    pub fn new(config: FlashConfig) -> Self {
        let contents = serde_bytes::ByteBuf::from(config.contents);
        Self { address: config.address, state: FlashState { mode: Mode::Array, status: 0, contents }, changed: None }
    }

    /// What it holds.
    pub fn contents(&self) -> &[u8] {
        &self.state.contents
    }

    /// What has changed since the last call, unless a command is under way.
    pub fn take_changes(&mut self) -> Option<Range<usize>> {
        if self.state.mode == Mode::Array { self.changed.take() } else { None }
    }

    /// The same at the end of a run, whatever is under way.
    pub fn take_last_changes(&mut self) -> Option<Range<usize>> {
        self.changed.take()
    }

    fn mark(&mut self, range: Range<usize>) {
        self.changed = Some(match self.changed.take() {
            Some(before) => before.start.min(range.start)..before.end.max(range.end),
            None => range,
        });
    }

    fn byte(&self, at: usize) -> u8 {
        match self.state.mode {
            Mode::Array => self.state.contents.get(at).copied().unwrap_or(0xFF),
            // An 8-bit part of Intel's: manufacturer, device.
            Mode::Identifiers => [0x89, 0x18, 0x00].get(at % BLOCK).copied().unwrap_or(0),
            Mode::Query => self.query(at),
            _ => self.state.status,
        }
    }

    /// The common flash interface's answers: one erase region, and buffered writes of 256 bytes.
    fn query(&self, at: usize) -> u8 {
        let blocks = self.state.contents.len() / BLOCK - 1;
        match at & 0xFF {
            0x10 => b'Q',
            0x11 => b'R',
            0x12 => b'Y',
            // Intel's extended command set.
            0x13 => 0x01,
            0x27 => self.state.contents.len().next_power_of_two().trailing_zeros() as u8,
            0x2A => BUFFER.trailing_zeros() as u8,
            0x2C => 1,
            0x2D => blocks as u8,
            0x2E => (blocks >> 8) as u8,
            // In units of 256 bytes.
            0x2F => (BLOCK >> 8) as u8,
            0x30 => (BLOCK >> 16) as u8,
            _ => 0,
        }
    }

    /// Programming clears bits and never sets one.
    fn program(&mut self, at: usize, value: u8) {
        match self.state.contents.get_mut(at) {
            Some(byte) => {
                *byte &= value;
                self.mark(at..at + 1);
            }
            None => self.state.status |= PROGRAM_FAILED,
        }
        self.state.status |= READY;
    }

    fn write_byte(&mut self, at: usize, value: u8) {
        let mode = std::mem::replace(&mut self.state.mode, Mode::Status);
        self.state.mode = match mode {
            Mode::Program => {
                self.program(at, value);
                Mode::Status
            }
            Mode::Erase => {
                self.erase(at, value);
                Mode::Status
            }
            Mode::Lock => {
                self.state.status |= READY;
                Mode::Status
            }
            Mode::Count => {
                self.state.status |= READY;
                Mode::Buffer { left: u16::from(value) + 1, bytes: Vec::new() }
            }
            Mode::Buffer { left, mut bytes } => {
                bytes.push((at as u32, value));
                if left > 1 { Mode::Buffer { left: left - 1, bytes } } else { Mode::Confirm { bytes } }
            }
            Mode::Confirm { bytes } => {
                if value == 0xD0 {
                    bytes.into_iter().for_each(|(at, value)| self.program(at as usize, value));
                } else {
                    self.state.status |= READY | PROGRAM_FAILED;
                }
                Mode::Status
            }
            Mode::Array | Mode::Status | Mode::Identifiers | Mode::Query => self.command(value),
        };
    }

    fn command(&mut self, value: u8) -> Mode {
        match value {
            0x10 | 0x40 => Mode::Program,
            0x20 => Mode::Erase,
            0x60 => Mode::Lock,
            0x70 => Mode::Status,
            0x90 => Mode::Identifiers,
            0x98 => Mode::Query,
            0xE8 => {
                self.state.status |= READY;
                Mode::Count
            }
            // OVMF takes a flash memory for one only if the cleared status is 0, READY included.
            0x50 => {
                self.state.status = 0;
                Mode::Array
            }
            _ => Mode::Array,
        }
    }

    fn erase(&mut self, at: usize, confirmation: u8) {
        let block = at - at % BLOCK..at - at % BLOCK + BLOCK;
        match self.state.contents.get_mut(block.clone()) {
            Some(bytes) if confirmation == 0xD0 => {
                bytes.fill(0xFF);
                self.mark(block);
            }
            _ => self.state.status |= ERASE_FAILED,
        }
        self.state.status |= READY;
    }

    fn offset(&self, address: u64) -> usize {
        address.wrapping_sub(self.address) as usize
    }
}

impl Stateful for Flash {
    type Saved = FlashState;
    const NAME: &'static str = "flash memory for UEFI variables";

    fn save(&self) -> FlashState {
        let Self { address: _, state, changed: _ } = self;
        state.clone()
    }

    fn restore(&mut self, saved: FlashState) -> Result<(), StateError> {
        check(saved.contents.len() == self.state.contents.len(), "flash memory", "it has another size")?;
        let pending = match &saved.mode {
            Mode::Buffer { left, bytes } => usize::from(*left) + bytes.len(),
            Mode::Confirm { bytes } => bytes.len(),
            _ => 0,
        };
        check(pending <= BUFFER, "flash memory", "its buffer is too long")?;
        self.state = saved;
        self.changed = Some(0..self.state.contents.len());
        Ok(())
    }
}

impl Device for Flash {
    fn claims(&self) -> Claims {
        let range = self.address..self.address + self.state.contents.len() as u64;
        Claims { ports: Vec::new(), mmio: vec![range] }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        (self.state.mode, self.state.status) = (Mode::Array, 0);
    }

    fn mmio_read(&mut self, _ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        let at = self.offset(address);
        (0..usize::from(size)).rev().fold(0, |value, n| value << 8 | u64::from(self.byte(at.wrapping_add(n))))
    }

    fn mmio_write(&mut self, _ctx: &mut Ctx, address: u64, size: u8, value: u64) {
        let at = self.offset(address);
        // A command is one byte, whatever is written; data is as wide as the access.
        let wide = matches!(self.state.mode, Mode::Program);
        let bytes = value.to_le_bytes();
        if wide {
            for (n, byte) in bytes.iter().take(usize::from(size)).enumerate() {
                self.program(at.wrapping_add(n), *byte);
            }
            self.state.mode = Mode::Status;
        } else {
            self.write_byte(at, bytes[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    const BASE: u64 = 0xFFC0_0000;

    struct Chip {
        flash: Flash,
        bench: Bench,
    }

    impl Chip {
        fn new() -> Self {
            let flash = Flash::new(FlashConfig { address: BASE, contents: vec![0xFF; 3 * BLOCK] });
            Self { flash, bench: Bench::new(DeviceId::Flash, 1_000_000) }
        }

        fn write(&mut self, at: u64, value: u8) {
            let flash = &mut self.flash;
            self.bench.call(|ctx| flash.mmio_write(ctx, BASE + at, 1, value.into()));
        }

        fn read(&mut self, at: u64, size: u8) -> u64 {
            let flash = &mut self.flash;
            self.bench.call(|ctx| flash.mmio_read(ctx, BASE + at, size))
        }
    }

    #[test]
    fn flash_is_told_from_ram_and_rom_as_ovmf_does() {
        let mut chip = Chip::new();
        assert_eq!(chip.read(8, 1), 0xFF);
        chip.write(8, 0x50);
        assert_eq!(chip.read(8, 1), 0xFF);
        chip.write(8, 0x70);
        assert_eq!(chip.read(8, 1), 0);
        chip.write(8, 0xFF);
        assert_eq!(chip.read(8, 4), 0xFFFF_FFFF);
        assert_eq!(chip.flash.take_changes(), None);
    }

    #[test]
    fn bytes_are_programmed_and_a_block_is_erased() {
        let mut chip = Chip::new();
        for (at, value) in [(0x1001, 0x5A), (0x1002, 0x0F), (0x1002, 0xF3)] {
            chip.write(at, 0x10);
            chip.write(at, value);
            assert_eq!(chip.read(at, 1), 0x80, "the status");
        }
        assert_eq!(chip.flash.take_changes(), None, "a command is under way");
        chip.write(0, 0xFF);
        // A bit that is 0 stays 0 until its block is erased.
        assert_eq!(chip.read(0x1000, 4), 0xFF03_5AFF);
        assert_eq!(chip.flash.take_changes(), Some(0x1001..0x1003));
        chip.write(0x1FFF, 0x20);
        chip.write(0x1FFF, 0xD0);
        chip.write(0, 0xFF);
        assert_eq!((chip.read(0x1000, 4), chip.flash.take_changes()), (0xFFFF_FFFF, Some(0x1000..0x2000)));
        // Not confirmed: a failure, and nothing is erased.
        chip.write(0, 0x10);
        chip.write(0, 1);
        chip.write(0, 0x20);
        chip.write(0, 0x10);
        assert_eq!(chip.read(0, 1), 0xA0);
        chip.write(0, 0xFF);
        assert_eq!(chip.read(0, 1), 1);
    }

    #[test]
    fn buffered_write_happens_when_it_is_confirmed() {
        let mut chip = Chip::new();
        for (at, value) in [(0x10, 0xE8), (0x10, 1), (0x10, 7), (0x11, 8)] {
            chip.write(at, value);
        }
        assert_eq!(chip.flash.contents()[0x10], 0xFF);
        chip.write(0x10, 0xD0);
        chip.write(0x10, 0xFF);
        assert_eq!(chip.read(0x10, 2), 0x0807);
        for (at, expected) in [(0x10, b'Q'), (0x11, b'R'), (0x12, b'Y'), (0x2D, 2)] {
            chip.write(0, 0x98);
            assert_eq!(chip.read(at, 1), expected.into());
        }
    }

    #[test]
    fn flash_of_a_snapshot_comes_back_with_the_command_under_way() {
        let (mut chip, mut other) = (Chip::new(), Chip::new());
        chip.write(5, 0x10);
        let saved = chip.flash.save();
        other.flash.restore(saved).expect("the same size");
        other.write(5, 0x42);
        other.write(5, 0xFF);
        assert_eq!(other.read(5, 1), 0x42);
        let bad = FlashState { contents: vec![0; 5].into(), ..chip.flash.save() };
        assert!(other.flash.restore(bad).is_err());
    }
}
