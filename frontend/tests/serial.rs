//! COM1's output: all that the guest has sent is the host's, whatever ends the run, and as it comes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LINE: &[u8] = b"test 1 ok, ALL TESTS PASSED\r\n";

/// Sends [`LINE`] without waiting for the transmitter.
const SEND: &[u8] = &[
    0x31, 0xC0, 0x8E, 0xD8, // xor ax, ax; mov ds, ax
    0xBE, 0x00, 0x7D, // mov si, 7D00h
    0xBA, 0xF8, 0x03, // mov dx, 3F8h
    0xAC, 0x84, 0xC0, 0x74, 0x03, // next: lodsb; test al, al; jz done
    0xEE, 0xEB, 0xF8, // out dx, al; jmp next
];
/// CLI; HLT.
const HALT: &[u8] = &[0xFA, 0xF4];
/// Port of isa-debug-exit.
const EXIT: &[u8] = &[0xB0, 0x00, 0xE6, 0xF4, 0xEB, 0xFE];
/// LIDT with a limit of 0; INT3.
const TRIPLE_FAULT: &[u8] = &[0x0F, 0x01, 0x1E, 0x80, 0x7D, 0xCC];
/// ACPI power-off: the sleep enable bit with the type of S5 to the PM1 control register.
const POWER_OFF: &[u8] = &[0xBA, 0x04, 0xB0, 0xB8, 0x00, 0x20, 0xEF, 0xF4];
/// JMP $.
const SPIN: &[u8] = &[0xEB, 0xFE];

/// A folder with a floppy that sends the line and ends so.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, end: &[u8]) -> Self {
        let folder = std::env::temp_dir().join(format!("rvmx-emu-serial-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder is made");
        let mut image = vec![0; 1_474_560];
        let code = [SEND, end].concat();
        image[..code.len()].copy_from_slice(&code);
        image[0x100..0x100 + LINE.len()].copy_from_slice(LINE);
        image[510..512].copy_from_slice(&[0x55, 0xAA]);
        std::fs::write(folder.join("a.img"), image).expect("the image is written");
        Self(folder)
    }

    fn start(&self, options: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
            .current_dir(&self.0)
            .args(["--headless", "--debug-exit", "0xf4", "--serial", "out", "--debugcon", "none", "a.img"])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    fn out(&self) -> Vec<u8> {
        std::fs::read(self.0.join("out")).unwrap_or_default()
    }

    fn script(&self, text: &str) -> &Path {
        std::fs::write(self.0.join("s.ron"), text).expect("the script is written");
        Path::new("s.ron")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn bytes_in_the_transmitter_reach_the_host_whatever_ends_the_run() {
    for (name, end, options, status) in [
        ("halt", HALT, &[][..], 3),
        ("exit", EXIT, &[], 1),
        ("triple", TRIPLE_FAULT, &[], 3),
        ("off", POWER_OFF, &[], 0),
        ("time", SPIN, &["--max-time", "0.1"], 4),
        ("instructions", SPIN, &["--max-instructions", "2000000"], 4),
    ] {
        let folder = Folder::new(name, end);
        let ended = folder.start(options).wait().expect("it ends");
        assert_eq!((ended.code(), folder.out().as_slice()), (Some(status), LINE), "{name}");
    }
}

#[test]
fn script_that_waits_for_the_last_line_sees_it() {
    let folder = Folder::new("script", HALT);
    let script = folder.script("Script(timeout: 5, steps: [ WaitSerial(\"PASSED\\r\\n\", 5) ])");
    let ended = folder.start(&["--script", script.to_str().unwrap_or_default()]).wait().expect("it ends");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn file_has_what_was_sent_while_the_guest_runs_on() {
    let folder = Folder::new("alive", SPIN);
    let mut child = folder.start(&[]);
    while folder.out() != LINE && child.try_wait().expect("it can be asked").is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
    assert_eq!(folder.out(), LINE);
}

/// Sends back what comes to COM1, for ever: in al,3FDh until bit 0; in al,3F8h; out 3F8h,al.
#[cfg(unix)]
const ECHO: &[u8] = &[
    0xBA, 0xFD, 0x03, // next: mov dx, 3FDh
    0xEC, 0xA8, 0x01, 0x74, 0xFB, // look: in al, dx; test al, 1; jz look
    0xBA, 0xF8, 0x03, 0xEC, 0xEE, // mov dx, 3F8h; in al, dx; out dx, al
    0xEB, 0xF1, // jmp next
];

#[test]
#[cfg(unix)]
fn serial_port_is_at_a_socket_or_a_pseudo_terminal() {
    use std::io::{BufRead, BufReader, Read, Write};
    let folder = Folder::new("links", ECHO);
    let start = |serial: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
        command.current_dir(&folder.0).args(["--headless", "--wall-time", "60", "--serial", serial, "a.img"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    // Where it is told to be: what was sent before anybody came is there, and what is sent comes back.
    let talk = |mut reader: Box<dyn Read>, mut writer: Box<dyn Write>| {
        let mut line = vec![0; LINE.len()];
        reader.read_exact(&mut line).expect("the guest's line");
        assert_eq!(line, LINE);
        writer.write_all(b"ping").expect("it is sent");
        let mut answer = [0; 4];
        reader.read_exact(&mut answer).expect("the answer");
        assert_eq!(&answer, b"ping");
    };
    for kind in ["tcp:0", "pty"] {
        let mut child = start(kind);
        let mut told = String::new();
        BufReader::new(child.stderr.take().expect("its messages")).read_line(&mut told).expect("a line");
        let place = told.trim().rsplit(' ').next().expect("a place").to_owned();
        if kind == "pty" {
            let open = || std::fs::OpenOptions::new().read(true).write(true).open(&place).expect("the terminal");
            talk(Box::new(open()), Box::new(open()));
        } else {
            for _ in 0..2 {
                let peer = std::net::TcpStream::connect(&place).expect("it listens");
                let mut writer = peer.try_clone().expect("both ways");
                writer.write_all(b"x").expect("it is sent");
                let mut some = [0];
                (&peer).read_exact(&mut some).expect("something comes");
            }
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    let socket = folder.0.join("socket");
    let mut child = start(&format!("unix:{}", socket.display()));
    let peer = std::iter::repeat_with(|| std::os::unix::net::UnixStream::connect(&socket));
    let peer = peer.take(400).find_map(|peer| peer.map_err(|_| std::thread::sleep(Duration::from_millis(20))).ok());
    let peer = peer.expect("it listens");
    talk(Box::new(peer.try_clone().expect("both ways")), Box::new(peer));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
