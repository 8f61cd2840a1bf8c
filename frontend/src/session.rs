//! One invocation of the program, from its arguments to its exit status.

use crate::cli::{self, Command, Parsed, RunArgs, Settings};
use crate::config::sources::RealHost;
use crate::config::{AtaDrive, DisplayKind, FwCfgContents, MachineConfig, Notice, Severity, Stream, dump};
use crate::display::choose::{self, Choice, choose};
use crate::display::terminal::Terminal;
use crate::display::window::Window;
use crate::display::{Display, Headless};
use crate::error::InputError;
use crate::fat::{self, FatFolder};
use crate::files::{self, InUse};
use crate::loader::{self, KernelFiles};
use crate::logging::LogFilter;
use crate::machine::Machine;
use crate::output::{self, Sink};
use crate::recording::{self, Final, Recorder, Recording};
use crate::run::{Driver, End, Limits};
use crate::script::{self, Script, execute};
use crate::serial_input::SerialInput;
use crate::signals::{self, Signals};
use crate::state_dump::StateDump;
use crate::vmcs_dump::VmcsDumper;
use crate::{debug, lint, logging, models, pc, screen, serial_link, snapshot_file, suite};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a command has said; its exit status.
fn printed(text: String) -> i32 {
    output::print(&text);
    0
}

/// Runs the program; the exit status.
pub fn main<I, T>(arguments: I) -> i32
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let status = match cli::parse(arguments) {
        Ok(Parsed::Text(text)) => {
            output::print(&text);
            Ok(0)
        }
        Ok(Parsed::Cli(cli)) => match cli.command {
            None => run(&cli.run),
            Some(Command::Debug { run, commands, command_file, tui, json }) => {
                debug(&run, &debug::Source { commands, file: command_file, json, tui })
            }
            Some(Command::VmcsLint { cpu_model, caps, json, dump }) => {
                let request = lint::Request { model: cpu_model.as_deref(), caps: caps.as_deref(), dump: &dump, json };
                lint::run(request).map(|(text, status)| {
                    output::print(&text);
                    status
                })
            }
            Some(Command::Test(args)) => suite::run(&args),
            Some(Command::CpuModels(args)) => models::run(&args).map(printed),
            Some(Command::Completions { shell }) => Ok(printed(cli::completions(shell))),
            Some(Command::Man { command }) => cli::manual(command.as_deref()).map(printed),
        },
        Err(error) => Err(error),
    };
    let logged = logging::finish();
    let status = status.and_then(|status| logged.map(|()| status));
    // What was printed belongs to the result; one complaint is enough.
    let printed = output::finish();
    status.and_then(|status| printed.map(|()| status)).unwrap_or_else(|error| {
        complain(&error.to_string());
        // There is nobody left to tell.
        let _ = output::finish();
        2
    })
}

fn complain(text: &str) {
    output::tell(&format!("rvmx-emu: {text}\n"));
}

/// A run: configuration, machine, script or free run, and what is written at exit.
fn run(args: &RunArgs) -> Result<i32, InputError> {
    if args.end_with_stdin {
        signals::end_with_input()?;
    }
    let host = RealHost;
    let script = cli::script(&host, args)?.map(|path| script::load(&host, &path)).transpose()?;
    let args = &script.as_ref().map_or_else(|| args.clone(), |script| script.over(args));
    let (mut settings, notices) = cli::settings(&host, args)?;
    if args.dump_config {
        notices.iter().filter(|notice| notice.severity == Severity::Warning).for_each(|n| complain(&n.to_string()));
        output::print(&dump::text(&settings.machine)?);
        return Ok(0);
    }
    let mut folder = FatFolder::attach(&mut settings.machine)?;
    let _files = in_use(folder.as_ref());
    let ended = run_settings(args, settings, &notices, script.as_ref());
    write_back(folder.as_mut(), ended)
}

/// The files of `--fat`: no output takes their place. What is not on the disk is told.
fn in_use(folder: Option<&FatFolder>) -> InUse {
    folder.into_iter().flat_map(FatFolder::left_out).for_each(|text| complain(&text));
    let mut used = InUse::default();
    folder.into_iter().flat_map(FatFolder::files).for_each(|path| used.add(&path, "a file of the folder of --fat"));
    used
}

