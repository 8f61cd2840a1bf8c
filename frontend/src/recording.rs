//! `--record` and `--replay`: everything that came to a machine from outside, with the cycle of each, and how the run
//! ended. A replay of the file is the same run, and checks that it is.
//!
//! The file is a mark with a version, then frames: length, CRC-32, and a postcard-encoded [`Frame`]. The first frame
//! describes the machine and where its run begins, the last one the end. Frames are written as they come, so that the
//! recording of a run that was killed has what happened until shortly before.

use crate::background::BackgroundFile;
use crate::config::{AtaDrive, Clock, FloppyKind, MachineConfig, Rom};
use crate::error::InputError;
use crate::files;
use crate::loader::{KernelFiles, LoadedKernel, standard_memory_map};
use crate::machine::Machine;
use crate::models;
use crate::pc;
use crate::pc::uefi::{self, Firmware};
use crate::run::End;
use emu_core::hash::StableHash;
use emu_devices::disk::{DiskImage, MediumId, OpenMode};
use emu_devices::input::{InjectError, InputEvent, MAX_BYTES, Stamped};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// The file's first bytes; the last is the version of its format.
const MARK: [u8; 8] = *b"RVMXREC\x03";
/// How often a recording says how far the run has come.
const REACHED: Duration = Duration::from_millis(500);
/// Most bytes of a frame: an event's most bytes, or a description.
const MAX_FRAME: usize = 4 * MAX_BYTES;

/// What makes a machine what it is: names as a user gives them, and values.
pub type Description = Vec<(String, String)>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Frame {
    Machine(Description),
    Event(Stamped),
    End(Final),
    /// Nothing that happened before this cycle is missing.
    Reached(u64),
}

/// How a run ended, and in what state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    /// Why, if the machine ended by itself; else something from outside ended the run.
    reason: Option<String>,
    cycle: u64,
    instructions: u64,
    /// `None` if there was no time to hash the whole memory ([`Machine::hash_at_end`]).
    state_hash: Option<u64>,
}

impl Final {
    /// The end of a run on `machine`; `end` is what it came to, if the machine did not just stop running.
    pub fn of(machine: &dyn Machine, end: Option<&End>) -> Self {
        let reason = end.and_then(|end| match end {
            End::PoweredOff => Some("the guest powered off".to_owned()),
            End::ExitStatus(status) => Some(format!("the guest ended the run with status {status}")),
            End::Halted | End::Died(_) => end.message(),
            _ => None,
        });
        let (cycle, instructions) = (machine.now(), machine.instructions());
        Self { reason, cycle, instructions, state_hash: machine.hash_at_end() }
    }

    /// Whether the machine ended by itself.
    fn by_itself(&self) -> bool {
        self.reason.is_some()
    }

    /// What differs from `recorded`, if anything does.
    pub fn difference(&self, recorded: &Self) -> Option<String> {
        let reason = |end: &Self| end.reason.clone().unwrap_or("nothing by itself".to_owned());
        let number = |name: &str, here: u64, there: u64| format!("{name} {here} here, {there} in the recording");
        // A machine that has ended by itself may have been looked at until somebody stopped the run.
        if recorded.by_itself() && reason(self) != reason(recorded) {
            return Some(format!("the end is {:?} here, {:?} in the recording", reason(self), reason(recorded)));
        }
        [("cycle", self.cycle, recorded.cycle), ("instruction count", self.instructions, recorded.instructions)]
            .into_iter()
            .find(|(_, here, there)| here != there)
            .map(|(name, here, there)| number(name, here, there))
            .or_else(|| {
                let (here, there) = self.state_hash.zip(recorded.state_hash)?;
                (here != there).then(|| format!("state {here:016x} here, {there:016x} in the recording"))
            })
    }
}

