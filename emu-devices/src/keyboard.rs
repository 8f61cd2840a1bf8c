//! The 8042 controller at ports 60h and 64h with a PS/2 keyboard and a PS/2 mouse on it (IBM PS/2 Hardware Interface
//! Technical Reference, keyboard and auxiliary device controller).
//!
//! A byte takes about a millisecond on the wire, and none is sent while the output buffer is full: so break codes come
//! after make codes, and a guest that polls or waits sees what it would see on a PC.

mod keys;
mod ps2_keyboard;
mod ps2_mouse;
mod translate;

pub use keys::Key;

use crate::device::{Claims, Ctx, Device, POLL_NS, error_once, split_read, split_write};
use crate::line::Line;
use crate::state::{StateError, Stateful};
use ps2_keyboard::{Keyboard, Timer};
use ps2_mouse::Mouse;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Eleven bits at 11 kHz.
const WIRE_NS: u64 = 1_000_000;
/// The controller's own answers.
const REPLY_NS: u64 = 20_000;

/// Deadlines.
mod tag {
    pub const WIRE: u32 = 0;
    pub const REPLY: u32 = 1;
    pub const TYPEMATIC: u32 = 2;
    pub const SAMPLE: u32 = 3;
    pub const SELF_TEST: u32 = 4;
}

/// Status register.
mod status {
    pub const OUTPUT_FULL: u8 = 0x01;
    pub const INPUT_FULL: u8 = 0x02;
    pub const SYSTEM: u8 = 0x04;
    pub const COMMAND: u8 = 0x08;
    pub const NOT_INHIBITED: u8 = 0x10;
    pub const FROM_MOUSE: u8 = 0x20;
}

/// Command byte, the controller's RAM byte 0.
mod mode {
    pub const KEYBOARD_INTERRUPT: u8 = 0x01;
    pub const MOUSE_INTERRUPT: u8 = 0x02;
    pub const SYSTEM: u8 = 0x04;
    pub const KEYBOARD_DISABLED: u8 = 0x10;
    pub const MOUSE_DISABLED: u8 = 0x20;
    pub const TRANSLATE: u8 = 0x40;
}

/// Output port bit 1.
const A20: u8 = 0x02;

/// Who put a byte in the output buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Keyboard,
    Mouse,
}

/// Guest-visible state of the controller and its two devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyboardState {
    /// Bytes 0 to 31; byte 0 is the command byte.
    ram: [u8; 32],
    /// The output buffer. It keeps its byte after it was read.
    output: u8,
    full: bool,
    source: Source,
    /// The last write went to port 64h.
    command_written: bool,
    /// The command whose data byte comes next at port 60h.
    pending: Option<u8>,
    output_port: u8,
    /// The controller's own answers.
    replies: VecDeque<(Source, u8)>,
    after_break: bool,
    keyboard: Keyboard,
    mouse: Mouse,
    /// A deadline of the wire, of the answers, of the mouse's sampling is scheduled.
    on_wire: bool,
    replying: bool,
    sampling: bool,
}

/// The controller with keyboard and mouse.
#[derive(Debug)]
pub struct KeyboardController {
    keyboard_line: Line,
    mouse_line: Line,
    state: KeyboardState,
}

impl KeyboardController {
    /// A controller that drives `keyboard_line` (IRQ 1) and `mouse_line` (IRQ 12).
    pub fn new(keyboard_line: Line, mouse_line: Line) -> Self {
        Self { keyboard_line, mouse_line, state: Self::power_on() }
    }

    fn power_on() -> KeyboardState {
        let mut ram = [0; 32];
        ram[0] = mode::TRANSLATE;
        KeyboardState {
            ram,
            output: 0,
            full: false,
            source: Source::Keyboard,
            command_written: false,
            pending: None,
            output_port: 0xCD | A20,
            replies: VecDeque::new(),
            after_break: false,
            keyboard: Keyboard::new(),
            mouse: Mouse::new(),
            on_wire: false,
            replying: false,
            sampling: false,
        }
    }

