//! Snapshot files: a header with version and checksum, and the snapshot compressed by zstd.

use crate::error::InputError;
use crate::files;
use crate::signals;
use emu_core::hash::StableHash;
use emu_devices::snapshot::{Configuration, ReadError, Snapshot};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What every snapshot file begins with.
const MAGIC: &[u8; 8] = b"RVMXSNAP";
/// The form of what follows. To be raised with every change of anything that is saved; `tests/saved_form/` sees to it.
pub const VERSION: u32 = 3;
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

/// The snapshot in a file's bytes, for a machine of configuration `here`.
pub fn decode(bytes: &[u8], here: &Configuration) -> Result<Snapshot, DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::NotASnapshot)?;
    let (version, rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let (hash, body) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
    if StableHash::of(body) != u64::from_le_bytes(*hash) {
        return Err(DecodeError::Damaged);
    }
    let mut body = zstd::Decoder::new(body).map_err(ReadError::Io)?;
    Ok(Snapshot::read(&mut body, here)?)
}

/// Writes a file whole or not at all: an older one of that name stays until the new one is complete.
pub fn write(path: &Path, data: &[u8]) -> Result<(), InputError> {
    files::check_output(path, "snapshot")?;
    let error = |e: &std::io::Error| InputError::io(path, "write the snapshot", e);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = Part(path.with_file_name(name));
    let mut file = Hurried(std::fs::File::create(&part.0).map_err(|e| error(&e))?);
    file.write_all(data).and_then(|()| file.0.sync_all()).map_err(|e| error(&e))?;
    drop(file);
    std::fs::rename(&part.0, path).map_err(|e| error(&e))
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

/// A file that is removed unless it has got its name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
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
