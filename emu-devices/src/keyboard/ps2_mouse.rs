//! The PS/2 mouse, with the wheel and five buttons of the IntelliMouse (IBM PS/2 Hardware Interface Technical Reference,
//! mouse; Microsoft's magic sequences of sample rates).

use super::ps2_keyboard::{ACK, RESEND, SELF_TEST_PASSED};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Stream or remote mode; wrap mode lies over both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    Stream,
    Remote,
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mouse {
    mode: Mode,
    wrap: bool,
    reporting: bool,
    scaling_2_1: bool,
    /// 0 to 3: 1, 2, 4, 8 counts a millimetre.
    resolution: u8,
    /// Reports a second.
    sample_rate: u8,
    /// 0 plain, 3 with wheel, 4 with five buttons.
    id: u8,
    /// The last three sample rates, oldest first.
    rates: [u8; 3],
    pending: Option<u8>,
    queue: VecDeque<u8>,
    last_sent: u8,
    /// Movement since the last report.
    dx: i32,
    dy: i32,
    dz: i32,
    /// Bits: 0 left, 1 right, 2 middle, 3 and 4 the side buttons.
    buttons: u8,
    reported_buttons: u8,
}

impl Mouse {
    pub fn new() -> Self {
        Self {
            mode: Mode::Stream,
            wrap: false,
            reporting: false,
            scaling_2_1: false,
            resolution: 2,
            sample_rate: 100,
            id: 0,
            rates: [0; 3],
            pending: None,
            queue: VecDeque::new(),
            last_sent: 0,
            dx: 0,
            dy: 0,
            dz: 0,
            buttons: 0,
            reported_buttons: 0,
        }
    }

    pub fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next byte on the wire.
    pub fn send(&mut self) -> Option<u8> {
        let byte = self.queue.pop_front()?;
        if byte != RESEND {
            self.last_sent = byte;
        }
        Some(byte)
    }

    /// Nanoseconds between reports.
    pub fn sample_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.sample_rate.max(1))
    }

    /// Whether the guest has asked for reports.
    fn reports(&self) -> bool {
        self.reporting && self.mode == Mode::Stream && !self.wrap
    }

    /// Whether there is something to report in stream mode.
    pub fn has_unreported(&self) -> bool {
        let moved = (self.dx, self.dy) != (0, 0) || self.dz != 0 && self.id != 0;
        self.reports() && (moved || self.buttons != self.reported_buttons)
    }

    /// Whether a report is due at a sample: the last one has gone out.
    pub fn wants_sample(&self) -> bool {
        self.queue.is_empty() && self.has_unreported()
    }

    /// Movement (right, up, towards the user positive) and buttons as they are now.
    pub fn moved(&mut self, dx: i32, dy: i32, dz: i32, buttons: u8) {
        // Ten times the range of a report: what a stopped guest is told later stays near.
        let add = |sum: i32, delta: i32| sum.saturating_add(delta).clamp(-2550, 2550);
        self.dx = add(self.dx, dx);
        self.dy = add(self.dy, dy);
        self.dz = add(self.dz, dz);
        self.buttons = buttons & 0x1F;
    }

    /// Queues the report of a sample.
    pub fn sample(&mut self) {
        self.queue_report(self.scaling_2_1);
    }

    fn queue_report(&mut self, scaled: bool) {
        let take = |sum: &mut i32, limit: i32| {
            let part = (*sum).clamp(-limit - 1, limit);
            *sum -= part;
            part
        };
        let (x, y) = (take(&mut self.dx, 255), take(&mut self.dy, 255));
        let (x, y) = if scaled { (scale(x), scale(y)) } else { (x, y) };
        let overflow = |value: i32| !(-256..=255).contains(&value);
        let flags = self.buttons & 7
            | 0x08
            | u8::from(x < 0) << 4
            | u8::from(y < 0) << 5
            | u8::from(overflow(x)) << 6
            | u8::from(overflow(y)) << 7;
        self.queue.extend([flags, x as u8, y as u8]);
        self.reported_buttons = self.buttons;
        match self.id {
            3 => {
                let z = take(&mut self.dz, 127);
                self.queue.push_back(z as u8);
            }
            4 => {
                let z = take(&mut self.dz, 7);
                self.queue.push_back(z as u8 & 0x0F | (self.buttons & 0x18) << 1);
            }
            _ => self.dz = 0,
        }
    }

    fn clear_movement(&mut self) {
        (self.dx, self.dy, self.dz) = (0, 0, 0);
    }

    fn set_defaults(&mut self) {
        self.mode = Mode::Stream;
        self.wrap = false;
        self.reporting = false;
        self.scaling_2_1 = false;
        self.resolution = 2;
        self.sample_rate = 100;
        self.clear_movement();
    }

    /// A byte from the controller.
    pub fn receive(&mut self, byte: u8) {
        if byte != RESEND {
            self.queue.clear();
        }
        if let Some(command) = self.pending.take() {
            self.parameter(command, byte);
        } else if self.wrap && !matches!(byte, 0xEC | 0xFF) {
            self.queue.push_back(byte);
        } else {
            self.command(byte);
        }
    }

    fn parameter(&mut self, command: u8, byte: u8) {
        match command {
            0xE8 if byte <= 3 => self.resolution = byte,
            0xF3 if matches!(byte, 10 | 20 | 40 | 60 | 80 | 100 | 200) => {
                self.sample_rate = byte;
                self.rates.rotate_left(1);
                self.rates[2] = byte;
                match self.rates {
                    [200, 100, 80] => self.id = 3,
                    [200, 200, 80] => self.id = 4,
                    _ => {}
                }
            }
            _ => {
                self.queue.push_back(RESEND);
                return;
            }
        }
        self.queue.push_back(ACK);
    }

    fn command(&mut self, command: u8) {
        let acknowledged = matches!(command, 0xE6..=0xEC | 0xEE | 0xF0 | 0xF2..=0xF6 | 0xFF);
        if acknowledged {
            self.queue.push_back(ACK);
        }
        match command {
            0xE6 => self.scaling_2_1 = false,
            0xE7 => self.scaling_2_1 = true,
            0xE8 | 0xF3 => self.pending = Some(command),
            0xE9 => {
                let buttons = self.buttons;
                let status = buttons >> 1 & 1
                    | (buttons >> 2 & 1) << 1
                    | (buttons & 1) << 2
                    | u8::from(self.scaling_2_1) << 4
                    | u8::from(self.reporting) << 5
                    | u8::from(self.mode == Mode::Remote) << 6;
                self.queue.extend([status, self.resolution, self.sample_rate]);
            }
            0xEA => {
                self.mode = Mode::Stream;
                self.clear_movement();
            }
            // Scaling applies to stream mode only.
            0xEB => self.queue_report(false),
            0xEC => self.wrap = false,
            0xEE => {
                self.wrap = true;
                self.clear_movement();
            }
            0xF0 => {
                self.mode = Mode::Remote;
                self.clear_movement();
            }
            0xF2 => self.queue.push_back(self.id),
            0xF4 => {
                self.reporting = true;
                self.clear_movement();
            }
            0xF5 => {
                self.reporting = false;
                self.clear_movement();
            }
            0xF6 => self.set_defaults(),
            RESEND => self.queue.push_front(self.last_sent),
            0xFF => {
                self.set_defaults();
                self.id = 0;
                self.rates = [0; 3];
                self.queue.extend([SELF_TEST_PASSED, self.id]);
            }
            _ => self.queue.push_back(RESEND),
        }
    }
}

