//! A dump as lines of `name = value`.

use super::{Dump, DumpError, bare, hexadecimal, names, pairs, title};
use alloc::vec::Vec;

/// How Bochs begins a line about a VM entry that fails.
const FAILURES: [&str; 2] = ["VMFAIL:", "VMENTER FAIL:"];

/// Whether a line of a log that has this is about a field, perhaps misspelled, and no other line.
fn is_field(name: &str, value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_digit() || names::find(name).is_some() && !c.is_whitespace())
        && (names::find(name).is_some() || names::is_like_a_field(name))
}

/// Reads the lines.
pub fn parse(text: &str) -> Result<Vec<Dump>, DumpError> {
    let mut dumps = Vec::from([Dump::default()]);
    for (number, full) in text.lines().enumerate() {
        let number = number + 1;
        let text = full.split('#').next().unwrap_or_default();
        let line = bare(text);
        // A log has lines about other things, too.
        let logged = line.len() < text.trim().len() || FAILURES.iter().any(|failure| line.starts_with(failure));
        if let Some(title) = title(line) {
            dumps.push(Dump { title: title.into(), ..Dump::default() });
            continue;
        }
        // Rules of characters around headings.
        if line.is_empty() || line.starts_with("***") || line.starts_with("---") || line.starts_with("===") {
            continue;
        }
        let Some(dump) = dumps.last_mut() else { continue };
        let values = match values(line, number) {
            Err(_) if logged => continue,
            values => values?,
        };
        for (name, value) in values {
            if logged && !is_field(name, value) {
                continue;
            }
            let bad = || DumpError::BadValue { line: number, name: name.into(), value: value.into() };
            dump.take(number, name, hexadecimal(value).ok_or_else(bad)?)?;
        }
    }
    Ok(dumps)
}

fn values(line: &str, number: usize) -> Result<Vec<(&str, &str)>, DumpError> {
    if let Some(pairs) = pairs(line) {
        return Ok(pairs);
    }
    // What explains a value stands in parentheses.
    let line = explained(line);
    let split = line.rsplit_once(':').or_else(|| {
        let (name, value) = line.rsplit_once(char::is_whitespace)?;
        (hexadecimal(value).is_some() && names::find(name).is_some() || value.starts_with("0x"))
            .then_some((name, value))
    });
    let (name, value) = split.ok_or_else(|| DumpError::NoValue { line: number, text: line.into() })?;
    Ok(Vec::from([(name.trim(), value.trim())]))
}

/// A line without the parenthesis at its end that explains the value; names have parentheses, too.
fn explained(line: &str) -> &str {
    match line.strip_suffix(')').and_then(|inside| inside.rsplit_once(" (")) {
        Some((before, _)) if before.split_whitespace().count() > 1 => before.trim_end(),
        _ => line,
    }
}
