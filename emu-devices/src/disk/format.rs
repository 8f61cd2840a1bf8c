//! What the size of an image says: floppy or hard disk, and its geometry.

use super::image::{ImageError, SECTOR_SIZE};
use serde::{Deserialize, Serialize};

/// The layout of a floppy disk with 512-byte sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloppyFormat {
    /// Tracks a side.
    pub cylinders: u8,
    /// Sides.
    pub heads: u8,
    /// Sectors a track.
    pub sectors: u8,
}

/// The formats of PC drives, smallest first. 160 KB to 360 KB and 1.2 MB are 5.25", the others 3.5".
const FLOPPY_FORMATS: [FloppyFormat; 8] = [
    FloppyFormat { cylinders: 40, heads: 1, sectors: 8 },
    FloppyFormat { cylinders: 40, heads: 1, sectors: 9 },
    FloppyFormat { cylinders: 40, heads: 2, sectors: 8 },
    FloppyFormat { cylinders: 40, heads: 2, sectors: 9 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 9 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 15 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 18 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 36 },
];

/// Formats of 3.5" disks that hold more than their drives were sold for, such as Microsoft's 1.68 MB. Only an image of
/// exactly that size is taken for one.
const DENSER_FORMATS: [FloppyFormat; 4] = [
    FloppyFormat { cylinders: 80, heads: 2, sectors: 10 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 19 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 20 },
    FloppyFormat { cylinders: 80, heads: 2, sectors: 21 },
];

impl FloppyFormat {
    /// Capacity in sectors.
    pub fn total_sectors(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }

    /// Capacity in bytes.
    pub fn size(self) -> u64 {
        self.total_sectors() * SECTOR_SIZE as u64
    }

    /// The format with exactly `size` bytes.
    pub fn of_size(size: u64) -> Option<Self> {
        FLOPPY_FORMATS.into_iter().chain(DENSER_FORMATS).find(|format| format.size() == size)
    }

    /// The smallest format that holds `size` bytes, for images whose tail was cut off.
    pub fn fitting(size: u64) -> Option<Self> {
        let exact = Self::of_size(size);
        exact.or_else(|| FLOPPY_FORMATS.into_iter().find(|format| format.size() >= size))
    }

    /// The sector number of an address; `None` when it is not on the disk. `sector` counts from 1.
    pub fn sector_of(self, cylinder: u8, head: u8, sector: u8) -> Option<u64> {
        if cylinder >= self.cylinders || head >= self.heads || sector == 0 || sector > self.sectors {
            return None;
        }
        let track = u64::from(cylinder) * u64::from(self.heads) + u64::from(head);
        Some(track * u64::from(self.sectors) + u64::from(sector) - 1)
    }
}

/// What an image is taken for when nothing but its size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A floppy of this format.
    Floppy(FloppyFormat),
    /// A hard disk.
    HardDisk,
}

impl ImageKind {
    /// The kind of an image of `size` bytes: the sizes of floppy disks are floppies, all others hard disks.
    pub fn of_size(size: u64) -> Self {
        FloppyFormat::of_size(size).map_or(ImageKind::HardDisk, ImageKind::Floppy)
    }
}

/// The CHS geometry of a hard disk, as IDENTIFY DEVICE words 1, 3 and 6 give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Cylinders, 1 to 16383.
    pub cylinders: u16,
    /// Heads, 1 to 16.
    pub heads: u8,
    /// Sectors a track, 1 to 63.
    pub sectors: u8,
}

impl Geometry {
    /// The most cylinders that IDENTIFY DEVICE gives (ATA/ATAPI-6, 6.2).
    pub const MAX_CYLINDERS: u16 = 16383;

    /// The geometry of a disk of `sectors` sectors: 16 heads of 63 sectors.
    pub fn of_sectors(sectors: u64) -> Self {
        let cylinders = (sectors / (16 * 63)).clamp(1, u64::from(Self::MAX_CYLINDERS));
        Geometry { cylinders: cylinders as u16, heads: 16, sectors: 63 }
    }

    /// A geometry from a configuration file.
    pub fn new(cylinders: u32, heads: u32, sectors: u32) -> Result<Self, ImageError> {
        let valid = (1..=16).contains(&heads) && (1..=63).contains(&sectors) && cylinders >= 1;
        if !valid {
            return Err(ImageError::Geometry { cylinders, heads, sectors });
        }
        Ok(Geometry {
            cylinders: cylinders.min(u32::from(Self::MAX_CYLINDERS)) as u16,
            heads: heads as u8,
            sectors: sectors as u8,
        })
    }

    /// Sectors that CHS addresses reach.
    pub fn total_sectors(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_kind_of_floppy_sizes_is_floppy_and_of_others_hard_disk() {
        for kilobytes in [160, 180, 320, 360, 720, 1200, 1440, 2880] {
            assert!(
                matches!(ImageKind::of_size(kilobytes * 1024), ImageKind::Floppy(f) if f.size() == kilobytes * 1024)
            );
        }
        let dense = FloppyFormat::of_size(1_720_320).map(|format| (format.cylinders, format.sectors));
        assert_eq!((dense, FloppyFormat::fitting(1_720_321).map(|format| format.sectors)), (Some((80, 21)), Some(36)));
        assert_eq!(ImageKind::of_size(1_032_192), ImageKind::HardDisk);
        assert_eq!(ImageKind::of_size(1_474_561), ImageKind::HardDisk);
    }

    #[test]
    fn geometry_has_16_heads_of_63_sectors_and_between_1_and_16383_cylinders() {
        assert_eq!(Geometry::of_sectors(2016), Geometry { cylinders: 2, heads: 16, sectors: 63 });
        assert_eq!(Geometry::of_sectors(1).cylinders, 1);
        assert_eq!(Geometry::of_sectors(u64::MAX).cylinders, 16383);
        assert!(
            Geometry::new(0, 16, 63).is_err() && Geometry::new(1, 17, 63).is_err() && Geometry::new(1, 1, 0).is_err()
        );
    }

    #[test]
    fn floppy_sector_number_counts_sectors_then_heads_then_cylinders() {
        let format = FloppyFormat::of_size(1_474_560).unwrap();
        assert_eq!(format.sector_of(0, 0, 1), Some(0));
        assert_eq!(format.sector_of(0, 1, 1), Some(18));
        assert_eq!(format.sector_of(1, 0, 18), Some(53));
        assert_eq!(format.sector_of(79, 1, 19), None);
        assert_eq!(format.sector_of(80, 0, 1), None);
        assert_eq!(format.sector_of(0, 0, 0), None);
    }
}
