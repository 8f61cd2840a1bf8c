//! A script in a process of its own.

use super::Outcome;
use crate::signals::Signals;
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
}

/// What is needed of `--dump-state`'s JSON.
#[derive(Debug, Deserialize)]
struct State {
    end: String,
    guest_seconds: f64,
}

/// Runs a script to its end, or kills it when a signal comes. `number` is no other script's.
pub(super) fn run(program: &Path, script: &Path, number: usize, signals: &Signals) -> Outcome {
    let started = Instant::now();
    let state_file = StateFile::new(number);
    let mut command = Command::new(program);
    command.args(["--headless", "--snapshot", "--debugcon", "stdio", "--dump-state"]).arg(&state_file.0);
    command.arg("--script").arg(script);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut outcome = Outcome {
        script: script.to_owned(),
        verdict: Verdict::Error,
        guest: None,
        wall: Duration::ZERO,
        message: String::new(),
        state: String::new(),
        output: String::new(),
        log: String::new(),
    };
    match command.spawn() {
        Ok(mut child) => {
            let output = child.stdout.take().map(tail);
            let log = child.stderr.take().map(tail);
            let status = wait(&mut child, signals);
            let text = |reader: Option<JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
            (outcome.output, outcome.log) = (text(output), text(log));
            judge(&mut outcome, status, state_file.read(), signals);
        }
        Err(error) => outcome.message = format!("{} cannot be started: {error}", program.display()),
    }
    outcome.wall = started.elapsed();
    outcome
}

fn judge(outcome: &mut Outcome, status: std::io::Result<ExitStatus>, state: Option<State>, signals: &Signals) {
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
            let line = outcome.log.lines().rev().find_map(|line| line.strip_prefix("rvmx-emu: "));
            outcome.message = match (line, code) {
                (Some(line), _) => line.to_owned(),
                (None, Some(code)) => format!("its process ended with status {code}"),
                (None, None) => "its process was killed".to_owned(),
            };
        }
    }
}

/// Waits for the process; one that has not ended when a signal comes is ended.
fn wait(child: &mut Child, signals: &Signals) -> std::io::Result<ExitStatus> {
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
fn tail(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
            if kept.len() > 2 * KEPT {
                kept.drain(..kept.len() - KEPT);
            }
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// Where a process says how its run ended; goes with this.
struct StateFile(PathBuf);

impl StateFile {
    fn new(number: usize) -> Self {
        Self(std::env::temp_dir().join(format!("rvmx-emu-test-{}-{number}.json", std::process::id())))
    }

    fn read(&self) -> Option<State> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        // There is none if the run did not begin.
        let _ = std::fs::remove_file(&self.0);
    }
}
