//! Output that is written beside the run: a slow disk or the reader of a pipe holds the run up only when much is waiting,
//! and one that takes nothing for long, or still takes nothing once a signal has come, is given up with an error.

use crate::display::tty::Screen;
use crate::error::InputError;
use crate::files::{self, InUse};
use crate::signals;
use emu_core::trace::TraceSink;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are handed over together.
const PIECE: usize = 64 << 10;
/// Pieces that may wait.
const WAITING: usize = 64;
/// How long a file may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same of standard output and error: somebody may be reading page by page.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);
/// The same of a terminal that shows the screen: what it shows last is gone at once.
const SCREEN_PATIENCE: Duration = Duration::from_secs(2);

/// How long anything may take nothing once Ctrl-C was pressed.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(1);

/// A file, standard output or standard error. What happened to it is told by [`BackgroundFile::check`] and
/// [`BackgroundFile::finish`].
#[derive(Debug)]
pub struct BackgroundFile {
    path: PathBuf,
    what: &'static str,
    piece: Vec<u8>,
    /// `None` when nothing more is to be written.
    pieces: Option<SyncSender<Vec<u8>>>,
    /// Pieces that were handed over.
    handed: u64,
    outcome: Arc<Outcome>,
    error: Option<InputError>,
    /// That was because nobody reads it any longer.
    no_reader: bool,
    patience: Duration,
    /// Nothing else may write to it meanwhile.
    _in_use: InUse,
}

/// What the writing thread tells.
#[derive(Debug, Default)]
struct Outcome {
    /// Pieces that are written.
    written: AtomicU64,
    error: Mutex<Option<io::Error>>,
}

impl Outcome {
    fn write(&self, file: io::Result<impl Write>, pieces: &Receiver<Vec<u8>>) {
        let result = file.and_then(|mut file| {
            pieces.iter().try_for_each(|piece| {
                file.write_all(&piece)?;
                file.flush()?;
                self.written.fetch_add(1, Ordering::Release);
                Ok(())
            })
        });
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
    }
}

impl BackgroundFile {
    /// Creates the file, or overwrites it if it is not in use; `what` it holds is told in messages.
    pub fn create(path: &Path, what: &'static str) -> Result<Self, InputError> {
        files::check_output(path, what)?;
        let mut in_use = InUse::default();
        if is_pipe(path) {
            // Opening it waits for a reader.
            let owned = path.to_owned();
            return Ok(Self::spawn(path.to_owned(), what, PATIENCE, in_use, move || {
                File::options().write(true).open(owned)
            }));
        }
        let file = File::create(path).map_err(|e| InputError::io(path, &format!("write the {what}"), &e))?;
        in_use.add(path, &format!("the {what}"));
        Ok(Self::spawn(path.to_owned(), what, PATIENCE, in_use, move || Ok(file)))
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self::spawn("standard output".into(), "output", STREAM_PATIENCE, InUse::default(), || Ok(io::stdout()))
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::spawn("standard error".into(), "messages", STREAM_PATIENCE, InUse::default(), || Ok(io::stderr()))
    }

    /// The other end of a serial line.
    pub fn of_link(link: impl Write + Send + 'static) -> Self {
        Self::spawn("COM1".into(), "serial output", PATIENCE, InUse::default(), || Ok(link))
    }

    /// The terminal that shows the screen.
    pub fn terminal() -> Self {
        Self::spawn("terminal".into(), "screen", SCREEN_PATIENCE, InUse::default(), || Ok(Screen::default()))
    }

