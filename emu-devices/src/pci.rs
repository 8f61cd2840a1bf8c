//! The PCI bus of a 440FX/PIIX3 board: configuration mechanism #1 (CF8h/CFCh), the functions on bus 0, and the reset
//! control register CF9h (82441FX data sheet chapter 3; 82371SB 2.2, 2.5.8; 82371AB chapter 7).
//!
//! All configuration spaces live here. A device with registers behind a BAR is told by the board where that points,
//! each time [`Pci::take_changes`] says so.

pub mod config_space;
mod functions;

use crate::device::{Claims, Ctx, Device, all_ones};
use crate::state::{StateError, Stateful, check};
use bitflags::bitflags;
use config_space::{BarRange, ConfigSpace, command};
use functions::{APMC_EN, DEVACTB_HIGH, PMBA, PMREGMISC, SMRAM};
use serde::{Deserialize, Serialize};
use std::ops::Range;

const HOST_BRIDGE: Slot = Slot { device: 0, function: 0 };
const ISA_BRIDGE: Slot = Slot { device: 1, function: 0 };
const IDE: Slot = Slot { device: 1, function: 1 };
const POWER_MANAGEMENT: Slot = Slot { device: 1, function: 3 };
const VGA: Slot = Slot { device: 2, function: 0 };
const TESTDEV: Slot = Slot { device: 3, function: 0 };

/// The memory segments whose reads and writes the PAM registers steer to RAM or to the ROM bus.
pub const PAM_SEGMENTS: [Range<u64>; 13] = [
    0xF_0000..0x10_0000,
    0xC_0000..0xC_4000,
    0xC_4000..0xC_8000,
    0xC_8000..0xC_C000,
    0xC_C000..0xD_0000,
    0xD_0000..0xD_4000,
    0xD_4000..0xD_8000,
    0xD_8000..0xD_C000,
    0xD_C000..0xE_0000,
    0xE_0000..0xE_4000,
    0xE_4000..0xE_8000,
    0xE_8000..0xE_C000,
    0xE_C000..0xF_0000,
];

/// A function's place on bus 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// Device number, 0 to 31.
    pub device: u8,
    /// Function number, 0 to 7.
    pub function: u8,
}

/// Where the accesses to one PAM segment go: true to RAM, false to the ROM bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PamAttributes {
    /// RE: reads.
    pub read: bool,
    /// WE: writes.
    pub write: bool,
}

bitflags! {
    /// What configuration writes have changed since the board last asked.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PciChanges: u8 {
        /// PAM registers: [`Pci::pam`].
        const PAM = 1 << 0;
        /// SMRAM control: [`Pci::smram`].
        const SMRAM = 1 << 1;
        /// Routing of PIRQA# to PIRQD#: [`Pci::pirq_irq`].
        const PIRQ = 1 << 2;
        /// BARs, PM base, enable bits: the other accessors.
        const DECODE = 1 << 3;
    }
}

/// Where configuration has put what devices have behind their functions' base address registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PciMap {
    /// First of the PIIX4's 64 power-management ports.
    pub power_management: Option<u16>,
    /// A write to port B2h causes an SMI.
    pub smi_on_apm_control: bool,
    /// First of the 16 ports of the IDE bus masters.
    pub bus_master_ide: Option<u16>,
    /// The VGA's linear frame buffer.
    pub vga_frame_buffer: Option<u64>,
    /// The VGA's expansion ROM.
    pub vga_rom: Option<u64>,
    /// Memory and ports of pci-testdev.
    pub testdev: (Option<u64>, Option<u16>),
}

/// Which functions exist besides the bridges, IDE and power management.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciConfig {
    /// A PCI VGA with a linear frame buffer of this many bytes.
    pub vga_lfb_size: Option<u32>,
    /// Bytes of the VGA's expansion ROM; 0: none.
    pub vga_rom_size: u32,
    /// QEMU's pci-testdev.
    pub testdev: bool,
    /// Firmware finds SMM set up already, and does not try (for processors without SMM).
    pub smm_ready: bool,
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciState {
    /// CONFADD, port CF8h.
    address: u32,
    /// Port CF9h: bit 1 hard reset, bit 2 reset.
    reset_control: u8,
    functions: Vec<(Slot, ConfigSpace)>,
    changes: PciChanges,
}

/// The PCI bus.
#[derive(Debug)]
pub struct Pci {
    state: PciState,
}

