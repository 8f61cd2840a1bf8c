//! The memory window A0000h-BFFFFh: sequencer and graphics controller between the host and the planes.

use super::{Vga, VgaState};

/// Graphics controller registers.
mod graphics {
    pub const SET_RESET: usize = 0;
    pub const ENABLE_SET_RESET: usize = 1;
    pub const COLOR_COMPARE: usize = 2;
    pub const ROTATE: usize = 3;
    pub const READ_MAP: usize = 4;
    pub const MODE: usize = 5;
    pub const MISC: usize = 6;
    pub const COLOR_DONT_CARE: usize = 7;
    pub const BIT_MASK: usize = 8;
}

/// How addresses become plane offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Addressing {
    /// One address, all planes.
    #[default]
    Planar,
    /// Address bit 0 selects odd or even planes.
    OddEven,
    /// Address bits 1-0 select the plane.
    Chain4,
    /// VBE: linear by banks.
    Linear,
}

/// What the registers make of a host access; computed when one changes, not at each access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// The part of the window that answers, from A0000h.
    start: u32,
    length: u32,
    write: Addressing,
    read: Addressing,
    /// Address bit 0 is replaced by bit 16 (graphics controller miscellaneous bit 1).
    chain_odd_even: bool,
    /// Writes store the host's byte as it is: mode 0, no rotation, no set/reset, no function, full bit mask.
    plain: bool,
    map_mask: u8,
    /// Byte (linear) or plane offset of the VBE bank.
    bank: usize,
}

impl Path {
    pub fn of(state: &VgaState) -> Self {
        let (sequencer, graphics) = (&state.sequencer.registers, &state.graphics.registers);
        let (start, length) = match graphics[graphics::MISC] >> 2 & 3 {
            0 => (0, 0x2_0000),
            1 => (0, 0x1_0000),
            2 => (0x1_0000, 0x8000),
            _ => (0x1_8000, 0x8000),
        };
        const RAM_ENABLE: u8 = 0x02;
        let chain4 = sequencer[4] & 0x08 != 0;
        let bank = usize::from(state.vbe.bank) << 16;
        if state.vbe.linear() {
            return Path {
                length: 0x1_0000,
                write: Addressing::Linear,
                read: Addressing::Linear,
                bank,
                ..Path::default()
            };
        }
        let choose = |odd_even: bool| match (chain4, odd_even) {
            (true, _) => Addressing::Chain4,
            (false, true) => Addressing::OddEven,
            (false, false) => Addressing::Planar,
        };
        Path {
            start,
            length: if state.misc & RAM_ENABLE != 0 { length } else { 0 },
            write: choose(sequencer[4] & 0x04 == 0),
            read: choose(graphics[graphics::MODE] & 0x10 != 0),
            chain_odd_even: graphics[graphics::MISC] & 0x02 != 0,
            plain: graphics[graphics::MODE] & 3 == 0
                && graphics[graphics::ROTATE] == 0
                && graphics[graphics::ENABLE_SET_RESET] == 0
                && graphics[graphics::BIT_MASK] == 0xFF,
            map_mask: sequencer[2],
            bank: if state.vbe.enabled() { bank } else { 0 },
        }
    }

    /// The plane offset of a window address.
    fn offset(&self, addressing: Addressing, address: u32) -> usize {
        let low = address as usize & 0xFFFF;
        self.bank
            + match addressing {
                Addressing::Chain4 => low & !3,
                _ if self.chain_odd_even => low & !1 | address as usize >> 16 & 1,
                _ => low,
            }
    }

    /// The planes (bit mask) that an address reaches.
    fn planes(&self, addressing: Addressing, address: u32) -> u8 {
        match addressing {
            Addressing::Chain4 => 1 << (address & 3),
            Addressing::OddEven => 0b0101 << (address & 1),
            Addressing::Planar | Addressing::Linear => 0b1111,
        }
    }
}

/// Bytes of video memory that are cleared together, as a power of two.
const PIECE_SHIFT: usize = 16;

/// The pieces of video memory that may hold something: a guest can ask for a clear memory as often as it likes.
#[derive(Debug)]
pub(super) struct Written([u64; 16]);

impl Written {
    /// Nothing, in a memory that is all zeros.
    pub const NOTHING: Self = Self([0; 16]);
    /// Anything.
    pub const ALL: Self = Self([u64::MAX; 16]);

    /// Before a write at an offset.
    pub fn note(&mut self, offset: usize) {
        let piece = offset >> PIECE_SHIFT;
        if let Some(bits) = self.0.get_mut(piece / 64) {
            *bits |= 1 << (piece % 64);
        }
    }

