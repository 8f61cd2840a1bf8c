//! `vmcs-lint`: every VM-entry check that a VMCS dump fails.

use crate::caps_file;
use crate::error::InputError;
use crate::files;
use crate::models;
use emu_vmx::caps::{ProcessorFacts, VmxCapabilities};
use emu_vmx::checks::{Failure, Stage};
use emu_vmx::dump::{self, Dump};
use emu_vmx::lint::{self, Report};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;
use std::path::Path;

/// Most bytes of a dump: a kernel's log may be long.
pub const MAX_DUMP: u64 = 64 << 20;

/// Exit status when a check fails.
const FAILED: i32 = 1;

/// Fields that are named when they are missing.
const NAMED: usize = 8;

/// What the command line asks.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// CPU model; without it the default one, or with `caps` the one that has most.
    pub model: Option<&'a str>,
    /// Capability MSRs of another processor.
    pub caps: Option<&'a Path>,
    /// The dump; `-` is standard input.
    pub dump: &'a Path,
    /// The report is JSON.
    pub json: bool,
}

/// The processor against which dumps are checked.
struct Processor {
    name: String,
    caps: VmxCapabilities,
    facts: ProcessorFacts,
}

/// Checks the dumps: the report, and the exit status (0: no VM entry would fail).
pub fn run(request: Request) -> Result<(String, i32), InputError> {
    let processor = processor(request)?;
    let (place, text) = read(request.dump)?;
    let dumps = dump::parse(&text).map_err(|error| InputError::file(&place, error.to_string()).line(error.line()))?;
    if dumps.is_empty() {
        return Err(InputError::file(&place, "the dump has no fields")
            .remedy("give lines of field = value, a JSON object, or what a kernel logs of a VMCS"));
    }
    let reports: Vec<(Dump, Report)> = dumps
        .into_iter()
        .map(|dump| {
            let report = lint::lint_dump(&dump, &processor.caps, &processor.facts);
            (dump, report)
        })
        .collect();
    let fails = reports.iter().any(|(_, report)| fails(report));
    let text = if request.json {
        let list: Vec<Value> = reports.iter().map(|(dump, report)| describe_json(dump, report)).collect();
        json!({ "processor": processor.name, "dumps": list }).to_string() + "\n"
    } else {
        let several = reports.len() > 1;
        reports
            .iter()
            .map(|(dump, report)| describe(dump, report, &processor.name, several))
            .collect::<Vec<_>>()
            .join("\n")
    };
    Ok((text, if fails { FAILED } else { 0 }))
}

fn processor(request: Request) -> Result<Processor, InputError> {
    let default = if request.caps.is_some() { "max" } else { crate::config::DEFAULT_CPU_MODEL };
    let cpu = models::find("--cpu-model", request.model.unwrap_or(default))?;
    let Some(vmx) = cpu.vmx() else {
        let problem = format!("the CPU model {:?} has no VMX", cpu.name());
        return Err(InputError::new("--cpu-model", problem).remedy("give a model with VMX (see cpu-models)"));
    };
    let Some(path) = request.caps else {
        return Ok(Processor { name: format!("model {}", cpu.name()), caps: vmx.caps, facts: vmx.facts });
    };
    let text = files::read_text(path, "capability MSRs", MAX_DUMP)?;
    let own = caps_file::parse(path, &text)?;
    let facts = ProcessorFacts { maxphyaddr: own.maxphyaddr.unwrap_or(vmx.facts.maxphyaddr), ..vmx.facts };
    Ok(Processor { name: format!("the processor of {}", path.display()), caps: own.caps, facts })
}

