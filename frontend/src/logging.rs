//! `--log`: the log of all crates on standard error or in a file, by level and part.

use crate::background::BackgroundFile;
use crate::error::{InputError, did_you_mean};
use crate::output;
use emu_vmx::dump::names::shown;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The parts of the program by name, with the log targets (module paths) that belong to each. The longest
/// matching target decides; a record may also name its part directly as its target.
pub const PARTS: &[(&str, &[&str])] = &[
    ("vmx", &["emu_vmx", "emu_core::vmx", "emu_core::exec::vmx"]),
    ("apic", &["emu_core::lapic", "emu_devices::ioapic"]),
    ("cpu", &["emu_core"]),
    ("memory", &["emu_core::mem"]),
    ("bios", &["firmware"]),
    ("pic", &["emu_devices::pic"]),
    ("pit", &["emu_devices::pit"]),
    ("keyboard", &["emu_devices::keyboard"]),
    ("rtc", &["emu_devices::rtc", "emu_devices::cmos"]),
    ("hpet", &["emu_devices::hpet"]),
    ("pci", &["emu_devices::pci"]),
    ("power", &["emu_devices::power", "emu_devices::acpi", "emu_devices::pm"]),
    ("serial", &["emu_devices::serial", "emu_devices::uart"]),
    ("debug", &["emu_devices::debug"]),
    ("disk", &["emu_devices::ata", "emu_devices::disk", "emu_devices::cdrom"]),
    ("floppy", &["emu_devices::floppy"]),
    ("dma", &["emu_devices::dma"]),
    ("vga", &["emu_devices::vga"]),
    ("testdev", &["emu_devices::testdev", "emu_devices::pc_testdev", "emu_devices::pci_testdev"]),
    ("board", &["emu_devices"]),
    ("config", &["rvmx_emu::config"]),
    ("script", &["rvmx_emu::script"]),
    ("front", &["rvmx_emu"]),
];

/// The part that a log target belongs to.
pub fn part_of(target: &str) -> &'static str {
    let within = |prefix: &str| {
        target
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || rest.starts_with('_'))
    };
    let direct = PARTS.iter().find(|(part, _)| *part == target).map(|(part, _)| *part);
    let longest = || {
        let all =
            PARTS.iter().flat_map(|(part, prefixes)| prefixes.iter().map(move |prefix| (prefix.len(), *part, *prefix)));
        all.filter(|(.., prefix)| within(prefix)).max_by_key(|(length, ..)| *length).map(|(_, part, _)| part)
    };
    direct.or_else(longest).unwrap_or("front")
}

/// `LEVEL[,part=LEVEL]...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    default: LevelFilter,
    parts: Vec<(&'static str, LevelFilter)>,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { default: LevelFilter::Warn, parts: Vec::new() }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = |text: &str| -> Result<LevelFilter, String> {
            let found = LevelFilter::from_str(text.trim()).ok();
            let levels = ["off", "error", "warn", "info", "debug", "trace"];
            let near = || did_you_mean(text, levels.into_iter());
            found.ok_or_else(|| format!("{:?} is no level; give {}{}", shown(text), levels.join(", "), near()))
        };
        let mut filter = Self::default();
        for item in text.split(',') {
            let Some((name, wanted)) = item.split_once('=') else {
                filter.default = level(item)?;
                continue;
            };
            let known = PARTS.iter().find(|(part, _)| *part == name.trim()).map(|(part, _)| *part);
            let part = known.ok_or_else(|| {
                let all: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
                let near = did_you_mean(name, all.iter().copied());
                format!("{:?} is no part; give one of {}{near}", shown(name), all.join(", "))
            })?;
            filter.parts.push((part, level(wanted)?));
        }
        Ok(filter)
    }
}

impl LogFilter {
    /// What the debugger says itself when it is asked is not logged, too.
    pub fn of_debugger() -> Self {
        Self { parts: vec![("vmx", LevelFilter::Error)], ..Self::default() }
    }

    /// The level for a part; the last that was given for it counts.
    pub fn level_of(&self, part: &str) -> LevelFilter {
        self.parts.iter().rev().find(|(name, _)| *name == part).map_or(self.default, |(_, level)| *level)
    }

    /// The most that any part logs.
    pub fn most(&self) -> LevelFilter {
        self.parts.iter().map(|(_, level)| *level).max().map_or(self.default, |most| most.max(self.default))
    }
}

/// Where log lines go.
enum Target {
    Stderr,
    File(BackgroundFile),
    /// Held back while the terminal shows the guest's screen; the oldest lines go first when there are too many.
    Held(VecDeque<String>),
}

/// The process's logger: what the `log` crate asks for is one shared sink behind a lock.
struct Logger {
    filter: LogFilter,
    lines: Mutex<Lines>,
}

