//! One counter of an 8254: six modes as functions of the tick, the access protocol, and BCD.

use crate::state::{LAST_CYCLE, StateError, check};
use serde::{Deserialize, Serialize};

/// What the counting element does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "CounterPhase")]
enum Phase {
    /// No count yet, or a count that waits for a trigger. The element shows `held`.
    Waiting { held: u16 },
    /// Counting since tick `loaded`, from `origin` ticks into the count. `loaded` may lie ahead by one, until when the
    /// element shows `held` and the output is `level`.
    Running { loaded: u64, origin: u64, held: u16, level: bool },
    /// Stopped by the gate after `elapsed` ticks.
    Paused { elapsed: u64 },
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counter {
    /// Control word bits 5:0: access (5:4), mode (3:1), BCD (0).
    control: u8,
    gate: bool,
    /// The count register as last written in full.
    register: u16,
    /// The count the element works with.
    active: u16,
    phase: Phase,
    /// Modes 2 and 3: `register` moves into the element at this tick, the end of the (half) period.
    reload: Option<u64>,
    /// A count was written since the control word.
    written: bool,
    /// The low byte of a two-byte count whose high byte is still to come.
    low_written: Option<u8>,
    /// The next unlatched two-byte read gives the high byte.
    high_next: bool,
    /// Set from a control word or a new count until the count is in the element.
    null_count: bool,
    count_latch: Option<u16>,
    status_latch: Option<u8>,
}

impl Counter {
    pub(super) fn new(gate: bool) -> Self {
        Self {
            control: 0x36,
            gate,
            register: 0,
            active: 0,
            phase: Phase::Waiting { held: 0 },
            reload: None,
            low_written: None,
            written: false,
            high_next: false,
            null_count: true,
            count_latch: None,
            status_latch: None,
        }
    }

    /// Whether all ticks are in reach of the clock.
    pub(super) fn check(&self) -> Result<(), StateError> {
        let (start, elapsed) = match self.phase {
            Phase::Waiting { .. } => (0, 0),
            Phase::Running { loaded, origin, .. } => (loaded, origin),
            Phase::Paused { elapsed } => (0, elapsed),
        };
        let reload = self.reload.unwrap_or(start);
        let in_order = start <= reload && reload < LAST_CYCLE && elapsed < LAST_CYCLE;
        check(in_order, "8254", "a tick is out of range")
    }

    /// Modes 0 to 5; the upper bit of modes 2 and 3 does not matter.
    fn mode(&self) -> u8 {
        match self.control >> 1 & 7 {
            6 => 2,
            7 => 3,
            mode => mode,
        }
    }

    fn bcd(&self) -> bool {
        self.control & 1 != 0
    }

    pub(super) fn gate(&self) -> bool {
        self.gate
    }

    pub(super) fn is_rate_generator(&self) -> bool {
        self.mode() == 2
    }

    /// The period of mode 3 in ticks, while it runs.
    pub(super) fn square_wave_period(&self) -> Option<u32> {
        (self.mode() == 3 && matches!(self.phase, Phase::Running { .. })).then(|| self.ticks(self.active))
    }

    /// What 0 counts as, and the modulus of the element.
    fn modulus(&self) -> u32 {
        if self.bcd() { 10_000 } else { 0x1_0000 }
    }

    /// A count register's value in ticks.
    fn ticks(&self, count: u16) -> u32 {
        let value = if self.bcd() {
            (0..4).rev().fold(0, |value, digit| value * 10 + u32::from(count >> (4 * digit) & 0xF))
        } else {
            u32::from(count)
        };
        if value == 0 { self.modulus() } else { value }
    }

    /// A number of ticks as the element shows it.
    fn shown(&self, value: u32) -> u16 {
        let value = value % self.modulus();
        if self.bcd() {
            (0..4).fold(0, |shown, digit| shown | (value / 10_u32.pow(digit) % 10) << (4 * digit)) as u16
        } else {
            value as u16
        }
    }

    /// The ticks of mode 3's high half: the longer one of an odd count.
    fn high_half(count: u32) -> u64 {
        u64::from(count).div_ceil(2)
    }

