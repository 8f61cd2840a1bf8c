//! What is wrong with a RON text, in words of ours: what was given, what can stand there, the nearest word.

use super::place::{self, Found};
use crate::config::{IPS_RANGE, MAX_CPUS, MAX_MEMORY_MIB, QUANTUM_RANGE};
use crate::error::{InputError, did_you_mean};
use emu_devices::disk::Geometry;
use emu_vmx::dump::names::{nearest, shown};
use ron::error::{Error, SpannedError};
use std::path::Path;

/// Most words that are listed.
const MAX_LISTED: usize = 12;

/// A kind of file.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Where to read what the file can hold.
    pub see: &'static str,
    /// How something is written, by the name before its parenthesis.
    pub form: fn(&str) -> Option<&'static str>,
}

/// An error of RON's parser as ours.
pub fn error(path: &Path, text: &str, error: &SpannedError, kind: Kind) -> InputError {
    let (line, column) = (error.position.line, error.position.col);
    let mut found = place::find(text, line, column);
    let unknown = matches!(
        error.code,
        Error::NoSuchStructField { .. } | Error::MissingStructField { .. } | Error::DuplicateStructField { .. }
    );
    if unknown && found.fields.last().is_some_and(|field| error.code.to_string().contains(field.as_str())) {
        found.fields.pop();
    }
    let (problem, remedy) = words(&error.code, &found, kind);
    let told = InputError::file(path, problem).at(line, column).remedy(remedy);
    let step = found.names.iter().rfind(|name| (kind.form)(name).is_some()).cloned();
    let mut around = found.fields;
    if let Some(step) = step {
        around.retain(|field| field != "steps");
        around.push(step);
    }
    if around.is_empty() { told } else { told.field(around.join(": ")) }
}

/// What can stand in a field that holds a number.
fn range_of(field: &str) -> Option<String> {
    let (ips, quantum) = (IPS_RANGE, QUANTUM_RANGE);
    Some(match field {
        "cpus" => format!("1 to {MAX_CPUS} processors"),
        "memory" => format!("1 to {MAX_MEMORY_MIB} MiB, or a text with a unit such as \"512M\" or \"1G\""),
        "ips" => format!("{} to {} cycles a guest second", ips.start(), ips.end()),
        "quantum" => format!("{} to {} cycles", quantum.start(), quantum.end()),
        "timeout" => "0 to 1000000 guest seconds".to_owned(),
        "max_time" | "wall_time" => "seconds above 0, such as 2.5".to_owned(),
        "max_instructions" => "0 or more instructions".to_owned(),
        "seed_time" => "seconds since 1970-01-01 UTC".to_owned(),
        "debug_exit" => "a port from 0 to 0xffff".to_owned(),
        "debug_exit_pass" => "0 to 0xffffffff".to_owned(),
        "gdb" => "a port from 0 to 65535".to_owned(),
        "jit" => "1 or more times".to_owned(),
        "cylinders" => format!("1 to {} cylinders", Geometry::MAX_CYLINDERS),
        "heads" => "1 to 16 heads".to_owned(),
        "sectors" => "1 to 63 sectors a track".to_owned(),
        "address" => "a physical address".to_owned(),
        _ => return None,
    })
}

