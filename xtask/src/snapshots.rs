//! `cargo xtask snapshots`: a run cut by snapshots at many random cycles against the same run in one go.

use crate::machine::Recipe;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rvmx_emu::machine::{Machine, RunResult};
use std::time::{Duration, Instant};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Snapshots to take
    #[arg(long, default_value_t = 100)]
    points: u64,
    /// Guest seconds to run
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Start of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The machine, as rvmx-emu's command line has it
    #[arg(last = true, required = true)]
    machine: Vec<String>,
}

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    match compare(args) {
        Ok(report) => {
            println!("{report}");
            0
        }
        Err(problem) => {
            eprintln!("cargo xtask snapshots: {problem}");
            1
        }
    }
}

fn result(machine: &dyn Machine) -> (u64, u64, u64) {
    (machine.now(), machine.instructions(), machine.state_hash())
}

fn compare(args: &Args) -> Result<String, String> {
    let recipe = Recipe::of(&args.machine)?;
    let mut whole = recipe.build()?;
    let end = (args.seconds * whole.hz() as f64) as u64;
    let ended = whole.run_until(end);
    let expected = result(&whole);
    let last = if ended == RunResult::Limit { end } else { expected.0 };
    let mut random = SplitMix64::seed_from_u64(args.seed);
    let mut cycles: Vec<u64> = (0..args.points).map(|_| random.next_u64() % last.max(1)).collect();
    cycles.sort_unstable();
    let mut cut = recipe.build()?;
    let (mut saving, mut restoring) = (Vec::new(), Vec::new());
    let mut largest = 0;
    for (n, &cycle) in cycles.iter().enumerate() {
        let exit = cut.run_until(cycle);
        if exit != RunResult::Limit {
            return Err(format!("snapshot {n} at cycle {cycle}: the run has ended before it: {exit:?}"));
        }
        let start = Instant::now();
        let snapshot = cut.snapshot()?;
        saving.push(start.elapsed());
        largest = largest.max(snapshot.len());
        let mut other = recipe.build()?;
        let start = Instant::now();
        other.restore(&snapshot)?;
        restoring.push(start.elapsed());
        if result(&other) != result(&cut) {
            return Err(format!("snapshot {n} at cycle {cycle}: the restored machine differs from the one saved"));
        }
        // Every other time the machine that was saved goes on.
        if n % 2 == 0 {
            cut = other;
        }
    }
    let found = (cut.run_until(end), result(&cut));
    if found != (ended.clone(), expected) {
        return Err(format!(
            "the run in pieces ended with {found:x?}, the one in one go with {:x?}",
            (ended, expected)
        ));
    }
    Ok(format!(
        "{} snapshots in {last} cycles: {} instructions, state hash {:016x} with and without; at most {} KiB, \
         {:.1?} to take, {:.1?} to restore",
        cycles.len(),
        expected.1,
        expected.2,
        largest >> 10,
        longest(&saving),
        longest(&restoring),
    ))
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}
