//! The terminal display: the text screen in colour, pictures as sixels or half blocks, the keyboard as far as a terminal tells of
//! it. A terminal that takes its time gets fewer frames; the machine waits for none.

use super::fit::{Fit, blank};
use super::half_blocks::{self, Colors};
use super::sixel::{self, Answer};
use super::status::Status;
use super::terminal_keys::translate;
use super::tty::{ENTER_SCREEN, LEAVE_SCREEN, Tty};
use super::{Display, Input};
use crate::background::BackgroundFile;
use crate::error::InputError;
use crate::machine::Machine;
use crossterm::event::{self, Event};
use crossterm::{cursor, queue, style, terminal};
use emu_devices::vga::Frame;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// The terminal, in raw mode on its alternate screen while this lives.
#[derive(Debug)]
pub struct Terminal {
    out: BackgroundFile,
    fit: Fit,
    colors: Colors,
    /// What the terminal shows; nothing is known of it before the first frame and after a resize.
    shown: Option<(Buffer, Option<Position>)>,
    tty: Option<Tty>,
    answer: Answer,
    /// The picture that is shown as sixels.
    picture: Option<Frame>,
}

impl Terminal {
    /// Takes the terminal over.
    pub fn open() -> Result<Self, InputError> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(InputError::new("--display", "standard input and output are no terminal")
                .remedy("give --headless to run without a display"));
        }
        let error =
            |e: io::Error| InputError::new("terminal", format!("cannot be used: {e}")).remedy("give --headless");
        let tty = Tty::screen().map_err(error)?;
        let (out, colors) = (BackgroundFile::terminal(), Colors::of_environment());
        let (fit, answer) = (Fit::default(), sixel::ask());
        let mut this = Self { out, fit, colors, shown: None, tty: Some(tty), answer, picture: None };
        this.show(ENTER_SCREEN.as_bytes());
        Ok(this)
    }

    /// A character's size in pixels, if the terminal has sixels.
    fn cell(&self) -> Option<(u16, u16)> {
        if !self.answer.sixels {
            return None;
        }
        let by_window = || {
            let window = terminal::window_size().ok()?;
            let cell = (window.width.checked_div(window.columns)?, window.height.checked_div(window.rows)?);
            Some(cell).filter(|(width, height)| *width > 0 && *height > 0)
        };
        by_window().or(self.answer.cell)
    }

    /// Hands bytes over.
    fn show(&mut self, bytes: &[u8]) {
        self.out.write(bytes);
        self.out.pass_on();
    }

    /// The terminal's bytes for what has changed.
    fn frame(&mut self, machine: &mut dyn Machine, status: &Status) -> io::Result<Vec<u8>> {
        let (width, height) = terminal::size()?;
        let mut buffer = blank(width, height);
        let (mut cursor, mut picture) = (None, None);
        match (machine.text_screen(), self.cell()) {
            (Some(screen), _) => cursor = self.fit.draw(&screen, &status.line(), &mut buffer),
            (None, Some(cell)) => {
                half_blocks::draw_status(&status.line(), &mut buffer);
                picture = Some((machine.render(), cell));
            }
            (None, None) => half_blocks::draw(&machine.render(), self.colors, &status.line(), &mut buffer),
        }
        if picture.is_some() != self.picture.is_some() {
            self.shown = None;
        }
        let mut bytes = Vec::new();
        let before = self.shown.take().filter(|(shown, _)| shown.area == buffer.area);
        let known = before.is_some();
        let (old, old_cursor) = before.unwrap_or_else(|| (blank(width, height), None));
        if !known {
            queue!(bytes, style::ResetColor, terminal::Clear(terminal::ClearType::All))?;
        }
        let changes = old.diff(&buffer);
        if !changes.is_empty() || cursor != old_cursor {
            queue!(bytes, cursor::Hide)?;
            CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
            if let Some(Position { x, y }) = cursor {
                queue!(bytes, cursor::MoveTo(x, y), cursor::Show)?;
            }
        }
        let area = Rect { height: buffer.area.height.saturating_sub(1), ..buffer.area };
        self.picture = match picture {
            Some((frame, cell)) => {
                if !known || self.picture.as_ref() != Some(&frame) {
                    let (column, sixels) = sixel::draw(&frame, area, cell);
                    queue!(bytes, cursor::Hide, cursor::MoveTo(column, 0), style::Print(sixels))?;
                }
                Some(frame)
            }
            None => None,
        };
        self.shown = Some((buffer, cursor));
        Ok(bytes)
    }
}

impl Display for Terminal {
    fn is_interactive(&self) -> bool {
        true
    }

    fn poll(&mut self) -> Result<Vec<Input>, InputError> {
        let error = |e: io::Error| InputError::new("terminal", format!("cannot be read: {e}"));
        let mut inputs = Vec::new();
        while event::poll(Duration::ZERO).map_err(error)? {
            match event::read().map_err(error)? {
                Event::Key(key) => inputs.extend(translate(&key)),
                Event::Resize(..) => self.shown = None,
                _ => {}
            }
        }
        Ok(inputs)
    }

    fn present(&mut self, machine: &mut dyn Machine, status: &Status) -> Result<(), InputError> {
        if !self.out.is_idle()? {
            return Ok(());
        }
        let frame = self.frame(machine, status);
        let bytes = frame.map_err(|e| InputError::new("terminal", format!("cannot be drawn on: {e}")))?;
        self.show(&bytes);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(tty) = self.tty.take() {
            self.show(LEAVE_SCREEN.as_bytes());
            // One that takes nothing keeps its last picture, but for the modes.
            let _ = self.out.finish();
            drop(tty);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
    }
}
