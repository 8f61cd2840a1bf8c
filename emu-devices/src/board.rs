//! The board: every device, the wires between them and the interrupt controllers, and the address decoders.

use crate::ata::{Ata, AtaDrive};
use crate::coprocessor::Coprocessor;
use crate::debug_ports::{DebugPorts, DebugPortsConfig};
use crate::device::{Claims, Ctx, Device, DeviceId, DmaMemory, IsaDma, Requests, all_ones};
use crate::dma::{Dma, NoDma};
use crate::floppy::{Floppy, FloppyDrive};
use crate::hpet::{Hpet, HpetWiring};
use crate::ioapic::{self, IoApic, IoApicConfig};
use crate::keyboard::KeyboardController;
use crate::line::{Line, Lines};
use crate::pci::{PAM_SEGMENTS, Pci, PciChanges, PciConfig};
use crate::pic::Pic;
use crate::pit::Pit;
use crate::power::{Power, PowerConfig};
use crate::rtc::{Rtc, RtcConfig};
use crate::sched::Deadlines;
use crate::serial::{COM1, Serial};
use crate::testdev::{PcTestdev, PciTestdev};
use crate::vga::{Vga, VgaConfig};
use emu_core::bus::Bus;
use emu_core::mem::ram::{Legacy, Ram};
use std::ops::Range;

/// What is on the board.
#[derive(Debug)]
pub struct BoardConfig {
    /// Cycles per guest second.
    pub hz: u64,
    /// Clock and CMOS contents.
    pub rtc: RtcConfig,
    /// Master and slave of both ATA channels.
    pub ata: [[Option<AtaDrive>; 2]; 2],
    /// Floppy drives A: and B:.
    pub floppies: [Option<FloppyDrive>; 2],
    /// Optional debug ports.
    pub debug: DebugPortsConfig,
    /// QEMU's pc-testdev and pci-testdev.
    pub test_devices: bool,
    /// Video memory, bytes.
    pub video_memory: usize,
    /// The VGA's PCI expansion ROM, for firmware that takes the VGA BIOS from there; empty: none.
    pub vga_rom: Vec<u8>,
}

/// The lines: 0 to 23 are the global system interrupts (0 to 15 the ISA IRQs), then those that share an input.
mod lines {
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
    pub const HPET_LEGACY: [Line; 2] = [Line(24), Line(25)];
    pub const HPET_ROUTES: Line = Line(26);
    pub const HPET_PINS: [u8; 9] = [2, 8, 16, 17, 18, 19, 20, 21, 22];
    /// pc-testdev's lines for inputs 0 to 23.
    pub const TESTDEV: u8 = 40;

    /// The global system interrupt that a line drives.
    pub fn input(line: Line) -> u8 {
        match line.0 {
            n @ 0..24 => n,
            24 => 0,
            25 => 8,
            n @ 26..35 => HPET_PINS[usize::from(n - 26)],
            n => n - TESTDEV,
        }
    }
}

const NOBODY: u8 = u8::MAX;

/// Everything around the processors.
pub struct Board {
    hz: u64,
    /// The latest time that any processor has shown the board.
    time: u64,
    lines: Lines,
    /// Which lines hold each of the 24 inputs up.
    inputs: [u64; 24],
    deadlines: Deadlines,
    requests: Requests,
    ports: Box<[u8]>,
    mmio: Vec<(Range<u64>, DeviceId)>,
    signal: bool,
    intr: bool,
    /// 8259A pair.
    pub pic: Pic,
    /// 8254.
    pub pit: Pit,
    /// 8042, keyboard and mouse.
    pub keyboard: KeyboardController,
    /// Clock.
    pub rtc: Rtc,
    /// I/O APIC.
    pub ioapic: IoApic,
    /// High-precision event timer.
    pub hpet: Hpet,
    /// Power management.
    pub power: Power,
    /// PCI bus.
    pub pci: Pci,
    /// COM1.
    pub serial: Serial,
    /// Debug ports.
    pub debug: DebugPorts,
    /// ATA channels.
    pub ata: Ata,
    /// Floppy controller.
    pub floppy: Floppy,
    /// ISA DMA.
    pub dma: Dma,
    /// FERR# and IRQ 13.
    pub coprocessor: Coprocessor,
    /// VGA.
    pub vga: Vga,
    /// QEMU's test devices.
    pub testdev: Option<(PcTestdev, PciTestdev)>,
}

/// A device, and what it is lent for a call.
struct Lent<'a> {
    device: &'a mut dyn Device,
    dma: &'a mut dyn IsaDma,
    lines: &'a mut Lines,
    deadlines: &'a mut Deadlines,
    requests: &'a mut Requests,
}

/// Guest memory for bus masters.
struct Memory<'a>(&'a mut Ram);

