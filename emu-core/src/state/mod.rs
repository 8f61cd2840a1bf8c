//! The state of one logical processor, and what is derived from it for the interpreter.

pub mod cpu;
pub mod derived;
pub mod system;

/// A saved state that no processor and no memory can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of processors and memory is damaged: {0}; take the snapshot again")]
pub struct DamagedState(pub &'static str);
