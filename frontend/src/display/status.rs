//! What the line at the bottom tells of a run: its speed, its processors, drives and VM exits, and why it stands still.

use emu_devices::disk::DrivePlace;
use std::time::Duration;

/// How often speeds are measured.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a drive's light stays on.
const LIGHT: Duration = Duration::from_millis(150);
/// How long a message is shown.
const MESSAGE: Duration = Duration::from_secs(6);
/// Processors that are shown one by one.
const SHOWN: usize = 16;

/// Where a processor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmxMode {
    /// Outside VMX operation.
    Off,
    /// VMX root operation.
    Root,
    /// VMX non-root operation.
    NonRoot,
}

/// What a display's status line needs to know of a machine. Looking changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Each processor.
    pub processors: Vec<VmxMode>,
    /// VM exits so far.
    pub exits: u64,
    /// Each drive with its name, and how often its medium was read or written so far.
    pub drives: Vec<(&'static str, u64)>,
    /// The drives whose media can be changed.
    pub removable: Vec<DrivePlace>,
}

/// A machine's counts at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Instructions of all processors.
    pub instructions: u64,
    /// The clock, in cycles.
    pub cycle: u64,
    /// Cycles a guest second.
    pub hz: u64,
    /// The rest.
    pub glance: Glance,
}

/// Whether the guest runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Running {
    /// It does.
    #[default]
    Yes,
    /// The user has stopped it.
    Paused,
    /// It has stopped by itself; why and where.
    Ended(String),
}

/// What the status line says.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Whether the guest runs.
    pub running: Running,
    /// It keeps to the host's clock.
    pub realtime: bool,
    /// Million instructions a second of the host's.
    pub mips: f64,
    /// Guest seconds a second of the host's.
    pub speed: f64,
    /// VM exits a second of the host's.
    pub exits: f64,
    /// Drives with their lights.
    pub drives: Vec<(&'static str, bool)>,
    /// The processors.
    pub processors: Vec<VmxMode>,
    /// The drives whose media can be changed.
    pub removable: Vec<DrivePlace>,
    /// What the user is to know now.
    pub message: Option<String>,
}

impl Status {
    /// One line, the most important first.
    pub fn line(&self) -> String {
        let state = match &self.running {
            Running::Yes => {
                let free = if self.realtime { "" } else { ", unpaced" };
                format!("{:.1} MIPS  {:.0}%{free}", self.mips, self.speed * 100.0)
            }
            Running::Paused => "PAUSED".to_owned(),
            Running::Ended(why) => why.clone(),
        };
        let mut parts = vec![self.message.clone().unwrap_or_default(), state];
        // Why a guest stands still is not to be pushed out.
        if matches!(self.running, Running::Ended(_)) {
            parts.swap(0, 1);
        }
        parts.push(self.processors());
        if self.exits > 0.0 || self.processors.iter().any(|mode| *mode != VmxMode::Off) {
            parts.push(format!("{:.0} exits/s", self.exits));
        }
        let lights: Vec<String> =
            self.drives.iter().map(|(name, on)| if *on { format!("[{name}]") } else { format!(" {name} ") }).collect();
        parts.push(lights.concat());
        parts.retain(|part| !part.is_empty());
        parts.join("  ")
    }

    /// The number of processors, and in VMX operation which of them are VMMs and which run guests.
    fn processors(&self) -> String {
        let count = self.processors.len();
        let all = format!("{count} CPU{}", if count == 1 { "" } else { "s" });
        if self.processors.iter().all(|mode| *mode == VmxMode::Off) {
            return all;
        }
        if count > SHOWN {
            let those = |wanted| self.processors.iter().filter(|mode| **mode == wanted).count();
            return format!("{all}: {} root, {} non-root", those(VmxMode::Root), those(VmxMode::NonRoot));
        }
        let letter = |mode: &VmxMode| match mode {
            VmxMode::Off => "-",
            VmxMode::Root => "root",
            VmxMode::NonRoot => "GUEST",
        };
        format!("{all}: {}", self.processors.iter().map(letter).collect::<Vec<_>>().join(" "))
    }
}

/// Makes a [`Status`] of what a machine has counted.
#[derive(Debug, Default)]
pub struct Meter {
    /// The last measurement.
    last: Option<(Duration, Sample)>,
    /// Each drive's count, and when it changed last.
    lights: Vec<(u64, Option<Duration>)>,
    message: Option<(Duration, String)>,
    status: Status,
}

