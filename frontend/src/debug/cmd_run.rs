//! Commands that let the machine run, and what comes to it from outside.

use super::answer::{Answer, hex};
use super::session::{CommandError, Outcome, Session};
use super::target::{Came, How};
use super::vmxlog::VmxLog;
use super::watcher::{Over, first_word};
use crate::config::sources::MAX_TEXT_BYTES;
use crate::error::InputError;
use crate::files;
use crate::machine::Machine;
use crate::run::{HOLD_MS, PAUSE_MS};
use crate::snapshot_file;
use emu_core::report::Detail;
use emu_core::trace::TraceFilter;
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use emu_devices::pc::Pc;
use emu_vmx::dump::names::shown;
use serde_json::{Value, json};
use std::path::Path;

/// Instructions that one command makes at most.
const MOST_STEPS: u64 = 1_000_000_000;
/// Files that may carry out each other.
const MAX_SOURCES: u32 = 16;

/// `c`.
pub fn cont(session: &mut Session, _arguments: &str) -> Outcome {
    Ok(session.go(How::Until(u64::MAX)))
}

/// `s [N]`.
pub fn step(session: &mut Session, arguments: &str) -> Outcome {
    let count = if arguments.is_empty() { 1 } else { session.value(arguments)? };
    if count > MOST_STEPS {
        return Err(CommandError::Other(format!("give 0 to {MOST_STEPS} instructions")));
    }
    let n = session.cpu;
    for _ in 1..count {
        let came = session.target.run(How::Step(n), &mut session.watcher);
        if came != Came::There {
            return Ok(session.stopped(&came));
        }
        // A step may be too short for anybody to look.
        if session.target.interrupted() {
            return Ok(session.stopped(&Came::Interrupted));
        }
    }
    if count == 0 {
        return Ok(session.place());
    }
    Ok(session.go(How::Step(n)))
}

/// `n`.
pub fn next(session: &mut Session, _arguments: &str) -> Outcome {
    let n = session.cpu;
    let Some((linear, instruction)) = session.present_instruction(n) else { return Ok(session.go(How::Step(n))) };
    let repeats = instruction.text.starts_with("rep");
    let over = repeats
        || matches!(
            first_word(&instruction.text).as_str(),
            "call" | "int" | "int3" | "into" | "loop" | "loope" | "loopne" | "syscall" | "sysenter"
        );
    if !over {
        return Ok(session.go(How::Step(n)));
    }
    let after = linear.wrapping_add(instruction.bytes.len() as u64);
    run_over(session, n, after, 0)
}

/// `p`: Bochs's name of `n`; with an expression, GDB's of `print`.
pub fn next_or_print(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() { next(session, "") } else { super::cmd_registers::print(session, arguments) }
}

/// Runs until processor `n` comes to a linear address with at least its present RSP and `above` bytes.
fn run_over(session: &mut Session, n: usize, linear: u64, above: u64) -> Outcome {
    let stack = session.target.pc().cpus.get(n).map_or(0, |cpu| cpu.gpr[4]);
    session.watcher.over = Some(Over { processor: n as u32, linear, stack: stack.saturating_add(above) });
    let answer = session.go(How::Until(u64::MAX));
    session.watcher.over = None;
    Ok(answer)
}

/// `finish`.
pub fn finish(session: &mut Session, _arguments: &str) -> Outcome {
    let n = session.cpu;
    let frames = super::cmd_memory::frames(session, 2)?;
    let Some(caller) = frames.get(1) else {
        return Err("there is no caller: the frame pointer points to no frame".into());
    };
    run_over(session, n, *caller, 1)
}

/// `until ADDR`.
pub fn until(session: &mut Session, arguments: &str) -> Outcome {
    let linear = session.value(arguments)?;
    session.watcher.over = Some(Over { processor: session.cpu as u32, linear, stack: 0 });
    let answer = session.go(How::Until(u64::MAX));
    session.watcher.over = None;
    Ok(answer)
}

