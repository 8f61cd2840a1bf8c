//! The MC146818 real-time clock with its RAM at ports 70h/71h, and 128 bytes more at 72h/73h (Motorola MC146818 data
//! sheet; 82371SB 2.5.8). The time is computed from the guest's clock; only interrupts are deadlines.

mod calendar;
mod cmos;

pub use cmos::{BootDevice, CmosConfig, DiskGeometry, FloppyType};

use crate::device::{Claims, Ctx, Device, error_once, split_read, split_write};
use crate::line::Line;
use crate::state::{LAST_CYCLE, StateError, Stateful, check};
use calendar::{Format, Moment, from_bcd, to_bcd};
use serde::{Deserialize, Serialize};

/// The time base, in Hz.
const CRYSTAL: u64 = 32_768;
const SECOND: i64 = CRYSTAL as i64;
/// UIP is high from 244 us before an update to its end, 1984 us later: 2228 us in ticks.
const UPDATE_IN_PROGRESS: i64 = 73;
const INTERRUPT: u32 = 0;

const SECONDS: usize = 0x00;
const SECONDS_ALARM: usize = 0x01;
const MINUTES: usize = 0x02;
const MINUTES_ALARM: usize = 0x03;
const HOURS: usize = 0x04;
const HOURS_ALARM: usize = 0x05;
const WEEKDAY: usize = 0x06;
const DAY: usize = 0x07;
const MONTH: usize = 0x08;
const YEAR: usize = 0x09;
const REGISTER_A: usize = 0x0A;
const REGISTER_B: usize = 0x0B;
const REGISTER_C: usize = 0x0C;
const REGISTER_D: usize = 0x0D;
const CENTURY: usize = 0x32;

/// Flags of register C, with the enables of register B at the same places.
mod flag {
    pub const UPDATE: u8 = 0x10;
    pub const ALARM: u8 = 0x20;
    pub const PERIODIC: u8 = 0x40;
    pub const ALL: u8 = UPDATE | ALARM | PERIODIC;
}

/// Register B.
mod control {
    pub const SET: u8 = 0x80;
    pub const BINARY: u8 = 0x04;
    pub const HOURS_24: u8 = 0x02;
}

/// What the clock starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcConfig {
    /// The time at cycle 0, in seconds since 1970-01-01T00:00:00.
    pub start: i64,
    /// What the firmware finds in the RAM.
    pub cmos: CmosConfig,
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    index: u8,
    extended_index: u8,
    nmi_masked: bool,
    /// 256 bytes: the registers, the battery-backed RAM, the extended RAM. The time fields are valid here only while
    /// updates are stopped.
    ram: Vec<u8>,
    /// A tick of the crystal at which a second began.
    anchor: i64,
    /// The time at `anchor`, in seconds since 1970.
    base: i64,
    /// What to add to the calendar's weekday, as software once set another.
    weekday_offset: u8,
    /// The tick up to which events are in register C.
    seen: i64,
}

/// The clock.
#[derive(Debug)]
pub struct Rtc {
    interrupt: Line,
    state: RtcState,
}

impl Rtc {
    /// A running clock (24 hours, BCD) that drives `interrupt` (IRQ 8).
    pub fn new(config: &RtcConfig, interrupt: Line) -> Self {
        let mut ram = vec![0; 256];
        ram[REGISTER_A] = 0x26;
        ram[REGISTER_B] = control::HOURS_24;
        ram[REGISTER_D] = 0x80;
        config.cmos.fill(&mut ram);
        let state = RtcState {
            index: 0,
            extended_index: 0,
            nmi_masked: false,
            ram,
            anchor: 0,
            // Up to the end of the year 9999.
            base: config.start.clamp(0, 253_402_300_799),
            weekday_offset: 0,
            seen: 0,
        };
        Self { interrupt, state }
    }

    /// Port 70h bit 7: NMI does not reach the processors.
    pub fn nmi_masked(&self) -> bool {
        self.state.nmi_masked
    }

