//! What a configuration needs of the host: files and environment variables. Parsers take it as a trait, so that
//! they stay pure and can be tested and fuzzed.

use crate::files;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Largest configuration file or script, in bytes: far above any real one, and a bound on what a wrong path costs.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The host as a configuration parser sees it.
pub trait Host {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The size of a regular file or the 0 of a device; `None` if there is nothing at `path`.
    fn size(&self, path: &Path) -> Option<u64>;
    /// At most `length` bytes of a file from `at` on; empty if there are none.
    fn bytes(&self, _path: &Path, _at: u64, _length: usize) -> Vec<u8> {
        Vec::new()
    }
    /// A text file; bytes that are not UTF-8 are replaced (comments may be in any encoding).
    fn read_text(&self, path: &Path) -> Result<String, String>;
    /// A text file that must be UTF-8.
    fn read_utf8(&self, path: &Path) -> Result<String, String> {
        self.read_text(path)
    }
    /// Now, in seconds since 1970-01-01 UTC; asked only where a configuration demands the host's clock.
    fn now(&self) -> i64;
}

/// The real host.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealHost;

impl Host for RealHost {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn size(&self, path: &Path) -> Option<u64> {
        std::fs::metadata(path).ok().map(|metadata| metadata.len())
    }

    fn bytes(&self, path: &Path, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = files::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            file.take(length as u64).read_to_end(&mut bytes)
        });
        read.map_or_else(|_| Vec::new(), |_| bytes)
    }

    fn read_text(&self, path: &Path) -> Result<String, String> {
        let bytes = read(path)?;
        // No text has zero bytes, but UTF-16's, which is no form for these files either.
        if bytes.contains(&0) && !bytes.starts_with(&[0xFF, 0xFE]) && !bytes.starts_with(&[0xFE, 0xFF]) {
            return Err("it is no text file".to_owned());
        }
        files::text(bytes.clone()).or_else(|error| match error {
            files::NoText::Utf16 => Err(format!("it is {error}")),
            // Comments may be in any encoding.
            files::NoText::NoUtf8 => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    fn read_utf8(&self, path: &Path) -> Result<String, String> {
        let text = files::text(read(path)?).map_err(|e| format!("it is {e}"))?;
        if text.contains('\0') { Err("it is no text file".to_owned()) } else { Ok(text) }
    }

    fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0))
    }
}

/// Reads a file that is no longer than a text.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = files::open(path).map_err(|e| e.to_string())?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if metadata.len() > MAX_TEXT_BYTES {
        return Err(format!("{} bytes are too many for a text file", metadata.len()));
    }
    let mut bytes = Vec::new();
    // A device or a pipe does not say how long it is.
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(format!("more than {MAX_TEXT_BYTES} bytes are too many for a text file"));
    }
    Ok(bytes)
}

/// Finds a file that a configuration names: as given (relative to the working folder), else relative to the
/// configuration's own folder. `None` if it is in neither place.
pub fn locate(host: &dyn Host, named: &Path, config_file: &Path) -> Option<PathBuf> {
    if named.as_os_str().is_empty() {
        return None;
    }
    let beside = config_file.parent().map(|folder| folder.join(named));
    [Some(named.to_owned()), beside].into_iter().flatten().find(|path| host.size(path).is_some())
}

/// Whether a name stands for a device of the host, which may well not be there: `/dev/...` or `a:`.
pub fn is_device_name(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.starts_with("/dev/") || matches!(text.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}
