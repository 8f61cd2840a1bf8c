//! The picture: from the planes through the attribute controller and the DAC to pixels.

use super::text::Walk;
use super::timing::Timing;
use super::{Vga, VgaState};

/// A picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Pixels a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The pixels, line by line, as 00RRGGBBh.
    pub pixels: Vec<u32>,
}

impl Frame {
    fn resize(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.pixels.clear();
        self.pixels.resize(width * height, 0);
    }

    /// The pixels as bytes red, green, blue: what a PNG file takes.
    pub fn rgb_bytes(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|pixel| [(pixel >> 16) as u8, (pixel >> 8) as u8, *pixel as u8]).collect()
    }
}

/// Frames that the cursor is on, then off; characters blink half as fast.
const CURSOR_BLINK_FRAMES: u64 = 16;

/// The colours of the moment.
struct Palette {
    /// DAC entries.
    dac: [u32; 256],
    /// Colours of the 16 attribute values.
    attribute: [u32; 16],
}

impl Palette {
    fn of(state: &VgaState) -> Self {
        let mut dac = [0; 256];
        let eight_bits = state.vbe.eight_bit_dac();
        for (index, color) in dac.iter_mut().enumerate() {
            let entry = state.dac.palette.get(index & usize::from(state.dac.mask)).copied().unwrap_or_default();
            let [red, green, blue] = entry.map(|part| {
                let six = part & 0x3F;
                u32::from(if eight_bits { part } else { six << 2 | six >> 4 })
            });
            *color = red << 16 | green << 8 | blue;
        }
        let registers = &state.attribute.registers;
        let (mode, enable, select) = (registers[0x10], registers[0x12], registers[0x14]);
        let mut attribute = [0; 16];
        for (value, color) in attribute.iter_mut().enumerate() {
            let inner = registers[value & usize::from(enable & 0x0F)];
            let low = if mode & 0x80 != 0 { inner & 0x0F | (select & 3) << 4 } else { inner & 0x3F };
            *color = dac[usize::from(low | (select >> 2 & 3) << 6)];
        }
        Palette { dac, attribute }
    }
}

/// Scan lines of a picture: for each the counter of its first character and its line in its row.
fn scan_lines(walk: Walk, lines: u64) -> impl Iterator<Item = (usize, u64, bool)> {
    let (mut counter, mut row_scan) = (walk.start, walk.preset_row % walk.row_height);
    let mut below = false;
    (0..lines).map(move |line| {
        let current = (counter, row_scan, below);
        if line == walk.line_compare {
            (counter, row_scan, below) = (0, 0, true);
        } else if !walk.double_scan || line & 1 != 0 {
            row_scan += 1;
            if row_scan >= walk.row_height {
                row_scan = 0;
                counter += walk.stride;
            }
        }
        current
    })
}

impl Vga {
    /// Draws the picture at `now` cycles of a clock of `hz` into `frame`, which takes the picture's size.
    pub fn render(&self, frame: &mut Frame, now: u64, hz: u64) {
        let state = &self.state;
        if state.vbe.enabled() {
            return render_vbe(state, frame);
        }
        let timing = Timing::of(state);
        if state.is_text() {
            render_text(state, &timing, frame, timing.frame(now, hz));
        } else {
            render_graphics(state, &timing, frame);
        }
        const SCREEN_OFF: u8 = 0x20;
        const PICTURE: u8 = 0x20;
        if state.sequencer.registers[1] & SCREEN_OFF != 0 || state.attribute.index & PICTURE == 0 {
            frame.pixels.fill(0);
        }
    }

    /// A number that changes when the cursor or blinking characters change, for front ends that redraw on change.
    pub fn blink_phase(&self, now: u64, hz: u64) -> u64 {
        if self.state.is_text() { Timing::of(&self.state).frame(now, hz) / CURSOR_BLINK_FRAMES } else { 0 }
    }
}

