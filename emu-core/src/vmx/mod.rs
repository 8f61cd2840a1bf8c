//! VMX operation of a processor: its state, and the instructions of VMX root operation. The rules are `emu-vmx`'s.

pub mod operation;
pub mod state;
