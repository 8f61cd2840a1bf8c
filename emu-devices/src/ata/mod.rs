//! Two ATA channels with two drives each, and the PIIX3's bus-master DMA in front of them.
//!
//! Command blocks 1F0-1F7/3F6 and 170-177/376 (ATA/ATAPI-6); bus-master registers: Intel 82371SB data sheet 2.7,
//! "Programming Interface for Bus Master IDE Controller".

mod atapi;
mod bus_master;
mod commands;
mod drive;
mod identify;

pub use atapi::PacketState;
pub use bus_master::BusMasterState;
pub use drive::{DriveState, Phase, Register, Work};

use crate::device::{Claims, Ctx, Device, POLL_NS, all_ones, split_read, split_write};
use crate::disk::{DiskImage, Geometry};
use crate::line::Line;
use crate::pci::PciMap;
use crate::state::{LAST_CYCLE, StateError, Stateful, check};
use bus_master::Engine;
use drive::{Drive, HostAccess, control, status};
use serde::{Deserialize, Serialize};

/// What is plugged into one place of a channel.
#[derive(Debug)]
pub enum AtaDrive {
    /// A hard disk.
    HardDisk {
        /// Its sectors.
        image: DiskImage,
        /// Its geometry; `None` takes [`Geometry::of_sectors`].
        geometry: Option<Geometry>,
        /// Serial number for IDENTIFY DEVICE, up to 20 ASCII characters.
        serial: String,
    },
    /// A CD-ROM drive; `None` is an empty one.
    Cdrom {
        /// An ISO 9660 image (2048-byte blocks).
        image: Option<DiskImage>,
    },
}

/// Guest-visible state of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "AtaChannelState")]
pub struct ChannelState {
    /// Device control register: bit 7 HOB, 2 SRST, 1 nIEN.
    pub control: u8,
    /// The drive that the device register selects, 0 or 1.
    pub selected: u8,
    /// The drives.
    pub drives: [DriveState; 2],
    /// The bus master of this channel.
    pub bus_master: BusMasterState,
}

/// Guest-visible state of the whole device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtaState {
    /// Primary and secondary channel.
    pub channels: [ChannelState; 2],
    /// Where the bus-master registers (16 ports) are, if anywhere.
    pub bus_master_base: Option<u16>,
}

/// Both channels.
#[derive(Debug)]
pub struct Ata {
    drives: [[Option<AtaDrive>; 2]; 2],
    lines: [Line; 2],
    state: AtaState,
}

const COMMAND_BLOCKS: [u16; 2] = [0x1F0, 0x170];
const CONTROL_PORTS: [u16; 2] = [0x3F6, 0x376];
/// What an empty channel reads: nothing drives its lines, which float high, but for DD7, which the host pulls down so that
/// software sees BSY clear and does not wait for drives that are not there (ATA/ATAPI-6, "DD (15:0) (Device data)").
const EMPTY_CHANNEL: u32 = 0xFF7F_FF7F;
/// How long a software or hardware reset keeps BSY set (a real drive takes from 2 ms to 30 s).
const RESET_NS: u64 = 100_000;
/// Deadline tags: drive d of channel c is 2c+d; the bus master's follow.
const TAG_BUS_MASTER: u32 = 4;

impl Ata {
    /// `drives[channel][drive]`; `lines` are INTRQ of both channels.
    pub fn new(drives: [[Option<AtaDrive>; 2]; 2], lines: [Line; 2]) -> Self {
        let mut ata = Ata { drives, lines, state: AtaState::default() };
        ata.power_on();
        ata
    }

    /// The guest-visible state.
    pub fn state(&self) -> &AtaState {
        &self.state
    }

    /// Whether there is a drive in that place.
    pub fn present(&self, channel: usize, drive: usize) -> bool {
        self.drives.get(channel).and_then(|drives| drives.get(drive)).is_some_and(Option::is_some)
    }

    /// The drive in that place, for CMOS and boot set-up.
    pub fn drive(&self, channel: usize, drive: usize) -> Option<&AtaDrive> {
        self.drives.get(channel)?.get(drive)?.as_ref()
    }

    /// The drive in that place, to reach its image.
    pub fn drive_mut(&mut self, channel: usize, drive: usize) -> Option<&mut AtaDrive> {
        self.drives.get_mut(channel)?.get_mut(drive)?.as_mut()
    }

