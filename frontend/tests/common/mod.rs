//! A machine for tests: it does what a list says, at the cycle that the list says.

#![allow(dead_code, missing_docs)]

pub mod folder;
pub mod images;

use emu_core::trace::Tracer;
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::{InjectError, InputEvent, Stamped};
use emu_devices::report::PcReport;
use emu_devices::vga::{Cell, Frame, TextScreen};
use rvmx_emu::background::BackgroundFile;
use rvmx_emu::config::Stream;
use rvmx_emu::display::Headless;
use rvmx_emu::display::status::Glance;
use rvmx_emu::error::InputError;
use rvmx_emu::machine::{Machine, RunResult, Statistics};
use rvmx_emu::output::Sink;
use rvmx_emu::run::{Driver, Limits};
use rvmx_emu::vmcs_dump::VmcsDumper;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

pub const HZ: u64 = 1_000_000;

/// What the fake guest does.
#[derive(Debug, Clone)]
pub enum Act {
    /// Shows this in the line.
    Show(usize, &'static str),
    Serial(&'static str),
    Debugcon(&'static str),
    Graphics,
    End(RunResult),
}

/// A key event as the guest got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLog {
    pub at: u64,
    pub name: String,
    pub pressed: bool,
}

#[derive(Default)]
pub struct FakeMachine {
    now: u64,
    acts: VecDeque<(u64, Act)>,
    lines: Vec<String>,
    inputs: VecDeque<Stamped>,
    graphics: bool,
    serial: Vec<u8>,
    debugcon: Vec<u8>,
    /// Acts that follow a key's release.
    pub on_key: Vec<(&'static str, Act)>,
    pub keys: Vec<KeyLog>,
    pub received: Vec<u8>,
    pub resets: u32,
    /// Motions and buttons of the mouse, with their cycles.
    pub mouse: Vec<(u64, [i32; 3], u8)>,
    /// What is at hand, by its path.
    pub shelf: Vec<PathBuf>,
    /// What is in drive A:.
    pub floppy: Option<MediumId>,
    pub flushes: u32,
    /// Runs do not move the clock.
    pub stuck: bool,
    over: Option<RunResult>,
}

impl FakeMachine {
    /// Acts with the millisecond at which each happens, in order.
    pub fn new(acts: &[(u64, Act)]) -> Self {
        let acts = acts.iter().map(|(ms, act)| (ms * HZ / 1000, act.clone())).collect();
        Self { acts, lines: vec![String::new(); 25], ..Self::default() }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Show(line, text) => self.lines[line] = text.to_owned(),
            Act::Serial(text) => self.serial.extend(text.bytes()),
            Act::Debugcon(text) => self.debugcon.extend(text.bytes()),
            Act::Graphics => self.graphics = true,
            Act::End(result) => self.over = Some(result),
        }
    }

    fn happen(&mut self, input: Stamped) {
        match input.event {
            InputEvent::Key { key, pressed } => {
                let name = key.name();
                self.keys.push(KeyLog { at: input.at, name: name.to_owned(), pressed });
                let answers = self.on_key.iter().filter(|(other, _)| *other == name && !pressed);
                let acts: Vec<Act> = answers.map(|(_, act)| act.clone()).collect();
                acts.into_iter().for_each(|act| self.act(act));
            }
            InputEvent::Serial(bytes) => self.received.extend(bytes),
            InputEvent::Reset => self.resets += 1,
            InputEvent::Mouse { dx, dy, dz, buttons } => self.mouse.push((input.at, [dx, dy, dz], buttons)),
            InputEvent::Insert { medium, .. } if medium.length == 0 => {}
            InputEvent::Insert { medium, .. } => self.floppy = Some(medium),
            InputEvent::Eject { .. } => self.floppy = None,
            other => panic!("no front end sends {other:?}"),
        }
    }
}

impl Machine for FakeMachine {
    fn run_some(&mut self, cycle: u64) -> RunResult {
        assert!(self.over.is_none(), "run after the end");
        if self.stuck {
            return RunResult::Limit;
        }
        loop {
            let next = self.acts.front().map_or(u64::MAX, |(at, _)| *at);
            let input = self.inputs.front().map_or(u64::MAX, |input| input.at);
            if next.min(input) > cycle {
                break;
            }
            if next <= input {
                self.acts.pop_front().into_iter().for_each(|(_, act)| self.act(act));
            } else {
                self.inputs.pop_front().into_iter().for_each(|input| self.happen(input));
            }
            if let Some(over) = &self.over {
                return over.clone();
            }
        }
        self.now = self.now.max(cycle);
        RunResult::Limit
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn hz(&self) -> u64 {
        HZ
    }

    fn instructions(&self) -> u64 {
        self.now * 2
    }

    fn processors(&self) -> u32 {
        2
    }

    fn text_screen(&self) -> Option<TextScreen> {
        if self.graphics {
            return None;
        }
        let row = |line: &String| -> Vec<Cell> {
            let padded = format!("{line:80}");
            padded.bytes().map(|code| Cell { code, attribute: 7 }).collect()
        };
        let cells = self.lines.iter().flat_map(row).collect();
        Some(TextScreen { columns: 80, rows: 25, cells, ..TextScreen::default() })
    }

    fn render(&mut self) -> Frame {
        Frame { width: 2, height: 2, pixels: vec![9; 4] }
    }

    fn inject(&mut self, at: u64, event: InputEvent) -> Result<u64, InjectError> {
        if let InputEvent::Insert { drive, .. } | InputEvent::Eject { drive } = event
            && drive != (DrivePlace::Floppy { drive: 0 })
        {
            return Err(InjectError::NoDrive(drive));
        }
        let at = at.max(self.now);
        let place = self.inputs.partition_point(|other| other.at <= at);
        self.inputs.insert(place, Stamped { at, event });
        Ok(at)
    }

    /// Empty files fit into no drive.
    fn add_medium(&mut self, image: &Path) -> Result<MediumId, InputError> {
        let size = std::fs::metadata(image).map_err(|error| InputError::io(image, "read the image", &error))?.len();
        let at = self.shelf.iter().position(|other| other == image).unwrap_or(self.shelf.len());
        self.shelf.resize(self.shelf.len().max(at + 1), image.to_owned());
        Ok(MediumId { length: size, fingerprint: at as u64 })
    }

    fn medium(&self, _drive: DrivePlace) -> Option<MediumId> {
        self.floppy
    }

    fn has_medium(&self, medium: MediumId) -> bool {
        (medium.fingerprint as usize) < self.shelf.len()
    }

    fn take_injected(&mut self) -> Vec<Stamped> {
        Vec::new()
    }

    fn serial_waiting(&self) -> usize {
        0
    }

    fn take_serial(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.serial)
    }

    fn take_debugcon(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.debugcon)
    }

    fn memory(&self) -> u64 {
        0
    }

    fn state_hash(&self) -> u64 {
        self.now
    }

    /// Register `rax` of processor n is n + 5.
    fn register(&self, processor: usize, name: &str) -> Option<u64> {
        (processor < 2 && name == "rax").then_some(processor as u64 + 5)
    }

    /// Each byte of the first 64 KiB is the low byte of its address.
    fn memory_byte(&self, address: u64) -> Option<u8> {
        (address < 0x1_0000).then_some(address as u8)
    }

    fn report(&self) -> PcReport {
        let screen = (!self.graphics).then(|| self.lines.clone());
        PcReport { cycle: self.now, instructions: self.instructions(), screen, ..PcReport::default() }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.now.to_le_bytes().to_vec())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let now = snapshot.try_into().map_err(|_| "it is no snapshot of this machine".to_owned())?;
        self.now = u64::from_le_bytes(now);
        self.over = None;
        Ok(())
    }

    fn glance(&self) -> Glance {
        Glance::default()
    }

    fn record_exits(&mut self) {}

    fn save_exits(&self, _path: &Path) -> Result<usize, String> {
        Err("this machine has no VMX".to_owned())
    }

    /// Three VM exits of CPUID, and a VM entry that failed.
    fn statistics(&self) -> Statistics {
        let count = |name: &str, count| std::iter::once((name.to_owned(), count)).collect();
        Statistics {
            vm_entries: 3,
            vm_exits: count("CPUID", 3),
            failed_entries: count("VMfailInvalid", 1),
            ..Statistics::default()
        }
    }

    fn trace(&mut self, _tracer: Tracer<BackgroundFile>) {}

    fn dump_vmcs(&mut self, _dumper: VmcsDumper) {}

    fn flush(&mut self) -> Result<(), InputError> {
        self.flushes += 1;
        Ok(())
    }
}

/// A headless driver whose streams go nowhere but to the script.
pub fn driver(machine: &mut FakeMachine, limits: Limits) -> Driver<'_> {
    let sink = |name| Sink::open(name, &Stream::None, true).expect("nothing is opened");
    Driver::new(machine, Box::new(Headless), sink("serial"), sink("debug"), limits, false)
}