/// 2:1 scaling: small movements shrink, large ones double.
fn scale(value: i32) -> i32 {
    let scaled = match value.abs() {
        0 => 0,
        1 | 2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        large => 2 * large,
    };
    scaled * value.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(mouse: &mut Mouse, bytes: &[u8]) -> Vec<u8> {
        let mut replies = Vec::new();
        for byte in bytes {
            mouse.receive(*byte);
            replies.extend(std::iter::from_fn(|| mouse.send()));
        }
        replies
    }

    fn report(mouse: &mut Mouse) -> Vec<u8> {
        assert!(mouse.wants_sample());
        mouse.sample();
        std::iter::from_fn(|| mouse.send()).collect()
    }

    #[test]
    fn mouse_reset_passes_its_test_and_is_a_plain_mouse() {
        let mut mouse = Mouse::new();
        assert_eq!(reply(&mut mouse, &[0xFF]), [0xFA, 0xAA, 0x00]);
        assert_eq!(reply(&mut mouse, &[0xF2]), [0xFA, 0x00]);
        assert_eq!(reply(&mut mouse, &[0xE9]), [0xFA, 0x00, 0x02, 100]);
    }

    #[test]
    fn mouse_rate_sequences_change_the_identity() {
        let mut mouse = Mouse::new();
        reply(&mut mouse, &[0xF3, 200, 0xF3, 100, 0xF3, 80]);
        assert_eq!(reply(&mut mouse, &[0xF2]), [0xFA, 0x03]);
        reply(&mut mouse, &[0xF3, 200, 0xF3, 200, 0xF3, 80]);
        assert_eq!(reply(&mut mouse, &[0xF2]), [0xFA, 0x04]);
    }

    #[test]
    fn mouse_report_has_signs_buttons_and_wheel() {
        let mut mouse = Mouse::new();
        reply(&mut mouse, &[0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF4]);
        mouse.moved(-5, 7, -1, 0x01);
        assert_eq!(report(&mut mouse), [0x19, 0xFB, 0x07, 0xFF]);
        assert!(!mouse.wants_sample());
        mouse.moved(0, 0, 0, 0);
        assert_eq!(report(&mut mouse), [0x08, 0, 0, 0]);
    }

    #[test]
    fn mouse_long_movement_is_split_into_reports() {
        let mut mouse = Mouse::new();
        reply(&mut mouse, &[0xF4]);
        mouse.moved(300, 0, 0, 0);
        assert_eq!(report(&mut mouse), [0x08, 255, 0]);
        assert_eq!(report(&mut mouse), [0x08, 45, 0]);
    }

    #[test]
    fn mouse_not_enabled_does_not_report_in_stream_mode_but_answers_a_read() {
        let mut mouse = Mouse::new();
        mouse.moved(4, 0, 0, 0);
        assert!(!mouse.wants_sample());
        assert_eq!(reply(&mut mouse, &[0xE7, 0xEB]), [0xFA, 0xFA, 0x08, 4, 0]);
        reply(&mut mouse, &[0xF4]);
        mouse.moved(4, 0, 0, 0);
        assert_eq!(report(&mut mouse), [0x08, 6, 0], "2:1 scaling in stream mode");
    }

    #[test]
    fn mouse_wrap_mode_echoes_until_reset_wrap() {
        let mut mouse = Mouse::new();
        assert_eq!(reply(&mut mouse, &[0xEE, 0xF4, 0x55, 0xEC, 0x55]), [0xFA, 0xF4, 0x55, 0xFA, 0xFE]);
    }
}
