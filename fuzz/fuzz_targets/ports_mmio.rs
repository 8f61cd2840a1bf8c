//! Random port and MMIO accesses to the whole board.
#![no_main]

use fuzz_cases::{Source, ports_mmio};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ports_mmio(&mut Source::new(input)));