/// What was logged, and where to.
struct Lines {
    target: Target,
    /// Errors and warnings by part.
    counts: BTreeMap<&'static str, u32>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

const MAX_HELD_LINES: usize = 1_000;
/// Most errors and warnings of one part: a guest can cause any number. Lines of the levels below are what a user asked for.
const MAX_WARNINGS: u32 = 10_000;

impl Lines {
    fn write(&mut self, line: String) {
        match &mut self.target {
            Target::Stderr => output::tell(&line),
            Target::File(file) => file.write(line.as_bytes()),
            Target::Held(lines) => {
                if lines.len() == MAX_HELD_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        }
    }

    /// Whether a line of a part is one too many; the last one says so.
    fn is_too_much(&mut self, level: Level, part: &'static str) -> bool {
        if level > Level::Warn {
            return false;
        }
        let count = self.counts.entry(part).or_insert(0);
        *count = count.saturating_add(1);
        if *count == MAX_WARNINGS {
            let text = format!("these were {} errors and warnings; no more are logged", MAX_WARNINGS - 1);
            self.write(line(level, part, &text));
        }
        self.counts.get(part).is_some_and(|count| *count >= MAX_WARNINGS)
    }
}

impl Logger {
    /// A poisoned lock still holds a good target.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes out what is held back or buffered; what has become of the log file.
    fn finish(&self) -> Result<(), InputError> {
        match &mut self.lines().target {
            Target::Stderr => {}
            Target::File(file) => return file.finish(),
            Target::Held(lines) => lines.drain(..).for_each(|line| output::tell(&line)),
        }
        Ok(())
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= self.filter.level_of(part_of(metadata.target()))
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let part = part_of(record.target());
        let mut lines = self.lines();
        if !lines.is_too_much(record.level(), part) {
            lines.write(line(record.level(), part, &record.args().to_string()));
        }
    }

    fn flush(&self) {
        // Who asks for it by `log` has nobody to tell.
        let _ = self.finish();
    }
}

/// One line of the log.
fn line(level: Level, part: &str, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{:5} {part}: {text}\n", level.as_str().to_lowercase())
}

/// Starts the log. `held` keeps lines for standard error until [`finish`], for a display that owns the terminal.
pub fn start(filter: LogFilter, file: Option<&Path>, held: bool) -> Result<(), InputError> {
    let target = match file {
        Some(path) => Target::File(BackgroundFile::create(path, "log")?),
        None if held => Target::Held(VecDeque::new()),
        None => Target::Stderr,
    };
    log::set_max_level(filter.most());
    // A second start (only tests do that) leaves the first logger in place.
    let logger = LOGGER.get_or_init(|| Logger { filter, lines: Mutex::new(Lines { target, counts: BTreeMap::new() }) });
    drop(log::set_logger(logger));
    Ok(())
}

/// Writes out what is held back or buffered. An error says what has become of the log file.
pub fn finish() -> Result<(), InputError> {
    LOGGER.get().map_or(Ok(()), Logger::finish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filter_takes_a_level_and_levels_of_parts() {
        let filter: LogFilter = "info,disk=trace,cpu=off".parse().unwrap();
        assert_eq!(filter.level_of("disk"), LevelFilter::Trace);
        assert_eq!(filter.level_of("cpu"), LevelFilter::Off);
        assert_eq!(filter.level_of("vga"), LevelFilter::Info);
        assert_eq!(filter.most(), LevelFilter::Trace);
        assert_eq!("vmx=debug".parse::<LogFilter>().unwrap().level_of("cpu"), LevelFilter::Warn);
    }

    #[test]
    fn log_filter_with_an_unknown_word_says_what_there_is() {
        assert!("loud".parse::<LogFilter>().unwrap_err().contains("error, warn"));
        assert!("wran".parse::<LogFilter>().unwrap_err().ends_with("did you mean warn?"));
        assert!("disc=info".parse::<LogFilter>().unwrap_err().contains("disk"));
    }

    #[test]
    fn log_target_belongs_to_the_part_of_its_longest_prefix() {
        for (target, part) in [
            ("emu_core::run", "cpu"),
            ("emu_core::lapic::timer", "apic"),
            ("emu_core::vmx", "vmx"),
            ("emu_devices::ata", "disk"),
            ("emu_devices::debug_ports", "debug"),
            ("emu_devices::pc", "board"),
            ("disk", "disk"),
            ("elsewhere", "front"),
        ] {
            assert_eq!(part_of(target), part, "{target}");
        }
    }

    #[test]
    fn log_line_stays_one_line() {
        assert_eq!(line(Level::Warn, "disk", "a\nb\x1b[2J"), "warn  disk: a b [2J\n");
    }
}
