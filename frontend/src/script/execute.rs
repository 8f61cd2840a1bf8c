//! Carries a script out on a machine.

use super::values::{Drive, Pattern, Text};
use super::{Script, Seconds, Step, expect};
use crate::error::{InputError, visible};
use crate::run::{Driver, End, SLICE_MS};
use crate::screen;
use crate::snapshot_file;
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use emu_devices::vga::TextScreen;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// How a script ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done.
    Passed,
    /// A step failed.
    Failed(Failure),
    /// The run ended for a reason that is not the script's: a limit, the user, the host.
    Ended(End),
}

impl Outcome {
    /// The exit status (docs: `--help`).
    pub fn status(&self) -> i32 {
        match self {
            Self::Passed => 0,
            Self::Failed(_) => 1,
            Self::Ended(end) => end.status(),
        }
    }

    /// Says in which turn of a repetition a step failed.
    fn in_turn(self, turn: u32, times: u32) -> Self {
        match self {
            Self::Failed(failure) => {
                let place = format!("{}, turn {turn} of {times}", failure.place);
                Self::Failed(Failure { place, ..failure })
            }
            outcome => outcome,
        }
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The script's file, with the line of the step.
    pub place: String,
    /// Its number, from 1.
    pub number: usize,
    /// Guest seconds since power-on.
    pub seconds: f64,
    /// The step as in the script.
    pub step: String,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, number, seconds, step, reason } = self;
        // Names and files of golden screens may hold anything.
        let (place, reason) = (visible(place, &[]), visible(reason, &['\n', '\t']));
        write!(f, "{place}: step {number} {step} at {seconds:.3} s: {reason}")
    }
}

/// Why a step did not go through.
enum Stop {
    Failed(String),
    Ended(End),
}

impl From<InputError> for Stop {
    fn from(error: InputError) -> Self {
        Self::Ended(End::Failed(error))
    }
}

/// Runs a script on a machine that has been powered on, or goes on with one that runs.
pub fn execute(script: &Script, driver: &mut Driver) -> Outcome {
    let start = driver.machine.now();
    let deadline = start.saturating_add(script.timeout.cycles(driver.machine.hz()));
    let mut executor = Executor { driver, timeout: script.timeout, deadline, off: false };
    executor.steps(script, &script.steps, 0).map_or_else(|outcome| outcome, |()| Outcome::Passed)
}

struct Executor<'d, 'm> {
    driver: &'d mut Driver<'m>,
    timeout: Seconds,
    /// The cycle at which the whole script has had its time.
    deadline: u64,
    /// `PowerOff` was done.
    off: bool,
}

impl Executor<'_, '_> {
    /// Carries steps of `script` out; `first` is the number of the first among [`Script::lines`].
    fn steps(&mut self, script: &Script, steps: &[Step], first: usize) -> Result<(), Outcome> {
        let mut number = first;
        for step in steps {
            if let Some(end) = self.driver.interrupted() {
                return Err(Outcome::Ended(end));
            }
            log::info!(target: "script", "step {} {step} at {:.3} s", number + 1, self.seconds_now());
            match step {
                Step::Repeat(times, inner) => {
                    for turn in 1..=times.0 {
                        self.steps(script, inner, number + 1).map_err(|outcome| outcome.in_turn(turn, times.0))?;
                    }
                }
                Step::Include(include) => match &include.script {
                    Some(included) => self.steps(included, &included.steps, 0)?,
                    None => return Err(self.failure(script, number, step, "the script was not read".to_owned())),
                },
                step => match self.step(step) {
                    Ok(()) => {}
                    Err(Stop::Ended(end)) => return Err(Outcome::Ended(end)),
                    Err(Stop::Failed(reason)) => return Err(self.failure(script, number, step, reason)),
                },
            }
            number += step.count();
        }
        Ok(())
    }

    fn failure(&self, script: &Script, number: usize, step: &Step, reason: String) -> Outcome {
        let line = script.lines.get(number).map_or(String::new(), |line| format!(":{line}"));
        Outcome::Failed(Failure {
            place: format!("{}{line}", script.file.display()),
            number: number + 1,
            seconds: self.seconds_now(),
            step: step.to_string(),
            reason,
        })
    }

