//! Performance monitoring: the counters, and how they follow from a processor's cycles, instructions and branches (SDM
//! Vol. 3B chapter 20, "Performance Monitoring").
//!
//! Nothing is counted while instructions run: what a counter has gained is worked out when somebody reads it, when what it
//! depends on changes, and when it is about to overflow. Branches, and events cycle by cycle, are told by whoever runs the
//! instructions one by one for as long as [`Pmu::watches`] asks for it.

use crate::cycles::parts::Parts;
use crate::model::pmu::{FIXED, GENERAL, PmuModel};
use emu_vmx::arch::msr::DebugCtl;
use serde::{Deserialize, Serialize};

/// Fields of IA32_PERFEVTSELx.
mod select {
    pub const USR: u64 = 1 << 16;
    pub const OS: u64 = 1 << 17;
    pub const EDGE: u64 = 1 << 18;
    pub const INT: u64 = 1 << 20;
    pub const EN: u64 = 1 << 22;
    pub const INV: u64 = 1 << 23;
    pub const CMASK_SHIFT: u32 = 24;
}

/// Fields of a counter's four bits in IA32_FIXED_CTR_CTRL.
mod fixed_control {
    pub const OS: u64 = 1 << 0;
    pub const USR: u64 = 1 << 1;
    pub const PMI: u64 = 1 << 3;
}

/// IA32_PERF_GLOBAL_STATUS.LBR_FRZ.
pub const LBR_FRZ: u64 = 1 << 58;
/// IA32_PERF_GLOBAL_STATUS.CTR_FRZ.
pub const CTR_FRZ: u64 = 1 << 59;
/// The first fixed-function counter in IA32_PERF_GLOBAL_CTRL and IA32_PERF_GLOBAL_STATUS.
const FIRST_FIXED: usize = 32;

/// What a general-purpose counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Unhalted core cycles, or reference cycles: there is one frequency, the time-stamp counter's.
    Cycles,
    Instructions,
    Branches,
    /// One of these.
    Miss(Miss),
    /// One that never happens here.
    Nothing,
}

/// What happens where the clock models caches or branch prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// A line was not in the caches that the processor has for itself.
    LastLevelReference,
    /// Nor in the one that is shared.
    LastLevel,
    /// A branch was mispredicted.
    Branch,
}

/// How often each [`Miss`] has happened.
pub type Misses = [u64; 3];

/// What the processor is doing, as far as counters depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Running {
    /// It does not execute.
    #[default]
    Halted,
    /// CPL is 0.
    Os,
    /// CPL is not 0.
    User,
}

impl Running {
    fn is_counted(self, os: bool, user: bool) -> bool {
        match self {
            Self::Halted => false,
            Self::Os => os,
            Self::User => user,
        }
    }
}

/// A processor's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clocks {
    /// Cycles.
    pub cycles: u64,
    /// Instructions retired.
    pub instructions: u64,
    /// Branch instructions retired, while they are watched.
    pub branches: u64,
    /// References to the last-level cache, misses of it, branches mispredicted: where they are modelled.
    pub misses: Misses,
}

/// The first cycle that the counters with CMASK or E have not looked at, and what has retired in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OpenCycle {
    cycle: u64,
    instructions: u64,
    branches: u64,
    misses: Misses,
}

impl OpenCycle {
    /// Its number.
    pub fn cycle(&self) -> u64 {
        self.cycle
    }
}

