//! `--fat DIR`: a folder as a hard disk. An image with one FAT32 partition is made of the folder's files before the run, in
//! the host's temporary folder; what the guest has written goes back into the folder after it. Nothing is lost on the way:
//! a file that both sides have changed is kept in both forms, and an image that cannot be read back is kept itself.

mod back;
mod image;
mod tree;

pub use back::Report;

use crate::config::{AtaDrive, MachineConfig};
use crate::error::InputError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tree::Tree;

/// A folder whose image is in a drive.
#[derive(Debug)]
pub struct FatFolder {
    folder: PathBuf,
    image: PathBuf,
    /// What the folder held when the image was made.
    before: Tree,
    /// The guest's writes do not reach the image.
    dropped: bool,
    kept: bool,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl FatFolder {
    /// Makes the image of a configuration's folder, if there is one, and puts it into the first free place for a hard disk.
    pub fn attach(machine: &mut MachineConfig) -> Result<Option<Self>, InputError> {
        let Some(folder) = machine.fat.clone() else { return Ok(None) };
        let dropped = machine.snapshot;
        let places = [&mut machine.hda, &mut machine.hdb, &mut machine.hdc, &mut machine.hdd];
        let free = places.into_iter().find(|place| place.is_none());
        let place = free.ok_or_else(|| {
            InputError::new("--fat", "all four places for drives are taken").remedy("leave one of the drives out")
        })?;
        let before = Tree::of_folder(&folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let image = std::env::temp_dir().join(format!("rvmx-emu-fat-{}-{number}.img", std::process::id()));
        let fat = Self { folder, image, before, dropped, kept: false };
        image::make(&fat.folder, &fat.before, &fat.image)?;
        *place = Some(AtaDrive::Disk { image: fat.image.clone(), geometry: None });
        Ok(Some(fat))
    }

    /// The image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Brings what the guest has written back into the folder. An error says where the image is that holds it.
    pub fn write_back(&mut self) -> Result<Report, InputError> {
        if self.dropped {
            return Ok(Report::default());
        }
        let result = back::write_back(&self.folder, &self.before, &self.image);
        self.kept = result.is_err();
        result.map_err(|problem| {
            InputError::file(&self.folder, problem).remedy(format!(
                "what the guest has written is in {}, whose first partition begins at byte {}",
                self.image.display(),
                image::PARTITION
            ))
        })
    }
}

impl Drop for FatFolder {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.image);
        }
    }
}

#[cfg(test)]
mod tests;
