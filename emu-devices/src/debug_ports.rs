//! Small ports of the PC and of emulators: POST codes (80h), port E9h, 402h, 8900h, 92h, isa-debug-exit.

use crate::device::{Claims, Ctx, Device, all_ones, push_output, split_read, split_write};
use crate::state::{StateError, Stateful, check};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The word that Bochs's BIOS writes to port 8900h, letter by letter, to power off.
const SHUTDOWN: &[u8] = b"Shutdown";
/// POST codes kept for [`DebugPorts::take_post_codes`]; the oldest go first.
const POST_CODES_KEPT: usize = 4096;

/// Where QEMU's isa-debug-exit answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugExit {
    /// First port.
    pub port: u16,
    /// Ports claimed: 1, 2 or 4 (QEMU's `iosize`).
    pub size: u8,
}

/// Which of the optional ports exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugPortsConfig {
    /// Port 402h is a second E9h.
    pub port_402: bool,
    /// isa-debug-exit.
    pub debug_exit: Option<DebugExit>,
}

/// Guest-visible state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugPortsState {
    post_code: u8,
    /// Letters of [`SHUTDOWN`] seen so far.
    shutdown_seen: usize,
    port_92: u8,
}

/// What the ports have written for the host, until it takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    post_codes: Vec<u8>,
    /// Ports E9h and 402h.
    text: Vec<u8>,
}

/// All that the ports have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugPortsSaved {
    state: DebugPortsState,
    output: Output,
}

/// The ports.
#[derive(Debug)]
pub struct DebugPorts {
    config: DebugPortsConfig,
    state: DebugPortsState,
    output: Output,
}

impl DebugPorts {
    /// The ports that `config` asks for, with 80h, E9h, 8900h and 92h always.
    pub fn new(config: DebugPortsConfig) -> Self {
        Self { config, state: DebugPortsState::default(), output: Output::default() }
    }

    /// The last POST code.
    pub fn post_code(&self) -> u8 {
        self.state.post_code
    }

    /// The POST codes since the last call, oldest first (the last 4096).
    pub fn take_post_codes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output.post_codes)
    }

    /// What was written to ports E9h and 402h since the last call: 16 MiB at most are kept.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output.text)
    }

    fn read(&self, port: u16) -> u8 {
        match port {
            0x80 => self.state.post_code,
            0x92 => self.state.port_92,
            // Guests tell by this value that the port exists.
            0xE9 => 0xE9,
            0x402 if self.config.port_402 => 0xE9,
            _ => 0xFF,
        }
    }

    fn write(&mut self, ctx: &mut Ctx, port: u16, value: u8) {
        match port {
            0x80 => {
                self.state.post_code = value;
                let codes = &mut self.output.post_codes;
                if codes.len() >= POST_CODES_KEPT {
                    codes.drain(..POST_CODES_KEPT / 2);
                }
                codes.push(value);
            }
            0x92 => {
                // FAST_INIT (bit 0) stays as it was written: INIT# pulses where it becomes 1, and not again before it was
                // written back to 0 (82371SB, "Port 92 Register").
                let before = std::mem::replace(&mut self.state.port_92, value & 0x03);
                if (before ^ value) & 0x02 != 0 {
                    ctx.requests.a20 = Some(value & 0x02 != 0);
                }
                ctx.requests.init |= !before & value & 0x01 != 0;
            }
            0xE9 => push_output(&mut self.output.text, value),
            0x402 if self.config.port_402 => push_output(&mut self.output.text, value),
            0x8900 => {
                let expected = SHUTDOWN.get(self.state.shutdown_seen).copied();
                self.state.shutdown_seen = if expected == Some(value) {
                    self.state.shutdown_seen + 1
                } else {
                    usize::from(value == SHUTDOWN[0])
                };
                if self.state.shutdown_seen == SHUTDOWN.len() {
                    self.state.shutdown_seen = 0;
                    ctx.requests.power_off = true;
                }
            }
            _ => {}
        }
    }

    fn is_debug_exit(&self, port: u16) -> bool {
        self.exit_ports().contains(&u32::from(port))
    }

    /// The ports of isa-debug-exit, none without it.
    pub fn exit_ports(&self) -> Range<u32> {
        match self.config.debug_exit {
            Some(DebugExit { port, size }) => u32::from(port)..(u32::from(port) + u32::from(size)).min(0x1_0000),
            None => 0..0,
        }
    }

    /// The ports besides those of isa-debug-exit.
    pub(crate) fn other_ports(&self) -> Vec<Range<u32>> {
        let mut ports = vec![0x80..0x81, 0x92..0x93, 0xE9..0xEA, 0x8900..0x8901];
        if self.config.port_402 {
            ports.push(0x402..0x403);
        }
        ports
    }
}

