//! What a guest and files can do to the host: `docs/limits.md` says what they cannot.

mod common;

use common::folder::Folder;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use test_images::HOSTILE;

/// The ROM of a hostile guest.
fn guest(folder: &Folder, name: &str) -> PathBuf {
    let guest = HOSTILE.iter().find(|guest| guest.name == name).expect("a hostile guest");
    folder.file(&format!("{name}.rom"), guest.rom)
}

/// A disk whose boot sector does nothing.
fn disk(folder: &Folder) -> PathBuf {
    let mut disk = vec![0; 1 << 20];
    disk[..2].copy_from_slice(&[0xEB, 0xFE]);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("d.img", &disk)
}

fn emulator() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
}

fn run(command: &mut Command) -> (Option<i32>, Output) {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    (output.status.code(), output)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn output_over_the_disk_is_refused_and_the_disk_stays() {
    let folder = Folder::new("host-same");
    let disk = disk(&folder);
    let before = std::fs::read(&disk).expect("the disk");
    for option in
        ["--serial", "--debugcon", "--screen-dump", "--screenshot", "--log-file", "--record", "--dump-state", "--trace"]
    {
        for snapshot in [false, true] {
            let mut command = emulator();
            command.args(["--headless", "--max-time", "0.01", option]).arg(&disk).arg(&disk);
            command.args(snapshot.then_some("--snapshot"));
            let (status, output) = run(&mut command);
            let told = errors(&output);
            assert_eq!(status, Some(2), "{option}: {told}");
            assert!(told.contains("it is the image of hda") && told.lines().count() == 1, "{option}: {told}");
            assert!(std::fs::read(&disk).expect("the disk") == before, "{option}");
        }
    }
    let script = folder.file("s.ron", format!("Script(timeout: 1, steps: [ScreenDump({disk:?})])").as_bytes());
    let (status, output) = run(emulator().args(["--headless", "--script"]).arg(script).arg(&disk));
    assert_eq!(status, Some(2), "{}", errors(&output));
    let golden = folder.file("golden.txt", b"X\n");
    let script = folder.file("g.ron", format!("Script(timeout: 1, steps: [ExpectScreen({golden:?})])").as_bytes());
    let mut command = emulator();
    command.args(["--headless", "--script"]).arg(script).arg("--screen-dump").arg(&golden).arg(&disk);
    let (status, output) = run(&mut command);
    assert_eq!(status, Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("it is a golden screen"), "{}", errors(&output));
    assert_eq!(std::fs::read(&golden).expect("the screen"), b"X\n");
    let both = folder.path("both");
    let mut command = emulator();
    command.args(["--headless", "--max-time", "0.01", "--serial"]).arg(&both).arg("--debugcon").arg(&both).arg(&disk);
    assert_eq!(run(&mut command).0, Some(2));
    assert!(std::fs::read(&disk).expect("the disk") == before);
}

#[test]
#[cfg(target_os = "linux")]
fn input_without_end_is_an_error_that_names_the_bound() {
    let folder = Folder::new("host-endless");
    let disk = disk(&folder);
    let sparse = folder.path("sparse");
    std::fs::File::create(&sparse).and_then(|file| file.set_len(15 << 40)).expect("a sparse file");
    let include = folder.file("bochsrc", b"#include /dev/zero\n");
    for endless in [Path::new("/dev/zero"), &sparse] {
        for option in ["--rom", "--vga-rom", "-f", "--script", "--restore", "--replay", "--kernel", "--initrd"] {
            let mut command = emulator();
            command.args(["--headless", "--memory", "16", option]).arg(endless);
            if option == "--initrd" {
                command.arg("--kernel").arg(&disk);
            } else if !["-f", "--kernel"].contains(&option) {
                command.arg(&disk);
            }
            let (status, output) = run(&mut command);
            assert_eq!(status, Some(2), "{option}: {}", errors(&output));
            assert_eq!(errors(&output).lines().count(), 1, "{option}: {}", errors(&output));
        }
        let (status, output) = run(emulator().arg("vmcs-lint").arg(endless));
        assert_eq!(status, Some(2), "{}", errors(&output));
    }
    let (status, output) = run(emulator().args(["--headless", "-f"]).arg(include));
    assert_eq!(status, Some(2));
    assert!(errors(&output).contains("too many for a text file"), "{}", errors(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn log_file_on_a_full_disk_is_one_message_and_status_2() {
    let folder = Folder::new("host-log");
    let rom = guest(&folder, "msrs");
    let mut command = emulator();
    command.args(["--headless", "--max-time", "0.005", "--log-file", "/dev/full", "--rom"]).arg(rom);
    let (status, output) = run(&mut command);
    assert_eq!(status, Some(2), "{}", errors(&output));
    assert_eq!(errors(&output).matches("/dev/full: cannot write the log").count(), 1, "{}", errors(&output));
}

#[test]
fn log_lines_that_a_guest_causes_have_a_bound_that_is_told() {
    let folder = Folder::new("host-flood");
    let rom = guest(&folder, "msrs");
    let log = folder.path("log");
    let mut command = emulator();
    command.args(["--headless", "--max-time", "0.02", "--log-file"]).arg(&log).arg("--rom").arg(rom);
    assert_eq!(run(&mut command).0, Some(4));
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(text.lines().count() < 1100, "{} lines", text.lines().count());
    assert_eq!(text.matches("no more of them are logged").count(), 1);
}

#[test]
fn picture_of_any_vbe_registers_is_a_picture() {
    let folder = Folder::new("host-vbe");
    let rom = guest(&folder, "frame_buffer");
    for time in ["0.0001", "0.0007", "0.003", "0.01"] {
        let picture = folder.path("p.png");
        let mut command = emulator();
        command.args(["--headless", "--max-time", time, "--screenshot"]).arg(&picture).arg("--rom").arg(&rom);
        let (status, output) = run(&mut command);
        assert_eq!(status, Some(4), "{}", errors(&output));
        assert!(std::fs::metadata(&picture).expect("the picture").len() > 50);
    }
}

#[test]
fn run_of_a_guest_that_only_resets_comes_to_its_limits() {
    let folder = Folder::new("host-resets");
    for (name, options) in [("resets", [].as_slice()), ("triple_faults", &["--reset-on-triple-fault"])] {
        let rom = guest(&folder, name);
        let mut command = emulator();
        command.args(["--headless", "--max-time", "0.00001", "--rom"]).arg(&rom).args(options);
        let (status, output) = run(&mut command);
        assert_eq!(status, Some(4), "{name}: {}", errors(&output));
    }
}

/// How long a run that is told to end may take for it here: many tests share the host.
#[cfg(unix)]
const END: Duration = Duration::from_secs(10);

/// Ends a run by SIGTERM; its status.
#[cfg(unix)]
fn terminate(child: std::process::Child) -> Option<i32> {
    std::thread::sleep(Duration::from_millis(500));
    terminate_now(child)
}

fn terminate_now(mut child: std::process::Child) -> Option<i32> {
    let signal = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(signal.success());
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        if started.elapsed() > END {
            child.kill().expect("a child");
            child.wait().expect("a child");
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[cfg(unix)]
fn input_from_a_pipe_that_nobody_writes_into_is_refused() {
    let folder = Folder::new("host-pipe-in");
    let disk = disk(&folder);
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()));
    let fifo = fifo.to_str().expect("a name");
    let disk = disk.to_str().expect("a name");
    let item = format!("name=opt/x,file={fifo}");
    let uefi = format!("--uefi={fifo}");
    let start = |arguments: &[&str]| {
        let mut child = emulator();
        child.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        child.spawn().expect("the program")
    };
    let run = |arguments: &[&str]| start(&[&["--headless", "--max-time", "0.01", "--snapshot"], arguments].concat());
    let children = [
        run(&["--config", fifo]),
        run(&["--script", fifo, disk]),
        run(&["--rom", fifo]),
        run(&["--vga-rom", fifo, disk]),
        run(&[&uefi]),
        run(&["--uefi", "--uefi-vars", fifo]),
        run(&["--fw-cfg", &item, disk]),
        run(&["--kernel", fifo]),
        run(&["--kernel", disk, "--initrd", fifo]),
        run(&["--restore", fifo, disk]),
        start(&["--headless", "--snapshot", "--replay", fifo, disk]),
        run(&["--medium", fifo, disk]),
        run(&["--hda", fifo]),
        run(&["--fda", fifo]),
        run(&["--cdrom", fifo]),
        run(&["--fat", fifo]),
        run(&["--cpu-model", &format!("{fifo}.ron"), disk]),
        run(&[fifo]),
        start(&["debug", "--snapshot", "-x", fifo, disk]),
        start(&["vmcs-lint", fifo]),
        start(&["vmcs-lint", "--caps", fifo, disk]),
        start(&["cpu-models", "--import", fifo]),
    ];
    let suite = start(&["test", fifo]);
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(2), "{number}: {}", errors(&output));
        assert!(errors(&output).contains(fifo), "{number}: {}", errors(&output));
    }
    // A script that is wrong counts as one that has failed.
    assert_eq!(suite.wait_with_output().expect("it ends").status.code(), Some(1));
}

#[test]
#[cfg(unix)]
fn run_whose_output_nobody_takes_ends_at_the_first_signal() {
    let folder = Folder::new("host-blocked");
    let rom = guest(&folder, "port_e9");
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()));
    // A pipe that is full.
    let mut child = emulator();
    child.arg("--headless").arg("--rom").arg(&rom).stdout(Stdio::piped()).stderr(Stdio::null());
    assert_eq!(terminate(child.spawn().expect("the program")), Some(2));
    // Pipes that nobody opens.
    for option in ["--screen-dump", "--screenshot", "--dump-state", "--trace", "--serial", "--debugcon", "--record"] {
        let mut child = emulator();
        child.args(["--headless", "--max-time", "0.001", option]).arg(&fifo).arg("--rom").arg(&rom);
        child.stdout(Stdio::null()).stderr(Stdio::null());
        let status = terminate(child.spawn().expect("the program"));
        assert!([Some(2), Some(4)].contains(&status), "{option}: {status:?}");
    }
    let script = folder.file("s.ron", format!("Script(timeout: 1, steps: [ScreenDump({fifo:?}), Wait(5)])").as_bytes());
    let mut child = emulator();
    child
        .args(["--headless", "--script"])
        .arg(script)
        .arg("--rom")
        .arg(&rom)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    assert_eq!(terminate(child.spawn().expect("the program")), Some(2));
}

