//! A dump as a flat JSON object.

use super::{Dump, DumpError, hexadecimal};
use alloc::string::ToString;

/// Reads the object.
pub fn parse(text: &str) -> Result<Dump, DumpError> {
    Json { rest: text, line: 1 }.object()
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
    fn object(mut self) -> Result<Dump, DumpError> {
        let mut dump = Dump::default();
        self.expect('{', "\"{\"")?;
        if !self.take('}') {
            loop {
                let name = self.string()?;
                self.expect(':', "\":\" after the field name")?;
                let value = self.value(name)?;
                dump.take(self.line, name, value)?;
                if !self.take(',') {
                    break;
                }
            }
            self.expect('}', "\",\" or \"}\"")?;
        }
        self.skip_space();
        match self.rest.is_empty() {
            true => Ok(dump),
            false => Err(DumpError::Json { line: self.line, expected: "the end of the file" }),
        }
    }
}