impl Pci {
    /// The bus with the functions that `config` asks for.
    pub fn new(config: PciConfig) -> Self {
        let mut functions = vec![
            (HOST_BRIDGE, functions::host_bridge()),
            (ISA_BRIDGE, functions::isa_bridge()),
            (IDE, functions::ide()),
            (POWER_MANAGEMENT, functions::power_management(config.smm_ready)),
        ];
        functions.extend(config.vga_lfb_size.map(|size| (VGA, functions::vga(size, config.vga_rom_size))));
        functions.extend(config.testdev.then(|| (TESTDEV, functions::testdev())));
        Self { state: PciState { address: 0, reset_control: 0, functions, changes: PciChanges::all() } }
    }

    /// Puts another function on the bus (replacing one in that slot).
    pub fn add_function(&mut self, slot: Slot, space: ConfigSpace) {
        self.state.functions.retain(|(other, _)| *other != slot);
        self.state.functions.push((slot, space));
        self.state.changes = PciChanges::all();
    }

    /// The configuration space in `slot`.
    pub fn function(&self, slot: Slot) -> Option<&ConfigSpace> {
        self.state.functions.iter().find(|(other, _)| *other == slot).map(|(_, space)| space)
    }

    fn function_mut(&mut self, slot: Slot) -> Option<&mut ConfigSpace> {
        self.state.functions.iter_mut().find(|(other, _)| *other == slot).map(|(_, space)| space)
    }

    /// What changed since the last call. `Requests::remap` is set along with each change.
    pub fn take_changes(&mut self) -> PciChanges {
        std::mem::take(&mut self.state.changes)
    }

    fn byte(&self, slot: Slot, register: u8) -> u8 {
        self.function(slot).map_or(0, |space| space.read(register, 1) as u8)
    }

    /// Where accesses to [`PAM_SEGMENTS`]`[segment]` go.
    pub fn pam(&self, segment: usize) -> PamAttributes {
        // Segment 0 is the upper nibble of PAM0 (59h); from 5Ah on each register holds two.
        let nibble = u8::try_from(segment).unwrap_or(u8::MAX).saturating_add(1).min(13);
        let bits = self.byte(HOST_BRIDGE, 0x59 + nibble / 2) >> (4 * (nibble & 1));
        PamAttributes { read: bits & 1 != 0, write: bits & 2 != 0 }
    }

    /// The SMRAM control register of the host bridge: bit 6 D_OPEN, 5 D_CLS, 4 D_LCK, 3 G_SMRAME.
    pub fn smram(&self) -> u8 {
        self.byte(HOST_BRIDGE, SMRAM)
    }

    /// The ISA IRQ to which PIRQ `pirq` (0 = PIRQA#) is routed.
    pub fn pirq_irq(&self, pirq: u8) -> Option<u8> {
        let route = self.byte(ISA_BRIDGE, 0x60 + (pirq & 3));
        // IRQ 0, 1, 2, 8 and 13 are reserved encodings.
        let irq = route & 0x0F;
        (route & 0x80 == 0 && !matches!(irq, 0 | 1 | 2 | 8 | 13)).then_some(irq)
    }

    /// The PIRQ (0 = PIRQA#) to which interrupt pin `pin` (1 = INTA#) of `device` is wired.
    pub fn pirq_of_pin(device: u8, pin: u8) -> u8 {
        device.wrapping_add(pin).wrapping_sub(2) & 3
    }

    /// Base of the PIIX4's power-management registers (64 ports), if enabled.
    pub fn power_management_base(&self) -> Option<u16> {
        let space = self.function(POWER_MANAGEMENT)?;
        let base = (space.read(PMBA, 2) & 0xFFC0) as u16;
        (space.read(PMREGMISC, 1) & 1 != 0 && base != 0).then_some(base)
    }

    /// Whether a write to port B2h causes an SMI.
    pub fn smi_on_apm_control(&self) -> bool {
        self.byte(POWER_MANAGEMENT, DEVACTB_HIGH) & APMC_EN != 0
    }

    /// Base of the IDE bus-master registers (16 ports), if enabled.
    pub fn bus_master_ide_base(&self) -> Option<u16> {
        match self.function(IDE)?.bar(4)? {
            BarRange::Io(ports) => u16::try_from(ports.start).ok(),
            BarRange::Memory(_) => None,
        }
    }

    /// Whether the IDE function may be bus master.
    pub fn bus_master_ide_enabled(&self) -> bool {
        self.function(IDE).is_some_and(|space| space.enabled(command::BUS_MASTER))
    }

    /// The VGA's linear frame buffer.
    pub fn vga_frame_buffer(&self) -> Option<Range<u64>> {
        match self.function(VGA)?.bar(0)? {
            BarRange::Memory(addresses) => Some(addresses),
            BarRange::Io(_) => None,
        }
    }

