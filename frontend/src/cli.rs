//! The command line.

use crate::config::sources::{Host, locate};
use crate::config::{
    AtaDrive, BootDevice, DisplayKind, Floppy, FloppyKind, IPS_RANGE, Kernel, MAX_CPUS, MAX_MEMORY_MIB, MachineConfig,
    Notice, QUANTUM_RANGE, Rom, Severity, Stream, bochsrc, ron,
};
use crate::error::InputError;
use crate::loader::LinuxEntry;
use crate::logging::LogFilter;
use crate::models::ModelArgs;
use crate::suite::TestArgs;
use crate::time;
use crate::trace::TraceSpec;
use crate::vmcs_dump::VmcsDumpSpec;
use clap::builder::styling::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use emu_vmx::dump::names::slip;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Leaving: the window by Ctrl-Alt-M Q, or by closing it; the terminal by Ctrl-]; --serial stdio on a terminal by\nCtrl-A x. Ctrl-C is the guest's (docs/display.md).\n
Exit status: 0 the guest powered off, or the script passed; 1 the script failed, or a replay ended\notherwise than its recording; 2 bad usage, configuration, image \
or file; 3 the guest died; 4 a limit was reached; else isa-debug-exit's.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "rvmx-emu",
    version,
    about = "An x86-64 PC emulator with complete software VMX",
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    styles = Styles::plain()
)]
pub struct Cli {
    /// Options of a plain run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Another command than running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands besides running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stop before the machine's first instruction, in the debugger
    Debug {
        /// The machine.
        #[command(flatten)]
        run: Box<RunArgs>,
        /// Debugger commands, separated by semicolons
        #[arg(short = 'c', value_name = "COMMANDS")]
        commands: Option<String>,
        /// Read debugger commands from a file
        #[arg(short = 'x', value_name = "FILE")]
        command_file: Option<PathBuf>,
        /// Registers, code, memory, VMCS, VM exits and screen at once, on the whole terminal
        #[arg(long, conflicts_with = "json")]
        tui: bool,
        /// Answer every command with one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// List every VM-entry check that a VMCS dump fails
    VmcsLint {
        /// CPU model whose capability MSRs apply [default: corei5_arrandale_m520]
        #[arg(long, value_name = "NAME")]
        cpu_model: Option<String>,
        /// Capability MSRs of another processor: rdmsr's output, cpu-models', or lines such as 480 = 00da040000000004
        #[arg(long, value_name = "FILE")]
        caps: Option<PathBuf>,
        /// Report as JSON
        #[arg(long)]
        json: bool,
        /// What --vmcs-dump writes, lines of field = value, JSON, or a log of KVM, Xen, Bochs or VirtualBox; - for standard input
        #[arg(value_name = "DUMP")]
        dump: PathBuf,
    },
    /// Run many scripts in parallel; status 0 only if all pass
    Test(TestArgs),
    /// List the CPU models, or one model's features, VMX controls, CPUID leaves and MSRs
    CpuModels(ModelArgs),
}

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
    /// Disk or floppy image to boot (a floppy by its size: 1.44M, 720K, 360K, 2.88M)
    #[arg(value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// Configuration: a Bochs file (bs, bochsrc) or our own FILE.ron; other options override it
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// First hard disk's image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hda: Option<PathBuf>,
    /// Second hard disk's image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub hdb: Option<PathBuf>,
    /// Floppy A:'s image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub fda: Option<PathBuf>,
    /// CD-ROM's ISO image
    #[arg(long, value_name = "FILE", help_heading = "Drives")]
    pub cdrom: Option<PathBuf>,
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
    #[arg(long, value_name = "FILE", requires = "kernel", help_heading = "Kernel")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line
    #[arg(long, value_name = "TEXT", requires = "kernel", allow_hyphen_values = true, help_heading = "Kernel")]
    pub append: Option<String>,

    /// Enter a bzImage through its real-mode code or in protected mode [default: real]
    #[arg(long, value_name = "MODE", value_enum, requires = "kernel", help_heading = "Kernel")]
    pub linux_entry: Option<LinuxEntry>,

