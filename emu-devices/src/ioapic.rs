//! The I/O APIC at FEC00000h with 24 inputs (Intel 82093AA data sheet; EOI register of later chips).

use crate::device::{Claims, Ctx, Device, Requests, error_once};
use crate::state::{StateError, Stateful};
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use serde::{Deserialize, Serialize};

/// Inputs, and redirection entries.
pub const INPUTS: usize = 24;
/// Physical address of the register window.
pub const BASE: u64 = 0xFEC0_0000;

const MASKED: u64 = 1 << 16;
const LEVEL: u64 = 1 << 15;
const REMOTE_IRR: u64 = 1 << 14;
const LOGICAL: u64 = 1 << 11;
/// Vector, delivery mode, destination mode, polarity, trigger mode, mask; destination.
const WRITABLE: u64 = 0xFF00_0000_0001_AFFF;

/// What tells one I/O APIC from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApicConfig {
    /// Version register bits 7:0: 11h is the 82093AA, 20h has the EOI register.
    pub version: u8,
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApicState {
    /// IOREGSEL.
    select: u8,
    /// IOAPICID bits 27:24, and what IOAPICARB took over from it.
    id: u8,
    redirection: [u64; INPUTS],
    /// One bit an input: asserted.
    inputs: u32,
}

/// The I/O APIC.
///
/// An input is *asserted* or not, whatever level the wire shows then: the polarity bit, with which software tells
/// the chip how its board shows assertion, is kept and changes nothing.
#[derive(Debug)]
pub struct IoApic {
    config: IoApicConfig,
    state: IoApicState,
}

impl IoApic {
    /// An I/O APIC with all inputs masked.
    pub fn new(config: IoApicConfig) -> Self {
        Self { config, state: Self::power_on() }
    }

    fn power_on() -> IoApicState {
        IoApicState { select: 0, id: 0, redirection: [MASKED; INPUTS], inputs: 0 }
    }

    /// The redirection entry of `pin`, for a debugger.
    pub fn redirection(&self, pin: usize) -> Option<u64> {
        self.state.redirection.get(pin).copied()
    }

    /// Whether a pin is unmasked with delivery mode ExtINT, so that the PIC pair's INT reaches processors through it.
    pub fn passes_ext_int(&self, pin: usize) -> bool {
        self.redirection(pin).is_some_and(|entry| entry & MASKED == 0 && entry >> 8 & 7 == 7)
    }

    /// Whether an input could lead to a message of this delivery mode.
    pub fn can_send(&self, delivery: DeliveryMode) -> bool {
        let sends =
            |entry: &u64| entry & MASKED == 0 && DeliveryMode::from_bits((entry >> 8 & 7) as u8) == Some(delivery);
        self.state.redirection.iter().any(sends)
    }

    /// Drives input `pin`. An edge on a masked input is lost (data sheet 3.2.4, interrupt mask).
    pub fn set_input(&mut self, requests: &mut Requests, pin: u8, asserted: bool) {
        let index = usize::from(pin);
        if index >= INPUTS {
            return;
        }
        let bit = 1 << pin;
        let before = self.state.inputs & bit != 0;
        if asserted {
            self.state.inputs |= bit;
        } else {
            self.state.inputs &= !bit;
        }
        let entry = self.state.redirection[index];
        if entry & LEVEL != 0 {
            self.evaluate_level(requests, index);
        } else if asserted && !before && entry & MASKED == 0 {
            Self::send(requests, entry);
        }
    }

    /// A local APIC's EOI for level-triggered `vector`: entries that wait for it may interrupt again.
    pub fn end_of_interrupt(&mut self, requests: &mut Requests, vector: u8) {
        for index in 0..INPUTS {
            let entry = &mut self.state.redirection[index];
            if *entry & REMOTE_IRR != 0 && *entry as u8 == vector {
                *entry &= !REMOTE_IRR;
                self.evaluate_level(requests, index);
            }
        }
    }

    /// Whether the entry is level-triggered in the sense that Remote IRR guards it: only fixed and lowest-priority
    /// interrupts are answered by an EOI.
    fn waits_for_eoi(entry: u64) -> bool {
        entry & LEVEL != 0 && matches!(entry >> 8 & 7, 0 | 1)
    }

    fn evaluate_level(&mut self, requests: &mut Requests, index: usize) {
        let asserted = self.state.inputs & (1 << index) != 0;
        let Some(entry) = self.state.redirection.get_mut(index) else { return };
        if *entry & LEVEL == 0 || *entry & (MASKED | REMOTE_IRR) != 0 || !asserted {
            return;
        }
        if Self::waits_for_eoi(*entry) {
            *entry |= REMOTE_IRR;
        }
        Self::send(requests, *entry);
    }

