//! Interrupt lines: what a device drives; the board decides which controller input each one reaches.

use serde::{Deserialize, Serialize};

/// One wire from a device to the interrupt controllers. The board hands it out at construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line(pub u8);

/// The levels of all lines, with the edges since the board last looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    level: u64,
    changes: Vec<(Line, bool)>,
}

impl Lines {
    /// Drives a line high or low. Each change is kept in order, so that a pulse within one call is seen as an edge.
    pub fn set(&mut self, line: Line, high: bool) {
        let bit = 1u64 << (line.0 & 63);
        if (self.level & bit != 0) != high {
            self.level ^= bit;
            self.changes.push((line, high));
        }
    }

    /// Raises and lowers a line: one edge.
    pub fn pulse(&mut self, line: Line) {
        self.set(line, false);
        self.set(line, true);
        self.set(line, false);
    }

    /// The present level.
    pub fn level(&self, line: Line) -> bool {
        self.level & (1u64 << (line.0 & 63)) != 0
    }

    /// Whether there are changes that [`Lines::take_changes`] has not returned yet.
    pub fn changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether every change is of a line that there is.
    pub(crate) fn is_sound(&self) -> bool {
        self.changes.iter().all(|(line, _)| line.0 < 64)
    }

    /// The changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<(Line, bool)> {
        std::mem::take(&mut self.changes)
    }
}
