//! All that is wrong with a VMCS at once: for `vmcs-lint` and the debugger, and the table of rules as a document.

use crate::arch::Cr3;
use crate::caps::{ProcessorFacts, VmxCapabilities};
use crate::checks::{self, CheckContext, EntryMoment, Failure, Rule, Stage};
use crate::controls::{PrimaryProcessorControls, SecondaryProcessorControls, VmEntryControls, VmExitControls};
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
    /// Required, found, remedy.
    pub text: String,
    /// The fields that it reads, with their values in words.
    pub found: String,
    /// What makes the rule hold.
    pub remedy: String,
}

/// A failure that the head of a dump tells and its fields do not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// As it is told: `VMfailValid 5 (VMRESUME with non-launched VMCS)`.
    pub failure: String,
    /// Where the SDM says it, and what helps.
    pub words: String,
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
    /// What the head tells and the fields do not show.
    pub told: Option<Told>,
    /// What VM entry looks at and no dump shows.
    pub unseen: Vec<String>,
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
    checks::failing(&context).into_iter().map(|rule| finding(rule, &context, &|_| true)).collect()
}

fn finding(rule: &'static Rule, context: &CheckContext, known: &dyn Fn(Field) -> bool) -> Finding {
    Finding {
        rule,
        text: rule.explain_of(context, known),
        found: rule.found(context),
        remedy: rule.remedy_of(context, known),
    }
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
    let unseen = contexts.first().map_or_else(Vec::new, |context| unseen(dump, &unused, context));
    let mut report = Report { findings: Vec::new(), open: Vec::new(), absent, told: None, unseen };
    for rule in checks::all_rules() {
        let fields: Vec<Field> = rule.fields.iter().copied().filter(missing).collect();
        let holds = contexts.iter().filter(|context| (rule.holds)(context)).count();
        match contexts.first() {
            _ if holds == contexts.len() => {}
            Some(context) if holds == 0 && fields.is_empty() => {
                report.findings.push(finding(rule, context, &|field| !missing(&field)));
            }
            _ => report.open.push(Open { rule, fields }),
        }
    }
    report.told = told(dump, report.findings.first().map(|finding| finding.rule), cpu);
    report
}

/// How the VM entry went, as the head of one of our own dumps tells.
fn head(dump: &Dump) -> Option<&str> {
    if dump.title.ends_with(": entered") {
        return Some("entered");
    }
    let at = [": VMfail", ": VM exit "].iter().filter_map(|mark| dump.title.find(mark)).min()?;
    dump.title.get(at + 2..)
}

/// The rule that an outcome in a head names, with its place in the order of checking.
fn head_rule(outcome: &str) -> Option<(usize, &'static Rule)> {
    let (_, id) = outcome.rsplit_once(' ')?;
    checks::all_rules().enumerate().find(|(_, rule)| rule.id == id)
}

/// How many rules the head shows to have been checked, in their order; `None` without a head. The basic checks come
/// before them all.
fn decided(dump: &Dump) -> Option<usize> {
    let outcome = head(dump)?;
    if outcome == "entered" || outcome.starts_with("VM exit 34 ") {
        return Some(usize::MAX);
    }
    Some(head_rule(outcome).map_or(0, |(place, _)| place + 1))
}

/// The failure that the head of one of our own dumps tells, unless `first`, the rule that decides, is behind it.
fn told(dump: &Dump, first: Option<&Rule>, cpu: &ProcessorFacts) -> Option<Told> {
    let failure = head(dump).filter(|outcome| *outcome != "entered")?;
    if first.is_some_and(|rule| failure.starts_with(&rule.failure().words())) {
        return None;
    }
    Some(Told { failure: failure.into(), words: told_words(dump, failure, cpu) })
}

