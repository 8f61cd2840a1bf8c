//! Wrong values, of every option and of every field and step: told in words of ours, with the name of what is wrong.

mod common;

use clap::CommandFactory;
use common::folder::Folder;
use rvmx_emu::cli::{Cli, Parsed, parse, settings};
use rvmx_emu::config::sources::Host;
use rvmx_emu::config::{MachineConfig, dump, ron};
use rvmx_emu::script;
use std::path::Path;
use std::process::Command;

/// What libraries say, which means nothing to a user.
const RAW: [&str; 22] = [
    "invalid digit",
    "invalid float",
    "invalid value",
    "invalid type",
    "invalid length",
    "non-zero",
    "not in 1..",
    "..=",
    "number too ",
    "empty string",
    "isn't a valid",
    "expected one of",
    "Expected ",
    "Unexpected ",
    "variant",
    "out of bounds",
    "u32",
    "u64",
    "integer `",
    "the string ",
    "Some(",
    " { ",
];

fn check(told: &str, what: &str, names: &[&str]) {
    assert!(names.iter().any(|name| told.contains(name)), "{what}: {told}");
    for raw in RAW {
        // Ranges and values of ours hold none of them; a value that was given is in quotes.
        assert!(!told.contains(raw), "{what}: {raw:?}: {told}");
    }
    assert!(!told.chars().any(char::is_control) && told.len() < 3000, "{what}: {told}");
    assert!(told.contains("; "), "no remedy: {what}: {told}");
}

/// One disk.
struct OneDisk;

impl Host for OneDisk {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn size(&self, path: &Path) -> Option<u64> {
        (path == Path::new("c.img")).then_some(1 << 20)
    }

    fn read_text(&self, _path: &Path) -> Result<String, String> {
        Err("not found".to_owned())
    }

    fn now(&self) -> i64 {
        0
    }
}

fn values() -> Vec<String> {
    let values =
        ["", "abc", "-1", "99999999999999999999", "1x", "0", "0x", "nan", "-x", "1.5", "a\u{1b}[2J,b", ",", "="];
    values.into_iter().map(str::to_owned).chain(["@".repeat(5000)]).collect()
}

#[test]
fn every_option_with_a_wrong_value_is_told_by_its_name_and_what_is_right() {
    let command = Cli::command();
    let mut told = 0;
    let others = ["debug", "vmcs-lint", "test", "cpu-models"].map(|name| command.find_subcommand(name));
    for own in [&command].into_iter().chain(others.into_iter().flatten()) {
        let first = own.get_name();
        for argument in own.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let names: Vec<String> = argument
                .get_long()
                .map(|long| format!("--{long}"))
                .into_iter()
                .chain(argument.get_short().map(|short| format!("-{short}")))
                .collect();
            let Some(option) = names.first() else { continue };
            for value in values() {
                let given = if argument.is_require_equals_set() {
                    vec![format!("{option}={value}")]
                } else {
                    vec![option.clone(), value.clone()]
                };
                let command = (first != "rvmx-emu").then(|| first.to_owned());
                let line = ["rvmx-emu".to_owned()].into_iter().chain(command).chain(given).chain(["c.img".to_owned()]);
                let outcome = match parse(line) {
                    Err(error) => Err(error),
                    Ok(Parsed::Cli(cli)) if cli.command.is_none() => settings(&OneDisk, &cli.run).map(drop),
                    Ok(_) => Ok(()),
                };
                if let Err(error) = outcome {
                    told += 1;
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    check(&error.to_string(), &format!("{first} {option} {value:.40?}"), &names);
                }
            }
        }
    }
    assert!(told > 300, "{told} mistakes");
}

/// What may stand in a file where something else is meant.
const PIECES: [&str; 16] = [
    "",
    "\"abc\"",
    "\"\"",
    "-1",
    "99999999999999999999",
    "1x",
    "0",
    "foo",
    "foo(1)",
    "[1]",
    "[",
    "(",
    "1.5",
    "true",
    "\"a",
    "(a: 1)",
];

#[test]
fn every_field_of_a_configuration_with_a_wrong_value_is_told_by_its_name() {
    let all = dump::text(&MachineConfig::default()).expect("it can be written");
    let mut fields: Vec<&str> =
        all.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name).collect();
    fields.retain(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    assert!(fields.len() > 40, "{fields:?}");
    let mut told = 0;
    for field in fields {
        for piece in PIECES {
            for text in [format!("Machine(\n{field}: {piece},\n)"), format!("Machine(\nrun: ({field}: {piece}),\n)")] {
                if let Err(error) = ron::parse(Path::new("m.ron"), &text) {
                    told += 1;
                    let error = error.to_string();
                    assert!(error.starts_with("m.ron:"), "{text}: {error}");
                    check(&error, &text, &[field]);
                }
            }
        }
    }
    assert!(told > 500, "{told} mistakes");
}

#[test]
fn every_step_with_wrong_values_is_told_by_its_name() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/script/step.rs")).expect("a source");
    let forms = text.split("const FORMS").nth(1).and_then(|forms| forms.split("];\n").next()).expect("the forms");
    let steps: Vec<&str> =
        forms.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(steps.len() > 40, "{steps:?}");
    let mut told = 0;
    for step in steps {
        for first in PIECES {
            for second in ["", ", -1", ", \"x\"", ", 1, 2, 3", ", 99999999999999999999"] {
                let text = format!("Script(steps: [\n{step}({first}{second})])");
                if let Err(error) = script::parse(Path::new("s.ron"), &text) {
                    told += 1;
                    let error = error.to_string();
                    assert!(error.starts_with("s.ron:"), "{text}: {error}");
                    check(&error, &text, &[step]);
                }
            }
        }
    }
    assert!(told > 2000, "{told} mistakes");
}

