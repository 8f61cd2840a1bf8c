//! `cargo xtask recordings`: runs with random keys, text and mouse movements at random times, recorded, each against its
//! replay.

use crate::machine::Recipe;
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rvmx_emu::config::Stream;
use rvmx_emu::display::Headless;
use rvmx_emu::machine::Machine;
use rvmx_emu::output::Sink;
use rvmx_emu::recording::{Final, Recorder, Recording, describe};
use rvmx_emu::run::{Driver, End, Limits};
use std::path::Path;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs to record and replay
    #[arg(long, default_value_t = 50)]
    runs: u64,
    /// Guest seconds of each
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Start of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Record every other run compiled, what has run N times, and replay it interpreted, and the rest the other way round
    /// [default: as --jit and --no-jit of the machine say]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jit: Option<u32>,
    /// The machine, as rvmx-emu's command line has it
    #[arg(last = true, required = true)]
    machine: Vec<String>,
}

/// What menus, command lines and the book's examples answer to.
const KEYS: [&str; 16] =
    ["1", "2", "a", "s", "t", "F1", "F2", "F3", "F4", "Up", "Down", "PgUp", "PgDn", "Enter", "Space", "LeftCtrl+c"];

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    match check(args) {
        Ok(report) => {
            println!("{report}");
            0
        }
        Err(problem) => {
            eprintln!("cargo xtask recordings: {problem}");
            1
        }
    }
}

fn check(args: &Args) -> Result<String, String> {
    let mut recipe = Recipe::of(&args.machine)?;
    let path =
        std::env::temp_dir().join(format!("rvmx-emu-recordings-{}-{}.rec", std::process::id(), args.jit.unwrap_or(0)));
    let (mut events, mut instructions) = (0, 0);
    for n in 0..args.runs {
        let seed = args.seed.wrapping_add(n);
        if args.jit.is_some() {
            recipe.config.jit = args.jit.filter(|_| n % 2 == 0);
        }
        let (input, end) =
            record(&recipe, &path, seed, args.seconds).map_err(|problem| format!("run {n}: {problem}"))?;
        if args.jit.is_some() {
            recipe.config.jit = args.jit.filter(|_| n % 2 == 1);
        }
        replay(&recipe, &path, seed)
            .map_err(|problem| format!("run {n} (--seed {seed} --runs 1): {problem}; see {}", path.display()))?;
        events += input;
        instructions += end;
    }
    std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!(
        "{} recordings with {events} inputs in {instructions} instructions, all replayed to the same end",
        args.runs
    ))
}

fn driver(machine: &mut dyn Machine) -> Result<Driver<'_>, String> {
    let sink = |name| Sink::open(name, &Stream::None, false).map_err(|error| error.to_string());
    Ok(Driver::new(
        machine,
        Box::new(Headless),
        sink("serial output")?,
        sink("debug output")?,
        Limits::default(),
        false,
    ))
}

/// Records a run; how often something was done to it, and its instructions.
fn record(recipe: &Recipe, path: &Path, seed: u64, seconds: f64) -> Result<(u64, u64), String> {
    let text = |error: rvmx_emu::error::InputError| error.to_string();
    let description = describe(&recipe.config, recipe.kernel.as_ref(), None).map_err(text)?;
    let mut machine = recipe.build()?;
    let last = (seconds * machine.hz() as f64) as u64;
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut driver = driver(&mut machine)?;
    driver.set_recorder(Recorder::create(path, description).map_err(text)?);
    let mut inputs = 0;
    while driver.end().is_none() && driver.machine.now() < last {
        let pause = random.next_u64() % (last / 8).max(1);
        driver.advance((driver.machine.now() + pause).min(last));
        inputs += 1;
        let number = random.next_u64();
        match number % 8 {
            0 => driver.send_serial(format!("{number:x}\r\n").as_bytes()),
            1 => {
                let (dx, dy) = ((number >> 8) as i32 % 200, (number >> 40) as i32 % 200);
                driver.inject(
                    driver.machine.now(),
                    InputEvent::Mouse { dx, dy, dz: 0, buttons: (number >> 60) as u8 & 7 },
                );
            }
            _ => {
                let name = KEYS[(number >> 8) as usize % KEYS.len()];
                driver.type_keys(&Key::combination(name).map_err(|part| format!("{part:?} is no key"))?);
            }
        }
    }
    let end = driver.end().cloned();
    let end = driver.settle(end);
    driver.finish().map_err(text)?;
    let recorder = driver.take_recorder().ok_or("the recording is gone")?;
    drop(driver);
    recorder.finish(Final::of(&machine, end.as_ref())).map_err(text)?;
    Ok((inputs, machine.instructions()))
}

/// Replays a recording, in other pieces than it was made in.
fn replay(recipe: &Recipe, path: &Path, seed: u64) -> Result<(), String> {
    let text = |error: rvmx_emu::error::InputError| error.to_string();
    let recording = Recording::read(path).map_err(text)?;
    let here = describe(&recipe.config, recipe.kernel.as_ref(), None).map_err(text)?;
    recording.check(path, &here).map_err(text)?;
    let mut machine = recipe.build()?;
    let mut random = SplitMix64::seed_from_u64(!seed);
    let mut driver = driver(&mut machine)?;
    driver.set_replay(recording.replay()).map_err(text)?;
    while driver.end().is_none() {
        let most = 1 << (random.next_u64() % 24);
        driver.advance(driver.machine.now() + 1 + random.next_u64() % most);
    }
    let end = driver.end().cloned();
    drop(driver);
    if let Some(End::Failed(error)) = &end {
        return Err(error.to_string());
    }
    let recorded = recording.end().ok_or("the recording has no end")?;
    Final::of(&machine, end.as_ref()).difference(recorded).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(jit: Option<u32>) -> Result<String, String> {
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/demo.img");
        let machine = vec![image.to_owned(), "--cpus".to_owned(), "2".to_owned()];
        check(&Args { runs: 2, seconds: 0.7, seed: 9, jit, machine })
    }

    #[test]
    fn recordings_of_a_guest_that_reads_keys_are_replayed_to_the_same_end() {
        let report = report(None);
        assert!(report.as_ref().is_ok_and(|text| text.starts_with("2 recordings")), "{report:?}");
    }

    #[test]
    fn recordings_of_one_tier_are_replayed_to_the_same_end_in_the_other() {
        let report = report(Some(1));
        assert!(report.as_ref().is_ok_and(|text| text.starts_with("2 recordings")), "{report:?}");
    }
}
