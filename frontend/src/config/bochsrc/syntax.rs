//! The lines of a Bochs configuration file.

/// One option line: `name: parameter, parameter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OptionLine {
    pub name: String,
    pub parameters: Vec<Parameter>,
}

/// `key=value`, or a value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub key: Option<String>,
    pub value: String,
}

/// Cuts a comment: `#` at the start or after a blank, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut after_blank) = (false, true);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && after_blank => return line.get(..at).unwrap_or(line),
            _ => {}
        }
        after_blank = c.is_whitespace();
    }
    line
}

/// Splits a line into its option and parameters. `Ok(None)` for a blank line; the problem as an error.
pub(super) fn split(line: &str) -> Result<Option<OptionLine>, String> {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Ok(None);
    }
    let Some((name, rest)) = line.split_once(':') else {
        return Err(format!("{line:?} has no colon after the option's name"));
    };
    let (mut parameters, mut current, mut quoted) = (Vec::new(), String::new(), false);
    for c in rest.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parameters.push(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    parameters.push(current);
    let parameters = parameters
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(|text| match text.split_once('=') {
            Some((key, value)) => Parameter { key: Some(key.trim().to_owned()), value: value.trim().to_owned() },
            None => Parameter { key: None, value: text.to_owned() },
        })
        .collect();
    Ok(Some(OptionLine { name: name.trim().to_owned(), parameters }))
}
