//! `vmentry why` and `vmentry failures`: VM entries that have failed, and why.

use super::answer::{Answer, Table, hex};
use super::entry::Judged;
use super::msr_list::{self, Judge};
use super::remedy::{self, Case, Tried};
use super::session::{CommandError, Outcome, Session};
use super::vmxlog::Failed;
use emu_core::observe::EntryOutcome;
use emu_vmx::checks::{BasicFailure, Stage};
use emu_vmx::entry::MsrList;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, VmInstructionError, Vmcs};
use serde_json::{Value, json};
use std::fmt::Write;

/// A VMCS's address, or that there is none.
pub fn address_words(address: u64) -> String {
    if address == NO_VMCS { "none".to_owned() } else { format!("{address:#x}") }
}

fn instruction(failed: &Failed) -> &'static str {
    if failed.entry.resume { "VMRESUME" } else { "VMLAUNCH" }
}

/// What the VMM gets to see.
fn sees(outcome: &EntryOutcome) -> String {
    match outcome {
        EntryOutcome::Entered(_) => String::new(),
        EntryOutcome::Refused(BasicFailure::VmFailInvalid) => "VMfailInvalid: CF = 1".to_owned(),
        EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => {
            format!("ZF = 1, {}", emu_vmx::words::vmfail(Some(*error)))
        }
        EntryOutcome::Failed(id) => match emu_vmx::checks::all_rules().find(|rule| rule.id == *id) {
            Some(rule) if rule.stage == Stage::GuestState => rule.failure().words(),
            Some(rule) => format!("ZF = 1, {}", rule.failure().words()),
            None => format!("the rule {id} fails"),
        },
        EntryOutcome::MsrLoading(n) => {
            format!(
                "VM exit 34 (VM-entry failure due to MSR loading), qualification {n}: that entry of the VM-entry MSR-load area"
            )
        }
    }
}

/// `vmentry failures`: those up to the present moment.
pub fn failures(session: &Session) -> Answer {
    let moment = session.clocks();
    let mut table =
        Table::new(&["failure", "cycle", "cpu", "instruction", "RIP", "VMCS", "what failed", "the VMM sees"]);
    let mut list = Vec::new();
    for (n, failed) in session.watcher.vmx.failures(&moment) {
        let what = match &failed.entry.outcome {
            EntryOutcome::Failed(id) => (*id).to_owned(),
            EntryOutcome::MsrLoading(n) => format!("MSR-load entry {n}"),
            EntryOutcome::Refused(_) | EntryOutcome::Entered(_) => "27.1 Basic VM-Entry Checks".to_owned(),
        };
        let sees = sees(&failed.entry.outcome);
        table.row([
            n.to_string(),
            failed.cycle.to_string(),
            failed.processor.to_string(),
            instruction(failed).to_owned(),
            format!("{:#x}", failed.entry.rip),
            address_words(failed.entry.vmcs),
            what.clone(),
            sees.clone(),
        ]);
        list.push(json!({
            "failure": n, "cycle": failed.cycle, "processor": failed.processor, "instruction": instruction(failed),
            "rip": hex(failed.entry.rip), "vmcs": hex(failed.entry.vmcs), "what": what, "sees": sees,
        }));
    }
    let text = if table.is_empty() { none(session) + "\n" } else { table.text() };
    Answer::new(text, json!({ "failures": list }))
}

/// That no VM entry has failed.
fn none(session: &Session) -> String {
    match session.watcher.vmx.failures(&vec![u64::MAX; session.clocks().len()]).count() {
        0 => "no VM entry has failed while the debugger watched; b vmentry failed stops at one".to_owned(),
        later => format!("no VM entry had failed before this moment; {later} did later, which c comes to again"),
    }
}

/// `vmentry why [N]`.
pub fn why(session: &Session, number: Option<u64>) -> Outcome {
    let moment = session.clocks();
    let mut failures = session.watcher.vmx.failures(&moment);
    let failed = match number {
        None => failures.next_back(),
        Some(number) => failures.find(|failure| failure.0 == number),
    };
    let failed = match (failed, number) {
        (Some((_, failed)), _) => failed,
        (None, Some(number)) => {
            return Err(CommandError::Other(format!("there is no failure {number}; vmentry failures lists them")));
        }
        (None, None) => return Err(CommandError::Other(none(session))),
    };
    let Failed { processor, entry, vmcs, cycle, .. } = failed;
    let name = instruction(failed);
    let label = super::watcher::label(&session.symbols, entry.rip);
    let current = address_words(entry.vmcs);
    let mut text = format!(
        "{name} at {:#x}{label} on processor {processor}, cycle {cycle}, failed; current VMCS {current}\n",
        entry.rip
    );
    let mut json = json!({
        "instruction": name, "rip": hex(entry.rip), "processor": processor, "cycle": cycle, "vmcs": hex(entry.vmcs),
    });
    let sees = sees(&entry.outcome);
    let _ = writeln!(text, "the VMM sees: {sees}");
    json["sees"] = Value::from(sees);
    match &entry.outcome {
        EntryOutcome::Refused(failure) => {
            basic(*failure, vmcs.as_ref(), entry.resume, &mut text, &mut json);
            return Ok(Answer::new(text, json));
        }
        EntryOutcome::MsrLoading(n) => {
            if let Some(vmcs) = vmcs {
                msr_failure(session, *processor, vmcs, *n, &mut text, &mut json);
            }
        }
        _ => {}
    }
    let pc = session.target.pc();
    let model = pc.cpus.get(*processor as usize).and_then(|cpu| super::scope::model(cpu).vmx());
    if let (Some(vmcs), Some(vmx)) = (vmcs, model) {
        let case = Case {
            vmcs,
            address: entry.vmcs,
            ia32e_mode: failed.ia32e_mode,
            processor: (&vmx.caps, &vmx.facts),
            ram: &pc.ram,
        };
        let failing: Vec<Judged> = case.judged().into_iter().filter(|judged| !judged.holds).collect();
        let mut list = Vec::new();
        for (n, judged) in failing.iter().enumerate() {
            if n == 0 {
                text.push_str("the rule that decides:\n");
            } else if n == 1 {
                let _ = writeln!(text, "also failing ({} more):", failing.len() - 1);
            }
            let tried = remedy::tried(&case, judged.rule);
            let remedy = case.with(vmcs, |context| judged.rule.remedy(context));
            describe(judged, &remedy, tried.as_ref(), &mut text);
            list.push(judged_json(judged, &remedy, tried.as_ref()));
        }
        json["failing"] = Value::Array(list);
    }
    Ok(Answer::new(text, json))
}

