//! The main loop: runs the machine a slice at a time, and between slices moves keys, bytes and pictures.

mod controls;
mod pacer;

use crate::display::Display;
use crate::display::status::Meter;
use crate::error::InputError;
use crate::machine::{Machine, RunResult};
use crate::output::Sink;
use crate::recording::{Recorder, Replay};
use crate::serial_input::SerialInput;
use crate::signals::Signals;
use emu_devices::input::{InjectError, InputEvent, MAX_BYTES};
use emu_devices::keyboard::Key;
use emu_devices::state::LAST_CYCLE;
use pacer::Pacer;
use std::collections::VecDeque;
use std::time::Instant;

/// How long a typed key is held, in milliseconds of guest time.
pub const HOLD_MS: u64 = 30;
/// The pause after a typed key.
pub const PAUSE_MS: u64 = 40;
/// Between the keys of a combination.
const STAGGER_MS: u64 = 5;
/// The slice, in milliseconds of guest time.
pub const SLICE_MS: u64 = 10;
/// Characters for COM1 that may wait in the machine before more are taken from the host.
const MAX_SERIAL_WAITING: usize = 4096;

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest powered off.
    PoweredOff,
    /// isa-debug-exit.
    ExitStatus(i32),
    /// Nothing can wake the processors.
    Halted,
    /// The guest died.
    Died(String),
    /// A limit was reached; which.
    Limit(String),
    /// The user ended it.
    Quit,
    /// A signal of the host ended it.
    Signal(i32),
    /// A replay has come to its recording's end.
    Replayed,
    /// The host could not do something.
    Failed(InputError),
}

impl End {
    /// The exit status (docs: `--help`).
    pub fn status(&self) -> i32 {
        match self {
            Self::PoweredOff | Self::Quit | Self::Replayed => 0,
            Self::ExitStatus(status) => *status,
            Self::Failed(_) => 2,
            Self::Halted | Self::Died(_) => 3,
            Self::Limit(_) => 4,
            // As shells do.
            Self::Signal(number) => 128 + number,
        }
    }

    /// The end that a machine has come to by itself, if it has.
    pub fn of(result: RunResult) -> Option<Self> {
        match result {
            RunResult::Limit | RunResult::Paused => None,
            RunResult::PoweredOff => Some(Self::PoweredOff),
            RunResult::ExitStatus(status) => Some(Self::ExitStatus(status)),
            RunResult::Halted => Some(Self::Halted),
            RunResult::Died(reason) => Some(Self::Died(reason)),
            RunResult::Failed(error) => Some(Self::Failed(error)),
        }
    }

    /// What happened.
    pub fn words(&self) -> String {
        match self {
            Self::PoweredOff => "the guest powered off".to_owned(),
            Self::ExitStatus(_) => "the guest ended the run through isa-debug-exit".to_owned(),
            Self::Quit => "the user ended the run".to_owned(),
            Self::Replayed => "the recording is at its end".to_owned(),
            Self::Halted => "every processor is halted with interrupts off".to_owned(),
            Self::Died(reason) => format!("the guest died: {reason}"),
            Self::Signal(number) => format!("stopped by signal {number}"),
            Self::Limit(which) => format!("stopped: {which}"),
            Self::Failed(error) => error.to_string(),
        }
    }

    /// What to tell the user; nothing of an end that was asked for.
    pub fn message(&self) -> Option<String> {
        let asked_for = matches!(self, Self::PoweredOff | Self::ExitStatus(_) | Self::Quit | Self::Replayed);
        (!asked_for).then(|| self.words())
    }

    /// Whether the user wants to see where the guest was.
    pub fn shows_state(&self) -> bool {
        matches!(self, Self::Halted | Self::Died(_) | Self::Signal(_) | Self::Limit(_))
    }
}

/// What ends a run from outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Instructions of all processors.
    pub instructions: Option<u64>,
    /// Guest seconds.
    pub seconds: Option<f64>,
    /// Seconds of the host's.
    pub wall_seconds: Option<f64>,
}

