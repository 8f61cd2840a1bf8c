//! Going back in time: snapshots are taken now and then, and what lies between two of them is run again. A run is the
//! same every time, so that is going back.

use super::target::Target;
use super::vmxlog::VmxLog;
use super::watcher::{Here, Hit, Watcher};
use crate::machine::{Machine, RunResult};
use crate::pc::SLICE_WORK;
use emu_core::observe::{Instruction, Observer, View, Watch};
use emu_devices::pc::{Pc, PcExit};
use emu_devices::snapshot::Snapshot;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Snapshots that are kept at most, unless told.
pub const DEFAULT_POINTS: usize = 100;
/// Between two snapshots at first, in milliseconds of guest time.
const INTERVAL_MS: u64 = 100;
/// The host works so many times as long on the guest as on its snapshots.
const SHARE: u32 = 50;
/// How far back the search for an earlier instruction begins, in cycles.
const WINDOW: u64 = 4_000;

/// A moment that can be gone back to at once.
struct Point {
    snapshot: Snapshot,
    /// Each processor's place.
    places: Vec<Here>,
    /// Somebody has written to the guest from outside just before; what follows does not come of what was before. Where the
    /// processors had come to then: a write to RIP moves them.
    written: Option<Vec<Here>>,
}

/// Where a search has begun: the machine is there again if it finds nothing.
pub(super) struct Home {
    snapshot: Snapshot,
    ended: Option<RunResult>,
}

/// The moments that are kept.
pub struct Travel {
    points: Vec<Point>,
    /// Cycles between two.
    interval: u64,
    /// The clock at which the next is taken.
    next: u64,
    /// When the last was, and how long that took the host.
    taken: (Instant, Duration),
    limit: usize,
}

impl Travel {
    /// Nothing yet, on a machine with so many cycles a second.
    pub fn new(hz: u64) -> Self {
        let interval = (hz * INTERVAL_MS / 1000).max(1);
        let taken = (Instant::now(), Duration::ZERO);
        Self { points: Vec::new(), interval, next: 0, taken, limit: DEFAULT_POINTS }
    }

    /// Moments that are kept, cycles between two, moments at most.
    pub fn state(&self) -> (usize, u64, usize) {
        (self.points.len(), self.interval, self.limit)
    }

    /// Sets how many are kept at most; with 0 there is no going back.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.thin();
    }

    /// Every second moment goes while there are too many, but for the first one and those behind a write: what was written
    /// is in no other.
    fn thin(&mut self) {
        if self.limit == 0 {
            self.points.clear();
        }
        while self.points.len() > self.limit {
            let before = self.points.len();
            let (mut first, mut keep) = (true, true);
            self.points.retain(|point| {
                if std::mem::take(&mut first) || point.written.is_some() {
                    return true;
                }
                keep = !keep;
                keep
            });
            if self.points.len() == before {
                // There is no way from a moment before a write to one behind it: the oldest goes.
                self.points.remove(0);
            } else if self.limit >= 2 {
                self.interval = self.interval.saturating_mul(2);
            }
        }
    }

    /// Takes a moment if it is time for one. Which moments there are changes nothing but how long going back takes, so
    /// that the host's time may decide.
    pub fn now_and_then(&mut self, pc: &mut Pc) {
        let due = || pc.now() >= self.next && self.taken.0.elapsed() >= self.taken.1 * SHARE && self.is_new(pc);
        if self.limit != 0 && (self.points.is_empty() || due()) {
            self.take(pc, None);
        }
    }

    fn is_new(&self, pc: &Pc) -> bool {
        self.points.last().is_none_or(|point| place_sum(&point.places) < pc.cpus.iter().map(|cpu| cpu.cycles).sum())
    }

    fn take(&mut self, pc: &mut Pc, written: Option<Vec<Here>>) {
        self.next = pc.now().saturating_add(self.interval);
        let start = Instant::now();
        let snapshot = pc.snapshot();
        self.taken = (Instant::now(), start.elapsed());
        match snapshot {
            Ok(snapshot) => {
                let places = places(pc);
                self.points.push(Point { snapshot, places, written });
                self.thin();
            }
            Err(error) => log::warn!(target: "debug", "no snapshot can be taken to go back to: {error}"),
        }
    }

    /// The run begins here: what was before belongs to another.
    pub fn begin(&mut self, pc: &mut Pc) {
        self.points.clear();
        if self.limit != 0 {
            self.take(pc, Some(places(pc)));
        }
    }

    /// Somebody has written to the guest, whose processors had come to `before`: what was to come will not come.
    pub fn written(&mut self, pc: &mut Pc, before: Vec<Here>) {
        self.points.retain(|point| place_sum(&point.places) <= place_sum(&before));
        if self.limit != 0 {
            self.take(pc, Some(before));
        }
    }

    /// Whether a run that goes on from here leaves what was recorded: it has gone back behind something that somebody
    /// had written from outside, and that will not be written again. Those moments go.
    pub fn branches(&mut self, pc: &Pc) -> bool {
        let now = place_sum(&places(pc));
        let branches = self.points.iter().any(|point| point.written.is_some() && place_sum(&point.places) > now);
        if branches {
            self.points.retain(|point| place_sum(&point.places) <= now);
        }
        branches
    }

    /// The last moment at which processor `n` had not passed `cycle`.
    fn before(&self, n: usize, cycle: u64) -> Option<usize> {
        self.points.iter().rposition(|point| point.places.get(n).is_some_and(|place| place.cycle <= cycle))
    }
}

