//! The kinds of files, with good ones of each.

use super::GUEST;
use super::change::{self, Random};
use super::files::{bzimage, elf, iso};
use super::{packets, saved};
use crate::child::{Folder, emulator};
use std::io;
use std::path::Path;
use std::process::Stdio;
use test_images::TestImage;

/// A kind of file.
pub struct Kind {
    pub name: &'static str,
    pub file: &'static str,
    /// Good ones.
    pub seeds: Vec<Vec<u8>>,
    /// Makes mistakes in one.
    pub change: fn(&[u8], &mut Random) -> Vec<u8>,
    /// The file itself says when it ends; a signal may have to.
    pub endless: bool,
    /// It is no file but what a GDB sends.
    pub packets: bool,
    /// What comes before the file, and behind it.
    pub options: (Vec<String>, Vec<String>),
}

const BOCHSRC: &str = "cpu: model=corei5_arrandale_m520, count=1, ips=50000000\nmemory: guest=16, host=16\n\
    ata0-master: type=disk, path=\"disk.img\", mode=flat\nboot: disk\nclock: sync=none, time0=946684800\n\
    com1: enabled=1, mode=file, dev=com1.txt\nport_e9_hack: enabled=1\n";
const RON: &str = "Machine(\ncpus: 1,\nmemory: 16,\nips: 50000000,\nseed_time: 946684800,\n\
    hda: Disk(image: \"disk.img\", geometry: (cylinders: 20, heads: 16, sectors: 63)),\n\
    boot: [disk],\nserial: none,\nquantum: 1000,\n)";
const STEPS: &str = "Script(timeout: 1, steps: [\nWait(0.001),\nKey(\"a\"),\nKeyTimes(\"Down\", 2),\nType(\"ab12\"),\n\
    ScreenDump(\"s.txt\"),\nScreenshot(\"s.png\"),\nReset,\nWait(0.0015),\nMouseMove(5, 9),\nSendSerial(\"x1\"),\n\
    Snapshot(\"s.snap\"),\nPowerOff])";

/// All of them; what they need beside them is in `folder`.
pub fn kinds(folder: &Folder) -> io::Result<Vec<Kind>> {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let image = |name| TestImage::find(name).map_or(Vec::new(), |image| image.bytes.to_vec());
    let common = ["--headless", "--max-time", GUEST, "--memory", "16", "--snapshot"];
    let start = |option: &str| strings(&[&common[..], &[option]].concat());
    let disk = vec![folder.file("disk.img", &image("demo"))?.display().to_string()];
    let kernel = folder.file("kernel", &bzimage())?.display().to_string();
    let config = strings(&["--headless", "--max-time", GUEST, "--snapshot", "-f"]);
    let replay = strings(&["--headless", "--memory", "16", "--snapshot", "--replay"]);
    let with_initrd = [start("--kernel"), vec![kernel, "--initrd".to_owned()]].concat();
    let (snapshot, recording) = saved_runs(folder, &disk)?;
    let none = Vec::new;
    let kind = |name, file, seeds, change, before, behind| Kind {
        name,
        file,
        seeds,
        change,
        endless: false,
        packets: false,
        options: (before, behind),
    };
    let text: fn(&[u8], &mut Random) -> Vec<u8> = change::text;
    let bytes: fn(&[u8], &mut Random) -> Vec<u8> = change::bytes;
    Ok(vec![
        kind("bochsrc", "bochsrc", vec![BOCHSRC.into()], text, config.clone(), none()),
        kind("ron", "machine.ron", vec![RON.into()], text, config, none()),
        kind("script", "steps.ron", vec![STEPS.into()], text, start("--script"), disk.clone()),
        kind("vmcs dump", "dump", dumps()?, text, strings(&["vmcs-lint"]), none()),
        kind("elf", "kernel.elf", vec![elf()], bytes, start("--kernel"), none()),
        kind("bzimage", "bzimage", vec![bzimage()], bytes, start("--kernel"), none()),
        kind("initrd", "initrd", vec![vec![7; 5000]], bytes, with_initrd, none()),
        kind("iso", "disc.iso", vec![iso(&image("demo"))], bytes, start("--cdrom"), none()),
        kind("floppy", "floppy.img", vec![image("floppy")], bytes, start("--fda"), none()),
        kind("disk", "c.img", vec![image("demo"), image("smp")], bytes, start("--hda"), none()),
        kind("rom", "bios.rom", vec![firmware::BIOS.to_vec()], bytes, start("--rom"), disk.clone()),
        kind("snapshot", "a.snap", vec![snapshot], saved::snapshot, start("--restore"), disk.clone()),
        Kind { endless: true, ..kind("recording", "a.rec", vec![recording], saved::recording, replay, disk.clone()) },
        Kind {
            packets: true,
            ..kind(
                "gdb",
                "packets",
                vec![b"+$g#67".to_vec()],
                packets::session,
                [start("--gdb"), strings(&["0"])].concat(),
                disk,
            )
        },
    ])
}

/// A snapshot, and the recording of a run with input of most kinds.
fn saved_runs(folder: &Folder, disk: &[String]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    // Keys and the mouse take their time in the guest.
    let steps = "Wait(0.005), Snapshot(\"seed.snap\"), KeyDown(\"a\"), SendSerial(\"abc\"), MouseMove(3, 4), KeyUp(\"a\"), \
        KeyDown(\"F2\"), MouseMove(-3, 100), KeyUp(\"F2\"), SendSerial(\"\\n\"), Wait(0.005)";
    folder.file("seed.ron", format!("Script(timeout: 9, steps: [{steps}])").as_bytes())?;
    let mut command = emulator()?;
    command
        .args(["--headless", "--memory", "16", "--snapshot", "--script", "seed.ron", "--record", "seed.rec"])
        .args(disk);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status()?.code() != Some(0) {
        return Err(io::Error::other("the run that is recorded has failed"));
    }
    Ok((std::fs::read(folder.path("seed.snap"))?, std::fs::read(folder.path("seed.rec"))?))
}

/// VMCS dumps in all formats.
fn dumps() -> io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/tests/dumps");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    // Those are refused.
    paths.retain(|path| path.file_stem().is_some_and(|stem| stem != "misspelled"));
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}