/// The registers of performance monitoring, and up to where the counters have counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pmu {
    /// IA32_PMCx, at `counted`.
    pub general: [u64; GENERAL],
    /// IA32_PERFEVTSELx.
    pub selects: [u64; GENERAL],
    /// IA32_FIXED_CTRx, at `counted`.
    pub fixed: [u64; FIXED],
    /// IA32_FIXED_CTR_CTRL.
    pub fixed_control: u64,
    /// IA32_PERF_GLOBAL_CTRL.
    pub global_control: u64,
    /// IA32_PERF_GLOBAL_STATUS, at `counted`.
    pub global_status: u64,
    /// Branch instructions that have retired while they were watched.
    pub branches: u64,
    /// What is modelled of what events of misses count; without, these never happen.
    pub modelled: Parts,
    /// As [`Clocks::misses`], watched or not.
    pub misses: Misses,
    /// Up to where the counters have counted.
    pub counted: Clocks,
    /// What the processor has been doing since.
    pub running: Running,
    /// For the counters with CMASK or E.
    pub open: OpenCycle,
    /// Bit n: what IA32_PMCn compares held in the last cycle.
    pub asserted: u8,
    /// Cycle by which a counter that interrupts may overflow; `u64::MAX` if none can.
    pub deadline: u64,
    /// For how many instructions in a cycle it was worked out.
    pub per_cycle: u64,
    /// Some counter is enabled.
    pub counting: bool,
    /// Some counter wants instructions to be run one by one, and [`Pmu::retire`] to be told of them.
    pub watches: bool,
}

impl Pmu {
    /// After power-on and reset (SDM Vol. 3A Table 10-1): the general-purpose counters are enabled globally.
    pub fn new(model: &PmuModel) -> Self {
        let global_control = if model.version >= 2 { (1 << model.general) - 1 } else { 0 };
        Self { global_control, deadline: u64::MAX, ..Self::default() }
    }

    /// Whether a bit of IA32_PERF_GLOBAL_CTRL is in force (SDM Vol. 3B 20.2.4.1, "Enhancement in
    /// IA32_PERF_GLOBAL_STATUS", for version 4).
    fn is_enabled(&self, bit: usize, model: &PmuModel) -> bool {
        match model.version {
            0 => false,
            1 => true,
            2 | 3 => self.global_control >> bit & 1 != 0,
            _ => self.global_control >> bit & 1 != 0 && self.global_status & CTR_FRZ == 0,
        }
    }

    fn general_runs(&self, n: usize, model: &PmuModel) -> bool {
        let select = self.selects[n];
        select & select::EN != 0 && select & (select::USR | select::OS) != 0 && self.is_enabled(n, model)
    }

    fn fixed_field(&self, n: usize) -> u64 {
        self.fixed_control >> (4 * n) & 0xF
    }

    fn fixed_runs(&self, n: usize, model: &PmuModel) -> bool {
        let field = self.fixed_field(n);
        field & (fixed_control::OS | fixed_control::USR) != 0 && self.is_enabled(FIRST_FIXED + n, model)
    }

    fn general_counts(&self, n: usize) -> bool {
        self.running.is_counted(self.selects[n] & select::OS != 0, self.selects[n] & select::USR != 0)
    }

    fn fixed_counts(&self, n: usize) -> bool {
        let field = self.fixed_field(n);
        self.running.is_counted(field & fixed_control::OS != 0, field & fixed_control::USR != 0)
    }

    /// SDM Vol. 3B, "Pre-defined Architectural Performance Events".
    fn event(&self, n: usize, model: &PmuModel) -> Event {
        let Parts { caches, branches } = self.modelled;
        let (event, bit) = match self.selects[n] & 0xFFFF {
            0x4F2E if caches => (Event::Miss(Miss::LastLevelReference), 3),
            0x412E if caches => (Event::Miss(Miss::LastLevel), 4),
            0x00C5 if branches => (Event::Miss(Miss::Branch), 6),
            0x003C => (Event::Cycles, 0),
            0x00C0 => (Event::Instructions, 1),
            0x013C => (Event::Cycles, 2),
            0x00C4 => (Event::Branches, 5),
            _ => return Event::Nothing,
        };
        if model.events >> bit & 1 != 0 { event } else { Event::Nothing }
    }

    /// It compares what happens in each cycle with CMASK, or counts the cycles in which something begins to happen.
    fn looks_at_cycles(&self, n: usize) -> bool {
        self.selects[n] & select::EDGE != 0 || self.selects[n] >> select::CMASK_SHIFT != 0
    }

