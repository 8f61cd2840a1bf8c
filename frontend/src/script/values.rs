//! What stands in the steps of a script. Everything is checked as it is read, so that a mistake is told with its line
//! before the guest runs.

use crate::debug::breakpoints::reason;
use emu_core::msr;
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::checks::all_rules;
use emu_vmx::dump::names::{nearest, shown};
use emu_vmx::exit::ExitReason;
use emu_vmx::vmcs::VmInstructionError;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Guest seconds: a finite number, not negative, at most a million.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(pub f64);

impl Seconds {
    /// In cycles of a clock of `hz`.
    pub fn cycles(self, hz: u64) -> u64 {
        (self.0 * hz as f64) as u64
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=1e6).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(format!("{seconds} is no number of guest seconds from 0 to 1000000"))
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keys pressed together, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Keys {
    /// As written.
    pub text: String,
    /// The keys, in the order of pressing.
    pub keys: Vec<Key>,
}

impl TryFrom<String> for Keys {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Key::combination(&text) {
            Ok(keys) => Ok(Self { text, keys }),
            Err(part) => {
                let part = shown(&part);
                Err(format!("{part:?} is no key; keys are a..z 0..9 F1..F12 Esc Enter Space Up PgDn LeftCtrl ..."))
            }
        }
    }
}

/// Text that the keyboard can type: ASCII, line feed and tab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Typed(pub String);

impl TryFrom<String> for Typed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().find(|c| Key::from_char(*c).is_none()) {
            None if text.is_empty() => Err("the text is empty; give one that can be typed".to_owned()),
            None => Ok(Self(text)),
            Some(c) => Err(format!("no key types {c:?}")),
        }
    }
}

/// A drive for media that can be changed, by its name in configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Drive {
    /// As written.
    pub text: String,
    /// Where it is.
    pub place: DrivePlace,
}

impl Drive {
    /// Floppy drive A:.
    pub const FLOPPY: DrivePlace = DrivePlace::Floppy { drive: 0 };
    /// The CD-ROM drive.
    pub const CDROM: DrivePlace = DrivePlace::Ata { channel: 1, drive: 0 };
}

impl TryFrom<String> for Drive {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = match text.as_str() {
            "fda" => Self::FLOPPY,
            "fdb" => DrivePlace::Floppy { drive: 1 },
            "hda" => DrivePlace::Ata { channel: 0, drive: 0 },
            "hdb" => DrivePlace::Ata { channel: 0, drive: 1 },
            "hdc" | "cdrom" => Self::CDROM,
            "hdd" => DrivePlace::Ata { channel: 1, drive: 1 },
            _ => return Err(format!("{:?} is no drive; drives are fda, fdb, cdrom and hda to hdd", shown(&text))),
        };
        Ok(Self { text, place })
    }
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Button {
    /// The first.
    Left,
    /// The second.
    Right,
    /// The wheel.
    Middle,
}

impl Button {
    /// Its bit in the state of all.
    pub fn mask(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 2,
            Self::Middle => 4,
        }
    }
}

/// Text that is looked for: not empty, as nothing is found everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(pub String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            Err("the text is empty; give one that can be looked for".to_owned())
        } else {
            Ok(Self(text))
        }
    }
}

/// A regular expression: crate regex's, with `^` and `$` at the ends of lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// For text.
    pub regex: regex::Regex,
    /// For bytes.
    pub bytes: regex::bytes::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Text(text) = Text::try_from(text)?;
        let problem = |error: regex::Error| format!("{:?} is no regular expression: {}", shown(&text), short(&error));
        let regex = regex::RegexBuilder::new(&text).multi_line(true).build().map_err(problem)?;
        let bytes = regex::bytes::RegexBuilder::new(&text).multi_line(true).build().map_err(problem)?;
        if regex.is_match("") {
            let text = shown(&text);
            return Err(format!("{text:?} matches nothing at all, too; give one that can be looked for"));
        }
        Ok(Self { text, regex, bytes })
    }
}

