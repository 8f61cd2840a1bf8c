//! `vmcs-lint --caps FILE`: the capability MSRs of a processor as people have them – the output of `cpu-models NAME`, of
//! `rdmsr` (msr-tools) behind its command, or lines such as `480 = 00da0400_00000004` and `IA32_VMX_BASIC: 0x…`.

use crate::error::InputError;
use emu_core::msr;
use emu_vmx::arch::msr::{IA32_VMX_BASIC, IA32_VMX_EXIT_CTLS2, IA32_VMX_VMCS_ENUM};
use emu_vmx::caps::VmxCapabilities;
use std::collections::BTreeMap;
use std::path::Path;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The MSRs.
    pub caps: VmxCapabilities,
    /// Physical-address width, of CPUID leaf 80000008h.
    pub maxphyaddr: Option<u8>,
}

/// The registers that a text gives – value and line, from 0 – and the physical-address width.
pub type Values = (BTreeMap<u32, (u64, usize)>, Option<u8>);

/// Reads what the text of `path` gives, be it all that there is or not.
pub fn values(path: &Path, text: &str) -> Result<Values, InputError> {
    let (mut values, mut maxphyaddr, mut asked) = (BTreeMap::new(), None, None);
    for (number, line) in text.lines().enumerate() {
        // `#` begins a comment, or is root's prompt.
        let line = if line.contains("rdmsr") { line } else { line.split('#').next().unwrap_or_default() };
        let tokens: Vec<&str> =
            line.split(|c: char| c.is_whitespace() || "=,()[]".contains(c)).filter(|t| !t.is_empty()).collect();
        let Some(first) = tokens.first().map(|token| token.trim_end_matches(':')) else { continue };
        // The value that the command before has printed.
        if let (Some(index), [value]) = (asked.take(), &tokens[..]) {
            values.insert(index, (hex(value).ok_or_else(|| bad(path, number, value))?, number));
            continue;
        }
        if tokens.contains(&"rdmsr") {
            asked = tokens.iter().rev().find_map(|token| capability(token));
            continue;
        }
        if first.starts_with("80000008") {
            maxphyaddr =
                tokens.get(1).and_then(|eax| hex(eax)).map(|eax| eax as u8).filter(|bits| (32..=52).contains(bits));
            continue;
        }
        let Some((at, index)) = tokens.iter().enumerate().find_map(|(at, token)| Some((at, capability(token)?))) else {
            unknown(path, number, &tokens)?;
            continue;
        };
        // Number and name may both stand there, and explanations behind.
        let value = tokens[at + 1..].iter().find(|token| capability(token).is_none() && hex(token).is_some());
        let value = value.ok_or_else(|| bad(path, number, tokens.last().copied().unwrap_or_default()))?;
        let value = hex(value).ok_or_else(|| bad(path, number, value))?;
        if let Some((before, first)) = values.insert(index, (value, number)).filter(|before| before.0 != value) {
            let problem = format!("{} is {value:#x}, but {before:#x} in line {}", name(index), first + 1);
            return Err(InputError::file(path, problem).line(number + 1).remedy("give each MSR once"));
        }
    }
    Ok((values, maxphyaddr))
}

/// Reads the text of `path`.
pub fn parse(path: &Path, text: &str) -> Result<Capabilities, InputError> {
    let (values, maxphyaddr) = values(path, text)?;
    Ok(Capabilities { caps: complete(path, &values)?, maxphyaddr })
}

/// The capabilities of registers of which none may lack.
pub fn complete(path: &Path, values: &BTreeMap<u32, (u64, usize)>) -> Result<VmxCapabilities, InputError> {
    let mut caps = VmxCapabilities::NONE;
    for (&index, &(value, _)) in values {
        caps.set_msr(index, value);
    }
    let needed = |index: &u32| *index != IA32_VMX_VMCS_ENUM && caps.read_msr(*index).is_some();
    let missing: Vec<String> = (IA32_VMX_BASIC..=IA32_VMX_EXIT_CTLS2)
        .filter(|index| !values.contains_key(index) && needed(index))
        .map(|index| format!("{} ({index:X}h)", name(index)))
        .collect();
    if !missing.is_empty() {
        return Err(InputError::file(path, format!("there is no {}", missing.join(", ")))
            .remedy("give lines such as 480 = 00da040000000004, or what rdmsr prints behind its command"));
    }
    Ok(caps)
}

fn name(index: u32) -> String {
    msr::name(index).map_or_else(|| format!("MSR {index:X}h"), |name| name.into_owned())
}

