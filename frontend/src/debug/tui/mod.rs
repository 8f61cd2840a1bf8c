//! `debug --tui`: registers, disassembly, memory, the VMCS with its rules, VM exits and the guest's screen at once, in a
//! terminal of 80 columns and 24 lines or more. The panes show answers of the debugger's commands, and the line at the
//! bottom takes any of them.

mod app;
mod draw;
mod panes;

use super::session::Session;
use crate::error::InputError;
use crate::signals;
use app::{App, Wish};
use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::Terminal;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use std::io::{self, IsTerminal, Stdout};

type Screen = Terminal<CrosstermBackend<Stdout>>;

/// The terminal, which is given back when this goes.
struct Taken(Screen);

impl Taken {
    fn new() -> io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        let mut this = Self(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        signals::alternate_screen(true);
        crossterm::execute!(io::stdout(), crossterm::terminal::EnterAlternateScreen)?;
        this.clear()?;
        Ok(this)
    }

    fn draw(&mut self, app: &App) -> io::Result<()> {
        signals::while_drawing(|| self.0.draw(|frame| draw::draw(frame, app)).map(drop))
    }

    /// Clears it and forgets what stood there. The terminal's own way asks where the cursor is, and not all say so.
    fn clear(&mut self) -> io::Result<()> {
        signals::while_drawing(|| {
            crossterm::execute!(io::stdout(), crossterm::terminal::Clear(crossterm::terminal::ClearType::All))
        })?;
        self.0 = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = signals::while_drawing(|| {
            crossterm::execute!(io::stdout(), crossterm::terminal::LeaveAlternateScreen, crossterm::cursor::Show)
        });
        let _ = crossterm::terminal::disable_raw_mode();
        signals::alternate_screen(false);
    }
}

/// Debugs on the whole terminal until somebody ends it; the exit status.
pub fn run(session: &mut Session) -> Result<i32, InputError> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(InputError::new("--tui", "standard input and output are no terminal")
            .remedy("leave it out: commands come from standard input then"));
    }
    let error = |error: io::Error| InputError::new("terminal", format!("cannot be used: {error}"));
    let mut app = App::new(session);
    signals::guard_terminal()?;
    let mut screen = Taken::new().map_err(error)?;
    while !session.over {
        app.width = screen.0.size().map_err(error)?.width;
        screen.draw(&app).map_err(error)?;
        let Event::Key(key) = event::read().map_err(error)? else { continue };
        match wish(&mut app, key) {
            Wish::Draw => {}
            Wish::Quit => break,
            Wish::Run(line) => {
                app.message = "running; Ctrl-C stops the guest".to_owned();
                screen.draw(&app).map_err(error)?;
                session.target.forget_interrupt();
                // Outside of raw mode Ctrl-C is the signal that stops the guest.
                crossterm::terminal::disable_raw_mode().map_err(error)?;
                app.run(session, &line);
                crossterm::terminal::enable_raw_mode().map_err(error)?;
                // What was typed or logged meanwhile stands in the way.
                screen.clear().map_err(error)?;
            }
        }
    }
    Ok(0)
}

/// What a key asks for; letting it go asks for nothing.
fn wish(app: &mut App, key: KeyEvent) -> Wish {
    if key.kind == KeyEventKind::Release { Wish::Draw } else { app.key(key) }
}

/// The screen after these commands and keys, for tests and documents.
pub fn picture(session: &mut Session, commands: &[&str], keys: &[KeyEvent], size: (u16, u16)) -> Buffer {
    let mut app = App::new(session);
    app.width = size.0;
    for command in commands {
        app.answer = None;
        app.run(session, command);
    }
    for key in keys {
        if let Wish::Run(line) = wish(&mut app, *key) {
            app.run(session, &line);
        }
    }
    let backend = TestBackend::new(size.0, size.1);
    // Drawing into memory does not fail.
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(_) = terminal.draw(|frame| draw::draw(frame, &app));
    terminal.backend().buffer().clone()
}
