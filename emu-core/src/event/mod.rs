//! Interrupts and exceptions: what happens at an instruction boundary, and delivery through the IDT.

pub mod boundary;
pub mod deliver;
