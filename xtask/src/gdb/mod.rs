//! `cargo xtask gdb`: a real GDB (13 or later) in batch mode, on four processors in real, protected and 64-bit mode: break,
//! step, watch, back to the write of an address, fields of the VMCS; and on a Linux kernel with its symbols.

mod kernel;

use crate::child::{Folder, gdb_place};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that GDB may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The options of `cargo xtask gdb`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// GDB
    #[arg(long, value_name = "PROGRAM", default_value = "gdb")]
    gdb: PathBuf,
    /// rvmx-emu
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/rvmx-emu")]
    program: PathBuf,
    /// A Linux kernel, as for `cargo xtask linux`
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// A statically linked busybox for it
    #[arg(long, value_name = "FILE")]
    busybox: Option<PathBuf>,
    /// Leave the Linux kernel out
    #[arg(long)]
    no_kernel: bool,
    /// Print what GDB prints
    #[arg(long)]
    show: bool,
}

/// A mode: the image, the commands that lead a machine there, those of GDB, and what GDB must print, in this order.
struct Case {
    name: &'static str,
    image: &'static str,
    before: &'static str,
    commands: &'static [&'static str],
    expected: &'static [&'static str],
}

const CASES: [Case; 3] = [
    Case {
        name: "real mode",
        image: "smp",
        before: "s",
        commands: &[
            "info threads",
            "hbreak *0x7c00",
            "continue",
            "delete",
            "stepi",
            "watch *(int*)0x7e00",
            "continue",
            "delete",
            "watch *(short*)0x7e00",
            "reverse-continue",
            "monitor ptime",
        ],
        expected: &[
            "real-address mode",
            "Thread 1.4",
            "hit Breakpoint 1, 0x00007c00",
            "hit Hardware watchpoint 2",
            "hit Hardware watchpoint 3",
            "cycle",
        ],
    },
    Case {
        name: "protected mode and VMX",
        image: "vmxexits",
        before: "b vmentry; c",
        commands: &[
            "info threads",
            "p/x $vmcs_GuestRip",
            "set $entry = $pc",
            "stepi",
            "p $pc == $vmcs_GuestRip",
            "watch *(int*)0x1c1c",
            "continue",
            "delete",
            "hbreak *$entry",
            "reverse-continue",
            "p $pc == $entry",
            "p/x $cr0",
            "monitor vmcs GuestRip",
        ],
        expected: &[
            "32-bit protected mode",
            "Thread 1.4",
            "$1 = 0x",
            "$2 = 1",
            "hit Hardware watchpoint 1",
            "New value = 1073741824",
            "hit Breakpoint 2",
            "$3 = 1",
            "$4 = 0x80000031",
            "Guest RIP",
        ],
    },
    Case {
        name: "64-bit mode",
        image: "evex",
        before: "sba 6000000",
        commands: &[
            "info threads",
            "p $efer & 0x400",
            "set $here = $rip",
            "stepi 3",
            "reverse-stepi",
            "reverse-stepi",
            "reverse-stepi",
            "p $rip == $here",
            "thread 3",
            "p/x $cr0 & 1",
        ],
        expected: &["64-bit mode", "Thread 1.4", "$1 = 1024", "$2 = 1", "Switching to thread 3", "$3 = 0x0"],
    },
];

/// What GDB does in a Linux kernel, behind the command that reads its symbols, and what it must print.
const KERNEL_COMMANDS: [&str; 23] = [
    "info threads",
    "break vfs_read",
    "continue",
    "p $pc >= (unsigned long)&vfs_read",
    "info symbol $pc",
    "set $there = $pc",
    "stepi",
    "reverse-stepi",
    "p $pc == $there",
    "delete",
    "watch *(unsigned long*)&jiffies_64",
    "continue",
    "set $jiffies = *(unsigned long*)&jiffies_64",
    "delete",
    "break vfs_read",
    "continue",
    "delete",
    "set $later = *(unsigned long*)&jiffies_64",
    "watch *(unsigned long*)&jiffies_64",
    "reverse-continue",
    "p *(unsigned long*)&jiffies_64 == $later - 1",
    "p/x $efer & 0x400",
    "monitor where",
];
const KERNEL_EXPECTED: [&str; 10] = [
    "Thread 1.4 (CPU#3 [64-bit mode",
    "in vfs_read ()",
    "$1 = 1",
    "vfs_read in section .text",
    "$2 = 1",
    "Hardware watchpoint 2: *(unsigned long*)&jiffies_64",
    "Breakpoint 3, 0x",
    "Hardware watchpoint 4: *(unsigned long*)&jiffies_64",
    "$3 = 1",
    "$4 = 0x400",
];

