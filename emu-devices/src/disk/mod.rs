//! Disk images: raw files or bytes in memory behind sector reads and writes, and what their size says about them.

mod foreign;
mod format;
mod image;
mod medium;

pub use foreign::{Foreign, foreign};
pub use format::{FloppyFormat, Geometry, ImageKind};
pub use image::{AccessError, DiskImage, ImageError, OpenMode, SECTOR_SIZE};
pub use medium::{DiskState, DrivePlace, MediumId};
