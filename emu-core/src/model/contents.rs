//! What a model consists of – CPUID leaves, stored MSRs, VMX capabilities – and how a single feature is put in or taken out.

use super::depends::{COMPONENTS, CR4_FEATURES, REGISTERS};
use super::features::{CpuidBit, Feature, Register};
use super::item::Item;
use super::lbr::{self, LbrModel};
use super::{CpuidResult, PlainMsr};
use emu_vmx::arch::msr::*;
use emu_vmx::caps::VmxCapabilities;
use emu_vmx::field::FieldSet;
use emu_vmx::region::RegionLayout;
use std::collections::BTreeMap;

/// Performance monitoring.
const LEAF_PERFMON: u32 = 0xA;
/// XSAVE.
const LEAF_XSAVE: u32 = 0xD;
/// MAXPHYADDR of processors without CPUID leaf 80000008h (SDM Vol. 3A, "Enumeration of Paging Features by CPUID").
const DEFAULT_PHYSICAL_BITS: u8 = 36;
/// Bits of IA32_VMX_BASIC that give the size of VMX regions, in bytes (SDM Vol. 3D A.1, "Basic VMX Information").
const REGION_SIZE: u64 = 0x1FFF << 32;

/// The contents of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub leaves: BTreeMap<(u32, u32), CpuidResult>,
    /// Leaves that ECX selects within.
    pub indexed: Vec<u32>,
    pub msrs: BTreeMap<u32, PlainMsr>,
    pub vmx: BTreeMap<u32, u64>,
    /// The stack of last branch records that is none of CPUID leaf 1Ch.
    pub lbr: Option<LbrModel>,
}

impl Contents {
    /// A leaf; zeros where there is none.
    pub fn leaf(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        let subleaf = if self.indexed.contains(&leaf) { subleaf } else { 0 };
        self.leaves.get(&(leaf, subleaf)).copied().unwrap_or_default()
    }

    /// A leaf to be changed; a new one raises the highest leaf.
    fn leaf_mut(&mut self, leaf: u32, subleaf: u32) -> &mut CpuidResult {
        let first = leaf & 0x8000_0000;
        let highest = self.leaves.entry((first, 0)).or_default();
        highest.eax = highest.eax.max(leaf);
        if matches!(leaf, 7 | LEAF_XSAVE) && !self.indexed.contains(&leaf) {
            self.indexed.push(leaf);
        }
        self.leaves.entry((leaf, subleaf)).or_default()
    }

    /// The allowed settings and the like, as VMX has them.
    pub fn caps(&self) -> VmxCapabilities {
        let mut caps = VmxCapabilities::NONE;
        self.vmx.iter().for_each(|(&index, &value)| caps.set_msr(index, value));
        caps
    }

    /// Whether it has a feature.
    pub fn feature(&self, feature: Feature) -> bool {
        self.cpuid_bit(feature.place())
    }

    fn cpuid_bit(&self, bit: &CpuidBit) -> bool {
        *register(&mut self.leaf(bit.leaf, bit.subleaf), bit.register) >> bit.bit & 1 != 0
    }

    /// Whether it has an item.
    pub fn has(&self, item: Item) -> bool {
        match item {
            Item::Cpuid(bit) => self.cpuid_bit(bit),
            Item::Perfmon => self.leaf(LEAF_PERFMON, 0).eax & 0xFF != 0,
            Item::Event(event) => event.is_in(&self.leaf(LEAF_PERFMON, 0)),
            Item::Vmx(bit) => {
                let (msrs, base) = bit.word.msrs();
                msrs.iter().any(|msr| self.vmx.get(msr).is_some_and(|value| value >> (base + bit.bit) & 1 != 0))
            }
        }
    }

    /// Whether one of `words`, separated by `|`, is there.
    fn has_any(&self, words: &str) -> bool {
        words.split('|').filter_map(Item::find).any(|item| self.has(item))
    }

    /// The first of its needs that is not met: what would meet it.
    pub fn missing(&self, item: Item) -> Option<Vec<Item>> {
        item.needs().into_iter().find(|any| !any.iter().any(|needed| self.has(*needed)))
    }

    /// Whether VM entry demands a control: it is 1 whatever software would like.
    pub fn demands(&self, item: Item) -> bool {
        let Item::Vmx(bit) = item else { return false };
        let (msrs, base) = bit.word.msrs();
        base == 32 && msrs.iter().any(|msr| self.vmx.get(msr).is_some_and(|value| value >> bit.bit & 1 != 0))
    }

