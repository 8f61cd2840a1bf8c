//! Guests that are hard on their host: each does one thing that costs much, and never ends.

/// A guest as a ROM of 4 KiB, for `--rom`.
#[derive(Debug, Clone, Copy)]
pub struct HostileGuest {
    /// The name of the files: `hostile/NAME.asm`, `hostile/NAME.rom`.
    pub name: &'static str,
    /// The ROM.
    pub rom: &'static [u8],
    /// Logical processors that it is for.
    pub cpus: u32,
    /// Further options of the command line.
    pub options: &'static [&'static str],
    /// One line: what it does.
    pub about: &'static str,
}

macro_rules! guest {
    ($name:literal, $cpus:literal, $options:expr, $about:literal) => {
        HostileGuest {
            name: $name,
            rom: include_bytes!(concat!("../hostile/", $name, ".rom")),
            cpus: $cpus,
            options: &$options,
            about: $about,
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub const HOSTILE: &[HostileGuest] = &[
    guest!("resets", 1, [], "resets by port CF9h, a few cycles apart"),
    guest!("triple_faults", 1, ["--reset-on-triple-fault"], "triple faults, a few cycles apart"),
    guest!("port_e9", 1, ["--ips", "100000000000"], "a byte to port E9h each cycle"),
    guest!("jumps", 1, [], "code at every byte of the memory"),
    guest!("opcodes", 1, [], "undefined instructions, each at a new place"),
    guest!("msrs", 1, [], "reads and writes of ever new MSRs"),
    guest!("vmcss", 1, [], "VMCSs loaded and never cleared"),
    guest!("spin", 1, [], "nothing, while somebody sends to COM1"),
    guest!("frame_buffer", 1, [], "VBE registers of all values"),
    guest!("memory_map", 1, [], "a memory map that changes all the time"),
    guest!("timers", 1, [], "timers as fast as they go"),
    guest!("levels", 1, [], "a level-triggered interrupt that comes again behind each EOI"),
    guest!("invlpg", 1, [], "INVLPG, and a load that needs the translation again"),
    guest!("fxsave", 1, [], "FXSAVE and FXRSTOR"),
    guest!("x87", 1, [], "transcendental instructions of the x87"),
    guest!("selfmod", 1, [], "an instruction that is written before each of its runs"),
    guest!("device_code", 1, [], "code in the linear frame buffer"),
    guest!("broadcasts", 254, [], "interprocessor interrupts to all processors"),
];

/// Writes all 2000 sectors of the first disk, again and again: every dword of sector n of round r is r << 16 | n. It flushes
/// after each, and tells it by four bytes to port E9h.
pub const WRITER: &[u8] = include_bytes!("../hostile/writer.rom");

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::path::Path;

    #[test]
    fn every_source_is_a_guest_and_every_guest_is_a_rom_of_4_kib() {
        let names: HashSet<&str> = HOSTILE.iter().map(|guest| guest.name).chain(["writer"]).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(path.extension().unwrap() == "inc" || names.contains(name), "{name}");
        }
        for guest in HOSTILE {
            assert!(guest.rom.len() == 4096 && guest.cpus >= 1 && !guest.about.is_empty(), "{}", guest.name);
        }
    }
}
