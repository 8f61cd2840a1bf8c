//! The configuration space of one PCI function: 256 bytes, which of them software can change, and its BARs
//! (PCI Local Bus Specification 2.1, chapter 6).

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bytes of a function's configuration space.
pub const SIZE: usize = 256;

/// Registers of a type 0 header.
pub mod offset {
    /// Vendor identifier, 16 bits.
    pub const VENDOR: u8 = 0x00;
    /// Device identifier, 16 bits.
    pub const DEVICE: u8 = 0x02;
    /// Command, 16 bits.
    pub const COMMAND: u8 = 0x04;
    /// Status, 16 bits.
    pub const STATUS: u8 = 0x06;
    /// Revision (7:0) and class code (31:8).
    pub const CLASS_REVISION: u8 = 0x08;
    /// Header type.
    pub const HEADER_TYPE: u8 = 0x0E;
    /// The first base address register.
    pub const BAR0: u8 = 0x10;
    /// Expansion ROM base address: bit 0 enables it.
    pub const ROM: u8 = 0x30;
    /// Subsystem vendor (15:0) and subsystem identifier (31:16).
    pub const SUBSYSTEM: u8 = 0x2C;
    /// Interrupt line.
    pub const INTERRUPT_LINE: u8 = 0x3C;
    /// Interrupt pin: 0 none, 1 INTA# to 4 INTD#.
    pub const INTERRUPT_PIN: u8 = 0x3D;
}

/// Command register bits.
pub mod command {
    /// The function answers I/O cycles.
    pub const IO: u16 = 1 << 0;
    /// The function answers memory cycles.
    pub const MEMORY: u16 = 1 << 1;
    /// The function may be bus master.
    pub const BUS_MASTER: u16 = 1 << 2;
}

/// Where a base address register points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BarRange {
    /// I/O ports.
    Io(Range<u32>),
    /// Physical addresses.
    Memory(Range<u64>),
}

/// One function's configuration space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpace {
    bytes: Vec<u8>,
    defaults: Vec<u8>,
    /// Bits that a write changes.
    writable: Vec<u8>,
    /// Bits that a 1 clears.
    clearable: Vec<u8>,
}

impl ConfigSpace {
    /// A type 0 header: identity, class code with revision in bits 7:0. The interrupt line register is writable, and
    /// the command bits that `command_writable` names.
    pub fn new(vendor: u16, device: u16, class_revision: u32, command_writable: u16) -> Self {
        let empty = || vec![0; SIZE];
        let mut space = Self { bytes: empty(), defaults: empty(), writable: empty(), clearable: empty() };
        space.define(offset::VENDOR, 2, u32::from(vendor), 0);
        space.define(offset::DEVICE, 2, u32::from(device), 0);
        space.define(offset::CLASS_REVISION, 4, class_revision, 0);
        space.define(offset::COMMAND, 2, 0, u32::from(command_writable));
        space.define(offset::INTERRUPT_LINE, 1, 0, 0xFF);
        space
    }

    /// Whether each of its tables has [`SIZE`] bytes.
    pub(super) fn is_whole(&self) -> bool {
        let Self { bytes, defaults, writable, clearable } = self;
        [bytes, defaults, writable, clearable].iter().all(|table| table.len() == SIZE)
    }

    /// Gives a register of `size` bytes its value at reset and its writable bits.
    pub fn define(&mut self, register: u8, size: u8, default: u32, writable: u32) {
        for i in 0..size {
            let Some(index) = Self::index(register, i) else { return };
            self.defaults[index] = (default >> (8 * i)) as u8;
            self.bytes[index] = self.defaults[index];
            self.writable[index] = (writable >> (8 * i)) as u8;
        }
    }

    /// Declares status bits of a 16-bit register that software clears by writing 1.
    pub fn define_clearable(&mut self, register: u8, bits: u16) {
        for (i, byte) in (0..).zip(bits.to_le_bytes()) {
            if let Some(index) = Self::index(register, i) {
                self.clearable[index] = byte;
            }
        }
    }

    /// Declares BAR `number` as memory of `size` bytes (a power of two, at least 16).
    pub fn define_memory_bar(&mut self, number: u8, size: u32, prefetchable: bool) {
        let writable = size.max(16).next_power_of_two().wrapping_neg();
        self.define(offset::BAR0 + 4 * number, 4, u32::from(prefetchable) << 3, writable);
    }

    /// Declares BAR `number` as `size` I/O ports (a power of two, at least 4). All 32 bits can be written: SeaBIOS takes
    /// the size from all of them and finds one of 4 GiB where the upper half stays 0.
    pub fn define_io_bar(&mut self, number: u8, size: u32) {
        let writable = size.max(4).next_power_of_two().wrapping_neg();
        self.define(offset::BAR0 + 4 * number, 4, 1, writable);
    }

    /// Declares an expansion ROM of `size` bytes (rounded up to a power of two, at least 2 KiB).
    pub fn define_rom(&mut self, size: u32) {
        let writable = size.clamp(0x800, 1 << 24).next_power_of_two().wrapping_neg() | 1;
        self.define(offset::ROM, 4, 0, writable);
    }

