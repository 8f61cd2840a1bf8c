//! From the options to a machine and its run.

use super::args::{RunArgs, Switch};
use super::drives::{apply_drives, existing};
use super::firmware;
use super::together;
use crate::config::run::RunFields;
use crate::config::sources::Host;
use crate::config::{
    BootDevice, DisplayKind, FwCfgContents, Kernel, MachineConfig, Notice, Rom, Severity, Uefi, bochsrc, ron,
};
use crate::error::InputError;
use crate::logging::LogFilter;
use crate::trace::TraceSpec;
use crate::vmcs_dump::VmcsDumpSpec;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a run does besides being a machine.
#[derive(Debug, Clone, Default)]
pub struct RunConfig {
    /// End after this many instructions.
    pub max_instructions: Option<u64>,
    /// End after this many guest seconds.
    pub max_time: Option<f64>,
    /// End after this many seconds of the host's.
    pub wall_time: Option<f64>,
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
    /// What is logged, if that was said.
    pub log: Option<LogFilter>,
    /// Where the log goes, if not to standard error.
    pub log_file: Option<PathBuf>,
}

/// A machine and what to do with it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The machine.
    pub machine: MachineConfig,
    /// The run.
    pub run: RunConfig,
}

/// The script of the command line, else the configuration's: it says more of the machine ([`crate::script::Script::over`]).
/// A replay has its own input and end.
pub fn script(host: &dyn Host, args: &RunArgs) -> Result<Option<PathBuf>, InputError> {
    match (&args.script, &args.config) {
        _ if args.replay.is_some() => Ok(None),
        (None, Some(config)) => Ok(load_config(host, config)?.0.run.script),
        (script, _) => Ok(script.clone()),
    }
}

/// Puts a configuration file and the options over it together.
pub fn settings(host: &dyn Host, args: &RunArgs) -> Result<(Settings, Vec<Notice>), InputError> {
    let (settings, notices) = without_medium(host, args)?;
    if !settings.machine.has_something_to_boot() && !args.dump_config {
        return Err(nothing_to_boot(args, &notices));
    }
    Ok((settings, notices))
}

