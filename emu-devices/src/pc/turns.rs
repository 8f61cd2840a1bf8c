//! Time: the processors' turns, and how a run may be cut anywhere without changing it.
//!
//! Several processors take turns that begin at multiples of the quantum and end at the next one, or at a device's
//! deadline. Within a turn each runs from the turn's start to its end, one after the other; so everything that happens
//! has one place in one order. A run to some cycle stops at the first place in that order where the processor whose
//! turn it is has come so far, and the unfinished turn goes on from there. A single processor has no one to share time
//! with: its turns last from deadline to deadline.

use super::{Pc, PcExit};
use crate::state::LAST_CYCLE;
use emu_core::bus::DeliveryMode;
use emu_core::flags::IF;
use emu_core::lapic::Lvt;
use emu_core::observe::{Observer, Watching};
use emu_core::run::{RunExit, Slice};
use emu_core::state::cpu::{Cpu, Env};
use emu_core::state::derived::Attention;
use emu_core::state::system::Activity;
use serde::{Deserialize, Serialize};

/// What a reset costs the host, in cycles of work.
pub(super) const RESET_WORK: u64 = 100_000;
/// The same of a processor that is asked to go on with its turn, whether or not it executes.
const CALL_WORK: u64 = 20;
/// The same of a turn, with the deadlines that end it.
const TURN_WORK: u64 = 100;

/// A turn that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Cycle at which it ends.
    pub end: u64,
    /// The processor that runs; those before it have finished the turn.
    pub processor: u32,
}

impl Pc {
    /// Runs until the clock reaches `cycle`, 2^60 at most, or until the machine ends. Where a run is cut changes nothing in
    /// it.
    pub fn run_until(&mut self, cycle: u64) -> PcExit {
        self.run_to(cycle, None)
    }

    /// [`Pc::run_until`], with somebody who watches. The run is the same.
    pub fn run_observed(&mut self, cycle: u64, observer: &mut dyn Observer) -> PcExit {
        self.run_to(cycle, Some(observer))
    }

    /// The same, with somebody who watches or not, until it has cost the host `work`: about as much as so many cycles of
    /// one processor, whatever the guest does with its time. It is counted in what the guest does and not in time of the
    /// host's, so that runs repeat; a run comes back at the first place where it can once that much is done.
    pub fn run_bounded(&mut self, cycle: u64, work: u64, observer: Option<&mut dyn Observer>) -> PcExit {
        self.work = work.max(1);
        let exit = self.run_to(cycle, observer);
        self.work = u64::MAX;
        exit
    }

    fn run_to(&mut self, cycle: u64, observer: Option<&mut dyn Observer>) -> PcExit {
        let cycle = cycle.min(LAST_CYCLE);
        let exit = self.run(cycle, None, observer);
        if exit == PcExit::Limit {
            self.reached = self.reached.max(cycle);
        }
        exit
    }

    /// Runs until processor `n` has executed one instruction or one iteration of a repeated one, or an event was
    /// delivered to it; the others take their turns meanwhile. Comes back at `cycle` at the latest, for a processor that
    /// does not execute. There is no step, and [`PcExit::Limit`], for a processor that does not exist.
    pub fn step(&mut self, n: usize, cycle: u64) -> PcExit {
        self.step_to(n, cycle, None)
    }

    /// [`Pc::step`], with somebody who watches.
    pub fn step_observed(&mut self, n: usize, cycle: u64, observer: &mut dyn Observer) -> PcExit {
        self.step_to(n, cycle, Some(observer))
    }

    fn step_to(&mut self, n: usize, cycle: u64, observer: Option<&mut dyn Observer>) -> PcExit {
        if n >= self.cpus.len() {
            return PcExit::Limit;
        }
        self.run(cycle.min(LAST_CYCLE), Some(n), observer)
    }

