//! Packet commands of the CD-ROM drive (ATA/ATAPI-6, 8.23 PACKET; SFF-8020i / MMC for the packets).

use super::AtaDrive;
use super::bus_master::Engine;
use super::drive::{Drive, Phase, error, status};
use super::identify;
use crate::disk::DiskImage;
use serde::{Deserialize, Serialize};

/// Bytes a logical block.
const BLOCK_SIZE: usize = 2048;
/// 512-byte sectors a logical block.
const SECTORS_PER_BLOCK: u64 = 4;
/// Interrupt reason: the packet is wanted; data goes to the host.
const REASON_COMMAND: u8 = 0x01;
const REASON_TO_HOST: u8 = 0x02;
const FEATURE_DMA: u8 = 0x01;

/// Sense key, additional sense code and its qualifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sense {
    /// Sense key.
    pub key: u8,
    /// Additional sense code.
    pub code: u8,
    /// Its qualifier.
    pub qualifier: u8,
}

impl Sense {
    const fn new(key: u8, code: u8) -> Self {
        Sense { key, code, qualifier: 0 }
    }
}

const NOT_READY_NO_MEDIUM: Sense = Sense::new(2, 0x3A);
const MEDIUM_ERROR: Sense = Sense::new(3, 0x11);
const INVALID_OPCODE: Sense = Sense::new(5, 0x20);
const OUT_OF_RANGE: Sense = Sense::new(5, 0x21);
const INVALID_FIELD: Sense = Sense::new(5, 0x24);
const REMOVAL_PREVENTED: Sense = Sense { key: 5, code: 0x53, qualifier: 2 };
const MEDIUM_CHANGED: Sense = Sense::new(6, 0x28);

/// Guest-visible state of the packet interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketState {
    /// What REQUEST SENSE reports.
    pub sense: Sense,
    /// A unit attention that the next command reports.
    pub attention: Option<Sense>,
    /// A media event that GET EVENT STATUS NOTIFICATION has not reported.
    pub media_event: bool,
    /// The tray is open.
    pub tray_open: bool,
    /// PREVENT ALLOW MEDIUM REMOVAL holds the tray.
    pub locked: bool,
    /// Data of the current command that is ready for the host.
    pub data: Vec<u8>,
    /// The most bytes that the host takes at once.
    pub limit: usize,
}

impl PacketState {
    pub(super) fn media_changed(&mut self) {
        self.attention = Some(MEDIUM_CHANGED);
        self.media_event = true;
        self.tray_open = false;
    }
}

type Reply = Result<Vec<u8>, Sense>;

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    (be16(bytes, at) << 16 | be16(bytes, at + 2)) as u32
}

/// A block address as the guest wants it: number or minute, second, frame.
fn disc_address(block: u32, msf: bool) -> [u8; 4] {
    if !msf {
        return block.to_be_bytes();
    }
    let frames = block + 150;
    [0, (frames / (75 * 60)) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8]
}

