//! `cargo xtask mutated-files`: the emulator on files with mistakes, of every kind that it reads. It may refuse them or run
//! them; it must not panic, and must end at its limit.

use crate::child::{self, Folder, emulator, end_within, signal, wait_for};
use emu_core::hash::StableHash;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use test_images::TestImage;

/// Guest seconds that each file gets.
const GUEST: &str = "0.02";
/// Host time that each file gets.
const LIMIT: Duration = Duration::from_secs(20);

/// Options.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of each kind
    #[arg(long, default_value_t = 2000)]
    count: u32,
    /// Seed of the mistakes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the kinds whose names contain this
    #[arg(long)]
    kind: Option<String>,
}

/// A kind of file.
struct Kind {
    name: &'static str,
    file: &'static str,
    /// A good one.
    seed: Vec<u8>,
    /// Text is changed by its words.
    text: bool,
    /// Makes the file of what was changed: checksums that are right.
    wrap: fn(Vec<u8>) -> Vec<u8>,
    /// The file itself says when it ends; then a signal has to.
    endless: bool,
    /// What comes before the file, and behind it.
    options: (Vec<String>, Vec<String>),
}

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    child::status("mutated-files", run(args))
}

fn run(args: &Args) -> std::io::Result<u32> {
    let folder = Folder::new("mutated")?;
    let kinds = kinds(&folder)?;
    let mut failures = 0;
    for kind in kinds.iter().filter(|kind| args.kind.as_ref().is_none_or(|wanted| kind.name.contains(wanted))) {
        let path = folder.file(kind.file, &(kind.wrap)(kind.seed.clone()))?;
        let mut command = emulator()?;
        command.args(&kind.options.0).arg(&path).args(&kind.options.1);
        if !matches!(outcome(&mut command, folder.as_ref(), kind.endless)?, Ok(status) if status != 2) {
            failures += 1;
            eprintln!("{}: the file without mistakes is refused", kind.name);
        }
        let mut random = SplitMix64::seed_from_u64(args.seed);
        let (mut taken, mut refused) = (0u32, 0u32);
        for number in 0..args.count {
            let data = (kind.wrap)(mutate(kind, &mut random));
            let path = folder.file(kind.file, &data)?;
            let mut command = emulator()?;
            command.args(&kind.options.0).arg(&path).args(&kind.options.1);
            match outcome(&mut command, folder.as_ref(), kind.endless)? {
                Ok(2) => refused += 1,
                Ok(_) => taken += 1,
                Err(what) => {
                    failures += 1;
                    let kept = std::env::temp_dir().join(format!("mutated-{number}-{}", kind.file));
                    std::fs::write(&kept, &data)?;
                    eprintln!("{}: {what}; the file is {}", kind.name, kept.display());
                }
            }
        }
        println!("{:14} {:6} files: {taken} taken, {refused} refused", kind.name, args.count);
    }
    Ok(failures)
}

