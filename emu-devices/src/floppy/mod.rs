//! The floppy controller: an 82077AA at 3F0h-3F7h (Intel 82077AA data sheet; NEC uPD765A command set).
//!
//! Disks turn faster than real ones, and heads step faster, so that loading takes milliseconds of guest time.

mod commands;
mod drive;
#[cfg(test)]
mod tests;
mod transfer;

pub use drive::{FloppyDrive, FloppyDriveType};
pub use transfer::{Operation, Transfer};

use crate::device::{Claims, Ctx, Device, POLL_NS, split_read, split_write};
use crate::disk::{DiskImage, ImageError};
use crate::line::Line;
use crate::state::{StateError, Stateful, check};
use serde::{Deserialize, Serialize};

/// Digital output register.
mod dor {
    pub const NOT_RESET: u8 = 0x04;
    pub const DMA_GATE: u8 = 0x08;
}

/// Main status register.
mod msr {
    pub const RQM: u8 = 0x80;
    pub const DIO: u8 = 0x40;
    pub const NON_DMA: u8 = 0x20;
    pub const BUSY: u8 = 0x10;
}

/// From the end of a reset to its interrupt.
const RESET_NS: u64 = 20_000;
/// The passing of one sector under the head (a real 1.44 MB disk: 11 ms).
const SECTOR_NS: u64 = 150_000;
/// A step of the head, and the rest of a seek (really 3 ms and 15 ms).
const STEP_NS: u64 = 10_000;
const SETTLE_NS: u64 = 200_000;
/// After which a command without a readable disk gives up (two revolutions).
const NO_DISK_NS: u64 = 5_000_000;

/// Deadline tags; the seek of drive n is `TAG_SEEK + n`.
const TAG_RESET: u32 = 0;
const TAG_SECTOR: u32 = 1;
const TAG_SEEK: u32 = 2;

/// What the FIFO is for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "FloppyPhase")]
pub enum Phase {
    /// In reset: the controller does not answer.
    Reset,
    /// Command bytes are expected.
    #[default]
    Command,
    /// The command is carried out; data goes by DMA.
    Execution,
    /// The host reads a sector (non-DMA mode).
    In,
    /// The host writes a sector (non-DMA mode).
    Out,
    /// The host reads result bytes.
    Result,
}

/// Guest-visible state of a drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "FloppyDriveState")]
pub struct DriveState {
    /// Where the head is.
    pub track: u8,
    /// Where the controller believes it to be (PCN).
    pub present_cylinder: u8,
    /// The disk was changed and the head has not moved since (DIR bit 7).
    pub disk_change: bool,
    /// A seek is under way to this track, with this ST0 at its end.
    pub seek: Option<(u8, u8)>,
    /// ST0 that SENSE INTERRUPT STATUS has not reported yet.
    pub sense: Option<u8>,
}

/// Guest-visible state of the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloppyState {
    /// Digital output register.
    pub dor: u8,
    /// Tape drive register.
    pub tdr: u8,
    /// Data rate select register; bits 1-0 also by CCR.
    pub dsr: u8,
    /// Software has chosen a data rate since the hardware reset.
    pub rate_chosen: bool,
    /// Software has sent SEEK since the hardware reset.
    pub seek_sent: bool,
    /// What the FIFO is for.
    pub phase: Phase,
    /// Command bytes so far.
    pub command: Vec<u8>,
    /// Result bytes to come, next first.
    pub result: Vec<u8>,
    /// The drives; two more can be addressed, but are never there.
    pub drives: [DriveState; 4],
    /// Interrupt, before the gate of DOR.
    pub interrupt: bool,
    /// SPECIFY: step rate and head unload time; head load time and non-DMA bit.
    pub specify: [u8; 2],
    /// CONFIGURE: implied seek, FIFO, polling, threshold; precompensation track.
    pub configure: [u8; 2],
    /// LOCK keeps CONFIGURE's values over a reset.
    pub lock: bool,
    /// PERPENDICULAR MODE.
    pub perpendicular: u8,
    /// EOT of the last data command, for DUMPREG.
    pub last_eot: u8,
    /// The data command under way.
    pub transfer: Option<Transfer>,
}

