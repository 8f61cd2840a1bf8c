//! A script in a process of its own.

use super::Outcome;
use crate::error::InputError;
use crate::signals::Signals;
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Bytes of each stream that are kept, the last ones.
const KEPT: usize = 64 << 10;
/// How often the process is looked at.
const TICK: Duration = Duration::from_millis(5);

/// What came of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All steps passed.
    Passed,
    /// A step failed.
    Failed,
    /// It could not be carried out to its end.
    Error,
    /// A signal came first.
    Stopped,
    /// A signal came before its turn.
    NotBegun,
}

/// What is needed of `--dump-state`'s JSON.
#[derive(Debug, Deserialize)]
struct State {
    end: String,
    guest_seconds: f64,
}

/// Descriptors of the process that are not for running scripts, and those that starting one takes for a moment.
#[cfg(unix)]
const OTHER_DESCRIPTORS: u64 = 32;
/// Those that a script's process takes: its three streams, and the file in which it says how it ended.
#[cfg(unix)]
const DESCRIPTORS: u64 = 4;

/// The scripts that the host lets run at a time.
#[cfg(unix)]
pub(super) fn most_at_a_time() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS).unwrap_or(usize::MAX).max(1)
}

/// Elsewhere starting them shows it.
#[cfg(not(unix))]
pub(super) fn most_at_a_time() -> usize {
    usize::MAX
}

/// Runs scripts in processes of their own.
pub(super) struct Runner<'a> {
    program: &'a Path,
    signals: &'a Signals,
    /// Where processes say how their runs ended; goes with this.
    states: TempDir,
    /// Processes that have been started and not ended. Held while one is started: that takes descriptors.
    running: Mutex<usize>,
}

/// A script's process.
struct Started {
    child: Child,
    output: JoinHandle<String>,
    log: JoinHandle<String>,
    /// The process ends when this does, be it because this one was killed.
    _input: Option<ChildStdin>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(program: &'a Path, signals: &'a Signals) -> Result<Self, InputError> {
        let states = tempfile::Builder::new().prefix("rvmx-emu-test-").tempdir().map_err(|e| {
            InputError::new("test", format!("cannot make a temporary folder: {e}")).remedy("see TMPDIR")
        })?;
        Ok(Self { program, signals, states, running: Mutex::new(0) })
    }

    /// Runs a script to its end, or kills it when a signal comes. `number` is no other script's.
    pub(super) fn run(&self, script: &Path, number: usize) -> Outcome {
        let began = Instant::now();
        let state = self.states.path().join(format!("{number}.json"));
        let mut command = Command::new(self.program);
        command.args(["--headless", "--snapshot", "--end-with-stdin", "--debugcon", "stdio", "--dump-state"]);
        // In one word: a name may begin with a dash.
        let mut option = OsString::from("--script=");
        option.push(script);
        command.arg(&state).arg(option);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut outcome = Outcome::new(script, Verdict::Error);
        match self.start(&mut command) {
            Ok(mut started) => {
                let status = wait(&mut started.child, self.signals);
                let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
                (outcome.output, outcome.log) = (text(started.output), text(started.log));
                *self.count() -= 1;
                // There is none if the run did not begin.
                let state = std::fs::read(state).ok().and_then(|text| serde_json::from_slice(&text).ok());
                judge(&mut outcome, status, state, self.signals);
            }
            Err(_) if self.signals.arrived().is_some() => return Outcome::new(script, Verdict::NotBegun),
            Err(error) => outcome.message = format!("{} cannot be started: {error}", self.program.display()),
        }
        outcome.wall = began.elapsed();
        outcome
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process; while the host has no room for one more, once another has ended.
    fn start(&self, command: &mut Command) -> io::Result<Started> {
        loop {
            let mut running = self.count();
            match Started::new(command) {
                Ok(started) => {
                    *running += 1;
                    return Ok(started);
                }
                Err(error) if *running == 0 || self.signals.arrived().is_some() => return Err(error),
                Err(_) => {
                    drop(running);
                    std::thread::sleep(TICK);
                }
            }
        }
    }
}

impl Started {
    fn new(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let readers = tail(child.stdout.take()).and_then(|output| Ok((output, tail(child.stderr.take())?)));
        match readers {
            Ok((output, log)) => Ok(Self { child, output, log, _input: input }),
            Err(error) => {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                child.wait().and(Err(error))
            }
        }
    }
}

fn judge(outcome: &mut Outcome, status: io::Result<ExitStatus>, state: Option<State>, signals: &Signals) {
    outcome.guest = state.as_ref().map(|state| state.guest_seconds);
    let code = match status {
        Ok(status) if status.success() => {
            outcome.verdict = Verdict::Passed;
            return;
        }
        Ok(status) => status.code(),
        Err(error) => {
            outcome.message = format!("its process cannot be waited for: {error}");
            return;
        }
    };
    if signals.arrived().is_some() {
        outcome.verdict = Verdict::Stopped;
        outcome.message = "stopped by a signal".to_owned();
        return;
    }
    if code == Some(1) {
        outcome.verdict = Verdict::Failed;
    }
    let told = state.map(|state| state.end).filter(|end| outcome.log.contains(end.as_str()));
    match told {
        // The program tells the end, then where the guest was.
        Some(end) => {
            if let Some((log, state)) = outcome.log.split_once(&format!("rvmx-emu: {end}\n")) {
                (outcome.state, outcome.log) = (state.to_owned(), log.to_owned());
            }
            outcome.message = end;
        }
        None => {
            let line = outcome.log.lines().rev().find_map(|line| line.strip_prefix("rvmx-emu: ")).map(str::to_owned);
            if let Some(line) = &line
                && let Some((before, behind)) = outcome.log.rsplit_once(&format!("rvmx-emu: {line}\n"))
            {
                // It is told as the message.
                outcome.log = format!("{before}{behind}");
            }
            outcome.message = match (line, code) {
                (Some(line), _) => line,
                (None, Some(code)) => format!("its process ended with status {code}"),
                (None, None) => "its process was killed".to_owned(),
            };
        }
    }
}

/// Waits for the process; one that has not ended when a signal comes is ended.
fn wait(child: &mut Child, signals: &Signals) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if signals.arrived().is_some() {
            // It may have ended by itself meanwhile.
            let _ = child.kill();
            return child.wait();
        }
        std::thread::sleep(TICK);
    }
}

/// Reads a stream to its end, and keeps its last bytes.
fn tail(stream: Option<impl Read + Send + 'static>) -> io::Result<JoinHandle<String>> {
    std::thread::Builder::new().spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
        if let Some(mut stream) = stream {
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
                if kept.len() > 2 * KEPT {
                    kept.drain(..kept.len() - KEPT);
                }
            }
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}
