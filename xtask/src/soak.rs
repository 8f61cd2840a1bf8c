//! `cargo xtask soak`: hostile guests in turn, each with outputs that nobody takes or input without end. It fails when the
//! emulator's memory grows beyond its bounds, an end comes late, or two runs of one guest differ.

use crate::child::{self, Folder, emulator, end_within, resident, signal};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use test_images::{HOSTILE, HostileGuest};

/// Guest memory, MiB.
const MEMORY: u64 = 64;
/// What the emulator may have beside it, MiB (`docs/limits.md`).
const BESIDE: u64 = 512;
/// How soon a run ends after the first SIGTERM.
const END: Duration = Duration::from_secs(1);

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Seed of what happens when
    #[arg(long, default_value_t = 1)]
    seed: u64,
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

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    child::status("soak", soak(args))
}

fn soak(args: &Args) -> std::io::Result<u32> {
    let folder = Folder::new("soak")?;
    let mut random = SplitMix64::seed_from_u64(args.seed);
    let (started, mut failures, mut most, mut latest) = (Instant::now(), 0, 0, Duration::ZERO);
    let mut order = HOSTILE.iter().cycle();
    println!("{:>7} {:14} {:9} {:>8} {:>9}", "second", "guest", "streams", "MiB", "end, ms");
    while started.elapsed().as_secs_f64() < args.minutes * 60.0 {
        let Some(guest) = order.next() else { break };
        let rom = folder.file(&format!("{}.rom", guest.name), guest.rom)?;
        let command = || -> std::io::Result<Command> {
            let mut command = emulator()?;
            command.args(["--headless", "--stats", "--memory", &MEMORY.to_string(), "--cpus", &guest.cpus.to_string()]);
            command.args(guest.options).arg("--rom").arg(&rom).stderr(Stdio::null());
            Ok(command)
        };
        let streams = [Streams::Dropped, Streams::Blocked, Streams::Flooded][random.next_u64() as usize % 3];
        let lasts = Duration::from_millis(500 + random.next_u64() % 7500);
        let (resident, end) = terminate(&mut command()?, streams, lasts)?;
        most = most.max(resident);
        let told = match &end {
            End::In(time) => {
                latest = latest.max(*time);
                time.as_millis().to_string()
            }
            End::Never => "late".to_owned(),
            End::ByItself(_) => "early".to_owned(),
        };
        println!(
            "{:7.1} {:14} {:9} {resident:8} {told:>9}",
            started.elapsed().as_secs_f64(),
            guest.name,
            format!("{streams:?}").to_lowercase()
        );
        let mut fail = |what: &str| {
            eprintln!("soak: {}: {what}", guest.name);
            failures += 1;
        };
        if resident > MEMORY + BESIDE {
            fail("the memory has grown beyond its bound");
        }
        match end {
            End::In(time) if time <= END => {}
            End::In(_) | End::Never => fail("the end has come late"),
            End::ByItself(status) => fail(&format!("it has ended by itself: {status}")),
        }
        let instructions = 1000 + random.next_u64() % 100_000;
        let hash = |command: &mut Command| state(command, guest, instructions);
        let (one, other) = (hash(&mut command()?)?, hash(&mut command()?)?);
        if one.is_none() || one != other {
            fail(&format!("{instructions} instructions lead to states {one:?} and {other:?}"));
        }
    }
    println!("most memory {most} MiB, latest end {} ms, {failures} failures", latest.as_millis());
    Ok(failures)
}

/// How a run has ended.
enum End {
    /// So soon after SIGTERM.
    In(Duration),
    /// It had to be killed.
    Never,
    /// Before it was told to: none of these guests ends.
    ByItself(ExitStatus),
}

/// Runs for some time and ends by SIGTERM: the most memory in MiB, and the end.
fn terminate(command: &mut Command, streams: Streams, lasts: Duration) -> std::io::Result<(u64, End)> {
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
    let mut child: Child = command.spawn()?;
    let (started, mut most) = (Instant::now(), 0);
    while started.elapsed() < lasts {
        if let Some(status) = child.try_wait()? {
            return Ok((most, End::ByItself(status)));
        }
        most = most.max(resident(&child));
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(&child, "TERM")?;
    let end = end_within(&mut child, 20 * END)?;
    Ok((most, end.map_or(End::Never, |(_, time)| End::In(time))))
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
