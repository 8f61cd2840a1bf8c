//! Two runs of the same image end with the same instruction count and state; so does one that logs everything.

mod common;

use common::folder::Folder;
use std::process::Command;

/// The counters of a run, and all else that it wrote to standard error.
fn counts(arguments: &[&str]) -> (String, String) {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/smp.img");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "none", "--cpus", "3", "--stats"])
        .args(arguments)
        .arg(image)
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = text.lines().find(|line| line.starts_with('{')).expect("--stats prints a line").to_owned();
    let counters = ["\"instructions\":", "\"cycles\":", "\"state_hash\":"]
        .map(|field| {
            let start = json.find(field).expect("the field is there");
            json[start..].split(',').next().unwrap_or_default().trim_end_matches('}').to_owned()
        })
        .join(" ");
    (counters, text)
}

#[test]
fn two_runs_and_a_traced_run_are_the_same() {
    let (first, _) = counts(&["--max-time", "1.5"]);
    assert!(first.contains("instructions"), "{first}");
    assert_eq!(first, counts(&["--max-time", "1.5"]).0);
    let (traced, log) = counts(&["--max-time", "1.5", "--log", "trace"]);
    assert_eq!(first, traced);
    for line in ["trace cpu: cpu0 INT 13h", "trace apic: from cpu0: Init", "trace disk: ATA: command"] {
        assert!(log.contains(line), "no {line:?} in the trace");
    }
}

#[test]
fn run_that_starts_from_a_snapshot_ends_as_the_run_that_it_was_taken_of() {
    let folder = Folder::new("restore");
    let snapshot = folder.path("smp.snap");
    let script = folder.file("smp.ron", format!("Script(steps: [Wait(0.5), Snapshot({snapshot:?})])").as_bytes());
    let (_, log) = counts(&["--script", &script.to_string_lossy()]);
    assert!(snapshot.exists(), "{log}");
    let restored = counts(&["--restore", &snapshot.to_string_lossy(), "--max-time", "1"]).0;
    assert_eq!(restored, counts(&["--max-time", "1.5"]).0);
    let names: Vec<_> = std::fs::read_dir(&folder).expect("it is there").collect();
    assert_eq!(names.len(), 2, "no part of a file is left");
}

/// Every processor runs without end: in x2APIC mode, the others are started at 5000h, where a jump to itself stands.
const ALL_SPIN: &[u8] = &[
    0x31, 0xC0, 0x8E, 0xD8, // xor ax,ax; mov ds,ax
    0xC7, 0x06, 0x00, 0x50, 0xEB, 0xFE, // mov word [5000h], 0FEEBh
    0x66, 0xB9, 0x1B, 0x00, 0x00, 0x00, 0x0F, 0x32, // mov ecx, IA32_APIC_BASE; rdmsr
    0x0D, 0x00, 0x0C, 0x0F, 0x30, // or ax, 0C00h; wrmsr
    0x66, 0xB9, 0x30, 0x08, 0x00, 0x00, 0x66, 0x31, 0xD2, // mov ecx, 830h (ICR); xor edx,edx
    0x66, 0xB8, 0x00, 0x45, 0x0C, 0x00, 0x0F, 0x30, // mov eax, INIT to all others; wrmsr
    0x66, 0xB8, 0x05, 0x46, 0x0C, 0x00, 0x0F, 0x30, // mov eax, SIPI 5 to all others; wrmsr
    0x66, 0x43, 0xEB, 0xFC, // next: inc ebx; jmp next
];

#[test]
fn limit_of_instructions_ends_a_watched_run_where_it_ends_the_run() {
    let folder = Folder::new("limit");
    let mut sector = ALL_SPIN.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xAA]);
    let image = folder.file("spin.img", &sector);
    let ended = |quantum: &str, limit: &str, watched: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
            .args(["--headless", "--snapshot", "--cpu-model", "max", "--cpus", "3", "--stats"])
            .args(["--quantum", quantum, "--max-instructions", limit])
            .args(watched)
            .arg(&image)
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let stats: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect(&text);
        ["instructions", "cycles", "state_hash"].map(|field| stats[field].to_string())
    };
    let traced = format!("{},cpu=2", folder.path("trace.txt").display());
    for (quantum, limit) in [("20000", "3500000"), ("1000000", "4000001")] {
        let plain = ended(quantum, limit, &[]);
        assert_eq!(plain, ended(quantum, limit, &["--no-jit"]), "{quantum} {limit}");
        assert_eq!(plain, ended(quantum, limit, &["--trace", &traced]), "{quantum} {limit}");
    }
}
