//! COM1: a 16550A UART (National PC16550D data sheet), timed by its divisor.
//!
//! The time on the line is the guest's alone: the host has a character as soon as the transmitter has it, so that none is
//! lost however the run ends. Nor is one lost to a guest that does not wait for the transmitter.

use crate::device::{Claims, Ctx, Device, POLL_NS, error_once, push_output, split_read, split_write};
use crate::line::Line;
use crate::state::{StateError, Stateful};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// First port of COM1.
pub const COM1: u16 = 0x3F8;
/// The UART's clock, in Hz; 16 of its ticks divided by the divisor are one bit.
const CLOCK: u64 = 1_843_200;
const FIFO_DEPTH: usize = 16;

/// Deadlines: the transmitter has shifted a character out; the receiver may take one; nobody read for four characters.
const TRANSMITTED: u32 = 0;
const RECEIVE: u32 = 1;
const TIMEOUT: u32 = 2;

mod ier {
    pub const RECEIVED: u8 = 1;
    pub const TRANSMITTER_EMPTY: u8 = 2;
    pub const LINE_STATUS: u8 = 4;
    pub const MODEM_STATUS: u8 = 8;
}

mod lsr {
    pub const DATA_READY: u8 = 0x01;
    pub const OVERRUN: u8 = 0x02;
    pub const TRANSMITTER_HOLDING_EMPTY: u8 = 0x20;
    pub const TRANSMITTER_EMPTY: u8 = 0x40;
    pub const ERRORS: u8 = 0x1E;
}

mod mcr {
    pub const OUT2: u8 = 0x08;
    pub const LOOPBACK: u8 = 0x10;
}

/// Guest-visible state, with the bytes that the host has sent and the guest will get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    divisor: u16,
    interrupt_enable: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    /// Errors of LSR, until it is read.
    line_errors: u8,
    modem_status: u8,
    scratch: u8,
    receive: VecDeque<u8>,
    transmit: VecDeque<u8>,
    /// The character in the transmit shift register.
    shifting: Option<u8>,
    /// The transmitter-holding-register-empty interrupt is pending.
    transmitter_interrupt: bool,
    timeout: bool,
    /// A RECEIVE deadline is scheduled.
    receiving: bool,
    input: VecDeque<u8>,
}

/// Most characters that wait for the guest.
pub const MAX_INPUT: usize = 1 << 20;

/// All that a UART has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialSaved {
    state: SerialState,
    /// Sent by the guest, not yet taken by the host.
    output: Vec<u8>,
}

/// A 16550A.
#[derive(Debug)]
pub struct Serial {
    base: u16,
    interrupt: Line,
    /// Characters take no time on the line.
    immediate: bool,
    state: SerialState,
    output: Vec<u8>,
}

impl Serial {
    /// A UART at ports `base` to `base + 7` whose INTR drives `interrupt`.
    pub fn new(base: u16, interrupt: Line) -> Self {
        Self { base, interrupt, immediate: false, state: Self::power_on(), output: Vec::new() }
    }

    /// The same with characters that take no time on the line, whatever the divisor: for test runs that print much and
    /// poll.
    pub fn immediate(self, immediate: bool) -> Self {
        Self { immediate, ..self }
    }

    fn power_on() -> SerialState {
        // 9600 baud, nothing else set; CTS, DSR and DCD are those of a connected terminal.
        SerialState { divisor: 12, modem_status: 0xB0, ..SerialState::default() }
    }

    /// The characters sent since the last call: 16 MiB at most are kept.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Characters for the guest that the receiver has had no room for.
    pub fn waiting(&self) -> usize {
        self.state.input.len()
    }

    /// Characters for the guest. They wait here until the receiver has room, at the line's speed; what is beyond
    /// [`MAX_INPUT`] is lost, as on a line whose sender does not heed the guest.
    pub fn push_input(&mut self, ctx: &mut Ctx, bytes: &[u8]) {
        let room = MAX_INPUT.saturating_sub(self.state.input.len());
        self.state.input.extend(bytes.iter().take(room));
        if room < bytes.len() {
            error_once!("{MAX_INPUT} characters wait for a guest that does not read them; more are lost");
        }
        self.schedule_receive(ctx);
    }

    /// Nanoseconds that one character takes on the line. The data sheet leaves divisor 0 undefined; it counts as 1.
    fn character_ns(&self) -> u64 {
        if self.immediate {
            return 0;
        }
        let line = self.state.line_control;
        let half_bits = 2 * (1 + 5 + u64::from(line & 3) + u64::from(line >> 3 & 1))
            + match (line & 4 != 0, line & 3) {
                (false, _) => 2,
                (true, 0) => 3,
                (true, _) => 4,
            };
        half_bits * 8 * u64::from(self.state.divisor.max(1)) * 1_000_000_000 / CLOCK
    }

    fn fifo_enabled(&self) -> bool {
        self.state.fifo_control & 1 != 0
    }

    fn depth(&self) -> usize {
        if self.fifo_enabled() { FIFO_DEPTH } else { 1 }
    }

