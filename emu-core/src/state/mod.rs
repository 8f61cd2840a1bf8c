//! The state of one logical processor, and what is derived from it for the interpreter.

pub mod cpu;
pub mod derived;
pub mod system;
