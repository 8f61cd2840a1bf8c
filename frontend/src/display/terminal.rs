//! The terminal display: the text screen in colour, the keyboard as far as a terminal tells of it. A terminal that takes
//! its time gets fewer frames; the machine waits for none.

use super::{Display, Input};
use crate::background::BackgroundFile;
use crate::error::InputError;
use crate::machine::Machine;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Color, Print, SetBackgroundColor, SetForegroundColor};
use crossterm::{cursor, event, execute, queue, style, terminal};
use emu_devices::keyboard::Key;
use emu_devices::vga::{Cell, Cursor, TextScreen, cp437_to_char};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// What ends the run: Ctrl and this.
const QUIT_KEY: char = ']';
/// The line below the screen.
const HINT: &str = "rvmx-emu: Ctrl-] ends the run";

/// The VGA's 16 colours as a terminal's, by attribute nibble: blue and red change places.
const COLORS: [Color; 16] = [
    Color::Black,
    Color::DarkBlue,
    Color::DarkGreen,
    Color::DarkCyan,
    Color::DarkRed,
    Color::DarkMagenta,
    Color::DarkYellow,
    Color::Grey,
    Color::DarkGrey,
    Color::Blue,
    Color::Green,
    Color::Cyan,
    Color::Red,
    Color::Magenta,
    Color::Yellow,
    Color::White,
];

/// The terminal, in raw mode on its alternate screen while this lives.
#[derive(Debug)]
pub struct Terminal {
    out: BackgroundFile,
    /// The frame that is being made.
    frame: Vec<u8>,
    shown: Option<TextScreen>,
    graphics_shown: bool,
    open: bool,
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
        terminal::enable_raw_mode().map_err(error)?;
        // From here on dropping the display gives the terminal back.
        let mut this =
            Self { out: BackgroundFile::terminal(), frame: Vec::new(), shown: None, graphics_shown: false, open: true };
        queue!(this.frame, terminal::EnterAlternateScreen, terminal::Clear(terminal::ClearType::All)).map_err(error)?;
        this.show();
        restore_on_panic();
        Ok(this)
    }

    /// Hands the frame over.
    fn show(&mut self) {
        self.out.write(&self.frame);
        self.out.pass_on();
        self.frame.clear();
    }

    fn draw(&mut self, machine: &dyn Machine) -> io::Result<()> {
        let Some(screen) = machine.text_screen() else {
            if !self.graphics_shown {
                queue!(self.frame, style::ResetColor, terminal::Clear(terminal::ClearType::All), cursor::MoveTo(0, 0))?;
                queue!(self.frame, Print("The guest is in a graphics mode, which a terminal cannot show."))?;
                queue!(self.frame, cursor::MoveTo(0, 1), Print(HINT))?;
                self.graphics_shown = true;
                self.shown = None;
            }
            return Ok(());
        };
        self.graphics_shown = false;
        let (width, height) = terminal::size()?;
        let same_size = self.shown.as_ref().is_some_and(|s| (s.columns, s.rows) == (screen.columns, screen.rows));
        if !same_size {
            queue!(self.frame, style::ResetColor, terminal::Clear(terminal::ClearType::All))?;
            if screen.rows < usize::from(height) {
                queue!(self.frame, cursor::MoveTo(0, screen.rows as u16), Print(HINT))?;
            }
        }
        let old = if same_size { self.shown.take() } else { None };
        let runs = changed_runs(old.as_ref(), &screen);
        if runs.is_empty() && old.is_some_and(|old| old.cursor == screen.cursor) {
            self.shown = Some(screen);
            return Ok(());
        }
        queue!(self.frame, cursor::Hide)?;
        // With blinking on, bit 7 is not part of the background; a terminal shows such cells steady.
        let background = if screen.blink { 7 } else { 15 };
        for run in runs {
            if run.row >= usize::from(height) || run.column >= usize::from(width) {
                continue;
            }
            let text: String = run.text.chars().take(usize::from(width) - run.column).collect();
            queue!(
                self.frame,
                cursor::MoveTo(run.column as u16, run.row as u16),
                SetForegroundColor(COLORS[usize::from(run.attribute & 15)]),
                SetBackgroundColor(COLORS[usize::from(run.attribute >> 4 & background)]),
                Print(text)
            )?;
        }
        let visible = |cursor: &Cursor| cursor.column < usize::from(width) && cursor.row < usize::from(height);
        if let Some(Cursor { column, row, .. }) = screen.cursor.filter(visible) {
            queue!(self.frame, cursor::MoveTo(column as u16, row as u16), cursor::Show)?;
        }
        self.shown = Some(screen);
        Ok(())
    }
}

/// Cells beside each other with one attribute.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    column: usize,
    row: usize,
    attribute: u8,
    text: String,
}

/// The cells of `new` that differ from `old`, gathered into runs.
fn changed_runs(old: Option<&TextScreen>, new: &TextScreen) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let columns = new.columns.max(1);
    let mut adjacent = false;
    for (index, cell) in new.cells.iter().enumerate() {
        let before: Option<&Cell> = old.and_then(|old| old.cells.get(index));
        let (column, row) = (index % columns, index / columns);
        if before == Some(cell) {
            adjacent = false;
            continue;
        }
        match runs.last_mut() {
            Some(run) if adjacent && run.row == row && run.attribute == cell.attribute => {
                run.text.push(cp437_to_char(cell.code));
            }
            _ => {
                let text = cp437_to_char(cell.code).to_string();
                runs.push(Run { column, row, attribute: cell.attribute, text });
            }
        }
        adjacent = true;
    }
    runs
}

