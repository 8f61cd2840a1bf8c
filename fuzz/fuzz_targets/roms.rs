//! BIOS, VGA BIOS and option ROMs of any size and contents.
#![no_main]

use fuzz_cases::{Source, roms};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| roms(&mut Source::new(input)));