    /// A byte of RAM as it is stored, for the board and debuggers (0 to 255).
    pub fn nvram(&self, index: u8) -> u8 {
        self.state.ram[usize::from(index)]
    }

    fn tick(ctx: &Ctx) -> i64 {
        ctx.ticks(CRYSTAL) as i64
    }

    fn format(&self) -> Format {
        let control = self.state.ram[REGISTER_B];
        Format { binary: control & control::BINARY != 0, hours_24: control & control::HOURS_24 != 0 }
    }

    /// Whether the divider chain runs from the 32,768 Hz crystal that a PC has.
    fn divider_runs(&self) -> bool {
        self.state.ram[REGISTER_A] & 0x70 == 0x20
    }

    /// Whether the time advances.
    fn updates(&self) -> bool {
        self.divider_runs() && self.state.ram[REGISTER_B] & control::SET == 0
    }

    /// Ticks between periodic events; `None` without any.
    fn period(&self) -> Option<i64> {
        let rate = self.state.ram[REGISTER_A] & 0x0F;
        match rate {
            0 => None,
            // Rates 1 and 2 of the 32,768 Hz base repeat 8 and 9.
            1 | 2 => Some(1 << (rate + 6)),
            _ => Some(1 << (rate - 1)),
        }
        .filter(|_| self.divider_runs())
    }

    fn time(&self, tick: i64) -> i64 {
        self.state.base + (tick - self.state.anchor).div_euclid(SECOND)
    }

    /// The value of a time register while the clock runs.
    fn time_register(&self, index: usize, tick: i64) -> u8 {
        let moment = Moment::from_seconds(self.time(tick));
        let format = self.format();
        match index {
            SECONDS => format.encode(moment.second),
            MINUTES => format.encode(moment.minute),
            HOURS => format.encode_hour(moment.hour),
            WEEKDAY => format.encode((moment.weekday + self.state.weekday_offset) % 7 + 1),
            DAY => format.encode(moment.day),
            MONTH => format.encode(moment.month),
            YEAR => format.encode(moment.year.rem_euclid(100) as u8),
            // Software of the PC/AT made the century BCD whatever register B says.
            _ => to_bcd(moment.year.div_euclid(100).rem_euclid(100) as u8),
        }
    }

    fn is_time(index: usize) -> bool {
        matches!(index, SECONDS | MINUTES | HOURS | WEEKDAY | DAY | MONTH | YEAR | CENTURY)
    }

    /// Copies the running time into the registers, where it stays as long as updates are stopped.
    fn store_time(&mut self, tick: i64) {
        for index in [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY] {
            self.state.ram[index] = self.time_register(index, tick);
        }
    }

    /// Takes the time from the registers, as of the second that contains `tick`.
    fn load_time(&mut self, tick: i64) {
        let (ram, format) = (&self.state.ram, self.format());
        let mut moment = Moment {
            year: i64::from(from_bcd(ram[CENTURY])) * 100 + i64::from(format.decode(ram[YEAR])),
            month: format.decode(ram[MONTH]).clamp(1, 12),
            day: format.decode(ram[DAY]).max(1),
            weekday: 0,
            hour: format.decode_hour(ram[HOURS]),
            minute: format.decode(ram[MINUTES]),
            second: format.decode(ram[SECONDS]),
        };
        let weekday = format.decode(ram[WEEKDAY]).wrapping_sub(1) % 7;
        self.state.base = moment.to_seconds();
        moment = Moment::from_seconds(self.state.base);
        self.state.weekday_offset = (weekday + 7 - moment.weekday) % 7;
        self.state.anchor = tick - (tick - self.state.anchor).rem_euclid(SECOND);
    }

