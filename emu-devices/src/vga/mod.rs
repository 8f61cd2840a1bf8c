//! VGA with the Bochs VBE extension (IBM VGA Technical Reference; the display interface of PCI device 1234:1111).
//!
//! Video memory is one array; byte `4 * offset + plane` is the byte of a plane, so that the four planes of one
//! address are one 32-bit word. VBE modes of 8 and more bits a pixel use the same array linearly.

mod cp437;
mod memory;
mod registers;
mod render;
#[cfg(test)]
mod tests;
mod text;
mod timing;
mod vbe;

pub use cp437::cp437_to_char;
pub use registers::{AttributeState, CrtcState, DacState, GraphicsState, SequencerState};
pub use render::Frame;
pub use text::{Cell, Cursor, TextScreen};
pub use vbe::VbeState;

use crate::device::{Claims, Ctx, Device, split_read, split_write};
use crate::pci::PciMap;
use crate::state::{SparseBytes, StateError, Stateful, check};
use memory::{Path, Written};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where the VGA memory window lies.
pub const WINDOW: Range<u64> = 0xA_0000..0xC_0000;
/// Where Bochs and QEMU put the linear frame buffer without PCI configuration.
pub const DEFAULT_LFB: u64 = 0xE000_0000;
/// Video memory that the planes of standard VGA modes reach.
const VGA_MEMORY: usize = 256 << 10;

/// How a VGA is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VgaConfig {
    /// Video memory in bytes: raised to at least 256 KiB and to a multiple of 64 KiB, at most 64 MiB.
    pub memory: usize,
    /// Physical address of the linear frame buffer; `None` until PCI configuration places it.
    pub lfb: Option<u64>,
}

impl Default for VgaConfig {
    fn default() -> Self {
        VgaConfig { memory: 16 << 20, lfb: Some(DEFAULT_LFB) }
    }
}

/// Guest-visible state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VgaState {
    /// Miscellaneous output register: bit 0 colour addresses, 1 RAM enable, 3-2 clock select.
    pub misc: u8,
    /// Feature control register.
    pub feature: u8,
    /// Video subsystem enable (port 3C3h).
    pub subsystem_enable: u8,
    /// Sequencer.
    pub sequencer: SequencerState,
    /// CRT controller.
    pub crtc: CrtcState,
    /// Graphics controller.
    pub graphics: GraphicsState,
    /// Attribute controller.
    pub attribute: AttributeState,
    /// Digital-to-analog converter.
    pub dac: DacState,
    /// The four latches, plane 0 in the low byte.
    pub latches: u32,
    /// VBE registers.
    pub vbe: VbeState,
    /// Where the linear frame buffer lies.
    pub lfb: Option<u64>,
    /// Where the expansion ROM lies.
    pub rom: Option<u64>,
    /// Video memory.
    pub memory: Vec<u8>,
}

/// The VGA.
#[derive(Debug)]
pub struct Vga {
    config: VgaConfig,
    /// The expansion ROM.
    rom: Vec<u8>,
    state: VgaState,
    /// How a host access to the window goes now; follows from the registers.
    path: Path,
    /// Follows from what was written since the memory was last all zeros.
    written: Written,
    generation: u64,
}

impl Vga {
    /// A VGA after power-on; its BIOS has to set a mode.
    pub fn new(mut config: VgaConfig) -> Self {
        config.memory = Self::memory_size(config.memory);
        let mut vga = Vga {
            config,
            rom: Vec::new(),
            state: VgaState::power_on(vec![0; config.memory], config.lfb),
            path: Path::default(),
            written: Written::NOTHING,
            generation: 0,
        };
        vga.registers_changed();
        vga
    }

    /// The same with an expansion ROM, which PCI configuration places.
    pub fn with_rom(self, rom: Vec<u8>) -> Self {
        Self { rom, ..self }
    }

    /// The guest-visible state.
    pub fn state(&self) -> &VgaState {
        &self.state
    }

    /// Changes whenever the picture may have changed, but for blinking, which follows from the time alone.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes of video memory that a VGA has when `asked` are asked for: the size of the linear frame buffer's BAR.
    pub fn memory_size(asked: usize) -> usize {
        asked.clamp(VGA_MEMORY, 64 << 20).next_multiple_of(64 << 10)
    }

    /// The rest of the expansion ROM from `address` on.
    fn rom_from(&self, address: u64) -> Option<&[u8]> {
        let offset = usize::try_from(address.checked_sub(self.state.rom?)?).ok()?;
        self.rom.get(offset..)
    }

    /// After any change of a register: the derived state, and a new picture.
    fn registers_changed(&mut self) {
        self.path = Path::of(&self.state);
        self.generation = self.generation.wrapping_add(1);
    }

    /// The offset into the linear frame buffer.
    fn lfb_offset(&self, address: u64) -> Option<usize> {
        let offset = address.checked_sub(self.state.lfb?)?;
        (offset < self.state.memory.len() as u64).then_some(offset as usize)
    }
}

