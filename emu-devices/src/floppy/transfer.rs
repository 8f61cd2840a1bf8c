//! The commands that move sectors, one sector a deadline (82077AA data sheet, "Data Transfer Commands").

use super::commands::st0;
use super::{Floppy, NO_DISK_NS, Phase, SECTOR_NS, STEP_NS, TAG_SECTOR};
use crate::device::Ctx;
use crate::disk::{AccessError, SECTOR_SIZE};
use serde::{Deserialize, Serialize};

/// ISA DMA channel of the floppy controller.
const DMA_CHANNEL: u8 = 2;
/// Sector size code of 512 bytes.
const SIZE_CODE: u8 = 2;

/// ST1.
mod st1 {
    pub const END_OF_CYLINDER: u8 = 0x80;
    pub const DATA_ERROR: u8 = 0x20;
    pub const OVERRUN: u8 = 0x10;
    pub const NO_DATA: u8 = 0x04;
    pub const NOT_WRITABLE: u8 = 0x02;
    pub const MISSING_ADDRESS_MARK: u8 = 0x01;
}

/// ST2.
mod st2 {
    pub const CONTROL_MARK: u8 = 0x40;
    pub const DATA_ERROR: u8 = 0x20;
    pub const WRONG_CYLINDER: u8 = 0x10;
    pub const SCAN_EQUAL: u8 = 0x08;
    pub const SCAN_NOT_SATISFIED: u8 = 0x04;
    pub const BAD_CYLINDER: u8 = 0x02;
}

/// What a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scan {
    /// Disk bytes equal to the host's.
    Equal,
    /// Disk bytes not above the host's.
    LowOrEqual,
    /// Disk bytes not below the host's.
    HighOrEqual,
}

/// The commands with an execution phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// READ DATA.
    Read,
    /// READ DELETED DATA.
    ReadDeleted,
    /// READ TRACK.
    ReadTrack,
    /// WRITE DATA.
    Write,
    /// WRITE DELETED DATA.
    WriteDeleted,
    /// VERIFY.
    Verify,
    /// READ ID.
    ReadId,
    /// FORMAT TRACK.
    Format,
    /// SCAN EQUAL, LOW OR EQUAL, HIGH OR EQUAL.
    Scan(Scan),
}

impl Operation {
    /// Whether the command names a sector address, so that a seek can be implied.
    pub(super) fn has_address(self) -> bool {
        !matches!(self, Operation::ReadId | Operation::Format)
    }

    fn takes_host_data(self) -> bool {
        matches!(self, Operation::Write | Operation::WriteDeleted | Operation::Format | Operation::Scan(_))
    }

    fn writes(self) -> bool {
        matches!(self, Operation::Write | Operation::WriteDeleted | Operation::Format)
    }
}

/// A command in its execution phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// What is done.
    pub operation: Operation,
    /// The drive, 0 to 3.
    pub drive: u8,
    /// The side that the head select line chooses.
    pub head: u8,
    /// Cylinder of the sector to come.
    pub c: u8,
    /// Head of the sector to come.
    pub h: u8,
    /// Record of the sector to come.
    pub r: u8,
    /// Size code.
    pub n: u8,
    /// Last sector of the track.
    pub eot: u8,
    /// Multi-track.
    pub multi_track: bool,
    /// Skip sectors with the other kind of mark.
    pub skip: bool,
    /// Modified frequency modulation, which all PC disks have.
    pub mfm: bool,
    /// Step of a scan; sectors to go of a verify with EC; sectors a track of a format.
    pub count: u8,
    /// VERIFY ends after `count` sectors.
    pub enable_count: bool,
    /// Filler of a format.
    pub filler: u8,
    /// Sectors done.
    pub done: u32,
    /// The sector that the host fills or reads in non-DMA mode.
    pub buffer: Vec<u8>,
    /// How far the host is in it.
    pub position: usize,
    /// The host has filled the buffer.
    pub filled: bool,
    /// ST1 so far.
    pub st1: u8,
    /// ST2 so far.
    pub st2: u8,
    /// The command ends, abnormally if true, once the host has read the sector in the FIFO.
    pub ending: Option<bool>,
}

