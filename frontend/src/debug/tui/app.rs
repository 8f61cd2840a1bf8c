//! The state of the screen: what the panes say, which one has the keys, and the line of commands.

use super::super::commands;
use super::super::session::Session;
use super::panes::{self, EXITS, MEMORY, NAMES, Pane, REGISTERS};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where the memory that is shown begins, until somebody says something else.
const STACK: &str = "ss.base+rsp";
/// Commands that are remembered.
const HISTORY: usize = 1000;
/// What one key scrolls sideways.
const COLUMNS: u16 = 8;

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but to be seen.
    Draw,
    /// A line of commands; an empty one is the last step again.
    Run(String),
    /// The end.
    Quit,
}

/// The screen.
#[derive(Debug)]
pub struct App {
    /// The panes.
    pub panes: [Pane; 6],
    /// Registers before the last command.
    pub before: Vec<String>,
    /// The pane that keys scroll.
    pub focus: usize,
    /// That pane has all the room.
    pub zoom: bool,
    /// First line and column that each pane shows.
    pub offsets: [(u16, u16); 6],
    /// The line of commands.
    pub line: String,
    /// What the last command said, if it needs more room than the message: line and its offset.
    pub answer: Option<(Vec<String>, u16)>,
    /// What the last command said.
    pub message: String,
    /// Where the processor stands.
    pub place: String,
    /// The memory that is shown.
    pub memory: String,
    /// Columns of the terminal.
    pub width: u16,
    history: Vec<String>,
    recalled: usize,
}

impl App {
    /// The screen of a session.
    pub fn new(session: &mut Session) -> Self {
        let mut this = Self {
            panes: Default::default(),
            before: Vec::new(),
            focus: 0,
            zoom: false,
            offsets: [(0, 0); 6],
            line: String::new(),
            answer: None,
            message: String::new(),
            place: String::new(),
            memory: STACK.to_owned(),
            width: 80,
            history: Vec::new(),
            recalled: 0,
        };
        this.refresh(session);
        this.before = this.panes[REGISTERS].short.clone();
        this
    }

    /// Reads all panes anew.
    pub fn refresh(&mut self, session: &mut Session) {
        self.before = std::mem::take(&mut self.panes[REGISTERS].short);
        self.panes = panes::all(session, &self.memory);
        self.place = session.place().text.trim_end().to_owned();
        self.offsets[EXITS] = (u16::MAX, 0);
    }

    /// Carries out a line of commands, and shows what it says.
    pub fn run(&mut self, session: &mut Session, line: &str) {
        if let Some(expression) = line.trim().strip_prefix("memory") {
            let expression = expression.trim();
            self.memory = if expression.is_empty() { STACK.to_owned() } else { expression.to_owned() };
            self.offsets[MEMORY] = (0, 0);
            self.message.clear();
        } else {
            let (text, _) = if line.trim().is_empty() { session.repeat() } else { session.line(line) };
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let place = session.place().text;
            let said: Vec<&String> = lines.iter().filter(|line| **line != place.trim_end()).collect();
            self.message = match said[..] {
                [] => String::new(),
                // An error is to be read to its end; where the run stopped can be seen in the panes.
                [only] if !only.starts_with("error") || only.chars().count() <= self.width.into() => only.clone(),
                _ => {
                    self.answer = Some((lines, 0));
                    String::new()
                }
            };
        }
        self.refresh(session);
    }

