//! Breakpoints: where and when a run is to stop.

use super::expr::{self, Expr, ExprError};
use super::scope::CpuScope;
use super::suggest;
use super::symbols::Symbols;
use emu_core::msr;
use emu_core::observe::Watch;
use emu_vmx::arch::vector;
use emu_vmx::dump::names::{nearest, shown};
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use std::ops::RangeInclusive;

/// What a breakpoint waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An instruction at a linear address.
    Linear(u64),
    /// An instruction at a physical address.
    Physical(u64),
    /// An instruction at an offset of a code segment.
    Virtual(u16, u64),
    /// An access to memory: linear (or physical) addresses, reads, writes.
    Memory {
        /// Bytes.
        range: RangeInclusive<u64>,
        /// They are physical addresses.
        physical: bool,
        /// Which accesses.
        access: Accesses,
    },
    /// An access to a port.
    Port(RangeInclusive<u64>, Accesses),
    /// An access to a device in memory.
    Mmio(RangeInclusive<u64>, Accesses),
    /// A write of an MSR; of any without a number.
    Msr(Option<u32>),
    /// A write of a control register; of any without a number.
    ControlRegister(Option<u32>),
    /// Delivery of an exception; of any without a vector.
    Exception(Option<u8>),
    /// Delivery of an interrupt (of hardware, or by INT n); of any without a vector.
    Interrupt(Option<u8>),
    /// An instruction with this mnemonic.
    Mnemonic(String),
    /// VMLAUNCH or VMRESUME, before it executes.
    VmEntry,
    /// VMLAUNCH or VMRESUME that fails in the checks of the VMCS or in loading MSRs.
    EntryFailure,
    /// A VM exit; for any reason without reasons.
    VmExit(Vec<ExitReason>),
    /// VMWRITE; of any field without one.
    VmcsWrite(Option<Field>),
    /// A change of the mode of operation.
    Mode,
}

/// Reads, writes, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accesses {
    /// Reads count.
    pub reads: bool,
    /// Writes count.
    pub writes: bool,
}

impl Accesses {
    /// Both.
    pub const ALL: Self = Self { reads: true, writes: true };

    /// Whether an access counts.
    pub fn takes(self, write: bool) -> bool {
        if write { self.writes } else { self.reads }
    }

    /// `r`, `w` or `rw`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "r" | "read" => Some(Self { reads: true, writes: false }),
            "w" | "write" => Some(Self { reads: false, writes: true }),
            "rw" | "a" | "access" => Some(Self::ALL),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match (self.reads, self.writes) {
            (true, false) => "reads of",
            (false, true) => "writes of",
            _ => "accesses to",
        }
    }
}

/// A breakpoint.
#[derive(Debug, Clone)]
pub struct Breakpoint {
    /// Its number, from 1.
    pub id: u32,
    /// What it waits for.
    pub kind: Kind,
    /// On this processor only.
    pub cpu: Option<u32>,
    /// It counts only where this is not 0.
    pub condition: Option<Expr>,
    /// The condition as it was written.
    pub condition_text: String,
    /// Hits that do not stop.
    pub ignore: u64,
    /// How often it was met.
    pub hits: u64,
    /// It counts at all.
    pub enabled: bool,
}

impl Breakpoint {
    /// What it has to be told of.
    pub fn watch(&self) -> Watch {
        if !self.enabled {
            return Watch::empty();
        }
        match self.kind {
            Kind::Linear(_)
            | Kind::Physical(_)
            | Kind::Virtual(..)
            | Kind::Mnemonic(_)
            | Kind::Mode
            | Kind::VmEntry => Watch::INSTRUCTIONS,
            Kind::Memory { .. } => Watch::MEMORY,
            Kind::Port(..) => Watch::PORTS,
            Kind::Mmio(..) => Watch::MMIO,
            Kind::Msr(_) => Watch::MSRS,
            Kind::ControlRegister(_) => Watch::CONTROL_REGISTERS,
            Kind::Exception(_) | Kind::Interrupt(_) => Watch::EVENTS,
            Kind::EntryFailure => Watch::VM_ENTRIES,
            Kind::VmExit(_) => Watch::VM_EXITS,
            Kind::VmcsWrite(_) => Watch::VMCS_WRITES,
        }
    }

