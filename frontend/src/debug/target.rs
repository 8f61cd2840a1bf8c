//! The machine in the debugger's hands: it runs in slices, between which bytes of the guest are passed on and Ctrl-C is
//! seen.

use super::travel::{self, Travel};
use super::watcher::{Here, Watcher};
use crate::error::InputError;
use crate::machine::{Machine, RunResult};
use crate::output::Sink;
use crate::pc::{PcMachine, SLICE_WORK};
use crate::signals;
use emu_core::observe::{Observer, Observers};
use emu_core::state::system::Activity;
use emu_core::trace::{TraceFilter, TraceSink, Tracer};
use emu_devices::pc::{Pc, PcExit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The shortest and the longest slice, in milliseconds of guest time. A guest that computes gets short ones, between
/// which it can be stopped and snapshots taken; one that is halted most of the time costs the host little for a long one.
const SLICE_MS: (u64, u64) = (10, 160);

/// A guest that executes less than one instruction in so many cycles is halted most of the time.
const IDLE: u64 = 32;

/// Between two looks at [`Target::set_poll`].
const POLL: Duration = Duration::from_millis(20);

/// Bytes of a trace that are kept for the next answer.
const MAX_TRACE: usize = 4 << 20;

/// The last lines of a trace.
#[derive(Debug, Default)]
struct LastLines {
    text: String,
    /// Bytes of those that are gone.
    gone: u64,
}

impl LastLines {
    fn text(self) -> String {
        match self.gone {
            0 => self.text,
            gone => format!("({gone} bytes of the trace before this are not kept)\n{}", self.text),
        }
    }
}

impl TraceSink for LastLines {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        if self.text.len() > 2 * MAX_TRACE {
            let old = self.text.len() - MAX_TRACE;
            let end =
                self.text.as_bytes().iter().skip(old).position(|&byte| byte == b'\n').map_or(0, |at| old + at + 1);
            self.text.drain(..end);
            self.gone += end as u64;
        }
    }
}

/// Why a run has come back.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// The cycle asked for was reached, or the step was made.
    There,
    /// A breakpoint; [`Watcher::hit`] says which.
    Hit,
    /// Ctrl-C.
    Interrupted,
    /// The machine has ended.
    Ended(RunResult),
    /// A limit of the command line was reached; which.
    Limit(String),
    /// The host could not do something.
    Failed(InputError),
}

/// How a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// All processors until a cycle.
    Until(u64),
    /// Until this processor has made a step.
    Step(usize),
}

/// Says whether somebody else than Ctrl-C wants the machine to stop.
type Poll = Box<dyn FnMut() -> bool>;

/// The machine, and where its bytes go.
pub struct Target {
    pub(super) machine: PcMachine,
    /// Snapshots to go back by.
    pub(super) travel: Travel,
    serial: Sink,
    debugcon: Sink,
    /// Set by Ctrl-C.
    interrupt: Arc<AtomicBool>,
    /// Something has been stopped by it.
    stopped: bool,
    /// Who else stops it, and when it was asked last.
    poll: Option<(Poll, Instant)>,
    /// The run ends at this cycle.
    last_cycle: Option<(u64, String)>,
    /// The slice, in milliseconds of guest time; see [`SLICE_MS`].
    slice_ms: u64,
    /// How the machine has ended, if it has.
    pub(super) ended: Option<RunResult>,
    /// Where instructions are printed, while they are.
    tracer: Option<Tracer<LastLines>>,
}

impl Target {
    /// A machine that has not run yet.
    pub fn new(machine: PcMachine, serial: Sink, debugcon: Sink, interrupt: Arc<AtomicBool>) -> Self {
        let travel = Travel::new(machine.hz());
        Self {
            machine,
            travel,
            serial,
            debugcon,
            interrupt,
            stopped: false,
            poll: None,
            last_cycle: None,
            slice_ms: SLICE_MS.0,
            ended: None,
            tracer: None,
        }
    }

    /// Whether there was a Ctrl-C, or what stands for it; once for each.
    pub fn interrupted(&mut self) -> bool {
        let asked = self.interrupt.swap(false, Ordering::Relaxed) || {
            let due = self.poll.as_mut().filter(|(_, last)| last.elapsed() >= POLL);
            due.is_some_and(|(poll, last)| {
                *last = Instant::now();
                poll()
            })
        };
        self.stopped |= asked;
        asked
    }

