//! The high-precision event timer at FED00000h: a 64-bit counter of 100 MHz and three comparators
//! (IA-PC HPET Specification 1.0a). Computed from the clock; only matches that interrupt are deadlines.

use crate::device::{Claims, Ctx, Device, error_once};
use crate::line::Line;
use crate::state::{StateError, Stateful};
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use serde::{Deserialize, Serialize};

/// Physical address of the register block.
pub const BASE: u64 = 0xFED0_0000;
/// The counter's clock, in Hz.
pub const FREQUENCY: u64 = 100_000_000;
const PERIOD_FS: u64 = 10_000_000;
const TIMERS: usize = 3;
/// Ticks (22 years) beyond which a match is not worth a deadline, nor safe to convert to cycles.
const NEVER: u64 = 1 << 56;
/// Vendor 8086h, legacy replacement, 64-bit counter, three timers, revision 1.
const CAPABILITIES: u64 = PERIOD_FS << 32 | 0x8086_A000 | (TIMERS as u64 - 1) << 8 | 1;
/// The lower half of the capabilities: what ACPI's table calls the event timer block's identifier.
pub const IDENTIFIER: u32 = CAPABILITIES as u32;

/// Timer configuration bits.
mod timer {
    pub const LEVEL: u64 = 1 << 1;
    pub const INTERRUPT_ENABLE: u64 = 1 << 2;
    pub const PERIODIC: u64 = 1 << 3;
    pub const PERIODIC_CAPABLE: u64 = 1 << 4;
    pub const SIZE_64: u64 = 1 << 5;
    pub const SET_ACCUMULATOR: u64 = 1 << 6;
    pub const MODE_32: u64 = 1 << 8;
    pub const ROUTE: u64 = 0x1F << 9;
    pub const FSB_ENABLE: u64 = 1 << 14;
    pub const FSB_CAPABLE: u64 = 1 << 15;
    pub const WRITABLE: u64 = LEVEL | INTERRUPT_ENABLE | PERIODIC | SET_ACCUMULATOR | MODE_32 | ROUTE | FSB_ENABLE;
}

/// General configuration bits.
const ENABLE: u64 = 1;
const LEGACY_REPLACEMENT: u64 = 2;

/// The lines that the timers can drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HpetWiring {
    /// Timer 0 under legacy replacement (IRQ 0, I/O APIC input 2).
    pub legacy_timer0: Line,
    /// Timer 1 under legacy replacement (IRQ 8).
    pub legacy_timer1: Line,
    /// I/O APIC inputs (0 to 31) that a timer can be routed to, with the line of each.
    pub routes: Vec<(u8, Line)>,
}

/// One comparator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    configuration: u64,
    comparator: u64,
    /// Last value written to the comparator of a periodic timer: what a match adds.
    period: u64,
    /// FSB interrupt route: data (31:0), address (63:32).
    fsb: u64,
}

/// Guest-visible state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HpetState {
    configuration: u64,
    status: u64,
    /// The main counter when it is halted; while it runs, what to add to the clock's ticks (wrapping).
    offset: u64,
    timers: [Timer; TIMERS],
}

/// The HPET.
#[derive(Debug)]
pub struct Hpet {
    wiring: HpetWiring,
    state: HpetState,
}

impl Hpet {
    /// A halted HPET.
    pub fn new(wiring: HpetWiring) -> Self {
        Self { wiring, state: Self::power_on() }
    }

    fn power_on() -> HpetState {
        let timer = Timer { comparator: u64::MAX, ..Timer::default() };
        HpetState { timers: std::array::from_fn(|_| timer.clone()), ..HpetState::default() }
    }

    /// Whether timers 0 and 1 replace the 8254's and the RTC's interrupts: those lines then reach no controller.
    pub fn legacy_replacement(&self) -> bool {
        self.state.configuration & (LEGACY_REPLACEMENT | ENABLE) == LEGACY_REPLACEMENT | ENABLE
    }

    fn running(&self) -> bool {
        self.state.configuration & ENABLE != 0
    }