    fn spawn<W: Write>(
        path: PathBuf,
        what: &'static str,
        patience: Duration,
        in_use: InUse,
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> Self {
        let (pieces, received) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let outcome = Arc::new(Outcome::default());
        let shared = Arc::clone(&outcome);
        std::thread::spawn(move || shared.write(open(), &received));
        Self {
            path,
            what,
            piece: Vec::new(),
            pieces: Some(pieces),
            handed: 0,
            outcome,
            error: None,
            no_reader: false,
            patience,
            _in_use: in_use,
        }
    }

    /// Writes, or leaves it if something has gone wrong before.
    pub fn write(&mut self, data: &[u8]) {
        for part in data.chunks(PIECE) {
            self.piece.extend_from_slice(part);
            if self.piece.len() >= PIECE {
                self.hand_over();
            }
        }
    }

    /// Lets what was written so far be seen soon.
    pub fn pass_on(&mut self) {
        if !self.piece.is_empty() {
            self.hand_over();
        }
    }

    /// What has gone wrong, if something has.
    pub fn check(&self) -> Result<(), InputError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Whether it has failed because it is a pipe that nobody reads any longer.
    pub fn has_no_reader(&self) -> bool {
        self.no_reader
    }

    /// Whether everything is written; what has gone wrong, if something has.
    pub fn is_idle(&mut self) -> Result<bool, InputError> {
        self.notice();
        self.check()?;
        Ok(self.piece.is_empty() && self.outcome.written.load(Ordering::Acquire) == self.handed)
    }

    /// Waits until everything is written.
    pub fn finish(&mut self) -> Result<(), InputError> {
        self.pass_on();
        let mut wait = Wait::new(self);
        while self.error.is_none() && self.outcome.written.load(Ordering::Acquire) < self.handed {
            wait.on(self);
        }
        self.check()
    }

    fn hand_over(&mut self) {
        let mut piece = std::mem::take(&mut self.piece);
        let mut wait = Wait::new(self);
        while let Some(pieces) = &self.pieces {
            match pieces.try_send(piece) {
                Ok(()) => {
                    self.handed += 1;
                    return;
                }
                Err(TrySendError::Disconnected(unsent) | TrySendError::Full(unsent)) => {
                    piece = unsent;
                    wait.on(self);
                }
            }
        }
    }

    /// Looks whether the writing thread has failed.
    fn notice(&mut self) -> bool {
        let failed = self.outcome.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.inspect(|error| self.fail(error)).is_some()
    }

    fn fail(&mut self, error: &io::Error) {
        self.pieces = None;
        self.no_reader |= self.error.is_none() && error.kind() == io::ErrorKind::BrokenPipe;
        let error = InputError::io(&self.path, &format!("write the {}", self.what), error);
        self.error.get_or_insert(error);
    }
}

/// A wait for the host, which ends with progress, an error, or the end of patience.
struct Wait {
    written: u64,
    since: Instant,
    /// The same since Ctrl-C, in the debugger.
    interrupted: Option<Instant>,
    pause: Duration,
}

impl Wait {
    fn new(file: &BackgroundFile) -> Self {
        let written = file.outcome.written.load(Ordering::Acquire);
        Self { written, since: Instant::now(), interrupted: None, pause: Duration::from_micros(20) }
    }

    /// Waits a moment. The file has failed if it is to be waited for no longer.
    fn on(&mut self, file: &mut BackgroundFile) {
        if file.notice() {
            return;
        }
        let written = file.outcome.written.load(Ordering::Acquire);
        if written != self.written {
            (self.written, self.since, self.interrupted) = (written, Instant::now(), None);
        }
        let interrupted = signals::interrupted().then(|| *self.interrupted.get_or_insert_with(Instant::now));
        let reason = if signals::hurry() || interrupted.is_some_and(|since| since.elapsed() >= INTERRUPT_PATIENCE) {
            "the run was stopped before all of it was taken".to_owned()
        } else if self.since.elapsed() >= file.patience {
            format!("nothing has taken it for {} seconds", file.patience.as_secs())
        } else {
            std::thread::sleep(self.pause);
            self.pause = (self.pause * 2).min(Duration::from_millis(5));
            return;
        };
        file.fail(&io::Error::new(io::ErrorKind::TimedOut, reason));
    }
}

/// Writes a file whole, as what the host takes too long for is waited for.
pub fn write_whole(path: &Path, what: &'static str, data: &[u8]) -> Result<(), InputError> {
    let mut file = BackgroundFile::create(path, what)?;
    file.write(data);
    file.finish()
}

impl TraceSink for BackgroundFile {
    fn line(&mut self, line: &str) {
        self.write(line.as_bytes());
    }

    fn is_closed(&self) -> bool {
        self.error.is_some()
    }
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_holds_everything_in_order() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-background-{}", std::process::id()));
        let mut file = BackgroundFile::create(&path, "test").unwrap();
        for n in 0..50_000 {
            file.write(format!("{n:06}\n").as_bytes());
        }
        file.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.lines().enumerate().all(|(n, line)| line.parse() == Ok(n)) && text.len() == 350_000);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn full_disk_is_an_error_that_names_the_file() {
        let mut file = BackgroundFile::create(Path::new("/dev/full"), "trace").unwrap();
        file.write(b"x");
        let error = file.finish().unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: cannot write the trace: No space"), "{error}");
        assert_eq!(file.check().unwrap_err().to_string(), error);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pipe_that_nobody_reads_ends_the_wait() {
        let folder = std::env::temp_dir().join(format!("rvmx-emu-pipe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success());
        assert!(made, "mkfifo is part of every Linux");
        let mut file = BackgroundFile::create(&path, "trace").unwrap();
        file.patience = Duration::from_millis(20);
        let piece = vec![b'x'; PIECE];
        (0..2 * WAITING).for_each(|_| file.write(&piece));
        let error = file.finish().unwrap_err().to_string();
        assert!(error.contains("nothing has taken it"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