    /// The element's value `elapsed` ticks after it was loaded.
    fn value_at(&self, elapsed: u64) -> u16 {
        let count = self.ticks(self.active);
        let in_period = elapsed % u64::from(count);
        match self.mode() {
            2 => self.shown(count - in_period as u32),
            3 => {
                let half = Self::high_half(count);
                let in_half = if in_period < half { in_period } else { in_period - half };
                // An odd count is loaded less one; both halves go down by two.
                self.shown((count & !1) - 2 * in_half as u32)
            }
            _ => {
                let modulus = u64::from(self.modulus());
                self.shown(((u64::from(count) + modulus - elapsed % modulus) % modulus) as u32)
            }
        }
    }

    /// The output `elapsed` ticks after the element was loaded.
    fn output_at(&self, elapsed: u64) -> bool {
        let count = u64::from(self.ticks(self.active));
        match self.mode() {
            0 | 1 => elapsed >= count,
            2 => elapsed % count != count - 1,
            3 => elapsed % count < Self::high_half(count as u32),
            _ => elapsed != count,
        }
    }

    /// The output without a running count.
    fn idle_output(&self) -> bool {
        self.mode() != 0
    }

    /// The output at `tick`.
    pub(super) fn output(&self, tick: u64) -> bool {
        match self.phase {
            Phase::Waiting { .. } => self.idle_output(),
            Phase::Running { loaded, level, .. } if tick < loaded => level,
            Phase::Running { loaded, origin, .. } => self.output_at(origin + (tick - loaded)),
            // The gate forces the output of modes 2 and 3 high.
            Phase::Paused { elapsed } => matches!(self.mode(), 2 | 3) || self.output_at(elapsed),
        }
    }

    fn value(&self, tick: u64) -> u16 {
        match self.phase {
            Phase::Waiting { held } => held,
            Phase::Running { loaded, held, .. } if tick < loaded => held,
            Phase::Running { loaded, origin, .. } => self.value_at(origin + (tick - loaded)),
            Phase::Paused { elapsed } => self.value_at(elapsed),
        }
    }

    /// The count that a read at `tick` finds. On the ISA bus a read came later than the clock pulse after the write before
    /// it; on a fast processor it finds what it would have found then.
    fn value_read(&self, tick: u64) -> u16 {
        match self.phase {
            Phase::Running { loaded, .. } => self.value(tick.max(loaded)),
            _ => self.value(tick),
        }
    }

    /// The first tick after `tick` at which the output changes; for mode 2 only the rising edge.
    pub(super) fn next_edge(&self, tick: u64) -> Option<u64> {
        let Phase::Running { loaded, origin, level, .. } = self.phase else { return None };
        if tick < loaded && level != self.output_at(origin) {
            return Some(loaded);
        }
        let elapsed = origin + tick.saturating_sub(loaded);
        let count = u64::from(self.ticks(self.active));
        let period_end = elapsed - elapsed % count + count;
        let edge = match self.mode() {
            0 | 1 if elapsed < count => count,
            2 => period_end,
            3 => {
                let middle = period_end - count + Self::high_half(count as u32);
                if elapsed < middle { middle } else { period_end }
            }
            4 | 5 if elapsed < count => count,
            4 | 5 if elapsed == count => count + 1,
            _ => return None,
        };
        Some(loaded + (edge - origin))
    }

    /// Carries out what has happened by `tick`: a count that moved into the element.
    pub(super) fn settle(&mut self, tick: u64) {
        let Phase::Running { loaded, origin, held, level } = self.phase else { return };
        if let Some(at) = self.reload.filter(|at| *at <= tick) {
            // In mode 3 the new count begins with the half that follows.
            let starts_low = self.mode() == 3 && !self.output_at(origin + (at - loaded));
            self.active = self.register;
            self.reload = None;
            self.null_count = false;
            let origin = if starts_low { Self::high_half(self.ticks(self.active)) } else { 0 };
            self.phase = Phase::Running { loaded: at, origin, held, level };
        } else if self.reload.is_none() && loaded <= tick && self.active == self.register {
            self.null_count = false;
        }
    }