/// Whether the command goes on after a sector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Sector,
    /// Ended, abnormally if so.
    End {
        abnormal: bool,
    },
}

impl Floppy {
    fn non_dma(&self) -> bool {
        self.state.specify[1] & 1 != 0
    }

    /// Starts the execution phase of a data command.
    pub(super) fn begin_transfer(&mut self, ctx: &mut Ctx, operation: Operation, seek_to: Option<u8>) {
        let p: [u8; 9] = std::array::from_fn(|index| self.parameter(index));
        let (drive, head) = (usize::from(p[1] & 3), p[1] >> 2 & 1);
        let mut transfer = Transfer {
            operation,
            drive: drive as u8,
            head,
            c: p[2],
            h: p[3],
            r: p[4],
            n: p[5],
            eot: p[6],
            multi_track: p[0] & 0x80 != 0,
            skip: p[0] & 0x20 != 0,
            mfm: p[0] & 0x40 != 0,
            count: p[8],
            enable_count: p[1] & 0x80 != 0,
            filler: 0,
            done: 0,
            buffer: Vec::new(),
            position: 0,
            filled: false,
            st1: 0,
            st2: 0,
            ending: None,
        };
        if operation == Operation::Format {
            let cylinder = self.cylinder(drive);
            (transfer.n, transfer.count, transfer.filler) = (p[2], p[3], p[5]);
            (transfer.c, transfer.h, transfer.r) = (cylinder, head, 1);
        } else if operation == Operation::ReadTrack {
            transfer.multi_track = false;
        }
        if operation.has_address() {
            self.state.last_eot = p[6];
        }
        let mut delay = SECTOR_NS;
        if let Some(cylinder) = seek_to {
            let track = self.drive(drive).map_or(cylinder, |drive| drive.track_of(cylinder));
            delay += STEP_NS * u64::from(self.state.drives[drive].track.abs_diff(track));
            self.arrive(drive, track);
        }
        self.state.phase = Phase::Execution;
        if !self.readable(&transfer) {
            delay = NO_DISK_NS;
        } else if operation.takes_host_data() && self.non_dma() && !self.protected(drive, operation) {
            self.ask_host(&mut transfer);
        }
        let wait_for_host = self.state.phase == Phase::Out;
        self.state.transfer = Some(transfer);
        if wait_for_host {
            self.state.interrupt = true;
            self.update_line(ctx);
        } else {
            ctx.schedule_ns(TAG_SECTOR, delay);
        }
    }

    /// The cylinder under the heads of a drive.
    fn cylinder(&self, drive: usize) -> u8 {
        let track = self.state.drives[drive & 3].track;
        self.drive(drive).map_or(0, |drive| drive.cylinder(track))
    }

    fn protected(&self, drive: usize, operation: Operation) -> bool {
        operation.writes()
            && self.drive(drive).and_then(|drive| drive.disk()).is_some_and(|disk| disk.image.write_protected())
    }

    /// Whether address marks come by: a turning disk, the right density and data rate, MFM.
    fn readable(&self, transfer: &Transfer) -> bool {
        let number = usize::from(transfer.drive);
        let Some(drive) = self.drive(number) else { return false };
        let Some(disk) = drive.disk() else { return false };
        let side = transfer.head < disk.format.heads;
        let on_disk = drive.cylinder(self.state.drives[number].track) < disk.format.cylinders;
        // Bochs's BIOS never chooses a data rate: until software does, any disk's is right.
        let rate = !self.state.rate_chosen || drive.kind().data_rate(disk.format) == self.state.dsr & 3;
        self.motor_on(number) && transfer.mfm && rate && side && on_disk
    }

    fn ask_host(&mut self, transfer: &mut Transfer) {
        let length = if transfer.operation == Operation::Format { 4 } else { SECTOR_SIZE };
        transfer.buffer = vec![0; length];
        transfer.position = 0;
        transfer.filled = false;
        self.state.phase = Phase::Out;
    }