    /// Whether there was one since the last [`Target::begin_commands`]: what is left to do is not done.
    pub fn was_interrupted(&mut self) -> bool {
        self.interrupted() || self.stopped
    }

    /// Somebody gives commands who has seen what came of those before.
    pub fn begin_commands(&mut self) {
        self.stopped = false;
    }

    /// Instructions of all processors.
    fn instructions(&self) -> u64 {
        self.pc().cpus.iter().map(|cpu| cpu.instructions).sum()
    }

    /// Forgets a Ctrl-C: what it was to stop is over.
    pub fn forget_interrupt(&mut self) {
        self.interrupt.store(false, Ordering::Relaxed);
        self.stopped = false;
    }

    /// Asks somebody now and then whether to stop, or nobody any longer.
    pub fn set_poll(&mut self, poll: Option<Poll>) {
        self.poll = poll.map(|poll| (poll, Instant::now()));
    }

    /// Lets no run go beyond a cycle; the words say why.
    pub fn set_last_cycle(&mut self, cycle: u64, words: String) {
        self.last_cycle = Some((cycle, words));
    }

    /// The machine with its surroundings.
    pub fn machine(&mut self) -> &mut PcMachine {
        &mut self.machine
    }

    /// The cycles of all processors.
    pub fn clocks(&self) -> Vec<u64> {
        self.pc().cpus.iter().map(|cpu| cpu.cycles).collect()
    }

    /// The PC.
    pub fn pc(&self) -> &Pc {
        &self.machine.pc
    }

    /// Changes something from outside: a register, memory. It may go on after its end, and what was to come will not
    /// come. A change that fails has changed nothing.
    pub fn change<R, E>(&mut self, change: impl FnOnce(&mut Pc) -> Result<R, E>) -> Result<R, E> {
        let before = travel::places(&self.machine.pc);
        let result = change(&mut self.machine.pc)?;
        self.ended = None;
        self.travel.written(&mut self.machine.pc, before);
        Ok(result)
    }

    /// The same of a change that has parts: all are made, or none.
    pub fn change_whole<R, E>(&mut self, change: impl FnOnce(&mut Pc) -> Result<R, E>) -> Result<R, E> {
        let before = self.machine.pc.snapshot();
        let changed = self.change(change);
        if let (Err(_), Ok(before)) = (&changed, &before)
            && let Err(error) = self.machine.pc.restore(before)
        {
            log::warn!(target: "debug", "a part of a change that failed cannot be taken back: {error}");
        }
        changed
    }

