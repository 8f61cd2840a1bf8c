//! What a hostile user of the debugger comes to: writes before steps back, machines that have ended, arguments that are too
//! much, Ctrl-C and signals at bad moments, output that nobody takes.

use rvmx_emu::config::{AtaDrive, BootDevice, MachineConfig};
use rvmx_emu::debug;
use rvmx_emu::pc::{self, PcMachine};
use std::path::{Path, PathBuf};
use std::process::Command;

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../test-images/images/{name}.img"))
}

fn machine(image: PathBuf, cpus: u32) -> PcMachine {
    let config = MachineConfig {
        hda: Some(AtaDrive::Disk { image, geometry: None }),
        boot: vec![BootDevice::Disk],
        snapshot: true,
        memory: 64,
        cpu_model: "max".to_owned(),
        cpus,
        ..MachineConfig::default()
    };
    pc::build(&config, None).expect("the machine is sound")
}

/// What commands print on an image.
fn talk(name: &str, cpus: u32, commands: &[&str]) -> String {
    debug::transcript_until(machine(image(name), cpus), commands, 40_000_000).expect("a session")
}

fn last(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn hashes(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.len() == 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit())).collect()
}

/// A disk with this boot sector.
fn sector(name: &str, code: &[u8]) -> PathBuf {
    let mut image = code.to_vec();
    image.resize(510, 0);
    image.extend([0x55, 0xAA]);
    image.resize(16 * 63 * 512, 0);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}.img"));
    std::fs::write(&path, image).expect("the folder for tests can be written");
    path
}

/// Powers off by port 8900h.
#[rustfmt::skip]
const OFF: [u8; 28] = [
    0xFC, 0x31, 0xC0, 0x8E, 0xD8,       // cld; xor ax, ax; mov ds, ax
    0xBE, 0x14, 0x7C, 0xBA, 0x00, 0x89, // mov si, 7C14h; mov dx, 8900h
    0xB9, 0x08, 0x00,                   // mov cx, 8
    0xAC, 0xEE, 0xE2, 0xFC,             // lodsb; out dx, al; loop $-2
    0xEB, 0xFE,                         // jmp $
    b'S', b'h', b'u', b't', b'd', b'o', b'w', b'n',
];

/// Halts with interrupts off.
const HALT: [u8; 2] = [0xFA, 0xF4];

#[test]
fn steps_back_find_the_instruction_behind_a_write() {
    let plain = talk("vmxexits", 1, &["sb 6000000", "rs"]);
    assert!(last(&plain).contains("hlt"), "{plain}");
    let written = talk("vmxexits", 1, &["sb 4500000", "set r8=1", "sb 1500000", "rs"]);
    assert_eq!(last(&written), last(&plain), "{written}");
    let over = talk("vmxexits", 1, &["sb 4500000", "set r8=1", "sb 1500000", "rn"]);
    assert_eq!(last(&over), last(&plain), "{over}");
    let keyed = talk("keyboard", 1, &["sb 4700000", "key a", "sb 20000000", "rs", "print cycle > 21000000"]);
    assert_eq!(last(&keyed), "0x1 = 1", "{keyed}");
}

#[test]
fn steps_back_pass_a_write_to_rip() {
    let text = talk("vmxexits", 1, &["sb 4500000", "s 3", "set rip=0x7c10", "s", "rs", "rs", "rs", "s", "s"]);
    assert!(!text.contains("error"), "{text}");
}

#[test]
fn what_was_written_is_forgotten_by_a_run_from_before_it() {
    let commands = ["s 100", "set r9=7", "s 20", "rs 30", "s 15", "goto 101", "print r9"];
    let text = talk("vmxexits", 1, &commands);
    assert_eq!(last(&text), "0x0 = 0", "{text}");
}

#[test]
fn going_back_that_fails_leaves_the_machine_where_it_is() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults.snap");
    let path = path.to_string_lossy();
    let (save, restore) = (format!("save {path}"), format!("restore {path}"));
    let commands = ["sb 4500000", &save, &restore, "sb 1500000", "rs", "print cycle", &restore, "hash", "rs", "hash"];
    let text = talk("vmxexits", 1, &commands);
    let plain = talk("vmxexits", 1, &["sb 6000000", "rs"]);
    assert!(text.contains(&format!("> rs\n{}\n", last(&plain))), "{text}");
    let hashes = hashes(&text);
    assert!(hashes.len() == 2 && hashes[0] == hashes[1] && text.contains("nothing before it"), "{text}");
    // Of several processors, too.
    let text = talk("smp", 2, &["sb 4500000", "hash", "rc", "hash", "rc", "rc", "hash", "goto 0", "rs", "hash"]);
    let hashes = self::hashes(&text);
    assert!(hashes[0] == hashes[1] && hashes[0] == hashes[2], "{text}");
}

