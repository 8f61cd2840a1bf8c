//! Scripts on a machine that does as it is told: each step, its time-out, and how each ends.

mod common;

use common::{Act, FakeMachine, HZ, driver};
use rvmx_emu::machine::{Machine, RunResult};
use rvmx_emu::run::{End, Limits};
use rvmx_emu::script::execute::{Outcome, execute};
use rvmx_emu::script::parse;
use std::path::Path;

fn run_with(machine: &mut FakeMachine, limits: Limits, script: &str) -> Outcome {
    let script = parse(Path::new("test.ron"), script).unwrap_or_else(|e| panic!("{e}"));
    execute(&script, &mut driver(machine, limits))
}

fn run(acts: &[(u64, Act)], steps: &str) -> Outcome {
    run_with(&mut FakeMachine::new(acts), Limits::default(), &format!("Script(steps: [{steps}])"))
}

/// Number and reason of the failed step.
fn failure(outcome: &Outcome) -> (usize, &str) {
    match outcome {
        Outcome::Failed(failure) => (failure.number, &failure.reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wait_text_shown_in_time_passes() {
    let acts = [(500, Act::Show(3, "press a key"))];
    assert_eq!(run(&acts, "WaitText(\"press a\", 1)"), Outcome::Passed);
}

#[test]
fn wait_text_not_shown_fails_after_its_guest_seconds_with_place_step_and_reason() {
    let acts = [(10, Act::Show(0, "hello")), (1500, Act::Show(3, "press a key"))];
    let outcome = run(&acts, "Wait(0.1), WaitText(\"press\", 1)");
    assert_eq!(outcome.status(), 1);
    assert_eq!(failure(&outcome), (2, "not shown after 1 guest seconds"));
    let Outcome::Failed(failed) = outcome else { unreachable!() };
    let text = failed.to_string();
    assert_eq!(text, "test.ron:1: step 2 WaitText(\"press\", 1) at 1.100 s: not shown after 1 guest seconds");
}

#[test]
fn text_over_two_lines_is_found_with_a_line_feed() {
    let acts = [(0, Act::Show(0, "one")), (0, Act::Show(1, "two"))];
    assert_eq!(run(&acts, "WaitText(\"one\\ntwo\", 1)"), Outcome::Passed);
}

#[test]
fn expect_and_reject_look_once() {
    let acts = [(0, Act::Show(0, "MTF VM exit")), (900, Act::Show(1, "Failure"))];
    assert_eq!(run(&acts, "Wait(0.1), ExpectText(\"MTF\"), RejectText(\"Failure\")"), Outcome::Passed);
    assert_eq!(failure(&run(&acts, "Wait(0.1), ExpectText(\"Failure\")")), (2, "not shown"));
    assert_eq!(failure(&run(&acts, "Wait(1), RejectText(\"Failure\")")), (2, "shown"));
}

#[test]
fn lines_are_compared_whole() {
    let acts = [(0, Act::Show(0, "  abc  "))];
    assert_eq!(run(&acts, "WaitLine(\"  abc\", 1), ExpectLine(\"  abc \")"), Outcome::Passed);
    assert_eq!(failure(&run(&acts, "Wait(0.1), ExpectLine(\"abc\")")), (2, "no such line"));
}

#[test]
fn wait_no_text_passes_when_the_text_is_gone() {
    let acts = [(0, Act::Show(0, "busy")), (300, Act::Show(0, ""))];
    assert_eq!(run(&acts, "Wait(0.05), WaitNoText(\"busy\", 1)"), Outcome::Passed);
    assert_eq!(failure(&run(&acts[..1], "Wait(0.05), WaitNoText(\"busy\", 1)")).0, 2);
}

#[test]
fn wait_stable_passes_when_nothing_has_changed_for_long_enough() {
    let acts: Vec<_> = (0..20).map(|i| (i * 50, Act::Show(0, if i % 2 == 0 { "a" } else { "b" }))).collect();
    assert_eq!(run(&acts, "WaitStable(0.2, 5), ExpectText(\"b\")"), Outcome::Passed);
    let outcome = run(&acts, "WaitStable(0.2, 0.5)");
    assert_eq!(failure(&outcome), (1, "the screen still changes after 0.5 guest seconds"));
}

#[test]
fn key_is_pressed_held_for_guest_milliseconds_and_released() {
    let mut machine = FakeMachine::new(&[]);
    let outcome = run_with(&mut machine, Limits::default(), "Script(steps: [Key(\"F2\"), Key(\"LeftShift+a\")])");
    assert_eq!(outcome, Outcome::Passed);
    let keys: Vec<(&str, bool)> = machine.keys.iter().map(|k| (k.name.as_str(), k.pressed)).collect();
    let expected = [("F2", true), ("F2", false), ("LeftShift", true), ("a", true), ("a", false), ("LeftShift", false)];
    assert_eq!(keys, expected);
    let gaps: Vec<u64> = machine.keys.windows(2).map(|pair| (pair[1].at - pair[0].at) * 1000 / HZ).collect();
    assert_eq!(gaps, [30, 40, 5, 30, 5]);
}

#[test]
fn type_types_every_character() {
    let mut machine = FakeMachine::new(&[]);
    let script = "Script(steps: [Type(\"Hi!\\n\"), KeyTimes(\"Down\", 2), KeyDown(\"LeftCtrl\"), KeyUp(\"LeftCtrl\")])";
    assert_eq!(run_with(&mut machine, Limits::default(), script), Outcome::Passed);
    let pressed: Vec<&str> = machine.keys.iter().filter(|k| k.pressed).map(|k| k.name.as_str()).collect();
    assert_eq!(pressed, ["LeftShift", "h", "i", "LeftShift", "1", "Enter", "Down", "Down", "LeftCtrl"]);
    assert_eq!(machine.keys.len(), 18);
}

#[test]
fn key_and_its_answer_follow_each_other() {
    let mut machine = FakeMachine::new(&[]);
    machine.on_key = vec![("F2", Act::Show(5, "guest 1"))];
    let script = "Script(steps: [RejectText(\"guest 1\"), Key(\"F2\"), WaitText(\"guest 1\", 1)])";
    assert_eq!(run_with(&mut machine, Limits::default(), script), Outcome::Passed);
}

#[test]
fn streams_are_searched_from_the_last_find_on() {
    let acts = [(100, Act::Serial("login: ")), (150, Act::Debugcon("W1 ")), (400, Act::Serial("login: again"))];
    assert_eq!(
        run(&acts, "WaitSerial(\"login:\", 1), WaitSerial(\"login:\", 1), WaitDebugcon(\"W1 \", 1)"),
        Outcome::Passed
    );
    let outcome = run(&acts, "WaitSerial(\"again\", 1), WaitSerial(\"login:\", 1)");
    assert_eq!(failure(&outcome), (2, "COM1 has not sent it after 1 guest seconds; its last output: \"\""));
}

#[test]
fn send_serial_and_reset_reach_the_machine() {
    let mut machine = FakeMachine::new(&[]);
    run_with(&mut machine, Limits::default(), "Script(steps: [SendSerial(\"root\\n\"), Reset])");
    assert_eq!((machine.received.as_slice(), machine.resets), (&b"root\n"[..], 1));
}

#[test]
fn mouse_steps_move_it_with_the_buttons_that_are_held() {
    let mut machine = FakeMachine::new(&[]);
    let steps = "MouseMove(3, -4), ButtonDown(Left), MouseMove(1, 0), Click(Right), ButtonUp(Left), MouseWheel(2)";
    assert_eq!(run_with(&mut machine, Limits::default(), &format!("Script(steps: [{steps}])")), Outcome::Passed);
    let still = [0, 0, 0];
    let moves: Vec<_> = machine.mouse.iter().map(|(_, by, buttons)| (*by, *buttons)).collect();
    let expected = [([3, -4, 0], 0), (still, 1), ([1, 0, 0], 1), (still, 3), (still, 1), (still, 0), ([0, 0, 2], 0)];
    assert_eq!(moves, expected);
    let gaps: Vec<u64> = machine.mouse.windows(2).map(|pair| (pair[1].0 - pair[0].0) * 1000 / HZ).collect();
    assert_eq!(gaps, [5, 30, 5, 30, 30, 30]);
}

#[test]
fn media_are_changed_or_the_step_says_why_not() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-media-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (disk, none) = (folder.join("b.img"), folder.join("empty.img"));
    std::fs::write(&disk, [0; 512]).unwrap();
    std::fs::write(&none, []).unwrap();
    let mut machine = FakeMachine::new(&[]);
    let steps = format!("Insert(\"fda\", {disk:?}), Eject(\"fda\"), Wait(0.1), Insert(\"fda\", {disk:?})");
    assert_eq!(run_with(&mut machine, Limits::default(), &format!("Script(steps: [{steps}])")), Outcome::Passed);
    assert_eq!((machine.shelf.len(), machine.floppy.map(|medium| medium.length)), (1, Some(512)));
    let outcome = run(&[], &format!("Insert(\"fdb\", {disk:?})"));
    assert_eq!(failure(&outcome), (1, "there is no drive for removable media at floppy drive B:"));
    assert!(failure(&run(&[], &format!("Insert(\"fda\", {none:?})"))).1.contains("does not take it"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(run(&[], &format!("Insert(\"fda\", {disk:?})")).status(), 2);
}

#[test]
fn screen_dump_and_screenshot_are_written() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-script-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (dump, shot) = (folder.join("s.txt"), folder.join("s.png"));
    let steps = format!("Wait(0.1), ScreenDump({dump:?}), Screenshot({shot:?})");
    assert_eq!(run(&[(0, Act::Show(1, "here"))], &steps), Outcome::Passed);
    let text = std::fs::read_to_string(&dump).unwrap();
    assert_eq!((text.lines().count(), text.lines().nth(1)), (25, Some("here")));
    assert!(std::fs::read(&shot).unwrap().starts_with(b"\x89PNG"));
    std::fs::remove_dir_all(&folder).unwrap();
    let outcome = run(&[], "ScreenDump(\"/nonexistent/x.txt\")");
    assert_eq!(outcome.status(), 2, "{outcome:?}");
}

#[test]
fn restored_machine_goes_on_from_the_snapshot_and_the_script_with_its_own_time() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-snapshots-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("boot.snap");
    let mut machine = FakeMachine::new(&[(2500, Act::End(RunResult::PoweredOff))]);
    let steps = format!("Wait(1), Snapshot({path:?}), WaitPowerOff(2), Restore({path:?}), Wait(1.5)");
    let outcome = run_with(&mut machine, Limits::default(), &format!("Script(timeout: 5, steps: [{steps}])"));
    assert_eq!((outcome, machine.now()), (Outcome::Passed, 5 * HZ / 2));
    // One second was left of four.
    let mut machine = FakeMachine::new(&[]);
    let limits = Limits { seconds: Some(4.0), ..Limits::default() };
    let outcome = run_with(&mut machine, limits, &format!("Script(steps: [Wait(3), Restore({path:?}), Wait(9)])"));
    assert_eq!((outcome.status(), machine.now()), (4, 2 * HZ));
    std::fs::write(&path, "no snapshot").unwrap();
    let outcome = run(&[], &format!("Restore({path:?})"));
    assert_eq!(failure(&outcome), (1, "it is no snapshot of this machine"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(run(&[], &format!("Restore({path:?})")).status(), 2);
    assert_eq!(run(&[], &format!("Snapshot({path:?})")).status(), 2);
}

#[test]
fn whole_script_has_its_own_timeout() {
    let mut machine = FakeMachine::new(&[]);
    let outcome =
        run_with(&mut machine, Limits::default(), "Script(timeout: 2, steps: [Wait(1.5), WaitText(\"x\", 20)])");
    assert_eq!(failure(&outcome), (2, "the script's 2 guest seconds are over"));
    let outcome = run_with(&mut FakeMachine::new(&[]), Limits::default(), "Script(timeout: 1, steps: [Wait(1.5)])");
    assert_eq!(failure(&outcome), (1, "the script's 1 guest seconds are over"));
}

#[test]
fn guest_that_powers_off_while_awaited_fails_the_step_unless_the_screen_has_it() {
    let acts = [(100, Act::Show(0, "bye")), (100, Act::End(RunResult::PoweredOff))];
    assert_eq!(run(&acts, "WaitText(\"bye\", 5), ExpectText(\"bye\")"), Outcome::Passed);
    let outcome = run(&acts, "WaitText(\"hello\", 5)");
    assert!(failure(&outcome).1.starts_with("the guest powered off at "), "{outcome:?}");
    assert_eq!(run(&acts, "WaitPowerOff(5)"), Outcome::Passed);
}

#[test]
fn guest_that_dies_or_halts_fails_the_step_with_the_reason() {
    let died = [(100, Act::End(RunResult::Died("triple fault at 0010:7C00".to_owned())))];
    let outcome = run(&died, "WaitText(\"x\", 5)");
    assert_eq!(outcome.status(), 1);
    assert!(failure(&outcome).1.contains("triple fault at 0010:7C00"), "{outcome:?}");
    let halted = [(0, Act::Show(0, "done")), (100, Act::End(RunResult::Halted))];
    assert_eq!(run(&halted, "WaitStable(1, 5), ExpectText(\"done\")"), Outcome::Passed);
    assert!(failure(&run(&halted, "Wait(1)")).1.contains("halted"));
}

#[test]
fn debug_exit_is_awaited_by_its_status() {
    let acts = [(100, Act::End(RunResult::ExitStatus(33)))];
    assert_eq!(run(&acts, "WaitExit(33, 1)"), Outcome::Passed);
    assert!(failure(&run(&acts, "WaitExit(35, 1)")).1.contains("status 33"));
}

#[test]
fn limit_during_a_script_ends_it_with_the_limits_status() {
    let limits = Limits { seconds: Some(0.5), ..Limits::default() };
    let outcome = run_with(&mut FakeMachine::new(&[]), limits, "Script(steps: [WaitText(\"x\", 20)])");
    assert!(matches!(outcome, Outcome::Ended(End::Limit(_))), "{outcome:?}");
    assert_eq!(outcome.status(), 4);
}

#[test]
fn nothing_runs_after_power_off() {
    let acts = [(0, Act::Show(0, "on"))];
    assert_eq!(run(&acts, "Wait(0.1), PowerOff, ExpectText(\"on\")"), Outcome::Passed);
    assert!(failure(&run(&acts, "PowerOff, Wait(1)")).1.contains("PowerOff"));
}

#[test]
fn graphics_mode_has_no_text() {
    let outcome = run(&[(0, Act::Graphics)], "Wait(0.1), ExpectText(\"x\")");
    assert_eq!(failure(&outcome), (2, "not shown"));
}
