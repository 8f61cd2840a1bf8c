//! What is told of VM entries and VMX instructions that fail, without a debugger: `--log`, `--stats`, `--vmcs-dump`.

use Source::{DualMonitor, Gap, Never, Provoked};
use emu_core::model::CpuModel;
use emu_vmx::vmcs::VmInstructionError;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Runs a test image to its last line; the lines on standard error.
fn run(image: &str, options: &[&str]) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "none", "--script", &format!("{folder}/scripts/{image}.ron")])
        .args(options)
        .arg(format!("{folder}/images/{image}.img"))
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn failed_vm_entry_is_told_in_one_line_with_its_rule_and_what_else_fails() {
    let lines = run("vmxentry", &[]);
    assert_eq!(lines.len(), 13, "{lines:#?}");
    let start = "warn  vmx: VM entry fails: VMLAUNCH at RIP 0x";
    assert!(lines.iter().all(|line| line.starts_with(start)), "{lines:#?}");
    for (line, parts) in [
        (
            0,
            &[
                "processor 0, VMCS 0x21000, 0.0",
                " s: VMfailValid 7 (VM entry with invalid control field(s)): ctl.pin.reserved",
            ][..],
        ),
        (1, &["VMfailValid 8 (VM entry with invalid host-state field(s)): host.cr0.fixed", "(“PE”, “NE”, “PG”)"]),
        (2, &["host.size.", "“Host address-space size” = 1"]),
        (3, &["VM exit 33 (VM-entry failure due to invalid guest state), qualification 0: guest.cr4.fixed", "“VMXE”"]),
        (4, &["guest.seg.cs.", "32-bit data, DPL 0"]),
        (5, &["guest.rflags.fixed_1"]),
        (6, &["guest.activity.supported", "9h (not defined)"]),
        (7, &["qualification 2 (PDPTE loading): "]),
        (
            8,
            &[
                "VM exit 34 (VM-entry failure due to MSR loading): entry 1 at 0x31000, IA32_FS_BASE = 0h: this MSR may not be in the list",
            ],
        ),
        (9, &["qualification 4 (invalid VMCS link pointer): guest.link.current"]),
        (10, &["VMfailValid 7", "ctl.primary.reserved", "; 1 more rule fails"]),
        (11, &["VMfailValid 8", "host.tr.", "; 1 more rule fails"]),
        (12, &["guest.seg.tr.usable", "; 1 more rule fails"]),
    ] {
        for part in parts {
            assert!(lines[line].contains(part), "{part}: {}", lines[line]);
        }
    }
}

/// Where a VM-instruction error comes from.
enum Source {
    /// The image `vmxfail` provokes it: what the line says behind the error's title.
    Provoked(&'static [&'static str]),
    /// SMM has no monitor of its own here: IA32_VMX_BASIC bit 49 is 0, VMCALL in root operation is error 1, and the VM-entry
    /// controls that return from an SMM monitor may not be 1.
    DualMonitor,
    /// This processor does not come to it: why.
    Never(&'static str),
    /// The SDM lists no such number.
    Gap,
}

/// All VM-instruction errors (SDM Vol. 3C 32.4 "VM Instruction Error Numbers"); the first is number 1.
const ERRORS: [Source; 28] = [
    Provoked(&[": VMCALL at RIP 0x"]),
    Provoked(&[": VMCLEAR of 0x21008 at RIP 0x"]),
    Provoked(&[": VMCLEAR of 0x20000 at RIP 0x"]),
    Provoked(&[""]),
    Provoked(&[""]),
    Never(
        "VMXOFF leaves active VMCSs as they are, and the operation of VMRESUME (SDM Vol. 3C chapter 31) does not have it",
    ),
    Provoked(&[": ctl.pin.reserved"]),
    Provoked(&[": host.cr0.fixed"]),
    Provoked(&[": VMPTRLD of 0x21008 at RIP 0x"]),
    Provoked(&[": VMPTRLD of 0x20000 at RIP 0x"]),
    Provoked(&[": VMPTRLD of 0x30000 at RIP 0x"]),
    Provoked(&[
        ": VMREAD of the encoding 6FFEh, which no field has at RIP 0x",
        " to the encoding 6FFEh, which no field has at RIP 0x",
    ]),
    Provoked(&[" to the field Exit reason (4402h) at RIP 0x"]),
    Gap,
    Provoked(&[": VMXON at RIP 0x"]),
    DualMonitor,
    DualMonitor,
    DualMonitor,
    DualMonitor,
    DualMonitor,
    Gap,
    DualMonitor,
    DualMonitor,
    DualMonitor,
    DualMonitor,
    Provoked(&[""]),
    Gap,
    Provoked(&[": INVEPT of type 9 at RIP 0x", ": INVVPID of type 9 at RIP 0x"]),
];

