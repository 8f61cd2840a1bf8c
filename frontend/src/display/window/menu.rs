//! The window's menu: what is in it, and which keys lead there.

use crate::display::{Command, Input};
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use std::path::PathBuf;

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Something for the run.
    Run(Input),
    /// A file's name first.
    Ask(Question),
    /// The clipboard's text is typed.
    Paste,
    /// The mouse becomes the guest's.
    Capture,
    /// Pictures fill the window, or keep whole pixels.
    Fill,
}

/// What a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A picture to be written.
    Screenshot,
    /// A snapshot to be written.
    Snapshot,
    /// A snapshot to go back to.
    Restore,
    /// VM exits to be written.
    Exits,
    /// The medium for a drive; none takes the old one out.
    Medium(DrivePlace),
}

impl Question {
    /// What is asked, and the answer that is there already.
    fn words(self) -> (String, &'static str) {
        match self {
            Self::Screenshot => ("Picture to".to_owned(), "screen.png"),
            Self::Snapshot => ("Snapshot to".to_owned(), "machine.snap"),
            Self::Restore => ("Back to the snapshot".to_owned(), "machine.snap"),
            Self::Exits => ("VM exits to (.svg a picture, .csv a table)".to_owned(), "exits.svg"),
            Self::Medium(place) => (format!("Image for {place} (nothing: eject)"), ""),
        }
    }

    fn command(self, answer: &str) -> Option<Command> {
        let path = PathBuf::from(answer);
        match self {
            Self::Medium(place) if answer.is_empty() => Some(Command::Eject(place)),
            _ if answer.is_empty() => None,
            Self::Medium(place) => Some(Command::Insert(place, path)),
            Self::Screenshot => Some(Command::Screenshot(path)),
            Self::Snapshot => Some(Command::Snapshot(path)),
            Self::Restore => Some(Command::Restore(path)),
            Self::Exits => Some(Command::SaveExits(path)),
        }
    }
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    letter: char,
    text: String,
    action: Action,
}

/// The menu while it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    entries: Vec<Entry>,
    chosen: usize,
    /// A question that is being answered, and the answer so far.
    asked: Option<(Question, String)>,
}

/// What a key in the menu leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The menu stays.
    Stay,
    /// It closes.
    Close,
    /// It closes, and this is done.
    Do(Action),
}

impl Menu {
    /// The menu of a machine with these drives for removable media.
    pub fn new(removable: &[DrivePlace]) -> Self {
        let mut entries = Vec::new();
        let mut add = |letter, text: &str, action| entries.push(Entry { letter, text: text.to_owned(), action });
        let run = |command| Action::Run(Input::Command(command));
        add('p', "Pause, or go on", run(Command::Pause));
        add('f', "Step a frame", run(Command::StepFrame));
        add('s', "Real time, or as fast as possible", run(Command::Pace));
        add('r', "Reset", run(Command::Reset));
        add('d', "Ctrl-Alt-Del", Action::Run(Input::Keys(vec![Key::LeftCtrl, Key::LeftAlt, Key::Delete])));
        add('b', "Power button", run(Command::PowerButton));
        add('n', "NMI", run(Command::Nmi));
        add('t', "Screenshot ...", Action::Ask(Question::Screenshot));
        add('v', "Save a snapshot ...", Action::Ask(Question::Snapshot));
        add('l', "Load a snapshot ...", Action::Ask(Question::Restore));
        let letters = |place: &DrivePlace| matches!(place, DrivePlace::Floppy { .. });
        for (place, letter) in removable.iter().filter(|place| letters(place)).zip(['a', '2']) {
            add(letter, &format!("Change {place} ..."), Action::Ask(Question::Medium(*place)));
        }
        for (place, letter) in removable.iter().filter(|place| !letters(place)).zip(['c', '4', '5', '6']) {
            add(letter, &format!("Change the CD of {place} ..."), Action::Ask(Question::Medium(*place)));
        }
        add('x', "Type the clipboard's text", Action::Paste);
        add('e', "Record VM exits", run(Command::RecordExits));
        add('o', "Save VM exits ...", Action::Ask(Question::Exits));
        add('m', "Give the mouse to the guest (Ctrl-Alt-G ends it)", Action::Capture);
        add('w', "Fill the window, or whole pixels", Action::Fill);
        add('q', "Quit", Action::Run(Input::Quit));
        Self { entries, chosen: 0, asked: None }
    }

    /// The same, asking at once.
    pub fn asking(removable: &[DrivePlace], question: Question, answer: String) -> Self {
        Self { asked: Some((question, answer)), ..Self::new(removable) }
    }

    /// Whether a question waits for its answer.
    pub fn asks(&self) -> bool {
        self.asked.is_some()
    }

    /// Its lines, and which one is chosen.
    pub fn lines(&self) -> (Vec<String>, Option<usize>) {
        if let Some((question, answer)) = &self.asked {
            let end = "Enter: do it   Esc: leave".to_owned();
            return (vec![question.words().0, format!("{answer}_"), String::new(), end], Some(1));
        }
        let line = |entry: &Entry| format!("{}  {}", entry.letter.to_ascii_uppercase(), entry.text);
        (self.entries.iter().map(line).collect(), Some(self.chosen))
    }

