//! The files of a run: which are in use, so that output never destroys input, and how input is read, so that no file is
//! too long for the host.

use crate::error::InputError;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// What makes two names one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
            let path = &resolved(path);
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

/// The most links that lead to a file, one through the other.
const MAX_LINKS: usize = 40;

/// The file that a name stands for, whether it is there or not: links are followed, so that what replaces the file does
/// not replace a link to it.
pub fn resolved(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Whether two names are those of one file.
pub fn is_same(one: &Path, other: &Path) -> bool {
    Identity::of(one).is_some_and(|identity| Identity::of(other) == Some(identity))
}

/// A use of a file.
#[derive(Debug)]
struct Use {
    role: String,
    key: u64,
}

/// The files that the process has in use, by all its runs.
#[derive(Debug, Default)]
struct Register {
    used: HashMap<Identity, Vec<Use>>,
    next: u64,
}

static REGISTER: LazyLock<Mutex<Register>> = LazyLock::new(Mutex::default);

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files in use for as long as this lives.
#[derive(Debug, Default)]
#[must_use = "the files are in use for as long as this lives"]
pub struct InUse {
    keys: HashMap<Identity, u64>,
}

impl InUse {
    /// Adds a file; `role` says what it is. One that was added before keeps its role.
    pub fn add(&mut self, path: &Path, role: &str) {
        let Some(identity) = Identity::of(path) else { return };
        if self.keys.contains_key(&identity) {
            return;
        }
        let mut register = register();
        let key = register.next;
        register.next += 1;
        register.used.entry(identity.clone()).or_default().push(Use { role: role.to_owned(), key });
        self.keys.insert(identity, key);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut register = register();
        for (identity, key) in self.keys.drain() {
            if let Entry::Occupied(mut uses) = register.used.entry(identity) {
                uses.get_mut().retain(|other| other.key != key);
                if uses.get().is_empty() {
                    uses.remove();
                }
            }
        }
    }
}

/// Refuses to write `what` over a file in use.
pub fn check_output(path: &Path, what: &str) -> Result<(), InputError> {
    let Some(identity) = Identity::of(path) else { return Ok(()) };
    match register().used.get(&identity).and_then(|uses| uses.first()) {
        Some(Use { role, .. }) => {
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

/// How long somebody may take to write the first byte into a pipe that is read.
#[cfg(unix)]
const PATIENCE: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };

/// Opens a file for reading. A pipe into which nobody writes within some seconds is an error: opening it would wait for
/// ever.
#[cfg(unix)]
pub fn open(path: &Path) -> std::io::Result<File> {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::io::{Error, ErrorKind};
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.file_type().is_fifo() && poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&PATIENCE))? == 0 {
        return Err(Error::new(ErrorKind::TimedOut, "nobody writes into this pipe"));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(file)
}

/// Elsewhere pipes are no files.
#[cfg(not(unix))]
pub fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Reads a file of at most `limit` bytes whole; `what` it holds is told in messages. A file without end costs no more than
/// the limit, and one whose length says too much nothing.
pub fn read(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, InputError> {
    let error = |e: std::io::Error| InputError::io(path, &format!("read the {what}"), &e);
    let too_long = || {
        let problem = format!("it has more than {limit} bytes, the most of a {what}");
        InputError::file(path, problem).remedy("give the right file")
    };
    let file = open(path).map_err(error)?;
    if file.metadata().map_err(error)?.len() > limit {
        return Err(too_long());
    }
    let mut data = Vec::new();
    file.take(limit + 1).read_to_end(&mut data).map_err(error)?;
    if data.len() as u64 > limit { Err(too_long()) } else { Ok(data) }
}

/// [`read`], as text.
pub fn read_text(path: &Path, what: &str, limit: u64) -> Result<String, InputError> {
    text(read(path, what, limit)?)
        .map_err(|e| InputError::file(path, format!("the {what} is {e}")).remedy("give a text file in UTF-8"))
}

/// Bytes that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoText {
    /// Two bytes for each character, as the mark at the beginning says.
    #[error("UTF-16, not UTF-8 text")]
    Utf16,
    /// Something else.
    #[error("no UTF-8 text")]
    NoUtf8,
}

/// The text in a file's bytes, without the mark that some editors put before it.
pub fn text(bytes: Vec<u8>) -> Result<String, NoText> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(NoText::Utf16);
    }
    let mut text = String::from_utf8(bytes).map_err(|_| NoText::NoUtf8)?;
    if text.starts_with('\u{FEFF}') {
        text.remove(0);
    }
    Ok(text)
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
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("new", folder.join("link")).unwrap();
            assert!(check_output(&folder.join("link"), "log").is_err());
            assert_eq!(resolved(&folder.join("link")), folder.join("new"));
        }
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

    #[test]
    #[cfg(unix)]
    fn pipe_is_read_once_somebody_writes_into_it() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success());
        assert!(made, "mkfifo is part of every Unix");
        let to = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, "some text"));
        assert_eq!(read_text(&path, "configuration", 100), Ok("some text".to_owned()));
        writer.join().unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn file_that_is_added_twice_is_in_use_until_all_have_gone() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-twice-{}", std::process::id()));
        let (mut first, mut second) = (InUse::default(), InUse::default());
        (0..1000).for_each(|_| first.add(&path, "the script"));
        second.add(&path, "a medium");
        assert_eq!(first.keys.len(), 1);
        drop(first);
        assert!(check_output(&path, "log").is_err_and(|error| error.to_string().contains("it is a medium")));
        drop(second);
        assert_eq!(check_output(&path, "log"), Ok(()));
    }

    #[test]
    fn text_is_utf_8_with_or_without_a_mark() {
        assert_eq!(text(b"\xEF\xBB\xBFa".to_vec()), Ok("a".to_owned()));
        assert_eq!(text(b"\xC3\xA9".to_vec()), Ok("\u{e9}".to_owned()));
        assert_eq!(text(b"a\xFF".to_vec()), Err(NoText::NoUtf8));
        for bytes in [b"\xFF\xFES\0", b"\xFE\xFF\0S"] {
            assert_eq!(text(bytes.to_vec()).unwrap_err().to_string(), "UTF-16, not UTF-8 text");
        }
    }
}
