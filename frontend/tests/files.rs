//! Files that are written, and scripts as files: what is in the way of the one, and what is wrong with the other.

mod common;

use common::folder::Folder;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A disk whose boot sector does nothing.
fn disk(folder: &Folder) -> PathBuf {
    let mut disk = vec![0; 1 << 20];
    disk[..2].copy_from_slice(&[0xEB, 0xFE]);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("d.img", &disk)
}

/// Exit status and both outputs of the program in a folder.
fn emu(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// What the debugger says to commands, and whether it was content.
fn debugger(folder: &Folder, commands: &str) -> (Option<i32>, String) {
    disk(folder);
    emu(folder, &["debug", "--memory", "16", "--snapshot", "-c", commands, "d.img"])
}

fn is_snapshot(folder: &Folder, name: &str) -> bool {
    std::fs::read(folder.path(name)).is_ok_and(|data| data.starts_with(b"RVMXSNAP"))
}

#[test]
#[cfg(unix)]
fn snapshot_goes_to_where_a_link_leads_and_the_link_stays() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("files-link");
    std::fs::create_dir(folder.path("sub")).unwrap();
    symlink("sub/new.snap", folder.path("dangling")).unwrap();
    let old = folder.file("sub/old.snap", b"old");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("sub/old.snap", folder.path("link")).unwrap();
    assert_eq!(debugger(&folder, "save dangling; save link"), (Some(0), String::new()));
    let script = "Script(steps: [Snapshot(\"sub/x.snap\"), Snapshot(\"dangling\")])";
    folder.file("s.ron", script.as_bytes());
    let (status, text) = emu(&folder, &["--headless", "--memory", "16", "--script", "s.ron", "d.img"]);
    assert_eq!(status, Some(0), "{text}");
    for name in ["dangling", "link"] {
        assert!(folder.path(name).is_symlink() && is_snapshot(&folder, name), "{name}");
    }
    assert!(is_snapshot(&folder, "sub/new.snap") && is_snapshot(&folder, "sub/old.snap"));
    assert_eq!(std::fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o640);
    // Nothing is left beside them.
    let left = std::fs::read_dir(folder.path("sub")).unwrap().count();
    assert_eq!(left, 3);
}

#[test]
#[cfg(unix)]
fn snapshot_into_a_pipe_is_read_from_it_and_the_pipe_stays() {
    use std::os::unix::fs::FileTypeExt;
    let folder = Folder::new("files-pipe");
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()));
    std::os::unix::fs::symlink("pipe", folder.path("link")).unwrap();
    for name in ["pipe", "link"] {
        let out = std::fs::File::create(folder.path("out")).unwrap();
        let mut reader = Command::new("cat").arg(&pipe).stdout(out).spawn().expect("cat");
        assert_eq!(debugger(&folder, &format!("save {name}")), (Some(0), String::new()));
        assert!(reader.wait().unwrap().success());
        assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert!(is_snapshot(&folder, "out"));
    }
    assert!(folder.path("link").is_symlink());
}

#[test]
fn snapshot_may_have_the_longest_name() {
    let folder = Folder::new("files-long");
    let name = "s".repeat(250);
    assert_eq!(debugger(&folder, &format!("save {name}; save {name}")), (Some(0), String::new()));
    assert!(is_snapshot(&folder, &name));
    let (status, text) = debugger(&folder, "save no/x.snap");
    assert_eq!(status, Some(2));
    assert!(text.starts_with("error: no/x.snap: cannot write the snapshot: ") && !text.contains(".part"), "{text}");
    assert!(debugger(&folder, "save .").1.starts_with("error: .: cannot write the snapshot: "));
}

#[test]
fn script_with_too_many_included_steps_is_refused_at_once() {
    let folder = Folder::new("files-steps");
    disk(&folder);
    folder.file("many.ron", format!("Script(steps: [{}])", "Reset,".repeat(100_000)).as_bytes());
    folder.file("all.ron", format!("Script(steps: [{}])", "Include(\"many.ron\"),".repeat(900)).as_bytes());
    folder.file("nest.ron", b"Script(steps: [Repeat(4, [Repeat(3, [Include(\"many.ron\")])])])");
    folder.file("few.ron", b"Script(timeout: 0.01, steps: [Repeat(9, [Include(\"many.ron\")])])");
    let run = |script| emu(&folder, &["--headless", "--snapshot", "--memory", "16", "--script", script, "d.img"]);
    let problem = "with all that it repeats and includes it has more than 1000000 steps";
    for script in ["all.ron", "nest.ron"] {
        let started = Instant::now();
        let (status, text) = run(script);
        assert_eq!(status, Some(2), "{text}");
        assert_eq!(text, format!("rvmx-emu: {script}: {problem}; make it shorter\n"));
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
    assert_eq!(run("few.ron").0, Some(1));
}

#[test]
fn script_that_is_no_utf_8_is_refused_and_one_with_a_mark_is_taken() {
    let folder = Folder::new("files-text");
    disk(&folder);
    let run = |script: &str| emu(&folder, &["--headless", "--snapshot", "--memory", "16", "--script", script, "d.img"]);
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    folder.file("mark.ron", b"\xEF\xBB\xBFScript(steps: [Wait(0.001)])");
    folder.file("latin.ron", b"Script(steps: [Wait(0.001)]) // \xE9");
    folder.file("wide.ron", &utf_16("\u{FEFF}Script(steps: [Wait(0.001)])"));
    folder.file("more.ron", b"Script(steps: [Include(\"latin.ron\")])");
    assert_eq!(run("mark.ron"), (Some(0), String::new()));
    for (script, words) in [
        ("latin.ron", "latin.ron: cannot read the script: it is no UTF-8 text; "),
        ("wide.ron", "wide.ron: cannot read the script: it is UTF-16, not UTF-8 text; "),
        ("more.ron", "more.ron:1: Include(\"latin.ron\"): cannot read \"latin.ron\": it is no UTF-8 text; "),
    ] {
        let (status, text) = run(script);
        assert!(status == Some(2) && text.starts_with(&format!("rvmx-emu: {words}")), "{text}");
    }
}