    /// Fills the memory with zeros.
    pub fn clear(&mut self, memory: &mut [u8]) {
        for (piece, bytes) in memory.chunks_mut(1 << PIECE_SHIFT).enumerate() {
            if self.0.get(piece / 64).is_none_or(|bits| bits >> (piece % 64) & 1 != 0) {
                bytes.fill(0);
            }
        }
        *self = Self::NOTHING;
    }
}

/// A byte of ones for each plane whose bit is set.
fn spread(planes: u8) -> u32 {
    (0..4).filter(|plane| planes >> plane & 1 != 0).fold(0, |mask, plane| mask | 0xFF << (8 * plane))
}

/// The same byte in all planes.
fn replicate(byte: u8) -> u32 {
    u32::from(byte) * 0x0101_0101
}

impl VgaState {
    /// The four planes at an offset, plane 0 in the low byte.
    pub(super) fn planes_at(&self, offset: usize) -> u32 {
        match self.memory.get(offset * 4..offset * 4 + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }
}

impl Vga {
    /// A byte write; `address` counts from A0000h.
    pub(super) fn window_write(&mut self, address: u32, value: u8) {
        let path = &self.path;
        let Some(address) = address.checked_sub(path.start).filter(|address| *address < path.length) else { return };
        if path.write == Addressing::Linear {
            let offset = path.bank + address as usize;
            if let Some(place) = self.state.memory.get_mut(offset) {
                self.written.note(offset);
                *place = value;
            }
            return;
        }
        let offset = path.offset(path.write, address);
        let planes = path.planes(path.write, address) & path.map_mask;
        let Some(cell) = self.state.memory.get_mut(offset * 4..offset * 4 + 4) else { return };
        self.written.note(offset * 4);
        if path.plain {
            for (plane, place) in cell.iter_mut().enumerate() {
                if planes >> plane & 1 != 0 {
                    *place = value;
                }
            }
            return;
        }
        let data = combine(&self.state.graphics.registers, self.state.latches, value);
        for (plane, (place, byte)) in cell.iter_mut().zip(data.to_le_bytes()).enumerate() {
            if planes >> plane & 1 != 0 {
                *place = byte;
            }
        }
    }

    /// A byte read, which also fills the latches.
    pub(super) fn window_read(&mut self, address: u32) -> u8 {
        let path = &self.path;
        let Some(address) = address.checked_sub(path.start).filter(|address| *address < path.length) else {
            return 0xFF;
        };
        if path.read == Addressing::Linear {
            return self.state.memory.get(path.bank + address as usize).copied().unwrap_or(0xFF);
        }
        let data = self.state.planes_at(path.offset(path.read, address));
        self.state.latches = data;
        let registers = &self.state.graphics.registers;
        if registers[graphics::MODE] & 0x08 != 0 {
            let difference =
                (data ^ spread(registers[graphics::COLOR_COMPARE])) & spread(registers[graphics::COLOR_DONT_CARE]);
            return !difference.to_le_bytes().iter().fold(0, |any, byte| any | byte);
        }
        let map = registers[graphics::READ_MAP] & 3;
        let plane = match path.read {
            Addressing::Chain4 => address as u8 & 3,
            Addressing::OddEven => map & 2 | address as u8 & 1,
            Addressing::Planar | Addressing::Linear => map,
        };
        data.to_le_bytes()[usize::from(plane)]
    }
}

/// The graphics controller's data path: host byte, latches and registers give a byte for each plane.
fn combine(registers: &[u8; 9], latches: u32, value: u8) -> u32 {
    let rotated = value.rotate_right(u32::from(registers[graphics::ROTATE] & 7));
    let set_reset = spread(registers[graphics::SET_RESET]);
    let bit_mask = registers[graphics::BIT_MASK];
    let (data, mask) = match registers[graphics::MODE] & 3 {
        0 => {
            let enable = spread(registers[graphics::ENABLE_SET_RESET]);
            (replicate(rotated) & !enable | set_reset & enable, bit_mask)
        }
        1 => return latches,
        2 => (spread(value & 0x0F), bit_mask),
        _ => (set_reset, rotated & bit_mask),
    };
    let data = match registers[graphics::ROTATE] >> 3 & 3 {
        0 => data,
        1 => data & latches,
        2 => data | latches,
        _ => data ^ latches,
    };
    let mask = replicate(mask);
    data & mask | latches & !mask
}
