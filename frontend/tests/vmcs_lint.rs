//! `vmcs-lint` as it is started.

use std::path::PathBuf;
use std::process::{Command, Output};

fn lint(name: &str, dump: &str, model: &str) -> Output {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, dump).expect("the folder for tests can be written");
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["vmcs-lint", "--cpu-model", model])
        .arg(file)
        .output()
        .expect("the program starts")
}

#[test]
fn lint_of_a_bad_vmcs_prints_each_rule_and_ends_with_status_1() {
    let output = lint("bad.txt", "Guest CR0 = 60000010\nno such field: 1\n", "max");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["guest.cr0.fixed (SDM Vol. 3C", "Guest CR0 = 60000010h", "\"no such field\"", "ctl.pin.reserved"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn lint_of_no_dump_ends_with_status_2_and_one_line() {
    let output = lint("empty.json", "{\"Guest CR0\": }", "max");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("empty.json:1: "), "{text}");
}