    /// The first second from `from` on whose time of day the alarm registers match; values from C0h on match all.
    fn next_alarm(&self, from: i64) -> Option<i64> {
        let format = self.format();
        let field = |index: usize, decode: fn(Format, u8) -> u8| {
            let alarm = self.state.ram[index];
            (alarm < 0xC0).then(|| i64::from(decode(format, alarm)))
        };
        let second = field(SECONDS_ALARM, Format::decode);
        let minute = field(MINUTES_ALARM, Format::decode);
        let hour = field(HOURS_ALARM, Format::decode_hour);
        if [(second, 59), (minute, 59), (hour, 23)].iter().any(|(field, last)| field.is_some_and(|value| value > *last))
        {
            return None;
        }
        let mut at = from;
        // Each field at most twice: a later one may carry an earlier one over.
        for _ in 0..8 {
            let in_day = at.rem_euclid(86_400);
            let wait = |wanted: Option<i64>, unit: i64, modulus: i64| {
                let wanted = wanted.filter(|wanted| *wanted != in_day % modulus / unit)?;
                Some((wanted * unit - in_day).rem_euclid(modulus))
            };
            let waits = wait(hour, 3600, 86_400).or_else(|| wait(minute, 60, 3600)).or_else(|| wait(second, 1, 60));
            match waits {
                Some(seconds) => at += seconds,
                None => return Some(at),
            }
        }
        None
    }

    /// Collects in register C what has happened up to `tick`.
    fn sync(&mut self, tick: i64) {
        let (anchor, seen) = (self.state.anchor, self.state.seen);
        let passed = |period: i64| (tick - anchor).div_euclid(period) != (seen - anchor).div_euclid(period);
        if self.period().is_some_and(passed) {
            self.state.ram[REGISTER_C] |= flag::PERIODIC;
        }
        if self.updates() && passed(SECOND) {
            self.state.ram[REGISTER_C] |= flag::UPDATE;
            let (first, last) = (self.time(seen) + 1, self.time(tick));
            if self.next_alarm(first).is_some_and(|second| second <= last) {
                self.state.ram[REGISTER_C] |= flag::ALARM;
            }
        }
        self.state.seen = tick;
    }

    /// Drives the interrupt line and schedules the next event that would raise it.
    fn update_line(&mut self, ctx: &mut Ctx) {
        let tick = self.state.seen;
        let (flags, enabled) = (self.state.ram[REGISTER_C], self.state.ram[REGISTER_B] & flag::ALL);
        let high = flags & enabled != 0;
        ctx.lines.set(self.interrupt, high);
        // While the line is high nothing more can raise it.
        let waited = if high { 0 } else { enabled };
        let since = tick - self.state.anchor;
        let next_multiple = |period: i64| tick + period - since.rem_euclid(period);
        let periodic = self.period().filter(|_| waited & flag::PERIODIC != 0).map(next_multiple);
        let next_second = next_multiple(SECOND);
        let update = (self.updates() && waited & flag::UPDATE != 0).then_some(next_second);
        let alarm = (self.updates() && waited & flag::ALARM != 0)
            .then(|| {
                let first = self.time(tick) + 1;
                self.next_alarm(first).map(|second| next_second + (second - first) * SECOND)
            })
            .flatten();
        match [periodic, update, alarm].into_iter().flatten().min() {
            Some(event) => {
                let at = ctx.cycle_of_tick(CRYSTAL, event as u64).max(ctx.now + 1);
                ctx.schedule(INTERRUPT, at);
            }
            None => ctx.cancel(INTERRUPT),
        }
    }

    fn read_register(&mut self, index: usize, tick: i64) -> u8 {
        match index {
            REGISTER_A => {
                let in_second = (tick - self.state.anchor).rem_euclid(SECOND);
                let updating = self.updates() && in_second >= SECOND - UPDATE_IN_PROGRESS;
                self.state.ram[REGISTER_A] & 0x7F | if updating { 0x80 } else { 0 }
            }
            REGISTER_C => {
                let flags = std::mem::take(&mut self.state.ram[REGISTER_C]);
                let requests = flags & self.state.ram[REGISTER_B] & flag::ALL != 0;
                flags | if requests { 0x80 } else { 0 }
            }
            _ if Self::is_time(index) && self.updates() => self.time_register(index, tick),
            _ => self.state.ram[index],
        }
    }

