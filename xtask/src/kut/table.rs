//! The table of results as Markdown, and its place in a document.

use super::output::Verdict;
use super::plan::Test;
use std::fmt::Write;

/// A test with its result; none if it was left out.
pub type Row<'a> = (&'a Test, Option<Verdict>);

/// The table, and below it the notes and the reasons of excused failures.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| test | CPUs | PASS | FAIL | SKIP | result |\n|---|--:|--:|--:|--:|---|\n".to_owned();
    let (mut notes, mut total) = (Vec::new(), Verdict::default());
    for (test, result) in rows {
        let name = &test.section.name;
        notes.extend(test.note.as_ref().map(|note| format!("- **{name}**: {}\n", escape(note))));
        let Some(verdict) = result else {
            let reason = test.left_out.as_deref().unwrap_or_default();
            notes.push(format!("- **{name}** is not run: {}\n", escape(reason)));
            continue;
        };
        let Verdict { pass, fail, skip, .. } = verdict;
        let result = word(verdict);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {} | {pass} | {fail} | {skip} | {result} |", test.section.cpus);
        total.pass += pass;
        total.fail += fail;
        total.skip += skip;
        for excused in &verdict.excused {
            let (line, reason) = (excused.line.replace('`', "'"), escape(&excused.reason));
            notes.push(format!("- **{name}**, `{line}` – {}: {reason}\n", excused.kind.text()));
        }
        for line in &verdict.unexpected {
            notes.push(format!("- **{name}**, `{}` – unexpected\n", line.replace('`', "'")));
        }
    }
    let _ = writeln!(text, "| **all** | | {} | {} | {} | |", total.pass, total.fail, total.skip);
    if !notes.is_empty() {
        text.push('\n');
        text.extend(notes);
    }
    text
}

/// A result in a word.
pub fn word(verdict: &Verdict) -> String {
    match (verdict.unexpected.len(), verdict.excused.len()) {
        (0, 0) if verdict.pass == 0 && verdict.skip > 0 => "skips itself".to_owned(),
        (0, 0) => "passes".to_owned(),
        (0, excused) => format!("passes but for {excused} with a reason"),
        (unexpected, _) => format!("**{unexpected} unexpected**"),
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The document with what is between the markers of `section` replaced. An error names the marker that is missing.
pub fn replace_section(document: &str, section: &str, table: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {section}: begin -->"), format!("<!-- {section}: end -->"));
    let (before, rest) = document.split_once(&begin).ok_or_else(|| format!("no line {begin}"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("no line {end} after {begin}"))?;
    Ok(format!("{before}{begin}\n\n{table}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::config::Section;
    use super::super::output::Excused;
    use super::super::plan::Kind;
    use super::*;

    fn test(name: &str) -> Test {
        Test { section: Section::of_file(name, "t.flat"), test_device: true, limit: 1, note: None, left_out: None }
    }

    #[test]
    fn table_has_a_row_a_test_its_sum_and_every_reason() {
        let excused = Excused { line: "FAIL: x".to_owned(), kind: Kind::KvmFeature, reason: "a|b".to_owned() };
        let verdict = Verdict { pass: 3, fail: 1, excused: vec![excused], ..Verdict::default() };
        let left_out = Test { left_out: Some("no VMX".to_owned()), ..test("c") };
        let (a, b) = (test("a"), test("b"));
        let crashed = Verdict { unexpected: vec!["hung".to_owned()], ..Verdict::default() };
        let rows = [(&a, Some(verdict)), (&b, Some(crashed)), (&left_out, None)];
        let text = markdown(&rows);
        assert!(text.contains("| a | 1 | 3 | 1 | 0 | passes but for 1 with a reason |\n"), "{text}");
        assert!(text.contains("| b | 1 | 0 | 0 | 0 | **1 unexpected** |\n"), "{text}");
        assert!(
            text.contains("| **all** | | 3 | 1 | 0 | |\n\n- **a**, `FAIL: x` – KVM's own feature: a\\|b\n"),
            "{text}"
        );
        assert!(text.contains("- **b**, `hung` – unexpected\n- **c** is not run: no VMX\n"), "{text}");
    }

    #[test]
    fn only_the_section_between_its_markers_is_replaced() {
        let document = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nb\n";
        let new = replace_section(document, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t: begin -->\n\nnew\n\n<!-- t: end -->\nb\n");
        assert_eq!(replace_section(&new, "t", "new\n").unwrap(), new);
        assert!(replace_section(document, "u", "").is_err());
        assert!(replace_section("<!-- t: begin -->", "t", "").unwrap_err().contains("end"));
    }
}
