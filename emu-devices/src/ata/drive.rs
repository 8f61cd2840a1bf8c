//! One drive: its task file, its phases, and the data port.

use super::AtaDrive;
use super::atapi::PacketState;
use serde::{Deserialize, Serialize};

/// Status register.
pub(super) mod status {
    pub const BSY: u8 = 0x80;
    pub const DRDY: u8 = 0x40;
    pub const DSC: u8 = 0x10;
    pub const DRQ: u8 = 0x08;
    pub const ERR: u8 = 0x01;
}

/// Error register.
pub(super) mod error {
    pub const UNC: u8 = 0x40;
    /// Write protected, as write commands report it.
    pub const WP: u8 = 0x40;
    pub const IDNF: u8 = 0x10;
    pub const ABRT: u8 = 0x04;
}

/// Device control register.
pub(super) mod control {
    pub const HOB: u8 = 0x80;
    pub const SRST: u8 = 0x04;
    pub const NIEN: u8 = 0x02;
}

pub(super) mod command {
    pub const EXECUTE_DEVICE_DIAGNOSTIC: u8 = 0x90;
}

/// From the command to its first result; a real drive takes tens of microseconds to milliseconds.
pub(super) const COMMAND_NS: u64 = 10_000;
/// Between two data blocks of one command.
pub(super) const BLOCK_NS: u64 = 5_000;
/// From a write command to the first DRQ.
pub(super) const WRITE_READY_NS: u64 = 1_000;

/// The registers of the command block, by their offset (as read).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// Error; features when written.
    Error,
    /// Sector count; interrupt reason of packet devices.
    Count,
    /// LBA low, sector number.
    Low,
    /// LBA mid, cylinder low, byte count low.
    Mid,
    /// LBA high, cylinder high, byte count high.
    High,
    /// Device.
    Device,
    /// Status; command when written.
    Status,
    /// Status without clearing the interrupt.
    AlternateStatus,
}

impl Register {
    /// The register at an offset from the command block; `None` for the data port.
    pub fn of_offset(offset: u16) -> Option<Self> {
        use Register::*;
        [Error, Count, Low, Mid, High, Device, Status].get(usize::from(offset.checked_sub(1)?)).copied()
    }
}

/// A register that 48-bit commands read two bytes deep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deep {
    /// Most recently written.
    pub current: u8,
    /// Written before that.
    pub previous: u8,
}

/// As the 16 bits that a 48-bit command takes: what was written before, and last.
impl std::fmt::Display for Deep {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:02X}{:02X}h", self.previous, self.current)
    }
}

impl Deep {
    fn write(&mut self, value: u8) {
        self.previous = std::mem::replace(&mut self.current, value);
    }

    fn read(self, hob: bool) -> u8 {
        if hob { self.previous } else { self.current }
    }

    pub(super) fn set(&mut self, value: u8) {
        self.current = value;
    }
}

/// Who moves data now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "AtaPhase")]
pub enum Phase {
    /// Nobody.
    #[default]
    Idle,
    /// The host reads the buffer.
    In,
    /// The host fills the buffer.
    Out,
    /// The host sends a command packet.
    Packet,
    /// The drive asks the bus master.
    Dma,
}

/// What the drive does when its deadline comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Nothing.
    #[default]
    None,
    /// End of a reset: signature, DRDY.
    Reset,
    /// Carry out the command.
    Command(u8),
    /// Fetch the next block for the host.
    NextIn,
    /// Use the block that the host has sent.
    BlockOut,
    /// Carry out the command packet.
    Packet,
    /// Hand the next part of a packet command's data to the host.
    PacketIn,
}

/// What a host does that may find a drive not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostAccess {
    /// A read of the data port.
    ReadData,
    /// A write to the data port.
    WriteData,
    /// A write to the command block.
    WriteRegister,
}

impl Work {
    /// Whether the access would have had to wait for this.
    fn precedes(self, access: HostAccess) -> bool {
        let to_drive = match self {
            Work::None => return false,
            Work::Reset => return access == HostAccess::WriteRegister,
            Work::Command(code) => super::commands::is_write(code),
            Work::BlockOut => true,
            Work::NextIn | Work::Packet | Work::PacketIn => false,
        };
        match access {
            HostAccess::ReadData => !to_drive,
            HostAccess::WriteData => to_drive,
            HostAccess::WriteRegister => true,
        }
    }
}