impl VgaState {
    /// All but the memory.
    fn registers(&self) -> Self {
        VgaState {
            misc: self.misc,
            feature: self.feature,
            subsystem_enable: self.subsystem_enable,
            sequencer: self.sequencer.clone(),
            crtc: self.crtc.clone(),
            graphics: self.graphics.clone(),
            attribute: self.attribute.clone(),
            dac: self.dac.clone(),
            latches: self.latches,
            vbe: self.vbe.clone(),
            lfb: self.lfb,
            rom: self.rom,
            memory: Vec::new(),
        }
    }

    fn power_on(memory: Vec<u8>, lfb: Option<u64>) -> Self {
        VgaState {
            misc: 0,
            feature: 0,
            subsystem_enable: 1,
            sequencer: SequencerState::default(),
            crtc: CrtcState::default(),
            graphics: GraphicsState::default(),
            attribute: AttributeState::default(),
            dac: DacState::default(),
            latches: 0,
            vbe: VbeState::default(),
            lfb,
            rom: None,
            memory,
        }
    }
}

/// All that a VGA has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VgaSaved {
    /// With no memory in it.
    registers: VgaState,
    memory: SparseBytes,
}

impl Stateful for Vga {
    type Saved = VgaSaved;

    fn save(&self) -> VgaSaved {
        let Self { config: _, rom: _, state, path: _, written: _, generation: _ } = self;
        VgaSaved { registers: state.registers(), memory: SparseBytes::of(&state.memory) }
    }

    fn restore(&mut self, saved: VgaSaved) -> Result<(), StateError> {
        let VgaSaved { registers, memory } = saved;
        let (dac, vbe) = (&registers.dac, &registers.vbe);
        check(dac.palette.len() == 256 && dac.component < 3, "VGA", "its palette is out of range")?;
        check(vbe.in_range(), "VGA", "its resolution is out of range")?;
        let damaged = StateError::Damaged { device: "VGA", what: "its memory has another size" };
        let memory = memory.bytes(self.config.memory).ok_or(damaged)?;
        self.state = VgaState { memory, ..registers };
        self.written = Written::ALL;
        self.registers_changed();
        Ok(())
    }
}

impl Device for Vga {
    fn claims(&self) -> Claims {
        let lfb = self.state.lfb.map(|base| base..base.saturating_add(self.state.memory.len() as u64));
        let rom = self.state.rom.map(|base| base..base.saturating_add(self.rom.len() as u64));
        let mmio = std::iter::once(WINDOW).chain(lfb).chain(rom).collect();
        Claims { ports: vec![0x1CE..0x1D2, 0x3B0..0x3E0], mmio }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        let mut memory = std::mem::take(&mut self.state.memory);
        self.written.clear(&mut memory);
        self.state = VgaState::power_on(memory, self.config.lfb);
        self.registers_changed();
    }

    fn pci_moved(&mut self, map: &PciMap) {
        (self.state.lfb, self.state.rom) = (map.vga_frame_buffer, map.vga_rom);
    }

    fn port_read(&mut self, ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        if (0x1CE..0x1D2).contains(&port) {
            return self.vbe_port_read(port, size);
        }
        let (now, hz) = (ctx.now, ctx.hz);
        split_read(port, size, |port| self.register_read(port, now, hz))
    }

    fn port_write(&mut self, _ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        if (0x1CE..0x1D2).contains(&port) {
            return self.vbe_port_write(port, size, value);
        }
        split_write(port, size, value, |port, byte| self.register_write(port, byte));
    }

    fn mmio_read(&mut self, _ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        let size = usize::from(size.min(8));
        let mut bytes = [0; 8];
        if let Some(offset) = self.lfb_offset(address) {
            bytes[..size].fill(0xFF);
            for (place, byte) in bytes[..size].iter_mut().zip(&self.state.memory[offset..]) {
                *place = *byte;
            }
        } else if let Some(rom) = self.rom_from(address) {
            bytes[..size].fill(0xFF);
            bytes[..size].iter_mut().zip(rom).for_each(|(place, byte)| *place = *byte);
        } else {
            for (place, at) in bytes[..size].iter_mut().zip((0..8).map(|i| address.wrapping_add(i))) {
                *place = if WINDOW.contains(&at) { self.window_read((at - WINDOW.start) as u32) } else { 0xFF };
            }
        }
        u64::from_le_bytes(bytes)
    }

    fn mmio_write(&mut self, _ctx: &mut Ctx, address: u64, size: u8, value: u64) {
        self.generation = self.generation.wrapping_add(1);
        let bytes = value.to_le_bytes();
        let bytes = &bytes[..usize::from(size.min(8))];
        if let Some(offset) = self.lfb_offset(address) {
            self.written.note(offset);
            self.written.note(offset + bytes.len());
            for (place, byte) in self.state.memory[offset..].iter_mut().zip(bytes) {
                *place = *byte;
            }
        } else {
            for (byte, at) in bytes.iter().zip((0..8).map(|i| address.wrapping_add(i))) {
                if WINDOW.contains(&at) {
                    self.window_write((at - WINDOW.start) as u32, *byte);
                }
            }
        }
    }
}