    /// The geometry and size in sectors of the hard disk in that place.
    pub fn hard_disk(&self, channel: usize, drive: usize) -> Option<(Geometry, u64)> {
        match self.drive(channel, drive)? {
            AtaDrive::HardDisk { image, geometry, .. } => {
                Some((geometry.unwrap_or(Geometry::of_sectors(image.sectors())), image.sectors()))
            }
            AtaDrive::Cdrom { .. } => None,
        }
    }

    /// Changes the disc of a CD-ROM drive; returns the old one. The guest sees a unit attention. Without a CD-ROM drive in
    /// that place `disc` comes back.
    pub fn change_disc(&mut self, channel: usize, drive: usize, disc: Option<DiskImage>) -> Option<DiskImage> {
        let Some(AtaDrive::Cdrom { image }) = self.drive_mut(channel, drive) else { return disc };
        let old = std::mem::replace(image, disc);
        self.state.channels[channel].drives[drive].packet.media_changed();
        old
    }

    fn power_on(&mut self) {
        let base = self.state.bus_master_base;
        self.state = AtaState { bus_master_base: base, ..AtaState::default() };
        for channel in 0..2 {
            for drive in 0..2 {
                if let Some(mut drive) = self.view(channel, drive) {
                    drive.power_on();
                }
            }
        }
    }

