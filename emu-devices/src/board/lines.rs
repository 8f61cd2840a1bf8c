//! The lines: 0 to 23 are the global system interrupts (0 to 15 the ISA IRQs), then those that share an input.

use crate::hpet::HpetWiring;
use crate::line::Line;

pub const PIT: Line = Line(0);
pub const KEYBOARD: Line = Line(1);
pub const SERIAL: Line = Line(4);
pub const FLOPPY: Line = Line(6);
pub const RTC: Line = Line(8);
pub const SCI: Line = Line(9);
pub const MOUSE: Line = Line(12);
pub const COPROCESSOR: Line = Line(13);
pub const ATA: [Line; 2] = [Line(14), Line(15)];
const HPET_LEGACY: [Line; 2] = [Line(24), Line(25)];
const HPET_ROUTES: Line = Line(26);
const HPET_PINS: [u8; 9] = [2, 8, 16, 17, 18, 19, 20, 21, 22];
/// pc-testdev's lines for inputs 0 to 23.
const TESTDEV: u8 = 40;

/// The HPET's lines.
pub fn hpet() -> HpetWiring {
    HpetWiring {
        legacy_timer0: HPET_LEGACY[0],
        legacy_timer1: HPET_LEGACY[1],
        routes: HPET_PINS.into_iter().zip((HPET_ROUTES.0..).map(Line)).collect(),
    }
}

/// pc-testdev's lines.
pub fn testdev() -> Vec<Line> {
    (0..24).map(|n| Line(TESTDEV + n)).collect()
}

/// The global system interrupt that a line drives.
pub fn input(line: Line) -> u8 {
    match line.0 {
        n @ 0..24 => n,
        24 => 0,
        25 => 8,
        n @ 26..35 => HPET_PINS[usize::from(n - 26)],
        n => n.wrapping_sub(TESTDEV),
    }
}
