//! What the firmware finds in the CMOS RAM: sizes of memory and disks, drive types, boot order, processors. The places
//! are those of the PC/AT, with the additions of Bochs's BIOS and SeaBIOS.

use super::calendar::to_bcd;
use crate::floppy::FloppyDriveType;
use serde::{Deserialize, Serialize};

/// Floppy drive types as CMOS byte 10h codes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum FloppyType {
    /// No drive.
    #[default]
    None = 0,
    /// 5.25", 360 KB.
    Kb360 = 1,
    /// 5.25", 1.2 MB.
    Mb1_2 = 2,
    /// 3.5", 720 KB.
    Kb720 = 3,
    /// 3.5", 1.44 MB.
    Mb1_44 = 4,
    /// 3.5", 2.88 MB.
    Mb2_88 = 5,
}

impl FloppyType {
    /// The code of a drive, if there is one.
    pub fn of(drive: Option<FloppyDriveType>) -> Self {
        match drive {
            None => Self::None,
            Some(FloppyDriveType::D360K) => Self::Kb360,
            Some(FloppyDriveType::D1200K) => Self::Mb1_2,
            Some(FloppyDriveType::D720K) => Self::Kb720,
            Some(FloppyDriveType::D1440K) => Self::Mb1_44,
            Some(FloppyDriveType::D2880K) => Self::Mb2_88,
        }
    }
}

/// A hard disk as the BIOS's parameter table wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskGeometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads, 1 to 16.
    pub heads: u8,
    /// Sectors a track, 1 to 63.
    pub sectors: u8,
}

/// What to boot from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum BootDevice {
    /// Drive A:.
    Floppy = 1,
    /// The first hard disk.
    Disk = 2,
    /// The CD-ROM.
    CdRom = 3,
}

/// The machine as the CMOS RAM describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CmosConfig {
    /// RAM below 4 GiB, from address 0, in bytes.
    pub memory_below_4g: u64,
    /// RAM above 4 GiB, in bytes.
    pub memory_above_4g: u64,
    /// Drives A: and B:.
    pub floppies: [FloppyType; 2],
    /// Master and slave of the first ATA channel.
    pub disks: [Option<DiskGeometry>; 2],
    /// Boot order, first device first; up to three count.
    pub boot: Vec<BootDevice>,
    /// Boot a floppy without the 55AAh signature, too.
    pub skip_floppy_signature: bool,
    /// Logical processors.
    pub processors: u8,
    /// The machine's own BIOS leaves IA32_FEATURE_CONTROL unlocked and 0.
    pub vmx_unlocked: bool,
}

