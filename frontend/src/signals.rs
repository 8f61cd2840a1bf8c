//! Ctrl-C and `kill` end a run in good order: streams are flushed, dumps and statistics written. What the host takes
//! too long for is then left, so that the end comes within a second.

use crate::error::InputError;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long output may still be waited for once a signal has arrived.
const GRACE: Duration = Duration::from_millis(250);

/// The signals that the process has caught, for those who wait for the host.
static CAUGHT: OnceLock<Signals> = OnceLock::new();
/// Up once a signal is to end the process as without this.
static LAST: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// When one of them first saw that a signal had arrived.
static SEEN: OnceLock<Instant> = OnceLock::new();

/// The signals that have arrived.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts catching SIGINT, SIGTERM, SIGHUP and SIGQUIT. A second one ends the process at once, as without this.
    #[cfg(unix)]
    pub fn catch() -> Result<Self, InputError> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        use signal_hook::flag;
        let this = Self::default();
        let error = |e: std::io::Error| InputError::new("signals", format!("cannot be caught: {e}"));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            // In this order the first signal finds the flag down, and each later one finds it up.
            let seen = Arc::new(AtomicBool::new(false));
            flag::register_conditional_default(signal, Arc::clone(&seen)).map_err(error)?;
            flag::register_conditional_default(signal, Arc::clone(&LAST)).map_err(error)?;
            flag::register(signal, seen).map_err(error)?;
            flag::register_usize(signal, Arc::clone(&this.number), signal.unsigned_abs() as usize).map_err(error)?;
        }
        end_guard();
        // A second run in one process (only tests do that) has the first one's for its output.
        let _ = CAUGHT.set(this.clone());
        Ok(this)
    }

    /// Elsewhere the host's own handling stays.
    #[cfg(not(unix))]
    pub fn catch() -> Result<Self, InputError> {
        Ok(Self::default())
    }

    /// The signal that has arrived, if one has.
    pub fn arrived(&self) -> Option<i32> {
        i32::try_from(self.number.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)
    }
}

/// Whether a signal that the process catches has arrived.
pub fn arrived() -> bool {
    CAUGHT.get().and_then(Signals::arrived).is_some()
}

/// Lets the next signal end the process at once: what comes now takes long and cannot be left.
pub fn end_at_once() {
    LAST.store(true, Ordering::Relaxed);
}

/// Whether a signal has arrived and the time for what the host has yet to take is over.
pub fn hurry() -> bool {
    arrived() && SEEN.get_or_init(Instant::now).elapsed() >= GRACE
}

/// Ends the run as a SIGTERM does once standard input ends: whoever wants the run holds it open, and it ends with that
/// process, however that ends.
pub fn end_with_input() -> Result<(), InputError> {
    let watch = || {
        // What arrives is for nobody; an error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        #[cfg(unix)]
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
        #[cfg(not(unix))]
        std::process::exit(1);
    };
    let watcher = std::thread::Builder::new().spawn(watch);
    watcher.map(drop).map_err(|e| InputError::new("--end-with-stdin", format!("cannot watch standard input: {e}")))
}

/// The flag of [`interrupts`].
static INTERRUPT: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A flag that Ctrl-C raises; somebody lowers it again. The process goes on.
#[cfg(unix)]
pub fn interrupts() -> Result<Arc<AtomicBool>, InputError> {
    let flag = Arc::clone(INTERRUPT.get_or_init(Arc::default));
    let registered = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&flag));
    registered.map_err(|e| InputError::new("signals", format!("cannot be caught: {e}")))?;
    Ok(flag)
}

/// Elsewhere Ctrl-C ends the process.
#[cfg(not(unix))]
pub fn interrupts() -> Result<Arc<AtomicBool>, InputError> {
    Ok(Arc::default())
}

