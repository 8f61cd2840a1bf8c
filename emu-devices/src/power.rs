//! PIIX4 power management: PM1 and general-purpose event registers, the PM timer, ports B2h/B3h
//! (82371AB data sheet 7.2; ACPI specification 4.7).

use crate::device::{Claims, Ctx, Device, error_once, split_read, split_write};
use crate::line::Line;
use crate::pci::PciMap;
use crate::state::{StateError, Stateful};
use emu_core::bus::{ApicMessage, DeliveryMode, Shorthand};
use serde::{Deserialize, Serialize};

/// The PM timer's clock, in Hz.
pub const TIMER_FREQUENCY: u64 = 3_579_545;
/// Written to port B2h by an operating system: the firmware's SMI handler hands the PM registers over and back.
pub const ACPI_ENABLE: u8 = 0xF1;
/// The opposite of [`ACPI_ENABLE`].
pub const ACPI_DISABLE: u8 = 0xF0;

/// PM timer overflow.
const OVERFLOW: u32 = 0;

/// PM1 status and enable bits.
mod pm1 {
    pub const TIMER: u16 = 1 << 0;
    pub const BUS_MASTER: u16 = 1 << 4;
    pub const GLOBAL: u16 = 1 << 5;
    pub const POWER_BUTTON: u16 = 1 << 8;
    pub const RTC: u16 = 1 << 10;
    pub const RESUME: u16 = 1 << 15;
    pub const STATUS: u16 = TIMER | BUS_MASTER | GLOBAL | POWER_BUTTON | RTC | RESUME;
    pub const ENABLE: u16 = TIMER | GLOBAL | POWER_BUTTON | RTC;
    /// Control: SCI_EN, BM_RLD.
    pub const SCI_ENABLE: u16 = 1 << 0;
    pub const SLEEP_TYPE: u16 = 7 << 10;
    pub const SLEEP_ENABLE: u16 = 1 << 13;
}

/// What software finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerConfig {
    /// Bits of the PM timer: 24, as the PIIX4 has, or 32.
    pub timer_bits: u8,
    /// A write to port B2h sends an SMI when the chip set has APMC_EN set. Without it (no SMM), the hand-over
    /// values act as the firmware's handler would.
    pub smi: bool,
}

/// Guest-visible state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerState {
    status: u16,
    enable: u16,
    control: u16,
    /// Events of the general-purpose block: status, enable.
    general_status: u16,
    general_enable: u16,
    /// Registers without effect here, kept as written: PCNTRL, GLBEN, GLBCTL, DEVCTL, GPOREG.
    kept: [u32; 5],
    apm_control: u8,
    apm_status: u8,
    /// The PM timer's tick up to which overflows are in `status`.
    seen: u64,
    /// Where the board has put the registers.
    base: Option<u16>,
    smi_enabled: bool,
}

/// The power-management function.
#[derive(Debug)]
pub struct Power {
    config: PowerConfig,
    sci: Line,
    state: PowerState,
}

impl Power {
    /// Power management that raises `sci` (IRQ 9, level-triggered).
    pub fn new(config: PowerConfig, sci: Line) -> Self {
        Self { config, sci, state: PowerState::default() }
    }

    /// The power button was pressed.
    pub fn press_power_button(&mut self, ctx: &mut Ctx) {
        self.state.status |= pm1::POWER_BUTTON;
        self.update(ctx);
    }

    /// A general-purpose event (bits of GPSTS).
    pub fn general_event(&mut self, ctx: &mut Ctx, bits: u16) {
        self.state.general_status |= bits;
        self.update(ctx);
    }

    /// Ticks between changes of the timer's top bit.
    fn half_range(&self) -> u64 {
        1 << (self.config.timer_bits.clamp(24, 32) - 1)
    }

    fn timer(&self, ctx: &Ctx) -> u32 {
        let mask = 2 * self.half_range() - 1;
        (ctx.ticks(TIMER_FREQUENCY) & mask) as u32
    }