/// The machine with everything around it.
pub struct Driver<'m> {
    /// The machine.
    pub machine: &'m mut dyn Machine,
    /// COM1's output.
    pub serial: Sink,
    /// Port E9h's output.
    pub debugcon: Sink,
    display: Box<dyn Display>,
    serial_input: Option<SerialInput>,
    recorder: Option<Recorder>,
    replay: Option<Replay>,
    /// When the next typed key may start.
    keys_free: u64,
    /// The mouse's buttons that are held.
    buttons: u8,
    limits: Limits,
    /// Cycle and instructions from which the limits count; they wrap.
    start: (u64, u64),
    /// When the host's time began to count.
    began: Instant,
    signals: Signals,
    pacer: Option<Pacer>,
    last_frame: Option<Instant>,
    last_poll: Option<Instant>,
    /// The host's time since the run began.
    clock: Instant,
    meter: Meter,
    /// The user has stopped the guest.
    held: bool,
    /// The cycle to which a stopped guest runs all the same.
    frame_end: Option<u64>,
    /// Why and where the machine can do nothing more.
    stands: Option<String>,
    /// Something has come to it that it may go on from.
    revived: bool,
    /// Text that is yet to be typed.
    typing: VecDeque<char>,
    /// The cycle of the last slice, if that ended before it. Where the host pauses decides nothing.
    unfinished: Option<u64>,
    end: Option<End>,
}

impl<'m> Driver<'m> {
    /// Puts a run together. `realtime` keeps guest time to the host's.
    pub fn new(
        machine: &'m mut dyn Machine,
        display: Box<dyn Display>,
        serial: Sink,
        debugcon: Sink,
        limits: Limits,
        realtime: bool,
    ) -> Self {
        let cycle = machine.now();
        let start = (cycle, machine.instructions());
        let pacer = realtime.then(|| Pacer::new(cycle));
        Self {
            machine,
            serial,
            debugcon,
            display,
            serial_input: None,
            recorder: None,
            replay: None,
            keys_free: cycle,
            buttons: 0,
            limits,
            start,
            began: Instant::now(),
            signals: Signals::default(),
            pacer,
            last_frame: None,
            last_poll: None,
            clock: Instant::now(),
            meter: Meter::default(),
            held: false,
            frame_end: None,
            stands: None,
            revived: false,
            typing: VecDeque::new(),
            unfinished: None,
            end: None,
        }
    }

    /// Bytes from the host for COM1.
    pub fn set_serial_input(&mut self, input: SerialInput) {
        self.serial_input = Some(input);
    }

    /// Records what comes to the machine from now on.
    pub fn set_recorder(&mut self, recorder: Recorder) {
        self.machine.take_injected();
        self.recorder = Some(recorder);
    }

    /// Lets a recording's events come to the machine, and nothing else, until its end. An error says which medium they
    /// put in that is not at hand.
    pub fn set_replay(&mut self, replay: Replay) -> Result<(), InputError> {
        if let Some(medium) = replay.media().find(|medium| !self.machine.has_medium(*medium)) {
            let problem = format!("a medium of {medium} is put in during the run, and is not at hand");
            return Err(InputError::new("--replay", problem).remedy("give its image with --medium"));
        }
        self.replay = Some(replay);
        Ok(())
    }

    /// Ends the run orderly at these signals.
    pub fn set_signals(&mut self, signals: Signals) {
        self.signals = signals;
    }

