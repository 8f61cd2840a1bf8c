//! Kernels in ELF: Multiboot 1 and 2 (raw images too), PVH, vmlinux.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::loader::{LinuxEntry, LoadOptions, load, standard_memory_map};

fuzz_target!(|image: &[u8]| {
    let options = LoadOptions {
        initrd: Some(b"NR_CPUS=1"),
        command_line: "a",
        file_name: "kernel".to_owned(),
        linux_entry: LinuxEntry::Real,
        memory_map: standard_memory_map(64),
        rsdp: None,
    };
    if let Ok(kernel) = load(image, &options) {
        let mut places: Vec<(u64, u64)> = kernel.segments.iter().map(|s| (s.address, s.end())).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:x?}");
        assert!(kernel.segments.iter().all(|s| s.bytes.len() as u64 <= s.size && s.end() <= 64 << 20));
    }
});
