//! The VGA's registers and ports (IBM VGA Technical Reference, "Video Registers").

use super::{Vga, timing};
use serde::{Deserialize, Serialize};

/// Sequencer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencerState {
    /// Address register.
    pub index: u8,
    /// Reset, clocking mode, map mask, character map select, memory mode.
    pub registers: [u8; 5],
}

/// CRT controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrtcState {
    /// Address register.
    pub index: u8,
    /// Registers 00h to 18h.
    pub registers: [u8; 25],
}

/// Graphics controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphicsState {
    /// Address register.
    pub index: u8,
    /// Set/reset, enable set/reset, colour compare, rotate, read map, mode, miscellaneous, colour don't care, bit mask.
    pub registers: [u8; 9],
}

/// Attribute controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeState {
    /// Address register; bit 5 lets the picture through.
    pub index: u8,
    /// The next write to 3C0h is data.
    pub data_next: bool,
    /// Palette 00h-0Fh, mode, overscan, plane enable, panning, colour select.
    pub registers: [u8; 21],
}

/// Digital-to-analog converter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DacState {
    /// Pel mask.
    pub mask: u8,
    /// Entry of the next read.
    pub read_index: u8,
    /// Entry of the next write.
    pub write_index: u8,
    /// Component of the next access: 0 red, 1 green, 2 blue.
    pub component: u8,
    /// The last address write was for reading.
    pub reading: bool,
    /// Components written so far; the entry changes with the third.
    pub pending: [u8; 3],
    /// 256 colours of red, green, blue; 6 bits, or 8 with VBE's 8-bit DAC.
    pub palette: Vec<[u8; 3]>,
}

impl Default for DacState {
    fn default() -> Self {
        DacState {
            mask: 0xFF,
            read_index: 0,
            write_index: 0,
            component: 0,
            reading: false,
            pending: [0; 3],
            palette: vec![[0; 3]; 256],
        }
    }
}

/// Which bits of the sequencer's registers exist.
const SEQUENCER_BITS: [u8; 5] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E];
/// Which bits of the graphics controller's registers exist.
const GRAPHICS_BITS: [u8; 9] = [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF];
const MISC_COLOR: u8 = 0x01;

impl DacState {
    fn read(&mut self) -> u8 {
        let color = self.palette.get(usize::from(self.read_index)).copied().unwrap_or_default();
        let value = color[usize::from(self.component % 3)];
        self.component = (self.component + 1) % 3;
        if self.component == 0 {
            self.read_index = self.read_index.wrapping_add(1);
        }
        value
    }

    fn write(&mut self, value: u8) {
        self.pending[usize::from(self.component % 3)] = value;
        self.component = (self.component + 1) % 3;
        if self.component == 0 {
            if let Some(color) = self.palette.get_mut(usize::from(self.write_index)) {
                *color = self.pending;
            }
            self.write_index = self.write_index.wrapping_add(1);
        }
    }
}

impl CrtcState {
    /// Writes the selected register; bit 7 of register 11h protects registers 0 to 7, but for the line-compare bit.
    fn write(&mut self, value: u8) {
        const LINE_COMPARE_8: u8 = 0x10;
        let protected = self.registers[0x11] & 0x80 != 0;
        match self.index {
            7 if protected => {
                self.registers[7] = self.registers[7] & !LINE_COMPARE_8 | value & LINE_COMPARE_8;
            }
            0..=7 if protected => {}
            index => {
                if let Some(register) = self.registers.get_mut(usize::from(index)) {
                    *register = value;
                }
            }
        }
    }
}

impl AttributeState {
    fn write(&mut self, value: u8) {
        self.data_next = !self.data_next;
        if self.data_next {
            self.index = value & 0x3F;
        } else if let Some(register) = self.registers.get_mut(usize::from(self.index & 0x1F)) {
            *register = if self.index & 0x1F < 0x10 { value & 0x3F } else { value };
        }
    }
}

impl Vga {
    /// CRTC and status ports exist at 3Bxh or at 3Dxh; the port as its 3Dxh twin, `None` for the other set.
    fn color_port(&self, port: u16) -> Option<u16> {
        let color = self.state.misc & MISC_COLOR != 0;
        match port {
            0x3B0..=0x3BF if color => None,
            0x3B0..=0x3BF => Some(port + 0x20),
            0x3D0..=0x3DF if !color => None,
            _ => Some(port),
        }
    }

    pub(super) fn register_read(&mut self, port: u16, now: u64, hz: u64) -> u8 {
        let Some(port) = self.color_port(port) else { return 0xFF };
        let state = &mut self.state;
        let at = |registers: &[u8], index: u8| registers.get(usize::from(index)).copied().unwrap_or(0);
        match port {
            0x3C0 => state.attribute.index,
            0x3C1 => at(&state.attribute.registers, state.attribute.index & 0x1F),
            0x3C2 => 0x10, // Switch sense: a colour monitor.
            0x3C3 => state.subsystem_enable,
            0x3C4 => state.sequencer.index,
            0x3C5 => at(&state.sequencer.registers, state.sequencer.index),
            0x3C6 => state.dac.mask,
            0x3C7 => {
                if state.dac.reading {
                    3
                } else {
                    0
                }
            }
            0x3C8 => state.dac.write_index,
            0x3C9 => state.dac.read(),
            0x3CA => state.feature,
            0x3CC => state.misc,
            0x3CE => state.graphics.index,
            0x3CF => at(&state.graphics.registers, state.graphics.index),
            0x3D4 => state.crtc.index,
            0x3D5 => at(&state.crtc.registers, state.crtc.index),
            0x3DA => {
                state.attribute.data_next = false;
                timing::input_status_1(state, now, hz)
            }
            _ => 0xFF,
        }
    }

    pub(super) fn register_write(&mut self, port: u16, value: u8) {
        let Some(port) = self.color_port(port) else { return };
        let state = &mut self.state;
        match port {
            0x3C0 => state.attribute.write(value),
            0x3C2 => state.misc = value,
            0x3C3 => state.subsystem_enable = value & 1,
            0x3C4 => state.sequencer.index = value & 7,
            0x3C5 => {
                let index = usize::from(state.sequencer.index);
                if let Some(register) = state.sequencer.registers.get_mut(index) {
                    *register = value & SEQUENCER_BITS[index];
                }
            }
            0x3C6 => state.dac.mask = value,
            0x3C7 => (state.dac.read_index, state.dac.component, state.dac.reading) = (value, 0, true),
            0x3C8 => (state.dac.write_index, state.dac.component, state.dac.reading) = (value, 0, false),
            0x3C9 => state.dac.write(value),
            0x3CE => state.graphics.index = value & 0x0F,
            0x3CF => {
                let index = usize::from(state.graphics.index);
                if let Some(register) = state.graphics.registers.get_mut(index) {
                    *register = value & GRAPHICS_BITS[index];
                }
            }
            0x3D4 => state.crtc.index = value & 0x3F,
            0x3D5 => state.crtc.write(value),
            0x3DA => state.feature = value & 0x03,
            _ => return,
        }
        self.registers_changed();
    }
}