    fn counter(&self, ctx: &Ctx) -> u64 {
        if self.running() { ctx.ticks(FREQUENCY).wrapping_add(self.state.offset) } else { self.state.offset }
    }

    fn set_counter(&mut self, ctx: &Ctx, value: u64) {
        self.state.offset = if self.running() { value.wrapping_sub(ctx.ticks(FREQUENCY)) } else { value };
    }

    fn mask(timer: &Timer) -> u64 {
        if timer.configuration & timer::MODE_32 != 0 { u64::from(u32::MAX) } else { u64::MAX }
    }

    /// INT_ROUTE_CAP and the other read-only bits.
    fn timer_capabilities(&self) -> u64 {
        let routes = self.wiring.routes.iter().fold(0, |bits, (input, _)| bits | 1u64 << (input & 31));
        routes << 32 | timer::FSB_CAPABLE | timer::SIZE_64 | timer::PERIODIC_CAPABLE
    }

    fn line(&self, index: usize) -> Option<Line> {
        if self.legacy_replacement() && index < 2 {
            return Some([self.wiring.legacy_timer0, self.wiring.legacy_timer1][index]);
        }
        let route = (self.state.timers[index].configuration & timer::ROUTE) >> 9;
        self.wiring.routes.iter().find(|(input, _)| u64::from(*input) == route).map(|(_, line)| *line)
    }

    /// A comparator has matched.
    fn fire(&mut self, ctx: &mut Ctx, index: usize) {
        let Timer { configuration, fsb, .. } = self.state.timers[index];
        if configuration & timer::LEVEL != 0 {
            // The status bit follows a match even without the interrupt enabled.
            self.state.status |= 1 << index;
        }
        if configuration & timer::INTERRUPT_ENABLE == 0 {
            return;
        }
        if configuration & timer::FSB_ENABLE != 0 {
            Self::send_fsb(ctx, fsb);
        } else if configuration & timer::LEVEL == 0
            && let Some(line) = self.line(index)
        {
            // The line stays high, so that an 8259A finds the request when it acknowledges, until the next match.
            ctx.lines.set(line, false);
            ctx.lines.set(line, true);
        }
    }

    /// Whether a timer is set to send a message of this delivery mode.
    pub fn can_send(&self, delivery: DeliveryMode) -> bool {
        const BY_MESSAGE: u64 = timer::INTERRUPT_ENABLE | timer::FSB_ENABLE;
        self.state.timers.iter().any(|timer| {
            timer.configuration & BY_MESSAGE == BY_MESSAGE
                && DeliveryMode::from_bits((timer.fsb >> 8 & 7) as u8) == Some(delivery)
        })
    }

    fn send_fsb(ctx: &mut Ctx, fsb: u64) {
        let (address, data) = (fsb >> 32, fsb as u32);
        let delivery = DeliveryMode::from_bits((data >> 8 & 7) as u8);
        let (Some(delivery), 0xFEE) = (delivery, address >> 20) else {
            error_once!("HPET: FSB message {data:08X}h to {address:08X}h is no MSI (SDM Vol. 3A 11.11)");
            return;
        };
        ctx.requests.apic.push(ApicMessage {
            destination: ApicMessage::destination_of_8_bits((address >> 12) as u8),
            logical: address & 4 != 0,
            delivery,
            vector: data as u8,
            level_triggered: data & 1 << 15 != 0,
            assert: true,
            shorthand: Shorthand::None,
        });
    }

    /// Drives the level-triggered lines from the status bits.
    fn update_lines(&self, ctx: &mut Ctx) {
        for (index, timer) in self.state.timers.iter().enumerate() {
            let by_line = timer.configuration & (timer::LEVEL | timer::FSB_ENABLE) == timer::LEVEL;
            if let (true, Some(line)) = (by_line, self.line(index)) {
                let enabled = timer.configuration & timer::INTERRUPT_ENABLE != 0 && self.running();
                ctx.lines.set(line, enabled && self.state.status & 1 << index != 0);
            }
        }
    }