    /// The VGA's expansion ROM.
    pub fn vga_rom(&self) -> Option<u64> {
        self.function(VGA)?.rom()
    }

    /// Memory and ports of pci-testdev.
    pub fn testdev_bars(&self) -> (Option<u64>, Option<u16>) {
        let Some(space) = self.function(TESTDEV) else { return (None, None) };
        let memory = match space.bar(0) {
            Some(BarRange::Memory(addresses)) => Some(addresses.start),
            _ => None,
        };
        let ports = match space.bar(1) {
            Some(BarRange::Io(ports)) => u16::try_from(ports.start).ok(),
            _ => None,
        };
        (memory, ports)
    }

    /// Where everything is now.
    pub fn map(&self) -> PciMap {
        PciMap {
            power_management: self.power_management_base(),
            smi_on_apm_control: self.smi_on_apm_control(),
            bus_master_ide: self.bus_master_ide_base(),
            vga_frame_buffer: self.vga_frame_buffer().map(|range| range.start),
            vga_rom: self.vga_rom(),
            testdev: self.testdev_bars(),
        }
    }

    /// The function and register that CONFADD and the data port name. Bits 1:0 of CONFADD are reserved; like other
    /// emulators we let them count, since programs exist that put a byte's whole number there.
    fn addressed(&self, port: u16) -> Option<(Slot, u8)> {
        let address = self.state.address;
        let slot = Slot { device: (address >> 11 & 0x1F) as u8, function: (address >> 8 & 7) as u8 };
        (address & 0x80FF_0000 == 0x8000_0000).then_some((slot, address as u8 | (port & 3) as u8))
    }

    fn write_configuration(&mut self, ctx: &mut Ctx, slot: Slot, register: u8, size: u8, value: u32) {
        let Some(space) = self.function_mut(slot) else { return };
        let mut value = value;
        let touched = u32::from(register)..u32::from(register) + u32::from(size);
        if slot == HOST_BRIDGE && touched.contains(&u32::from(SMRAM)) {
            let shift = 8 * (SMRAM - register);
            let smram = guard_smram(space.read(SMRAM, 1) as u8, (value >> shift) as u8);
            value = value & !(0xFF << shift) | u32::from(smram) << shift;
        }
        if !space.write(register, size, value) {
            return;
        }
        let hits = |registers: Range<u32>| touched.start < registers.end && registers.start < touched.end;
        let changes = match slot {
            HOST_BRIDGE if hits(0x59..0x60) => PciChanges::PAM,
            HOST_BRIDGE if hits(0x72..0x73) => PciChanges::SMRAM,
            ISA_BRIDGE if hits(0x60..0x64) => PciChanges::PIRQ,
            _ if hits(0x04..0x06) || hits(0x10..0x34) => PciChanges::DECODE,
            POWER_MANAGEMENT if hits(0x40..0x44) || hits(0x58..0x5C) || hits(0x80..0x81) => PciChanges::DECODE,
            _ => return,
        };
        self.state.changes |= changes;
        ctx.requests.remap = true;
    }

    fn write_reset_control(&mut self, ctx: &mut Ctx, value: u8) {
        // Bit 1 says what bit 2 does, which is a pulse and reads 0 again.
        self.state.reset_control = value & 0x02;
        if value & 0x04 != 0 {
            if value & 0x02 != 0 {
                ctx.requests.reset = true;
            } else {
                ctx.requests.init = true;
            }
        }
    }
}

/// What an SMRAM write makes of `written`: once D_LCK is set, it stays, D_OPEN stays clear and G_SMRAME is fixed.
fn guard_smram(before: u8, written: u8) -> u8 {
    const OPEN: u8 = 0x40;
    const LOCK: u8 = 0x10;
    if before & LOCK != 0 {
        before & !0x20 | written & 0x20
    } else if written & LOCK != 0 {
        written & !OPEN
    } else {
        written
    }
}

impl Stateful for Pci {
    type Saved = PciState;

    fn save(&self) -> PciState {
        let Self { state } = self;
        state.clone()
    }

    fn restore(&mut self, state: PciState) -> Result<(), StateError> {
        let layout = |state: &PciState| {
            state.functions.iter().map(|(slot, space)| (*slot, space.is_whole())).collect::<Vec<_>>()
        };
        check(layout(&state) == layout(&self.state), "PCI bus", "it has other functions")?;
        self.state = state;
        Ok(())
    }
}

