//! A debugging session: the machine, what is watched, and the commands that work on both.

use super::answer::{Answer, hex};
use super::breakpoints::Breakpoint;
use super::cmd_vmentry::Walk;
use super::commands;
use super::expr::{self, Expr, ExprError};
use super::scope::CpuScope;
use super::symbols::Symbols;
use super::target::{Came, How, Target};
use super::watcher::{Hit, Watcher, label};
use crate::error::InputError;
use crate::files::InUse;
use crate::machine::RunResult;
use emu_core::disasm::Disassembly;
use emu_devices::pc::{AccessError, Pc};
use emu_vmx::dump::names::shown;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("there is no command {:?}{}", shown(.0), super::suggest::command(.0))]
    Unknown(String),
    /// Its arguments are wrong.
    #[error("{0}; write {1}")]
    Usage(String, &'static str),
    /// An expression.
    #[error(transparent)]
    Expr(#[from] ExprError),
    /// A register or memory.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A file.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A command of a file; what all of them have printed tells it.
    #[error("{printed}")]
    Source {
        /// The answers, with the error and where it was.
        printed: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for CommandError {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

/// What a command gives back.
pub type Outcome = Result<Answer, CommandError>;

/// A session.
pub struct Session {
    /// The machine.
    pub target: Target,
    /// Breakpoints.
    pub watcher: Watcher,
    /// Names of addresses.
    pub symbols: Symbols,
    /// The processor that commands are about.
    pub cpu: usize,
    /// Answers are JSON.
    pub json: bool,
    /// The session is over.
    pub over: bool,
    /// How far a stepped VM entry is.
    pub entry_walk: Walk,
    /// How far a stepped VM exit is.
    pub exit_walk: Walk,
    /// Files of commands that are being carried out, each by the one before.
    pub sources: u32,
    /// Files that commands have read, which no output destroys.
    pub read: InUse,
    /// How often the guest was changed from outside.
    pub changes: u64,
    next_id: u32,
    /// The last command that an empty line repeats.
    repeat: String,
}

impl Session {
    /// A session on a machine.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            watcher: Watcher::default(),
            symbols: Symbols::default(),
            cpu: 0,
            json: false,
            over: false,
            entry_walk: Walk::default(),
            exit_walk: Walk::default(),
            sources: 0,
            read: InUse::default(),
            changes: 0,
            next_id: 1,
            repeat: String::new(),
        }
    }

    /// Carries out a line of commands that `;` separates; what is to be printed, and whether all went well. What
    /// follows a command that failed is not carried out, nor what follows a Ctrl-C.
    pub fn line(&mut self, line: &str) -> (String, bool) {
        let mut text = String::new();
        let Ok(well) = self.line_to(line, |answer| {
            text.push_str(answer);
            Ok::<(), Infallible>(())
        });
        (text, well)
    }

    /// [`Session::line`] that gives away each answer before the next command.
    pub fn line_to<E>(&mut self, line: &str, mut print: impl FnMut(&str) -> Result<(), E>) -> Result<bool, E> {
        for command in split(line) {
            if self.target.was_interrupted() {
                print(&self.refusal("interrupted before all commands were carried out", self.json))?;
                return Ok(false);
            }
            let (answer, well) = self.print(&command);
            print(&answer)?;
            if !well || self.over {
                return Ok(well);
            }
        }
        Ok(true)
    }

    /// An empty line of somebody at a terminal: the last step again.
    pub fn repeat(&mut self) -> (String, bool) {
        let command = self.repeat.clone();
        if command.is_empty() { (String::new(), true) } else { self.print(&command) }
    }

    fn print(&mut self, command: &str) -> (String, bool) {
        let (command, json) = without_json(command);
        let json = json || self.json;
        let outcome = self.command(&command);
        let traced = self.target.take_trace();
        let well = outcome.is_ok();
        let text = match (outcome, json) {
            (Ok(answer), false) => traced + &answer.text,
            (Err(CommandError::Source { printed }), false) => traced + &printed,
            (Err(error), false) => traced + &self.refusal(&error.to_string(), false),
            (Ok(mut answer), true) => {
                if !traced.is_empty()
                    && let Value::Object(object) = &mut answer.json
                {
                    object.insert("trace".to_owned(), traced.lines().collect());
                }
                answer.json.to_string() + "\n"
            }
            (Err(error), true) => self.refusal(&error.to_string(), true),
        };
        (text, well)
    }

    /// An error, as it is printed.
    fn refusal(&self, problem: &str, json: bool) -> String {
        if json { json!({ "error": problem }).to_string() + "\n" } else { format!("error: {problem}\n") }
    }

    /// Carries out one command.
    pub fn command(&mut self, command: &str) -> Outcome {
        let command = command.trim();
        if command.is_empty() || command.starts_with('#') {
            return Ok(Answer::silent());
        }
        let (word, arguments) = commands::split_name(command);
        let Some(found) = commands::find(word) else { return Err(CommandError::Unknown(word.to_owned())) };
        if !arguments.is_empty() && found.takes_nothing() {
            return Err(CommandError::Usage(format!("{:?} is too much", shown(arguments)), found.usage));
        }
        self.repeat = if found.repeats { command.to_owned() } else { String::new() };
        (found.run)(self, arguments).map_err(|error| match error {
            CommandError::Expr(ExprError::Syntax { found: rest, .. }) if rest.is_empty() && arguments.is_empty() => {
                CommandError::Usage("an argument is missing".to_owned(), found.usage)
            }
            error => error,
        })
    }

    /// What expressions see of the selected processor.
    pub fn scope(&self) -> Result<CpuScope<'_>, CommandError> {
        let none = || AccessError::NoProcessor { processor: self.cpu, processors: self.target.pc().cpus.len() };
        Ok(CpuScope::of_pc(self.target.pc(), self.cpu).ok_or_else(none)?)
    }

    /// Reads an expression.
    pub fn parse(&self, text: &str) -> Result<Expr, CommandError> {
        Ok(expr::parse(text, &self.symbols, &self.scope()?)?)
    }

    /// The value of an expression.
    pub fn value(&self, text: &str) -> Result<u64, CommandError> {
        Ok(self.parse(text)?.value(&self.scope()?)?)
    }

    /// The present moment: the cycles of all processors.
    pub fn clocks(&self) -> Vec<u64> {
        self.target.clocks()
    }

    /// Changes something from outside: another future begins.
    pub fn change<R, E>(&mut self, change: impl FnOnce(&mut Pc) -> Result<R, E>) -> Result<R, E> {
        let changed = self.target.change(change)?;
        self.has_changed();
        Ok(changed)
    }

    /// [`Target::change_whole`], likewise.
    pub fn change_whole<R, E>(&mut self, change: impl FnOnce(&mut Pc) -> Result<R, E>) -> Result<R, E> {
        let changed = self.target.change_whole(change)?;
        self.has_changed();
        Ok(changed)
    }

    fn has_changed(&mut self) {
        self.changes += 1;
        self.watcher.vmx.forget_after(&self.target.clocks());
        // What a VM entry would do is another thing now.
        self.entry_walk = Walk::default();
    }

    /// Adds a breakpoint with the next number.
    pub fn add(&mut self, breakpoint: Breakpoint) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.watcher.breakpoints.push(Breakpoint { id, ..breakpoint });
        id
    }

    /// The instruction at which a processor stands.
    pub fn present_instruction(&self, n: usize) -> Option<(u64, Disassembly)> {
        let pc = self.target.pc();
        let cpu = pc.cpus.get(n)?;
        let linear = cpu.code_linear(cpu.rip());
        Some((linear, cpu.disassemble(&pc.ram, cpu.rip(), 1).into_iter().next()?))
    }

    /// Runs, and tells where the machine has come to.
    pub fn go(&mut self, how: How) -> Answer {
        let came = self.target.run(how, &mut self.watcher);
        self.stopped(&came)
    }

    /// Tells why and where the machine has stopped.
    pub fn stopped(&mut self, came: &Came) -> Answer {
        let hit = self.watcher.hit.take();
        if let Some(hit) = &hit {
            self.cpu = hit.processor as usize;
        } else if matches!(came, Came::Interrupted) {
            self.cpu = self.target.running();
        }
        let (reason, words) = match came {
            Came::There => ("done", String::new()),
            Came::Hit => ("breakpoint", hit.as_ref().map_or(String::new(), |hit| self.hit_words(hit))),
            Came::Interrupted => ("interrupted", "interrupted".to_owned()),
            Came::Ended(result) => ("ended", ended_words(result)),
            Came::Limit(which) => ("limit", format!("stopped: {which}")),
            Came::Failed(error) => ("failed", error.to_string()),
        };
        let place = self.place();
        let mut json = json!({ "stopped": reason });
        if let (Value::Object(all), Value::Object(place)) = (&mut json, place.json) {
            all.extend(place);
            if !words.is_empty() {
                all.insert("what".to_owned(), Value::from(words.clone()));
            }
            if let Some(id) = hit.and_then(|hit| hit.breakpoint) {
                all.insert("breakpoint".to_owned(), Value::from(id));
            }
        }
        let words = if words.is_empty() { words } else { words + "\n" };
        Answer::new(words + &place.text, json)
    }

    /// A breakpoint that was met, in words.
    pub fn hit_words(&self, hit: &Hit) -> String {
        let Some(id) = hit.breakpoint else { return String::new() };
        let own = self.watcher.breakpoints.iter().find(|breakpoint| breakpoint.id == id);
        let own = own.map_or(String::new(), |breakpoint| breakpoint.words(&self.symbols));
        let what = if hit.what.is_empty() { String::new() } else { format!(": {}", hit.what) };
        format!("breakpoint {id}, {own}{what}")
    }

    /// Where the selected processor stands.
    pub fn place(&self) -> Answer {
        let pc = self.target.pc();
        let (Some(cpu), Some((linear, instruction))) = (pc.cpus.get(self.cpu), self.present_instruction(self.cpu))
        else {
            return Answer::silent();
        };
        let cs = cpu.sys.seg(emu_vmx::arch::segment::SegmentRegister::Cs).selector;
        let guest = if cpu.vmx.non_root.is_some() { " guest" } else { "" };
        let label = label(&self.symbols, linear);
        let bytes: String = instruction.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let offset = offset_digits(cpu.rip(), super::scope::mode(cpu));
        let n = self.cpu;
        let text = format!("[{n}{guest}] {} {cs:04x}:{offset}{label}  {bytes:14} {}", cpu.cycles, instruction.text);
        let mut json = json!({
            "processor": n,
            "cycle": cpu.cycles,
            "instructions": cpu.instructions,
            "cs": hex(cs.into()),
            "rip": hex(cpu.rip()),
            "linear": hex(linear),
            "instruction": instruction.text,
            "bytes": bytes,
            "non_root": cpu.vmx.non_root.is_some(),
        });
        if let Some(name) = self.symbols.label(linear) {
            json["symbol"] = Value::from(name);
        }
        Answer::new(text, json)
    }
}

