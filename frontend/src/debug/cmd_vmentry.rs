//! `vmentry` and `vmexit`: rule by rule, register by register.

use super::answer::{Answer, hex};
use super::entry::{self, Judged, Step};
use super::session::{CommandError, Outcome, Session};
use super::vmxlog::Failed;
use super::watcher::first_word;
use emu_core::observe::EntryOutcome;
use emu_vmx::arch::efer::Efer;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{BasicFailure, CheckContext, EntryMoment, Stage, basic_checks};
use emu_vmx::vmcs::{LaunchState, Vmcs};
use serde_json::{Value, json};
use std::fmt::Write;

const USAGE: &str = "vmentry [rules|failing|step|why|reset]";

/// How far a stepped VM entry or VM exit is.
#[derive(Debug, Default)]
pub struct Walk {
    steps: Vec<Step>,
    next: usize,
    /// Processor, its cycle: the walk belongs to this moment.
    moment: (usize, u64),
}

/// The VM entry that would happen now.
struct Candidate<'a> {
    address: u64,
    vmcs: &'a Vmcs,
    caps: &'a VmxCapabilities,
    facts: &'a ProcessorFacts,
    moment: EntryMoment,
    /// The instruction, if the processor stands at one.
    instruction: Option<&'static str>,
    resume: bool,
    mov_ss: bool,
}

fn candidate(session: &Session) -> Result<Candidate<'_>, CommandError> {
    let pc = session.target.pc();
    let cpu = pc.cpus.get(session.cpu).ok_or("there is no such processor")?;
    if cpu.vmx.non_root.is_some() {
        return Err("the processor is in VMX non-root operation; b vmentry stops at the next VM entry".into());
    }
    let vmcs = cpu.vmx.current().ok_or("this processor has no current VMCS")?;
    let vmx = super::scope::model(cpu).vmx().ok_or("this processor has no VMX")?;
    let text = session.present_instruction(session.cpu).map(|found| first_word(&found.1.text));
    let instruction = match text.as_deref() {
        Some("vmlaunch") => Some("VMLAUNCH"),
        Some("vmresume") => Some("VMRESUME"),
        _ => None,
    };
    let resume = instruction.map_or(vmcs.launch_state == LaunchState::Launched, |name| name == "VMRESUME");
    let ia32e = cpu.sys.efer.contains(Efer::LMA);
    let moment = entry::moment(vmcs, cpu.vmx.current, ia32e, (&vmx.caps, &vmx.facts), &pc.ram);
    let mov_ss = cpu.sys.shadow == emu_core::state::system::Shadow::MovSs;
    Ok(Candidate {
        address: cpu.vmx.current,
        vmcs,
        caps: &vmx.caps,
        facts: &vmx.facts,
        moment,
        instruction,
        resume,
        mov_ss,
    })
}

impl Candidate<'_> {
    fn judged(&self) -> Vec<Judged> {
        entry::judge(&CheckContext::new(self.vmcs, self.caps, self.facts, &self.moment))
    }

    fn head(&self) -> String {
        match self.instruction {
            Some(name) => format!("{name} of the VMCS {:#x}", self.address),
            None => format!(
                "the processor is not at VMLAUNCH or VMRESUME; a VM entry with the VMCS {:#x} now",
                self.address
            ),
        }
    }

    /// The checks before any field is looked at.
    fn basic(&self) -> Step {
        let verdict = basic_checks(Some(self.vmcs), self.resume, self.mov_ss);
        let state = if self.vmcs.launch_state == LaunchState::Launched { "launched" } else { "clear" };
        let after = match verdict {
            Ok(()) => format!("launch state {state}, no blocking by MOV SS"),
            Err(BasicFailure::VmFailInvalid) => "VMfailInvalid: the current VMCS is a shadow VMCS".to_owned(),
            Err(BasicFailure::VmFailValid(error)) => format!("VMfailValid {}: {}", error.number(), error.text()),
        };
        Step {
            section: "27.1 Basic VM-Entry Checks".to_owned(),
            what: "current VMCS and launch state".to_owned(),
            before: String::new(),
            after,
            ok: verdict.is_ok(),
        }
    }
}