    /// Some counter asks in which cycle instructions retire, or what they do happens.
    pub fn looks_at_some_cycles(&self, model: &PmuModel) -> bool {
        let looks = |n| self.general_runs(n, model) && self.looks_at_cycles(n);
        self.watches && (0..usize::from(model.general)).any(looks)
    }

    /// Whether a cycle in which an event has happened so often is one that IA32_PMCn is after.
    fn compares(&self, n: usize, events: u64) -> bool {
        match self.selects[n] >> select::CMASK_SHIFT & 0xFF {
            0 => events != 0,
            mask => (events >= mask) != (self.selects[n] & select::INV != 0),
        }
    }

    /// Adds to counter `n`, fixed-function ones from [`FIRST_FIXED`] on, and notes its overflow.
    fn add(&mut self, n: usize, events: u64, model: &PmuModel) -> u64 {
        let (counter, width) = match n.checked_sub(FIRST_FIXED) {
            None => (&mut self.general[n], model.width),
            Some(fixed) => (&mut self.fixed[fixed], model.fixed_width),
        };
        let mask = u64::MAX >> (64 - width);
        let (sum, carry) = counter.overflowing_add(events);
        *counter = sum & mask;
        if carry || sum > mask { 1 << n } else { 0 }
    }

    /// Counts up to a cycle and an instruction; the bits in IA32_PERF_GLOBAL_STATUS of the counters that have overflowed.
    pub fn advance(&mut self, cycles: u64, instructions: u64, model: &PmuModel) -> u64 {
        let mut overflowed = self.close(cycles, model);
        let last = self.counted;
        // An instruction that was counted as it executed, and did not complete, is taken back: the next one is it.
        let now = Clocks {
            cycles: cycles.max(last.cycles),
            instructions: instructions.max(last.instructions),
            branches: self.branches.max(last.branches),
            misses: self.misses,
        };
        self.counted = now;
        let (cycles, instructions) = (now.cycles - last.cycles, now.instructions - last.instructions);
        let branches = now.branches - last.branches;
        for n in 0..usize::from(model.general) {
            if self.general_runs(n, model) && self.general_counts(n) && !self.looks_at_cycles(n) {
                let events = match self.event(n, model) {
                    Event::Cycles => cycles,
                    Event::Instructions => instructions,
                    Event::Branches => branches,
                    Event::Miss(miss) => now.misses[miss as usize].wrapping_sub(last.misses[miss as usize]),
                    Event::Nothing => 0,
                };
                overflowed |= self.add(n, events, model);
            }
        }
        for n in 0..usize::from(model.fixed) {
            if self.fixed_runs(n, model) && self.fixed_counts(n) {
                let events = if n == 0 { instructions } else { cycles };
                overflowed |= self.add(FIRST_FIXED + n, events, model);
            }
        }
        self.global_status |= overflowed;
        overflowed
    }

    /// Looks at all cycles up to this one, for the counters with CMASK or E; the bits of those that have overflowed.
    fn close(&mut self, cycle: u64, model: &PmuModel) -> u64 {
        if self.running == Running::Halted || cycle < self.open.cycle {
            return 0;
        }
        let idle = cycle - self.open.cycle;
        let open = std::mem::replace(&mut self.open, OpenCycle { cycle: cycle + 1, ..OpenCycle::default() });
        let mut overflowed = 0;
        for n in 0..usize::from(model.general) {
            let bit = 1u8 << n;
            if !self.general_runs(n, model) || !self.looks_at_cycles(n) || !self.general_counts(n) {
                self.asserted &= !bit;
                continue;
            }
            let (first, rest) = match self.event(n, model) {
                Event::Cycles => (1, 1),
                Event::Instructions => (open.instructions, 0),
                Event::Branches => (open.branches, 0),
                Event::Miss(miss) => (open.misses[miss as usize], 0),
                Event::Nothing => (0, 0),
            };
            let before = self.asserted & bit != 0;
            let (first, rest) = (self.compares(n, first), self.compares(n, rest));
            let last = if idle == 0 { first } else { rest };
            self.asserted = self.asserted & !bit | if last { bit } else { 0 };
            let events = if self.selects[n] & select::EDGE != 0 {
                u64::from(first && !before) + u64::from(idle != 0 && rest && !first)
            } else {
                u64::from(first) + if rest { idle } else { 0 }
            };
            overflowed |= self.add(n, events, model);
        }
        overflowed
    }

