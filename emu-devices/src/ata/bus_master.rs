//! The bus master of one IDE channel (82371SB data sheet 2.7): command, status, descriptor table pointer, PRDs.

use crate::device::DmaMemory;
use serde::{Deserialize, Serialize};

/// Offset of the status register.
pub(super) const STATUS: u16 = 2;
const COMMAND_START: u8 = 0x01;
const COMMAND_TO_MEMORY: u8 = 0x08;
const STATUS_ACTIVE: u8 = 0x01;
const STATUS_ERROR: u8 = 0x02;
const STATUS_INTERRUPT: u8 = 0x04;
/// Drive 0 and 1 DMA capable: software's own notes.
const STATUS_CAPABLE: u8 = 0x60;

/// Guest-visible state of a channel's bus master.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusMasterState {
    /// BMICx: bit 0 start, bit 3 direction (1 = to memory).
    pub command: u8,
    /// BMISx: bit 0 active, 1 error, 2 interrupt.
    pub status: u8,
    /// BMIDTPx: physical address of the PRD table.
    pub table: u32,
    /// The deadline of a transfer is running.
    pub transferring: bool,
}

impl BusMasterState {
    pub(super) fn read(&self, offset: u16) -> u8 {
        match offset {
            0 => self.command,
            STATUS => self.status,
            4..=7 => self.table.to_le_bytes()[usize::from(offset - 4)],
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, offset: u16, value: u8) {
        match offset {
            0 => {
                let starts = value & COMMAND_START != 0 && !self.started();
                self.command = value & (COMMAND_START | COMMAND_TO_MEMORY);
                if starts {
                    self.status |= STATUS_ACTIVE;
                } else if !self.started() {
                    self.status &= !STATUS_ACTIVE;
                }
            }
            STATUS => {
                self.status &= !(value & (STATUS_ERROR | STATUS_INTERRUPT));
                self.status = self.status & !STATUS_CAPABLE | value & STATUS_CAPABLE;
            }
            4..=7 => {
                let mut bytes = self.table.to_le_bytes();
                bytes[usize::from(offset - 4)] = value;
                self.table = u32::from_le_bytes(bytes) & !3;
            }
            _ => {}
        }
    }

    pub(super) fn started(&self) -> bool {
        self.command & COMMAND_START != 0
    }

    /// Started, not stopped by its table's end, and no transfer under way.
    pub(super) fn ready(&self) -> bool {
        self.started() && self.status & STATUS_ACTIVE != 0 && !self.transferring
    }

    /// The drive raised INTRQ.
    pub(super) fn interrupt_edge(&mut self) {
        self.status |= STATUS_INTERRUPT;
    }
}

/// Walks the PRD table for one transfer.
pub(super) struct Engine<'a> {
    state: BusMasterState,
    memory: &'a mut dyn DmaMemory,
    next_entry: u32,
    address: u32,
    left: u32,
    last: bool,
    entries: u32,
}

impl<'a> Engine<'a> {
    pub fn new(state: BusMasterState, memory: &'a mut dyn DmaMemory) -> Self {
        let next_entry = state.table;
        Engine { state, memory, next_entry, address: 0, left: 0, last: false, entries: 0 }
    }

    pub fn finish(self) -> BusMasterState {
        self.state
    }

    pub fn to_memory(&self) -> bool {
        self.state.command & COMMAND_TO_MEMORY != 0
    }

    /// Makes sure that there are bytes left in the current region.
    fn region(&mut self) -> bool {
        // A table lies in one 64 KiB block, so it has at most 8192 entries.
        while self.left == 0 {
            if self.last || self.entries == 8192 {
                return false;
            }
            let mut entry = [0; 8];
            self.memory.dma_read(u64::from(self.next_entry), &mut entry);
            let word = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
            self.address = (word(0) | word(2) << 16) & !1;
            self.left = match word(4) & 0xFFFE {
                0 => 0x1_0000,
                count => count,
            };
            self.last = word(6) & 0x8000 != 0;
            self.next_entry = self.next_entry.wrapping_add(8);
            self.entries += 1;
        }
        true
    }

    fn step(&mut self, wanted: usize) -> usize {
        let count = wanted.min(self.left as usize);
        self.left -= count as u32;
        count
    }

    /// Device to memory; returns the bytes for which the table had room.
    pub fn put(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() && self.region() {
            let count = self.step(data.len() - done);
            self.memory.dma_write(u64::from(self.address), &data[done..done + count]);
            self.address = self.address.wrapping_add(count as u32);
            done += count;
        }
        done
    }

    /// Memory to device; returns the bytes that the table had.
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() && self.region() {
            let count = self.step(buffer.len() - done);
            self.memory.dma_read(u64::from(self.address), &mut buffer[done..done + count]);
            self.address = self.address.wrapping_add(count as u32);
            done += count;
        }
        done
    }

    /// The device has all it asked for: active stays set when the table describes more (82371SB, status bits table).
    pub fn device_done(&mut self) {
        if self.left == 0 && self.last {
            self.state.status &= !STATUS_ACTIVE;
        }
    }

    /// The engine stops without the device having ended: active and interrupt 0, the drive waits until it is reset.
    pub fn stall(&mut self, why: &str) {
        log::debug!(target: "disk", "IDE bus master: {why}; the transfer hangs until the guest resets the channel");
        self.state.status &= !STATUS_ACTIVE;
    }
}