fn rule_step(judged: &Judged) -> Step {
    let rule = judged.rule;
    let detail = if judged.detail.is_empty() { String::new() } else { format!(" ({})", judged.detail) };
    Step {
        section: format!("{} {}", rule.section.number, rule.section.title),
        what: format!("{}: {}", rule.id, rule.required),
        before: String::new(),
        after: format!("{}{detail}", judged.found),
        ok: judged.holds,
    }
}

/// `vmentry …`.
pub fn vmentry(session: &mut Session, arguments: &str) -> Outcome {
    match arguments {
        "" | "failing" => rules(session, false),
        "rules" | "all" => rules(session, true),
        "step" | "s" => step_entry(session),
        "why" => why(session),
        "reset" => {
            session.entry_walk = Walk::default();
            Ok(Answer::silent())
        }
        other => Err(CommandError::Usage(format!("{other:?} is not known"), USAGE)),
    }
}

/// Every rule, or those that fail.
fn rules(session: &Session, all: bool) -> Outcome {
    let candidate = candidate(session)?;
    let judged = candidate.judged();
    let mut text = candidate.head() + "\n";
    let basic = candidate.basic();
    let _ = writeln!(text, "{} {}: {}", if basic.ok { "ok  " } else { "FAIL" }, basic.section, basic.after);
    let mut section = "";
    let mut list = Vec::new();
    for each in judged.iter().filter(|each| all || !each.holds) {
        if each.rule.section.number != section {
            section = each.rule.section.number;
            let _ = writeln!(text, "{section} {}", each.rule.section.title);
        }
        let step = rule_step(each);
        let verdict = if each.holds { "ok  " } else { "FAIL" };
        let _ = writeln!(text, "  {verdict} {}\n         {}", step.what, step.after);
        list.push(json!({
            "rule": each.rule.id, "section": each.rule.section.number, "title": each.rule.section.title,
            "required": each.rule.required, "found": each.found, "detail": each.detail, "holds": each.holds,
        }));
    }
    let failing = judged.iter().filter(|each| !each.holds).count();
    let _ = match judged.iter().find(|each| !each.holds) {
        None => writeln!(text, "all {} rules hold", judged.len()),
        Some(first) => {
            let outcome = first.rule.failure().words();
            writeln!(text, "{failing} of {} rules fail; {} comes first: {outcome}", judged.len(), first.rule.id)
        }
    };
    let json = json!({ "vmcs": hex(candidate.address), "at": candidate.instruction, "basic": basic.ok, "rules": list, "failing": failing });
    Ok(Answer::new(text, json))
}

fn entry_steps(session: &Session) -> Result<Vec<Step>, CommandError> {
    let candidate = candidate(session)?;
    if candidate.instruction.is_none() {
        return Err("the processor is not at VMLAUNCH or VMRESUME; b vmentry stops there".into());
    }
    let mut steps = vec![candidate.basic()];
    if !steps[0].ok {
        return Ok(steps);
    }
    for judged in candidate.judged() {
        let step = rule_step(&judged);
        let ok = step.ok;
        steps.push(step);
        if !ok {
            let outcome = judged.rule.failure().words();
            steps.push(Step {
                section: "27 VM Entries".to_owned(),
                what: "the VM entry fails".to_owned(),
                before: String::new(),
                after: outcome,
                ok: false,
            });
            return Ok(steps);
        }
    }
    let pc = session.target.pc();
    let Some(cpu) = pc.cpus.get(session.cpu) else { return Ok(steps) };
    for step in entry::loads(cpu, &pc.ram, candidate.vmcs, &candidate.moment) {
        let ok = step.ok;
        steps.push(step);
        if !ok {
            break;
        }
    }
    Ok(steps)
}

fn moment_of(session: &Session) -> (usize, u64) {
    (session.cpu, session.target.pc().cpus.get(session.cpu).map_or(0, |cpu| cpu.cycles))
}

fn step_entry(session: &mut Session) -> Outcome {
    if session.entry_walk.steps.is_empty() || session.entry_walk.moment != moment_of(session) {
        let steps = entry_steps(session)?;
        session.entry_walk = Walk { steps, next: 0, moment: moment_of(session) };
    }
    Ok(next_step(&mut session.entry_walk, "the VM entry is complete; s executes it"))
}

