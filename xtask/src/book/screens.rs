//! The expected screens: their files (`book-screens/`), and how a screen compares with one.
//!
//! A file has one block a step: `## step N key KEY`, then the lines of the 80×25 text screen. `= ` is a line that must be
//! there exactly, `~ ` one whose numbers depend on timing, of which the kind must be right, `* ` stands for any number of
//! lines that begin so; empty lines do not count. `## step N key KEY list` is a part of a message list, of which the
//! records are judged together (see [`super::records`]).

use std::fmt;

/// The screens of a machine of so many processors, by example.
pub type Screens = [(&'static str, &'static str)];

macro_rules! screens {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../book-screens/", $folder, $name, ".txt")))),*]
    };
}

/// The numbers of processors that there are screens for. The book's machine has 4.
pub const BY_PROCESSORS: [(u32, &Screens); 3] = [
    (
        4,
        screens! { "": "ex1-1" "ex1-2" "ex2-1" "ex3-1" "ex4-1" "ex4-2" "ex5-1" "ex5-2" "ex6-1" "ex7-1" "ex7-2" "ex7-3"
        "ex7-4" "ex7-5" },
    ),
    (
        2,
        screens! { "2-processors/": "ex1-1" "ex1-2" "ex2-1" "ex3-1" "ex4-1" "ex4-2" "ex5-1" "ex5-2" "ex6-1" "ex7-1"
        "ex7-2" "ex7-3" "ex7-4" },
    ),
    (1, screens! { "1-processor/": "ex1-1" "ex1-2" "ex2-1" }),
];

/// What stays in BP from the disk's MBR (its partition's entry) and is 0 without one, where the examples show it.
const DISK_AND_FLOPPY: [(&str, &str); 1] = [("RBP: 00000000000007EE", "RBP: 0000000000000000")];

/// An expected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Exactly this.
    Exact(String),
    /// This with other numbers.
    Kind(String),
    /// Any number of lines that begin with this.
    Any(String),
}

impl Line {
    fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Exact(text) | Self::Kind(text) | Self::Any(text) => text,
        }
    }
}

/// A step: what is pressed, and what is shown when the screen has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number in the file.
    pub number: usize,
    /// The key and how often it is pressed; none for the boot.
    pub key: Option<(String, u32)>,
    /// A part of a message list.
    pub list: bool,
    /// The lines that are not empty.
    pub lines: Vec<Line>,
}

/// The first line that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was expected; `None` where the screen goes on.
    pub expected: Option<Line>,
    /// What is shown; `None` where the screen has ended.
    pub shown: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Some(Line::Exact(text)) => write!(f, "expected \"{text}\"")?,
            Some(Line::Kind(text)) => write!(f, "expected a line like \"{text}\"")?,
            Some(Line::Any(text)) => write!(f, "expected lines that begin with \"{text}\"")?,
            None => write!(f, "expected no more lines")?,
        }
        match &self.shown {
            Some(text) => write!(f, ", shown \"{text}\""),
            None => write!(f, ", the screen ends before it"),
        }
    }
}

/// Reads a file of expected screens; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let bad = |what: &str| format!("line {number}: {what}: {line:?}");
        if let Some(head) = line.strip_prefix("## step ") {
            let (step, key) = head.split_once(" key ").ok_or_else(|| bad("a step without a key"))?;
            let (key, list) = key.strip_suffix(" list").map_or((key, false), |key| (key, true));
            let (name, times) = key.split_once('*').unwrap_or((key, "1"));
            let times = times.parse().map_err(|_| bad("no number of key strokes"))?;
            steps.push(Step {
                number: step.parse().map_err(|_| bad("no step number"))?,
                key: (name != "(boot)").then(|| (name.to_owned(), times)),
                list,
                lines: Vec::new(),
            });
            continue;
        }
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let text = || line.get(2..).unwrap_or_default().trim_end().to_owned();
        let expected = match line.get(..2) {
            Some("= ") => Line::Exact(text()),
            Some("~ ") => Line::Kind(text()),
            Some("* ") => Line::Any(text()),
            _ => return Err(bad("neither a step nor a screen line")),
        };
        steps.last_mut().ok_or_else(|| bad("a screen line before the first step"))?.lines.push(expected);
    }
    Ok(steps)
}