    fn write_register(&mut self, index: usize, tick: i64, value: u8) {
        let ran = self.updates();
        match index {
            REGISTER_A => {
                let divider_ran = self.divider_runs();
                if ran && value & 0x70 != 0x20 {
                    self.store_time(tick);
                }
                self.state.ram[REGISTER_A] = value & 0x7F;
                if !matches!(value & 0x70, 0x20 | 0x60 | 0x70) {
                    error_once!(
                        "RTC: register A {value:02X}h selects a time base other than 32,768 Hz; the clock stops"
                    );
                }
                if self.divider_runs() && !divider_ran {
                    // The first update comes half a second after the divider is released.
                    self.state.anchor = tick - SECOND / 2;
                }
            }
            REGISTER_B => {
                if ran && value & control::SET != 0 {
                    self.store_time(tick);
                }
                // SET clears the update-ended interrupt's enable.
                let cleared = if value & control::SET != 0 { flag::UPDATE } else { 0 };
                self.state.ram[REGISTER_B] = value & !cleared;
            }
            REGISTER_C | REGISTER_D => {}
            _ if Self::is_time(index) && ran => {
                self.store_time(tick);
                self.state.ram[index] = value;
                self.load_time(tick);
            }
            _ => self.state.ram[index] = value,
        }
        if !ran && self.updates() {
            self.load_time(tick);
        }
    }

    fn read(&mut self, port: u16, tick: i64) -> u8 {
        match port {
            0x71 => self.read_register(usize::from(self.state.index), tick),
            0x73 => self.state.ram[usize::from(self.state.extended_index)],
            // The index registers are write-only.
            _ => 0xFF,
        }
    }

    fn write(&mut self, port: u16, tick: i64, value: u8) {
        match port {
            0x70 => {
                self.state.index = value & 0x7F;
                self.state.nmi_masked = value & 0x80 != 0;
            }
            0x71 => self.write_register(usize::from(self.state.index), tick, value),
            // The extended bank is the upper half, whatever bit 7 of its index.
            0x72 => self.state.extended_index = value | 0x80,
            _ => self.state.ram[usize::from(self.state.extended_index)] = value,
        }
    }
}

impl Stateful for Rtc {
    type Saved = RtcState;

    fn save(&self) -> RtcState {
        let Self { interrupt: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: RtcState) -> Result<(), StateError> {
        check(state.ram.len() == 256, "clock", "its RAM has not 256 bytes")?;
        let times = [state.anchor, state.base, state.seen].map(i64::unsigned_abs);
        check(times.iter().all(|time| *time < LAST_CYCLE), "clock", "a time is out of range")?;
        self.state = state;
        Ok(())
    }
}

impl Device for Rtc {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0x70..0x74], mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        // RESET# clears the enables, the flags and the square wave; the time and the RAM have a battery.
        self.sync(Self::tick(ctx));
        self.state.ram[REGISTER_B] &= !(flag::ALL | 0x08);
        self.state.ram[REGISTER_C] = 0;
        self.state.index = 0;
        self.state.nmi_masked = false;
        self.update_line(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        let tick = Self::tick(ctx);
        self.sync(tick);
        let value = split_read(port, size, |port| self.read(port, tick));
        self.update_line(ctx);
        value
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        let tick = Self::tick(ctx);
        self.sync(tick);
        split_write(port, size, value, |port, byte| {
            if (0x70..0x74).contains(&port) {
                self.write(port, tick, byte);
            }
        });
        self.update_line(ctx);
    }

