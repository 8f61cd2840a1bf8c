//! The message list of an example whose VMM switches between two guests by the VMX-preemption timer.
//!
//! Where a switch falls depends on the speed of the machine, so the list as a whole does not. What each guest does
//! between the switches does not depend on it: the records of each guest are compared in their order.

use super::screens::{Line, kind};

/// A record: its number and its text.
type Record = (usize, String);

/// The start of the records that a switch of guests leaves: the exit, the VMM's message, the entry.
const TIMER_EXIT: &str = "[Exit Reason]: VMX-preemption timer expired";
const SWITCH: [&str; 2] = ["switch guest !", "to guest !"];

/// The records of the message lists that are expected and that are shown, gathered over several screens.
#[derive(Debug, Default)]
pub struct Lists {
    expected: Vec<Record>,
    shown: Vec<Record>,
}

/// Whether a line is a record.
fn is_record(line: &str) -> bool {
    line.starts_with("<#")
}

fn record(line: &str) -> Option<Record> {
    let (number, text) = line.strip_prefix("<#")?.split_once('>')?;
    Some((number.parse().ok()?, kind(text.trim())))
}

/// Adds the records that are not there yet.
fn gather<'a>(records: &mut Vec<Record>, lines: impl Iterator<Item = &'a str>) {
    for record in lines.filter_map(record) {
        if records.last().is_none_or(|(last, _)| *last < record.0) {
            records.push(record);
        }
    }
}

/// The records of each guest in order, without those of switches; an error names a record that does not fit.
fn by_guest(records: &[Record]) -> Result<[Vec<&str>; 2], String> {
    let mut guests = [Vec::new(), Vec::new()];
    let mut guest = 0;
    let mut rest = records.iter().zip(1..);
    while let Some(((number, text), place)) = rest.next() {
        if *number != place {
            return Err(format!("record {place} of the message list is missing"));
        }
        if !text.ends_with(TIMER_EXIT) {
            guests[guest].push(text.as_str());
            continue;
        }
        for part in SWITCH {
            // The list may end within a switch.
            if let Some(((number, text), _)) = rest.next()
                && !text.ends_with(part)
            {
                return Err(format!("record {number} \"{text}\" within a switch of guests, expected \"{part}\""));
            }
        }
        guest = 1 - guest;
    }
    Ok(guests)
}

impl Lists {
    /// Splits the records off the expected and the shown lines of one screen; the other lines are to be compared as usual.
    pub fn take(&mut self, expected: &[Line], screen: &[String]) {
        gather(
            &mut self.expected,
            expected.iter().filter_map(|line| match line {
                Line::Exact(text) | Line::Kind(text) => Some(text.as_str()),
                Line::Any(_) => None,
            }),
        );
        gather(&mut self.shown, screen.iter().map(String::as_str));
    }

    /// Compares what has been gathered: as many records, and each guest's in order.
    pub fn compare(&self) -> Option<String> {
        if self.shown.len() < self.expected.len() {
            return Some(format!(
                "{} records in the message list instead of {}",
                self.shown.len(),
                self.expected.len()
            ));
        }
        let (expected, shown) = match (by_guest(&self.expected), by_guest(&self.shown)) {
            (Ok(expected), Ok(shown)) => (expected, shown),
            (Err(error), _) | (_, Err(error)) => return Some(error),
        };
        for (guest, (expected, shown)) in expected.iter().zip(&shown).enumerate() {
            let name = ["A", "B"][guest];
            if !expected.is_empty() && shown.is_empty() {
                return Some(format!("no records of guest {name}"));
            }
            if let Some((expected, shown)) = expected.iter().zip(shown).find(|(expected, shown)| expected != shown) {
                return Some(format!("guest {name}: expected the record \"{expected}\", shown \"{shown}\""));
            }
        }
        None
    }
}

/// The lines of a list's screen that are no records.
pub fn frame(expected: &[Line], screen: &[String]) -> (Vec<Line>, Vec<String>) {
    let no_record = |line: &&Line| match line {
        Line::Exact(text) | Line::Kind(text) => !is_record(text),
        Line::Any(_) => true,
    };
    let expected = expected.iter().filter(no_record).cloned().collect();
    (expected, screen.iter().filter(|line| !is_record(line)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(expected: &[&str], shown: &[&str]) -> Option<String> {
        let number = |lines: &[&str]| {
            let lines = lines.iter().zip(1..).map(|(text, n)| format!("<#{n:02}> [CPU1] {text}"));
            lines.collect::<Vec<_>>()
        };
        let mut lists = Lists::default();
        let expected: Vec<_> = number(expected).into_iter().map(Line::Kind).collect();
        lists.take(&expected, &number(shown));
        lists.compare()
    }

    const TIMER: [&str; 3] = [TIMER_EXIT, "[Ex.DoPreemptionTimer]: switch guest !", "[VMM]: launch to guest !"];

    #[test]
    fn switch_at_another_place_is_no_difference() {
        let [t, s, l] = TIMER;
        assert_eq!(lists(&["a", "b", t, s, l, "x", "y"], &["a", t, s, l, "x", "y", t, s]), None);
    }

    #[test]
    fn other_record_of_a_guest_is_a_difference() {
        let [t, s, l] = TIMER;
        assert!(lists(&["a", "b", t, s, l, "x"], &["a", t, s, l, "b", "x"]).is_some(), "B does what A should");
        assert!(lists(&["a", "b"], &["a", "c"]).is_some());
        assert!(lists(&["a", "b"], &["a"]).is_some(), "too few");
        assert!(lists(&["a", t, s, l, "x"], &["a", t, "x", "x", "x"]).is_some(), "not a switch");
    }

    #[test]
    fn overlapping_screens_count_each_record_once() {
        let mut records = Vec::new();
        gather(&mut records, ["<#01> a", "<#02> b"].into_iter());
        gather(&mut records, ["frame", "<#02> b", "<#03> c"].into_iter());
        assert_eq!(records.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
