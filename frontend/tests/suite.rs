//! `rvmx-emu test`: what is found, how each script ends, the report, the exit status.

mod common;

use common::folder::Folder;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use std::process::{Command, Output};

/// Shows an X at the top left; STI; JMP $.
const SHOW: [u8; 13] = [0xB8, 0x00, 0xB8, 0x8E, 0xD8, 0xC6, 0x06, 0x00, 0x00, b'X', 0xFB, 0xEB, 0xFE];

/// A folder with a floppy that boots.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut image = vec![0; 1_474_560];
    image[..SHOW.len()].copy_from_slice(&SHOW);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("a.img", &image);
    folder
}

fn script(folder: &Folder, name: &str, steps: &str) {
    let text =
        format!("// A test.\nScript(\n  image: \"a.img\", memory: 16, timeout: 3,\n  steps: [\n{steps}\n  ],\n)\n");
    folder.file(name, text.as_bytes());
}

fn emu(folder: &Folder, arguments: &[&str], golden: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    command.current_dir(folder).args(arguments).env_remove("UPDATE_GOLDEN");
    if golden {
        command.env("UPDATE_GOLDEN", "1");
    }
    command.output().expect("the program starts")
}

/// Exit status, standard output, standard error of `rvmx-emu test`.
fn test(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = emu(folder, &[&["test"][..], arguments].concat(), false);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn scripts_that_pass_end_with_status_0_and_a_line_each() {
    let folder = folder("suite-pass");
    std::fs::create_dir_all(folder.path("more")).unwrap();
    script(&folder, "b.ron", "WaitText(\"X\", 2)");
    script(&folder, "a.ron", "WaitText(\"X\", 2), Wait(0.5)");
    folder.file("more/c.ron", b"Script(image: \"../a.img\", memory: 16, steps: [WaitMatch(\"^X\", 2)])");
    // None of these is a script.
    folder.file("m.ron", b"Machine(cpus: 4)");
    folder.file("part.ron", b"(steps: [Wait(1)])");
    folder.file("notes.txt", b"Script(steps: [])");
    let (status, out, err) = test(&folder, &["--jobs", "2", "."]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert!(lines[1].starts_with("3 scripts: 3 passed, 0 failed; "), "{out}");
    for (line, name) in lines[2..].iter().zip(["a.ron", "b.ron", "more/c.ron"]) {
        assert!(line.starts_with("pass ") && line.contains(name) && line.contains(" guest "), "{line}");
    }
    let guest = lines[2].split_whitespace().nth(3).and_then(|seconds| seconds.parse().ok());
    assert!(guest.is_some_and(|seconds: f64| seconds > 0.5 && seconds < 3.0), "{out}");
}

#[test]
fn machine_of_a_script_is_what_dump_config_prints() {
    let folder = folder("suite-dump");
    script(&folder, "s.ron", "WaitText(\"X\", 2)");
    let output = emu(&folder, &["--script", "s.ron", "--cpus", "3", "--dump-config"], false);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in ["cpus: 3,", "memory: 16,", "a.img"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn script_that_fails_is_told_with_line_time_state_and_screen() {
    let folder = folder("suite-fail");
    script(&folder, "bad.ron", "WaitText(\"X\", 2),\nExpectText(\"no such text\")");
    script(&folder, "late.ron", "WaitText(\"never\", 9)");
    script(&folder, "usage.ron", "WaitText(\"\", 1)");
    script(&folder, "good.ron", "WaitText(\"X\", 2)");
    let (status, out, _) = test(&folder, &["--junit", "r.xml", "."]);
    assert_eq!(status, Some(1), "{out}");
    for text in [
        "bad.ron:6: step 2 ExpectText(\"no such text\") at ",
        "late.ron:5: step 1 WaitText(\"never\", 9) at 3.000 s: the script's 3 guest seconds are over\n",
        "\nprocessor 0: real-address mode",
        "jmp short 0x7c0b\nscreen:\nX",
        ": the text is empty; give one that can be looked for",
        "\n4 scripts: 1 passed, 2 failed, 1 error; ",
    ] {
        assert!(out.contains(text), "{text:?} is not in\n{out}");
    }
    // What its own line says in full is not said again.
    assert_eq!(out.matches("the text is empty").count(), 1, "{out}");
    let xml = std::fs::read_to_string(folder.path("r.xml")).unwrap();
    // Of the attributes that the schema of Jenkins has for all suites together.
    let all = xml.lines().find(|line| line.starts_with("<testsuites ")).unwrap();
    assert!(!all.contains("skipped="), "{all}");
    let report = Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((report.tests, report.failures, report.errors), (4, 2, 1), "{xml}");
    let cases = &report.test_suites[0].test_cases;
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["bad.ron", "good.ron", "late.ron", "usage.ron"]);
    let TestCaseStatus::NonSuccess { kind, message, description, .. } = &cases[0].status else { panic!("{xml}") };
    assert_eq!(*kind, NonSuccessKind::Failure);
    let (message, description) = (message.as_ref().unwrap().as_str(), description.as_ref().unwrap().as_str());
    assert!(message.contains("bad.ron:6: step 2 ") && message.ends_with("s: not shown"), "{message}");
    assert!(description.contains("screen:\nX"), "{description}");
    assert!(matches!(cases[1].status, TestCaseStatus::Success { .. }));
    assert!(cases[1].system_out.as_ref().unwrap().as_str().starts_with("guest time: "));
    assert!(cases[2].time.is_some());
    assert!(matches!(&cases[3].status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. }));
}

#[test]
fn scripts_that_no_guest_ran_for_took_no_guest_time() {
    let folder = folder("suite-no-guest");
    script(&folder, "usage.ron", "WaitText(\"\", 1)");
    let (status, out, _) = test(&folder, &["."]);
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("\n1 script: 0 passed, 0 failed, 1 error; 0.000 guest seconds in "), "{out}");
}

#[test]
fn filter_picks_scripts_by_their_path() {
    let folder = folder("suite-filter");
    script(&folder, "one.ron", "WaitText(\"X\", 2)");
    script(&folder, "two.ron", "ExpectText(\"no\")");
    let (status, out, _) = test(&folder, &["--filter", "one\\.ron$", "."]);
    assert_eq!((status, out.contains("1 script: 1 passed")), (Some(0), true), "{out}");
    // A file that is named twice is run once.
    let (status, out, _) = test(&folder, &["--jobs", "1", "one.ron", "one.ron"]);
    assert_eq!((status, out.contains("1 script: 1 passed")), (Some(0), true), "{out}");
}

#[test]
fn wrong_usage_is_one_line_with_status_2() {
    let folder = folder("suite-usage");
    script(&folder, "a.ron", "Wait(1)");
    std::fs::create_dir_all(folder.path("empty")).unwrap();
    for (arguments, expected) in [
        (&["empty"][..], "empty: there is no script in it; a script is a *.ron that begins with Script("),
        (&["no.ron"], "no.ron: cannot read the script: "),
        (&["--filter", "a(", "."], "--filter: \"a(\" is no regular expression: unclosed group; "),
        (&["--filter", "zzz", "."], "--filter: none of 1 scripts has a path that it matches; "),
        (&["--junit", "no/r.xml", "."], "no/r.xml: cannot write the JUnit report: "),
        (&["--jobs", "0", "."], "--jobs: 0 is out of range; give 1 to 100000 scripts"),
        (&[], "command line: "),
    ] {
        let (status, out, err) = test(&folder, arguments);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.starts_with(&format!("rvmx-emu: {expected}")) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn script_alone_is_a_whole_test_and_options_override_it() {
    let folder = folder("suite-alone");
    let text = "Script(image: \"a.img\", cpus: 2, steps: [WaitText(\"X\", 2), ExpectReg(\"ds\", 0xb800), \
                ExpectReg(\"cpu1.cpl\", 0), ExpectMem(0x7c00, \"b8 00 b8 8E\")])";
    folder.file("s.ron", text.as_bytes());
    let run = |options: &[&str]| {
        let output = emu(&folder, &[&["--snapshot", "--script", "s.ron"][..], options].concat(), false);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&[]), (Some(0), String::new()));
    let (status, err) = run(&["--cpus", "1"]);
    assert!(
        status == Some(2) && err.contains("there is no processor 1; the last is 0; give more with --cpus"),
        "{err}"
    );
}

#[test]
fn golden_screen_is_written_when_asked_for_and_compared_from_then_on() {
    let folder = folder("suite-golden");
    script(&folder, "s.ron", "WaitText(\"X\", 2), WaitStable(0.2, 2), ExpectScreen(\"golden.txt\")");
    let run = |golden| {
        let output = emu(&folder, &["--snapshot", "--script", "s.ron"], golden);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, err) = run(false);
    assert!(status == Some(2) && err.contains("UPDATE_GOLDEN=1"), "{err}");
    assert_eq!(run(true), (Some(0), String::new()));
    let golden = std::fs::read_to_string(folder.path("golden.txt")).unwrap();
    assert!(golden.starts_with('X') && golden.lines().count() == 25, "{golden}");
    assert_eq!(run(false).0, Some(0));
    folder.file("golden.txt", golden.replacen('X', "Y", 1).as_bytes());
    let (status, err) = run(false);
    assert!(status == Some(1) && err.contains("\n-Y") && err.contains("\n+X"), "{err}");
}

/// Ctrl-C ends the scripts' processes and the run.
#[test]
#[cfg(unix)]
fn signal_ends_all_processes() {
    let folder = folder("suite-signal");
    folder
        .file("s.ron", b"Script(image: \"a.img\", timeout: 100000, steps: [ScreenDump(\"begun.txt\"), Wait(100000)])");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    let child = command.current_dir(&folder).args(["test", "s.ron"]).stdout(std::process::Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let begun = (0..6000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        folder.path("begun.txt").exists()
    });
    assert!(begun, "the script runs");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{out}");
    assert!(out.contains("stop ") && out.contains("0 passed, 0 failed, 1 stopped"), "{out}");
}

#[test]
fn examples_pass_as_a_whole() {
    let folder = Folder::new("suite-examples");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let (status, out, err) = test(&folder, &[examples]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("2 scripts: 2 passed, 0 failed; "), "{out}");
}
