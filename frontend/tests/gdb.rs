//! The GDB server, spoken to in its protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program, which does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Gdb {
    program: Running,
    stream: TcpStream,
}

impl Gdb {
    fn start(image: &str, options: &[&str]) -> Self {
        let path = format!("{}/../test-images/images/{image}.img", env!("CARGO_MANIFEST_DIR"));
        let mut program = Running(
            Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
                .args(["--headless", "--snapshot", "--debugcon", "none", "--gdb", "0"])
                .args(options)
                .arg(path)
                .stderr(Stdio::piped())
                .spawn()
                .expect("the server works"),
        );
        // A port that was free a moment ago may be somebody else's; the server says which it has got.
        let mut errors = BufReader::new(program.0.stderr.take().expect("the server works")).lines();
        let place = loop {
            let line = errors.next().expect("the server waits").expect("the server works");
            if let Some((_, place)) = line.split_once("target remote ") {
                break place.to_owned();
            }
        };
        std::thread::spawn(move || errors.for_each(drop));
        // A guest that does not wait has run by then.
        if options.contains(&"--gdb-no-wait") {
            std::thread::sleep(Duration::from_millis(500));
        }
        let stream = TcpStream::connect(place).expect("the server works");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("the server works");
        Self { program, stream }
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("the server works");
        byte[0]
    }

    fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes()).expect("the server works");
    }

    /// Sends a packet; the packet that answers.
    fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.packet()
    }

    /// What a command of the debugger prints.
    fn monitor(&mut self, command: &str) -> String {
        let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(&format!("qRcmd,{hex}"));
        let mut printed = String::new();
        loop {
            match self.packet() {
                packet if packet != "OK" && packet.starts_with('O') => printed += &text(&packet[1..]),
                _ => return printed,
            }
        }
    }

    /// The next packet.
    fn packet(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut text = Vec::new();
        loop {
            match self.byte() {
                b'#' => break,
                // Repetition of the byte before.
                b'*' => {
                    let count = self.byte() - 29;
                    let last = *text.last().expect("the server works");
                    text.extend(std::iter::repeat_n(last, count.into()));
                }
                byte => text.push(byte),
            }
        }
        for _ in 0..2 {
            self.byte();
        }
        self.stream.write_all(b"+").expect("the server works");
        String::from_utf8(text).expect("the server works")
    }
}

/// Text in hexadecimal.
fn text(hex: &str) -> String {
    let byte = |n: usize| u8::from_str_radix(&hex[n..n + 2], 16).expect("the server works");
    String::from_utf8((0..hex.len() / 2).map(|n| byte(2 * n)).collect()).expect("the server works")
}

#[test]
fn gdb_is_told_of_what_it_cannot_know() {
    let mut gdb = Gdb::start("vmxentry", &["--cpu-model", "max"]);
    gdb.ask("qSupported:multiprocess+");
    assert_eq!(gdb.monitor("b vmentry failed"), "breakpoint 1: VM entry that fails\n");
    let told = gdb.ask("vCont;c:p1.-1");
    assert!(
        told.starts_with('O') && text(&told[1..]).contains("breakpoint 1, VM entry that fails: VMLAUNCH"),
        "{told}"
    );
    let stop = gdb.packet();
    assert!(stop.starts_with("T05") && !stop.contains("swbreak"), "{stop}");
    assert!(gdb.monitor("rs 3").contains("maint flush register-cache"));
    assert!(!gdb.monitor("ptime").contains("maint flush"));
    // Its own breakpoints and those of the debugger do not get mixed up.
    gdb.monitor("d all; b 0x94ca");
    gdb.ask("z0,94ca,1");
    assert!(gdb.monitor("info b").contains("0x94ca"));
}

