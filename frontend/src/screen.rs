//! The guest's screen outside the guest: code page 437 as Unicode, screen dumps and screenshots.

use crate::error::InputError;
use std::path::Path;

/// One character cell of a text mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Code page 437 character.
    pub character: u8,
    /// VGA attribute: foreground in bits 3:0, background in bits 7:4.
    pub attribute: u8,
}

/// A text screen as the guest shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextScreen {
    /// Columns, at least 1.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// `rows * columns` cells, row by row.
    pub cells: Vec<Cell>,
    /// Column and row of the cursor, if it is shown.
    pub cursor: Option<(usize, usize)>,
}

impl TextScreen {
    /// The lines in Unicode, trailing blanks cut.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .cells
            .chunks(self.columns.max(1))
            .take(self.rows)
            .map(|row| {
                let line: String = row.iter().map(|cell| cp437(cell.character)).collect();
                line.trim_end_matches([' ', '\u{a0}']).to_owned()
            })
            .collect();
        lines.resize(self.rows, String::new());
        lines
    }

    /// The whole screen as text: [`TextScreen::lines`], each with a line feed.
    pub fn text(&self) -> String {
        self.lines().into_iter().map(|line| line + "\n").collect()
    }
}

/// A picture: 24-bit RGB, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

/// Code page 437 from 80h up.
const CP437_HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
                          └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Code page 437's pictures for 00h to 1Fh.
const CP437_LOW: &str = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";

/// The Unicode character of a code page 437 cell. 00h shows as a blank, as on the screen.
pub fn cp437(character: u8) -> char {
    let found = match character {
        0..0x20 => CP437_LOW.chars().nth(usize::from(character)),
        0x20..0x7f => Some(char::from(character)),
        0x7f => Some('⌂'),
        0x80.. => CP437_HIGH.chars().nth(usize::from(character - 0x80)),
    };
    found.unwrap_or(' ')
}

/// What `--screen-dump` and `ScreenDump` write: the text screen, or one line that says there is none.
pub fn dump(screen: Option<&TextScreen>) -> String {
    screen.map_or_else(|| "(graphics mode: no text screen)\n".to_owned(), TextScreen::text)
}

/// Encodes a frame as PNG. A frame whose data does not match its size is an error.
pub fn encode_png(frame: &Frame) -> Result<Vec<u8>, png::EncodingError> {
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(&mut data, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&frame.rgb)?;
    writer.finish()?;
    Ok(data)
}

/// Writes a screenshot.
pub fn write_png(path: &Path, frame: &Frame) -> Result<(), InputError> {
    let data = encode_png(frame).map_err(|e| InputError::file(path, format!("cannot make the picture: {e}")))?;
    std::fs::write(path, data).map_err(|e| InputError::io(path, "write the picture", &e))
}

/// Writes a screen dump.
pub fn write_dump(path: &Path, screen: Option<&TextScreen>) -> Result<(), InputError> {
    std::fs::write(path, dump(screen)).map_err(|e| InputError::io(path, "write the screen dump", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cp437_tables_cover_every_code_once() {
        assert_eq!(CP437_LOW.chars().count(), 0x20);
        assert_eq!(CP437_HIGH.chars().count(), 0x80);
        let mut all: Vec<char> = (1..=255).map(cp437).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 255);
        assert_eq!([cp437(0xb0), cp437(0xc9), cp437(0xdb), cp437(0xe1), cp437(0xfe)], ['░', '╔', '█', 'ß', '■']);
    }

    #[test]
    fn screen_dump_cuts_trailing_blanks_and_keeps_every_line() {
        let mut cells = vec![Cell { character: b' ', attribute: 7 }; 6];
        cells[0].character = b'A';
        cells[1].character = 0;
        let screen = TextScreen { columns: 2, rows: 3, cells, cursor: None };
        assert_eq!(screen.text(), "A\n\n\n");
    }

    #[test]
    fn text_screen_with_too_few_cells_has_all_its_rows() {
        let screen = TextScreen { columns: 80, rows: 25, cells: vec![], cursor: None };
        assert_eq!(screen.lines().len(), 25);
    }

    #[test]
    fn png_of_a_frame_decodes_to_the_same_pixels() {
        let frame = Frame { width: 2, height: 1, rgb: vec![1, 2, 3, 250, 251, 252] };
        let data = encode_png(&frame).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(data)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, frame.rgb);
        assert!(encode_png(&Frame { width: 2, height: 2, rgb: vec![0] }).is_err());
    }
}
