//! Where in a RON text a mistake stands: its parser tells line and column alone.

/// What stands at a place of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Fields around it, the outermost first.
    pub fields: Vec<String>,
    /// The names before the parentheses around it, the outermost first, then a word right before it; empty where there is
    /// none.
    pub names: Vec<String>,
    /// The value, or what there is of it: a number, a word, or a text with its quotes.
    pub value: String,
}

/// Something in parentheses or brackets.
#[derive(Debug, Default)]
struct Frame {
    name: String,
    field: Option<String>,
    /// Where the value of the field, or the element of a list, begins.
    value: usize,
}

/// Looks at the text before line and column, which count from 1.
pub fn find(text: &str, line: usize, column: usize) -> Found {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let end = before + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    let mut frames = vec![Frame::default()];
    let (mut at, mut word) = (0, "");
    while let Some(token) = next(text, &mut at, end) {
        let before = std::mem::take(&mut word);
        let depth = frames.len();
        let Some(frame) = frames.last_mut() else { break };
        match token {
            "(" | "[" | "{" => frames.push(Frame { name: before.to_owned(), field: None, value: at }),
            ")" | "]" | "}" if depth > 1 => drop(frames.pop()),
            ":" => (frame.field, frame.value) = (Some(before.to_owned()), at),
            "," => (frame.field, frame.value) = (None, at),
            token => word = token,
        }
    }
    let last = frames.last().map_or(0, |frame| frame.value);
    let mut from = last;
    let value = next(text, &mut from, text.len()).filter(|token| !matches!(*token, "," | ")" | "]" | "}"));
    Found {
        fields: frames.iter().filter_map(|frame| frame.field.clone()).collect(),
        names: frames.into_iter().map(|frame| frame.name).chain([word.to_owned()]).collect(),
        value: value.unwrap_or_default().to_owned(),
    }
}

/// The next word, text or sign that begins before `end`; `at` is behind it then.
fn next<'t>(text: &'t str, at: &mut usize, end: usize) -> Option<&'t str> {
    loop {
        let rest = text.get(*at..).filter(|rest| !rest.is_empty() && *at < end)?;
        let length = if rest.starts_with("//") {
            *at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("/*") {
            *at += rest.find("*/").map_or(rest.len(), |found| found + 2);
            continue;
        } else if rest.starts_with(char::is_whitespace) {
            *at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        } else if rest.starts_with('"') {
            let mut escaped = false;
            let close = rest.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            });
            close.map_or(rest.len(), |(found, _)| found + 1)
        } else {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
            let word = rest.find(|c| !plain(c)).unwrap_or(rest.len());
            word.max(rest.chars().next().map_or(1, char::len_utf8))
        };
        let token = rest.get(..length)?;
        *at += length;
        return Some(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_value_around_a_place_are_found_past_comments_and_texts() {
        let text =
            "// cpus: 1\nMachine(\n  hda: Disk(image: \"a, (b\", geometry: (heads: 99)),\n  run: (max_time: -1),\n)";
        let found = |line, column| {
            let Found { fields, names, value } = find(text, line, column);
            (fields.join(": "), names.iter().rev().nth(1).cloned().unwrap_or_default(), value)
        };
        let at = |line: usize, part: &str| text.lines().nth(line - 1).and_then(|line| line.find(part)).unwrap_or(0) + 1;
        assert_eq!(found(3, at(3, "99")), ("hda: geometry: heads".to_owned(), String::new(), "99".to_owned()));
        assert_eq!(found(3, at(3, "\"a")), ("hda: image".to_owned(), "Disk".to_owned(), "\"a, (b\"".to_owned()));
        assert_eq!(found(4, at(4, "-1") + 2), ("run: max_time".to_owned(), String::new(), "-1".to_owned()));
        for (line, column) in [(0, 0), (1, 1), (99, 1), (3, 999)] {
            found(line, column);
        }
        assert_eq!(find("Script(steps: [Wait(1), Key(\"é", 1, 30).names[..4], ["", "Script", "", "Key"]);
    }
}
