//! The PC around the processors: each device a file or folder, wired together by the board.
//!
//! A device knows its registers, its [`line::Line`]s and its deadlines, and nothing of its neighbours.

#![forbid(unsafe_code)]

pub mod ata;
pub mod device;
pub mod disk;
pub mod dma;
#[cfg(test)]
mod harness;
pub mod line;
pub mod pic;
pub mod pit;
pub mod sched;
#[cfg(test)]
pub(crate) mod testing;
