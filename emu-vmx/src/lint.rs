//! All that is wrong with a VMCS at once: for `vmcs-lint` and the debugger, and the table of rules as a document.

use crate::caps::{ProcessorFacts, VmxCapabilities};
use crate::checks::{self, CheckContext, EntryMoment, Failure, Rule, Stage};
use crate::controls::{PrimaryProcessorControls, VmExitControls};
use crate::dump::Dump;
use crate::field::{Field, FieldSet};
use crate::vmcs::{NO_VMCS, Vmcs};
use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use core::fmt::Write as _;

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Required, found, hint.
    pub text: String,
    /// The fields that it reads, with their values in words.
    pub found: String,
}

/// A rule whose outcome hangs on fields that are not given.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// The rule.
    pub rule: &'static Rule,
    /// The fields that would decide.
    pub fields: Vec<Field>,
}

/// What a dump gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Rules that fail, in the order of checking: the first decides what happens.
    pub findings: Vec<Finding>,
    /// Rules that what is given does not decide.
    pub open: Vec<Open>,
    /// Fields in the dump that this processor does not have.
    pub absent: Vec<Field>,
}

impl Report {
    /// What the first rule that fails makes of the VM entry; `None` if none of those that are decided fails.
    pub fn outcome(&self) -> Option<Failure> {
        self.findings.first().map(|finding| finding.rule.failure())
    }

    /// Fields that open rules ask for.
    pub fn missing(&self) -> BTreeSet<Field> {
        self.open.iter().flat_map(|open| open.fields.iter().copied()).collect()
    }
}

/// Rules that `vmcs` fails.
pub fn lint(vmcs: &Vmcs, caps: &VmxCapabilities, cpu: &ProcessorFacts, now: &EntryMoment) -> Vec<Finding> {
    let context = CheckContext::new(vmcs, caps, cpu, now);
    checks::failing(&context).into_iter().map(|rule| finding(rule, &context)).collect()
}

fn finding(rule: &'static Rule, context: &CheckContext) -> Finding {
    Finding { rule, text: rule.explain(context), found: rule.found(context) }
}

/// What stands for a field that is not given: a rule is decided if it holds, or fails, with all of them.
const SAMPLES: [u64; 5] = [0, u64::MAX, 1, 0x1000, 0x5555_5555_5555_5555];

/// Rules that a dump fails, and those that it leaves open. The VMM is in IA-32e mode if the dump says so, else if it has
/// “host address-space size”; what would have to be read from memory is not checked.
pub fn lint_dump(dump: &Dump, caps: &VmxCapabilities, cpu: &ProcessorFacts) -> Report {
    let supported = FieldSet::supported(caps);
    let absent = dump.fields.keys().copied().filter(|&field| !supported.contains(field)).collect();
    let unused = unused(dump);
    let vmcs = |sample: u64| {
        let mut vmcs = Vmcs::new(caps.basic.revision_id());
        for &field in Field::ALL {
            let given = dump.get(field);
            let other = if unused.contains(&field) || !supported.contains(field) { 0 } else { sample };
            vmcs.set(field, given.unwrap_or(other & field.width().mask()));
        }
        vmcs
    };
    let missing = |field: &Field| dump.get(*field).is_none() && supported.contains(*field) && !unused.contains(field);
    let candidates: Vec<(Vmcs, EntryMoment)> = SAMPLES
        .iter()
        .map(|&sample| {
            let vmcs = vmcs(sample);
            let host64 = vmcs.exit().contains(VmExitControls::HOST_ADDRESS_SPACE_SIZE);
            let now = EntryMoment {
                ia32e_mode: dump.ia32e_mode.unwrap_or(host64),
                current_vmcs: dump.address.unwrap_or(NO_VMCS - 1),
                ..EntryMoment::default()
            };
            (vmcs, now)
        })
        .collect();
    let contexts: Vec<CheckContext> =
        candidates.iter().map(|(vmcs, now)| CheckContext::new(vmcs, caps, cpu, now)).collect();
    let mut report = Report { findings: Vec::new(), open: Vec::new(), absent };
    for rule in checks::all_rules() {
        let fields: Vec<Field> = rule.fields.iter().copied().filter(missing).collect();
        let holds = contexts.iter().filter(|context| (rule.holds)(context)).count();
        match contexts.first() {
            _ if holds == contexts.len() => {}
            Some(context) if holds == 0 && fields.is_empty() => report.findings.push(finding(rule, context)),
            _ => report.open.push(Open { rule, fields }),
        }
    }
    report
}