/// `sb CYCLES`.
pub fn stop_after(session: &mut Session, arguments: &str) -> Outcome {
    let cycles = session.value(arguments)?;
    let cycle = session.target.pc().now().saturating_add(cycles);
    Ok(session.go(How::Until(cycle)))
}

/// `sba CYCLE`.
pub fn stop_at(session: &mut Session, arguments: &str) -> Outcome {
    let cycle = session.value(arguments)?;
    let now = session.target.pc().now();
    if cycle < now {
        return Err(CommandError::Other(format!("cycle {cycle} is over; it is {now}")));
    }
    Ok(session.go(How::Until(cycle)))
}

/// That there is no such processor among so many.
pub(super) fn no_processor(number: u64, count: usize) -> String {
    match count {
        1 => format!("there is no processor {number}, only 0; --cpus N makes a machine of more"),
        _ => format!("there is no processor {number}; give 0 to {}", count - 1),
    }
}

/// `cpu [N]`.
pub fn cpu(session: &mut Session, arguments: &str) -> Outcome {
    let count = session.target.pc().cpus.len();
    if !arguments.is_empty() {
        let number = session.value(arguments)?;
        let Some(n) = usize::try_from(number).ok().filter(|n| *n < count) else {
            return Err(CommandError::Other(no_processor(number, count)));
        };
        session.cpu = n;
        return Ok(session.place());
    }
    let report = session.target.pc().report();
    let mark = |n: usize| if n == session.cpu { "* " } else { "  " };
    let lines = report.processors.iter().map(|cpu| cpu.text(Detail::Line)).enumerate();
    let text: String = lines.map(|(n, line)| mark(n).to_owned() + &line).collect();
    let list: Vec<Value> = report
        .processors
        .iter()
        .map(|cpu| json!({ "processor": cpu.number, "mode": cpu.mode, "activity": cpu.activity, "rip": cpu.registers.get("RIP").map(hex), "vmx": cpu.vmx.operation }))
        .collect();
    Ok(Answer::new(text, json!({ "selected": session.cpu, "processors": list })))
}

/// `ptime`.
pub fn ptime(session: &mut Session, _arguments: &str) -> Outcome {
    let (pc, hz) = (session.target.pc(), session.target.hz());
    let (now, instructions) = (pc.now(), pc.instructions());
    let seconds = now as f64 / hz as f64;
    let text = format!("cycle {now}, {seconds:.6} guest seconds, {instructions} instructions");
    Ok(Answer::new(text, json!({ "cycle": now, "guest_seconds": seconds, "instructions": instructions })))
}

/// `trace on|off [cpu N]`.
pub fn trace(session: &mut Session, arguments: &str) -> Outcome {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let filter = match words[..] {
        ["on"] => Some(TraceFilter::default()),
        ["on", "cpu", n] => {
            let number: usize = n.parse().map_err(|_| format!("there is no processor {n}"))?;
            if number >= session.target.pc().cpus.len() {
                return Err(CommandError::Other(format!("there is no processor {n}")));
            }
            Some(TraceFilter { cpu: Some(number as u32), ..TraceFilter::default() })
        }
        ["off"] => None,
        _ => return Err(CommandError::Usage("on or off?".to_owned(), "trace on|off [cpu N]")),
    };
    session.target.trace(filter);
    Ok(Answer::silent())
}

/// `reset`.
pub fn reset(session: &mut Session, _arguments: &str) -> Outcome {
    let now = session.target.pc().now();
    inject(session, &[(now, InputEvent::Reset)])?;
    Ok(Answer::message("the reset button is pushed; it works when the machine runs"))
}

/// Lets events happen at their cycles.
fn inject(session: &mut Session, events: &[(u64, InputEvent)]) -> Result<(), CommandError> {
    let inject = |pc: &mut Pc| events.iter().try_for_each(|(at, event)| pc.inject(*at, event.clone()).map(drop));
    let injected = session.change_whole(inject);
    injected.map_err(|error| CommandError::Other(error.to_string()))
}

