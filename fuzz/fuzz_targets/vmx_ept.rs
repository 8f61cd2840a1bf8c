//! Guests under random EPT.
#![no_main]

use fuzz_cases::{Source, vmx_ept};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vmx_ept(&mut Source::new(input)));
