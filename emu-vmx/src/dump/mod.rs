//! VMCS dumps: written as text, and read in the forms that people have, for `vmcs-lint`.
//!
//! | form | looks like |
//! |---|---|
//! | text | `name = value`, `name: value` or `name value`; several `name = value` in a line; `#` starts a comment |
//! | JSON | one flat object; numbers are decimal, strings are hexadecimal |
//! | kernel log | what KVM and Xen print when a VM entry fails: `*** Guest State ***` and so on |
//!
//! Values of text are hexadecimal, with or without `0x` or a trailing `h`; `_`, `` ` `` and `'` may group digits. Names are
//! those of [`names::find`]. What programs put before a line of their log – time, level, processor – does not matter; lines
//! of a log that are not about a field are passed over.
//! A line `*** VMCS: … ***`, or a second `*** Guest State ***`, begins another VMCS.

mod json;
mod log;
pub mod names;
mod text;

use crate::field::{Access, Field, FieldSet};
use crate::vmcs::{LaunchState, NO_VMCS, Vmcs, width_bits};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Why a dump cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// A line of a text dump has no separator.
    #[error("\"{}\" has no value; write `field name = value`", names::shown(text))]
    NoValue {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A value is no number of at most 64 bits.
    #[error(
        "the value \"{}\" of \"{}\" is not a number of at most 64 bits; text values and JSON strings are hexadecimal, JSON numbers decimal",
        names::shown(value),
        names::shown(name)
    )]
    BadValue {
        /// Line, from 1.
        line: usize,
        /// Name.
        name: String,
        /// What stands there.
        value: String,
    },
    /// A value does not fit into its field.
    #[error("{value:X}h does not fit into {name}, which has {bits} bits")]
    TooWide {
        /// Line, from 1.
        line: usize,
        /// The field's name.
        name: &'static str,
        /// The value.
        value: u64,
        /// Bits of the field.
        bits: u32,
    },
    /// No field has this name.
    #[error("no field of a VMCS is called \"{}\"; {}", names::shown(name), remedy(nearest.as_deref()))]
    Unknown {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        name: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// A field has two values.
    #[error("{name} = {value:X}h, but it is {before:X}h in line {first}; give each field once")]
    Twice {
        /// Line, from 1.
        line: usize,
        /// The field's name.
        name: &'static str,
        /// The value.
        value: u64,
        /// The value before.
        before: u64,
        /// Its line.
        first: usize,
    },
    /// The JSON is not one flat object.
    #[error("expected {expected}; a JSON dump is one object of field names with numbers or strings")]
    Json {
        /// Line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// What to write instead of a name that no field has.
fn remedy(nearest: Option<&str>) -> String {
    nearest.map_or("give a field's name or encoding".into(), |name| format!("the nearest name is \"{name}\""))
}

impl DumpError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::NoValue { line, .. }
            | Self::BadValue { line, .. }
            | Self::TooWide { line, .. }
            | Self::Unknown { line, .. }
            | Self::Twice { line, .. }
            | Self::Json { line, .. } => *line,
        }
    }
}

/// A VMCS as a dump has it: what the dump does not give is not given, and not 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// What the dump says of it, or nothing.
    pub title: String,
    /// The fields that are given, with the line of each.
    pub fields: BTreeMap<Field, (u64, usize)>,
    /// The VMCS's address.
    pub address: Option<u64>,
    /// The VMM is in IA-32e mode.
    pub ia32e_mode: Option<bool>,
    /// The VMCS is launched.
    pub launched: Option<bool>,
}

impl Dump {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of a field that is given.
    pub fn get(&self, field: Field) -> Option<u64> {
        self.fields.get(&field).map(|given| given.0)
    }

    /// Takes a field by its name, or one of the facts that are no field.
    fn take(&mut self, line: usize, name: &str, value: u64) -> Result<(), DumpError> {
        match name.trim() {
            "current-VMCS pointer" => self.address = Some(value).filter(|address| *address != NO_VMCS),
            "IA-32e mode of the VMM" => self.ia32e_mode = Some(value != 0),
            "launched" => self.launched = Some(value != 0),
            name => {
                let unknown = || DumpError::Unknown { line, name: name.into(), nearest: names::nearest_field(name) };
                let (field, access) = names::find(name).ok_or_else(unknown)?;
                return self.set(line, field, access, value);
            }
        }
        Ok(())
    }

    fn set(&mut self, line: usize, field: Field, access: Access, value: u64) -> Result<(), DumpError> {
        let (name, bits) = (field.name(), width_bits(field));
        let before = self.fields.get(&field).copied();
        let halved = matches!(before, Some((low, _)) if access == Access::High && low >> 32 == 0);
        let (value, fits) = match access {
            Access::Full => (value, value & !field.width().mask() == 0),
            Access::High => (value << 32 | before.map_or(0, |low| low.0 & 0xFFFF_FFFF), value >> 32 == 0),
        };
        if !fits {
            return Err(DumpError::TooWide { line, name, value, bits });
        }
        match before {
            Some((other, first)) if other != value && !halved => {
                Err(DumpError::Twice { line, name, value, before: other, first })
            }
            _ => {
                self.fields.insert(field, (value, line));
                Ok(())
            }
        }
    }
}

