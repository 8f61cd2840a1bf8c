//! `cpu-models`: what the CPU models report.

use crate::error::InputError;
use emu_core::model::{CpuModel, ModelError};
use emu_core::msr;
use std::fmt::Write;

/// A model by name; `place` is what to blame for a wrong name.
pub fn find(place: &str, name: &str) -> Result<CpuModel, InputError> {
    CpuModel::named(name).map_err(|error| match &error {
        ModelError::Unknown { known, .. } => {
            InputError::new(place, format!("no CPU model is called {name:?}")).remedy(format!("give one of {known}"))
        }
        ModelError::Invalid { .. } => InputError::new(place, error.to_string()),
    })
}

/// The list of models.
pub fn list() -> Result<String, InputError> {
    let width = CpuModel::names().map(str::len).max().unwrap_or(0);
    CpuModel::names().try_fold(String::new(), |out, name| {
        let model = find("cpu-models", name)?;
        Ok(out + &format!("{name:width$}  {}\n", model.description()))
    })
}

/// One model: CPUID leaves (before what depends on the processor and its state is filled in) and MSRs after power-on.
pub fn show(name: &str) -> Result<String, InputError> {
    let model = find("cpu-models", name)?;
    let mut out =
        format!("{}: {}\n\nCPUID             EAX      EBX      ECX      EDX\n", model.name(), model.description());
    for ((leaf, subleaf), r) in model.leaves() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{leaf:08X}.{subleaf:<4X} {:08X} {:08X} {:08X} {:08X}", r.eax, r.ebx, r.ecx, r.edx);
    }
    out.push_str("\nMSR      name                            after power-on\n");
    for (number, row) in msr::of_model(&model) {
        let value = match row.reset_value(&model, number) {
            Some(value) => format!("{:08X}:{:08X}", value >> 32, value & 0xffff_ffff),
            None => "-".to_owned(),
        };
        let _ = writeln!(out, "{number:<8X} {:31} {value}", row.name_of(number));
    }
    if model.vmx().is_none() {
        out.push_str("no VMX\n");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_list_names_every_model_on_its_line() {
        let list = list().unwrap();
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
}
