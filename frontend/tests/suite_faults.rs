//! What is in the way of `rvmx-emu test`: reports over tests, signals, names, more jobs than the host can do.

mod common;

use common::folder::Folder;
use quick_junit::{Report, TestCaseStatus};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A folder with a floppy whose boot sector does nothing.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut image = vec![0; 1_474_560];
    image[..3].copy_from_slice(&[0xFB, 0xEB, 0xFE]);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("a.img", &image);
    folder
}

const SHORT: &[u8] = b"Script(image: \"a.img\", memory: 16, steps: [Wait(0.001)])";
/// Tells that it has begun, and does not end by itself.
const LONG: &[u8] =
    b"Script(image: \"a.img\", memory: 16, timeout: 100000, steps: [ScreenDump(\"begun.txt\"), Wait(100000)])";

/// Exit status, standard output, standard error of `rvmx-emu test`.
fn test(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    let output = command.current_dir(folder).arg("test").args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn report_over_what_a_test_needs_is_refused_before_anything_runs() {
    let folder = folder("suite-over");
    folder.file("ok.ron", SHORT);
    folder.file("golden.txt", b"X\n");
    folder.file("c.img", b"x");
    folder.file("bs", b"floppya: 1_44=a.img, status=inserted\nata0-master: type=disk, path=c.img\n");
    folder.file("conf.ron", b"Script(config: \"bs\", steps: [Wait(0.001)])");
    folder.file("in.ron", b"Script(image: \"a.img\", steps: [Include(\"part.ron\"), ExpectScreen(\"golden.txt\")])");
    folder.file("part.ron", b"Script(steps: [ScreenDump(\"ran.txt\"), InsertFloppy(\"b.img\"), Restore(\"r.snap\")])");
    folder.file("b.img", b"b");
    folder.file("r.snap", b"r");
    folder.file("wrong.ron", b"Script(hda: \"w.img\", steps: [Include(\"missing.ron\")])");
    folder.file("w.img", b"w");
    for name in
        ["ok.ron", "a.img", "golden.txt", "bs", "part.ron", "b.img", "r.snap", "ran.txt", "w.img", "missing.ron"]
    {
        let before = std::fs::read(folder.path(name)).ok();
        let all = ["ok.ron", "conf.ron", "in.ron", "wrong.ron"];
        let (status, out, err) = test(&folder, &[&["--junit", name][..], &all].concat());
        assert_eq!((status, out.as_str()), (Some(2), ""), "{name}: {err}");
        assert!(err.starts_with(&format!("rvmx-emu: {name}: it is ")) && err.contains("the JUnit report"), "{err}");
        assert_eq!(std::fs::read(folder.path(name)).ok(), before, "{name}");
    }
    let (status, _, err) = test(&folder, &["--junit", "./r.xml", "ok.ron"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
}

#[cfg(unix)]
fn kill(signal: &str, id: u32) {
    let killed = Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

/// Starts `test`, one script at a time, and waits until one that does not end runs.
#[cfg(unix)]
fn begun(folder: &Folder, arguments: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    command.current_dir(folder).args(["test", "--jobs", "1"]).args(arguments);
    // Temporary files are where the test sees them.
    command.env("TMPDIR", folder.as_ref()).stdout(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    assert!(waited(|| folder.path("begun.txt").exists()), "the script runs");
    child
}

/// Waits until something holds; whether it does in the end.
#[cfg(unix)]
fn waited(holds: impl Fn() -> bool) -> bool {
    (0..6000).any(|_| {
        let done = holds();
        if !done {
            std::thread::sleep(Duration::from_millis(10));
        }
        done
    })
}

#[test]
#[cfg(unix)]
fn scripts_that_a_signal_comes_before_are_told_and_skipped_in_the_report() {
    for (signal, status) in [("-INT", 130), ("-QUIT", 131)] {
        let folder = folder(&format!("suite-skip{signal}"));
        folder.file("a.ron", LONG);
        folder.file("b.ron", SHORT);
        folder.file("c.ron", SHORT);
        let child = begun(&folder, &["--junit", "r.xml", "a.ron", "b.ron", "c.ron"]);
        kill(signal, child.id());
        let output = child.wait_with_output().expect("it ends");
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{out}");
        assert!(out.contains("3 scripts: 0 passed, 0 failed, 1 stopped, 2 not begun; "), "{out}");
        for name in ["b.ron", "c.ron"] {
            let line = out.lines().find(|line| line.contains(name)).unwrap_or_default();
            assert!(line.starts_with("skip ") && line.ends_with("not begun"), "{out}");
        }
        let xml = std::fs::read_to_string(folder.path("r.xml")).unwrap();
        assert!(!xml.lines().any(|line| line.starts_with("<testsuites ") && line.contains("skipped=")), "{xml}");
        let report = Report::deserialize_from_str(&xml).unwrap();
        let cases = &report.test_suites[0].test_cases;
        assert!(cases[1..].iter().all(|case| matches!(case.status, TestCaseStatus::Skipped { .. })), "{xml}");
        assert_eq!((report.tests, report.errors, cases.len()), (3, 1, 3), "{xml}");
        // Nothing is left.
        let folders = std::fs::read_dir(&folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(folders.count(), 0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn scripts_end_with_the_process_that_runs_them_even_if_that_is_killed() {
    let folder = folder("suite-killed");
    folder.file("a.ron", LONG);
    let mut child = begun(&folder, &["a.ron"]);
    let here = std::fs::canonicalize(&folder).unwrap();
    let others = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let alive = |path: &std::path::PathBuf| std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == here);
        processes.filter(alive).count()
    };
    assert_eq!(others(), 2);
    kill("-KILL", child.id());
    child.wait().unwrap();
    assert!(waited(|| others() == 0), "{} processes are left", others());
}

#[test]
#[cfg(unix)]
fn more_jobs_than_descriptors_run_fewer_at_a_time() {
    let folder = folder("suite-many");
    let scripts: Vec<String> = (0..30).map(|n| format!("{n}.ron")).collect();
    for name in &scripts {
        folder.file(name, SHORT);
    }
    for limit in ["24", "48"] {
        let command = format!("ulimit -n {limit}; exec \"$0\" test --jobs 30 .");
        let output =
            Command::new("sh").current_dir(&folder).args(["-c", &command, env!("CARGO_BIN_EXE_rvmx-emu")]).output();
        let output = output.expect("a shell");
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{out}");
        assert!(out.contains("30 scripts: 30 passed, 0 failed; "), "{out}");
    }
}

#[test]
#[cfg(unix)]
fn names_are_taken_and_shown_whatever_they_hold() {
    let folder = folder("suite-names");
    std::fs::create_dir(folder.path("sub")).unwrap();
    let bad = "x\u{1b}[31m\ny.ron";
    folder.file("-x.ron", SHORT);
    folder.file(bad, b"Script(image: \"a.img\", memory: 16, steps: [ExpectText(\"no\")])");
    let (status, out, err) = test(&folder, &["--junit", "r.xml", "--", "-x.ron", bad]);
    assert_eq!((status, err.as_str()), (Some(1), ""), "{out}");
    assert!(out.contains("pass  -x.ron ") && out.contains("FAIL  x\\u{1b}[31m\\ny.ron "), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
    let report = Report::deserialize_from_str(&std::fs::read_to_string(folder.path("r.xml")).unwrap()).unwrap();
    assert_eq!(report.test_suites[0].test_cases[1].name.as_str(), "x\\u{1b}[31m\\ny.ron");
    // One test by several paths is one; a link in another folder has other files.
    let here = folder.path("-x.ron").display().to_string();
    let paths = ["--filter", "-x", "--", "-x.ron", "./-x.ron", "sub/../-x.ron", &here, "."];
    let (status, out, _) = test(&folder, &paths);
    assert!(status == Some(0) && out.contains("1 script: 1 passed"), "{out}");
    std::os::unix::fs::symlink("../-x.ron", folder.path("sub/-x.ron")).unwrap();
    let (status, out, _) = test(&folder, &paths);
    assert!(status == Some(1) && out.contains("2 scripts: 1 passed, 0 failed, 1 error"), "{out}");
}

#[test]
fn script_of_a_folder_that_is_no_utf_8_is_not_left_out() {
    let folder = folder("suite-text");
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    folder.file("good.ron", &[b"\xEF\xBB\xBF", SHORT].concat());
    folder.file("latin.ron", &[SHORT, b"// \xE9"].concat());
    folder.file("wide.ron", &utf_16("\u{FEFF}Script(steps: [])"));
    folder.file("other.ron", b"Machine(memory: 16) // \xE9");
    let (status, out, _) = test(&folder, &["."]);
    assert!(status == Some(1) && out.contains("3 scripts: 1 passed, 0 failed, 2 errors"), "{out}");
    assert!(out.contains("latin.ron: cannot read the script: it is no UTF-8 text"), "{out}");
    assert!(out.contains("wide.ron: cannot read the script: it is UTF-16, not UTF-8 text"), "{out}");
}