/// Brings what the guest has written to the disk of `--fat` back, whatever the run came to.
fn write_back(folder: Option<&mut FatFolder>, ended: Result<i32, InputError>) -> Result<i32, InputError> {
    let Some(folder) = folder else { return ended };
    let ended = ended.map_err(|error| folder.name_folder(error));
    let report = match (folder.write_back(), ended) {
        (Ok(report), Ok(status)) => (report, status),
        (Err(error), Err(first)) => {
            complain(&first.to_string());
            return Err(error);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let (report, status) = report;
    for other in &report.conflicts {
        complain(&format!(
            "{}: the file was changed here during the run, too; the guest's is this one",
            other.display()
        ));
    }
    let fat::Report { written, removed, renamed, .. } = report;
    log::info!("--fat: {written} files written, {removed} removed, {renamed} renamed");
    Ok(status)
}

/// [`run`], of settings that are complete.
fn run_settings(
    args: &RunArgs,
    mut settings: Settings,
    notices: &[Notice],
    script: Option<&Script>,
) -> Result<i32, InputError> {
    if settings.run.gdb.is_some() {
        debug::check(args)?;
        debug::check_configured(args, &settings.run)?;
    }
    let _inputs = inputs(args, &settings, script);
    check_outputs(&settings, script)?;
    let alone = script.is_some() || settings.run.gdb.is_some();
    let Choice { kind: display, window, no_window } = choose(&settings.machine, alone)?;
    settings.machine.display = Some(display);
    let log = settings.run.log.clone().unwrap_or_default();
    logging::start(log, settings.run.log_file.as_deref(), display == DisplayKind::Terminal)?;
    no_window.iter().for_each(|error| log::warn!("{error}"));
    notices.iter().for_each(tell);
    models::find("CPU model", &settings.machine.cpu_model)?;
    let kernel = load_kernel(&settings.machine)?;
    let recording = settings.run.replay.as_deref().map(Recording::read).transpose()?;
    // Before anything runs: the guest may write to its images.
    let recorded = settings.run.replay.is_some() || settings.run.record.is_some();
    let snapshot = settings.run.restore.as_deref().map(snapshot_file::read).transpose()?;
    let describe = || recording::describe(&settings.machine, kernel.as_ref(), snapshot.as_deref());
    let description = recorded.then(describe).transpose()?;
    if let (Some(recording), Some(here), Some(path)) = (&recording, &description, &settings.run.replay) {
        recording.check(path, here)?;
    }
    let mut machine = pc::build(&settings.machine, kernel.as_ref()).map_err(|error| match script {
        Some(script) if script.debug_exit.is_some() && args.debug_exit == script.debug_exit => {
            error.of_option_in("--debug-exit", &script.file)
        }
        _ => error,
    })?;
    prepare(&mut machine, &settings, snapshot.as_deref())?;
    if display == DisplayKind::None && script.is_none() {
        machine.end_without_boot(pc::why_nothing_boots(&settings.machine));
    }
    for (path, what) in [
        (&settings.run.screen_dump, "screen dump"),
        (&settings.run.screenshot, "picture"),
        (&settings.run.dump_state, "state"),
    ] {
        path.as_deref().map_or(Ok(()), |path| files::claim_output(path, what))?;
    }
    if let Some(spec) = &settings.run.trace {
        machine.trace(spec.start(settings.machine.cpus)?);
    }
    if let Some(spec) = &settings.run.vmcs_dump {
        machine.dump_vmcs(VmcsDumper::create(spec)?);
    }
    if let Some(port) = settings.run.gdb {
        return debug::serve(&settings, machine, port);
    }
    let input = match (recording, description, &settings.run.record) {
        (Some(recording), ..) => Input::Replayed(recording),
        (None, Some(machine), Some(path)) => Input::Recorded(Recorder::create(path, machine)?),
        _ => Input::Free,
    };
    run_in(&settings, script, input, &mut machine, window)
}

/// The debugger on a machine.
fn debug(args: &RunArgs, source: &debug::Source) -> Result<i32, InputError> {
    debug::check(args)?;
    let (mut settings, notices) = cli::settings(&RealHost, args)?;
    debug::check_configured(args, &settings.run)?;
    if settings.machine.display.is_some_and(|display| display != DisplayKind::None) && args.display.is_some() {
        return Err(InputError::new("--display", "the debugger has the terminal")
            .remedy("see the screen with its command screen"));
    }
    settings.machine.display = Some(DisplayKind::None);
    let mut folder = FatFolder::attach(&mut settings.machine)?;
    let _files = in_use(folder.as_ref());
    let ended = debug_settings(args, &settings, &notices, source);
    write_back(folder.as_mut(), ended)
}

/// [`debug`], of settings that are complete.
fn debug_settings(
    args: &RunArgs,
    settings: &Settings,
    notices: &[Notice],
    source: &debug::Source,
) -> Result<i32, InputError> {
    let _inputs = inputs(args, settings, None);
    check_outputs(settings, None)?;
    let filter = match &settings.run.log_file {
        Some(_) => LogFilter::default(),
        None => LogFilter::of_debugger(),
    };
    logging::start(settings.run.log.clone().unwrap_or(filter), settings.run.log_file.as_deref(), false)?;
    notices.iter().for_each(tell);
    models::find("CPU model", &settings.machine.cpu_model)?;
    let kernel = load_kernel(&settings.machine)?;
    let mut machine = pc::build(&settings.machine, kernel.as_ref())?;
    let snapshot = settings.run.restore.as_deref().map(snapshot_file::read).transpose()?;
    prepare(&mut machine, settings, snapshot.as_deref())?;
    debug::run(settings, machine, source)
}

/// The files that the run reads, and the images that it writes to.
pub(crate) fn inputs(args: &RunArgs, settings: &Settings, script: Option<&Script>) -> InUse {
    let Settings { machine, run } = settings;
    let mut used = InUse::default();
    let mut add = |path: Option<&Path>, role: &str| path.into_iter().for_each(|path| used.add(path, role));
    for (drive, name) in machine.ata().into_iter().zip(["hda", "hdb", "hdc", "hdd"]) {
        let image = match drive {
            Some(AtaDrive::Disk { image, .. }) => Some(image.as_path()),
            Some(AtaDrive::Cdrom { image }) => image.as_deref(),
            None => None,
        };
        add(image, &format!("the image of {name}"));
    }
    for (floppy, name) in machine.floppies().into_iter().zip(["fda", "fdb"]) {
        add(floppy.and_then(|floppy| floppy.image.as_deref()), &format!("the image of {name}"));
    }
    for rom in machine.rom.iter().chain(&machine.vga_rom).chain(&machine.option_roms) {
        add(Some(&rom.file), "a ROM");
    }
    if let Some(uefi) = &machine.uefi {
        add(uefi.code.as_deref(), "the UEFI firmware");
        add(uefi.vars.as_deref(), "the file with the UEFI variables");
    }
    for item in &machine.fw_cfg {
        if let FwCfgContents::File(path) = &item.contents {
            add(Some(path), "what fw_cfg holds");
        }
    }
    if let Some(kernel) = &machine.kernel {
        add(Some(&kernel.file), "the kernel");
        add(kernel.initrd.as_deref(), "the initial RAM disk");
    }
    add(args.config.as_deref(), "the configuration");
    add(run.script.as_deref(), "the script");
    add(run.restore.as_deref(), "the snapshot that the run begins at");
    add(run.replay.as_deref(), "the recording");
    run.media.iter().for_each(|medium| add(Some(medium), "a medium"));
    // Asking the host about a file costs more than remembering its name.
    let mut seen = HashSet::new();
    for (script, _, step) in script.iter().flat_map(|script| script.all_steps()) {
        let uses =
            [(Some(&script.file), "the script"), (step.medium(), "a medium"), (step.golden(), "a golden screen")];
        for (path, role) in uses {
            add(path.filter(|path| seen.insert(*path)).map(PathBuf::as_path), role);
        }
    }
    used
}

/// Refuses outputs that would destroy what the run reads, or each other, before anything is written.
fn check_outputs(settings: &Settings, script: Option<&Script>) -> Result<(), InputError> {
    let Settings { machine, run } = settings;
    if let Some(script) = script {
        let steps = script.all_steps();
        let mut seen = HashSet::new();
        for path in steps.iter().filter_map(|(.., step)| step.output()).filter(|path| seen.insert(*path)) {
            files::check_output(path, "output of the script")?;
        }
        script::check::files(script)?;
        script::check::machine(script, machine)?;
    }
    let stream = |stream: &Stream| match stream {
        Stream::File(path) => Some(path.clone()),
        _ => None,
    };
    let outputs = [
        (stream(&machine.serial), "serial output"),
        (machine.debugcon.as_ref().and_then(stream), "debug output"),
        (run.log_file.clone(), "log"),
        (run.record.clone(), "recording"),
        (run.trace.as_ref().map(|trace| trace.file.clone()), "trace"),
        (run.screen_dump.clone(), "screen dump"),
        (run.screenshot.clone(), "picture"),
        (run.dump_state.clone(), "state"),
    ];
    let mut before = InUse::default();
    for (path, what) in outputs {
        if let Some(path) = path {
            files::check_output(&path, what)?;
            before.add(&path, &format!("the {what}"));
        }
    }
    Ok(())
}

/// Puts the media of `--medium` at hand, and the machine back to the snapshot of `--restore`.
fn prepare(machine: &mut dyn Machine, settings: &Settings, snapshot: Option<&[u8]>) -> Result<(), InputError> {
    for medium in &settings.run.media {
        machine.add_medium(medium)?;
    }
    match (snapshot, &settings.run.restore) {
        (Some(snapshot), Some(path)) => machine.restore(snapshot).map_err(|problem| InputError::file(path, problem)),
        _ => Ok(()),
    }
}

fn tell(notice: &Notice) {
    match notice.severity {
        Severity::Warning => log::warn!(target: "config", "{notice}"),
        Severity::Info => log::info!(target: "config", "{notice}"),
    }
}

/// Where a machine's input comes from, and goes.
#[derive(Debug)]
pub enum Input {
    /// From keyboard, script and standard input.
    Free,
    /// From there, and into a recording.
    Recorded(Recorder),
    /// From a recording alone.
    Replayed(Recording),
}

/// Runs a machine as the settings ask; the exit status. The display must have been chosen.
pub fn run_machine(
    settings: &Settings,
    script: Option<&Script>,
    input: Input,
    machine: &mut dyn Machine,
) -> Result<i32, InputError> {
    run_in(settings, script, input, machine, None)
}

/// [`run_machine`], in the window if that is open already.
fn run_in(
    settings: &Settings,
    script: Option<&Script>,
    input: Input,
    machine: &mut dyn Machine,
    window: Option<Window>,
) -> Result<i32, InputError> {
    let display = settings.machine.display.unwrap_or(DisplayKind::None);
    let headless = display == DisplayKind::None;
    let limits = Limits {
        instructions: settings.run.max_instructions,
        seconds: settings.run.max_time,
        wall_seconds: settings.run.wall_time,
    };
    let debugcon = settings.machine.debugcon.clone().unwrap_or(if headless { Stream::Stdio } else { Stream::None });
    let (serial_sink, link_input) = match serial_link::open(&settings.machine.serial)? {
        Some(link) => (Sink::into_file("serial output", link.output, script.is_some()), Some(link.input)),
        None => (Sink::open("serial output", &settings.machine.serial, script.is_some())?, None),
    };
    let debugcon_sink = Sink::open("debug output", &debugcon, script.is_some())?;
    let display: Box<dyn Display> = match display {
        DisplayKind::None => Box::new(Headless),
        DisplayKind::Terminal => Box::new(Terminal::open()?),
        DisplayKind::Window => Box::new(match window {
            Some(window) => window,
            None => Window::open(&choose::name(&settings.machine))?,
        }),
    };
    let realtime = settings.machine.realtime.unwrap_or(!headless);
    let started = Instant::now();
    let mut driver = Driver::new(machine, display, serial_sink, debugcon_sink, limits, realtime);
    driver.set_signals(Signals::catch()?);
    if let Some(input) = link_input {
        driver.set_serial_input(input);
    } else if settings.machine.serial == Stream::Stdio {
        driver.set_serial_input(SerialInput::standard()?);
    }
    let recording = match input {
        Input::Free => None,
        Input::Recorded(recorder) => {
            driver.set_recorder(recorder);
            None
        }
        Input::Replayed(recording) => {
            driver.set_replay(recording.replay())?;
            Some(recording)
        }
    };
    let outcome = match script {
        Some(script) => execute::execute(script, &mut driver),
        None => execute::Outcome::Ended(driver.run_to_end()),
    };
    let status = outcome.status();
    let end = match &outcome {
        execute::Outcome::Ended(end) => Some(end.clone()),
        _ => driver.end().cloned(),
    };
    let (words, message, shows_state) = match &outcome {
        execute::Outcome::Passed => ("the script passed".to_owned(), None, false),
        execute::Outcome::Failed(failure) => (failure.to_string(), Some(failure.to_string()), true),
        execute::Outcome::Ended(end) => (end.words(), end.message(), end.shows_state()),
    };
    let end = driver.settle(end);
    // Everything that can be written is, whatever fails; the first failure is told.
    let failed = matches!(outcome, execute::Outcome::Ended(End::Failed(_)));
    let finished = driver.finish().or_else(|error| if failed { Ok(()) } else { Err(error) });
    let recorder = driver.take_recorder();
    drop(driver);
    let recorded = recorder.map_or(Ok(()), |recorder| recorder.finish(Final::of(machine, end.as_ref())));
    let (status, message) = match recording {
        Some(recording) => judge(&recording, machine, end.as_ref(), (status, message)),
        None => (status, message),
    };
    let logged = logging::finish();
    if let Some(message) = message {
        complain(&message);
    }
    let dump = (shows_state || settings.run.dump_state.is_some()).then(|| StateDump::new(machine, &words, status));
    if let Some(dump) = dump.as_ref().filter(|_| shows_state) {
        output::tell(&dump.short_text());
    }
    let mut written = write_at_exit(settings, machine);
    if let (Some(path), Some(dump)) = (&settings.run.dump_state, &dump) {
        written = written.and(dump.write(path));
    }
    if settings.run.stats {
        output::tell(&format!("{}\n", stats_line(machine, started.elapsed())));
    }
    finished.and(recorded).and(written).and(logged)?;
    Ok(status)
}

/// Status and message of a replay; of one that did not come to its recording's end, its own.
fn judge(
    recording: &Recording,
    machine: &dyn Machine,
    end: Option<&End>,
    own: (i32, Option<String>),
) -> (i32, Option<String>) {
    match end {
        Some(End::Failed(_) | End::Signal(_)) => own,
        Some(End::Quit) => (0, Some("the replay was stopped before its end".to_owned())),
        _ => match recording.end().map(|recorded| Final::of(machine, end).difference(recorded)) {
            None => {
                let cycle = recording.reached();
                (
                    4,
                    Some(format!(
                        "the recorded run was killed; it is replayed to cycle {cycle}, as far as the recording goes"
                    )),
                )
            }
            Some(Some(difference)) => {
                (1, Some(format!("the replay does not end as the recording: {difference}; was it made by this build?")))
            }
            Some(None) => (0, None),
        },
    }
}

fn write_at_exit(settings: &Settings, machine: &mut dyn Machine) -> Result<(), InputError> {
    let mut result = Ok(());
    if let Some(path) = &settings.run.screen_dump {
        result = result.and(screen::write_dump(path, machine.text_screen().as_ref()));
    }
    if let Some(path) = &settings.run.screenshot {
        let written = screen::write_png(path, &machine.render());
        result = result.and(written);
    }
    result
}

/// Reads the files that `--kernel` names. What is wrong with them, or does not fit, is told before the run.
pub fn load_kernel(config: &MachineConfig) -> Result<Option<KernelFiles>, InputError> {
    let Some(kernel) = &config.kernel else { return Ok(None) };
    let limit = config.memory << 20;
    let files = KernelFiles {
        file_name: kernel.file.as_os_str().to_string_lossy().into_owned(),
        image: read_bounded(&kernel.file, limit)?,
        initrd: kernel.initrd.as_deref().map(|path| read_bounded(path, limit)).transpose()?,
        command_line: kernel.append.clone(),
        linux_entry: kernel.linux_entry,
    };
    match files.load(loader::standard_memory_map(config.memory), None) {
        Ok(_) => Ok(Some(files)),
        Err(error) => Err(InputError::file(&kernel.file, error.to_string())),
    }
}

/// Reads a file that must fit into guest memory.
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > limit) {
        return Err(InputError::file(path, "it is larger than the guest's memory").remedy("give more --memory"));
    }
    files::read(path, "kernel or initial RAM disk", limit)
}

