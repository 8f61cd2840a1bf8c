//! Snapshots and recordings: mistakes in what is saved, behind checksums that are right.

use super::change::{self, Random};
use emu_core::hash::StableHash;
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::{InputEvent, Register, RegisterWrite, Stamped};
use emu_devices::keyboard::Key;

/// Magic number, version and hash of a snapshot's file.
const SNAPSHOT_HEADER: usize = 20;
/// The mark of a recording's file.
const RECORDING_HEADER: usize = 8;
/// What a frame of a recording is, by its first byte.
const EVENT: u8 = 1;

/// A snapshot with mistakes in the machine's state, now and then in its configuration or memory.
pub fn snapshot(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = zstd::decode_all(seed.get(SNAPSHOT_HEADER..).unwrap_or_default()).unwrap_or_default();
    if random.once_in(32) {
        data = change::bytes(&data, random);
    } else {
        // Two parts behind their lengths, then pages behind their numbers.
        let first = part(&data, 0);
        let second = part(&data, first.end);
        let memory = second.end..data.len();
        let place = match random.below(32) {
            0 => first,
            1..5 => memory,
            5..10 => second.start..second.start + second.len().min(4096),
            _ => second,
        };
        for _ in 0..1 + random.below(3) {
            if let Some(byte) = data.get_mut(place.start + random.below(place.len())) {
                change::encoded(byte, random);
            }
        }
    }
    let body = zstd::encode_all(data.as_slice(), 1).unwrap_or_default();
    let version = rvmx_emu::snapshot_file::VERSION.to_le_bytes();
    [b"RVMXSNAP".as_slice(), &version, &StableHash::of(&body).to_le_bytes(), &body].concat()
}

/// The contents of the part whose length is at `at`.
fn part(data: &[u8], at: usize) -> std::ops::Range<usize> {
    let length = data.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let start = (at + 8).min(data.len());
    start..start.saturating_add(length as usize).min(data.len())
}

/// A recording with mistakes in its events, now and then in its other frames.
pub fn recording(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut frames = frames(seed);
    let (events, others): (Vec<usize>, Vec<usize>) =
        (0..frames.len()).partition(|&n| frames[n].first() == Some(&EVENT));
    for _ in 0..1 + random.below(4) {
        let Some(&n) = events.get(random.below(events.len())) else { break };
        match random.below(24) {
            0 => drop(others.get(1 + random.below(others.len())).map(|&other| raw(&mut frames[other], random))),
            1 => raw(&mut frames[n], random),
            2 => frames.insert(n, frames[n].clone()),
            3 => frames.swap(n, events[0]),
            _ => event(&mut frames[n], random),
        }
    }
    if random.once_in(16) {
        // The run was killed.
        frames.truncate(1 + random.below(frames.len()));
    }
    let mut file = seed.get(..RECORDING_HEADER).unwrap_or_default().to_vec();
    for frame in frames {
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(crc32fast::hash(&frame).to_le_bytes());
        file.extend(frame);
    }
    file
}

/// The contents of all frames: each is behind its length and checksum.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), file.get(RECORDING_HEADER..).unwrap_or_default());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let Some(frame) = behind.get(4..).and_then(|data| data.get(..u32::from_le_bytes(*length) as usize)) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = &behind[4 + frame.len()..];
    }
    frames
}

fn raw(frame: &mut [u8], random: &mut Random) {
    let at = random.below(frame.len());
    if let Some(byte) = frame.get_mut(at) {
        change::encoded(byte, random);
    }
}

/// Another time, or something else that happens.
fn event(frame: &mut Vec<u8>, random: &mut Random) {
    let Ok(mut stamped) = postcard::from_bytes::<Stamped>(frame.get(1..).unwrap_or_default()) else { return };
    match random.below(8) {
        0 => stamped.at = random.pick([0, 1, u64::MAX, 1 << 60, (1 << 60) - 1]),
        1..4 => stamped.at = stamped.at.wrapping_add(random.number() % 200_000).wrapping_sub(100_000),
        _ => stamped.event = happening(random),
    }
    if let Ok(encoded) = postcard::to_allocvec(&stamped) {
        frame.truncate(1);
        frame.extend(encoded);
    }
}

fn happening(random: &mut Random) -> InputEvent {
    let drive = match random.below(3) {
        0 => DrivePlace::Floppy { drive: random.pick([0, 1, 2, 255]) },
        _ => DrivePlace::Ata { channel: random.pick([0, 1, 2, 255]), drive: random.pick([0, 1, 2, 255]) },
    };
    let extreme = |random: &mut Random| random.pick([0, 1, -1, i32::MAX, i32::MIN]);
    let bytes = |random: &mut Random| {
        let length = random.pick([0, 1, 16, 5000, 0x1_0000, 0x1_0001]);
        vec![random.number() as u8; length]
    };
    match random.below(12) {
        0 | 1 => {
            InputEvent::Key { key: random.pick([Key::A, Key::Pause, Key::PrintScreen, Key::LeftCtrl]), pressed: true }
        }
        2 => InputEvent::Key { key: random.pick([Key::B, Key::Delete, Key::CapsLock]), pressed: false },
        3 | 4 => InputEvent::Mouse {
            dx: extreme(random),
            dy: extreme(random),
            dz: extreme(random),
            buttons: random.number() as u8,
        },
        5 => InputEvent::Serial(bytes(random)),
        6 => InputEvent::Eject { drive },
        7 if random.once_in(4) => {
            let medium = MediumId { length: random.number() >> random.below(64), fingerprint: random.number() };
            InputEvent::Insert { drive, medium }
        }
        7 => InputEvent::Nmi,
        8 => InputEvent::Reset,
        9 => InputEvent::PowerButton,
        10 => {
            let address = random.number() >> random.below(64);
            InputEvent::WriteMemory { address, bytes: bytes(random) }
        }
        _ => InputEvent::WriteRegister(RegisterWrite {
            processor: random.pick([0, 0, 0, 1, u32::MAX]),
            register: random.pick([Register::General(3), Register::General(200), Register::Rip, Register::Rflags]),
            value: random.number() >> random.below(64),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rvmx_emu::recording::{Recorder, Recording};

    #[test]
    fn most_recordings_with_mistakes_are_read() {
        let path = std::env::temp_dir().join(format!("rvmx-emu-mutated-{}.rec", std::process::id()));
        let mut recorder = Recorder::create(&path, vec![("--cpus".to_owned(), "1".to_owned())]).unwrap();
        let events = (0..9).map(|at| Stamped { at, event: InputEvent::Nmi }).collect();
        recorder.events(events, 9).unwrap();
        drop(recorder);
        // What waits is written when the recorder goes, by a thread of its own.
        let whole = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            std::fs::read(&path).ok().filter(|data| frames(data).len() == 10)
        });
        std::fs::remove_file(&path).unwrap();
        let (seed, mut random) = (whole.unwrap(), Random::new(1));
        let good = (0..300).map(|_| recording(&seed, &mut random)).filter(|data| *data != seed);
        let read: Vec<bool> = good.map(|data| Recording::parse(&mut data.as_slice()).is_ok()).collect();
        let taken = read.iter().filter(|taken| **taken).count();
        assert!(read.len() > 250 && taken > 150 && taken < read.len(), "{taken} of {}", read.len());
    }
}
