//! A VMX abort of the guest (SDM Vol. 3C 28.7 "VMX Aborts"): a run, a script, the debugger and `test` tell it by number and
//! words, and it has the status of a guest that died.

mod common;

use common::folder::Folder;
use std::process::Command;

/// The image `vmxexits` with one entry in its VM-exit MSR-load area, at address 0, where the interrupt vectors of
/// real-address mode lie: the first VM exit cannot load it.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/vmxexits.img");
    let mut image = std::fs::read(path).expect("the image is there");
    // Of vmx.inc: VM-exit MSR-store count, VM-exit MSR-load count, VM-entry MSR-load count.
    let table: Vec<u8> = [0x400Eu32, 0, 0x4010, 0, 0x4014, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    let at = image.windows(table.len()).position(|part| part == table).expect("it has the table");
    image[at + 12] = 1;
    folder.file("abort.img", &image);
    folder
}

fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    let output = command.current_dir(folder).args(arguments).output().expect("the program starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), text)
}

const WORDS: &str = "VMX abort 4 (host MSRs could not be loaded)";

#[test]
fn vmx_abort_ends_a_run_with_status_3_and_its_words() {
    let folder = folder("abort-run");
    let (status, told) = run(&folder, &["--headless", "--max-time", "5", "abort.img"]);
    assert_eq!(status, Some(3), "{told}");
    assert!(told.contains(&format!("rvmx-emu: the guest died: {WORDS} on processor 0 at RIP 0x")), "{told}");
    assert!(told.contains("shut down by VMX abort"), "{told}");
    // The chipset is notified, as of a triple fault.
    let reset = ["--headless", "--reset-on-triple-fault", "--no-reboot", "--max-time", "5", "abort.img"];
    assert_eq!(run(&folder, &reset).0, Some(0));
}

#[test]
fn vmx_abort_fails_a_step_that_waits_for_something_else_and_passes_the_one_that_waits_for_it() {
    let folder = folder("abort-script");
    folder.file("a.ron", b"Script(image: \"abort.img\", steps: [WaitText(\"PASS\", 10)])");
    folder
        .file("b.ron", b"Script(image: \"abort.img\", steps: [WaitDeath(\"VMX abort 4\", 10), ExpectText(\"CPUID\")])");
    folder.file("c.ron", b"Script(image: \"abort.img\", steps: [WaitDeath(\"triple fault\", 10)])");
    let (status, told) = run(&folder, &["--script", "a.ron"]);
    assert!(status == Some(1) && told.contains("WaitText(\"PASS\", 10) at 0."), "{told}");
    assert!(told.contains(&format!(" s: the guest died: {WORDS} on processor 0")), "{told}");
    assert_eq!(run(&folder, &["--script", "b.ron"]).0, Some(0));
    assert_eq!(run(&folder, &["--script", "c.ron"]).0, Some(1));
    let (status, told) = run(&folder, &["test", "a.ron", "b.ron"]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("1 passed, 1 failed;") && told.contains(WORDS), "{told}");
}

#[test]
fn vmx_abort_is_told_in_the_debugger() {
    let folder = folder("abort-debug");
    let (_, told) = run(&folder, &["debug", "--snapshot", "-c", "c; r", "abort.img"]);
    assert!(told.contains(&format!("the guest has died: {WORDS} on processor 0 at RIP 0x")), "{told}");
}