impl Drive<'_> {
    /// Commands of a packet device.
    pub(super) fn execute_packet_device(&mut self, code: u8) {
        match code {
            0x08 => {
                self.signature();
                self.state.status = 0;
            }
            0x90 => {
                self.signature();
                self.complete();
                self.state.status = 0;
                self.state.error = 1;
            }
            0xA0 => {
                let state = &mut *self.state;
                let limit = usize::from(state.mid.current) | usize::from(state.high.current) << 8;
                // 0 and odd counts are not useful; both mean the largest even one below.
                state.packet.limit = if limit == 0 { 0xFFFE } else { (limit & !1).max(2) };
                self.ask(12, false);
                self.state.phase = Phase::Packet;
                self.state.count.set(REASON_COMMAND);
            }
            0xA1 => {
                let data = identify::cdrom(self);
                self.state.remaining = 0;
                self.offer(data);
            }
            0xEC | 0x20 => {
                self.signature();
                self.fail(error::ABRT);
            }
            0xE0 | 0xE1 | 0xE2 | 0xE3 | 0xE6 | 0xE7 => self.complete(),
            0xE5 => {
                self.state.count.set(0xFF);
                self.complete();
            }
            0xEF => match (self.state.features.current, self.state.count.current) {
                (0x03, mode @ (0x20..=0x22 | 0x40..=0x42)) => {
                    self.state.transfer_mode = mode;
                    self.complete();
                }
                (0x03, 0x00 | 0x01 | 0x08..=0x0C) | (0x66 | 0xCC, _) => self.complete(),
                _ => self.fail(error::ABRT),
            },
            _ => self.fail(error::ABRT),
        }
    }

    fn disc(&mut self) -> Result<&mut DiskImage, Sense> {
        let open = self.state.packet.tray_open;
        match &mut *self.media {
            AtaDrive::Cdrom { image: Some(image) } if !open => Ok(image),
            _ => Err(NOT_READY_NO_MEDIUM),
        }
    }

    fn blocks(&mut self) -> Result<u32, Sense> {
        Ok(self.disc()?.sectors().div_ceil(SECTORS_PER_BLOCK).clamp(1, u64::from(u32::MAX)) as u32)
    }

    /// The host has sent a packet.
    pub(super) fn packet(&mut self) {
        let mut packet = [0; 12];
        for (place, byte) in packet.iter_mut().zip(std::mem::take(&mut self.state.buffer)) {
            *place = byte;
        }
        self.state.packet.data.clear();
        self.state.remaining = 0;
        const INQUIRY: u8 = 0x12;
        const REQUEST_SENSE: u8 = 0x03;
        const GET_EVENT_STATUS: u8 = 0x4A;
        const GET_CONFIGURATION: u8 = 0x46;
        let reports_attention = !matches!(packet[0], INQUIRY | REQUEST_SENSE | GET_CONFIGURATION | GET_EVENT_STATUS);
        let attention = if reports_attention { self.state.packet.attention.take() } else { None };
        let reply = match attention {
            Some(attention) => Err(attention),
            None => self.packet_command(&packet),
        };
        match reply {
            Ok(data) => {
                if packet[0] != REQUEST_SENSE {
                    self.state.packet.sense = Sense::default();
                }
                self.state.packet.data = data;
                if self.state.features.current & FEATURE_DMA != 0
                    && (self.state.remaining > 0 || !self.state.packet.data.is_empty())
                {
                    self.state.phase = Phase::Dma;
                    self.state.count.set(REASON_TO_HOST);
                    self.state.status = status::DRDY | status::DRQ;
                } else {
                    self.packet_in();
                }
            }
            Err(sense) => self.check_condition(sense),
        }
    }

    fn check_condition(&mut self, sense: Sense) {
        self.state.packet.sense = sense;
        self.state.packet.data.clear();
        self.state.remaining = 0;
        self.state.count.set(REASON_COMMAND | REASON_TO_HOST);
        self.fail(sense.key << 4 | if sense.key == 5 { error::ABRT } else { 0 });
    }

    /// Reads blocks into the data until `wanted` bytes are there or the command has no more.
    fn fill(&mut self, wanted: usize) -> Result<(), Sense> {
        while self.state.packet.data.len() < wanted && self.state.remaining > 0 {
            let lba = self.state.lba;
            let mut block = [0; BLOCK_SIZE];
            let image = self.disc()?;
            let first = lba * SECTORS_PER_BLOCK;
            // The last block of a truncated image may be short; what is missing reads as zeros.
            let present = image.sectors().saturating_sub(first).min(SECTORS_PER_BLOCK) as usize * 512;
            image.read(first, &mut block[..present]).map_err(|_| MEDIUM_ERROR)?;
            self.state.packet.data.extend_from_slice(&block);
            self.state.lba += 1;
            self.state.remaining -= 1;
        }
        Ok(())
    }

    /// Hands the next part of the data to the host, or ends the command.
    pub(super) fn packet_in(&mut self) {
        let limit = self.state.packet.limit;
        if let Err(sense) = self.fill(limit) {
            return self.check_condition(sense);
        }
        if self.state.packet.data.is_empty() {
            self.complete();
            self.state.count.set(REASON_COMMAND | REASON_TO_HOST);
            return;
        }
        let count = self.state.packet.data.len().min(limit);
        let part: Vec<u8> = self.state.packet.data.drain(..count).collect();
        self.state.mid.set(count as u8);
        self.state.high.set((count >> 8) as u8);
        self.state.count.set(REASON_TO_HOST);
        self.offer(part);
    }

    /// The data of the command through the bus master.
    pub(super) fn packet_dma(&mut self, engine: &mut Engine) {
        if !engine.to_memory() {
            return engine.stall("direction of the bus master and the packet command differ");
        }
        loop {
            if let Err(sense) = self.fill(0x1_0000) {
                self.check_condition(sense);
                break;
            }
            let data = std::mem::take(&mut self.state.packet.data);
            if data.is_empty() {
                self.complete();
                self.state.count.set(REASON_COMMAND | REASON_TO_HOST);
                break;
            }
            if engine.put(&data) < data.len() {
                return engine.stall("the PRD table is shorter than the transfer");
            }
        }
        engine.device_done();
    }

    fn packet_command(&mut self, packet: &[u8; 12]) -> Reply {
        let limited = |mut data: Vec<u8>, length: usize| {
            data.truncate(length);
            Ok(data)
        };
        match packet[0] {
            0x00 => self.disc().map(|_| Vec::new()), // TEST UNIT READY
            0x03 => limited(self.request_sense(), usize::from(packet[4])),
            0x12 => limited(inquiry(), usize::from(packet[4])),
            0x1B => self.start_stop(packet[4]),
            0x1E => {
                self.state.packet.locked = packet[4] & 1 != 0;
                Ok(Vec::new())
            }
            0x25 => {
                let last = self.blocks()? - 1;
                Ok([last.to_be_bytes(), (BLOCK_SIZE as u32).to_be_bytes()].concat())
            }
            0x28 => self.read(be32(packet, 2), be16(packet, 7) as u32),
            0xA8 => self.read(be32(packet, 2), be32(packet, 6)),
            0x2B => match self.blocks()? {
                blocks if be32(packet, 2) < blocks => Ok(Vec::new()), // SEEK
                _ => Err(OUT_OF_RANGE),
            },
            0x43 => limited(self.read_toc(packet)?, be16(packet, 7)),
            0x46 => limited(self.configuration(packet)?, be16(packet, 7)),
            0x4A => {
                let event = self.event_status(packet)?;
                limited(event, be16(packet, 7))
            }
            0x51 => limited(self.disc_information(packet)?, be16(packet, 7)),
            0x5A => limited(self.mode_sense(packet)?, be16(packet, 7)),
            0xBD => limited(self.mechanism_status(), be16(packet, 8)),
            0xBE => {
                let count = be32(packet, 5) & 0x00FF_FFFF;
                match packet[9] & 0xF8 {
                    0x00 => Ok(Vec::new()),
                    0x10 => self.read(be32(packet, 2), count),
                    // Raw sectors with sync, header and ECC are not in an ISO image.
                    _ => Err(INVALID_FIELD),
                }
            }
            _ => Err(INVALID_OPCODE),
        }
    }

    fn read(&mut self, lba: u32, count: u32) -> Reply {
        if u64::from(lba) + u64::from(count) > u64::from(self.blocks()?) {
            return Err(OUT_OF_RANGE);
        }
        self.state.lba = u64::from(lba);
        self.state.remaining = count;
        Ok(Vec::new())
    }

    fn request_sense(&mut self) -> Vec<u8> {
        let packet = &mut self.state.packet;
        let sense = packet.attention.take().unwrap_or(packet.sense);
        packet.sense = Sense::default();
        let mut data = vec![0; 18];
        data[0] = 0x70; // Current error, fixed format.
        data[2] = sense.key;
        data[7] = 10;
        data[12] = sense.code;
        data[13] = sense.qualifier;
        data
    }

    fn start_stop(&mut self, operation: u8) -> Reply {
        match operation & 3 {
            2 if self.state.packet.locked => return Err(REMOVAL_PREVENTED),
            2 => self.state.packet.tray_open = true,
            3 if self.state.packet.tray_open => self.state.packet.media_changed(),
            _ => {}
        }
        Ok(Vec::new())
    }

    /// One data track from block 0 to the lead-out.
    fn read_toc(&mut self, packet: &[u8; 12]) -> Reply {
        let blocks = self.blocks()?;
        let msf = packet[1] & 2 != 0;
        const DATA_TRACK: u8 = 0x14;
        const LEAD_OUT: u8 = 0xAA;
        let descriptor = |track, block| [[0, DATA_TRACK, track, 0], disc_address(block, msf)].concat();
        // SFF-8020i had the format in the top bits of the control byte.
        let format = match packet[2] & 0x0F {
            0 => packet[9] >> 6,
            format => format,
        };
        let mut data = vec![0, 0, 1, 1];
        match format {
            0 => {
                let first = packet[6];
                if first > 1 && first != LEAD_OUT {
                    return Err(INVALID_FIELD);
                }
                if first <= 1 {
                    data.extend(descriptor(1, 0));
                }
                data.extend(descriptor(LEAD_OUT, blocks));
            }
            1 => data.extend(descriptor(1, 0)),
            _ => return Err(INVALID_FIELD),
        }
        data[1] = (data.len() - 2) as u8;
        Ok(data)
    }

    /// GET CONFIGURATION: the features from a number on, or one (MMC-3, "GET CONFIGURATION Command", "Features").
    fn configuration(&mut self, packet: &[u8; 12]) -> Reply {
        const ONE: u8 = 2;
        const CD_ROM: u8 = 8;
        let disc = self.disc().is_ok();
        // Persistent, current, version 0. The profile is current while there is a disc.
        let features: [(u16, Vec<u8>); 2] =
            [(0x0000, vec![0, 0, 3, 4, 0, CD_ROM, u8::from(disc), 0]), (0x001D, vec![0, 0x1D, 3, 0])];
        let (request, start) = (packet[1] & 3, be16(packet, 2));
        if request == 3 {
            return Err(INVALID_FIELD);
        }
        let mut data = vec![0, 0, 0, 0, 0, 0, 0, if disc { CD_ROM } else { 0 }];
        for (number, descriptor) in features {
            let number = usize::from(number);
            if number == start || number > start && request != ONE {
                data.extend(descriptor);
            }
        }
        data[3] = (data.len() - 4) as u8;
        Ok(data)
    }

    /// READ DISC INFORMATION: one finished session of one track (MMC-3, "READ DISC INFORMATION Command").
    fn disc_information(&mut self, packet: &[u8; 12]) -> Reply {
        if packet[1] & 7 != 0 {
            return Err(INVALID_FIELD);
        }
        self.disc()?;
        let mut data = vec![0; 34];
        // 32 bytes follow; complete disc and session; first track, sessions, first and last track; unrestricted use.
        data[..8].copy_from_slice(&[0, 32, 0x0E, 1, 1, 1, 1, 0x20]);
        // Nothing can be appended: no start of a lead-in or lead-out to come.
        data[16..24].fill(0xFF);
        Ok(data)
    }

    /// MECHANISM STATUS: idle, one slot, no table of slots (MMC-3, "MECHANISM STATUS Command").
    fn mechanism_status(&self) -> Vec<u8> {
        const DOOR_OPEN: u8 = 0x10;
        vec![0, if self.state.packet.tray_open { DOOR_OPEN } else { 0 }, 0, 0, 0, 1, 0, 0]
    }

    fn event_status(&mut self, packet: &[u8; 12]) -> Reply {
        const POLLED: u8 = 1;
        const MEDIA_CLASS: u8 = 4;
        if packet[1] & POLLED == 0 {
            return Err(INVALID_FIELD);
        }
        if packet[4] & 1 << MEDIA_CLASS == 0 {
            return Ok(vec![0, 2, 0x80, 1 << MEDIA_CLASS]);
        }
        let event = if std::mem::take(&mut self.state.packet.media_event) { 2 } else { 0 };
        let present = self.disc().is_ok();
        let status = u8::from(self.state.packet.tray_open) | u8::from(present) << 1;
        Ok(vec![0, 6, MEDIA_CLASS, 1 << MEDIA_CLASS, event, status, 0, 0])
    }

    fn mode_sense(&mut self, packet: &[u8; 12]) -> Reply {
        let (page, control) = (packet[2] & 0x3F, packet[2] >> 6);
        if control == 3 {
            return Err(Sense { key: 5, code: 0x39, qualifier: 0 }); // Saved values are not supported.
        }
        // Medium type: 1 data disc, 70h no disc.
        let mut data = vec![0, 0, if self.disc().is_ok() { 0x01 } else { 0x70 }, 0, 0, 0, 0, 0];
        let pages = data.len();
        if matches!(page, 0x01 | 0x3F) {
            data.extend([0x01, 6, 0, 5, 0, 0, 0, 0]);
        }
        if matches!(page, 0x2A | 0x3F) {
            let locked = u8::from(self.state.packet.locked) << 1;
            // Capabilities: loads by tray, locks, ejects; 706 KB/s (4x), 512 KB of buffer.
            data.extend([0x2A, 18, 0, 0, 0, 0, 0x29 | locked, 0, 0x02, 0xC2, 0, 0, 0x02, 0, 0x02, 0xC2, 0, 0, 0, 0]);
        }
        if data.len() == pages {
            return Err(INVALID_FIELD);
        }
        data[1] = (data.len() - 2) as u8;
        Ok(data)
    }
}

fn inquiry() -> Vec<u8> {
    let mut data = vec![0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0];
    data.extend(b"rvmx-emu");
    data.extend(b"CD-ROM          ");
    data.extend(b"0.1 ");
    data
}