/// Describes the machine of `config`, whose run begins with power-on, or at the snapshot in a file of these bytes.
/// Reads images and ROMs through.
pub fn describe(
    config: &MachineConfig,
    kernel: Option<&KernelFiles>,
    start: Option<&[u8]>,
) -> Result<Description, InputError> {
    let MachineConfig { cpus, memory, cpu_model, ips, quantum, ignore_bad_msrs, reset_on_triple_fault, .. } = config;
    let MachineConfig { rom, vga_rom, option_roms, snapshot, seed_time, debug_exit, test_devices, .. } = config;
    // Drives, boot order and kernel are below; the rest of the configuration is the host's.
    let MachineConfig { hda: _, hdb: _, hdc: _, hdd: _, fda: _, fdb: _, boot: _, kernel: _, .. } = config;
    // A folder's disk is in its drive by now.
    let MachineConfig { uefi, fw_cfg, fat: _, run: _, .. } = config;
    let MachineConfig { vmx_unlocked, no_reboot, debug_exit_pass, .. } = config;
    let MachineConfig { clock, .. } = config;
    let MachineConfig { serial: _, debugcon: _, display: _, realtime: _, .. } = config;
    let mut all = Description::new();
    let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
    let default = || "the default".to_owned();
    add("program", env!("CARGO_PKG_VERSION").to_owned());
    add("--restore", start.map_or("not given".to_owned(), |file| format!("a snapshot of {}", fingerprint(file))));
    add("--cpus", cpus.to_string());
    add("--memory", format!("{memory} MiB"));
    // A file's name says nothing of what is in it.
    let model = models::is_file(cpu_model).then(|| models::find("--cpu-model", cpu_model)).transpose()?;
    add("--cpu-model", model.map_or(cpu_model.clone(), |model| format!("a model {:016x}", model.fingerprint())));
    if *clock != Clock::Ips {
        add("--clock", clock.to_string());
    }
    add("--ips", ips.to_string());
    add("--quantum", quantum.map_or_else(default, |quantum| quantum.to_string()));
    add("--seed-time", seed_time.map_or_else(default, |time| format!("{time} s after 1970")));
    add("ignore_bad_msrs", ignore_bad_msrs.to_string());
    add("vmx_unlocked", vmx_unlocked.to_string());
    add("--reset-on-triple-fault", reset_on_triple_fault.to_string());
    add("--debug-exit", debug_exit.map_or("none".to_owned(), |port| format!("{port:#x}")));
    add("--debug-exit-pass", debug_exit_pass.map_or("none".to_owned(), |value| format!("{value:#x}")));
    add("--no-reboot", no_reboot.to_string());
    add("--test-devices", test_devices.to_string());
    add("--snapshot", snapshot.to_string());
    add("--boot", format!("{:?}", config.boot_order()).to_lowercase());
    for (name, rom, own) in [("--rom", rom, firmware::BIOS), ("--vga-rom", vga_rom, firmware::VGABIOS)] {
        let value = match rom {
            Some(rom) => describe_rom(rom)?,
            None => format!("the built-in one {:016x}", StableHash::of(own)),
        };
        add(name, value);
    }
    let value = match uefi {
        Some(uefi) => {
            let Firmware { code, variables } = uefi::load(uefi)?;
            format!("{:016x} with the variables {:016x}", StableHash::of(&code), StableHash::of(&variables))
        }
        None => "none".to_owned(),
    };
    add("--uefi", value);
    for item in fw_cfg {
        let data = pc::fw_cfg_data(item)?;
        add("--fw-cfg", format!("{} {}", item.name, fingerprint(&data)));
    }
    for (n, rom) in option_roms.iter().enumerate() {
        add(&format!("option_roms {n}"), describe_rom(rom)?);
    }
    for (drive, name) in config.ata().into_iter().zip(["hda", "hdb", "hdc", "hdd"]) {
        let value = match drive {
            None => "no drive".to_owned(),
            Some(AtaDrive::Disk { image: path, geometry }) => {
                let shape = geometry.map(|g| format!(", {}/{}/{} sectors", g.cylinders, g.heads, g.sectors));
                format!("disk, {}{}", image(path)?, shape.unwrap_or_default())
            }
            Some(AtaDrive::Cdrom { image: None }) => "empty CD-ROM drive".to_owned(),
            Some(AtaDrive::Cdrom { image: Some(path) }) => format!("CD-ROM, {}", image(path)?),
        };
        add(name, value);
    }
    for (floppy, name) in config.floppies().into_iter().zip(["fda", "fdb"]) {
        let value = match floppy {
            None => "no drive".to_owned(),
            Some(floppy) => {
                let drive =
                    floppy.kind.map_or("drive of its size".to_owned(), |kind| format!("{} drive", name_of(kind)));
                let medium = floppy.image.as_deref().map_or(Ok("empty".to_owned()), image)?;
                format!("{drive}, {medium}{}", if floppy.write_protected { ", write-protected" } else { "" })
            }
        };
        add(name, value);
    }
    let kernel = match kernel {
        None => "none".to_owned(),
        Some(files) => {
            let loaded = files.load(standard_memory_map(config.memory), None);
            let loaded = loaded.map_err(|error| InputError::new(&files.file_name, error.to_string()))?;
            format!("{:016x}", hash_kernel(&loaded))
        }
    };
    add("--kernel", kernel);
    Ok(all)
}