/// A line without its numbers: each run of hexadecimal digits that has a digit in it, or is 8 or more long, becomes `#`.
pub fn kind(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim_end();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && !('A'..='F').contains(&c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if run.is_empty() {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if run.len() >= 8 || run.contains(|c: char| c.is_ascii_digit()) {
            out.push('#');
        } else {
            out.push_str(run);
        }
        rest = after;
    }
    // Numbers of other lengths move what is aligned behind them.
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Compares a screen with the expected lines. Empty lines do not count.
pub fn compare(expected: &[Line], screen: &[String]) -> Option<Difference> {
    let mut shown = screen.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).peekable();
    for line in expected {
        if let Line::Any(text) = line {
            while shown.next_if(|actual| actual.starts_with(text.as_str())).is_some() {}
            continue;
        }
        let actual = shown.next();
        let same = match (line, actual) {
            (Line::Exact(text), Some(actual)) => text == actual,
            (Line::Kind(text), Some(actual)) => kind(text) == kind(actual),
            _ => false,
        };
        if !same {
            return Some(Difference { expected: Some(line.clone()), shown: actual.map(str::to_owned) });
        }
    }
    shown.next().map(|extra| Difference { expected: None, shown: Some(extra.to_owned()) })
}

/// The same steps from a floppy, which has no MBR.
pub fn from_floppy(mut steps: Vec<Step>) -> Vec<Step> {
    for line in steps.iter_mut().flat_map(|step| &mut step.lines) {
        for (disk, floppy) in DISK_AND_FLOPPY {
            let text = line.text_mut();
            *text = text.replace(disk, floppy);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn expected_screens_in_the_repository_are_read_and_all_keys_are_known() {
        for (name, text) in BY_PROCESSORS.iter().flat_map(|(_, screens)| *screens) {
            let steps = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!steps.is_empty() && steps[0].key.is_none(), "{name}");
            for step in &steps {
                assert!(!step.lines.is_empty(), "{name} step {}", step.number);
                if let Some((key, _)) = &step.key {
                    assert!(emu_devices::keyboard::Key::from_name(key).is_some(), "{name}: {key}");
                }
            }
        }
    }

    #[test]
    fn step_with_a_repeated_key_and_both_kinds_of_lines_is_read() {
        let steps = parse("# x\n\n## step 0 key (boot)\n= a\n\n## step 1 key Down*18 list\n~ b 1\n").unwrap();
        assert_eq!((&steps[1].key, steps[1].list), (&Some(("Down".to_owned(), 18)), true));
        assert_eq!((&steps[0].lines[0], &steps[1].lines[0]), (&Line::Exact("a".into()), &Line::Kind("b 1".into())));
        assert!(parse("= a\n").is_err() && parse("## step 0 key (boot)\nplain\n").is_err());
    }

    #[test]
    fn kind_of_a_line_is_the_line_without_its_numbers() {
        assert_eq!(kind("[OS]: TSC = 000000000000054B"), "[OS]: TSC = #");
        assert_eq!(kind("<#100> [CPU1] [do_BP]: a #BP"), kind("<#20>  [CPU2] [do_BP]: a #BP"));
        assert_ne!(kind("load GDTR"), kind("load IDTR"));
    }

    #[test]
    fn exact_line_with_another_number_is_a_difference() {
        let expected = [Line::Exact("a 1".into()), Line::Kind("b 1".into())];
        assert_eq!(compare(&expected, &screen("a 1\n\nb 2\n")), None);
        let difference = compare(&expected, &screen("a 2\nb 2")).unwrap();
        assert_eq!(difference.shown.as_deref(), Some("a 2"));
    }

    #[test]
    fn missing_and_extra_lines_are_differences() {
        let expected = [Line::Exact("a".into())];
        assert_eq!(compare(&expected, &screen("")).unwrap().shown, None);
        assert_eq!(compare(&expected, &screen("a\nb")).unwrap().expected, None);
    }

    #[test]
    fn lines_of_any_number_may_be_none_or_many() {
        let expected = [Line::Any("a".into()), Line::Exact("b".into())];
        assert_eq!(compare(&expected, &screen("b")), None);
        assert_eq!(compare(&expected, &screen("a 1\na 2\nb")), None);
        assert!(compare(&expected, &screen("a 1\nc")).is_some());
    }

    #[test]
    fn floppy_shows_no_trace_of_the_mbr() {
        let steps = parse("## step 0 key (boot)\n= x RBP: 00000000000007EE\n").unwrap();
        assert_eq!(from_floppy(steps)[0].lines, [Line::Exact("x RBP: 0000000000000000".into())]);
    }
}