impl Stateful for DebugPorts {
    type Saved = DebugPortsSaved;

    fn save(&self) -> DebugPortsSaved {
        let Self { config: _, state, output } = self;
        DebugPortsSaved { state: state.clone(), output: output.clone() }
    }

    fn restore(&mut self, saved: DebugPortsSaved) -> Result<(), StateError> {
        check(saved.state.shutdown_seen < SHUTDOWN.len(), "debug ports", "more of \"Shutdown\" is seen than it has")?;
        DebugPortsSaved { state: self.state, output: self.output } = saved;
        Ok(())
    }

    fn guest(&self) -> impl Serialize {
        &self.state
    }
}

impl Device for DebugPorts {
    fn claims(&self) -> Claims {
        let mut ports = self.other_ports();
        ports.extend(Some(self.exit_ports()).filter(|exit| !exit.is_empty()));
        Claims { ports, mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        self.state.shutdown_seen = 0;
        self.state.port_92 = 0x02;
        ctx.requests.a20 = Some(true);
    }

    /// Port 92h shows where another device (the 8042) has moved the gate.
    fn a20_moved(&mut self, open: bool) {
        self.state.port_92 = self.state.port_92 & !2 | u8::from(open) << 1;
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        if self.is_debug_exit(port) { 0 } else { split_read(port, size, |port| self.read(port)) & all_ones(size) }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        if self.is_debug_exit(port) {
            ctx.requests.exit_status = Some((value << 1 | 1) as i32);
        } else {
            split_write(port, size, value, |port, byte| self.write(ctx, port, byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    fn ports() -> (Bench, DebugPorts) {
        let debug_exit = Some(DebugExit { port: 0xF4, size: 4 });
        (Bench::new(DeviceId::Debug, 1_000_000), DebugPorts::new(DebugPortsConfig { port_402: false, debug_exit }))
    }

    #[test]
    fn port_e9_reads_e9_and_keeps_its_output_in_order() {
        let (mut bench, mut ports) = ports();
        assert_eq!(bench.inb(&mut ports, 0xE9), 0xE9);
        for byte in *b"ok" {
            bench.outb(&mut ports, 0xE9, byte);
        }
        assert_eq!(ports.take_output(), b"ok");
        assert_eq!(ports.take_output(), b"");
    }

    #[test]
    fn port_402_without_option_is_not_claimed() {
        let (_, ports) = ports();
        assert!(!ports.claims().ports.iter().any(|range| range.contains(&0x402)));
    }

    #[test]
    fn debug_exit_value_becomes_twice_plus_one() {
        let (mut bench, mut ports) = ports();
        ports.port_write(&mut bench.ctx(), 0xF4, 4, 0x10);
        assert_eq!(bench.requests.exit_status, Some(0x21));
    }

    #[test]
    fn port_8900_whole_word_powers_off_and_a_broken_one_does_not() {
        let (mut bench, mut ports) = ports();
        for byte in *b"ShutSdown" {
            bench.outb(&mut ports, 0x8900, byte);
        }
        assert!(!bench.requests.power_off);
        for byte in *b"Shutdown" {
            bench.outb(&mut ports, 0x8900, byte);
        }
        assert!(bench.requests.power_off);
    }

    #[test]
    fn port_92_moves_a20_and_bit_0_pulses_init_where_it_becomes_1() {
        let (mut bench, mut ports) = ports();
        bench.outb(&mut ports, 0x92, 0x02);
        assert_eq!(bench.requests.a20, Some(true));
        assert!(!bench.requests.init);
        for (value, init) in [(0x03, true), (0x03, false), (0x02, false), (0x03, true)] {
            bench.outb(&mut ports, 0x92, value);
            assert_eq!(std::mem::take(&mut bench.requests.init), init, "{value:#x}");
            assert_eq!(bench.inb(&mut ports, 0x92), value);
        }
    }

    #[test]
    fn port_80_keeps_the_last_code_and_the_list() {
        let (mut bench, mut ports) = ports();
        for code in [1, 2, 0xFF] {
            bench.outb(&mut ports, 0x80, code);
        }
        assert_eq!((ports.post_code(), ports.take_post_codes()), (0xFF, vec![1, 2, 0xFF]));
    }
}
