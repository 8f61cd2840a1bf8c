//! Options of a run, of the command line and of a configuration, in the debugger: they hold, or are refused.

mod common;

use common::folder::Folder;
use std::process::Command;

#[test]
fn options_that_the_debugger_cannot_honour_are_refused() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/modes.img");
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(arguments).arg(image).output().expect("the program runs")
    };
    for options in [
        &["--stats"][..],
        &["--realtime"],
        &["--wall-time", "9"],
        &["--dump-state", "x.txt"],
        &["--screen-dump", "x.txt"],
        &["--screenshot", "x.png"],
    ] {
        for command in [&["debug", "--snapshot", "-c", "ptime"][..], &["--headless", "--snapshot", "--gdb", "0"]] {
            let output = run(&[command, options].concat());
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
            assert!(text.contains(options[0]) && text.contains("the debugger does not take it"), "{text}");
        }
    }
    let help = run(&["debug", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout);
    for option in [
        "--stats",
        "--dump-state",
        "--dump-config",
        "--script",
        "--record",
        "--replay",
        "--trace ",
        "--vmcs-dump",
        "--realtime",
        "--wall-time",
    ] {
        assert!(!help.contains(option), "{option}: {help}");
    }
    assert!(help.contains("--max-time") && help.contains("--cpu-model"), "{help}");
}

#[test]
fn run_of_a_configuration_holds_in_the_debugger_or_is_refused_by_its_field() {
    let folder = Folder::new("debugger-run");
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/modes.img");
    let run = |fields: &str, command: &[&str]| {
        let text = format!("Machine(hda: Disk(image: {image:?}), snapshot: true, ips: 1000000, run: ({fields}))");
        let file = folder.file("c.ron", text.as_bytes());
        let mut program = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
        let output = program.args(command).arg("-f").arg(&file).output().expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (status, said, _) = run("max_time: 0.001", &["debug", "-c", "c; ptime"]);
    assert_eq!(status, Some(0));
    assert!(said.contains("0.001 guest seconds (--max-time)") && said.contains("1000"), "{said}");
    for (field, value) in [
        ("max_instructions", "9"),
        ("wall_time", "9.0"),
        ("script", "\"s.ron\""),
        ("screen_dump", "\"x\""),
        ("screenshot", "\"x\""),
        ("dump_state", "\"x\""),
        ("trace", "\"x\""),
        ("vmcs_dump", "\"x\""),
        ("stats", "true"),
    ] {
        folder.file("s.ron", b"Script(steps: [Wait(1)])");
        let fields = format!("{field}: {value}");
        for command in [&["debug", "-c", "ptime"][..], &["--headless", "--gdb", "0"]] {
            let (status, _, told) = run(&fields, command);
            let expected =
                format!("c.ron: run: {field}: the debugger does not take it; take it out for the debugger; ");
            assert!(status == Some(2) && told.contains(&expected), "{field}: {told}");
        }
    }
}