#[test]
fn history_that_is_full_forgets_what_is_old_and_no_write() {
    let writes = "history 2;set r8=1;s;set r9=2;s;set r10=3;s;set r11=4;s;goto 2;print r8;print r9";
    let commands: Vec<&str> = writes.split(';').collect();
    let text = talk("vmxexits", 1, &commands);
    assert!(text.ends_with("> print r8\n0x1 = 1\n> print r9\n0x2 = 2\n"), "{text}");
    let one =
        talk("vmxexits", 1, &["history 1", "s 100", "set rbx=0x1234", "s 10", "rs 5", "print rbx", "print cycle"]);
    assert!(one.contains("\n0x1234 = 4660\n"), "{one}");
    // What cannot be gone back to is refused.
    let gone = talk("vmxexits", 1, &["history 1", "s 100", "set rbx=1", "s 10", "hash", "goto 50", "hash"]);
    let hashes = hashes(&gone);
    assert!(gone.contains("error") && hashes.len() == 2 && hashes[0] == hashes[1], "{gone}");
}

#[test]
fn machine_that_has_ended_can_be_gone_back_in_and_ends_again() {
    for (name, code, words) in [("off", &OFF[..], "powered off"), ("halt", &HALT, "is halted")] {
        let disk = sector(name, code);
        let talk = |commands: &[&str]| debug::transcript(machine(disk.clone(), 1), commands).expect("a session");
        for back in ["rs", "rn", "rs 5"] {
            let text = talk(&["c", "hash", back, "c", "hash"]);
            let hashes = hashes(&text);
            assert!(!text.contains("error") && text.matches(words).count() == 2, "{name}: {text}");
            assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{name}: {text}");
        }
        // What fails changes nothing: the end stays.
        for failing in ["rc", "setmem 0xfffff 1 1", "set cr0 = 1"] {
            let text = talk(&["c", "hash", failing, "c", "hash"]);
            let hashes = hashes(&text);
            assert!(text.contains("error") && text.matches(words).count() == 2, "{name}: {text}");
            assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{name}: {text}");
        }
    }
}

#[test]
fn physical_instructions_and_strings_are_of_memory_that_is_there() {
    let before = ["b cr 3 if value != 0", "c", "c", "setpmem 0x401000 4 0xf4f4f4f4"];
    let with = |command: &str| talk("paging", 1, &[&before[..], &[command]].concat());
    let text = with("xp/2i 0x401000");
    assert_eq!(
        text.lines().rev().take(2).filter(|line| line.contains("hlt") && line.contains("401")).count(),
        2,
        "{text}"
    );
    for command in ["xp/2s 0xfffffffffffff000", "x/3s 0x90000000", "xp/i 0xfffffffffffff000", "x/3s 0x90000000 --json"]
    {
        let text = with(command);
        assert!(last(&text).contains("there is no memory"), "{text}");
    }
    let wrapped = talk("modes", 1, &["u /100 0xfffffff0"]);
    assert!(wrapped.contains("   00000001  ") && !wrapped.contains(" 1000000"), "{wrapped}");
}

#[test]
fn arguments_that_are_too_much_are_refused() {
    for command in [
        "rn 5",
        "rc x",
        "modebp x",
        "hash x",
        "ptime x",
        "creg x",
        "vmx x",
        "tab x",
        "reset now",
        "c x",
        "quit x",
        "sse x",
        "info b x",
    ] {
        let text = talk("modes", 1, &[command]);
        assert!(text.contains("error") && (text.contains("is too much") || text.contains("no information")), "{text}");
    }
    for (command, words) in [
        ("watch 0x1000 -1", "cannot be watched"),
        ("watch 0x1000 0", "cannot be watched"),
        ("key LeftAlt+", "a key is missing"),
        ("key", "a key is missing"),
        ("key Foo", "no key \"Foo\""),
        ("source", "a file is missing"),
        ("source /nonexistent/x", "file of debugger commands"),
    ] {
        let text = talk("modes", 1, &[command]);
        assert!(last(&text).contains(words), "{text}");
    }
    assert!(talk("modes", 1, &["watch 0x1000 - 1", "info b"]).contains("0xfff"));
}

