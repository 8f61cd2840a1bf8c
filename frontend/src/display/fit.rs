//! A text screen on a terminal that is smaller or larger: which rows are shown, and where the line goes that says how to
//! leave.

use emu_devices::vga::{Cell, TextScreen, cp437_to_char};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

/// How to leave; shown wherever the rest goes.
pub const LEAVE: &str = "Ctrl-] ends the run";

/// The VGA's 16 colours as a terminal's, by attribute nibble.
const COLORS: [Color; 16] = [
    Color::Black,
    Color::Blue,
    Color::Green,
    Color::Cyan,
    Color::Red,
    Color::Magenta,
    Color::Yellow,
    Color::Gray,
    Color::DarkGray,
    Color::LightBlue,
    Color::LightGreen,
    Color::LightCyan,
    Color::LightRed,
    Color::LightMagenta,
    Color::LightYellow,
    Color::White,
];

/// The line that says how to leave, and all else there is to say.
pub fn hint_style() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// Decides which rows a screen that is too high goes without. What it has decided stays as long as it can, so that
/// nothing jumps.
#[derive(Debug, Default)]
pub struct Fit {
    hidden: Vec<usize>,
    hint_row: Option<u16>,
}

impl Fit {
    /// Draws `screen`, with `status` below it where there is room. The cursor, if it is to be seen.
    pub fn draw(&mut self, screen: &TextScreen, status: &str, buffer: &mut Buffer) -> Option<Position> {
        let area = buffer.area;
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        self.choose_hidden(screen, height);
        // With blinking on, bit 7 is not part of the background; a terminal shows such cells steady.
        let background = if screen.blink { 7 } else { 15 };
        let shown: Vec<usize> = (0..screen.rows).filter(|row| !self.hidden.contains(row)).take(height).collect();
        let mut cursor = None;
        for (y, &row) in (0..).zip(&shown) {
            for (x, cell) in (0..).zip(screen.row(row).iter().take(width)) {
                let Some(place) = buffer.cell_mut(Position::new(x, y)) else { continue };
                place.set_char(cp437_to_char(cell.code));
                place.set_fg(COLORS[usize::from(cell.attribute & 15)]);
                place.set_bg(COLORS[usize::from(cell.attribute >> 4 & background)]);
            }
            let here = screen.cursor.filter(|cursor| cursor.row == row && cursor.column < width);
            cursor = cursor.or(here.map(|cursor| Position::new(cursor.column as u16, y)));
        }
        let lost = [(screen.rows - shown.len(), "row"), (screen.columns.saturating_sub(width), "column")];
        let lost: Vec<String> =
            lost.iter().filter(|(count, _)| *count != 0).map(|(n, what)| hidden(*n, what)).collect();
        if shown.len() < height {
            self.hint_row = None;
            let line = [&[LEAVE.to_owned()], &lost[..], &[status.to_owned()]].concat().join("  ");
            // The bottom line is where one looks for it.
            buffer.set_stringn(0, area.height - 1, format!(" {line:width$}"), width, hint_style());
            return cursor;
        }
        let hint = if lost.is_empty() { LEAVE.to_owned() } else { format!("{LEAVE}, {}", lost.join(", ")) };
        self.overlay(&hint, cursor, buffer);
        cursor
    }

    /// The rows that are to be hidden: empty ones first, then those at the top.
    fn choose_hidden(&mut self, screen: &TextScreen, height: usize) {
        let excess = screen.rows.saturating_sub(height);
        let with_cursor = screen.cursor.map(|cursor| cursor.row);
        let black = |cell: &Cell| cell.attribute & 0x70 == 0;
        let plain = |row: usize| is_blank(screen.row(row)) && screen.row(row).iter().all(black);
        let rank = |row: usize| match row {
            row if with_cursor == Some(row) => 4,
            row if plain(row) && self.hidden.contains(&row) => 0,
            row if plain(row) => 1,
            row if is_blank(screen.row(row)) => 2,
            _ => 3,
        };
        // Of the empty ones those nearest the bottom, of the others those nearest the top.
        let mut rows: Vec<(usize, usize, usize)> =
            (0..screen.rows).map(|row| (rank(row), if rank(row) < 3 { screen.rows - row } else { row }, row)).collect();
        rows.sort_unstable();
        self.hidden = rows.into_iter().take(excess).map(|(_, _, row)| row).collect();
    }

    /// Puts `hint` where a row's end is empty; over the top row's end if none is.
    fn overlay(&mut self, hint: &str, cursor: Option<Position>, buffer: &mut Buffer) {
        let area = buffer.area;
        let length = (hint.len() as u16).min(area.width);
        let left = area.width - length;
        let free = |buffer: &Buffer, y: u16| {
            // A blank on both sides keeps words apart.
            let covered = left.saturating_sub(1)..area.width;
            let empty = covered.clone().all(|x| matches!(buffer[(x, y)].symbol(), " " | "\0"));
            empty && cursor.is_none_or(|cursor| cursor.y != y || !covered.contains(&cursor.x))
        };
        let before = self.hint_row.filter(|y| *y < area.height && free(buffer, *y));
        let row = before.or_else(|| (0..area.height).rev().find(|y| free(buffer, *y)));
        self.hint_row = row;
        buffer.set_stringn(left, row.unwrap_or(0), hint, usize::from(length), hint_style());
    }
}