    fn view(&mut self, channel: usize, drive: usize) -> Option<Drive<'_>> {
        let media = self.drives[channel][drive].as_mut()?;
        Some(Drive { media, state: &mut self.state.channels[channel].drives[drive], number: drive })
    }

    fn selected(&mut self, channel: usize) -> Option<Drive<'_>> {
        let drive = usize::from(self.state.channels[channel].selected & 1);
        self.view(channel, drive)
    }

    fn each_drive(&mut self, channel: usize, mut action: impl FnMut(&mut Drive)) {
        for drive in 0..2 {
            if let Some(mut drive) = self.view(channel, drive) {
                action(&mut drive);
            }
        }
    }

    /// After every call: new deadlines, and INTRQ as the selected drive drives it.
    fn settle(&mut self, ctx: &mut Ctx, channel: usize) {
        let nien = self.state.channels[channel].control & control::NIEN != 0;
        let selected = usize::from(self.state.channels[channel].selected & 1);
        let mut level = false;
        for drive in 0..2 {
            let tag = (channel * 2 + drive) as u32;
            let Some(view) = self.view(channel, drive) else { continue };
            match view.state.delay.take() {
                Some(delay) => ctx.schedule_ns(tag, delay),
                None if view.state.work == Work::None => ctx.cancel(tag),
                None => {}
            }
            level |= drive == selected && view.state.interrupt && !nien;
        }
        let was = ctx.lines.level(self.lines[channel]);
        if level && !was {
            self.state.channels[channel].bus_master.interrupt_edge();
        }
        ctx.lines.set(self.lines[channel], level);
        self.start_bus_master(ctx, channel);
    }

    /// Once a drive waits with DMARQ and software has started the engine, the transfer gets its deadline.
    fn start_bus_master(&mut self, ctx: &mut Ctx, channel: usize) {
        let state = &mut self.state.channels[channel];
        let waiting = state.drives.iter().find(|drive| drive.phase == Phase::Dma);
        if let Some(drive) = waiting
            && state.bus_master.ready()
        {
            state.bus_master.transferring = true;
            ctx.schedule_ns(TAG_BUS_MASTER + channel as u32, 3_000 + 1_000 * u64::from(drive.remaining.min(0x1_0000)));
        }
    }

    fn bus_master_transfer(&mut self, ctx: &mut Ctx, channel: usize) {
        let bus_master = &mut self.state.channels[channel].bus_master;
        bus_master.transferring = false;
        let mut engine = Engine::new(bus_master.clone(), &mut *ctx.memory);
        for drive in 0..2 {
            if let Some(mut view) = self.view(channel, drive)
                && view.state.phase == Phase::Dma
            {
                view.dma_transfer(&mut engine);
                break;
            }
        }
        self.state.channels[channel].bus_master = engine.finish();
        self.settle(ctx, channel);
    }

    fn command_read(&mut self, channel: usize, register: Register) -> u8 {
        let any = self.drives[channel].iter().any(Option::is_some);
        let hob = self.state.channels[channel].control & control::HOB != 0;
        match self.selected(channel) {
            Some(mut drive) => drive.read_register(register, hob),
            // A lone drive answers for its missing partner with status 0 (ATA/ATAPI-6, 9.16.1); of the other registers
            // it shows the device register alone, so that nobody takes its signature for a second drive's.
            None if !any => EMPTY_CHANNEL as u8,
            None if register == Register::Device => {
                let other = usize::from(self.state.channels[channel].selected & 1) ^ 1;
                self.view(channel, other).map_or(0, |mut drive| drive.read_register(register, hob))
            }
            None => 0,
        }
    }

    fn command_write(&mut self, ctx: &mut Ctx, channel: usize, register: Register, value: u8) {
        if self.state.channels[channel].control & control::SRST != 0 {
            return;
        }
        self.each_drive(channel, |drive| {
            drive.hasten(HostAccess::WriteRegister);
        });
        // Registers are written in both drives at once; the selected one alone obeys the command,
        // but for EXECUTE DEVICE DIAGNOSTIC, which both do.
        self.state.channels[channel].control &= !control::HOB;
        if register == Register::Status {
            if value == drive::command::EXECUTE_DEVICE_DIAGNOSTIC {
                self.each_drive(channel, |drive| drive.command(value));
                self.state.channels[channel].selected = 0;
            } else if let Some(mut drive) = self.selected(channel) {
                drive.command(value);
            }
        } else {
            let busy = |drive: &DriveState| drive.status & (status::BSY | status::DRQ) != 0;
            let selected = usize::from(self.state.channels[channel].selected & 1);
            if self.drives[channel][selected].is_some() && busy(&self.state.channels[channel].drives[selected]) {
                return;
            }
            if register == Register::Device {
                self.state.channels[channel].selected = value >> 4 & 1;
            }
            self.each_drive(channel, |drive| drive.write_register(register, value));
        }
        self.settle(ctx, channel);
    }

    fn control_write(&mut self, ctx: &mut Ctx, channel: usize, value: u8) {
        let before = std::mem::replace(&mut self.state.channels[channel].control, value);
        if value & control::SRST != 0 && before & control::SRST == 0 {
            self.state.channels[channel].selected = 0;
            self.each_drive(channel, |drive| drive.reset_begins());
            for drive in 0..2 {
                ctx.cancel((channel * 2 + drive) as u32);
            }
            ctx.cancel(TAG_BUS_MASTER + channel as u32);
            self.state.channels[channel].bus_master.transferring = false;
        } else if value & control::SRST == 0 && before & control::SRST != 0 {
            self.each_drive(channel, |drive| drive.later(Work::Reset, RESET_NS));
        }
        self.settle(ctx, channel);
    }

    fn data_read(&mut self, ctx: &mut Ctx, channel: usize, size: u8) -> u32 {
        let any = self.drives[channel].iter().any(Option::is_some);
        let Some(mut drive) = self.selected(channel) else {
            return all_ones(size) & if any { u32::MAX } else { EMPTY_CHANNEL };
        };
        let hastened = drive.hasten(HostAccess::ReadData);
        let value = drive.read_data(size);
        if hastened || drive.state.delay.is_some() {
            self.settle(ctx, channel);
        }
        value
    }

    fn data_write(&mut self, ctx: &mut Ctx, channel: usize, size: u8, value: u32) {
        let Some(mut drive) = self.selected(channel) else { return };
        let hastened = drive.hasten(HostAccess::WriteData);
        drive.write_data(size, value);
        if hastened || drive.state.delay.is_some() {
            self.settle(ctx, channel);
        }
    }

    /// The status of the selected drive was read; it gets on with what it does.
    fn polled(&self, ctx: &mut Ctx, channel: usize) {
        ctx.hurry((channel * 2) as u32 + u32::from(self.state.channels[channel].selected & 1), POLL_NS);
    }

    /// The channel and byte offset of a bus-master port.
    fn bus_master_port(&self, port: u16) -> Option<(usize, u16)> {
        let offset = port.checked_sub(self.state.bus_master_base?)?;
        (offset < 16).then_some((usize::from(offset / 8), offset % 8))
    }

    fn byte_read(&mut self, ctx: &mut Ctx, port: u16) -> u8 {
        if let Some((channel, offset)) = self.bus_master_port(port) {
            if offset == bus_master::STATUS {
                ctx.hurry(TAG_BUS_MASTER + channel as u32, POLL_NS);
            }
            return self.state.channels[channel].bus_master.read(offset);
        }
        for channel in 0..2 {
            if port == CONTROL_PORTS[channel] {
                self.polled(ctx, channel);
                return self.command_read(channel, Register::AlternateStatus);
            }
            if let Some(register) = port.checked_sub(COMMAND_BLOCKS[channel]).and_then(Register::of_offset) {
                let value = self.command_read(channel, register);
                if register == Register::Status {
                    self.polled(ctx, channel);
                    self.settle(ctx, channel);
                }
                return value;
            }
        }
        0xFF
    }

    fn byte_write(&mut self, ctx: &mut Ctx, port: u16, value: u8) {
        if let Some((channel, offset)) = self.bus_master_port(port) {
            self.state.channels[channel].bus_master.write(offset, value);
            if !self.state.channels[channel].bus_master.started() {
                self.state.channels[channel].bus_master.transferring = false;
                ctx.cancel(TAG_BUS_MASTER + channel as u32);
            }
            self.settle(ctx, channel);
            return;
        }
        for channel in 0..2 {
            if port == CONTROL_PORTS[channel] {
                self.control_write(ctx, channel, value);
            } else if let Some(register) = port.checked_sub(COMMAND_BLOCKS[channel]).and_then(Register::of_offset) {
                self.command_write(ctx, channel, register, value);
            }
        }
    }
}

