//! VMX non-root operation in the interpreter.

mod apic_page;
mod cet;
mod counters;
mod cycles;
mod delivery;
mod eptp_switching;
mod features;
mod guest;
mod invalidation;
mod lbr;
mod matrix;
mod mwait;
mod order;
mod report;
mod reported;
mod spec_ctrl;
mod states;
mod sub_page;