    /// The lines of the answer as they fit between the borders, and the first that is shown.
    pub fn wrapped(&self) -> Option<(Vec<String>, u16)> {
        let width = usize::from(self.width.saturating_sub(2)).max(20);
        let (lines, row) = self.answer.as_ref()?;
        Some((lines.iter().flat_map(|line| wrap(line, width)).collect(), *row))
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'u') if control => self.line.clear(),
            KeyCode::Char('d' | 'q') if control => return Wish::Quit,
            KeyCode::Char('p') if control => self.recall(self.recalled.saturating_sub(1)),
            KeyCode::Char('n') if control => self.recall(self.recalled + 1),
            KeyCode::Char('l') if control => {}
            KeyCode::Char(c) if !control => self.line.push(c),
            KeyCode::Backspace => drop(self.line.pop()),
            KeyCode::Esc => self.close(),
            KeyCode::Enter if self.answer.is_some() && self.line.is_empty() => self.answer = None,
            KeyCode::Enter => return self.enter(),
            KeyCode::Tab if !self.line.is_empty() => self.complete(),
            KeyCode::Tab => self.focus = (self.focus + 1) % NAMES.len(),
            KeyCode::BackTab => self.focus = (self.focus + NAMES.len() - 1) % NAMES.len(),
            KeyCode::F(n) => return self.function(n),
            code => self.scroll(code),
        }
        Wish::Draw
    }

    fn function(&mut self, n: u8) -> Wish {
        let command = match n {
            1 => "help",
            2 => {
                self.zoom = !self.zoom;
                return Wish::Draw;
            }
            5 => "c",
            8 => "rs",
            9 => "rc",
            10 => "n",
            11 => "s",
            12 => return Wish::Quit,
            _ => return Wish::Draw,
        };
        self.answer = None;
        Wish::Run(command.to_owned())
    }

    fn close(&mut self) {
        if self.answer.take().is_none() && std::mem::take(&mut self.line).is_empty() {
            self.zoom = false;
        }
    }

    fn enter(&mut self) -> Wish {
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
        }
        self.recalled = self.history.len();
        self.answer = None;
        Wish::Run(line)
    }

    fn recall(&mut self, at: usize) {
        self.recalled = at.min(self.history.len());
        self.line = self.history.get(self.recalled).cloned().unwrap_or_default();
    }

    /// The rest of a command's name, as far as it is the only one.
    fn complete(&mut self) {
        let names = commands::ALL.iter().flat_map(|command| command.names).chain([&"memory"]);
        let found: Vec<&str> = names.copied().filter(|name| name.starts_with(&self.line)).collect();
        match found[..] {
            [] => {}
            [only] => self.line = format!("{only} "),
            _ => self.message = found.join(" "),
        }
    }

    fn scroll(&mut self, code: KeyCode) {
        let pane = &self.panes[self.focus];
        let all = if self.zoom { pane.full.len() } else { pane.short.len() };
        let (all, (mut row, mut column)) = match self.wrapped() {
            Some((lines, row)) => (lines.len(), (row, 0)),
            None => (all, self.offsets[self.focus]),
        };
        let last = u16::try_from(all.saturating_sub(1)).unwrap_or(u16::MAX);
        row = match code {
            KeyCode::Up => row.min(last).saturating_sub(1),
            KeyCode::Down => row.saturating_add(1),
            KeyCode::PageUp => row.min(last).saturating_sub(10),
            KeyCode::PageDown => row.saturating_add(10),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => row,
        };
        column = match code {
            KeyCode::Left => column.saturating_sub(COLUMNS),
            KeyCode::Right => column.saturating_add(COLUMNS).min(400),
            _ => column,
        };
        match &mut self.answer {
            Some((_, at)) => *at = row.min(last),
            None => self.offsets[self.focus] = (row.min(last), column),
        }
    }
}

/// A line in pieces of a width, cut at blanks; what goes on stands further to the right.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let indent = " ".repeat((indent + 4).min(width / 2));
    let (mut pieces, mut rest): (Vec<String>, Vec<char>) = (Vec::new(), line.chars().collect());
    while rest.len() > width {
        let begin = if pieces.is_empty() { 0 } else { indent.len() };
        let has_word = |at: &usize| rest.get(begin..*at).is_some_and(|part| part.iter().any(|c| *c != ' '));
        let blank = rest[..=width].iter().rposition(|c| *c == ' ').filter(has_word);
        let cut = blank.unwrap_or(width);
        let tail: String = rest[cut..].iter().collect();
        pieces.push(rest[..cut].iter().collect::<String>().trim_end().to_owned());
        rest = indent.chars().chain(tail.trim_start().chars()).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_goes_on_in_the_next_and_loses_no_word() {
        let line = format!("    found:    {}", "word ".repeat(60));
        let pieces = wrap(line.trim_end(), 78);
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.chars().count() <= 78), "{pieces:?}");
        let words = |text: &str| text.split_whitespace().count();
        assert_eq!(pieces.iter().map(|piece| words(piece)).sum::<usize>(), words(&line));
        assert!(pieces[1].starts_with("        word"), "{pieces:?}");
        assert_eq!(wrap("short", 78), ["short"]);
        let bare = "x".repeat(200);
        assert_eq!(wrap(&bare, 78).concat().replace(' ', ""), bare);
    }
}