fn told_words(dump: &Dump, failure: &str, cpu: &ProcessorFacts) -> String {
    const BASIC: &str = "SDM Vol. 3C 27.1 \"Basic VM-Entry Checks\"";
    if failure.starts_with("VMfailInvalid") {
        return format!("{BASIC}: VMPTRLD of a VMCS that is no shadow VMCS comes before the VM entry");
    }
    let basic = [
        ("VMfailValid 4 ", "after the first VM entry use VMRESUME, or VMCLEAR the VMCS and VMPTRLD it again"),
        ("VMfailValid 5 ", "the first VM entry after VMCLEAR is VMLAUNCH"),
        ("VMfailValid 26 ", "an instruction has to stand between MOV SS or POP SS and the VM entry"),
    ];
    if let Some((_, remedy)) = basic.iter().find(|known| failure.starts_with(known.0)) {
        return format!("{BASIC}: {remedy}");
    }
    if failure.starts_with("VM exit 34 ") {
        let number = failure.rsplit_once("entry ").and_then(|found| found.1.trim().parse::<u64>().ok()).unwrap_or(1);
        let area = dump.get(Field::VmEntryMsrLoadAddress);
        let at = area.map(|area| area.saturating_add(16 * number.saturating_sub(1)));
        let at = at.map_or_else(String::new, |at| format!(" at {at:X}h"));
        return format!(
            "SDM Vol. 3C 27.4 \"Loading MSRs\": look at entry {number} of the VM-entry MSR-load area{at}, which is in memory. \
             Its bits 63:32 must be 0, its MSR (bits 31:0) none of C0000100h, C0000101h, 79h and 800h to 8FFh, and WRMSR of \
             its value (bits 127:64) must not fault"
        );
    }
    let Some((_, rule)) = head_rule(failure) else { return String::new() };
    let remedy = outside(dump, rule, cpu).map_or_else(String::new, |remedy| format!(". Remedy: {remedy}"));
    format!("SDM Vol. 3C {} \"{}\": requires that {}{remedy}", rule.section.number, rule.section.title, rule.required)
}

/// What helps where a rule looks at memory, which no dump has.
fn outside(dump: &Dump, rule: &Rule, cpu: &ProcessorFacts) -> Option<String> {
    let pdpte = PDPTES.iter().position(|id| *id == rule.id);
    if let Some(number) = pdpte {
        let table = dump.get(Field::GuestCr3).map(|cr3| Cr3(cr3).pdpt_base_pae() + 8 * number as u64);
        let at = table.map_or_else(String::new, |at| format!(" at {at:X}h"));
        let width = cpu.maxphyaddr;
        return Some(format!(
            "look at PDPTE{number}{at}, which is in memory. Clear its bits 63:{width}, 8:5 and 2:1, or bit 0 (“Present”)"
        ));
    }
    let none = "or write FFFFFFFFFFFFFFFFh to VMCS link pointer";
    let link = || dump.get(Field::VmcsLinkPointer).map_or_else(String::new, |link| format!(" at {link:X}h"));
    match rule.id {
        "guest.link.revision" => {
            Some(format!("write the revision identifier to bits 30:0 of the dword{}, which is in memory; {none}", link()))
        }
        "guest.link.shadow" => Some(format!(
            "make bit 31 of the dword{}, which is in memory, equal to bit 14 (“VMCS shadowing”) of Secondary \
             processor-based VM-execution controls; {none}",
            link()
        )),
        "ctl.tpr_threshold.vtpr" => Some(
            "write a TPR threshold that is not above bits 7:4 of VTPR, byte 80h of the virtual-APIC page, or raise VTPR".into(),
        ),
        _ => None,
    }
}

/// The rules of the PDPTEs in memory.
const PDPTES: [&str; 4] = ["guest.pdpte0.memory", "guest.pdpte1.memory", "guest.pdpte2.memory", "guest.pdpte3.memory"];