    /// Logical processors [default: 1]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)), help_heading = "Machine")]
    pub cpus: Option<u32>,
    /// Guest memory in MiB [default: 512]
    #[arg(long, allow_negative_numbers = true, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=MAX_MEMORY_MIB), help_heading = "Machine")]
    pub memory: Option<u64>,
    /// CPU model, with features taken away or added (haswell,-vpid,+pcid); a model's FILE.ron, or a dump of cpuid -r and
    /// rdmsr; cpu-models lists them [default: corei5_arrandale_m520]
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    pub cpu_model: Option<String>,
    /// Cycles per guest second [default: 50000000]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(IPS_RANGE), help_heading = "Machine")]
    pub ips: Option<u64>,
    /// Cycles a processor runs before the next one's turn
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(QUANTUM_RANGE), help_heading = "Machine")]
    pub quantum: Option<u64>,
    /// BIOS image [default: the built-in one]
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub rom: Option<PathBuf>,
    /// VGA BIOS image [default: the built-in one]
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub vga_rom: Option<PathBuf>,
    /// The RTC's start, such as 2026-01-31T12:00:00Z [default: a fixed date, so that runs repeat]
    #[arg(long, value_name = "RFC3339", value_parser = time::parse_rfc3339, help_heading = "Machine")]
    pub seed_time: Option<i64>,
    /// isa-debug-exit at this port: a write of v ends the run with status (v<<1)|1
    #[arg(long, value_name = "PORT", value_parser = port, help_heading = "Machine")]
    pub debug_exit: Option<u16>,
    /// Add QEMU's pc-testdev and pci-testdev
    #[arg(long, help_heading = "Machine")]
    pub test_devices: bool,
    /// Reset the machine on a triple fault [default: end the run with status 3]
    #[arg(long, help_heading = "Machine")]
    pub reset_on_triple_fault: bool,
    /// MSRs that the CPU model lacks read 0 and swallow writes [default: #GP]
    #[arg(long, help_heading = "Machine")]
    pub ignore_bad_msrs: bool,
    /// The BIOS leaves IA32_FEATURE_CONTROL unlocked and 0 [default: locked, with VMX enabled]
    #[arg(long, help_heading = "Machine")]
    pub vmx_unlocked: bool,

    /// How to show the screen [default: a window where there is a display, else the terminal, else none]
    #[arg(long, value_name = "KIND", value_enum, help_heading = "Input and output")]
    pub display: Option<DisplayKind>,
    /// Same as --display none
    #[arg(long, help_heading = "Input and output")]
    pub headless: bool,
    /// COM1: stdio, none or a file [default: none]
    #[arg(long, value_name = "TO", help_heading = "Input and output")]
    pub serial: Option<Stream>,
    /// Port E9h: stdio, none or a file [default: stdio when headless]
    #[arg(long, value_name = "TO", help_heading = "Input and output")]
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
    #[arg(long, allow_negative_numbers = true, value_name = "N", help_heading = "Limits and diagnosis")]
    pub max_instructions: Option<u64>,
    /// End the run after this much guest time, status 4
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", value_parser = guest_seconds, help_heading = "Limits and diagnosis")]
    pub max_time: Option<f64>,
    /// Write one line an instruction: FILE[,cpu=N][,from=CYCLE][,to=CYCLE]
    #[arg(long, value_name = "FILE", help_heading = "Limits and diagnosis")]
    pub trace: Option<TraceSpec>,
    /// Write every VMCS whose VM entry fails, as vmcs-lint takes it; with ,all every VMCS that is entered, too
    #[arg(long, value_name = "FILE[,all]", help_heading = "Limits and diagnosis")]
    pub vmcs_dump: Option<VmcsDumpSpec>,
    /// Wait for GDB on 127.0.0.1:PORT; 0: on a free port, which is told
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", help_heading = "Limits and diagnosis")]
    pub gdb: Option<u16>,
    /// With --gdb: let the guest run until GDB comes
    #[arg(long, requires = "gdb", help_heading = "Limits and diagnosis")]
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
    /// End as at SIGTERM once standard input ends: what `test` runs ends with it
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
}

/// A port number, decimal or 0x-hexadecimal.
fn port(text: &str) -> Result<u16, String> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = hex.map_or_else(|| text.parse().ok(), |digits| u16::from_str_radix(digits, 16).ok());
    parsed.ok_or_else(|| "give a port from 0 to 0xffff".to_owned())
}

