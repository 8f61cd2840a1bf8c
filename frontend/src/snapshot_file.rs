//! Snapshot files: a header with version and checksum, and the snapshot compressed by zstd.

use crate::background::write_whole;
use crate::error::InputError;
use crate::files;
use crate::signals;
use emu_core::hash::StableHash;
use emu_devices::snapshot::{Configuration, ReadError, Snapshot};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// What every snapshot file begins with.
const MAGIC: &[u8; 8] = b"RVMXSNAP";
/// The form of what follows. To be raised with every change of anything that is saved; `tests/saved_form/` sees to it.
pub const VERSION: u32 = 8;
/// Magic, version, and the hash of all that follows.
const HEADER: usize = 8 + 4 + 8;
/// Most bytes that are written without a look for signals.
const PART: usize = 4 << 20;
/// Fast, and most of memory is code, tables and text.
const LEVEL: i32 = 1;

/// Why bytes are no snapshot of a machine.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Something else.
    #[error("it is no snapshot; give a file that a Snapshot step has written")]
    NotASnapshot,
    /// Made by another version of this program.
    #[error("it has version {0} of the format, and this program reads {VERSION}; take the snapshot again")]
    Version(u32),
    /// The checksum says so.
    #[error("it is damaged or cut off; take the snapshot again")]
    Damaged,
    /// What is inside.
    #[error(transparent)]
    Inside(#[from] ReadError),
}

/// A snapshot as the bytes of a file.
pub fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; HEADER];
    let failed = |error: std::io::Error| error.to_string();
    let mut body = zstd::Encoder::new(&mut bytes, LEVEL).map_err(failed)?;
    snapshot.write(&mut Hurried(&mut body)).map_err(|error| error.to_string())?;
    body.finish().map_err(failed)?;
    let hash = StableHash::of(&bytes[HEADER..]);
    let header = MAGIC.iter().copied().chain(VERSION.to_le_bytes()).chain(hash.to_le_bytes());
    bytes.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
    Ok(bytes)
}

/// Looks whether a file begins as a snapshot of this version does.
pub fn check(path: &Path) -> Result<(), DecodeError> {
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(12).read_to_end(&mut head)).map_err(ReadError::Io)?;
    body(&head).map(drop)
}

/// What follows magic and version.
fn body(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::NotASnapshot)?;
    let (version, rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
    match u32::from_le_bytes(*version) {
        VERSION => Ok(rest),
        version => Err(DecodeError::Version(version)),
    }
}

/// The snapshot in a file's bytes, for a machine of configuration `here`.
pub fn decode(bytes: &[u8], here: &Configuration) -> Result<Snapshot, DecodeError> {
    let (hash, body) = body(bytes)?.split_first_chunk().ok_or(DecodeError::Damaged)?;
    if StableHash::of(body) != u64::from_le_bytes(*hash) {
        return Err(DecodeError::Damaged);
    }
    let mut body = zstd::Decoder::new(body).map_err(ReadError::Io)?;
    Ok(Snapshot::read(&mut body, here)?)
}

/// Writes a file whole or not at all: an older one of that name stays until the new one is complete. A link stays, and
/// leads to the new file; a device or a pipe is written to.
pub fn write(path: &Path, data: &[u8]) -> Result<(), InputError> {
    files::check_output(path, "snapshot")?;
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return write_whole(path, "snapshot", data);
    }
    replace(&files::resolved(path), data).map_err(|e| InputError::io(path, "write the snapshot", &e))
}

/// Puts a new file into the place of one that is a file or is not there yet.
fn replace(path: &Path, data: &[u8]) -> io::Result<()> {
    let old = std::fs::metadata(path).ok();
    if old.is_some() {
        // Who may not write to it may not replace it.
        File::options().append(true).open(path)?;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new();
    part.prefix(".rvmx-emu-").suffix(".part");
    // As other files are made; the crate's own are private.
    #[cfg(unix)]
    part.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let part = part.tempfile_in(folder).map_err(hosts)?;
    let mut file = Hurried(part.as_file());
    file.write_all(data)?;
    if let Some(old) = old {
        part.as_file().set_permissions(old.permissions())?;
    }
    part.as_file().sync_all()?;
    part.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// The host's error alone; crate tempfile adds a name that nobody has given.
fn hosts(error: io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), text.split_once(" at path ").map_or(text.as_str(), |(own, _)| own))
}

/// What is written in parts, and left once a signal has come and the time for it is over.
struct Hurried<W>(W);

impl<W: Write> Write for Hurried<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if signals::hurry() {
            return Err(std::io::Error::other("the run was stopped before all of it was written"));
        }
        self.0.write(data.get(..PART).unwrap_or(data))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Most bytes of a snapshot's file.
const MAX_BYTES: u64 = 16 << 30;

/// What a file that is no snapshot may have for it to be read whole.
const SHORT: u64 = 1 << 20;

/// Reads a file whole. A long one that does not begin as a snapshot does is not read on.
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let error = |e: std::io::Error| InputError::io(path, "read the snapshot", &e);
    // Before opening: a pipe would block there.
    let metadata = std::fs::metadata(path).map_err(error)?;
    if !metadata.is_file() {
        return Err(
            InputError::file(path, "it is no regular file").remedy("give a file that a Snapshot step has written")
        );
    }
    if metadata.len() <= SHORT {
        return files::read(path, "snapshot", SHORT);
    }
    let mut start = [0; MAGIC.len()];
    let begins = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match begins {
        Ok(()) if start == *MAGIC => files::read(path, "snapshot", MAX_BYTES),
        Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Err(error(e)),
        _ => Err(InputError::file(path, DecodeError::NotASnapshot.to_string())),
    }
}
