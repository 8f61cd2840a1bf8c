//! `--fat DIR`: a folder as a hard disk. An image with one FAT32 partition is made of the folder's files before the run, in
//! the host's temporary folder; what the guest has written goes back into the folder after it. Nothing is lost on the way:
//! a file that both sides have changed is kept in both forms, and an image that cannot be read back is kept itself.

mod back;
mod image;
mod tree;

pub use back::Report;

use crate::config::{AtaDrive, MachineConfig};
use crate::error::InputError;
use crate::signals::{self, Disk};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tree::{Entry, LeftOut, Tree};

/// A folder whose image is in a drive.
#[derive(Debug)]
pub struct FatFolder {
    folder: PathBuf,
    image: PathBuf,
    /// What the folder held when the image was made.
    before: Tree,
    /// What is not on the disk.
    left_out: LeftOut,
    /// The guest's writes do not reach the image.
    dropped: bool,
    kept: bool,
}

/// Links and special files that are named.
const MOST_TOLD: usize = 10;
/// How the names of images begin.
const NAME: &str = "rvmx-emu-fat-";

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
        let (mut before, left_out) = Tree::of_folder(&folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let image = std::env::temp_dir().join(format!("{NAME}{}-{number}.img", std::process::id()));
        signals::set_disk(Some(if dropped { Disk::Temporary(image.clone()) } else { Disk::Fresh(image.clone()) }));
        signals::guard()?;
        let mut fat = Self { folder, image, before: Tree::default(), left_out, dropped, kept: false };
        image::make(&fat.folder, &mut before, &fat.image)?;
        fat.before = before;
        *place = Some(AtaDrive::Disk { image: fat.image.clone(), geometry: None });
        Ok(Some(fat))
    }

    /// An error that names the image names the folder instead, which is what the user knows.
    pub fn name_folder(&self, error: InputError) -> InputError {
        let disk = format!("the disk of --fat {}", self.folder.display());
        error.renamed(&self.image.display().to_string(), &disk)
    }

    /// The folder, if a configuration's image is the disk of it.
    pub fn of_image<'a>(machine: &'a MachineConfig, image: &Path) -> Option<&'a Path> {
        let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.starts_with(NAME) && image.parent() == Some(&std::env::temp_dir());
        machine.fat.as_deref().filter(|_| ours)
    }

    /// What of the folder is not on the disk, in words.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        let told = self.left_out.iter().take(MOST_TOLD);
        let told = told.map(|path| format!("{}: links and special files are not on the disk of --fat", path.display()));
        let more = self.left_out.len().saturating_sub(MOST_TOLD);
        told.chain((more > 0).then(|| format!("{}: {more} more are not on the disk", self.folder.display())))
    }

    /// The host's files that are on the disk.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.before.0.values().filter(|(_, entry)| *entry != Entry::Folder);
        files.map(|(path, _)| self.folder.join(path))
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
            let error = InputError::file(&self.folder, problem);
            if !self.image.exists() {
                return error.remedy("something has removed the disk's file from the folder for temporary files");
            }
            error.remedy(format!(
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
        signals::set_disk(None);
    }
}

#[cfg(test)]
mod tests;
