//! The guest's screen outside the guest: screen dumps and screenshots.

use crate::background::write_whole;
use crate::error::InputError;
use emu_devices::vga::{Frame, TextScreen};
use std::path::Path;

/// A text screen as text: its lines, trailing blanks cut, each with a line feed.
pub fn text(screen: &TextScreen) -> String {
    screen.lines().into_iter().map(|line| line + "\n").collect()
}

/// What `--screen-dump` and `ScreenDump` write: the text screen, or one line that says there is none.
pub fn dump(screen: Option<&TextScreen>) -> String {
    screen.map_or_else(|| "(graphics mode: no text screen)\n".to_owned(), text)
}

/// Encodes a frame as PNG. A frame whose data does not match its size is an error.
pub fn encode_png(frame: &Frame) -> Result<Vec<u8>, png::EncodingError> {
    let mut data = Vec::new();
    let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut data, size(frame.width), size(frame.height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&frame.rgb_bytes())?;
    writer.finish()?;
    Ok(data)
}

/// Writes a screenshot.
pub fn write_png(path: &Path, frame: &Frame) -> Result<(), InputError> {
    let data = encode_png(frame).map_err(|e| InputError::file(path, format!("cannot make the picture: {e}")))?;
    write_whole(path, "picture", &data)
}

/// Writes a screen dump.
pub fn write_dump(path: &Path, screen: Option<&TextScreen>) -> Result<(), InputError> {
    write_whole(path, "screen dump", dump(screen).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_devices::vga::Cell;

    #[test]
    fn screen_dump_cuts_trailing_blanks_and_keeps_every_line() {
        let mut cells = vec![Cell { code: b' ', attribute: 7 }; 6];
        cells[0].code = 0xb0;
        cells[1].code = 0;
        let screen = TextScreen { columns: 2, rows: 3, cells, ..TextScreen::default() };
        assert_eq!(dump(Some(&screen)), "░\n\n\n");
        assert!(dump(None).contains("graphics"));
    }

    #[test]
    fn png_of_a_frame_decodes_to_the_same_pixels() {
        let frame = Frame { width: 2, height: 1, pixels: vec![0x01_0203, 0xfa_fbfc] };
        let data = encode_png(&frame).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(data)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [1, 2, 3, 250, 251, 252]);
        assert!(encode_png(&Frame { width: 2, height: 2, pixels: vec![0] }).is_err());
    }
}
