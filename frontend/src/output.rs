//! Where the guest's byte streams go.

use crate::config::Stream;
use crate::error::InputError;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Most bytes of a stream that a script can still search.
const MAX_CAPTURE: usize = 4 << 20;

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
    /// Without a buffer of ours: who reads the file while the guest runs sees what the guest has sent.
    File(PathBuf, File),
}

impl Sink {
    /// Opens a stream called `name` in messages. `capture` keeps what passes for [`Sink::find`].
    pub fn open(name: &'static str, stream: &Stream, capture: bool) -> Result<Self, InputError> {
        let target = match stream {
            Stream::None => Target::Nowhere,
            Stream::Stdio => Target::Stdout,
            Stream::File(path) => {
                let file = File::create(path).map_err(|e| InputError::io(path, &format!("write the {name}"), &e))?;
                Target::File(path.clone(), file)
            }
        };
        Ok(Self { name, target, captured: capture.then(Vec::new) })
    }

    /// Passes bytes on.
    pub fn write(&mut self, data: &[u8]) -> Result<(), InputError> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(captured) = &mut self.captured {
            captured.extend_from_slice(data);
            let excess = captured.len().saturating_sub(MAX_CAPTURE);
            captured.drain(..excess);
        }
        match &mut self.target {
            Target::Nowhere => Ok(()),
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(data).and_then(|()| stdout.flush());
                written.map_err(|e| InputError::new("standard output", format!("cannot write the {}: {e}", self.name)))
            }
            Target::File(path, file) => {
                file.write_all(data).map_err(|e| InputError::io(path, &format!("write the {}", self.name), &e))
            }
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
    }

    #[test]
    fn sink_to_a_file_writes_every_byte_as_it_comes() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-sink-{}", std::process::id()));
        let mut sink = Sink::open("test", &Stream::File(path.clone()), false).unwrap();
        sink.write(&[0, 255, 10]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0, 255, 10]);
        std::fs::remove_file(path).unwrap();
        let error = Sink::open("test", &Stream::File("/nonexistent/x".into()), false).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/x: cannot write the test"), "{error}");
    }
}