impl Meter {
    /// Shows a message for a while; `now` is the host's clock.
    pub fn tell(&mut self, now: Duration, message: String) {
        self.message = Some((now, message));
    }

    /// Speeds begin anew: the machine's counts have jumped.
    pub fn restart(&mut self) {
        self.last = None;
        self.lights.clear();
    }

    /// What there is to say `now`, by the host's clock.
    pub fn status(&mut self, now: Duration, sample: Sample, running: Running, realtime: bool) -> &Status {
        self.status.processors.clone_from(&sample.glance.processors);
        self.status.removable.clone_from(&sample.glance.removable);
        self.status.drives = self.lights(now, &sample.glance);
        self.message.take_if(|(since, _)| now.saturating_sub(*since) > MESSAGE);
        self.status.message = self.message.as_ref().map(|(_, text)| text.clone());
        (self.status.running, self.status.realtime) = (running, realtime);
        let Some((then, before)) = &self.last else {
            self.last = Some((now, sample));
            return &self.status;
        };
        let passed = now.saturating_sub(*then);
        if passed >= PERIOD {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed.as_secs_f64();
            self.status.mips = rate(sample.instructions, before.instructions) / 1e6;
            self.status.speed = rate(sample.cycle, before.cycle) / sample.hz.max(1) as f64;
            self.status.exits = rate(sample.glance.exits, before.glance.exits);
            self.last = Some((now, sample));
        }
        &self.status
    }

    fn lights(&mut self, now: Duration, glance: &Glance) -> Vec<(&'static str, bool)> {
        let known = self.lights.len() == glance.drives.len();
        if !known {
            self.lights = glance.drives.iter().map(|(_, count)| (*count, None)).collect();
        }
        let lit = |((name, count), (before, since)): (&(&'static str, u64), &mut (u64, Option<Duration>))| {
            if *count != *before {
                (*before, *since) = (*count, Some(now));
            }
            (*name, since.is_some_and(|since| now.saturating_sub(since) < LIGHT))
        };
        glance.drives.iter().zip(&mut self.lights).map(lit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, exits: u64, reads: u64) -> Sample {
        let cycle = (seconds * 50e6) as u64;
        let processors = vec![VmxMode::Root, VmxMode::NonRoot];
        let glance = Glance { processors, exits, drives: vec![("A:", 0), ("hda", reads)], removable: Vec::new() };
        Sample { instructions: cycle / 2, cycle, hz: 50_000_000, glance }
    }

    #[test]
    fn status_line_tells_speeds_processors_exits_and_lights() {
        let mut meter = Meter::default();
        let ms = Duration::from_millis;
        meter.status(ms(0), sample(0.0, 0, 0), Running::Yes, true);
        let line = meter.status(ms(1000), sample(0.5, 300, 7), Running::Yes, true).line();
        assert_eq!(line, "12.5 MIPS  50%  2 CPUs: root GUEST  300 exits/s   A: [hda]");
        // Between two measurements speeds stay, and lights go out.
        let line = meter.status(ms(1200), sample(0.7, 400, 7), Running::Yes, false).line();
        assert_eq!(line, "12.5 MIPS  50%, unpaced  2 CPUs: root GUEST  300 exits/s   A:  hda ");
    }

    #[test]
    fn machine_that_stands_still_says_why() {
        let mut meter = Meter::default();
        let line = meter.status(Duration::ZERO, Sample::default(), Running::Paused, true).line();
        assert_eq!(line, "PAUSED  0 CPUs");
        let ended = Running::Ended("DEAD: triple fault".to_owned());
        assert!(meter.status(Duration::ZERO, Sample::default(), ended, true).line().starts_with("DEAD: triple fault"));
    }

    #[test]
    fn messages_come_first_and_go() {
        let mut meter = Meter::default();
        meter.tell(Duration::ZERO, "saved a.snap".to_owned());
        let at = |meter: &mut Meter, s| {
            meter.status(Duration::from_secs(s), Sample::default(), Running::Paused, true).line()
        };
        assert_eq!(at(&mut meter, 1), "saved a.snap  PAUSED  0 CPUs");
        assert_eq!(at(&mut meter, 10), "PAUSED  0 CPUs");
    }

    #[test]
    fn many_processors_are_counted() {
        let processors = vec![VmxMode::NonRoot; 20];
        let status = Status { processors, ..Status::default() };
        assert_eq!(status.processors(), "20 CPUs: 0 root, 20 non-root");
    }
}
