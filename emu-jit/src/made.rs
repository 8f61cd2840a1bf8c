//! What a generator makes of a block, whatever host it is for.

use crate::context::{Remembered, Site};
use std::cell::UnsafeCell;

/// How a block is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has not begun.
    Before,
    /// Behind its last instruction.
    End,
    /// To an offset in its own page.
    Jump(u16),
    /// To RIP as it is in the processor.
    Elsewhere,
}

/// An exit of generated code.
pub struct Exit {
    /// How.
    pub kind: Kind,
    /// Offset in the code of what [`CodeMemory::patch`](crate::memory::CodeMemory::patch) changes: it leads to `stub`.
    pub site: usize,
    /// Offset in the code of what leaves.
    pub stub: usize,
}

/// The code of a block.
pub struct Made {
    /// The bytes.
    pub code: Vec<u8>,
    /// Its exits, in the order of their numbers.
    pub exits: Vec<Exit>,
    /// What the code names: it must live as long as the code.
    pub sites: Box<[Site]>,
    /// What its accesses remember, likewise.
    pub remembered: Box<[UnsafeCell<Remembered>]>,
}