/// The controller.
#[derive(Debug)]
pub struct Floppy {
    drives: [Option<FloppyDrive>; 2],
    line: Line,
    state: FloppyState,
    deleted_mark_logged: bool,
    format_logged: bool,
}

impl Floppy {
    /// A controller with these drives A: and B:, and IRQ 6's line.
    pub fn new(drives: [Option<FloppyDrive>; 2], line: Line) -> Self {
        let mut floppy =
            Floppy { drives, line, state: FloppyState::default(), deleted_mark_logged: false, format_logged: false };
        floppy.power_on();
        floppy
    }

    /// The guest-visible state.
    pub fn state(&self) -> &FloppyState {
        &self.state
    }

    /// Drive A: (0) or B: (1), for CMOS and boot set-up.
    pub fn drive(&self, drive: usize) -> Option<&FloppyDrive> {
        self.drives.get(drive)?.as_ref()
    }

    /// Drive A: (0) or B: (1), to reach its image.
    pub fn drive_mut(&mut self, drive: usize) -> Option<&mut FloppyDrive> {
        self.drives.get_mut(drive)?.as_mut()
    }

    /// CMOS byte 10h: type of A: in the high nibble, of B: in the low one.
    pub fn cmos_types(&self) -> u8 {
        let nibble = |drive| self.drive(drive).map_or(0, |drive| drive.kind().cmos_type());
        nibble(0) << 4 | nibble(1)
    }

    /// Takes the disk out of a drive and puts another in, or none; returns the old one. Without such a drive nothing
    /// happens.
    pub fn change_disk(&mut self, drive: usize, disk: Option<DiskImage>) -> Result<Option<DiskImage>, ImageError> {
        let Some(place) = self.drive_mut(drive) else { return Ok(None) };
        let old = place.change(disk)?;
        self.state.drives[drive].disk_change = true;
        Ok(old)
    }

    fn power_on(&mut self) {
        self.state = FloppyState { phase: Phase::Reset, dsr: 0x02, ..FloppyState::default() };
        self.state.configure = commands::CONFIGURE_DEFAULT;
        self.state.drives.iter_mut().for_each(|drive| drive.disk_change = true);
    }

    fn update_line(&self, ctx: &mut Ctx) {
        ctx.lines.set(self.line, self.state.interrupt && self.state.dor & dor::DMA_GATE != 0);
    }

    fn selected(&self) -> usize {
        usize::from(self.state.dor & 3)
    }

    fn motor_on(&self, drive: usize) -> bool {
        self.state.dor >> 4 >> drive & 1 != 0
    }

    fn main_status(&self) -> u8 {
        let phase = match self.state.phase {
            Phase::Reset => return 0,
            Phase::Command if self.state.command.is_empty() => msr::RQM,
            Phase::Command => msr::RQM | msr::BUSY,
            Phase::Execution => msr::BUSY,
            Phase::In => msr::RQM | msr::DIO | msr::NON_DMA | msr::BUSY,
            Phase::Out => msr::RQM | msr::NON_DMA | msr::BUSY,
            Phase::Result => msr::RQM | msr::DIO | msr::BUSY,
        };
        let seeks = (0..4).filter(|drive| self.state.drives[*drive].seek.is_some());
        seeks.fold(phase, |status, drive| status | 1 << drive)
    }

