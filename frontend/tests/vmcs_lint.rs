//! `vmcs-lint` as it is started. `dumps/` holds VMCSs in the forms that programs print, one guest of Linux under KVM in
//! all of them: as it is, and with mistakes.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn lint(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).arg("vmcs-lint").args(arguments).output().expect("the program starts")
}

fn dump(name: &str) -> String {
    format!("{}/tests/dumps/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the folder for tests can be written");
    path.display().to_string()
}

/// Dumps of a VMCS that is right.
const RIGHT: [&str; 10] = [
    "kvm-6.log",
    "kvm-4.log",
    "xen.log",
    "linux-names.txt",
    "virtualbox.log",
    "bochs.log",
    "tlfs.txt",
    "encodings.txt",
    "own.json",
    "halves.txt",
];

/// Dumps with mistakes: what becomes of the VM entry, and the rules that fail.
const WRONG: [(&str, &str, &[&str]); 8] = [
    (
        "kvm-bad-rflags.log",
        "this entry fails with exit reason 33 (VM-entry failure due to invalid guest state), qualification 0",
        &["guest.cr4.fixed", "guest.rflags.vm"],
    ),
    ("kvm-bad-tr.log", "exit reason 33 (", &["guest.seg.tr.usable", "guest.activity.supported"]),
    ("xen-bad-event.log", "VMfailValid 7 (VM entry with invalid control field(s))", &["ctl.event."]),
    ("linux-bad-host.txt", "VMfailValid 8 (VM entry with invalid host-state field(s))", &["host.tr.", "host.gs"]),
    ("virtualbox-bad-controls.log", "VMfailValid 7 (", &["ctl.pin.reserved", "ctl.nmi_window.virtual_nmis"]),
    ("bochs-bad-efer.log", "exit reason 33 (", &["guest.efer."]),
    ("tlfs-bad-ept.txt", "VMfailValid 7 (", &["ctl.ept"]),
    ("json-bad-cs.json", "exit reason 33 (", &["guest.seg.cs.", "guest.link.align"]),
];