    /// Whether the host's access to the FIFO would have had to wait for the sector under the head: a write for the next
    /// one that it fills, a read for its data or the command's end.
    pub(super) fn awaited(&self, write: bool) -> bool {
        let Some(transfer) = &self.state.transfer else { return false };
        !write || self.non_dma() && transfer.operation.takes_host_data()
    }

    /// A FIFO read in non-DMA mode.
    pub(super) fn host_reads(&mut self, ctx: &mut Ctx) -> u8 {
        let Some(transfer) = &mut self.state.transfer else { return 0 };
        let byte = transfer.buffer.get(transfer.position).copied().unwrap_or(0);
        transfer.position += 1;
        if transfer.position >= transfer.buffer.len() {
            transfer.buffer.clear();
            self.state.interrupt = false;
            self.state.phase = Phase::Execution;
            self.update_line(ctx);
            ctx.schedule_ns(TAG_SECTOR, SECTOR_NS);
        }
        byte
    }

    /// A FIFO write in non-DMA mode.
    pub(super) fn host_writes(&mut self, ctx: &mut Ctx, value: u8) {
        let Some(transfer) = &mut self.state.transfer else { return };
        if let Some(place) = transfer.buffer.get_mut(transfer.position) {
            *place = value;
        }
        transfer.position += 1;
        if transfer.position >= transfer.buffer.len() {
            transfer.filled = true;
            self.state.interrupt = false;
            self.state.phase = Phase::Execution;
            self.update_line(ctx);
            ctx.schedule_ns(TAG_SECTOR, SECTOR_NS);
        }
    }

    /// A sector has passed under the head.
    pub(super) fn sector(&mut self, ctx: &mut Ctx) {
        let Some(mut transfer) = self.state.transfer.take() else { return };
        match self.one_sector(ctx, &mut transfer) {
            Next::Sector => {
                let waits_for_host = match self.state.phase {
                    Phase::In => true,
                    _ if transfer.operation.takes_host_data() && self.non_dma() => {
                        self.ask_host(&mut transfer);
                        true
                    }
                    _ => false,
                };
                self.state.transfer = Some(transfer);
                if waits_for_host {
                    self.state.interrupt = true;
                    self.update_line(ctx);
                } else {
                    ctx.schedule_ns(TAG_SECTOR, SECTOR_NS);
                }
            }
            Next::End { abnormal } => {
                let status = if abnormal { st0::ABNORMAL } else { 0 } | transfer.head << 2 | transfer.drive;
                let Transfer { st1, st2, c, h, r, n, .. } = transfer;
                self.finish(ctx, &[status, st1, st2, c, h, r, n], true);
            }
        }
    }

    fn fail(transfer: &mut Transfer, st1: u8, st2: u8) -> Next {
        transfer.st1 |= st1;
        transfer.st2 |= st2;
        Next::End { abnormal: true }
    }

    fn one_sector(&mut self, ctx: &mut Ctx, transfer: &mut Transfer) -> Next {
        if let Some(abnormal) = transfer.ending {
            return Next::End { abnormal };
        }
        if !self.readable(transfer) {
            return Self::fail(transfer, st1::MISSING_ADDRESS_MARK, 0);
        }
        if self.protected(usize::from(transfer.drive), transfer.operation) {
            return Self::fail(transfer, st1::NOT_WRITABLE, 0);
        }
        match transfer.operation {
            Operation::ReadId => self.read_id(ctx, transfer),
            Operation::Format => self.format_sector(ctx, transfer),
            _ => match self.find(transfer) {
                Ok(sector) => self.move_sector(ctx, transfer, sector),
                Err((st1, st2)) => Self::fail(transfer, st1, st2),
            },
        }
    }

