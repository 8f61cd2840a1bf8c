//! Disk, floppy and CD-ROM images of any size and contents.
#![no_main]

use fuzz_cases::{Source, disk_images};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| disk_images(&mut Source::new(input)));
