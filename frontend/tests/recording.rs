//! A recorded run made again: by the program, and in other pieces.

mod common;

use common::folder::Folder;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rvmx_emu::config::{AtaDrive, DisplayKind, MachineConfig};
use rvmx_emu::machine::{Machine, RunResult};
use rvmx_emu::pc::{self, PcMachine};
use rvmx_emu::recording::{Final, Recording, describe};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/");

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "none", "--stats"])
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Instructions, cycles and state hash of a run's counters.
fn counts(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let json = text.lines().find(|line| line.starts_with('{')).expect("--stats prints a line");
    let parts = json.trim_end_matches('}').split(',');
    parts.filter(|part| ["instr", "cycles", "state"].iter().any(|name| part.contains(name))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("names are UTF-8")
}

/// Records `image` with keys at odd times; the recording and the run's counters.
fn record(folder: &Folder, image: &str, cpus: &str) -> (PathBuf, String) {
    let (script, recording) = (folder.path("keys.ron"), folder.path("run.rec"));
    let steps = "Wait(0.3137), Key(\"F2\"), Wait(0.0713), Type(\"hello\"), KeyDown(\"LeftShift\"), Wait(0.20001), \
                 SendSerial(\"a line\\n\"), Key(\"1\"), Wait(0.1), Reset, Wait(0.417), SendSerial(\"the last cycle\")";
    std::fs::write(&script, format!("Script(timeout: 60, steps: [{steps}])")).expect("the folder is there");
    let image = format!("{IMAGES}{image}");
    let output = run(&[&image, "--cpus", cpus, "--script", text(&script), "--record", text(&recording)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    (recording, counts(&output))
}

#[test]
fn recording_with_keys_at_odd_times_is_replayed_to_the_same_state() {
    let folder = Folder::new("replay");
    let (recording, recorded) = record(&folder, "demo.img", "1");
    let image = format!("{IMAGES}demo.img");
    let output = run(&[&image, "--replay", text(&recording)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(counts(&output), recorded);
    let output = run(&[&image, "--replay", text(&recording), "--cpus", "2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--cpus was 1, and is 2"));
    let output = run(&[&format!("{IMAGES}smp.img"), "--replay", text(&recording)]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("the recorded machine differs: hda was disk, "), "{message}");
    assert!(!message.contains("None") && !message.contains("Some"), "{message}");
}

#[test]
fn recording_of_a_run_that_ended_by_itself_or_by_a_limit_is_replayed_to_that_end() {
    let folder = Folder::new("replay-end");
    let (recording, image) = (folder.path("run.rec"), folder.path("off.img"));
    // cli; cld; xor ax,ax; mov ds,ax; mov si,7C14h; mov dx,8900h; mov cx,8; lodsb; out dx,al; loop; hlt
    let code = b"\xFA\xFC\x31\xC0\x8E\xD8\xBE\x14\x7C\xBA\x00\x89\xB9\x08\x00\xAC\xEE\xE2\xFC\xF4Shutdown";
    let mut disk = vec![0; 600_000];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    std::fs::write(&image, disk).expect("the folder is there");
    for (limit, status) in [("60", 0), ("0.003", 4)] {
        let ended = run(&[text(&image), "--max-time", limit, "--record", text(&recording)]);
        assert_eq!(ended.status.code(), Some(status), "{}", String::from_utf8_lossy(&ended.stderr));
        let output = run(&[text(&image), "--replay", text(&recording)]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(counts(&output), counts(&ended));
    }
}

#[test]
fn recording_that_begins_at_a_snapshot_is_replayed_from_that_snapshot_and_no_other_start() {
    let folder = Folder::new("replay-restore");
    let (script, snapshot, recording) = (folder.path("s.ron"), folder.path("s.snap"), folder.path("run.rec"));
    let image = format!("{IMAGES}smp.img");
    let passes = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        counts(&output)
    };
    let write =
        |steps: &str| std::fs::write(&script, format!("Script(steps: [{steps}])")).expect("the folder is there");
    write(&format!("Wait(0.2501), Key(\"a\"), Snapshot({snapshot:?})"));
    passes(run(&[&image, "--cpus", "2", "--script", text(&script)]));
    write("Wait(0.05003), Type(\"hi\"), SendSerial(\"x\"), Wait(0.1)");
    let start = [&image, "--cpus", "2", "--restore", text(&snapshot)];
    let recorded = passes(run(&[&start[..], &["--script", text(&script), "--record", text(&recording)]].concat()));
    let replayed = passes(run(&[&start[..], &["--replay", text(&recording)]].concat()));
    assert_eq!(replayed, recorded);
    let output = run(&[&image, "--cpus", "2", "--replay", text(&recording)]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("--restore was a snapshot of ") && message.contains(", and is not given;"), "{message}");
}

#[test]
fn recording_with_changed_media_and_the_mouse_is_replayed_with_the_media_at_hand() {
    let folder = Folder::new("replay-media");
    let (script, recording) = (folder.path("s.ron"), folder.path("run.rec"));
    let disks = ["a.img", "b.img"].map(|name| folder.path(name));
    for (disk, size) in disks.iter().zip([1_474_560, 737_280]) {
        std::fs::write(disk, vec![size as u8; size]).expect("the folder is there");
    }
    let steps = format!(
        "Wait(0.2), Insert(\"fda\", {b:?}), MouseMove(5, 9), Click(Left), Eject(\"fda\"), Wait(0.1), \
         Insert(\"fda\", {a:?}), Wait(0.1), Insert(\"fda\", {b:?})",
        a = disks[0],
        b = disks[1]
    );
    std::fs::write(&script, format!("Script(steps: [{steps}])")).expect("the folder is there");
    let image = format!("{IMAGES}demo.img");
    let machine = ["--hda", &image, "--fda", text(&disks[0]), "--boot", "disk"];
    let with = |more: &[&str]| run(&[&machine[..], more].concat());
    let recorded = with(&["--script", text(&script), "--record", text(&recording)]);
    assert_eq!(recorded.status.code(), Some(0), "{}", String::from_utf8_lossy(&recorded.stderr));
    let output = with(&["--replay", text(&recording), "--medium", text(&disks[1])]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(counts(&output), counts(&recorded));
    let output = with(&["--replay", text(&recording)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("give its image with --medium"));
    // This machine has no CD-ROM drive.
    std::fs::write(&script, format!("Script(steps: [Wait(0.1), Insert(\"cdrom\", {:?})])", disks[1]))
        .expect("it is there");
    let output = with(&["--script", text(&script)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("give the drive a disc with --cdrom FILE"));
}

fn machine(image: &str, cpus: u32) -> (MachineConfig, PcMachine) {
    let config = MachineConfig {
        cpus,
        hda: Some(AtaDrive::Disk { image: format!("{IMAGES}{image}").into(), geometry: None }),
        boot: vec![rvmx_emu::config::BootDevice::Disk],
        snapshot: true,
        display: Some(DisplayKind::None),
        ..MachineConfig::default()
    };
    let machine = pc::build(&config, None).expect("the image is there");
    (config, machine)
}

#[test]
fn recording_replayed_in_any_pieces_ends_in_the_recorded_state() {
    let folder = Folder::new("replay-pieces");
    for (image, cpus) in [("demo.img", 1), ("smp.img", 4)] {
        let (path, _) = record(&folder, image, &cpus.to_string());
        let recording = Recording::read(&path).unwrap();
        for seed in [1u64, 77] {
            let (config, mut machine) = machine(image, cpus);
            assert_eq!(recording.check(&path, &describe(&config, None, None).unwrap()), Ok(()));
            let (mut replay, mut random) = (recording.replay(), SplitMix64::seed_from_u64(seed));
            let last = replay.last_cycle(machine.hz());
            while machine.now() < last {
                let most = 1 << (random.next_u64() % 32);
                let piece = 1 + random.next_u64() % most;
                let horizon = replay.feed(&mut machine).unwrap();
                let end = machine.run_until((machine.now() + piece).min(horizon).min(last));
                assert_eq!(end, RunResult::Limit, "{image}");
            }
            let here = Final::of(&machine, None);
            assert_eq!(
                here.difference(recording.end().expect("the run came to its end")),
                None,
                "{image}, seed {seed}"
            );
        }
    }
}

#[test]
#[cfg(unix)]
fn recording_of_a_killed_run_is_replayed_as_far_as_it_goes() {
    let folder = Folder::new("replay-killed");
    let (recording, script) = (folder.path("run.rec"), folder.path("s.ron"));
    let image = format!("{IMAGES}demo.img");
    let steps = "Wait(0.2), Type(\"hello\"), SendSerial(\"a line\\n\"), Wait(0.1), Key(\"F2\"), Wait(1000)";
    std::fs::write(&script, format!("Script(timeout: 2000, steps: [{steps}])")).expect("the folder is there");
    let mut child = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--snapshot", "--debugcon", "none", "--realtime", &image, "--script", text(&script)])
        .args(["--record", text(&recording)])
        .spawn()
        .expect("the program starts");
    // The description, five letters, a line and a key down and up; then how far the run is.
    let whole = || Recording::read(&recording).ok().filter(|recording| recording.replay().last_cycle(0) > 75_000_000);
    let started = std::time::Instant::now();
    while whole().is_none() && started.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().and_then(|()| child.wait()).expect("a child");
    let reached = whole().expect("the host has the recording so far").reached();
    let output = run(&[&image, "--replay", text(&recording)]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains(&format!("the recorded run was killed; it is replayed to cycle {reached},")), "{message}");
    let cycles: u64 = counts(&output)
        .split("\"cycles\":")
        .nth(1)
        .map_or(0, |rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number"));
    assert!(cycles >= reached, "{cycles} of {reached}");
    // One that was killed before it began.
    std::fs::write(&recording, b"RVMXREC\x03").expect("the folder is there");
    let output = run(&[&image, "--replay", text(&recording)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("was cut off before it began"));
}