#[test]
fn file_of_commands_that_carries_out_itself_is_an_error() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("self.txt");
    std::fs::write(&path, format!("source {}\n", path.display())).expect("the folder for tests can be written");
    let text = talk("modes", 1, &[&format!("source {}", path.display()), "print 1"]);
    let lines: Vec<&str> = text.lines().collect();
    let end = "files carry out each other 16 deep; does it carry out itself?";
    assert_eq!(lines[1], format!("error: {0}: {end}", path.display()), "{text}");
    assert!(lines[2..18].iter().all(|line| *line == format!("{0}:1: source {0}", path.display())), "{text}");
    assert_eq!((lines[18], text.matches("error: ").count()), ("> print 1", 1), "{text}");
    // What went well before is no error.
    let part = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("part.txt");
    std::fs::write(&part, "print 1\nfoo\nprint 2\n").expect("the folder for tests can be written");
    let text = talk("modes", 1, &[&format!("source {}", part.display())]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(!lines[1].contains("error") && lines[2].starts_with("error: there is no command"), "{text}");
    assert_eq!((lines[3], lines.len()), (format!("{}:2: foo", part.display()).as_str(), 4), "{text}");
    let long = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("long.txt");
    std::fs::write(&long, format!("print 1{}\n", "+1".repeat(150_000))).expect("the folder for tests can be written");
    let text = talk("modes", 1, &[&format!("source {}", long.display())]);
    assert!(text.contains("the expression is too long"), "{}", text.len());
}

#[test]
fn files_that_commands_have_read_are_not_destroyed() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults-read");
    std::fs::create_dir_all(&folder).expect("the folder for tests can be written");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the folder for tests can be written");
        path.display().to_string()
    };
    let symbols = file("symbols.map", "0000000000007c00 T start\n".to_owned());
    let commands = file("more.txt", "print 1\n".to_owned());
    let own = folder.join("own.txt").display().to_string();
    file("own.txt", format!("source {commands}\nldsym {symbols}\nsave {own}\n"));
    let debug = |file: &str| {
        let output = program().args(["debug", "--snapshot", "-x", file]).arg(image("modes")).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (path, role) in [
        (&own, "the file of debugger commands"),
        (&symbols, "a file of symbols"),
        (&commands, "a file of debugger commands"),
    ] {
        let before = file("own.txt", format!("source {commands}\nldsym {symbols}\nsave {path}\n"));
        let before = std::fs::read(before).expect("it is there");
        let (status, text) = debug(&own);
        assert!(status == Some(2) && text.contains(&format!("{path}: it is {role}, which the snapshot")), "{text}");
        assert_eq!(std::fs::read(&own).expect("it is there"), before);
    }
    assert_eq!(std::fs::read(&commands).expect("it is there"), b"print 1\n");
    let dump = file("dump.txt", "GUEST_RIP = 1\n".to_owned());
    let diff = format!("b vmentry; c; vmcs diff {dump}; save {dump}");
    let text = debug::transcript_until(machine(image("vmxentry"), 1), &[&diff], 40_000_000).expect("a session");
    assert!(text.contains(": it is a VMCS dump, which the snapshot would destroy"), "{text}");
}

#[test]
fn long_text_is_cut_in_messages() {
    let long = "A".repeat(1 << 20);
    for command in [
        long.clone(),
        format!("vmcs {long}"),
        format!("print {long}"),
        format!("print vmcs.{long}"),
        format!("c {long}"),
    ] {
        let text = talk("modes", 1, &[&command]);
        assert!(last(&text).starts_with("error: ") && last(&text).len() < 400, "{}", last(&text));
    }
}