fn fingerprint(bytes: &[u8]) -> String {
    format!("{} bytes, fingerprint {:016x}", bytes.len(), StableHash::of(bytes))
}

fn describe_rom(rom: &Rom) -> Result<String, InputError> {
    let bytes = pc::read_rom(rom)?;
    let place = rom.address.map(|address| format!(" at {address:#x}"));
    Ok(format!("{}{}", fingerprint(&bytes), place.unwrap_or_default()))
}

/// A drive's kind as configuration files have it.
fn name_of(kind: FloppyKind) -> &'static str {
    FloppyKind::ALL.iter().find(|(other, ..)| *other == kind).map_or("", |(_, name, _)| name)
}

fn image(path: &Path) -> Result<String, InputError> {
    let problem = |error: String| InputError::new("drive", error);
    let image = DiskImage::open(path, OpenMode::ReadOnly).map_err(|error| problem(error.to_string()))?;
    Ok(image.id().map_err(|error| problem(error.to_string()))?.to_string())
}

fn hash_kernel(kernel: &LoadedKernel) -> u64 {
    let mut hash = StableHash::new();
    hash.bytes(format!("{:?}", kernel.entry).as_bytes());
    for segment in &kernel.segments {
        hash.number(segment.address);
        hash.number(segment.end());
        hash.bytes(&segment.bytes);
    }
    hash.get()
}

/// A recording that is being made.
#[derive(Debug)]
pub struct Recorder {
    file: BackgroundFile,
    /// When it last said how far the run has come.
    told: Instant,
}

impl Recorder {
    /// Begins a recording of the machine described.
    pub fn create(path: &Path, machine: Description) -> Result<Self, InputError> {
        let mut recorder = Self { file: BackgroundFile::create(path, "recording")?, told: Instant::now() };
        recorder.file.write(&MARK);
        recorder.write(&Frame::Machine(machine))?;
        recorder.file.pass_on();
        Ok(recorder)
    }

    /// Adds the events that have come until cycle `now`, and lets the host have them.
    pub fn events(&mut self, events: Vec<Stamped>, now: u64) -> Result<(), InputError> {
        events.into_iter().try_for_each(|event| self.write(&Frame::Event(event)))?;
        if self.told.elapsed() >= REACHED {
            self.told = Instant::now();
            self.write(&Frame::Reached(now))?;
        }
        self.file.pass_on();
        self.file.check()
    }

    /// Ends the recording.
    pub fn finish(mut self, end: Final) -> Result<(), InputError> {
        self.write(&Frame::End(end))?;
        self.file.finish()
    }

    fn write(&mut self, frame: &Frame) -> Result<(), InputError> {
        let bytes = postcard::to_allocvec(frame)
            .map_err(|error| InputError::new("--record", format!("the recording cannot be encoded: {error}")))?;
        let head = [(bytes.len() as u32).to_le_bytes(), crc32fast::hash(&bytes).to_le_bytes()].concat();
        self.file.write(&head);
        self.file.write(&bytes);
        self.file.check()
    }
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    machine: Description,
    events: Vec<Stamped>,
    /// The cycle up to which it is known to be whole.
    reached: u64,
    end: Option<Final>,
}

