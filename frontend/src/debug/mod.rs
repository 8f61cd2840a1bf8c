//! `rvmx-emu debug`: the debugger.
//!
//! It watches through observers and changes nothing but what a command changes: a run under the debugger is the run
//! without it (`docs/debugger.md`).

mod answer;
pub(crate) mod breakpoints;
mod cmd_breaks;
mod cmd_exits;
mod cmd_info;
mod cmd_memory;
mod cmd_paging;
mod cmd_registers;
mod cmd_run;
mod cmd_travel;
mod cmd_vmcs;
mod cmd_vmentry;
mod cmd_vmexit;
mod cmd_why;
mod commands;
mod entry;
mod exit_steps;
pub(crate) mod expr;
mod fields;
mod gdb;
mod gdb_connection;
mod gdb_packets;
mod gdb_registers;
mod input;
mod msr_list;
mod options;
mod paging;
mod remedy;
pub(crate) mod scope;
mod session;
mod suggest;
mod symbols;
mod target;
mod timeline;
mod travel;
mod tui;
mod vmxlog;
mod watcher;

use crate::cli::Settings;
use crate::config::Stream;
use crate::error::InputError;
use crate::output::{self, Sink};
use crate::pc::PcMachine;
use crate::run::End;
use crate::signals;
pub use options::{check, check_configured, not_taken};
use session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use target::Target;
pub use timeline::ExitTimeline;

/// The last cycle of a [`transcript()`]: a machine that nothing stops must not run for ever.
const TRANSCRIPT: u64 = 20_000_000;

/// Where commands come from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// `-c`: commands.
    pub commands: Option<String>,
    /// `-x`: a file of commands.
    pub file: Option<PathBuf>,
    /// Answers are JSON.
    pub json: bool,
    /// `--tui`: the whole terminal, behind the commands.
    pub tui: bool,
}

/// The machine as the settings want it; port E9h's output goes to `debugcon` unless they say something else. `interrupt`
/// stops the guest.
fn target(
    settings: &Settings,
    machine: PcMachine,
    debugcon: Stream,
    interrupt: Arc<AtomicBool>,
) -> Result<Target, InputError> {
    if settings.machine.realtime == Some(true) {
        log::warn!("the debugger does not keep guest time to the host's clock, as the configuration asks");
    }
    let serial = Sink::open("serial output", &settings.machine.serial, false)?;
    let debugcon = settings.machine.debugcon.clone().unwrap_or(debugcon);
    let debugcon = Sink::open("debug output", &debugcon, false)?;
    let mut target = Target::new(machine, serial, debugcon, interrupt);
    if let Some(seconds) = settings.run.max_time {
        let cycle = target.pc().now().saturating_add((seconds * target.hz() as f64) as u64);
        target.set_last_cycle(cycle, format!("{seconds} guest seconds (--max-time)"));
    }
    Ok(target)
}

/// Debugs a machine; the exit status. It stands before its first instruction.
pub fn run(settings: &Settings, machine: PcMachine, source: &Source) -> Result<i32, InputError> {
    let stdio = [Some(&settings.machine.serial), settings.machine.debugcon.as_ref()].contains(&Some(&Stream::Stdio));
    if source.tui && stdio {
        return Err(InputError::new("--tui", "the guest's output would stand in its way")
            .remedy("send --serial and --debugcon to files"));
    }
    let mut session = Session::new(target(settings, machine, Stream::None, signals::interrupts()?)?);
    session.json = source.json;
    if let Some(port) = settings.run.gdb
        && gdb::serve(&mut session, port, !settings.run.gdb_no_wait)?
    {
        return Ok(0);
    }
    input::feed(&mut session, source)
}

/// Serves GDB on a machine until it goes; then the machine runs to its end, unless GDB has ended it. The exit status. GDB
/// has a Ctrl-C of its own; here it ends the process.
pub fn serve(settings: &Settings, machine: PcMachine, port: u16) -> Result<i32, InputError> {
    let mut session = Session::new(target(settings, machine, Stream::Stdio, Arc::default())?);
    if gdb::serve(&mut session, port, !settings.run.gdb_no_wait)? {
        return Ok(0);
    }
    session.watcher.breakpoints.clear();
    session.target.travel.set_limit(0);
    let end = match session.target.run(target::How::Until(u64::MAX), &mut session.watcher) {
        target::Came::Ended(result) => End::of(result),
        target::Came::Limit(which) => Some(End::Limit(which)),
        target::Came::Failed(error) => Some(End::Failed(error)),
        _ => Some(End::Quit),
    };
    let end = end.unwrap_or(End::Quit);
    if let Some(message) = end.message() {
        output::tell(&format!("rvmx-emu: {message}\n"));
    }
    Ok(end.status())
}

/// Carries out commands on a machine and gives what they print, each behind a line with the command: for tests and for
/// documents. The machine runs for [`TRANSCRIPT`] cycles at most.
pub fn transcript(machine: PcMachine, commands: &[&str]) -> Result<String, InputError> {
    transcript_until(machine, commands, TRANSCRIPT)
}

/// The screen of `--tui` after these commands and keys: columns and lines as in `size`.
pub fn picture(
    machine: PcMachine,
    commands: &[&str],
    keys: &[crossterm::event::KeyEvent],
    size: (u16, u16),
) -> Result<ratatui::buffer::Buffer, InputError> {
    Ok(tui::picture(&mut Session::new(silent(machine, TRANSCRIPT)?), commands, keys, size))
}

/// A machine whose guest's bytes go nowhere.
fn silent(machine: PcMachine, last: u64) -> Result<Target, InputError> {
    let sink = || Sink::open("output", &Stream::None, false);
    let mut target = Target::new(machine, sink()?, sink()?, Arc::default());
    target.set_last_cycle(last, format!("a transcript ends at cycle {last}"));
    Ok(target)
}

/// [`transcript`] of a machine that runs to this cycle at most.
pub fn transcript_until(machine: PcMachine, commands: &[&str], last: u64) -> Result<String, InputError> {
    let mut session = Session::new(silent(machine, last)?);
    let mut text = String::new();
    for command in commands {
        text += &format!("> {command}\n{}", session.line(command).0);
    }
    Ok(text)
}