impl DmaMemory for Memory<'_> {
    fn dma_read(&mut self, address: u64, buffer: &mut [u8]) {
        self.0.dma_read(address, buffer);
    }
    fn dma_write(&mut self, address: u64, data: &[u8]) {
        self.0.dma_write(address, data);
    }
}

impl Board {
    /// The board after power-on.
    pub fn new(config: BoardConfig, memory: &mut Ram) -> Self {
        let vga_rom_size = u32::try_from(config.vga_rom.len()).unwrap_or(0);
        let vga = Vga::new(VgaConfig { memory: config.video_memory, lfb: None }).with_rom(config.vga_rom);
        let routes = (lines::HPET_ROUTES.0..).map(Line);
        let mut board = Self {
            hz: config.hz,
            time: 0,
            lines: Lines::default(),
            inputs: [0; 24],
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            ports: vec![NOBODY; 0x1_0000].into(),
            mmio: Vec::new(),
            signal: false,
            intr: false,
            pic: Pic::new(),
            pit: Pit::new(lines::PIT),
            keyboard: KeyboardController::new(lines::KEYBOARD, lines::MOUSE),
            rtc: Rtc::new(&config.rtc, lines::RTC),
            ioapic: IoApic::new(IoApicConfig { version: 0x11 }),
            hpet: Hpet::new(HpetWiring {
                legacy_timer0: lines::HPET_LEGACY[0],
                legacy_timer1: lines::HPET_LEGACY[1],
                routes: lines::HPET_PINS.into_iter().zip(routes).collect(),
            }),
            power: Power::new(PowerConfig { timer_bits: 24, smi: false }, lines::SCI),
            pci: Pci::new(PciConfig {
                vga_lfb_size: u32::try_from(vga.memory_size()).ok(),
                vga_rom_size,
                testdev: config.test_devices,
                smm_ready: true,
            }),
            serial: Serial::new(COM1, lines::SERIAL),
            debug: DebugPorts::new(config.debug),
            ata: Ata::new(config.ata, lines::ATA),
            floppy: Floppy::new(config.floppies, lines::FLOPPY),
            dma: Dma::new(),
            coprocessor: Coprocessor::new(lines::COPROCESSOR),
            vga,
            testdev: config.test_devices.then(|| {
                let lines = (0..24).map(|n| Line(lines::TESTDEV + n)).collect();
                (PcTestdev::new(lines), PciTestdev::new())
            }),
        };
        // Test programs print much and poll: the line takes no time beside the test devices.
        board.serial.set_immediate(config.test_devices);
        board.reset(memory);
        board
    }

    /// Hard reset of every device.
    pub fn reset(&mut self, memory: &mut Ram) {
        self.lines = Lines::default();
        self.inputs = [0; 24];
        self.deadlines = Deadlines::default();
        self.requests = Requests::default();
        for id in DeviceId::ALL {
            self.call(memory, id, |device, ctx| device.reset(ctx));
        }
        memory.set_a20(true);
        self.decode();
        self.settle(memory, DeviceId::Pic);
        self.signal = true;
    }

    /// A device, if it is there, with what a call of it is lent. `none` takes the place of the DMA controller for itself.
    fn device<'a>(&'a mut self, id: DeviceId, none: &'a mut NoDma) -> Option<Lent<'a>> {
        let dma: &mut Dma = &mut self.dma;
        let (device, dma): (&mut dyn Device, &mut dyn IsaDma) = match id {
            DeviceId::Pic => (&mut self.pic, dma),
            DeviceId::Pit => (&mut self.pit, dma),
            DeviceId::Keyboard => (&mut self.keyboard, dma),
            DeviceId::Rtc => (&mut self.rtc, dma),
            DeviceId::IoApic => (&mut self.ioapic, dma),
            DeviceId::Hpet => (&mut self.hpet, dma),
            DeviceId::PowerManagement => (&mut self.power, dma),
            DeviceId::Pci => (&mut self.pci, dma),
            DeviceId::Serial => (&mut self.serial, dma),
            DeviceId::Debug => (&mut self.debug, dma),
            DeviceId::Ata => (&mut self.ata, dma),
            DeviceId::Floppy => (&mut self.floppy, dma),
            DeviceId::Dma => (dma, none),
            DeviceId::Coprocessor => (&mut self.coprocessor, dma),
            DeviceId::Vga => (&mut self.vga, dma),
            DeviceId::PcTestdev => (&mut self.testdev.as_mut()?.0, dma),
            DeviceId::PciTestdev => (&mut self.testdev.as_mut()?.1, dma),
        };
        let (lines, deadlines, requests) = (&mut self.lines, &mut self.deadlines, &mut self.requests);
        Some(Lent { device, dma, lines, deadlines, requests })
    }

