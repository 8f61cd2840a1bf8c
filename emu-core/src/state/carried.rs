//! What one instruction leaves for the boundary or the turn behind it: part of the saved state.

use serde::{Deserialize, Serialize};

/// What one instruction leaves for the boundary or the turn behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carried {
    /// PAUSE has just run.
    pub gives_way: bool,
    /// Set while an instruction runs with a limit of one (TF, shadow, breakpoints).
    pub single_step: bool,
    /// TF was set when the instruction that runs alone began.
    pub trap_after: bool,
    /// The interrupt shadow was opened by the instruction that has just run.
    pub shadow_is_new: bool,
    /// A string instruction has completed an iteration that is not its last; it sets and clears this.
    pub repeating: bool,
    /// The latest cycle that this processor, or one that ran before it, has shown as its time-stamp counter.
    pub tsc_shown: u64,
    /// The processor was found stopped, and nothing was raised since.
    pub asleep: bool,
}