/// What is wrong with a regular expression, in one line.
pub fn short(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// A register of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RegisterName {
    /// As written: `rax`, or `cpu1.rax`.
    pub text: String,
    /// The processor's number.
    pub processor: usize,
    /// The register, in lower case.
    pub name: String,
}

/// Registers by name, besides the model-specific ones.
const REGISTERS: &str = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip rflags \
    eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d eip eflags \
    ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w ip flags \
    al cl dl bl spl bpl sil dil ah ch dh bh r8b r9b r10b r11b r12b r13b r14b r15b \
    cr0 cr2 cr3 cr4 cr8 xcr0 efer dr0 dr1 dr2 dr3 dr6 dr7 cpl";

impl TryFrom<String> for RegisterName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (processor, name) = match lower.strip_prefix("cpu").and_then(|rest| rest.split_once('.')) {
            Some((number, name)) => {
                let number =
                    number.parse().map_err(|_| format!("{:?} names no processor; write cpu1.rax", shown(&text)))?;
                (number, name.to_owned())
            }
            None => (0, lower.clone()),
        };
        let segments = SegmentRegister::ALL.map(|register| register.name().to_ascii_lowercase());
        let mut known = REGISTERS.split_ascii_whitespace().chain(segments.iter().map(String::as_str));
        if known.any(|other| other == name) || msr::number(&name).is_some() {
            return Ok(Self { text, processor, name });
        }
        let near = nearest(&name, REGISTERS.split_ascii_whitespace().chain(segments.iter().map(String::as_str)));
        let near = near.map_or(String::new(), |near| format!("; the nearest name is {near}"));
        Err(format!("{:?} is no register{near}", shown(&text)))
    }
}

/// Bytes as pairs of hexadecimal digits; blanks between them do not count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes {
    /// As written.
    pub text: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Most bytes that are compared.
const MAX_BYTES: usize = 4096;

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits: Vec<u32> = text
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .map(|c| c.to_digit(16).ok_or_else(|| format!("{c:?} in {:?} is no hexadecimal digit", shown(&text))))
            .collect::<Result<_, _>>()?;
        if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_BYTES {
            let text = shown(&text);
            return Err(format!("{text:?} is not 1 to {MAX_BYTES} bytes; give two hexadecimal digits for each"));
        }
        let byte = |pair: &[u32]| pair.iter().fold(0, |byte: u32, digit| byte << 4 | digit) as u8;
        Ok(Self { bytes: digits.chunks(2).map(byte).collect(), text })
    }
}

impl Bytes {
    /// Bytes as they are written in scripts.
    pub fn show(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }
}

/// A basic exit reason: its number, or the SDM's words, without regard to case, blanks and signs, as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The reason.
    pub reason: ExitReason,
    /// As written, number or text.
    pub text: String,
}

impl TryFrom<String> for Exit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self { reason: reason(&text)?, text })
    }
}

impl<'de> Deserialize<'de> for Exit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Exit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a VM-exit reason: a number, or a text such as \"CPUID\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Exit, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Exit, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Exit, E> {
                Exit::try_from(text.to_owned()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

/// A way in which a VM entry fails: the identifier of a rule, or the title of the error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EntryFailure(pub String);

impl TryFrom<String> for EntryFailure {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let titles = (1..=28).filter_map(VmInstructionError::from_number).map(VmInstructionError::text);
        let known = || {
            let others = ["VMfailInvalid", ExitReason::EntryFailureMsrLoading.text()];
            all_rules().map(|rule| rule.id).chain(titles.clone()).chain(others)
        };
        if known().any(|name| name == text) {
            return Ok(Self(text));
        }
        let near = nearest(&text, known()).map_or(String::new(), |near| format!("; the nearest is {near:?}"));
        Err(format!("{:?} is no rule of VM entry (docs/vmx-rules.md){near}", shown(&text)))
    }
}

