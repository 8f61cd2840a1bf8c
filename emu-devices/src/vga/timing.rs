//! Where the beam is: everything that follows from the CRTC's timing registers.

use super::VgaState;

/// Dot clocks of the miscellaneous output register's clock select, in Hz.
const DOT_CLOCKS: [u64; 4] = [25_175_000, 28_322_000, 25_175_000, 25_175_000];

/// The CRTC's timing in the units of its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// Dot clock in Hz, after the sequencer's division.
    pub dot_clock: u64,
    /// Dots a character clock.
    pub character: u64,
    /// Character clocks a line, and of them displayed.
    pub horizontal_total: u64,
    pub horizontal_display: u64,
    /// Lines a frame, and of them displayed.
    pub vertical_total: u64,
    pub vertical_display: u64,
    /// First line of the vertical retrace, and how many it has.
    pub retrace_start: u64,
    pub retrace_lines: u64,
}

impl Timing {
    pub fn of(state: &VgaState) -> Self {
        let crtc = &state.crtc.registers;
        let clocking = state.sequencer.registers[1];
        // Bits 8 and 9 of the vertical values lie in the overflow register.
        let overflow = u64::from(crtc[7]);
        let vertical = |low: usize, bit8: u32, bit9: u32| {
            u64::from(crtc[low]) | (overflow >> bit8 & 1) << 8 | (overflow >> bit9 & 1) << 9
        };
        let retrace_start = vertical(0x10, 2, 7);
        let retrace_lines = match u64::from(crtc[0x11]).wrapping_sub(retrace_start) & 0x0F {
            0 => 16,
            lines => lines,
        };
        Timing {
            dot_clock: DOT_CLOCKS[usize::from(state.misc >> 2 & 3)] >> (clocking >> 3 & 1),
            character: if clocking & 1 != 0 { 8 } else { 9 },
            horizontal_total: u64::from(crtc[0]) + 5,
            horizontal_display: u64::from(crtc[1]) + 1,
            vertical_total: vertical(6, 0, 5) + 2,
            vertical_display: vertical(0x12, 1, 6) + 1,
            retrace_start,
            retrace_lines,
        }
    }

    /// Line and character clock at `now` cycles of a clock of `hz`.
    fn beam(&self, now: u64, hz: u64) -> (u64, u64) {
        let dots = u128::from(now) * u128::from(self.dot_clock) / u128::from(hz.max(1));
        let characters = (dots / u128::from(self.character)) as u64;
        (characters / self.horizontal_total % self.vertical_total, characters % self.horizontal_total)
    }

    /// Frames since cycle 0: what the cursor and blinking characters count.
    pub fn frame(&self, now: u64, hz: u64) -> u64 {
        let dots = u128::from(now) * u128::from(self.dot_clock) / u128::from(hz.max(1));
        (dots / u128::from(self.character * self.horizontal_total * self.vertical_total)) as u64
    }
}

/// Input status register 1: bit 0 no display, bit 3 vertical retrace.
pub(super) fn input_status_1(state: &VgaState, now: u64, hz: u64) -> u8 {
    let timing = Timing::of(state);
    let (line, character) = timing.beam(now, hz);
    let display = line < timing.vertical_display && character < timing.horizontal_display;
    let retrace = line.checked_sub(timing.retrace_start).is_some_and(|lines| lines < timing.retrace_lines);
    u8::from(!display) | u8::from(retrace) << 3
}
