//! Random guest code in all modes.
#![no_main]

use fuzz_cases::{Source, guest_code};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| guest_code(&mut Source::new(input)));
