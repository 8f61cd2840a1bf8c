//! `--vmcs-dump FILE[,all]`: every VMCS that failed to enter, or every one, as text that `vmcs-lint` takes.

use crate::background::BackgroundFile;
use crate::error::{InputError, unknown_word};
use emu_core::observe::{EntryOutcome, Observer, View, VmEntry, Watch};
use emu_vmx::arch::efer::Efer;
use emu_vmx::checks::{BasicFailure, all_rules};
use emu_vmx::dump;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::FieldSet;
use emu_vmx::words;
use std::path::PathBuf;
use std::str::FromStr;

/// Which VM entries are dumped, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmcsDumpSpec {
    /// The file.
    pub file: PathBuf,
    /// Those that succeed, too.
    pub all: bool,
}

impl FromStr for VmcsDumpSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, words) = text.split_once(',').unwrap_or((text, ""));
        let (file, mut all) = match file.strip_suffix("=all") {
            Some(file) => (file, true),
            None => (file, false),
        };
        if file.is_empty() {
            return Err("give a file, as in --vmcs-dump failed.txt or --vmcs-dump every.txt,all".to_owned());
        }
        for word in words.split(',').filter(|_| text.contains(',')) {
            match word {
                "all" if all => return Err("all stands there twice; give it once".to_owned()),
                "all" => all = true,
                word => return Err(unknown_word(word, "all", &["all"])),
            }
        }
        Ok(Self { file: file.into(), all })
    }
}

/// Writes the dumps.
pub struct VmcsDumper {
    all: bool,
    file: BackgroundFile,
}

impl VmcsDumper {
    /// Creates the file.
    pub fn create(spec: &VmcsDumpSpec) -> Result<Self, InputError> {
        Ok(Self { all: spec.all, file: BackgroundFile::create(&spec.file, "VMCS dump")? })
    }

    /// The file, to ask how it is.
    pub fn file(&mut self) -> &mut BackgroundFile {
        &mut self.file
    }
}

/// How a VM entry went, in words.
fn outcome(outcome: &EntryOutcome) -> String {
    match outcome {
        EntryOutcome::Entered(_) => "entered".to_owned(),
        EntryOutcome::Refused(BasicFailure::VmFailInvalid) => words::vmfail(None),
        EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => words::vmfail(Some(*error)),
        EntryOutcome::Failed(id) => match all_rules().find(|rule| rule.id == *id) {
            Some(rule) => format!("{}: {id}", rule.failure().words()),
            None => (*id).to_owned(),
        },
        EntryOutcome::MsrLoading(n) => format!("{}, entry {n}", words::vm_exit(ExitReason::EntryFailureMsrLoading)),
    }
}

impl Observer for VmcsDumper {
    fn watches(&self) -> Watch {
        Watch::VM_ENTRIES
    }

    fn vm_entry(&mut self, view: View, entry: &VmEntry) {
        let cpu = view.cpu;
        let entered = matches!(entry.outcome, EntryOutcome::Entered(_));
        let (Some(vmcs), Some(vmx)) = (cpu.vmx.active.get(&entry.vmcs), cpu.config.model.vmx()) else { return };
        if entered && !self.all {
            return;
        }
        let name = if entry.resume { "VMRESUME" } else { "VMLAUNCH" };
        let head = format!(
            "{name} at RIP {:#x}, processor {}, cycle {}: {}",
            entry.rip,
            cpu.sys.index,
            cpu.cycles,
            outcome(&entry.outcome)
        );
        // After a VM entry, EFER is the guest's; the VMM's is what the VM exit goes back to.
        let root = !entered && cpu.vmx.non_root.is_none();
        let ia32e_mode = root.then(|| cpu.sys.efer.contains(Efer::LMA));
        let text = dump::write(vmcs, &FieldSet::supported(&vmx.caps), &head, Some(entry.vmcs), ia32e_mode);
        self.file.write(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vmcs_dump_takes_a_file_and_all() {
        let spec = |text: &str| text.parse::<VmcsDumpSpec>();
        assert_eq!(spec("a=b.txt").unwrap(), VmcsDumpSpec { file: "a=b.txt".into(), all: false });
        for text in ["a.txt=all", "a.txt,all"] {
            assert_eq!(spec(text).unwrap(), VmcsDumpSpec { file: "a.txt".into(), all: true });
        }
        assert!(spec("").unwrap_err().contains("give a file"));
        assert_eq!(spec("a.txt,all,all").unwrap_err(), "all stands there twice; give it once");
        for text in ["=all", ",all", ","] {
            assert!(spec(text).unwrap_err().contains("give a file"), "{text}");
        }
        let told = |text| spec(text).unwrap_err();
        assert_eq!(
            told("F,foo"),
            "\"foo\" does not belong behind the file; give all; a file with a comma in its name cannot be given"
        );
        for text in ["F,ALL", "F,al", "F,all,al"] {
            assert!(told(text).contains("did you mean all?"), "{text}");
        }
        for text in ["F,", "F,all,", "F,,all"] {
            assert!(told(text).contains("\"\" does not belong behind the file"), "{text}");
        }
    }
}