fn hidden(count: usize, what: &str) -> String {
    format!("{count} {what}{} hidden", if count == 1 { "" } else { "s" })
}

fn is_blank(cells: &[Cell]) -> bool {
    cells.iter().all(|cell| matches!(cell.code, 0 | b' ' | 0xFF))
}

/// An empty picture of a terminal of this size.
pub fn blank(width: u16, height: u16) -> Buffer {
    Buffer::empty(Rect::new(0, 0, width.max(1), height.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_devices::vga::Cursor;

    /// A screen of 80 columns; rows that are not given are empty.
    fn screen(rows: &[(usize, &str)]) -> TextScreen {
        let mut screen = TextScreen {
            columns: 80,
            rows: 25,
            cells: vec![Cell { code: b' ', attribute: 7 }; 2000],
            ..Default::default()
        };
        for (row, text) in rows {
            for (cell, code) in screen.cells[row * 80..].iter_mut().zip(text.bytes()) {
                cell.code = code;
            }
        }
        screen
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let (width, height) = (buffer.area.width, buffer.area.height);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    fn drawn(fit: &mut Fit, screen: &TextScreen, width: u16, height: u16) -> Vec<String> {
        let mut buffer = blank(width, height);
        fit.draw(screen, "1 MIPS", &mut buffer);
        lines(&buffer)
    }

    #[test]
    fn every_row_with_text_and_the_way_out_are_on_24_lines() {
        let keys = "<UP>: up  <ESC>: reset";
        let lines = drawn(&mut Fit::default(), &screen(&[(0, "title"), (3, "text"), (24, keys)]), 80, 24);
        assert_eq!((lines[0].as_str(), lines[3].as_str()), ("title", "text"));
        assert!(lines[23].starts_with(keys) && lines[23].ends_with(&format!("{LEAVE}, 1 row hidden")), "{lines:?}");
    }

    #[test]
    fn hint_makes_way_for_text() {
        let full = "x".repeat(80);
        let lines = drawn(&mut Fit::default(), &screen(&[(23, &full), (24, &full)]), 80, 25);
        assert_eq!((lines[24].as_str(), lines[23].as_str()), (full.as_str(), full.as_str()));
        assert!(lines[22].ends_with(LEAVE));
    }

    #[test]
    fn screen_without_an_empty_row_goes_without_its_top_and_says_so() {
        let full = "x".repeat(80);
        let mut rows: Vec<(usize, &str)> = (1..25).map(|row| (row, full.as_str())).collect();
        rows.push((0, "top"));
        let lines = drawn(&mut Fit::default(), &screen(&rows), 80, 24);
        assert!(lines[0].ends_with(&format!("{LEAVE}, 1 row hidden")), "{lines:?}");
        assert_eq!(lines[23], full);
    }

    #[test]
    fn larger_terminal_has_a_line_of_its_own_for_what_there_is_to_say() {
        let lines = drawn(&mut Fit::default(), &screen(&[(24, "keys")]), 132, 50);
        assert_eq!((lines[24].as_str(), lines[49].as_str()), ("keys", " Ctrl-] ends the run  1 MIPS"));
        let narrow = drawn(&mut Fit::default(), &screen(&[(24, "keys")]), 60, 30);
        assert!(narrow[29].contains("20 columns hidden"), "{narrow:?}");
    }

    #[test]
    fn hidden_row_stays_the_same_while_it_is_empty() {
        let mut fit = Fit::default();
        drawn(&mut fit, &screen(&[(24, "keys")]), 80, 24);
        let before = fit.hidden.clone();
        drawn(&mut fit, &screen(&[]), 80, 24);
        assert_eq!(fit.hidden, before);
        drawn(&mut fit, &screen(&[(before[0], "now there is text")]), 80, 24);
        assert_ne!(fit.hidden, before);
    }

    #[test]
    fn cursor_and_colours_go_with_their_row() {
        let mut screen = screen(&[(24, "prompt>")]);
        screen.cursor = Some(Cursor { column: 7, row: 24, start: 13, end: 14 });
        screen.cells[24 * 80].attribute = 0x9E;
        screen.blink = true;
        let mut buffer = blank(80, 24);
        assert_eq!(Fit::default().draw(&screen, "", &mut buffer), Some(Position::new(7, 23)));
        assert_eq!((buffer[(0, 23)].fg, buffer[(0, 23)].bg), (Color::LightYellow, Color::Blue));
        screen.blink = false;
        Fit::default().draw(&screen, "", &mut buffer);
        assert_eq!(buffer[(0, 23)].bg, Color::LightBlue);
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(0, 0), (1, 1), (5, 2), (80, 1), (1, 80)] {
            drawn(&mut Fit::default(), &screen(&[(24, "keys")]), width, height);
        }
    }
}
