//! A seeded slice of what the fuzz targets do: every parser of foreign input gets broken input and must answer with
//! a value or an error. `fuzz/` goes on from here.

mod common;

use common::images::{bzimage, elf, multiboot_elf, multiboot_raw, multiboot2_header, pvh_elf, vmlinux};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rvmx_emu::config::sources::Host;
use rvmx_emu::config::{bochsrc, ron};
use rvmx_emu::loader::{self, LinuxEntry, LoadOptions, standard_memory_map};
use rvmx_emu::{cli, script};
use std::path::Path;

struct Random(SplitMix64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }

    /// `seed` with a few bytes changed, parts cut out, doubled or replaced by `words`.
    fn mutate(&mut self, seed: &[u8], words: &[&[u8]]) -> Vec<u8> {
        let mut data = seed.to_vec();
        for _ in 0..1 + self.below(6) {
            let at = self.below(data.len() + 1);
            let end = (at + self.below(16)).min(data.len());
            match self.below(7) {
                0 if at < data.len() => data[at] = self.next() as u8,
                1 if at < data.len() => data[at] ^= 1 << self.below(8),
                2 => drop(data.drain(at..end)),
                3 => {
                    let word = self.pick(words).to_vec();
                    drop(data.splice(at..at, word));
                }
                4 => {
                    let word = self.pick(words).to_vec();
                    let end = (at + word.len()).min(data.len());
                    drop(data.splice(at..end, word));
                }
                5 => {
                    let copy = data[at..end].to_vec();
                    drop(data.splice(at..at, copy));
                }
                _ => data.truncate(at),
            }
        }
        data
    }
}

/// A host where some files are there and includes lead back to themselves.
struct Maze;

impl Host for Maze {
    fn variable(&self, name: &str) -> Option<String> {
        name.len().is_multiple_of(2).then(|| "/usr/$share".to_owned())
    }

    fn size(&self, path: &Path) -> Option<u64> {
        let length = path.as_os_str().len() as u64;
        (!length.is_multiple_of(3)).then_some(length * 512)
    }

    fn read_text(&self, _path: &Path) -> Result<String, String> {
        Ok("#include again\ncpu: count=1\n".to_owned())
    }

    fn now(&self) -> i64 {
        0
    }
}

const ROUNDS: usize = 4_000;

#[test]
fn broken_bochs_files_are_answered() {
    let seed = b"cpu: model=x, count=2:2:1, ips=50000000, quantum=16 # c\nmemory: guest=512, host=256\n\
        romimage: file=$BXSHARE/b, address=0xfffe0000\nfloppya: 1_44=a.img, status=inserted, write_protected=1\n\
        ata0-master: type=disk, path=\"c.img\", mode=flat, cylinders=2, heads=16, spt=63\nata1: enabled=0\n\
        ata1-slave: type=cdrom, path=x.iso, status=inserted\nboot: disk, floppy\nclock: sync=none, time0=utc\n\
        com1: enabled=1, mode=file, dev=x\n#include other\nport_e9_hack: enabled=1\npci: enabled=1, slot1=x\n";
    let words: [&[u8]; 10] =
        [b"0x", b"\\\n", b"\"", b"$", b"=", b",", b"18446744073709551616", b"#include ", b":", b"\n"];
    let mut random = Random::new(1);
    for _ in 0..ROUNDS {
        let data = random.mutate(seed, &words);
        let text = String::from_utf8_lossy(&data);
        if let Ok((config, notices)) = bochsrc::parse(&Maze, Path::new("dir/bs"), &text) {
            config.check("bs").unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(notices.iter().all(|n| !n.to_string().contains('\n')));
        }
    }
}

