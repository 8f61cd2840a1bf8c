//! The board: every device, the wires between them and the interrupt controllers, and the address decoders.

pub(crate) mod lines;
mod media;
mod state;
#[cfg(test)]
mod tests;

pub use crate::devices::{Board, DevicesState};
pub use state::BoardState;

use crate::ata::AtaDrive;
use crate::debug_ports::DebugPortsConfig;
use crate::device::{Ctx, Device, DeviceId, DmaMemory, IsaDma, Requests, all_ones};
use crate::disk::DiskImage;
use crate::dma::NoDma;
use crate::flash::FlashConfig;
use crate::floppy::FloppyDrive;
use crate::fw_cfg::FwCfgConfig;
use crate::input::{InjectError, InputEvent, Inputs, Stamped};
use crate::ioapic;
use crate::line::{Line, Lines};
use crate::pci::{PAM_SEGMENTS, PciChanges};
use crate::rtc::RtcConfig;
use crate::sched::Deadlines;
use crate::state::LAST_CYCLE;
use emu_core::bus::{Bus, DeliveryMode};
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
    /// Flash memory with UEFI firmware's variables.
    pub flash: Option<FlashConfig>,
    /// QEMU's firmware configuration device.
    pub fw_cfg: Option<FwCfgConfig>,
}

const NOBODY: u8 = u8::MAX;

/// What the board has besides its devices.
pub(crate) struct Wires {
    hz: u64,
    /// The latest time that any processor has shown the board.
    time: u64,
    lines: Lines,
    /// Which lines hold each of the 24 inputs up.
    held: [u64; 24],
    deadlines: Deadlines,
    requests: Requests,
    signal: bool,
    intr: bool,
    inputs: Inputs,
    /// Follow from the devices' claims.
    ports: Box<[u8]>,
    mmio: Vec<(Range<u64>, DeviceId)>,
    /// The host's: media that are in no drive, and the events since somebody took them, if somebody does.
    shelf: Vec<DiskImage>,
    recorded: Option<Vec<Stamped>>,
}

impl Wires {
    pub(crate) fn new(hz: u64) -> Self {
        Self {
            hz,
            time: 0,
            lines: Lines::default(),
            held: [0; 24],
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            signal: false,
            intr: false,
            inputs: Inputs::default(),
            ports: vec![NOBODY; 0x1_0000].into(),
            mmio: Vec::new(),
            shelf: Vec::new(),
            recorded: None,
        }
    }
}

/// A device, and what it is lent for a call.
pub(crate) struct Lent<'a> {
    pub device: &'a mut dyn Device,
    pub dma: &'a mut dyn IsaDma,
    pub wires: &'a mut Wires,
}