impl Device for Pci {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0xCF8..0xD00], mmio: vec![] }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        self.state.address = 0;
        self.state.reset_control = 0;
        for (_, space) in &mut self.state.functions {
            space.reset();
        }
        self.state.changes = PciChanges::all();
        ctx.requests.remap = true;
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        match (port, size) {
            (0xCF8, 4) => self.state.address,
            (0xCF9, 1) => u32::from(self.state.reset_control),
            (0xCFC..=0xCFF, _) => self
                .addressed(port)
                .and_then(|(slot, register)| Some(self.function(slot)?.read(register, size)))
                .unwrap_or_else(|| all_ones(size)),
            _ => all_ones(size),
        }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        match (port, size) {
            // Only a dword reaches CONFADD; narrower accesses pass to the ports behind it.
            (0xCF8, 4) => self.state.address = value,
            (0xCF9, 1) => self.write_reset_control(ctx, value as u8),
            (0xCF8, 2) => self.write_reset_control(ctx, (value >> 8) as u8),
            (0xCFC..=0xCFF, _) => {
                if let Some((slot, register)) = self.addressed(port) {
                    self.write_configuration(ctx, slot, register, size, value);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    fn bus() -> (Bench, Pci) {
        let config = PciConfig { vga_lfb_size: Some(0x100_0000), vga_rom_size: 40_000, testdev: true, smm_ready: true };
        let mut pci = Pci::new(config);
        pci.take_changes();
        (Bench::new(DeviceId::Pci, 1_000_000), pci)
    }

    fn select(bench: &mut Bench, pci: &mut Pci, device: u32, function: u32, register: u32) {
        let address = 0x8000_0000 | device << 11 | function << 8 | register & 0xFC;
        pci.port_write(&mut bench.ctx(), 0xCF8, 4, address);
    }

    fn read(bench: &mut Bench, pci: &mut Pci, device: u32, function: u32, register: u32) -> u32 {
        select(bench, pci, device, function, register);
        pci.port_read(&mut bench.ctx(), 0xCFC, 4)
    }

    fn write(bench: &mut Bench, pci: &mut Pci, device: u32, function: u32, register: u32, size: u8, value: u32) {
        select(bench, pci, device, function, register);
        pci.port_write(&mut bench.ctx(), 0xCFC + (register & 3) as u16, size, value);
    }

    #[test]
    fn pci_functions_have_their_identities_and_absent_ones_read_all_ones() {
        let (mut bench, mut pci) = bus();
        let identities = [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0), (31, 0)]
            .map(|(device, function)| read(&mut bench, &mut pci, device, function, 0));
        let expected =
            [0x1237_8086, 0x7000_8086, 0x7010_8086, 0xFFFF_FFFF, 0x7113_8086, 0x1111_1234, 0x0005_1B36, 0xFFFF_FFFF];
        assert_eq!(identities, expected);
        pci.port_write(&mut bench.ctx(), 0xCF8, 4, 0x0000_0000);
        assert_eq!(pci.port_read(&mut bench.ctx(), 0xCFC, 4), 0xFFFF_FFFF, "enable bit clear");
        pci.port_write(&mut bench.ctx(), 0xCF8, 4, 0x8001_0000);
        assert_eq!(pci.port_read(&mut bench.ctx(), 0xCFC, 2), 0xFFFF, "bus 1");
    }

    #[test]
    fn pci_data_port_bytes_follow_the_port_number() {
        let (mut bench, mut pci) = bus();
        select(&mut bench, &mut pci, 0, 0, 0);
        let bytes = [0, 1, 2, 3].map(|i| bench.inb(&mut pci, 0xCFC + i));
        assert_eq!(bytes, [0x86, 0x80, 0x37, 0x12]);
        assert_eq!(pci.port_read(&mut bench.ctx(), 0xCFE, 2), 0x1237);
    }

    #[test]
    fn pci_pam_nibbles_name_their_segments() {
        let (mut bench, mut pci) = bus();
        assert_eq!(pci.pam(0), PamAttributes::default());
        write(&mut bench, &mut pci, 0, 0, 0x59, 1, 0x30);
        write(&mut bench, &mut pci, 0, 0, 0x5A, 1, 0x21);
        write(&mut bench, &mut pci, 0, 0, 0x5F, 1, 0xF0);
        assert_eq!(pci.pam(0), PamAttributes { read: true, write: true });
        assert_eq!(pci.pam(1), PamAttributes { read: true, write: false });
        assert_eq!(pci.pam(2), PamAttributes { read: false, write: true });
        assert_eq!((pci.pam(11), pci.pam(12)), (PamAttributes::default(), PamAttributes { read: true, write: true }));
        assert_eq!(pci.take_changes(), PciChanges::PAM);
        assert!(bench.requests.remap);
    }

    #[test]
    fn pci_smram_lock_closes_and_stays() {
        let (mut bench, mut pci) = bus();
        assert_eq!(pci.smram(), 0x02);
        write(&mut bench, &mut pci, 0, 0, 0x72, 1, 0x4A);
        assert_eq!(pci.smram(), 0x4A);
        write(&mut bench, &mut pci, 0, 0, 0x72, 1, 0x5A);
        assert_eq!(pci.smram(), 0x1A);
        write(&mut bench, &mut pci, 0, 0, 0x72, 1, 0x42);
        assert_eq!(pci.smram(), 0x1A);
    }

    #[test]
    fn pci_pirq_routes_to_the_irq_of_its_register() {
        let (mut bench, mut pci) = bus();
        assert_eq!(pci.pirq_irq(0), None);
        write(&mut bench, &mut pci, 1, 0, 0x60, 4, 0x8D_0B_0A_0B);
        assert_eq!([0, 1, 2, 3].map(|pirq| pci.pirq_irq(pirq)), [Some(11), Some(10), Some(11), None]);
        assert_eq!(Pci::pirq_of_pin(1, 1), 0);
        assert_eq!(Pci::pirq_of_pin(3, 1), 2);
        assert_eq!(pci.take_changes(), PciChanges::PIRQ);
    }

    #[test]
    fn pci_power_management_base_needs_its_enable_bit() {
        let (mut bench, mut pci) = bus();
        write(&mut bench, &mut pci, 1, 3, 0x40, 4, 0xB001);
        assert_eq!(pci.power_management_base(), None);
        write(&mut bench, &mut pci, 1, 3, 0x80, 1, 1);
        assert_eq!(pci.power_management_base(), Some(0xB000));
        assert_eq!(read(&mut bench, &mut pci, 1, 3, 0x40), 0xB001);
    }

    #[test]
    fn pci_ide_and_testdev_bars_decode_when_enabled() {
        let (mut bench, mut pci) = bus();
        write(&mut bench, &mut pci, 1, 1, 0x20, 4, 0xC001);
        write(&mut bench, &mut pci, 1, 1, 0x04, 2, 5);
        write(&mut bench, &mut pci, 3, 0, 0x10, 4, 0xFEBF_0000);
        write(&mut bench, &mut pci, 3, 0, 0x14, 4, 0xC100);
        write(&mut bench, &mut pci, 3, 0, 0x04, 2, 3);
        assert_eq!((pci.bus_master_ide_base(), pci.bus_master_ide_enabled()), (Some(0xC000), true));
        assert_eq!(pci.testdev_bars(), (Some(0xFEBF_0000), Some(0xC100)));
    }

    #[test]
    fn vga_expansion_rom_is_sized_and_decoded_when_enabled() {
        let (mut bench, mut pci) = bus();
        write(&mut bench, &mut pci, 2, 0, 0x30, 4, !1);
        assert_eq!(read(&mut bench, &mut pci, 2, 0, 0x30), 0xFFFF_0000, "64 KiB");
        write(&mut bench, &mut pci, 2, 0, 0x30, 4, 0xFEB0_0000);
        assert_eq!(pci.vga_rom(), None, "not enabled");
        write(&mut bench, &mut pci, 2, 0, 0x30, 4, 0xFEB0_0001);
        assert_eq!(pci.vga_rom(), Some(0xFEB0_0000));
    }

    #[test]
    fn port_cf9_bit_2_resets_and_reads_0_again() {
        let (mut bench, mut pci) = bus();
        bench.outb(&mut pci, 0xCF9, 0x02);
        assert!(!bench.requests.reset);
        bench.outb(&mut pci, 0xCF9, 0x06);
        assert!(std::mem::take(&mut bench.requests.reset));
        for _ in 0..2 {
            bench.outb(&mut pci, 0xCF9, 0x04);
            assert!(!bench.requests.reset, "without bit 1 only the processor is reset");
            assert!(std::mem::take(&mut bench.requests.init));
            assert_eq!(bench.inb(&mut pci, 0xCF9), 0);
        }
    }

    #[test]
    fn pci_byte_write_at_cf8_does_not_reach_the_address_register() {
        let (mut bench, mut pci) = bus();
        pci.port_write(&mut bench.ctx(), 0xCF8, 4, 0x8000_F8F0);
        bench.outb(&mut pci, 0xCF8, 0x12);
        assert_eq!(pci.port_read(&mut bench.ctx(), 0xCF8, 4), 0x8000_F8F0);
        assert_eq!(pci.port_read(&mut bench.ctx(), 0xCFC, 4), 0xFFFF_FFFF);
    }
}
