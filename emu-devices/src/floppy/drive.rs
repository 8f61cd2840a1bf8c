//! Floppy drives and the disks in them.

use crate::disk::{DiskImage, FloppyFormat, ImageError};
use serde::{Deserialize, Serialize};

/// Types of drives; the numbers are those of CMOS byte 10h and int 13h AH=08h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum FloppyDriveType {
    /// 5.25", 360 KB.
    D360K = 1,
    /// 5.25", 1.2 MB.
    D1200K = 2,
    /// 3.5", 720 KB.
    D720K = 3,
    /// 3.5", 1.44 MB.
    D1440K = 4,
    /// 3.5", 2.88 MB.
    D2880K = 5,
}

impl FloppyDriveType {
    /// The drive that a PC would have for disks of this format.
    pub fn for_format(format: FloppyFormat) -> Self {
        match (format.cylinders, format.sectors) {
            (40, _) => Self::D360K,
            (_, 15) => Self::D1200K,
            (_, 36) => Self::D2880K,
            _ => Self::D1440K,
        }
    }

    /// The drive's number in CMOS byte 10h.
    pub fn cmos_type(self) -> u8 {
        self as u8
    }

    /// Tracks a side that the drive's heads reach.
    pub fn tracks(self) -> u8 {
        if self == Self::D360K { 40 } else { 80 }
    }

    /// The data rate (CCR bits 1-0) at which the drive reads a disk of this format.
    pub fn data_rate(self, format: FloppyFormat) -> u8 {
        const RATE_500K: u8 = 0;
        const RATE_300K: u8 = 1;
        const RATE_250K: u8 = 2;
        const RATE_1M: u8 = 3;
        match format.sectors {
            36 => RATE_1M,
            15 | 18..=21 => RATE_500K,
            // The 1.2 MB drive turns at 360 rpm also with double-density disks.
            _ if self == Self::D1200K => RATE_300K,
            _ => RATE_250K,
        }
    }
}

/// A drive, with or without a disk.
#[derive(Debug)]
pub struct FloppyDrive {
    kind: FloppyDriveType,
    disk: Option<Disk>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub image: DiskImage,
    pub format: FloppyFormat,
}

impl Disk {
    fn new(mut image: DiskImage) -> Result<Self, ImageError> {
        let size = image.size();
        let Some(format) = FloppyFormat::fitting(size) else {
            return Err(ImageError::TooLargeForFloppy { path: image.name().to_owned(), size });
        };
        image.extend_to(format.total_sectors());
        Ok(Disk { image, format })
    }
}

impl FloppyDrive {
    /// An empty drive.
    pub fn empty(kind: FloppyDriveType) -> Self {
        FloppyDrive { kind, disk: None }
    }

    /// A drive with a disk in it; `None` takes the type that fits the disk. An image between two formats is a
    /// truncated disk of the larger one.
    pub fn with_disk(kind: Option<FloppyDriveType>, image: DiskImage) -> Result<Self, ImageError> {
        let disk = Disk::new(image)?;
        Ok(FloppyDrive { kind: kind.unwrap_or(FloppyDriveType::for_format(disk.format)), disk: Some(disk) })
    }

    /// The drive's type.
    pub fn kind(&self) -> FloppyDriveType {
        self.kind
    }

    /// The disk's format.
    pub fn format(&self) -> Option<FloppyFormat> {
        self.disk.as_ref().map(|disk| disk.format)
    }

    /// The disk's image.
    pub fn image(&mut self) -> Option<&mut DiskImage> {
        self.disk.as_mut().map(|disk| &mut disk.image)
    }

    /// The disk's image, to look at.
    pub fn image_ref(&self) -> Option<&DiskImage> {
        self.disk.as_ref().map(|disk| &disk.image)
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Takes the disk out, unnoticed by the controller, and puts another in or none; the old one.
    pub(crate) fn change(&mut self, image: Option<DiskImage>) -> Result<Option<DiskImage>, ImageError> {
        let disk = image.map(Disk::new).transpose()?;
        Ok(std::mem::replace(&mut self.disk, disk).map(|old| old.image))
    }

    /// The cylinder of the disk under the heads: an 80-track drive steps twice for a 5.25" disk of 40 tracks.
    pub(super) fn cylinder(&self, track: u8) -> u8 {
        match &self.disk {
            Some(disk) if disk.format.cylinders == 40 && self.kind == FloppyDriveType::D1200K => track / 2,
            _ => track,
        }
    }

    /// The track that holds a cylinder: the inverse of [`FloppyDrive::cylinder`].
    pub(super) fn track_of(&self, cylinder: u8) -> u8 {
        if self.cylinder(2) == 1 { cylinder.saturating_mul(2) } else { cylinder }
    }
}