    /// Sets the timer status for overflows up to now, drives the SCI, and schedules the next overflow if it interrupts.
    fn update(&mut self, ctx: &mut Ctx) {
        let (now, half) = (ctx.ticks(TIMER_FREQUENCY), self.half_range());
        if now / half != self.state.seen / half {
            self.state.status |= pm1::TIMER;
        }
        self.state.seen = now;
        let state = &self.state;
        let events = state.status & state.enable & pm1::ENABLE != 0 || state.general_status & state.general_enable != 0;
        ctx.lines.set(self.sci, events && state.control & pm1::SCI_ENABLE != 0);
        if state.enable & pm1::TIMER != 0 && state.status & pm1::TIMER == 0 {
            let at = ctx.cycle_of_tick(TIMER_FREQUENCY, (now / half + 1) * half);
            ctx.schedule(OVERFLOW, at);
        } else {
            ctx.cancel(OVERFLOW);
        }
    }

    fn sleep(&mut self, ctx: &mut Ctx) {
        match (self.state.control & pm1::SLEEP_TYPE) >> 10 {
            0 => ctx.requests.power_off = true,
            kind => {
                error_once!("PM1 control: SLP_EN with SLP_TYP {kind} (82371AB 7.2.3); only 0, soft off, is supported");
            }
        }
    }

    fn write_apm_control(&mut self, ctx: &mut Ctx, value: u8) {
        self.state.apm_control = value;
        if self.config.smi {
            if self.state.smi_enabled {
                ctx.requests.apic.push(ApicMessage {
                    destination: 0,
                    logical: false,
                    delivery: DeliveryMode::Smi,
                    vector: 0,
                    level_triggered: false,
                    assert: true,
                    shorthand: Shorthand::AllIncludingSelf,
                });
            }
            return;
        }
        match value {
            ACPI_ENABLE => self.state.control |= pm1::SCI_ENABLE,
            ACPI_DISABLE => self.state.control &= !pm1::SCI_ENABLE,
            _ => {}
        }
    }

    /// Which of the kept registers lies at this dword offset.
    fn kept_register(offset: u16) -> Option<usize> {
        [0x10, 0x20, 0x28, 0x2C, 0x34].iter().position(|register| *register == offset & !3)
    }

    fn read(&self, ctx: &Ctx, offset: u16) -> u8 {
        let state = &self.state;
        let word = |value: u16| value.to_le_bytes()[usize::from(offset & 1)];
        match offset {
            0x00 | 0x01 => word(state.status),
            0x02 | 0x03 => word(state.enable),
            0x04 | 0x05 => word(state.control),
            0x08..=0x0B => self.timer(ctx).to_le_bytes()[usize::from(offset & 3)],
            0x0C | 0x0D => word(state.general_status),
            0x0E | 0x0F => word(state.general_enable),
            _ => Self::kept_register(offset).map_or(0, |i| state.kept[i].to_le_bytes()[usize::from(offset & 3)]),
        }
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, value: u8) {
        let shift = 8 * (offset & 1);
        let (bits, lane) = (u16::from(value) << shift, 0xFF << shift);
        let state = &mut self.state;
        match offset {
            0x00 | 0x01 => state.status &= !(bits & pm1::STATUS),
            0x02 | 0x03 => state.enable = (state.enable & !lane | bits) & pm1::ENABLE,
            0x04 | 0x05 => {
                // SLP_EN and GBL_RLS read as 0.
                state.control = (state.control & !lane | bits) & (pm1::SCI_ENABLE | 2 | pm1::SLEEP_TYPE);
                if bits & pm1::SLEEP_ENABLE != 0 {
                    self.sleep(ctx);
                }
            }
            0x0C | 0x0D => state.general_status &= !bits,
            0x0E | 0x0F => state.general_enable = state.general_enable & !lane | bits,
            _ => {
                if let Some(i) = Self::kept_register(offset) {
                    let shift = 8 * (offset & 3);
                    state.kept[i] = state.kept[i] & !(0xFF << shift) | u32::from(value) << shift;
                }
            }
        }
    }
}

impl Stateful for Power {
    type Saved = PowerState;

