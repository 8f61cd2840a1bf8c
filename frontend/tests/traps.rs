//! What would let a job of somebody's CI pass without reason, or never end.

mod common;

use common::folder::Folder;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A disk whose boot sector is this code.
fn disk(folder: &Folder, code: &[u8]) -> PathBuf {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("d.img", &disk)
}

/// Status and messages of a run.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn nothing_bootable_ends_a_headless_run_with_status_3_and_the_reason() {
    let folder = Folder::new("traps-boot");
    let mut image = vec![0x90; 1 << 20];
    image[510] = 0;
    let image = folder.file("no.img", &image).display().to_string();
    let (status, told) = run(&["--headless", &image]);
    assert_eq!(status, Some(3), "{told}");
    assert!(
        told.contains("nothing bootable: ") && told.contains("no.img: its first sector does not end in 55 AA"),
        "{told}"
    );
    let blank = folder.file("blank.img", &vec![0; 1_474_560]).display().to_string();
    let (status, told) = run(&["--headless", &blank, "-hda", &image]);
    assert_eq!(status, Some(3), "{told}");
    assert!(told.contains("blank.img: its first sector is empty; ") && told.contains("no.img"), "{told}");
}

#[test]
fn reset_ends_a_run_with_status_0_if_that_is_asked_for() {
    let folder = Folder::new("traps-reboot");
    // mov dx,CF9h; mov al,6; out dx,al; jmp $
    let image = disk(&folder, &[0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xEB, 0xFE]).display().to_string();
    for option in ["--no-reboot", "-no-reboot"] {
        assert_eq!(run(&["--headless", "--max-time", "100", option, &image]).0, Some(0));
    }
    assert_eq!(run(&["--headless", "--max-time", "5", &image]).0, Some(4));
    // By the keyboard controller: mov al,FEh; out 64h,al. By port 92h: in al,92h; and al,FEh; out 92h,al; or al,1; out 92h,al.
    for code in [
        &[0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFE][..],
        &[0xE4, 0x92, 0x24, 0xFE, 0xE6, 0x92, 0x0C, 1, 0xE6, 0x92, 0xEB, 0xFE],
    ] {
        let image = disk(&folder, code).display().to_string();
        assert_eq!(run(&["--headless", "--max-time", "100", "--no-reboot", &image]).0, Some(0), "{code:x?}");
    }
    // A triple fault: lidt of an empty table, then int3.
    let image = disk(&folder, &[0x0F, 0x01, 0x1E, 0x20, 0x7C, 0xCC]).display().to_string();
    assert_eq!(run(&["--headless", "--no-reboot", &image]).0, Some(3));
    assert_eq!(run(&["--headless", "--no-reboot", "--reset-on-triple-fault", &image]).0, Some(0));
}

#[test]
fn folder_without_something_to_boot_ends_a_headless_run_with_status_3() {
    let folder = Folder::new("traps-fat");
    folder.file("x.txt", b"x");
    let (status, told) = run(&["--headless", "--max-time", "100", "--fat", &folder.path("").display().to_string()]);
    assert_eq!(status, Some(3), "{told}");
}

#[test]
fn letters_behind_h_and_v_do_not_end_with_status_0() {
    for line in [
        &["-headless", "c.img"][..],
        &["-hd", "c.img"],
        &["-Vga", "c.img"],
        &["debug", "-headless"],
        &["test", "-hjobs"],
    ] {
        assert_eq!(run(line).0, Some(2), "{line:?}");
    }
    assert_eq!([run(&["-h"]).0, run(&["-V"]).0, run(&["debug", "-h"]).0], [Some(0); 3]);
}

#[test]
fn limit_in_host_time_ends_a_run_with_status_4() {
    let folder = Folder::new("traps-wall");
    let image = disk(&folder, &[0xEB, 0xFE]).display().to_string();
    let (status, told) = run(&["--headless", "--wall-time", "0.3", &image]);
    assert_eq!(status, Some(4), "{told}");
    assert!(told.contains("0.3 seconds of the host's time (--wall-time)"), "{told}");
}

#[test]
fn word_of_isa_debug_exit_is_not_taken_for_a_status_of_ours() {
    let folder = Folder::new("traps-exit");
    // mov al,1; out F4h,al: QEMU's status of it is 3, that of a dead guest here.
    let image = disk(&folder, &[0xB0, 0x01, 0xE6, 0xF4, 0xEB, 0xFE]).display().to_string();
    assert_eq!(run(&["--headless", "--debug-exit", "0xf4", &image]).0, Some(3));
    assert_eq!(run(&["--headless", "--debug-exit", "0xf4", "--debug-exit-pass", "1", &image]).0, Some(0));
    let (status, told) = run(&["--headless", "--debug-exit", "0xf4", "--debug-exit-pass", "0x10", &image]);
    assert_eq!(status, Some(1));
    assert!(told.contains("the guest wrote 0x1 to isa-debug-exit; 0x10 would be success"), "{told}");
}

#[test]
fn output_that_cannot_be_written_is_an_error_before_the_run() {
    let folder = Folder::new("traps-output");
    let image = disk(&folder, &[0xEB, 0xFE]).display().to_string();
    let place = folder.path("nowhere").join("out");
    let place = place.display().to_string();
    let mut options = vec!["--screen-dump", "--screenshot", "--dump-state", "--serial", "--debugcon", "--log-file"];
    options.extend(["--record", "--trace", "--vmcs-dump"]);
    for option in options {
        // Without a limit: the run must not begin.
        let (status, told) = run(&["--headless", option, &place, &image]);
        assert_eq!(status, Some(2), "{option}: {told}");
        assert!(told.contains("cannot write the") && told.lines().count() == 1, "{option}: {told}");
    }
}

#[test]
fn image_that_cannot_be_used_as_it_is_says_what_to_do() {
    let folder = Folder::new("traps-images");
    let mut image = vec![0; 1 << 20];
    image[..4].copy_from_slice(b"QFI\xFB");
    let qcow = folder.file("c.qcow2", &image).display().to_string();
    let (status, told) = run(&["--headless", &qcow]);
    assert_eq!(status, Some(2), "{told}");
    let wanted = format!("only raw images can be read; make one: qemu-img convert -O raw {qcow} {qcow}.raw");
    assert!(told.contains("it is a qcow2 image, and ") && told.contains(&wanted), "{told}");
}

#[test]
#[cfg(unix)]
fn image_that_the_host_does_not_let_be_written_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("traps-readonly");
    let image = disk(&folder, &[0xFA, 0xF4]);
    std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o444)).expect("it is ours");
    // Root may write to everything.
    let refused = std::fs::OpenOptions::new().write(true).open(&image).is_err();
    let (status, told) = run(&["--headless", &image.display().to_string()]);
    assert_eq!((status, told.contains("the guest sees a write-protected disk")), (Some(3), refused), "{told}");
}
