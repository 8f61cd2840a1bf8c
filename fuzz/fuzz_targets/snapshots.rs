//! Snapshots with bytes changed, cut out or put in.
#![no_main]

use fuzz_cases::{Source, snapshots};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| snapshots(&mut Source::new(input)));
