//! Steps that look at the machine: registers, memory, VM exits, VM entries that failed, the whole screen.

use super::values::{Bytes, EntryFailure, Exit, RegisterName};
use crate::background::write_whole;
use crate::config::sources::MAX_TEXT_BYTES;
use crate::error::InputError;
use crate::files;
use crate::machine::Machine;
use std::path::Path;

/// What a step finds: that it holds, or why it does not.
pub(super) type Found = Result<(), String>;

/// Whether screens are to be written instead of compared.
pub(super) fn updates_golden() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// `ExpectReg`.
pub(super) fn register(machine: &dyn Machine, register: &RegisterName, expected: u64) -> Found {
    let RegisterName { processor, name, .. } = register;
    match machine.register(*processor, name) {
        Some(value) if value == expected => Ok(()),
        Some(value) => Err(format!("it is {value:#x}")),
        None if *processor >= machine.processors() as usize => {
            Err(format!("there is no processor {processor}; the last is {}", machine.processors().saturating_sub(1)))
        }
        None => Err(format!("processor {processor} has no register {name}")),
    }
}

/// `ExpectMem`.
pub(super) fn memory(machine: &dyn Machine, address: u64, expected: &Bytes) -> Found {
    let bytes = |n: usize| address.checked_add(n as u64).and_then(|address| machine.memory_byte(address));
    let found: Option<Vec<u8>> = (0..expected.bytes.len()).map(bytes).collect();
    match found {
        Some(found) if found == expected.bytes => Ok(()),
        Some(found) => {
            let first = found.iter().zip(&expected.bytes).position(|(found, expected)| found != expected).unwrap_or(0);
            let text = Bytes::show(&found);
            Err(format!("it is {text:?}; the first difference is at {:#x}", address.saturating_add(first as u64)))
        }
        None => Err("there is no memory at all of this address".to_owned()),
    }
}

/// `ExpectExits`.
pub(super) fn exits(machine: &dyn Machine, exit: &Exit, expected: u64) -> Found {
    let exits = machine.statistics().vm_exits;
    match exits.get(exit.reason.text()).copied().unwrap_or(0) {
        count if count == expected => Ok(()),
        count => Err(format!("there were {count}; all VM exits: {}", list(&exits))),
    }
}

/// `ExpectEntryFailure`.
pub(super) fn entry_failure(machine: &dyn Machine, failure: &EntryFailure) -> Found {
    let failed = machine.statistics().failed_entries;
    if failed.contains_key(&failure.0) {
        return Ok(());
    }
    Err(format!("no VM entry has failed so; those that failed: {}", list(&failed)))
}

fn list(counters: &std::collections::BTreeMap<String, u64>) -> String {
    if counters.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<String> = counters.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    items.join(", ")
}

/// `ExpectScreen`: compares a screen dump with the file, blanks at the ends of lines and empty lines at the end aside;
/// or writes the file. An error is the host's.
pub(super) fn screen(path: &Path, shown: &str) -> Result<Found, InputError> {
    if updates_golden() {
        files::check_output(path, "golden screen")?;
        return write_whole(path, "golden screen", shown.as_bytes()).map(Ok);
    }
    let golden = files::read_text(path, "golden screen", MAX_TEXT_BYTES)?;
    Ok(compare(path, &golden, shown))
}

fn compare(path: &Path, golden: &str, shown: &str) -> Found {
    let plain = |text: &str| -> String {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        lines.iter().take(used).map(|line| format!("{line}\n")).collect()
    };
    let (golden, shown) = (plain(golden), plain(shown));
    if golden == shown {
        return Ok(());
    }
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(golden.as_str(), shown.as_str());
    let text = diff.unified_diff().context_radius(2).header(&name, "the screen").to_string();
    Err(format!("the screen is another; UPDATE_GOLDEN=1 makes it the expected one\n{}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_that_differ_are_told_as_a_diff() {
        let path = Path::new("g.txt");
        assert_eq!(compare(path, "one  \r\ntwo\n\n", "one\ntwo\n\n\n\n"), Ok(()));
        let error = compare(path, "one\ntwo\n", "one\n2\n").unwrap_err();
        let lines: Vec<&str> = error.lines().skip(1).collect();
        assert_eq!(lines, ["--- g.txt", "+++ the screen", "@@ -1,2 +1,2 @@", " one", "-two", "+2"]);
    }
}