/// The problem and the remedy.
fn words(code: &Error, found: &Found, kind: Kind) -> (String, String) {
    let given = if found.value.is_empty() { "what stands here".to_owned() } else { shown(&found.value) };
    let see = || format!("see {}", kind.see);
    let form = found.names.iter().rev().find_map(|name| (kind.form)(name)).map(|form| format!("write {form}"));
    let right = found.fields.last().and_then(|field| range_of(field)).map(|range| format!("give {range}"));
    let right = || form.clone().or_else(|| right.clone());
    let or = |general: &str| right().unwrap_or_else(|| general.to_owned());
    let both = |problem: &str, remedy: String| (problem.to_owned(), remedy);
    match code {
        Error::Message(text) if text.contains("; ") => {
            let (problem, remedy) = text.split_once("; ").unwrap_or((text, ""));
            both(problem, remedy.to_owned())
        }
        Error::Message(text) => both(text, right().unwrap_or_else(see)),
        Error::IntegerOutOfBounds => (format!("{given} is out of range"), or("give a smaller number, or one from 0")),
        Error::ExpectedInteger
        | Error::ExpectedFloat
        | Error::FloatUnderscore
        | Error::UnderscoreAtBeginning
        | Error::InvalidIntegerDigit { .. } => (no_number(&found.value, &given), or("give a number")),
        // Of a number the parser takes as much as is one, and expects a comma.
        Error::ExpectedComma
            if found.value.starts_with(|c: char| c.is_ascii_digit() || c == '-') && right().is_some() =>
        {
            (no_number(&found.value, &given), or("give a number"))
        }
        Error::ExpectedBoolean => (format!("{given} is neither true nor false"), "give true or false".to_owned()),
        Error::ExpectedString | Error::ExpectedByteString | Error::ExpectedChar | Error::ExpectedByteLiteral => {
            (format!("{given} is no text in double quotes"), or("give one, such as \"c.img\""))
        }
        Error::InvalidValueForType { .. } => (format!("{given} cannot stand here"), right().unwrap_or_else(see)),
        Error::ExpectedDifferentLength { .. } => {
            both("it has another number of values than it takes", right().unwrap_or_else(see))
        }
        Error::NoSuchEnumVariant { expected, found, .. } => {
            (format!("there is no {:?}", shown(found)), choice(found, expected, &see()))
        }
        Error::NoSuchStructField { expected, found, .. } => {
            (format!("there is no field {:?}", shown(found)), choice(found, expected, &see()))
        }
        Error::MissingStructField { field, .. } => (format!("the field {field} is missing"), see()),
        Error::DuplicateStructField { field, .. } => {
            (format!("the field {field} stands there twice"), "give it once".to_owned())
        }
        Error::ExpectedDifferentStructName { expected, found } => {
            (format!("{:?} is not what the file begins with", shown(found)), format!("write {expected}("))
        }
        Error::ExpectedStructName(name) => both("the name before the parenthesis is missing", format!("write {name}(")),
        Error::ExpectedStructLike | Error::ExpectedNamedStructLike(_) | Error::ExpectedUnit => {
            both("a ( is missing here", right().unwrap_or_else(see))
        }
        Error::ExpectedStructLikeEnd | Error::ExpectedOptionEnd | Error::ExpectedOption => {
            both("a ) is missing here, or it has more values than it takes", right().unwrap_or_else(see))
        }
        Error::ExpectedArray => both("a list is missing here", "write it as [ ... ]".to_owned()),
        Error::ExpectedArrayEnd => both("a comma or a ] is missing here", "close every [ by ]".to_owned()),
        Error::ExpectedMap => both("a { is missing here", see()),
        Error::ExpectedMapColon => both("a colon is missing behind the field's name", "write name: value".to_owned()),
        Error::ExpectedMapEnd => both("a comma or a } is missing here", "close every { by }".to_owned()),
        Error::ExpectedComma => both("a comma is missing here", or("put one between two values")),
        Error::ExpectedIdentifier | Error::InvalidIdentifier(_) | Error::SuggestRawIdentifier(_) => {
            both("a name is missing here", see())
        }
        Error::ExpectedStringEnd => both("a text is not closed", "put a double quote at its end".to_owned()),
        Error::InvalidEscape(_) => {
            both("nothing is meant by this character behind a backslash", "write \\\\ for a backslash".to_owned())
        }
        Error::Eof => both("the text ends before it is complete", "close every ( [ and double quote".to_owned()),
        Error::TrailingCharacters => both("something stands behind the end", "leave it out".to_owned()),
        Error::UnexpectedChar(c) => (format!("{c:?} cannot stand here"), see()),
        Error::UnclosedBlockComment | Error::UnclosedLineComment => {
            both("a comment is not closed", "put */ at its end".to_owned())
        }
        Error::ExpectedAttribute | Error::ExpectedAttributeEnd | Error::NoSuchExtension(_) => {
            both("the line that begins with # is none of RON's", "leave it out".to_owned())
        }
        Error::ExceededRecursionLimit => {
            both("it has too many parentheses and brackets in each other", "write it with fewer".to_owned())
        }
        _ => both("it cannot be read", see()),
    }
}

/// What is wrong with a value in the place of a number.
fn no_number(value: &str, given: &str) -> String {
    let problem = if value.parse::<i128>().is_ok() { "is out of range" } else { "is no number that can stand here" };
    format!("{given} {problem}")
}

/// Which of these words to give.
fn choice(word: &str, words: &[&str], see: &str) -> String {
    if words.len() <= MAX_LISTED {
        return format!("give one of {}{}", words.join(", "), did_you_mean(word, words.iter().copied()));
    }
    let near = nearest(word, words.iter().copied());
    near.map_or_else(|| see.to_owned(), |near| format!("the nearest name is {near}; {see}"))
}
