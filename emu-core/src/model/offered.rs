//! What of a real processor is offered: what this emulator implements – the model `max` says what that is – and what
//! promises nothing that a guest could miss. A model's file has the values of the real machine; this is the one rule that
//! masks them.

use super::contents::{Contents, register as register_of};
use super::controls::{BITS, Word};
use super::features::{self, Register};
use super::item::Item;
use super::lbr::LbrModel;
use super::{lbr, pmu};
use emu_vmx::arch::msr::*;

/// Bits of CPUID that are told though `max` does not: they speak of speed, of the package, of registers that the model's
/// file lists, or take away from the x87 unit what `max` keeps.
const TOLD: &[&str] = &[
    "fdp_excptn_only",
    "deprecates_fcs_fds",
    "acpi",
    "ss",
    "htt",
    "tm",
    "pbe",
    "est",
    "tm2",
    "xtpr",
    "aperfmperf",
    "epb",
    "dtherm",
    "fsrm",
    "fzrm",
    "fsrs",
    "fsrc",
    "md_clear",
    "mcdt_no",
];

/// The leaves that are told. The others describe what is not there, or – 15h and 16h – frequencies: the clock is the
/// machine's (`--ips`), not the model's.
const LEAVES: &[u32] = &[0, 1, 2, 4, 5, 6, 7, 0xA, 0xB, 0xD, 0x18, lbr::LEAF, 0x1F];

/// Registers of CPUID that have no bits but those of features: (leaf, subleaf, register).
const WORDS: &[(u32, u32, Register)] = &[
    (1, 0, Register::Ecx),
    (1, 0, Register::Edx),
    (6, 0, Register::Eax),
    (6, 0, Register::Ecx),
    (7, 0, Register::Ebx),
    (7, 0, Register::Ecx),
    (7, 0, Register::Edx),
    (7, 1, Register::Eax),
    (7, 1, Register::Ebx),
    (7, 1, Register::Ecx),
    (7, 1, Register::Edx),
    (7, 2, Register::Edx),
    (0xD, 1, Register::Eax),
    (0x8000_0001, 0, Register::Ecx),
    (0x8000_0001, 0, Register::Edx),
    (0x8000_0007, 0, Register::Edx),
    (0x8000_0008, 0, Register::Ebx),
];

/// Numbers in IA32_VMX_BASIC: revision, size, width of addresses, memory type.
const BASIC_NUMBERS: u64 = 0x003D_1FFF_7FFF_FFFF;
/// Numbers in IA32_VMX_MISC: timer, CR3 targets, MSR lists.
const MISC_NUMBERS: u64 = 0x0FFF_001F;

/// Whether an item is offered to a model that has it. `reported`: the names that the model's file lists.
pub(super) fn is_offered(item: Item, max: &Contents, reported: &[String]) -> bool {
    max.has(item) || TOLD.contains(&item.name()) || reported.iter().any(|name| name == item.name())
}

/// What is offered of `real`.
pub(super) fn offered(real: &Contents, reported: &[String], max: &Contents) -> Contents {
    let mut contents = real.clone();
    contents.leaves.retain(|place, _| place.0 >= 0x8000_0000 || LEAVES.contains(&place.0));
    for item in Item::all().filter(|item| real.has(*item) && !is_offered(*item, max, reported)) {
        contents.take(item);
    }
    for (leaf, subleaf, register) in WORDS {
        let named =
            features::bits().filter(|bit| (bit.leaf, bit.subleaf, bit.register) == (*leaf, *subleaf, *register));
        let mask = named.fold(0, |all, bit| all | 1 << bit.bit);
        if let Some(result) = contents.leaves.get_mut(&(*leaf, *subleaf)) {
            *register_of(result, *register) &= mask;
        }
    }
    // What a state component is, is of the instructions that use it.
    if let Some(leaf) = contents.leaves.get_mut(&(0xD, 0)) {
        leaf.eax &= max.leaf(0xD, 0).eax;
    }
    if let Some(leaf) = contents.leaves.get_mut(&(0xD, 1)) {
        leaf.ecx &= max.leaf(0xD, 1).ecx;
    }
    if let Some(listed) = contents.msrs.get_mut(&IA32_ARCH_CAPABILITIES) {
        // Its bits say what is safe, and which other registers there are.
        listed.reset &= max.msrs.get(&IA32_ARCH_CAPABILITIES).map_or(0, |listed| listed.reset);
    }
    if let Some(leaf) = contents.leaves.get_mut(&(0xA, 0)) {
        *leaf = pmu::offered(*leaf, &max.leaf(0xA, 0));
    }
    if let Some(leaf) = contents.leaves.get_mut(&(lbr::LEAF, 0)) {
        *leaf = lbr::offered(*leaf, &max.leaf(lbr::LEAF, 0));
        if LbrModel::architectural(leaf).is_none() {
            Item::all().filter(|item| item.name() == "arch_lbr").for_each(|item| contents.take(item));
        }
    }
    mask_vmx(&mut contents, max);
    take_dependents(&mut contents);
    contents.settle(real);
    contents
}

/// Takes away the bits of the capability MSRs that have no name here: nothing is known of them.
fn mask_vmx(contents: &mut Contents, max: &Contents) {
    for word in Word::ALL {
        let (msrs, base) = word.msrs();
        let named = BITS.iter().filter(|bit| bit.word == word).fold(0, |all, bit| all | 1 << (base + bit.bit));
        for msr in msrs {
            let Some(value) = contents.vmx.get_mut(msr) else { continue };
            *value &= match word {
                Word::Basic => named | BASIC_NUMBERS,
                Word::Misc => named | MISC_NUMBERS,
                // Reserved bits that may be 1 are those that must be 1.
                _ if base == 32 => named | *value << 32 | 0xFFFF_FFFF | max.vmx.get(msr).map_or(0, |max| max << 32),
                Word::Cr4 => named | max.vmx.get(msr).copied().unwrap_or(0),
                _ => named,
            };
        }
    }
}

/// Takes away all that needs something that is not there.
pub(super) fn take_dependents(contents: &mut Contents) {
    loop {
        let lost: Vec<Item> =
            Item::all().filter(|item| contents.has(*item) && contents.missing(*item).is_some()).collect();
        if lost.is_empty() {
            return;
        }
        lost.into_iter().for_each(|item| contents.take(item));
    }
}
