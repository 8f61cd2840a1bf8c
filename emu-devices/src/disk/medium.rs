//! Which medium is in which drive, and what of it belongs to a machine's state.

use super::image::DiskImage;
use crate::state::{StateError, check};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A place for a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DrivePlace {
    /// On an ATA channel.
    Ata {
        /// 0 primary, 1 secondary.
        channel: u8,
        /// 0 master, 1 slave.
        drive: u8,
    },
    /// On the floppy controller.
    Floppy {
        /// 0 A:, 1 B:.
        drive: u8,
    },
}

impl DrivePlace {
    /// All places.
    pub const ALL: [Self; 6] = [
        Self::Ata { channel: 0, drive: 0 },
        Self::Ata { channel: 0, drive: 1 },
        Self::Ata { channel: 1, drive: 0 },
        Self::Ata { channel: 1, drive: 1 },
        Self::Floppy { drive: 0 },
        Self::Floppy { drive: 1 },
    ];
}

impl fmt::Display for DrivePlace {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Ata { channel, drive } => write!(f, "drive {drive} of ATA channel {channel}"),
            Self::Floppy { drive: 0 } => f.write_str("floppy drive A:"),
            Self::Floppy { .. } => f.write_str("floppy drive B:"),
        }
    }
}

/// What a medium is known by: its contents, without what is kept apart from its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MediumId {
    /// Bytes.
    pub length: u64,
    /// A hash of all bytes.
    pub fingerprint: u64,
}

impl fmt::Display for MediumId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes, fingerprint {:016x}", self.length, self.fingerprint)
    }
}

/// Sectors that are kept apart from an image's file, by number.
pub type Overlay = BTreeMap<u64, Arc<[u8]>>;

/// What of a medium belongs to a machine's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskState {
    /// Which medium it is.
    pub id: MediumId,
    /// Its path or name, for messages.
    pub name: String,
    write_protected: bool,
    /// What was written, if that is kept apart.
    overlay: Option<Overlay>,
}

impl DiskImage {
    /// The state, with the identity; for that the image is read through the first time.
    pub fn save(&self) -> Result<DiskState, StateError> {
        Ok(DiskState {
            id: self.id()?,
            name: self.name().to_owned(),
            write_protected: self.write_protected(),
            overlay: self.written().cloned(),
        })
    }

    /// Takes the state of the same medium back.
    pub fn restore(&mut self, state: DiskState) -> Result<(), StateError> {
        let DiskState { id, name, write_protected, overlay } = state;
        let text = |overlay: bool| if overlay { "writes kept in memory" } else { "writes to the image" };
        let here = self.id()?;
        if id != here {
            let (saved, here) = (format!("{name:?} ({id})"), format!("{:?} ({here})", self.name()));
            return Err(StateError::OtherMedium { drive: "drive".to_owned(), saved, here, removable: false });
        }
        match overlay {
            Some(overlay) if self.written().is_some() => {
                let fits =
                    |(sector, data): (&u64, &Arc<[u8]>)| *sector < self.sectors() && data.len() == super::SECTOR_SIZE;
                check(overlay.iter().all(fits), "disk", "a written sector is out of range")?;
                self.set_written(overlay);
            }
            None if self.written().is_none() => {}
            overlay => {
                let text = |kept: bool| format!("{} of {name:?}", text(kept));
                return Err(StateError::OtherMachine { saved: text(overlay.is_some()), here: text(overlay.is_none()) });
            }
        }
        self.set_write_protected(write_protected);
        Ok(())
    }
}
