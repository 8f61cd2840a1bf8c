//! A picture on a terminal: two pixels a character, one above the other.

use super::fit::{LEAVE, hint_style};
use emu_devices::vga::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;
use ratatui::style::Color;

/// Which colours a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// 24 bits, as it says itself.
    True,
    /// The 256 of xterm.
    Palette,
}

impl Colors {
    /// What `COLORTERM` says, which terminals with 24 bits set.
    pub fn of_environment() -> Self {
        let value = std::env::var("COLORTERM").unwrap_or_default();
        if matches!(value.as_str(), "truecolor" | "24bit") { Self::True } else { Self::Palette }
    }

    fn color(self, [red, green, blue]: [u8; 3]) -> Color {
        match self {
            Self::True => Color::Rgb(red, green, blue),
            Self::Palette => Color::Indexed(nearest([red, green, blue])),
        }
    }
}

/// xterm's levels of a part in its cube of 6 by 6 by 6 colours, which are its colours 16 to 231.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The nearest of xterm's colours: in its cube, or of its greys 232 to 255.
fn nearest(color: [u8; 3]) -> u8 {
    let place = |part: u8| (0..6u8).min_by_key(|n| LEVELS[usize::from(*n)].abs_diff(part)).unwrap_or(0);
    let cube = color.map(place);
    let distance =
        |other: [u8; 3]| -> u32 { color.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let grey = (0..24u8).min_by_key(|n| distance([8 + 10 * n; 3])).unwrap_or(0);
    if distance([8 + 10 * grey; 3]) < distance(cube.map(|n| LEVELS[usize::from(n)])) {
        232 + grey
    } else {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    }
}

/// The last line, which says how to leave.
pub fn draw_status(status: &str, buffer: &mut Buffer) {
    let area = buffer.area;
    let columns = usize::from(area.width);
    let text = format!(" {LEAVE}  {status:columns$}");
    buffer.set_stringn(0, area.height.saturating_sub(1), text, columns, hint_style());
}

/// Draws `frame` as large as it fits above the last line, which says how to leave.
pub fn draw(frame: &Frame, colors: Colors, status: &str, buffer: &mut Buffer) {
    let area = buffer.area;
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    draw_status(status, buffer);
    let (width, height) = size(frame, columns, 2 * rows.saturating_sub(1));
    let left = (columns - width) / 2;
    for row in 0..height.div_ceil(2) {
        for column in 0..width {
            let pixel = |line: usize| {
                if line < height { average(frame, (column, width), (line, height)) } else { [0; 3] }
            };
            let (above, below) = (pixel(2 * row), pixel(2 * row + 1));
            if let Some(cell) = buffer.cell_mut(Position::new((left + column) as u16, row as u16)) {
                cell.set_char('▀').set_fg(colors.color(above)).set_bg(colors.color(below));
            }
        }
    }
}

/// The largest size with the frame's proportions within `width` by `height`.
pub fn size(frame: &Frame, width: usize, height: usize) -> (usize, usize) {
    let (w, h) = (frame.width.max(1), frame.height.max(1));
    if width * h <= height * w { (width, (width * h / w).min(height)) } else { (height * w / h, height) }
}

/// The mean colour of the pixels that place `n` of `of` stands for, in each direction.
pub fn average(frame: &Frame, (x, width): (usize, usize), (y, height): (usize, usize)) -> [u8; 3] {
    let part = |n: usize, of: usize, all: usize| {
        let from = n * all / of;
        from..((n + 1) * all / of).max(from + 1).min(all)
    };
    let (mut sum, mut count) = ([0u64; 3], 0);
    for line in part(y, height, frame.height) {
        for column in part(x, width, frame.width) {
            let Some(pixel) = frame.pixels.get(line * frame.width + column) else { continue };
            for (sum, shift) in sum.iter_mut().zip([16, 8, 0]) {
                *sum += u64::from(pixel >> shift & 0xFF);
            }
            count += 1;
        }
    }
    sum.map(|sum| (sum / count.max(1)) as u8)
}

#[cfg(test)]
mod tests {
    use super::super::fit::blank;
    use super::*;

    /// The left half red, the right half blue over green.
    fn frame() -> Frame {
        let pixel = |x: usize, y: usize| match (x < 160, y < 100) {
            (true, _) => 0xFF_0000,
            (false, true) => 0x00_00FF,
            (false, false) => 0x00_FF00,
        };
        let pixels = (0..200).flat_map(|y| (0..320).map(move |x| pixel(x, y))).collect();
        Frame { width: 320, height: 200, pixels }
    }

    #[test]
    fn picture_keeps_its_proportions_and_leaves_the_last_line() {
        assert_eq!(size(&frame(), 80, 46), (73, 46));
        assert_eq!(size(&frame(), 40, 46), (40, 25));
        let mut buffer = blank(80, 24);
        draw(&frame(), Colors::True, "1 MIPS", &mut buffer);
        let cell = &buffer[(10, 3)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▀", Color::Rgb(255, 0, 0), Color::Rgb(255, 0, 0)));
        assert_eq!(buffer[(60, 3)].fg, Color::Rgb(0, 0, 255));
        assert_eq!(buffer[(60, 22)].bg, Color::Rgb(0, 255, 0));
        let last: String = (0..80).map(|x| buffer[(x, 23)].symbol()).collect();
        assert_eq!(last.trim_end(), format!(" {LEAVE}  1 MIPS"));
    }

    #[test]
    fn colours_of_the_palette_are_the_nearest() {
        for (color, expected) in
            [([0, 0, 0], 16), ([255, 0, 0], 196), ([255; 3], 231), ([8; 3], 232), ([250, 95, 1], 202)]
        {
            assert_eq!(nearest(color), expected, "{color:?}");
        }
    }

    #[test]
    fn pictures_and_terminals_of_any_size_are_drawn() {
        for (width, height) in [(0, 0), (1, 1), (3, 1), (300, 2)] {
            draw(&frame(), Colors::Palette, "", &mut blank(width, height));
            draw(&Frame::default(), Colors::Palette, "", &mut blank(width, height));
        }
    }
}
