//! What somebody at a display does with a run, on a display that has a list of it.

mod common;

use common::folder::Folder;
use common::{Act, FakeMachine, HZ};
use emu_devices::keyboard::Key;
use rvmx_emu::config::{AtaDrive, BootDevice, DisplayKind, MachineConfig, Stream};
use rvmx_emu::display::status::{Running, Status};
use rvmx_emu::display::{Command, Display, Headless, Input};
use rvmx_emu::error::InputError;
use rvmx_emu::machine::{Machine, RunResult};
use rvmx_emu::output::Sink;
use rvmx_emu::pc::{self, PcMachine};
use rvmx_emu::recording::{Final, Recorder, Recording, describe};
use rvmx_emu::run::{Driver, End, Limits};
use rvmx_emu::serial_input::{Keys, SerialInput};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

/// What was shown: the guest's clock and the status.
type Shown = Rc<RefCell<Vec<(u64, Status)>>>;

/// A display at which somebody does one thing after the other, a frame apart, and leaves.
struct Person {
    doings: VecDeque<Input>,
    shown: Shown,
    frames: usize,
}

impl Display for Person {
    fn is_interactive(&self) -> bool {
        true
    }

    fn keeps_the_dead(&self) -> bool {
        true
    }

    fn poll(&mut self) -> Result<Vec<Input>, InputError> {
        if self.shown.borrow().len() == self.frames {
            return Ok(Vec::new());
        }
        self.frames = self.shown.borrow().len();
        Ok(vec![self.doings.pop_front().unwrap_or(Input::Quit)])
    }

    fn present(&mut self, machine: &mut dyn Machine, status: &Status) -> Result<(), InputError> {
        machine.render();
        self.shown.borrow_mut().push((machine.now(), status.clone()));
        Ok(())
    }

    fn close(&mut self) {}
}

fn driver<'m>(machine: &'m mut dyn Machine, doings: &[Input]) -> (Driver<'m>, Shown) {
    limited(machine, doings, Limits::default())
}

fn limited<'m>(machine: &'m mut dyn Machine, doings: &[Input], limits: Limits) -> (Driver<'m>, Shown) {
    let sink = |name| Sink::open(name, &Stream::None, false).expect("nothing is opened");
    let shown = Shown::default();
    let person = Person { doings: doings.iter().cloned().collect(), shown: Rc::clone(&shown), frames: 0 };
    (Driver::new(machine, Box::new(person), sink("serial"), sink("debug"), limits, true), shown)
}

fn commands(commands: &[Command]) -> Vec<Input> {
    commands.iter().cloned().map(Input::Command).collect()
}

#[test]
fn paused_guest_stands_still_and_runs_a_frame_at_a_time() {
    let mut machine = FakeMachine::new(&[]);
    let doings = commands(&[Command::Pause, Command::StepFrame, Command::StepFrame]);
    let (mut driver, shown) = driver(&mut machine, &doings);
    assert_eq!(driver.run_to_end(), End::Quit);
    let shown = shown.borrow();
    let paused: Vec<u64> = shown.iter().filter(|(_, s)| s.running == Running::Paused).map(|(now, _)| *now).collect();
    // A slow host may show a frame while it is under way.
    let (first, last) = (paused.first().expect("it is shown"), paused.last().expect("it is shown"));
    assert_eq!(last - first, 2 * (HZ / 60));
}

#[test]
fn dead_guest_is_shown_with_its_end_and_a_reset_lets_it_go_on() {
    let dies = RunResult::Died("triple fault at RIP 0x7c05".to_owned());
    let mut machine = FakeMachine::new(&[(20, Act::End(dies))]);
    let (mut driver, shown) = driver(&mut machine, &[]);
    let end = driver.run_to_end();
    assert_eq!((end.status(), &end), (3, &End::Died("triple fault at RIP 0x7c05".to_owned())));
    let (_, status) = shown.borrow().last().cloned().expect("it is shown");
    assert!(status.line().starts_with("DEAD: triple fault at RIP 0x7c05"), "{}", status.line());
}