/// A positive number of guest seconds.
fn guest_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && *s > 0.0);
    seconds.ok_or_else(|| "give a number of seconds above 0".to_owned())
}

/// What parsing a command line came to.
#[derive(Debug)]
pub enum Parsed {
    /// A command line to carry out.
    Cli(Box<Cli>),
    /// Text to print (help or version), status 0.
    Text(String),
}

/// Parses a command line, the program's name first.
pub fn parse<I, T>(arguments: I) -> Result<Parsed, InputError>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    // The help of the debugger is about what it takes.
    let hidden = |debug: clap::Command| {
        crate::debug::NOT_TAKEN.iter().fold(debug, |debug, name| debug.mut_arg(name, |option| option.hide(true)))
    };
    let command = Cli::command().mut_subcommand("debug", hidden);
    let arguments: Vec<std::ffi::OsString> = arguments.into_iter().map(Into::into).collect();
    let first = arguments.get(1).and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    match command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Parsed::Cli(Box::new(cli))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) => Err(misspelled_command(&first).unwrap_or_else(|| one_line(&error))),
    }
}

/// The error about a first argument that is nearly a command's name, and no file.
fn misspelled_command(first: &str) -> Option<InputError> {
    let command = Cli::command();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let near = slip(first, names.iter().copied())
        .filter(|near| *near != first && !first.starts_with('-') && !Path::new(first).exists())?;
    let problem = format!("there is no command {first:?}");
    Some(InputError::new("command line", problem).remedy(format!("did you mean {near}?")))
}

/// clap's several lines as our one: the first sentence, what was possible, and where to read on.
fn one_line(error: &clap::Error) -> InputError {
    let text = error.to_string();
    if text.starts_with("error: the subcommand") {
        return InputError::new("command line", "options stand before the command")
            .remedy("give them behind it, as in rvmx-emu debug --headless IMAGE");
    }
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).collect();
    let mut problem = lines.first().map_or("bad usage", |line| line.trim_start_matches("error: ")).to_owned();
    // A sentence that ends in a colon goes on with the arguments it is about.
    if problem.ends_with(':') {
        let arguments: Vec<&str> = lines.iter().skip(1).take_while(|line| !line.is_empty()).copied().collect();
        problem = format!("{problem} {}", arguments.join(", "));
    }
    let list = |kind| match error.get(kind) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.join(", ")),
        Some(ContextValue::String(value)) if !value.is_empty() => Some(value.clone()),
        _ => None,
    };
    let remedy = if let Some(values) = list(ContextKind::ValidValue) {
        format!("give one of {values}")
    } else if let Some(argument) = list(ContextKind::SuggestedArg) {
        format!("did you mean {argument}?")
    } else {
        "see rvmx-emu --help".to_owned()
    };
    InputError::new("command line", problem).remedy(remedy)
}

/// What a run does besides being a machine.
#[derive(Debug, Clone, Default)]
pub struct RunConfig {
    /// End after this many instructions.
    pub max_instructions: Option<u64>,
    /// End after this many guest seconds.
    pub max_time: Option<f64>,
    /// Images at hand, to be put into drives.
    pub media: Vec<PathBuf>,
    /// The snapshot to start from.
    pub restore: Option<PathBuf>,
    /// The script to run.
    pub script: Option<PathBuf>,
    /// Where what comes from outside is recorded.
    pub record: Option<PathBuf>,
    /// The recording to make again.
    pub replay: Option<PathBuf>,
    /// Where the text screen goes at exit.
    pub screen_dump: Option<PathBuf>,
    /// Where the picture goes at exit.
    pub screenshot: Option<PathBuf>,
    /// Where the machine's state goes at exit.
    pub dump_state: Option<PathBuf>,
    /// What is traced, and where to.
    pub trace: Option<TraceSpec>,
    /// Which VMCSs are dumped, and where to.
    pub vmcs_dump: Option<VmcsDumpSpec>,
    /// Whether to print counters at exit.
    pub stats: bool,
    /// Port to wait for GDB at.
    pub gdb: Option<u16>,
    /// The guest runs until GDB comes.
    pub gdb_no_wait: bool,
}

/// A machine and what to do with it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The machine.
    pub machine: MachineConfig,
    /// The run.
    pub run: RunConfig,
}

