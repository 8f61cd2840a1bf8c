//! What is told of VM entries that fail and of VMX instructions that VMfail: counts, and lines of the log.

use crate::msr;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::EntryOutcome;
use emu_vmx::checks::{self, BasicFailure, CheckContext};
use emu_vmx::entry::{MsrList, MsrListError, check_msr_load};
use emu_vmx::exit::ExitReason;
use emu_vmx::field::{Access, Field};
use emu_vmx::operation::VmFail;
use emu_vmx::vmcs::{NO_VMCS, VmInstructionError};
use emu_vmx::words;

/// Failures of a kind that are told one by one; after them, each tenfold is.
const TOLD: u64 = 3;

/// A VM entry that has failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailedEntry {
    /// VMRESUME rather than VMLAUNCH.
    pub resume: bool,
    /// RIP of the instruction.
    pub rip: u64,
    /// The current-VMCS pointer.
    pub vmcs: u64,
    /// What failed: a rule's identifier, or the title of the error.
    pub what: &'static str,
}

/// What counts as one kind of failure.
pub(super) fn kind(outcome: &EntryOutcome) -> &'static str {
    match outcome {
        EntryOutcome::Refused(BasicFailure::VmFailInvalid) => "VMfailInvalid",
        EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => error.text(),
        EntryOutcome::Failed(id) => id,
        EntryOutcome::MsrLoading(_) => ExitReason::EntryFailureMsrLoading.text(),
        EntryOutcome::Entered(_) => "none",
    }
}

/// `the field Guest CR0 (6800h)`.
pub(crate) fn field_words(encoding: u64) -> String {
    match Field::from_encoding(encoding) {
        Some((field, Access::Full)) => format!("the field {} ({encoding:X}h)", field.name()),
        Some((field, Access::High)) => format!("bits 63:32 of the field {} ({encoding:X}h)", field.name()),
        None => format!("the encoding {encoding:X}h, which no field has"),
    }
}

impl Cpu {
    /// `1.250000 s`, or the cycle when nobody has said how many a second has.
    fn time_words(&self) -> String {
        match self.config.hz {
            0 => format!("cycle {}", self.cycles),
            hz => format!("{:.6} s", self.cycles as f64 / hz as f64),
        }
    }

    /// Counts a failed VM entry, and tells it: `why` is asked only if it is.
    pub(super) fn tell_failed_entry(&mut self, failed: FailedEntry, why: impl FnOnce(&mut Self) -> String) {
        let count = self.vmx.counts.failed_entries.entry(failed.what.into()).or_insert(0);
        *count += 1;
        let count = *count;
        let tenfold = std::iter::successors(Some(10 * TOLD), |n| n.checked_mul(10)).any(|n| n == count);
        if !(count <= TOLD || tenfold) || !log::log_enabled!(target: "vmx", log::Level::Warn) {
            return;
        }
        let rate = match count {
            TOLD => format!("; it has failed so {TOLD} times: from now on each tenfold is told"),
            count if count > TOLD => {
                format!("; it has failed so {count} times: the next is told at {}", count.saturating_mul(10))
            }
            _ => String::new(),
        };
        let name = if failed.resume { "VMRESUME" } else { "VMLAUNCH" };
        let vmcs =
            if failed.vmcs == NO_VMCS { "no current VMCS".to_owned() } else { format!("VMCS {:#x}", failed.vmcs) };
        let (index, time, why) = (self.sys.index, self.time_words(), why(self));
        log::warn!(
            target: "vmx",
            "VM entry fails: {name} at RIP {:#x}, processor {index}, {vmcs}, {time}: {why}{rate}", failed.rip
        );
    }

    /// Tells that VMLAUNCH or VMRESUME was refused before any field was looked at.
    pub(super) fn tell_refused_entry(&mut self, failed: FailedEntry, fail: VmFail) {
        self.tell_failed_entry(failed, |cpu| words::vmfail(fail.resolve(cpu.vmx.current)));
    }

    /// Tells that an entry of the MSR-load area could not be loaded.
    pub(super) fn tell_failed_msr(&mut self, env: &mut Env, failed: FailedEntry, area: MsrList, number: u32) {
        self.tell_failed_entry(failed, |cpu| {
            let at = area.entry(number.saturating_sub(1));
            // Whether it is told changes nothing.
            let entry = |cpu: &mut Cpu| (cpu.read_quad(env, at), cpu.read_quad(env, at.wrapping_add(8)));
            let (first, value) = cpu.beside_caches(entry);
            let name = msr::name(first as u32).map_or_else(|| format!("MSR {first:X}h"), |name| name.into_owned());
            let why = match check_msr_load(first, false) {
                Err(MsrListError::Reserved) => "bits 63:32 of the entry are not 0",
                Err(MsrListError::Forbidden) => "this MSR may not be in the list",
                Ok(_) => "WRMSR of this value would raise #GP",
            };
            let exit = words::vm_exit(ExitReason::EntryFailureMsrLoading);
            format!("{exit}: entry {number} at {at:#x}, {name} = {value:X}h: {why}")
        });
    }

    /// VMfail of another VMX instruction: counted, and told once a place. `what` says the instruction and its operand.
    pub(super) fn tell_vmfail(&mut self, rip: u64, error: Option<VmInstructionError>, what: &dyn Fn() -> String) {
        let number = error.map_or(0, VmInstructionError::number);
        *self.vmx.counts.vm_fails.entry(number).or_insert(0) += 1;
        if log::log_enabled!(target: "vmx", log::Level::Info) && self.log_once("VMfail", rip ^ u64::from(number) << 48)
        {
            let current = self.vmx.current;
            let current = if current == NO_VMCS { "none".to_owned() } else { format!("{current:#x}") };
            let non_root = if self.in_non_root() { " in VMX non-root operation" } else { "" };
            log::info!(
                target: "vmx",
                "{}: {} at RIP {rip:#x}, processor {}{non_root}, {}; current VMCS: {current}",
                words::vmfail(error), what(), self.sys.index, self.time_words()
            );
        }
    }
}

/// Why a rule fails, with how many others fail too.
pub(super) fn rule_words(rule: &checks::Rule, context: &CheckContext) -> String {
    let more = checks::failing(context).len().saturating_sub(1);
    let more = match more {
        0 => String::new(),
        1 => "; 1 more rule fails".to_owned(),
        more => format!("; {more} more rules fail"),
    };
    format!("{}: {}{more}", rule.failure().words(), rule.explain(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vmfails_and_fields_are_told_in_the_sdms_words() {
        assert_eq!(
            words::vmfail(Some(VmInstructionError::UnsupportedComponent)),
            "VMfailValid 12 (VMREAD/VMWRITE from/to unsupported VMCS component)"
        );
        assert_eq!(field_words(0x6800), "the field Guest CR0 (6800h)");
        assert_eq!(field_words(0x2011), "bits 63:32 of the field TSC offset (2011h)");
        assert_eq!(field_words(0x7FFE), "the encoding 7FFEh, which no field has");
    }
}