    fn save(&self) -> PowerState {
        let Self { config: _, sci: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: PowerState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for Power {
    fn claims(&self) -> Claims {
        let mut ports = vec![0xB2..0xB4];
        ports.extend(self.state.base.map(|base| u32::from(base)..u32::from(base) + 0x40));
        Claims { ports, mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        let (base, smi_enabled) = (self.state.base, self.state.smi_enabled);
        self.state = PowerState { base, smi_enabled, seen: ctx.ticks(TIMER_FREQUENCY), ..PowerState::default() };
        self.update(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        self.update(ctx);
        split_read(port, size, |port| match (port, self.state.base) {
            (0xB2, _) => self.state.apm_control,
            (0xB3, _) => self.state.apm_status,
            (_, Some(base)) => self.read(ctx, port.wrapping_sub(base)),
            _ => 0xFF,
        })
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        self.update(ctx);
        split_write(port, size, value, |port, byte| match (port, self.state.base) {
            (0xB2, _) => self.write_apm_control(ctx, byte),
            (0xB3, _) => self.state.apm_status = byte,
            (_, Some(base)) => self.write(ctx, port.wrapping_sub(base), byte),
            _ => {}
        });
        self.update(ctx);
    }

    fn pci_moved(&mut self, map: &PciMap) {
        self.state.base = map.power_management;
        self.state.smi_enabled = map.smi_on_apm_control;
    }

    fn deadline(&mut self, ctx: &mut Ctx, _tag: u32) {
        self.update(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    const SCI: Line = Line(9);
    const BASE: u16 = 0xB000;

    /// One cycle is one tick of the PM timer.
    fn power() -> (Bench, Power) {
        let mut power = Power::new(PowerConfig { timer_bits: 24, smi: false }, SCI);
        power.pci_moved(&PciMap { power_management: Some(BASE), ..PciMap::default() });
        (Bench::new(DeviceId::PowerManagement, TIMER_FREQUENCY), power)
    }

    #[test]
    fn pm_timer_counts_24_bits_at_its_clock() {
        let (mut bench, mut power) = power();
        bench.now = (1 << 24) + 5;
        assert_eq!(power.port_read(&mut bench.ctx(), BASE + 8, 4), 5);
    }

    #[test]
    fn pm_timer_overflow_sets_its_status_and_raises_the_sci_when_enabled() {
        let (mut bench, mut power) = power();
        bench.outb(&mut power, 0xB2, ACPI_ENABLE);
        power.port_write(&mut bench.ctx(), BASE + 2, 2, 1);
        bench.run_until(&mut power, (1 << 23) - 1);
        assert!(!bench.lines.level(SCI));
        bench.run_until(&mut power, 1 << 23);
        assert!(bench.lines.level(SCI));
        power.port_write(&mut bench.ctx(), BASE, 2, 1);
        assert!(!bench.lines.level(SCI));
        bench.run_until(&mut power, 1 << 24);
        assert!(bench.lines.level(SCI));
    }

    #[test]
    fn pm1_soft_off_needs_sleep_enable_with_type_0() {
        let (mut bench, mut power) = power();
        power.port_write(&mut bench.ctx(), BASE + 4, 2, 0x0001);
        power.port_write(&mut bench.ctx(), BASE + 4, 2, 0x2401);
        assert!(!bench.requests.power_off);
        power.port_write(&mut bench.ctx(), BASE + 4, 2, 0x2001);
        assert!(bench.requests.power_off);
        assert_eq!(power.port_read(&mut bench.ctx(), BASE + 4, 2), 0x0001);
    }

    #[test]
    fn port_b2_hands_the_registers_over_by_sci_enable() {
        let (mut bench, mut power) = power();
        bench.outb(&mut power, 0xB2, ACPI_ENABLE);
        assert_eq!(power.port_read(&mut bench.ctx(), BASE + 4, 2), 1);
        bench.outb(&mut power, 0xB2, ACPI_DISABLE);
        assert_eq!(power.port_read(&mut bench.ctx(), BASE + 4, 2), 0);
    }

    #[test]
    fn power_button_raises_the_sci_only_when_enabled() {
        let (mut bench, mut power) = power();
        power.port_write(&mut bench.ctx(), BASE + 4, 2, 1);
        power.press_power_button(&mut bench.ctx());
        assert!(!bench.lines.level(SCI));
        power.port_write(&mut bench.ctx(), BASE + 2, 2, 0x0100);
        assert!(bench.lines.level(SCI));
        power.port_write(&mut bench.ctx(), BASE, 2, 0x0100);
        assert!(!bench.lines.level(SCI));
    }
}
