//! Two runs of the same image end with the same instruction count and state; so does one that logs everything.

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
    let folder = std::env::temp_dir().join(format!("rvmx-emu-restore-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the host has room");
    let (snapshot, script) = (folder.join("smp.snap"), folder.join("smp.ron"));
    std::fs::write(&script, format!("Script(steps: [Wait(0.5), Snapshot({snapshot:?})])")).expect("it is written");
    let (_, log) = counts(&["--script", &script.to_string_lossy()]);
    assert!(snapshot.exists(), "{log}");
    let restored = counts(&["--restore", &snapshot.to_string_lossy(), "--max-time", "1"]).0;
    assert_eq!(restored, counts(&["--max-time", "1.5"]).0);
    let names: Vec<_> = std::fs::read_dir(&folder).expect("it is there").collect();
    assert_eq!(names.len(), 2, "no part of a file is left");
    std::fs::remove_dir_all(&folder).expect("it is there");
}
