//! The media in the board's drives, and those at hand to be put in.

use super::Board;
use crate::ata::AtaDrive;
use crate::disk::{DiskImage, DrivePlace, MediumId};
use crate::floppy::FloppyDrive;
use crate::state::StateError;

impl Board {
    /// Puts a medium at hand, for [`crate::input::InputEvent::Insert`]; its identity.
    pub fn add_medium(&mut self, image: DiskImage) -> Result<MediumId, StateError> {
        let id = image.id()?;
        self.wires.shelf.push(image);
        Ok(id)
    }

    /// Whether media can be changed there.
    pub fn takes_media(&self, place: DrivePlace) -> bool {
        match place {
            DrivePlace::Ata { channel, drive } => {
                matches!(self.ata.drive(channel.into(), drive.into()), Some(AtaDrive::Cdrom { .. }))
            }
            DrivePlace::Floppy { drive } => self.floppy.drive(drive.into()).is_some(),
        }
    }

    /// The medium in a drive.
    pub fn medium(&self, place: DrivePlace) -> Option<&DiskImage> {
        match place {
            DrivePlace::Ata { channel, drive } => match self.ata.drive(channel.into(), drive.into())? {
                AtaDrive::HardDisk { image, .. } => Some(image),
                AtaDrive::Cdrom { image } => image.as_ref(),
            },
            DrivePlace::Floppy { drive } => self.floppy.drive(drive.into())?.image_ref(),
        }
    }

    /// All media: those in drives, and those at hand.
    pub fn media(&self) -> impl Iterator<Item = &DiskImage> {
        DrivePlace::ALL.into_iter().filter_map(|place| self.medium(place)).chain(&self.wires.shelf)
    }

    pub(super) fn medium_mut(&mut self, place: DrivePlace) -> Option<&mut DiskImage> {
        match place {
            DrivePlace::Ata { channel, drive } => match self.ata.drive_mut(channel.into(), drive.into())? {
                AtaDrive::HardDisk { image, .. } => Some(image),
                AtaDrive::Cdrom { image } => image.as_mut(),
            },
            DrivePlace::Floppy { drive } => self.floppy.drive_mut(drive.into())?.image(),
        }
    }

    /// What kind of drive is there, for comparison.
    pub(super) fn drive_kind(&self, place: DrivePlace) -> Option<String> {
        match place {
            DrivePlace::Ata { channel, drive } => {
                self.ata.drive(channel.into(), drive.into()).map(|drive| match drive {
                    AtaDrive::HardDisk { geometry, serial, .. } => {
                        let shape = geometry.map(|g| format!(" {}/{}/{}", g.cylinders, g.heads, g.sectors));
                        format!("hard disk{} {serial}", shape.unwrap_or_default())
                    }
                    AtaDrive::Cdrom { .. } => "CD-ROM drive".to_owned(),
                })
            }
            DrivePlace::Floppy { drive } => {
                self.floppy.drive(drive.into()).map(FloppyDrive::kind).map(|k| format!("{k:?}"))
            }
        }
    }

    /// Takes the medium of a drive out, which the guest sees.
    fn take_out(&mut self, place: DrivePlace) {
        let old = match place {
            DrivePlace::Ata { channel, drive } => self.ata.change_disc(channel.into(), drive.into(), None),
            DrivePlace::Floppy { drive } => self.floppy.change_disk(drive.into(), None).unwrap_or(None),
        };
        self.wires.shelf.extend(old);
    }

    /// Takes the medium of a drive out and puts another in, the same again, or none. The guest sees the change.
    pub(super) fn change_medium(&mut self, place: DrivePlace, medium: Option<MediumId>) {
        let there = self.medium(place).and_then(|image| image.id().ok());
        if medium.is_some() && there == medium && self.takes_media(place) {
            self.take_out(place);
        }
        let shelf = &mut self.wires.shelf;
        let found = medium.and_then(|wanted| shelf.iter().position(|image| image.id().is_ok_and(|id| id == wanted)));
        if medium.is_some() && found.is_none() {
            log::error!(target: "disk", "{place}: there is no medium like that at hand; nothing changes");
            return;
        }
        let image = found.map(|at| shelf.remove(at));
        let old = match place {
            DrivePlace::Ata { channel, drive } => self.ata.change_disc(channel.into(), drive.into(), image),
            DrivePlace::Floppy { drive } => self.floppy.change_disk(drive.into(), image).unwrap_or_else(|error| {
                log::error!(target: "disk", "{place}: {error}");
                None
            }),
        };
        self.wires.shelf.extend(old);
    }

    /// Puts a medium into a drive, or takes it out, without the guest's notice; the old one goes to the shelf.
    pub(super) fn swap_medium(&mut self, place: DrivePlace, image: Option<DiskImage>) {
        let old = match place {
            DrivePlace::Ata { channel, drive } => match self.ata.drive_mut(channel.into(), drive.into()) {
                Some(AtaDrive::Cdrom { image: there }) => std::mem::replace(there, image),
                Some(AtaDrive::HardDisk { image: there, .. }) => image.map(|image| std::mem::replace(there, image)),
                None => image,
            },
            DrivePlace::Floppy { drive } => match self.floppy.drive_mut(drive.into()) {
                // An image that has been in such a drive is not too large for it.
                Some(there) => there.change(image).unwrap_or(None),
                None => image,
            },
        };
        self.wires.shelf.extend(old);
    }
}