/// Where the processors are.
pub fn places(pc: &Pc) -> Vec<Here> {
    pc.cpus.iter().map(Here::of).collect()
}

/// Takes a machine back.
fn restore(pc: &mut Pc, snapshot: &Snapshot) -> Result<(), TravelError> {
    pc.restore(snapshot).map_err(|error| TravelError::Snapshot(error.to_string()))
}

fn place_sum(places: &[Here]) -> u64 {
    places.iter().map(|place| place.cycle).sum()
}

/// Why it does not go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TravelError {
    /// There is nothing further back.
    #[error("this is where the session begins, or where snapshots begin; there is nothing before it")]
    Beginning,
    /// Nothing has stopped the run before.
    #[error("no breakpoint was met before this, as far back as the session goes")]
    NoHit,
    /// Snapshots are off.
    #[error("no snapshots are taken; history N lets N be kept")]
    Off,
    /// A snapshot does not fit.
    #[error("the machine cannot go to a snapshot: {0}")]
    Snapshot(String),
    /// Ctrl-C.
    #[error("interrupted; the machine is where it was")]
    Interrupted,
    /// The same run went another way.
    #[error("the run did not come to processor {0}, cycle {1} again: a defect of this program")]
    Lost(u32, u64),
}

/// Lets the log be silent while this lives: what happens again was told the first time.
struct Quiet(log::LevelFilter);

impl Quiet {
    fn new() -> Self {
        let this = Self(log::max_level());
        log::set_max_level(log::LevelFilter::Off);
        this
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        log::set_max_level(self.0);
    }
}

/// Notes where instructions of a processor begin.
struct Recorder {
    processor: u32,
    keep: usize,
    list: VecDeque<(Here, u64)>,
    end: Here,
}

impl Observer for Recorder {
    fn watches(&self) -> Watch {
        Watch::INSTRUCTIONS | Watch::ITERATIONS
    }

    fn before_instruction(&mut self, view: View, _instruction: Instruction) {
        let here = Here::of(view.cpu);
        if here.processor != self.processor || here == self.end || here.is_after(&self.end) {
            return;
        }
        if self.list.len() >= self.keep {
            self.list.pop_front();
        }
        // The same one is told twice when the run is cut before it.
        if self.list.back().is_none_or(|last| last.0 != here) {
            self.list.push_back((here, view.cpu.gpr[4]));
        }
    }
}