/// [`settings`] of a machine that may have nothing to boot.
pub fn without_medium(host: &dyn Host, args: &RunArgs) -> Result<(Settings, Vec<Notice>), InputError> {
    together::check(args)?;
    if let Some(kind) = args.display.filter(|kind| args.headless && *kind != DisplayKind::None) {
        let problem = format!("--headless and --display {kind:?} exclude each other").to_lowercase();
        return Err(InputError::new("command line", problem).remedy("give one of them"));
    }
    let (mut machine, mut notices) = match &args.config {
        Some(path) => load_config(host, path)?,
        None => (MachineConfig::default(), Vec::new()),
    };
    if args.set.iter().any(|line| line.trim().is_empty()) {
        return Err(
            InputError::new("--set", "it is empty").remedy("give an option and its value, as in --set 'cpu: count=4'")
        );
    }
    if !args.set.is_empty() {
        let more;
        (machine, more) = bochsrc::parse_over(host, machine, Path::new("--set"), &args.set.join("\n"))?;
        notices.extend(more);
    }
    apply_drives(host, args, &mut machine)?;
    // Of several, as in a configuration's `boot: floppy, disk`, some may be missing.
    let folder = args.fat.is_some() || machine.fat.is_some();
    let there = |device: &BootDevice| machine.has(*device) || *device == BootDevice::Disk && folder;
    if let Some(missing) = args.boot.first().filter(|_| !args.boot.iter().any(there)) {
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
    apply_firmware(host, args, &mut machine)?;
    if let Some(file) = &args.kernel {
        machine.kernel = Some(Kernel {
            file: existing(host, "--kernel", file)?,
            initrd: args.initrd.as_deref().map(|initrd| existing(host, "--initrd", initrd)).transpose()?,
            append: args.append.clone().unwrap_or_default(),
            linux_entry: args.linux_entry.unwrap_or_default(),
        });
    }
    machine.check("command line")?;
    notices.extend(firmware::suit(&mut machine)?);
    let run = run_config(host, args, &machine.run)?;
    if machine.debug_exit_pass.is_some() && machine.debug_exit.is_none() {
        return Err(InputError::new("--debug-exit-pass", "there is no isa-debug-exit that it is for")
            .remedy("give --debug-exit PORT, too"));
    }
    if run.gdb_no_wait && run.gdb.is_none() {
        return Err(InputError::new("--gdb-no-wait", "there is no GDB to wait for").remedy("give --gdb PORT, too"));
    }
    Ok((Settings { machine, run }, notices))
}

/// The run: what the command line says, else what the configuration does.
fn run_config(host: &dyn Host, args: &RunArgs, file: &RunFields) -> Result<RunConfig, InputError> {
    let mut media = file.media.clone();
    for medium in &args.medium {
        media.push(existing(host, "--medium", medium)?);
    }
    Ok(RunConfig {
        max_instructions: args.max_instructions.or(file.max_instructions),
        max_time: args.max_time.or(file.max_time),
        wall_time: args.wall_time.or(file.wall_time),
        media,
        restore: args.restore.clone(),
        // A replay has its own input and end.
        script: args.script.clone().or_else(|| file.script.clone()).filter(|_| args.replay.is_none()),
        record: args.record.clone(),
        replay: args.replay.clone(),
        screen_dump: args.screen_dump.clone().or_else(|| file.screen_dump.clone()),
        screenshot: args.screenshot.clone().or_else(|| file.screenshot.clone()),
        dump_state: args.dump_state.clone().or_else(|| file.dump_state.clone()),
        trace: match &args.trace {
            Some(spec) => Some(spec.clone()),
            None => parsed(args, "trace", file.trace.as_deref())?,
        },
        vmcs_dump: match &args.vmcs_dump {
            Some(spec) => Some(spec.clone()),
            None => parsed(args, "vmcs_dump", file.vmcs_dump.as_deref())?,
        },
        stats: args.stats || file.stats,
        gdb: args.gdb.or(file.gdb),
        gdb_no_wait: args.gdb_no_wait || file.gdb_no_wait,
        log: match &args.log {
            Some(filter) => Some(filter.clone()),
            None => parsed(args, "log", file.log.as_deref())?,
        },
        log_file: args.log_file.clone().or_else(|| file.log_file.clone()),
    })
}

/// A field of the configuration's that is written as the option is.
fn parsed<T: FromStr<Err = String>>(args: &RunArgs, field: &str, text: Option<&str>) -> Result<Option<T>, InputError> {
    let file = args.config.as_deref().unwrap_or(Path::new("configuration"));
    let parse =
        |text: &str| text.parse().map_err(|problem| InputError::file(file, problem).field(format!("run: {field}")));
    text.map(parse).transpose()
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

/// UEFI, what it is told, and the folder that it may boot from.
fn apply_firmware(host: &dyn Host, args: &RunArgs, machine: &mut MachineConfig) -> Result<(), InputError> {
    if let Some(code) = &args.uefi {
        let code = code.as_deref().map(|code| existing(host, "--uefi", code)).transpose()?;
        let vars = machine.uefi.take().and_then(|uefi| uefi.vars);
        (machine.rom, machine.vga_rom) = (None, None);
        machine.uefi = Some(Uefi { code, vars });
    }
    if args.rom.is_some() {
        machine.uefi = None;
    }
    if let Some(vars) = &args.uefi_vars {
        let Some(uefi) = &mut machine.uefi else {
            return Err(InputError::new("--uefi-vars", "there is no UEFI firmware").remedy("give --uefi, too"));
        };
        uefi.vars = Some(vars.clone());
    }
    for item in &args.fw_cfg {
        if let FwCfgContents::File(file) = &item.contents {
            existing(host, "--fw-cfg", file)?;
        }
        machine.fw_cfg.push(item.clone());
    }
    if let Some(folder) = &args.fat {
        machine.fat = Some(existing(host, "--fat", folder)?);
    }
    if machine.uefi.is_some() && (machine.rom.is_some() || args.kernel.is_some() || machine.kernel.is_some()) {
        let problem = "UEFI firmware takes the place of a BIOS, and cannot load a --kernel";
        return Err(InputError::new("--uefi", problem).remedy("put an EFI program into a folder and give --fat DIR"));
    }
    Ok(())
}

fn apply_machine(args: &RunArgs, machine: &mut MachineConfig) {
    machine.cpus = args.cpus.unwrap_or(machine.cpus);
    machine.memory = args.memory.unwrap_or(machine.memory);
    if let Some(model) = &args.cpu_model {
        machine.cpu_model.clone_from(model);
    }
    machine.clock = args.clock.unwrap_or(machine.clock);
    machine.ips = args.ips.unwrap_or(machine.ips);
    machine.quantum = args.quantum.or(machine.quantum);
    machine.seed_time = args.seed_time.or(machine.seed_time);
    machine.debug_exit = args.debug_exit.or(machine.debug_exit);
    machine.debug_exit_pass = args.debug_exit_pass.or(machine.debug_exit_pass);
    machine.no_reboot |= args.no_reboot;
    machine.test_devices |= args.test_devices;
    machine.reset_on_triple_fault |= args.reset_on_triple_fault;
    machine.ignore_bad_msrs |= args.ignore_bad_msrs;
    machine.vmx_unlocked |= args.vmx_unlocked;
    machine.realtime = args.realtime.map(|realtime| realtime == Switch::On).or(machine.realtime);
    machine.jit = if args.no_jit { None } else { args.jit.or(machine.jit) };
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