fn next_step(walk: &mut Walk, end: &str) -> Answer {
    let total = walk.steps.len();
    let Some(step) = walk.steps.get(walk.next) else {
        return Answer::new(end, json!({ "step": total, "steps": total, "end": true }));
    };
    walk.next += 1;
    let n = walk.next;
    let verdict = if step.ok { "ok" } else { "FAIL" };
    let change = match step.before.as_str() {
        "" => step.after.clone(),
        before if before == step.after => format!("{before}, as before"),
        before => format!("{before} -> {}", step.after),
    };
    let text = format!("[{n}/{total}] {}\n  {verdict} {}\n     {change}", step.section, step.what);
    let json = json!({
        "step": n, "steps": total, "section": step.section, "what": step.what, "before": step.before,
        "after": step.after, "ok": step.ok,
    });
    Answer::new(text, json)
}

/// `vmexit [step|reset]`.
pub fn vmexit(session: &mut Session, arguments: &str) -> Outcome {
    let processor = session.cpu as u32;
    let steps = |session: &Session| -> Result<Vec<Step>, CommandError> {
        let exited = session.watcher.vmx.exited.get(&processor);
        let exited = exited.ok_or("this processor had no VM exit while the debugger watched")?;
        Ok(entry::exit_steps(&exited.entered.vmcs, &exited.vmcs, exited.entered.host_cr0))
    };
    match arguments {
        "" => {
            let cycle = session.watcher.vmx.exited.get(&processor).map_or(0, |exited| exited.cycle);
            let (mut text, mut section, mut list) = (format!("VM exit at cycle {cycle}\n"), String::new(), Vec::new());
            for step in steps(session)? {
                if step.section != section {
                    section.clone_from(&step.section);
                    let _ = writeln!(text, "{section}");
                }
                let _ = writeln!(text, "  {}: {} -> {}", step.what, step.before, step.after);
                list.push(
                    json!({ "section": step.section, "what": step.what, "before": step.before, "after": step.after }),
                );
            }
            Ok(Answer::new(text, json!({ "steps": list })))
        }
        "step" | "s" => {
            let moment = moment_of(session);
            if session.exit_walk.steps.is_empty() || session.exit_walk.moment != moment {
                session.exit_walk = Walk { steps: steps(session)?, next: 0, moment };
            }
            Ok(next_step(&mut session.exit_walk, "the VM exit is complete; the VMM runs"))
        }
        "reset" => {
            session.exit_walk = Walk::default();
            Ok(Answer::silent())
        }
        other => Err(CommandError::Usage(format!("{other:?} is not known"), "vmexit [step|reset]")),
    }
}