/// Puts a configuration file and the options over it together.
pub fn settings(host: &dyn Host, args: &RunArgs) -> Result<(Settings, Vec<Notice>), InputError> {
    if let Some(kind) = args.display.filter(|kind| args.headless && *kind != DisplayKind::None) {
        let problem = format!("--headless and --display {kind:?} exclude each other").to_lowercase();
        return Err(InputError::new("command line", problem).remedy("give one of them"));
    }
    let (mut machine, notices) = match &args.config {
        Some(path) => load_config(host, path)?,
        None => (MachineConfig::default(), Vec::new()),
    };
    apply_drives(host, args, &mut machine)?;
    // Of several, as in a configuration's `boot: floppy, disk`, some may be missing.
    if let Some(missing) = args.boot.first().filter(|_| !args.boot.iter().any(|device| machine.has(*device))) {
        let (what, remedy) = match missing {
            BootDevice::Disk => ("hard disk", "give one with --hda FILE"),
            BootDevice::Floppy => ("floppy in drive A:", "give one with --fda FILE"),
            BootDevice::Cdrom => ("CD-ROM", "give one with --cdrom FILE"),
        };
        return Err(InputError::new("--boot", format!("there is no {what} to boot from")).remedy(remedy));
    }
    apply_machine(args, &mut machine);
    for (option, rom, slot) in
        [("--rom", &args.rom, &mut machine.rom), ("--vga-rom", &args.vga_rom, &mut machine.vga_rom)]
    {
        if let Some(file) = rom {
            *slot = Some(Rom { file: existing(host, option, file)?, address: None });
        }
    }
    if let Some(file) = &args.kernel {
        machine.kernel = Some(Kernel {
            file: existing(host, "--kernel", file)?,
            initrd: args.initrd.as_deref().map(|initrd| existing(host, "--initrd", initrd)).transpose()?,
            append: args.append.clone().unwrap_or_default(),
            linux_entry: args.linux_entry.unwrap_or_default(),
        });
    }
    if !machine.has_something_to_boot() {
        return Err(nothing_to_boot(args, &notices));
    }
    machine.check("command line")?;
    let run = RunConfig {
        max_instructions: args.max_instructions,
        max_time: args.max_time,
        media: args.medium.iter().map(|file| existing(host, "--medium", file)).collect::<Result<_, _>>()?,
        restore: args.restore.clone(),
        script: args.script.clone(),
        record: args.record.clone(),
        replay: args.replay.clone(),
        screen_dump: args.screen_dump.clone(),
        screenshot: args.screenshot.clone(),
        dump_state: args.dump_state.clone(),
        trace: args.trace.clone(),
        vmcs_dump: args.vmcs_dump.clone(),
        stats: args.stats,
        gdb: args.gdb,
        gdb_no_wait: args.gdb_no_wait,
    };
    Ok((Settings { machine, run }, notices))
}

/// Why there is nothing to boot: no medium was named, or what was named is not there.
fn nothing_to_boot(args: &RunArgs, notices: &[Notice]) -> InputError {
    let missing = notices.iter().filter(|notice| notice.missing_medium);
    let missing = missing.min_by_key(|notice| notice.severity == Severity::Info);
    match (missing, &args.config, &args.script) {
        (Some(notice), ..) => {
            let problem = format!("{}, and there is nothing else to boot", notice.text);
            InputError::new(&notice.place, problem).line(notice.line).remedy("correct the path, or give an IMAGE")
        }
        (None, Some(config), _) => InputError::file(config, "there is nothing to boot")
            .remedy("name a disk, floppy or CD-ROM image in it, or give an IMAGE"),
        (None, None, Some(script)) => InputError::file(script, "there is nothing to boot")
            .remedy("name an image in it, as in image: \"c.img\", or give an IMAGE"),
        (None, None, None) => InputError::new("command line", "there is nothing to boot")
            .remedy("give an IMAGE, --kernel FILE or -f CONFIG; see rvmx-emu --help"),
    }
}

/// Reads a configuration file: RON by its name's ending, else Bochs's.
pub fn load_config(host: &dyn Host, path: &Path) -> Result<(MachineConfig, Vec<Notice>), InputError> {
    let text = host.read_text(path).map_err(|e| {
        InputError::file(path, format!("cannot read the configuration: {e}")).remedy("correct the path given with -f")
    })?;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ron")) {
        Ok((ron::load(host, path, &text)?, Vec::new()))
    } else {
        bochsrc::parse(host, path, &text)
    }
}

