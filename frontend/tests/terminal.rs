//! The terminal display and the serial console on a terminal of the test's own, which nobody reads, or somebody does.
#![cfg(target_os = "linux")]

mod common;

use common::folder::Folder;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take to its end: many tests share the host.
const END: Duration = Duration::from_secs(10);

/// A terminal: the side of its user, and the other's name.
fn terminal() -> (File, PathBuf) {
    terminal_of(100, 30)
}

fn terminal_of(columns: u16, rows: u16) -> (File, PathBuf) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has terminals");
    grantpt(&user).and_then(|()| unlockpt(&user)).expect("the host has terminals");
    tcsetwinsize(&user, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("a terminal");
    let name = ptsname(&user, Vec::new()).expect("it has a name").into_bytes();
    (File::from(user), std::ffi::OsString::from_vec(name).into())
}

/// A disk whose guest fills the screen with ever new characters, and writes a byte to port E9h for each screen.
fn disk(folder: &Folder) -> PathBuf {
    // mov ax,0B800h; mov es,ax; cld; again: xor di,di; mov cx,2000; rep stosw; inc ax; out 0E9h,al; jmp again
    bootable(folder, b"\xB8\x00\xB8\x8E\xC0\xFC\x31\xFF\xB9\xD0\x07\xF3\xAB\x40\xE6\xE9\xEB\xF4")
}

fn bootable(folder: &Folder, code: &[u8]) -> PathBuf {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    folder.file("d.img", &disk)
}

fn start(folder: &Folder, name: &Path, log: &Path) -> Child {
    run_on(name, &["--display", "terminal", "--debugcon"], &[log, &disk(folder)])
}