    /// Schedules the next match of a timer: its deadline's tag is its number.
    fn schedule(&self, ctx: &mut Ctx, index: usize) {
        let timer = &self.state.timers[index];
        let wanted = timer.configuration & (timer::INTERRUPT_ENABLE | timer::PERIODIC | timer::LEVEL) != 0;
        if !self.running() || !wanted {
            ctx.cancel(index as u32);
            return;
        }
        let mask = Self::mask(timer);
        // A comparator equal to the counter has matched already: the next time is a whole turn away.
        let distance = timer.comparator.wrapping_sub(self.counter(ctx)).wrapping_sub(1) & mask;
        if distance >= NEVER {
            ctx.cancel(index as u32);
            return;
        }
        let tick = ctx.ticks(FREQUENCY) + distance + 1;
        let at = ctx.cycle_of_tick(FREQUENCY, tick).max(ctx.now + 1);
        ctx.schedule(index as u32, at);
    }

    /// What software reads of a comparator: a periodic one is where its next match will be.
    fn read(&self, ctx: &Ctx, register: u64) -> u64 {
        match register {
            0x000 => CAPABILITIES,
            0x010 => self.state.configuration,
            0x020 => self.state.status,
            0x0F0 => self.counter(ctx),
            _ => {
                let Some((index, register)) = Self::timer_register(register) else { return 0 };
                let timer = &self.state.timers[index];
                match register {
                    0x00 => timer.configuration | self.timer_capabilities(),
                    0x08 => timer.comparator & Self::mask(timer),
                    0x10 => timer.fsb,
                    _ => 0,
                }
            }
        }
    }

    fn timer_register(register: u64) -> Option<(usize, u64)> {
        let offset = register.checked_sub(0x100)?;
        let index = (offset / 0x20) as usize;
        (index < TIMERS).then_some((index, offset & 0x1F))
    }

    /// Writes the bits that `lanes` covers of the 64-bit register.
    fn write(&mut self, ctx: &mut Ctx, register: u64, lanes: u64, value: u64) {
        match register {
            0x010 => {
                let counter = self.counter(ctx);
                let before = self.legacy_replacement();
                let old_lines: [Option<Line>; TIMERS] = std::array::from_fn(|index| self.line(index));
                let written = self.state.configuration & !lanes | value & lanes;
                self.state.configuration = written & (ENABLE | LEGACY_REPLACEMENT);
                self.set_counter(ctx, counter);
                if before != self.legacy_replacement() {
                    old_lines.into_iter().flatten().for_each(|line| ctx.lines.set(line, false));
                    // The board asks whether the 8254 and the RTC are replaced.
                    ctx.requests.remap = true;
                }
                self.reschedule(ctx);
            }
            0x020 => self.state.status &= !(value & lanes),
            0x0F0 => {
                if self.running() {
                    error_once!("HPET: main counter written while it runs (HPET 1.0a 2.3.7); taken as written");
                }
                let counter = self.counter(ctx) & !lanes | value & lanes;
                self.set_counter(ctx, counter);
                self.reschedule(ctx);
            }
            _ => {
                if let Some((index, register)) = Self::timer_register(register) {
                    self.write_timer(ctx, index, register, lanes, value);
                    self.schedule(ctx, index);
                }
            }
        }
        self.update_lines(ctx);
    }

    fn write_timer(&mut self, ctx: &mut Ctx, index: usize, register: u64, lanes: u64, value: u64) {
        let old_line = self.line(index);
        let timer = &mut self.state.timers[index];
        match register {
            0x00 => {
                timer.configuration = (timer.configuration & !lanes | value & lanes) & timer::WRITABLE;
                if timer.configuration & timer::MODE_32 != 0 {
                    timer.comparator &= u64::from(u32::MAX);
                    timer.period &= u64::from(u32::MAX);
                }
                if timer.configuration & timer::LEVEL == 0 {
                    self.state.status &= !(1 << index);
                }
                if let Some(line) = old_line.filter(|line| self.line(index) != Some(*line)) {
                    ctx.lines.set(line, false);
                }
            }
            0x08 => {
                let lanes = lanes & Self::mask(timer);
                let periodic = timer.configuration & timer::PERIODIC != 0;
                if periodic {
                    timer.period = timer.period & !lanes | value & lanes;
                }
                // Of a periodic timer the comparator itself changes only under Tn_VAL_SET_CNF, which then clears.
                if !periodic || timer.configuration & timer::SET_ACCUMULATOR != 0 {
                    timer.comparator = timer.comparator & !lanes | value & lanes;
                    // With two 32-bit writes the bit must last for the second.
                    if lanes != u64::from(u32::MAX) || Self::mask(timer) == u64::from(u32::MAX) {
                        timer.configuration &= !timer::SET_ACCUMULATOR;
                    }
                }
            }
            0x10 => timer.fsb = timer.fsb & !lanes | value & lanes,
            _ => {}
        }
    }

