//! The command line.

mod args;
mod drives;
mod firmware;
mod settings;
mod spelling;
mod together;

pub use args::{RunArgs, Switch};
pub use settings::{RunConfig, Settings, load_config, script, settings, without_medium};
pub use together::check as check_together;

use crate::error::InputError;
use crate::models::ModelArgs;
use crate::suite::TestArgs;
use clap::builder::styling::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use emu_vmx::dump::names::slip;
use std::ffi::OsString;
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

/// A script for `shell` that completes the command line.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "rvmx-emu", &mut script);
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
    let arguments = spelling::translate(arguments, &command).map_err(misspelled)?;
    match command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Parsed::Cli(Box::new(cli))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.to_string()))
        }
        Err(error) => Err(misspelled(one_line(&error))),
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
