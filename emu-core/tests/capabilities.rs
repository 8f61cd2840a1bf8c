//! The capability MSRs of each model beside its real processor's, bit by bit: what is not offered, and why.

use emu_core::model::controls::{BITS, Word};
use emu_core::model::{CpuModel, Item};
use emu_core::msr;
use emu_vmx::arch::msr::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const SMM: &str = "there is no system-management mode";
const HLAT: &str = "linear addresses are not translated by HLAT paging";

/// Why items are not offered, where it is not that a feature they stand on is not implemented.
const REASONS: &[(&str, &str)] = &[
    ("dual_monitor", SMM),
    ("entry_to_smm", SMM),
    ("deactivate_dual_monitor_treatment", SMM),
    ("smbase_msr", SMM),
    ("smi_unblocking", SMM),
    ("cr4_smxe", "GETSEC and measured launches are not implemented"),
    ("hlat", HLAT),
    ("ept_paging_write", HLAT),
    ("guest_paging_verification", HLAT),
    ("instruction_timeout", "time without a window for events is not measured"),
];

/// Bits that no item stands for: register, bit, what it is, why it is not offered.
const UNNAMED: &[(u32, u32, &str, &str)] = &[
    (IA32_VMX_BASIC, 57, "reserved", "the SDM says nothing of it"),
    (IA32_VMX_ENTRY_CTLS, 55, "Load FRED", "`fred` is not implemented"),
    (IA32_VMX_MISC, 9, "reserved", "the SDM says nothing of it"),
    (IA32_VMX_CR4_FIXED1, 19, "CR4.KL", "`key_locker` is not implemented"),
    (IA32_VMX_CR4_FIXED1, 25, "CR4.UINTR", "`uintr` is not implemented"),
    (IA32_VMX_CR4_FIXED1, 27, "CR4.LASS", "`lass` is not implemented"),
    (IA32_VMX_CR4_FIXED1, 32, "CR4.FRED", "`fred` is not implemented"),
    (IA32_VMX_PROCBASED_CTLS2, 61, "reserved", "the SDM says nothing of it"),
    (IA32_VMX_EPT_VPID_CAP, 48, "HLAT prefix size, bits 53:48", HLAT),
    (IA32_VMX_EXIT_CTLS2, 0, "Save FRED", "`fred` is not implemented"),
    (IA32_VMX_EXIT_CTLS2, 1, "Load FRED", "`fred` is not implemented"),
];

/// The real Core i5 M520's kind: capability MSRs of VmxCaps, github.com/honorarybot/VmxCaps, column Arrandale 370M. Those of
/// CR0 and CR4 are not in it.
const ARRANDALE: &[(u32, u64)] = &[
    (IA32_VMX_BASIC, 0x00DA_0400_0000_000F),
    (IA32_VMX_PINBASED_CTLS, 0x0000_007F_0000_0016),
    (IA32_VMX_PROCBASED_CTLS, 0xFFF9_FFFE_0401_E172),
    (IA32_VMX_EXIT_CTLS, 0x007F_FFFF_0003_6DFF),
    (IA32_VMX_ENTRY_CTLS, 0x0000_FFFF_0000_11FF),
    (IA32_VMX_MISC, 0x0000_0000_0004_01E7),
    (IA32_VMX_VMCS_ENUM, 0x2A),
    (IA32_VMX_PROCBASED_CTLS2, 0x0000_00FF_0000_0000),
    (IA32_VMX_EPT_VPID_CAP, 0x0000_0F01_0611_4141),
    (IA32_VMX_TRUE_PINBASED_CTLS, 0x0000_007F_0000_0016),
    (IA32_VMX_TRUE_PROCBASED_CTLS, 0xFFF9_FFFE_0400_6172),
    (IA32_VMX_TRUE_EXIT_CTLS, 0x007F_FFFF_0003_6DFB),
    (IA32_VMX_TRUE_ENTRY_CTLS, 0x0000_FFFF_0000_11FB),
];

/// Where the book's processor has another value than the real one: register, highest and lowest bit, what it is, and both
/// values, the published one first.
const BOOK: &[(u32, u32, u32, &str, u64, u64)] = &[
    (IA32_VMX_BASIC, 30, 0, "VMCS revision identifier", 0xF, 0x2B),
    (IA32_VMX_BASIC, 44, 32, "size of the VMXON and VMCS regions", 0x400, 0x1000),
    (IA32_VMX_BASIC, 49, 49, "dual-monitor treatment", 1, 0),
    (IA32_VMX_MISC, 4, 0, "rate of the preemption timer", 7, 0),
    (IA32_VMX_VMCS_ENUM, 9, 1, "highest index of a field", 0x15, 0x2A),
];

fn models() -> impl Iterator<Item = CpuModel> {
    let real = CpuModel::names().filter(|name| *name != "max");
    real.map(|name| CpuModel::named(name).expect("the built-in models parse"))
}

/// The item that a bit of a register stands for.
fn item_of(register: u32, bit: u32) -> Option<Item> {
    let there = |item: &Item| match item {
        Item::Vmx(found) => {
            let (registers, base) = found.word.msrs();
            registers.contains(&register) && u32::from(base + found.bit) == bit
        }
        _ => false,
    };
    BITS.iter().filter_map(|bit| Item::find(bit.name)).find(there)
}

/// The register of a control without its TRUE twin.
fn plain(register: u32) -> u32 {
    let twins = Word::ALL.into_iter().map(|word| word.msrs().0);
    twins.filter(|twins| twins.contains(&register)).map(|twins| twins[0]).next().unwrap_or(register)
}