/// Reads the dumps of a text. Those without any field are left out.
pub fn parse(dump: &str) -> Result<Vec<Dump>, DumpError> {
    let dumps = if dump.trim_start().starts_with('{') {
        Vec::from([json::parse(dump)?])
    } else if log::is_log(dump) {
        log::parse(dump)?
    } else {
        text::parse(dump)?
    };
    Ok(dumps.into_iter().filter(|dump| !dump.is_empty()).collect())
}

fn hexadecimal(value: &str) -> Option<u64> {
    let digits: String = value.chars().filter(|&c| !matches!(c, '_' | '`' | '\'')).collect();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(&digits);
    let digits = digits.strip_suffix(['h', 'H']).unwrap_or(digits);
    // `from_str_radix` would accept a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// A line without what logs put before it: level, time, source.
fn bare(line: &str) -> &str {
    let mut line = line.trim();
    loop {
        let before = line;
        // `[ 12.345678]`, `[2024-01-31 12:00:00.123]`, `[T1234]`, `[CPU0  ]`.
        if let Some((inside, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            && !inside.contains('=')
        {
            line = rest.trim_start();
        }
        // `<3>`, `(XEN)`.
        if let Some((_, rest)) = line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            line = rest.trim_start();
        }
        line = line.strip_prefix("(XEN)").unwrap_or(line).trim_start();
        // `kvm_intel:`, `host kernel:`, `Jan 31 12:00:00 host kernel:`.
        for source in ["kvm_intel:", "kvm:", "kernel:", "KVM:"] {
            if let Some(at) = line.find(source)
                && !line[..at].contains('=')
            {
                line = line[at + source.len()..].trim_start();
            }
        }
        // `00:00:05.123456 `, and `00012345678e` before `[CPU0  ]`.
        let first = line.split(' ').next().unwrap_or_default();
        let time =
            first.contains(':') && first.contains('.') && first.chars().all(|c| c.is_ascii_digit() || ":.".contains(c));
        let digits = first.bytes().take_while(u8::is_ascii_digit).count();
        let ticks = matches!(first.as_bytes().get(digits..), Some([b'i' | b'e' | b'd' | b'p', b'[', ..]));
        if time {
            line = line[first.len()..].trim_start();
        } else if ticks {
            line = line[digits + 1..].trim_start();
        }
        if line == before {
            return line;
        }
    }
}

/// The `name = value` of a line; a name goes back to the end of the value before it. What stands in parentheses behind a
/// value explains it. `None` if there is no `=`.
fn pairs(line: &str) -> Option<Vec<(&str, &str)>> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let end = after.find(|c: char| c.is_whitespace() || c == ',' || c == ';').unwrap_or(after.len());
        let (value, mut behind) = after.split_at(end);
        behind = behind.trim_start_matches([',', ';', ' ', '\t']);
        if let Some((_, after)) = behind.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            behind = after.trim_start_matches([',', ';', ' ', '\t']);
        }
        pairs.push((name.trim(), value));
        rest = behind;
    }
    if !pairs.is_empty() && !rest.trim().is_empty() {
        // A value of several words is none.
        let (name, value) = pairs.pop()?;
        let from = value.as_ptr() as usize - line.as_ptr() as usize;
        pairs.push((name, line.get(from..)?.trim()));
    }
    (!pairs.is_empty()).then_some(pairs)
}

/// The title of a line that begins a VMCS of our own text.
fn title(line: &str) -> Option<&str> {
    line.strip_prefix("*** VMCS: ")?.strip_suffix(" ***")
}

/// A VMCS as text that [`parse`] takes: the fields of `fields`, with what they mean as comments. `head` says whose it is;
/// its address and whether the VMM is in IA-32e mode are told if they are known.
pub fn write(vmcs: &Vmcs, fields: &FieldSet, head: &str, address: Option<u64>, ia32e_mode: Option<bool>) -> String {
    let mut text = format!("*** VMCS: {head} ***\n");
    if let Some(address) = address {
        let _ = writeln!(text, "current-VMCS pointer = {address:X}");
    }
    if let Some(mode) = ia32e_mode {
        let _ = writeln!(text, "IA-32e mode of the VMM = {}", u8::from(mode));
    }
    let launched = u8::from(vmcs.launch_state == LaunchState::Launched);
    let _ = writeln!(text, "launched = {launched}");
    for field in fields.iter() {
        let value = vmcs.get(field);
        let words = crate::words::field(field, value, vmcs);
        let comment = if words.is_empty() { words } else { format!("  # {words}") };
        let width = width_bits(field) as usize / 4;
        let _ = writeln!(text, "{} = {value:0width$X}{comment}", field.name());
    }
    text
}

#[cfg(test)]
mod tests;
