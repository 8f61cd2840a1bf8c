//! COM1's input: what comes over a link, or standard input, a pipe or file as it comes, a terminal key by key, with a way
//! out.

use crate::display::tty::Tty;
use crate::error::InputError;
use crate::output;
use std::collections::VecDeque;
use std::io::{IsTerminal, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces of a pipe or link that may wait, of [`PIECE`] bytes; what is behind them stays with who sends it.
const WAITING_PIECES: usize = 64;
/// Bytes of a piece.
pub const PIECE: usize = 256;
/// Bytes typed on a terminal that may wait for the guest; more are lost. The thread that reads never waits, so that
/// there is always a way out.
const MAX_TYPED: usize = 1 << 20;
/// Ctrl-A begins what is for the emulator.
const ESCAPE: u8 = 0x01;
const HELP: &str = "\n\
    Ctrl-A h       this help\n\
    Ctrl-A x       end the run\n\
    Ctrl-A Ctrl-A  send Ctrl-A to the guest\n";

/// Bytes for COM1.
#[derive(Debug)]
pub struct SerialInput(Source);

#[derive(Debug)]
enum Source {
    Queue(Receiver<Vec<u8>>),
    Keys(Arc<Typed>, #[allow(dead_code, reason = "gives the terminal back when it is dropped")] Option<Tty>),
}

/// What was typed on a terminal.
#[derive(Debug, Default)]
struct Typed {
    bytes: Mutex<VecDeque<u8>>,
    quit: AtomicBool,
}

impl SerialInput {
    /// Standard input. A terminal is taken, and given back when this is dropped.
    pub fn standard() -> Result<Self, InputError> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::pipe());
        }
        let error = |e| InputError::new("--serial stdio", format!("the terminal cannot be used: {e}"));
        let tty = Tty::keys().map_err(error)?;
        output::tell("rvmx-emu: Ctrl-A x ends the run, Ctrl-A h helps\n");
        let (mut keys, input) = Self::keys(Some(tty));
        read(move |data| {
            keys.press(data);
            true
        });
        Ok(input)
    }

    /// What is typed, Ctrl-A and all; `tty` is given back when the input is dropped.
    fn keys(tty: Option<Tty>) -> (Keys, Self) {
        let typed = Arc::new(Typed::default());
        (Keys { typed: Arc::clone(&typed), escapes: Escapes::default() }, Self(Source::Keys(typed, tty)))
    }

    /// What is typed by somebody other than a terminal.
    pub fn typed() -> (Keys, Self) {
        Self::keys(None)
    }

    fn pipe() -> Self {
        let (sender, input) = Self::queue();
        read(move |data| sender.send(data.to_vec()).is_ok());
        input
    }

    /// Pieces as they are sent; the sender waits while the guest takes none.
    pub fn queue() -> (SyncSender<Vec<u8>>, Self) {
        let (sender, receiver) = mpsc::sync_channel(WAITING_PIECES);
        (sender, Self(Source::Queue(receiver)))
    }

    /// The next bytes, if some have come.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        match &self.0 {
            Source::Queue(receiver) => receiver.try_recv().ok(),
            Source::Keys(typed, _) => {
                let mut bytes = typed.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let length = bytes.len().min(PIECE);
                (length != 0).then(|| bytes.drain(..length).collect())
            }
        }
    }

    /// Whether the user wants to end the run.
    pub fn wants_to_quit(&self) -> bool {
        matches!(&self.0, Source::Keys(typed, _) if typed.quit.load(Ordering::Relaxed))
    }
}

/// A thread that reads standard input; it ends with the input, with the process, or when `take` wants no more.
fn read(mut take: impl FnMut(&[u8]) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; PIECE];
        while let Ok(length @ 1..) = stdin.read(&mut buffer) {
            if !take(buffer.get(..length).unwrap_or_default()) {
                break;
            }
        }
    });
}

/// What the keys of a terminal mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Byte(u8),
    Help,
    Quit,
    Nothing,
}

/// Takes what is for the emulator out of what is typed.
#[derive(Debug, Default)]
struct Escapes {
    begun: bool,
}

impl Escapes {
    fn next(&mut self, byte: u8) -> Meaning {
        if !std::mem::take(&mut self.begun) {
            self.begun = byte == ESCAPE;
            return if self.begun { Meaning::Nothing } else { Meaning::Byte(byte) };
        }
        match byte {
            ESCAPE => Meaning::Byte(ESCAPE),
            b'x' | b'X' => Meaning::Quit,
            b'h' | b'H' | b'?' => Meaning::Help,
            _ => Meaning::Nothing,
        }
    }
}

/// The keys of a terminal.
#[derive(Debug)]
pub struct Keys {
    typed: Arc<Typed>,
    escapes: Escapes,
}

impl Keys {
    /// Takes bytes as a terminal in raw mode sends them.
    pub fn press(&mut self, data: &[u8]) {
        for byte in data {
            match self.escapes.next(*byte) {
                Meaning::Byte(byte) => {
                    let mut bytes = self.typed.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                    if bytes.len() < MAX_TYPED {
                        bytes.push_back(byte);
                    }
                }
                Meaning::Help => output::tell(HELP),
                Meaning::Quit => self.typed.quit.store(true, Ordering::Relaxed),
                Meaning::Nothing => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_to_the_guest_but_for_what_follows_ctrl_a() {
        let (mut keys, mut input) = SerialInput::typed();
        keys.press(b"a\x03\x1a\x01");
        keys.press(b"\x01\x01zx");
        assert_eq!(input.take().as_deref(), Some(b"a\x03\x1a\x01x".as_slice()));
        assert!(!input.wants_to_quit());
        keys.press(b"\x01x");
        assert!(input.wants_to_quit());
    }
}