fn judged_json(judged: &Judged, remedy: &str, tried: Option<&Tried>) -> Value {
    json!({
        "rule": judged.rule.id, "section": judged.rule.section.number, "title": judged.rule.section.title,
        "required": judged.rule.required, "found": judged.found, "detail": judged.detail,
        "remedy": remedy,
        "try": tried.map(|tried| json!({
            "commands": tried.commands,
            "failing": tried.failing,
        })),
        "alone": judged.rule.failure().words(),
    })
}

fn describe(judged: &Judged, remedy: &str, tried: Option<&Tried>, text: &mut String) {
    let rule = judged.rule;
    let _ = writeln!(text, "  {} (SDM Vol. 3C {} \"{}\")", rule.id, rule.section.number, rule.section.title);
    let _ = writeln!(text, "    required: {}", rule.required);
    let _ = writeln!(text, "    found:    {}", judged.found);
    if !judged.detail.is_empty() {
        let _ = writeln!(text, "    differs:  {}", judged.detail);
    }
    let _ = writeln!(text, "    remedy:   {remedy}");
    if let Some(tried) = tried {
        let _ = writeln!(text, "    try:      {}", remedy::command(tried));
    }
}

/// A VM entry that was refused before any field was looked at.
fn basic(failure: BasicFailure, vmcs: Option<&Vmcs>, resume: bool, text: &mut String, json: &mut Value) {
    use VmInstructionError as Error;
    let (required, found, remedy) = match failure {
        BasicFailure::VmFailInvalid if vmcs.is_some() => (
            "the current VMCS is no shadow VMCS",
            "the current VMCS is a shadow VMCS: bit 31 of its first word is 1",
            "let VMPTRLD make another VMCS the current one; a shadow VMCS is for the VMCS link pointer alone",
        ),
        BasicFailure::VmFailInvalid => (
            "there is a current VMCS",
            "the current-VMCS pointer is FFFFFFFF_FFFFFFFFh: there was no VMPTRLD, or VMCLEAR has ended it",
            "let VMPTRLD stand before the VM entry, behind VMCLEAR",
        ),
        BasicFailure::VmFailValid(Error::VmlaunchNonClear) => (
            "the launch state of the current VMCS is clear for VMLAUNCH",
            "it is launched",
            "after the first VM entry use VMRESUME, or VMCLEAR it and VMPTRLD it again",
        ),
        BasicFailure::VmFailValid(Error::VmresumeNonLaunched) => (
            "the launch state of the current VMCS is launched for VMRESUME",
            "it is clear",
            "the first VM entry after VMCLEAR is VMLAUNCH",
        ),
        BasicFailure::VmFailValid(_) => (
            "events are not blocked by MOV SS",
            if resume { "VMRESUME stands behind MOV SS or POP SS" } else { "VMLAUNCH stands behind MOV SS or POP SS" },
            "let an instruction stand between MOV SS and the VM entry",
        ),
    };
    text.push_str("what decides:\n  SDM Vol. 3C 27.1 \"Basic VM-Entry Checks\"\n");
    let _ = writeln!(text, "    required: {required}\n    found:    {found}\n    remedy:   {remedy}");
    json["section"] = Value::from("27.1");
    json["required"] = Value::from(required);
    json["found"] = Value::from(found);
    json["remedy"] = Value::from(remedy);
}

/// The entry of the MSR-load area that could not be loaded.
fn msr_failure(session: &Session, processor: u32, vmcs: &Vmcs, n: u32, text: &mut String, json: &mut Value) {
    let area =
        MsrList { address: vmcs.get(Field::VmEntryMsrLoadAddress), count: vmcs.get32(Field::VmEntryMsrLoadCount) };
    let pc = session.target.pc();
    let Some(cpu) = pc.cpus.get(processor as usize) else { return };
    let mut judge = Judge::new(cpu, vmcs);
    text.push_str("what decides:\n  SDM Vol. 3C 27.4 \"Loading MSRs\"\n");
    let Some((entry, refused)) =
        msr_list::read(&pc.ram, area).map(|entry| (entry, judge.next(&entry))).find(|found| found.0.number == n)
    else {
        return;
    };
    let (name, value) = (entry.name(), entry.value);
    let (why, remedy) = match refused {
        Some(refused) => (refused.why, refused.remedy),
        None => ("WRMSR of the value raised #GP".to_owned(), "correct the value, or take the entry out".to_owned()),
    };
    let _ = writeln!(
        text,
        "    required: WRMSR at CPL 0 takes every entry, and none is of an MSR that the list may not have"
    );
    let _ = writeln!(
        text,
        "    found:    entry {n} at {:#x}, {name} = {value:#x}: {why}\n    remedy:   {remedy}",
        entry.at
    );
    json["msr"] = json!({
        "entry": n, "address": hex(entry.at), "name": name, "value": hex(value), "reason": why, "remedy": remedy,
    });
}
