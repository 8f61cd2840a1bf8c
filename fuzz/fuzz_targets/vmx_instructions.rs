//! VMX instructions with random operands.
#![no_main]

use fuzz_cases::{Source, vmx_instructions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vmx_instructions(&mut Source::new(input)));
