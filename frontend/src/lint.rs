//! `vmcs-lint`: every VM-entry check that a VMCS dump fails.

use crate::error::InputError;
use crate::files;
use crate::models;
use emu_vmx::dump::{self, DumpError};
use emu_vmx::lint::{self, Report};
use std::fmt::Write;
use std::path::Path;

/// Most bytes of a dump; a VMCS has fewer than 200 fields.
pub const MAX_DUMP: u64 = 1 << 20;

/// Exit status when a check fails.
const FAILED: i32 = 1;

/// Checks the dump in `file` against the capabilities of a CPU model: the report, and the exit status (0: VM entry
/// would not fail).
pub fn run(model: &str, file: &Path) -> Result<(String, i32), InputError> {
    let cpu = models::find("--cpu-model", model)?;
    let Some(vmx) = cpu.vmx() else {
        let problem = format!("the CPU model {:?} has no VMX", cpu.name());
        return Err(InputError::new("--cpu-model", problem).remedy("give a model with VMX (see cpu-models)"));
    };
    let text = files::read_text(file, "VMCS dump", MAX_DUMP)?;
    let fields = dump::parse(&text).map_err(|error| bad_dump(file, &error))?;
    if fields.is_empty() {
        return Err(
            InputError::file(file, "the dump has no fields").remedy("give lines of field = value, or a JSON object")
        );
    }
    let fields = fields.iter().map(|(name, value)| (name.as_str(), *value));
    Ok(describe(&lint::lint_dump(fields, &vmx.caps, &vmx.facts), cpu.name()))
}

fn bad_dump(file: &Path, error: &DumpError) -> InputError {
    let line = match error {
        DumpError::NoValue { line, .. } | DumpError::BadValue { line, .. } | DumpError::Json { line, .. } => *line,
    };
    let text = error.to_string();
    let problem = text.split_once(": ").map_or(text.as_str(), |(_, problem)| problem);
    InputError::file(file, problem).line(line)
}

fn describe(report: &Report, model: &str) -> (String, i32) {
    let mut out = String::new();
    // Writing to a string does not fail.
    for name in &report.unknown {
        let _ = writeln!(out, "no field of a VMCS is called {name:?}: ignored");
    }
    for field in &report.absent {
        let _ = writeln!(
            out,
            "{} ({:04X}h) does not exist on model {model}: VMREAD and VMWRITE fail",
            field.name(),
            field.encoding()
        );
    }
    for finding in &report.findings {
        let _ = writeln!(out, "{}", finding.text);
    }
    let status = match report.findings.len() {
        0 => {
            let _ = writeln!(out, "VM entry on model {model} passes every check that a dump can show");
            0
        }
        count => {
            let _ = writeln!(out, "{count} of the checks of VM entry on model {model} fail; the first decides");
            FAILED
        }
    };
    (out, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(model: &str, dump: &str) -> (String, i32) {
        let cpu = models::find("test", model).unwrap();
        let vmx = cpu.vmx().unwrap();
        let fields = dump::parse(dump).unwrap();
        describe(&lint::lint_dump(fields.iter().map(|(n, v)| (n.as_str(), *v)), &vmx.caps, &vmx.facts), cpu.name())
    }

    #[test]
    fn lint_of_an_empty_vmcs_names_rule_section_and_what_was_found() {
        let (text, status) = report("max", "Guest CR0 = 31\nno such field = 1");
        assert_eq!(status, FAILED);
        assert!(text.contains("no field of a VMCS is called \"no such field\""), "{text}");
        assert!(text.contains("guest.cr0.fixed (SDM Vol. 3C 27.3.1.1") && text.contains("Guest CR0 = 31h"), "{text}");
    }

    #[test]
    fn lint_of_a_field_that_the_model_lacks_says_so() {
        let (text, _) = report("corei5_arrandale_m520", "PML index = 5");
        assert!(text.contains("PML index (0812h) does not exist on model corei5_arrandale_m520"), "{text}");
    }

    #[test]
    fn lint_error_in_the_dump_has_file_and_line() {
        let error = dump::parse("Guest CR0 = 1\nGuest CR3").unwrap_err();
        let line = bad_dump(Path::new("d.txt"), &error).to_string();
        assert!(line.starts_with("d.txt:2: \"Guest CR3\" has no"), "{line}");
    }

    #[test]
    fn lint_of_a_missing_file_or_model_is_an_input_error() {
        assert!(run("max", Path::new("/nonexistent/dump")).is_err());
        assert!(run("z80", Path::new("/nonexistent/dump")).is_err());
    }
}
