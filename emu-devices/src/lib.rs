//! The PC around the processors: each device a file or folder, wired together by the board.
//!
//! A device knows its registers, its [`line::Line`]s and its deadlines, and nothing of its neighbours.

#![forbid(unsafe_code)]
// Claims are lists of ranges, often of one.
#![allow(clippy::single_range_in_vec_init)]

pub mod ata;
pub mod board;
pub mod coprocessor;
pub mod debug_ports;
pub mod device;
mod devices;
pub mod disk;
pub mod dma;
pub mod flash;
pub mod floppy;
pub mod fw_cfg;
pub mod hpet;
pub mod input;
pub mod ioapic;
pub mod keyboard;
pub mod line;
pub mod pc;
pub mod pci;
pub mod pic;
pub mod pit;
pub mod power;
#[cfg(test)]
mod random_access;
pub mod report;
pub mod rtc;
pub mod sched;
pub mod serial;
pub mod snapshot;
pub mod state;
pub mod testdev;
#[cfg(test)]
pub(crate) mod testing;
pub mod vga;