/// An offset with as many digits as the mode's addresses have.
pub fn offset_digits(offset: u64, mode: emu_core::state::derived::Mode) -> String {
    if mode.long {
        format!("{offset:016x}")
    } else if mode.real_segments() {
        format!("{offset:04x}")
    } else {
        format!("{offset:08x}")
    }
}

fn ended_words(result: &RunResult) -> String {
    match result {
        RunResult::PoweredOff => "the guest has powered off".to_owned(),
        RunResult::ExitStatus(status) => format!("the guest has ended the run through isa-debug-exit, status {status}"),
        RunResult::Halted => "every processor is halted with interrupts off".to_owned(),
        RunResult::Died(reason) => format!("the guest has died: {reason}"),
        RunResult::Failed(error) => error.to_string(),
        RunResult::Limit | RunResult::Paused => String::new(),
    }
}

/// Cuts a line at its semicolons; not inside of quotes.
fn split(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (';', None) => {
                parts.push(String::new());
                continue;
            }
            ('#', None) if parts.last().is_some_and(|part| part.trim().is_empty()) => break,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        parts.last_mut().into_iter().for_each(|part| part.push(c));
    }
    parts
}

/// A command without its `--json`, and whether it had one; what stands in quotes is not it.
fn without_json(command: &str) -> (String, bool) {
    let mut quote = None;
    let mut rest = String::new();
    let mut had = false;
    for word in command.split(' ') {
        if quote.is_none() && word == "--json" {
            had = true;
            continue;
        }
        for c in word.chars() {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                _ => {}
            }
        }
        rest.push_str(word);
        rest.push(' ');
    }
    if had { (rest.trim().to_owned(), true) } else { (command.to_owned(), false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_at_semicolons_outside_of_quotes() {
        assert_eq!(split("s; r ;type \"a;b\""), ["s", " r ", "type \"a;b\""]);
        assert_eq!(split("s # not a comment"), ["s # not a comment"]);
        assert_eq!(split("s;# a comment; r"), ["s", ""]);
    }

    #[test]
    fn json_flag_stands_anywhere_in_a_command() {
        assert_eq!(without_json("x --json /4bx 0x7c00"), ("x /4bx 0x7c00".to_owned(), true));
        assert_eq!(without_json("r"), ("r".to_owned(), false));
        assert_eq!(without_json("type \"a --json b\""), ("type \"a --json b\"".to_owned(), false));
        assert_eq!(without_json("type \"a --json  b\" --json"), ("type \"a --json  b\"".to_owned(), true));
    }
}