impl CmosConfig {
    /// Writes the configuration bytes and their checksum.
    pub(super) fn fill(&self, ram: &mut [u8]) {
        let mut set = |index: usize, value: u8| {
            if let Some(byte) = ram.get_mut(index) {
                *byte = value;
            }
        };
        let [a, b] = self.floppies.map(|kind| kind as u8);
        set(0x10, a << 4 | b);
        let drives = u8::from(a != 0) + u8::from(b != 0);
        // Equipment: floppies (7:6 count less one, 0 present), 80-column colour by its own BIOS (5:4 = 0), mouse, FPU.
        set(0x14, 0x06 | if drives > 0 { 0x01 | (drives - 1) << 6 } else { 0 });

        set_word(&mut set, 0x15, 640);
        let extended = kib_above(self.memory_below_4g, 1 << 20, 10);
        set_word(&mut set, 0x17, extended);
        set_word(&mut set, 0x30, extended);
        set_word(&mut set, 0x34, kib_above(self.memory_below_4g, 16 << 20, 16));
        let above = (self.memory_above_4g >> 16).min(0xFF_FFFF) as u32;
        for (index, byte) in (0x5B..0x5E).zip(above.to_le_bytes()) {
            set(index, byte);
        }

        let kinds = self.disks.map(|disk| if disk.is_some() { 0xF } else { 0 });
        set(0x12, kinds[0] << 4 | kinds[1]);
        for (number, disk) in self.disks.iter().enumerate() {
            let Some(disk) = disk else { continue };
            // Type 47: the parameters follow.
            set(0x19 + number, 47);
            let [low, high] = disk.cylinders.to_le_bytes();
            let control = 0xC0 | if disk.heads > 8 { 0x08 } else { 0 };
            let parameters = [low, high, disk.heads, 0xFF, 0xFF, control, low, high, disk.sectors];
            for (index, byte) in (0x1B + 9 * number..).zip(parameters) {
                set(index, byte);
            }
        }

        // Geometry translation of the first channel's drives, two bits each: 0 none, 1 LBA-assisted.
        let translation = self.disks.iter().enumerate().fold(0, |bits, (number, disk)| {
            bits | u8::from(disk.is_some_and(|disk| disk.cylinders > 1024)) << (2 * number)
        });
        set(0x39, translation);

        let boot = |place: usize| self.boot.get(place).map_or(0, |device| *device as u8);
        set(0x38, boot(2) << 4 | u8::from(self.skip_floppy_signature));
        set(0x3D, boot(1) << 4 | boot(0));
        set(0x5F, self.processors.saturating_sub(1));
        set(0x60, u8::from(self.vmx_unlocked));
        set(0x32, to_bcd(20));

        let checksum = ram.iter().take(0x2E).skip(0x10).fold(0u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        for (index, byte) in [0x2E, 0x2F].into_iter().zip(checksum.to_be_bytes()) {
            if let Some(place) = ram.get_mut(index) {
                *place = byte;
            }
        }
    }
}

fn set_word(set: &mut impl FnMut(usize, u8), index: usize, value: u16) {
    let [low, high] = value.to_le_bytes();
    set(index, low);
    set(index + 1, high);
}

/// Memory above `start` in units of `1 << shift` bytes, as far as 16 bits can say.
fn kib_above(memory: u64, start: u64, shift: u32) -> u16 {
    (memory.saturating_sub(start) >> shift).min(0xFFFF) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(config: &CmosConfig) -> Vec<u8> {
        let mut ram = vec![0; 128];
        config.fill(&mut ram);
        ram
    }

    fn word(ram: &[u8], index: usize) -> u16 {
        u16::from_le_bytes([ram[index], ram[index + 1]])
    }

    #[test]
    fn cmos_memory_sizes_saturate_in_their_units() {
        let ram = filled(&CmosConfig { memory_below_4g: 512 << 20, memory_above_4g: 3 << 30, ..CmosConfig::default() });
        assert_eq!(word(&ram, 0x15), 640);
        assert_eq!((word(&ram, 0x17), word(&ram, 0x30)), (0xFFFF, 0xFFFF));
        assert_eq!(word(&ram, 0x34), 0x1F00);
        assert_eq!(ram[0x5B..0x5E], [0x00, 0xC0, 0x00]);
    }

    #[test]
    fn cmos_disk_is_type_47_with_its_geometry() {
        let disk = DiskGeometry { cylinders: 0x102, heads: 16, sectors: 63 };
        let ram = filled(&CmosConfig { disks: [None, Some(disk)], ..CmosConfig::default() });
        assert_eq!((ram[0x12], ram[0x19], ram[0x1A]), (0x0F, 0, 47));
        assert_eq!(ram[0x24..0x2D], [0x02, 0x01, 16, 0xFF, 0xFF, 0xC8, 0x02, 0x01, 63]);
        assert_eq!(ram[0x39], 0);
        let large = DiskGeometry { cylinders: 1025, heads: 16, sectors: 63 };
        let ram = filled(&CmosConfig { disks: [None, Some(large)], ..CmosConfig::default() });
        assert_eq!(ram[0x39], 0x04);
    }

    #[test]
    fn cmos_checksum_covers_10_to_2d() {
        let ram = filled(&CmosConfig {
            memory_below_4g: 64 << 20,
            floppies: [FloppyType::Mb1_44, FloppyType::None],
            processors: 4,
            boot: vec![BootDevice::Disk, BootDevice::Floppy, BootDevice::CdRom],
            ..CmosConfig::default()
        });
        let sum: u16 = ram[0x10..0x2E].iter().map(|byte| u16::from(*byte)).sum();
        assert_eq!(u16::from_be_bytes([ram[0x2E], ram[0x2F]]), sum);
        assert_eq!((ram[0x10], ram[0x14], ram[0x3D], ram[0x38], ram[0x5F]), (0x40, 0x07, 0x12, 0x30, 3));
    }
}