/// The offset in plane 2 of a character map that character map select names by three bits.
fn font_base(map: u8) -> usize {
    usize::from(map & 3) * 0x4000 + usize::from(map >> 2 & 1) * 0x2000
}

fn render_text(state: &VgaState, timing: &Timing, frame: &mut Frame, frame_number: u64) {
    let walk = Walk::of(state);
    let palette = Palette::of(state);
    let columns = timing.horizontal_display as usize;
    let dots = timing.character as usize;
    // Half the dot clock makes dots twice as wide.
    let wide = if state.sequencer.registers[1] & 0x08 != 0 { 2 } else { 1 };
    frame.resize(columns * dots * wide, timing.vertical_display as usize);
    let attribute_mode = state.attribute.registers[0x10];
    let (line_graphics, blink_enabled) = (attribute_mode & 0x04 != 0, attribute_mode & 0x08 != 0);
    let select = state.sequencer.registers[3];
    let font_a = font_base(select >> 2 & 3 | select >> 3 & 4);
    let font_b = font_base(select & 3 | select >> 2 & 4);
    let crtc = &state.crtc.registers;
    let (cursor_start, cursor_end) = (u64::from(crtc[0x0A] & 0x1F), u64::from(crtc[0x0B] & 0x1F));
    let cursor_on = crtc[0x0A] & 0x20 == 0 && (frame_number / CURSOR_BLINK_FRAMES) & 1 == 0;
    let blink_off = blink_enabled && (frame_number / (2 * CURSOR_BLINK_FRAMES)) & 1 != 0;
    let underline = u64::from(crtc[0x14] & 0x1F);
    let panning = match state.attribute.registers[0x13] & 0x0F {
        // With 9 dots 8 means none and n means n + 1; with 8 dots n means n.
        8 if dots == 9 => 0,
        pan if dots == 9 => usize::from(pan) + 1,
        pan => usize::from(pan & 7),
    };
    for ((start, row_scan, below), line) in
        scan_lines(walk, timing.vertical_display).zip(frame.pixels.chunks_exact_mut((columns * dots * wide).max(1)))
    {
        let pan = if below && attribute_mode & 0x20 != 0 { 0 } else { panning };
        // With panning one more character is partly visible.
        for column in 0..columns + usize::from(pan != 0) {
            let counter = (start + column) & 0xFFFF;
            let [code, attribute, ..] = state.planes_at(walk.offset(counter, row_scan)).to_le_bytes();
            let font = if attribute & 0x08 != 0 { font_a } else { font_b };
            let glyph = font + usize::from(code) * 32 + row_scan as usize;
            let mut bits = u16::from(state.memory.get(glyph * 4 + 2).copied().unwrap_or(0)) << 1;
            if dots == 9 && line_graphics && (0xC0..=0xDF).contains(&code) {
                bits |= bits >> 1 & 1;
            }
            if row_scan == underline && attribute & 0x77 == 0x01 {
                bits = 0x1FF;
            }
            if blink_off && attribute & 0x80 != 0 {
                bits = 0;
            }
            if cursor_on && counter == state.cursor_counter() && (cursor_start..=cursor_end).contains(&row_scan) {
                bits = 0x1FF;
            }
            let background = if blink_enabled { attribute >> 4 & 7 } else { attribute >> 4 };
            let colors = [palette.attribute[usize::from(background)], palette.attribute[usize::from(attribute & 0x0F)]];
            for dot in 0..dots {
                let color = colors[usize::from(bits >> (8 - dot) & 1)];
                let Some(x) = (column * dots + dot).checked_sub(pan) else { continue };
                if let Some(place) = line.get_mut(x * wide..(x + 1) * wide) {
                    place.fill(color);
                }
            }
        }
    }
}