/// How often steps are repeated: at least once, at most a million times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Times(pub u32);

impl TryFrom<u32> for Times {
    type Error = String;

    fn try_from(times: u32) -> Result<Self, String> {
        if (1..=1_000_000).contains(&times) {
            Ok(Self(times))
        } else {
            Err(format!("{times} is not 1 to 1000000 times"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::expr::Scope;
    use crate::debug::scope::CpuScope;

    #[test]
    fn every_register_that_a_script_may_name_is_one_of_the_machine() {
        let pc = emu_devices::pc::Pc::builder().memory(2 << 20).build().unwrap();
        let scope = CpuScope::of_pc(&pc, 0).unwrap();
        for name in REGISTERS.split_ascii_whitespace().chain(["cs", "tr", "ia32_apic_base"]) {
            let register = RegisterName::try_from(name.to_owned()).unwrap();
            assert!(scope.register(&register.name).is_some(), "{name}");
        }
        let register = RegisterName::try_from("cpu3.RAX".to_owned()).unwrap();
        assert_eq!((register.processor, register.name.as_str()), (3, "rax"));
        let error = RegisterName::try_from("raxx".to_owned()).unwrap_err();
        assert_eq!(error, "\"raxx\" is no register; the nearest name is rax");
        assert!(RegisterName::try_from("cpux.rax".to_owned()).is_err());
    }

    #[test]
    fn names_of_vmx_have_a_nearest_one() {
        for text in ["CPUID", "Cpuid", "cpuid", "10", "0xa"] {
            assert_eq!(Exit::try_from(text.to_owned()).map(|exit| exit.reason), Ok(ExitReason::Cpuid), "{text}");
        }
        let error = Exit::try_from("EPT violatoin".to_owned()).unwrap_err();
        assert!(error.contains("the nearest is \"EPT violation\""), "{error}");
        let rule = all_rules().next().unwrap().id;
        assert!(EntryFailure::try_from(rule.to_owned()).is_ok());
        assert!(EntryFailure::try_from("VM entry with invalid control field(s)".to_owned()).is_ok());
        let error = EntryFailure::try_from(format!("{rule}x")).unwrap_err();
        assert!(error.ends_with(&format!("the nearest is {rule:?}")), "{error}");
    }

    #[test]
    fn long_texts_are_cut_in_messages() {
        let long = "@".repeat(1 << 20);
        let errors = [
            Keys::try_from(long.clone()).unwrap_err(),
            Drive::try_from(long.clone()).unwrap_err(),
            Pattern::try_from(format!("({long}")).unwrap_err(),
            RegisterName::try_from(long.clone()).unwrap_err(),
            RegisterName::try_from(format!("cpu{long}.x")).unwrap_err(),
            Bytes::try_from(long.clone()).unwrap_err(),
            Exit::try_from(long.clone()).unwrap_err(),
            EntryFailure::try_from(long).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.len() < 300 && error.contains('…')), "{errors:?}");
    }

    #[test]
    fn bytes_are_pairs_of_digits() {
        let bytes = Bytes::try_from("eb3C 90".to_owned()).unwrap();
        assert_eq!((Bytes::show(&bytes.bytes), bytes.bytes), ("eb 3c 90".to_owned(), vec![0xeb, 0x3c, 0x90]));
        for text in ["", " ", "e", "eg", &"0".repeat(9000)] {
            assert!(Bytes::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_and_texts_that_would_be_found_everywhere_are_refused() {
        assert!(Text::try_from(String::new()).is_err());
        assert!(Pattern::try_from("x*".to_owned()).is_err());
        let error = Pattern::try_from("a(".to_owned()).unwrap_err();
        assert_eq!(error, "\"a(\" is no regular expression: unclosed group");
        assert!(Pattern::try_from("^b$".to_owned()).unwrap().regex.is_match("a\nb\nc"));
    }
}