/// The text of a dump, and what it is called in messages.
fn read(path: &Path) -> Result<(std::path::PathBuf, String), InputError> {
    let (place, bytes) = if path == Path::new("-") {
        let (place, mut bytes) = (Path::new("standard input"), Vec::new());
        let read = std::io::stdin().take(MAX_DUMP + 1).read_to_end(&mut bytes);
        if read.map_err(|error| InputError::io(place, "read the dump", &error))? as u64 > MAX_DUMP {
            let problem = format!("more than {MAX_DUMP} bytes are no VMCS dump");
            return Err(InputError::file(place, problem).remedy("cut the part with the VMCS out"));
        }
        (place, bytes)
    } else {
        (path, files::read(path, "VMCS dump", MAX_DUMP)?)
    };
    if bytes.starts_with(b"\x7FELF") || bytes.iter().take(4096).filter(|byte| **byte == 0).count() > 8 {
        return Err(InputError::file(place, "it is no text")
            .remedy("give a VMCS as text: field = value, a JSON object, or what a kernel logs of it"));
    }
    // Logs may hold anything besides.
    Ok((place.to_owned(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the VM entry fails, as the fields show or the head tells.
fn fails(report: &Report) -> bool {
    !report.findings.is_empty() || report.told.is_some()
}

/// What becomes of the VM entry.
fn outcome(report: &Report) -> String {
    if let (None, Some(told)) = (report.outcome(), &report.told) {
        let failure = told.failure.replace("VM exit ", "exit reason ");
        return format!("this entry fails with {failure}, as the head of the dump tells");
    }
    match report.outcome() {
        None if report.open.is_empty() && report.unseen.is_empty() => {
            "this entry passes every check, as the dump and its head tell".to_owned()
        }
        None if report.open.is_empty() => "this entry passes every check that a dump can show".to_owned(),
        None => "nothing that the dump gives makes this entry fail".to_owned(),
        Some(failure @ Failure::VmFailValid(_)) => format!("this entry fails with {}", failure.words()),
        Some(Failure::InvalidGuestState { .. }) => {
            let words = report.outcome().map_or_else(String::new, Failure::words);
            format!("this entry fails with exit reason {}", words.trim_start_matches("VM exit "))
        }
    }
}

fn describe(dump: &Dump, report: &Report, processor: &str, several: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    if several {
        let _ = writeln!(out, "{}:", if dump.title.is_empty() { "without a title" } else { &dump.title });
    }
    let _ = writeln!(out, "{} ({processor})", outcome(report));
    if let Some(told) = &report.told {
        if !report.findings.is_empty() {
            let _ = writeln!(out, "the head of the dump tells otherwise: {}", told.failure);
        }
        if !told.words.is_empty() {
            let _ = writeln!(out, "  {}", told.words);
        }
    }
    for finding in &report.findings {
        let _ = writeln!(out, "  {}", finding.text);
    }
    let count = report.findings.len();
    if count > 1 {
        let _ = writeln!(out, "{count} checks fail; the first decides");
    }
    if !report.open.is_empty() {
        let missing = report.missing();
        let mut names: Vec<&str> = missing.iter().take(NAMED).map(|field| field.name()).collect();
        let more = missing.len().saturating_sub(NAMED);
        let more_text = format!("{more} more fields");
        if more > 0 {
            names.push(&more_text);
        }
        let first = report.findings.first().map(|finding| finding.rule);
        let stages = |stage: Stage| first.is_some_and(|first| stage < first.stage);
        let before = report.open.iter().filter(|open| stages(open.rule.stage)).count();
        let _ = writeln!(out, "{} checks cannot be made without: {}", report.open.len(), names.join(", "));
        if before > 0 {
            let _ = writeln!(out, "{before} of them come first: if one of them fails, it decides");
        }
    }
    for field in &report.absent {
        let (name, encoding) = (field.name(), field.encoding());
        let _ = writeln!(out, "{name} ({encoding:04X}h) does not exist on {processor}: VMREAD and VMWRITE fail");
    }
    if !report.unseen.is_empty() {
        let _ = writeln!(out, "no dump shows: {}", report.unseen.join("; "));
    }
    out
}

fn describe_json(dump: &Dump, report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let rule = finding.rule;
            json!({
                "rule": rule.id, "section": rule.section.number, "title": rule.section.title,
                "required": rule.required, "found": finding.found, "remedy": finding.remedy, "text": finding.text,
                "alone": rule.failure().words(),
            })
        })
        .collect();
    let open: Vec<Value> = report
        .open
        .iter()
        .map(|open| {
            let fields: Vec<&str> = open.fields.iter().map(|field| field.name()).collect();
            json!({ "rule": open.rule.id, "not_given": fields })
        })
        .collect();
    let absent: Vec<&str> = report.absent.iter().map(|field| field.name()).collect();
    let told = report.told.as_ref().map(|told| json!({ "failure": told.failure, "words": told.words }));
    json!({
        "title": dump.title, "fails": fails(report), "outcome": outcome(report), "failing": findings,
        "open": open, "absent_fields": absent, "told": told, "not_shown": report.unseen,
    })
}
