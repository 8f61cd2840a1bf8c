//! The 8254 at ports 40h to 43h and the system control port 61h (Intel 8254 data sheet; 82371SB 2.5.5, 2.5.6).
//!
//! Nothing ticks: a counter is a rule from the clock's present tick to its count and its output. Only the edges of
//! counter 0's output, which is an interrupt line, are deadlines.

mod counter;

use crate::device::{Claims, Ctx, Device, split_read, split_write};
use crate::line::Line;
use crate::state::{StateError, Stateful};
use counter::Counter;
use serde::{Deserialize, Serialize};

/// The counters' clock, in Hz.
pub const FREQUENCY: u64 = 1_193_182;

/// The deadline of counter 0's next output edge.
const EDGE: u32 = 0;
/// Half the period of the refresh request that bit 4 of port 61h shows: 15 us, 18 ticks.
const REFRESH_TICKS: u64 = 18;

/// Guest-visible state of the 8254 and port 61h.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PitState {
    counters: [Counter; 3],
    /// Port 61h bit 1: speaker data.
    speaker: bool,
    /// Port 61h bits 3:2: channel check and parity check disabled.
    nmi_disable: u8,
    /// Port 61h bits 7:6: parity (SERR#) and channel check (IOCHK#) latched.
    nmi_status: u8,
}

/// The 8254 and port 61h.
#[derive(Debug)]
pub struct Pit {
    output: Line,
    state: PitState,
}

impl Pit {
    /// A timer whose counter 0 drives `output` (IRQ 0).
    pub fn new(output: Line) -> Self {
        Self { output, state: Self::power_on() }
    }

    fn power_on() -> PitState {
        PitState {
            counters: [Counter::new(true), Counter::new(true), Counter::new(false)],
            speaker: false,
            nmi_disable: 0,
            nmi_status: 0,
        }
    }

    /// The speaker's frequency in Hz, when counter 2 drives it with a square wave now.
    pub fn speaker_frequency(&self) -> Option<u32> {
        let period = self.state.counters[2].square_wave_period()?;
        self.state.speaker.then(|| (FREQUENCY / u64::from(period.max(1))) as u32)
    }

    /// A bus error that asks for an NMI by IOCHK#: latched in bit 6 of port 61h unless disabled there.
    pub fn channel_check(&mut self, ctx: &mut Ctx) {
        if self.state.nmi_disable & 0x08 == 0 {
            self.state.nmi_status |= 0x40;
            ctx.requests.nmi = true;
        }
    }

    /// Brings the output line to the present and schedules its next edge.
    fn update_line(&mut self, ctx: &mut Ctx) {
        let tick = ctx.ticks(FREQUENCY);
        let counter = &mut self.state.counters[0];
        counter.settle(tick);
        // The low pulse of mode 2 is one tick long; only its end, the deadline, reaches the line.
        ctx.lines.set(self.output, counter.is_rate_generator() || counter.output(tick));
        match counter.next_edge(tick) {
            Some(edge) => {
                let at = ctx.cycle_of_tick(FREQUENCY, edge).max(ctx.now + 1);
                ctx.schedule(EDGE, at);
            }
            None => ctx.cancel(EDGE),
        }
    }

    fn read(&mut self, tick: u64, port: u16) -> u8 {
        match port {
            0x40..=0x42 => self.state.counters[usize::from(port & 3)].read(tick),
            0x61 => {
                let counter = &mut self.state.counters[2];
                counter.settle(tick);
                let refresh = (tick / REFRESH_TICKS) & 1 != 0;
                u8::from(counter.gate())
                    | u8::from(self.state.speaker) << 1
                    | self.state.nmi_disable
                    | u8::from(refresh) << 4
                    | u8::from(counter.output(tick)) << 5
                    | self.state.nmi_status
            }
            // The control word register cannot be read.
            _ => 0xFF,
        }
    }

    fn write(&mut self, tick: u64, port: u16, value: u8) {
        match port {
            0x40..=0x42 => self.state.counters[usize::from(port & 3)].write(tick, value),
            0x43 if value & 0xC0 == 0xC0 => {
                for (i, counter) in self.state.counters.iter_mut().enumerate() {
                    if value & (2 << i) != 0 {
                        counter.read_back(tick, value & 0x20 == 0, value & 0x10 == 0);
                    }
                }
            }
            0x43 => {
                let counter = &mut self.state.counters[usize::from(value >> 6)];
                if value & 0x30 == 0 { counter.latch_count(tick) } else { counter.control(tick, value) }
            }
            0x61 => {
                self.state.counters[2].set_gate(tick, value & 0x01 != 0);
                self.state.speaker = value & 0x02 != 0;
                self.state.nmi_disable = value & 0x0C;
                // Disabling a source clears its latch.
                self.state.nmi_status &= !((value & 0x08) << 3 | (value & 0x04) << 5);
            }
            _ => {}
        }
    }
}

impl Stateful for Pit {
    type Saved = PitState;

