//! VMX operation of a processor: its state, the instructions of VMX root operation, VM entries, VMX non-root operation
//! and VM exits. The rules are `emu-vmx`'s.

pub mod control;
pub(crate) mod diagnose;
pub mod enter;
pub mod ept;
pub mod exit;
pub mod non_root;
pub mod operation;
pub mod virtual_apic;
