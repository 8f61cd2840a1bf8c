//! Snapshots with bytes changed, cut out or put in, as a file with the right checksum could hold them.

use crate::Source;
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use emu_devices::snapshot::Snapshot;
use std::sync::OnceLock;

/// A machine that has a drive, and on it an image that boots a guest under VMX.
fn machine() -> Pc {
    let image = test_images::TestImage::find("vmxexits").expect("there is such an image");
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec()).expect("it is not empty");
    Pc::builder().memory(8 << 20).processors(2).hard_disk(disk).build().expect("the host has memory")
}

/// A snapshot of it before, and some while guests run.
fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let mut pc = machine();
        let cycles = [300_000, 20_000_000, 30_000_000, 40_000_000];
        cycles
            .map(|cycle| {
                pc.run_until(cycle);
                let mut bytes = Vec::new();
                let snapshot = pc.snapshot().expect("a snapshot can be taken");
                snapshot.write(&mut bytes).expect("memory takes it");
                bytes
            })
            .into()
    })
}

/// Restores a damaged snapshot and lets it run, if it is taken; the machine must stay whole if it is not.
pub fn snapshots(source: &mut Source) {
    let bases = bases();
    let mut bytes = bases[source.below(bases.len() as u64) as usize].clone();
    // Behind the state lies memory, which may hold anything.
    let state = bytes.len().min(50_000) as u64;
    for _ in 0..=source.below(6) {
        let at = source.below(state.min(bytes.len() as u64)) as usize;
        let end = (at + source.below(12) as usize).min(bytes.len());
        match source.below(8) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => {
                let more = source.bytes(end - at);
                drop(bytes.splice(at..at, more));
            }
            3 => bytes[at..end].fill(0xFF),
            4 => bytes[at..end].fill(0),
            5 => bytes[at..end].rotate_left((end - at).min(1)),
            _ if at < end => bytes[at] = source.byte(),
            _ => {}
        }
    }
    let mut pc = machine();
    let Ok(snapshot) = Snapshot::read(&mut bytes.as_slice(), &pc.configuration()) else { return };
    let before = pc.state_hash();
    match pc.restore(&snapshot) {
        Ok(()) => drop(pc.run_until(pc.now().saturating_add(1 + source.below(3000)))),
        Err(_) => assert_eq!(pc.state_hash(), before, "a snapshot that is refused changes nothing"),
    }
}