impl Target {
    /// Goes back by `search`, or stays where it is if that fails.
    fn or_stay<R>(&mut self, search: impl FnOnce(&mut Self) -> Result<R, TravelError>) -> Result<R, TravelError> {
        if self.travel.limit == 0 {
            return Err(TravelError::Off);
        }
        let home = self.home()?;
        let found = search(self);
        if found.is_err() {
            self.go_home(home)?;
        }
        found
    }

    /// Where the machine is, for [`Target::go_home`].
    pub(super) fn home(&mut self) -> Result<Home, TravelError> {
        let snapshot = self.machine.pc.snapshot().map_err(|error| TravelError::Snapshot(error.to_string()))?;
        Ok(Home { snapshot, ended: self.ended.clone() })
    }

    /// Takes the machine back to where it was.
    pub(super) fn go_home(&mut self, home: Home) -> Result<(), TravelError> {
        restore(&mut self.machine.pc, &home.snapshot)?;
        self.ended = home.ended;
        Ok(())
    }

    fn restore_point(&mut self, n: usize) -> Result<(), TravelError> {
        let Some(point) = self.travel.points.get(n) else { return Err(TravelError::Beginning) };
        let restored = restore(&mut self.machine.pc, &point.snapshot);
        self.ended = None;
        restored
    }

    /// Runs to a cycle, with an observer or without; output of the guest is dropped, as it has been printed before.
    fn rerun(&mut self, cycle: u64, mut observer: Option<&mut dyn Observer>) -> Result<(), TravelError> {
        let _quiet = Quiet::new();
        let mut result = Ok(());
        while self.machine.pc.now() < cycle {
            let before = self.machine.pc.now();
            let watching = observer.as_mut().map(|observer| &mut **observer as &mut dyn Observer);
            let exit = self.machine.pc.run_bounded(cycle, SLICE_WORK, watching);
            self.ended = self.machine.after(&exit);
            if self.ended.is_some() || self.machine.pc.now() == before && exit == PcExit::Limit {
                break;
            }
            if self.interrupted() {
                result = Err(TravelError::Interrupted);
                break;
            }
        }
        self.drop_output();
        result
    }

    fn drop_output(&mut self) {
        drop(self.machine.take_serial());
        drop(self.machine.take_debugcon());
    }

    /// One step towards a moment of processor `n`: its own next one, or a little of those whose turn comes before. One
    /// that is halted goes to its turn's end and the next one on; only `n` itself must not go on then.
    pub(super) fn step_towards(&mut self, n: usize, observer: Option<&mut dyn Observer>) -> PcExit {
        let running = self.running();
        let cycles = self.machine.pc.cpus.get(running).map_or(0, |cpu| cpu.cycles);
        let bound = if running == n { cycles } else { self.machine.pc.now().max(cycles) } + 1;
        match observer {
            Some(observer) => self.machine.pc.step_observed(n, bound, observer),
            None => self.machine.pc.step(n, bound),
        }
    }

    /// A step towards the next moment of processor `n`, as [`Target::step_towards`] makes it; nobody watches.
    pub fn come_closer(&mut self, n: usize) {
        let _quiet = Quiet::new();
        let exit = self.step_towards(n, None);
        self.ended = self.machine.after(&exit);
        self.drop_output();
    }

    /// Makes steps until a processor is at a place; an observer may watch.
    fn steps_to(&mut self, goal: Here, mut observer: Option<&mut dyn Observer>) -> Result<(), TravelError> {
        let _quiet = Quiet::new();
        let n = goal.processor as usize;
        while let Some(here) = self.machine.pc.cpus.get(n).map(Here::of) {
            // That the machine has ended there, or another processor has ended it, does not count.
            if here == goal {
                self.drop_output();
                return Ok(());
            }
            if here.is_after(&goal) || self.ended.is_some() {
                break;
            }
            let watching = observer.as_mut().map(|observer| &mut **observer as &mut dyn Observer);
            let exit = self.step_towards(n, watching);
            self.ended = self.machine.after(&exit);
            if self.interrupted() {
                self.drop_output();
                return Err(TravelError::Interrupted);
            }
        }
        self.drop_output();
        Err(TravelError::Lost(goal.processor, goal.cycle))
    }

