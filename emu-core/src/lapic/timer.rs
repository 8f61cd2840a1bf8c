//! The local APIC timer (SDM Vol. 3A 11.5.4). Its clock is the processor's cycle clock.

use super::Lapic;
use super::{LVT_MASKED, Lvt};
use crate::state::cpu::Cpu;

/// How the timer runs: bits 18:17 of its LVT entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerMode {
    /// Counts down once.
    OneShot,
    /// Reloads the initial count.
    Periodic,
    /// Fires when the TSC reaches IA32_TSC_DEADLINE.
    TscDeadline,
}

impl Lapic {
    /// The mode of the timer.
    pub fn timer_mode(&self) -> TimerMode {
        match self.lvt[Lvt::Timer as usize] >> 17 & 3 {
            0 => TimerMode::OneShot,
            1 => TimerMode::Periodic,
            _ => TimerMode::TscDeadline,
        }
    }

    /// Cycles per count: the divide configuration register's bits 3, 1 and 0.
    pub fn timer_divisor(&self) -> u64 {
        match self.divide & 0xB {
            0b0000 => 2,
            0b0001 => 4,
            0b0010 => 8,
            0b0011 => 16,
            0b1000 => 32,
            0b1001 => 64,
            0b1010 => 128,
            _ => 1,
        }
    }

    /// The current count at cycle `now`.
    pub fn current_count(&self, now: u64) -> u32 {
        let initial = u64::from(self.initial_count);
        if initial == 0 || self.timer_stopped {
            return 0;
        }
        let counts = now.saturating_sub(self.timer_start) / self.timer_divisor();
        match self.timer_mode() {
            TimerMode::OneShot => initial.saturating_sub(counts) as u32,
            TimerMode::Periodic => (initial - counts % initial) as u32,
            TimerMode::TscDeadline => 0,
        }
    }

    /// Loads the initial count at cycle `now`.
    pub fn start_timer(&mut self, count: u32, now: u64) {
        self.initial_count = count;
        self.timer_start = now;
        self.timer_stopped = false;
        self.schedule_timer(now, 0);
    }

    /// Finds the next deadline after `now`; `tsc_offset` is TSC minus cycles.
    pub fn schedule_timer(&mut self, now: u64, tsc_offset: u64) {
        let initial = u64::from(self.initial_count);
        let period = initial * self.timer_divisor();
        self.deadline = match self.timer_mode() {
            TimerMode::TscDeadline if self.tsc_deadline != 0 => {
                let cycles = self.tsc_deadline.wrapping_sub(tsc_offset);
                let reached = now.wrapping_add(tsc_offset) >= self.tsc_deadline;
                if reached { now } else { cycles }
            }
            TimerMode::OneShot | TimerMode::Periodic if self.timer_stopped => u64::MAX,
            TimerMode::OneShot if initial != 0 && now < self.timer_start + period => self.timer_start + period,
            TimerMode::Periodic if initial != 0 => {
                self.timer_start + (now.saturating_sub(self.timer_start) / period + 1) * period
            }
            _ => u64::MAX,
        };
    }

    /// The deadline has come: the timer's interrupt, and the next deadline.
    pub fn timer_fired(&mut self, now: u64, tsc_offset: u64) {
        let entry = self.lvt[Lvt::Timer as usize];
        match self.timer_mode() {
            TimerMode::TscDeadline => {
                self.tsc_deadline = 0;
                self.deadline = u64::MAX;
            }
            TimerMode::OneShot => {
                self.timer_stopped = true;
                self.deadline = u64::MAX;
            }
            TimerMode::Periodic => self.schedule_timer(now, tsc_offset),
        }
        if entry & LVT_MASKED == 0 {
            self.request(entry as u8, false);
        }
    }
}

impl Cpu {
    /// Fires the timer if its time has come.
    #[inline]
    pub fn check_apic_timer(&mut self) {
        if self.cycles >= self.lapic.deadline {
            self.lapic.timer_fired(self.cycles, self.sys.tsc_offset);
            self.refresh_apic_attention();
        }
    }

    /// IA32_TSC_DEADLINE as RDMSR reads it.
    pub fn read_tsc_deadline(&self) -> u64 {
        if self.lapic.timer_mode() == TimerMode::TscDeadline { self.lapic.tsc_deadline } else { 0 }
    }

    /// WRMSR of IA32_TSC_DEADLINE: ignored in the other modes.
    pub fn write_tsc_deadline(&mut self, value: u64) {
        if self.lapic.timer_mode() == TimerMode::TscDeadline {
            self.lapic.tsc_deadline = value;
            self.reschedule_apic_timer();
        }
    }

    /// Finds the timer's deadline again, after a change of the TSC or of the timer's registers.
    pub fn reschedule_apic_timer(&mut self) {
        self.lapic.schedule_timer(self.cycles, self.sys.tsc_offset);
        self.leave_block();
    }
}