fn render_graphics(state: &VgaState, timing: &Timing, frame: &mut Frame) {
    let walk = Walk::of(state);
    let palette = Palette::of(state);
    let mode = state.graphics.registers[5];
    let (interleaved, packed) = (mode & 0x20 != 0, mode & 0x40 != 0);
    let characters = timing.horizontal_display as usize;
    let character = if packed { 4 } else { 8 };
    // Scan lines that only repeat the one above are drawn once.
    let repeat =
        (1 + usize::from(walk.double_scan)) * if walk.row_scan_addressed() { 1 } else { walk.row_height as usize };
    let repeat = if (timing.vertical_display as usize).is_multiple_of(repeat) { repeat } else { 1 };
    let width = characters * character;
    frame.resize(width, timing.vertical_display as usize / repeat);
    let attribute_mode = state.attribute.registers[0x10];
    let panning = usize::from(state.attribute.registers[0x13] & 7) / if packed { 2 } else { 1 };
    let lines = scan_lines(walk, timing.vertical_display).step_by(repeat);
    for ((start, row_scan, below), line) in lines.zip(frame.pixels.chunks_exact_mut(width.max(1))) {
        let pan = if below && attribute_mode & 0x20 != 0 { 0 } else { panning };
        for column in 0..characters + usize::from(pan != 0) {
            let planes = state.planes_at(walk.offset((start + column) & 0xFFFF, row_scan)).to_le_bytes();
            for dot in 0..character {
                let Some(place) = (column * character + dot).checked_sub(pan).and_then(|x| line.get_mut(x)) else {
                    continue;
                };
                *place = if packed {
                    palette.dac[usize::from(planes[dot])]
                } else if interleaved {
                    let (half, shift) = (dot / 4, 6 - 2 * (dot % 4));
                    palette.attribute[usize::from(planes[half] >> shift & 3 | (planes[half + 2] >> shift & 3) << 2)]
                } else {
                    palette.attribute[planar_pixel(planes, dot)]
                };
            }
        }
    }
}

/// The value of pixel `dot`, leftmost 0, of a planar byte column.
fn planar_pixel(planes: [u8; 4], dot: usize) -> usize {
    (0..4).fold(0, |value, plane| value | usize::from(planes[plane] >> (7 - dot) & 1) << plane)
}

fn render_vbe(state: &VgaState, frame: &mut Frame) {
    let vbe = &state.vbe;
    let palette = Palette::of(state);
    let (width, height) = (usize::from(vbe.x_resolution), usize::from(vbe.y_resolution));
    frame.resize(width, height);
    let (x_offset, y_offset) = (usize::from(vbe.x_offset), usize::from(vbe.y_offset));
    let bytes = vbe.pixel_bytes();
    let byte = |at: usize| u32::from(state.memory.get(at).copied().unwrap_or(0));
    let word = |at: usize| byte(at) | byte(at + 1) << 8;
    // A colour of `bits` bits, `shift` bits up, as 8 bits: the top bits fill the bottom.
    let part = |value: u32, shift: u32, bits: u32| {
        let value = value >> shift & ((1 << bits) - 1);
        value << (8 - bits) | value >> (2 * bits - 8)
    };
    for (y, line) in frame.pixels.chunks_exact_mut(width.max(1)).enumerate() {
        let row = (y + y_offset) * vbe.line_bytes();
        for (x, place) in line.iter_mut().enumerate() {
            let at = row + (x + x_offset) * bytes;
            *place = match vbe.bits {
                4 => {
                    let x = x + x_offset;
                    palette.attribute[planar_pixel(state.planes_at(row + x / 8).to_le_bytes(), x % 8)]
                }
                8 => palette.dac[byte(at) as usize],
                15 => part(word(at), 10, 5) << 16 | part(word(at), 5, 5) << 8 | part(word(at), 0, 5),
                16 => part(word(at), 11, 5) << 16 | part(word(at), 5, 6) << 8 | part(word(at), 0, 5),
                _ => byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16,
            };
        }
    }
}
