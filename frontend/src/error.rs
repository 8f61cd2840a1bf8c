//! What a user did that cannot be done: one line that says where, what and what to do instead.

use emu_vmx::dump::names::{shown, slip};
use std::fmt;
use std::path::Path;

/// A mistake in the command line, a configuration, a script or an image. Shown as one line,
/// `place:line:column: field: problem; remedy`, and ends the program with status 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InputError(Box<Parts>);

/// The parts of the line; boxed, so that a result stays small where all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    place: String,
    line: Option<usize>,
    column: Option<usize>,
    field: Option<String>,
    problem: String,
    remedy: Option<String>,
}

impl InputError {
    /// An error about `place`, a file or an option.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            place: place.into(),
            line: None,
            column: None,
            field: None,
            problem: problem.into(),
            remedy: None,
        }))
    }

    /// An error about a file.
    pub fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::new(path.display().to_string(), problem)
    }

    /// A host I/O error about a file.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::file(path, format!("cannot {doing}: {error}")).after(error)
    }

    /// Adds the remedy of a host I/O error, if there is one.
    pub fn after(mut self, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let remedy = match error.kind() {
            E::NotFound => "give a path whose folders are there",
            E::PermissionDenied => "give one that you have the right to, or change its rights",
            E::StorageFull | E::QuotaExceeded => "make room, or give a place with more",
            E::ReadOnlyFilesystem => "give a place that can be written",
            E::AddrInUse => "give another one, or end the program that has it",
            E::AddrNotAvailable => "give an address of this host",
            E::ConnectionRefused => "start the other side first",
            E::IsADirectory => "give a file",
            E::NotADirectory => "give a path through folders",
            _ => return self,
        };
        self.0.remedy.get_or_insert_with(|| remedy.to_owned());
        self
    }

    /// Adds the line (from 1).
    pub fn line(mut self, line: usize) -> Self {
        self.0.line = Some(line);
        self
    }

    /// Adds line and column (from 1).
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.0.line = Some(line);
        self.0.column = Some(column);
        self
    }

    /// Adds the field.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The field, if there is one.
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// An error about an option of the command line, as one about the field of that name in a file.
    pub fn of_field(mut self, file: &Path) -> Self {
        let parts = &mut self.0;
        let field = match parts.place.as_str() {
            "command line" => None,
            "IMAGE" => Some("image".to_owned()),
            place => match place.strip_prefix("--") {
                Some(option) => Some(option.replace('-', "_")),
                None => return self,
            },
        };
        parts.field = field.or(parts.field.take());
        parts.place = file.display().to_string();
        self
    }

    /// If it is an error about `option`, one about the field of that name in `file`.
    pub fn of_option_in(self, option: &str, file: &Path) -> Self {
        if self.0.place == option { self.of_field(file) } else { self }
    }

    /// The error with another name for what it calls `old`.
    pub fn renamed(mut self, old: &str, new: &str) -> Self {
        let parts = &mut *self.0;
        let texts = [Some(&mut parts.place), Some(&mut parts.problem), parts.remedy.as_mut()];
        texts.into_iter().flatten().for_each(|text| *text = text.replace(old, new));
        self
    }

    /// Adds the remedy.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        let mut text = parts.place.clone();
        for number in [parts.line, parts.column].into_iter().flatten() {
            text.push_str(&format!(":{number}"));
        }
        text.push_str(": ");
        if let Some(field) = &parts.field {
            text.push_str(&format!("{field}: "));
        }
        text.push_str(&parts.problem);
        if let Some(remedy) = &parts.remedy {
            text.push_str(&format!("; {remedy}"));
        }
        // A file's own words may be quoted in the message; they must not break the line or drive the terminal.
        f.write_str(&shortened(&visible(&text, &[])))
    }
}

/// Most characters of one message: a file that is no text may come in one line.
const MAX_MESSAGE: usize = 2000;

/// A text whose middle is left out if it is too long.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MAX_MESSAGE {
        return text.to_owned();
    }
    let half = MAX_MESSAGE / 2;
    let (head, tail) = (text.chars().take(half), text.chars().skip(length - half));
    head.chain(" … ".chars()).chain(tail).collect()
}

/// Whether a character shows nothing, or moves what stands beside it: control characters, and those that join, split or
/// turn the direction of writing.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// A text that does not drive the terminal: control characters, but for those of `kept`, are escaped.
pub fn visible(text: &str, kept: &[char]) -> String {
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) && !kept.contains(&c) { all.extend(c.escape_default()) } else { all.push(c) }
    }
    all
}

/// The end of a message about a word that is nearly one of `words`: `; did you mean X?`, or nothing.
pub fn did_you_mean<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    slip(&shown(word), words).map_or(String::new(), |near| format!("; did you mean {near}?"))
}

/// What is wrong with a word behind `FILE,` in an option's value; `forms` is what can stand there, `words` its names.
pub fn unknown_word(word: &str, forms: &str, words: &[&str]) -> String {
    let near = did_you_mean(word, words.iter().copied());
    let near = if near.is_empty() { "; a file with a comma in its name cannot be given" } else { &near };
    format!("{:?} does not belong behind the file; give {forms}{near}", shown(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_error_with_all_parts_is_one_line() {
        let error = InputError::new("bs", "\"a\nb\" is not a number").at(3, 7).field("cpu: ips").remedy("write ips=1");
        assert_eq!(error.to_string(), "bs:3:7: cpu: ips: \"a\\nb\" is not a number; write ips=1");
    }

    #[test]
    fn message_about_a_file_that_is_no_text_is_short_and_drives_no_terminal() {
        let wild = "\x1b]0;x\x07\u{9b}31m\u{202e}\u{200b}\n".repeat(10_000);
        let told = InputError::new("bs", wild).line(1).remedy("give a text").to_string();
        assert!(told.chars().count() < 2100 && told.starts_with("bs:1: ") && told.ends_with("; give a text"), "{told}");
        assert!(!told.chars().any(is_unseen), "{told}");
    }

    #[test]
    fn error_about_an_option_becomes_one_about_the_field_and_any_other_stays() {
        let of = |place: &str| InputError::new(place, "no").of_field(Path::new("s.ron")).to_string();
        assert_eq!(of("command line"), "s.ron: no");
        assert_eq!(of("IMAGE"), "s.ron: image: no");
        assert_eq!(of("--cpu-model"), "s.ron: cpu_model: no");
        assert_eq!(of("c.img"), "c.img: no");
    }
}
