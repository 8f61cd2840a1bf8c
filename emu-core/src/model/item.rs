//! What a processor has or has not, by name: bits of CPUID, bits of the VMX capability MSRs, the performance monitoring of
//! leaf 0Ah.

use super::controls::{self, VmxBit, Word};
use super::depends::{ESSENTIAL, NEEDS};
use super::features::{self, CpuidBit};
use super::pmu::{self, ArchitecturalEvent};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A feature or a VMX control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A bit of CPUID.
    Cpuid(&'static CpuidBit),
    /// A bit of a VMX capability MSR.
    Vmx(&'static VmxBit),
    /// CPUID leaf 0Ah: architectural performance monitoring.
    Perfmon,
    /// An event that its counters can count.
    Event(&'static ArchitecturalEvent),
}

/// Every item, by its place in lists: those of CPUID first.
static ALL: LazyLock<Vec<Item>> = LazyLock::new(|| {
    let cpuid = features::bits().map(Item::Cpuid);
    cpuid
        .chain([Item::Perfmon])
        .chain(pmu::EVENTS.iter().map(Item::Event))
        .chain(controls::BITS.iter().map(Item::Vmx))
        .collect()
});

/// Every item by name.
static BY_NAME: LazyLock<HashMap<&'static str, Item>> =
    LazyLock::new(|| Item::all().map(|item| (item.name(), item)).collect());

/// What each item needs besides what its word needs: one of each list.
static NEEDED: LazyLock<HashMap<&'static str, Vec<Vec<Item>>>> = LazyLock::new(|| {
    let any = |words: &str| words.split('|').filter_map(Item::find).collect();
    NEEDS.iter().map(|(name, needs)| (*name, needs.split(' ').map(any).collect())).collect()
});

impl Item {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Item> {
        ALL.iter().copied()
    }

    /// The item with this name, or this other name.
    pub fn find(name: &str) -> Option<Item> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let alias = controls::ALIASES.iter().find(|alias| alias.0 == name).map(|alias| alias.1);
        BY_NAME.get(alias.unwrap_or(&name)).copied()
    }

    /// The name that is nearest to one that nothing has.
    pub fn nearest(name: &str) -> Option<String> {
        let names = Item::all().map(|item| item.name()).chain(controls::ALIASES.iter().map(|alias| alias.0));
        emu_vmx::dump::names::nearest(name, names)
    }

    /// Its name, as `--cpu-model` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Item::Cpuid(bit) => bit.name,
            Item::Vmx(bit) => bit.name,
            Item::Perfmon => "perfmon",
            Item::Event(event) => event.name,
        }
    }

    /// What it is: a few words, for a control its name in the SDM.
    pub fn words(self) -> &'static str {
        match self {
            Item::Cpuid(bit) => bit.words,
            Item::Vmx(bit) => bit.words(),
            Item::Perfmon => "architectural performance monitoring",
            Item::Event(event) => event.words,
        }
    }

    /// What it cannot be without: of each list one.
    pub fn needs(self) -> Vec<Vec<Item>> {
        let word = match self {
            Item::Vmx(bit) => match bit.word {
                Word::Secondary => Some("secondary_controls"),
                Word::Tertiary => Some("tertiary_controls"),
                Word::SecondaryExit => Some("exit_secondary_controls"),
                Word::Functions => Some("vm_functions"),
                _ => Some("vmx"),
            },
            Item::Event(_) => Some("perfmon"),
            _ => None,
        };
        let word = word.and_then(Item::find).map(|item| vec![item]);
        word.into_iter().chain(NEEDED.get(self.name()).cloned().unwrap_or_default()).collect()
    }

    /// Why no machine here is without it, if none is.
    pub fn essential(self) -> Option<&'static str> {
        ESSENTIAL.iter().find(|essential| essential.0 == self.name()).map(|essential| essential.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::depends::{COMPONENTS, REGISTERS};
    use super::*;

    #[test]
    fn names_are_unique_and_every_one_in_a_table_exists() {
        assert_eq!(BY_NAME.len(), ALL.len(), "two have the same name");
        let words = |text: &'static str| text.split([' ', '|']);
        let needs = NEEDS.iter().flat_map(|row| words(row.0).chain(words(row.1)));
        let others =
            COMPONENTS.iter().flat_map(|row| words(row.1)).chain(REGISTERS.iter().flat_map(|row| words(row.0)));
        let essential = ESSENTIAL.iter().map(|row| row.0);
        let aliases = controls::ALIASES.iter().map(|row| row.1);
        for name in needs.chain(others).chain(essential).chain(aliases) {
            assert!(BY_NAME.contains_key(name), "{name}");
        }
        for (alias, _) in controls::ALIASES {
            assert!(!BY_NAME.contains_key(alias), "{alias} is a name");
        }
        let rows: std::collections::HashSet<_> = NEEDS.iter().map(|row| row.0).collect();
        assert_eq!(rows.len(), NEEDS.len(), "one row for a name");
    }

    #[test]
    fn a_name_may_be_written_with_hyphens_capitals_or_as_the_sdm_has_it() {
        for (written, name) in
            [("SSE4.1", "sse4_1"), ("EPT-AD", "ept_ad"), ("Enable_EPT", "ept"), ("mbec", "mode_based_execute")]
        {
            assert_eq!(Item::find(written).map(Item::name), Some(name), "{written}");
        }
        assert_eq!(Item::find("evpid"), None);
        assert_eq!(Item::nearest("vpdi").as_deref(), Some("vpid"));
    }
}