/// Fields that count as 0 when they are not given: words of controls that are not activated.
fn unused(dump: &Dump) -> BTreeSet<Field> {
    let mut unused = BTreeSet::new();
    if let Some(primary) = dump.get(Field::PrimaryProcessorControls) {
        let primary = PrimaryProcessorControls::from_bits_retain(primary as u32);
        if !primary.contains(PrimaryProcessorControls::ACTIVATE_SECONDARY_CONTROLS) {
            unused.insert(Field::SecondaryProcessorControls);
        }
        if !primary.contains(PrimaryProcessorControls::ACTIVATE_TERTIARY_CONTROLS) {
            unused.insert(Field::TertiaryProcessorControls);
        }
    }
    if let Some(exit) = dump.get(Field::VmExitControls) {
        let exit = VmExitControls::from_bits_retain(exit as u32);
        if !exit.contains(VmExitControls::ACTIVATE_SECONDARY_CONTROLS) {
            unused.insert(Field::SecondaryVmExitControls);
        }
    }
    unused
}

/// The table of all rules as Markdown.
pub fn rules_document() -> String {
    let mut text = String::from(
        "# The rules of VM entry\n\n\
         Made from the tables in `emu-vmx/src/checks`; `UPDATE_GOLDEN=1 cargo test -p emu-vmx` rewrites this file.\n\
         Sections are those of the Intel SDM, order number 325462-083US (March 2024), Volume 3C.\n\n",
    );
    let total = checks::all_rules().count();
    let _ = writeln!(text, "{total} rules. Each has a mutation test in `emu-vmx/tests/entry_rules.rs`.");
    let mut section = "";
    for rule in checks::all_rules() {
        if rule.section.number != section {
            section = rule.section.number;
            let outcome = match rule.stage {
                Stage::Controls => "VMfailValid, error 7",
                Stage::HostState => "VMfailValid, error 8",
                Stage::GuestState => "VM-entry failure, exit reason 33",
            };
            let _ = write!(text, "\n## {section} {}\n\nA failure is: {outcome}", rule.section.title);
            text.push_str(".\n\n| rule | VM entry requires that | fields | qualification |\n|---|---|---|---|\n");
        }
        let fields: Vec<&str> = rule.fields.iter().map(|field| field.name()).collect();
        let qualification = match rule.stage {
            Stage::GuestState => format!("{}", rule.qualification),
            _ => "–".into(),
        };
        let _ = writeln!(text, "| `{}` | {} | {} | {qualification} |", rule.id, rule.required, fields.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump;

    fn report(text: &str) -> Report {
        let dump = dump::parse(text).unwrap().remove(0);
        lint_dump(&dump, &VmxCapabilities::CORE_I5_M520, &ProcessorFacts::CORE_I5_M520)
    }

    #[test]
    fn lint_judges_what_is_given_and_leaves_the_rest_open() {
        let report = report("Guest CR0 = 0x31\nPML index = 2\nPin-based VM-execution controls = 16");
        assert_eq!(report.absent, [Field::PmlIndex]);
        let ids: Vec<_> = report.findings.iter().map(|f| f.rule.id).collect();
        assert!(!ids.contains(&"ctl.pin.reserved") && !ids.contains(&"host.cs.null"), "{ids:?}");
        assert!(report.open.iter().any(|open| open.rule.id == "host.cs.null"));
        assert!(report.missing().contains(&Field::GuestActivityState) && !report.missing().contains(&Field::GuestCr0));
    }

    #[test]
    fn lint_fails_a_rule_whose_fields_are_all_given() {
        let report = report("Pin-based VM-execution controls = 0\nGuest activity state = 9");
        let ids: Vec<_> = report.findings.iter().map(|f| f.rule.id).collect();
        assert_eq!(ids, ["ctl.pin.reserved", "guest.activity.supported"]);
        assert!(report.findings[0].text.contains("must be 1: 16h"), "{}", report.findings[0].text);
        assert!(matches!(report.outcome(), Some(Failure::VmFailValid(_))));
    }

    #[test]
    fn lint_takes_controls_that_are_not_activated_for_0() {
        let report = report("Primary processor-based VM-execution controls = 0401E172");
        assert!(!report.missing().contains(&Field::SecondaryProcessorControls), "{:?}", report.missing());
    }
}
