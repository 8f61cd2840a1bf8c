//! Raw images by sectors: a file or bytes in memory, with writes passed through, refused, or kept apart.

use super::foreign::foreign;
use super::medium::{MediumId, Overlay};
use crate::state::StateError;
use emu_core::hash::StableHash;
use std::cell::OnceCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use thiserror::Error;

/// Bytes a sector.
pub const SECTOR_SIZE: usize = 512;

/// Why an image cannot be used.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file could not be opened.
    #[error("{path}: cannot open the image: {source}; check the path and its permissions")]
    Open {
        /// The file.
        path: String,
        /// The host's reason.
        source: io::Error,
    },
    /// A directory, pipe or the like.
    #[error("{path}: not a disk image but a directory or special file; give a regular file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// Somebody else writes to it, or reads it and we want to write.
    #[error(
        "{path}: the image is in use, by another emulator or in another drive; end that, or give --snapshot to both"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// An image of another program's.
    #[error("{path}: it is a {kind}, and only raw images can be read; make one: {command}")]
    Foreign {
        /// The file.
        path: String,
        /// What it is.
        kind: &'static str,
        /// The command that makes a raw image of it.
        command: String,
    },
    /// No bytes at all.
    #[error("{path}: the image is empty; create it with its full size, for example `truncate -s 1474560 {path}`")]
    Empty {
        /// The file.
        path: String,
    },
    /// Larger than any floppy.
    #[error("{path}: {size} bytes are more than a floppy holds (2949120); attach it as a hard disk")]
    TooLargeForFloppy {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// Geometry out of range.
    #[error(
        "geometry {cylinders}/{heads}/{sectors} is not possible; give at least 1 cylinder, 1 to 16 heads and 1 to 63 sectors"
    )]
    Geometry {
        /// Cylinders asked for.
        cylinders: u32,
        /// Heads asked for.
        heads: u32,
        /// Sectors a track asked for.
        sectors: u32,
    },
}

/// Why a sector could not be read or written.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Behind the last sector.
    #[error("{name}: sector {sector} is behind the end of the image")]
    OutOfRange {
        /// The image.
        name: String,
        /// The first sector asked for.
        sector: u64,
    },
    /// The image is read-only.
    #[error("{name}: the image is write-protected")]
    WriteProtected {
        /// The image.
        name: String,
    },
    /// The host failed.
    #[error("{name}: sector {sector}: {source}")]
    Host {
        /// The image.
        name: String,
        /// The first sector asked for.
        sector: u64,
        /// The host's reason.
        source: io::Error,
    },
}

/// What happens to the sectors that the guest writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Written to the file; a file that the host does not let us write is write-protected.
    ReadWrite,
    /// Refused: the medium is write-protected.
    ReadOnly,
    /// Kept in memory and dropped with the image.
    Snapshot,
}

#[derive(Debug)]
enum Backing {
    File(File),
    Memory(Vec<u8>),
}

/// A disk or floppy image.
#[derive(Debug)]
pub struct DiskImage {
    name: String,
    backing: Backing,
    /// Bytes that the backing has now; the rest up to `sectors` reads as zeros.
    length: u64,
    sectors: u64,
    /// The file becomes longer when what it lacks is written.
    grows: bool,
    write_protected: bool,
    /// What was written, apart from the backing.
    overlay: Option<Overlay>,
    /// Of the backing, once somebody has asked and until it is written.
    id: OnceCell<MediumId>,
    host_error_logged: bool,
    /// Reads and writes; nothing of the state.
    accesses: u64,
}

