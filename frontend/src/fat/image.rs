//! The image: a partition table and a FAT32 file system.

use super::tree::{Entry, Tree};
use crate::error::InputError;
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Where the partition begins, in bytes: at a track of 63 sectors no disk is asked for any more, at 1 MiB as usual.
pub const PARTITION: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// The least size of the file system: FAT32 with clusters of 4 KiB has 256 MiB at least.
const LEAST: u64 = 512 << 20;
/// Room for what the guest writes.
const ROOM: u64 = 256 << 20;
/// FAT32, addressed by LBA.
const FAT32_LBA: u8 = 0x0C;

/// A time that never changes: the image is a function of the folder's names and bytes.
#[derive(Debug, Clone, Copy)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date { year: 2026, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// The partition of an image. Reading costs of a budget, so that a file system that leads in circles ends in an error.
pub struct Partition {
    file: File,
    position: u64,
    length: u64,
    budget: u64,
}

impl Partition {
    /// The partition of `length` bytes.
    pub fn new(file: File, length: u64, budget: u64) -> Self {
        Self { file, position: 0, length, budget }
    }

    fn room(&mut self, wanted: usize) -> io::Result<usize> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| io::Error::other("the file system leads in circles"))?;
        self.file.seek(SeekFrom::Start(PARTITION + self.position))?;
        Ok(self.length.saturating_sub(self.position).min(wanted as u64) as usize)
    }
}

impl Read for Partition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len())?;
        let count = self.file.read(&mut buffer[..room])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Partition {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.room(data.len())?;
        let count = self.file.write(&data[..room])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Partition {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(delta) => self.length.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// The partition table: one entry, whose CHS addresses say that LBA is meant.
fn partition_table(sectors: u64) -> [u8; 512] {
    let mut table = [0; 512];
    // int 18h; cli; hlt: a BIOS finds nothing to start here, and goes on with the next drive.
    table[..6].copy_from_slice(&[0xCD, 0x18, 0xFA, 0xF4, 0xEB, 0xFD]);
    table[440..444].copy_from_slice(b"rvmx");
    let entry = &mut table[446..462];
    entry[..8].copy_from_slice(&[0, 0xFE, 0xFF, 0xFF, FAT32_LBA, 0xFE, 0xFF, 0xFF]);
    entry[8..12].copy_from_slice(&((PARTITION / SECTOR) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&(sectors as u32).to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xAA]);
    table
}

/// Makes the image at `path`, which must not be there, of what `tree` found in `folder`.
pub fn make(folder: &Path, tree: &Tree, path: &Path) -> Result<(), InputError> {
    let files =
        tree.0.values().map(|(_, entry)| if let Entry::File { length, .. } = entry { length + 4096 } else { 4096 });
    let length = (files.sum::<u64>() + ROOM).next_multiple_of(1 << 20).max(LEAST);
    let io = |e: io::Error| InputError::io(path, "make the disk of --fat", &e);
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(io)?;
    let mut fill = || {
        file.set_len(PARTITION + length)?;
        file.write_all(&partition_table(length / SECTOR))?;
        let mut partition = Partition::new(file.try_clone()?, length, u64::MAX);
        let format = FormatVolumeOptions::new()
            .fat_type(FatType::Fat32)
            .bytes_per_cluster(4096)
            .volume_id(0x7276_6D78)
            .volume_label(*b"RVMX-EMU   ");
        fatfs::format_volume(&mut partition, format)?;
        partition.seek(SeekFrom::Start(0))?;
        let options = FsOptions::new().update_accessed_date(false).time_provider(&Fixed);
        let system = FileSystem::new(partition, options)?;
        let root = system.root_dir();
        // By depth, so that folders are there before what is in them.
        let mut entries: Vec<&(String, Entry)> = tree.0.values().collect();
        entries.sort_by_key(|(path, _)| path.matches('/').count());
        for (relative, entry) in entries {
            match entry {
                Entry::Folder => drop(root.create_dir(relative)?),
                Entry::File { .. } => {
                    let mut from = File::open(folder.join(relative))?;
                    io::copy(&mut from, &mut root.create_file(relative)?)?;
                }
            }
        }
        drop(root);
        system.unmount()
    };
    let filled = fill().map_err(io);
    if filled.is_err() {
        let _ = std::fs::remove_file(path);
    }
    filled
}

/// The file system of an image, for reading.
pub fn open(path: &Path) -> io::Result<FileSystem<Partition>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().saturating_sub(PARTITION);
    // Each sector some times: files, the chains of their clusters, and the folders.
    FileSystem::new(Partition::new(file, length, 16 * (length / SECTOR)), FsOptions::new().update_accessed_date(false))
}
