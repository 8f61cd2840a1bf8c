//! Logical processors, physical memory and the deterministic clock of rvmx-emu.
//!
//! Section numbers cite the Intel 64 and IA-32 Architectures Software Developer's Manual,
//! order number 325462-083US (March 2024), unless a comment says otherwise.

pub mod bus;