    /// Goes to a snapshot from elsewhere: this is where the session begins now.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.machine.restore(snapshot)?;
        self.ended = None;
        self.travel.begin(&mut self.machine.pc);
        Ok(())
    }

    /// Cycles per guest second.
    pub fn hz(&self) -> u64 {
        self.machine.hz()
    }

    /// The processor whose turn it is.
    pub fn running(&self) -> usize {
        let cpus = &self.pc().cpus;
        let Some(turn) = self.pc().turn() else { return 0 };
        // One that has come to the turn's end is done.
        let mut left = cpus.iter().enumerate().skip(turn.processor as usize);
        left.find(|(_, cpu)| cpu.cycles < turn.end).map_or(0, |(n, _)| n)
    }

    /// Prints instructions from now on, or no longer.
    pub fn trace(&mut self, filter: Option<TraceFilter>) {
        self.tracer = filter.map(|filter| Tracer::new(filter, LastLines::default()));
    }

    /// What was traced since the last call.
    pub fn take_trace(&mut self) -> String {
        self.tracer.as_mut().map_or(String::new(), |tracer| std::mem::take(tracer.sink()).text())
    }

    /// Runs. Breakpoints on the instruction at which a processor stands do not stop it there.
    pub fn run(&mut self, how: How, watcher: &mut Watcher) -> Came {
        if let Some(ended) = &self.ended {
            return Came::Ended(ended.clone());
        }
        signals::disk_is_used();
        watcher.begin();
        watcher.passed = self.pc().cpus.get(self.running()).map(Here::of);
        self.go_on(how, watcher)
    }

    /// The same, for the next part of a run that was cut by nothing but its limit.
    pub fn go_on(&mut self, how: How, watcher: &mut Watcher) -> Came {
        if let Some(ended) = &self.ended {
            return Came::Ended(ended.clone());
        }
        if self.travel.branches(&self.machine.pc) {
            watcher.vmx.forget_after(&self.clocks());
        }
        self.travel.now_and_then(&mut self.machine.pc);
        let patience = self.pc().now().saturating_add(self.hz());
        let came = loop {
            if let Some(came) = self.slice(how, watcher) {
                break came;
            }
            self.travel.now_and_then(&mut self.machine.pc);
            if let How::Step(n) = how
                && self.pc().now() >= patience
            {
                break Came::Limit(format!("processor {n} has not executed anything for a guest second"));
            }
            if let Err(error) = self.move_bytes() {
                break Came::Failed(error);
            }
            if self.interrupted() {
                break Came::Interrupted;
            }
        };
        match self.move_bytes() {
            Err(error) if !matches!(came, Came::Failed(_)) => Came::Failed(error),
            _ => came,
        }
    }

    /// One slice; `None` if it is not the last.
    fn slice(&mut self, how: How, watcher: &mut Watcher) -> Option<Came> {
        let now = self.pc().now();
        if let Some((last, words)) = self.last_cycle.as_ref().filter(|(last, _)| now >= *last) {
            debug_assert!(now >= *last);
            return Some(Came::Limit(words.clone()));
        }
        let slice = (self.hz() * self.slice_ms / 1000).max(1);
        let last = self.last_cycle.as_ref().map_or(u64::MAX, |(last, _)| *last);
        let mut target = now.saturating_add(slice).min(last);
        if let How::Until(cycle) = how {
            if now >= cycle {
                return Some(Came::There);
            }
            target = target.min(cycle);
        }
        let stepped = match how {
            How::Step(n) => match self.pc().cpus.get(n) {
                Some(cpu) => Some((n, cpu.cycles, cpu.instructions, cpu.rip())),
                // GDB may ask for one that is not there; it never gets anywhere.
                None => return Some(Came::There),
            },
            How::Until(_) => None,
        };
        let before = stepped.is_none().then(|| self.instructions());
        let Self { machine, tracer, .. } = self;
        let mut both = Observers::default();
        let observer: &mut dyn Observer = match tracer {
            None => watcher,
            Some(tracer) => {
                both.0.extend([watcher as &mut dyn Observer, tracer]);
                &mut both
            }
        };
        let exit = match how {
            How::Until(_) => machine.pc.run_bounded(target, SLICE_WORK, Some(observer)),
            How::Step(n) => machine.pc.step_observed(n, target, observer),
        };
        let after = machine.after(&exit);
        if let Some(before) = before {
            let done = self.instructions().saturating_sub(before);
            let idle = done.saturating_mul(IDLE) < self.pc().now().saturating_sub(now);
            self.slice_ms = if idle { (self.slice_ms * 2).min(SLICE_MS.1) } else { SLICE_MS.0 };
        }
        if let Some(result) = after {
            self.ended = Some(result.clone());
            return Some(Came::Ended(result));
        }
        match exit {
            PcExit::Observer { .. } => Some(Came::Hit),
            PcExit::Limit => match stepped {
                // It comes back without a step when the processor does not execute.
                Some((n, cycle, instructions, rip)) => {
                    let cpu = self.pc().cpus.get(n)?;
                    let stands = (instructions, rip) == (cpu.instructions, cpu.rip()) && cycle != cpu.cycles;
                    (!stands || cpu.sys.activity == Activity::Active).then_some(Came::There)
                }
                None => None,
            },
            _ => None,
        }
    }

    fn move_bytes(&mut self) -> Result<(), InputError> {
        self.serial.write(&self.machine.take_serial())?;
        self.debugcon.write(&self.machine.take_debugcon())?;
        // What the debugger itself prints comes behind it.
        self.serial.finish()?;
        self.debugcon.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_without_end_keeps_its_last_lines_and_says_what_is_gone() {
        let mut lines = LastLines::default();
        let line = |n: usize| format!("{n:099}\n");
        for n in 0..200_000 {
            lines.line(&line(n));
            assert!(lines.text.len() <= 2 * MAX_TRACE);
        }
        let gone = lines.gone;
        assert!(gone.is_multiple_of(100) && gone as usize + lines.text.len() == 20_000_000);
        let text = lines.text();
        assert!(text.starts_with(&format!("({gone} bytes of the trace before this are not kept)\n")));
        assert!(text.ends_with(&line(199_999)) && text.len() > MAX_TRACE);
        assert_eq!(LastLines { text: line(1), gone: 0 }.text(), line(1));
    }
}