    /// An instruction is about to retire in this cycle; the bits of counters that have overflowed before it.
    pub fn retire(&mut self, cycle: u64, branch: bool, model: &PmuModel) -> u64 {
        let overflowed = if cycle > self.open.cycle { self.close(cycle - 1, model) } else { 0 };
        self.branches = self.branches.wrapping_add(branch.into());
        self.open.instructions = self.open.instructions.saturating_add(1);
        self.open.branches = self.open.branches.saturating_add(branch.into());
        self.global_status |= overflowed;
        overflowed
    }

    /// Something of this kind has happened.
    #[inline]
    pub fn note(&mut self, miss: Miss) {
        let n = miss as usize;
        self.misses[n] = self.misses[n].wrapping_add(1);
        self.open.misses[n] = if self.watches { self.open.misses[n].saturating_add(1) } else { 0 };
    }

    /// The instruction of the last [`Pmu::retire`] has not retired.
    pub fn take_back(&mut self, branch: bool) {
        self.branches = self.branches.wrapping_sub(branch.into());
        self.open.instructions = self.open.instructions.saturating_sub(1);
        self.open.branches = self.open.branches.saturating_sub(branch.into());
    }

    /// The processor does something else from now on, up to which the counters have counted.
    pub fn run_as(&mut self, running: Running) {
        if self.running == Running::Halted || running == Running::Halted {
            self.asserted = 0;
        }
        self.running = running;
        self.open = OpenCycle { cycle: self.counted.cycles + 1, ..OpenCycle::default() };
    }

    /// What the interrupt of these counters freezes, if one of them asks for it; whether it does (SDM Vol. 3B 18.4.7,
    /// "Freezing LBR and Performance Counters on PMI").
    pub fn freeze(&mut self, overflowed: u64, debugctl: DebugCtl, model: &PmuModel) -> bool {
        if overflowed & self.interrupting(model) == 0 {
            return false;
        }
        let streamlined = model.version >= 4;
        if debugctl.contains(DebugCtl::FREEZE_PERFMON_ON_PMI) {
            if streamlined {
                self.global_status |= CTR_FRZ;
            } else {
                self.global_control = 0;
            }
        }
        if debugctl.contains(DebugCtl::FREEZE_LBRS_ON_PMI) && streamlined {
            self.global_status |= LBR_FRZ;
        }
        true
    }

    /// The bits of counters whose overflow is an interrupt.
    pub fn interrupting(&self, model: &PmuModel) -> u64 {
        let general = (0..usize::from(model.general)).filter(|&n| self.selects[n] & select::INT != 0);
        let fixed = (0..usize::from(model.fixed)).filter(|&n| self.fixed_field(n) & fixed_control::PMI != 0);
        general.chain(fixed.map(|n| FIRST_FIXED + n)).fold(0, |all, n| all | 1 << n)
    }

    /// Derives what follows from the controls, for counters that have counted up to now. `per_cycle`: no more instructions
    /// than that retire in a cycle, as a rule.
    pub fn settle(&mut self, per_cycle: u64, model: &PmuModel) {
        let mut general = (0..usize::from(model.general)).filter(|&n| self.general_runs(n, model));
        let counting =
            general.clone().next().is_some() || (0..usize::from(model.fixed)).any(|n| self.fixed_runs(n, model));
        self.watches = general.any(|n| match self.event(n, model) {
            Event::Branches => true,
            Event::Instructions | Event::Miss(_) => self.looks_at_cycles(n),
            Event::Cycles | Event::Nothing => false,
        });
        // A counter that is enabled again begins anew, whatever the others do meanwhile.
        for n in 0..GENERAL {
            if n >= usize::from(model.general) || !self.general_runs(n, model) || !self.looks_at_cycles(n) {
                self.asserted &= !(1 << n);
            }
        }
        self.counting = counting;
        self.per_cycle = per_cycle;
        self.deadline = self.next_overflow(per_cycle, model);
    }

