//! Two runs of the same image end with the same instruction count and state; so does one that logs everything.

use std::process::Command;

/// The counters of a run, and all else that it wrote to standard error.
fn counts(arguments: &[&str]) -> (String, String) {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/smp.img");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "none", "--cpus", "3", "--max-time", "1.5", "--stats"])
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
    let (first, _) = counts(&[]);
    assert!(first.contains("instructions"), "{first}");
    assert_eq!(first, counts(&[]).0);
    let (traced, log) = counts(&["--log", "trace"]);
    assert_eq!(first, traced);
    for line in ["trace cpu: cpu0 INT 13h", "trace apic: from cpu0: Init", "trace disk: ATA: command"] {
        assert!(log.contains(line), "no {line:?} in the trace");
    }
}