    fn reschedule(&self, ctx: &mut Ctx) {
        for index in 0..TIMERS {
            self.schedule(ctx, index);
        }
    }
}

impl Stateful for Hpet {
    type Saved = HpetState;

    fn save(&self) -> HpetState {
        let Self { wiring: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: HpetState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for Hpet {
    fn claims(&self) -> Claims {
        Claims { ports: vec![], mmio: vec![BASE..BASE + 0x400] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        for index in 0..TIMERS {
            if let Some(line) = self.line(index) {
                ctx.lines.set(line, false);
            }
        }
        self.state = Self::power_on();
        ctx.requests.remap = true;
    }

    fn mmio_read(&mut self, ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        let value = self.read(ctx, address.wrapping_sub(BASE) & !7) >> (8 * (address & 7));
        if size >= 8 { value } else { value & ((1 << (8 * size)) - 1) }
    }

    fn mmio_write(&mut self, ctx: &mut Ctx, address: u64, size: u8, value: u64) {
        let shift = 8 * (address & 7);
        let lanes = if size >= 8 { u64::MAX } else { ((1 << (8 * size)) - 1) << shift };
        self.write(ctx, address.wrapping_sub(BASE) & !7, lanes, value << shift);
    }

    fn deadline(&mut self, ctx: &mut Ctx, tag: u32) {
        let index = tag as usize;
        if index >= TIMERS || !self.running() {
            return;
        }
        self.fire(ctx, index);
        let counter = self.counter(ctx);
        let timer = &mut self.state.timers[index];
        if timer.configuration & timer::PERIODIC != 0 && timer.period != 0 {
            // Periods shorter than a cycle pass unseen.
            let behind = counter.wrapping_sub(timer.comparator) & Self::mask(timer);
            let steps = behind / timer.period + 1;
            timer.comparator = timer.comparator.wrapping_add(timer.period.wrapping_mul(steps)) & Self::mask(timer);
        }
        self.schedule(ctx, index);
        self.update_lines(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    const LEGACY0: Line = Line(0);
    const LEGACY8: Line = Line(8);
    const INPUT20: Line = Line(20);

    /// One cycle is one tick.
    fn hpet() -> (Bench, Hpet) {
        let wiring = HpetWiring { legacy_timer0: LEGACY0, legacy_timer1: LEGACY8, routes: vec![(20, INPUT20)] };
        (Bench::new(DeviceId::Hpet, FREQUENCY), Hpet::new(wiring))
    }

    fn write(bench: &mut Bench, hpet: &mut Hpet, register: u64, value: u64) {
        hpet.mmio_write(&mut bench.ctx(), BASE + register, 8, value);
    }

    fn read(bench: &mut Bench, hpet: &mut Hpet, register: u64) -> u64 {
        hpet.mmio_read(&mut bench.ctx(), BASE + register, 8)
    }

    fn rises(bench: &mut Bench, line: Line) -> usize {
        bench.lines.take_changes().iter().filter(|change| **change == (line, true)).count()
    }

    #[test]
    fn hpet_capabilities_tell_10_ns_and_three_64_bit_timers() {
        let (mut bench, mut hpet) = hpet();
        assert_eq!(read(&mut bench, &mut hpet, 0), 0x0098_9680_8086_A201);
        assert_eq!(read(&mut bench, &mut hpet, 0x100), 0x0010_0000_0000_8030);
        assert_eq!(hpet.mmio_read(&mut bench.ctx(), BASE + 4, 4), 0x0098_9680);
    }

    #[test]
    fn hpet_counter_runs_only_when_enabled_and_goes_on_from_where_it_stood() {
        let (mut bench, mut hpet) = hpet();
        bench.now = 50;
        assert_eq!(read(&mut bench, &mut hpet, 0xF0), 0);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.now = 150;
        assert_eq!(read(&mut bench, &mut hpet, 0xF0), 100);
        write(&mut bench, &mut hpet, 0x10, 0);
        bench.now = 1000;
        assert_eq!(read(&mut bench, &mut hpet, 0xF0), 100);
        write(&mut bench, &mut hpet, 0xF0, 0x1_0000_0000);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.now = 1001;
        assert_eq!(read(&mut bench, &mut hpet, 0xF0), 0x1_0000_0001);
    }

    #[test]
    fn hpet_one_shot_edge_timer_raises_its_route_once() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x108, 500);
        write(&mut bench, &mut hpet, 0x100, 20 << 9 | 0x004);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.run_until(&mut hpet, 499);
        assert_eq!(rises(&mut bench, INPUT20), 0);
        bench.run_until(&mut hpet, 500);
        assert_eq!(rises(&mut bench, INPUT20), 1);
        bench.run_until(&mut hpet, 100_000);
        assert_eq!(rises(&mut bench, INPUT20), 0);
    }

    #[test]
    fn hpet_periodic_timer_adds_the_period_to_its_comparator() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x100, 20 << 9 | 0x04C);
        write(&mut bench, &mut hpet, 0x108, 1000);
        write(&mut bench, &mut hpet, 0x108, 300);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.run_until(&mut hpet, 1000 + 3 * 300);
        assert_eq!(rises(&mut bench, INPUT20), 4);
        assert_eq!(read(&mut bench, &mut hpet, 0x108), 2200);
    }

    #[test]
    fn hpet_level_timer_holds_its_line_until_the_status_is_cleared() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x128, 10);
        write(&mut bench, &mut hpet, 0x120, 20 << 9 | 0x006);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.run_until(&mut hpet, 20);
        assert!(bench.lines.level(INPUT20));
        assert_eq!(read(&mut bench, &mut hpet, 0x20), 2);
        write(&mut bench, &mut hpet, 0x20, 2);
        assert!(!bench.lines.level(INPUT20));
    }