    /// Takes an item away, with the registers and flags that come with it, but without what depends on it.
    pub fn take(&mut self, item: Item) {
        match item {
            Item::Cpuid(bit) => {
                if let Some(leaf) = self.leaves.get_mut(&(bit.leaf, bit.subleaf)) {
                    *register(leaf, bit.register) &= !(1 << bit.bit);
                }
            }
            Item::Perfmon => {
                self.leaves.remove(&(LEAF_PERFMON, 0));
            }
            Item::Event(event) => {
                if let Some(leaf) = self.leaves.get_mut(&(LEAF_PERFMON, 0)) {
                    leaf.ebx |= 1 << event.bit;
                }
            }
            Item::Vmx(bit) => {
                let (msrs, base) = bit.word.msrs();
                for msr in msrs {
                    self.vmx.entry(*msr).and_modify(|value| *value &= !(1 << (base + bit.bit)));
                }
            }
        }
        for (_, registers) in REGISTERS.iter().filter(|row| row.0.split('|').any(|name| name == item.name())) {
            self.msrs.retain(|index, _| !registers.contains(index));
        }
    }

    /// Puts an item in as `from` has it.
    pub fn put(&mut self, item: Item, from: &Contents) {
        match item {
            Item::Cpuid(bit) => *register(self.leaf_mut(bit.leaf, bit.subleaf), bit.register) |= 1 << bit.bit,
            Item::Perfmon => *self.leaf_mut(LEAF_PERFMON, 0) = from.leaf(LEAF_PERFMON, 0),
            Item::Event(event) => {
                let leaf = self.leaf_mut(LEAF_PERFMON, 0);
                // Those that were beyond the highest event are not there either.
                let known = leaf.eax >> 24;
                (known..event.bit).for_each(|bit| leaf.ebx |= 1 << bit);
                leaf.eax = leaf.eax & 0x00FF_FFFF | known.max(event.bit + 1) << 24;
                leaf.ebx &= !(1 << event.bit);
            }
            Item::Vmx(bit) => {
                let (msrs, base) = bit.word.msrs();
                for msr in msrs {
                    *self.vmx.entry(*msr).or_insert(0) |= 1 << (base + bit.bit);
                }
                if bit.name == "true_controls" {
                    for msr in IA32_VMX_TRUE_PINBASED_CTLS..=IA32_VMX_TRUE_ENTRY_CTLS {
                        // The numbers of the four TRUE registers follow each other as those of the four others do.
                        let plain =
                            self.vmx.get(&(msr - IA32_VMX_TRUE_PINBASED_CTLS + IA32_VMX_PINBASED_CTLS)).copied();
                        let demanded = from.vmx.get(&msr).map_or(u64::MAX, |value| value | !0xFFFF_FFFF);
                        self.vmx.insert(msr, plain.unwrap_or(0) & demanded);
                    }
                }
            }
        }
        for (_, registers) in REGISTERS.iter().filter(|row| row.0.split('|').any(|name| name == item.name())) {
            for (&index, &msr) in from.msrs.range(registers.clone()) {
                self.msrs.entry(index).or_insert(msr);
            }
        }
        // Its state components; with XSAVE itself, or XSAVES, those of all that is there.
        let all = matches!(item.name(), "xsave" | "xsaves");
        for (n, words) in COMPONENTS {
            let comes = if all { self.has_any(words) } else { words.split('|').any(|name| name == item.name()) };
            if comes && self.feature(Feature::Xsave) {
                let (user, supervisor) = (from.leaf(LEAF_XSAVE, 0), from.leaf(LEAF_XSAVE, 1));
                *self.leaf_mut(LEAF_XSAVE, *n) = from.leaf(LEAF_XSAVE, *n);
                self.leaf_mut(LEAF_XSAVE, 0).eax |= user.eax & 1 << n;
                self.leaf_mut(LEAF_XSAVE, 1).ecx |= supervisor.ecx & 1 << n;
            }
        }
        match item.name() {
            "monitor" => *self.leaf_mut(5, 0) = from.leaf(5, 0),
            "arch_lbr" => *self.leaf_mut(lbr::LEAF, 0) = from.leaf(lbr::LEAF, 0),
            "clflush" => self.leaf_mut(1, 0).ebx |= from.leaf(1, 0).ebx & 0xFF00,
            _ => {}
        }
        if item.name() == "xsave" {
            self.leaf_mut(LEAF_XSAVE, 0).eax |= 3;
            self.leaf_mut(LEAF_XSAVE, 1);
        }
    }

    /// CR4's flags that the features bring.
    pub fn cr4(&self) -> u64 {
        CR4_FEATURES.iter().filter(|row| self.feature(row.1)).fold(0, |all, row| all | row.0.bits())
    }

    /// Makes what follows from the features agree with them, after a change. `before` is as it was before: what was not
    /// consistent there stays so.
    pub fn settle(&mut self, before: &Contents) {
        self.settle_xsave();
        if !self.feature(Feature::Monitor) && before.feature(Feature::Monitor) {
            self.leaves.remove(&(5, 0));
        }
        if !self.feature(Feature::Clfsh) && before.feature(Feature::Clfsh) {
            // The size of the line that CLFLUSH flushes.
            self.leaf_mut(1, 0).ebx &= !0xFF00;
        }
        self.settle_lbr(before);
        self.settle_subleaves_of_7();
        if self.feature(Feature::La57) != before.feature(Feature::La57) {
            let width = if self.feature(Feature::La57) { 57 } else { 48 };
            let leaf = self.leaf_mut(0x8000_0008, 0);
            leaf.eax = leaf.eax & !0xFF00 | width << 8;
        }
        self.settle_vmx(before);
    }

