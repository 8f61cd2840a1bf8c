//! `vmentry`: the checks of VM entry rule by rule, what is loaded register by register.

use super::answer::{Answer, hex};
use super::cmd_why;
use super::entry::{self, Judged, Step};
use super::session::{CommandError, Outcome, Session};
use super::watcher::first_word;
use emu_vmx::arch::efer::Efer;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{BasicFailure, CheckContext, EntryMoment, basic_checks};
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{LaunchState, Vmcs};
use serde_json::{Value, json};
use std::fmt::Write;

const USAGE: &str = "vmentry [rules|failing|step [N|load]|failures|why [N]|reset]";
/// Steps that are printed at once at most.
const MOST_STEPS: usize = 1000;

/// How far a stepped VM entry or VM exit is.
#[derive(Debug, Default)]
pub struct Walk {
    steps: Vec<Step>,
    next: usize,
    /// What is said behind the last step.
    end: String,
    /// Processor, its cycle: the walk belongs to this moment.
    moment: (usize, u64),
}

impl Walk {
    /// At the first step.
    pub fn new(steps: Vec<Step>, end: String, moment: (usize, u64)) -> Self {
        Self { steps, next: 0, end, moment }
    }

    /// Whether it is under way at this moment.
    pub fn belongs_to(&self, moment: (usize, u64)) -> bool {
        !self.steps.is_empty() && self.moment == moment
    }
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
            Err(BasicFailure::VmFailValid(error)) => emu_vmx::words::vmfail(Some(error)),
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
    let words: Vec<&str> = arguments.split_whitespace().collect();
    match words[..] {
        [] | ["failing"] => rules(session, false),
        ["rules" | "all"] => rules(session, true),
        ["step" | "s", ref how @ ..] => step_entry(session, how),
        ["failures"] => Ok(cmd_why::failures(session)),
        ["why"] => cmd_why::why(session, None),
        ["why", number] => {
            let number = session.value(number)?;
            cmd_why::why(session, Some(number))
        }
        ["reset"] => {
            session.entry_walk = Walk::default();
            Ok(Answer::silent())
        }
        _ => Err(CommandError::Usage(format!("{arguments:?} is not known"), USAGE)),
    }
}

/// What becomes of the VM-entry MSR-load area: whether all can be loaded, and in words.
fn loading(session: &Session, vmcs: &Vmcs) -> (Option<u32>, String) {
    let pc = session.target.pc();
    let refused = pc.cpus.get(session.cpu).and_then(|cpu| entry::first_refused(cpu, &pc.ram, vmcs));
    match (refused, vmcs.get(Field::VmEntryMsrLoadCount)) {
        (Some((entry, refused)), _) => {
            let words = format!("entry {} at {:#x}, {} = {:x}", entry.number, entry.at, entry.name(), entry.value);
            (Some(entry.number), format!("{words}: {}; {}", refused.why, refused.remedy))
        }
        (None, 0) => (None, "the list is empty".to_owned()),
        (None, 1) => (None, "1 entry can be loaded".to_owned()),
        (None, count) => (None, format!("{count} entries can be loaded")),
    }
}

fn msr_failure(number: u32) -> String {
    format!("{}, qualification {number}", emu_vmx::words::vm_exit(ExitReason::EntryFailureMsrLoading))
}

/// Every rule, or those that fail.
fn rules(session: &Session, all: bool) -> Outcome {
    let candidate = candidate(session)?;
    let judged = candidate.judged();
    let mark = |well: bool| if well { "ok  " } else { "FAIL" };
    let mut text = candidate.head() + "\n";
    let basic = candidate.basic();
    let _ = writeln!(text, "{} {}: {}", mark(basic.ok), basic.section, basic.after);
    let mut section = "";
    let mut list = Vec::new();
    let mut idle = 0;
    for each in judged.iter().filter(|each| all || !each.holds) {
        idle += usize::from(!each.applies);
        let verdict = if each.applies { mark(each.holds) } else { "n/a " };
        if each.rule.section.number != section {
            section = each.rule.section.number;
            let _ = writeln!(text, "{section} {}", each.rule.section.title);
        }
        let step = rule_step(each);
        let _ = writeln!(text, "  {verdict} {}\n         {}", step.what, step.after);
        list.push(json!({
            "rule": each.rule.id, "section": each.rule.section.number, "title": each.rule.section.title,
            "required": each.rule.required, "found": each.found, "detail": each.detail, "holds": each.holds,
            "applies": each.applies,
        }));
    }
    let failing = judged.iter().filter(|each| !each.holds).count();
    let (refused, words) = loading(session, candidate.vmcs);
    let _ = writeln!(text, "{} {}: {words}", mark(refused.is_none()), entry::MSRS);
    let count = judged.len();
    let verdict = match (judged.iter().find(|each| !each.holds), refused) {
        _ if !basic.ok => {
            let behind = if failing == 0 { "none".to_owned() } else { failing.to_string() };
            format!("the VM entry fails before the {count} rules, {behind} of which would fail: {}", basic.after)
        }
        (Some(first), _) => {
            let outcome = first.rule.failure().words();
            format!("{failing} of {count} rules fail; {} comes first: {outcome}", first.rule.id)
        }
        (None, Some(number)) => format!("all {count} rules hold; the VM entry fails: {}", msr_failure(number)),
        (None, None) => format!("all {count} rules hold"),
    };
    if idle != 0 {
        let _ = writeln!(text, "n/a: {idle} rules are about what these controls do not use");
    }
    text += &verdict;
    let json = json!({
        "vmcs": hex(candidate.address), "at": candidate.instruction, "basic": basic.ok, "rules": list,
        "failing": failing, "msrs": words, "msr_refused": refused, "verdict": verdict,
    });
    Ok(Answer::new(text, json))
}

