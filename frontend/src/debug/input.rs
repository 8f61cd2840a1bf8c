//! Where commands come from: the command line, a file, the terminal, standard input.

use super::Source;
use super::commands;
use super::session::Session;
use crate::config::sources::MAX_TEXT_BYTES;
use crate::error::InputError;
use crate::files;
use crate::output;
use crate::signals;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

/// Exit status when a command of a file or of the command line fails.
const FAILED: i32 = 2;

/// Carries out all commands; the exit status. Of those that nobody types, the first that fails ends the session.
pub fn feed(session: &mut Session, source: &Source) -> Result<i32, InputError> {
    if let Some(path) = &source.file {
        let text = files::read_text(path, "file of debugger commands", MAX_TEXT_BYTES)?;
        session.read.add(path, "the file of debugger commands");
        for line in text.lines() {
            if !carry_out(session, line)? {
                return Ok(FAILED);
            }
            if session.over {
                return Ok(0);
            }
        }
    }
    if let Some(commands) = &source.commands {
        for line in commands.lines() {
            if !carry_out(session, line)? {
                return Ok(FAILED);
            }
            if session.over {
                return Ok(0);
            }
        }
    }
    if source.tui {
        return super::tui::run(session);
    }
    if source.file.is_some() || source.commands.is_some() {
        return Ok(0);
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() { terminal(session) } else { piped(session) }
}

/// Carries out a line and prints what it says; whether all went well.
fn carry_out(session: &mut Session, line: &str) -> Result<bool, InputError> {
    session.line_to(line, print)
}

/// Prints, and waits until it can be seen.
fn print(text: &str) -> Result<(), InputError> {
    output::print(text);
    output::finish()
}

fn piped(session: &mut Session) -> Result<i32, InputError> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| InputError::new("standard input", format!("cannot be read: {e}")))?;
        // Whoever writes them may have seen that a Ctrl-C has stopped the guest.
        session.target.begin_commands();
        if !carry_out(session, &line)? {
            return Ok(FAILED);
        }
        if session.over {
            break;
        }
    }
    Ok(0)
}

/// Completion of commands and symbols.
struct Completion {
    symbols: Vec<String>,
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>), ReadlineError> {
        let before = line.get(..position).unwrap_or_default();
        let part = |c: char| c.is_alphanumeric() || "_.$@".contains(c);
        let start =
            before.rfind(|c| !part(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        let pair = |name: &str| Pair { display: name.to_owned(), replacement: name.to_owned() };
        let first = before[..start].trim().is_empty() || before[..start].trim_end().ends_with(';');
        let found = if first {
            let names = commands::ALL.iter().flat_map(|command| command.names).filter(|name| name.starts_with(word));
            names.map(|name| pair(name)).collect()
        } else {
            self.symbols.iter().filter(|name| name.starts_with(word)).take(200).map(|name| pair(name)).collect()
        };
        Ok((start, found))
    }
}

/// Where the history of commands is kept, if there is a place for it.
fn history_file() -> Option<PathBuf> {
    let folder = match std::env::var_os("XDG_STATE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    let folder = folder.join("rvmx-emu");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("debug-history"))
}

fn terminal(session: &mut Session) -> Result<i32, InputError> {
    let error = |e: ReadlineError| InputError::new("terminal", format!("cannot be read: {e}"));
    let config = Config::builder().auto_add_history(true).max_history_size(1000).map_err(error)?.build();
    let mut editor: Editor<Completion, DefaultHistory> = Editor::with_config(config).map_err(error)?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none at the first time.
        drop(editor.load_history(history));
    }
    signals::guard_terminal()?;
    print(&session.place().text)?;
    let mut symbols = 0;
    loop {
        if editor.helper().is_none() || symbols != session.symbols.count() {
            symbols = session.symbols.count();
            let names = session.symbols.starting_with("").map(|symbol| symbol.0.to_owned());
            editor.set_helper(Some(Completion { symbols: names.collect() }));
        }
        match editor.readline("(rvmx) ") {
            Ok(line) => {
                // One that came while nothing ran was to stop nothing.
                session.target.forget_interrupt();
                if line.trim().is_empty() {
                    print(&session.repeat().0)?;
                } else {
                    session.line_to(&line, print)?;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(other) => return Err(error(other)),
        }
        if session.over {
            break;
        }
    }
    if let Some(history) = &history {
        // It is a convenience; a read-only home is no reason to complain.
        drop(editor.save_history(history));
    }
    Ok(0)
}
