//! Pictures as sixels (DEC STD 070, chapter 9 "Sixel Graphics Extension"), for terminals that say in their primary device
//! attributes that they have them. A picture's own colours are shown exactly, as long as they are no more than registers.

use super::half_blocks::{average, size};
use emu_devices::vga::Frame;
use ratatui::layout::Rect;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Colour registers of a terminal.
const COLORS: usize = 256;
/// Lines of pixels in one line of sixels.
const BAND: usize = 6;

/// Most pixels that a picture is shown with, whatever size a terminal says it has.
const MOST: (usize, usize) = (2560, 1600);

/// What a terminal says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// It has sixels.
    pub sixels: bool,
    /// Width and height of a character in pixels.
    pub cell: Option<(u16, u16)>,
}

/// Asks for a character's size, then for the device attributes, which every terminal answers.
pub const QUESTION: &str = "\x1b[16t\x1b[c";

impl Answer {
    /// Reads what a terminal has sent; `None` while the device attributes are not there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut answer = Self::default();
        let mut complete = false;
        for sequence in text.split("\x1b[").skip(1) {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(sequence.len());
            let (parameters, rest) = sequence.split_at(end);
            match rest.chars().next() {
                Some('c') => {
                    let mut attributes = parameters.trim_start_matches('?').split(';');
                    // The first is the terminal's class.
                    answer.sixels = attributes.next().is_some() && attributes.any(|attribute| attribute == "4");
                    complete = true;
                }
                Some('t') => {
                    let numbers: Vec<u16> = parameters.split(';').filter_map(|number| number.parse().ok()).collect();
                    if let [6, height, width] = numbers[..] {
                        answer.cell = Some((width, height)).filter(|_| width > 0 && height > 0);
                    }
                }
                _ => {}
            }
        }
        complete.then_some(answer)
    }
}

/// Asks the terminal of standard input and output, which is in raw mode, and waits a moment for the answer. What is typed
/// in that moment is lost.
#[cfg(unix)]
pub fn ask() -> Answer {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::Write;
    use std::time::{Duration, Instant};
    const PATIENCE: Duration = Duration::from_millis(150);
    let mut out = std::io::stdout();
    if out.write_all(QUESTION.as_bytes()).and_then(|()| out.flush()).is_err() {
        return Answer::default();
    }
    let (started, input, mut all) = (Instant::now(), std::io::stdin(), Vec::new());
    loop {
        let Some(left) = PATIENCE.checked_sub(started.elapsed()) else { return Answer::default() };
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut files = [PollFd::new(&input, PollFlags::IN)];
        if !matches!(poll(&mut files, Some(&left)), Ok(1..)) {
            return Answer::default();
        }
        let mut part = [0; 256];
        match rustix::io::read(&input, &mut part) {
            Ok(length @ 1..) => all.extend_from_slice(part.get(..length).unwrap_or_default()),
            _ => return Answer::default(),
        }
        if let Some(answer) = Answer::read(&all) {
            return answer;
        }
    }
}

/// Elsewhere terminals are shown half blocks.
#[cfg(not(unix))]
pub fn ask() -> Answer {
    Answer::default()
}

/// A picture as it is shown: the column where it begins, and the terminal's bytes for it.
pub fn draw(frame: &Frame, area: Rect, (width, height): (u16, u16)) -> (u16, String) {
    let (width, height) = (usize::from(width), usize::from(height));
    let room = (usize::from(area.width) * width, usize::from(area.height) * height);
    let picture = scaled(frame, (room.0.min(MOST.0), room.1.min(MOST.1) / BAND * BAND));
    let columns = picture.width.div_ceil(width.max(1)) as u16;
    (area.x + area.width.saturating_sub(columns) / 2, encode(&picture))
}

