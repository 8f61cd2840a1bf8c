//! Where the steps of a script stand: RON's parser does not keep the places of what it has read.

/// The line (from 1) of each step in a script that parses: of the elements of the list `steps`, each followed by those
/// of the lists in it.
pub fn of_steps(text: &str) -> Vec<usize> {
    let mut scanner = Scanner { rest: text, line: 1 };
    let mut lines = Vec::new();
    // Of every bracket that is open, whether it holds steps.
    let mut open: Vec<bool> = Vec::new();
    let (mut word, mut awaits_step) = ("", false);
    while let Some((token, line)) = scanner.token() {
        if awaits_step && !matches!(token, "," | "]") {
            lines.push(line);
            awaits_step = false;
        }
        match token {
            "(" | "{" => open.push(false),
            "[" => {
                // Nothing within a step is a list but more steps.
                awaits_step = open.contains(&true) || open.len() == 1 && word == "steps";
                open.push(awaits_step);
            }
            ")" | "}" | "]" => {
                open.pop();
                awaits_step = false;
            }
            "," => awaits_step = open.last() == Some(&true),
            ":" => {}
            token => word = token,
        }
    }
    lines
}

/// Whether a text is that of a script to run: its top is `Script(`, behind comments and RON's attributes.
pub fn is_script(text: &str) -> bool {
    let mut scanner = Scanner { rest: text, line: 1 };
    let mut next = || scanner.token().map(|(token, _)| token);
    let mut token = next();
    while token == Some("#") {
        while !matches!(token, Some("]") | None) {
            token = next();
        }
        token = next();
    }
    token == Some("Script") && next() == Some("(")
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Scanner<'a> {
    /// Takes `length` bytes.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    /// Length up to the end of `end`, or all that is left.
    fn through(&self, from: usize, end: &str) -> usize {
        self.rest[from..].find(end).map_or(self.rest.len(), |at| from + at + end.len())
    }

    /// Length of a string with escapes.
    fn string(&self) -> usize {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        end.map_or(self.rest.len(), |(at, _)| at + 1)
    }

    /// Length of a nested comment.
    fn block_comment(&self) -> usize {
        let (mut depth, mut at) = (0, 0);
        while at < self.rest.len() {
            let here = &self.rest[at..];
            if here.starts_with("/*") {
                (depth, at) = (depth + 1, at + 2);
            } else if here.starts_with("*/") {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    break;
                }
            } else {
                at += here.chars().next().map_or(1, char::len_utf8);
            }
        }
        at
    }

    /// The next word, string or sign, with its line.
    fn token(&mut self) -> Option<(&'a str, usize)> {
        loop {
            let first = self.rest.chars().next()?;
            let raw =
                self.rest.strip_prefix('r').map(|rest| rest.trim_start_matches('#')).filter(|r| r.starts_with('"'));
            let length = if self.rest.starts_with("//") {
                self.take(self.through(0, "\n"));
                continue;
            } else if self.rest.starts_with("/*") {
                self.take(self.block_comment());
                continue;
            } else if first.is_whitespace() {
                self.take(first.len_utf8());
                continue;
            } else if let Some(after) = raw {
                let hashes = self.rest.len() - after.len() - 1;
                self.through(hashes + 2, &format!("\"{}", "#".repeat(hashes)))
            } else if first == '"' {
                self.string()
            } else if first == '\'' {
                // A character: 'x' or '\''.
                let escaped = usize::from(self.rest.starts_with("'\\"));
                let inner: usize = self.rest.chars().skip(1 + escaped).take(1).map(char::len_utf8).sum();
                self.through(1 + escaped + inner, "'")
            } else {
                let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
                let length = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
                length.max(first.len_utf8())
            };
            let line = self.line;
            return Some((self.take(length), line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_found_whatever_stands_around_it() {
        let text = "#![enable(implicit_some)]\n// steps: [\nScript(\n  timeout: 6, /* steps: [ /* a */\n */ steps: [\n\
                    Wait(1), Key(\"[a\\\"\"),\n  // one more\n  WaitText(r#\"],\"\n(\"#, 2),\n\n PowerOff\n, ],\n)";
        assert_eq!(of_steps(text), [6, 6, 8, 11]);
        assert!(of_steps("(steps:[],timeout:3)").is_empty());
        assert_eq!(of_steps("(steps:[Wait(1)"), [1]);
        let text = "Script(boot: [disk,\nfloppy], steps: [Key(\"a\"),\nRepeat(2, [\nWait(1),\n Repeat(3, [Reset,\n PowerOff])]),\n\
                    Wait(2)])";
        assert_eq!(of_steps(text), [2, 3, 4, 5, 5, 6, 7]);
    }

    #[test]
    fn script_is_known_by_its_top() {
        for text in
            ["Script(", "// Machine(\n#![enable(implicit_some)]\n#![enable(unwrap_newtypes)] Script (steps: [])"]
        {
            assert!(is_script(text), "{text}");
        }
        for text in ["", "Machine(", "(steps: [])", "Scripts(", "#![enable(", "Script"] {
            assert!(!is_script(text), "{text}");
        }
    }

    #[test]
    fn every_test_script_has_a_line_for_each_step() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/scripts");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let script = super::super::parse(&path, &text).unwrap();
            assert_eq!(script.lines.len(), script.steps.iter().map(|step| step.count()).sum::<usize>(), "{path:?}");
        }
    }
}
