//! The commands of hard disks (ATA/ATAPI-6, chapter 8).

use super::AtaDrive;
use super::bus_master::Engine;
use super::drive::{Deep, Drive, Phase, error, status};
use super::identify;
use crate::disk::{AccessError, DiskImage, Geometry, SECTOR_SIZE};

/// Sectors that one DRQ block of READ/WRITE MULTIPLE may have.
pub(super) const MAX_MULTIPLE: u8 = 16;
const DEVICE_LBA: u8 = 0x40;

/// Whether a command begins with data from the host.
pub(super) fn is_write(code: u8) -> bool {
    matches!(code, 0x30 | 0x31 | 0x34 | 0x39 | 0xC5 | 0xE8 | 0xA0)
}

/// What ATA/ATAPI-6 calls a command, for the log.
pub(super) fn name(code: u8) -> &'static str {
    match code {
        0x08 => "DEVICE RESET",
        0x10..=0x1F => "RECALIBRATE",
        0x20 | 0x21 => "READ SECTOR(S)",
        0x24 => "READ SECTOR(S) EXT",
        0x25 => "READ DMA EXT",
        0x27 => "READ NATIVE MAX ADDRESS EXT",
        0x29 => "READ MULTIPLE EXT",
        0x30 | 0x31 => "WRITE SECTOR(S)",
        0x34 => "WRITE SECTOR(S) EXT",
        0x35 => "WRITE DMA EXT",
        0x39 => "WRITE MULTIPLE EXT",
        0x40 | 0x41 => "READ VERIFY SECTOR(S)",
        0x42 => "READ VERIFY SECTOR(S) EXT",
        0x70..=0x7F => "SEEK",
        0x90 => "EXECUTE DEVICE DIAGNOSTIC",
        0x91 => "INITIALIZE DEVICE PARAMETERS",
        0x94 | 0xE0 => "STANDBY IMMEDIATE",
        0x95 | 0xE1 => "IDLE IMMEDIATE",
        0x96 | 0xE2 => "STANDBY",
        0x97 | 0xE3 => "IDLE",
        0x98 | 0xE5 => "CHECK POWER MODE",
        0x99 | 0xE6 => "SLEEP",
        0xA0 => "PACKET",
        0xA1 => "IDENTIFY PACKET DEVICE",
        0xC4 => "READ MULTIPLE",
        0xC5 => "WRITE MULTIPLE",
        0xC6 => "SET MULTIPLE MODE",
        0xC8 | 0xC9 => "READ DMA",
        0xCA | 0xCB => "WRITE DMA",
        0xE4 => "READ BUFFER",
        0xE7 => "FLUSH CACHE",
        0xE8 => "WRITE BUFFER",
        0xEA => "FLUSH CACHE EXT",
        0xEC => "IDENTIFY DEVICE",
        0xEF => "SET FEATURES",
        0xF8 => "READ NATIVE MAX ADDRESS",
        _ => "no command of this drive",
    }
}

/// How a command moves sectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadSectors,
    ReadMultiple,
    ReadDma,
    WriteSectors,
    WriteMultiple,
    WriteDma,
    Verify,
}

/// The access and whether it is a 48-bit command.
fn access_of(code: u8) -> Option<(Access, bool)> {
    use Access::*;
    Some(match code {
        0x20 | 0x21 => (ReadSectors, false),
        0x24 => (ReadSectors, true),
        0xC4 => (ReadMultiple, false),
        0x29 => (ReadMultiple, true),
        0xC8 | 0xC9 => (ReadDma, false),
        0x25 => (ReadDma, true),
        0x30 | 0x31 => (WriteSectors, false),
        0x34 => (WriteSectors, true),
        0xC5 => (WriteMultiple, false),
        0x39 => (WriteMultiple, true),
        0xCA | 0xCB => (WriteDma, false),
        0x35 => (WriteDma, true),
        0x40 | 0x41 => (Verify, false),
        0x42 => (Verify, true),
        _ => return None,
    })
}