    /// Moves the count register into the element at the next clock pulse.
    fn load(&mut self, tick: u64, level: bool) {
        let held = self.value(tick);
        self.active = self.register;
        self.reload = None;
        self.phase = Phase::Running { loaded: tick + 1, origin: 0, held, level };
    }

    /// A control word other than the latch command.
    pub(super) fn control(&mut self, tick: u64, word: u8) {
        self.settle(tick);
        let held = self.value(tick);
        self.control = word & 0x3F;
        self.phase = Phase::Waiting { held };
        self.reload = None;
        self.low_written = None;
        self.written = false;
        self.high_next = false;
        self.null_count = true;
        self.count_latch = None;
        self.status_latch = None;
    }

    /// A write to the counter's port.
    pub(super) fn write(&mut self, tick: u64, byte: u8) {
        self.settle(tick);
        let count = match (self.control >> 4 & 3, self.low_written.take()) {
            (1, _) => u16::from(byte),
            (2, _) => u16::from(byte) << 8,
            (_, Some(low)) => u16::from_le_bytes([low, byte]),
            (_, None) => {
                self.low_written = Some(byte);
                if self.mode() == 0 {
                    // The first byte stops the count and takes the output low at once.
                    let held = self.value(tick);
                    self.phase = Phase::Waiting { held };
                }
                return;
            }
        };
        self.register = count;
        self.written = true;
        self.null_count = true;
        match (self.mode(), self.phase) {
            (0, _) => {
                self.load(tick, false);
                self.hold_if_gated();
            }
            (4, _) => {
                self.load(tick, true);
                self.hold_if_gated();
            }
            (2 | 3, Phase::Running { loaded, origin, .. }) => {
                if tick < loaded {
                    self.active = count;
                } else {
                    self.reload = Some(self.end_of_half(tick, loaded, origin));
                }
            }
            (2 | 3, Phase::Waiting { .. }) if self.gate => self.load(tick, true),
            // Modes 1 and 5, and a stopped 2 or 3: at the next trigger.
            _ => {}
        }
    }

    /// Where mode 2 or 3 takes a new count: the end of the period, or in mode 3 of the half.
    fn end_of_half(&self, tick: u64, loaded: u64, origin: u64) -> u64 {
        let count = u64::from(self.ticks(self.active));
        let elapsed = origin + (tick - loaded);
        let period_start = elapsed - elapsed % count;
        let half = Self::high_half(count as u32);
        let end = if self.mode() == 3 && elapsed < period_start + half { half } else { count };
        loaded + (period_start + end - origin)
    }

    /// A count loaded while the gate is low does not count until it rises.
    fn hold_if_gated(&mut self) {
        if !self.gate {
            self.phase = Phase::Paused { elapsed: 0 };
            self.null_count = false;
        }
    }

    /// Drives the gate.
    pub(super) fn set_gate(&mut self, tick: u64, gate: bool) {
        self.settle(tick);
        if gate == self.gate {
            return;
        }
        self.gate = gate;
        match (self.mode(), gate, self.phase) {
            (0 | 2 | 3 | 4, false, Phase::Running { loaded, origin, .. }) => {
                self.reload = None;
                self.phase = Phase::Paused { elapsed: origin + tick.saturating_sub(loaded) };
            }
            (0 | 4, true, Phase::Paused { elapsed }) => {
                let (held, level) = (self.value(tick), self.output(tick));
                self.phase = Phase::Running { loaded: tick, origin: elapsed, held, level };
            }
            (2 | 3, true, Phase::Paused { .. }) => self.load(tick, true),
            (2 | 3, true, Phase::Waiting { .. }) | (1 | 5, true, _) if self.written => {
                let level = self.output(tick);
                self.load(tick, level);
            }
            _ => {}
        }
    }

    /// The counter latch command: keeps the count until it is read; further latches meanwhile are ignored.
    pub(super) fn latch_count(&mut self, tick: u64) {
        self.settle(tick);
        if self.count_latch.is_none() {
            self.count_latch = Some(self.value_read(tick));
        }
    }