    #[test]
    fn hpet_legacy_replacement_moves_timers_0_and_1_to_irq_0_and_8() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x108, 10);
        write(&mut bench, &mut hpet, 0x100, 4);
        write(&mut bench, &mut hpet, 0x128, 20);
        write(&mut bench, &mut hpet, 0x120, 4);
        write(&mut bench, &mut hpet, 0x10, 3);
        assert!(hpet.legacy_replacement() && bench.requests.remap);
        bench.run_until(&mut hpet, 15);
        assert!(bench.lines.level(LEGACY0) && !bench.lines.level(LEGACY8));
        bench.run_until(&mut hpet, 25);
        assert!(bench.lines.level(LEGACY8));
    }

    #[test]
    fn hpet_fsb_timer_sends_its_message() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x150, 0xFEE0_3000_0000_0055);
        write(&mut bench, &mut hpet, 0x148, 7);
        write(&mut bench, &mut hpet, 0x140, 0x4004);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.run_until(&mut hpet, 7);
        let message = bench.requests.apic.pop().expect("a message");
        assert_eq!((message.destination, message.vector, message.delivery), (3, 0x55, DeliveryMode::Fixed));
    }

    #[test]
    fn hpet_32_bit_timer_matches_at_each_wrap() {
        let (mut bench, mut hpet) = hpet();
        write(&mut bench, &mut hpet, 0x100, 20 << 9 | 0x104);
        write(&mut bench, &mut hpet, 0x108, 0xFFFF_FFFF_0000_0010);
        assert_eq!(read(&mut bench, &mut hpet, 0x108), 0x10);
        write(&mut bench, &mut hpet, 0x10, 1);
        bench.run_until(&mut hpet, 0x1_0000_0020);
        assert_eq!(rises(&mut bench, INPUT20), 2);
    }
}
