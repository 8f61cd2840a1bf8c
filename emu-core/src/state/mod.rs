//! The state of one logical processor: plain data, and what follows from the data alone.

pub mod attention;
pub mod carried;
pub mod cpu;
pub mod derived;
pub mod fault;
pub mod flags;
pub mod fpu;
pub mod history;
pub mod lapic;
pub mod lbr;
pub mod micro;
pub mod observed;
pub mod pmu;
pub mod scratch;
pub mod system;
pub mod vmx;

/// A saved state that no processor and no memory can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of processors and memory is damaged: {0}; take the snapshot again")]
pub struct DamagedState(pub &'static str);