impl DiskImage {
    /// Opens a raw image file.
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        let open_error = |source| ImageError::Open { path: name.clone(), source };
        // Before opening: a pipe would block there.
        let kind = std::fs::metadata(path).map_err(open_error)?.file_type();
        if kind.is_dir() || !(kind.is_file() || is_block_device(kind)) {
            return Err(ImageError::NotAFile { path: name });
        }
        let read_only = || OpenOptions::new().read(true).open(path);
        let (mut file, writable) = match mode {
            OpenMode::ReadWrite => match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => (file, true),
                Err(_) => (read_only().map_err(open_error)?, false),
            },
            OpenMode::ReadOnly => (read_only().map_err(open_error)?, false),
            OpenMode::Snapshot => (read_only().map_err(open_error)?, true),
        };
        if !lock(&file, writable && mode == OpenMode::ReadWrite) {
            return Err(ImageError::InUse { path: name });
        }
        let length = file.seek(SeekFrom::End(0)).map_err(open_error)?;
        if length == 0 {
            return Err(ImageError::Empty { path: name });
        }
        let mut first = [0; SECTOR_SIZE];
        file.seek(SeekFrom::Start(0)).and_then(|_| read_or_zero(&mut file, &mut first)).map_err(open_error)?;
        if let Some(kind) = foreign(&first) {
            let command = kind.command(&name);
            return Err(ImageError::Foreign { path: name, kind: kind.name, command });
        }
        if mode == OpenMode::ReadWrite && !writable {
            log::warn!(
                target: "disk",
                "{name}: the host does not let it be written, and the guest sees a write-protected disk; give it the \
                 permission, or --snapshot to let the guest write to memory"
            );
        }
        Ok(Self::with(name, Backing::File(file), length, !writable, mode == OpenMode::Snapshot))
    }

    /// An image in memory; writes are kept apart, as in [`OpenMode::Snapshot`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty { path: name.to_owned() });
        }
        let length = bytes.len() as u64;
        Ok(Self::with(name.to_owned(), Backing::Memory(bytes), length, false, true))
    }

    fn with(name: String, backing: Backing, length: u64, write_protected: bool, overlay: bool) -> Self {
        DiskImage {
            name,
            backing,
            length,
            sectors: length.div_ceil(SECTOR_SIZE as u64),
            grows: false,
            write_protected,
            overlay: overlay.then(Overlay::new),
            id: OnceCell::new(),
            host_error_logged: false,
            accesses: 0,
        }
    }

    /// The path or name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size in sectors; a partial last one counts.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Size of the backing file in bytes.
    pub fn size(&self) -> u64 {
        self.length
    }

    /// Whether writes are refused.
    pub fn write_protected(&self) -> bool {
        self.write_protected
    }

    /// Refuses or allows writes. A file opened for reading alone stays write-protected on the host.
    pub fn set_write_protected(&mut self, write_protected: bool) {
        self.write_protected = write_protected;
    }

    /// Makes the medium at least `sectors` sectors long; what the file lacks reads as zeros and is added when written.
    pub fn extend_to(&mut self, sectors: u64) {
        self.grows |= sectors > self.sectors;
        self.sectors = self.sectors.max(sectors);
    }

    /// How often it was read or written so far, for the lights of drives.
    pub fn accesses(&self) -> u64 {
        self.accesses
    }

    /// The sectors written, by number, where they are kept apart ([`OpenMode::Snapshot`]).
    pub fn written(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    pub(super) fn set_written(&mut self, overlay: Overlay) {
        self.overlay = Some(overlay);
    }

    /// What the medium is known by. The first call, and the first after a write to the file, reads it through.
    pub fn id(&self) -> Result<MediumId, StateError> {
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let fingerprint = match &self.backing {
            Backing::Memory(bytes) => fingerprint(bytes.as_slice(), self.length),
            Backing::File(file) => (&*file).seek(SeekFrom::Start(0)).and_then(|_| fingerprint(file, self.length)),
        };
        let fingerprint = fingerprint.map_err(|source| StateError::Unreadable { image: self.name.clone(), source })?;
        Ok(*self.id.get_or_init(|| MediumId { length: self.length, fingerprint }))
    }

    /// Fills `buffer`, whole sectors, from `sector` on.
    pub fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), AccessError> {
        self.accesses += 1;
        self.check_range(sector, buffer.len())?;
        let offset = sector * SECTOR_SIZE as u64;
        let present = self.length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (data, missing) = buffer.split_at_mut(present);
        missing.fill(0);
        let result = match &mut self.backing {
            Backing::Memory(bytes) => {
                let start = offset.min(bytes.len() as u64) as usize;
                data.copy_from_slice(bytes.get(start..start + data.len()).unwrap_or_default());
                Ok(())
            }
            Backing::File(file) => file.seek(SeekFrom::Start(offset)).and_then(|_| read_or_zero(file, data)),
        };
        result.map_err(|source| self.host_error(sector, source))?;
        if let Some(overlay) = &self.overlay {
            let count = (buffer.len() / SECTOR_SIZE) as u64;
            for (number, data) in overlay.range(sector..sector + count) {
                let start = (number - sector) as usize * SECTOR_SIZE;
                buffer[start..start + SECTOR_SIZE].copy_from_slice(data);
            }
        }
        Ok(())
    }

    /// Writes `data`, whole sectors, from `sector` on.
    pub fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), AccessError> {
        self.accesses += 1;
        self.check_range(sector, data.len())?;
        if self.write_protected {
            return Err(AccessError::WriteProtected { name: self.name.clone() });
        }
        if let Some(overlay) = &mut self.overlay {
            for (number, data) in (sector..).zip(data.chunks_exact(SECTOR_SIZE)) {
                overlay.insert(number, data.into());
            }
            return Ok(());
        }
        let offset = sector * SECTOR_SIZE as u64;
        // A partial last sector stays one: the image keeps its length.
        let room = if self.grows { u64::MAX } else { self.length.saturating_sub(offset) };
        let data = &data[..room.min(data.len() as u64) as usize];
        let end = offset + data.len() as u64;
        self.id.take();
        let result = match &mut self.backing {
            Backing::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
            Backing::File(file) => file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(data)),
        };
        result.map_err(|source| self.host_error(sector, source))?;
        self.length = self.length.max(end);
        Ok(())
    }

    fn check_range(&self, sector: u64, bytes: usize) -> Result<(), AccessError> {
        debug_assert!(bytes.is_multiple_of(SECTOR_SIZE));
        match sector.checked_add((bytes / SECTOR_SIZE) as u64) {
            Some(end) if end <= self.sectors => Ok(()),
            _ => Err(AccessError::OutOfRange { name: self.name.clone(), sector }),
        }
    }

    fn host_error(&mut self, sector: u64, source: io::Error) -> AccessError {
        if !std::mem::replace(&mut self.host_error_logged, true) {
            log::error!(target: "disk", "{}: sector {sector}: {source}; the guest sees an unreadable sector", self.name);
        }
        AccessError::Host { name: self.name.clone(), sector, source }
    }
}

