//! What a command answers: text for people, JSON for programs.

use serde_json::{Value, json};
use std::fmt::Write;

/// The answer of a command, twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Lines of text, each with its line feed; empty if there is nothing to say.
    pub text: String,
    /// The same for programs.
    pub json: Value,
}

impl Answer {
    /// Text and JSON.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: lines(text.into()), json }
    }

    /// A sentence that is also the JSON's `message`.
    pub fn message(text: impl Into<String>) -> Self {
        let text = text.into();
        let json = json!({ "message": text.trim_end() });
        Self::new(text, json)
    }

    /// Nothing to say.
    pub fn silent() -> Self {
        Self { text: String::new(), json: json!({}) }
    }
}

/// Text that ends in a line feed unless it is empty.
fn lines(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A number for JSON: `"0x7c00"`, since not every reader's numbers hold 64 bits.
pub fn hex(value: u64) -> Value {
    Value::String(format!("{value:#x}"))
}

/// A table: columns as wide as their widest cell, two blanks between them, no blanks at ends of lines.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a line of headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing under the headings.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// Whether there is not even a line of headings.
    pub fn rows_is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |n: usize| self.rows.iter().filter_map(|row| row.get(n)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_columns_fit_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(&["n", "what"]);
        table.row(["100".to_owned(), "x".to_owned()]);
        assert_eq!(table.text(), "n    what\n100  x\n");
    }

    #[test]
    fn answer_text_ends_in_a_line_feed_or_is_empty() {
        assert_eq!(Answer::message("a").text, "a\n");
        assert_eq!(Answer::silent().text, "");
        assert_eq!(hex(0x7C00), json!("0x7c00"));
    }
}