    /// A key goes down or comes up. Repeats are the keyboard's own: report each change once.
    pub fn key_event(&mut self, ctx: &mut Ctx, key: Key, pressed: bool) {
        let timer = self.state.keyboard.key(key, pressed);
        self.apply(ctx, timer);
        self.pump(ctx);
    }

    /// The mouse moved by `dx` (right positive), `dy` (up positive), its wheel by `dz` (towards the user positive), and
    /// its buttons are now `buttons` (bits: 0 left, 1 right, 2 middle, 3 and 4 side).
    pub fn mouse_event(&mut self, ctx: &mut Ctx, dx: i32, dy: i32, dz: i32, buttons: u8) {
        self.state.mouse.moved(dx, dy, dz, buttons);
        self.schedule_sample(ctx);
    }

    /// Bytes that the keyboard still has to send; it loses keys beyond 16. Whoever types text waits for 0.
    pub fn keyboard_queued(&self) -> usize {
        self.state.keyboard.queued() + usize::from(self.state.full && self.state.source == Source::Keyboard)
    }

    /// The lights, bits: 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    pub fn leds(&self) -> u8 {
        self.state.keyboard.leds()
    }

    fn mode(&self) -> u8 {
        self.state.ram[0]
    }

    fn apply(&mut self, ctx: &mut Ctx, timer: Timer) {
        match timer {
            Timer::Keep => {}
            Timer::Stop => ctx.cancel(tag::TYPEMATIC),
            Timer::Start(nanoseconds) => ctx.schedule_ns(tag::TYPEMATIC, nanoseconds),
            Timer::SelfTest(nanoseconds) => {
                ctx.cancel(tag::TYPEMATIC);
                ctx.schedule_ns(tag::SELF_TEST, nanoseconds);
            }
        }
    }

    fn schedule_sample(&mut self, ctx: &mut Ctx) {
        if !self.state.sampling && self.state.mouse.has_unreported() {
            self.state.sampling = true;
            ctx.schedule_ns(tag::SAMPLE, self.state.mouse.sample_ns());
        }
    }

    /// Starts what can be sent to the output buffer now.
    fn pump(&mut self, ctx: &mut Ctx) {
        if self.state.full {
            return;
        }
        if !self.state.replies.is_empty() && !self.state.replying {
            self.state.replying = true;
            ctx.schedule_ns(tag::REPLY, REPLY_NS);
        }
        if self.sender().is_some() && !self.state.on_wire {
            self.state.on_wire = true;
            ctx.schedule_ns(tag::WIRE, WIRE_NS);
        }
    }

    /// The device that may send: its clock line is free and it has something.
    fn sender(&self) -> Option<Source> {
        let mode = self.mode();
        if mode & mode::KEYBOARD_DISABLED == 0 && self.state.keyboard.has_output() {
            Some(Source::Keyboard)
        } else if mode & mode::MOUSE_DISABLED == 0 && self.state.mouse.has_output() {
            Some(Source::Mouse)
        } else {
            None
        }
    }

    fn fill_output(&mut self, ctx: &mut Ctx, source: Source, byte: u8) {
        self.state.output = byte;
        self.state.full = true;
        self.state.source = source;
        self.update_lines(ctx);
    }

    fn update_lines(&self, ctx: &mut Ctx) {
        let (full, source, mode) = (self.state.full, self.state.source, self.mode());
        let keyboard = full && source == Source::Keyboard && mode & mode::KEYBOARD_INTERRUPT != 0;
        let mouse = full && source == Source::Mouse && mode & mode::MOUSE_INTERRUPT != 0;
        ctx.lines.set(self.keyboard_line, keyboard);
        ctx.lines.set(self.mouse_line, mouse);
    }

    /// A byte has come over the wire.
    fn receive_from_wire(&mut self, ctx: &mut Ctx) {
        match self.sender() {
            Some(Source::Keyboard) => {
                let Some(byte) = self.state.keyboard.send() else { return };
                let translated = if self.mode() & mode::TRANSLATE != 0 {
                    translate::translate(byte, &mut self.state.after_break)
                } else {
                    Some(byte)
                };
                if let Some(byte) = translated {
                    self.fill_output(ctx, Source::Keyboard, byte);
                }
            }
            Some(Source::Mouse) => {
                if let Some(byte) = self.state.mouse.send() {
                    self.fill_output(ctx, Source::Mouse, byte);
                }
            }
            None => {}
        }
    }

    fn reply(&mut self, byte: u8) {
        self.state.replies.push_back((Source::Keyboard, byte));
    }

    fn status(&self) -> u8 {
        let state = &self.state;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        status::NOT_INHIBITED
            | flag(state.full, status::OUTPUT_FULL)
            // A command that answers is taken from the input buffer when the answer is there.
            | flag(state.replying, status::INPUT_FULL)
            | flag(self.mode() & mode::SYSTEM != 0, status::SYSTEM)
            | flag(state.command_written, status::COMMAND)
            | flag(state.full && state.source == Source::Mouse, status::FROM_MOUSE)
    }

    /// The status was read: the wire and the controller get on with what they do.
    fn polled(&self, ctx: &mut Ctx) {
        for tag in [tag::WIRE, tag::REPLY, tag::SELF_TEST] {
            ctx.hurry(tag, POLL_NS);
        }
    }

    /// An answer to a command that the guest reads without having waited for it is there at once. Scan codes and
    /// movements come in their time: until then the data register keeps its byte.
    fn hasten(&mut self, ctx: &mut Ctx) {
        if self.state.full {
            return;
        }
        if let Some((source, byte)) = self.state.replies.pop_front() {
            self.state.replying = false;
            ctx.cancel(tag::REPLY);
            self.fill_output(ctx, source, byte);
        } else if self.state.keyboard.answers() && self.sender() == Some(Source::Keyboard) {
            self.state.on_wire = false;
            ctx.cancel(tag::WIRE);
            self.receive_from_wire(ctx);
        }
    }

    fn read_data(&mut self, ctx: &mut Ctx) -> u8 {
        self.hasten(ctx);
        self.state.full = false;
        self.update_lines(ctx);
        self.pump(ctx);
        self.state.output
    }

    /// Reads as D0h gives the output port: bits 4 and 5 follow the interrupt requests.
    fn output_port(&self) -> u8 {
        let mouse = self.state.full && self.state.source == Source::Mouse;
        let keyboard = self.state.full && !mouse;
        self.state.output_port & !0x30 | u8::from(keyboard) << 4 | u8::from(mouse) << 5
    }

    fn write_output_port(&mut self, ctx: &mut Ctx, value: u8) {
        let changed = value ^ self.state.output_port;
        self.state.output_port = value;
        if changed & A20 != 0 {
            ctx.requests.a20 = Some(value & A20 != 0);
        }
        if value & 0x01 == 0 {
            // The processor's reset line, active low. The controller cannot hold it: it would never hear again.
            ctx.requests.init = true;
            self.state.output_port |= 0x01;
        }
    }

    fn command(&mut self, ctx: &mut Ctx, command: u8) {
        self.state.pending = None;
        match command {
            0x20..=0x3F => self.reply(self.state.ram[usize::from(command & 0x1F)]),
            0x60..=0x7F | 0xD1..=0xD4 => self.state.pending = Some(command),
            // No password is installed; A5h would take one up to its 0 byte.
            0xA4 => self.reply(0xF1),
            0xA5 => self.state.pending = Some(command),
            0xA6 => {}
            0xA7 => self.state.ram[0] |= mode::MOUSE_DISABLED,
            0xA8 => self.state.ram[0] &= !mode::MOUSE_DISABLED,
            0xA9 | 0xAB => self.reply(0x00),
            0xAA => {
                self.state.ram[0] |= mode::SYSTEM;
                self.state.replies.clear();
                self.state.full = false;
                self.reply(0x55);
            }
            0xAD => self.state.ram[0] |= mode::KEYBOARD_DISABLED,
            0xAE => self.state.ram[0] &= !mode::KEYBOARD_DISABLED,
            // Input port: not locked, colour display, manufacturing jumper open.
            0xC0 => self.reply(0xB0),
            0xD0 => self.reply(self.output_port()),
            0xDD => self.write_output_port(ctx, self.state.output_port & !A20),
            0xDF => self.write_output_port(ctx, self.state.output_port | A20),
            // Test inputs: the clock lines, high unless disabled.
            0xE0 => {
                let mode = self.mode();
                let clock = |disabled: u8, bit: u8| if mode & disabled == 0 { bit } else { 0 };
                self.reply(clock(mode::KEYBOARD_DISABLED, 1) | clock(mode::MOUSE_DISABLED, 2));
            }
            // Pulses the output port's bits 3:0 that are 0 here, for 6 us; bit 0 is the processor's reset. Nothing
            // listens so briefly to the A20 gate or the unused bits.
            0xF0..=0xFF => {
                if command & 1 == 0 {
                    ctx.requests.init = true;
                }
            }
            _ => error_once!("8042: unknown command {command:02X}h at port 64h ignored"),
        }
    }

    fn data(&mut self, ctx: &mut Ctx, value: u8) {
        match self.state.pending.take() {
            Some(command @ 0x60..=0x7F) => self.state.ram[usize::from(command & 0x1F)] = value,
            Some(0xA5) => self.state.pending = (value != 0).then_some(0xA5),
            Some(0xD1) => self.write_output_port(ctx, value),
            Some(0xD2) => self.state.replies.push_back((Source::Keyboard, value)),
            Some(0xD3) => self.state.replies.push_back((Source::Mouse, value)),
            Some(0xD4) => {
                self.state.ram[0] &= !mode::MOUSE_DISABLED;
                self.state.mouse.receive(value);
            }
            _ => {
                // Sending to the keyboard frees its clock line.
                self.state.ram[0] &= !mode::KEYBOARD_DISABLED;
                let timer = self.state.keyboard.receive(value);
                self.apply(ctx, timer);
            }
        }
    }
}