    /// The next address mark: sectors pass in order as time goes on.
    fn read_id(&mut self, ctx: &mut Ctx, transfer: &mut Transfer) -> Next {
        let drive = usize::from(transfer.drive);
        let sectors = self.drive(drive).and_then(|drive| drive.format()).map_or(1, |format| format.sectors);
        let passed = ctx.ticks(1_000_000_000 / SECTOR_NS);
        (transfer.c, transfer.h) = (self.cylinder(drive), transfer.head);
        (transfer.r, transfer.n) = ((passed % u64::from(sectors)) as u8 + 1, SIZE_CODE);
        Next::End { abnormal: false }
    }

    /// The sector of the image that matches the address, or ST1 and ST2.
    fn find(&self, transfer: &mut Transfer) -> Result<u64, (u8, u8)> {
        let number = usize::from(transfer.drive);
        let format = self.drive(number).and_then(|drive| drive.format()).ok_or((st1::MISSING_ADDRESS_MARK, 0))?;
        let cylinder = self.cylinder(number);
        if transfer.operation == Operation::ReadTrack {
            // Sectors as they come from the index hole; an address that differs is only noted.
            let record = (transfer.done % u32::from(format.sectors)) as u8 + 1;
            if (transfer.c, transfer.h, transfer.r, transfer.n) != (cylinder, transfer.head, record, SIZE_CODE) {
                transfer.st1 |= st1::NO_DATA;
            }
            return format.sector_of(cylinder, transfer.head, record).ok_or((st1::NO_DATA, 0));
        }
        if transfer.c != cylinder {
            let st2 = if transfer.c == 0xFF { st2::BAD_CYLINDER } else { st2::WRONG_CYLINDER };
            return Err((st1::NO_DATA, st2));
        }
        if transfer.h != transfer.head || transfer.n != SIZE_CODE {
            return Err((st1::NO_DATA, 0));
        }
        format.sector_of(cylinder, transfer.head, transfer.r).ok_or((st1::NO_DATA, 0))
    }

    fn read_image(&mut self, transfer: &Transfer, sector: u64, data: &mut [u8]) -> Result<(), (u8, u8)> {
        let image = self.drive_mut(usize::from(transfer.drive)).and_then(|drive| drive.image());
        let unreadable = (st1::DATA_ERROR, st2::DATA_ERROR);
        image.ok_or(unreadable)?.read(sector, data).map_err(|_| unreadable)
    }

    fn write_image(&mut self, transfer: &Transfer, sector: u64, data: &[u8]) -> Result<(), (u8, u8)> {
        let image = self.drive_mut(usize::from(transfer.drive)).and_then(|drive| drive.image());
        let unreadable = (st1::DATA_ERROR, st2::DATA_ERROR);
        image.ok_or(unreadable)?.write(sector, data).map_err(|error| match error {
            AccessError::WriteProtected { .. } => (st1::NOT_WRITABLE, 0),
            _ => unreadable,
        })
    }

    /// Moves one sector between the image and the host.
    fn move_sector(&mut self, ctx: &mut Ctx, transfer: &mut Transfer, sector: u64) -> Next {
        let mut data = vec![0; SECTOR_SIZE];
        // Images have no deleted-data marks, so READ DELETED DATA meets the other kind everywhere: it skips the
        // sector, or moves it and ends.
        let other_mark = transfer.operation == Operation::ReadDeleted;
        if other_mark && transfer.skip {
            return self.next_sector(transfer, false);
        }
        let outcome = match transfer.operation {
            Operation::Read | Operation::ReadDeleted | Operation::ReadTrack => {
                if let Err((st1, st2)) = self.read_image(transfer, sector, &mut data) {
                    return Self::fail(transfer, st1, st2);
                }
                self.give(ctx, transfer, data)
            }
            Operation::Verify => {
                if let Err((st1, st2)) = self.read_image(transfer, sector, &mut data) {
                    return Self::fail(transfer, st1, st2);
                }
                let last = transfer.enable_count && transfer.done + 1 >= u32::from(transfer.count.max(1));
                Ok(last || !transfer.enable_count && self.ends_cylinder(transfer))
            }
            Operation::Write | Operation::WriteDeleted => self.take(ctx, transfer, &mut data).and_then(|last| {
                if transfer.operation == Operation::WriteDeleted
                    && !std::mem::replace(&mut self.deleted_mark_logged, true)
                {
                    log::error!(target: "disk", "floppy: WRITE DELETED DATA writes normal data, a raw image has no deleted marks (82077AA, WRITE DELETED DATA)");
                }
                self.write_image(transfer, sector, &data)?;
                Ok(last)
            }),
            Operation::Scan(scan) => return self.scan_sector(ctx, transfer, sector, scan),
            Operation::ReadId | Operation::Format => Ok(true),
        };
        match outcome {
            Err((st1, st2)) => Self::fail(transfer, st1, st2),
            Ok(_) if other_mark => {
                transfer.st2 |= st2::CONTROL_MARK;
                self.next_sector(transfer, true)
            }
            Ok(last) => self.next_sector(transfer, last),
        }
    }