    /// Calls a device, if it is there, with what the board lends.
    fn call<R>(
        &mut self,
        memory: &mut Ram,
        id: DeviceId,
        call: impl FnOnce(&mut dyn Device, &mut Ctx) -> R,
    ) -> Option<R> {
        let (now, hz) = (self.time, self.hz);
        let mut none = NoDma;
        let Lent { device, dma, lines, deadlines, requests } = self.device(id, &mut none)?;
        let mut ctx = Ctx { now, hz, device: id, lines, deadlines, requests, memory: &mut Memory(memory), dma };
        Some(call(device, &mut ctx))
    }

    /// Calls a device and carries out what follows from it.
    fn access<R>(
        &mut self,
        memory: &mut Ram,
        id: DeviceId,
        call: impl FnOnce(&mut dyn Device, &mut Ctx) -> R,
    ) -> Option<R> {
        let nearest = self.deadlines.next();
        let result = self.call(memory, id, call);
        self.settle(memory, id);
        self.signal |= self.deadlines.next() < nearest;
        result
    }

    /// Brings the board to `now`: every deadline up to it is met.
    pub fn advance(&mut self, memory: &mut Ram, now: u64) {
        while let Some(deadline) = self.deadlines.pop_due(now) {
            self.time = self.time.max(deadline.at);
            self.call(memory, deadline.device, |device, ctx| device.deadline(ctx, deadline.tag));
            self.settle(memory, deadline.device);
        }
        self.time = self.time.max(now);
    }

    /// The nearest deadline, in cycles.
    pub fn next_deadline(&self) -> u64 {
        self.deadlines.next()
    }

    /// Carries lines to the interrupt controllers, and what a device asked for when it was called to where it belongs.
    fn settle(&mut self, memory: &mut Ram, called: DeviceId) {
        let changed = self.lines.changed();
        if changed {
            for (line, high) in self.lines.take_changes() {
                self.drive(line, high);
            }
        }
        if changed || called == DeviceId::Pic {
            let intr = self.pic.intr();
            self.signal |= intr != self.intr;
            self.intr = intr;
        }
        self.signal |= !self.requests.apic.is_empty();
        if self.requests.remap {
            self.requests.remap = false;
            self.redecode(memory);
        }
        if let Some(open) = self.requests.a20.take() {
            memory.set_a20(open);
            self.debug.set_a20(open);
            self.keyboard.set_a20(open);
            self.signal = true;
        }
        let r = &self.requests;
        self.signal |= r.reset || r.init || r.power_off || r.exit_status.is_some() || r.nmi;
    }

    fn drive(&mut self, line: Line, high: bool) {
        // Under legacy replacement the HPET's first timers take the place of the 8254 and the RTC.
        if self.hpet.legacy_replacement() && high && (line == lines::PIT || line == lines::RTC) {
            return;
        }
        let input = lines::input(line);
        let Some(held) = self.inputs.get_mut(usize::from(input)) else { return };
        let before = *held != 0;
        *held = if high { *held | 1 << line.0 } else { *held & !(1 << line.0) };
        let after = *held != 0;
        if before == after {
            return;
        }
        if input < 16 {
            self.pic.set_input(input, after);
        }
        // ISA IRQ 0 is wired to I/O APIC input 2.
        let pin = if input == 0 { 2 } else { input };
        if input != 2 || line.0 >= 24 {
            self.ioapic.set_input(&mut self.requests, pin, after);
        }
    }

    /// PCI configuration has changed: memory steering, BARs, bases.
    fn redecode(&mut self, memory: &mut Ram) {
        let changes = self.pci.take_changes();
        if changes.contains(PciChanges::PAM) {
            for (n, range) in PAM_SEGMENTS.into_iter().enumerate() {
                let pam = self.pci.pam(n);
                let read = if pam.read { Legacy::Ram } else { Legacy::Rom };
                let write = if pam.write { Legacy::Ram } else { Legacy::Rom };
                memory.set_legacy(range.start, range.end, read, write);
            }
            self.signal = true;
        }
        if changes.contains(PciChanges::DECODE) {
            self.power.set_decode(self.pci.power_management_base(), self.pci.smi_on_apm_control());
            self.ata.set_bus_master_base(self.pci.bus_master_ide_base());
            self.vga.set_lfb(self.pci.vga_frame_buffer().map(|range| range.start));
            self.vga.set_rom(self.pci.vga_rom());
            let (bar, ports) = self.pci.testdev_bars();
            if let Some((_, testdev)) = &mut self.testdev {
                testdev.set_bars(bar, ports);
            }
        }
        self.decode();
    }

