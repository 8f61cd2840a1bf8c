//! The command line.

mod args;
mod drives;
mod firmware;
mod mistakes;
pub mod numbers;
mod settings;
mod spelling;
mod together;

pub use args::{RunArgs, Switch};
use mistakes::one_line;
pub use settings::{RunConfig, Settings, load_config, script, settings, without_medium};
pub use together::check as check_together;

use crate::error::InputError;
use crate::models::ModelArgs;
use crate::suite::TestArgs;
use clap::builder::styling::Styles;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use emu_vmx::dump::names::slip;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Leaving: the window by Ctrl-Alt-M Q, or by closing it; the terminal by Ctrl-]; --serial stdio on a terminal by\nCtrl-A x. Ctrl-C is the guest's (docs/display.md).\n
Exit status: 0 the guest powered off, or the script passed; 1 the script failed, or a replay ended\notherwise than its recording; 2 bad usage, configuration, image \
or file; 3 the guest died; 4 a limit was reached; else isa-debug-exit's.";

/// `-h`: one screen.
const ESSENTIALS: &str = "\
rvmx-emu: an x86-64 PC emulator with complete software VMX

  rvmx-emu [OPTIONS] IMAGE                boot a disk, floppy or CD image
  rvmx-emu [OPTIONS] -f FILE              a Bochs configuration, or FILE.ron
  rvmx-emu debug [OPTIONS] IMAGE          the same in the debugger
  rvmx-emu vmcs-lint DUMP                 VM-entry checks that a dump fails
  rvmx-emu test FILES|DIRS                run scripts in parallel
  rvmx-emu cpu-models [NAME]              the CPU models, or what one has

  --hda FILE, --fda FILE, --cdrom FILE    drives; --boot DEVICE, --snapshot
  --kernel FILE --initrd FILE --append S  Linux, Multiboot; --uefi, --fat DIR
  --cpus N  --memory MIB                  processors [1], memory [512]
  --cpu-model NAME                        [corei5_arrandale_m520]
  --display window|terminal|none          or --headless
  --serial stdio|FILE|tcp:PORT            COM1; --debugcon FILE: port E9h
  --script FILE.ron                       type to the guest, check its screen
  --max-time S, --wall-time S             end the run then, status 4
  --gdb PORT                              wait for GDB
  --log LEVEL  --dump-state FILE          what the machine does, how it ended

Leaving: window Ctrl-Alt-M Q, terminal Ctrl-], --serial stdio Ctrl-A x.
All options and the exit status: --help, rvmx-emu COMMAND --help, rvmx-emu man.
";

/// `debug -h`.
const ESSENTIALS_DEBUG: &str = "\
rvmx-emu debug [OPTIONS] IMAGE: the debugger, before the first instruction

  -c COMMANDS                  carry these out, separated by semicolons
  -x FILE                      read commands from a file
  --tui                        registers, code, memory, VMCS and screen at once
  --json                       answer every command with one line of JSON
  -f FILE                      a Bochs configuration, or our own FILE.ron
  --hda, --fda, --cdrom FILE   drives; --kernel FILE, --uefi, --fat DIR
  --cpus N  --memory MIB  --cpu-model NAME
                               the machine
  --restore FILE               start from a snapshot
  --max-time SECONDS           end each run after this much guest time

The debugger's commands: help at its prompt, and docs/debugger.md.
All options: rvmx-emu debug --help.
";

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
    /// Print a script that completes options and commands in a shell
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page, for man -l -
    Man {
        /// The page of a command [default: of running]
        #[arg(value_name = "COMMAND", value_parser = ["debug", "vmcs-lint", "test", "cpu-models"])]
        command: Option<String>,
    },
}

/// What parsing a command line came to.
#[derive(Debug)]
pub enum Parsed {
    /// A command line to carry out.
    Cli(Box<Cli>),
    /// Text to print (help or version), status 0.
    Text(String),
}

/// The command line as clap has it.
fn command() -> clap::Command {
    // The help of the debugger is about what it takes.
    let hidden = |debug: clap::Command| {
        crate::debug::not_taken().fold(debug, |debug, name| debug.mut_arg(name, |option| option.hide(true)))
    };
    Cli::command().mut_subcommand("debug", hidden)
}

/// The commands by name, as clap wants them for a command that is built anew.
const COMMANDS: [&str; 6] = ["debug", "vmcs-lint", "test", "cpu-models", "completions", "man"];

/// A command with its commands, without the options that its help does not show.
fn shown_only(name: &'static str, command: &clap::Command) -> clap::Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned();
    let commands = command.get_subcommands().filter_map(|own| {
        let name = COMMANDS.into_iter().find(|name| *name == own.get_name())?;
        Some(shown_only(name, own))
    });
    let shown = clap::Command::new(name).version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    let shown = if name == "rvmx-emu" { shown } else { shown.disable_version_flag(true) };
    shown.about(command.get_about().cloned().unwrap_or_default()).args(arguments).subcommands(commands)
}

/// A script for `shell` that completes the command line.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown_only("rvmx-emu", &command()), "rvmx-emu", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of running, or of another command, as roff.
pub fn manual(name: Option<&str>) -> Result<String, InputError> {
    let mut all = command();
    all.build();
    let page = name.and_then(|name| all.find_subcommand(name)).unwrap_or(&all).clone();
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(page).render(&mut text);
    rendered.map_err(|error| InputError::new("man", error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Parses a command line, the program's name first.
pub fn parse<I, T>(arguments: I) -> Result<Parsed, InputError>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let command = command();
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let first = arguments.get(1).and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    let misspelled = |error| misspelled_command(&first).unwrap_or(error);
    let translated = spelling::translate(arguments, &command).map_err(misspelled)?;
    let short = short_help(&translated.arguments);
    match command.try_get_matches_from(translated.arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(mut cli) => {
            cli.run.end_with_stdin = translated.end_with_stdin;
            Ok(Parsed::Cli(Box::new(cli)))
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelp && short.is_some() => {
            Ok(Parsed::Text(short.unwrap_or_default().to_owned()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) => Err(misspelled(one_line(&error))),
    }
}

/// The text of `-h`, if that is how help is asked for, and not clap's own of a command with few options.
fn short_help(arguments: &[OsString]) -> Option<&'static str> {
    let asks = |option: &str| arguments.iter().skip(1).any(|argument| argument == option);
    let name = arguments.get(1).and_then(|first| first.to_str()).unwrap_or_default();
    match name {
        _ if !asks("-h") || asks("--help") => None,
        "debug" => Some(ESSENTIALS_DEBUG),
        other if COMMANDS.contains(&other) => None,
        _ => Some(ESSENTIALS),
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