/// Runs them all; the exit status.
pub fn main(args: &Args) -> i32 {
    let kernel = (!args.no_kernel).then(|| ("Linux with its symbols", linux(args)));
    let mut status = 0;
    for (name, result) in CASES.iter().map(|case| (case.name, image(args, case))).chain(kernel) {
        match result {
            Ok(()) => println!("ok    {name}"),
            Err(problem) => {
                println!("FAIL  {name}: {problem}");
                status = 1;
            }
        }
    }
    status
}

fn folder() -> Result<Folder, String> {
    Folder::new("gdb").map_err(|error| format!("the temporary folder: {error}"))
}

/// A test image, led to its mode first, so that GDB meets it.
fn image(args: &Args, case: &Case) -> Result<(), String> {
    let folder = folder()?;
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../test-images/images/{}.img", case.image));
    let snapshot = folder.path("snapshot");
    let machine = ["--snapshot", "--cpus", "4", "--cpu-model", "max", "--hda"].map(str::to_owned);
    let machine: Vec<String> = machine.into_iter().chain([image.display().to_string()]).collect();
    let before = format!("{}; save {}", case.before, snapshot.display());
    let saved = Command::new(&args.program).arg("debug").args(&machine).args(["-c", &before]).output();
    let saved = saved.map_err(|error| format!("{}: {error}", args.program.display()))?;
    if !saved.status.success() {
        return Err(String::from_utf8_lossy(&saved.stdout).into_owned());
    }
    run(args, &folder, &machine, &snapshot, case.commands, case.expected)
}

/// A Linux kernel at its first process.
fn linux(args: &Args) -> Result<(), String> {
    let (Some(kernel), Some(busybox)) = (&args.kernel, &args.busybox) else {
        return Err("give --kernel and --busybox, or --no-kernel".to_owned());
    };
    let folder = folder()?;
    let prepared = kernel::prepare(&args.program, kernel, busybox, &folder)?;
    let mut commands = vec![prepared.symbols.as_str()];
    commands.extend(KERNEL_COMMANDS);
    run(args, &folder, &prepared.machine, &prepared.snapshot, &commands, &KERNEL_EXPECTED)
}

/// A process that does not outlive its case.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(command: &mut Command, program: &Path) -> Result<Running, String> {
    command.spawn().map(Running).map_err(|error| format!("{}: {error}", program.display()))
}

/// Where the server waits.
fn place(program: &mut Child) -> Result<String, String> {
    let mut errors = BufReader::new(program.stderr.take().ok_or("no pipe")?);
    let place = gdb_place(&mut errors);
    // What comes behind it is taken, so that the program does not wait.
    std::thread::spawn(move || errors.lines().for_each(drop));
    place.map_err(|error| error.to_string())
}

/// Lets GDB carry out commands on a machine in a snapshot; each of `expected` must be printed behind the one before.
fn run(
    args: &Args,
    folder: &Folder,
    machine: &[String],
    snapshot: &Path,
    commands: &[&str],
    expected: &[&str],
) -> Result<(), String> {
    let (script, output) = (folder.path("script"), folder.path("output"));
    let mut program = start(
        Command::new(&args.program)
            .args(["--headless", "--debugcon", "none", "--gdb", "0"])
            .args(machine)
            .arg("--restore")
            .arg(snapshot)
            .stderr(Stdio::piped()),
        &args.program,
    )?;
    let place = place(&mut program.0)?;
    let commands = commands.join("\n");
    let text = format!("set confirm off\nset pagination off\ntarget remote {place}\n{commands}\nkill\n");
    std::fs::write(&script, text).map_err(|error| format!("{}: {error}", script.display()))?;
    let file = std::fs::File::create(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    let errors = file.try_clone().map_err(|error| format!("{}: {error}", output.display()))?;
    let mut gdb = start(
        Command::new(&args.gdb)
            .args(["-nx", "-batch", "-x"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors),
        &args.gdb,
    )?;
    let started = Instant::now();
    while gdb.0.try_wait().map_err(|error| error.to_string())?.is_none() {
        if started.elapsed() > PATIENCE {
            return Err(format!("GDB has not come to its end in {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = std::fs::read_to_string(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    if args.show {
        println!("{text}");
    }
    let mut rest = text.as_str();
    for part in expected {
        let at = rest
            .find(part)
            .ok_or_else(|| format!("{part:?} is not there, or not behind the part before, in\n{text}"))?;
        rest = &rest[at + part.len()..];
    }
    Ok(())
}