/// Guest-visible state of one drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "AtaDriveState")]
pub struct DriveState {
    /// Error register.
    pub error: u8,
    /// Status register.
    pub status: u8,
    /// Features register.
    pub features: Deep,
    /// Sector count.
    pub count: Deep,
    /// LBA low.
    pub low: Deep,
    /// LBA mid.
    pub mid: Deep,
    /// LBA high.
    pub high: Deep,
    /// Device register.
    pub device: u8,
    /// INTRQ, before nIEN and drive selection.
    pub interrupt: bool,
    /// The command being carried out.
    pub command: u8,
    /// Who moves data.
    pub phase: Phase,
    /// What comes at the deadline.
    pub work: Work,
    /// A deadline that the channel has not scheduled yet, in ns.
    pub delay: Option<u64>,
    /// The data block.
    pub buffer: Vec<u8>,
    /// How far the host is in it.
    pub position: usize,
    /// The next sector of the transfer.
    pub lba: u64,
    /// Sectors still to transfer (packet devices: blocks of 2048).
    pub remaining: u32,
    /// Sectors a DRQ block.
    pub block: u32,
    /// SET MULTIPLE MODE's sectors; 0 disables READ/WRITE MULTIPLE.
    pub multiple: u8,
    /// Current translation: heads.
    pub heads: u8,
    /// Current translation: sectors a track.
    pub sectors_per_track: u8,
    /// Transfer mode that SET FEATURES selected.
    pub transfer_mode: u8,
    /// Write cache enabled.
    pub write_cache: bool,
    /// Read look-ahead enabled.
    pub look_ahead: bool,
    /// In standby.
    pub standby: bool,
    /// The sector of READ BUFFER and WRITE BUFFER.
    pub host_buffer: Vec<u8>,
    /// Packet commands.
    pub packet: PacketState,
}

/// A drive with its medium, for one call.
pub(super) struct Drive<'a> {
    pub media: &'a mut AtaDrive,
    pub state: &'a mut DriveState,
    pub number: usize,
}

