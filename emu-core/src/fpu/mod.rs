//! Floating-point arithmetic: IEEE formats in software and, where that gives the same result, by the host; x87.

pub mod conversion;
pub mod native;
pub mod soft;
pub mod special;
pub mod x87;

pub use crate::state::fpu::{FpuState, LANES, VectorRegister};