    fn run(&mut self, cycle: u64, stepped: Option<usize>, observer: Option<&mut dyn Observer>) -> PcExit {
        let mut watching = observer.map(Watching::new);
        // Input may have brought a deadline into an unfinished turn.
        let nearest = self.board.next_deadline();
        if let Some(turn) = &mut self.turn {
            turn.end = turn.end.min(nearest.max(self.now));
        }
        loop {
            let turn = match self.turn {
                Some(turn) => turn,
                None => {
                    self.board.advance(&mut self.ram, self.now);
                    if let Some(exit) = self.signals(None) {
                        return exit;
                    }
                    // A reset among the signals lets through what waited for it: that comes before the turn.
                    if self.board.next_deadline() <= self.now {
                        continue;
                    }
                    if self.now >= cycle {
                        return PcExit::Limit;
                    }
                    if self.work == 0 {
                        return PcExit::Work;
                    }
                    self.work = self.work.saturating_sub(TURN_WORK);
                    if self.cpus.iter().all(|cpu| cpu.carried.asleep) {
                        let before = self.now;
                        if let Some(exit) = self.skip_idle(cycle) {
                            return exit;
                        }
                        if self.now > before {
                            continue;
                        }
                    }
                    self.begin_turn()
                }
            };
            if let Some(exit) = self.go_on(turn, cycle, stepped, &mut watching) {
                return exit;
            }
            self.turn = None;
        }
    }

    fn begin_turn(&mut self) -> Turn {
        let limit = if self.cpus.len() == 1 { u64::MAX } else { self.next_multiple(self.now) };
        let turn = Turn { end: limit.min(self.board.next_deadline()).max(self.now + 1), processor: 0 };
        self.turn = Some(turn);
        self.cpus.iter_mut().for_each(Cpu::begin_turn);
        let shown = self.cpus.last().map_or(0, |cpu| cpu.carried.tsc_shown);
        self.cpus[0].see_tsc(shown);
        turn
    }

    /// The first multiple of the quantum after `cycle`.
    fn next_multiple(&self, cycle: u64) -> u64 {
        (cycle / self.quantum + 1).saturating_mul(self.quantum)
    }

    /// Goes on with a turn to its end; `None` when that is reached.
    fn go_on(
        &mut self,
        mut turn: Turn,
        cycle: u64,
        stepped: Option<usize>,
        watching: &mut Option<Watching>,
    ) -> Option<PcExit> {
        while let Some(cpu) = self.cpus.get_mut(turn.processor as usize) {
            let n = turn.processor as usize;
            if cpu.cycles >= turn.end {
                cpu.end_turn();
                let shown = cpu.carried.tsc_shown;
                turn.processor += 1;
                self.turn = Some(turn);
                // The next processor's clock starts anew, its time-stamp counter does not.
                if let Some(next) = self.cpus.get_mut(turn.processor as usize) {
                    next.see_tsc(shown);
                }
                continue;
            }
            // A PAUSE behind which an observer has stopped has yet to give its time away.
            if cpu.cycles >= cycle && !cpu.carried.gives_way {
                return Some(PcExit::Limit);
            }
            if self.work == 0 {
                // Before that cycle, as the clock: another processor may have come to it in this turn.
                self.reached = self.reached.max(cpu.cycles);
                return Some(PcExit::Work);
            }
            let step = stepped == Some(n);
            let before = cpu.cycles;
            let stop = turn.end.min(cycle).min(before.saturating_add(self.work));
            let slice = Slice { stop, turn_end: turn.end, step };
            let mut env = Env { ram: &mut self.ram, bus: &mut self.board, outbox: &mut self.outbox };
            let watching = watching.as_mut().map(Watching::reborrow);
            let run = cpu.run_slice(&mut env, &mut self.cache, slice, watching);
            let (reached, progressed) = (cpu.cycles, cpu.scratch.progressed);
            self.work = self.work.saturating_sub(reached - before + CALL_WORK);
            // Whoever stops a run where the processor has just sent something: that is on its way, and this its sender.
            if run == RunExit::Signals || run == RunExit::Observer && self.has_signals() {
                let exit = self.signals(Some(n));
                turn.end = turn.end.min(self.board.next_deadline().max(reached));
                self.turn = Some(turn);
                if exit.is_some() {
                    self.reached = self.reached.max(reached);
                    return exit;
                }
            }
            match run {
                RunExit::Budget | RunExit::Signals => {}
                RunExit::Observer => {
                    self.reached = self.reached.max(reached);
                    return Some(PcExit::Observer { processor: n as u32 });
                }
                RunExit::Stopped => {
                    if let Some(exit) = self.stay(&mut turn, n, cycle) {
                        return Some(exit);
                    }
                }
            }
            if step && progressed {
                self.reached = self.reached.max(reached);
                return Some(PcExit::Limit);
            }
        }
        self.now = turn.end;
        None
    }