#[test]
fn every_vm_instruction_error_that_can_happen_is_told_with_operand_and_title() {
    let lines = run("vmxfail", &["--log", "vmx=info"]);
    for (number, source) in (1..).zip(&ERRORS) {
        let error = VmInstructionError::from_number(number);
        assert_eq!(error.is_none(), matches!(source, Gap), "{number}");
        let told = error.map_or(String::new(), |error| format!("VMfailValid {number} ({})", error.text()));
        let of_it: Vec<&String> = lines.iter().filter(|line| error.is_some() && line.contains(&told)).collect();
        match source {
            Provoked(parts) => {
                for part in *parts {
                    assert!(of_it.iter().any(|line| line.contains(part)), "{told}{part}: {lines:#?}");
                }
            }
            DualMonitor | Gap => assert!(of_it.is_empty(), "{number}: {of_it:?}"),
            Never(why) => assert!(of_it.is_empty(), "{number} is there, though {why}: {of_it:?}"),
        }
    }
    for name in CpuModel::names() {
        let model = CpuModel::named(name).expect("the model is sound");
        assert!(model.vmx().is_none_or(|vmx| !vmx.caps.basic.dual_monitor()), "{name} has errors 16 to 25, too");
    }
}

#[test]
fn vmfails_are_told_once_a_place_and_counted_by_title() {
    let lines = run("vmxfail", &["--log", "vmx=info", "--stats"]);
    for part in [
        "info  vmx: VMfailValid 1 (VMCALL executed in VMX root operation): VMCALL at RIP 0x",
        "VMfailInvalid: VMREAD of the field Exit reason (4402h) at RIP 0x",
        "current VMCS: none",
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(part)).count().min(1), 1, "{part}: {lines:#?}");
    }
    let stats: Value = serde_json::from_str(lines.last().expect("there are lines")).expect("the last line is JSON");
    assert_eq!(stats["failed_entries"]["ctl.pin.reserved"], 1, "{stats}");
    assert_eq!(stats["failed_entries"]["VMLAUNCH with non-clear VMCS"], 1, "{stats}");
    assert_eq!(stats["vm_fails"]["VMfailInvalid"], 1, "{stats}");
    assert_eq!(stats["vm_fails"]["VMREAD/VMWRITE from/to unsupported VMCS component"], 2, "{stats}");
}

#[test]
fn vm_entries_that_fail_as_vm_exits_are_counted_as_vm_exits() {
    let lines = run("vmxentry", &["--log", "error", "--stats"]);
    let stats: Value = serde_json::from_str(lines.last().expect("there are lines")).expect("the last line is JSON");
    let (guest, msrs) = ("VM-entry failure due to invalid guest state", "VM-entry failure due to MSR loading");
    let count = |name: &str| stats["vm_exits"][name].as_u64();
    assert_eq!((count(guest), count(msrs), count("VMCALL")), (Some(7), Some(1), Some(1)), "{stats}");
    assert_eq!(stats["failed_entries"][msrs], 1, "{stats}");
}

#[test]
fn vmcs_dump_has_each_failed_entry_and_with_all_each_entry() {
    let dumps = |name: &str, spec: &str| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        run("vmxentry", &["--log", "error", "--vmcs-dump", &format!("{}{spec}", path.display())]);
        let text = std::fs::read_to_string(&path).expect("the run wrote it");
        let lint =
            Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).arg("vmcs-lint").arg(&path).output().expect("it starts");
        (text, String::from_utf8_lossy(&lint.stdout).into_owned(), lint.status.code())
    };
    let (text, lint, status) = dumps("failed.vmcs", "");
    assert_eq!((text.matches("*** VMCS: VMLAUNCH at RIP").count(), status), (13, Some(1)), "{text}");
    // What the processor found is what the dump shows, but for the MSR lists and page tables in memory.
    for rule in ["ctl.pin.reserved", "host.cr0.fixed", "guest.link.current", "guest.activity.supported"] {
        assert!(text.contains(&format!(": {rule} ***")) && lint.contains(rule), "{rule}: {lint}");
    }
    assert_eq!(dumps("all.vmcs", "=all").0.matches("*** VMCS: VMLAUNCH at RIP").count(), 14);
}