#[test]
fn exits_go_into_one_file() {
    assert!(talk("modes", 1, &["exits csv a b"]).contains("error: give one file; write exits"));
    assert!(talk("modes", 1, &["exits svg"]).contains("error: a file is missing; write exits"));
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_is_not_taken_is_an_error() {
    use std::fs::File;
    use std::process::Stdio;
    let modes = image("modes");
    let modes = modes.to_str().expect("a path");
    for arguments in
        [&["debug", "--snapshot", "-c", "help", modes][..], &["--help"], &["cpu-models"], &["vmcs-lint", "--help"]]
    {
        let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
        let output = program().args(arguments).stdout(full).stderr(Stdio::piped()).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("standard output: cannot write the output"), "{arguments:?}: {errors}");
        // A reader that has seen enough is no error.
        let mut child = program().args(arguments).stdout(Stdio::piped()).spawn().expect("it runs");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("a child").code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn each_iteration_is_a_step_back() {
    // From cycle 102 on the firmware copies with REP MOVSB.
    for (commands, cycle) in [
        (&["s 110", "rs"][..], 109),
        (&["s 110", "rs 3"], 107),
        (&["s 110", "rs 4"], 106),
        (&["sb 110", "rs 3"], 107),
        (&["s 100", "set rbx=1", "s 10", "rs 5"], 105),
        (&["s 110", "b mnemonic movsb", "rc"], 109),
        (&["sb 110", "b mnemonic movsb", "rc"], 109),
        (&["b mnemonic movsb", "c"], 102),
    ] {
        let text = talk("vmxexits", 1, commands);
        let place = format!("\n[0] {cycle} ");
        assert!(text.rfind("\n[0] ") == text.rfind(&place) && text.contains(&place), "{commands:?}: {text}");
    }
    let text = talk("vmxexits", 1, &["s 110", "last 6"]);
    let cycles: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("[0] ")?.split(' ').next()).collect();
    assert_eq!(cycles[cycles.len() - 6..], ["104", "105", "106", "107", "108", "109"], "{text}");
}

#[cfg(target_os = "linux")]
mod signals {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, ExitStatus, Stdio};
    use std::time::{Duration, Instant};

    /// The program, which does not outlive the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    impl Running {
        fn signal(&self, signal: &str) {
            let sent = Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status();
            assert!(sent.expect("kill is part of every Linux").success());
        }

        fn end(&mut self) -> ExitStatus {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(30) {
                if let Some(status) = self.0.try_wait().expect("a child") {
                    return status;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            panic!("it has not ended");
        }
    }

    /// Both ends of a terminal: ours, and the program's.
    fn terminal() -> (File, File) {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has terminals");
        grantpt(&user).expect("it is ours");
        unlockpt(&user).expect("it is ours");
        tcsetwinsize(&user, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).expect("a terminal");
        let name = ptsname(&user, Vec::new()).expect("it has a name").into_string().expect("it is text");
        let program = File::options().read(true).write(true).open(name).expect("it is there");
        (File::from(user), program)
    }

    fn commands(image: &str, commands: &str, stdout: Stdio) -> Running {
        let mut command = program();
        command.args(["debug", "--snapshot", "-c", commands]).arg(super::image(image));
        Running(command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).spawn().expect("it runs"))
    }

    #[test]
    fn ctrl_c_while_a_command_runs_ends_the_list() {
        let mut running = commands("timers", &"sb 4000000000;".repeat(1000), Stdio::null());
        std::thread::sleep(Duration::from_millis(500));
        running.signal("INT");
        assert_eq!(running.end().code(), Some(2));
    }

    #[test]
    fn ctrl_c_stops_steps_and_lists_of_commands() {
        let mut running = commands("timers", "s 1000000000", Stdio::piped());
        std::thread::sleep(Duration::from_millis(500));
        running.signal("INT");
        assert_eq!(running.end().code(), Some(0));
        let mut text = String::new();
        running.0.stdout.take().expect("it is ours").read_to_string(&mut text).expect("text");
        assert!(text.starts_with("interrupted"), "{text}");
        let mut running = commands("timers", &"hash;".repeat(20_000), Stdio::null());
        std::thread::sleep(Duration::from_millis(500));
        running.signal("INT");
        assert_eq!(running.end().code(), Some(2));
    }

    #[test]
    fn ctrl_c_ends_a_wait_for_a_terminal_that_takes_nothing() {
        let (_user, terminal) = terminal();
        let mut running = commands("modes", &"help;".repeat(300), terminal.into());
        std::thread::sleep(Duration::from_millis(1000));
        running.signal("INT");
        assert_eq!(running.end().code(), Some(2));
    }

    #[test]
    fn signals_give_the_terminal_back_before_they_end_the_debugger() {
        for (name, number) in [("TERM", 15), ("HUP", 1), ("QUIT", 3)] {
            let (mut user, terminal) = terminal();
            let copy = || Stdio::from(terminal.try_clone().expect("a terminal"));
            let mut command = program();
            command.args(["debug", "--snapshot", "--tui"]).arg(image("modes"));
            let child = command.stdin(copy()).stdout(copy()).stderr(Stdio::null()).spawn();
            let mut running = Running(child.expect("it runs"));
            let mut shown = Vec::new();
            let mut read = |user: &mut File, until: &[u8]| {
                let mut bytes = [0; 4096];
                while !shown.windows(until.len()).any(|part| part == until) {
                    let size = user.read(&mut bytes).expect("the terminal is open");
                    shown.extend_from_slice(&bytes[..size]);
                }
            };
            read(&mut user, b"F1 help");
            let cooked = || tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ICANON);
            assert!(!cooked());
            running.signal(name);
            read(&mut user, b"\x1b[?1049l");
            assert_eq!(running.end().signal(), Some(number));
            assert!(cooked());
        }
    }
}
