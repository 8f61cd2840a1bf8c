//! What helps against a rule of VM entry that does not hold: the rule's own hint, and a value that was tried.

use super::entry::{self, Judged};
use emu_core::mem::ram::Ram;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{CheckContext, Rule, all_rules};
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, Vmcs, width_bits};

/// The VM entry that failed, or would.
pub struct Case<'a> {
    /// The VMCS.
    pub vmcs: &'a Vmcs,
    /// Its address.
    pub address: u64,
    /// The VMM is in IA-32e mode.
    pub ia32e_mode: bool,
    /// What the processor allows.
    pub processor: (&'a VmxCapabilities, &'a ProcessorFacts),
    /// Memory.
    pub ram: &'a Ram,
}

impl Case<'_> {
    /// Judges with a context of this case's VMCS, or of one that differs a little.
    pub fn with<R>(&self, vmcs: &Vmcs, judge: impl FnOnce(&CheckContext) -> R) -> R {
        let moment = entry::moment(vmcs, self.address, self.ia32e_mode, self.processor, self.ram);
        judge(&CheckContext::new(vmcs, self.processor.0, self.processor.1, &moment))
    }

    /// All rules.
    pub fn judged(&self) -> Vec<Judged> {
        self.with(self.vmcs, entry::judge)
    }
}

/// A value of a field with which a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The field.
    pub field: Field,
    /// The value.
    pub value: u64,
    /// Rules that still fail then.
    pub failing: usize,
}

/// Whether single bits of a field mean something: the neighbour of an address or of a selector is as good as any other.
fn is_bits(field: Field) -> bool {
    let rights = (0x4814..=0x4822).contains(&field.encoding());
    rights || field != Field::EptPointer && !emu_vmx::names::bit_names(field).is_empty()
}

/// Values of a field that are worth a try, those that change least first.
fn candidates(field: Field, value: u64) -> Vec<u64> {
    match field {
        Field::VmcsLinkPointer => return vec![NO_VMCS],
        Field::GuestActivityState => return vec![0],
        _ if !is_bits(field) => return Vec::new(),
        _ => {}
    }
    let bits = || (0..width_bits(field)).map(|bit| 1 << bit);
    let one = bits().map(|bit| value ^ bit);
    let two = bits().flat_map(|high| bits().take_while(move |low| *low < high).map(move |low| value ^ high ^ low));
    one.chain(two).collect()
}

/// The control word or control register of a rule with all the bits that the capability MSRs ask for.
fn adjusted(case: &Case, field: Field, value: u64) -> Option<u64> {
    let caps = case.processor.0;
    let control = |settings: emu_vmx::caps::AllowedSettings| Some(u64::from(settings.adjust(value as u32)));
    match field {
        Field::PinBasedControls => control(caps.pin()),
        Field::PrimaryProcessorControls => control(caps.primary()),
        Field::VmExitControls => control(caps.exit()),
        Field::VmEntryControls => control(caps.entry()),
        Field::GuestCr0 | Field::HostCr0 => Some((value | caps.cr0_fixed0) & caps.cr0_fixed1),
        Field::GuestCr4 | Field::HostCr4 => Some((value | caps.cr4_fixed0) & caps.cr4_fixed1),
        _ => None,
    }
}

/// The value that makes a rule hold and leaves fewest others failing; of several, the one that changes least.
pub fn tried(case: &Case, rule: &'static Rule) -> Option<Tried> {
    let mut best: Option<(usize, u32, Tried)> = None;
    for &field in rule.fields {
        let value = case.vmcs.get(field);
        let mut vmcs = case.vmcs.clone();
        for new in adjusted(case, field, value).into_iter().chain(candidates(field, value)) {
            let changed = (new ^ value).count_ones();
            // Two bits are only tried where one did not do.
            if changed == 2 && best.is_some_and(|best| best.1 == 1) {
                break;
            }
            vmcs.set(field, new);
            if new == value || !case.with(&vmcs, rule.holds) {
                continue;
            }
            let failing = case.with(&vmcs, |context| all_rules().filter(|rule| !(rule.holds)(context)).count());
            if best.is_none_or(|best| (failing, changed) < (best.0, best.1)) {
                best = Some((failing, changed, Tried { field, value: new, failing }));
            }
        }
    }
    best.map(|best| best.2)
}

/// What helps against a rule that fails, in words.
pub fn words(judged: &Judged, tried: Option<&Tried>) -> String {
    match (judged.rule.hint, tried) {
        ("", Some(tried)) => format!("let {} be {:X}h", tried.field.name(), tried.value),
        ("", None) => format!("see to it that {}", judged.rule.required),
        (hint, _) => hint.to_owned(),
    }
}

/// The command that tries it, and what comes of it.
pub fn command(tried: &Tried) -> String {
    let then = match tried.failing {
        0 => "all rules hold then".to_owned(),
        1 => "1 rule still fails then".to_owned(),
        more => format!("{more} rules still fail then"),
    };
    format!("vmcs set {} = {:#x}  ({then})", tried.field.identifier(), tried.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_selectors_have_no_value_that_is_worth_a_try() {
        assert!(candidates(Field::GuestRip, 0).is_empty() && candidates(Field::HostTrSelector, 0).is_empty());
        assert_eq!(candidates(Field::VmcsLinkPointer, 0x123), [NO_VMCS]);
        let rights = candidates(Field::GuestCsAccessRights, 0xC093);
        assert_eq!((rights[0], rights[3], rights.len()), (0xC092, 0xC09B, 32 + 496));
    }
}
