//! The last exceptions of a processor, for people who look at a run that has ended. No part of the guest's state: it
//! does not go into state hashes, and a reset leaves it alone.

use crate::fault::Fault;
use emu_vmx::entry::VmxAbort;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How many exceptions are kept.
pub const KEPT: usize = 16;

/// An event with the address that a page fault reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// The event.
    pub event: Fault,
    /// CR2 of a page fault.
    pub cr2: Option<u64>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Its handler began.
    Handler,
    /// It caused a VM exit, or its delivery did.
    VmExit,
    /// Its delivery raised this exception; the next event of the chain is that, or the double fault that came of both.
    Fault(Raised),
    /// Its delivery raised this exception, and the processor shut down (in VMX non-root operation: a VM exit for a
    /// triple fault).
    TripleFault(Raised),
}

/// An exception, or an interrupt whose delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The event.
    pub raised: Raised,
    /// It is the first of its chain: it did not arise in the delivery of the one before.
    pub first: bool,
    /// CS then.
    pub cs: u16,
    /// The RIP that delivery saves: of the instruction for faults, of the next one for traps and INT n.
    pub rip: u64,
    /// CPL then.
    pub cpl: u8,
    /// In VMX non-root operation.
    pub non_root: bool,
    /// The processor's clock.
    pub cycle: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// The last exceptions of a processor, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    events: VecDeque<EventRecord>,
    /// The delivery of the newest has raised an exception, which comes next.
    chained: bool,
    /// The VMX abort that has shut the processor down.
    vmx_abort: Option<VmxAbort>,
}

impl History {
    /// The exceptions, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &EventRecord> + ExactSizeIterator {
        self.events.iter()
    }

    /// The VMX abort that has shut the processor down, if one has.
    pub fn vmx_abort(&self) -> Option<VmxAbort> {
        self.vmx_abort
    }

    /// Notes a VMX abort, or with `None` that the processor runs again.
    pub(crate) fn set_vmx_abort(&mut self, abort: Option<VmxAbort>) {
        self.vmx_abort = abort;
    }

    pub(crate) fn push(&mut self, mut record: EventRecord) {
        record.first = !self.chained;
        self.chained = matches!(record.outcome, Outcome::Fault(_));
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(record);
    }

    /// The processor shuts down because of what the newest event's delivery has raised.
    pub(crate) fn end_in_triple_fault(&mut self) {
        self.chained = false;
        if let Some(record) = self.events.back_mut()
            && let Outcome::Fault(raised) = record.outcome
        {
            record.outcome = Outcome::TripleFault(raised);
        }
    }
}
