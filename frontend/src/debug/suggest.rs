//! What a word that nothing is called by was probably meant to be.

use super::commands;
use emu_core::{disasm, msr};
use emu_vmx::dump::names::slip;

/// What `b` may wait for, besides addresses.
const EVENTS: [&str; 12] =
    ["io", "mmio", "msr", "cr", "exception", "interrupt", "mnemonic", "vmentry", "vmexit", "vmwrite", "mode", "port"];

/// `; did you mean vmentry?`, or nothing.
fn question<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // Of one letter or two, everything short is a slip.
    let near = slip(word, names).filter(|_| word.len() > 2)?;
    Some(format!("; did you mean {near}?"))
}

/// About the name of a command.
pub fn command(word: &str) -> String {
    question(word, commands::ALL.iter().flat_map(|command| command.names).copied())
        .unwrap_or_else(|| "; help lists them".to_owned())
}

/// About the first word of `b`.
pub fn event(word: &str) -> Option<String> {
    question(word, EVENTS.into_iter())
}

/// About the name of an MSR; numbers and expressions have none.
pub fn msr(word: &str) -> Option<String> {
    if !word.starts_with(|c: char| c.is_ascii_alphabetic())
        || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return None;
    }
    let rows = msr::TABLE.iter().flat_map(|row| row.numbers().map(move |number| row.name_of(number)));
    let names: Vec<String> = rows.map(std::borrow::Cow::into_owned).collect();
    let short = |name: &'_ str| name.trim_start_matches("IA32_").trim_start_matches("MSR_").to_owned();
    let plain: Vec<String> = names.iter().map(|name| short(name)).collect();
    let near = slip(&short(&word.to_ascii_uppercase()), plain.iter().map(String::as_str))?;
    let full = names.iter().zip(&plain).find(|(_, plain)| *plain == near)?.0;
    Some(format!("no MSR is called {word:?}; did you mean {full}? A number does, too"))
}

/// Refuses a mnemonic that no instruction has.
pub fn mnemonic(word: &str) -> Result<String, String> {
    let word = word.to_ascii_lowercase();
    if disasm::has_mnemonic(&word) {
        return Ok(word);
    }
    let all = disasm::mnemonics();
    let near = question(&word, all.iter().map(String::as_str)).unwrap_or_default();
    Err(format!("no instruction is called {word:?}{near}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_commands_events_msrs_and_mnemonics_are_asked_about() {
        assert_eq!(command("vmentyr"), "; did you mean vmentry?");
        assert_eq!(command("exts"), "; did you mean exits?");
        assert!([command("zzzzzz"), command("xy")].iter().all(|text| text == "; help lists them"));
        assert_eq!(event("vmetry").as_deref(), Some("; did you mean vmentry?"));
        assert_eq!((event("0x7c00"), event("main"), event("rip")), (None, None, None));
        assert!(msr("IA32_EFFER").is_some_and(|text| text.contains("did you mean IA32_EFER?")));
        assert!(msr("lstra").is_some_and(|text| text.contains("IA32_LSTAR")));
        assert_eq!((msr("0xc0000080"), msr("rcx+1"), msr("no_such_register")), (None, None, None));
        assert_eq!(mnemonic("cpiud"), Err("no instruction is called \"cpiud\"; did you mean cpuid?".to_owned()));
        for name in ["CPUID", "vmread", "je", "repne", "cmpeqps", "movsb", "retf", "int3", "iretq"] {
            assert_eq!(mnemonic(name).is_ok(), name != "repne", "{name}");
        }
    }

    #[test]
    fn events_are_those_that_the_command_takes() {
        let usage = commands::find("b").map(|command| command.usage).unwrap_or_default();
        assert!(EVENTS.iter().all(|event| *event == "port" || usage.contains(event)), "{usage}");
    }
}