    /// Hands a sector to the host; tells whether it wants no more.
    fn give(&mut self, ctx: &mut Ctx, transfer: &mut Transfer, data: Vec<u8>) -> Result<bool, (u8, u8)> {
        if self.non_dma() {
            transfer.buffer = data;
            transfer.position = 0;
            self.state.phase = Phase::In;
            return Ok(false);
        }
        let progress = ctx.dma.to_memory(&mut *ctx.memory, DMA_CHANNEL, &data);
        match progress.terminal_count || progress.bytes == data.len() {
            true => Ok(progress.terminal_count),
            false => Err((st1::OVERRUN, 0)),
        }
    }

    /// Takes a sector from the host; terminal count inside it leaves zeros behind. Tells whether it has no more.
    fn take(&mut self, ctx: &mut Ctx, transfer: &mut Transfer, data: &mut [u8]) -> Result<bool, (u8, u8)> {
        if self.non_dma() {
            for (place, byte) in data.iter_mut().zip(std::mem::take(&mut transfer.buffer)) {
                *place = byte;
            }
            return Ok(false);
        }
        let progress = ctx.dma.from_memory(&mut *ctx.memory, DMA_CHANNEL, data);
        let moved = progress.bytes.min(data.len());
        data[moved..].fill(0);
        match progress.terminal_count || progress.bytes == data.len() {
            true => Ok(progress.terminal_count),
            false => Err((st1::OVERRUN, 0)),
        }
    }

    fn scan_sector(&mut self, ctx: &mut Ctx, transfer: &mut Transfer, sector: u64, scan: Scan) -> Next {
        let (mut disk, mut host) = (vec![0; SECTOR_SIZE], vec![0; SECTOR_SIZE]);
        let last = match self.read_image(transfer, sector, &mut disk).and_then(|()| self.take(ctx, transfer, &mut host))
        {
            Ok(last) => last,
            Err((st1, st2)) => return Self::fail(transfer, st1, st2),
        };
        // FFh on either side matches anything.
        let pairs = || disk.iter().zip(&host).filter(|(disk, host)| **disk != 0xFF && **host != 0xFF);
        let equal = pairs().all(|(disk, host)| disk == host);
        let satisfied = match scan {
            Scan::Equal => equal,
            Scan::LowOrEqual => pairs().all(|(disk, host)| disk <= host),
            Scan::HighOrEqual => pairs().all(|(disk, host)| disk >= host),
        };
        transfer.st2 &= !(st2::SCAN_EQUAL | st2::SCAN_NOT_SATISFIED);
        if satisfied {
            transfer.st2 |= if equal { st2::SCAN_EQUAL } else { 0 };
            return Next::End { abnormal: false };
        }
        transfer.st2 |= st2::SCAN_NOT_SATISFIED;
        if last || transfer.r >= transfer.eot {
            return Next::End { abnormal: false };
        }
        transfer.r = transfer.r.saturating_add(transfer.count.saturating_sub(1));
        self.next_sector(transfer, false)
    }

    /// Whether the sector just done is the last one that the command may reach.
    fn ends_cylinder(&self, transfer: &Transfer) -> bool {
        transfer.r == transfer.eot && (!transfer.multi_track || transfer.head == 1)
    }