fn existing(host: &dyn Host, option: &str, file: &Path) -> Result<PathBuf, InputError> {
    locate(host, file, Path::new("")).ok_or_else(|| {
        let problem = format!("there is no file {:?}", file.display().to_string());
        InputError::new(option, problem).remedy("correct the path")
    })
}

fn apply_drives(host: &dyn Host, args: &RunArgs, machine: &mut MachineConfig) -> Result<(), InputError> {
    let disk = |image| Some(AtaDrive::Disk { image, geometry: None });
    if let Some(file) = &args.hda {
        machine.hda = disk(existing(host, "--hda", file)?);
    }
    if let Some(file) = &args.hdb {
        machine.hdb = disk(existing(host, "--hdb", file)?);
    }
    if let Some(file) = &args.cdrom {
        machine.hdc = Some(AtaDrive::Cdrom { image: Some(existing(host, "--cdrom", file)?) });
    }
    let floppy = |image| Some(Floppy { kind: None, image: Some(image), write_protected: false });
    if let Some(file) = &args.fda {
        machine.fda = floppy(existing(host, "--fda", file)?);
    }
    let mut first = args.boot.clone();
    if let Some(file) = &args.image {
        let path = existing(host, "IMAGE", file)
            .map_err(|error| file.to_str().and_then(misspelled_command).unwrap_or(error))?;
        let size = host.size(&path).unwrap_or(0);
        if size == 0 {
            return Err(InputError::file(&path, "the image is empty").remedy("give a disk or floppy image"));
        }
        let floppies = [FloppyKind::K360, FloppyKind::K720, FloppyKind::M1_44, FloppyKind::M2_88];
        let is_floppy = FloppyKind::from_bytes(size).is_some_and(|kind| floppies.contains(&kind));
        let (taken, option) = if is_floppy { (&args.fda, "--fda") } else { (&args.hda, "--hda") };
        if taken.is_some() {
            return Err(InputError::new("command line", format!("IMAGE and {option} name the same drive"))
                .remedy("give one of them"));
        }
        if is_floppy {
            machine.fda = floppy(path)
        } else {
            machine.hda = disk(path)
        }
        if first.is_empty() {
            first.push(if is_floppy { BootDevice::Floppy } else { BootDevice::Disk });
        }
    } else if first.is_empty() {
        // What the command line names comes before what the configuration has.
        let given = [
            (args.hda.is_some() || args.hdb.is_some(), BootDevice::Disk),
            (args.fda.is_some(), BootDevice::Floppy),
            (args.cdrom.is_some(), BootDevice::Cdrom),
        ];
        first.extend(given.into_iter().filter(|(given, _)| *given).map(|(_, device)| device));
    }
    let rest: Vec<BootDevice> = machine.boot.iter().filter(|device| !first.contains(device)).copied().collect();
    first.extend(rest);
    machine.boot = first;
    machine.snapshot |= args.snapshot;
    Ok(())
}

fn apply_machine(args: &RunArgs, machine: &mut MachineConfig) {
    machine.cpus = args.cpus.unwrap_or(machine.cpus);
    machine.memory = args.memory.unwrap_or(machine.memory);
    if let Some(model) = &args.cpu_model {
        machine.cpu_model.clone_from(model);
    }
    machine.ips = args.ips.unwrap_or(machine.ips);
    machine.quantum = args.quantum.or(machine.quantum);
    machine.seed_time = args.seed_time.or(machine.seed_time);
    machine.debug_exit = args.debug_exit.or(machine.debug_exit);
    machine.test_devices |= args.test_devices;
    machine.reset_on_triple_fault |= args.reset_on_triple_fault;
    machine.ignore_bad_msrs |= args.ignore_bad_msrs;
    machine.vmx_unlocked |= args.vmx_unlocked;
    machine.realtime = args.realtime.map(|realtime| realtime == Switch::On).or(machine.realtime);
    if args.headless {
        machine.display = Some(DisplayKind::None);
    }
    machine.display = args.display.or(machine.display);
    if let Some(serial) = &args.serial {
        machine.serial = serial.clone();
    }
    if let Some(debugcon) = &args.debugcon {
        machine.debugcon = Some(debugcon.clone());
    }
}