/// The largest naturally aligned access of at most `len` bytes at `port`.
fn natural_size(port: u16, len: u8) -> u8 {
    let aligned = 1 << port.trailing_zeros().min(2);
    if len < aligned { 1 << len.ilog2() } else { aligned }
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
        let mut board = Self::assemble(config);
        board.reset(memory);
        board
    }

    /// Hard reset of every device.
    pub fn reset(&mut self, memory: &mut Ram) {
        self.wires.lines = Lines::default();
        self.wires.held = [0; 24];
        self.wires.deadlines = Deadlines::default();
        self.wires.requests = Requests::default();
        for id in DeviceId::ALL {
            self.call(memory, id, |device, ctx| device.reset(ctx));
        }
        memory.set_a20(true);
        self.decode();
        self.settle(memory, DeviceId::Pic);
        self.wires.signal = true;
    }

    /// Calls a device, if it is there, with what the board lends.
    fn call<R>(
        &mut self,
        memory: &mut Ram,
        id: DeviceId,
        call: impl FnOnce(&mut dyn Device, &mut Ctx) -> R,
    ) -> Option<R> {
        let mut none = NoDma;
        let Lent { device, dma, wires } = self.lend(id, &mut none)?;
        let mut ctx = Ctx {
            now: wires.time,
            hz: wires.hz,
            device: id,
            lines: &mut wires.lines,
            deadlines: &mut wires.deadlines,
            requests: &mut wires.requests,
            memory: &mut Memory(memory),
            dma,
        };
        Some(call(device, &mut ctx))
    }

    /// Calls a device and carries out what follows from it.
    fn access<R>(
        &mut self,
        memory: &mut Ram,
        id: DeviceId,
        call: impl FnOnce(&mut dyn Device, &mut Ctx) -> R,
    ) -> Option<R> {
        let nearest = self.wires.deadlines.next();
        let result = self.call(memory, id, call);
        self.settle(memory, id);
        self.wires.signal |= self.wires.deadlines.next() < nearest;
        result
    }

    /// Brings the board to `now`, between two turns: every deadline and every input event up to it is met, in order of
    /// cycles. A deadline comes before an event of the same cycle, whenever that was injected.
    pub fn advance(&mut self, memory: &mut Ram, now: u64) {
        self.meet(memory, now, now.saturating_add(1));
    }

    /// Brings the board to `now` for an instruction that reaches a device in that cycle: every deadline up to it is met,
    /// but of input events those of earlier cycles only. One that is injected behind the instruction has its cycle, and
    /// must not come before it when the run is made again.
    #[inline]
    pub(crate) fn reach(&mut self, memory: &mut Ram, now: u64) {
        // Mostly there is nothing to be met.
        if self.next_deadline() > now {
            self.wires.time = self.wires.time.max(now);
        } else {
            self.meet(memory, now, now);
        }
    }

    /// Meets deadlines up to `now` and input events before cycle `input`. What comes behind a reset waits for it.
    fn meet(&mut self, memory: &mut Ram, now: u64, input: u64) {
        while !self.wires.requests.reset {
            let event = self.wires.inputs.next();
            if let Some(deadline) = self.wires.deadlines.pop_due(now.min(event)) {
                self.wires.time = self.wires.time.max(deadline.at);
                self.call(memory, deadline.device, |device, ctx| device.deadline(ctx, deadline.tag));
                self.settle(memory, deadline.device);
            } else if event < input
                && let Some(input) = self.wires.inputs.pop()
            {
                self.wires.time = self.wires.time.max(event);
                self.happen(memory, input);
            } else {
                break;
            }
        }
        self.wires.time = self.wires.time.max(now);
    }

    /// The nearest deadline or input event, in cycles; `u64::MAX` without any.
    pub fn next_deadline(&self) -> u64 {
        self.wires.deadlines.next().min(self.wires.inputs.next())
    }

    /// Whether a deadline or an input event that is still to come may send a message of this delivery mode (NMI or INIT)
    /// to a processor. The reset button and a debugger's writes to registers count as INIT: they wake as it does.
    pub(crate) fn may_send(&self, delivery: DeliveryMode) -> bool {
        let by_input = |event: &InputEvent| match event {
            InputEvent::Nmi => delivery == DeliveryMode::Nmi,
            InputEvent::Reset | InputEvent::WriteRegister(_) => delivery == DeliveryMode::Init,
            _ => false,
        };
        self.wires.inputs.any(by_input)
            || self.next_deadline() != u64::MAX && (self.ioapic.can_send(delivery) || self.hpet.can_send(delivery))
    }

    /// Lets `event` happen at cycle `at`, or now if that is past; the cycle.
    pub fn inject(&mut self, at: u64, event: InputEvent) -> Result<u64, InjectError> {
        let at = at.max(self.wires.time);
        if at > LAST_CYCLE {
            return Err(InjectError::TooLate(at));
        }
        if let InputEvent::Insert { drive, .. } | InputEvent::Eject { drive } = &event
            && !self.takes_media(*drive)
        {
            return Err(InjectError::NoDrive(*drive));
        }
        let stamped = Stamped { at, event };
        self.wires.inputs.push(stamped.clone())?;
        if let Some(recorded) = &mut self.wires.recorded {
            recorded.push(stamped);
        }
        Ok(at)
    }

    /// How many more events there is room for.
    pub fn input_room(&self) -> usize {
        self.wires.inputs.room()
    }

    /// Whether events are kept for a recording.
    pub fn is_recorded(&self) -> bool {
        self.wires.recorded.is_some()
    }

    /// The events injected since the last call, with their cycles. They are kept from the first call on.
    pub fn take_recorded(&mut self) -> Vec<Stamped> {
        self.wires.recorded.replace(Vec::new()).unwrap_or_default()
    }

    /// An input event's cycle has come.
    fn happen(&mut self, memory: &mut Ram, event: InputEvent) {
        match event {
            InputEvent::Key { key, pressed } => {
                self.outside(memory, DeviceId::Keyboard, |board, ctx| board.keyboard.key_event(ctx, key, pressed));
            }
            InputEvent::Mouse { dx, dy, dz, buttons } => self.outside(memory, DeviceId::Keyboard, |board, ctx| {
                board.keyboard.mouse_event(ctx, dx, dy, dz, buttons);
            }),
            InputEvent::Serial(bytes) => {
                self.outside(memory, DeviceId::Serial, |board, ctx| board.serial.push_input(ctx, &bytes));
            }
            InputEvent::PowerButton => {
                self.outside(memory, DeviceId::PowerManagement, |board, ctx| board.power.press_power_button(ctx));
            }
            InputEvent::Insert { drive, medium } => self.change_medium(drive, Some(medium)),
            InputEvent::Eject { drive } => self.change_medium(drive, None),
            InputEvent::Reset => self.wires.requests.reset = true,
            InputEvent::Nmi => self.wires.requests.nmi = true,
            InputEvent::WriteMemory { address, bytes } => memory.dma_write(address, &bytes),
            InputEvent::WriteRegister(write) => self.wires.requests.registers.push(write),
        }
        self.wires.signal = true;
    }

    /// Carries lines to the interrupt controllers, and what a device asked for when it was called to where it belongs.
    fn settle(&mut self, memory: &mut Ram, called: DeviceId) {
        let changed = self.wires.lines.changed();
        if changed {
            for (line, high) in self.wires.lines.take_changes() {
                self.drive(line, high);
            }
        }
        if changed || called == DeviceId::Pic {
            self.update_intr();
        }
        self.wires.signal |= !self.wires.requests.apic.is_empty();
        if self.wires.requests.remap {
            self.wires.requests.remap = false;
            self.redecode(memory);
        }
        if let Some(open) = self.wires.requests.a20.take() {
            memory.set_a20(open);
            self.each_device(|_, device| device.a20_moved(open));
            self.wires.signal = true;
        }
        let r = &self.wires.requests;
        self.wires.signal |= r.reset || r.init || r.power_off || r.exit_status.is_some() || r.nmi;
    }

    fn update_intr(&mut self) {
        let intr = self.pic.intr();
        self.wires.signal |= intr != self.wires.intr;
        self.wires.intr = intr;
        self.drive_pic_input(intr);
    }

    /// The PIC pair's INT output is wired to I/O APIC input 0, too, for an entry with delivery mode ExtINT.
    fn drive_pic_input(&mut self, high: bool) {
        self.ioapic.set_input(&mut self.wires.requests, PIC_INPUT, high);
        self.wires.signal |= !self.wires.requests.apic.is_empty();
    }

    fn each_device(&mut self, mut call: impl FnMut(DeviceId, &mut dyn Device)) {
        for id in DeviceId::ALL {
            if let Some(Lent { device, .. }) = self.lend(id, &mut NoDma) {
                call(id, device);
            }
        }
    }

    fn drive(&mut self, line: Line, high: bool) {
        // Under legacy replacement the HPET's first timers take the place of the 8254 and the RTC.
        if self.hpet.legacy_replacement() && high && (line == lines::PIT || line == lines::RTC) {
            return;
        }
        let input = lines::input(line);
        let Some(held) = self.wires.held.get_mut(usize::from(input)) else { return };
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
            self.ioapic.set_input(&mut self.wires.requests, pin, after);
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
            self.wires.signal = true;
        }
        if changes.contains(PciChanges::DECODE) {
            let map = self.pci.map();
            self.each_device(|_, device| device.pci_moved(&map));
        }
        self.decode();
    }

    /// Builds the decoders from the devices' claims; where two claim an address, the first in order has it.
    fn decode(&mut self) {
        let (mut ports, mut mmio) = (std::mem::take(&mut self.wires.ports), Vec::new());
        ports.fill(NOBODY);
        self.each_device(|id, device| {
            let claims = device.claims();
            for port in claims.ports.into_iter().flat_map(|range| range.start..range.end.min(0x1_0000)) {
                let place = &mut ports[port as usize];
                if *place == NOBODY {
                    *place = id as u8;
                }
            }
            mmio.extend(claims.mmio.into_iter().map(|range| (range, id)));
        });
        (self.wires.ports, self.wires.mmio) = (ports, mmio);
    }

    /// A port of isa-debug-exit's that another device has, and that device. PCI devices that firmware has yet to place
    /// have none.
    pub fn before_debug_exit(&mut self) -> Option<(u16, DeviceId)> {
        let exit = self.debug.exit_ports();
        let other_ports = self.debug.other_ports();
        let mut found = None;
        self.each_device(|id, device| {
            let ports = if id == DeviceId::Debug { other_ports.clone() } else { device.claims().ports };
            let meets = |range: Range<u32>| exit.clone().find(|port| range.contains(port));
            let port = ports.into_iter().find_map(meets).and_then(|port| u16::try_from(port).ok());
            found = found.or(port.map(|port| (port, id)));
        });
        found
    }

    fn port_device(&self, port: u16) -> Option<DeviceId> {
        DeviceId::ALL.get(usize::from(self.wires.ports[usize::from(port)])).copied()
    }

    /// Who answers at `port`, and to how many of the `size` ports from there on in one access: as far as no other device
    /// has one. The bus splits what concerns two into naturally aligned pieces.
    fn port_piece(&self, port: u16, size: u8) -> (Option<DeviceId>, u8) {
        let device = self.port_device(port);
        let mut len = 1;
        while len < size {
            let next = port.checked_add(u16::from(len)).and_then(|next| self.port_device(next));
            if next.is_some() && next != device {
                return (device, natural_size(port, len));
            }
            len += 1;
        }
        (device, size)
    }

    fn mmio_device(&self, address: u64) -> Option<DeviceId> {
        self.wires.mmio.iter().find(|(range, _)| range.contains(&address)).map(|(_, id)| *id)
    }

    /// The level of the PIC pair's INTR output.
    pub fn intr(&self) -> bool {
        self.wires.intr
    }

    /// Everything the devices have asked for since the last call.
    pub fn take_requests(&mut self) -> Requests {
        self.wires.signal = false;
        std::mem::take(&mut self.wires.requests)
    }

    /// Calls a device from outside the guest's accesses, and carries out what follows from it.
    fn outside(&mut self, memory: &mut Ram, id: DeviceId, call: impl FnOnce(&mut Self, &mut Ctx)) {
        let mut lines = std::mem::take(&mut self.wires.lines);
        let mut deadlines = std::mem::take(&mut self.wires.deadlines);
        let mut requests = std::mem::take(&mut self.wires.requests);
        let mut ctx = Ctx {
            now: self.wires.time,
            hz: self.wires.hz,
            device: id,
            lines: &mut lines,
            deadlines: &mut deadlines,
            requests: &mut requests,
            memory: &mut Memory(memory),
            dma: &mut NoDma,
        };
        call(self, &mut ctx);
        self.wires.lines = lines;
        self.wires.deadlines = deadlines;
        self.wires.requests = requests;
        self.settle(memory, id);
        self.wires.signal = true;
    }
}