/// Whether the flag of [`interrupts`] is up: somebody waits for what goes on.
pub fn interrupted() -> bool {
    INTERRUPT.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The terminal shows its alternate screen.
static ALTERNATE: AtomicBool = AtomicBool::new(false);
/// Drawings begun and drawings done: odd while one goes on.
static DRAWING: AtomicUsize = AtomicUsize::new(0);
/// How long a terminal may take nothing of a drawing once Ctrl-C was pressed.
#[cfg(unix)]
const DRAWING_PATIENCE: Duration = Duration::from_secs(1);

/// Tells which screen the terminal shows, for [`guard_terminal`].
pub fn alternate_screen(shown: bool) {
    ALTERNATE.store(shown, Ordering::Relaxed);
}

/// Draws on the terminal: if that takes nothing, a Ctrl-C ends the process.
pub fn while_drawing<R>(draw: impl FnOnce() -> R) -> R {
    DRAWING.fetch_add(1, Ordering::Relaxed);
    let result = draw();
    DRAWING.fetch_add(1, Ordering::Relaxed);
    result
}

/// What is put in order before a signal ends the process.
#[derive(Debug, Default)]
struct Order {
    /// How the terminal was.
    #[cfg(unix)]
    modes: Option<rustix::termios::Termios>,
    /// The disk of `--fat`.
    disk: Option<Disk>,
}

/// The disk of `--fat`, as a file of the host's.
#[derive(Debug, Clone)]
pub enum Disk {
    /// What the guest writes to it is for nobody.
    Temporary(PathBuf),
    /// The guest has written nothing to it that must be kept.
    Fresh(PathBuf),
    /// It may hold what the guest has written.
    Used(PathBuf),
}

static ORDER: Mutex<Order> = Mutex::new(Order {
    #[cfg(unix)]
    modes: None,
    disk: None,
});

fn order() -> MutexGuard<'static, Order> {
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells which file is the disk of `--fat`: a fresh one is removed when a signal ends the process, and where a used one is
/// gets told.
pub fn set_disk(disk: Option<Disk>) {
    order().disk = disk;
}

/// The disk of `--fat` is used from now on.
pub fn disk_is_used() {
    let disk = &mut order().disk;
    if let Some(Disk::Fresh(path)) = disk {
        *disk = Some(Disk::Used(std::mem::take(path)));
    }
}

/// Gives the terminal back, once a signal ends the process, as it is now.
#[cfg(unix)]
pub fn guard_terminal() -> Result<(), InputError> {
    order().modes = rustix::termios::tcgetattr(std::io::stdin()).ok();
    guard()
}

/// What ends the thread of [`guard`].
#[cfg(unix)]
static GUARD: Mutex<Option<signal_hook::iterator::Handle>> = Mutex::new(None);

/// Puts things in order before SIGTERM, SIGHUP, SIGQUIT or SIGINT ends the process. A SIGINT that [`interrupts`] tells of
/// ends it only if the terminal takes nothing of a drawing. Until the run catches them ([`Signals::catch`]).
#[cfg(unix)]
pub fn guard() -> Result<(), InputError> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator::Signals;
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_some() {
        return Ok(());
    }
    let error = |e: std::io::Error| InputError::new("signals", format!("cannot be caught: {e}"));
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).map_err(error)?;
    *guard = Some(signals.handle());
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGINT && INTERRUPT.get().is_some() && !is_stuck() {
                continue;
            }
            put_in_order();
            // It does not come back.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// The run handles signals itself from now on.
#[cfg(unix)]
fn end_guard() {
    if let Some(handle) = GUARD.lock().unwrap_or_else(PoisonError::into_inner).take() {
        handle.close();
    }
}

#[cfg(unix)]
fn put_in_order() {
    // Held until the end: nobody else removes the disk meanwhile.
    let order = order();
    give_back(order.modes.as_ref());
    match &order.disk {
        Some(Disk::Temporary(path) | Disk::Fresh(path)) => drop(std::fs::remove_file(path)),
        Some(Disk::Used(path)) => {
            let text = format!("rvmx-emu: what the guest has written to the disk of --fat is in {}\n", path.display());
            let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
        }
        None => {}
    }
}

/// Whether one and the same drawing goes on for too long.
#[cfg(unix)]
fn is_stuck() -> bool {
    let (drawing, since) = (DRAWING.load(Ordering::Relaxed), Instant::now());
    while drawing % 2 == 1 && since.elapsed() < DRAWING_PATIENCE {
        if DRAWING.load(Ordering::Relaxed) != drawing {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drawing % 2 == 1
}

/// Gives the terminal back; one that takes nothing keeps its picture.
#[cfg(unix)]
fn give_back(modes: Option<&rustix::termios::Termios>) {
    use rustix::termios::{OptionalActions, tcsetattr};
    if ALTERNATE.load(Ordering::Relaxed) {
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Not through the standard library's lock, which a drawing may hold.
            let sequence = b"\x1b[0m\x1b[?25h\x1b[?1049l";
            let _ = rustix::io::write(rustix::stdio::stdout(), sequence);
            done.send(())
        });
        let _ = wait.recv_timeout(GRACE);
    }
    if let Some(modes) = modes {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
    }
}

/// Elsewhere there is nothing to do.
#[cfg(not(unix))]
pub fn guard_terminal() -> Result<(), InputError> {
    guard()
}

/// Elsewhere the host's own handling stays.
#[cfg(not(unix))]
pub fn guard() -> Result<(), InputError> {
    Ok(())
}
