//! Last branch records: the stack, and what is pushed onto it (SDM Vol. 3B 18.4.8, "LBR Stack"; chapter 19, "Last Branch
//! Records").

use crate::model::lbr::{LbrModel, RECORDS};
use serde::{Deserialize, Serialize};

/// A record, as its registers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Where the branch was.
    pub from: u64,
    /// Where it went.
    pub to: u64,
    /// MSR_LBR_INFO_x or IA32_LBR_x_INFO; 0 where there are no such registers.
    pub info: u64,
}

/// The records and their registers, but for what enables them: IA32_DEBUGCTL and IA32_LBR_CTL are system registers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lbr {
    /// The records, as a ring of the first `depth` of them.
    pub records: [Record; RECORDS],
    /// MSR_LASTBRANCH_TOS: the place of the newest.
    pub top: u8,
    /// How many there are: IA32_LBR_DEPTH, or the size of the stack.
    pub depth: u8,
    /// MSR_LBR_SELECT.
    pub select: u64,
    /// The newest record when the last interrupt or exception came: MSR_LER_x_LIP, or IA32_LER_x.
    pub last_event: Record,
    /// Cycle of the last record.
    pub updated: u64,
}

impl Lbr {
    /// After power-on: no records, and room for all.
    pub fn new(model: Option<&LbrModel>) -> Self {
        Self { depth: model.map_or(0, |model| model.entries), ..Self::default() }
    }

    /// The place in the ring of the record that is so old; the newest has age 0.
    pub fn place(&self, age: u8) -> usize {
        let depth = u16::from(self.depth.max(1));
        usize::from((u16::from(self.top) + depth - u16::from(age) % depth) % depth)
    }

    /// The record that is so old; the newest has age 0.
    pub fn record(&self, age: u8) -> Record {
        self.records[self.place(age)]
    }

    /// Puts a record on top, instead of the oldest.
    pub fn push(&mut self, record: Record) {
        self.top = if self.top + 1 >= self.depth { 0 } else { self.top + 1 };
        self.records[usize::from(self.top)] = record;
    }

    /// Takes the newest record away, as call-stack mode does at a return.
    pub fn pop(&mut self) {
        self.records[usize::from(self.top)] = Record::default();
        self.top = if self.top == 0 { self.depth.saturating_sub(1) } else { self.top - 1 };
    }

    /// Another depth: no records are left.
    pub fn set_depth(&mut self, depth: u8) {
        (self.records, self.top, self.depth) = ([Record::default(); RECORDS], 0, depth);
    }

    /// Whether this can be the state of a processor of that model.
    pub fn fits(&self, model: Option<&LbrModel>) -> bool {
        let depth = match model {
            None => self.depth == 0,
            Some(model) if model.is_architectural() => model.has_depth(self.depth.into()),
            Some(model) => self.depth == model.entries,
        };
        depth && (self.top < self.depth || self.top == 0)
    }
}