impl Drive<'_> {
    pub fn is_packet(&self) -> bool {
        matches!(self.media, AtaDrive::Cdrom { .. })
    }

    pub fn power_on(&mut self) {
        *self.state = DriveState { write_cache: true, look_ahead: true, multiple: 16, ..DriveState::default() };
        if let Some(geometry) = self.geometry() {
            self.state.heads = geometry.heads;
            self.state.sectors_per_track = geometry.sectors;
        }
        self.signature();
        self.state.status = self.ready();
    }

    /// DRDY and DSC; packet devices leave both clear until a command completes (ATA/ATAPI-6, 9.12).
    fn ready(&self) -> u8 {
        if self.is_packet() { 0 } else { status::DRDY | status::DSC }
    }

    /// BSY until the reset ends.
    pub fn reset_begins(&mut self) {
        let state = &mut *self.state;
        state.status = status::BSY;
        state.work = Work::None;
        state.delay = None;
        state.phase = Phase::Idle;
        state.interrupt = false;
        state.buffer.clear();
        state.position = 0;
        state.remaining = 0;
    }

    /// The register values after reset, diagnostics and a command that the other kind of device refuses
    /// (ATA/ATAPI-6, 9.12).
    pub fn signature(&mut self) {
        let (mid, high) = if self.is_packet() { (0x14, 0xEB) } else { (0, 0) };
        let state = &mut *self.state;
        (state.count, state.low) = (Deep { current: 1, previous: 0 }, Deep { current: 1, previous: 0 });
        (state.mid, state.high) = (Deep { current: mid, previous: 0 }, Deep { current: high, previous: 0 });
        state.error = 1; // Diagnostic code: no error.
        state.device = 0;
    }

    /// Lets `work` happen after `ns`.
    pub fn later(&mut self, work: Work, ns: u64) {
        self.state.work = work;
        self.state.delay = Some(ns);
    }

    pub fn read_register(&mut self, register: Register, hob: bool) -> u8 {
        let state = &mut *self.state;
        match register {
            Register::Error => state.error,
            Register::Count => state.count.read(hob),
            Register::Low => state.low.read(hob),
            Register::Mid => state.mid.read(hob),
            Register::High => state.high.read(hob),
            Register::Device => state.device | 0xA0,
            Register::Status => {
                state.interrupt = false;
                state.status
            }
            Register::AlternateStatus => state.status,
        }
    }

    pub fn write_register(&mut self, register: Register, value: u8) {
        let state = &mut *self.state;
        match register {
            Register::Error => state.features.write(value),
            Register::Count => state.count.write(value),
            Register::Low => state.low.write(value),
            Register::Mid => state.mid.write(value),
            Register::High => state.high.write(value),
            Register::Device => state.device = value,
            Register::Status | Register::AlternateStatus => {}
        }
    }

    /// A command byte for this drive.
    pub fn command(&mut self, code: u8) {
        const DEVICE_RESET: u8 = 0x08;
        if code == DEVICE_RESET && self.is_packet() {
            self.reset_begins();
            return self.later(Work::Command(code), COMMAND_NS);
        }
        if self.state.status & (status::BSY | status::DRQ) != 0 {
            return;
        }
        let state = &mut *self.state;
        log::trace!(
            target: "disk",
            "ATA: command {code:02X}h ({}), count {}, LBA low {}, mid {}, high {}, device {:02X}h",
            super::commands::name(code), state.count, state.low, state.mid, state.high, state.device
        );
        state.command = code;
        state.interrupt = false;
        state.error = 0;
        state.phase = Phase::Idle;
        state.status = status::BSY;
        let delay = if super::commands::is_write(code) { WRITE_READY_NS } else { COMMAND_NS };
        self.later(Work::Command(code), delay);
    }

    /// The deadline has come.
    pub fn proceed(&mut self) {
        match std::mem::take(&mut self.state.work) {
            Work::None => {}
            Work::Reset => {
                self.signature();
                self.state.status = self.ready();
            }
            Work::Command(code) => self.execute(code),
            Work::NextIn => self.next_in(),
            Work::BlockOut => self.block_out(),
            Work::Packet => self.packet(),
            Work::PacketIn => self.packet_in(),
        }
    }

    /// Does at once what the host should have waited for, if it has not: what it reads and writes is then as good as a
    /// patient driver's. Tells whether there was anything.
    pub fn hasten(&mut self, access: HostAccess) -> bool {
        let late = self.state.work.precedes(access);
        if late {
            self.proceed();
        }
        late
    }

    /// The command ends well.
    pub fn complete(&mut self) {
        self.state.status = status::DRDY | status::DSC;
        self.state.phase = Phase::Idle;
        self.state.interrupt = true;
    }

    /// The command ends with these error bits.
    pub fn fail(&mut self, error: u8) {
        self.complete();
        self.state.error = error;
        self.state.status |= status::ERR;
    }

    /// The buffer is for the host to read.
    pub fn offer(&mut self, data: Vec<u8>) {
        self.state.buffer = data;
        self.state.position = 0;
        self.state.phase = Phase::In;
        self.state.status = status::DRDY | status::DSC | status::DRQ;
        self.state.interrupt = true;
    }

    /// The host is to send `length` bytes. The first block of a command comes without an interrupt.
    pub fn ask(&mut self, length: usize, interrupt: bool) {
        self.state.buffer.clear();
        self.state.buffer.resize(length, 0);
        self.state.position = 0;
        self.state.phase = Phase::Out;
        self.state.status = status::DRDY | status::DSC | status::DRQ;
        self.state.interrupt = interrupt;
    }

    pub fn read_data(&mut self, size: u8) -> u32 {
        if self.state.phase != Phase::In {
            return crate::device::all_ones(size);
        }
        let state = &mut *self.state;
        let rest = state.buffer.get(state.position..).unwrap_or_default();
        let value = rest.iter().take(usize::from(size)).rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        state.position += usize::from(size);
        if state.position >= state.buffer.len() {
            state.phase = Phase::Idle;
            state.buffer.clear();
            self.drained();
        }
        value
    }

    pub fn write_data(&mut self, size: u8, value: u32) {
        if !matches!(self.state.phase, Phase::Out | Phase::Packet) {
            return;
        }
        let state = &mut *self.state;
        for (i, byte) in value.to_le_bytes().iter().take(usize::from(size)).enumerate() {
            if let Some(place) = state.buffer.get_mut(state.position + i) {
                *place = *byte;
            }
        }
        state.position += usize::from(size);
        if state.position >= state.buffer.len() {
            let work = if state.phase == Phase::Packet { Work::Packet } else { Work::BlockOut };
            state.phase = Phase::Idle;
            state.status = status::BSY;
            self.later(work, if work == Work::Packet { COMMAND_NS } else { BLOCK_NS });
        }
    }

    /// The host has read the whole buffer.
    fn drained(&mut self) {
        if self.is_packet() && self.state.command == 0xA0 {
            self.state.status = status::BSY;
            self.later(Work::PacketIn, BLOCK_NS);
        } else if self.state.remaining > 0 {
            self.state.status = status::BSY;
            self.later(Work::NextIn, BLOCK_NS);
        } else {
            self.state.status = status::DRDY | status::DSC;
        }
    }
}
