//! The options of a run.

use super::numbers::{number, number32, port, seconds, tcp_port, word};
use crate::config::size::mebibytes;
use crate::config::{
    BootDevice, Clock, DisplayKind, FwCfgItem, IPS_RANGE, MAX_CPUS, MAX_MEMORY_MIB, QUANTUM_RANGE, Stream,
};
use crate::loader::LinuxEntry;
use crate::logging::LogFilter;
use crate::time;
use crate::trace::TraceSpec;
use crate::vmcs_dump::VmcsDumpSpec;
use clap::Args;
use emu_vmx::dump::names::shown;
use std::path::PathBuf;

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The options of a run.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Disk, floppy or CD image to boot (a floppy by its size: 1.44M, 720K, 360K, 2.88M; a CD is an ISO 9660 image)
    #[arg(value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// Configuration: a Bochs file (bs, bochsrc) or our own FILE.ron; other options override it
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the effective configuration, as -f takes it, and end
    #[arg(long)]
    pub dump_config: bool,
    /// A line as a Bochs file has it, over the configuration (repeatable); 'KEY: VALUE' alone will do, too
    #[arg(long, value_name = "KEY: VALUE")]
    pub set: Vec<String>,

    /// First hard disk's image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hda: Option<PathBuf>,
    /// Second hard disk's image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hdb: Option<PathBuf>,
    /// Third hard disk's image, in place of the CD-ROM drive
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hdc: Option<PathBuf>,
    /// Fourth hard disk's image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hdd: Option<PathBuf>,
    /// Floppy A:'s image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub fda: Option<PathBuf>,
    /// Floppy B:'s image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub fdb: Option<PathBuf>,
    /// CD-ROM's ISO image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub cdrom: Option<PathBuf>,
    /// A folder as a hard disk with a FAT file system; what the guest writes goes back into it at the end
    #[arg(long, value_name = "DIR", help_heading = "Drives")]
    pub fat: Option<PathBuf>,
    /// Image at hand for later, of a medium that a script, a snapshot or a recording puts into a drive (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub medium: Vec<PathBuf>,
    /// What to boot from first [default: what was given]
    #[arg(long, value_name = "DEVICE", value_enum, value_delimiter = ',', help_heading = "Drives")]
    pub boot: Vec<BootDevice>,
    /// Keep disk writes in memory and drop them at exit [default: write them to the image]
    #[arg(long, help_heading = "Drives")]
    pub snapshot: bool,

    /// Start a kernel directly: Linux (bzImage, vmlinux), Multiboot 1 or 2, or an ELF with a PVH entry
    #[arg(long, value_name = "FILE", help_heading = "Kernel")]
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk, also the Multiboot module
    #[arg(long, value_name = "FILE", help_heading = "Kernel")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Kernel")]
    pub append: Option<String>,

    /// Enter a bzImage through its real-mode code or in protected mode [default: real]
    #[arg(long, value_name = "MODE", value_enum, help_heading = "Kernel")]
    pub linux_entry: Option<LinuxEntry>,

    /// Logical processors [default: 1]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = number32(1..=MAX_CPUS, "processors"), help_heading = "Machine")]
    pub cpus: Option<u32>,
    /// Guest memory in MiB, or with a unit as 512M or 1G [default: 512]
    #[arg(long, allow_negative_numbers = true, value_name = "MIB", value_parser = memory, help_heading = "Machine")]
    pub memory: Option<u64>,
    /// CPU model, with features taken away or added and the width of physical addresses (haswell,-vpid,+pcid,phys-bits=40);
    /// a model's FILE.ron, or a dump of cpuid -r and rdmsr; cpu-models lists them [default: corei5_arrandale_m520]
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    pub cpu_model: Option<String>,
    /// What the clock counts: instructions (ips), or cycles of the CPU model, with caches and branch prediction or without
    /// (model[,caches][,branches]) [default: ips]
    #[arg(long, value_name = "CLOCK", help_heading = "Machine")]
    pub clock: Option<Clock>,
    /// Cycles per guest second [default: 50000000]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = number(IPS_RANGE, "cycles"), help_heading = "Machine")]
    pub ips: Option<u64>,
    /// Cycles a processor runs before the next one's turn
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = number(QUANTUM_RANGE, "cycles"), help_heading = "Machine")]
    pub quantum: Option<u64>,
    /// BIOS image [default: the built-in one]
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub rom: Option<PathBuf>,
    /// VGA BIOS image [default: the built-in one]
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub vga_rom: Option<PathBuf>,
    /// UEFI firmware, in FILE or where distributions have it (docs/uefi.md)
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, help_heading = "Machine")]
    pub uefi: Option<Option<PathBuf>>,
    /// The file that keeps the UEFI firmware's variables; made if it is not there [default: the same in every run]
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub uefi_vars: Option<PathBuf>,
    /// Tell firmware something through QEMU's fw_cfg: name=NAME,file=FILE or name=NAME,string=TEXT (repeatable)
    #[arg(long, value_name = "ITEM", help_heading = "Machine")]
    pub fw_cfg: Vec<FwCfgItem>,
    /// The RTC's start, such as 2026-01-31T12:00:00Z [default: a fixed date, so that runs repeat]
    #[arg(long, value_name = "RFC3339", value_parser = time::parse_rfc3339, help_heading = "Machine")]
    pub seed_time: Option<i64>,
    /// isa-debug-exit at this port: a write of v ends the run with status (v<<1)|1
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", value_parser = port, help_heading = "Machine")]
    pub debug_exit: Option<u16>,
    /// With --debug-exit: a write of V ends the run with status 0, one of anything else with status 1
    #[arg(long, allow_negative_numbers = true, value_name = "V", value_parser = word, help_heading = "Machine")]
    pub debug_exit_pass: Option<u32>,
    /// Add QEMU's pc-testdev and pci-testdev
    #[arg(long, help_heading = "Machine")]
    pub test_devices: bool,
    /// Reset the machine on a triple fault [default: end the run with status 3]
    #[arg(long, help_heading = "Machine")]
    pub reset_on_triple_fault: bool,
    /// The guest's reset ends the run with status 0
    #[arg(long, help_heading = "Machine")]
    pub no_reboot: bool,
    /// MSRs that the CPU model lacks read 0 and swallow writes [default: #GP]
    #[arg(long, help_heading = "Machine")]
    pub ignore_bad_msrs: bool,
    /// Compile code that has run N times to host code, on x86-64 and aarch64 Linux [default: 100 there; else none]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "100", value_parser = number32(1..=u32::MAX, "times"), help_heading = "Machine")]
    pub jit: Option<u32>,
    /// Interpret all code
    #[arg(long, overrides_with = "jit", help_heading = "Machine")]
    pub no_jit: bool,
    /// The BIOS leaves IA32_FEATURE_CONTROL unlocked and 0 [default: locked, with VMX enabled]
    #[arg(long, help_heading = "Machine")]
    pub vmx_unlocked: bool,

    /// How to show the screen [default: a window where there is a display, else the terminal, else none]
    #[arg(long, value_name = "KIND", value_enum, help_heading = "Input and output")]
    pub display: Option<DisplayKind>,
    /// Same as --display none
    #[arg(long, help_heading = "Input and output")]
    pub headless: bool,
    /// COM1: stdio, none, pty, tcp:[HOST:]PORT, unix:PATH, tcp-connect:HOST:PORT, unix-connect:PATH, device:PATH or a file
    /// [default: none]
    #[arg(long, value_name = "TO", help_heading = "Input and output")]
    pub serial: Option<Stream>,
    /// Port E9h: stdio, none or a file [default: stdio when headless]
    #[arg(long, value_name = "TO", value_parser = output, help_heading = "Input and output")]
    pub debugcon: Option<Stream>,
    /// Start from a snapshot that a script's Snapshot step has written, of a machine of the same configuration
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    pub restore: Option<PathBuf>,
    /// Run a script (docs/scripting.md)
    #[arg(long, value_name = "FILE.ron", help_heading = "Input and output")]
    pub script: Option<PathBuf>,
    /// Write the text screen at exit
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    pub screen_dump: Option<PathBuf>,
    /// Write the picture at exit
    #[arg(long, value_name = "FILE.png", help_heading = "Input and output")]
    pub screenshot: Option<PathBuf>,
    /// Write processors, last exceptions, current VMCS and screen at exit (text; JSON for .json)
    #[arg(long, value_name = "FILE", help_heading = "Limits and diagnosis")]
    pub dump_state: Option<PathBuf>,
    /// Record keys and all else that comes to the machine from outside, for --replay
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    pub record: Option<PathBuf>,
    /// Make a recorded run again; status 1 if it ends otherwise than the recording
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "script", "max_instructions", "max_time"], help_heading = "Input and output")]
    pub replay: Option<PathBuf>,
    /// Keep guest time to the host's clock; =off: run as fast as possible [default: on with a display]
    #[arg(long, value_name = "on|off", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "on", hide_possible_values = true, help_heading = "Input and output")]
    pub realtime: Option<Switch>,

    /// End the run after N instructions, status 4
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = number(0..=u64::MAX, "instructions"), help_heading = "Limits and diagnosis")]
    pub max_instructions: Option<u64>,
    /// End the run after this much guest time, status 4
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", value_parser = seconds, help_heading = "Limits and diagnosis")]
    pub max_time: Option<f64>,
    /// End the run after this much of the host's time, status 4
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", value_parser = seconds, help_heading = "Limits and diagnosis")]
    pub wall_time: Option<f64>,
    /// Write one line an instruction: FILE[,cpu=N][,from=CYCLE][,to=CYCLE]
    #[arg(long, value_name = "FILE", help_heading = "Limits and diagnosis")]
    pub trace: Option<TraceSpec>,
    /// Write every VMCS whose VM entry fails, as vmcs-lint takes it; with ,all every VMCS that is entered, too
    #[arg(long, value_name = "FILE[,all]", help_heading = "Limits and diagnosis")]
    pub vmcs_dump: Option<VmcsDumpSpec>,
    /// Wait for GDB on 127.0.0.1:PORT; 0: on a free port, which is told
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", value_parser = tcp_port, help_heading = "Limits and diagnosis")]
    pub gdb: Option<u16>,
    /// With --gdb: let the guest run until GDB comes
    #[arg(long, help_heading = "Limits and diagnosis")]
    pub gdb_no_wait: bool,
    /// error, warn, info, debug or trace; LEVEL,part=LEVEL for one part [default: warn]
    #[arg(long, value_name = "LEVEL", help_heading = "Limits and diagnosis")]
    pub log: Option<LogFilter>,
    /// Log to a file [default: standard error]
    #[arg(long, value_name = "FILE", help_heading = "Limits and diagnosis")]
    pub log_file: Option<PathBuf>,
    /// Print one JSON line of counters on standard error at exit
    #[arg(long, help_heading = "Limits and diagnosis")]
    pub stats: bool,
    /// `--end-with-stdin`, which is nobody's but our own: end as at SIGTERM once standard input ends, so that what `test`
    /// runs ends with it.
    #[arg(skip)]
    pub end_with_stdin: bool,
}

/// Guest memory in MiB.
fn memory(text: &str) -> Result<u64, String> {
    let mebibytes = mebibytes(text)?;
    let range = 1..=MAX_MEMORY_MIB;
    let problem =
        || format!("{mebibytes} MiB are out of range; give 1 to {MAX_MEMORY_MIB} MiB, or with a unit as 512M or 1G");
    if range.contains(&mebibytes) { Ok(mebibytes) } else { Err(problem()) }
}

/// A stream that nothing comes from.
fn output(text: &str) -> Result<Stream, String> {
    match text.parse()? {
        link if Stream::is_link(&link) => Err(format!("{:?} is for COM1; give stdio, none or a file", shown(text))),
        stream => Ok(stream),
    }
}