    fn deadline(&mut self, ctx: &mut Ctx, _tag: u32) {
        self.sync(Self::tick(ctx));
        self.update_line(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    const LINE: Line = Line(8);
    /// 2026-11-22T18:52:02.
    const START: i64 = 1_795_373_522;
    const HZ: u64 = 1_000_000;

    fn rtc() -> (Bench, Rtc) {
        let config = RtcConfig { start: START, cmos: CmosConfig::default() };
        (Bench::new(DeviceId::Rtc, HZ), Rtc::new(&config, LINE))
    }

    fn read(bench: &mut Bench, rtc: &mut Rtc, index: usize) -> u8 {
        bench.outb(rtc, 0x70, index as u8);
        bench.inb(rtc, 0x71)
    }

    fn write(bench: &mut Bench, rtc: &mut Rtc, index: usize, value: u8) {
        bench.outb(rtc, 0x70, index as u8);
        bench.outb(rtc, 0x71, value);
    }

    #[test]
    fn rtc_shows_the_start_plus_guest_time_in_bcd() {
        let (mut bench, mut rtc) = rtc();
        bench.run_until(&mut rtc, 65 * HZ);
        let fields = [YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS, CENTURY]
            .map(|index| read(&mut bench, &mut rtc, index));
        assert_eq!(fields, [0x26, 0x11, 0x22, 0x01, 0x18, 0x53, 0x07, 0x20]);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_D), 0x80);
    }

