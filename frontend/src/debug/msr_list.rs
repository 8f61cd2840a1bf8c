//! The MSR lists of VM entry and VM exit (SDM Vol. 3C 27.4 "Loading MSRs", 28.4 "Saving MSRs", 28.6 "Loading MSRs"): what
//! stands in them, and which entry could not be loaded.

use super::breakpoints::msr_words;
use super::scope::{model, physical};
use emu_core::mem::ram::Ram;
use emu_core::msr::{self, Allowed};
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::cr::Cr0;
use emu_vmx::arch::efer::Efer;
use emu_vmx::arch::msr::{IA32_APIC_BASE, IA32_EFER, IA32_FEATURE_CONTROL, IA32_LBR_DEPTH, IA32_MISC_ENABLE};
use emu_vmx::entry::{EntryPlan, MsrList, MsrListError, check_msr_load};
use emu_vmx::vmcs::Vmcs;
use std::collections::BTreeMap;

/// No list has more entries that any processor recommends (SDM Vol. 3D A.6 "Miscellaneous Data").
const MOST: u32 = 4096;

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its number, 1 for the first.
    pub number: u32,
    /// Its physical address.
    pub at: u64,
    /// Its first quadword: the MSR's number, and 32 reserved bits.
    pub first: u64,
    /// The value.
    pub value: u64,
}

impl Listed {
    /// The MSR's name.
    pub fn name(&self) -> String {
        msr_words(self.first as u32)
    }
}

/// The entries of a list. Where no memory is, all bits are 1.
pub fn read(ram: &Ram, list: MsrList) -> impl Iterator<Item = Listed> {
    let quad = |at: u64| physical(ram, ram.gate_a20(at), 8).unwrap_or(u64::MAX);
    (0..list.count.min(MOST)).map(move |n| {
        let at = list.entry(n);
        Listed { number: n + 1, at, first: quad(at), value: quad(at.wrapping_add(8)) }
    })
}

/// Why an entry cannot be loaded, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub why: String,
    /// What helps.
    pub remedy: String,
}

fn refused(why: impl Into<String>, remedy: impl Into<String>) -> Option<Refused> {
    Some(Refused { why: why.into(), remedy: remedy.into() })
}

/// Judges the entries of a load area in their order: a processor stops at the first that it refuses.
pub struct Judge<'a> {
    cpu: &'a Cpu,
    /// What the VM entry, and earlier entries, have loaded.
    loaded: BTreeMap<u32, u64>,
    /// The guest has paging.
    paging: bool,
}

impl<'a> Judge<'a> {
    /// For a VM entry of this processor, whose guest state is loaded before its list.
    pub fn new(cpu: &'a Cpu, vmcs: &Vmcs) -> Self {
        let plan = EntryPlan::new(vmcs, cpu.sys.cr0.bits(), cpu.sys.efer);
        let paging = plan.cr0 & Cr0::PG.bits() != 0;
        Self { cpu, loaded: BTreeMap::from([(IA32_EFER, plan.msrs.efer.bits())]), paging }
    }

    /// Why the processor refuses the next entry; `None` if it loads it.
    pub fn next(&mut self, entry: &Listed) -> Option<Refused> {
        let most = model(self.cpu).vmx().map_or(0, |vmx| vmx.caps.misc.msr_list_maximum());
        if entry.number > most {
            return refused(
                format!("it is more than the {most} entries that IA32_VMX_MISC recommends"),
                format!("let the list have {most} entries at most"),
            );
        }
        if (entry.first, entry.value) == (u64::MAX, u64::MAX) {
            return refused("there is no memory", "correct the address or the count of the list");
        }
        let found = match check_msr_load(entry.first, false) {
            Err(MsrListError::Reserved) => refused(
                format!("bits 63:32 of the entry are {:X}h; they are reserved and must be 0", entry.first >> 32),
                format!("clear the 4 bytes at {:#x}", entry.at.wrapping_add(4)),
            ),
            Err(MsrListError::Forbidden) => forbidden(entry.first as u32),
            Ok(number) => self.wrmsr(number, entry.value),
        };
        if found.is_none() {
            self.loaded.insert(entry.first as u32, entry.value);
        }
        found
    }

