//! What a run says at its end: standard error, the exit status and `--dump-state`, with boot sectors of a few bytes.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const FLOPPY: usize = 1_474_560;

struct Run {
    status: Option<i32>,
    err: String,
    folder: PathBuf,
}

/// Boots `code` from a floppy with these options; the files lie in a folder of their own.
fn boot(name: &str, code: &[u8], options: &[&str]) -> Run {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-end-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder is made");
    let mut image = vec![0; FLOPPY];
    image[..code.len()].copy_from_slice(code);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    std::fs::write(folder.join("a.img"), image).expect("the image is written");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .current_dir(&folder)
        .args(["--headless", "--snapshot", "a.img"])
        .args(options)
        .output()
        .expect("the program starts");
    Run { status: output.status.code(), err: String::from_utf8_lossy(&output.stderr).into_owned(), folder }
}

impl Run {
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).expect("the run wrote it")
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.file(name)).expect("it is JSON")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// CLI; LIDT with a limit of 0; INT3.
const TRIPLE_FAULT: [u8; 7] = [0xFA, 0x0F, 0x01, 0x1E, 0x30, 0x7C, 0xCC];
/// STI; JMP $.
const SPIN: [u8; 3] = [0xFB, 0xEB, 0xFE];
/// Writes the port of isa-debug-exit: status (16 << 1) | 1.
const EXIT: [u8; 6] = [0xB0, 0x10, 0xE6, 0xF4, 0xEB, 0xFE];

#[test]
fn triple_fault_tells_the_whole_chain_where_it_was_and_the_screen() {
    let run = boot("triple", &TRIPLE_FAULT, &["--dump-state", "s.txt"]);
    assert_eq!(run.status, Some(3));
    let start = "rvmx-emu: the guest died: triple fault on processor 0 at RIP 0x7c06\nat 0.0";
    assert!(run.err.starts_with(start), "{}", run.err);
    for text in [
        "processor 0: real-address mode, no paging, shut down by a triple fault\n",
        "  > 0000:7c06  cc               int3\n",
        "  last exception: #BP -> #GP(0x0) -> #GP(0x0) -> #DF(0x0) -> #GP(0x0) -> triple\n    fault\n    at 0000:0x7c07",
        "  IDTR      base=00000000 limit=0000\n",
        "screen:\n",
        "\nBooting from floppy\n",
    ] {
        assert!(run.err.contains(text), "{text:?} is not in\n{}", run.err);
    }
    assert!(run.err.lines().all(|line| line.len() <= 80), "{}", run.err);
    let file = run.file("s.txt");
    assert!(file.starts_with("end: the guest died: triple fault on processor 0 at RIP 0x7c06 (status 3)\n"), "{file}");
    assert!(file.contains("-> triple\n    fault\n"), "{file}");
}

#[test]
fn halted_machine_shows_the_hlt() {
    let run = boot("halt", &[0xFA, 0xF4], &["--cpus", "2"]);
    assert_eq!(run.status, Some(3));
    assert!(run.err.starts_with("rvmx-emu: every processor is halted with interrupts off\n"), "{}", run.err);
    assert!(run.err.contains("    0000:7c01  f4               hlt\n  > 0000:7c02  "), "{}", run.err);
    assert!(run.err.contains("\nprocessor 1: real-address mode, "), "{}", run.err);
}

#[test]
fn limit_says_little_and_the_dump_everything() {
    let run = boot("spin", &SPIN, &["--max-time", "0.1", "--dump-state", "s.json"]);
    assert_eq!(run.status, Some(4));
    assert!(run.err.starts_with("rvmx-emu: stopped: 0.1 guest seconds (--max-time)\n"), "{}", run.err);
    assert!(run.err.contains("  > 0000:7c01  ebfe             jmp short 0x7c01\n"), "{}", run.err);
    assert!(!run.err.contains("IDTR"), "{}", run.err);
    let json = run.json("s.json");
    assert_eq!((&json["status"], &json["cycle"]), (&Value::from(4), &Value::from(5_000_000)));
    let cpu = &json["processors"][0];
    assert_eq!((&cpu["registers"]["RIP"], &cpu["code"][0]["text"]), (&"0x7c01".into(), &"jmp short 0x7c01".into()));
    assert_eq!((&cpu["segments"][1]["name"], &cpu["vmx"]["operation"]), (&"CS".into(), &"off".into()));
    assert!(json["screen"].as_array().is_some_and(|lines| lines.contains(&"Booting from floppy".into())));
}

#[test]
fn end_that_the_guest_asked_for_writes_the_file_and_prints_nothing() {
    let run = boot("exit", &EXIT, &["--debug-exit", "0xf4", "--dump-state", "s.json"]);
    assert_eq!((run.status, run.err.as_str()), (Some(33), ""));
    let json = run.json("s.json");
    assert_eq!(json["end"], "the guest ended the run through isa-debug-exit");
    let run = boot("passed", &SPIN, &["--script", "no.ron"]);
    assert_eq!(run.status, Some(2), "{}", run.err);
}

#[test]
fn script_that_fails_tells_file_line_time_and_state() {
    let script = std::env::temp_dir().join(format!("rvmx-emu-end-{}.ron", std::process::id()));
    std::fs::write(&script, "Script(\n  steps: [\n    Wait(0.1),\n    ExpectText(\"no such text\"),\n  ],\n)\n")
        .unwrap();
    let path = script.to_str().unwrap();
    let run = boot("script", &SPIN, &["--script", path]);
    std::fs::remove_file(&script).unwrap();
    assert_eq!(run.status, Some(1));
    let start = format!("rvmx-emu: {path}:4: step 2 ExpectText(\"no such text\") at 0.100 s: not shown\nat 0.1");
    assert!(run.err.starts_with(&start), "{}", run.err);
    assert!(run.err.contains("jmp short 0x7c01\nscreen:\n"), "{}", run.err);
}

#[test]
fn state_that_cannot_be_written_is_an_error_with_status_2() {
    let run = boot("nowhere", &SPIN, &["--max-time", "0.1", "--dump-state", "no/such/s.txt"]);
    assert_eq!(run.status, Some(2));
    let last = run.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("rvmx-emu: no/such/s.txt: cannot write the state: "), "{last}");
}