    /// Processor `n` does not execute: its clock goes on to the end of the turn, or to `cycle`.
    fn stay(&mut self, turn: &mut Turn, n: usize, cycle: u64) -> Option<PcExit> {
        let single = self.cpus.len() == 1;
        let reached = self.cpus[n].cycles;
        let multiple = self.next_multiple(reached);
        let cpu = &mut self.cpus[n];
        if cpu.sys.activity == Activity::Shutdown && !cpu.in_non_root() {
            let rip = cpu.rip();
            self.reached = self.reached.max(reached);
            // A reset that follows finds the board at this time, wherever the run was cut before.
            self.board.reach(&mut self.ram, reached);
            return Some(PcExit::Shutdown { processor: n as u32, rip });
        }
        let waits = cpu.sys.activity == Activity::Mwait;
        if single && !waits {
            // The turn is over: what comes next is up to the clock.
            turn.end = reached.max(self.now + 1);
            self.turn = Some(*turn);
            cpu.cycles = turn.end;
            return None;
        }
        cpu.carried.asleep &= !waits;
        if single {
            turn.end = turn.end.min(multiple);
            self.turn = Some(*turn);
        }
        let target = turn.end.min(cpu.wake_deadline());
        cpu.cycles = cpu.cycles.max(target.min(cycle));
        (target > cycle).then_some(PcExit::Limit)
    }

    /// No processor executes, and no turn begins: the clock jumps to whatever comes next, if that is later.
    fn skip_idle(&mut self, cycle: u64) -> Option<PcExit> {
        if self.cpus.iter().all(|cpu| self.is_dead(cpu)) {
            return Some(PcExit::Halted);
        }
        let timers = self.cpus.iter().map(Cpu::wake_deadline);
        let next = timers.fold(self.board.next_deadline(), u64::min).min(cycle);
        if next > self.now {
            self.now = next;
            for cpu in &mut self.cpus {
                cpu.cycles = cpu.cycles.max(next);
            }
        }
        None
    }

    /// Whether nothing that is to come can make a stopped processor execute, while no other one does.
    fn is_dead(&self, cpu: &Cpu) -> bool {
        if cpu.sys.activity == Activity::WaitForSipi {
            return true;
        }
        if cpu.in_non_root() || cpu.flags.has(IF) {
            return false;
        }
        let takes_init = !cpu.vmx.on();
        let takes_nmi = !cpu.sys.nmi_blocked;
        let comes = |pending: Attention, delivery| cpu.attention.intersects(pending) || self.board.may_send(delivery);
        // The PIC's output is an NMI if LINT0 says so; while it is high it does not rise.
        let lint0 = cpu.lapic.lvt[Lvt::Lint0 as usize] & 0x1_0700 == 0x400 && cpu.lapic.software_enabled();
        let by_lint0 = lint0 && !self.intr && self.board.next_deadline() != u64::MAX;
        let init = takes_init && comes(Attention::INIT, DeliveryMode::Init);
        let nmi = takes_nmi && (comes(Attention::NMI, DeliveryMode::Nmi) || by_lint0);
        !(init || nmi)
    }
}
