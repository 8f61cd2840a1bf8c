//! Guests of other targets, interpreted and compiled.
#![no_main]

use fuzz_cases::{Source, tiers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tiers(&mut Source::new(input)));