    /// Why WRMSR at CPL 0 would raise #GP.
    fn wrmsr(&self, number: u32, value: u64) -> Option<Refused> {
        let (cpu, model) = (self.cpu, model(self.cpu));
        let Some(row) = msr::row_of(model, number) else {
            return match cpu.config.ignore_bad_msrs {
                true => None,
                false => refused(
                    format!("the model {} has no such MSR: WRMSR raises #GP", model.name()),
                    "take the entry out, or choose a --cpu-model that has it",
                ),
            };
        };
        let now = self.loaded.get(&number).copied().or_else(|| cpu.read_msr_quiet(number)).unwrap_or(0);
        let bits = |bits: u64| match value & !bits {
            0 => None,
            wrong => refused(
                format!("bits {wrong:X}h are reserved: WRMSR raises #GP"),
                format!("clear them: the value may be {:X}h", value & bits),
            ),
        };
        let wrong = match row.allowed {
            Allowed::Any => None,
            Allowed::Bits(allowed) => bits(allowed),
            Allowed::BitsOf(allowed) => bits(allowed(model, number)),
            Allowed::Listed => {
                let writable = model.plain_msr(number).map_or(0, |listed| listed.writable);
                match (value ^ now) & !writable {
                    0 => None,
                    wrong => refused(
                        format!("bits {wrong:X}h cannot be changed: WRMSR raises #GP"),
                        format!("leave them as they are: the value may be {:X}h", value ^ wrong),
                    ),
                }
            }
            Allowed::Values(allowed, _) if allowed(model, number, value) => None,
            Allowed::Values(..) => refused(
                format!("{value:X}h is no value for it: WRMSR raises #GP"),
                format!("give a value that the SDM allows (Vol. 4, {})", msr_words(number)),
            ),
            Allowed::Nothing => refused("it is read-only: WRMSR raises #GP", "take the entry out"),
        };
        wrong.or_else(|| match number {
            IA32_FEATURE_CONTROL if now & 1 != 0 => {
                refused("its lock bit is set: WRMSR raises #GP", "take the entry out")
            }
            // As with any WRMSR, LME does not change while paging is on.
            IA32_EFER if (value ^ now) & Efer::LME.bits() != 0 && self.paging => refused(
                "LME cannot change while the guest's CR0.PG is 1: WRMSR raises #GP",
                "load IA32_EFER through its VMCS field with “load IA32_EFER”",
            ),
            IA32_EFER if value & Efer::NXE.bits() != 0 && self.execute_disable_is_off() => refused(
                "IA32_MISC_ENABLE has turned execute-disable off: WRMSR raises #GP",
                "clear NXE (bit 11), or bit 34 of IA32_MISC_ENABLE",
            ),
            _ if self.is_beyond_depth(number) => refused(
                "IA32_LBR_DEPTH has fewer records: WRMSR raises #GP",
                "take the entry out, or put one of IA32_LBR_DEPTH in front of it",
            ),
            IA32_APIC_BASE if !apic_transition(now, value) => refused(
                format!("the local APIC cannot go from {now:X}h to it: WRMSR raises #GP"),
                "take the entry out, or go by way of the disabled state (SDM Vol. 3A 11.12.5)",
            ),
            _ => None,
        })
    }
}

impl Judge<'_> {
    /// A register of the architectural last branch records behind the last of them.
    fn is_beyond_depth(&self, number: u32) -> bool {
        let records = model(self.cpu).lbr().filter(|lbr| lbr.is_architectural());
        let now = self.loaded.get(&IA32_LBR_DEPTH).copied();
        let depth = now.or_else(|| self.cpu.read_msr_quiet(IA32_LBR_DEPTH)).unwrap_or(0);
        records.is_some_and(|lbr| {
            let ranges = [lbr.from, lbr.to, lbr.info].map(|first| first..first + u32::from(lbr.entries));
            ranges.iter().any(|range| range.contains(&number) && u64::from(number - range.start) >= depth)
        })
    }

    /// Bit 34 of IA32_MISC_ENABLE.
    fn execute_disable_is_off(&self) -> bool {
        let now = self.loaded.get(&IA32_MISC_ENABLE).copied();
        now.or_else(|| self.cpu.read_msr_quiet(IA32_MISC_ENABLE)).is_some_and(|value| value >> 34 & 1 != 0)
    }
}

/// SDM Vol. 3A 11.12.5 "x2APIC State Transitions".
fn apic_transition(old: u64, new: u64) -> bool {
    let state = |value: u64| (value >> 11 & 1, value >> 10 & 1);
    !matches!((state(old), state(new)), (_, (0, 1)) | ((_, 1), (1, 0)) | ((0, _), (1, 1)))
}

/// What is to be done about an MSR that no list may have.
fn forbidden(number: u32) -> Option<Refused> {
    use emu_vmx::arch::msr;
    let remedy = match number {
        msr::IA32_FS_BASE => "load it through the field Guest FS base, and take the entry out",
        msr::IA32_GS_BASE => "load it through the field Guest GS base, and take the entry out",
        _ => "take the entry out",
    };
    refused("this MSR may not be in the list", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_apic_goes_along_the_legal_transitions_alone() {
        let (disabled, xapic, invalid, x2apic) = (0, 0x800, 0x400, 0xC00);
        for (old, allowed) in [
            (disabled, [true, true, false, false]),
            (xapic, [true, true, false, true]),
            (x2apic, [true, false, false, true]),
        ] {
            let found = [disabled, xapic, invalid, x2apic].map(|new| apic_transition(old, new));
            assert_eq!(found, allowed, "{old:x}");
        }
    }

    #[test]
    fn entry_that_no_list_may_have_is_told_with_its_field() {
        assert!(forbidden(0xC000_0100).is_some_and(|refused| refused.remedy.contains("Guest FS base")));
        assert!(forbidden(0x808).is_some_and(|refused| refused.remedy == "take the entry out"));
    }
}
