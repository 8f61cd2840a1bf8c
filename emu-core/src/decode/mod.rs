//! Decode once, run many: machine code to micro-ops in basic blocks keyed by physical address and mode.

pub mod cache;