    /// Where the expansion ROM lies, if it was given an address and is enabled. The command register's memory enable
    /// does not count: Bochs's BIOS copies the ROM before it sets that.
    pub fn rom(&self) -> Option<u64> {
        let value = self.read(offset::ROM, 4);
        let placed = value & 1 != 0 && value & !1 != 0;
        placed.then_some(u64::from(value & !1))
    }

    /// Where BAR `number` points, if it was given an address and the command register enables its space.
    pub fn bar(&self, number: u8) -> Option<BarRange> {
        let register = offset::BAR0 + 4 * number.min(5);
        let value = self.read(register, 4);
        let writable = u32::from_le_bytes(std::array::from_fn(|i| self.writable[usize::from(register) + i]));
        let address = value & writable;
        if writable == 0 || address == 0 || address == writable {
            return None;
        }
        let size = 1u32 << writable.trailing_zeros();
        if value & 1 != 0 {
            let decoded = self.enabled(command::IO) && address <= 0xFFFF;
            decoded.then(|| BarRange::Io(address..address + size))
        } else {
            let (address, size) = (u64::from(address), u64::from(size));
            self.enabled(command::MEMORY).then(|| BarRange::Memory(address..address + size))
        }
    }

    /// Whether all of `bits` are set in the command register.
    pub fn enabled(&self, bits: u16) -> bool {
        self.read(offset::COMMAND, 2) as u16 & bits == bits
    }

    /// Reads `size` bytes; beyond the end all ones.
    pub fn read(&self, register: u8, size: u8) -> u32 {
        (0..size).fold(0, |value, i| {
            let byte = Self::index(register, i).map_or(0xFF, |index| self.bytes[index]);
            value | u32::from(byte) << (8 * i)
        })
    }

    /// Writes `size` bytes as software does. Returns whether anything changed.
    pub fn write(&mut self, register: u8, size: u8, value: u32) -> bool {
        let mut changed = false;
        for i in 0..size {
            let Some(index) = Self::index(register, i) else { break };
            let written = (value >> (8 * i)) as u8;
            let (writable, before) = (self.writable[index], self.bytes[index]);
            let after = (before & !writable | written & writable) & !(written & self.clearable[index]);
            self.bytes[index] = after;
            changed |= after != before;
        }
        changed
    }

    /// Sets bits as the hardware does, writable or not.
    pub fn set_bits(&mut self, register: u8, bits: u8) {
        self.bytes[usize::from(register)] |= bits;
    }

    /// Back to the values at reset.
    pub fn reset(&mut self) {
        self.bytes.clone_from(&self.defaults);
    }

    fn index(register: u8, i: u8) -> Option<usize> {
        register.checked_add(i).map(usize::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> ConfigSpace {
        let mut space = ConfigSpace::new(0x1234, 0x5678, 0x0300_0002, 0x0007);
        space.define_memory_bar(0, 0x1000, true);
        space.define_io_bar(1, 16);
        space
    }

    #[test]
    fn config_space_bar_sizing_gives_the_size_mask_and_type() {
        let mut space = space();
        space.write(0x10, 4, 0xFFFF_FFFF);
        space.write(0x14, 4, 0xFFFF_FFFF);
        assert_eq!((space.read(0x10, 4), space.read(0x14, 4)), (0xFFFF_F008, 0xFFFF_FFF1));
        assert_eq!(space.bar(0), None, "a BAR being sized decodes nothing");
    }

    #[test]
    fn config_space_bar_decodes_only_when_enabled() {
        let mut space = space();
        space.write(0x10, 4, 0xFEBD_0000);
        space.write(0x14, 4, 0xC040);
        assert_eq!((space.bar(0), space.bar(1)), (None, None));
        space.write(0x04, 2, 3);
        assert_eq!(space.bar(0), Some(BarRange::Memory(0xFEBD_0000..0xFEBD_1000)));
        assert_eq!(space.bar(1), Some(BarRange::Io(0xC040..0xC050)));
        space.write(0x14, 4, 0x1_C040);
        assert_eq!(space.bar(1), None, "a processor has no port above FFFFh");
    }

    #[test]
    fn config_space_identity_is_read_only_and_reads_in_any_size() {
        let mut space = space();
        assert!(!space.write(0, 4, 0));
        assert_eq!((space.read(0, 4), space.read(2, 2), space.read(1, 1)), (0x5678_1234, 0x5678, 0x12));
        assert_eq!(space.read(0xFE, 4), 0xFFFF_0000);
    }

    #[test]
    fn config_space_clearable_bits_clear_on_one_only() {
        let mut space = space();
        space.define_clearable(offset::STATUS, 0xF900);
        space.set_bits(offset::STATUS + 1, 0x20);
        space.write(offset::STATUS, 2, 0);
        assert_eq!(space.read(offset::STATUS, 2), 0x2000);
        space.write(offset::STATUS, 2, 0x2000);
        assert_eq!(space.read(offset::STATUS, 2), 0);
    }
}