    /// Whether what has happened on processor `cpu` stops the run; counts it.
    pub fn stops(&mut self, cpu: u32, scope: &CpuScope) -> bool {
        if !self.enabled || self.cpu.is_some_and(|own| own != cpu) {
            return false;
        }
        // A condition that cannot be judged, for instance because a page is not mapped yet, does not hold.
        if self.condition.as_ref().is_some_and(|condition| condition.value(scope).unwrap_or(0) == 0) {
            return false;
        }
        self.hits += 1;
        self.hits > self.ignore
    }

    /// The breakpoint in words.
    pub fn words(&self, symbols: &Symbols) -> String {
        let mut words = self.kind.words(symbols);
        if let Some(cpu) = self.cpu {
            words += &format!(" on processor {cpu}");
        }
        if !self.condition_text.is_empty() {
            words += &format!(" if {}", self.condition_text);
        }
        words
    }
}

fn range_words(range: &RangeInclusive<u64>) -> String {
    if range.start() == range.end() {
        format!("{:#x}", range.start())
    } else {
        format!("{:#x} to {:#x}", range.start(), range.end())
    }
}

impl Kind {
    fn words(&self, symbols: &Symbols) -> String {
        let label = |address: u64| symbols.label(address).map_or(String::new(), |label| format!(" ({label})"));
        let any = |what: &str| format!("any {what}");
        match self {
            Self::Linear(address) => format!("instruction at {address:#x}{}", label(*address)),
            Self::Physical(address) => format!("instruction at physical address {address:#x}"),
            Self::Virtual(selector, offset) => format!("instruction at {selector:04x}:{offset:#x}"),
            Self::Memory { range, physical, access } => {
                let space = if *physical { "physical " } else { "" };
                format!("{} {space}{}{}", access.words(), range_words(range), label(*range.start()))
            }
            Self::Port(range, access) => format!("{} port {}", access.words(), range_words(range)),
            Self::Mmio(range, access) => format!("{} a device at {}", access.words(), range_words(range)),
            Self::Msr(None) => any("write of an MSR"),
            Self::Msr(Some(number)) => format!("write of {}", msr_words(*number)),
            Self::ControlRegister(None) => any("write of a control register"),
            Self::ControlRegister(Some(number)) => format!("write of CR{number}"),
            Self::Exception(None) => any("exception"),
            Self::Exception(Some(number)) => format!("exception {}", vector::name(*number)),
            Self::Interrupt(None) => any("interrupt"),
            Self::Interrupt(Some(number)) => format!("interrupt {number:#04x}"),
            Self::Mnemonic(name) => format!("instruction {name}"),
            Self::VmEntry => "VM entry".to_owned(),
            Self::EntryFailure => "VM entry that fails".to_owned(),
            Self::VmExit(reasons) if reasons.is_empty() => any("VM exit"),
            Self::VmExit(reasons) => {
                let list: Vec<&str> = reasons.iter().map(|reason| reason.text()).collect();
                format!("VM exit: {}", list.join(", "))
            }
            Self::VmcsWrite(None) => any("write of a VMCS field"),
            Self::VmcsWrite(Some(field)) => format!("write of the VMCS field {}", field.name()),
            Self::Mode => "change of mode".to_owned(),
        }
    }
}

/// An MSR by name, or `MSR 0x..`.
pub fn msr_words(number: u32) -> String {
    msr::name(number).map_or_else(|| format!("MSR {number:#x}"), |name| name.into_owned())
}

/// The part of a command behind its kind: `[if EXPR]`, `[cpu N]`, `[ignore N]`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `cpu N`.
    pub cpu: Option<u32>,
    /// `ignore N`.
    pub ignore: u64,
    /// `if EXPR`.
    pub condition: String,
}

