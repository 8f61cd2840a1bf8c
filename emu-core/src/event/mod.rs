//! Interrupts and exceptions: what happens at an instruction boundary, and delivery through the IDT.

pub mod boundary;
pub mod debug;
pub mod deliver;
pub mod gate;
pub mod history;