/// The exit status, or what is wrong.
fn outcome(command: &mut Command, folder: &Path, endless: bool) -> std::io::Result<Result<i32, String>> {
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    let text = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.map(|errors| errors.take(1 << 20).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    if endless && wait_for(&mut child, LIMIT / 10)?.is_none() {
        signal(&child, "TERM")?;
    }
    let Some((status, _)) = end_within(&mut child, LIMIT)? else {
        return Ok(Err(format!("no end after {} seconds", LIMIT.as_secs())));
    };
    let text = text.join().unwrap_or_default();
    Ok(match status.code() {
        Some(code) if !text.contains("panicked at") => Ok(code),
        Some(_) => Err(text.lines().find(|line| line.contains("panicked at")).unwrap_or_default().to_owned()),
        None => Err("ended by a signal".to_owned()),
    })
}

/// Few mistakes, so that most files are still what they were.
fn mutate(kind: &Kind, random: &mut SplitMix64) -> Vec<u8> {
    let mut data = kind.seed.clone();
    let mut below = |bound: usize| (random.next_u64() >> 16) as usize % bound.max(1);
    for _ in 0..1 + below(3) {
        if data.is_empty() {
            break;
        }
        if kind.text {
            // Numbers, mostly: most files are still what they were.
            let letters = below(8) == 0;
            let place = |at: &usize| data[*at].is_ascii_digit() || letters && data[*at].is_ascii_alphabetic();
            let digits: Vec<usize> = (0..data.len()).filter(place).collect();
            let at = digits.get(below(digits.len())).copied().unwrap_or(0);
            let words: [&[u8]; 8] = [b"0", b"9", b"1", b"23", b"-1", b"4294967296", b"0xffffffffffffffff", b""];
            let word = words[below(words.len())];
            drop(data.splice(at..at + 1, word.iter().copied()));
            continue;
        }
        // The first bytes say most.
        let near = [64, 4096, data.len()][below(3)].min(data.len());
        let at = below(near);
        match below(5) {
            0 => data[at] ^= 1 << below(8),
            1 => data[at] = below(256) as u8,
            2 => {
                let value = [u32::MAX, 0, 0x8000_0000, 0x7FFF_FFFF][below(4)].to_le_bytes();
                data[at..].iter_mut().zip(value).for_each(|(place, byte)| *place = byte);
            }
            3 => {
                let end = (at + below(600)).min(data.len());
                drop(data.drain(at..end));
            }
            _ if below(4) == 0 => data.truncate(at.max(1)),
            _ => data[at] = data[at].wrapping_add(1),
        }
    }
    data
}

fn kinds(folder: &Folder) -> std::io::Result<Vec<Kind>> {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let image = |name| TestImage::find(name).map_or(Vec::new(), |image| image.bytes.to_vec());
    let common = ["--headless", "--max-time", GUEST, "--memory", "16", "--snapshot"];
    let disk = folder.file("disk.img", &image("demo"))?;
    let disk = disk.display().to_string();
    let start = |option: &str| strings(&[&common[..], &[option]].concat());
    let with_disk = vec![disk.clone()];
    // A snapshot and a recording of this machine.
    let script = "Script(timeout: 9, steps: [Wait(0.01), Snapshot(\"seed.snap\"), Key(\"a\"), PowerOff])";
    folder.file("seed.ron", script.as_bytes())?;
    let mut command = emulator()?;
    command.args(common).args(["--script", "seed.ron", "--record", "seed.rec"]).arg(&disk).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let made = |name: &str| std::fs::read(folder.path(name));
    let bochsrc = "cpu: model=corei5_arrandale_m520, count=1, ips=50000000\nmemory: guest=16, host=16\n\
        ata0-master: type=disk, path=\"disk.img\", mode=flat\nboot: disk\nclock: sync=none, time0=946684800\n\
        com1: enabled=1, mode=file, dev=com1.txt\nport_e9_hack: enabled=1\n";
    let ron = "Machine(cpus: 1, memory: 16, ips: 50000000, hda: Disk(image: \"disk.img\"), boot: [disk], serial: none)";
    let steps = "Script(timeout: 1, steps: [Wait(0.001), Key(\"a\"), KeyTimes(\"Down\", 2), Type(\"ab\"), \
        ScreenDump(\"s.txt\"), Screenshot(\"s.png\"), Reset, WaitStable(0.001, 1), PowerOff])";
    let dump = "guest.cr0 = 0x80000031\nguest.cr3 = 0x1000\nguest.cr4 = 0x2020\nguest.rip = 0x7c00\nguest.rflags = 2\n\
        ctrl.pin_based = 0x16\nctrl.proc_based = 0x401e172\nhost.cr0 = 0x80000031\nhost.cr4 = 0x2020\n";
    let config = strings(&["--headless", "--max-time", GUEST, "--snapshot", "-f"]);
    let kind = |name, file, seed: Vec<u8>, text, before, behind| Kind {
        name,
        file,
        seed,
        text,
        wrap: |data| data,
        endless: false,
        options: (before, behind),
    };
    let snapshot = made("seed.snap")?;
    let body = zstd::decode_all(snapshot.get(SNAPSHOT_HEADER..).unwrap_or_default())?;
    let none = Vec::new;
    Ok(vec![
        kind("bochsrc", "bochsrc", bochsrc.into(), true, config.clone(), none()),
        kind("ron", "machine.ron", ron.into(), true, config, none()),
        kind("script", "script.ron", steps.into(), true, start("--script"), with_disk.clone()),
        kind("vmcs dump", "dump", dump.into(), true, strings(&["vmcs-lint"]), none()),
        kind("elf", "kernel.elf", elf(), false, start("--kernel"), none()),
        kind("bzimage", "bzimage", bzimage(), false, start("--kernel"), none()),
        kind(
            "initrd",
            "initrd",
            vec![7; 5000],
            false,
            {
                let kernel = folder.file("kernel", &bzimage())?.display().to_string();
                [start("--kernel"), vec![kernel, "--initrd".to_owned()]].concat()
            },
            none(),
        ),
        kind("iso", "disc.iso", iso(&image("demo")), false, start("--cdrom"), none()),
        kind("floppy", "floppy.img", image("floppy"), false, start("--fda"), none()),
        kind("disk", "c.img", image("demo"), false, start("--hda"), none()),
        kind("rom", "bios.rom", firmware::BIOS.to_vec(), false, start("--rom"), with_disk.clone()),
        Kind { wrap: wrap_snapshot, ..kind("snapshot", "a.snap", body, false, start("--restore"), with_disk.clone()) },
        Kind {
            wrap: wrap_recording,
            endless: true,
            ..kind(
                "recording",
                "a.rec",
                made("seed.rec")?,
                false,
                strings(&["--headless", "--memory", "16", "--snapshot", "--replay"]),
                with_disk,
            )
        },
    ])
}

/// Magic number, version and hash of a snapshot's file.
const SNAPSHOT_HEADER: usize = 20;

fn wrap_snapshot(data: Vec<u8>) -> Vec<u8> {
    let body = zstd::encode_all(data.as_slice(), 1).unwrap_or_default();
    let version = rvmx_emu::snapshot_file::VERSION.to_le_bytes();
    [b"RVMXSNAP".as_slice(), &version, &StableHash::of(&body).to_le_bytes(), &body].concat()
}

/// Frames behind the mark of 8 bytes: length, checksum, contents.
fn wrap_recording(mut data: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = data.get(at..at + 4).and_then(|bytes| bytes.first_chunk()) {
        let end = at + 8 + u32::from_le_bytes(*length) as usize;
        let Some(contents) = data.get(at + 8..end) else { break };
        let sum = crc32fast::hash(contents).to_le_bytes();
        data[at + 4..at + 8].copy_from_slice(&sum);
        at = end;
    }
    data
}

/// A Multiboot kernel that halts.
fn elf() -> Vec<u8> {
    let mut file = vec![0; 0x1000 + 64];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x01\x01\x01");
    // Executable, 386, version 1; entry, program headers behind the header.
    put(16, &[2, 0, 3, 0, 1, 0, 0, 0]);
    for (at, value) in [(24, 0x10_000Cu32), (28, 52), (40, 0x0020_0034), (44, 1)] {
        put(at, &value.to_le_bytes());
    }
    for (n, value) in [1u32, 0x1000, 0x10_0000, 0x10_0000, 64, 128, 7, 0x1000].into_iter().enumerate() {
        put(52 + 4 * n, &value.to_le_bytes());
    }
    for (n, value) in [0x1BAD_B002u32, 0, 0u32.wrapping_sub(0x1BAD_B002)].into_iter().enumerate() {
        put(0x1000 + 4 * n, &value.to_le_bytes());
    }
    put(0x100C, &[0xFA, 0xF4]);
    file
}

/// A kernel by the Linux boot protocol 2.10 that halts.
fn bzimage() -> Vec<u8> {
    let mut file = vec![0xF4; 0x400 + 0x1000];
    file[..0x400].fill(0);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1F1, &[1]);
    put(0x1F4, &0x100u32.to_le_bytes());
    put(0x1FE, &[0x55, 0xAA, 0xEB, 0x66]);
    put(0x202, b"HdrS");
    put(0x206, &[0x0A, 0x02]);
    put(0x211, &[1]);
    put(0x214, &0x10_0000u32.to_le_bytes());
    put(0x22C, &0x7FFF_FFFFu32.to_le_bytes());
    put(0x230, &0x1000u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x238, &255u32.to_le_bytes());
    put(0x260, &0x1_0000u32.to_le_bytes());
    put(0x268, &[0xFA, 0xF4]);
    file
}

/// A disc with an El Torito catalogue that boots a disk's first sectors (El Torito Bootable CD-ROM Format 1.0).
fn iso(disk: &[u8]) -> Vec<u8> {
    let mut disc = vec![0; 24 * 2048];
    let mut put = |at: usize, bytes: &[u8]| disc[at..at + bytes.len()].copy_from_slice(bytes);
    put(16 * 2048, b"\x01CD001\x01");
    put(17 * 2048, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17 * 2048 + 0x47, &19u32.to_le_bytes());
    put(18 * 2048, b"\xFFCD001\x01");
    // The validation entry with its sum, and the default entry: no emulation, 4 sectors from block 20 on.
    put(19 * 2048, &[1]);
    put(19 * 2048 + 0x1C, &[0xAA, 0x55, 0x55, 0xAA]);
    put(19 * 2048 + 0x20, &[0x88, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0]);
    put(20 * 2048, disk.get(..2048).unwrap_or_default());
    disc
}
