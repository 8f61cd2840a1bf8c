//! Guests that are hard on their host, in runs cut by their work.
#![no_main]

use fuzz_cases::{Source, host_work};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| host_work(&mut Source::new(input)));
