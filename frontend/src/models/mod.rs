//! The CPU models: by name with features taken away or added, from a file of one's own, from a dump of a machine; and
//! `cpu-models`, which shows them.

mod dump;
mod show;

use crate::config::ron::words;
use crate::error::{InputError, did_you_mean};
use crate::files;
use emu_core::model::{CpuModel, ModelError};
use emu_vmx::dump::names::shown;
use std::path::{Path, PathBuf};

/// A model's file, as messages about one have it.
const KIND: words::Kind =
    words::Kind { see: "docs/cpu-models.md, or rvmx-emu cpu-models --import for a whole one", form: |_| None };

/// The longest model or dump, bytes.
const MAX_FILE: u64 = 4 << 20;

/// `cpu-models`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArgs {
    /// The model to show: a name, with features taken away or added (haswell,-vpid), or a file
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Show what differs between two models
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "name")]
    pub diff: Option<Vec<String>>,
    /// Write the model of a dump (cpuid -r and rdmsr, or InstLatx64's) in RON, to be edited and given to --cpu-model
    #[arg(long, value_name = "DUMP", conflicts_with_all = ["name", "diff", "json"])]
    pub import: Option<PathBuf>,
}

/// What `cpu-models` prints.
pub fn run(args: &ModelArgs) -> Result<String, InputError> {
    if let Some(path) = &args.import {
        return Ok(from_file(path)?.to_ron());
    }
    if let Some([a, b]) = args.diff.as_deref() {
        return Ok(show::differences(&find("--diff", a)?, &find("--diff", b)?, args.json));
    }
    match &args.name {
        Some(name) if args.json => Ok(show::json(&find("cpu-models", name)?)),
        Some(name) => show(name),
        None => list(args.json),
    }
}

/// Whether a model's name is that of a file.
pub fn is_file(spec: &str) -> bool {
    let base = base(spec);
    !CpuModel::names().any(|name| name == base) && (base.contains(['/', '.']) || Path::new(base).is_file())
}

/// What stands before the changes.
fn base(spec: &str) -> &str {
    spec.split_once(',').map_or(spec, |parts| parts.0).trim()
}

/// A model by name or file, with its changes; `place` is what to blame for a wrong one.
pub fn find(place: &str, spec: &str) -> Result<CpuModel, InputError> {
    let base = base(spec);
    let model =
        if is_file(spec) { from_file(Path::new(base))? } else { CpuModel::named(base).map_err(|e| blame(place, e))? };
    match spec.split_once(',') {
        None => Ok(model),
        Some((_, changes)) => model.with(changes).map_err(|error| blame(place, error)),
    }
}

fn blame(place: &str, error: ModelError) -> InputError {
    match error {
        ModelError::Unknown { name, known } => {
            let near = did_you_mean(&name, CpuModel::names());
            InputError::new(place, format!("no CPU model is called {:?}", shown(&name)))
                .remedy(format!("give one of {known}{near}"))
        }
        ModelError::Invalid { place: field, what } => InputError::new(place, what).field(field),
        // Only a file has text that may be wrong.
        ModelError::Syntax(error) => InputError::new(place, error.to_string()),
        ModelError::UnknownFeature { name, nearest } => {
            InputError::new(place, format!("no feature or VMX control is called {:?}", shown(&name)))
                .remedy(format!("the nearest name is {nearest}; cpu-models max lists all"))
        }
        error @ ModelError::NoName { .. } => InputError::new(place, error.to_string()).remedy("leave it out"),
        ModelError::Refused { feature, reason } => InputError::new(place, reason).field(feature),
    }
}

/// The model in a file: RON, or a dump.
fn from_file(path: &Path) -> Result<CpuModel, InputError> {
    let text = files::read_text(path, "CPU model", MAX_FILE)?;
    let ron = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ron"));
    if !ron {
        return dump::model(path, &text);
    }
    CpuModel::parse(&text).map_err(|error| match &error {
        ModelError::Syntax(error) => words::error(path, &text, error, KIND),
        ModelError::Invalid { place, what } => InputError::file(path, what.clone()).field(place.clone()),
        _ => InputError::file(path, error.to_string()),
    })
}