    /// A cycle shortly before `cycle`, from which a processor's first moment at `cycle` can be found by steps: of several,
    /// one may give away the rest of a turn and come to its end with the others behind it.
    fn turn_before(&self, cycle: u64) -> u64 {
        let (before, quantum) = (cycle.saturating_sub(1), self.machine.pc.quantum());
        if self.machine.pc.cpus.len() == 1 { before } else { before / quantum * quantum }
    }

    /// Goes to a place where a processor has been, in the moment in which it came there.
    fn go_to(&mut self, goal: Here) -> Result<(), TravelError> {
        let mut nearest = self.travel.before(goal.processor as usize, goal.cycle);
        let single = self.machine.pc.cpus.len() == 1;
        // At the very place there may be several instructions of the same cycle; and a snapshot that was taken while the
        // processor stood there may be of a later moment, to which the others had come.
        while let Some(n) = nearest {
            let point = &self.travel.points[n];
            let place = point.places[goal.processor as usize];
            let here = place == goal && (single || point.written.is_some());
            if here || !place.is_after(&goal) && place.cycle < goal.cycle || n == 0 {
                break;
            }
            nearest = n.checked_sub(1);
        }
        self.restore_point(nearest.ok_or(TravelError::Beginning)?)?;
        if self.machine.pc.cpus.get(goal.processor as usize).map(Here::of) != Some(goal) {
            self.rerun(self.turn_before(goal.cycle), None)?;
        }
        self.steps_to(goal, None)
    }

    /// The instructions of processor `n` before where it is now, the nearest last: at least `count` if there are so many.
    fn instructions_before(&mut self, n: usize, count: usize) -> Result<VecDeque<(Here, u64)>, TravelError> {
        let Some(end) = self.machine.pc.cpus.get(n).map(Here::of) else { return Err(TravelError::Beginning) };
        self.instructions_until(n, count, end)
    }

    fn instructions_until(&mut self, n: usize, count: usize, end: Here) -> Result<VecDeque<(Here, u64)>, TravelError> {
        // Where a write has just been, the run had come to where it was before: RIP may have been written.
        let mut end = end;
        for point in self.travel.points.iter().rev() {
            if let Some(places) = point.written.as_ref().filter(|_| point.places.get(n) == Some(&end)) {
                end = places.get(n).copied().unwrap_or(end);
            }
        }
        // What somebody has written from outside is in the snapshot behind it alone.
        let is_before = |point: &Point| point.places.get(n).is_some_and(|place| end.is_after(place));
        let written = |point: &Point| point.written.is_some() && is_before(point);
        let barrier = self.travel.points.iter().rposition(written);
        let mut window = WINDOW.max(4 * count as u64);
        loop {
            let from = end.cycle.saturating_sub(window);
            let point = self.travel.before(n, from).max(barrier);
            self.restore_point(point.unwrap_or(0))?;
            let mut recorder =
                Recorder { processor: end.processor, keep: count.max(1 << 16), list: VecDeque::new(), end };
            self.rerun(from, None)?;
            self.rerun(end.cycle.saturating_sub(1), Some(&mut recorder))?;
            self.steps_to(end, Some(&mut recorder))?;
            let mut list = recorder.list;
            if list.len() >= count {
                return Ok(list);
            }
            // All that came behind the write is in the list, not only the end of it.
            let behind = barrier.filter(|_| point == barrier).and_then(|at| self.travel.points.get(at));
            if let Some(point) = behind.filter(|point| point.places.get(n).is_some_and(|place| place.cycle >= from)) {
                let before = point.written.as_ref().and_then(|places| places.get(n)).copied();
                let mut all = self.instructions_until(n, count - list.len(), before.ok_or(TravelError::Beginning)?)?;
                all.append(&mut list);
                return Ok(all);
            }
            if from == 0 || point.is_none() {
                return Ok(list);
            }
            window = window.saturating_mul(16);
        }
    }