impl Drive<'_> {
    pub(super) fn geometry(&self) -> Option<Geometry> {
        match &*self.media {
            AtaDrive::HardDisk { image, geometry, .. } => {
                Some(geometry.unwrap_or(Geometry::of_sectors(image.sectors())))
            }
            AtaDrive::Cdrom { .. } => None,
        }
    }

    fn disk(&mut self) -> Option<&mut DiskImage> {
        match &mut *self.media {
            AtaDrive::HardDisk { image, .. } => Some(image),
            AtaDrive::Cdrom { .. } => None,
        }
    }

    fn total_sectors(&mut self) -> u64 {
        self.disk().map_or(0, |image| image.sectors())
    }

    /// Carries out a command.
    pub(super) fn execute(&mut self, code: u8) {
        if self.is_packet() {
            return self.execute_packet_device(code);
        }
        if let Some((access, extended)) = access_of(code) {
            return self.transfer(access, extended);
        }
        match code {
            0x10..=0x1F => self.complete(), // RECALIBRATE
            0x70..=0x7F => match self.address(false) {
                Some(lba) if lba < self.total_sectors() => self.complete(), // SEEK
                _ => self.fail(error::IDNF),
            },
            0x90 => {
                self.signature();
                self.complete();
                self.state.error = 1;
            }
            0x91 => self.initialize_device_parameters(),
            0xC6 => self.set_multiple_mode(),
            // STANDBY (IMMEDIATE), SLEEP and IDLE (IMMEDIATE) in their two codes.
            0xE0 | 0xE2 | 0xE6 | 0x94 | 0x96 | 0x99 => self.power(true),
            0xE1 | 0xE3 | 0x95 | 0x97 => self.power(false),
            0xE5 | 0x98 => {
                self.state.count.set(if self.state.standby { 0 } else { 0xFF });
                self.complete();
            }
            0xE4 => {
                let mut data = self.state.host_buffer.clone();
                data.resize(SECTOR_SIZE, 0);
                self.state.remaining = 0;
                self.offer(data);
            }
            0xE8 => self.ask(SECTOR_SIZE, false),
            0xE7 | 0xEA => self.complete(), // FLUSH CACHE: the host's file has every sector already.
            0xEC => {
                let data = identify::hard_disk(self);
                self.state.remaining = 0;
                self.offer(data);
            }
            0xEF => self.set_features(),
            0xF8 => self.read_native_max(false),
            0x27 => self.read_native_max(true),
            // NOP aborts by definition; SMART and security are not offered (IDENTIFY word 82); the rest is unknown.
            _ => self.fail(error::ABRT),
        }
    }

    fn power(&mut self, standby: bool) {
        self.state.standby = standby;
        self.complete();
    }

    fn initialize_device_parameters(&mut self) {
        let (sectors, heads) = (self.state.count.current, (self.state.device & 0x0F) + 1);
        if sectors == 0 || sectors > 63 {
            return self.fail(error::ABRT);
        }
        self.state.sectors_per_track = sectors;
        self.state.heads = heads;
        self.complete();
    }

    fn set_multiple_mode(&mut self) {
        let count = self.state.count.current;
        if count > MAX_MULTIPLE || !(count == 0 || count.is_power_of_two()) {
            self.state.multiple = 0;
            return self.fail(error::ABRT);
        }
        self.state.multiple = count;
        self.complete();
    }

    fn set_features(&mut self) {
        match self.state.features.current {
            0x03 => {
                let mode = self.state.count.current;
                match mode {
                    0x00 | 0x01 | 0x08..=0x0C => {}
                    0x20..=0x22 | 0x40..=0x42 => self.state.transfer_mode = mode,
                    _ => return self.fail(error::ABRT),
                }
            }
            0x02 => self.state.write_cache = true,
            0x82 => self.state.write_cache = false,
            0xAA => self.state.look_ahead = true,
            0x55 => self.state.look_ahead = false,
            0x66 | 0xCC => {} // Keep or restore settings over a software reset: they are kept anyway.
            _ => return self.fail(error::ABRT),
        }
        self.complete();
    }

    fn read_native_max(&mut self, extended: bool) {
        let last = self.total_sectors().saturating_sub(1);
        let last = if extended { last } else { last.min(0x0FFF_FFFE) };
        self.state.device = self.state.device & 0xF0 | DEVICE_LBA;
        self.set_address(last, extended);
        self.complete();
    }

    /// The first sector that the task file names; `None` for a CHS address that the current translation has not.
    fn address(&self, extended: bool) -> Option<u64> {
        let state = &*self.state;
        let bytes = [state.low, state.mid, state.high];
        let low = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(byte.current));
        if extended {
            let high = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(byte.previous));
            return Some(high << 24 | low);
        }
        let head = state.device & 0x0F;
        if state.device & DEVICE_LBA != 0 {
            return Some(u64::from(head) << 24 | low);
        }
        let (heads, per_track) = (u64::from(state.heads), u64::from(state.sectors_per_track));
        let (cylinder, sector) = (low >> 8, low & 0xFF);
        let valid = sector >= 1 && sector <= per_track && u64::from(head) < heads;
        valid.then(|| (cylinder * heads + u64::from(head)) * per_track + sector - 1)
    }

    /// Writes a sector address back into the task file, in the form that the device register asks for.
    fn set_address(&mut self, lba: u64, extended: bool) {
        let state = &mut *self.state;
        if extended || state.device & DEVICE_LBA != 0 {
            let byte = |n: u32| (lba >> (8 * n)) as u8;
            let previous = |old: Deep, n| if extended { byte(n) } else { old.previous };
            state.low = Deep { current: byte(0), previous: previous(state.low, 3) };
            state.mid = Deep { current: byte(1), previous: previous(state.mid, 4) };
            state.high = Deep { current: byte(2), previous: previous(state.high, 5) };
            if !extended {
                state.device = state.device & 0xF0 | byte(3) & 0x0F;
            }
            return;
        }
        let (heads, per_track) = (u64::from(state.heads.max(1)), u64::from(state.sectors_per_track.max(1)));
        let (track, sector) = (lba / per_track, lba % per_track + 1);
        state.low.set(sector as u8);
        state.mid.set((track / heads) as u8);
        state.high.set(((track / heads) >> 8) as u8);
        state.device = state.device & 0xF0 | (track % heads) as u8;
    }

    fn transfer(&mut self, access: Access, extended: bool) {
        let state = &mut *self.state;
        state.standby = false;
        state.remaining = match (extended, state.count.current, state.count.previous) {
            (false, 0, _) => 0x100,
            (true, 0, 0) => 0x1_0000,
            (false, low, _) => u32::from(low),
            (true, low, high) => u32::from(high) << 8 | u32::from(low),
        };
        state.block = 1;
        if matches!(access, Access::ReadMultiple | Access::WriteMultiple) {
            if state.multiple == 0 {
                return self.fail(error::ABRT);
            }
            state.block = u32::from(state.multiple);
        }
        let total = self.total_sectors();
        // The address of the first sector that is not there goes back to the host when it comes to it.
        match self.address(extended) {
            Some(lba) if lba < total => self.state.lba = lba,
            _ => return self.fail(error::IDNF),
        }
        match access {
            Access::ReadSectors | Access::ReadMultiple => self.next_in(),
            Access::WriteSectors | Access::WriteMultiple => {
                self.ask(self.block_sectors() as usize * SECTOR_SIZE, false);
            }
            Access::ReadDma | Access::WriteDma => {
                self.state.phase = Phase::Dma;
                self.state.status = status::DRDY | status::DSC | status::DRQ;
            }
            Access::Verify => {
                let count = u64::from(self.state.remaining).min(total - self.state.lba);
                let all = count == u64::from(self.state.remaining);
                self.advance(count as u32, if all { 0 } else { error::IDNF });
            }
        }
    }

    fn block_sectors(&self) -> u32 {
        self.state.block.min(self.state.remaining)
    }

    fn extended(&self) -> bool {
        access_of(self.state.command).is_some_and(|(_, extended)| extended)
    }

    /// Accounts for `count` finished sectors in the task file. With an error the command ends at the sector behind them.
    fn advance(&mut self, count: u32, error: u8) {
        self.state.lba += u64::from(count);
        self.state.remaining = self.state.remaining.saturating_sub(count);
        let extended = self.extended();
        let left = self.state.remaining;
        self.state.count.set(left as u8);
        if extended {
            self.state.count.previous = (left >> 8) as u8;
        }
        // The task file holds the last good sector, or the first bad one.
        let shown = if error == 0 { self.state.lba.saturating_sub(1) } else { self.state.lba };
        self.set_address(shown, extended);
        if error != 0 {
            self.state.remaining = 0;
            self.fail(error);
        } else if left == 0 {
            self.complete();
        }
    }

    fn error_bits(error: &AccessError, bad_medium: u8) -> u8 {
        match error {
            AccessError::OutOfRange { .. } => error::IDNF,
            AccessError::WriteProtected { .. } => error::WP | error::ABRT,
            AccessError::Host { .. } => bad_medium,
        }
    }

    /// Reads up to `count` sectors at the transfer's place; the sectors before a failing one count.
    fn read_sectors(&mut self, count: u32) -> (Vec<u8>, u8) {
        let lba = self.state.lba;
        let Some(image) = self.disk() else { return (Vec::new(), error::ABRT) };
        let mut data = vec![0; count as usize * SECTOR_SIZE];
        if image.read(lba, &mut data).is_ok() {
            return (data, 0);
        }
        for (number, sector) in (0..).zip(data.chunks_exact_mut(SECTOR_SIZE)) {
            if let Err(problem) = image.read(lba + number, sector) {
                data.truncate(number as usize * SECTOR_SIZE);
                return (data, Self::error_bits(&problem, error::UNC));
            }
        }
        (data, 0)
    }

    /// Writes sectors at the transfer's place; returns how many went well and the error bits.
    fn write_sectors(&mut self, data: &[u8]) -> (u32, u8) {
        let lba = self.state.lba;
        let Some(image) = self.disk() else { return (0, error::ABRT) };
        for (number, sector) in (0..).zip(data.chunks_exact(SECTOR_SIZE)) {
            if let Err(problem) = image.write(lba + u64::from(number), sector) {
                return (number, Self::error_bits(&problem, error::ABRT));
            }
        }
        ((data.len() / SECTOR_SIZE) as u32, 0)
    }

    /// Fetches the next DRQ block for the host.
    pub(super) fn next_in(&mut self) {
        let (data, problem) = self.read_sectors(self.block_sectors());
        let count = (data.len() / SECTOR_SIZE) as u32;
        // Good sectors before a bad one go to the host first; the next block then begins with the bad one.
        let problem = if count > 0 { 0 } else { problem };
        self.advance(count, problem);
        if problem == 0 {
            self.offer(data);
        }
    }

    /// The host has sent a block.
    pub(super) fn block_out(&mut self) {
        let data = std::mem::take(&mut self.state.buffer);
        match self.state.command {
            0xE8 => {
                self.state.host_buffer = data;
                self.complete();
            }
            0xA0 => self.complete(),
            _ => {
                let (count, problem) = self.write_sectors(&data);
                self.advance(count, problem);
                if problem == 0 && self.state.remaining > 0 {
                    self.ask(self.block_sectors() as usize * SECTOR_SIZE, true);
                }
            }
        }
    }

    /// Moves the sectors of a DMA command through the bus master.
    pub(super) fn dma_transfer(&mut self, engine: &mut Engine) {
        if self.is_packet() {
            return self.packet_dma(engine);
        }
        let write = matches!(access_of(self.state.command), Some((Access::WriteDma, _)));
        if engine.to_memory() == write {
            return engine.stall("direction of the bus master and the command differ");
        }
        const CHUNK: u32 = 128;
        while self.state.remaining > 0 {
            let count = self.state.remaining.min(CHUNK);
            let (done, problem) = if write {
                let mut data = vec![0; count as usize * SECTOR_SIZE];
                let moved = engine.take(&mut data) / SECTOR_SIZE * SECTOR_SIZE;
                let (done, problem) = self.write_sectors(&data[..moved]);
                if problem == 0 && moved < data.len() {
                    self.state.lba += u64::from(done);
                    self.state.remaining -= done;
                    return engine.stall("the PRD table is shorter than the transfer");
                }
                (done, problem)
            } else {
                let (data, problem) = self.read_sectors(count);
                if engine.put(&data) < data.len() {
                    return engine.stall("the PRD table is shorter than the transfer");
                }
                ((data.len() / SECTOR_SIZE) as u32, problem)
            };
            self.advance(done, problem);
            if problem != 0 {
                break;
            }
        }
        engine.device_done();
    }
}
