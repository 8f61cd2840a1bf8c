//! One run cut, watched, compiled and taken from snapshots.
#![no_main]

use fuzz_cases::{Source, cuts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| cuts(&mut Source::new(input)));
