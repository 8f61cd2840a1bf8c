//! The compiled tier: host code for hot blocks, made from the micro-ops that the interpreter runs.
//!
//! A template turns each of the common micro-ops into a few host instructions; what has no template, and what is not the
//! plain case of one that has, is done by the interpreter's own handler, called from the compiled code. So there is one
//! implementation of faults, page walks, devices and all that is rare, and a run is the same with and without this crate.
//!
//! What is of the host's instruction set is in `x64` and `a64`. On hosts other than x86-64 and aarch64 Linux there is no
//! tier, and the interpreter runs everything.

// What dynasm! makes of registers by number converts them whatever their type is.
#![allow(clippy::useless_conversion)]

use emu_core::block::tier::Tier;

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod a64;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod context;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod forms;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod known;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod layout;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod made;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod memory;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod tier;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x64;

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
use a64 as host;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use x64 as host;

/// Whether there is a tier for this host.
pub const SERVED: bool = cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"));

/// How often a block is interpreted before it is compiled, if nobody says: compiling pays for itself after about that.
pub const THRESHOLD: u32 = 100;

/// A tier that compiles what has run `threshold` times (at least 1), if the host is served.
pub fn tier(threshold: u32) -> Option<Box<dyn Tier>> {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
    match tier::Templates::new(threshold.max(1)) {
        Ok(tier) => return Some(Box::new(tier)),
        Err(error) => log::warn!("there is no memory for compiled code, and everything is interpreted: {error}"),
    }
    let _ = threshold;
    None
}