    /// Builds the decoders from the devices' claims; where two claim an address, the first in order has it.
    fn decode(&mut self) {
        self.ports.fill(NOBODY);
        self.mmio.clear();
        for id in DeviceId::ALL {
            let mut none = NoDma;
            let Some(Lent { device, .. }) = self.device(id, &mut none) else { continue };
            let Claims { ports, mmio } = device.claims();
            for range in ports {
                for port in range.start..range.end.min(0x1_0000) {
                    let place = &mut self.ports[port as usize];
                    if *place == NOBODY {
                        *place = id as u8;
                    }
                }
            }
            self.mmio.extend(mmio.into_iter().map(|range| (range, id)));
        }
    }

    fn port_device(&self, port: u16) -> Option<DeviceId> {
        DeviceId::ALL.get(usize::from(self.ports[usize::from(port)])).copied()
    }

    fn mmio_device(&self, address: u64) -> Option<DeviceId> {
        self.mmio.iter().find(|(range, _)| range.contains(&address)).map(|(_, id)| *id)
    }

    /// The level of the PIC pair's INTR output.
    pub fn intr(&self) -> bool {
        self.intr
    }

    /// Everything the devices have asked for since the last call.
    pub fn take_requests(&mut self) -> Requests {
        self.signal = false;
        std::mem::take(&mut self.requests)
    }

    /// Calls a device from outside the guest (a key, a byte on the serial line).
    pub fn input<R>(&mut self, memory: &mut Ram, id: DeviceId, call: impl FnOnce(&mut Self, &mut Ctx) -> R) -> R {
        let mut lines = std::mem::take(&mut self.lines);
        let mut deadlines = std::mem::take(&mut self.deadlines);
        let mut requests = std::mem::take(&mut self.requests);
        let mut ctx = Ctx {
            now: self.time,
            hz: self.hz,
            device: id,
            lines: &mut lines,
            deadlines: &mut deadlines,
            requests: &mut requests,
            memory: &mut Memory(memory),
            dma: &mut NoDma,
        };
        let result = call(self, &mut ctx);
        self.lines = lines;
        self.deadlines = deadlines;
        self.requests = requests;
        self.settle(memory, id);
        self.signal = true;
        result
    }

    /// The guest-visible state of all devices, encoded: equal states give equal bytes.
    pub fn encode_state(&self) -> Vec<u8> {
        let states = (
            (&self.inputs, &self.lines, &self.deadlines, self.intr),
            (self.pic.state(), self.pit.state(), self.keyboard.state(), self.rtc.state(), self.ioapic.state()),
            (self.hpet.state(), self.power.state(), self.pci.state(), self.serial.state()),
            (self.debug.state(), self.ata.state(), self.floppy.state(), self.dma.state(), self.vga.state()),
            self.coprocessor.state(),
            self.testdev.as_ref().map(|(pc, pci)| (pc.state(), pci.state())),
        );
        postcard::to_allocvec(&states).unwrap_or_default()
    }
}

impl Bus for Board {
    fn port_read(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8) -> u32 {
        self.advance(memory, now);
        self.port_device(port)
            .and_then(|id| self.access(memory, id, |device, ctx| device.port_read(ctx, port, size)))
            .unwrap_or(all_ones(size))
    }

    fn port_write(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8, value: u32) {
        self.advance(memory, now);
        if let Some(id) = self.port_device(port) {
            self.access(memory, id, |device, ctx| device.port_write(ctx, port, size, value));
        }
    }

    fn mmio_read(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8) -> u64 {
        self.advance(memory, now);
        self.mmio_device(address)
            .and_then(|id| self.access(memory, id, |device, ctx| device.mmio_read(ctx, address, size)))
            .unwrap_or(u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8))))
    }

    fn mmio_write(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8, value: u64) {
        self.advance(memory, now);
        if let Some(id) = self.mmio_device(address) {
            self.access(memory, id, |device, ctx| device.mmio_write(ctx, address, size, value));
        }
    }

    fn numeric_error(&mut self, memory: &mut Ram, now: u64, asserted: bool) -> bool {
        if self.coprocessor.ferr() != asserted {
            self.advance(memory, now);
            let id = DeviceId::Coprocessor;
            self.input(memory, id, |board, ctx| board.coprocessor.set_ferr(ctx, asserted));
        }
        self.coprocessor.ignne()
    }

    fn interrupt_acknowledge(&mut self, _now: u64) -> u8 {
        let vector = self.pic.acknowledge();
        let intr = self.pic.intr();
        self.signal |= intr != self.intr;
        self.intr = intr;
        vector
    }

    fn end_of_interrupt(&mut self, _now: u64, vector: u8) {
        self.ioapic.end_of_interrupt(&mut self.requests, vector);
        self.signal |= !self.requests.apic.is_empty();
    }

    fn attention(&self) -> bool {
        self.signal
    }
}

/// Where the I/O APIC's registers are, for tables that firmware or a loader makes.
pub const IO_APIC_BASE: u64 = ioapic::BASE;