/// The steps of the VM entry, and what is said behind them.
fn entry_steps(session: &Session) -> Result<(Vec<Step>, String), CommandError> {
    let candidate = candidate(session)?;
    if candidate.instruction.is_none() {
        return Err("the processor is not at VMLAUNCH or VMRESUME; b vmentry stops there".into());
    }
    let basic = candidate.basic();
    let fails = |outcome: &str| format!("the VM entry fails: {outcome}; s executes it");
    if !basic.ok {
        let end = fails(&basic.after);
        return Ok((vec![basic], end));
    }
    let mut steps = vec![basic];
    for judged in candidate.judged() {
        steps.push(rule_step(&judged));
        if !judged.holds {
            return Ok((steps, fails(&judged.rule.failure().words())));
        }
    }
    let pc = session.target.pc();
    if let Some(cpu) = pc.cpus.get(session.cpu) {
        steps.extend(entry::loads(cpu, &pc.ram, candidate.vmcs, &candidate.moment));
    }
    let end = match loading(session, candidate.vmcs).0 {
        Some(number) => {
            // What comes behind does not happen.
            let failed = steps.iter().position(|step| !step.ok).map_or(steps.len(), |at| at + 1);
            steps.truncate(failed);
            fails(&msr_failure(number))
        }
        None => "the VM entry is complete; s executes it".to_owned(),
    };
    Ok((steps, end))
}

/// The selected processor and its cycle.
pub fn moment_of(session: &Session) -> (usize, u64) {
    (session.cpu, session.target.pc().cpus.get(session.cpu).map_or(0, |cpu| cpu.cycles))
}

fn step_entry(session: &mut Session, how: &[&str]) -> Outcome {
    if !session.entry_walk.belongs_to(moment_of(session)) {
        let (steps, end) = entry_steps(session)?;
        session.entry_walk = Walk::new(steps, end, moment_of(session));
    }
    let loads = |step: &Step| !step.before.is_empty() || step.section.starts_with("27.3.2");
    next_steps(session, how, |session| &mut session.entry_walk, loads, USAGE)
}

/// `step`, `step N`, `step load`: the next steps of a walk; `loads` says which ones load something.
pub fn next_steps(
    session: &mut Session,
    how: &[&str],
    walk: impl Fn(&mut Session) -> &mut Walk,
    loads: impl Fn(&Step) -> bool,
    usage: &'static str,
) -> Outcome {
    let count = match how {
        [] => 1,
        ["load" | "loads"] => {
            let walk = walk(session);
            let first = walk.steps.iter().position(loads).unwrap_or(walk.steps.len());
            walk.next = first;
            1
        }
        [count] => {
            let count = session.value(count)?;
            let count = usize::try_from(count).ok().filter(|count| (1..=MOST_STEPS).contains(count));
            count.ok_or_else(|| format!("give 1 to {MOST_STEPS} steps"))?
        }
        _ => return Err(CommandError::Usage("one number of steps".to_owned(), usage)),
    };
    let walk = walk(session);
    let (mut text, mut list) = (String::new(), Vec::new());
    for _ in 0..count {
        let ended = walk.next >= walk.steps.len();
        let step = next_step(walk);
        text += &step.text;
        list.push(step.json);
        if ended {
            break;
        }
    }
    let json = if list.len() == 1 { list.remove(0) } else { json!({ "steps": Value::Array(list) }) };
    Ok(Answer::new(text, json))
}

fn next_step(walk: &mut Walk) -> Answer {
    let total = walk.steps.len();
    let Some(step) = walk.steps.get(walk.next) else {
        let json = json!({ "step": total, "steps": total, "end": true, "what": walk.end });
        return Answer::new(walk.end.clone(), json);
    };
    walk.next += 1;
    let n = walk.next;
    let verdict = if step.ok { "ok" } else { "FAIL" };
    let text = format!("[{n}/{total}] {}\n  {verdict} {}\n     {}", step.section, step.what, step.change());
    let json = json!({
        "step": n, "steps": total, "section": step.section, "what": step.what, "before": step.before,
        "after": step.after, "ok": step.ok,
    });
    Answer::new(text, json)
}
