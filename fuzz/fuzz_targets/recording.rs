//! Recordings: the input as it is, and as the frames of a file whose checksums are right, which a machine then replays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::config::{MachineConfig, Stream};
use rvmx_emu::display::Headless;
use rvmx_emu::output::Sink;
use rvmx_emu::pc;
use rvmx_emu::recording::{Final, Recording};
use rvmx_emu::run::{Driver, Limits};

/// A file of these frames, each behind its length.
fn sealed(mut frames: &[u8]) -> Vec<u8> {
    let mut file = b"RVMXREC\x03".to_vec();
    while let [length, rest @ ..] = frames {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(crc32fast::hash(frame).to_le_bytes());
        file.extend(frame);
        frames = rest;
    }
    file
}

fuzz_target!(|input: &[u8]| {
    drop(Recording::parse(&mut &input[..]));
    let Ok(recording) = Recording::parse(&mut sealed(input).as_slice()) else { return };
    if let Some(end) = recording.end() {
        assert_eq!(end.difference(end), None);
    }
    let config = MachineConfig { memory: 1, cpus: 2, ..MachineConfig::default() };
    let mut machine = pc::build(&config, None).expect("the host has a mebibyte");
    let sink = |name| Sink::open(name, &Stream::None, false).expect("nothing is opened");
    let mut driver = Driver::new(&mut machine, Box::new(Headless), sink("serial"), sink("debug"), Limits::default(), false);
    if driver.set_replay(recording.replay()).is_ok() {
        driver.advance(3_000);
        drop(driver);
        drop(recording.end().map(|end| Final::of(&machine, None).difference(end)));
    }
});