/// What a terminal's key event means on the PC's keyboard.
fn translate(event: &KeyEvent) -> Option<Input> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let (mut keys, plain): (Vec<Key>, _) = match event.code {
        // Terminals send Ctrl-] as Ctrl-5 or as itself.
        KeyCode::Char(c) if control && (c == QUIT_KEY || c == '5') => return Some(Input::Quit),
        KeyCode::Char(c) => (Key::typing(c)?, true),
        KeyCode::F(n) => (vec![Key::from_name(&format!("F{n}"))?], false),
        KeyCode::BackTab => (vec![Key::LeftShift, Key::Tab], true),
        code => {
            let key = match code {
                KeyCode::Backspace => Key::Backspace,
                KeyCode::Enter => Key::Enter,
                KeyCode::Left => Key::Left,
                KeyCode::Right => Key::Right,
                KeyCode::Up => Key::Up,
                KeyCode::Down => Key::Down,
                KeyCode::Home => Key::Home,
                KeyCode::End => Key::End,
                KeyCode::PageUp => Key::PageUp,
                KeyCode::PageDown => Key::PageDown,
                KeyCode::Tab => Key::Tab,
                KeyCode::Delete => Key::Delete,
                KeyCode::Insert => Key::Insert,
                KeyCode::Esc => Key::Escape,
                KeyCode::CapsLock => Key::CapsLock,
                KeyCode::ScrollLock => Key::ScrollLock,
                KeyCode::NumLock => Key::NumLock,
                KeyCode::PrintScreen => Key::PrintScreen,
                KeyCode::Pause => Key::Pause,
                KeyCode::Menu => Key::Menu,
                _ => return None,
            };
            (vec![key], false)
        }
    };
    // A character brings its own shift.
    if event.modifiers.contains(KeyModifiers::SHIFT) && !plain {
        keys.insert(0, Key::LeftShift);
    }
    if event.modifiers.contains(KeyModifiers::ALT) {
        keys.insert(0, Key::LeftAlt);
    }
    if control {
        keys.insert(0, Key::LeftCtrl);
    }
    Some(Input::Keys(keys))
}

/// Gives the terminal back to the shell, at once. Errors have nobody left to go to.
fn restore() {
    drop(execute!(io::stdout(), style::ResetColor, cursor::Show, terminal::LeaveAlternateScreen));
    drop(terminal::disable_raw_mode());
}

/// A panic message must not vanish on the alternate screen.
fn restore_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        before(info);
    }));
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

    fn present(&mut self, machine: &mut dyn Machine) -> Result<(), InputError> {
        if !self.out.is_idle()? {
            return Ok(());
        }
        self.draw(machine).map_err(|e| InputError::new("terminal", format!("cannot be drawn on: {e}")))?;
        self.show();
        Ok(())
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            drop(queue!(self.frame, style::ResetColor, cursor::Show, terminal::LeaveAlternateScreen));
            self.show();
            // One that takes nothing keeps its last picture, but for the modes.
            let _ = self.out.finish();
            drop(terminal::disable_raw_mode());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(text: &str, attribute: u8) -> TextScreen {
        let cells = text.bytes().map(|code| Cell { code, attribute }).collect();
        TextScreen { columns: 4, rows: 2, cells, ..TextScreen::default() }
    }

    #[test]
    fn first_drawing_takes_every_cell_in_runs_of_a_row() {
        let runs = changed_runs(None, &screen("abcdefgh", 7));
        let texts: Vec<(usize, usize, &str)> = runs.iter().map(|r| (r.column, r.row, r.text.as_str())).collect();
        assert_eq!(texts, [(0, 0, "abcd"), (0, 1, "efgh")]);
    }

    #[test]
    fn later_drawing_takes_only_what_changed() {
        let old = screen("abcdefgh", 7);
        let mut new = screen("aXYdeZgh", 7);
        new.cells[2].attribute = 0x1f;
        let runs = changed_runs(Some(&old), &new);
        let texts: Vec<(usize, usize, u8, &str)> =
            runs.iter().map(|r| (r.column, r.row, r.attribute, r.text.as_str())).collect();
        assert_eq!(texts, [(1, 0, 7, "X"), (2, 0, 0x1f, "Y"), (1, 1, 7, "Z")]);
    }

    #[test]
    fn terminal_keys_become_the_pcs_keys() {
        let key = |code, modifiers| translate(&KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('a'), none), Some(Input::Keys(vec![Key::A])));
        assert_eq!(key(KeyCode::Char('A'), KeyModifiers::SHIFT), Some(Input::Keys(vec![Key::LeftShift, Key::A])));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Keys(vec![Key::LeftCtrl, Key::C])));
        assert_eq!(key(KeyCode::F(12), none), Some(Input::Keys(vec![Key::F12])));
        assert_eq!(key(KeyCode::F(24), none), None);
        assert_eq!(key(KeyCode::Up, KeyModifiers::SHIFT), Some(Input::Keys(vec![Key::LeftShift, Key::Up])));
        assert_eq!(key(KeyCode::PageDown, none), Some(Input::Keys(vec![Key::PageDown])));
        assert_eq!(key(KeyCode::Char(']'), KeyModifiers::CONTROL), Some(Input::Quit));
        assert_eq!(key(KeyCode::Char('5'), KeyModifiers::CONTROL), Some(Input::Quit));
    }
}
