//! `cargo xtask soak`: hostile guests in turn, each with outputs that nobody takes or input without end. It fails when the
//! emulator's memory grows beyond its bounds or does not stop growing, an end comes late, or two runs of one guest differ.

use crate::child::{self, Folder, emulator, end_within, resident, signal};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use test_images::{HOSTILE, HostileGuest};

/// Guest memory, MiB.
const MEMORY: u64 = 64;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);
/// A run of so long has come to all the memory that it needs in its first half.
const LONG: Duration = Duration::from_secs(10);
/// What a long run may still grow by, MiB: output that waits, and what the host rounds up.
const STILL: u64 = 16;
/// Points of a curve that is printed.
const POINTS: usize = 8;

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Seed of what happens when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the emulator may have beside the guest's memory, MiB
    #[arg(long, default_value_t = 256)]
    beside: u64,
    /// How soon a run ends after SIGTERM, ms
    #[arg(long, default_value_t = 1000)]
    end: u64,
}

/// What is done with the guest's streams.
#[derive(Debug, Clone, Copy)]
enum Streams {
    /// Output is dropped.
    Dropped,
    /// Standard output is a pipe that nobody reads.
    Blocked,
    /// COM1 gets zeros without end.
    Flooded,
}

/// How a run has ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// So soon after SIGTERM.
    In(Duration),
    /// It had to be killed.
    Never,
    /// Before it was told to: none of these guests ends.
    ByItself(ExitStatus),
}

/// What was seen of a guest.
#[derive(Debug)]
struct Seen {
    lasts: Duration,
    /// Resident memory, MiB, at equal distances.
    curve: Vec<u64>,
    end: End,
    /// How two runs of so many instructions have ended.
    instructions: u64,
    states: [Option<String>; 2],
}

impl Seen {
    fn most(&self) -> u64 {
        self.curve.iter().copied().max().unwrap_or(0)
    }

    /// The most of each part of the run.
    fn points(&self) -> Vec<u64> {
        let part = self.curve.len().div_ceil(POINTS).max(1);
        self.curve.chunks(part).map(|part| part.iter().copied().max().unwrap_or(0)).collect()
    }

    /// What is wrong.
    fn faults(&self, beside: u64, latest: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        if self.most() > MEMORY + beside {
            faults.push(format!("{} MiB, and {} are allowed", self.most(), MEMORY + beside));
        }
        let (first, second) = self.curve.split_at(self.curve.len() / 2);
        let (before, after) = (first.iter().max(), second.iter().max());
        if self.lasts >= LONG && after > before.map(|before| before + STILL).as_ref() {
            faults.push(format!("the memory does not stop growing: {:?} MiB", self.points()));
        }
        match self.end {
            End::In(time) if time <= latest => {}
            End::In(time) => faults.push(format!("the end has come after {} ms", time.as_millis())),
            End::Never => faults.push("no end".to_owned()),
            End::ByItself(status) => faults.push(format!("it has ended by itself: {status}")),
        }
        let [one, other] = &self.states;
        if one.is_none() || one != other {
            faults.push(format!("{} instructions lead to states {one:?} and {other:?}", self.instructions));
        }
        faults
    }
}

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    child::status("soak", soak(args))
}

fn soak(args: &Args) -> std::io::Result<u32> {
    let folder = Folder::new("soak")?;
    let mut random = SplitMix64::seed_from_u64(args.seed);
    let (started, mut failures, mut runs) = (Instant::now(), 0, 0);
    let (mut most, mut latest) = (0, Duration::ZERO);
    println!(
        "{:>7} {:13} {:7} {:>5} {:>7}  MiB, from the start to the end",
        "second", "guest", "streams", "lasts", "end, ms"
    );
    for guest in HOSTILE.iter().cycle() {
        if started.elapsed().as_secs_f64() >= args.minutes * 60.0 {
            break;
        }
        let (streams, seen) = visit(&folder, guest, &mut random)?;
        (runs, most) = (runs + 1, most.max(seen.most()));
        let told = match seen.end {
            End::In(time) => {
                latest = latest.max(time);
                time.as_millis().to_string()
            }
            End::Never => "never".to_owned(),
            End::ByItself(_) => "early".to_owned(),
        };
        println!(
            "{:7.1} {:13} {:7} {:5.1} {told:>7}  {}",
            started.elapsed().as_secs_f64(),
            guest.name,
            format!("{streams:?}").to_lowercase(),
            seen.lasts.as_secs_f64(),
            seen.points().iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
        );
        for fault in seen.faults(args.beside, Duration::from_millis(args.end)) {
            eprintln!("soak: {}: {fault}", guest.name);
            failures += 1;
        }
    }
    println!("{runs} runs, most memory {most} MiB, latest end {} ms, {failures} failures", latest.as_millis());
    Ok(failures)
}

