//! `cargo xtask mutated-files`: the emulator on files with mistakes, of every kind that it reads, and on packets of a GDB
//! with mistakes. It may refuse them or run them; it must not panic, and must end at its limit or at the first signal.
//! Most are still what they were: of a kind of which most are refused nothing but its parser is tested.

mod change;
mod files;
mod kinds;
mod packets;
mod saved;

use crate::child::{self, Folder, emulator, end_within, signal, wait_for};
use change::Random;
use kinds::{Kind, kinds};
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Guest seconds that each file gets.
const GUEST: &str = "0.02";
/// Host time that each file gets.
const LIMIT: Duration = Duration::from_secs(20);
/// How soon a run ends after SIGTERM, on a host that does other things, too.
const END: Duration = Duration::from_secs(2);
/// What a run whose file says when it ends may take before it is ended by SIGTERM.
const PATIENCE: Duration = Duration::from_millis(700);

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of each kind
    #[arg(long, default_value_t = 2000)]
    count: u32,
    /// Seed of the mistakes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the kinds whose names contain this
    #[arg(long)]
    kind: Option<String>,
}

/// How a run has come to its end.
type Outcome = Result<i32, String>;

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    child::status("mutated-files", run(args))
}

fn run(args: &Args) -> std::io::Result<u32> {
    let folder = Folder::new("mutated")?;
    let mut failures = 0;
    println!("{:11} {:>6} {:>6} {:>8} {:>12} {:>8}", "kind", "files", "taken", "refused", "slowest, ms", "seconds");
    let kinds = kinds(&folder)?;
    for kind in kinds.iter().filter(|kind| args.kind.as_ref().is_none_or(|wanted| kind.name.contains(wanted))) {
        let mut fail = |what: &str| {
            failures += 1;
            eprintln!("{}: {what}", kind.name);
        };
        for seed in &kind.seeds {
            match outcome(kind, &folder, seed)? {
                Ok(status) if status != 2 => {}
                Ok(_) => fail("a file without mistakes is refused"),
                Err(what) => fail(&format!("a file without mistakes: {what}")),
            }
        }
        let mut random = Random::new(args.seed);
        let (mut taken, mut refused, mut slowest, started) = (0u32, 0u32, Duration::ZERO, Instant::now());
        for number in 0..args.count {
            let data = (kind.change)(random.of(&kind.seeds), &mut random);
            let begun = Instant::now();
            match outcome(kind, &folder, &data)? {
                Ok(2) => refused += 1,
                Ok(_) => taken += 1,
                Err(what) => {
                    let kept = std::env::temp_dir().join(format!("mutated-{number}-{}", kind.file));
                    std::fs::write(&kept, &data)?;
                    fail(&format!("{what}; the file is {}", kept.display()));
                }
            }
            slowest = slowest.max(begun.elapsed());
        }
        if taken < refused {
            fail("most are refused: the mistakes are too many");
        }
        println!(
            "{:11} {:6} {taken:6} {refused:8} {:12} {:8.1}",
            kind.name,
            args.count,
            slowest.as_millis(),
            started.elapsed().as_secs_f64()
        );
    }
    Ok(failures)
}

/// Gives one file to the emulator.
fn outcome(kind: &Kind, folder: &Folder, data: &[u8]) -> std::io::Result<Outcome> {
    let mut command = emulator()?;
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.args(&kind.options.0);
    if kind.packets {
        return packets::outcome(command.args(&kind.options.1), data);
    }
    let path = folder.file(kind.file, data)?;
    let mut child = command.arg(path).args(&kind.options.1).spawn()?;
    let told = Told::by(&mut child);
    if kind.endless && wait_for(&mut child, PATIENCE)?.is_none() {
        return Ok(told.judge(ended(&mut child)?, false));
    }
    Ok(told.judge(at_limit(&mut child)?, false))
}

/// The status of a run that comes to its end by itself.
fn at_limit(child: &mut Child) -> std::io::Result<Result<Option<i32>, String>> {
    let end = end_within(child, LIMIT)?;
    Ok(end.map(|(status, _)| status.code()).ok_or_else(|| format!("no end after {} s", LIMIT.as_secs())))
}

/// Ends a run by SIGTERM; its status.
fn ended(child: &mut Child) -> std::io::Result<Result<Option<i32>, String>> {
    signal(child, "TERM")?;
    let end = end_within(child, END)?;
    Ok(end.map(|(status, _)| status.code()).ok_or_else(|| format!("no end {} s after SIGTERM", END.as_secs())))
}

/// What a run tells on standard error.
struct Told(std::thread::JoinHandle<String>);

impl Told {
    fn by(child: &mut Child) -> Self {
        Self::from(child.stderr.take())
    }

    fn from(errors: Option<impl Read + Send + 'static>) -> Self {
        Self(std::thread::spawn(move || {
            let mut text = Vec::new();
            // It ends with the process; what is not whole is enough.
            let _ = errors.map(|errors| errors.take(1 << 20).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        }))
    }

    /// What the end is worth; with `by_signal`, a signal may be the end.
    fn judge(self, status: Result<Option<i32>, String>, by_signal: bool) -> Outcome {
        let text = self.0.join().unwrap_or_default();
        let panic = text.lines().find(|line| line.contains("panicked at"));
        match (status, panic) {
            (_, Some(panic)) => Err(panic.to_owned()),
            (Ok(Some(code)), None) => Ok(code),
            (Ok(None), None) if by_signal => Ok(0),
            (Ok(None), None) => Err("ended by a signal".to_owned()),
            (Err(what), None) => Err(what),
        }
    }
}