/// Presses keys and lets them go; the cycle at which the next may be pressed.
fn press(hz: u64, at: u64, keys: &[Key], events: &mut Vec<(u64, InputEvent)>) -> u64 {
    let ms = |ms: u64| hz * ms / 1000;
    events.extend(keys.iter().map(|&key| (at, InputEvent::Key { key, pressed: true })));
    let release = at + ms(HOLD_MS);
    events.extend(keys.iter().rev().map(|&key| (release, InputEvent::Key { key, pressed: false })));
    release + ms(PAUSE_MS)
}

/// `key NAMES`.
pub fn key(session: &mut Session, arguments: &str) -> Outcome {
    let usage = "key NAMES, as in key LeftAlt+F4";
    if arguments.is_empty() {
        return Err(CommandError::Usage("a key is missing".to_owned(), usage));
    }
    let no_key = |part: String| {
        let problem =
            if part.is_empty() { "a key is missing beside +".to_owned() } else { format!("there is no key {part:?}") };
        CommandError::Usage(problem, usage)
    };
    let keys = Key::combination(arguments).map_err(no_key)?;
    let mut events = Vec::new();
    press(session.target.hz(), session.target.pc().now(), &keys, &mut events);
    inject(session, &events)?;
    Ok(Answer::silent())
}

/// `type "TEXT"`.
pub fn type_text(session: &mut Session, arguments: &str) -> Outcome {
    let quoted = arguments.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(arguments).replace("\\n", "\n");
    let (mut at, mut events) = (session.target.pc().now(), Vec::new());
    for character in text.chars() {
        let keys = Key::typing(character).ok_or_else(|| format!("no key types {character:?}"))?;
        at = press(session.target.hz(), at, &keys, &mut events);
    }
    inject(session, &events)?;
    Ok(Answer::silent())
}

/// `hash`.
pub fn hash(session: &mut Session, _arguments: &str) -> Outcome {
    let hash = format!("{:016x}", session.target.pc().state_hash());
    Ok(Answer::new(hash.clone(), json!({ "state_hash": hash })))
}

/// `save FILE`.
pub fn save(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        return Err(CommandError::Usage("a file is missing".to_owned(), "save FILE"));
    }
    let bytes = session.target.machine().snapshot()?;
    snapshot_file::write(Path::new(arguments), &bytes)?;
    Ok(Answer::silent())
}

/// `restore FILE`.
pub fn restore(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        return Err(CommandError::Usage("a file is missing".to_owned(), "restore FILE"));
    }
    let path = Path::new(arguments);
    let bytes = snapshot_file::read(path)?;
    session.target.restore(&bytes).map_err(|problem| InputError::file(path, problem))?;
    // What was watched belongs to another run.
    session.watcher.vmx = VmxLog::default();
    Ok(session.place())
}

/// `source FILE`.
pub fn source(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        return Err(CommandError::Usage("a file is missing".to_owned(), "source FILE"));
    }
    if session.sources >= MAX_SOURCES {
        let problem = format!("{arguments}: files carry out each other {MAX_SOURCES} deep; does it carry out itself?");
        return Err(CommandError::Other(problem));
    }
    let path = Path::new(arguments);
    let text = files::read_text(path, "file of debugger commands", MAX_TEXT_BYTES)?;
    session.read.add(path, "a file of debugger commands");
    let mut printed = String::new();
    session.sources += 1;
    let failed = text.lines().enumerate().find(|(_, line)| {
        if session.over {
            return false;
        }
        let (answer, well) = session.line(line);
        printed.push_str(&answer);
        !well
    });
    session.sources -= 1;
    if let Some((number, line)) = failed {
        let line = shown(line.trim());
        return Err(CommandError::Source { printed: format!("{printed}{arguments}:{}: {line}\n", number + 1) });
    }
    let json = json!({ "output": printed });
    Ok(Answer::new(printed, json))
}