#[test]
fn dumps_of_other_programs_are_read_and_pass() {
    for name in RIGHT {
        let output = lint(&["--cpu-model", "max", &dump(name)]);
        let (text, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{name}: {text}{err}");
        assert!(!text.contains("fails"), "{name}: {text}");
    }
}

#[test]
fn dumps_of_other_programs_agree_in_what_they_give() {
    let fields = |name: &str| {
        let text = std::fs::read_to_string(dump(name)).expect("the dump is there");
        let mut dumps = emu_vmx::dump::parse(&text).expect("the dump can be read");
        dumps.remove(0).fields
    };
    let all = fields("own.json");
    for name in RIGHT {
        let own = fields(name);
        let same = own.iter().filter(|(field, value)| all.get(field).is_some_and(|other| other.0 == value.0)).count();
        let other: Vec<_> =
            own.iter().filter(|(field, value)| all.get(field).is_some_and(|o| o.0 != value.0)).collect();
        assert!(other.is_empty() && same > 70, "{name}: {same} {other:x?}");
    }
}

#[test]
fn dumps_with_mistakes_have_the_outcome_first_and_every_mistake() {
    for (name, outcome, rules) in WRONG {
        let output = lint(&["--cpu-model", "max", &dump(name)]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let first = text.lines().next().expect("there is a line");
        assert!(first.starts_with("this entry fails with") && first.contains(outcome), "{name}: {text}");
        for rule in rules {
            assert!(text.lines().any(|line| line.trim_start().starts_with(rule)), "{name}: {rule}: {text}");
        }
    }
}

#[test]
fn misspelled_field_is_an_error_with_file_line_and_nearest_name() {
    for (name, line, nearest) in
        [("misspelled.log", 22, "\"activitystate\""), ("misspelled.txt", 68, "\"Guest RFLAGS\"")]
    {
        let output = lint(&["--cpu-model", "max", &dump(name)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        assert!(text.contains(&format!("{name}:{line}: ")) && text.contains(nearest), "{text}");
    }
}

#[test]
fn every_dump_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut tested: Vec<&str> = RIGHT.into_iter().chain(WRONG.map(|wrong| wrong.0)).collect();
    tested.extend(["misspelled.log", "misspelled.txt"]);
    tested.sort_unstable();
    assert_eq!(names, tested);
}

#[test]
fn what_is_not_given_is_not_0() {
    let path = file("little.txt", "Guest CR0 = 60000010\nPin-based VM-execution controls = 16\n");
    let output = lint(&[&path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("nothing that the dump gives makes this entry fail"), "{text}");
    assert!(text.contains("checks cannot be made without: ") && text.contains(" more fields"), "{text}");
    assert!(!text.contains("ctl.pin.reserved") && !text.contains("host.cs.null"), "{text}");
}

#[test]
fn what_the_head_tells_and_no_field_shows_is_told_with_status_1() {
    let head = "*** VMCS: VMLAUNCH at RIP 0x94ca, processor 0, cycle 4501010: ";
    let fields = "Guest CR0 = 31\nVM-entry MSR-load address = 31000\nVM-entry MSR-load count = 2\n";
    for (failure, first, more) in [
        (
            "VMfailValid 5 (VMRESUME with non-launched VMCS)",
            "this entry fails with VMfailValid 5 (VMRESUME with non-launched VMCS), as the head of the dump tells",
            "27.1 \"Basic VM-Entry Checks\": the first VM entry after VMCLEAR is VMLAUNCH",
        ),
        ("VMfailValid 26 (VM entry with events blocked by MOV SS)", "this entry fails with VMfailValid 26 (", "27.1"),
        (
            "VM exit 34 (VM-entry failure due to MSR loading), entry 2",
            "this entry fails with exit reason 34 (VM-entry failure due to MSR loading), entry 2",
            "27.4 \"Loading MSRs\": look at entry 2 of the VM-entry MSR-load area at 31010h",
        ),
        (
            "VM exit 33 (VM-entry failure due to invalid guest state), qualification 2 (PDPTE loading): guest.pdpte0.memory",
            "this entry fails with exit reason 33 (",
            "requires that the PDPTE at guest CR3 sets no reserved bit",
        ),
    ] {
        let output = lint(&[&file("head.txt", &format!("{head}{failure} ***\n{fields}"))]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{failure}: {text}");
        assert!(text.starts_with(first) && text.contains(more), "{failure}: {text}");
        // Of the list in memory, the head of such a failure has told.
        let list = text.contains("no dump shows: 2 entries of the VM-entry MSR-load area at 31000h");
        assert_ne!(list, failure.starts_with("VM exit 34 "), "{text}");
    }
    let output = lint(&["--json", &file("head.txt", &format!("{head}entered ***\n{fields}"))]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((output.status.code(), &report["dumps"][0]["told"]), (Some(0), &Value::Null), "{report}");
}

#[test]
fn a_name_with_a_mistake_is_answered_with_the_field_that_is_meant() {
    for name in ["GUEST_CS_AR_BYTE", "GuestCsAttribute"] {
        let output = lint(&[&file("meant.txt", &format!("{name} = 9b\n"))]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("the nearest name is \"Guest CS access rights\""), "{text}");
    }
}

#[test]
fn lint_reads_standard_input_and_answers_in_json() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["vmcs-lint", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let text = b"Pin-based VM-execution controls = 0\nGuest activity state = 9\n";
    child.stdin.take().expect("it is piped").write_all(text).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(output.status.code(), Some(1), "{report}");
    let dump = &report["dumps"][0];
    assert_eq!(dump["outcome"], "this entry fails with VMfailValid 7 (VM entry with invalid control field(s))");
    assert_eq!((dump["fails"].as_bool(), &dump["failing"][0]["rule"]), (Some(true), &"ctl.pin.reserved".into()));
    assert_eq!(dump["failing"][1]["rule"], "guest.activity.supported");
}

#[test]
fn capability_msrs_of_another_processor_decide() {
    let show = Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(["cpu-models", "max"]).output().expect("it starts");
    let max = String::from_utf8_lossy(&show.stdout).into_owned();
    let caps = file("max-caps.txt", &max);
    assert_eq!(lint(&["--caps", &caps, &dump("kvm-6.log")]).status.code(), Some(0));
    // The same processor, with “NMI exiting” forced to 1.
    let forced = max.replace("000000FF:00000016", "000000FF:0000001E");
    let caps = file("forced-caps.txt", &forced);
    let text = "Pin-based VM-execution controls = 16\n";
    let output = lint(&["--caps", &caps, &file("pin.txt", text)]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("must be 1: 8h (“NMI exiting”)"), "{text}");
    let output = lint(&["--caps", &file("no-caps.txt", "480 = 1\n"), &dump("kvm-6.log")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn lint_of_no_dump_or_model_ends_with_status_2_and_one_line() {
    let empty = file("empty.json", "{\"Guest CR0\": }");
    for (arguments, part) in [
        (&[empty.as_str()][..], "empty.json:1: "),
        (&[&file("nothing.txt", "# nothing\n")], "the dump has no fields"),
        (&["/nonexistent/dump"], "/nonexistent/dump: cannot read the VMCS dump"),
        (&["--cpu-model", "z80", &dump("tlfs.txt")], "--cpu-model: no CPU model is called \"z80\""),
    ] {
        let output = lint(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        assert!(text.contains(part), "{part}: {text}");
    }
}
