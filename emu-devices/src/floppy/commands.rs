//! The command phase, and the commands that move no data (82077AA data sheet, "Command Set/Descriptions").

use super::transfer::{Operation, Scan};
use super::{Ctx, Floppy, SETTLE_NS, STEP_NS, TAG_SEEK};

/// CONFIGURE after a reset: FIFO off, polling on, no implied seek.
pub(super) const CONFIGURE_DEFAULT: [u8; 2] = [0x20, 0x00];
const IMPLIED_SEEK: u8 = 0x40;

/// ST0: abnormal end, seek end, equipment check, invalid command.
pub(super) mod st0 {
    pub const ABNORMAL: u8 = 0x40;
    pub const INVALID: u8 = 0x80;
    pub const SEEK_END: u8 = 0x20;
    pub const EQUIPMENT_CHECK: u8 = 0x10;
}

/// What a command byte means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Specify,
    SenseDriveStatus,
    Recalibrate,
    SenseInterrupt,
    DumpRegisters,
    Seek,
    RelativeSeek,
    Version,
    Perpendicular,
    Configure,
    Lock,
    Data(Operation),
}

/// The command and how many bytes it has; `None` for an invalid one. The 82077AA has no PART ID, SAVE and OPTION.
fn decode(code: u8) -> Option<(Command, usize)> {
    use Command::*;
    // Modifier bits: multi-track 80h, MFM 40h, skip 20h.
    Some(match (code & 0x1F, code & 0xE0) {
        (0x02, 0x00..=0x60) => (Data(Operation::ReadTrack), 9),
        (0x03, 0) => (Specify, 3),
        (0x04, 0) => (SenseDriveStatus, 2),
        (0x05, 0x00 | 0x40 | 0x80 | 0xC0) => (Data(Operation::Write), 9),
        (0x06, _) => (Data(Operation::Read), 9),
        (0x07, 0) => (Recalibrate, 2),
        (0x08, 0) => (SenseInterrupt, 1),
        (0x09, 0x00 | 0x40 | 0x80 | 0xC0) => (Data(Operation::WriteDeleted), 9),
        (0x0A, 0x00 | 0x40) => (Data(Operation::ReadId), 2),
        (0x0C, _) => (Data(Operation::ReadDeleted), 9),
        (0x0D, 0x00 | 0x40) => (Data(Operation::Format), 6),
        (0x0E, 0) => (DumpRegisters, 1),
        (0x0F, 0) => (Seek, 3),
        (0x0F, 0x80 | 0xC0) => (RelativeSeek, 3),
        (0x10, 0) => (Version, 1),
        (0x11, _) => (Data(Operation::Scan(Scan::Equal)), 9),
        (0x12, 0) => (Perpendicular, 2),
        (0x13, 0) => (Configure, 4),
        (0x14, 0 | 0x80) => (Lock, 1),
        (0x16, _) => (Data(Operation::Verify), 9),
        (0x19, _) => (Data(Operation::Scan(Scan::LowOrEqual)), 9),
        (0x1D, _) => (Data(Operation::Scan(Scan::HighOrEqual)), 9),
        _ => return None,
    })
}

/// What the data sheet calls a command, for the log.
pub(super) fn name(code: u8) -> &'static str {
    match decode(code).map(|(command, _)| command) {
        None => "INVALID",
        Some(Command::Specify) => "SPECIFY",
        Some(Command::SenseDriveStatus) => "SENSE DRIVE STATUS",
        Some(Command::Recalibrate) => "RECALIBRATE",
        Some(Command::SenseInterrupt) => "SENSE INTERRUPT STATUS",
        Some(Command::DumpRegisters) => "DUMPREG",
        Some(Command::Seek) => "SEEK",
        Some(Command::RelativeSeek) => "RELATIVE SEEK",
        Some(Command::Version) => "VERSION",
        Some(Command::Perpendicular) => "PERPENDICULAR MODE",
        Some(Command::Configure) => "CONFIGURE",
        Some(Command::Lock) => "LOCK",
        Some(Command::Data(operation)) => match operation {
            Operation::ReadTrack => "READ TRACK",
            Operation::Write => "WRITE DATA",
            Operation::Read => "READ DATA",
            Operation::WriteDeleted => "WRITE DELETED DATA",
            Operation::ReadId => "READ ID",
            Operation::ReadDeleted => "READ DELETED DATA",
            Operation::Format => "FORMAT TRACK",
            Operation::Verify => "VERIFY",
            Operation::Scan(Scan::Equal) => "SCAN EQUAL",
            Operation::Scan(Scan::LowOrEqual) => "SCAN LOW OR EQUAL",
            Operation::Scan(Scan::HighOrEqual) => "SCAN HIGH OR EQUAL",
        },
    }
}

impl Floppy {
    /// A byte in the command phase.
    pub(super) fn command_byte(&mut self, ctx: &mut Ctx, value: u8) {
        self.state.command.push(value);
        let Some(&code) = self.state.command.first() else { return };
        match decode(code) {
            None => self.finish(ctx, &[st0::INVALID], false),
            Some((command, length)) if self.state.command.len() >= length => self.execute(ctx, command),
            Some(_) => {}
        }
    }

    pub(super) fn parameter(&self, index: usize) -> u8 {
        self.state.command.get(index).copied().unwrap_or(0)
    }

