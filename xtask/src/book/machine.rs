//! One example on one machine: boots it, presses its keys and compares what it shows.

use super::records::{Lists, frame};
use super::screens::{Step, compare};
use clap::Parser;
use emu_devices::keyboard::Key;
use rvmx_emu::cli::{self, Cli, Settings};
use rvmx_emu::config::sources::RealHost;
use rvmx_emu::config::{DisplayKind, Stream};
use rvmx_emu::display::Headless;
use rvmx_emu::error::InputError;
use rvmx_emu::machine::Machine;
use rvmx_emu::output::Sink;
use rvmx_emu::pc;
use rvmx_emu::run::{Driver, End, Limits};

/// A screen has settled when it has not changed for this long, in milliseconds of guest time.
const QUIET_MS: u64 = 500;
/// How long a screen may take to become what is expected.
const BOOT_MS: u64 = 30_000;
const KEY_MS: u64 = 10_000;
/// Between two looks at the screen.
const LOOK_MS: u64 = 10;

/// How an image went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every step shows what it must; the number of steps.
    Same(usize),
    /// The first step that does not.
    Different {
        /// Its number.
        step: usize,
        /// Its key.
        key: String,
        /// What is wrong.
        what: String,
        /// The screen then.
        screen: Vec<String>,
    },
}

/// Settings of a run from the options of `rvmx-emu`. Images are never written to.
pub fn settings(options: &[String]) -> Result<Settings, InputError> {
    let fixed = ["rvmx-emu", "--headless", "--snapshot"].map(str::to_owned);
    let cli = Cli::try_parse_from(fixed.iter().chain(options))
        .map_err(|error| InputError::new("options of the machine", error.to_string()))?;
    let (mut settings, _) = cli::settings(&RealHost, &cli.run)?;
    settings.machine.display = Some(DisplayKind::None);
    Ok(settings)
}

/// Runs the steps. `debug_output` gets what the guest's firmware writes to its debug port.
pub fn run(settings: &Settings, steps: &[Step], debug_output: &Stream) -> Result<Outcome, InputError> {
    let mut machine = pc::build(&settings.machine, None)?;
    let nowhere = Sink::open("serial output", &Stream::None, false)?;
    let debug = Sink::open("debug output", debug_output, false)?;
    let mut driver = Driver::new(&mut machine, Box::new(Headless), nowhere, debug, Limits::default(), false);
    let mut lists = Lists::default();
    for (n, step) in steps.iter().enumerate() {
        let key = step.key.as_ref().map_or_else(|| "boot".to_owned(), |(name, _)| name.clone());
        let mut what = run_step(&mut driver, step);
        if what.is_none() && step.list {
            lists.take(&step.lines, &screen_of(driver.machine));
            if !steps[n + 1..].iter().any(|later| later.list) {
                what = lists.compare();
            }
        }
        if let Some(what) = what {
            driver.finish()?;
            let screen = screen_of(driver.machine);
            return Ok(Outcome::Different { step: step.number, key, what, screen });
        }
    }
    driver.finish()?;
    Ok(Outcome::Same(steps.len()))
}

/// Presses the step's key and waits until the screen has settled as expected; else what is wrong with it.
fn run_step(driver: &mut Driver, step: &Step) -> Option<String> {
    let ms = |driver: &Driver, ms: u64| driver.machine.hz() / 1000 * ms;
    let before = screen_of(driver.machine);
    let mut limit = BOOT_MS;
    // A reset ends at the screen it began with, and any part of a list looks right by itself.
    let mut must_change = false;
    if let Some((name, times)) = &step.key {
        must_change = name == "Escape" || step.list;
        limit = if name == "Escape" { BOOT_MS } else { KEY_MS };
        let Ok(keys) = Key::combination(name) else { return Some(format!("{name} is no key")) };
        for _ in 0..*times {
            let released = driver.type_keys(&keys);
            driver.advance(released);
        }
    }
    let deadline = driver.machine.now() + ms(driver, limit);
    let (mut shown, mut since) = (screen_of(driver.machine), driver.machine.now());
    // A reset may have begun already.
    let mut changed = shown != before;
    loop {
        let now = driver.machine.now();
        let quiet = now - since >= ms(driver, QUIET_MS);
        let over = driver.end().is_some() || now >= deadline;
        if quiet || over {
            let difference = match step.list {
                true => {
                    let (lines, shown) = frame(&step.lines, &shown);
                    compare(&lines, &shown)
                }
                false => compare(&step.lines, &shown),
            };
            if difference.is_none() && (changed || !must_change) {
                return None;
            }
            if over {
                let what = difference.map_or_else(|| "the key changes nothing".to_owned(), |d| d.to_string());
                return Some(match driver.end() {
                    Some(End::Halted) => format!("every processor has halted for good: {what}"),
                    Some(End::Died(reason)) => format!("the guest died: {reason}: {what}"),
                    Some(end) => format!("the run ended ({end:?}): {what}"),
                    None => what,
                });
            }
        }
        let next = now + ms(driver, LOOK_MS);
        driver.advance(next);
        let screen = screen_of(driver.machine);
        if screen != shown {
            changed |= screen != before;
            (shown, since) = (screen, driver.machine.now());
        }
    }
}

fn screen_of(machine: &dyn Machine) -> Vec<String> {
    let screen = machine.text_screen().map(|screen| screen.lines()).unwrap_or_default();
    screen.into_iter().map(|line| line.trim_end().to_owned()).collect()
}