/// Takes the options off the end of a breakpoint's arguments.
pub fn options(text: &str) -> Result<(String, Options), String> {
    let padded = format!(" {text} ");
    let (head, condition) = match padded.split_once(" if ") {
        Some((head, condition)) => (head.trim(), condition.trim()),
        None => (text.trim(), ""),
    };
    if condition.is_empty() && padded.contains(" if ") {
        return Err("there is no condition behind if".to_owned());
    }
    let mut options = Options { condition: condition.to_owned(), ..Options::default() };
    let mut words: Vec<&str> = head.split_whitespace().collect();
    while let [.., name @ ("cpu" | "ignore"), value] = words[..] {
        let number: u64 = value.parse().map_err(|_| format!("{name} needs a number, not {value:?}"))?;
        match name {
            "cpu" => options.cpu = Some(u32::try_from(number).map_err(|_| format!("there is no processor {number}"))?),
            _ => options.ignore = number,
        }
        words.truncate(words.len() - 2);
    }
    if let [_, .., name @ ("cpu" | "ignore")] = words[..] {
        return Err(format!("a number is missing behind {name}"));
    }
    Ok((words.join(" "), options))
}

/// Reads what `b` waits for.
pub fn kind(text: &str, symbols: &Symbols, scope: &CpuScope) -> Result<Kind, String> {
    let value = |text: &str| -> Result<u64, String> {
        let parsed = expr::parse(text, symbols, scope).and_then(|expr| expr.value(scope));
        parsed.map_err(|error: ExprError| error.to_string())
    };
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let optional = |rest: &str| if rest.is_empty() { Ok(None) } else { value(rest).map(Some) };
    Ok(match word.to_ascii_lowercase().as_str() {
        "" => Kind::Linear(value("pc")?),
        "io" | "port" => {
            let (range, access) = range(rest, &value)?;
            Kind::Port(range, access)
        }
        "mmio" => {
            let (range, access) = range(rest, &value)?;
            Kind::Mmio(range, access)
        }
        "msr" if rest.is_empty() => Kind::Msr(None),
        "msr" => match msr::number(&rest.to_ascii_uppercase()) {
            Some(number) => Kind::Msr(Some(number)),
            None => {
                let number = value(rest).map_err(|error| suggest::msr(rest).unwrap_or(error))?;
                Kind::Msr(Some(u32::try_from(number).map_err(|_| format!("{rest} is no MSR"))?))
            }
        },
        "cr" => Kind::ControlRegister(match optional(rest)? {
            None => None,
            Some(number @ (0 | 2 | 3 | 4 | 8)) => Some(number as u32),
            Some(number) => return Err(format!("there is no CR{number}; give 0, 2, 3, 4 or 8")),
        }),
        "exception" | "ex" if rest.is_empty() => Kind::Exception(None),
        "exception" | "ex" => Kind::Exception(Some(exception(rest, &value)?)),
        "interrupt" | "int" => Kind::Interrupt(match optional(rest)? {
            None => None,
            Some(number) => Some(u8::try_from(number).map_err(|_| format!("{number} is no vector"))?),
        }),
        "mnemonic" | "op" if !rest.is_empty() && !rest.contains(' ') => Kind::Mnemonic(suggest::mnemonic(rest)?),
        "mnemonic" | "op" => return Err("give one mnemonic, as in b mnemonic cpuid".to_owned()),
        "vmentry" if rest.is_empty() => Kind::VmEntry,
        "vmentry" if rest == "failed" => Kind::EntryFailure,
        "vmentry" => return Err("write b vmentry, or b vmentry failed".to_owned()),
        "vmexit" => {
            Kind::VmExit(rest.split([',', ' ']).filter(|w| !w.is_empty()).map(reason).collect::<Result<_, _>>()?)
        }
        "vmwrite" if rest.is_empty() => Kind::VmcsWrite(None),
        "vmwrite" => Kind::VmcsWrite(Some(super::fields::named(rest)?)),
        "mode" if rest.is_empty() => Kind::Mode,
        // GDB's star before an address.
        _ => Kind::Linear(
            value(text.strip_prefix('*').unwrap_or(text))
                .map_err(|error| error + &suggest::event(word).unwrap_or_default())?,
        ),
    })
}