#[test]
fn server_that_does_not_wait_does_not_say_that_it_waits() {
    for (options, words) in [(&["--gdb-no-wait"][..], "the guest runs, GDB may come"), (&[], "waiting for GDB")] {
        let program = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
            .args(["--headless", "--snapshot", "--debugcon", "none", "--gdb", "0"])
            .args(options)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/smp.img"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server works");
        let mut program = Running(program);
        let mut line = String::new();
        BufReader::new(program.0.stderr.as_mut().expect("its messages")).read_line(&mut line).expect("a message");
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn gdb_stops_steps_reads_and_goes_back() {
    let mut gdb = Gdb::start("vmxexits", &["--cpu-model", "max"]);
    assert!(gdb.ask("qSupported:multiprocess+;xmlRegisters=i386").contains("qXfer:features:read+"));
    let xml = gdb.ask("qXfer:features:read:target.xml:0,ffb");
    assert!(xml.contains("<architecture>i8086") && xml.contains("org.gnu.gdb.i386.core"), "{xml}");
    assert!(gdb.ask("qfThreadInfo").contains('1'));
    assert_eq!(gdb.ask("Z0,7c00,1"), "OK");
    let stop = gdb.ask("vCont;c:p1.-1");
    assert!(stop.starts_with("T05") && stop.contains("swbreak"), "{stop}");
    // EIP is the ninth register.
    assert_eq!(gdb.ask("g")[64..72], *"007c0000");
    assert_eq!(gdb.ask("m7c00,4"), "fa31c08e");
    assert_eq!(gdb.ask("z0,7c00,1"), "OK");
    let stop = gdb.ask("vCont;s:p1.1");
    assert!(stop.starts_with("S05") || stop.starts_with("T05"), "{stop}");
    assert_eq!(gdb.ask("g")[64..72], *"017c0000");
    assert!(!gdb.ask("bs").starts_with('E'));
    assert_eq!(gdb.ask("g")[64..72], *"007c0000");
}

#[test]
fn gdb_watches_memory_and_passes_commands_on() {
    let mut gdb = Gdb::start("smp", &["--cpus", "3"]);
    gdb.ask("qSupported:multiprocess+");
    let threads = gdb.ask("qfThreadInfo");
    assert!(threads.matches(['1', '2', '3']).count() >= 3, "{threads}");
    assert_eq!(gdb.ask("Z2,400,100"), "OK");
    let stop = gdb.ask("vCont;c:p1.-1");
    assert!(stop.contains("watch:"), "{stop}");
    assert_eq!(gdb.ask("z2,400,100"), "OK");
}

#[test]
fn gdb_meets_a_guest_that_waits_or_that_runs() {
    // EIP is the ninth register, and shown as a linear address.
    let eip = |options: &[&str]| {
        let mut gdb = Gdb::start("demo", options);
        gdb.ask("qSupported:multiprocess+;xmlRegisters=i386");
        gdb.ask("g")[64..72].to_owned()
    };
    assert_eq!(eip(&[]), "f0ffffff");
    assert_ne!(eip(&["--gdb-no-wait"]), "f0ffffff");
}

#[test]
fn gdb_that_steps_a_processor_that_is_not_there_gets_an_answer() {
    let mut gdb = Gdb::start("smp", &["--cpus", "2"]);
    gdb.ask("qSupported:multiprocess+");
    let stop = gdb.ask("vCont;s:p4.4;c:p1.-1");
    assert!(stop.starts_with(['S', 'T']), "{stop}");
    assert_eq!(gdb.ask("m7c00,2").len(), 4);
}

#[test]
#[cfg(unix)]
fn signals_end_the_server_whether_gdb_has_come_or_not() {
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        for idle in [true, false] {
            let mut gdb = Gdb::start("smp", &[]);
            if idle {
                gdb.ask("qSupported:multiprocess+");
            } else {
                // Runs, and says nothing.
                gdb.send("vCont;c:p1.-1");
            }
            assert_eq!(end_by(signal, &mut gdb.program.0), Some(number));
        }
        let mut waiting = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
            .args(["--headless", "--snapshot", "--gdb", "0"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/smp.img"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server works");
        let mut line = String::new();
        BufReader::new(waiting.stderr.as_mut().expect("its messages")).read_line(&mut line).expect("a message");
        assert!(line.contains("waiting for GDB"), "{line}");
        assert_eq!(end_by(signal, &mut waiting), Some(number));
    }
}

/// Sends a signal; the one that the process has ended by.
#[cfg(unix)]
fn end_by(signal: &str, child: &mut Child) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    std::thread::sleep(Duration::from_millis(100));
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    for _ in 0..1000 {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.signal();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("a child");
    None
}

#[test]
fn gdb_that_sends_what_cannot_be_read_gets_an_error_and_the_session_goes_on() {
    let mut gdb = Gdb::start("smp", &["--cpus", "2"]);
    gdb.ask("qSupported:multiprocess+");
    let long = "q".repeat(6000);
    for packet in [
        "m,",
        "m1",
        "Z0",
        "M0,1:zz",
        "qRcmd,zz",
        "Tzz",
        "D;zz",
        "Hg-1",
        "vCont;r1,2:1",
        "vCont;",
        "M0,2:00",
        "M500,4:00",
        "G00",
        "T0",
        "T-1",
        "Z0,123456789012345678,1",
        "qSupportedx",
        &long,
    ] {
        let answer = gdb.ask(packet);
        assert!(answer.starts_with('E'), "{packet:.20}: {answer}");
    }
    // A step of any processor is one of the one that has stopped.
    for packet in ["vCont;s", "vCont;s:0", "vCont;s:p1.-1;c", "s"] {
        let stop = gdb.ask(packet);
        assert!(stop.starts_with(['S', 'T']), "{packet}: {stop}");
    }
    assert_eq!(gdb.ask("Hc-1"), "OK");
    assert!(gdb.ask("bs").starts_with('T'));
    assert_eq!(gdb.ask("m7c00,2").len(), 4);
    // A packet that has changed on its way is to be sent again; so is an answer.
    gdb.stream.write_all(b"$m7c00,2#00").expect("the server works");
    while gdb.byte() != b'-' {}
    let answer = gdb.ask("mfffffff0,2");
    gdb.stream.write_all(b"-").expect("the server works");
    while gdb.byte() != b'$' {}
    let again: String = (0..4).map(|_| char::from(gdb.byte())).collect();
    assert_eq!(again, answer);
}

#[test]
fn gdb_stops_a_command_that_runs_the_machine() {
    let mut gdb = Gdb::start("timers", &[]);
    gdb.ask("qSupported:multiprocess+");
    // "c".
    gdb.send("qRcmd,63");
    std::thread::sleep(Duration::from_millis(300));
    gdb.stream.write_all(&[3]).expect("the server works");
    let mut answer = String::new();
    while answer != "OK" {
        answer = gdb.packet();
        assert!(answer.starts_with('O'), "{answer}");
    }
    assert_eq!(gdb.ask("m7c00,2").len(), 4);
}

#[test]
fn gdb_goes_back_to_where_the_session_began() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let snapshot = folder.join("gdb.snap");
    let saved = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["debug", "--snapshot", "-c", &format!("sb 4500000; save {}", snapshot.display())])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/timers.img"))
        .output()
        .expect("the debugger works");
    assert!(saved.status.success(), "{saved:?}");
    let mut gdb = Gdb::start("timers", &["--restore", &snapshot.to_string_lossy()]);
    gdb.ask("qSupported:multiprocess+;ReverseContinue+");
    let began = gdb.ask("g");
    let stop = gdb.ask("bc");
    assert!(stop.contains("replaylog:begin"), "{stop}");
    for _ in 0..20 {
        gdb.ask("vCont;s:p1.1");
    }
    assert_ne!(gdb.ask("g"), began);
    let stop = gdb.ask("bc");
    assert!(stop.contains("replaylog:begin"), "{stop}");
    assert_eq!(gdb.ask("g"), began);
}
