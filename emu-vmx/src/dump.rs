//! VMCS dumps as text or JSON, for `vmcs-lint`.
//!
//! Text: one `name = value` (or `name: value`) a line; `#` starts a comment; values are hexadecimal, with or without
//! `0x` or a trailing `h`. JSON: one flat object; numbers are decimal, strings are hexadecimal. `_` may group digits.
//! Names are those of [`crate::field::Field::from_name`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Why a dump cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// A line of a text dump has no separator.
    #[error("line {line}: \"{text}\" has no \"=\" or \":\"; write `field name = value`")]
    NoValue {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A value is no number of at most 64 bits.
    #[error(
        "line {line}: the value \"{value}\" of \"{name}\" is not a number of at most 64 bits; text values and JSON strings are hexadecimal, JSON numbers decimal"
    )]
    BadValue {
        /// Line, from 1.
        line: usize,
        /// Name.
        name: String,
        /// What stands there.
        value: String,
    },
    /// The JSON is not one flat object.
    #[error("line {line}: expected {expected}; a JSON dump is one object of field names with numbers or strings")]
    Json {
        /// Line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// Reads a dump: JSON when it starts with `{`, text otherwise.
pub fn parse(dump: &str) -> Result<Vec<(String, u64)>, DumpError> {
    match dump.trim_start().starts_with('{') {
        true => Json { rest: dump, line: 1 }.object(),
        false => parse_text(dump),
    }
}

fn hexadecimal(value: &str) -> Option<u64> {
    let digits: String = value.chars().filter(|&c| c != '_').collect();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(&digits);
    let digits = digits.strip_suffix(['h', 'H']).unwrap_or(digits);
    // `from_str_radix` would accept a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn parse_text(dump: &str) -> Result<Vec<(String, u64)>, DumpError> {
    let mut fields = Vec::new();
    for (number, text) in dump.lines().enumerate() {
        let line = number + 1;
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let Some((name, value)) = text.rsplit_once(['=', ':']) else {
            return Err(DumpError::NoValue { line, text: text.into() });
        };
        let (name, value) = (name.trim(), value.trim());
        let number =
            hexadecimal(value).ok_or_else(|| DumpError::BadValue { line, name: name.into(), value: value.into() })?;
        fields.push((name.into(), number));
    }
    Ok(fields)
}

struct Json<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Json<'a> {
    fn skip_space(&mut self) {
        let trimmed = self.rest.trim_start();
        let skipped = self.rest.len() - trimmed.len();
        self.line += self.rest.get(..skipped).map_or(0, |space| space.matches('\n').count());
        self.rest = trimmed;
    }
    fn take(&mut self, symbol: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
    fn expect(&mut self, symbol: char, expected: &'static str) -> Result<(), DumpError> {
        if self.take(symbol) { Ok(()) } else { Err(DumpError::Json { line: self.line, expected }) }
    }
    /// A string; field names and values need no escapes.
    fn string(&mut self) -> Result<&'a str, DumpError> {
        self.expect('"', "a string in double quotes")?;
        let bad = DumpError::Json { line: self.line, expected: "the end of the string, without escapes" };
        let (text, rest) = self.rest.split_once('"').ok_or(bad.clone())?;
        if text.contains(['\\', '\n']) {
            return Err(bad);
        }
        self.rest = rest;
        Ok(text)
    }
    fn value(&mut self, name: &str) -> Result<u64, DumpError> {
        self.skip_space();
        let (text, number) = if self.rest.starts_with('"') {
            let text = self.string()?;
            (text, hexadecimal(text.trim()))
        } else {
            let end = self.rest.find(|c: char| c == ',' || c == '}' || c.is_whitespace()).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            let plain = text.bytes().all(|b| b.is_ascii_digit());
            (text, text.parse().ok().filter(|_| plain))
        };
        number.ok_or_else(|| DumpError::BadValue { line: self.line, name: name.into(), value: text.to_string() })
    }
    fn object(mut self) -> Result<Vec<(String, u64)>, DumpError> {
        let mut fields = Vec::new();
        self.expect('{', "\"{\"")?;
        if !self.take('}') {
            loop {
                let name = self.string()?;
                self.expect(':', "\":\" after the field name")?;
                let value = self.value(name)?;
                fields.push((name.into(), value));
                if !self.take(',') {
                    break;
                }
            }
            self.expect('}', "\",\" or \"}\"")?;
        }
        self.skip_space();
        match self.rest.is_empty() {
            true => Ok(fields),
            false => Err(DumpError::Json { line: self.line, expected: "the end of the file" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_text_takes_hexadecimal_in_three_spellings() {
        let dump = "# a dump\nGuest CR0 = 0x80000031\n\nVMCS link pointer: FFFFFFFF_FFFFFFFF # none\n4000 = 1Fh\n";
        let expected = [("Guest CR0", 0x8000_0031), ("VMCS link pointer", u64::MAX), ("4000", 0x1F)];
        let expected: Vec<_> = expected.map(|(name, value)| (String::from(name), value)).into();
        assert_eq!(parse(dump), Ok(expected));
    }

    #[test]
    fn dump_json_takes_decimal_numbers_and_hexadecimal_strings() {
        let fields = parse("{ \"Guest CR0\": 49,\n \"GuestRip\": \"0x1000\" }\n").unwrap();
        assert_eq!(fields, [("Guest CR0".into(), 49), ("GuestRip".into(), 0x1000)]);
        assert_eq!(parse("{}"), Ok(Vec::new()));
    }

    #[test]
    fn dump_error_names_the_line() {
        assert_eq!(parse("a = 1\nbad"), Err(DumpError::NoValue { line: 2, text: "bad".into() }));
        for bad in ["a = ", "a = +1", "a = 1_0000_0000_0000_0000_0", "{\"a\": -1}", "{\"a\": }", "{\"a\": 1.5}"] {
            assert!(matches!(parse(bad), Err(DumpError::BadValue { line: 1, .. })), "{bad}");
        }
        for bad in ["{\"a\" 1}", "{\"a\": 1,}", "{\"a\": 1", "{a: 1}", "{\"a\": 1} x", "{\"a", "{\"a\\n\": 1}"] {
            assert!(matches!(parse(bad), Err(DumpError::Json { line: 1, .. })), "{bad}");
        }
        assert!(matches!(parse("{\n\"a\": 1\n\n2}"), Err(DumpError::Json { line: 4, .. })));
    }
}
