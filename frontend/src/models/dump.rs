//! The model of a dump: CPUID leaves as `cpuid -r` prints them or as InstLatx64's dumps have them, and VMX capability MSRs as
//! `rdmsr` prints them, in InstLatx64's form, or in any that `vmcs-lint --caps` reads.

use crate::caps_file;
use crate::error::InputError;
use emu_core::model::{CpuModel, CpuidResult};
use emu_core::msr;
use emu_vmx::arch::msr::{IA32_VMX_EXIT_CTLS2, IA32_VMX_VMFUNC};
use std::collections::BTreeMap;
use std::path::Path;

/// Leaves that ECX selects within (SDM Vol. 2A, CPUID).
const INDEXED: &[u32] = &[4, 7, 0xB, 0xD, 0xF, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1B, 0x1D, 0x1E, 0x1F, 0x20, 0x23, 0x24];

/// A line with a leaf: its place and its registers.
type Leaf = ((u32, u32), CpuidResult);

/// Reads the text of `path`.
pub fn model(path: &Path, text: &str) -> Result<CpuModel, InputError> {
    let (mut leaves, mut others) = (BTreeMap::new(), String::new());
    let mut first_only = false;
    for (number, line) in text.lines().enumerate() {
        let leaf = of_cpuid(line).or_else(|| of_instlatx64(line));
        match leaf.transpose().map_err(|problem| bad(path, number, problem))? {
            // Of several processors the first.
            Some((place, _)) if first_only || leaves.contains_key(&place) => first_only = true,
            Some((place, result)) => {
                leaves.insert(place, result);
            }
            None if leaves.is_empty() || !is_msr_of_another(line, &others) => others.push_str(&as_capability(line)),
            None => {}
        }
        others.push('\n');
    }
    if !leaves.contains_key(&(0, 0)) || !leaves.contains_key(&(1, 0)) {
        return Err(InputError::file(path, "there are no CPUID leaves 0 and 1")
            .remedy("give what cpuid -r prints, and behind it what rdmsr 0x480 to 0x493 print"));
    }
    if let Some(leaf) = leaves.get_mut(&(0x8000_0001, 0)) {
        // SYSCALL reads 0 outside 64-bit mode (SDM Vol. 2A, CPUID), where InstLatx64's dumps are made; every Intel 64
        // processor has it.
        leaf.edx |= (leaf.edx >> 29 & 1) << 11;
    }
    let (values, _) = caps_file::values(path, &others)?;
    let (mut vmx, mut derived) = (BTreeMap::new(), BTreeMap::new());
    if leaves.get(&(1, 0)).is_some_and(|leaf| leaf.ecx >> 5 & 1 != 0) {
        let mut all = values.clone();
        for index in IA32_VMX_VMFUNC..=IA32_VMX_EXIT_CTLS2 {
            all.entry(index).or_insert((0, 0));
        }
        let caps = caps_file::complete(path, &all)?;
        for index in all.keys().copied().filter(|index| caps.read_msr(*index).is_some()) {
            vmx.insert(index, all[&index].0);
            if !values.contains_key(&index) {
                derived.insert(index, "the dump does not have it: nothing is offered of it".to_owned());
            }
        }
    }
    let named = |((leaf, subleaf), result): (&(u32, u32), &CpuidResult)| {
        (*leaf, INDEXED.contains(leaf).then_some(*subleaf), *result)
    };
    let leaves: Vec<_> = leaves.iter().map(named).collect();
    let name = path.file_stem().map_or_else(|| "dump".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let source = path.file_name().map_or_else(|| "a dump".to_owned(), |name| name.to_string_lossy().into_owned());
    CpuModel::of_machine(&name, &source, &leaves, &vmx, derived)
        .map_err(|error| InputError::file(path, error.to_string()))
}

/// `   0x00000004 0x01: eax=0x1c004122 ebx=0x01c0003f ecx=0x0000003f edx=0x00000000`
fn of_cpuid(line: &str) -> Option<Result<Leaf, String>> {
    let (place, registers) = line.split_once(": eax=")?;
    let mut place = place.split_whitespace();
    let (leaf, subleaf) = (place.next()?, place.next().unwrap_or("0"));
    let mut values = registers.split_whitespace();
    Some((|| {
        let mut next = |name: &str| {
            let word = values.next().ok_or_else(|| format!("there is no {name}"))?;
            hex(word.strip_prefix(name).and_then(|word| word.strip_prefix('=')).unwrap_or(word))
        };
        let result = CpuidResult { eax: next("eax")?, ebx: next("ebx")?, ecx: next("ecx")?, edx: next("edx")? };
        Ok(((hex(leaf)?, hex(subleaf)?), result))
    })())
}

/// `CPUID 00000004: 1C004122-01C0003F-0000003F-00000000 [SL 01]`
fn of_instlatx64(line: &str) -> Option<Result<Leaf, String>> {
    let (leaf, rest) = line.strip_prefix("CPUID ")?.split_once(": ")?;
    let values: Vec<&str> = rest.split_whitespace().next()?.split('-').collect();
    let [eax, ebx, ecx, edx] = values[..] else { return None };
    let subleaf = rest.split_once("[SL ").map_or("0", |(_, subleaf)| subleaf.get(..2).unwrap_or(subleaf));
    Some((|| {
        let result = CpuidResult { eax: hex(eax)?, ebx: hex(ebx)?, ecx: hex(ecx)?, edx: hex(edx)? };
        Ok(((hex(leaf)?, hex(subleaf)?), result))
    })())
}

/// An MSR of InstLatx64's dumps.
fn instlatx64_msr(line: &str) -> Option<(u32, &str)> {
    let (index, value) = line.strip_prefix("MSR ")?.split_once(": ")?;
    (index.len() == 8).then(|| u32::from_str_radix(index, 16).ok()).flatten().zip(value.split_whitespace().next())
}

/// The line in a form that `vmcs-lint --caps` reads; of MSRs that are no capabilities nothing.
fn as_capability(line: &str) -> String {
    match instlatx64_msr(line) {
        Some((index, value)) if msr::name(index).is_some_and(|name| name.starts_with("IA32_VMX_")) => {
            format!("{index:x} = {}", value.replace('-', ""))
        }
        Some(_) => String::new(),
        None => line.to_owned(),
    }
}

/// Whether `line` repeats an MSR that the lines `before` have: that of another processor.
fn is_msr_of_another(line: &str, before: &str) -> bool {
    instlatx64_msr(line).is_some_and(|(index, _)| before.contains(&format!("\n{index:x} = ")))
}

fn hex(word: &str) -> Result<u32, String> {
    u32::from_str_radix(word.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{:?} is no hexadecimal number of 32 bits", emu_vmx::dump::names::shown(word)))
}

fn bad(path: &Path, number: usize, problem: String) -> InputError {
    InputError::file(path, problem).line(number + 1).remedy("give the lines as cpuid -r prints them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_read_in_both_forms() {
        let result = CpuidResult { eax: 0x1c00_4122, ebx: 0x1c0_003f, ecx: 0x3f, edx: 0 };
        for line in [
            "   0x00000004 0x01: eax=0x1c004122 ebx=0x01c0003f ecx=0x0000003f edx=0x00000000",
            "CPUID 00000004: 1C004122-01C0003F-0000003F-00000000 [SL 01] [L1I: 32 KB]",
        ] {
            assert_eq!(of_cpuid(line).or_else(|| of_instlatx64(line)), Some(Ok(((4, 1), result))), "{line}");
        }
        assert_eq!(of_cpuid("   cpu family"), None);
    }

    #[test]
    fn a_dump_that_lacks_something_is_refused_with_its_line() {
        let read =
            |text: &str| model(Path::new("d.txt"), text).map(|_| ()).map_err(|error| error.to_string()).unwrap_err();
        assert!(read("nothing").starts_with("d.txt: there are no CPUID leaves 0 and 1; give what cpuid -r prints"));
        let line = "\n 0x00000000 0x00: eax=0xd ebx=0x756e6547 ecx=0xzz edx=0x49656e69\n";
        assert!(read(line).starts_with("d.txt:2: \"0xzz\" is no hexadecimal number of 32 bits"), "{}", read(line));
        let vmx = "0x0 0x0: eax=0xd ebx=0 ecx=0 edx=0\n0x1 0x0: eax=0x306c3 ebx=0 ecx=0x20 edx=0x20\n";
        assert!(read(vmx).starts_with("d.txt: there is no IA32_VMX_BASIC (480h)"), "{}", read(vmx));
    }
}
