//! The image: a partition table and a FAT32 file system.

use super::tree::{Entry, Tree, read_through};
use crate::error::InputError;
use fatfs::{Date, DateTime, Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
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

/// Bytes that are read and written together.
const PAGE: u64 = 4096;
/// Pages that are kept at most: a folder's entries are searched again for each file that is made in it.
const PAGES: usize = 4096;

/// A piece of the partition.
struct Page {
    bytes: Vec<u8>,
    changed: bool,
}

/// The partition of an image. Accesses cost of a budget, so that a file system that leads in circles ends in an error.
pub struct Partition {
    file: File,
    position: u64,
    length: u64,
    budget: u64,
    /// By number.
    pages: BTreeMap<u64, Page>,
}

impl Partition {
    /// The partition of `length` bytes.
    pub fn new(file: File, length: u64, budget: u64) -> Self {
        Self { file, position: 0, length, budget, pages: BTreeMap::new() }
    }

    /// Some of the bytes from the position on, `wanted` at most, and where they are in their page; none behind the end.
    fn part(&mut self, wanted: usize) -> io::Result<(&mut Page, Range<usize>)> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| io::Error::other("the file system leads in circles"))?;
        let (number, first) = (self.position / PAGE, (self.position % PAGE) as usize);
        let room = self.length.saturating_sub(self.position).min(PAGE - first as u64).min(wanted as u64) as usize;
        if self.pages.len() >= PAGES && !self.pages.contains_key(&number) {
            self.flush()?;
            self.pages.clear();
        }
        let page = match self.pages.entry(number) {
            btree_map::Entry::Occupied(page) => page.into_mut(),
            btree_map::Entry::Vacant(place) => {
                let mut bytes = Vec::with_capacity(PAGE as usize);
                self.file.seek(SeekFrom::Start(PARTITION + number * PAGE))?;
                Read::by_ref(&mut self.file).take(PAGE).read_to_end(&mut bytes)?;
                bytes.resize(PAGE as usize, 0);
                place.insert(Page { bytes, changed: false })
            }
        };
        Ok((page, first..first + room))
    }
}

impl Read for Partition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (page, range) = self.part(buffer.len())?;
        let count = range.len();
        buffer[..count].copy_from_slice(&page.bytes[range]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Partition {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let (page, range) = self.part(data.len())?;
        let count = range.len();
        page.bytes[range].copy_from_slice(&data[..count]);
        page.changed |= count > 0;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        for (number, page) in self.pages.iter_mut().filter(|(_, page)| page.changed) {
            let at = number * PAGE;
            let count = (self.length - at).min(PAGE) as usize;
            self.file.seek(SeekFrom::Start(PARTITION + at))?;
            self.file.write_all(&page.bytes[..count])?;
            page.changed = false;
        }
        Ok(())
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // Whoever wants to know of an error flushes.
        let _ = self.flush();
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

/// Copies the host's file `path` into `folder`, as `name`.
fn add_file(folder: &Dir<Partition>, name: &str, path: &Path, length: u64) -> Result<Entry, InputError> {
    let from = File::open(path).map_err(|e| InputError::io(path, "read the file", &e))?;
    let add = |e: io::Error| InputError::io(path, "put the file onto the disk of --fat", &e);
    let mut to = folder.create_file(name).map_err(add)?;
    // The disk has room for what the file had when it was counted.
    let copied = read_through(from.take(length), |piece| to.write_all(piece));
    copied.and_then(|entry| to.flush().map(|()| entry)).map_err(add)
}

/// The entries of each folder by the folder's key; the outermost one's is empty.
type Inside = BTreeMap<String, Vec<String>>;

/// Makes what lies in one folder. What a file held is in its entry then: the host may have changed it since the tree was
/// read.
fn fill(folder: &Dir<Partition>, own: &str, host: &Path, inside: &Inside, tree: &mut Tree) -> Result<(), InputError> {
    for key in inside.get(own).into_iter().flatten() {
        let Some((relative, entry)) = tree.0.get_mut(key) else { continue };
        let (name, path) = (relative.rsplit('/').next().unwrap_or(relative), host.join(&*relative));
        match *entry {
            Entry::File { length, .. } => *entry = add_file(folder, name, &path, length)?,
            Entry::Folder => {
                let made = folder.create_dir(name);
                let made = made.map_err(|e| InputError::io(&path, "put the folder onto the disk of --fat", &e))?;
                fill(&made, key, host, inside, tree)?;
            }
        }
    }
    Ok(())
}

/// Makes the image at `path`, which must not be there, of what `tree` found in `folder`.
pub fn make(folder: &Path, tree: &mut Tree, path: &Path) -> Result<(), InputError> {
    let (mut length, mut inside) = (ROOM, Inside::new());
    for (key, (_, entry)) in &tree.0 {
        length += 4096 + if let Entry::File { length, .. } = entry { *length } else { 0 };
        let own = key.rfind('/').map_or("", |end| &key[..end]);
        inside.entry(own.to_owned()).or_default().push(key.clone());
    }
    let length = length.next_multiple_of(1 << 20).max(LEAST);
    let io = |e: io::Error| InputError::io(path, "make the disk of --fat", &e).remedy(MORE_ROOM);
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(io)?;
    let format = || {
        file.set_len(PARTITION + length)?;
        file.write_all(&partition_table(length / SECTOR))?;
        let mut partition = Partition::new(file, length, u64::MAX);
        let format = FormatVolumeOptions::new()
            .fat_type(FatType::Fat32)
            .bytes_per_cluster(4096)
            .volume_id(0x7276_6D78)
            .volume_label(*b"RVMX-EMU   ");
        fatfs::format_volume(&mut partition, format)?;
        partition.seek(SeekFrom::Start(0))?;
        let options = FsOptions::new().update_accessed_date(false).time_provider(&Fixed);
        FileSystem::new(partition, options)
    };
    let system = format().map_err(io)?;
    fill(&system.root_dir(), "", folder, &inside, tree)?;
    system.unmount().map_err(io)
}

/// What helps where the temporary folder has no room.
const MORE_ROOM: &str = "name another folder for temporary files in TMPDIR";

/// The file system of an image, for reading.
pub fn open(path: &Path) -> io::Result<FileSystem<Partition>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().saturating_sub(PARTITION);
    // Each sector some times: files, the chains of their clusters, and the folders.
    FileSystem::new(Partition::new(file, length, 16 * (length / SECTOR)), FsOptions::new().update_accessed_date(false))
}
