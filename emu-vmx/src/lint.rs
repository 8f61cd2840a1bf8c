//! All that is wrong with a VMCS at once: for `vmcs-lint` and the debugger, and the table of rules as a document.

use crate::caps::{ProcessorFacts, VmxCapabilities};
use crate::checks::{self, CheckContext, EntryMoment, Rule, Stage};
use crate::field::{Field, FieldSet};
use crate::vmcs::{NO_VMCS, Vmcs};
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write as _;

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Required, found, hint.
    pub text: String,
}

/// What a dump gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Rules that fail, in the order in which the processor checks them; the first decides what happens.
    pub findings: Vec<Finding>,
    /// Names in the dump that are no field of a VMCS.
    pub unknown: Vec<String>,
    /// Fields in the dump that this processor does not have.
    pub absent: Vec<Field>,
}

/// Rules that `vmcs` fails.
pub fn lint(vmcs: &Vmcs, caps: &VmxCapabilities, cpu: &ProcessorFacts, now: &EntryMoment) -> Vec<Finding> {
    let context = CheckContext::new(vmcs, caps, cpu, now);
    checks::failing(&context).into_iter().map(|rule| Finding { rule, text: rule.explain(&context) }).collect()
}

/// Rules that a dump fails. `fields` gives names (SDM name, Rust identifier or encoding in hexadecimal) and values.
/// Fields that the dump leaves out are 0, except the VMCS link pointer, which is all 1s. The VMM is taken to be in
/// IA-32e mode when the dump has “host address-space size”; what would have to be read from memory is not checked.
pub fn lint_dump<'a>(
    fields: impl IntoIterator<Item = (&'a str, u64)>,
    caps: &VmxCapabilities,
    cpu: &ProcessorFacts,
) -> Report {
    let supported = FieldSet::supported(caps);
    let mut vmcs = Vmcs::new(caps.basic.revision_id());
    vmcs.set(Field::VmcsLinkPointer, NO_VMCS);
    let (mut unknown, mut absent) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        match Field::from_name(name) {
            Some(field) => {
                vmcs.set(field, value);
                if !supported.contains(field) {
                    absent.push(field);
                }
            }
            None => unknown.push(name.into()),
        }
    }
    let ia32e_mode = vmcs.exit().contains(crate::controls::VmExitControls::HOST_ADDRESS_SPACE_SIZE);
    let now = EntryMoment { ia32e_mode, ..EntryMoment::default() };
    Report { findings: lint(&vmcs, caps, cpu, &now), unknown, absent }
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

    #[test]
    fn lint_of_an_empty_dump_names_many_rules_and_the_unknown_field() {
        let dump = [("Guest CR0", 0x31), ("no such thing", 1), ("PML index", 2)];
        let report = lint_dump(dump, &VmxCapabilities::CORE_I5_M520, &ProcessorFacts::CORE_I5_M520);
        assert_eq!(report.unknown, ["no such thing"]);
        assert_eq!(report.absent, [Field::PmlIndex]);
        let ids: Vec<_> = report.findings.iter().map(|f| f.rule.id).collect();
        assert!(ids.contains(&"ctl.pin.reserved") && ids.contains(&"host.cs.null") && ids.contains(&"guest.cr0.fixed"));
        let cr0 = report.findings.iter().find(|f| f.rule.id == "guest.cr0.fixed").unwrap();
        assert!(cr0.text.contains("Guest CR0 = 31h") && cr0.text.contains("must be 1: 80000000h"), "{}", cr0.text);
    }
}
