//! Commands about everything else: processors, screen, symbols, descriptor tables.

use super::answer::{Answer, Table, hex};
use super::cmd_breaks;
use super::session::{CommandError, Outcome, Session};
use crate::machine::Machine;
use crate::screen as pictures;
use emu_core::report::{CpuReport, Detail};
use serde_json::json;
use std::path::Path;

const USAGE: &str = "info b|cpu|mem|screen|exceptions|lbr|apic|symbols";

fn report(session: &Session) -> Result<CpuReport, CommandError> {
    let pc = session.target.pc();
    let cpu = pc.cpus.get(session.cpu).ok_or("there is no such processor")?;
    Ok(CpuReport::new(cpu, &pc.ram))
}

/// `blist`.
pub fn breakpoints(session: &mut Session, _arguments: &str) -> Outcome {
    Ok(cmd_breaks::list(session))
}

/// `info …`.
pub fn info(session: &mut Session, arguments: &str) -> Outcome {
    match arguments {
        "b" | "break" | "breakpoints" => Ok(cmd_breaks::list(session)),
        "cpu" => {
            let report = report(session)?;
            Ok(Answer::new(report.text(Detail::Full), json!({ "processor": report })))
        }
        "mem" | "tab" => super::cmd_paging::tab(session, ""),
        "r" | "registers" => super::cmd_registers::general(session, ""),
        "screen" => screen(session, ""),
        "exceptions" => {
            let report = report(session)?;
            let mut table = Table::new(&["cycle", "at", "chain"]);
            for chain in &report.exceptions {
                table.row([
                    chain.cycle.to_string(),
                    format!("{:04x}:{:#x}", chain.cs.0, chain.rip.0),
                    chain.text.clone(),
                ]);
            }
            let text = if table.is_empty() { "no exceptions so far\n".to_owned() } else { table.text() };
            Ok(Answer::new(text, json!({ "exceptions": report.exceptions })))
        }
        "lbr" => last_branches(session),
        "apic" => {
            let report = report(session)?;
            let apic = &report.local_apic;
            let list = |vectors: &[u8]| {
                let words: Vec<String> = vectors.iter().map(|vector| format!("{vector:#04x}")).collect();
                if words.is_empty() { "none".to_owned() } else { words.join(" ") }
            };
            let text = format!(
                "local APIC {}: {}, {} by software, base {}, TPR {}\nrequested: {}\nin service: {}\ntimer: {}\nerrors: {}\n",
                apic.id,
                apic.mode,
                if apic.software_enabled { "enabled" } else { "not enabled" },
                apic.base,
                apic.tpr,
                list(&apic.requested),
                list(&apic.in_service),
                apic.timer,
                apic.errors,
            );
            Ok(Answer::new(text, json!({ "local_apic": apic })))
        }
        "symbols" => {
            let count = session.symbols.count();
            Ok(Answer::new(format!("{count} symbols"), json!({ "symbols": count })))
        }
        _ => Err(CommandError::Usage(format!("there is no information about {arguments:?}"), USAGE)),
    }
}

/// `info lbr`: the newest first.
fn last_branches(session: &Session) -> Outcome {
    let cpu = session.target.pc().cpus.get(session.cpu).ok_or("there is no such processor")?;
    let Some(model) = cpu.config.model.lbr() else {
        return Err(CommandError::from("this processor has no last branch records"));
    };
    let mut table = Table::new(&["from", "to", "flags"]);
    let mut list = Vec::new();
    let place = |address: u64| match session.symbols.label(address) {
        Some(label) => format!("{address:#x} {label}"),
        None => format!("{address:#x}"),
    };
    for age in 0..cpu.lbr.depth {
        let seen = cpu.last_branch(age);
        if (seen.from, seen.to) == (0, 0) {
            continue;
        }
        let missed = if seen.mispredicted { Some("mispredicted".to_owned()) } else { None };
        let elapsed = seen.cycles.map(|cycles| format!("{cycles} cycles"));
        let flags: Vec<String> = missed.into_iter().chain(elapsed).collect();
        table.row([place(seen.from), place(seen.to), flags.join(", ")]);
        list.push(json!({
            "from": hex(seen.from), "to": hex(seen.to), "mispredicted": seen.mispredicted, "cycles": seen.cycles,
        }));
    }
    let on = cpu.derived.records_branches;
    let state = if on { "branches are recorded" } else { "branches are not recorded at present" };
    let rows = if table.is_empty() { String::new() } else { table.text() };
    let text = format!("{state}; {} of {} records\n{rows}", list.len(), cpu.lbr.depth);
    Ok(Answer::new(text, json!({ "recording": on, "depth": cpu.lbr.depth, "format": model.format, "records": list })))
}

/// `screen [FILE.png]`.
pub fn screen(session: &mut Session, arguments: &str) -> Outcome {
    if !arguments.is_empty() {
        let frame = session.target.machine().render();
        pictures::write_png(Path::new(arguments), &frame)?;
        return Ok(Answer::silent());
    }
    let screen = session.target.machine().text_screen();
    let lines = screen.as_ref().map(|screen| screen.lines());
    Ok(Answer::new(pictures::dump(screen.as_ref()), json!({ "screen": lines })))
}

/// `ldsym FILE [OFFSET]`.
pub fn load_symbols(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        return Err(CommandError::Usage("a file is missing".to_owned(), "ldsym FILE [OFFSET]"));
    }
    let (file, offset) = match arguments.rsplit_once(char::is_whitespace) {
        Some((file, offset)) if !Path::new(arguments).exists() => (file.trim(), session.value(offset)?),
        _ => (arguments, 0),
    };
    let count = session.symbols.load(Path::new(file), offset)?;
    session.read.add(Path::new(file), "a file of symbols");
    Ok(Answer::new(format!("{count} symbols"), json!({ "symbols": count })))
}

/// `slist [PREFIX]`.
pub fn list_symbols(session: &mut Session, arguments: &str) -> Outcome {
    let mut table = Table::new(&["address", "symbol"]);
    let mut list = Vec::new();
    for (name, address) in session.symbols.starting_with(arguments) {
        table.row([format!("{address:#x}"), name.to_owned()]);
        list.push(json!({ "symbol": name, "address": hex(address) }));
    }
    let text = if table.is_empty() { "no symbols\n".to_owned() } else { table.text() };
    Ok(Answer::new(text, json!({ "symbols": list })))
}

/// `where [ADDR]`.
pub fn symbol_at(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        return Ok(session.place());
    }
    let address = session.value(arguments)?;
    let label = session.symbols.label(address);
    let text = label.clone().unwrap_or_else(|| "no symbol".to_owned());
    Ok(Answer::new(format!("{address:#x} is {text}"), json!({ "address": hex(address), "symbol": label })))
}