    /// Steps the address behind a finished sector ("Result Phase Table"); `last` ends the command normally.
    fn next_sector(&mut self, transfer: &mut Transfer, last: bool) -> Next {
        transfer.done += 1;
        if transfer.operation == Operation::ReadTrack {
            if last || transfer.done >= u32::from(transfer.eot) {
                transfer.st1 |= if last { 0 } else { st1::END_OF_CYLINDER };
                return self.end(transfer, !last);
            }
            transfer.r = transfer.r.wrapping_add(1);
            return Next::Sector;
        }
        let number = usize::from(transfer.drive);
        let sectors = self.drive(number).and_then(|drive| drive.format()).map_or(u8::MAX, |format| format.sectors);
        if !last && transfer.multi_track && transfer.r == sectors && transfer.eot > sectors {
            // A real controller finds no sector behind the track's last and fails. QEMU's goes on with the next track,
            // and SeaBIOS reads across tracks and cylinders by an EOT beyond the end.
            transfer.r = 1;
            if transfer.head == 1 {
                transfer.c = transfer.c.wrapping_add(1);
                let track = self.drive(number).map_or(transfer.c, |drive| drive.track_of(transfer.c));
                self.arrive(number, track);
            }
            transfer.head ^= 1;
            transfer.h = transfer.head;
            return Next::Sector;
        }
        let ends = self.ends_cylinder(transfer);
        if transfer.r != transfer.eot {
            transfer.r = transfer.r.wrapping_add(1);
        } else {
            transfer.r = 1;
            if transfer.multi_track {
                transfer.h ^= 1;
            }
            if ends {
                transfer.c = transfer.c.wrapping_add(1);
            } else if !last {
                transfer.head = 1;
            }
        }
        if last {
            return self.end(transfer, false);
        }
        if ends {
            transfer.st1 |= st1::END_OF_CYLINDER;
            return self.end(transfer, true);
        }
        Next::Sector
    }

    /// The end of the command. In non-DMA mode the host first reads the sector that lies in the FIFO.
    fn end(&self, transfer: &mut Transfer, abnormal: bool) -> Next {
        if self.state.phase == Phase::In {
            transfer.ending = Some(abnormal);
            return Next::Sector;
        }
        Next::End { abnormal }
    }

    /// Formats the next sector: the host names it, the filler goes into it.
    fn format_sector(&mut self, ctx: &mut Ctx, transfer: &mut Transfer) -> Next {
        let mut id = [0; 4];
        let mut terminal_count = false;
        if self.non_dma() {
            for (place, byte) in id.iter_mut().zip(std::mem::take(&mut transfer.buffer)) {
                *place = byte;
            }
        } else {
            let progress = ctx.dma.from_memory(&mut *ctx.memory, DMA_CHANNEL, &mut id);
            terminal_count = progress.terminal_count;
            if progress.bytes < id.len() {
                return Self::fail(transfer, st1::OVERRUN, 0);
            }
        }
        let [c, h, r, n] = id;
        let number = usize::from(transfer.drive);
        let format = self.drive(number).and_then(|drive| drive.format());
        let fits = (c, h, n, transfer.n) == (self.cylinder(number), transfer.head, SIZE_CODE, SIZE_CODE);
        match format.and_then(|format| format.sector_of(c, h, r)).filter(|_| fits) {
            Some(sector) => {
                if let Err((st1, st2)) = self.write_image(transfer, sector, &[transfer.filler; SECTOR_SIZE]) {
                    return Self::fail(transfer, st1, st2);
                }
            }
            None if !std::mem::replace(&mut self.format_logged, true) => {
                log::error!(target: "disk", "floppy: FORMAT TRACK asks for sector {c}/{h}/{r} size {n}, which a raw image of this size has not; it is left out (82077AA, FORMAT TRACK)"
                );
            }
            None => {}
        }
        (transfer.c, transfer.h, transfer.r) = (c, h, r);
        transfer.done += 1;
        if terminal_count || transfer.done >= u32::from(transfer.count) {
            Next::End { abnormal: false }
        } else {
            Next::Sector
        }
    }
}
