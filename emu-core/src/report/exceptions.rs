//! Chains of exceptions.

use super::{Hex, words};
use crate::state::history::{History, Outcome, Raised};
use serde::Serialize;

/// An exception of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// `#PF`, `INT 80h`, ...
    pub name: String,
    /// Vector.
    pub vector: u8,
    /// Error code.
    pub error_code: Option<Hex>,
    /// The error code in words, if it says something.
    pub meaning: Option<String>,
    /// CR2 of a page fault.
    pub cr2: Option<Hex>,
    /// Whether it was to be delivered itself; false when it arose in the delivery of the one before it and a double fault
    /// or a shutdown came of the two.
    pub delivered: bool,
}

/// Exceptions each of which arose in the delivery of the one before: `#BP -> #GP(0x1a) -> #DF(0x0)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The chain in one line.
    pub text: String,
    /// Its events.
    pub events: Vec<EventReport>,
    /// CS when it began.
    pub cs: Hex,
    /// The RIP that delivery of the first event saves.
    pub rip: Hex,
    /// CPL then.
    pub cpl: u8,
    /// It began in VMX non-root operation.
    pub non_root: bool,
    /// The processor's cycle when it began.
    pub cycle: u64,
    /// `handler`, `VM exit`, `triple fault`; `none` if the run stopped between two events.
    pub outcome: &'static str,
}

/// The chains that a processor still knows, oldest first.
pub(super) fn chains(history: &History) -> Vec<ChainReport> {
    let mut chains: Vec<ChainReport> = Vec::new();
    // What the delivery of the last event has raised, until it is seen whether it is delivered itself.
    let mut pending: Option<Raised> = None;
    for record in history.events() {
        if record.first || chains.is_empty() {
            chains.push(ChainReport {
                text: String::new(),
                events: Vec::new(),
                cs: Hex(record.cs.into()),
                rip: Hex(record.rip),
                cpl: record.cpl,
                non_root: record.non_root,
                cycle: record.cycle,
                outcome: "none",
            });
            pending = None;
        }
        let Some(chain) = chains.last_mut() else { continue };
        if let Some(raised) = pending.take().filter(|raised| raised.event != record.raised.event) {
            chain.events.push(event(&raised, false));
        }
        chain.events.push(event(&record.raised, true));
        match record.outcome {
            Outcome::Handler => chain.outcome = "handler",
            Outcome::VmExit => chain.outcome = "VM exit",
            Outcome::Fault(raised) => pending = Some(raised),
            Outcome::TripleFault(raised) => {
                chain.events.push(event(&raised, false));
                chain.outcome = "triple fault";
            }
        }
    }
    for chain in &mut chains {
        let mut parts: Vec<String> = chain.events.iter().map(short).collect();
        if matches!(chain.outcome, "VM exit" | "triple fault") {
            parts.push(chain.outcome.to_owned());
        }
        chain.text = parts.join(" -> ");
    }
    chains
}

fn event(raised: &Raised, delivered: bool) -> EventReport {
    let Raised { event, cr2 } = raised;
    let bare = crate::fault::Fault { error_code: None, ..*event };
    EventReport {
        name: bare.to_string(),
        vector: event.vector,
        error_code: event.error_code.map(|code| Hex(code.into())),
        meaning: words::error_code(event),
        cr2: cr2.map(Hex),
        delivered,
    }
}

fn short(event: &EventReport) -> String {
    let code = event.error_code.map(|code| code.to_string());
    let cr2 = event.cr2.map(|cr2| format!("CR2={cr2}"));
    let details: Vec<String> = code.into_iter().chain(cr2).collect();
    if details.is_empty() { event.name.clone() } else { format!("{}({})", event.name, details.join(", ")) }
}
