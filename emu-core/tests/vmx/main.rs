//! VMX non-root operation in the interpreter.

mod delivery;
mod apic_page;
mod eptp_switching;
mod features;
mod guest;
mod invalidation;
mod matrix;
mod report;
mod reported;
mod states;
