//! The files of a run: which are in use, so that output never destroys input, and how input is read, so that no file is
//! too long for the host.

use crate::error::InputError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What makes two names one file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// Device and inode.
    #[cfg(unix)]
    Inode(u64, u64),
    /// The name without links; of a file that is not there yet, its folder's.
    Name(PathBuf),
}

impl Identity {
    /// `None` of what is no file that could be lost: terminals, pipes, `/dev/null`.
    fn of(path: &Path) -> Option<Self> {
        let Ok(metadata) = std::fs::metadata(path) else {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Some(Self::Name(folder.canonicalize().ok()?.join(path.file_name()?)));
        };
        Self::of_existing(path, &metadata)
    }

    #[cfg(unix)]
    fn of_existing(_path: &Path, metadata: &std::fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let kind = metadata.file_type();
        (kind.is_file() || kind.is_block_device()).then(|| Self::Inode(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of_existing(path: &Path, metadata: &std::fs::Metadata) -> Option<Self> {
        metadata.is_file().then(|| path.canonicalize().ok()).flatten().map(Self::Name)
    }
}

/// A file in use.
#[derive(Debug)]
struct Used {
    identity: Identity,
    role: String,
    key: u64,
}

/// The files that the process has in use, by all its runs.
#[derive(Debug)]
struct Register {
    used: Vec<Used>,
    next: u64,
}

static REGISTER: Mutex<Register> = Mutex::new(Register { used: Vec::new(), next: 0 });

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files in use for as long as this lives.
#[derive(Debug, Default)]
#[must_use = "the files are in use for as long as this lives"]
pub struct InUse {
    keys: Vec<u64>,
}

impl InUse {
    /// Adds a file; `role` says what it is.
    pub fn add(&mut self, path: &Path, role: &str) {
        let Some(identity) = Identity::of(path) else { return };
        let mut register = register();
        let key = register.next;
        register.next += 1;
        register.used.push(Used { identity, role: role.to_owned(), key });
        self.keys.push(key);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        register().used.retain(|used| !self.keys.contains(&used.key));
    }
}

/// Refuses to write `what` over a file in use.
pub fn check_output(path: &Path, what: &str) -> Result<(), InputError> {
    let Some(identity) = Identity::of(path) else { return Ok(()) };
    match register().used.iter().find(|used| used.identity == identity) {
        Some(Used { role, .. }) => {
            Err(InputError::file(path, format!("it is {role}, which the {what} would destroy"))
                .remedy("give another file"))
        }
        None => Ok(()),
    }
}

/// Makes sure, before a run, that `what` can be written to a file when it ends. What was there goes: it is not this run's.
pub fn claim_output(path: &Path, what: &str) -> Result<(), InputError> {
    let existing = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    let open = || std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    // A pipe would wait for its reader.
    let claimed = if existing && !path.is_dir() { Ok(()) } else { open().map(drop) };
    claimed.map_err(|error| InputError::io(path, &format!("write the {what}"), &error).remedy("give another file"))
}

/// Reads a file of at most `limit` bytes whole; `what` it holds is told in messages. A file without end costs no more than
/// the limit, and one whose length says too much nothing.
pub fn read(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, InputError> {
    let error = |e: std::io::Error| InputError::io(path, &format!("read the {what}"), &e);
    let too_long = || {
        let problem = format!("it has more than {limit} bytes, the most of a {what}");
        InputError::file(path, problem).remedy("give the right file")
    };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.len() > limit {
        return Err(too_long());
    }
    let mut data = Vec::new();
    file.take(limit + 1).read_to_end(&mut data).map_err(error)?;
    if data.len() as u64 > limit { Err(too_long()) } else { Ok(data) }
}

/// [`read`], as text.
pub fn read_text(path: &Path, what: &str, limit: u64) -> Result<String, InputError> {
    String::from_utf8(read(path, what, limit)?)
        .map_err(|_| InputError::file(path, format!("the {what} is no UTF-8 text")).remedy("give a text file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_over_a_file_in_use_is_refused_by_any_of_its_names_until_it_is_free() {
        let folder = std::env::temp_dir().join(format!("rvmx-emu-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (disk, other) = (folder.join("d.img"), folder.join("e.img"));
        std::fs::write(&disk, [1]).unwrap();
        std::fs::hard_link(&disk, &other).unwrap();
        let mut used = InUse::default();
        used.add(&disk, "the image of hda");
        // One that does not exist yet.
        used.add(&folder.join("new"), "the trace");
        for name in ["d.img", "./d.img", "e.img", "new"] {
            let error = check_output(&folder.join(name), "screen dump").unwrap_err().to_string();
            assert!(error.contains("would destroy; give another file"), "{error}");
        }
        assert_eq!(check_output(&folder.join("newer"), "screen dump"), Ok(()));
        drop(used);
        assert_eq!(check_output(&disk, "screen dump"), Ok(()));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn file_without_end_is_read_to_its_limit_alone() {
        let error = read(Path::new("/dev/zero"), "ROM", 1000).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: it has more than 1000 bytes, the most of a ROM; give the right file");
        assert_eq!(check_output(Path::new("/dev/null"), "log"), Ok(()));
    }
}