/// The list of models.
pub fn list(json: bool) -> Result<String, InputError> {
    let models: Vec<CpuModel> = CpuModel::names().map(|name| find("cpu-models", name)).collect::<Result<_, _>>()?;
    if json {
        let line = |model: &CpuModel| serde_json::json!({ "name": model.name(), "description": model.description() });
        return Ok(serde_json::Value::from(models.iter().map(line).collect::<Vec<_>>()).to_string() + "\n");
    }
    let width = models.iter().map(|model| model.name().len()).max().unwrap_or(0);
    Ok(models.iter().map(|model| format!("{:width$}  {}\n", model.name(), model.description())).collect())
}

/// One model: features and controls in words, CPUID leaves (before what depends on the processor and its state is filled
/// in) and MSRs after power-on.
pub fn show(name: &str) -> Result<String, InputError> {
    Ok(show::text(&find("cpu-models", name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_list_names_every_model_on_its_line() {
        let list = list(false).unwrap();
        assert!(CpuModel::names().all(|name| list.lines().any(|line| line.starts_with(name))), "{list}");
    }

    #[test]
    fn model_shown_has_its_leaves_and_capabilities() {
        let text = show("corei5_arrandale_m520").unwrap();
        assert!(text.contains("00000000.0    0000000B 756E6547 6C65746E 49656E69"), "{text}");
        assert!(text.contains("\n480      IA32_VMX_BASIC                  00D81000:0000002B\n"), "{text}");
        let error = show("z80").unwrap_err().to_string();
        assert!(error.starts_with("cpu-models: no CPU model is called \"z80\"; give one of "), "{error}");
    }

    #[test]
    fn model_with_a_wrong_change_is_refused_with_the_reason() {
        for (spec, message) in [
            (
                "haswell,-vpdi",
                "--cpu-model: no feature or VMX control is called \"vpdi\"; the nearest name is vpid; cpu-models max lists all",
            ),
            ("haswell,vpid", "--cpu-model: vpid: write +vpid or -vpid"),
            ("haswell,vpid=off", "--cpu-model: vpid: it is there or not; write +vpid or -vpid"),
            ("haswell,+vpid=on", "--cpu-model: vpid: it is there or not; write +vpid or -vpid"),
            (
                "haswell,phys-bits",
                "--cpu-model: phys-bits: it takes the width of physical addresses; write phys-bits=40",
            ),
            (
                "haswell,+phys_bits=40",
                "--cpu-model: phys-bits: it takes the width of physical addresses; write phys-bits=40",
            ),
            ("haswell,-,+pcid", "--cpu-model: a name is missing behind a sign; leave it out"),
            ("haswell,,+pcid", "--cpu-model: a name is missing before or behind a comma; leave it out"),
            (
                "haswell,-apic",
                "--cpu-model: apic: it cannot be taken away: the board reaches the processors through it",
            ),
            ("haswell,+sgx", "--cpu-model: sgx: software guard extensions is not implemented"),
            (
                "penryn,+ept_ad",
                "--cpu-model: ept_ad: accessed and dirty flags of EPT needs ept, which the model lacks; add +ept",
            ),
            (
                "haswell,-ept,+pml",
                "--cpu-model: pml: Enable PML needs ept_ad, which goes with ept, which is taken away",
            ),
            (
                "haswell,-ept,+ept_ad",
                "--cpu-model: ept_ad: accessed and dirty flags of EPT needs ept, which is taken away",
            ),
            ("haswell,-ept,+ept", "--cpu-model: ept: it is both added and taken away"),
            ("haswell,phys-bits=53", "--cpu-model: phys-bits: \"53\" is no width of physical addresses; give 32 to 52"),
            ("haswell,phys-bits=", "--cpu-model: phys-bits: \"\" is no width of physical addresses; give 32 to 52"),
            ("haswell,phys-bits=36,phys-bits=40", "--cpu-model: phys-bits: it is given twice"),
        ] {
            assert_eq!(
                find("--cpu-model", spec).map(|model| model.name().to_owned()).map_err(|e| e.to_string()),
                Err(message.to_owned())
            );
        }
    }
}