#[test]
#[cfg(unix)]
fn script_of_steps_without_guest_time_ends_at_the_first_signal() {
    let folder = Folder::new("host-steps");
    let disk = disk(&folder);
    let begun = folder.path("begun");
    let steps = "Reset,".repeat(170_000);
    let script = format!("Script(timeout: 1000, steps: [ScreenDump({begun:?}),{steps}])");
    let script = folder.file("r.ron", script.as_bytes());
    let mut child = emulator();
    child.args(["--headless", "--script"]).arg(script).arg(disk).stdout(Stdio::null()).stderr(Stdio::null());
    let child = child.spawn().expect("the program");
    while !begun.exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(terminate_now(child), Some(128 + 15));
}

#[test]
#[cfg(target_os = "linux")]
fn standard_input_that_the_guest_does_not_read_is_left_with_its_sender() {
    let folder = Folder::new("host-stdin");
    let rom = guest(&folder, "spin");
    let mut child = emulator();
    child.args(["--headless", "--serial", "stdio", "--rom"]).arg(&rom);
    child.stdin(std::fs::File::open("/dev/zero").expect("zeros")).stdout(Stdio::null()).stderr(Stdio::null());
    let child = child.spawn().expect("the program");
    std::thread::sleep(Duration::from_millis(500));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    assert_eq!(terminate(child), Some(128 + 15));
    assert!(kib < 256 << 10, "{kib} KiB");
}