/// The picture in whole multiples of its pixels, or as large as there is room.
fn scaled(frame: &Frame, (width, height): (usize, usize)) -> Frame {
    let times = (width / frame.width.max(1)).min(height / frame.height.max(1));
    let (width, height) = match times {
        0 => size(frame, width, height),
        times => (frame.width * times, frame.height * times),
    };
    let pixel = |x: usize, y: usize| match times {
        0 => {
            let [red, green, blue] = average(frame, (x, width), (y, height)).map(u32::from);
            red << 16 | green << 8 | blue
        }
        times => frame.pixels.get(y / times * frame.width + x / times).copied().unwrap_or(0),
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
    Frame { width, height, pixels }
}

/// The register of each pixel, and the colours of the registers: the picture's own, or if it has more than there are
/// registers, those of a cube of 6 by 6 by 6.
fn registers(frame: &Frame) -> (Vec<u8>, Vec<u32>) {
    let pick = |reduce: fn(u32) -> u32| -> Option<(Vec<u8>, Vec<u32>)> {
        let (mut known, mut colors) = (HashMap::new(), Vec::new());
        let mut pixels = Vec::with_capacity(frame.pixels.len());
        for pixel in &frame.pixels {
            let color = reduce(pixel & 0xFF_FFFF);
            let register = *known.entry(color).or_insert_with(|| {
                colors.push(color);
                colors.len() - 1
            });
            pixels.push(u8::try_from(register).ok()?);
        }
        Some((pixels, colors))
    };
    let level =
        |color: u32| [16, 8, 0].map(|shift| (((color >> shift & 0xFF) * 5 + 127) / 255 * 51) << shift).iter().sum();
    pick(|color| color).or_else(|| pick(level)).unwrap_or_default()
}

/// A picture as one device control string.
fn encode(frame: &Frame) -> String {
    let (pixels, colors) = registers(frame);
    // Pixels are square, and what is not set stays as it is.
    let mut out = format!("\x1bP0;1;0q\"1;1;{};{}", frame.width, frame.height);
    for (register, color) in colors.iter().enumerate() {
        let [red, green, blue] = [16, 8, 0].map(|shift| ((color >> shift & 0xFF) * 100 + 127) / 255);
        // Writing to a string does not fail.
        let _ = write!(out, "#{register};2;{red};{green};{blue}");
    }
    let mut masks = vec![0u8; COLORS * frame.width];
    for band in pixels.chunks(BAND * frame.width.max(1)) {
        let mut used = [false; COLORS];
        masks.fill(0);
        for (line, row) in band.chunks(frame.width.max(1)).enumerate() {
            for (column, register) in row.iter().map(|register| usize::from(*register)).enumerate() {
                used[register] = true;
                if let Some(mask) = masks.get_mut(register * frame.width + column) {
                    *mask |= 1 << line;
                }
            }
        }
        for register in (0..COLORS).filter(|register| used[*register]) {
            let _ = write!(out, "#{register}");
            let row = masks.get(register * frame.width..(register + 1) * frame.width).unwrap_or_default();
            for run in row.chunk_by(|a, b| a == b) {
                let sixel = char::from(b'?' + run.first().copied().unwrap_or(0));
                if run.len() > 3 {
                    let _ = write!(out, "!{}{sixel}", run.len());
                } else {
                    out.extend(run.iter().map(|_| sixel));
                }
            }
            out.push('$');
        }
        out.push('-');
    }
    out.push_str("\x1b\\");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal makes of it.
    fn decode(text: &str) -> Frame {
        let body = text.strip_prefix("\x1bP0;1;0q\"1;1;").and_then(|text| text.strip_suffix("\x1b\\")).expect("sixels");
        let number = |rest: &str| -> (usize, usize) {
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            (rest[..length].parse().expect("a number"), length)
        };
        let (width, length) = number(body);
        let (height, more) = number(&body[length + 1..]);
        let mut rest = &body[length + 1 + more..];
        let mut frame = Frame { width, height, pixels: vec![u32::MAX; width * height] };
        let (mut colors, mut color, mut x, mut y, mut times) = (HashMap::new(), 0, 0, 0, 1);
        while let Some(c) = rest.chars().next() {
            rest = &rest[1..];
            match c {
                '#' => {
                    let (register, length) = number(rest);
                    rest = &rest[length..];
                    color = register;
                    if let Some(mut definition) = rest.strip_prefix(";2") {
                        let parts = [0; 3].map(|_| {
                            let (part, length) = number(&definition[1..]);
                            definition = &definition[1 + length..];
                            (part * 255 + 50) as u32 / 100
                        });
                        rest = definition;
                        colors.insert(register, parts[0] << 16 | parts[1] << 8 | parts[2]);
                    }
                }
                '!' => {
                    let (count, length) = number(rest);
                    (times, rest) = (count, &rest[length..]);
                }
                '$' => x = 0,
                '-' => (x, y) = (0, y + BAND),
                sixel => {
                    for _ in 0..std::mem::replace(&mut times, 1) {
                        for line in (0..BAND).filter(|line| (sixel as u8 - b'?') >> line & 1 != 0) {
                            frame.pixels[(y + line) * width + x] = colors[&color];
                        }
                        x += 1;
                    }
                }
            }
        }
        frame
    }

    #[test]
    fn picture_is_shown_pixel_by_pixel_in_its_colours() {
        // Colours that are whole hundredths.
        let colors = [0, 0xFF_0000, 0x00_FF00, 0x33_66CC, 0xFF_FFFF];
        let pixels = (0..13 * 17).map(|n| colors[n * n / 3 % 5]).collect();
        let frame = Frame { width: 13, height: 17, pixels };
        assert_eq!(decode(&encode(&frame)), frame);
    }

    #[test]
    fn picture_of_more_colours_than_registers_is_shown_in_fewer() {
        let pixels: Vec<u32> = (0..64 * 64u32).map(|n| (n / 64 * 4) << 16 | (n % 64 * 4) << 8 | (n % 256)).collect();
        let shown = decode(&encode(&Frame { width: 64, height: 64, pixels: pixels.clone() }));
        for (shown, pixel) in shown.pixels.iter().zip(pixels) {
            for shift in [16, 8, 0] {
                assert!((shown >> shift & 0xFF).abs_diff(pixel >> shift & 0xFF) <= 26, "{shown:x} {pixel:x}");
            }
        }
    }

    #[test]
    fn terminal_that_says_it_is_huge_gets_a_picture_of_bounded_size() {
        let frame = Frame { width: 320, height: 200, pixels: vec![7; 64_000] };
        let (_, sixels) = draw(&frame, Rect::new(0, 0, 200, 60), (60_000, 60_000));
        let shown = decode(&sixels);
        assert_eq!((shown.width, shown.height), (7 * 320, 7 * 200));
    }

    #[test]
    fn picture_is_scaled_by_whole_numbers_within_the_terminal() {
        let frame = Frame { width: 320, height: 200, pixels: vec![7; 64_000] };
        for (area, expected) in [((80, 24), (640, 400)), ((40, 10), (268, 168)), ((200, 60), (1600, 1000))] {
            let (column, text) = draw(&frame, Rect::new(0, 0, area.0, area.1), (8, 17));
            let size = format!("\"1;1;{};{}#", expected.0, expected.1);
            assert!(text.contains(&size), "{size}: {}", &text[..40]);
            assert_eq!(column, (area.0 - (expected.0 as u16).div_ceil(8)) / 2);
        }
        for (frame, area) in [(Frame::default(), (80, 23)), (frame, (0, 0))] {
            draw(&frame, Rect::new(0, 0, area.0, area.1), (8, 17));
        }
    }

    #[test]
    fn answers_of_terminals_are_understood() {
        let read = |text: &str| Answer::read(text.as_bytes());
        assert_eq!(read("\x1b[?62;4;22c"), Some(Answer { sixels: true, cell: None }));
        assert_eq!(read("\x1b[6;17;8tx\x1b[?63;1;2;4c"), Some(Answer { sixels: true, cell: Some((8, 17)) }));
        for text in ["\x1b[?6c", "\x1b[?1;2c", "\x1b[?4c", "\x1b[?64;14;40c"] {
            assert_eq!(read(text), Some(Answer::default()), "{text:?}");
        }
        for text in ["", "abc", "\x1b[6;17;8t", "\x1b[?62;4"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