impl Recording {
    /// Reads a recording.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let file = files::open(path).map_err(|error| InputError::io(path, "read the recording", &error))?;
        Self::parse(&mut BufReader::new(file)).map_err(|problem| InputError::file(path, problem).remedy("record again"))
    }

    /// Parses a recording; what is wrong with it.
    pub fn parse(file: &mut dyn Read) -> Result<Self, String> {
        let mut mark = [0; MARK.len()];
        file.read_exact(&mut mark).map_err(|_| "it is no recording".to_owned())?;
        if mark[..7] != MARK[..7] {
            return Err("it is no recording".to_owned());
        }
        if mark != MARK {
            return Err(format!("it is a recording of format {}, and this version reads format {}", mark[7], MARK[7]));
        }
        let machine = match frame(file)? {
            Some(Frame::Machine(machine)) => machine,
            Some(_) => return Err(damaged("it does not begin with a machine")),
            None => return Err("the run that made it was cut off before it began".to_owned()),
        };
        let (mut events, mut reached) = (Vec::<Stamped>::new(), 0);
        let end = loop {
            match frame(file)? {
                Some(Frame::Machine(_)) => return Err(damaged("it has two machines")),
                Some(Frame::Event(event)) => {
                    reached = reached.max(event.at);
                    events.push(event);
                }
                Some(Frame::Reached(cycle)) => reached = reached.max(cycle),
                Some(Frame::End(end)) => break Some(end),
                None => break None,
            }
        };
        if end.is_some() && file.read(&mut [0]).map_err(|error| error.to_string())? != 0 {
            return Err(damaged("something follows its end"));
        }
        // As the machine keeps them.
        events.sort_by_key(|event| event.at);
        Ok(Self { machine, events, reached, end })
    }

    /// Refuses a machine other than the recorded one.
    pub fn check(&self, path: &Path, here: &Description) -> Result<(), InputError> {
        let value =
            |all: &Description, name: &str| all.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let names = self.machine.iter().chain(here).map(|(name, _)| name);
        for name in names {
            let (there, here) = (value(&self.machine, name), value(here, name));
            if there != here {
                let text = |value: Option<String>| value.unwrap_or("not given".to_owned());
                let problem =
                    format!("the recorded machine differs: {name} was {}, and is {}", text(there), text(here));
                return Err(
                    InputError::file(path, problem).remedy("replay it with the image and options of the recording")
                );
            }
        }
        Ok(())
    }

    /// How the recorded run ended; `None` if it was killed, and the recording goes to [`Recording::reached`] alone.
    pub fn end(&self) -> Option<&Final> {
        self.end.as_ref()
    }

    /// The cycle up to which the recording is known to be whole.
    pub fn reached(&self) -> u64 {
        self.end.as_ref().map_or(self.reached, |end| end.cycle)
    }

    /// The events, in their order.
    pub fn events(&self) -> &[Stamped] {
        &self.events
    }

    /// The events, to be brought to a machine.
    pub fn replay(&self) -> Replay {
        let by_itself = self.end.as_ref().is_some_and(Final::by_itself);
        Replay { events: self.events.clone().into(), fed: VecDeque::new(), last: self.reached(), by_itself }
    }
}

fn damaged(what: &str) -> String {
    format!("the recording is damaged: {what}")
}

/// The next frame; `None` where the file ends without one that is whole.
fn frame(file: &mut dyn Read) -> Result<Option<Frame>, String> {
    let mut whole = |bytes: &mut [u8]| match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(format!("cannot read the recording: {error}")),
    };
    let mut head = [0; 8];
    if !whole(&mut head)? {
        return Ok(None);
    }
    let [a, b, c, d, crc @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(damaged("a frame is too long"));
    }
    let mut bytes = vec![0; length];
    if !whole(&mut bytes)? {
        return Ok(None);
    }
    if crc32fast::hash(&bytes) != u32::from_le_bytes(crc) {
        return Err(damaged("a checksum is wrong"));
    }
    postcard::from_bytes(&bytes).map(Some).map_err(|_| damaged("a frame has no meaning"))
}

/// A recording's events on their way to a machine.
#[derive(Debug)]
pub struct Replay {
    events: VecDeque<Stamped>,
    /// Cycles of those that the machine has.
    fed: VecDeque<u64>,
    /// The recording's last cycle, and whether the machine came to its end there by itself.
    last: u64,
    by_itself: bool,
}

impl Replay {
    /// The media that are put into drives.
    pub fn media(&self) -> impl Iterator<Item = MediumId> {
        self.events.iter().filter_map(|stamped| match stamped.event {
            InputEvent::Insert { medium, .. } => Some(medium),
            _ => None,
        })
    }

    /// Gives the machine as many events as it takes; the cycle up to which it may run before the next call.
    pub fn feed(&mut self, machine: &mut dyn Machine) -> Result<u64, InputError> {
        while let Some(next) = self.events.front() {
            match machine.inject(next.at, next.event.clone()) {
                Ok(at) if at == next.at => {
                    self.fed.push_back(at);
                    self.events.pop_front();
                }
                Err(InjectError::Full) => break,
                Ok(at) => {
                    let problem = format!("an event of cycle {} can only happen at cycle {at}", next.at);
                    return Err(InputError::new("--replay", problem));
                }
                Err(error) => return Err(InputError::new("--replay", error.to_string())),
            }
        }
        if self.events.is_empty() {
            self.fed.clear();
            return Ok(u64::MAX);
        }
        let now = machine.now();
        while self.fed.front().is_some_and(|at| *at <= now) {
            self.fed.pop_front();
        }
        // Well before the last one, so that the next comes in time.
        Ok(self.fed.get(self.fed.len() / 2).copied().unwrap_or(u64::MAX).max(now + 1))
    }