    /// Reset by DOR or DSR: everything is dropped but SPECIFY, and CONFIGURE if locked.
    fn begin_reset(&mut self, ctx: &mut Ctx) {
        for tag in TAG_RESET..TAG_SEEK + 4 {
            ctx.cancel(tag);
        }
        let state = &mut self.state;
        state.phase = Phase::Reset;
        state.command.clear();
        state.result.clear();
        state.transfer = None;
        state.interrupt = false;
        for drive in &mut state.drives {
            (drive.seek, drive.sense, drive.present_cylinder) = (None, None, 0);
        }
        if !state.lock {
            state.configure = commands::CONFIGURE_DEFAULT;
        }
        self.update_line(ctx);
    }

    /// After a reset polling finds all drives' ready lines changed: an interrupt, and four states to sense.
    fn end_reset(&mut self, ctx: &mut Ctx) {
        const POLL_DISABLE: u8 = 0x10;
        const READY_CHANGED: u8 = 0xC0;
        self.state.phase = Phase::Command;
        if self.state.configure[0] & POLL_DISABLE == 0 {
            for (number, drive) in (0..).zip(&mut self.state.drives) {
                drive.sense = Some(READY_CHANGED | number);
            }
            self.state.interrupt = true;
        }
        self.update_line(ctx);
    }

    fn write_dor(&mut self, ctx: &mut Ctx, value: u8) {
        let before = std::mem::replace(&mut self.state.dor, value);
        if value & dor::NOT_RESET == 0 {
            self.begin_reset(ctx);
        } else if before & dor::NOT_RESET == 0 {
            ctx.schedule_ns(TAG_RESET, RESET_NS);
        }
        self.update_line(ctx);
    }

    fn write_dsr(&mut self, ctx: &mut Ctx, value: u8) {
        const SOFTWARE_RESET: u8 = 0x80;
        self.state.dsr = value & !SOFTWARE_RESET;
        self.state.rate_chosen = true;
        if value & SOFTWARE_RESET != 0 {
            self.begin_reset(ctx);
            if self.state.dor & dor::NOT_RESET != 0 {
                ctx.schedule_ns(TAG_RESET, RESET_NS);
            }
        }
    }

    /// Status register A of PS/2 mode.
    fn status_a(&self) -> u8 {
        let drive = self.selected();
        let track_0 = self.state.drives[drive].track == 0;
        let protected = self.drive(drive).and_then(FloppyDrive::disk).is_none_or(|disk| disk.image.write_protected());
        u8::from(self.state.interrupt) << 7
            | u8::from(self.drives[1].is_none()) << 6
            | u8::from(!track_0) << 4
            | u8::from(!protected) << 1
    }

    /// Status register B of PS/2 mode.
    fn status_b(&self) -> u8 {
        0xC0 | (self.state.dor & 1) << 5 | self.state.dor >> 4 & 3
    }

    fn digital_input(&self) -> u8 {
        let drive = self.selected();
        let changed = self.drive(drive).is_some() && self.motor_on(drive) && self.state.drives[drive].disk_change;
        u8::from(changed) << 7
    }

    fn byte_read(&mut self, ctx: &mut Ctx, port: u16) -> u8 {
        match port {
            0x3F0 => self.status_a(),
            0x3F1 => self.status_b(),
            0x3F2 => self.state.dor,
            0x3F3 => self.state.tdr,
            0x3F4 => {
                (TAG_RESET..TAG_SEEK + 4).for_each(|tag| ctx.hurry(tag, POLL_NS));
                self.main_status()
            }
            0x3F5 => self.fifo_read(ctx),
            0x3F7 => self.digital_input(),
            _ => 0xFF,
        }
    }

    fn byte_write(&mut self, ctx: &mut Ctx, port: u16, value: u8) {
        match port {
            0x3F2 => self.write_dor(ctx, value),
            0x3F3 => self.state.tdr = value & 3,
            0x3F4 => self.write_dsr(ctx, value),
            0x3F5 => self.fifo_write(ctx, value),
            0x3F7 => {
                self.state.dsr = self.state.dsr & !3 | value & 3;
                self.state.rate_chosen = true;
            }
            _ => {}
        }
    }