/// One bit that some real processor has and its model does not.
struct Missing {
    name: String,
    words: String,
    reason: String,
    models: Vec<String>,
}

/// Bits by register (of a control the one that is not TRUE) and number.
fn missing() -> BTreeMap<(u32, u32), Missing> {
    let max = CpuModel::named("max").expect("it is built in");
    let mut all: BTreeMap<(u32, u32), Missing> = BTreeMap::new();
    for model in models() {
        for (&register, &real) in model.real_capabilities() {
            let offered = model.vmx_capabilities().get(&register).copied().unwrap_or(0);
            let name = model.name();
            assert_eq!(offered & !real, 0, "{name}: {register:x} has bits that the real one has not");
            for bit in (0..64).filter(|bit| (real ^ offered) >> bit & 1 != 0) {
                let register = plain(register);
                let row = all.entry((register, bit)).or_insert_with(|| explained(&max, register, bit));
                if row.models.last().is_none_or(|last| last != name) {
                    row.models.push(name.to_owned());
                }
            }
        }
    }
    all
}

fn explained(max: &CpuModel, register: u32, bit: u32) -> Missing {
    let Some(item) = item_of(register, bit) else {
        let row = UNNAMED.iter().find(|row| (row.0, row.1) == (register, bit));
        let row = row.unwrap_or_else(|| panic!("{register:x} bit {bit} is not offered: there is no reason for it"));
        return Missing { name: "–".into(), words: row.2.into(), reason: row.3.into(), models: Vec::new() };
    };
    let lacks = |any: Vec<Item>| {
        let none = any.iter().all(|needed| matches!(needed, Item::Cpuid(_)) && !max.has_item(*needed));
        none.then(|| format!("`{}` is not implemented", any.iter().map(|i| i.name()).collect::<Vec<_>>().join("`, `")))
    };
    let own = REASONS.iter().find(|row| row.0 == item.name()).map(|row| row.1.to_owned());
    let reason = own.or_else(|| item.needs().into_iter().find_map(lacks));
    let reason = reason.unwrap_or_else(|| panic!("{} is not offered: there is no reason for it", item.name()));
    Missing { name: format!("`{}`", item.name()), words: item.words().into(), reason, models: Vec::new() }
}

#[test]
fn every_bit_that_differs_from_the_real_processor_s_has_a_reason_and_every_reason_a_bit() {
    let all = missing();
    for (register, bit, words, _) in UNNAMED {
        assert!(all.contains_key(&(*register, *bit)), "{register:x} bit {bit}, {words}: nothing lacks it");
    }
    for (name, _) in REASONS {
        assert!(all.values().any(|row| row.name == format!("`{name}`")), "{name}: nothing lacks it");
    }
    let max = CpuModel::named("max").expect("it is built in");
    for name in all.values().filter_map(|row| Item::find(row.name.trim_matches('`'))) {
        assert!(!max.has_item(name), "{} is implemented", name.name());
    }
}

#[test]
fn the_book_s_processor_differs_from_the_published_arrandale_as_listed() {
    let model = CpuModel::named("corei5_arrandale_m520").expect("it is built in");
    for &(register, published) in ARRANDALE {
        let mut expected = published;
        for &(_, high, low, words, theirs, ours) in BOOK.iter().filter(|row| row.0 == register) {
            let mask = u64::MAX >> (63 - (high - low)) << low;
            assert_eq!(published & mask, theirs << low, "{words}");
            expected = expected & !mask | ours << low;
        }
        assert_eq!(model.vmx_capabilities()[&register], expected, "{register:x}");
    }
    let published: BTreeSet<u32> = ARRANDALE.iter().map(|row| row.0).collect();
    assert!(BOOK.iter().all(|row| published.contains(&row.0)));
}

/// The part of docs/cpu-models.md between the marks.
fn document() -> String {
    let mut text = String::from(
        "\n| register | bit | name | what it is | of the real | not offered, since |\n|---|--:|---|---|---|---|\n",
    );
    for ((register, bit), row) in missing() {
        let name = msr::name(register).unwrap_or_default();
        let models = row.models.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(" ");
        writeln!(text, "| {name} | {bit} | {} | {} | {models} | {} |", row.name, row.words, row.reason)
            .expect("a String takes it");
    }
    text.push_str(
        "\nA control has the same bit in its TRUE register. The book's processor offers what its file says; its file says what \
         the book's screens show, which the published values of an Arrandale (Core i3 370M, VmxCaps) are not everywhere:\n\n\
         | register | bits | what it is | published | here |\n|---|--:|---|--:|--:|\n",
    );
    for &(register, high, low, words, theirs, ours) in BOOK {
        let name = msr::name(register).unwrap_or_default();
        let bits = if high == low { high.to_string() } else { format!("{high}:{low}") };
        writeln!(text, "| {name} | {bits} | {words} | {theirs:X}h | {ours:X}h |").expect("a String takes it");
    }
    text.push('\n');
    text
}

#[test]
fn capabilities_document_equals_the_models() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cpu-models.md");
    let (begin, end) = ("<!-- capabilities: begin -->\n", "<!-- capabilities: end -->");
    let found = std::fs::read_to_string(path).expect("docs/cpu-models.md");
    let (head, rest) = found.split_once(begin).expect("the mark is there");
    let (part, tail) = rest.split_once(end).expect("the mark is there");
    let expected = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{head}{begin}{expected}{end}{tail}")).unwrap();
        return;
    }
    assert!(part == expected, "docs/cpu-models.md differs from the models; UPDATE_GOLDEN=1 rewrites it");
}