/// The line of `--stats`.
fn stats_line(machine: &dyn Machine, wall: Duration) -> String {
    let statistics = machine.statistics();
    let object = |counters: &std::collections::BTreeMap<String, u64>| {
        let items: Vec<String> =
            counters.iter().map(|(name, count)| format!("{}:{count}", json_string(name))).collect();
        format!("{{{}}}", items.join(","))
    };
    let (instructions, cycles, hash) = (machine.instructions(), machine.now(), machine.hash_at_end());
    if hash.is_none() {
        complain("the state's hash is left out: after a signal there is no time for that much memory");
    }
    format!(
        "{{\"instructions\":{instructions},\"cycles\":{cycles},\"guest_seconds\":{:.6},\"wall_seconds\":{:.6},\
         \"vm_entries\":{},\"vm_exits\":{},\"failed_entries\":{},\"vm_fails\":{},\"other\":{},\"state_hash\":{}}}",
        cycles as f64 / machine.hz() as f64,
        wall.as_secs_f64(),
        statistics.vm_entries,
        object(&statistics.vm_exits),
        object(&statistics.failed_entries),
        object(&statistics.vm_fails),
        object(&statistics.other),
        hash.map_or("null".to_owned(), |hash| format!("\"{hash:016x}\""))
    )
}

/// A JSON string literal.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_string_escapes_what_json_demands() {
        assert_eq!(json_string("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