    /// Does at once what the host should have waited for, if it has not: the end of a reset before a command byte, sectors
    /// before a byte of data or of the result.
    fn hasten(&mut self, ctx: &mut Ctx, write: bool) {
        if write && self.state.phase == Phase::Reset && self.state.dor & dor::NOT_RESET != 0 {
            ctx.cancel(TAG_RESET);
            self.end_reset(ctx);
        }
        while self.state.phase == Phase::Execution && self.awaited(write) {
            ctx.cancel(TAG_SECTOR);
            self.sector(ctx);
        }
    }

    fn fifo_read(&mut self, ctx: &mut Ctx) -> u8 {
        self.hasten(ctx, false);
        match self.state.phase {
            Phase::Result => {
                // The first result byte that is read takes the interrupt back.
                self.state.interrupt = false;
                self.update_line(ctx);
                let byte = if self.state.result.is_empty() { 0 } else { self.state.result.remove(0) };
                if self.state.result.is_empty() {
                    self.state.phase = Phase::Command;
                }
                byte
            }
            Phase::In => self.host_reads(ctx),
            _ => 0,
        }
    }

    fn fifo_write(&mut self, ctx: &mut Ctx, value: u8) {
        self.hasten(ctx, true);
        match self.state.phase {
            Phase::Command => self.command_byte(ctx, value),
            Phase::Out => self.host_writes(ctx, value),
            _ => {}
        }
    }

    /// The command ends with these result bytes; commands with an execution phase interrupt.
    fn finish(&mut self, ctx: &mut Ctx, result: &[u8], interrupt: bool) {
        log::trace!(
            target: "disk",
            "floppy: command {} ({}), result {}",
            hexadecimal(&self.state.command),
            commands::name(self.parameter(0)),
            if result.is_empty() { "none".to_owned() } else { hexadecimal(result) }
        );
        self.state.result = result.to_vec();
        self.state.phase = if result.is_empty() { Phase::Command } else { Phase::Result };
        self.state.command.clear();
        self.state.interrupt |= interrupt;
        self.update_line(ctx);
    }
}

/// Without the disks, which are the board's to put away.
/// Bytes as they stand in the log.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}h")).collect::<Vec<_>>().join(" ")
}

impl Stateful for Floppy {
    type Saved = FloppyState;

    fn save(&self) -> FloppyState {
        let Self { drives: _, line: _, state, deleted_mark_logged: _, format_logged: _ } = self;
        state.clone()
    }

    fn restore(&mut self, state: FloppyState) -> Result<(), StateError> {
        if let Some(transfer) = &state.transfer {
            let inside = transfer.drive < 4 && transfer.position <= transfer.buffer.len();
            check(inside, "floppy controller", "its transfer is out of range")?;
        }
        self.state = state;
        Ok(())
    }
}

impl Device for Floppy {
    fn claims(&self) -> Claims {
        // 3F6h is the ATA channel's.
        Claims { ports: vec![0x3F0..0x3F6, 0x3F7..0x3F8], mmio: Vec::new() }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        let tracks = std::mem::take(&mut self.state.drives).map(|drive| (drive.track, drive.disk_change));
        self.power_on();
        // The drives keep their place: reset does not reach them.
        for (drive, (track, change)) in self.state.drives.iter_mut().zip(tracks) {
            (drive.track, drive.disk_change) = (track, change);
        }
        self.update_line(ctx);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        split_read(port, size, |port| self.byte_read(ctx, port))
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        split_write(port, size, value, |port, byte| self.byte_write(ctx, port, byte));
    }

    fn deadline(&mut self, ctx: &mut Ctx, tag: u32) {
        match tag {
            TAG_RESET => self.end_reset(ctx),
            TAG_SECTOR => self.sector(ctx),
            _ => self.seek_done(ctx, (tag - TAG_SEEK) as usize & 3),
        }
    }
}
