//! `test`: many scripts, each in a process of its own, several at a time.

mod child;
mod find;
mod junit;
mod report;

use crate::background::BackgroundFile;
use crate::error::InputError;
use crate::output;
use crate::signals::Signals;
use child::Verdict;
use clap::Args;
use report::Reporter;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often a signal is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// The options of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Scripts that run at a time [default: as many as the host has processors]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
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

/// Runs scripts; the exit status.
pub fn run(args: &TestArgs) -> Result<i32, InputError> {
    let scripts = find::scripts(&args.paths, args.filter.as_deref())?;
    let program = std::env::current_exe()
        .map_err(|e| InputError::new("test", format!("cannot find this program to run the scripts: {e}")))?;
    // Before anything runs: a report that cannot be written is no surprise at the end.
    let mut junit = args.junit.as_deref().map(|path| BackgroundFile::create(path, "JUnit report")).transpose()?;
    let signals = Signals::catch()?;
    let started = Instant::now();
    let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or_else(available).get().min(scripts.len());
    let reporter = Reporter::new(&scripts);
    let next = AtomicUsize::new(0);
    let (sender, finished) = mpsc::channel();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; scripts.len()];
    // What nobody can read does not keep the report from being written.
    let mut printed = Ok(());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, signals, next, scripts, program) = (sender.clone(), &signals, &next, &scripts, &program);
            scope.spawn(move || {
                while signals.arrived().is_none() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(script) = scripts.get(index) else { break };
                    if sender.send((index, child::run(program, script, index, signals))).is_err() {
                        break;
                    }
                }
            });
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
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
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