    fn send(requests: &mut Requests, entry: u64) {
        let Some(delivery) = DeliveryMode::from_bits((entry >> 8 & 7) as u8) else {
            error_once!("I/O APIC: redirection entry {entry:016X}h has the reserved delivery mode 3 (82093AA 3.2.4)");
            return;
        };
        requests.apic.push(ApicMessage {
            destination: ApicMessage::destination_of_8_bits((entry >> 56) as u8),
            logical: entry & LOGICAL != 0,
            delivery,
            vector: entry as u8,
            level_triggered: Self::waits_for_eoi(entry),
            assert: true,
            shorthand: Shorthand::None,
        });
    }

    fn read_register(&self) -> u32 {
        match self.state.select {
            0x00 | 0x02 => u32::from(self.state.id) << 24,
            0x01 => (INPUTS as u32 - 1) << 16 | u32::from(self.config.version),
            select => {
                let Some(entry) = self.entry_of(select) else { return 0 };
                // Messages are taken at once: the delivery status bit (12) is never seen set.
                (self.state.redirection[entry] >> (32 * u32::from(select & 1))) as u32
            }
        }
    }

    fn entry_of(&self, select: u8) -> Option<usize> {
        let index = usize::from(select.checked_sub(0x10)? / 2);
        (index < INPUTS).then_some(index)
    }

    fn write_register(&mut self, requests: &mut Requests, value: u32) {
        match self.state.select {
            0x00 => self.state.id = (value >> 24 & 0xF) as u8,
            select => {
                let Some(index) = self.entry_of(select) else { return };
                let shift = 32 * u32::from(select & 1);
                let writable = WRITABLE & 0xFFFF_FFFF << shift;
                let entry = &mut self.state.redirection[index];
                *entry = *entry & !writable | u64::from(value) << shift & writable;
                if !Self::waits_for_eoi(*entry) {
                    *entry &= !REMOTE_IRR;
                }
                self.evaluate_level(requests, index);
            }
        }
    }
}

impl Stateful for IoApic {
    type Saved = IoApicState;