#[test]
#[cfg(unix)]
fn signal_ends_a_run_with_much_memory_without_a_hash_and_says_so() {
    let folder = Folder::new("host-hash");
    let rom = guest(&folder, "spin");
    let recording = folder.path("run.rec");
    for (memory, hashed) in [("64", true), ("2048", false)] {
        let mut child = emulator();
        child.args(["--headless", "--stats", "--memory", memory, "--record"]).arg(&recording).arg("--rom").arg(&rom);
        let errors = folder.path("errors");
        child.stdout(Stdio::null()).stderr(std::fs::File::create(&errors).expect("a file"));
        assert_eq!(terminate(child.spawn().expect("the program")), Some(128 + 15));
        let told = std::fs::read_to_string(&errors).expect("what was told");
        assert_eq!(told.contains("\"state_hash\":\""), hashed, "{told}");
        assert_eq!(told.contains("\"state_hash\":null"), !hashed, "{told}");
        assert_eq!(told.contains("the state's hash is left out"), !hashed, "{told}");
        // Cycle and instructions are compared all the same.
        let mut replay = emulator();
        replay.args(["--headless", "--memory", memory, "--replay"]).arg(&recording).arg("--rom").arg(&rom);
        let (status, output) = run(&mut replay);
        assert_eq!(status, Some(0), "{}", self::errors(&output));
    }
}
