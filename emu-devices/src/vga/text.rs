//! What a text mode shows, as characters.

use super::cp437::cp437_to_char;
use super::timing::Timing;
use super::{Vga, VgaState};
use serde::{Deserialize, Serialize};

/// One character cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Character code, code page 437 with the standard font.
    pub code: u8,
    /// Attribute: bits 3-0 foreground, 6-4 background, 7 blink or intense background.
    pub attribute: u8,
}

/// The cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Column from 0.
    pub column: usize,
    /// Row from 0.
    pub row: usize,
    /// First scan line of its shape.
    pub start: u8,
    /// Last scan line of its shape.
    pub end: u8,
}

/// A text screen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextScreen {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// The cells, row by row.
    pub cells: Vec<Cell>,
    /// The cursor, when it is on and inside the screen.
    pub cursor: Option<Cursor>,
    /// Attribute bit 7 blinks (else it is an intense background).
    pub blink: bool,
}

impl TextScreen {
    /// The cells of a row.
    pub fn row(&self, row: usize) -> &[Cell] {
        self.cells.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }

    /// A row as UTF-8 without its trailing blanks.
    pub fn line(&self, row: usize) -> String {
        let text: String = self.row(row).iter().map(|cell| cp437_to_char(cell.code)).collect();
        text.trim_end_matches(' ').to_owned()
    }

    /// All rows as UTF-8 without their trailing blanks.
    pub fn lines(&self) -> Vec<String> {
        (0..self.rows).map(|row| self.line(row)).collect()
    }
}

/// How the CRTC walks through memory, for one picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Counter value of the first character.
    pub start: usize,
    /// Counter steps from one row to the next.
    pub stride: usize,
    /// Scan lines a row, before doubling.
    pub row_height: u64,
    /// Each scan line is shown twice.
    pub double_scan: bool,
    /// The line behind which the counter starts at 0 again.
    pub line_compare: u64,
    /// Scan line of its row with which the first row begins.
    pub preset_row: u64,
    shift: u32,
    word_bit: u32,
    mode_control: u8,
}

impl Walk {
    pub fn of(state: &VgaState) -> Self {
        let crtc = &state.crtc.registers;
        let double_word = crtc[0x14] & 0x40 != 0;
        let byte = crtc[0x17] & 0x40 != 0;
        let bit = |value: u8, bit: u32| u64::from(value >> bit & 1);
        Walk {
            start: (usize::from(crtc[0x0C]) << 8 | usize::from(crtc[0x0D])) + usize::from(crtc[8] >> 5 & 3),
            stride: usize::from(crtc[0x13]) * 2,
            row_height: u64::from(crtc[9] & 0x1F) + 1,
            double_scan: crtc[9] & 0x80 != 0,
            line_compare: u64::from(crtc[0x18]) | bit(crtc[7], 4) << 8 | bit(crtc[9], 6) << 9,
            preset_row: u64::from(crtc[8] & 0x1F),
            shift: match (double_word, byte) {
                (true, _) => 2,
                (false, false) => 1,
                (false, true) => 0,
            },
            word_bit: if crtc[0x17] & 0x20 != 0 { 15 } else { 13 },
            mode_control: crtc[0x17],
        }
    }

    /// Whether the row scan counter is part of the address (CGA and Hercules layouts).
    pub fn row_scan_addressed(&self) -> bool {
        self.mode_control & 3 != 3
    }

    /// The plane offset of a counter value in scan line `row_scan` of a row: byte, word or double-word addresses,
    /// and the CGA substitution of address bits 13 and 14.
    pub fn offset(&self, counter: usize, row_scan: u64) -> usize {
        let mut offset = match self.shift {
            0 => counter,
            1 => counter << 1 | counter >> self.word_bit & 1,
            _ => counter << 2 | counter >> 14 & 3,
        };
        for (select, bit) in [(0, 13), (1, 14)] {
            if self.mode_control >> select & 1 == 0 {
                offset = offset & !(1 << bit) | (row_scan as usize >> select & 1) << bit;
            }
        }
        offset & 0xFFFF
    }

    /// The counter of a row's first character and the first character row behind the split, for text.
    fn text_row(&self, row: usize) -> usize {
        let height = self.row_height << u32::from(self.double_scan);
        let split = (self.line_compare + 1).div_ceil(height) as usize;
        match row.checked_sub(split) {
            Some(below) => below * self.stride,
            None => self.start + row * self.stride,
        }
    }
}

impl VgaState {
    /// Whether a text mode is on.
    pub(super) fn is_text(&self) -> bool {
        !self.vbe.enabled() && self.graphics.registers[6] & 1 == 0 && self.attribute.registers[0x10] & 1 == 0
    }

    pub(super) fn cursor_counter(&self) -> usize {
        usize::from(self.crtc.registers[0x0E]) << 8 | usize::from(self.crtc.registers[0x0F])
    }
}

impl Vga {
    /// The text screen; `None` in graphics modes.
    pub fn text_screen(&self) -> Option<TextScreen> {
        let state = &self.state;
        if !state.is_text() {
            return None;
        }
        let (timing, walk) = (Timing::of(state), Walk::of(state));
        let row_lines = walk.row_height << u32::from(walk.double_scan);
        let columns = timing.horizontal_display as usize;
        let rows = (timing.vertical_display / row_lines).max(1) as usize;
        let mut screen = TextScreen {
            columns,
            rows,
            cells: Vec::with_capacity(columns * rows),
            cursor: None,
            blink: state.attribute.registers[0x10] & 0x08 != 0,
        };
        let (cursor_start, cursor_end) = (state.crtc.registers[0x0A], state.crtc.registers[0x0B]);
        let cursor_on = cursor_start & 0x20 == 0 && cursor_start & 0x1F <= cursor_end & 0x1F;
        for row in 0..rows {
            for column in 0..columns {
                let counter = (walk.text_row(row) + column) & 0xFFFF;
                let [code, attribute, ..] = state.planes_at(walk.offset(counter, 0)).to_le_bytes();
                screen.cells.push(Cell { code, attribute });
                if cursor_on && counter == state.cursor_counter() {
                    screen.cursor = Some(Cursor { column, row, start: cursor_start & 0x1F, end: cursor_end & 0x1F });
                }
            }
        }
        Some(screen)
    }
}