    /// The architectural last branch records have a leaf, and a number in IA32_PERF_CAPABILITIES.
    fn settle_lbr(&mut self, before: &Contents) {
        let (architectural, was) = (self.feature(Feature::ArchLbr), before.feature(Feature::ArchLbr));
        if !architectural {
            self.leaves.remove(&(lbr::LEAF, 0));
        }
        let format = match (architectural, &self.lbr) {
            (true, _) => lbr::format::ARCHITECTURAL,
            (false, lbr) => lbr.map_or(0, |lbr| lbr.format),
        };
        if let Some(listed) = self.msrs.get_mut(&IA32_PERF_CAPABILITIES).filter(|_| architectural != was) {
            listed.reset = listed.reset & !0x3F | u64::from(format);
        }
    }

    /// Another width of physical addresses (MAXPHYADDR), in bits.
    pub fn set_physical_bits(&mut self, bits: u8) -> Result<(), &'static str> {
        match self.leaves.get_mut(&(0x8000_0008, 0)) {
            Some(leaf) => leaf.eax = leaf.eax & !0xFF | u32::from(bits),
            None if bits == DEFAULT_PHYSICAL_BITS => {}
            None => return Err("the model has no CPUID leaf 80000008h, which says how wide they are"),
        }
        Ok(())
    }

    /// Width of physical addresses, in bits.
    pub fn physical_bits(&self) -> u8 {
        self.leaves.get(&(0x8000_0008, 0)).map_or(DEFAULT_PHYSICAL_BITS, |leaf| leaf.eax as u8)
    }

    /// The highest subleaf of leaf 7 is the last that says anything.
    fn settle_subleaves_of_7(&mut self) {
        let says = |result: &CpuidResult| *result != CpuidResult::default();
        let last = self.leaves.range((7, 1)..(8, 0)).filter(|entry| says(entry.1)).map(|entry| entry.0.1).max();
        self.leaves.retain(|place, _| place.0 != 7 || place.1 <= last.unwrap_or(0));
        if let Some(leaf) = self.leaves.get_mut(&(7, 0)) {
            leaf.eax = last.unwrap_or(0);
        }
    }

    fn settle_xsave(&mut self) {
        if !self.feature(Feature::Xsave) {
            self.leaves.retain(|place, _| place.0 != LEAF_XSAVE);
            return;
        }
        let mut allowed = 3;
        for (n, words) in COMPONENTS {
            if self.has_any(words) {
                allowed |= 1 << n;
            }
        }
        let supervisor = if self.feature(Feature::Xsaves) { allowed } else { 0 };
        let user = self.leaf(LEAF_XSAVE, 0).eax & allowed;
        let one = self.leaf_mut(LEAF_XSAVE, 1);
        (one.ecx, one.edx) = (one.ecx & supervisor, 0);
        let components = user | one.ecx;
        self.leaves.retain(|place, _| place.0 != LEAF_XSAVE || place.1 < 2 || components >> place.1 & 1 != 0);
        let ends = (2..32).filter(|n| user >> n & 1 != 0).map(|n| self.leaf(LEAF_XSAVE, n)).map(|c| c.ebx + c.eax);
        let size = ends.max().unwrap_or(0).max(576);
        let zero = self.leaf_mut(LEAF_XSAVE, 0);
        (zero.eax, zero.ecx, zero.edx) = (user, size, 0);
    }

    fn settle_vmx(&mut self, before: &Contents) {
        if !self.feature(Feature::Vmx) {
            self.vmx.clear();
            return;
        }
        let (lost, won) = (before.cr4() & !self.cr4(), self.cr4() & !before.cr4());
        self.vmx.entry(IA32_VMX_CR4_FIXED1).and_modify(|fixed| *fixed = *fixed & !lost | won);
        let caps = self.caps();
        self.vmx.retain(|index, _| caps.read_msr(*index).is_some());
        let (fields, earlier) = (FieldSet::supported(&caps), FieldSet::supported(&before.caps()));
        if fields != earlier {
            let highest = fields.vmcs_enum();
            let grown = earlier.iter().all(|field| fields.contains(field));
            self.vmx
                .entry(IA32_VMX_VMCS_ENUM)
                .and_modify(|value| *value = if grown { highest.max(*value) } else { highest.min(*value) });
        }
        let size = RegionLayout::of(&fields).size() as u64;
        if u64::from(caps.basic.region_size()) < size {
            self.vmx.entry(IA32_VMX_BASIC).and_modify(|basic| *basic = *basic & !REGION_SIZE | size << 32);
        }
    }
}

/// A register of a result.
pub(super) fn register(result: &mut CpuidResult, register: Register) -> &mut u32 {
    match register {
        Register::Eax => &mut result.eax,
        Register::Ebx => &mut result.ebx,
        Register::Ecx => &mut result.ecx,
        Register::Edx => &mut result.edx,
    }
}