    /// Goes back by `count` instructions of processor `n`, or as far as it can.
    pub fn back(&mut self, n: usize, count: usize) -> Result<(), TravelError> {
        self.or_stay(|this| {
            let list = this.instructions_before(n, count)?;
            let goal = list.len().checked_sub(count).and_then(|at| list.get(at)).or(list.front());
            this.go_to(goal.ok_or(TravelError::Beginning)?.0)
        })
    }

    /// Goes back by one instruction of processor `n`, and over calls: to the last one with at least its present RSP.
    pub fn back_over(&mut self, n: usize) -> Result<(), TravelError> {
        let stack = self.machine.pc.cpus.get(n).map_or(0, |cpu| cpu.gpr[4]);
        self.or_stay(|this| {
            let mut count = 1000;
            // The machine is elsewhere after the first look.
            let end = this.machine.pc.cpus.get(n).map(Here::of).ok_or(TravelError::Beginning)?;
            loop {
                let list = this.instructions_until(n, count, end)?;
                if let Some(&(goal, _)) = list.iter().rev().find(|(_, rsp)| *rsp >= stack) {
                    return this.go_to(goal);
                }
                if list.len() < count {
                    return Err(TravelError::Beginning);
                }
                count *= 16;
            }
        })
    }

    /// Goes back to the last instruction that met a breakpoint, or did what one waits for.
    pub fn back_to_hit(&mut self, watcher: &mut Watcher) -> Result<Hit, TravelError> {
        self.or_stay(|this| this.search_hit(watcher))
    }

    fn search_hit(&mut self, watcher: &mut Watcher) -> Result<Hit, TravelError> {
        let now = places(&self.machine.pc);
        let sum = place_sum(&now);
        let mut end = now.iter().map(|place| place.cycle).max().unwrap_or(0);
        for n in (0..self.travel.points.len()).rev() {
            if place_sum(&self.travel.points[n].places) > sum {
                continue;
            }
            self.restore_point(n)?;
            watcher.collect(&now);
            let rerun = self.rerun(end, Some(watcher));
            let found = watcher.collected();
            rerun?;
            if let Some((goal, hit)) = found {
                self.go_to(goal)?;
                return Ok(hit);
            }
            end = self.travel.points[n].places.iter().map(|place| place.cycle).max().unwrap_or(0);
        }
        Err(TravelError::NoHit)
    }

    /// Runs on to a cycle; the log is told of VM entries and VM exits, again or for the first time.
    pub fn watch_to(&mut self, cycle: u64, log: &mut VmxLog) -> Result<(), TravelError> {
        self.rerun(cycle, Some(log))
    }

    /// Goes on to the VMM's first instruction behind the VM exit of a processor at a cycle.
    pub fn come_to_vmm(&mut self, processor: usize, cycle: u64, log: &mut VmxLog) -> Result<(), TravelError> {
        let _quiet = Quiet::new();
        let mut result = Ok(());
        for _ in 0..1_000_000 {
            let cpu = self.machine.pc.cpus.get(processor);
            if cpu.is_none_or(|cpu| cpu.cycles >= cycle && cpu.vmx.non_root.is_none()) {
                break;
            }
            let exit = self.step_towards(processor, Some(log));
            self.ended = self.machine.after(&exit);
            if self.ended.is_some() {
                break;
            }
            if self.interrupted() {
                result = Err(TravelError::Interrupted);
                break;
            }
        }
        self.drop_output();
        result
    }

    /// Goes to the first moment at which the clock has come to a cycle that is over.
    pub fn back_to_cycle(&mut self, cycle: u64) -> Result<(), TravelError> {
        self.or_stay(|this| {
            let all = |point: &Point| point.places.iter().all(|place| place.cycle <= cycle);
            let nearest = this.travel.points.iter().rposition(all).ok_or(TravelError::Beginning)?;
            this.restore_point(nearest)?;
            this.rerun(cycle, None)
        })
    }

    /// Goes to the first moment that can be gone back to.
    pub fn back_to_beginning(&mut self) -> Result<(), TravelError> {
        self.or_stay(|this| this.restore_point(0))
    }
}
