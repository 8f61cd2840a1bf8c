//! Linux kernels, by both entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::loader::{LinuxEntry, LoadOptions, linux, standard_memory_map};

fuzz_target!(|image: &[u8]| {
    for linux_entry in [LinuxEntry::Real, LinuxEntry::Protected] {
        let options = LoadOptions {
            initrd: Some(&[1; 100]),
            command_line: "quiet",
            file_name: "kernel".to_owned(),
            linux_entry,
            memory_map: standard_memory_map(64),
            rsdp: None,
        };
        if let Ok(kernel) = linux::load(image, &options) {
            let mut places: Vec<(u64, u64)> = kernel.segments.iter().map(|s| (s.address, s.end())).collect();
            places.sort_unstable();
            assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:x?}");
        }
    }
});