/// What VM entry looks at and a dump does not show, if this VMCS makes it look and the head does not tell how it went.
/// What hangs on fields that are not given is open, and not listed.
fn unseen(dump: &Dump, unused: &BTreeSet<Field>, context: &CheckContext) -> Vec<String> {
    let decided = decided(dump);
    let open = |id: &str| {
        let place = checks::all_rules().position(|rule| rule.id == id).unwrap_or(usize::MAX);
        decided.is_none_or(|decided| decided <= place)
    };
    let known = |fields: &[Field]| fields.iter().all(|field| dump.get(*field).is_some() || unused.contains(field));
    let at = |field: Field, offset: u64| match dump.get(field) {
        Some(address) => format!("at {:X}h", address.wrapping_add(offset)),
        None => format!("whose address is not given ({})", field.name()),
    };
    let mut unseen = Vec::new();
    let (link, count) =
        (dump.get(Field::VmcsLinkPointer), dump.get(Field::VmEntryMsrLoadCount).filter(|&count| count > 0));
    if let Some(count) = count.filter(|_| decided != Some(usize::MAX)) {
        let (s, area) = (if count == 1 { "y" } else { "ies" }, at(Field::VmEntryMsrLoadAddress, 0));
        unseen.push(format!("{count} entr{s} of the VM-entry MSR-load area {area} (VM exit 34)"));
    }
    let paging = [
        Field::GuestCr0,
        Field::GuestCr4,
        Field::VmEntryControls,
        Field::PrimaryProcessorControls,
        Field::SecondaryProcessorControls,
    ];
    if known(&paging)
        && context.pae_paging_guest()
        && !context.secondary.contains(SecondaryProcessorControls::ENABLE_EPT)
        && open(PDPTES[0])
    {
        let place = match dump.get(Field::GuestCr3) {
            Some(cr3) => format!("guest CR3 = {cr3:X}h"),
            None => "guest CR3, which is not given".into(),
        };
        unseen.push(format!("the four PDPTEs at {place}"));
    }
    if let Some(link) = link.filter(|&link| link != NO_VMCS && open("guest.link.revision")) {
        unseen.push(format!("revision identifier and shadow-VMCS indicator of the VMCS at {link:X}h"));
    }
    if known(&[Field::PrimaryProcessorControls, Field::SecondaryProcessorControls])
        && context.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW)
        && !context.secondary.intersects(
            SecondaryProcessorControls::VIRTUAL_INTERRUPT_DELIVERY
                | SecondaryProcessorControls::VIRTUALIZE_APIC_ACCESSES,
        )
        && open("ctl.tpr_threshold.vtpr")
    {
        unseen.push(match dump.get(Field::VirtualApicAddress) {
            Some(_) => format!("VTPR, the byte {}", at(Field::VirtualApicAddress, 0x80)),
            None => format!("VTPR, byte 80h of the page {}", at(Field::VirtualApicAddress, 0)),
        });
    }
    if context.entry.contains(VmEntryControls::LOAD_IA32_RTIT_CTL) && open("ctl.entry.pt_enabled") {
        unseen.push("whether IA32_RTIT_CTL.TraceEn is 1".into());
    }
    if decided.is_none() {
        unseen.push("current VMCS, launch state and blocking by MOV SS (27.1 \"Basic VM-Entry Checks\")".into());
    }
    unseen
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
    fn lint_tells_what_the_head_says_and_what_no_dump_shows() {
        let head = "*** VMCS: VMRESUME at RIP 0x9133, processor 0, cycle 1: ";
        let own = report(&format!("{head}VMfailValid 5 (VMRESUME with non-launched VMCS) ***\nGuest CR0 = 31"));
        let told = own.told.unwrap();
        assert_eq!(told.failure, "VMfailValid 5 (VMRESUME with non-launched VMCS)");
        assert!(told.words.contains("27.1") && told.words.contains("is VMLAUNCH"), "{}", told.words);
        let area = "VM-entry MSR-load count = 2\nVM-entry MSR-load address = 31000\n";
        let own = report(&format!("{head}VM exit 34 (VM-entry failure due to MSR loading), entry 2 ***\n{area}"));
        assert!(own.told.unwrap().words.contains("entry 2 of the VM-entry MSR-load area at 31010h"));
        let own = report(area);
        assert!(own.unseen[0].starts_with("2 entries of the VM-entry MSR-load area at 31000h"), "{:?}", own.unseen);
        // What the fields show needs no head.
        let own = report(&format!(
            "{head}VMfailValid 7 (VM entry with invalid control field(s)): ctl.pin.reserved ***\n\
             Pin-based VM-execution controls = 0"
        ));
        assert_eq!((own.told, own.findings[0].rule.id), (None, "ctl.pin.reserved"));
        assert_eq!(report(&format!("{head}entered ***\nGuest CR0 = 31")).told, None);
    }

    #[test]
    fn what_no_dump_shows_is_not_told_with_values_that_are_not_given() {
        let controls =
            "Pin-based VM-execution controls = 16\nPrimary processor-based VM-execution controls = 0421E172\n";
        let basic = "current VMCS, launch state and blocking by MOV SS (27.1 \"Basic VM-Entry Checks\")";
        let vtpr = "VTPR, byte 80h of the page whose address is not given (Virtual-APIC address)";
        assert_eq!(report(controls).unseen, [vtpr, basic]);
        let given = report(&format!("{controls}Virtual-APIC address = 1000\n"));
        assert_eq!(given.unseen, ["VTPR, the byte at 1080h", basic]);
        let area = "1 entry of the VM-entry MSR-load area whose address is not given (VM-entry MSR-load address)";
        assert_eq!(report("VM-entry MSR-load count = 1\n").unseen, [&format!("{area} (VM exit 34)"), basic]);
        let pae = "Primary processor-based VM-execution controls = 0401E172\nVM-entry controls = 11FF\n\
            Guest CR0 = 80000031\nGuest CR4 = 2020\n";
        assert_eq!(report(pae).unseen, ["the four PDPTEs at guest CR3, which is not given", basic]);
        // Whether there is EPT is not known: the controls are open, and nothing hangs on their being 0.
        let open = report(&pae.replace("0401E172", "8401E172"));
        assert!(open.unseen == [basic] && open.missing().contains(&Field::SecondaryProcessorControls));
    }

    #[test]
    fn what_the_head_has_told_is_not_among_what_no_dump_shows() {
        let fields = "Primary processor-based VM-execution controls = 0401E172\nVM-entry controls = 11FF\n\
            Guest CR0 = 80000031\nGuest CR4 = 2020\nGuest CR3 = 30000\nVMCS link pointer = 21000\n\
            VM-entry MSR-load count = 1\nVM-entry MSR-load address = 31000\n";
        let own = |outcome: &str| report(&format!("*** VMCS: VMLAUNCH at RIP 0x1, cycle 1: {outcome} ***\n{fields}"));
        let (pdptes, link, msrs) = ("the four PDPTEs", "revision identifier", "1 entry of the VM-entry MSR-load");
        let invalid = "VM exit 33 (VM-entry failure due to invalid guest state), qualification";
        for (outcome, unseen) in [
            ("VMfailValid 5 (VMRESUME with non-launched VMCS)".into(), &[msrs, pdptes, link][..]),
            ("VMfailValid 7 (VM entry with invalid control field(s)): ctl.pin.reserved".into(), &[msrs, pdptes, link]),
            (format!("{invalid} 0: guest.cr4.fixed"), &[msrs, pdptes, link]),
            (format!("{invalid} 2 (PDPTE loading): guest.pdpte1.memory"), &[msrs]),
            ("VM exit 34 (VM-entry failure due to MSR loading), entry 1".into(), &[]),
            ("entered".into(), &[]),
        ] {
            let found = own(&outcome).unseen;
            let same =
                found.len() == unseen.len() && found.iter().zip(unseen).all(|(found, part)| found.contains(part));
            assert!(same, "{outcome}: {found:?}");
        }
        let words = own(&format!("{invalid} 2 (PDPTE loading): guest.pdpte1.memory")).told.unwrap().words;
        assert!(
            words.contains("Remedy: look at PDPTE1 at 30008h, which is in memory. Clear its bits 63:40, 8:5"),
            "{words}"
        );
    }

    /// The rules whose outcome hangs on what no dump has are those that a remedy can be told for.
    #[test]
    fn every_rule_about_memory_that_a_head_may_tell_has_a_remedy() {
        let dump = Dump::default();
        for id in PDPTES.iter().chain(&["guest.link.revision", "guest.link.shadow", "ctl.tpr_threshold.vtpr"]) {
            let (_, rule) = head_rule(&format!("x: {id}")).unwrap();
            assert!(outside(&dump, rule, &ProcessorFacts::CORE_I5_M520).is_some(), "{id}");
        }
        assert!(head_rule("x: ctl.entry.pt_enabled").is_some());
    }

    #[test]
    fn lint_names_no_value_for_what_is_not_given() {
        let report = report("VM-entry interruption-information field = 80000020\nGuest RFLAGS = 2");
        let finding = report.findings.iter().find(|finding| finding.rule.id == "guest.rflags.if").unwrap();
        let window = "set bit 2 (“Interrupt-window exiting”) of Primary processor-based VM-execution controls";
        assert!(finding.remedy.contains(window), "{}", finding.remedy);
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