    /// The read-back command.
    pub(super) fn read_back(&mut self, tick: u64, count: bool, status: bool) {
        if count {
            self.latch_count(tick);
        }
        if status && self.status_latch.is_none() {
            self.settle(tick);
            self.status_latch = Some(u8::from(self.output(tick)) << 7 | u8::from(self.null_count) << 6 | self.control);
        }
    }

    /// A read of the counter's port: latched status, then latched count, then the count itself.
    pub(super) fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.status_latch.take() {
            return status;
        }
        self.settle(tick);
        let [low, high] = self.count_latch.unwrap_or_else(|| self.value_read(tick)).to_le_bytes();
        match self.control >> 4 & 3 {
            1 => {
                self.count_latch = None;
                low
            }
            2 => {
                self.count_latch = None;
                high
            }
            _ if std::mem::take(&mut self.high_next) => {
                self.count_latch = None;
                high
            }
            _ => {
                self.high_next = true;
                low
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter programmed at tick 0 by `control` (low byte only) and `count`, and its outputs from tick 1 on.
    fn run(control: u8, count: u8, gate: bool, ticks: u64) -> (Counter, String) {
        let mut counter = Counter::new(gate);
        counter.control(0, control);
        counter.write(0, count);
        let wave = wave(&mut counter, 1..ticks + 1);
        (counter, wave)
    }

    fn wave(counter: &mut Counter, ticks: std::ops::Range<u64>) -> String {
        ticks
            .map(|tick| {
                counter.settle(tick);
                if counter.output(tick) { '#' } else { '_' }
            })
            .collect()
    }

    fn values(counter: &mut Counter, ticks: std::ops::Range<u64>) -> Vec<u16> {
        ticks
            .map(|tick| {
                counter.settle(tick);
                counter.value(tick)
            })
            .collect()
    }

    #[test]
    fn counter_mode_0_output_rises_at_terminal_count_and_counting_goes_on() {
        let (mut counter, wave) = run(0x10, 4, true, 7);
        assert_eq!(wave, "____###");
        assert_eq!(values(&mut counter, 1..7), [4, 3, 2, 1, 0, 0xFFFF]);
    }

    #[test]
    fn counter_mode_0_gate_suspends_the_count() {
        let (mut counter, _) = run(0x10, 4, true, 0);
        counter.set_gate(3, false);
        assert_eq!(values(&mut counter, 3..6), [2, 2, 2]);
        counter.set_gate(6, true);
        assert_eq!(wave(&mut counter, 6..10), "__##");
    }

    #[test]
    fn counter_mode_0_first_byte_of_two_stops_the_count_with_output_low() {
        let mut counter = Counter::new(true);
        counter.control(0, 0x30);
        counter.write(0, 2);
        counter.write(0, 0);
        assert_eq!(wave(&mut counter, 1..5), "__##");
        counter.write(5, 3);
        assert_eq!(wave(&mut counter, 5..9), "____");
        counter.write(9, 0);
        assert_eq!(wave(&mut counter, 10..14), "___#");
    }

    #[test]
    fn counter_mode_1_gate_rise_gives_one_low_pulse_and_retriggers() {
        let (mut counter, idle) = run(0x12, 3, false, 3);
        assert_eq!(idle, "###");
        counter.set_gate(10, true);
        assert_eq!(wave(&mut counter, 10..16), "#___##");
        counter.set_gate(16, false);
        counter.set_gate(17, true);
        counter.set_gate(19, false);
        counter.set_gate(19, true);
        assert_eq!(wave(&mut counter, 19..24), "____#");
    }

    #[test]
    fn counter_mode_2_output_is_low_for_the_last_tick_of_each_period() {
        let (mut counter, wave) = run(0x14, 3, true, 9);
        assert_eq!(wave, "##_##_##_");
        assert_eq!(values(&mut counter, 1..7), [3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn counter_mode_2_new_count_waits_for_the_end_of_the_period() {
        let (mut counter, _) = run(0x14, 4, true, 0);
        counter.settle(2);
        counter.write(2, 2);
        assert!(counter.null_count);
        assert_eq!(values(&mut counter, 2..9), [3, 2, 1, 2, 1, 2, 1]);
        assert!(!counter.null_count);
    }

    #[test]
    fn counter_mode_2_gate_low_forces_output_high_and_its_rise_reloads() {
        let (mut counter, _) = run(0x14, 3, true, 0);
        counter.set_gate(3, false);
        assert_eq!(wave(&mut counter, 3..6), "###");
        counter.set_gate(6, true);
        assert_eq!(values(&mut counter, 7..10), [3, 2, 1]);
    }

    #[test]
    fn counter_mode_3_even_count_is_high_and_low_for_half_and_counts_by_two() {
        let (mut counter, wave) = run(0x16, 4, true, 8);
        assert_eq!(wave, "##__##__");
        assert_eq!(values(&mut counter, 1..9), [4, 2, 4, 2, 4, 2, 4, 2]);
    }

    #[test]
    fn counter_mode_3_odd_count_is_high_one_tick_longer() {
        let (_, wave) = run(0x16, 5, true, 10);
        assert_eq!(wave, "###__###__");
    }

    #[test]
    fn counter_mode_3_new_count_begins_at_the_half_period() {
        let (mut counter, _) = run(0x16, 4, true, 0);
        counter.settle(1);
        counter.write(1, 8);
        assert_eq!(wave(&mut counter, 1..15), "##____####____");
    }

    #[test]
    fn counter_mode_4_strobes_low_for_one_tick_after_the_count() {
        let (mut counter, wave) = run(0x18, 3, true, 7);
        assert_eq!(wave, "###_###");
        assert_eq!(values(&mut counter, 1..6), [3, 2, 1, 0, 0xFFFF]);
    }

    #[test]
    fn counter_mode_5_strobes_after_a_trigger() {
        let (mut counter, idle) = run(0x1A, 2, false, 3);
        assert_eq!(idle, "###");
        counter.set_gate(5, true);
        assert_eq!(wave(&mut counter, 5..10), "###_#");
    }

    #[test]
    fn counter_bcd_counts_in_decimal_and_0_means_10000() {
        let mut counter = Counter::new(true);
        counter.control(0, 0x31);
        counter.write(0, 0);
        counter.write(0, 0);
        assert_eq!(values(&mut counter, 1..4), [0x0000, 0x9999, 0x9998]);
        assert!(!counter.output(10_000));
        assert!(counter.output(10_001));
    }

    #[test]
    fn counter_latched_count_stays_until_both_bytes_are_read() {
        let mut counter = Counter::new(true);
        counter.control(0, 0x34);
        counter.write(0, 0x00);
        counter.write(0, 0x10);
        counter.latch_count(1);
        counter.latch_count(100);
        assert_eq!((counter.read(100), counter.read(200)), (0x00, 0x10));
        assert_eq!(counter.read(257), 0x00);
        assert_eq!(counter.read(257), 0x0F);
    }

    #[test]
    fn counter_read_in_the_clock_of_its_write_gives_the_new_count() {
        let (mut counter, _) = run(0x10, 0x80, true, 0);
        counter.control(20, 0x34);
        counter.write(20, 0x00);
        counter.write(20, 0x10);
        assert_eq!((counter.read(20), counter.read(20)), (0x00, 0x10));
        counter.latch_count(20);
        assert_eq!((counter.read(22), counter.read(22)), (0x00, 0x10));
        assert_eq!((counter.read(22), counter.read(22)), (0xFF, 0x0F));
    }

    #[test]
    fn counter_next_edge_finds_every_change_of_the_output() {
        for control in [0x10, 0x16, 0x18] {
            for count in 2..9 {
                let (mut counter, _) = run(control, count, true, 0);
                for tick in 1..40 {
                    counter.settle(tick);
                    let edge = counter.next_edge(tick).unwrap_or(41);
                    let level = counter.output(tick);
                    let found = (tick + 1..41).find(|t| counter.output(*t) != level).unwrap_or(41);
                    assert_eq!(edge.min(41), found, "control {control:02X} count {count} tick {tick}");
                }
            }
        }
    }
}