/// `vmentry why`.
fn why(session: &Session) -> Outcome {
    let failed = session.watcher.vmx.failed.as_ref().ok_or("no VM entry has failed while the debugger watched")?;
    let Failed { processor, entry, vmcs, cycle, ia32e_mode } = failed;
    let name = if entry.resume { "VMRESUME" } else { "VMLAUNCH" };
    let label = super::watcher::label(&session.symbols, entry.rip);
    let mut text = format!(
        "{name} at {:#x}{label} on processor {processor}, cycle {cycle}, failed; current VMCS {:#x}\n",
        entry.rip, entry.vmcs
    );
    let mut json = json!({
        "instruction": name, "rip": hex(entry.rip), "processor": processor, "cycle": cycle, "vmcs": hex(entry.vmcs),
    });
    let sees = match &entry.outcome {
        EntryOutcome::Entered(_) => String::new(),
        EntryOutcome::Refused(BasicFailure::VmFailInvalid) => "VMfailInvalid: CF = 1".to_owned(),
        EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => {
            format!("VMfailValid: ZF = 1, VM-instruction error {} ({})", error.number(), error.text())
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
    };
    let _ = writeln!(text, "the VMM sees: {sees}");
    json["sees"] = Value::from(sees);
    match &entry.outcome {
        EntryOutcome::Refused(failure) => {
            let remedy = match failure {
                BasicFailure::VmFailInvalid => "VMPTRLD of a VMCS that is no shadow VMCS comes first",
                BasicFailure::VmFailValid(emu_vmx::vmcs::VmInstructionError::VmlaunchNonClear) => {
                    "after the first VM entry use VMRESUME, or VMCLEAR the VMCS"
                }
                BasicFailure::VmFailValid(emu_vmx::vmcs::VmInstructionError::VmresumeNonLaunched) => {
                    "the first VM entry after VMCLEAR is VMLAUNCH"
                }
                BasicFailure::VmFailValid(_) => "let an instruction stand between MOV SS and the VM entry",
            };
            let _ = writeln!(text, "remedy: {remedy}");
            json["remedy"] = Value::from(remedy);
            return Ok(Answer::new(text, json));
        }
        EntryOutcome::MsrLoading(n) => {
            if let Some(vmcs) = vmcs {
                msr_failure(session, vmcs, *n, &mut text, &mut json);
            }
        }
        _ => {}
    }
    let pc = session.target.pc();
    let model = pc.cpus.get(*processor as usize).and_then(|cpu| super::scope::model(cpu).vmx());
    if let (Some(vmcs), Some(vmx)) = (vmcs, model) {
        let moment = entry::moment(vmcs, entry.vmcs, *ia32e_mode, (&vmx.caps, &vmx.facts), &pc.ram);
        let context = CheckContext::new(vmcs, &vmx.caps, &vmx.facts, &moment);
        let failing: Vec<Judged> = entry::judge(&context).into_iter().filter(|judged| !judged.holds).collect();
        let list: Vec<Value> = failing.iter().map(judged_json).collect();
        json["failing"] = Value::Array(list);
        for (n, judged) in failing.iter().enumerate() {
            if n == 0 {
                text.push_str("the rule that decides:\n");
            } else if n == 1 {
                let _ = writeln!(text, "also failing ({} more):", failing.len() - 1);
            }
            describe(judged, &mut text);
        }
    }
    Ok(Answer::new(text, json))
}

fn judged_json(judged: &Judged) -> Value {
    json!({
        "rule": judged.rule.id, "section": judged.rule.section.number, "title": judged.rule.section.title,
        "required": judged.rule.required, "found": judged.found, "detail": judged.detail,
        "remedy": entry::remedy(judged),
        "alone": judged.rule.failure().words(),
    })
}

fn describe(judged: &Judged, text: &mut String) {
    let rule = judged.rule;
    let _ = writeln!(text, "  {} (SDM Vol. 3C {} \"{}\")", rule.id, rule.section.number, rule.section.title);
    let _ = writeln!(text, "    required: {}", rule.required);
    let _ = writeln!(text, "    found:    {}", judged.found);
    if !judged.detail.is_empty() {
        let _ = writeln!(text, "    differs:  {}", judged.detail);
    }
    let _ = writeln!(text, "    remedy:   {}", entry::remedy(judged));
}

/// The entry of the MSR-load area that could not be loaded.
fn msr_failure(session: &Session, vmcs: &Vmcs, n: u32, text: &mut String, json: &mut Value) {
    use emu_vmx::entry::{MsrList, MsrListError, check_msr_load};
    use emu_vmx::field::Field;
    let area =
        MsrList { address: vmcs.get(Field::VmEntryMsrLoadAddress), count: vmcs.get32(Field::VmEntryMsrLoadCount) };
    let at = area.entry(n.saturating_sub(1));
    let ram = &session.target.pc().ram;
    let (Some(first), Some(value)) =
        (super::scope::physical(ram, at, 8), super::scope::physical(ram, at.wrapping_add(8), 8))
    else {
        return;
    };
    let name = super::breakpoints::msr_words(first as u32);
    let reason = match check_msr_load(first, false) {
        Err(MsrListError::Reserved) => "bits 63:32 of the entry are reserved and not 0; clear them",
        Err(MsrListError::Forbidden) => {
            "this MSR may not be in the list; load it through its VMCS field, or with WRMSR"
        }
        Ok(_) => "WRMSR of this value would raise #GP; correct the value, or take the entry out",
    };
    let _ = writeln!(text, "entry {n} at {at:#x}: {name} = {value:#x}\n  {reason}");
    json["msr"] = json!({ "entry": n, "address": hex(at), "name": name, "value": hex(value), "reason": reason });
}
