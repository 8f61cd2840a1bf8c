//! Fuzz targets of the machine as functions of their input: [`guest_code`], [`host_work`], [`ports_mmio`],
//! [`disk_images`], [`roms`], [`snapshots`], [`vmx_entry`], [`vmx_ept`], [`vmx_instructions`],
//! [`tiers`], [`cuts`].
//!
//! Each turns any bytes into a machine and something it does, for a bounded number of cycles, and panics on a defect: a
//! panic of the machine itself, or time that does not go on. `fuzz/` drives them with libFuzzer; this crate's tests run
//! seeded inputs, and its example `run` as many as asked for. How to: `docs/fuzzing.md`.

mod board;
mod cuts;
mod disks;
mod features;
mod guest;
mod host;
mod instructions;
mod rom;
mod snapshot;
mod source;
mod tables;
mod tiers;
mod vmx;

pub use board::ports_mmio;
pub use cuts::cuts;
pub use disks::disk_images;
pub use guest::guest_code;
pub use host::host_work;
pub use rom::roms;
pub use snapshot::snapshots;
pub use source::Source;
pub use tiers::tiers;
pub use vmx::{vmx_entry, vmx_ept, vmx_instructions};

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&mut Source));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("guest_code", guest_code),
    ("host_work", host_work),
    ("ports_mmio", ports_mmio),
    ("disk_images", disk_images),
    ("roms", roms),
    ("snapshots", snapshots),
    ("vmx_entry", vmx_entry),
    ("vmx_ept", vmx_ept),
    ("vmx_instructions", vmx_instructions),
    ("tiers", tiers),
    ("cuts", cuts),
];