#[test]
fn wall_time_counts_while_the_guest_stands_still() {
    let limits = Limits { wall_seconds: Some(0.2), ..Limits::default() };
    let patient = vec![Input::Mouse { dx: 0, dy: 0, dz: 0, buttons: 0 }; 10_000];
    let dies = RunResult::Died("triple fault".to_owned());
    for (acts, first, status) in [
        (vec![], Command::Pause, 4),
        (vec![(1, Act::End(RunResult::Halted))], Command::RecordExits, 4),
        // Of a dead guest its death is told.
        (vec![(1, Act::End(dies))], Command::RecordExits, 3),
    ] {
        let mut machine = FakeMachine::new(&acts);
        let doings = [commands(&[first]), patient.clone()].concat();
        let (mut driver, _) = limited(&mut machine, &doings, limits);
        assert_eq!(driver.run_to_end().status(), status);
    }
}

/// A display whose person stops the guest, and types Ctrl-A x on the terminal of COM1 once the guest stands still.
struct Typist {
    doings: Vec<Input>,
    keys: Keys,
}

impl Display for Typist {
    fn is_interactive(&self) -> bool {
        true
    }

    fn keeps_the_dead(&self) -> bool {
        true
    }

    fn poll(&mut self) -> Result<Vec<Input>, InputError> {
        Ok(std::mem::take(&mut self.doings))
    }

    fn present(&mut self, _machine: &mut dyn Machine, status: &Status) -> Result<(), InputError> {
        if status.running != Running::Yes {
            self.keys.press(b"\x01x");
        }
        Ok(())
    }

    fn close(&mut self) {}
}

#[test]
fn ctrl_a_x_at_com1_ends_a_run_that_stands_still() {
    let dies = RunResult::Died("triple fault".to_owned());
    for (acts, doings, expected) in [
        (vec![], commands(&[Command::Pause]), End::Quit),
        (vec![(1, Act::End(RunResult::Halted))], vec![], End::Quit),
        // Of a dead guest its death is told.
        (vec![(1, Act::End(dies))], vec![], End::Died("triple fault".to_owned())),
    ] {
        let mut machine = FakeMachine::new(&acts);
        let (keys, input) = SerialInput::typed();
        let sink = |name| Sink::open(name, &Stream::None, false).expect("nothing is opened");
        // Without it a run that does not end is a test that does not end.
        let limits = Limits { wall_seconds: Some(60.0), ..Limits::default() };
        let display = Box::new(Typist { doings, keys });
        let mut driver = Driver::new(&mut machine, display, sink("serial"), sink("debug"), limits, true);
        driver.set_serial_input(input);
        let began = Instant::now();
        assert_eq!(driver.run_to_end(), expected);
        assert!(began.elapsed().as_secs() < 60, "{expected:?}");
    }
}

#[test]
fn reset_lets_a_dead_guest_go_on() {
    let folder = Folder::new("displays-dead");
    let mut disk = vec![0; 1 << 20];
    // LIDT with a limit of 0; INT3.
    disk[..6].copy_from_slice(b"\x0F\x01\x1E\x80\x7D\xCC");
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    let (_, mut machine) = machine_with(folder.file("d.img", &disk), 1);
    // Keys that the machine is not there for any more, then the reset.
    let doings = [vec![Input::Key(Key::F5, true); 40], commands(&[Command::Reset])].concat();
    let (mut driver, shown) = driver(&mut machine, &[doings, vec![Input::Key(Key::F5, true); 40]].concat());
    assert_eq!(driver.run_to_end().status(), 3);
    let states: Vec<bool> = shown.borrow().iter().map(|(_, s)| matches!(s.running, Running::Ended(_))).collect();
    let changes = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 3, "it runs, is dead, runs, and is dead again");
}

#[test]
fn pasted_text_is_typed_key_by_key_and_what_has_no_key_is_told() {
    let text = "Dir /w\n\u{e9}".repeat(400);
    let mut machine = FakeMachine::new(&[]);
    // As fast as it can, for some frames.
    let rest = vec![Input::Mouse { dx: 0, dy: 0, dz: 0, buttons: 0 }; 5];
    let doings = [commands(&[Command::Paste(text), Command::Pace]), rest].concat();
    let (mut driver, shown) = driver(&mut machine, &doings);
    driver.advance(1000 * HZ);
    drop(driver);
    let told = shown.borrow().iter().any(|(_, s)| s.message.as_ref().is_some_and(|m| m.contains("400 characters")));
    assert!(told);
    let pressed: Vec<&str> = machine.keys.iter().filter(|key| key.pressed).map(|key| key.name.as_str()).collect();
    assert_eq!(pressed[..8], ["LeftShift", "d", "i", "r", "Space", "/", "w", "Enter"]);
}

