//! Pictures of an X display, and the characters in them.

use super::wrong;
use std::collections::BTreeMap;
use std::io;

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The pixels as 00RRGGBBh.
    pub pixels: Vec<u32>,
}

/// A text screen's size, and its cells' in pixels.
const SCREEN: (usize, usize) = (80, 25);
const CELL: (usize, usize) = (9, 16);

impl Picture {
    /// What `xwd` writes (X11/XWDFile.h: 25 words of 32 bits, most significant byte first, a name, 12 bytes a colour,
    /// lines of pixels), of 32 bits a pixel.
    pub fn of_xwd(data: &[u8]) -> io::Result<Self> {
        let word = |n: usize| {
            let bytes = data.get(4 * n..4 * n + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or_else(|| wrong("xwd: its header is cut"))
        };
        let (header, width, height) = (word(0)? as usize, word(4)? as usize, word(5)? as usize);
        let (little_endian, bits, line, colors) = (word(7)? == 0, word(11)?, word(12)? as usize, word(19)? as usize);
        if bits != 32 {
            return Err(wrong(format!("xwd: {bits} bits a pixel; give Xvfb a screen of 24 bits")));
        }
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let start = header + colors * 12 + y * line + 4 * x;
                let bytes: [u8; 4] = data
                    .get(start..start + 4)
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or_else(|| wrong("xwd: its pixels are cut"))?;
                let pixel = if little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
                pixels.push(pixel & 0xFF_FFFF);
            }
        }
        Ok(Self { width, height, pixels })
    }

    /// A PNG of 8 bits a part.
    pub fn of_png(data: &[u8]) -> io::Result<Self> {
        let mut reader = png::Decoder::new(data).read_info().map_err(io::Error::other)?;
        let mut bytes = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut bytes).map_err(io::Error::other)?;
        let pixels = bytes.chunks_exact(3).map(|p| u32::from_be_bytes([0, p[0], p[1], p[2]])).collect();
        Ok(Self { width: info.width as usize, height: info.height as usize, pixels })
    }

    fn pixel(&self, x: usize, y: usize) -> u32 {
        if x < self.width { self.pixels.get(y * self.width + x).copied().unwrap_or(0) } else { 0 }
    }

    /// A part of it.
    pub fn part(&self, (x, y): (usize, usize), (width, height): (usize, usize)) -> Self {
        let pixels = (0..height).flat_map(|line| (0..width).map(move |column| (column, line)));
        Self { width, height, pixels: pixels.map(|(column, line)| self.pixel(x + column, y + line)).collect() }
    }

    /// The same, each pixel `times` wide and high.
    pub fn scaled(&self, times: usize) -> Self {
        let (width, height) = (self.width * times, self.height * times);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x / times, y / times)));
        Self { width, height, pixels: places.map(|(x, y)| self.pixel(x, y)).collect() }
    }

    /// How many pixels are others, and the first of them.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if (self.width, self.height) != (other.width, other.height) {
            return Some(format!("{}x{} pixels, not {}x{}", self.width, self.height, other.width, other.height));
        }
        let mut places = (0..self.pixels.len()).filter(|n| self.pixels[*n] != other.pixels[*n]);
        let first = places.next()?;
        Some(format!("{} pixels differ, first at {},{}", 1 + places.count(), first % self.width, first / self.width))
    }

    /// The lines of a text screen that it shows, read cell by cell: each must be a character of the font in two colours.
    pub fn text(&self) -> io::Result<Vec<String>> {
        let mut glyphs = BTreeMap::new();
        for code in (0..=255).rev() {
            glyphs.insert(firmware::glyph(code).to_vec(), code);
        }
        // What has no pixels is a blank.
        glyphs.insert(vec![0; 16], b' ');
        let line = |row: usize| -> io::Result<String> {
            let cells = (0..SCREEN.0).map(|column| {
                let code = self.cell(column, row, &glyphs);
                let code = code.ok_or_else(|| wrong(format!("the cell {column},{row} shows no character")))?;
                Ok(emu_devices::vga::cp437_to_char(code))
            });
            Ok(cells.collect::<io::Result<String>>()?.trim_end().to_owned())
        };
        (0..SCREEN.1).map(line).collect()
    }

    fn cell(&self, column: usize, row: usize, glyphs: &BTreeMap<Vec<u8>, u8>) -> Option<u8> {
        let (x, y) = (column * CELL.0, row * CELL.1);
        let colors: std::collections::BTreeSet<u32> =
            (0..16).flat_map(|line| (0..8).map(move |dot| self.pixel(x + dot, y + line))).collect();
        if colors.len() > 2 {
            return None;
        }
        let bits = |front: u32| -> Vec<u8> {
            let line = |line| (0..8).fold(0, |bits, dot| bits << 1 | u8::from(self.pixel(x + dot, y + line) == front));
            (0..16).map(line).collect()
        };
        if colors.len() < 2 {
            return Some(b' ');
        }
        // The darker one is the background more often.
        colors.iter().rev().find_map(|front| glyphs.get(&bits(*front)).copied())
    }
}
