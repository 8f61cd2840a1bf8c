//! `test`: many scripts, each in a process of its own, several at a time.

mod child;
mod find;
mod inputs;
mod junit;
mod report;

use crate::background::BackgroundFile;
use crate::cli::numbers::number32;
use crate::error::InputError;
use crate::output;
use crate::signals::Signals;
use child::{Runner, Verdict};
use clap::Args;
use report::Reporter;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often a signal is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// The options of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Scripts that run at a time [default: as many as the host has processors]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE.xml")]
    pub junit: Option<PathBuf>,
    /// Run only scripts whose path this regular expression matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// Scripts, and folders whose *.ron that begin with Script( are scripts
    #[arg(value_name = "FILES|DIRS", required = true)]
    pub paths: Vec<PathBuf>,
}

/// A number of scripts.
fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let number = number32(1..=100_000, "scripts")(text)? as usize;
    NonZeroUsize::new(number).ok_or_else(|| "give 1 or more".to_owned())
}

/// How a script went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The script.
    pub script: PathBuf,
    /// What came of it.
    pub verdict: Verdict,
    /// Guest seconds; none if there was no guest.
    pub guest: Option<f64>,
    /// Time on the host.
    pub wall: Duration,
    /// What failed, in one or more lines; empty if nothing did.
    pub message: String,
    /// Processors and screen of a guest whose script failed.
    pub state: String,
    /// The last of what the guest wrote to port E9h.
    pub output: String,
    /// The last of what the program said.
    pub log: String,
}

impl Outcome {
    /// Of a script that nothing is known of yet.
    fn new(script: &Path, verdict: Verdict) -> Self {
        let message = if verdict == Verdict::NotBegun { "not begun" } else { "" };
        Self {
            script: script.to_owned(),
            verdict,
            guest: None,
            wall: Duration::ZERO,
            message: message.to_owned(),
            state: String::new(),
            output: String::new(),
            log: String::new(),
        }
    }
}

/// Runs scripts; the exit status.
pub fn run(args: &TestArgs) -> Result<i32, InputError> {
    let scripts = find::scripts(&args.paths, args.filter.as_deref())?;
    let program = std::env::current_exe()
        .map_err(|e| InputError::new("test", format!("cannot find this program to run the scripts: {e}")))?;
    // Before anything runs: a report that cannot be written, or would destroy a test, is no surprise at the end.
    let _inputs = args.junit.is_some().then(|| inputs::of_all(&scripts));
    let mut junit = args.junit.as_deref().map(|path| BackgroundFile::create(path, "JUnit report")).transpose()?;
    let signals = Signals::catch()?;
    let started = Instant::now();
    let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or_else(available).get().min(scripts.len()).min(child::most_at_a_time());
    let runner = Runner::new(&program, &signals)?;
    let reporter = Reporter::new(&scripts);
    let next = AtomicUsize::new(0);
    let (sender, finished) = mpsc::channel();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; scripts.len()];
    // What nobody can read does not keep the report from being written.
    let mut printed = Ok(());
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (sender, signals, next, scripts, runner) = (sender.clone(), &signals, &next, &scripts, &runner);
            let work = move || {
                while signals.arrived().is_none() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(script) = scripts.get(index) else { break };
                    if sender.send((index, runner.run(script, index))).is_err() {
                        break;
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                // Those that there are do it all.
                if job == 0 {
                    printed = Err(InputError::new("test", format!("the host gives no thread to run scripts: {error}")));
                }
                break;
            }
        }
        drop(sender);
        loop {
            match finished.recv_timeout(TICK) {
                Ok((index, outcome)) => {
                    if let (Ok(()), Err(error)) = (&printed, reporter.finished(&outcome)) {
                        printed = Err(error);
                    }
                    if let Some(place) = outcomes.get_mut(index) {
                        *place = Some(outcome);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => reporter.tick(),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    let wall = started.elapsed();
    let ended = outcomes.into_iter().zip(&scripts);
    let outcomes: Vec<Outcome> =
        ended.map(|(outcome, script)| outcome.unwrap_or_else(|| Outcome::new(script, Verdict::NotBegun))).collect();
    output::print(&reporter.summary(&outcomes, wall));
    if let Some(file) = &mut junit {
        file.write(junit::report(&outcomes, wall)?.as_bytes());
        file.finish()?;
    }
    printed?;
    Ok(match signals.arrived() {
        // As shells do.
        Some(signal) => 128 + signal,
        None => i32::from(outcomes.iter().any(|outcome| outcome.verdict != Verdict::Passed)),
    })
}
