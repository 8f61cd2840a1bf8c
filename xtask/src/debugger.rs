//! `cargo xtask debugger DIR`: the debugger on the examples of 《处理器虚拟化技术》. Stops at the first VM entry, steps through
//! its rules, finds who wrote a field, goes back a thousand instructions and on again, and measures what it costs.

use crate::machine::Recipe;
use rvmx_emu::debug;
use rvmx_emu::machine::Machine;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Cycles after which every session ends.
const LAST: u64 = 600_000_000;
/// The guest's clock.
const HZ: u64 = 50_000_000;
/// The longest that a step back may take, in a run of 10 guest seconds.
const STEP_BACK: Duration = Duration::from_secs(1);
/// The most that watching may cost.
const COST: f64 = 1.05;

/// The options of `cargo xtask debugger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with chap03, chap04 and chap07
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Instructions back and on again
    #[arg(long, value_name = "N", default_value_t = 1000)]
    steps: usize,
    /// Print the sessions
    #[arg(long)]
    show: bool,
}

/// Runs them all; the exit status.
pub fn main(args: &Args) -> i32 {
    type Check = fn(&Args) -> Result<String, String>;
    let checks: [(&str, Check); 5] = [
        ("first VM entry of ex3-1", first_entry),
        ("MTF exits of ex4-2", monitor_trap_flag),
        ("ex7-1 back and on again", back_and_on),
        ("one instruction back", one_back),
        ("what watching costs", cost),
    ];
    let mut status = 0;
    for (name, check) in checks {
        match check(args) {
            Ok(text) => println!("ok    {name}: {text}"),
            Err(problem) => {
                println!("FAIL  {name}: {problem}");
                status = 1;
            }
        }
    }
    status
}

fn recipe(folder: &Path, example: &str) -> Result<Recipe, String> {
    let image = folder.join(example).join("c.img");
    if !image.is_file() {
        return Err(format!("there is no {}; give the folder with chap01 to chap07", image.display()));
    }
    Recipe::of(&["--cpus".to_owned(), "4".to_owned(), "--hda".to_owned(), image.display().to_string()])
}

fn session(args: &Args, example: &str, commands: &[&str]) -> Result<String, String> {
    let machine = recipe(&args.folder, example)?.build()?;
    let text = debug::transcript_until(machine, commands, LAST).map_err(|error| error.to_string())?;
    if args.show {
        println!("{text}");
    }
    Ok(text)
}

fn demand(text: &str, parts: &[&str]) -> Result<(), String> {
    match parts.iter().find(|part| !text.contains(**part)) {
        Some(part) => Err(format!("{part:?} is not in\n{text}")),
        None => Ok(()),
    }
}

/// From the first VMLAUNCH of CPU1 through all rules to the guest's registers.
fn first_entry(args: &Args) -> Result<String, String> {
    let mut commands = vec!["b vmentry cpu 1", "sba 60000000", "key 1", "c", "vmentry"];
    commands.extend(std::iter::repeat_n("vmentry step", 500));
    commands.extend(["s", "r", "vmx"]);
    let text = session(args, "chap03/ex3-1", &commands)?;
    demand(
        &text,
        &[
            "breakpoint 1, VM entry on processor 1",
            "vmlaunch",
            "rules hold",
            "27.2.1.1 VM-Execution Control Fields",
            "27.3.1.2 Checks on Guest Segment Registers",
            "27.3.2.1 Loading Guest Control Registers, Debug Registers, and MSRs",
            "ok RIP",
            "the VM entry is complete; s executes it",
            "[1 guest] ",
        ],
    )?;
    let steps = steps(&text)?;
    // What the steps say of registers is what the guest begins with.
    let (_, guest) = text.rsplit_once("> r\n").ok_or("there are no registers")?;
    for name in ["RIP", "RSP", "RFLAGS"] {
        let (_, change) = steps.iter().rfind(|step| step.0 == name).ok_or_else(|| format!("{name} is not loaded"))?;
        let loaded = change.split(" -> ").last().unwrap_or_default();
        let loaded = loaded.split([',', ' ']).next().unwrap_or_default();
        let words: Vec<&str> = guest.split_whitespace().collect();
        let found = words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
        if found.is_none_or(|found| found.trim_start_matches('0') != loaded) {
            return Err(format!("{name} is loaded with {loaded}, and then it is {found:?}"));
        }
    }
    Ok(format!("{} steps, then the guest's registers", steps.len()))
}

/// What each `vmentry step` is about, and what it found or changed: all of them in order, and all of them well.
fn steps(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut lines = text.lines();
    let (mut list, mut total) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        let Some((n, all)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')?.0.split_once('/')) else {
            continue;
        };
        let (n, all) = (n.parse::<usize>().unwrap_or(0), all.parse().unwrap_or(0));
        let (what, change) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let what = what.strip_prefix("  ok ").ok_or_else(|| format!("{line}: {what}"))?;
        if n != list.len() + 1 || total != 0 && all != total {
            return Err(format!("{line} is step {}", list.len() + 1));
        }
        total = all;
        list.push((what.to_owned(), change.trim().to_owned()));
    }
    if list.len() == total && total > 0 { Ok(list) } else { Err(format!("{} of {total} steps", list.len())) }
}