fn run_on(name: &Path, options: &[&str], files: &[&Path]) -> Child {
    let side = || Stdio::from(File::options().read(true).write(true).open(name).expect("the terminal opens"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
    command.args(["--memory", "16", "--snapshot"]).args(options).args(files);
    command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the program runs")
}

fn terminate(child: &mut Child) -> Option<i32> {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let started = Instant::now();
    while started.elapsed() < END {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().and_then(|()| child.wait()).expect("a child");
    None
}

/// Waits until the guest has told of more screens than `before`; how many.
fn screens(log: &Path, before: u64) -> u64 {
    let started = Instant::now();
    loop {
        let now = std::fs::metadata(log).map_or(0, |metadata| metadata.len());
        if now > before {
            return now;
        }
        assert!(started.elapsed() < END, "the guest stands still at screen {before}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads what the terminal is to show, until nobody has the other side open.
fn reader(user: &File) -> std::thread::JoinHandle<String> {
    let mut reader = user.try_clone().expect("a descriptor");
    std::thread::spawn(move || {
        let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            shown.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    })
}

/// Lines and echo, as shells leave them.
fn is_plain(name: &Path) -> bool {
    let modes = tcgetattr(File::open(name).expect("the terminal opens")).expect("a terminal").local_modes;
    modes.contains(LocalModes::ICANON | LocalModes::ECHO)
}

#[test]
fn terminal_that_nobody_reads_holds_up_neither_the_guest_nor_the_end() {
    let folder = Folder::new("terminal-blocked");
    let ((user, name), log) = (terminal(), folder.path("e9"));
    let mut child = start(&folder, &name, &log);
    screens(&log, 0);
    assert!(!is_plain(&name), "the display takes the terminal");
    // Some 3 KiB a frame, 30 frames a second: after that every buffer of the host is full.
    std::thread::sleep(Duration::from_secs(3));
    let before = std::fs::metadata(&log).expect("the log").len();
    screens(&log, before);
    // The message of the end cannot be told, either.
    assert!([Some(128 + 15), Some(2)].contains(&terminate(&mut child)));
    assert!(is_plain(&name), "the terminal is given back");
    drop(user);
}

#[test]
fn terminal_that_is_read_shows_the_screen_and_is_given_back_whole() {
    let folder = Folder::new("terminal-read");
    let ((user, name), log) = (terminal(), folder.path("e9"));
    let mut child = start(&folder, &name, &log);
    let keep = File::options().read(true).write(true).open(&name).expect("the terminal opens");
    let shown = reader(&user);
    screens(&log, 0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(terminate(&mut child), Some(128 + 15));
    assert!(is_plain(&name));
    drop(keep);
    let shown = shown.join().expect("the reader");
    let (enter, leave) = (shown.find("\x1b[?1049h"), shown.find("\x1b[?1049l"));
    assert!(enter.is_some() && enter < leave, "{shown:?}");
    assert!(shown.matches("\x1b[25;1H").count() > 3, "frames are shown");
    let told = shown.find("rvmx-emu: stopped by signal 15");
    assert!(leave < told, "the message comes to the shell's screen");
}

#[test]
fn last_row_and_the_way_out_are_on_a_terminal_of_24_lines() {
    let folder = Folder::new("terminal-24");
    let ((user, name), log) = (terminal_of(80, 24), folder.path("e9"));
    let keep = File::options().read(true).write(true).open(&name).expect("the terminal opens");
    let shown = reader(&user);
    let mut child = start(&folder, &name, &log);
    screens(&log, 0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(terminate(&mut child), Some(128 + 15));
    drop(keep);
    let shown = shown.join().expect("the reader");
    // The guest fills all 25 rows, so that the hint lies over the top.
    assert!(shown.contains("Ctrl-] ends the run, 1 row hidden"), "{shown:?}");
    assert!(shown.contains("\x1b[24;1H") && !shown.contains("\x1b[25;1H"));
}

/// What the next test runs on a terminal.
#[test]
#[ignore = "panics on purpose"]
fn panic_with_the_terminal_taken() {
    let _terminal = rvmx_emu::display::terminal::Terminal::open().expect("it runs on a terminal");
    // Its writer takes a moment.
    std::thread::sleep(Duration::from_millis(500));
    panic!("on purpose");
}

#[test]
fn panic_gives_the_terminal_back_before_its_message() {
    let (user, name) = terminal();
    let keep = File::options().read(true).write(true).open(&name).expect("the terminal opens");
    let shown = reader(&user);
    let side = || Stdio::from(keep.try_clone().expect("a descriptor"));
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "panic_with_the_terminal_taken", "--nocapture"])
        .stdin(side())
        .stdout(side())
        .stderr(side())
        .spawn()
        .expect("the program runs");
    assert!(!child.wait().expect("a child").success());
    assert!(is_plain(&name));
    drop(keep);
    let shown = shown.join().expect("the reader");
    let (leave, told) = (shown.find("\x1b[?1049l"), shown.find("on purpose"));
    assert!(shown.contains("\x1b[?1049h") && leave.is_some() && leave < told, "{shown:?}");
    assert_eq!(shown.matches("\x1b[?1049l").count(), 1, "it is given back once");
}

#[test]
fn serial_console_passes_every_key_once_and_ctrl_a_x_ends_it() {
    let folder = Folder::new("terminal-serial");
    // again: mov dx,3FDh; wait: in al,dx; test al,1; jz wait; mov dx,3F8h; in al,dx; out dx,al; jmp again
    let echo = bootable(&folder, b"\xBA\xFD\x03\xEC\xA8\x01\x74\xFB\xBA\xF8\x03\xEC\xEE\xEB\xF1");
    let (mut user, name) = terminal();
    let keep = File::options().read(true).write(true).open(&name).expect("the terminal opens");
    let shown = reader(&user);
    let mut child = run_on(&name, &["--headless", "--serial", "stdio"], &[&echo]);
    let started = Instant::now();
    while is_plain(&name) && started.elapsed() < END {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Ctrl-C is the guest's, and so is the second of two Ctrl-A.
    for key in [&b"<"[..], b"\x03", b"\x01\x01", b"q", b">"] {
        user.write_all(key).expect("the terminal takes it");
        std::thread::sleep(Duration::from_millis(200));
    }
    user.write_all(b"\x01h").expect("the terminal takes it");
    std::thread::sleep(Duration::from_millis(200));
    user.write_all(b"\x01x").expect("the terminal takes it");
    let started = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status.code(),
            None if started.elapsed() > END => panic!("Ctrl-A x does not end it"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(status, Some(0));
    assert!(is_plain(&name));
    drop(keep);
    let shown = shown.join().expect("the reader");
    assert!(shown.contains("<\x03\x01q>"), "{shown:?}");
    assert!(shown.contains("Ctrl-A x ends the run") && shown.contains("Ctrl-A h       this help"), "{shown:?}");
}

/// A disk whose guest shows columns of the first 16 colours in mode 13h, and writes a byte to port E9h for each picture.
fn picture(folder: &Folder) -> PathBuf {
    // mov ax,13h; int 10h; mov ax,0A000h; mov es,ax; cld; xor di,di; again: mov ax,di; and al,0Fh; stosb;
    // test di,di; jnz again; out 0E9h,al; jmp again
    let code =
        b"\xB8\x13\x00\xCD\x10\xB8\x00\xA0\x8E\xC0\xFC\x31\xFF\x89\xF8\x24\x0F\xAA\x85\xFF\x75\xF7\xE6\xE9\xEB\xF3";
    bootable(folder, code)
}

#[test]
fn picture_is_shown_as_sixels_where_the_terminal_says_that_it_has_them() {
    for (answer, sixels) in [("\x1b[?62;4;22c", true), ("\x1b[?62;22c", false)] {
        let folder = Folder::new(if sixels { "sixels" } else { "half-blocks" });
        let ((mut user, name), log) = (terminal(), folder.path("e9"));
        tcsetwinsize(&user, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 800, ws_ypixel: 480 }).expect("a terminal");
        // It waits there until somebody reads.
        user.write_all(answer.as_bytes()).expect("the terminal takes it");
        let disk = picture(&folder);
        let mut child = run_on(&name, &["--display", "terminal", "--debugcon"], &[&log, &disk]);
        let keep = File::options().read(true).write(true).open(&name).expect("the terminal opens");
        let shown = reader(&user);
        screens(&log, 1);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(terminate(&mut child), Some(128 + 15));
        drop(keep);
        let shown = shown.join().expect("the reader");
        assert!(shown.contains("\x1b[c"), "it asks");
        assert_eq!(shown.contains("\x1bP0;1;0q\"1;1;640;400#"), sixels);
        assert_eq!(shown.contains('▀'), !sixels);
    }
}