    fn trigger_level(&self) -> usize {
        if !self.fifo_enabled() {
            return 1;
        }
        [1, 4, 8, 14][usize::from(self.state.fifo_control >> 6)]
    }

    fn loopback(&self) -> bool {
        self.state.modem_control & mcr::LOOPBACK != 0
    }

    fn line_status(&self) -> u8 {
        let state = &self.state;
        let mut status = state.line_errors;
        if !state.receive.is_empty() {
            status |= lsr::DATA_READY;
        }
        if state.transmit.is_empty() {
            status |= lsr::TRANSMITTER_HOLDING_EMPTY;
            if state.shifting.is_none() {
                status |= lsr::TRANSMITTER_EMPTY;
            }
        }
        status
    }

    /// MSR bits 7:4: in loopback the modem control outputs, else the terminal's lines.
    fn modem_lines(&self) -> u8 {
        if !self.loopback() {
            return 0xB0;
        }
        let control = self.state.modem_control;
        // RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
        (control & 0x02) << 3 | (control & 0x01) << 5 | (control & 0x0C) << 4
    }

    /// Takes over new modem lines, with the delta bits.
    fn update_modem_status(&mut self) {
        let (before, lines) = (self.state.modem_status, self.modem_lines());
        let changed = (before ^ lines) & 0xF0;
        // RI counts at its trailing edge only.
        let ring_ended = before & !lines & 0x40;
        self.state.modem_status = before & 0x0F | lines | changed >> 4 & 0x0B | ring_ended >> 4;
    }

    /// IIR bits 3:0: the pending interrupt of highest priority, 1 for none.
    fn interrupt_identification(&self) -> u8 {
        let (state, enabled) = (&self.state, self.state.interrupt_enable);
        if enabled & ier::LINE_STATUS != 0 && state.line_errors & lsr::ERRORS != 0 {
            0x06
        } else if enabled & ier::RECEIVED != 0 && state.receive.len() >= self.trigger_level() {
            0x04
        } else if enabled & ier::RECEIVED != 0 && state.timeout {
            0x0C
        } else if enabled & ier::TRANSMITTER_EMPTY != 0 && state.transmitter_interrupt {
            0x02
        } else if enabled & ier::MODEM_STATUS != 0 && state.modem_status & 0x0F != 0 {
            0x00
        } else {
            0x01
        }
    }

    fn update_line(&mut self, ctx: &mut Ctx) {
        // OUT2 enables the driver of the IRQ line on a PC; loopback takes that output from the pin.
        let driven = self.state.modem_control & (mcr::OUT2 | mcr::LOOPBACK) == mcr::OUT2;
        ctx.lines.set(self.interrupt, driven && self.interrupt_identification() != 0x01);
    }

    fn schedule_receive(&mut self, ctx: &mut Ctx) {
        let room = self.state.receive.len() < self.depth();
        if !self.state.receiving && !self.loopback() && room && !self.state.input.is_empty() {
            self.state.receiving = true;
            ctx.schedule_ns(RECEIVE, self.character_ns());
        }
    }

    /// A character has come in, from the line or by loopback.
    fn receive(&mut self, ctx: &mut Ctx, byte: u8) {
        if self.state.receive.len() >= self.depth() {
            self.state.line_errors |= lsr::OVERRUN;
            if !self.fifo_enabled() {
                self.state.receive.clear();
                self.state.receive.push_back(byte);
            }
        } else {
            self.state.receive.push_back(byte);
        }
        self.restart_timeout(ctx);
    }

    /// The character timeout runs while the FIFO holds something below its trigger level; each access restarts it.
    fn restart_timeout(&mut self, ctx: &mut Ctx) {
        self.state.timeout = false;
        if self.fifo_enabled() && !self.state.receive.is_empty() {
            ctx.schedule_ns(TIMEOUT, 4 * self.character_ns());
        } else {
            ctx.cancel(TIMEOUT);
        }
    }

    /// The character in the shift register is out.
    fn shifted(&mut self, ctx: &mut Ctx) {
        if let Some(byte) = self.state.shifting.take()
            && self.loopback()
        {
            self.receive(ctx, byte);
        }
        self.start_transmission(ctx);
    }

    /// Lets what the transmitter holds go where it was sent, at once: the way is about to change.
    fn finish_transmission(&mut self, ctx: &mut Ctx) {
        while self.state.shifting.is_some() {
            self.shifted(ctx);
        }
        ctx.cancel(TRANSMITTED);
    }

    /// Moves the next character into the shift register.
    fn start_transmission(&mut self, ctx: &mut Ctx) {
        if self.state.shifting.is_some() {
            return;
        }
        if let Some(byte) = self.state.transmit.pop_front() {
            self.state.shifting = Some(byte);
            if self.state.transmit.is_empty() {
                self.state.transmitter_interrupt = true;
            }
            ctx.schedule_ns(TRANSMITTED, self.character_ns());
        }
    }

