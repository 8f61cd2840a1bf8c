//! The Bochs VBE display interface: index port 1CEh, data port 1CFh (also 1D0h), 16 bits each.

use super::Vga;
use crate::device::all_ones;
use serde::{Deserialize, Serialize};

/// The newest interface version, B0C5h.
const ID_NEWEST: u16 = 0xB0C5;
const ID_OLDEST: u16 = 0xB0C0;
/// Widths are multiples of a character's.
const MIN_X: u16 = 8;
const MAX_X: u16 = 2560;
const MAX_Y: u16 = 1600;
const MAX_BPP: u16 = 32;

const ENABLED: u16 = 0x01;
const GET_CAPABILITIES: u16 = 0x02;
const EIGHT_BIT_DAC: u16 = 0x20;
const NO_CLEAR: u16 = 0x80;

/// The interface's registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VbeState {
    /// Index register.
    pub index: u16,
    /// Interface version.
    pub id: u16,
    /// Horizontal resolution in pixels.
    pub x_resolution: u16,
    /// Vertical resolution in pixels.
    pub y_resolution: u16,
    /// Bits a pixel: 4, 8, 15, 16, 24 or 32.
    pub bits: u16,
    /// Bit 0 enabled, 1 capabilities, 5 8-bit DAC, 6 linear frame buffer, 7 memory is kept.
    pub enable: u16,
    /// The 64 KiB bank at A0000h.
    pub bank: u16,
    /// Pixels a line in memory.
    pub virtual_width: u16,
    /// First pixel shown of a line.
    pub x_offset: u16,
    /// First line shown.
    pub y_offset: u16,
}

impl VbeState {
    /// Whether the resolution is one that can be set.
    pub(super) fn in_range(&self) -> bool {
        (MIN_X..=MAX_X).contains(&self.x_resolution)
            && (1..=MAX_Y).contains(&self.y_resolution)
            && matches!(self.bits, 4 | 8 | 15 | 16 | 24 | 32)
    }
}

impl Default for VbeState {
    fn default() -> Self {
        VbeState {
            index: 0,
            id: ID_NEWEST,
            x_resolution: 640,
            y_resolution: 480,
            bits: 8,
            enable: 0,
            bank: 0,
            virtual_width: 640,
            x_offset: 0,
            y_offset: 0,
        }
    }
}

impl VbeState {
    /// A VBE mode is on.
    pub fn enabled(&self) -> bool {
        self.enable & ENABLED != 0
    }

    /// A VBE mode with packed pixels is on.
    pub(super) fn linear(&self) -> bool {
        self.enabled() && self.bits > 4
    }

    /// DAC entries have 8 bits a colour.
    pub(super) fn eight_bit_dac(&self) -> bool {
        self.enable & EIGHT_BIT_DAC != 0
    }

    /// Bytes a pixel of a packed mode.
    pub(super) fn pixel_bytes(&self) -> usize {
        usize::from(self.bits).div_ceil(8)
    }

    /// Bytes a line in memory: of one plane in 4-bit modes.
    pub(super) fn line_bytes(&self) -> usize {
        let width = usize::from(self.virtual_width);
        if self.bits == 4 { width / 8 } else { width * self.pixel_bytes() }
    }

    /// Lines that the memory holds.
    fn virtual_height(&self, memory: usize) -> u16 {
        let planes = if self.bits == 4 { 4 } else { 1 };
        (memory / (self.line_bytes() * planes).max(1)).min(0xFFFF) as u16
    }

    fn capability(&self, value: u16, most: u16) -> u16 {
        if self.enable & GET_CAPABILITIES != 0 { most } else { value }
    }
}

impl Vga {
    pub(super) fn vbe_port_read(&mut self, port: u16, size: u8) -> u32 {
        let vbe = &self.state.vbe;
        let value = match port {
            0x1CE => vbe.index,
            0x1CF | 0x1D0 => match vbe.index {
                0 => vbe.id,
                1 => vbe.capability(vbe.x_resolution, MAX_X),
                2 => vbe.capability(vbe.y_resolution, MAX_Y),
                3 => vbe.capability(vbe.bits, MAX_BPP),
                4 => vbe.enable,
                5 => vbe.bank,
                6 => vbe.virtual_width,
                7 => vbe.virtual_height(self.state.memory.len()),
                8 => vbe.x_offset,
                9 => vbe.y_offset,
                0xA => (self.state.memory.len() >> 16) as u16,
                _ => 0xFFFF,
            },
            _ => 0xFFFF,
        };
        u32::from(value) | all_ones(size) & 0xFFFF_0000
    }

    pub(super) fn vbe_port_write(&mut self, port: u16, size: u8, value: u32) {
        // The registers are 16 bits wide and byte accesses have no meaning.
        if size == 1 {
            return;
        }
        let value = value as u16;
        match port {
            0x1CE => self.state.vbe.index = value,
            0x1CF | 0x1D0 => self.vbe_write(value),
            _ => return,
        }
        self.registers_changed();
    }

    fn vbe_write(&mut self, value: u16) {
        let memory = self.state.memory.len();
        let vbe = &mut self.state.vbe;
        let off = !vbe.enabled();
        match vbe.index {
            0 if (ID_OLDEST..=ID_NEWEST).contains(&value) => vbe.id = value,
            1 if off && (MIN_X..=MAX_X).contains(&value) => vbe.x_resolution = value & !7,
            2 if off && (1..=MAX_Y).contains(&value) => vbe.y_resolution = value,
            3 if off => {
                // 0 was the first interface's way to say 8.
                let bits = if value == 0 { 8 } else { value };
                if matches!(bits, 4 | 8 | 15 | 16 | 24 | 32) {
                    vbe.bits = bits;
                }
            }
            4 => {
                vbe.enable = value & (ENABLED | GET_CAPABILITIES | EIGHT_BIT_DAC | NO_CLEAR | 0x40);
                if vbe.enabled() && off {
                    vbe.virtual_width = vbe.x_resolution;
                    (vbe.x_offset, vbe.y_offset, vbe.bank) = (0, 0, 0);
                    if value & NO_CLEAR == 0 {
                        self.written.clear(&mut self.state.memory);
                    }
                }
            }
            5 if usize::from(value) < memory >> 16 => vbe.bank = value,
            6 if value >= vbe.x_resolution => vbe.virtual_width = value & !7,
            8 => vbe.x_offset = value,
            9 => vbe.y_offset = value,
            _ => {}
        }
    }
}
