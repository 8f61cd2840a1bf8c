//! Our own configuration files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::config::ron;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Ok(config) = ron::parse(Path::new("machine.ron"), text) {
        let written = ron::dialect().to_string(&config).expect("what was read can be written");
        assert_eq!(ron::parse(Path::new("machine.ron"), &written), Ok(config));
    }
});
