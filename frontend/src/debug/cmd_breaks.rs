//! Commands about breakpoints.

use super::answer::{Answer, Table};
use super::breakpoints::{self, Accesses, Breakpoint, Kind, Options};
use super::expr::ExprError;
use super::session::{CommandError, Outcome, Session};
use serde_json::{Value, json};

fn make(session: &mut Session, kind: Kind, options: Options) -> Outcome {
    let condition = match options.condition.as_str() {
        "" => None,
        text => Some(condition(session, &kind, text)?),
    };
    let count = session.target.pc().cpus.len();
    if let Some(cpu) = options.cpu.filter(|&cpu| cpu as usize >= count) {
        return Err(CommandError::Other(super::cmd_run::no_processor(cpu.into(), count)));
    }
    let breakpoint = Breakpoint {
        id: 0,
        kind,
        cpu: options.cpu,
        condition,
        condition_text: options.condition,
        ignore: options.ignore,
        hits: 0,
        enabled: true,
    };
    let words = breakpoint.words(&session.symbols);
    let id = session.add(breakpoint);
    Ok(Answer::new(format!("breakpoint {id}: {words}"), json!({ "breakpoint": id, "what": words })))
}

/// A condition: it may also name the values of the event.
fn condition(session: &Session, kind: &Kind, text: &str) -> Result<super::expr::Expr, CommandError> {
    let names: &[&'static str] = match kind {
        Kind::Memory { .. } => &["value", "address", "physical", "size", "write"],
        Kind::Port(..) => &["value", "address", "port", "size", "write"],
        Kind::Mmio(..) => &["value", "address", "size", "write"],
        Kind::Msr(_) | Kind::ControlRegister(_) => &["number", "value"],
        Kind::Exception(_) | Kind::Interrupt(_) => &["vector", "error", "from", "injected"],
        Kind::EntryFailure => &["vmcs"],
        Kind::VmExit(_) => &["reason", "qualification", "guestrip", "vmcs"],
        Kind::VmcsWrite(_) => &["value", "encoding", "vmcs"],
        _ => &[],
    };
    let event: Vec<(&'static str, u64)> = names.iter().map(|&name| (name, 0)).collect();
    let scope = session.scope()?;
    super::expr::parse(text, &session.symbols, &scope.at(&event)).map_err(|error| match error {
        ExprError::Unknown(_) if !names.is_empty() => {
            CommandError::Other(format!("{error}; of this event it may name {}", names.join(", ")))
        }
        error => error.into(),
    })
}

/// `b …`.
pub fn add(session: &mut Session, arguments: &str) -> Outcome {
    let (head, options) = breakpoints::options(arguments)?;
    let kind = breakpoints::kind(&head, &session.symbols, &session.scope()?)?;
    make(session, kind, options)
}

/// `pb ADDR`.
pub fn physical(session: &mut Session, arguments: &str) -> Outcome {
    let (head, options) = breakpoints::options(arguments)?;
    let kind = Kind::Physical(session.value(&head)?);
    make(session, kind, options)
}

/// `vb SELECTOR:OFFSET`.
pub fn virtual_address(session: &mut Session, arguments: &str) -> Outcome {
    let (head, options) = breakpoints::options(arguments)?;
    let usage = "vb SELECTOR:OFFSET";
    let (selector, offset) =
        head.split_once(':').ok_or_else(|| CommandError::Usage("there is no colon".to_owned(), usage))?;
    let (selector, offset) = (session.value(selector)?, session.value(offset)?);
    let selector = u16::try_from(selector).map_err(|_| format!("{selector:#x} is no selector"))?;
    make(session, Kind::Virtual(selector, offset), options)
}

/// `watch …`.
pub fn watch(session: &mut Session, arguments: &str) -> Outcome {
    let (head, options) = breakpoints::options(arguments)?;
    let (access, rest) = match head.split_once(char::is_whitespace) {
        Some((word, rest)) if Accesses::parse(word).is_some() => (Accesses::parse(word), rest.trim()),
        _ => (None, head.as_str()),
    };
    let access = access.unwrap_or(Accesses { reads: false, writes: true });
    let (physical, rest) = match rest.strip_prefix("phys ") {
        Some(rest) => (true, rest.trim()),
        None => (false, rest),
    };
    // `ADDR BYTES`, where ADDR may itself have blanks: the longest beginning that is an expression. `ADDR -1` is both.
    let last = rest.rsplit_once(char::is_whitespace);
    if let Some((address, size)) =
        last.filter(|(address, size)| size.starts_with('-') && session.value(address).is_ok())
    {
        let problem = format!("{size} bytes cannot be watched; write ({address} {size}) for an address");
        return Err(CommandError::Other(problem));
    }
    let (start, size) = match (session.value(rest), last) {
        (Ok(start), _) => (start, 1),
        (Err(error), None) => return Err(error),
        (Err(_), Some((address, size))) => (session.value(address)?, session.value(size)?),
    };
    let Some(last) = size.checked_sub(1).and_then(|more| start.checked_add(more)) else {
        return Err(CommandError::Other(format!("{size} bytes cannot be watched at {start:#x}")));
    };
    make(session, Kind::Memory { range: start..=last, physical, access }, options)
}

fn number(session: &mut Session, text: &str) -> Result<usize, CommandError> {
    let id: u32 = text.parse().map_err(|_| format!("{text:?} is no number of a breakpoint"))?;
    let place = session.watcher.breakpoints.iter().position(|breakpoint| breakpoint.id == id);
    place.ok_or_else(|| CommandError::Other(format!("there is no breakpoint {id}; info b lists them")))
}

/// `d N|all`.
pub fn delete(session: &mut Session, arguments: &str) -> Outcome {
    if arguments == "all" {
        session.watcher.breakpoints.clear();
        return Ok(Answer::silent());
    }
    let place = number(session, arguments)?;
    session.watcher.breakpoints.remove(place);
    Ok(Answer::silent())
}

/// `bpe N`.
pub fn enable(session: &mut Session, arguments: &str) -> Outcome {
    let place = number(session, arguments)?;
    session.watcher.breakpoints[place].enabled = true;
    Ok(Answer::silent())
}

/// `bpd N`.
pub fn disable(session: &mut Session, arguments: &str) -> Outcome {
    let place = number(session, arguments)?;
    session.watcher.breakpoints[place].enabled = false;
    Ok(Answer::silent())
}

/// `ignore N COUNT`.
pub fn ignore(session: &mut Session, arguments: &str) -> Outcome {
    let Some((which, count)) = arguments.split_once(char::is_whitespace) else {
        return Err(CommandError::Usage("two numbers are needed".to_owned(), "ignore N COUNT"));
    };
    let (place, count) = (number(session, which)?, session.value(count)?);
    let breakpoint = &mut session.watcher.breakpoints[place];
    breakpoint.ignore = breakpoint.hits.saturating_add(count);
    Ok(Answer::silent())
}

/// `modebp`.
pub fn modebp(session: &mut Session, _arguments: &str) -> Outcome {
    let before = session.watcher.breakpoints.len();
    session.watcher.breakpoints.retain(|breakpoint| breakpoint.kind != Kind::Mode);
    if session.watcher.breakpoints.len() != before {
        return Ok(Answer::message("changes of mode do not stop any longer"));
    }
    make(session, Kind::Mode, Options::default())
}

/// `info b`.
pub fn list(session: &Session) -> Answer {
    let mut table = Table::new(&["number", "on", "hits", "what"]);
    let mut list = Vec::new();
    for breakpoint in &session.watcher.breakpoints {
        let words = breakpoint.words(&session.symbols);
        let on = if breakpoint.enabled { "yes" } else { "no" };
        table.row([breakpoint.id.to_string(), on.to_owned(), breakpoint.hits.to_string(), words.clone()]);
        list.push(json!({
            "breakpoint": breakpoint.id, "enabled": breakpoint.enabled, "hits": breakpoint.hits,
            "ignore": breakpoint.ignore, "what": words,
        }));
    }
    let text = if table.is_empty() { "no breakpoints\n".to_owned() } else { table.text() };
    Answer::new(text, json!({ "breakpoints": Value::Array(list) }))
}
