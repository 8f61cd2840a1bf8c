//! `--trace`: the lines, that a traced run is the same run, and what happens when the file takes nothing.

mod common;

use common::folder::Folder;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-images/images").join(format!("{name}.img"))
}

fn run(name: &str, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--stats", "--cpus", "2"])
        .arg(image(name))
        .args(options)
        .output()
        .expect("the program starts")
}

/// The counters of `--stats` that do not depend on the host.
fn counters(output: &Output) -> (String, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().last().unwrap_or_default();
    let stats: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}"));
    (stats["instructions"].to_string(), stats["state_hash"].to_string())
}

#[test]
fn traced_run_is_the_same_run_and_has_a_line_for_each_instruction() {
    let path = std::env::temp_dir().join(format!("rvmx-emu-trace-{}.txt", std::process::id()));
    let (from, to) = (1_000_000, 1_100_000);
    let spec = format!("{},cpu=0,from={from},to={to}", path.display());
    let limit = ["--max-time", "0.05"];
    let plain = run("smp", &limit);
    let traced = run("smp", &[&limit[..], &["--trace", &spec]].concat());
    assert_eq!(counters(&plain), counters(&traced));
    let text = std::fs::read_to_string(&path).expect("the trace was written");
    std::fs::remove_file(&path).expect("the trace can be removed");
    let mut last = 0;
    for line in text.lines() {
        let mut words = line.split(' ');
        let cycle: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!((from..to).contains(&cycle) && cycle >= last, "{line}");
        assert_eq!(words.next(), Some("0"), "{line}");
        last = cycle;
    }
    assert!(text.lines().count() > 10_000, "{} lines", text.lines().count());
}

/// The lines of a trace of `smp` with two processors, [`SHORT`] guest seconds from where both run.
fn lines(filter: &str) -> Vec<String> {
    let folder = Folder::new("lines");
    let path = folder.path("trace.txt");
    let output =
        run("smp", &["--quantum", "100", "--max-time", SHORT, "--trace", &format!("{}{filter}", path.display())]);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    text.lines().map(str::to_owned).collect()
}

const SHORT: &str = "0.0212";

#[test]
fn windows_and_processors_are_parts_of_the_whole_trace() {
    let cycle = |line: &&String| line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let all = lines(",from=1000000");
    for cpu in ["0", "1"] {
        let own: Vec<&String> = all.iter().filter(|line| line.split(' ').nth(1) == Some(cpu)).collect();
        assert!(own.len() > 500, "processor {cpu}: {} lines", own.len());
        assert_eq!(lines(&format!(",from=1000000,cpu={cpu}")).iter().collect::<Vec<_>>(), own, "processor {cpu}");
    }
    for (from, to) in [(1_010_010, 1_030_050), (1_020_000, 1_020_001), (1_029_090, 1_029_110)] {
        let window: Vec<&String> = all.iter().filter(|line| (from..to).contains(&cycle(line))).collect();
        assert_eq!(lines(&format!(",from={from},to={to}")).iter().collect::<Vec<_>>(), window, "{from} to {to}");
    }
}

#[test]
fn trace_option_that_makes_no_sense_says_what_to_give() {
    for (spec, expected) in [
        ("t.txt,form=3", "\"form\" does not belong behind the file; give cpu=N, from=CYCLE, to=CYCLE"),
        ("t.txt,cpu=2", "--trace: there is no processor 2; give cpu=0 to cpu=1"),
        ("no/such/t.txt", "no/such/t.txt: cannot write the trace: "),
    ] {
        let output = run("demo", &["--trace", spec]);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(expected) && err.lines().count() == 1, "{err}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_ends_a_traced_run_with_status_2() {
    let output = run("demo", &["--trace", "/dev/full", "--max-time", "100"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("rvmx-emu: /dev/full: cannot write the trace: No space left"), "{err}");
}
