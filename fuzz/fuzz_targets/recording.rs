//! Recordings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::recording::Recording;

fuzz_target!(|input: &[u8]| {
    if let Ok(recording) = Recording::parse(&mut &input[..]) {
        assert_eq!(recording.end().difference(recording.end()), None);
    }
});