    /// The cycle at which to stop, of a run that was stopped from outside; of one whose machine ended by itself a guest
    /// second of `hz` cycles later.
    pub fn last_cycle(&self, hz: u64) -> u64 {
        self.last.saturating_add(if self.by_itself { hz } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        let event = |at, byte| Stamped { at, event: InputEvent::Serial(vec![byte]) };
        let end = Final { reason: None, cycle: 900, instructions: 800, state_hash: Some(7) };
        let machine = vec![("--cpus".to_owned(), "1".to_owned()), ("hda".to_owned(), "no drive".to_owned())];
        Recording { machine, events: vec![event(5, 1), event(5, 2), event(300, 3)], reached: 300, end: Some(end) }
    }

    fn bytes(recording: &Recording) -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("rvmx-emu-{}-{:p}.rec", std::process::id(), recording));
        let mut recorder = Recorder::create(&path, recording.machine.clone()).unwrap();
        recorder.events(recording.events.clone(), 300).unwrap();
        recorder.finish(recording.end.clone().unwrap()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    }

    #[test]
    fn recording_written_and_read_is_the_same() {
        let recording = recording();
        assert_eq!(Recording::parse(&mut bytes(&recording).as_slice()), Ok(recording));
    }

    #[test]
    fn recording_with_any_byte_changed_is_an_error_or_has_no_end() {
        let good = bytes(&recording());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            // A length that says too much makes of the rest a frame that was cut off.
            let read = Recording::parse(&mut bad.as_slice());
            assert!(read.is_err() || read.is_ok_and(|recording| recording.end.is_none()), "byte {at}");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(Recording::parse(&mut long.as_slice()).unwrap_err().contains("follows"));
        let mut newer = good;
        newer[7] = 4;
        assert!(Recording::parse(&mut newer.as_slice()).unwrap_err().contains("format 4"));
    }

    #[test]
    fn recording_that_is_cut_off_has_what_came_before_and_no_end() {
        let whole = recording();
        let good = bytes(&whole);
        let (mut begun, mut most) = (false, 0);
        for at in 0..good.len() {
            match Recording::parse(&mut &good[..at]) {
                Err(error) => assert!(!begun && (error.contains("no recording") || error.contains("before it began"))),
                Ok(cut) => {
                    begun = true;
                    assert_eq!((cut.end(), &cut.machine), (None, &whole.machine), "cut off at {at}");
                    assert!(cut.events.len() >= most && whole.events.starts_with(&cut.events), "cut off at {at}");
                    most = cut.events.len();
                    assert_eq!(cut.replay().last_cycle(50), cut.events.last().map_or(0, |event| event.at));
                }
            }
        }
        assert_eq!(most, 3);
    }

    #[test]
    fn recording_of_another_machine_is_refused_by_the_first_difference() {
        let (recording, path) = (recording(), Path::new("a.rec"));
        let mut here = recording.machine.clone();
        assert_eq!(recording.check(path, &here), Ok(()));
        here[0].1 = "2".to_owned();
        let error = recording.check(path, &here).unwrap_err().to_string();
        assert!(error.starts_with("a.rec: the recorded machine differs: --cpus was 1, and is 2;"), "{error}");
    }

    #[test]
    fn end_that_differs_is_told_by_what_differs() {
        let end = recording().end.unwrap();
        assert_eq!(end.difference(&end), None);
        let other = Final { instructions: 801, ..end.clone() };
        assert_eq!(other.difference(&end).unwrap(), "instruction count 801 here, 800 in the recording");
        let unhashed = Final { state_hash: None, ..end.clone() };
        assert_eq!(unhashed.difference(&end), None);
        let other = Final { state_hash: Some(8), ..end.clone() };
        assert!(other.difference(&end).unwrap().starts_with("state 0000000000000008 here"));
        let off = Final { reason: Some("the guest powered off".to_owned()), ..end.clone() };
        assert!(end.difference(&off).unwrap().contains("powered off"));
    }
}