/// The VM exits in order, and from the end the VMWRITE that set the flag.
fn monitor_trap_flag(args: &Args) -> Result<String, String> {
    let watch = "b vmwrite PrimaryProcessorControls if (value >> 27) & 1";
    let text = session(args, "chap04/ex4-2", &["sba 60000000", "key 1", "sba 120000000", "exits", watch, "rc", "u"])?;
    let exits: Vec<u64> = text
        .lines()
        .filter(|line| line.contains("37 Monitor trap flag"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect();
    if exits.len() < 10 || !exits.is_sorted() {
        return Err(format!("the VM exits are {exits:?}\n{text}"));
    }
    let (_, found) = text.rsplit_once("> rc\n").ok_or("there is no rc")?;
    let (_, written) = found
        .split_once(": VMWRITE of Primary processor-based VM-execution controls: 0x")
        .ok_or_else(|| format!("rc finds no VMWRITE in\n{found}"))?;
    let mut words = written.split_whitespace();
    let value = words.next().and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
    let (processor, cycle) = (words.next(), words.next().and_then(|word| word.parse::<u64>().ok()));
    let before = cycle.is_some_and(|cycle| exits.first().is_some_and(|first| cycle < *first));
    if value & 1 << 27 == 0 || processor != Some("[1]") || !before || !written.contains("vmwrite") {
        return Err(format!("rc finds another VMWRITE in\n{found}"));
    }
    Ok(format!("{} in order, and the VMWRITE that set the flag", exits.len()))
}

/// `rs` from the end, and `s` again: the same states.
fn back_and_on(args: &Args) -> Result<String, String> {
    let mut commands = vec!["sba 60000000", "key 1", "sba 150000000", "cpu 1", "s", "hash"];
    for step in ["rs", "s"] {
        commands.extend((0..args.steps).flat_map(|_| [step, "hash"]));
    }
    let started = Instant::now();
    let text = session(args, "chap07/ex7-1", &commands)?;
    let hashes: Vec<&str> =
        text.lines().filter(|line| line.len() == 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit())).collect();
    let steps = args.steps;
    if hashes.len() != 2 * steps + 1 {
        return Err(format!(
            "{} states of {}: {}",
            hashes.len(),
            2 * steps + 1,
            text.lines().last().unwrap_or_default()
        ));
    }
    let differing = (1..=steps).filter(|n| hashes[steps - n] != hashes[steps + n]).count();
    if differing != 0 {
        return Err(format!("{differing} of {steps} states differ"));
    }
    Ok(format!("{steps} instructions, all states the same, in {:.0} s", started.elapsed().as_secs_f64()))
}

/// One step back at the end of 10 guest seconds.
fn one_back(args: &Args) -> Result<String, String> {
    let commands = |back: &'static [&'static str]| {
        let mut all = vec!["sba 60000000", "key 1", "sba 500000000", "cpu 0"];
        all.extend(back);
        all
    };
    let time = |commands: &[&str]| {
        let started = Instant::now();
        session(args, "chap07/ex7-1", commands).map(|text| (started.elapsed(), text))
    };
    let (without, _) = time(&commands(&[]))?;
    let (with, text) = time(&commands(&["rs"; 10]))?;
    demand(&text, &["> rs\n[0] 4"])?;
    let each = with.saturating_sub(without) / 10;
    if each >= STEP_BACK {
        return Err(format!("{each:?}"));
    }
    Ok(format!("{each:?} each, behind {} guest seconds", 500_000_000 / HZ))
}

/// The time that this thread has had of a processor, where the host tells it: others on the host do not count.
fn worked(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// The same run without the debugger and with it, no breakpoint being met: the best of several. Both have the machine's
/// making and the hash of its state in their time.
fn cost(args: &Args) -> Result<String, String> {
    // Long enough that what a start costs does not count.
    const CYCLES: u64 = 2_000_000_000;
    let recipe = recipe(&args.folder, "chap07/ex7-1")?;
    let (mut plain, mut watched) = (Duration::MAX, Duration::MAX);
    let (command, hash) = (format!("sba {CYCLES}"), "hash");
    let began = Instant::now();
    for _ in 0..9 {
        let started = worked(began);
        let mut machine = recipe.build()?;
        machine.run_until(CYCLES);
        let state = machine.state_hash();
        drop(machine);
        plain = plain.min(worked(began) - started);
        let started = worked(began);
        let commands = ["b vmexit ignore 1000000000", command.as_str(), hash];
        let text =
            debug::transcript_until(recipe.build()?, &commands, CYCLES + LAST).map_err(|error| error.to_string())?;
        watched = watched.min(worked(began) - started);
        demand(&text, &[&format!("{state:016x}")])?;
    }
    let ratio = watched.as_secs_f64() / plain.as_secs_f64();
    let text = format!("{plain:?} without, {watched:?} with the debugger: {:+.1} %", 100.0 * (ratio - 1.0));
    if ratio <= COST { Ok(text) } else { Err(text) }
}