/// `A`, `A-B` or `A B`, with `r`, `w` or `rw` behind.
fn range(text: &str, value: &dyn Fn(&str) -> Result<u64, String>) -> Result<(RangeInclusive<u64>, Accesses), String> {
    let (head, access) = match text.rsplit_once(char::is_whitespace) {
        Some((head, last)) => match Accesses::parse(last) {
            Some(access) => (head.trim(), access),
            None => (text, Accesses::ALL),
        },
        None => (text, Accesses::ALL),
    };
    let (first, last) = match head.split_once("..") {
        Some((first, last)) => (value(first)?, value(last)?),
        None => {
            let number = value(head)?;
            (number, number)
        }
    };
    if first > last { Err(format!("{first:#x} lies behind {last:#x}")) } else { Ok((first..=last, access)) }
}

/// `#PF`, `PF` or a number.
fn exception(text: &str, value: &dyn Fn(&str) -> Result<u64, String>) -> Result<u8, String> {
    let wanted = text.trim_start_matches('#');
    let named = (0..32).find(|&number| vector::name(number).trim_start_matches('#').eq_ignore_ascii_case(wanted));
    let number = named.map_or_else(|| value(text), |number| Ok(number.into()))?;
    u8::try_from(number).ok().filter(|number| *number < 32).ok_or_else(|| format!("{text} is no exception"))
}

/// A basic exit reason by number, by its name here (`EptViolation`), or by the SDM's words without blanks.
pub fn reason(text: &str) -> Result<ExitReason, String> {
    let text = text.trim();
    let number = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(text);
    let named = |reason: &&ExitReason| plain(reason.text()) == wanted || plain(&format!("{reason:?}")) == wanted;
    let found = number.and_then(ExitReason::from_number).or_else(|| {
        let aliases = [
            ("io", ExitReason::IoInstruction),
            ("cr", ExitReason::ControlRegisterAccess),
            ("mtf", ExitReason::MonitorTrapFlag),
        ];
        let alias = aliases.into_iter().find(|alias| alias.0 == wanted).map(|alias| alias.1);
        alias.or_else(|| ExitReason::ALL.iter().find(named).copied())
    });
    found.ok_or_else(|| match number {
        Some(number) => format!("no VM exit has the reason {number}; SDM Vol. 3D, Table C-1 lists them"),
        None => {
            let near = nearest(text, ExitReason::ALL.iter().map(|reason| reason.text()));
            let near = near.map_or(String::new(), |near| format!("; the nearest is {near:?}"));
            format!("no VM exit has the reason {:?}{near}; a number does, too", shown(text))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_off_the_end_in_any_order() {
        let (head, options) = options("io 0x70 w ignore 3 cpu 1 if value == 2 && cpu == 1").unwrap();
        assert_eq!((head.as_str(), options.cpu, options.ignore), ("io 0x70 w", Some(1), 3));
        assert_eq!(options.condition, "value == 2 && cpu == 1");
        assert!(super::options("0x7c00 if").is_err());
        assert!(super::options("0x7c00 cpu x").is_err());
        assert!(super::options("vmentry ignore").is_err_and(|error| error.ends_with("missing behind ignore")));
    }

    #[test]
    fn exit_reasons_are_found_by_number_name_and_the_sdms_words() {
        for text in ["48", "0x30", "EptViolation", "ept-violation", "eptviolation"] {
            assert_eq!(reason(text), Ok(ExitReason::EptViolation), "{text}");
        }
        assert_eq!(reason("mtf"), Ok(ExitReason::MonitorTrapFlag));
        assert_eq!(reason("io"), Ok(ExitReason::IoInstruction));
        assert!(reason("35").is_err_and(|error| !error.contains("nearest")) && reason("nothing").is_err());
        assert!(reason("cupid").is_err_and(|error| error.contains("\"CPUID\"")));
        for &each in ExitReason::ALL {
            assert_eq!(reason(&each.text().replace(' ', "")), Ok(each));
        }
    }

    #[test]
    fn access_words_are_read_written_and_both() {
        assert_eq!(Accesses::parse("w").map(|access| (access.takes(true), access.takes(false))), Some((true, false)));
        assert_eq!(Accesses::parse("rw"), Some(Accesses::ALL));
        assert_eq!(Accesses::parse("x"), None);
    }
}
