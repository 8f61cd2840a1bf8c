//! Logical processors, physical memory and the deterministic clock of rvmx-emu.
//!
//! Section numbers cite the Intel 64 and IA-32 Architectures Software Developer's Manual,
//! order number 325462-083US (March 2024), unless a comment says otherwise.

pub mod block;
pub mod bus;
pub mod cycles;
pub mod disasm;
pub mod event;
pub mod exec;
pub mod fpu;
pub mod hash;
pub mod ir;
pub mod lapic;
pub mod lbr;
pub mod lower;
pub mod mem;
pub mod model;
pub mod msr;
pub mod observe;
pub mod pmu;
pub mod protect;
pub mod refresh;
pub mod report;
pub mod run;
pub mod snapshot;
pub mod state;
pub mod testing;
pub mod trace;
pub mod vmx;

pub use state::{fault, flags};
