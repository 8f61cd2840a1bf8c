//! What a person at a display does with a run: types, looks, stops it, changes media.

use super::pacer::Pacer;
use super::{Driver, End};
use crate::display::status::{Running, Sample};
use crate::display::{Command, Input};
use crate::error::InputError;
use crate::{screen, snapshot_file};
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a display is drawn, in milliseconds of the host's time.
const FRAME_MS: u64 = 33;
/// How often it is asked what was typed.
const POLL_MS: u64 = 2;
/// Guest frames a second, for stepping.
const FRAMES: u64 = 60;
/// Characters of one text that are typed.
const MAX_PASTE: usize = 0x1_0000;

impl Driver<'_> {
    /// Moves what was typed to the machine and draws it, when it is time for that.
    pub(super) fn serve_display(&mut self) -> Result<(), InputError> {
        if !self.display.is_interactive() {
            return Ok(());
        }
        let due = |last: Option<Instant>, ms| last.is_none_or(|last| last.elapsed() >= Duration::from_millis(ms));
        if due(self.last_poll, POLL_MS) {
            self.last_poll = Some(Instant::now());
            for input in self.display.poll()? {
                self.take(input);
            }
        }
        self.type_on();
        if due(self.last_frame, FRAME_MS) || self.end.is_some() {
            self.last_frame = Some(Instant::now());
            let running = match &self.stands {
                Some(why) => Running::Ended(why.clone()),
                None if self.held => Running::Paused,
                None => Running::Yes,
            };
            let (machine, now) = (&mut *self.machine, self.clock.elapsed());
            let sample = Sample {
                instructions: machine.instructions(),
                cycle: machine.now(),
                hz: machine.hz(),
                glance: machine.glance(),
            };
            let status = self.meter.status(now, sample, running, self.pacer.is_some());
            self.display.present(machine, status)?;
        }
        Ok(())
    }

    /// Tells the user at the display.
    fn tell(&mut self, message: String) {
        self.meter.tell(self.clock.elapsed(), message);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Quit => self.stop(End::Quit),
            Input::Keys(keys) => drop(self.type_keys(&keys)),
            Input::Key(key, pressed) => drop(self.move_keys(&[key], pressed)),
            Input::Mouse { dx, dy, dz, buttons } => {
                self.buttons = buttons;
                self.move_mouse(dx, dy, dz);
            }
            Input::Command(command) => match self.carry_out(command) {
                Ok(message) => self.tell(message),
                Err(problem) => self.tell(problem),
            },
        }
    }

    /// What was done, or why it could not be.
    fn carry_out(&mut self, command: Command) -> Result<String, String> {
        let shown = |path: &Path| path.display().to_string();
        let now = self.machine.now();
        match command {
            Command::Pause => {
                self.held = !self.held;
                self.frame_end = None;
                self.resume_clocks();
                Ok(if self.held { "stopped" } else { "goes on" }.to_owned())
            }
            Command::StepFrame => {
                self.held = true;
                self.frame_end = Some(now.saturating_add((self.machine.hz() / FRAMES).max(1)));
                Ok("one frame".to_owned())
            }
            Command::Pace => {
                self.pacer = if self.pacer.is_some() { None } else { Some(Pacer::new(now)) };
                Ok(if self.pacer.is_some() { "real time" } else { "as fast as possible" }.to_owned())
            }
            Command::Reset => self.wake(InputEvent::Reset).map(|()| "reset".to_owned()),
            Command::Nmi => self.wake(InputEvent::Nmi).map(|()| "NMI".to_owned()),
            Command::PowerButton => {
                self.ask(InputEvent::PowerButton)?;
                Ok("power button".to_owned())
            }
            Command::Screenshot(path) => {
                screen::write_png(&path, &self.machine.render()).map_err(|error| error.to_string())?;
                Ok(format!("picture in {}", shown(&path)))
            }
            Command::Snapshot(path) => {
                let data = self.machine.snapshot()?;
                snapshot_file::write(&path, &data).map_err(|error| error.to_string())?;
                Ok(format!("snapshot in {}", shown(&path)))
            }
            Command::Restore(path) => {
                let data = snapshot_file::read(&path).map_err(|error| error.to_string())?;
                self.restore(&data)?;
                (self.stands, self.revived) = (None, true);
                Ok(format!("at the snapshot {}", shown(&path)))
            }
            Command::Insert(place, path) => {
                let medium = self.machine.add_medium(&path).map_err(|error| error.to_string())?;
                self.change_medium(place, Some(medium))?;
                Ok(format!("{} in {place}", shown(&path)))
            }
            Command::Eject(place) => {
                self.change_medium(place, None)?;
                Ok(format!("{place} is empty"))
            }
            Command::Paste(text) => {
                let untyped = text.chars().filter(|c| Key::typing(*c).is_none() && *c != '\r').count();
                let keys = text.chars().filter(|c| *c != '\r' && Key::typing(*c).is_some());
                self.typing.extend(keys.take(MAX_PASTE.saturating_sub(self.typing.len())));
                Ok(match untyped {
                    0 => "text is typed".to_owned(),
                    n => format!("text is typed; {n} characters are on no US keyboard and left out"),
                })
            }
            Command::RecordExits => {
                self.machine.record_exits();
                Ok("VM exits are recorded from here on".to_owned())
            }
            Command::SaveExits(path) => {
                let count = self.machine.save_exits(&path)?;
                Ok(format!("{count} VM exits in {}", shown(&path)))
            }
        }
    }

    /// Something that a machine which has come to its end goes on from.
    fn wake(&mut self, event: InputEvent) -> Result<(), String> {
        self.ask(event)?;
        self.typing.clear();
        (self.stands, self.revived) = (None, true);
        Ok(())
    }

    /// Lets something happen to the machine now, or says why it cannot.
    fn ask(&mut self, event: InputEvent) -> Result<(), String> {
        if self.replay.is_some() {
            return Err("a replay has its own input".to_owned());
        }
        self.try_inject(self.machine.now(), event).map_err(|error| error.to_string())
    }

    /// Puts a medium that is at hand into a drive, or takes the drive's out.
    fn change_medium(&mut self, drive: DrivePlace, medium: Option<MediumId>) -> Result<(), String> {
        self.ask(medium.map_or(InputEvent::Eject { drive }, |medium| InputEvent::Insert { drive, medium }))
    }

    /// Types what was pasted, as fast as keys can be pressed.
    fn type_on(&mut self) {
        let soon = self.machine.now().saturating_add(self.milliseconds(super::SLICE_MS));
        while self.keys_free <= soon
            && let Some(character) = self.typing.pop_front()
        {
            // Those without a key were left out.
            if let Some(keys) = Key::typing(character) {
                self.type_keys(&keys);
            }
        }
    }

    /// After a time in which the guest stood still.
    fn resume_clocks(&mut self) {
        self.pacer = self.pacer.is_some().then(|| Pacer::new(self.machine.now()));
        self.meter.restart();
    }

    /// Shows a guest that the user has stopped, for a moment.
    pub(super) fn hold(&mut self) {
        self.end = self.end_from_outside();
        if let Err(error) = self.serve_display() {
            self.stop(End::Failed(error));
        }
        std::thread::sleep(Duration::from_millis(FRAME_MS / 2));
    }

    /// Shows a machine that can do nothing more, until the user ends it or makes it go on; how the run ended in the
    /// former case.
    pub(super) fn idle(&mut self, end: End) -> Option<End> {
        log::warn!("{}", end.words());
        let words = match &end {
            End::Died(reason) => format!("DEAD: {reason}"),
            _ => {
                let rip = self.machine.report().processors.first().and_then(|cpu| cpu.registers.get("RIP"));
                let place = rip.map_or(String::new(), |rip| format!(", CPU 0 at RIP {rip:#x}"));
                format!("HALTED with interrupts off{place}")
            }
        };
        (self.stands, self.revived, self.last_frame) = (Some(words), false, None);
        while self.end.is_none() {
            self.hold();
            if std::mem::take(&mut self.revived) {
                self.resume_clocks();
                return None;
            }
        }
        // Who leaves a dead guest is to be told of its death.
        match self.end.take() {
            Some(End::Quit | End::Limit(_)) if end != End::Halted => Some(end),
            other => other,
        }
    }
}
