//! The host's terminal, taken for single keys or for the whole screen, and given back once, however the run ends: the one
//! home of its modes.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Begins with an empty screen of its own, which keeps what the shell shows.
pub const ENTER_SCREEN: &str = "\x1b[?1049h\x1b[2J\x1b[H";
/// Plain colours, a cursor, the shell's screen.
pub const LEAVE_SCREEN: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// What is to be given back.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

struct Taken {
    modes: Modes,
    screen: bool,
}

fn taken() -> MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal of standard input, taken while this lives.
#[derive(Debug)]
pub struct Tty(());

impl Tty {
    /// Takes keys as they are pressed, unechoed, Ctrl-C among them. What is printed is treated as before.
    pub fn keys() -> io::Result<Self> {
        Self::take(false)
    }

    /// Takes keys and the screen. Who draws writes [`ENTER_SCREEN`] first and [`LEAVE_SCREEN`] last, to a [`Screen`].
    pub fn screen() -> io::Result<Self> {
        Self::take(true)
    }

    fn take(screen: bool) -> io::Result<Self> {
        give_back_on_panic();
        let mut taken = taken();
        if taken.is_some() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is taken already"));
        }
        *taken = Some(Taken { modes: Modes::take(screen)?, screen });
        Ok(Self(()))
    }
}

impl Drop for Tty {
    /// The modes alone: whoever had the screen has left it, as far as the terminal took that.
    fn drop(&mut self) {
        if let Some(taken) = taken().take() {
            taken.modes.give_back();
        }
    }
}

/// Gives the terminal back at once, if it is taken. Errors have nobody left to go to.
pub fn give_back() {
    let Some(taken) = taken().take() else { return };
    taken.modes.give_back();
    if taken.screen {
        let mut out = io::stdout();
        drop(out.write_all(LEAVE_SCREEN.as_bytes()).and_then(|()| out.flush()));
    }
}

/// A panic's message must not vanish on the screen that is left, nor the shell find keys without echo.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

/// The screen that was taken, to write to. What comes after it was given back is dropped.
#[derive(Debug, Default)]
pub struct Screen(());

impl Write for Screen {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let ours = taken().as_ref().is_some_and(|taken| taken.screen);
        if ours { io::stdout().write(data) } else { Ok(data.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(unix)]
struct Modes(rustix::termios::Termios);

#[cfg(unix)]
impl Modes {
    fn take(screen: bool) -> io::Result<Self> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        if !screen {
            raw.output_modes = before.output_modes;
        }
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }

    fn give_back(self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(not(unix))]
struct Modes(());

#[cfg(not(unix))]
impl Modes {
    fn take(_screen: bool) -> io::Result<Self> {
        crossterm::terminal::enable_raw_mode().map(Self)
    }

    fn give_back(self) {
        drop(crossterm::terminal::disable_raw_mode());
    }
}