impl Bus for Board {
    fn port_read(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8) -> u32 {
        self.reach(memory, now);
        let (mut value, mut done) = (0, 0);
        while done < size {
            let at = port.wrapping_add(u16::from(done));
            let (device, len) = self.port_piece(at, size - done);
            let part = device
                .and_then(|id| self.access(memory, id, |device, ctx| device.port_read(ctx, at, len)))
                .unwrap_or(all_ones(len));
            value |= (part & all_ones(len)) << (8 * done);
            done += len;
        }
        value
    }

    fn port_write(&mut self, memory: &mut Ram, now: u64, port: u16, size: u8, value: u32) {
        self.reach(memory, now);
        let mut done = 0;
        while done < size {
            let at = port.wrapping_add(u16::from(done));
            let (device, len) = self.port_piece(at, size - done);
            if let Some(id) = device {
                let part = value >> (8 * done) & all_ones(len);
                self.access(memory, id, |device, ctx| device.port_write(ctx, at, len, part));
            }
            done += len;
        }
    }

    fn mmio_read(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8) -> u64 {
        self.reach(memory, now);
        self.mmio_device(address)
            .and_then(|id| self.access(memory, id, |device, ctx| device.mmio_read(ctx, address, size)))
            .unwrap_or(u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8))))
    }

    fn mmio_write(&mut self, memory: &mut Ram, now: u64, address: u64, size: u8, value: u64) {
        self.reach(memory, now);
        if let Some(id) = self.mmio_device(address) {
            self.access(memory, id, |device, ctx| device.mmio_write(ctx, address, size, value));
        }
    }

    fn numeric_error(&mut self, memory: &mut Ram, now: u64, asserted: bool) -> bool {
        if self.coprocessor.ferr() != asserted {
            self.reach(memory, now);
            let id = DeviceId::Coprocessor;
            self.outside(memory, id, |board, ctx| board.coprocessor.set_ferr(ctx, asserted));
        }
        self.coprocessor.ignne()
    }

    fn interrupt_acknowledge(&mut self, _now: u64) -> u8 {
        let vector = self.pic.acknowledge();
        // INT falls with the INTA cycle, and rises again if more is requested.
        self.drive_pic_input(false);
        self.update_intr();
        vector
    }

    fn end_of_interrupt(&mut self, _now: u64, vector: u8) {
        self.ioapic.end_of_interrupt(&mut self.wires.requests, vector);
        self.wires.signal |= !self.wires.requests.apic.is_empty();
    }

    fn attention(&self) -> bool {
        self.wires.signal
    }
}

/// The I/O APIC's input for the PIC pair's INT output.
const PIC_INPUT: u8 = 0;

/// Where the I/O APIC's registers are, for tables that firmware or a loader makes.
pub const IO_APIC_BASE: u64 = ioapic::BASE;