/// One run that is ended by SIGTERM, and two to the same instruction.
fn visit(folder: &Folder, guest: &HostileGuest, random: &mut SplitMix64) -> std::io::Result<(Streams, Seen)> {
    let rom = folder.file(&format!("{}.rom", guest.name), guest.rom)?;
    let command = || -> std::io::Result<Command> {
        let mut command = emulator()?;
        command.args(["--headless", "--stats", "--memory", &MEMORY.to_string(), "--cpus", &guest.cpus.to_string()]);
        command.args(guest.options).arg("--rom").arg(&rom).stderr(Stdio::null());
        Ok(command)
    };
    let streams = [Streams::Dropped, Streams::Blocked, Streams::Flooded][random.next_u64() as usize % 3];
    // One in ten is long.
    let spread = if random.next_u64().is_multiple_of(10) { (10_000, 10_000) } else { (500, 6000) };
    let lasts = Duration::from_millis(spread.0 + random.next_u64() % spread.1);
    let (curve, end) = terminate(&mut command()?, streams, lasts)?;
    let instructions = 1000 + random.next_u64() % 100_000;
    let states = [state(&mut command()?, guest, instructions)?, state(&mut command()?, guest, instructions)?];
    Ok((streams, Seen { lasts, curve, end, instructions, states }))
}

/// Runs for some time and ends by SIGTERM: the memory, and the end.
fn terminate(command: &mut Command, streams: Streams, lasts: Duration) -> std::io::Result<(Vec<u64>, End)> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match streams {
        Streams::Dropped => {}
        Streams::Blocked => {
            command.stdout(Stdio::piped());
        }
        Streams::Flooded => {
            command.args(["--serial", "stdio"]).stdin(std::fs::File::open("/dev/zero")?);
        }
    }
    let mut child = command.spawn()?;
    let (started, mut curve) = (Instant::now(), Vec::new());
    while started.elapsed() < lasts {
        if let Some(status) = child.try_wait()? {
            return Ok((curve, End::ByItself(status)));
        }
        curve.push(resident(&child));
        std::thread::sleep(LOOK);
    }
    signal(&child, "TERM")?;
    let end = end_within(&mut child, Duration::from_secs(20))?;
    Ok((curve, end.map_or(End::Never, |(_, time)| End::In(time))))
}

/// The state's hash after so many instructions, or 8 million cycles: a repeated instruction is one.
fn state(command: &mut Command, guest: &HostileGuest, instructions: u64) -> std::io::Result<Option<String>> {
    let ips = guest.options.iter().skip_while(|option| **option != "--ips").nth(1);
    let ips = ips.and_then(|ips| ips.parse().ok()).unwrap_or(50e6);
    let time = format!("{:.9}", 8e6 / ips);
    command.args(["--max-instructions", &instructions.to_string(), "--max-time", &time, "--debugcon", "none"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let hash = text.split("\"state_hash\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(hash.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let states = [Some("1f".to_owned()), Some("1f".to_owned())];
        let curve = [vec![14; 10], vec![180; 190]].concat();
        Seen { lasts: LONG, curve, end: End::In(Duration::from_millis(40)), instructions: 5000, states }
    }

    fn fault(seen: &Seen) -> String {
        let faults = seen.faults(256, Duration::from_secs(1));
        assert!(faults.len() < 2, "{faults:?}");
        faults.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn run_within_its_bounds_has_no_fault() {
        assert_eq!(fault(&seen()), "");
        assert_eq!(seen().points(), [180; POINTS]);
        // A short one may still be about to take what it needs.
        let short = Seen { lasts: LONG / 2, curve: (0..200).collect(), ..seen() };
        assert_eq!(fault(&short), "");
    }

    #[test]
    fn memory_beyond_its_bound_or_without_one_is_a_fault() {
        let much = Seen { curve: vec![321; 20], ..seen() };
        assert_eq!(fault(&much), "321 MiB, and 320 are allowed");
        let growing = Seen { curve: (0..200).map(|n| 20 + n / 4).collect(), ..seen() };
        assert!(fault(&growing).starts_with("the memory does not stop growing: [26, 32"), "{}", fault(&growing));
    }

    #[test]
    fn late_end_and_other_state_are_faults() {
        let late = Seen { end: End::In(Duration::from_millis(1001)), ..seen() };
        assert_eq!(fault(&late), "the end has come after 1001 ms");
        assert_eq!(fault(&Seen { end: End::Never, ..seen() }), "no end");
        let differs = Seen { states: [Some("1f".to_owned()), Some("20".to_owned())], ..seen() };
        assert!(fault(&differs).starts_with("5000 instructions lead to states"));
        assert!(fault(&Seen { states: [None, None], ..seen() }).contains("None and None"));
    }
}
