//! The main loop on a machine that does as it is told.

mod common;

use common::{Act, FakeMachine, HZ, driver};
use rvmx_emu::cli::{RunConfig, Settings};
use rvmx_emu::config::{DisplayKind, MachineConfig, Stream};
use rvmx_emu::machine::RunResult;
use rvmx_emu::run::{End, Limits};
use rvmx_emu::session::{Input, run_machine};

fn end_of(result: RunResult) -> End {
    let mut machine = FakeMachine::new(&[(100, Act::End(result))]);
    driver(&mut machine, Limits::default()).run_to_end()
}

#[test]
fn run_ends_as_the_guest_ends_it_with_the_contracts_status() {
    for (result, end, status) in [
        (RunResult::PoweredOff, End::PoweredOff, 0),
        (RunResult::ExitStatus(33), End::ExitStatus(33), 33),
        (RunResult::Halted, End::Halted, 3),
        (RunResult::Died("x".to_owned()), End::Died("x".to_owned()), 3),
    ] {
        let ended = end_of(result);
        assert_eq!((ended.status(), ended), (status, end));
    }
}

#[test]
fn run_ends_at_its_guest_time_with_status_4() {
    let mut machine = FakeMachine::new(&[]);
    let mut driver = driver(&mut machine, Limits { seconds: Some(0.25), ..Limits::default() });
    let end = driver.run_to_end();
    assert_eq!(driver.machine.now(), HZ / 4);
    assert_eq!((end.status(), end.message().unwrap().contains("--max-time")), (4, true));
}

#[test]
fn run_ends_within_a_turn_of_its_instruction_limit() {
    let mut machine = FakeMachine::new(&[]);
    let mut driver = driver(&mut machine, Limits { instructions: Some(100_001), ..Limits::default() });
    assert_eq!(driver.run_to_end().status(), 4);
    let executed = driver.machine.instructions();
    assert!((100_001..=100_003).contains(&executed), "{executed}");
}

#[test]
fn machine_that_does_not_advance_ends_the_run_instead_of_hanging() {
    let mut machine = FakeMachine::new(&[]);
    machine.stuck = true;
    let end = driver(&mut machine, Limits::default()).run_to_end();
    assert!(matches!(&end, End::Died(reason) if reason.contains("does not advance")), "{end:?}");
}

#[test]
fn session_writes_streams_dump_and_picture_and_flushes_the_disks() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-run-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let settings = Settings {
        machine: MachineConfig {
            display: Some(DisplayKind::None),
            serial: Stream::File(path("serial")),
            debugcon: Some(Stream::File(path("debugcon"))),
            ..MachineConfig::default()
        },
        run: RunConfig {
            screen_dump: Some(path("screen.txt")),
            screenshot: Some(path("screen.png")),
            ..RunConfig::default()
        },
    };
    let acts = [
        (1, Act::Serial("se")),
        (2, Act::Debugcon("de")),
        (3, Act::Show(0, "last words")),
        (50, Act::Serial("rial")),
        (50, Act::End(RunResult::PoweredOff)),
    ];
    let mut machine = FakeMachine::new(&acts);
    assert_eq!(run_machine(&settings, None, Input::Free, &mut machine), Ok(0));
    assert_eq!(machine.flushes, 1);
    assert_eq!(std::fs::read_to_string(path("serial")).unwrap(), "serial");
    assert_eq!(std::fs::read_to_string(path("debugcon")).unwrap(), "de");
    assert!(std::fs::read_to_string(path("screen.txt")).unwrap().starts_with("last words\n"));
    assert!(std::fs::read(path("screen.png")).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_dir_all(&folder).unwrap();
}