    fn seconds_now(&self) -> f64 {
        self.driver.machine.now() as f64 / self.driver.machine.hz() as f64
    }

    fn screen(&self) -> Option<TextScreen> {
        self.driver.machine.text_screen()
    }

    /// Whether the text screen holds `text`; lines are joined by line feeds, their trailing blanks cut.
    fn shows(&self, text: &Text) -> bool {
        self.screen().is_some_and(|screen| screen::text(&screen).contains(&text.0))
    }

    fn matches(&self, pattern: &Pattern) -> bool {
        self.screen().is_some_and(|screen| pattern.regex.is_match(&screen::text(&screen)))
    }

    fn shows_line(&self, line: &str) -> bool {
        let line = line.trim_end();
        self.screen().is_some_and(|screen| screen.lines().iter().any(|shown| shown == line))
    }

    fn screen_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Some(screen) = self.screen() {
            screen.cells.iter().for_each(|cell| (cell.code, cell.attribute).hash(&mut hasher));
        }
        hasher.finish()
    }

    /// Runs until `done` holds, checking between slices. `Ok(false)` when `seconds` have passed without it.
    /// An end of the run that leaves `done` false fails the step.
    fn wait(&mut self, seconds: Seconds, mut done: impl FnMut(&mut Self) -> bool) -> Result<bool, Stop> {
        let hz = self.driver.machine.hz();
        let slice = (hz / 1000).max(1).saturating_mul(SLICE_MS);
        let until = self.driver.machine.now().saturating_add(seconds.cycles(hz));
        loop {
            if done(self) {
                return Ok(true);
            }
            self.check_running()?;
            let now = self.driver.machine.now();
            if now >= until {
                return Ok(false);
            }
            if now >= self.deadline {
                return Err(Stop::Failed(format!("the script's {} guest seconds are over", self.timeout)));
            }
            self.driver.advance(now.saturating_add(slice).min(until).min(self.deadline));
        }
    }

    /// Why no guest time can pass any more, if so.
    fn check_running(&self) -> Result<(), Stop> {
        if self.off {
            return Err(Stop::Failed("the machine was switched off by PowerOff".to_owned()));
        }
        let at = self.seconds_now();
        match self.driver.end() {
            None => Ok(()),
            Some(End::PoweredOff) => Err(Stop::Failed(format!("the guest powered off at {at:.3} s"))),
            Some(End::ExitStatus(status)) => {
                Err(Stop::Failed(format!("the guest ended the run with status {status} at {at:.3} s")))
            }
            Some(end @ (End::Halted | End::Died(_))) => {
                let message = end.message().unwrap_or_default();
                Err(Stop::Failed(format!("{message} at {at:.3} s")))
            }
            Some(end) => Err(Stop::Ended(end.clone())),
        }
    }

    fn wait_or_fail(&mut self, seconds: Seconds, what: &str, done: impl FnMut(&mut Self) -> bool) -> Result<(), Stop> {
        if self.wait(seconds, done)? {
            return Ok(());
        }
        Err(Stop::Failed(format!("{what} after {seconds} guest seconds")))
    }

    /// Lets guest time pass to `cycle`, within the script's time.
    fn pass(&mut self, cycle: u64) -> Result<(), Stop> {
        self.check_running()?;
        self.driver.advance(cycle.min(self.deadline));
        if self.driver.machine.now() < cycle {
            self.check_running()?;
            return Err(Stop::Failed(format!("the script's {} guest seconds are over", self.timeout)));
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let fail = |reason: &str| Err(Stop::Failed(reason.to_owned()));
        match step {
            Step::WaitText(text, s) => self.wait_or_fail(*s, "not shown", |this| this.shows(text)),
            Step::WaitLine(line, s) => self.wait_or_fail(*s, "no such line", |this| this.shows_line(line)),
            Step::WaitNoText(text, s) => self.wait_or_fail(*s, "still shown", |this| !this.shows(text)),
            Step::WaitStable(quiet, s) => self.wait_stable(*quiet, *s),
            Step::Key(keys) => {
                let released = self.driver.type_keys(&keys.keys);
                self.pass(released)
            }
            Step::KeyTimes(keys, times) => {
                for _ in 0..*times {
                    let released = self.driver.type_keys(&keys.keys);
                    self.pass(released)?;
                }
                Ok(())
            }
            Step::KeyDown(keys) => {
                let done = self.driver.move_keys(&keys.keys, true);
                self.pass(done)
            }
            Step::KeyUp(keys) => {
                let done = self.driver.move_keys(&keys.keys, false);
                self.pass(done)
            }
            Step::Type(text) => {
                for c in text.0.chars() {
                    let released = self.driver.type_keys(&Key::typing(c).unwrap_or_default());
                    self.pass(released)?;
                }
                Ok(())
            }
            Step::MouseMove(dx, dy) => {
                let moved = self.driver.move_mouse(*dx, *dy, 0);
                self.pass(moved)
            }
            Step::MouseWheel(clicks) => {
                let turned = self.driver.move_mouse(0, 0, *clicks);
                self.pass(turned)
            }
            Step::Click(button) => {
                self.driver.move_button(button.mask(), true);
                let released = self.driver.move_button(button.mask(), false);
                self.pass(released)
            }
            Step::ButtonDown(button) => {
                let pressed = self.driver.move_button(button.mask(), true);
                self.pass(pressed)
            }
            Step::ButtonUp(button) => {
                let released = self.driver.move_button(button.mask(), false);
                self.pass(released)
            }
            Step::Insert(drive, path) => self.insert(drive.place, path),
            Step::InsertFloppy(path) => self.insert(Drive::FLOPPY, path),
            Step::InsertCd(path) => self.insert(Drive::CDROM, path),
            Step::Eject(drive) => {
                self.check_running()?;
                self.change_medium(drive.place, None)
            }
            Step::ExpectText(text) if self.shows(text) => Ok(()),
            Step::ExpectText(_) => fail("not shown"),
            Step::RejectText(text) if self.shows(text) => fail("shown"),
            Step::RejectText(_) => Ok(()),
            Step::ExpectLine(line) if self.shows_line(line) => Ok(()),
            Step::ExpectLine(_) => fail("no such line"),
            Step::WaitMatch(pattern, s) => self.wait_or_fail(*s, "no match is shown", |this| this.matches(pattern)),
            Step::ExpectMatch(pattern) if self.matches(pattern) => Ok(()),
            Step::ExpectMatch(_) => fail("no match is shown"),
            Step::RejectMatch(pattern) if self.matches(pattern) => fail("a match is shown"),
            Step::RejectMatch(_) => Ok(()),
            Step::ExpectScreen(path) => {
                expect::screen(path, &screen::dump(self.screen().as_ref()))?.map_err(Stop::Failed)
            }
            Step::ExpectReg(register, value) => {
                expect::register(&*self.driver.machine, register, *value).map_err(Stop::Failed)
            }
            Step::ExpectMem(address, bytes) => {
                expect::memory(&*self.driver.machine, *address, bytes).map_err(Stop::Failed)
            }
            Step::ExpectExits(exit, count) => expect::exits(&*self.driver.machine, exit, *count).map_err(Stop::Failed),
            Step::ExpectEntryFailure(failure) => {
                expect::entry_failure(&*self.driver.machine, failure).map_err(Stop::Failed)
            }
            Step::WaitSerial(text, s) => {
                let found = self.wait(*s, |this| this.driver.serial.find(text.0.as_bytes()));
                self.stream_result(found, "COM1", *s)
            }
            Step::WaitDebugcon(text, s) => {
                let found = self.wait(*s, |this| this.driver.debugcon.find(text.0.as_bytes()));
                self.stream_result(found, "port E9h", *s)
            }
            Step::WaitSerialMatch(pattern, s) => {
                let found = self.wait(*s, |this| this.driver.serial.find_match(&pattern.bytes));
                self.stream_result(found, "COM1", *s)
            }
            Step::WaitDebugconMatch(pattern, s) => {
                let found = self.wait(*s, |this| this.driver.debugcon.find_match(&pattern.bytes));
                self.stream_result(found, "port E9h", *s)
            }
            Step::SendSerial(text) => {
                self.check_running()?;
                self.driver.send_serial(text.as_bytes());
                Ok(())
            }
            Step::Wait(s) => self.pass(self.driver.machine.now().saturating_add(s.cycles(self.driver.machine.hz()))),
            Step::ScreenDump(path) => Ok(screen::write_dump(path, self.screen().as_ref())?),
            Step::Screenshot(path) => Ok(screen::write_png(path, &self.driver.machine.render())?),
            Step::Snapshot(path) => match self.driver.machine.snapshot() {
                Ok(data) => Ok(snapshot_file::write(path, &data)?),
                Err(reason) => fail(&reason),
            },
            Step::Restore(path) => self.restore(path),
            Step::Reset => {
                self.check_running()?;
                let now = self.driver.machine.now();
                self.driver.inject(now, InputEvent::Reset);
                // The next step is to see the machine after it.
                self.pass(now + 1)
            }
            Step::WaitPowerOff(s) => {
                let off = |this: &mut Self| this.driver.end() == Some(&End::PoweredOff);
                self.wait_or_fail(*s, "the guest has not powered off", off)
            }
            Step::WaitExit(status, s) => {
                let exited = |this: &mut Self| this.driver.end() == Some(&End::ExitStatus(*status));
                self.wait_or_fail(*s, "the guest has not ended the run", exited)
            }
            Step::WaitDeath(text, s) => {
                let dead = |this: &mut Self| match this.driver.end() {
                    Some(end @ (End::Halted | End::Died(_))) => end.words().contains(&text.0),
                    _ => false,
                };
                self.wait_or_fail(*s, "the guest has not died", dead)
            }
            Step::PowerOff => {
                self.off = true;
                Ok(())
            }
            // They are carried out step by step.
            Step::Repeat(..) | Step::Include(_) => Ok(()),
        }
    }

    fn insert(&mut self, place: DrivePlace, path: &Path) -> Result<(), Stop> {
        self.check_running()?;
        let medium = self.driver.machine.add_medium(path)?;
        self.change_medium(place, Some(medium))
    }

    /// Puts a medium that is at hand into a drive, or takes it out, and sees that it has gone.
    fn change_medium(&mut self, place: DrivePlace, medium: Option<MediumId>) -> Result<(), Stop> {
        let now = self.driver.machine.now();
        let event = match medium {
            Some(medium) => InputEvent::Insert { drive: place, medium },
            None => InputEvent::Eject { drive: place },
        };
        self.driver.try_inject(now, event).map_err(|error| Stop::Failed(error.to_string()))?;
        self.pass(now + 1)?;
        if self.driver.machine.medium(place) == medium {
            return Ok(());
        }
        Err(Stop::Failed(format!("the {place} does not take it: it is too large for the drive, or is in another one")))
    }

    /// The script's time goes on: a snapshot may be of any moment.
    fn restore(&mut self, path: &Path) -> Result<(), Stop> {
        let left = self.deadline.saturating_sub(self.driver.machine.now());
        self.driver.restore(&snapshot_file::read(path)?).map_err(Stop::Failed)?;
        self.deadline = self.driver.machine.now().saturating_add(left);
        self.off = false;
        Ok(())
    }

    fn stream_result(&self, found: Result<bool, Stop>, stream: &str, seconds: Seconds) -> Result<(), Stop> {
        let tail = || if stream == "COM1" { self.driver.serial.tail() } else { self.driver.debugcon.tail() };
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Failed(format!(
                "{stream} has not sent it after {seconds} guest seconds; its last output: {:?}",
                tail()
            ))),
            Err(Stop::Failed(reason)) => {
                Err(Stop::Failed(format!("{reason}; the last output of {stream}: {:?}", tail())))
            }
            Err(ended) => Err(ended),
        }
    }

    /// A machine that has ended counts as stable: nothing on its screen will change.
    fn wait_stable(&mut self, quiet: Seconds, seconds: Seconds) -> Result<(), Stop> {
        let quiet = quiet.cycles(self.driver.machine.hz());
        let (mut shown, mut since) = (self.screen_hash(), self.driver.machine.now());
        let settled = |this: &mut Self| {
            let (now, hash) = (this.driver.machine.now(), this.screen_hash());
            if hash != shown {
                (shown, since) = (hash, now);
            }
            now - since >= quiet
                || this
                    .driver
                    .end()
                    .is_some_and(|end| !matches!(end, End::Limit(_) | End::Quit | End::Signal(_) | End::Failed(_)))
        };
        self.wait_or_fail(seconds, "the screen still changes", settled)
    }
}