    /// Puts the machine back to a snapshot. A run that had ended goes on, and the limits count what is run, whatever the
    /// machine's clock says. A run that is recorded or replayed has one direction only.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        if self.recorder.is_some() || self.replay.is_some() {
            return Err("a run that is recorded or replayed cannot go to a snapshot".to_owned());
        }
        let before = (self.machine.now(), self.machine.instructions());
        self.machine.restore(snapshot)?;
        let (now, instructions) = (self.machine.now(), self.machine.instructions());
        self.start.0 = self.start.0.wrapping_add(now).wrapping_sub(before.0);
        self.start.1 = self.start.1.wrapping_add(instructions).wrapping_sub(before.1);
        self.keys_free = now;
        self.pacer = self.pacer.is_some().then(|| Pacer::new(now));
        self.meter.restart();
        self.typing.clear();
        self.last_frame = None;
        self.unfinished = None;
        self.end = None;
        Ok(())
    }

    /// Why the run has ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The end by a signal, if one has arrived.
    pub fn interrupted(&mut self) -> Option<End> {
        let end = self.signals.arrived().map(End::Signal)?;
        self.stop(end.clone());
        Some(end)
    }

    /// Ends the run.
    pub fn stop(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    fn milliseconds(&self, ms: u64) -> u64 {
        (u128::from(self.machine.hz()) * u128::from(ms) / 1000).max(1) as u64
    }

    /// Types keys together: presses in order, holds, releases in reverse order. Returns the cycle of the last release.
    pub fn type_keys(&mut self, keys: &[Key]) -> u64 {
        let stagger = self.milliseconds(STAGGER_MS);
        let mut at = self.keys_free.max(self.machine.now());
        for (index, &key) in keys.iter().enumerate() {
            at += if index == 0 { 0 } else { stagger };
            self.inject(at, InputEvent::Key { key, pressed: true });
        }
        at += self.milliseconds(HOLD_MS);
        for (index, &key) in keys.iter().rev().enumerate() {
            at += if index == 0 { 0 } else { stagger };
            self.inject(at, InputEvent::Key { key, pressed: false });
        }
        self.keys_free = at + self.milliseconds(PAUSE_MS);
        at
    }

    /// Presses or releases keys, in order, and leaves them so. Returns the cycle of the last.
    pub fn move_keys(&mut self, keys: &[Key], pressed: bool) -> u64 {
        let stagger = self.milliseconds(STAGGER_MS);
        let mut at = self.keys_free.max(self.machine.now());
        for (index, &key) in keys.iter().enumerate() {
            at += if index == 0 { 0 } else { stagger };
            self.inject(at, InputEvent::Key { key, pressed });
        }
        self.keys_free = at + stagger;
        at
    }

    /// Moves the mouse by counts to the right and up, and its wheel by clicks towards the user. Returns the cycle at which
    /// it moves.
    pub fn move_mouse(&mut self, dx: i32, dy: i32, dz: i32) -> u64 {
        let at = self.keys_free.max(self.machine.now());
        self.inject(at, InputEvent::Mouse { dx, dy, dz, buttons: self.buttons });
        self.keys_free = at + self.milliseconds(STAGGER_MS);
        at
    }

    /// Presses or releases buttons of the mouse, given by their bits, and leaves them so for as long as a key is held.
    /// Returns the cycle at which they move.
    pub fn move_button(&mut self, buttons: u8, pressed: bool) -> u64 {
        self.buttons = if pressed { self.buttons | buttons } else { self.buttons & !buttons };
        let at = self.move_mouse(0, 0, 0);
        self.keys_free = at + self.milliseconds(HOLD_MS);
        at
    }

    /// Runs until the clock reaches `cycle` or the run ends.
    pub fn advance(&mut self, cycle: u64) {
        while self.end.is_none() && (self.machine.now() < cycle || self.unfinished.is_some()) {
            if self.held && self.frame_end.is_none() {
                self.hold();
            } else {
                self.slice(cycle);
            }
        }
    }

    /// Runs to the end.
    pub fn run_to_end(&mut self) -> End {
        loop {
            self.advance(u64::MAX);
            match self.end.take() {
                // Somebody may still want to look at what the guest shows, or reset it.
                Some(end) if self.stays(&end) => {
                    if let Some(end) = self.idle(end) {
                        return end;
                    }
                }
                Some(end) => return end,
                None => {}
            }
        }
    }

    fn stays(&self, end: &End) -> bool {
        match end {
            End::Halted => self.display.is_interactive(),
            End::Died(_) => self.display.keeps_the_dead(),
            _ => false,
        }
    }

    /// One slice towards `cycle`.
    fn slice(&mut self, cycle: u64) {
        let before = self.machine.now();
        if let Some(end) = self.end_from_outside() {
            return self.stop(end);
        }
        if before >= LAST_CYCLE {
            return self.stop(End::Limit(format!("the clock is at its last cycle, {LAST_CYCLE}")));
        }
        let resumed = self.unfinished.take();
        let slice_end = resumed.unwrap_or_else(|| before.saturating_add(self.milliseconds(SLICE_MS)));
        let mut target = cycle.min(LAST_CYCLE).min(slice_end);
        if let Some(replay) = &mut self.replay {
            let last = replay.last_cycle(self.machine.hz());
            match replay.feed(self.machine) {
                Ok(_) if before >= last && resumed.is_none() => return self.stop(End::Replayed),
                Ok(horizon) => target = target.min(horizon).min(last),
                Err(error) => return self.stop(End::Failed(error)),
            }
        }
        if let Some(frame_end) = self.frame_end {
            target = target.min(frame_end);
        }
        if let Some(seconds) = self.limits.seconds {
            target = target.min(self.start.0.wrapping_add(self.cycle_of(seconds)));
        }
        if let Some(limit) = self.limits.instructions.filter(|_| resumed.is_none()) {
            // What all processors can execute meanwhile does not pass the limit by more than a turn; it comes nearer
            // slice by slice.
            let left = limit.saturating_sub(self.machine.instructions().wrapping_sub(self.start.1));
            let each_cycle = u64::from(self.machine.processors().max(1)) * self.machine.instructions_per_cycle();
            target = target.min(before.saturating_add((left / each_cycle).max(1)));
        }
        let target = if resumed.is_some() { target } else { target.max(before.saturating_add(1)) };
        let (result, instructions) = (self.machine.run_some(target), self.machine.instructions());
        self.unfinished = (result == RunResult::Paused).then_some(target);
        self.frame_end.take_if(|end| self.machine.now() >= *end);
        let end = match result {
            RunResult::Limit if self.machine.now() <= before && resumed.is_none() => Some(End::Died(format!(
                "the machine does not advance at cycle {before} (instruction {instructions}): a defect of this program"
            ))),
            result => End::of(result),
        };
        self.end = end;
        if let Err(error) = self.move_bytes().and_then(|()| self.record()).and_then(|()| self.serve_display()) {
            self.stop(End::Failed(error));
        }
        let (now, hz) = (self.machine.now(), self.machine.hz());
        if let Some(pacer) = &mut self.pacer {
            pacer.pace(now, hz);
        }
    }

    fn cycle_of(&self, seconds: f64) -> u64 {
        (seconds * self.machine.hz() as f64) as u64
    }

    /// What ends the run whether or not the guest runs: a signal, a limit, or the user at COM1's terminal.
    fn end_from_outside(&self) -> Option<End> {
        let quit = || self.serial_input.as_ref().is_some_and(SerialInput::wants_to_quit).then_some(End::Quit);
        self.signals.arrived().map(End::Signal).or_else(|| self.limit_reached()).or_else(quit)
    }

    fn limit_reached(&self) -> Option<End> {
        if let Some(seconds) = self.limits.wall_seconds
            && self.began.elapsed().as_secs_f64() >= seconds
        {
            return Some(End::Limit(format!("{seconds} seconds of the host's time (--wall-time)")));
        }
        // Limits of the guest's end a run at the same place however often the host pauses.
        if self.unfinished.is_some() {
            return None;
        }
        if let Some(limit) = self.limits.instructions
            && self.machine.instructions().wrapping_sub(self.start.1) >= limit
        {
            return Some(End::Limit(format!("{limit} instructions (--max-instructions)")));
        }
        let seconds = self.limits.seconds?;
        let reached = self.machine.now().wrapping_sub(self.start.0) >= self.cycle_of(seconds);
        reached.then(|| End::Limit(format!("{seconds} guest seconds (--max-time)")))
    }

    /// Lets something happen to the machine at cycle `at`, or as soon after it as it can. A replay has its own input.
    pub fn try_inject(&mut self, at: u64, event: InputEvent) -> Result<(), InjectError> {
        if self.replay.is_none() {
            self.machine.inject(at, event)?;
        }
        Ok(())
    }

    /// [`Driver::try_inject`], and a warning to the user if it cannot be.
    pub fn inject(&mut self, at: u64, event: InputEvent) {
        if let Err(error) = self.try_inject(at, event) {
            log::warn!("{error}");
        }
    }

    /// Sends bytes to COM1.
    pub fn send_serial(&mut self, data: &[u8]) {
        for bytes in data.chunks(MAX_BYTES) {
            self.inject(self.machine.now(), InputEvent::Serial(bytes.to_vec()));
        }
    }

    fn record(&mut self) -> Result<(), InputError> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        recorder.events(self.machine.take_injected(), self.machine.now())
    }

    fn move_bytes(&mut self) -> Result<(), InputError> {
        let mut waiting = self.machine.serial_waiting();
        while waiting < MAX_SERIAL_WAITING
            && let Some(data) = self.serial_input.as_mut().and_then(SerialInput::take)
        {
            waiting += data.len();
            self.send_serial(&data);
        }
        self.serial.write(&self.machine.take_serial())?;
        self.debugcon.write(&self.machine.take_debugcon())
    }

    /// Lets a recorded machine that was stopped meet the input of its last cycle, as its replay will; what the run came to.
    pub fn settle(&mut self, end: Option<End>) -> Option<End> {
        let by_itself = matches!(end, Some(End::PoweredOff | End::ExitStatus(_) | End::Halted | End::Died(_)));
        if self.recorder.is_none() || by_itself {
            return end;
        }
        // A pause within a turn is no place that a replay stops at.
        let cycle = if self.unfinished.is_some() { self.machine.latest() + 1 } else { self.machine.now() };
        End::of(self.machine.run_until(cycle)).or(end)
    }

    /// The recording, with everything but its end.
    pub fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    /// Takes the last bytes from the machine and writes out everything but the recording's end.
    pub fn finish(&mut self) -> Result<(), InputError> {
        self.record()?;
        self.move_bytes()?;
        self.serial.finish()?;
        self.debugcon.finish()?;
        self.display.close();
        // A terminal that it has taken is given back before anything more is told.
        self.serial_input = None;
        self.machine.flush()
    }
}