    fn execute(&mut self, ctx: &mut Ctx, command: Command) {
        let [code, first, second, third] = [0, 1, 2, 3].map(|index| self.parameter(index));
        let drive = usize::from(first & 3);
        match command {
            Command::Specify => {
                self.state.specify = [first, second];
                self.finish(ctx, &[], false);
            }
            Command::SenseDriveStatus => {
                let status = self.drive_status(first);
                self.finish(ctx, &[status], false);
            }
            Command::SenseInterrupt => self.sense_interrupt(ctx),
            Command::Recalibrate => {
                self.finish(ctx, &[], false);
                self.seek(ctx, drive, 0, 0, true);
            }
            Command::Seek => {
                self.state.seek_sent = true;
                self.finish(ctx, &[], false);
                self.seek(ctx, drive, second, first & 4, false);
            }
            Command::RelativeSeek => {
                self.finish(ctx, &[], false);
                let present = self.state.drives[drive].present_cylinder;
                let inwards = code & 0x40 != 0;
                let target = if inwards { present.saturating_add(second) } else { present.saturating_sub(second) };
                self.seek(ctx, drive, target, first & 4, false);
            }
            Command::Version => self.finish(ctx, &[0x90], false),
            Command::Perpendicular => {
                const OVERWRITE: u8 = 0x80;
                // Without OW only GAP and WGATE are taken.
                let kept = if first & OVERWRITE != 0 { 0 } else { self.state.perpendicular & 0x3C };
                let taken = if first & OVERWRITE != 0 { first & 0x3F } else { first & 0x03 };
                self.state.perpendicular = kept | taken;
                self.finish(ctx, &[], false);
            }
            Command::Configure => {
                self.state.configure = [second & 0x7F, third];
                self.finish(ctx, &[], false);
            }
            Command::Lock => {
                self.state.lock = code & 0x80 != 0;
                self.finish(ctx, &[u8::from(self.state.lock) << 4], false);
            }
            Command::DumpRegisters => {
                let cylinders = [0, 1, 2, 3].map(|drive| self.state.drives[drive].present_cylinder);
                let [configure, precompensation] = self.state.configure;
                let [specify_1, specify_2] = self.state.specify;
                let lock = u8::from(self.state.lock) << 7 | self.state.perpendicular;
                let [a, b, c, d] = cylinders;
                let rest = [specify_1, specify_2, self.state.last_eot, lock, configure, precompensation];
                self.finish(ctx, &[&[a, b, c, d], &rest[..]].concat(), false);
            }
            Command::Data(operation) => {
                if self.state.drives[drive].seek.is_some() {
                    self.end_seek_early(ctx, drive);
                }
                // Bochs's BIOS never sends SEEK: until software does, data commands move the head.
                let implied = self.state.configure[0] & IMPLIED_SEEK != 0 || !self.state.seek_sent;
                self.begin_transfer(ctx, operation, (implied && operation.has_address()).then_some(second));
            }
        }
    }

    /// ST3 of the drive and head that a command's second byte selects.
    fn drive_status(&self, selection: u8) -> u8 {
        const READY_AND_TWO_SIDES: u8 = 0x28;
        let drive = usize::from(selection & 3);
        let present = self.drive(drive);
        let protected = present.and_then(|drive| drive.disk()).is_some_and(|disk| disk.image.write_protected());
        let track_0 = present.is_some() && self.state.drives[drive].track == 0;
        READY_AND_TWO_SIDES | u8::from(protected) << 6 | u8::from(track_0) << 4 | selection & 7
    }

    /// The host does not wait for the end of a seek.
    fn end_seek_early(&mut self, ctx: &mut Ctx, drive: usize) {
        ctx.cancel(TAG_SEEK + drive as u32);
        self.seek_done(ctx, drive);
    }

    fn sense_interrupt(&mut self, ctx: &mut Ctx) {
        let drives = &self.state.drives;
        if drives.iter().all(|drive| drive.sense.is_none())
            && let Some(drive) = drives.iter().position(|drive| drive.seek.is_some())
        {
            self.end_seek_early(ctx, drive);
        }
        let pending = self.state.drives.iter_mut().find(|drive| drive.sense.is_some());
        match pending.and_then(|drive| drive.sense.take().map(|status| (status, drive.present_cylinder))) {
            Some((status, cylinder)) => {
                self.state.interrupt = false;
                self.finish(ctx, &[status, cylinder], false);
            }
            None => self.finish(ctx, &[st0::INVALID], false),
        }
    }

    /// Moves a head; `head` is the head bit that ST0 will show.
    fn seek(&mut self, ctx: &mut Ctx, drive: usize, target: u8, head: u8, recalibrate: bool) {
        let mut status = st0::SEEK_END | head | drive as u8;
        let here = self.state.drives[drive].track;
        let steps = match self.drive(drive) {
            Some(_) => here.abs_diff(target),
            // Without a drive track 0 never shows: 79 steps are made in vain.
            None => {
                if recalibrate {
                    status |= st0::ABNORMAL | st0::EQUIPMENT_CHECK;
                }
                79
            }
        };
        self.state.drives[drive].seek = Some((target, status));
        ctx.schedule_ns(TAG_SEEK + drive as u32, SETTLE_NS + STEP_NS * u64::from(steps));
    }

    /// Puts the head of a drive on a track.
    pub(super) fn arrive(&mut self, drive: usize, track: u8) {
        let last = self.drive(drive).map_or(0, |drive| drive.kind().tracks() + 2);
        let disk = self.drive(drive).is_some_and(|drive| drive.disk().is_some());
        let state = &mut self.state.drives[drive];
        state.track = track.min(last);
        state.present_cylinder = track;
        // A step pulse clears the change line, if there is a disk.
        if disk {
            state.disk_change = false;
        }
    }

    /// A seek has come to its end.
    pub(super) fn seek_done(&mut self, ctx: &mut Ctx, drive: usize) {
        if let Some((track, status)) = self.state.drives[drive].seek.take() {
            self.arrive(drive, track);
            self.state.drives[drive].sense = Some(status);
            self.state.interrupt = true;
            self.update_line(ctx);
        }
    }
}
