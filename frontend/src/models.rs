//! `cpu-models`: what the CPU models report.

use crate::error::InputError;
use emu_core::model::{CpuModel, ModelError};
use std::fmt::Write;

/// The VMX capability MSRs from 480h on (SDM Vol. 3D, "VMX Capability Reporting Facility").
const VMX_MSRS: [&str; 20] = [
    "IA32_VMX_BASIC",
    "IA32_VMX_PINBASED_CTLS",
    "IA32_VMX_PROCBASED_CTLS",
    "IA32_VMX_EXIT_CTLS",
    "IA32_VMX_ENTRY_CTLS",
    "IA32_VMX_MISC",
    "IA32_VMX_CR0_FIXED0",
    "IA32_VMX_CR0_FIXED1",
    "IA32_VMX_CR4_FIXED0",
    "IA32_VMX_CR4_FIXED1",
    "IA32_VMX_VMCS_ENUM",
    "IA32_VMX_PROCBASED_CTLS2",
    "IA32_VMX_EPT_VPID_CAP",
    "IA32_VMX_TRUE_PINBASED_CTLS",
    "IA32_VMX_TRUE_PROCBASED_CTLS",
    "IA32_VMX_TRUE_EXIT_CTLS",
    "IA32_VMX_TRUE_ENTRY_CTLS",
    "IA32_VMX_VMFUNC",
    "IA32_VMX_PROCBASED_CTLS3",
    "IA32_VMX_EXIT_CTLS2",
];

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

/// One model: CPUID leaves (before what depends on the processor and its state is filled in) and VMX capabilities.
pub fn show(name: &str) -> Result<String, InputError> {
    let model = find("cpu-models", name)?;
    let mut out =
        format!("{}: {}\n\nCPUID             EAX      EBX      ECX      EDX\n", model.name(), model.description());
    for ((leaf, subleaf), r) in model.leaves() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{leaf:08X}.{subleaf:<4X} {:08X} {:08X} {:08X} {:08X}", r.eax, r.ebx, r.ecx, r.edx);
    }
    out.push_str("\nVMX capability MSRs\n");
    if model.vmx_capabilities().is_empty() {
        out.push_str("none: the model offers no VMX\n");
    }
    for (index, value) in model.vmx_capabilities() {
        let name = index.checked_sub(0x480).and_then(|at| VMX_MSRS.get(at as usize)).copied().unwrap_or("");
        let _ = writeln!(out, "{index:03X} {name:28} {:08X}:{:08X}", value >> 32, value & 0xffff_ffff);
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
        assert!(text.contains("480 IA32_VMX_BASIC"), "{text}");
        let error = show("z80").unwrap_err().to_string();
        assert!(error.starts_with("cpu-models: no CPU model is called \"z80\"; give one of "), "{error}");
    }
}