#[test]
fn broken_ron_configurations_and_scripts_are_answered() {
    let config = br#"Machine(cpus: 4, memory: 256, hda: Disk(image: "c.img", geometry: (cylinders: 2, heads: 16, sectors: 63)), hdc: Cdrom(), fda: (kind: F1440, image: "d"), boot: [floppy, disk], serial: file("x"), rom: (file: "b", address: 1))"#;
    let steps = br#"Script(timeout: 60, steps: [WaitText("a", 20), Key("LeftShift+a"), KeyTimes("Down", 18), Type("hello\n"), WaitStable(0.5, 9), Wait(1.5), ScreenDump("s"), WaitExit(-3, 4), PowerOff])"#;
    let words: [&[u8]; 10] = [b"(", b")", b"[", b"\"", b"1e999", b"-1", b"NaN", b"Some(", b"((((((((((", b"r#\""];
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let data = random.mutate(config, &words);
        drop(ron::load(&Maze, Path::new("m.ron"), &String::from_utf8_lossy(&data)));
        let data = random.mutate(steps, &words);
        drop(script::parse(Path::new("s.ron"), &String::from_utf8_lossy(&data)));
    }
}

#[test]
fn broken_kernels_are_answered() {
    let seeds = [
        multiboot_elf(false),
        multiboot_elf(true),
        multiboot_raw(0x10_0030, 0x10_1000),
        bzimage(),
        elf(true, 0x10_0000, &[(0x10_0000, 0x10_0000, &multiboot2_header(&[(1, 0, &[1, 6]), (6, 0, &[])]), 0x100)]),
        multiboot2_header(&[(2, 0, &[0x10_0000, 0x10_0000, 0, 0]), (3, 0, &[0x10_0000])]),
        pvh_elf(0x10_0000, &[0xf4; 16]),
        vmlinux(&[0xf4; 16]),
        elf(
            false,
            0x10_0000,
            &[(0x10_0000, 0x10_0000, &common::images::multiboot_header(7), 64), (0, 0x20_0000, b"x", 9)],
        ),
    ];
    let words: [&[u8]; 6] = [&[0xff; 4], &[0; 4], &[0xff; 8], &[0, 0, 0, 0x80], &[1, 0, 0, 0], b"HdrS"];
    let mut random = Random::new(3);
    let mut loaded = 0;
    for round in 0..ROUNDS * 4 {
        let image = random.mutate(&seeds[round % seeds.len()], &words);
        let initrd = [1; 100];
        let options = LoadOptions {
            initrd: (round % 2 == 0).then_some(&initrd[..]),
            command_line: "a b",
            file_name: "k".to_owned(),
            linux_entry: if round % 4 < 2 { LinuxEntry::Real } else { LinuxEntry::Protected },
            memory_map: standard_memory_map([1, 16, 4096][round % 3]),
            rsdp: None,
        };
        let Ok(kernel) = loader::load(&image, &options) else { continue };
        loaded += 1;
        let mut places: Vec<(u64, u64)> = kernel.segments.iter().map(|s| (s.address, s.end())).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:x?}");
        assert!(kernel.segments.iter().all(|s| s.bytes.len() as u64 <= s.size));
    }
    assert!(loaded > 100, "the mutations leave too few kernels that load: {loaded}");
}

#[test]
fn broken_command_lines_are_answered_in_one_line() {
    let words = [
        "--cpus",
        "4",
        "--memory=99999999999",
        "-f",
        "--log",
        "cpu=trace",
        "--boot",
        "disk,floppy",
        "--",
        "debug",
        "-c",
        "--seed-time",
        "2026-01-01",
        "--max-time",
        "nan",
        "--debug-exit",
        "0xf4",
        "--headless",
        "--display",
        "none",
        "vmcs-lint",
        "x",
        "--script",
        "",
        "é",
        "--append",
        "-x",
        "--gdb",
        "0",
    ];
    let mut random = Random::new(4);
    for _ in 0..ROUNDS {
        let mut line = vec!["rvmx-emu"];
        line.extend((0..random.below(6)).map(|_| words[random.below(words.len())]));
        if let Err(error) = cli::parse(&line) {
            assert!(!error.to_string().contains('\n'), "{line:?}: {error}");
        }
    }
}