    fn read(&mut self, ctx: &mut Ctx, register: u16) -> u8 {
        let divisor_access = self.state.line_control & 0x80 != 0;
        match register {
            0 if divisor_access => self.state.divisor as u8,
            1 if divisor_access => (self.state.divisor >> 8) as u8,
            0 => {
                // A test by loopback that does not wait for its character.
                if self.loopback() && self.state.receive.is_empty() && self.state.shifting.is_some() {
                    ctx.cancel(TRANSMITTED);
                    self.shifted(ctx);
                }
                let byte = self.state.receive.pop_front().unwrap_or(0);
                self.restart_timeout(ctx);
                self.schedule_receive(ctx);
                byte
            }
            1 => self.state.interrupt_enable,
            2 => {
                let identification = self.interrupt_identification();
                if identification == 0x02 {
                    self.state.transmitter_interrupt = false;
                }
                identification | if self.fifo_enabled() { 0xC0 } else { 0 }
            }
            3 => self.state.line_control,
            4 => self.state.modem_control,
            5 => {
                ctx.hurry(TRANSMITTED, POLL_NS);
                ctx.hurry(RECEIVE, POLL_NS);
                let status = self.line_status();
                self.state.line_errors = 0;
                status
            }
            6 => {
                let status = self.state.modem_status;
                self.state.modem_status &= 0xF0;
                status
            }
            7 => self.state.scratch,
            _ => 0xFF,
        }
    }

    fn write(&mut self, ctx: &mut Ctx, register: u16, value: u8) {
        let divisor_access = self.state.line_control & 0x80 != 0;
        match register {
            0 if divisor_access => self.state.divisor = self.state.divisor & 0xFF00 | u16::from(value),
            1 if divisor_access => self.state.divisor = self.state.divisor & 0x00FF | u16::from(value) << 8,
            0 => {
                if !self.loopback() {
                    push_output(&mut self.output, value);
                }
                // Into a full FIFO, or a full holding register: the oldest character makes room.
                if self.state.transmit.len() >= self.depth() {
                    self.shifted(ctx);
                }
                self.state.transmit.push_back(value);
                self.state.transmitter_interrupt = false;
                self.start_transmission(ctx);
            }
            1 => {
                let enabled = value & 0x0F;
                let newly = enabled & !self.state.interrupt_enable;
                self.state.interrupt_enable = enabled;
                if newly & ier::TRANSMITTER_EMPTY != 0 && self.state.transmit.is_empty() {
                    self.state.transmitter_interrupt = true;
                }
            }
            2 => {
                let switched = (value ^ self.state.fifo_control) & 1 != 0;
                if switched || value & 0x02 != 0 {
                    self.state.receive.clear();
                    self.restart_timeout(ctx);
                }
                if switched || value & 0x04 != 0 {
                    self.state.transmit.clear();
                    self.state.transmitter_interrupt = true;
                }
                // The reset bits clear themselves; the others count only with the FIFOs on.
                self.state.fifo_control = if value & 1 != 0 { value & 0xC9 } else { 0 };
                self.schedule_receive(ctx);
            }
            3 => self.state.line_control = value,
            4 => {
                if (value ^ self.state.modem_control) & mcr::LOOPBACK != 0 {
                    self.finish_transmission(ctx);
                }
                self.state.modem_control = value & 0x1F;
                self.update_modem_status();
                self.schedule_receive(ctx);
            }
            7 => self.state.scratch = value,
            // LSR and MSR: writing is for factory tests.
            _ => {}
        }
    }
}

impl Stateful for Serial {
    type Saved = SerialSaved;

    fn save(&self) -> SerialSaved {
        let Self { base: _, interrupt: _, immediate: _, state, output } = self;
        SerialSaved { state: state.clone(), output: output.clone() }
    }

    fn restore(&mut self, saved: SerialSaved) -> Result<(), StateError> {
        SerialSaved { state: self.state, output: self.output } = saved;
        Ok(())
    }

    fn guest(&self) -> impl Serialize {
        &self.state
    }
}

impl Device for Serial {
    fn claims(&self) -> Claims {
        Claims { ports: vec![u32::from(self.base)..u32::from(self.base) + 8], mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        let kept = std::mem::take(&mut self.state);
        self.state = SerialState { input: kept.input, ..Self::power_on() };
        self.schedule_receive(ctx);
        self.update_line(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        let value = split_read(port, size, |port| self.read(ctx, port.wrapping_sub(self.base)));
        self.update_line(ctx);
        value
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        split_write(port, size, value, |port, byte| self.write(ctx, port.wrapping_sub(self.base), byte));
        self.update_line(ctx);
    }

    fn deadline(&mut self, ctx: &mut Ctx, tag: u32) {
        match tag {
            TRANSMITTED => self.shifted(ctx),
            RECEIVE => {
                self.state.receiving = false;
                // The guest may have changed to loopback, or filled the FIFO by it, meanwhile.
                if !self.loopback() && self.state.receive.len() < self.depth() {
                    if let Some(byte) = self.state.input.pop_front() {
                        self.receive(ctx, byte);
                    }
                    self.schedule_receive(ctx);
                }
            }
            _ => self.state.timeout = !self.state.receive.is_empty(),
        }
        self.update_line(ctx);
    }
}

#[cfg(test)]
mod tests;