    /// A key was pressed; `text` is what it types.
    pub fn key(&mut self, key: Option<Key>, text: &str) -> Step {
        if let Some((question, answer)) = &mut self.asked {
            match key {
                Some(Key::Escape) => return Step::Close,
                Some(Key::Enter | Key::KeypadEnter) => {
                    let command = question.command(answer.trim());
                    return command.map_or(Step::Close, |command| Step::Do(Action::Run(Input::Command(command))));
                }
                Some(Key::Backspace) => drop(answer.pop()),
                _ => answer.extend(text.chars().filter(|c| !c.is_control())),
            }
            return Step::Stay;
        }
        let last = self.entries.len() - 1;
        match key {
            Some(Key::Escape) => return Step::Close,
            Some(Key::Up) => self.chosen = self.chosen.checked_sub(1).unwrap_or(last),
            Some(Key::Down) => self.chosen = if self.chosen == last { 0 } else { self.chosen + 1 },
            Some(Key::Home) => self.chosen = 0,
            Some(Key::End) => self.chosen = last,
            Some(Key::Enter | Key::KeypadEnter) => return self.choose(self.chosen),
            _ => {
                let letter = text.chars().next().map(|c| c.to_ascii_lowercase());
                if let Some(n) = self.entries.iter().position(|entry| Some(entry.letter) == letter) {
                    return self.choose(n);
                }
            }
        }
        Step::Stay
    }

    /// Line `n` was chosen.
    pub fn choose(&mut self, n: usize) -> Step {
        match self.entries.get(n).map(|entry| entry.action.clone()) {
            Some(Action::Ask(question)) => {
                self.asked = Some((question, question.words().1.to_owned()));
                Step::Stay
            }
            Some(action) => Step::Do(action),
            None => Step::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DrivePlace = DrivePlace::Floppy { drive: 0 };
    const CD: DrivePlace = DrivePlace::Ata { channel: 1, drive: 0 };

    fn typed(menu: &mut Menu, text: &str) {
        for c in text.chars() {
            assert_eq!(menu.key(None, &c.to_string()), Step::Stay);
        }
    }

    fn command(command: Command) -> Step {
        Step::Do(Action::Run(Input::Command(command)))
    }

    #[test]
    fn every_entry_has_a_letter_of_its_own() {
        let menu = Menu::new(&DrivePlace::ALL);
        let letters: std::collections::BTreeSet<char> = menu.entries.iter().map(|entry| entry.letter).collect();
        assert_eq!(letters.len(), menu.entries.len());
        assert_eq!(menu.lines().0.len(), menu.entries.len());
    }

    #[test]
    fn letter_or_arrow_and_enter_choose() {
        assert_eq!(Menu::new(&[]).key(Some(Key::R), "r"), command(Command::Reset));
        let mut menu = Menu::new(&[]);
        assert_eq!(menu.key(Some(Key::Down), ""), Step::Stay);
        assert_eq!(menu.key(Some(Key::Enter), "\r"), command(Command::StepFrame));
        assert_eq!(menu.key(Some(Key::Up), ""), Step::Stay);
        assert_eq!(menu.key(Some(Key::Up), ""), Step::Stay);
        assert_eq!(menu.key(Some(Key::Enter), "\r"), Step::Do(Action::Run(Input::Quit)));
        assert_eq!(menu.key(Some(Key::Escape), "\u{1b}"), Step::Close);
    }

    #[test]
    fn files_are_asked_for() {
        let mut menu = Menu::new(&[]);
        assert_eq!(menu.key(None, "T"), Step::Stay);
        for _ in 0..4 {
            menu.key(Some(Key::Backspace), "\u{8}");
        }
        typed(&mut menu, "2.png");
        assert_eq!(menu.lines().0[1], "screen2.png_");
        assert_eq!(menu.key(Some(Key::Enter), "\r"), command(Command::Screenshot("screen2.png".into())));
    }

    #[test]
    fn medium_is_changed_or_taken_out() {
        let mut menu = Menu::new(&[A, CD]);
        menu.key(None, "c");
        typed(&mut menu, "x.iso");
        assert_eq!(menu.key(Some(Key::Enter), ""), command(Command::Insert(CD, "x.iso".into())));
        let mut menu = Menu::new(&[A, CD]);
        menu.key(None, "a");
        assert_eq!(menu.key(Some(Key::Enter), ""), command(Command::Eject(A)));
        let mut dropped = Menu::asking(&[A], Question::Medium(A), "b.img".to_owned());
        assert_eq!(dropped.key(Some(Key::Enter), ""), command(Command::Insert(A, "b.img".into())));
    }

    #[test]
    fn question_without_an_answer_does_nothing() {
        let mut menu = Menu::asking(&[], Question::Snapshot, String::new());
        assert_eq!(menu.key(Some(Key::Enter), ""), Step::Close);
    }
}