#[test]
fn media_and_files_that_cannot_be_used_are_told_and_the_run_goes_on() {
    let mut machine = FakeMachine::new(&[]);
    let nowhere = |name: &str| format!("/nonexistent/{name}").into();
    let drive = emu_devices::disk::DrivePlace::Floppy { drive: 0 };
    let doings = commands(&[
        Command::Insert(drive, nowhere("a.img")),
        Command::Screenshot(nowhere("a.png")),
        Command::Restore(nowhere("a.snap")),
        Command::SaveExits(nowhere("a.svg")),
    ]);
    let (mut driver, shown) = driver(&mut machine, &doings);
    assert_eq!(driver.run_to_end(), End::Quit);
    let told: Vec<String> = shown.borrow().iter().filter_map(|(_, status)| status.message.clone()).collect();
    for expected in ["/nonexistent/a.img", "/nonexistent/a.png", "/nonexistent/a.snap", "no VMX"] {
        assert!(told.iter().any(|told| told.contains(expected)), "{expected}: {told:?}");
    }
}

fn real(image: &str, cpus: u32) -> (MachineConfig, PcMachine) {
    machine_with(format!("{}/../test-images/images/{image}", env!("CARGO_MANIFEST_DIR")).into(), cpus)
}

fn machine_with(image: std::path::PathBuf, cpus: u32) -> (MachineConfig, PcMachine) {
    let config = MachineConfig {
        cpus,
        hda: Some(AtaDrive::Disk { image, geometry: None }),
        boot: vec![BootDevice::Disk],
        snapshot: true,
        memory: 64,
        display: Some(DisplayKind::None),
        ..MachineConfig::default()
    };
    let machine = pc::build(&config, None).expect("the image is there");
    (config, machine)
}

/// Displays and their pace change nothing: the same input, with the same cycles, makes the same run without one.
#[test]
fn run_at_a_display_is_the_run_of_its_input_without_one() {
    let folder = Folder::new("displays-law");
    let path = folder.path("run.rec");
    let key = |key, pressed| Input::Key(key, pressed);
    let mouse = |dx| Input::Mouse { dx, dy: -3, dz: 1, buttons: 1 };
    let doings = [
        vec![key(Key::F2, true), key(Key::F2, false), mouse(5)],
        commands(&[Command::RecordExits, Command::Pause, Command::StepFrame, Command::Pause]),
        vec![key(Key::RightCtrl, true), mouse(-7), key(Key::RightCtrl, false)],
        commands(&[Command::Pace, Command::Nmi, Command::Paste("hello".to_owned())]),
        commands(&[Command::Screenshot(folder.path("a.png")), Command::Pace]),
        vec![mouse(0); 5],
    ]
    .concat();
    let (config, mut machine) = real("smp.img", 4);
    let recorder = Recorder::create(&path, describe(&config, None, None).expect("it can be described"));
    let (mut driver, shown) = driver(&mut machine, &doings);
    driver.set_recorder(recorder.expect("the folder is there"));
    let end = Some(driver.run_to_end());
    let end = driver.settle(end);
    driver.finish().expect("everything is written");
    let recorder = driver.take_recorder().expect("it was recorded");
    drop(driver);
    recorder.finish(Final::of(&machine, end.as_ref())).expect("everything is written");
    assert!(shown.borrow().len() > doings.len());

    let recording = Recording::read(&path).expect("it is whole");
    let (_, mut again) = real("smp.img", 4);
    let sink = |name| Sink::open(name, &Stream::None, false).expect("nothing is opened");
    let mut driver =
        Driver::new(&mut again, Box::new(Headless), sink("serial"), sink("debug"), Limits::default(), false);
    driver.set_replay(recording.replay()).expect("its media are at hand");
    let replayed = driver.run_to_end();
    drop(driver);
    let here = Final::of(&again, Some(&replayed));
    assert_eq!(here.difference(recording.end().expect("the run came to its end")), None);
}