    /// Cycle before which no counter that interrupts overflows.
    fn next_overflow(&self, per_cycle: u64, model: &PmuModel) -> u64 {
        let interrupting = self.interrupting(model);
        let wait = |value: u64, width: u8, rate: u64| {
            let left = (u64::MAX >> (64 - width)).saturating_sub(value).saturating_add(1);
            self.counted.cycles.saturating_add((left / rate).max(1))
        };
        let general = (0..usize::from(model.general))
            .filter(|&n| interrupting >> n & 1 != 0 && self.general_runs(n, model) && self.general_counts(n))
            .filter(|&n| self.looks_at_cycles(n) || self.event(n, model) != Event::Nothing)
            .map(|n| {
                let by_cycle = self.looks_at_cycles(n) || self.event(n, model) == Event::Cycles;
                wait(self.general[n], model.width, if by_cycle { 1 } else { per_cycle })
            });
        let fixed = (0..usize::from(model.fixed))
            .filter(|&n| {
                interrupting >> (FIRST_FIXED + n) & 1 != 0 && self.fixed_runs(n, model) && self.fixed_counts(n)
            })
            .map(|n| wait(self.fixed[n], model.fixed_width, if n == 0 { per_cycle } else { 1 }));
        general.chain(fixed).min().unwrap_or(u64::MAX)
    }

    /// Cycle of the next overflow that interrupts, for counters that have counted up to now, if nothing retires until then.
    pub fn idle_overflow(&self, model: &PmuModel) -> u64 {
        let interrupting = self.interrupting(model);
        let wait = |value: u64, width: u8| {
            let left = (u64::MAX >> (64 - width)).saturating_sub(value).saturating_add(1);
            self.counted.cycles.saturating_add(left)
        };
        let general = (0..usize::from(model.general))
            .filter(|&n| interrupting >> n & 1 != 0 && self.general_runs(n, model) && self.general_counts(n))
            .filter_map(|n| {
                let cycles = self.event(n, model) == Event::Cycles;
                let passing = if self.looks_at_cycles(n) { self.compares(n, cycles.into()) } else { cycles };
                let deadline = wait(self.general[n], model.width);
                // One cycle may begin something, the others go on with it.
                let begins = self.asserted >> n & 1 == 0 && deadline == self.counted.cycles.saturating_add(1);
                (passing && (self.selects[n] & select::EDGE == 0 || begins)).then_some(deadline)
            });
        let fixed = (1..usize::from(model.fixed))
            .filter(|&n| {
                interrupting >> (FIRST_FIXED + n) & 1 != 0 && self.fixed_runs(n, model) && self.fixed_counts(n)
            })
            .map(|n| wait(self.fixed[n], model.fixed_width));
        general.chain(fixed).min().unwrap_or(u64::MAX)
    }

    /// IA32_PERF_GLOBAL_INUSE (SDM Vol. 3B 20.2.4.3): which counters and whether interrupts are in use.
    pub fn in_use(&self, model: &PmuModel) -> u64 {
        let general = (0..usize::from(model.general)).filter(|&n| self.selects[n] & 0xFF != 0);
        let fixed = (0..usize::from(model.fixed)).filter(|&n| self.fixed_field(n) & 3 != 0).map(|n| FIRST_FIXED + n);
        let counters = general.chain(fixed).fold(0, |all, n| all | 1 << n);
        counters | if self.interrupting(model) != 0 { 1 << 63 } else { 0 }
    }
}