    fn save(&self) -> PitState {
        let Self { output: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: PitState) -> Result<(), StateError> {
        for counter in &state.counters {
            counter.check()?;
        }
        self.state = state;
        Ok(())
    }
}

impl Device for Pit {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0x40..0x44, 0x61..0x62], mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        self.state = Self::power_on();
        self.update_line(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        let tick = ctx.ticks(FREQUENCY);
        split_read(port, size, |port| if self.claims_port(port) { self.read(tick, port) } else { 0xFF })
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        let tick = ctx.ticks(FREQUENCY);
        split_write(port, size, value, |port, byte| self.write(tick, port, byte));
        self.update_line(ctx);
    }

    fn deadline(&mut self, ctx: &mut Ctx, _tag: u32) {
        if self.state.counters[0].is_rate_generator() {
            ctx.lines.set(self.output, false);
        }
        self.update_line(ctx);
    }
}

impl Pit {
    fn claims_port(&self, port: u16) -> bool {
        matches!(port, 0x40..=0x43 | 0x61)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    const LINE: Line = Line(0);

    /// One cycle is one tick.
    fn bench() -> (Bench, Pit) {
        (Bench::new(DeviceId::Pit, FREQUENCY), Pit::new(LINE))
    }

    fn rises(bench: &mut Bench) -> usize {
        bench.lines.take_changes().iter().filter(|(_, high)| *high).count()
    }

    #[test]
    fn pit_mode_3_with_count_0_raises_irq0_every_65536_ticks() {
        let (mut bench, mut pit) = bench();
        for (port, value) in [(0x43, 0x36), (0x40, 0), (0x40, 0)] {
            bench.outb(&mut pit, port, value);
        }
        rises(&mut bench);
        bench.run_until(&mut pit, 18 * 65536 + 10);
        assert_eq!(rises(&mut bench), 18);
    }

    #[test]
    fn pit_mode_2_raises_irq0_once_a_period() {
        let (mut bench, mut pit) = bench();
        for (port, value) in [(0x43, 0x14), (0x40, 100)] {
            bench.outb(&mut pit, port, value);
        }
        rises(&mut bench);
        bench.run_until(&mut pit, 1005);
        assert_eq!(rises(&mut bench), 10);
    }

    #[test]
    fn pit_mode_0_raises_irq0_once_count_plus_one_ticks_after_the_write() {
        let (mut bench, mut pit) = bench();
        for (port, value) in [(0x43, 0x30), (0x40, 50), (0x40, 0)] {
            bench.outb(&mut pit, port, value);
        }
        rises(&mut bench);
        bench.run_until(&mut pit, 50);
        assert_eq!(rises(&mut bench), 0);
        bench.run_until(&mut pit, 51);
        assert_eq!(rises(&mut bench), 1);
        bench.run_until(&mut pit, 200_000);
        assert_eq!(rises(&mut bench), 0);
    }

    #[test]
    fn port61_gates_counter_2_and_shows_its_output_and_the_refresh_toggle() {
        let (mut bench, mut pit) = bench();
        for (port, value) in [(0x61, 0x00), (0x43, 0xB0), (0x42, 10), (0x42, 0)] {
            bench.outb(&mut pit, port, value);
        }
        bench.run_until(&mut pit, 100);
        assert_eq!(bench.inb(&mut pit, 0x61) & 0x21, 0x00, "the gate holds the count");
        bench.outb(&mut pit, 0x61, 0x01);
        bench.run_until(&mut pit, 112);
        assert_eq!(bench.inb(&mut pit, 0x61) & 0x21, 0x21);
        let before = bench.inb(&mut pit, 0x61) & 0x10;
        bench.run_until(&mut pit, 130);
        assert_ne!(bench.inb(&mut pit, 0x61) & 0x10, before);
    }

    #[test]
    fn port61_channel_check_is_latched_until_disabled() {
        let (mut bench, mut pit) = bench();
        pit.channel_check(&mut bench.ctx());
        assert!(bench.requests.nmi);
        assert_eq!(bench.inb(&mut pit, 0x61) & 0xC0, 0x40);
        bench.outb(&mut pit, 0x61, 0x08);
        assert_eq!(bench.inb(&mut pit, 0x61) & 0xCC, 0x08);
    }

    #[test]
    fn pit_read_back_latches_status_and_count_of_the_chosen_counters() {
        let (mut bench, mut pit) = bench();
        for (port, value) in [(0x43, 0x74), (0x41, 0x34), (0x41, 0x12)] {
            bench.outb(&mut pit, port, value);
        }
        bench.run_until(&mut pit, 5);
        bench.outb(&mut pit, 0x43, 0xC4);
        bench.run_until(&mut pit, 50);
        assert_eq!(bench.inb(&mut pit, 0x41), 0xB4, "output high, count loaded, both bytes, mode 2");
        assert_eq!(bench.inb(&mut pit, 0x41), 0x30);
        assert_eq!(bench.inb(&mut pit, 0x41), 0x12);
    }

    #[test]
    fn pit_with_a_clock_slower_than_its_ticks_does_not_stall_the_deadlines() {
        let mut bench = Bench::new(DeviceId::Pit, 1000);
        let mut pit = Pit::new(LINE);
        for (port, value) in [(0x43, 0x14), (0x40, 2)] {
            bench.outb(&mut pit, port, value);
        }
        bench.run_until(&mut pit, 100);
        assert_eq!(rises(&mut bench), 101);
    }
}