    fn save(&self) -> IoApicState {
        let Self { config: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: IoApicState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for IoApic {
    fn claims(&self) -> Claims {
        Claims { ports: vec![], mmio: vec![BASE..BASE + 0x1000] }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        self.state = IoApicState { inputs: self.state.inputs, ..Self::power_on() };
    }

    fn mmio_read(&mut self, _ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        let value = match address & 0xF0 {
            0x00 => u32::from(self.state.select),
            0x10 => self.read_register(),
            _ => 0,
        };
        // The registers are 32 bits wide at 16-byte steps; a narrower access gets the bytes it names.
        let shifted = u64::from(value).checked_shr(8 * (address & 0xF) as u32).unwrap_or(0);
        if size >= 8 { shifted } else { shifted & ((1 << (8 * size)) - 1) }
    }

    fn mmio_write(&mut self, ctx: &mut Ctx, address: u64, _size: u8, value: u64) {
        if address & 0xF != 0 {
            error_once!("I/O APIC: a write at {address:X}h; its registers take aligned dwords only (82093AA 3.0)");
            return;
        }
        match address & 0xF0 {
            0x00 => self.state.select = value as u8,
            0x10 => self.write_register(ctx.requests, value as u32),
            0x40 if self.config.version >= 0x20 => self.end_of_interrupt(ctx.requests, value as u8),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    fn io_apic() -> (Bench, IoApic) {
        (Bench::new(DeviceId::IoApic, 1_000_000), IoApic::new(IoApicConfig { version: 0x20 }))
    }

    fn write(bench: &mut Bench, io_apic: &mut IoApic, register: u8, value: u32) {
        io_apic.mmio_write(&mut bench.ctx(), BASE, 4, u64::from(register));
        io_apic.mmio_write(&mut bench.ctx(), BASE + 0x10, 4, u64::from(value));
    }

    fn read(bench: &mut Bench, io_apic: &mut IoApic, register: u8) -> u32 {
        io_apic.mmio_write(&mut bench.ctx(), BASE, 4, u64::from(register));
        io_apic.mmio_read(&mut bench.ctx(), BASE + 0x10, 4) as u32
    }

    fn set(bench: &mut Bench, io_apic: &mut IoApic, pin: u8, asserted: bool) {
        io_apic.set_input(&mut bench.requests, pin, asserted);
    }

    fn vectors(bench: &mut Bench) -> Vec<u8> {
        bench.requests.apic.drain(..).map(|message| message.vector).collect()
    }

    #[test]
    fn io_apic_id_has_four_writable_bits_and_loads_the_arbitration_id() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0, 0xFFFF_FFFF);
        assert_eq!(read(&mut bench, &mut io_apic, 0), 0x0F00_0000);
        write(&mut bench, &mut io_apic, 2, 0);
        assert_eq!(read(&mut bench, &mut io_apic, 2), 0x0F00_0000);
    }

    #[test]
    fn io_apic_version_register_is_read_only() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 1, 0);
        assert_eq!(read(&mut bench, &mut io_apic, 1), 0x0017_0020);
    }

    #[test]
    fn io_apic_entries_are_masked_after_reset_and_keep_what_is_writable() {
        let (mut bench, mut io_apic) = io_apic();
        assert_eq!(read(&mut bench, &mut io_apic, 0x3E), 0x0001_0000);
        write(&mut bench, &mut io_apic, 0x12, 0xFFFF_FFFF);
        write(&mut bench, &mut io_apic, 0x13, 0xFFFF_FFFF);
        assert_eq!(read(&mut bench, &mut io_apic, 0x12), 0x0001_AFFF);
        assert_eq!(read(&mut bench, &mut io_apic, 0x13), 0xFF00_0000);
    }

    #[test]
    fn io_apic_edge_is_sent_once_and_lost_while_masked() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0x2C, 0x76);
        set(&mut bench, &mut io_apic, 14, true);
        set(&mut bench, &mut io_apic, 14, true);
        assert_eq!(vectors(&mut bench), [0x76]);
        set(&mut bench, &mut io_apic, 14, false);
        write(&mut bench, &mut io_apic, 0x2C, 0x1_0076);
        set(&mut bench, &mut io_apic, 14, true);
        write(&mut bench, &mut io_apic, 0x2C, 0x76);
        assert_eq!(vectors(&mut bench), [0; 0]);
    }

    #[test]
    fn io_apic_level_waits_for_the_eoi_and_is_resent_while_asserted() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0x2C, 0x8077);
        set(&mut bench, &mut io_apic, 14, true);
        set(&mut bench, &mut io_apic, 14, false);
        set(&mut bench, &mut io_apic, 14, true);
        assert_eq!(vectors(&mut bench), [0x77]);
        assert_eq!(read(&mut bench, &mut io_apic, 0x2C), 0xC077, "remote IRR set");
        io_apic.end_of_interrupt(&mut bench.requests, 0x76);
        assert_eq!(vectors(&mut bench), [0; 0]);
        io_apic.end_of_interrupt(&mut bench.requests, 0x77);
        assert_eq!(vectors(&mut bench), [0x77]);
        set(&mut bench, &mut io_apic, 14, false);
        io_apic.mmio_write(&mut bench.ctx(), BASE + 0x40, 4, 0x77);
        assert_eq!(vectors(&mut bench), [0; 0]);
        assert_eq!(read(&mut bench, &mut io_apic, 0x2C), 0x8077);
    }

    #[test]
    fn io_apic_level_masked_in_service_is_resent_when_unmasked() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0x2C, 0x8083);
        set(&mut bench, &mut io_apic, 14, true);
        write(&mut bench, &mut io_apic, 0x2C, 0x1_8083);
        io_apic.end_of_interrupt(&mut bench.requests, 0x83);
        assert_eq!(vectors(&mut bench), [0x83]);
        write(&mut bench, &mut io_apic, 0x2C, 0x8083);
        assert_eq!(vectors(&mut bench), [0x83]);
    }

    #[test]
    fn io_apic_destination_change_keeps_remote_irr() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0x2C, 0x8864);
        set(&mut bench, &mut io_apic, 14, true);
        set(&mut bench, &mut io_apic, 14, false);
        write(&mut bench, &mut io_apic, 0x2D, 0x0100_0000);
        assert_eq!(read(&mut bench, &mut io_apic, 0x2C), 0xC864);
        io_apic.end_of_interrupt(&mut bench.requests, 0x64);
        set(&mut bench, &mut io_apic, 14, true);
        let last = bench.requests.apic.pop().expect("a message");
        assert_eq!((last.destination, last.logical, last.level_triggered), (1, true, true));
    }

    #[test]
    fn io_apic_change_to_edge_clears_remote_irr() {
        let (mut bench, mut io_apic) = io_apic();
        write(&mut bench, &mut io_apic, 0x2C, 0x8064);
        set(&mut bench, &mut io_apic, 14, true);
        write(&mut bench, &mut io_apic, 0x2C, 0x1_0064);
        assert_eq!(read(&mut bench, &mut io_apic, 0x2C), 0x1_0064);
    }

    #[test]
    fn io_apic_version_11_has_no_eoi_register() {
        let mut bench = Bench::new(DeviceId::IoApic, 1);
        let mut io_apic = IoApic::new(IoApicConfig { version: 0x11 });
        write(&mut bench, &mut io_apic, 0x10, 0x8040);
        set(&mut bench, &mut io_apic, 0, true);
        io_apic.mmio_write(&mut bench.ctx(), BASE + 0x40, 4, 0x40);
        assert_eq!(vectors(&mut bench), [0x40]);
    }
}