impl Stateful for KeyboardController {
    type Saved = KeyboardState;

    fn save(&self) -> KeyboardState {
        let Self { keyboard_line: _, mouse_line: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: KeyboardState) -> Result<(), StateError> {
        state.keyboard.check()?;
        self.state = state;
        Ok(())
    }
}

impl Device for KeyboardController {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0x60..0x61, 0x64..0x65], mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        self.state = Self::power_on();
        ctx.requests.a20 = Some(true);
        self.update_lines(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        split_read(port, size, |port| match port {
            0x60 => self.read_data(ctx),
            0x64 => {
                self.polled(ctx);
                self.status()
            }
            _ => 0xFF,
        })
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        split_write(port, size, value, |port, byte| match port {
            0x60 => {
                self.state.command_written = false;
                self.data(ctx, byte);
            }
            0x64 => {
                self.state.command_written = true;
                self.command(ctx, byte);
            }
            _ => {}
        });
        self.update_lines(ctx);
        self.pump(ctx);
    }

    /// The output port shows where another device (port 92h) has moved the gate.
    fn a20_moved(&mut self, open: bool) {
        self.state.output_port = self.state.output_port & !A20 | if open { A20 } else { 0 };
    }

    fn deadline(&mut self, ctx: &mut Ctx, deadline: u32) {
        match deadline {
            tag::WIRE => {
                self.state.on_wire = false;
                if !self.state.full {
                    self.receive_from_wire(ctx);
                }
            }
            tag::REPLY => {
                self.state.replying = false;
                if !self.state.full
                    && let Some((source, byte)) = self.state.replies.pop_front()
                {
                    self.fill_output(ctx, source, byte);
                }
            }
            tag::TYPEMATIC => {
                if self.state.keyboard.repeat() {
                    ctx.schedule_ns(tag::TYPEMATIC, self.state.keyboard.period_ns());
                }
            }
            tag::SAMPLE => {
                self.state.sampling = false;
                if self.state.mouse.wants_sample() {
                    self.state.mouse.sample();
                }
                self.schedule_sample(ctx);
            }
            _ => self.state.keyboard.self_test_done(),
        }
        self.pump(ctx);
    }
}

#[cfg(test)]
mod tests;