/// The hash of `length` bytes.
fn fingerprint(mut image: impl Read, length: u64) -> io::Result<u64> {
    let (mut hash, mut left, mut buffer) = (StableHash::new(), length, vec![0; 1 << 16]);
    while left > 0 {
        let piece = &mut buffer[..left.min(1 << 16) as usize];
        image.read_exact(piece)?;
        hash.bytes(piece);
        left -= piece.len() as u64;
    }
    Ok(hash.get())
}

/// Fills `data` from `file`; a file that became shorter under us reads as zeros there.
fn read_or_zero(file: &mut File, mut data: &mut [u8]) -> io::Result<()> {
    while !data.is_empty() {
        match file.read(data) {
            Ok(0) => {
                data.fill(0);
                break;
            }
            Ok(count) => data = &mut data[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Claims a file for as long as it is open, alone or with others; whether it could be. A file system without locks
/// refuses nobody.
fn lock(file: &File, alone: bool) -> bool {
    let locked = if alone { file.try_lock() } else { file.try_lock_shared() };
    !matches!(locked, Err(TryLockError::WouldBlock))
}

#[cfg(unix)]
fn is_block_device(kind: std::fs::FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&kind)
}

#[cfg(not(unix))]
fn is_block_device(_kind: std::fs::FileType) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A file in the host's temporary folder, removed at the end of the test.
    struct TemporaryFile(PathBuf);

    impl TemporaryFile {
        fn new(name: &str, data: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("rvmx-emu-{}-{name}", std::process::id()));
            std::fs::write(&path, data).unwrap();
            TemporaryFile(path)
        }
    }

    impl Drop for TemporaryFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn image_with_a_partial_last_sector_reads_zeros_there_and_keeps_writes() {
        let mut image = DiskImage::from_bytes("odd", vec![7; 700]).unwrap();
        assert_eq!(image.sectors(), 2);
        let mut buffer = [0xFF; 1024];
        image.read(0, &mut buffer).unwrap();
        assert!(buffer[..700].iter().all(|b| *b == 7) && buffer[700..].iter().all(|b| *b == 0));
        image.write(1, &[9; 512]).unwrap();
        image.read(1, &mut buffer[..512]).unwrap();
        assert_eq!(buffer[..512], [9; 512]);
    }

    #[test]
    fn image_access_behind_the_end_is_an_error() {
        let mut image = DiskImage::from_bytes("small", vec![0; 512]).unwrap();
        assert!(matches!(image.read(1, &mut [0; 512]), Err(AccessError::OutOfRange { .. })));
        assert!(matches!(image.read(u64::MAX, &mut [0; 512]), Err(AccessError::OutOfRange { .. })));
        assert!(matches!(image.write(0, &[0; 1024]), Err(AccessError::OutOfRange { .. })));
        image.extend_to(2);
        assert!(image.read(1, &mut [0; 512]).is_ok());
    }

    #[test]
    fn image_that_is_empty_missing_or_a_directory_is_an_error_that_names_it() {
        let file = TemporaryFile::new("empty", &[]);
        let text = |result: Result<DiskImage, ImageError>| result.unwrap_err().to_string();
        assert!(text(DiskImage::open(&file.0, OpenMode::ReadWrite)).contains("empty"));
        assert!(text(DiskImage::open(Path::new("/no/such.img"), OpenMode::ReadWrite)).contains("/no/such.img"));
        assert!(text(DiskImage::open(&std::env::temp_dir(), OpenMode::ReadOnly)).contains("directory"));
        assert!(DiskImage::from_bytes("none", Vec::new()).is_err());
    }

    #[test]
    fn image_in_snapshot_mode_reads_its_writes_and_leaves_the_file_alone() {
        let file = TemporaryFile::new("snapshot", &[1; 1024]);
        let mut image = DiskImage::open(&file.0, OpenMode::Snapshot).unwrap();
        image.write(1, &[2; 512]).unwrap();
        let mut buffer = [0; 1024];
        image.read(0, &mut buffer).unwrap();
        assert_eq!((buffer[0], buffer[512]), (1, 2));
        assert_eq!(std::fs::read(&file.0).unwrap(), [1; 1024]);
    }

    #[test]
    fn image_of_an_odd_length_keeps_it_when_its_last_sector_is_written() {
        let file = TemporaryFile::new("length", &[7; 700]);
        let mut image = DiskImage::open(&file.0, OpenMode::ReadWrite).unwrap();
        image.write(0, &[9; 1024]).unwrap();
        image.write(1, &[8; 512]).unwrap();
        let bytes = std::fs::read(&file.0).unwrap();
        assert_eq!((bytes.len(), bytes[511], bytes[512], bytes[699]), (700, 9, 8, 8));
        let mut buffer = [0xFF; 512];
        image.read(1, &mut buffer).unwrap();
        assert!(buffer[..188].iter().all(|b| *b == 8) && buffer[188..].iter().all(|b| *b == 0));
        // A floppy has its format's length once it is written.
        image.extend_to(3);
        image.write(1, &[6; 1024]).unwrap();
        assert_eq!(std::fs::metadata(&file.0).unwrap().len(), 1536);
    }

    #[test]
    fn image_that_is_written_is_nobody_elses_and_one_that_is_read_is_shared() {
        let file = TemporaryFile::new("lock", &[1; 512]);
        let open = |mode| DiskImage::open(&file.0, mode);
        let writer = open(OpenMode::ReadWrite).unwrap();
        for mode in [OpenMode::ReadWrite, OpenMode::ReadOnly, OpenMode::Snapshot] {
            assert!(open(mode).unwrap_err().to_string().contains("in use"), "{mode:?}");
        }
        drop(writer);
        let _readers = (open(OpenMode::Snapshot).unwrap(), open(OpenMode::ReadOnly).unwrap());
        assert!(matches!(open(OpenMode::ReadWrite), Err(ImageError::InUse { .. })));
    }

    #[test]
    fn image_opened_read_only_refuses_writes_and_read_write_keeps_them() {
        let file = TemporaryFile::new("modes", &[1; 1024]);
        let mut image = DiskImage::open(&file.0, OpenMode::ReadOnly).unwrap();
        assert!(matches!(image.write(0, &[0; 512]), Err(AccessError::WriteProtected { .. })));
        drop(image);
        let mut image = DiskImage::open(&file.0, OpenMode::ReadWrite).unwrap();
        image.write(1, &[3; 512]).unwrap();
        assert_eq!(std::fs::read(&file.0).unwrap()[511..513], [1, 3]);
    }
}
