//! The BIOS's services, called by a floppy of the firmware's own, and what it does without anything to boot.

mod common;

use common::folder::Folder;
use std::path::Path;
use std::process::Command;

fn run(options: &[&str], files: &[&Path]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot"])
        .args(options)
        .args(files)
        .output()
        .expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn bios_services_do_what_callers_expect() {
    let folder = Folder::new("services");
    let disk = folder.file("disk.img", &vec![0; 8 << 20]).display().to_string();
    let serial = folder.path("serial").display().to_string();
    let floppy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/tests-asm/services.img"));
    let options = ["--boot", "floppy", "--max-time", "20", "--hda", &disk, "--serial", &serial];
    let (status, out) = run(&options, &[floppy]);
    let failures: Vec<&str> = out.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(out.contains("done: 0000 failed"), "{out}");
    assert_eq!(status, Some(0));
    assert_eq!(std::fs::read(&serial).ok().as_deref(), Some(&b"S"[..]));
}

#[test]
fn blank_drives_are_not_booted_from_and_the_bios_says_so() {
    let folder = Folder::new("blank");
    for bytes in [1_474_560, 8 << 20] {
        let image = folder.file("blank.img", &vec![0; bytes]);
        let screen = folder.path("screen");
        let (status, _) = run(&["--max-time", "2", "--screen-dump", &screen.display().to_string()], &[&image]);
        let out = std::fs::read_to_string(&screen).expect("the dump is written");
        assert_eq!(status, Some(3));
        assert!(out.contains("No bootable device.") && !out.contains("Booting"), "{out}");
    }
}
