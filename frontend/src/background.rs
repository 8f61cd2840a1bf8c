//! A file that is written beside the run: a slow disk or the reader of a pipe holds the run up only when much is waiting,
//! and one that takes nothing ends it with an error.

use crate::error::InputError;
use emu_core::trace::TraceSink;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// Bytes that are handed over together.
const PIECE: usize = 64 << 10;
/// Pieces that may wait.
const WAITING: usize = 64;
/// How long nothing may be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file. What happened to it is told by [`BackgroundFile::check`] and [`BackgroundFile::finish`].
#[derive(Debug)]
pub struct BackgroundFile {
    path: PathBuf,
    what: &'static str,
    piece: Vec<u8>,
    /// `None` when nothing more is to be written.
    pieces: Option<SyncSender<Vec<u8>>>,
    outcome: Receiver<io::Result<()>>,
    error: Option<InputError>,
    patience: Duration,
}

impl BackgroundFile {
    /// Creates the file; `what` it holds is told in messages.
    pub fn create(path: &Path, what: &'static str) -> Result<Self, InputError> {
        let (pieces, received) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let (sender, outcome) = mpsc::channel();
        let owned = path.to_owned();
        let write = move |mut file: File| received.iter().try_for_each(|piece| file.write_all(&piece));
        if is_pipe(path) {
            // Opening it waits for a reader.
            let open = move || File::options().write(true).open(owned);
            std::thread::spawn(move || drop(sender.send(open().and_then(write))));
        } else {
            let file = File::create(path).map_err(|e| InputError::io(path, &format!("write the {what}"), &e))?;
            std::thread::spawn(move || drop(sender.send(write(file))));
        }
        let piece = Vec::with_capacity(PIECE);
        Ok(Self { path: path.to_owned(), what, piece, pieces: Some(pieces), outcome, error: None, patience: PATIENCE })
    }

    /// Writes, or leaves it if something has gone wrong before.
    pub fn write(&mut self, data: &[u8]) {
        self.piece.extend_from_slice(data);
        if self.piece.len() >= PIECE {
            self.hand_over();
        }
    }

    /// What has gone wrong, if something has.
    pub fn check(&self) -> Result<(), InputError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Writes what is left and waits for the end of it.
    pub fn finish(&mut self) -> Result<(), InputError> {
        self.hand_over();
        if self.pieces.take().is_some() {
            match self.outcome.recv_timeout(self.patience) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(&error),
                Err(RecvTimeoutError::Timeout) => self.lose_patience(),
                Err(RecvTimeoutError::Disconnected) => self.fail(&io::ErrorKind::BrokenPipe.into()),
            }
        }
        self.check()
    }

    fn hand_over(&mut self) {
        let mut piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let started = Instant::now();
        while let Some(pieces) = &self.pieces {
            match pieces.try_send(piece) {
                Ok(()) => return,
                Err(TrySendError::Disconnected(_)) => {
                    let error = self.outcome.recv().unwrap_or(Ok(())).err();
                    return self.fail(&error.unwrap_or(io::ErrorKind::BrokenPipe.into()));
                }
                Err(TrySendError::Full(_)) if started.elapsed() >= self.patience => return self.lose_patience(),
                Err(TrySendError::Full(unsent)) => {
                    piece = unsent;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    fn lose_patience(&mut self) {
        let seconds = self.patience.as_secs();
        let reason = format!("nothing has taken it for {seconds} seconds");
        self.fail(&io::Error::new(io::ErrorKind::TimedOut, reason));
    }

    fn fail(&mut self, error: &io::Error) {
        self.pieces = None;
        let error = InputError::io(&self.path, &format!("write the {}", self.what), error);
        self.error.get_or_insert(error);
    }
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
