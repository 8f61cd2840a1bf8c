//! Random VMCS contents over a valid base.
#![no_main]

use fuzz_cases::{Source, vmx_entry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vmx_entry(&mut Source::new(input)));
