//! The estimate of a pipeline beside other people's figures: `docs/cycles.md` tells of both.

mod blocks;
mod clock;
mod instructions;
mod parts;

use emu_core::cycles::estimate::{UNIT, estimate};
use emu_core::cycles::table::Table;
use emu_core::lower::work::Works;

/// The processors of the figures, in their order.
const PROCESSORS: [&str; 3] = ["westmere", "haswell", "skylake"];

/// Cycles that an iteration of some 64-bit code takes.
fn cycles(table: &Table, hex: &str) -> f64 {
    let code: Vec<u8> =
        (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).expect("hexadecimal")).collect();
    f64::from(estimate(table, &Works::default().of_code(table, 64, &code))) / f64::from(UNIT)
}
