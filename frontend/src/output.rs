//! Where the guest's byte streams go.

use crate::background::BackgroundFile;
use crate::config::Stream;
use crate::error::InputError;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Most bytes of a stream that a script can still search.
const MAX_CAPTURE: usize = 4 << 20;

/// The process's standard output and error: what all streams, messages and the log share, in the order in which they came.
static STDOUT: LazyLock<Mutex<BackgroundFile>> = LazyLock::new(|| Mutex::new(BackgroundFile::stdout()));
static STDERR: LazyLock<Mutex<BackgroundFile>> = LazyLock::new(|| Mutex::new(BackgroundFile::stderr()));

fn lock(file: &Mutex<BackgroundFile>) -> MutexGuard<'_, BackgroundFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints text. Standard output may be a closed pipe; there is nobody to tell then.
pub fn print(text: &str) {
    let mut stdout = lock(&STDOUT);
    stdout.write(text.as_bytes());
    stdout.pass_on();
}

/// Prints a message on standard error, which may be closed, too.
pub fn tell(text: &str) {
    let mut stderr = lock(&STDERR);
    stderr.write(text.as_bytes());
    stderr.pass_on();
}

/// Waits until the host has taken what was printed, before the process ends. What standard output has not taken is an
/// error, unless it is a pipe whose reader has gone: that one has seen enough.
pub fn finish() -> Result<(), InputError> {
    let mut stdout = lock(&STDOUT);
    let finished = stdout.finish();
    let finished = if stdout.has_no_reader() { Ok(()) } else { finished };
    drop(stdout);
    // There is nobody to tell what happened to the messages.
    let _ = lock(&STDERR).finish();
    finished
}

/// One byte stream: what it is written to, and what a script has yet to search.
#[derive(Debug)]
pub struct Sink {
    name: &'static str,
    target: Target,
    captured: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Target {
    Nowhere,
    Stdout,
    File(BackgroundFile),
}

impl Sink {
    /// Opens a stream called `name` in messages. `capture` keeps what passes for [`Sink::find`].
    pub fn open(name: &'static str, stream: &Stream, capture: bool) -> Result<Self, InputError> {
        let target = match stream {
            Stream::None => Target::Nowhere,
            Stream::Stdio => Target::Stdout,
            Stream::File(path) => Target::File(BackgroundFile::create(path, name)?),
            _ => {
                let problem = "sockets, terminals and devices are for COM1 of a run without the debugger";
                return Err(InputError::new(name, problem).remedy("give stdio, none or a file"));
            }
        };
        Ok(Self { name, target, captured: capture.then(Vec::new) })
    }

    /// A stream into a file that is open.
    pub fn into_file(name: &'static str, file: BackgroundFile, capture: bool) -> Self {
        Self { name, target: Target::File(file), captured: capture.then(Vec::new) }
    }

    /// Passes bytes on: who reads the file while the guest runs sees what the guest has sent.
    pub fn write(&mut self, data: &[u8]) -> Result<(), InputError> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(captured) = &mut self.captured {
            captured.extend_from_slice(data);
            let excess = captured.len().saturating_sub(MAX_CAPTURE);
            captured.drain(..excess);
        }
        self.on_target(|file| {
            file.write(data);
            file.pass_on();
            file.check()
        })
    }

    /// Waits until the host has taken what has passed.
    pub fn finish(&mut self) -> Result<(), InputError> {
        self.on_target(BackgroundFile::finish)
    }

    fn on_target(
        &mut self,
        call: impl FnOnce(&mut BackgroundFile) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        match &mut self.target {
            Target::Nowhere => Ok(()),
            Target::Stdout => call(&mut lock(&STDOUT)).map_err(|error| error.field(self.name)),
            Target::File(file) => call(file),
        }
    }

    /// Whether `text` has passed since the last find; takes it and all before it away.
    pub fn find(&mut self, text: &[u8]) -> bool {
        let Some(captured) = &mut self.captured else { return false };
        if text.is_empty() {
            return true;
        }
        match captured.windows(text.len()).position(|window| window == text) {
            Some(at) => {
                captured.drain(..at + text.len());
                true
            }
            None => false,
        }
    }

    /// [`Sink::find`] of what a regular expression matches.
    pub fn find_match(&mut self, pattern: &regex::bytes::Regex) -> bool {
        let Some(captured) = &mut self.captured else { return false };
        match pattern.find(captured).map(|found| found.end()) {
            Some(end) => {
                captured.drain(..end);
                true
            }
            None => false,
        }
    }

    /// The last line or two that have passed and not been found, for messages.
    pub fn tail(&self) -> String {
        let captured = self.captured.as_deref().unwrap_or_default();
        String::from_utf8_lossy(captured.get(captured.len().saturating_sub(200)..).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sink_finds_each_text_once_and_in_order() {
        let mut sink = Sink::open("test", &Stream::None, true).unwrap();
        sink.write(b"one two ").unwrap();
        sink.write(b"three").unwrap();
        assert!(sink.find(b"two th"));
        assert!(!sink.find(b"one"));
        assert!(sink.find(b"ree"));
        assert!(!sink.find(b"ree"));
        assert!(sink.find(b""));
        let pattern = regex::bytes::Regex::new("l[0-9]+:").unwrap();
        sink.write(b"l1:l22:").unwrap();
        assert!(sink.find_match(&pattern) && sink.find_match(&pattern) && !sink.find_match(&pattern));
    }

    #[test]
    fn sink_to_a_file_writes_every_byte() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-sink-{}", std::process::id()));
        let mut sink = Sink::open("test", &Stream::File(path.clone()), false).unwrap();
        sink.write(&[0, 255, 10]).unwrap();
        sink.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0, 255, 10]);
        std::fs::remove_file(path).unwrap();
        let error = Sink::open("test", &Stream::File("/nonexistent/x".into()), false).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/x: cannot write the test"), "{error}");
    }
}
