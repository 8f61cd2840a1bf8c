//! A picture of the window: the guest's picture scaled into it, and lines of text with the machine's own font.

use emu_devices::vga::{Frame, cp437_to_char};

/// A character of the font, in pixels before scaling.
pub const CHARACTER: (usize, usize) = (8, 16);

/// Pixels as 00RRGGBBh, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The pixels.
    pub pixels: Vec<u32>,
}

/// A rectangle of a canvas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: usize,
    /// First line.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

impl Area {
    /// Whether a pixel is in it.
    pub fn holds(&self, x: usize, y: usize) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// Where a picture of `size` goes in `area`: in whole multiples of its pixels, or filling the area; smaller where the area
/// is, with its proportions in any case.
pub fn place(size: (usize, usize), area: Area, fill: bool) -> Area {
    let (w, h) = (size.0.max(1), size.1.max(1));
    let whole = (area.width / w).min(area.height / h);
    let (width, height) = if whole >= 1 && !fill {
        (w * whole, h * whole)
    } else if area.width * h <= area.height * w {
        (area.width, area.width * h / w)
    } else {
        (area.height * w / h, area.height)
    };
    Area { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

impl Canvas {
    /// A black one.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height] }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, area: Area, color: u32) {
        for y in area.y..(area.y + area.height).min(self.height) {
            let line = y * self.width;
            let (from, to) = (area.x.min(self.width), (area.x + area.width).min(self.width));
            if let Some(pixels) = self.pixels.get_mut(line + from..line + to) {
                pixels.fill(color);
            }
        }
    }

    /// Draws a frame over an area, each pixel the nearest one's colour.
    pub fn picture(&mut self, frame: &Frame, area: Area) {
        let columns: Vec<usize> = (0..area.width).map(|x| x * frame.width / area.width.max(1)).collect();
        for y in 0..area.height.min(self.height.saturating_sub(area.y)) {
            let from = y * frame.height / area.height * frame.width;
            let Some(source) = frame.pixels.get(from..from + frame.width) else { continue };
            let start = (area.y + y) * self.width + area.x;
            let Some(line) = self.pixels.get_mut(start..start + area.width) else { continue };
            for (pixel, column) in line.iter_mut().zip(&columns) {
                *pixel = source.get(*column).copied().unwrap_or(0);
            }
        }
    }

    /// Writes text, each pixel of the font `scale` pixels wide and high; what does not fit in `area` is cut.
    pub fn text(&mut self, text: &str, area: Area, scale: usize, color: u32) {
        let (width, height) = (CHARACTER.0 * scale, CHARACTER.1 * scale);
        let fits = area.width / width.max(1);
        for (n, character) in text.chars().take(fits).enumerate() {
            let glyph = firmware::glyph(code(character));
            for (y, bits) in (0..height.min(area.height)).filter_map(|y| Some((y, *glyph.get(y / scale)?))) {
                for x in (0..width).filter(|x| bits >> (7 - x / scale) & 1 != 0) {
                    let (column, line) = (area.x + n * width + x, area.y + y);
                    if column < self.width
                        && let Some(pixel) = self.pixels.get_mut(line * self.width + column)
                    {
                        *pixel = color;
                    }
                }
            }
        }
    }
}

/// The character in code page 437.
fn code(character: char) -> u8 {
    if character.is_ascii() && !character.is_ascii_control() {
        return character as u8;
    }
    (0..=255).find(|code| cp437_to_char(*code) == character).unwrap_or(b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Area = Area { x: 0, y: 0, width: 800, height: 600 };

    #[test]
    fn picture_is_scaled_in_whole_multiples_where_it_fits() {
        assert_eq!(place((320, 200), AREA, false), Area { x: 80, y: 100, width: 640, height: 400 });
        assert_eq!(place((720, 400), AREA, false), Area { x: 40, y: 100, width: 720, height: 400 });
        assert_eq!(place((1600, 1200), AREA, false), AREA);
        assert_eq!(place((1600, 400), AREA, false), Area { x: 0, y: 200, width: 800, height: 200 });
        assert_eq!(place((400, 200), AREA, true), Area { x: 0, y: 100, width: 800, height: 400 });
        assert_eq!(place((0, 0), Area::default(), false), Area::default());
    }

    #[test]
    fn each_pixel_of_a_scaled_picture_is_its_pixels_colour() {
        let frame = Frame { width: 3, height: 2, pixels: vec![1, 2, 3, 4, 5, 6] };
        let mut canvas = Canvas::new(9, 6);
        canvas.picture(&frame, Area { x: 0, y: 0, width: 9, height: 6 });
        for y in 0..6 {
            for x in 0..9 {
                assert_eq!(canvas.pixels[y * 9 + x], frame.pixels[y / 3 * 3 + x / 3]);
            }
        }
    }

    #[test]
    fn text_is_the_fonts_and_stays_in_its_area() {
        let mut canvas = Canvas::new(24, 16);
        canvas.text("AAé", Area { x: 0, y: 0, width: 17, height: 16 }, 1, 7);
        for (y, bits) in firmware::glyph(b'A').iter().enumerate() {
            for x in 0..8 {
                let expected = if bits >> (7 - x) & 1 != 0 { 7 } else { 0 };
                assert_eq!((canvas.pixels[y * 24 + x], canvas.pixels[y * 24 + 8 + x]), (expected, expected));
                assert_eq!(canvas.pixels[y * 24 + 16 + x], 0);
            }
        }
        assert_eq!((code('é'), code('語')), (0x82, b'?'));
        canvas.text("no room", Area::default(), 2, 7);
    }
}