/// Without the media, which are the board's to put away.
impl Stateful for Ata {
    type Saved = AtaState;

    fn save(&self) -> AtaState {
        let Self { drives: _, lines: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, state: AtaState) -> Result<(), StateError> {
        for drive in state.channels.iter().flat_map(|channel| &channel.drives) {
            // The place of the last transfer stays when its buffer goes.
            let inside = drive.position < 1 << 24 && drive.lba < LAST_CYCLE && drive.block <= 256;
            check(inside, "ATA drive", "its transfer is out of range")?;
        }
        self.state = state;
        Ok(())
    }
}

impl Device for Ata {
    fn claims(&self) -> Claims {
        let mut ports: Vec<_> = COMMAND_BLOCKS.iter().map(|base| u32::from(*base)..u32::from(*base) + 8).collect();
        ports.extend(CONTROL_PORTS.iter().map(|port| u32::from(*port)..u32::from(*port) + 1));
        ports.extend(self.state.bus_master_base.map(|base| u32::from(base)..u32::from(base) + 16));
        Claims { ports, mmio: Vec::new() }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        self.power_on();
        for channel in 0..2 {
            self.each_drive(channel, |drive| {
                drive.reset_begins();
                drive.later(Work::Reset, RESET_NS);
            });
            self.settle(ctx, channel);
        }
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        match COMMAND_BLOCKS.iter().position(|base| *base == port) {
            Some(channel) => self.data_read(ctx, channel, size),
            None => split_read(port, size, |port| self.byte_read(ctx, port)),
        }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        match COMMAND_BLOCKS.iter().position(|base| *base == port) {
            Some(channel) => self.data_write(ctx, channel, size, value),
            None => split_write(port, size, value, |port, byte| self.byte_write(ctx, port, byte)),
        }
    }

    fn pci_moved(&mut self, map: &PciMap) {
        self.state.bus_master_base = map.bus_master_ide.map(|base| base & 0xFFF0);
    }

    fn deadline(&mut self, ctx: &mut Ctx, tag: u32) {
        if let TAG_BUS_MASTER..6 = tag {
            self.bus_master_transfer(ctx, (tag - TAG_BUS_MASTER) as usize);
        } else if tag < TAG_BUS_MASTER {
            let (channel, drive) = ((tag / 2) as usize, (tag % 2) as usize);
            if let Some(mut view) = self.view(channel, drive) {
                view.proceed();
            }
            self.settle(ctx, channel);
        }
    }
}

#[cfg(test)]
mod tests;