    #[test]
    fn rtc_binary_12_hour_format_shows_the_same_time() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_B, control::BINARY);
        assert_eq!(read(&mut bench, &mut rtc, HOURS), 0x86);
        assert_eq!(read(&mut bench, &mut rtc, MINUTES), 52);
    }

    #[test]
    fn rtc_set_bit_stops_updates_and_takes_new_fields() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_B, 0x82);
        for (index, value) in
            [(YEAR, 0x99), (MONTH, 0x12), (DAY, 0x31), (HOURS, 0x23), (MINUTES, 0x59), (SECONDS, 0x59)]
        {
            write(&mut bench, &mut rtc, index, value);
        }
        bench.run_until(&mut rtc, 3 * HZ);
        assert_eq!(read(&mut bench, &mut rtc, SECONDS), 0x59);
        write(&mut bench, &mut rtc, CENTURY, 0x19);
        write(&mut bench, &mut rtc, REGISTER_B, 0x02);
        bench.run_until(&mut rtc, 4 * HZ + 10);
        let fields = [CENTURY, YEAR, MONTH, DAY, HOURS, SECONDS].map(|index| read(&mut bench, &mut rtc, index));
        assert_eq!(fields, [0x20, 0x00, 0x01, 0x01, 0x00, 0x00]);
    }

    #[test]
    fn rtc_update_in_progress_shows_for_2228_us_before_the_second_turns() {
        let (mut bench, mut rtc) = rtc();
        bench.run_until(&mut rtc, HZ - 2300);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_A), 0x26);
        bench.run_until(&mut rtc, HZ - 2000);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_A), 0xA6);
        bench.run_until(&mut rtc, HZ);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_A), 0x26);
    }

    #[test]
    fn rtc_periodic_interrupt_comes_at_its_rate_and_waits_for_register_c() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_B, 0x42);
        let mut interrupts = 0;
        // 1024 Hz.
        for ms in 1..=1000 {
            bench.run_until(&mut rtc, ms * HZ / 1000);
            if bench.lines.level(LINE) {
                assert_eq!(read(&mut bench, &mut rtc, REGISTER_C) & 0xC0, 0xC0);
                assert!(!bench.lines.level(LINE));
                interrupts += 1;
            }
        }
        assert!((990..=1000).contains(&interrupts), "{interrupts}");
    }

    #[test]
    fn rtc_update_interrupt_comes_each_second() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_B, 0x12);
        for second in 1..4 {
            bench.run_until(&mut rtc, second * HZ - 1);
            assert!(!bench.lines.level(LINE));
            bench.run_until(&mut rtc, second * HZ);
            assert!(bench.lines.level(LINE));
            assert_eq!(read(&mut bench, &mut rtc, REGISTER_C) & 0x90, 0x90);
        }
    }

    #[test]
    fn rtc_alarm_matches_its_fields_and_ignores_dont_care() {
        let (mut bench, mut rtc) = rtc();
        for (index, value) in [(SECONDS_ALARM, 0x10), (MINUTES_ALARM, 0xC0), (HOURS_ALARM, 0xFF), (REGISTER_B, 0x22)] {
            write(&mut bench, &mut rtc, index, value);
        }
        bench.run_until(&mut rtc, 8 * HZ - 1);
        assert!(!bench.lines.level(LINE));
        bench.run_until(&mut rtc, 8 * HZ);
        assert!(bench.lines.level(LINE));
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_C) & 0xA0, 0xA0);
        bench.run_until(&mut rtc, 68 * HZ);
        assert!(bench.lines.level(LINE), "again a minute later");
    }

    #[test]
    fn rtc_alarm_already_past_today_matches_tomorrow() {
        let (mut bench, mut rtc) = rtc();
        for (index, value) in [(SECONDS_ALARM, 0x00), (MINUTES_ALARM, 0x30), (HOURS_ALARM, 0x18), (REGISTER_B, 0x22)] {
            write(&mut bench, &mut rtc, index, value);
        }
        // 18:52:02 to 18:30:00.
        let due = (86_400 - 22 * 60 - 2) * HZ;
        bench.run_until(&mut rtc, due - 1);
        assert!(!bench.lines.level(LINE));
        bench.run_until(&mut rtc, due);
        assert!(bench.lines.level(LINE));
    }

    #[test]
    fn rtc_flags_are_collected_without_interrupts_enabled() {
        let (mut bench, mut rtc) = rtc();
        bench.run_until(&mut rtc, 2 * HZ);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_C), 0x50);
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_C), 0x00);
    }

    #[test]
    fn rtc_divider_release_makes_the_first_update_half_a_second_later() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_A, 0x76);
        bench.run_until(&mut rtc, 5 * HZ + 300_000);
        assert_eq!(read(&mut bench, &mut rtc, SECONDS), 0x02);
        write(&mut bench, &mut rtc, REGISTER_A, 0x26);
        bench.run_until(&mut rtc, 5 * HZ + 790_000);
        assert_eq!(read(&mut bench, &mut rtc, SECONDS), 0x02);
        bench.run_until(&mut rtc, 5 * HZ + 810_000);
        assert_eq!(read(&mut bench, &mut rtc, SECONDS), 0x03);
    }

    #[test]
    fn rtc_reset_keeps_time_and_ram_and_clears_the_enables() {
        let (mut bench, mut rtc) = rtc();
        write(&mut bench, &mut rtc, REGISTER_B, 0x72);
        write(&mut bench, &mut rtc, 0x0F, 0x0A);
        bench.run_until(&mut rtc, 2 * HZ);
        rtc.reset(&mut bench.ctx());
        assert!(!bench.lines.level(LINE));
        assert_eq!(read(&mut bench, &mut rtc, REGISTER_B), 0x02);
        assert_eq!(read(&mut bench, &mut rtc, 0x0F), 0x0A);
        assert_eq!(read(&mut bench, &mut rtc, SECONDS), 0x04);
    }

    #[test]
    fn rtc_extended_bank_is_apart_and_port_70_masks_nmi() {
        let (mut bench, mut rtc) = rtc();
        bench.outb(&mut rtc, 0x72, 0x10);
        bench.outb(&mut rtc, 0x73, 0x5A);
        assert_eq!(bench.inb(&mut rtc, 0x73), 0x5A);
        assert_eq!(read(&mut bench, &mut rtc, 0x10), 0);
        bench.outb(&mut rtc, 0x70, 0x8F);
        assert!(rtc.nmi_masked());
    }
}
