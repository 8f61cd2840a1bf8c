//! What UEFI firmware needs of the machine that it is to start on, and what it cannot do.

use crate::config::{BootDevice, MachineConfig, Notice, Severity};
use crate::error::InputError;
use crate::models;
use emu_core::model::CpuModel;

/// Width of physical addresses where nothing else is asked for, as on QEMU's machines, for which the firmware is made. It
/// maps all that there can be, some of it page by page: at 46 bits that takes 256 MiB and 15 billion instructions.
const PHYSICAL_BITS: u8 = 40;
/// Most that it maps: one bit less than what 4-level paging translates.
const MOST_MAPPED: u8 = 47;
/// Least memory that it starts a program with, MiB.
const LEAST_MEMORY: u64 = 48;

/// Makes the machine one that UEFI firmware starts on; what a user should know of it. Without UEFI, nothing.
pub(super) fn suit(machine: &mut MachineConfig) -> Result<Vec<Notice>, InputError> {
    if machine.uefi.is_none() {
        return Ok(Vec::new());
    }
    let mut notices = Vec::new();
    let mut tell = |place: &str, text: String| {
        let (severity, place) = (Severity::Warning, place.to_owned());
        notices.push(Notice { severity, place, line: 0, text, missing_medium: false });
    };
    let bits = models::find("--cpu-model", &machine.cpu_model)?.physical_bits();
    let tables = 1 << (bits.clamp(38, MOST_MAPPED) - 38);
    if bits > PHYSICAL_BITS && !CpuModel::spec_has_physical_bits(&machine.cpu_model) {
        let changed = format!("{},phys-bits={PHYSICAL_BITS}", machine.cpu_model);
        tell(
            "--uefi",
            format!(
                "physical addresses have {PHYSICAL_BITS} bits instead of the model's {bits}, since UEFI firmware may map \
                 them all; {},phys-bits={bits} keeps them",
                machine.cpu_model
            ),
        );
        machine.cpu_model = changed;
    } else if bits > PHYSICAL_BITS {
        tell(
            "--cpu-model",
            format!(
                "with phys-bits={bits}, UEFI firmware that knows no pages of 1 GiB needs {tables} MiB for page tables and \
                 minutes to start; phys-bits={PHYSICAL_BITS} is what it expects"
            ),
        );
    }
    if machine.memory < LEAST_MEMORY {
        let text = format!(
            "UEFI firmware starts no program with {} MiB of memory; give {LEAST_MEMORY} or more",
            machine.memory
        );
        tell("--memory", text);
    }
    if machine.boot.first() == Some(&BootDevice::Floppy) && machine.has(BootDevice::Floppy) {
        let text = "UEFI firmware has no driver for floppy drives and takes the next in the boot order; boot the floppy \
                    without --uefi, or give its files with --fat DIR";
        tell("--boot", text.to_owned());
    }
    Ok(notices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Floppy;

    fn told(machine: &mut MachineConfig) -> Vec<String> {
        suit(machine).expect("a machine").iter().map(Notice::to_string).collect()
    }

    fn machine(cpu_model: &str) -> MachineConfig {
        MachineConfig { cpu_model: cpu_model.into(), uefi: Some(Default::default()), ..MachineConfig::default() }
    }

    #[test]
    fn every_model_has_a_width_under_uefi_that_the_firmware_can_map_and_says_where_it_is_another() {
        for name in CpuModel::names() {
            let real = CpuModel::named(name).expect("it is built in").physical_bits();
            let mut machine = machine(name);
            let told = told(&mut machine);
            let given = CpuModel::of_spec(&machine.cpu_model).expect("a model").physical_bits();
            assert_eq!(given, real.min(PHYSICAL_BITS), "{name}");
            assert_eq!(told.len(), usize::from(given != real), "{told:?}");
            assert!(
                told.iter().all(|text| text.contains(&format!("; {name},phys-bits={real} keeps them"))),
                "{told:?}"
            );
        }
    }

    #[test]
    fn width_that_was_asked_for_stays_with_a_word_about_what_it_costs() {
        let mut wide = machine("max,-la57,phys-bits=52");
        let told_wide = told(&mut wide);
        assert_eq!(wide.cpu_model, "max,-la57,phys-bits=52");
        assert!(told_wide[0].starts_with("--cpu-model: with phys-bits=52, ") && told_wide[0].contains("512 MiB"));
        assert!(told(&mut machine("max,phys-bits=39")).is_empty());
        let mut bios = MachineConfig { uefi: None, memory: 1, ..machine("max") };
        assert!(told(&mut bios).is_empty() && bios.cpu_model == "max");
    }

    #[test]
    fn too_little_memory_and_a_floppy_to_boot_from_are_told() {
        let mut small = MachineConfig { memory: 47, ..machine("haswell") };
        assert!(told(&mut small)[0].starts_with("--memory: UEFI firmware starts no program with 47 MiB"));
        let fda = Some(Floppy { kind: None, image: Some("f".into()), write_protected: false });
        let mut floppy = MachineConfig { fda, boot: vec![BootDevice::Floppy], ..machine("haswell") };
        assert!(told(&mut floppy)[0].starts_with("--boot: UEFI firmware has no driver for floppy drives"));
        floppy.boot = vec![BootDevice::Disk, BootDevice::Floppy];
        assert!(told(&mut floppy).is_empty());
    }
}