#[test]
fn wrong_words_of_files_have_a_nearest_one_and_the_list_if_it_is_short() {
    let configuration = |text: &str| ron::parse(Path::new("m.ron"), text).expect_err(text).to_string();
    let script = |text: &str| script::parse(Path::new("s.ron"), text).expect_err(text).to_string();
    for (told, expected) in [
        (
            configuration("Machine(\n  memroy: 5,\n)"),
            "m.ron:2:9: there is no field \"memroy\"; the nearest name is memory; see docs/config.md",
        ),
        (
            configuration("Machine(\n  boot: [flopy],\n)"),
            "m.ron:2:15: boot: there is no \"flopy\"; give one of disk, floppy, cdrom; did you mean floppy?",
        ),
        (configuration("Machine(cpus: 3x)"), "cpus: 3x is no number that can stand here; give 1 to 254 processors"),
        (configuration("Machine(cpus: -1)"), "cpus: -1 is out of range; give 1 to 254 processors"),
        (configuration("Machine(cpus: 99999999999)"), "cpus: 99999999999 is out of range; give 1 to 254 processors"),
        (configuration("Machine(snapshot: 1)"), "snapshot: 1 is neither true nor false; give true or false"),
        (
            configuration("Machine(memory: 1.5)"),
            "memory: 1.5 cannot stand here; give 1 to 65536 MiB, or a text with a unit",
        ),
        (script("Script(memory: \"1Q\", steps: [])"), "memory: \"1Q\" is no size; write 512, 512M or 1G"),
        (
            script("Script(steps: [WaitTxt(\"a\", 1)])"),
            "there is no \"WaitTxt\"; the nearest name is WaitText; see docs/scripting.md",
        ),
        (
            script("Script(steps: [Wait(\"a\")])"),
            "Wait: \"a\" is no number that can stand here; write Wait(seconds), with 0 to 1000000",
        ),
        (script("Script(steps: [WaitText(\"a\")])"), "WaitText: "),
        (script("Scrip(steps: [])"), "\"Scrip\" is not what the file begins with; write Script("),
        (script("Script(cpus: 1)"), "the field steps is missing"),
    ] {
        assert!(told.contains(expected), "{told}\n{expected}");
    }
    let whole = |memory: &str| {
        script::parse(Path::new("s.ron"), &format!("Script(memory: {memory}, steps: [])")).map(|s| s.memory)
    };
    for memory in ["1024", "\"1G\"", "\"1024\"", "Some(1024)"] {
        assert_eq!(whole(memory), Ok(Some(1024)), "{memory}");
    }
}

#[test]
fn file_that_is_no_text_is_told_without_its_bytes() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-binary-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let wild: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text: Vec<u8> = wild.iter().map(|byte| if *byte == 0 { 0x1B } else { *byte }).collect();
    for (name, bytes) in [("wild", &wild), ("wild.ron", &wild), ("text", &text), ("text.ron", &text)] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        for option in ["-f", "--script", "--cpu-model", "--restore", "--replay"] {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
            command.args(["--headless", "--max-time", "0.001", "--kernel"]).arg(&path).arg(option).arg(&path);
            let output = command.output().expect("the program starts");
            let told = String::from_utf8(output.stderr).expect("it is text");
            assert_eq!(output.status.code(), Some(2), "{option} {name}: {told}");
            let unseen = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!told.contains(unseen) && told.len() < 20_000, "{option} {name}: {told}");
            assert!(told.lines().all(|line| line.chars().count() < 2200), "{option} {name}: {told}");
        }
    }
    std::fs::remove_dir_all(&folder).expect("it can go");
}

/// What says nothing, says it twice, or asks for what cannot be: refused, never taken silently.
#[test]
fn options_that_say_nothing_or_twice_are_refused_with_the_remedy() {
    let folder = Folder::new("say-nothing");
    folder.file("c.img", &[0; 512 * 64]);
    folder.file("nothing.ron", b"Script(image: \"c.img\", steps: [])");
    folder.file("port.ron", b"Script(image: \"c.img\", debug_exit: 0x60, steps: [Wait(1)])");
    folder.file("far.ron", b"Script(image: \"c.img\", debug_exit: 0xfffd, steps: [Wait(1)])");
    folder.file("binary", b"\x7FELF\0\0\0");
    for (arguments, told) in [
        (&["--debug-exit", "0xfffe", "c.img"][..], "0xfffe: the device has four ports; give 0 to 0xfffc"),
        (&["--boot", "disk,disk", "c.img"], "--boot: disk stands there twice; give each device once"),
        (&["--set", "", "c.img"], "--set: it is empty; give an option and its value, as in --set 'cpu: count=4'"),
        (&["--vmcs-dump", "v.txt,all,all", "c.img"], "all stands there twice; give it once"),
        (&["--serial", "unix:gone/x", "c.img"], "; give a path whose folders are there"),
        (&["--script", "nothing.ron"], "nothing.ron: steps: it does nothing; give at least one step"),
        (&["--script", "port.ron"], "port.ron: debug_exit: 0x60 to 0x63: port 0x61 is of another device"),
        (&["--script", "far.ron"], "far.ron: debug_exit: 0xfffd: the device has four ports; give 0 to 0xfffc"),
        (&["completions"], "the shell is missing; give one of bash, "),
        (&["vmcs-lint", "binary"], "binary: it is no text; give a VMCS as text"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
        if arguments[0].starts_with("--") {
            command.arg("--headless");
        }
        let output = command.args(arguments).current_dir(&folder).output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(told) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
}