/// The capability MSR that a word names: `480`, `0x480`, `480h`, `IA32_VMX_BASIC`, `MSR_IA32_VMX_BASIC`, `VMX_BASIC`.
fn capability(word: &str) -> Option<u32> {
    let word = word.trim_end_matches(':');
    let all = IA32_VMX_BASIC..=IA32_VMX_EXIT_CTLS2;
    if let Some(index) = hex(word).filter(|_| word.len() <= 6) {
        return u32::try_from(index).ok().filter(|index| all.contains(index));
    }
    let plain = word.to_ascii_uppercase();
    let plain = plain.trim_start_matches("MSR_").trim_start_matches("IA32_");
    all.into_iter().find(|&index| name(index).trim_start_matches("IA32_") == plain)
}

/// A name that looks like a capability MSR's and is none.
fn unknown(path: &Path, number: usize, tokens: &[&str]) -> Result<(), InputError> {
    let like = |token: &&&str| {
        let token = token.to_ascii_uppercase();
        let token = token.strip_prefix("MSR_").unwrap_or(&token);
        token.strip_prefix("IA32_").unwrap_or(token).starts_with("VMX_")
    };
    let Some(word) = tokens.iter().find(like) else { return Ok(()) };
    let names: Vec<String> = (IA32_VMX_BASIC..=IA32_VMX_EXIT_CTLS2).map(name).collect();
    let nearest = emu_vmx::dump::names::nearest(word, names.iter().map(String::as_str));
    let word = emu_vmx::dump::names::shown(word.trim_end_matches(':'));
    let remedy =
        nearest.map_or("give a capability MSR's name".to_owned(), |name| format!("the nearest name is {name}"));
    Err(InputError::file(path, format!("no MSR is called {word:?}")).line(number + 1).remedy(remedy))
}

fn hex(word: &str) -> Option<u64> {
    let digits: String = word.chars().filter(|c| !matches!(c, '_' | ':' | '`' | '\'')).collect();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(&digits);
    let digits = digits.strip_suffix(['h', 'H']).unwrap_or(digits);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn bad(path: &Path, number: usize, value: &str) -> InputError {
    InputError::file(path, format!("{value:?} is no value of an MSR"))
        .line(number + 1)
        .remedy("give a hexadecimal number of at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;

    fn read(text: &str) -> Result<Capabilities, String> {
        parse(Path::new("caps.txt"), text).map_err(|error| error.to_string())
    }

    /// The same MSRs in each form.
    fn forms() -> Vec<String> {
        let caps = VmxCapabilities::CORE_I5_M520;
        let all: Vec<(u32, u64)> = (0x480..=0x493).filter_map(|n| Some((n, caps.read_msr(n)?))).collect();
        let each =
            |line: &dyn Fn(u32, u64) -> String| all.iter().map(|(n, value)| line(*n, *value)).collect::<String>();
        vec![
            models::show("corei5_arrandale_m520").unwrap(),
            each(&|n, value| format!("{n:x} = {value:016x}\n")),
            each(&|n, value| format!("MSR 0x{n:x}: 0x{value:x}\n")),
            each(&|n, value| format!("{} ({n:X}h) = {:08X}_{:08X}\n", name(n), value >> 32, value as u32)),
            each(&|n, value| format!("# rdmsr -x 0x{n:x}\n{value:x}\n")),
            each(&|n, value| format!("root@host:~$ rdmsr 0x{n:x}\n{value:x}\n")),
            each(&|n, value| format!("MSR_{}: {value:#x}\n", name(n))),
        ]
    }

    #[test]
    fn caps_are_read_in_every_form() {
        for text in forms() {
            let found = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            for index in 0x480..=0x493 {
                assert_eq!(
                    found.caps.read_msr(index),
                    VmxCapabilities::CORE_I5_M520.read_msr(index),
                    "{index:x}\n{text}"
                );
            }
        }
        assert_eq!(read(&forms()[0]).unwrap().maxphyaddr, Some(40));
    }

    #[test]
    fn caps_that_lack_an_msr_or_have_a_wrong_one_are_refused() {
        let error = read("480 = 00d8100000000001\n").unwrap_err();
        assert!(error.starts_with("caps.txt: there is no IA32_VMX_PINBASED_CTLS (481h), "), "{error}");
        let error = read("IA32_VMX_BASIC = xyz\n").unwrap_err();
        assert!(error.starts_with("caps.txt:1: \"xyz\" is no value"), "{error}");
        let error = read("\nIA32_VMX_PINBASED_CTL = 5\n").unwrap_err();
        assert!(
            error.starts_with("caps.txt:2: no MSR is called") && error.ends_with("IA32_VMX_PINBASED_CTLS"),
            "{error}"
        );
        let error = read("480 = 1\n480 = 2\n").unwrap_err();
        assert!(error.starts_with("caps.txt:2: IA32_VMX_BASIC is 0x2, but 0x1 in line 1"), "{error}");
    }
}
