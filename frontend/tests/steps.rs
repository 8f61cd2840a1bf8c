//! Steps that look at more than the text on the screen, and steps that hold steps.

mod common;

use common::folder::Folder;
use common::{Act, FakeMachine, driver};
use rvmx_emu::config::sources::RealHost;
use rvmx_emu::config::{AtaDrive, Floppy, MachineConfig};
use rvmx_emu::run::Limits;
use rvmx_emu::script::execute::{Failure, Outcome, execute};
use rvmx_emu::script::{self, Script, check};
use std::path::Path;

fn run_script(acts: &[(u64, Act)], script: &Script) -> Outcome {
    execute(script, &mut driver(&mut FakeMachine::new(acts), Limits::default()))
}

fn run(acts: &[(u64, Act)], steps: &str) -> Outcome {
    let script = script::parse(Path::new("test.ron"), &format!("Script(steps: [\n{steps}])"));
    run_script(acts, &script.unwrap_or_else(|e| panic!("{e}")))
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Writes a script and loads it.
fn load(folder: &Folder, name: &str, text: &str) -> Result<Script, String> {
    script::load(&RealHost, &folder.file(name, text.as_bytes())).map_err(|e| e.to_string())
}

#[test]
fn regular_expressions_match_lines_of_the_screen() {
    let acts = [(0, Act::Show(0, "PASS 12 of 12")), (500, Act::Show(1, "done"))];
    let steps = "Wait(0.1), ExpectMatch(\"^PASS [0-9]+ of\"), RejectMatch(\"^done$\"), WaitMatch(\"^d.ne$\", 1)";
    assert_eq!(run(&acts, steps), Outcome::Passed);
    assert_eq!(failure(run(&acts, "Wait(0.1), ExpectMatch(\"^of\")")).reason, "no match is shown");
    assert_eq!(failure(run(&acts, "Wait(0.1), RejectMatch(\"1+2\")")).reason, "a match is shown");
    let failed = failure(run(&acts, "WaitMatch(\"[xyz]\", 1)"));
    assert_eq!((failed.reason.as_str(), failed.seconds), ("no match is shown after 1 guest seconds", 1.0));
}

#[test]
fn regular_expressions_find_each_piece_of_a_stream_once() {
    let acts = [(100, Act::Serial("a1 a22 ")), (200, Act::Debugcon("W7\n"))];
    let steps = "WaitSerialMatch(\"a[0-9]+ \", 1), WaitSerialMatch(\"a22\", 1), WaitDebugconMatch(\"W[0-9]$\", 1)";
    assert_eq!(run(&acts, steps), Outcome::Passed);
    let failed = failure(run(&acts, "WaitSerialMatch(\"a22\", 1), WaitSerialMatch(\"a1\", 1)"));
    assert_eq!((failed.number, failed.reason.contains("its last output: \" \"")), (2, true), "{failed}");
}

#[test]
fn registers_are_compared_by_processor() {
    assert_eq!(run(&[], "ExpectReg(\"RAX\", 5), ExpectReg(\"cpu1.rax\", 0x6)"), Outcome::Passed);
    assert_eq!(failure(run(&[], "ExpectReg(\"rax\", 6)")).reason, "it is 0x5");
    assert_eq!(failure(run(&[], "ExpectReg(\"rbx\", 6)")).reason, "processor 0 has no register rbx");
    let reason = failure(run(&[], "ExpectReg(\"cpu2.rax\", 6)")).reason;
    assert_eq!(reason, "there is no processor 2; the last is 1");
}

#[test]
fn memory_is_compared_byte_by_byte() {
    assert_eq!(run(&[], "ExpectMem(0x7c00, \"00 01 02\"), ExpectMem(255, \"FF00\")"), Outcome::Passed);
    let reason = failure(run(&[], "ExpectMem(0x10, \"10 12 12\")")).reason;
    assert_eq!(reason, "it is \"10 11 12\"; the first difference is at 0x11");
    for address in ["0xffff", "0xffffffffffffffff"] {
        let reason = failure(run(&[], &format!("ExpectMem({address}, \"ff 00\")"))).reason;
        assert_eq!(reason, "there is no memory at all of this address");
    }
}

#[test]
fn vm_exits_and_failed_entries_are_counted() {
    let steps = "ExpectExits(\"CPUID\", 3), ExpectExits(\"EPT violation\", 0), ExpectEntryFailure(\"VMfailInvalid\")";
    assert_eq!(run(&[], steps), Outcome::Passed);
    assert_eq!(run(&[], "ExpectExits(10, 3), ExpectExits(0x12, 0), ExpectExits(\"0xA\", 3)"), Outcome::Passed);
    let failed = failure(run(&[], "ExpectExits(10, 2)"));
    assert!(failed.to_string().contains("ExpectExits(10, 2)"), "{failed}");
    let reason = failure(run(&[], "ExpectExits(\"CPUID\", 2)")).reason;
    assert_eq!(reason, "there were 3; all VM exits: CPUID: 3");
    let rule = emu_vmx::checks::all_rules().next().map_or("", |rule| rule.id);
    let reason = failure(run(&[], &format!("ExpectEntryFailure({rule:?})"))).reason;
    assert_eq!(reason, "no VM entry has failed so; those that failed: VMfailInvalid: 1");
}

#[test]
fn golden_screen_is_looked_for_beside_the_script_and_told_as_a_diff() {
    let folder = Folder::new("golden");
    let acts = [(0, Act::Show(0, "one")), (0, Act::Show(2, "three"))];
    folder.file("same.txt", b"one\n\nthree\n");
    folder.file("other.txt", b"one\n\n3\n");
    let script = load(&folder, "s.ron", "Script(steps: [Wait(0.1), ExpectScreen(\"same.txt\")])").unwrap();
    assert_eq!((check::files(&script), run_script(&acts, &script)), (Ok(()), Outcome::Passed));
    let script = load(&folder, "s.ron", "Script(steps: [Wait(0.1), ExpectScreen(\"other.txt\")])").unwrap();
    let reason = failure(run_script(&acts, &script)).reason;
    assert!(reason.contains("UPDATE_GOLDEN=1") && reason.ends_with("\n one\n \n-3\n+three"), "{reason}");
}

#[test]
fn repeated_steps_tell_line_and_turn() {
    let acts = [(0, Act::Show(0, "on")), (250, Act::Show(0, "off"))];
    let failed = failure(run(&acts, "Repeat(4, [\nWait(0.1),\n Repeat(1, [\nExpectText(\"on\")])])"));
    assert_eq!(failed.place, "test.ron:5, turn 1 of 1, turn 3 of 4");
    assert_eq!((failed.number, failed.reason.as_str()), (4, "not shown"));
    assert_eq!(
        run(&acts, "Repeat(2, [Wait(0.1), ExpectText(\"on\")]), Wait(0.1), ExpectText(\"off\")"),
        Outcome::Passed
    );
}

#[test]
fn included_steps_are_told_by_their_own_file_and_line() {
    let folder = Folder::new("include");
    std::fs::create_dir_all(folder.path("parts")).unwrap();
    folder.file("parts/log-in.ron", b"(steps: [\n Include(\"more.ron\"),\n ExpectText(\"y\"),\n])");
    folder.file("parts/more.ron", b"Script(image: \"none.img\", steps: [Wait(0.1), ExpectText(\"x\")])");
    let text = "Script(steps: [Repeat(2, [Include(\"parts/log-in.ron\")])])";
    let script = load(&folder, "s.ron", text).unwrap();
    assert_eq!(script.all_steps().len(), 6);
    assert_eq!(run_script(&[(0, Act::Show(0, "xy"))], &script), Outcome::Passed);
    let failed = failure(run_script(&[(0, Act::Show(0, "x"))], &script));
    assert!(failed.place.ends_with("log-in.ron:3, turn 1 of 2"), "{failed}");
    assert_eq!((failed.number, failed.seconds), (2, 0.1));
}

#[test]
fn includes_without_end_and_too_many_steps_are_refused() {
    let folder = Folder::new("deep");
    let error = load(&folder, "s.ron", "Script(steps: [\nInclude(\"s.ron\")])").unwrap_err();
    assert!(error.contains("s.ron:2: Include(\"s.ron\"): more than 16 scripts"), "{error}");
    let error = load(&folder, "t.ron", "Script(steps: [\nInclude(\"none.ron\")])").unwrap_err();
    assert!(error.contains("t.ron:2: Include(\"none.ron\"): cannot read ") && error.contains("folder"), "{error}");
    let many = "Repeat(1000, [Repeat(1000, [PowerOff])])";
    let error = load(&folder, "u.ron", &format!("Script(steps: [{many}])")).unwrap_err();
    assert!(error.ends_with("it has more than 1000000 steps; make it shorter"), "{error}");
}

#[test]
fn files_are_checked_before_the_run() {
    let folder = Folder::new("check");
    folder.file("here.img", b"x");
    let (new, gone) = (folder.path("new.snap"), folder.path("no/such.txt"));
    for (steps, problem) in [
        (format!("ScreenDump({gone:?})"), "cannot write"),
        (format!("Screenshot({gone:?})"), "give a file that can be written"),
        (format!("Snapshot({:?})", folder.path("")), "it is a folder"),
        (format!("Restore({new:?})"), "cannot read"),
        ("InsertFloppy(\"no.img\")".to_owned(), "cannot read \"no.img\""),
        ("Repeat(2, [InsertCd(\"no.iso\")])".to_owned(), "s.ron:2: InsertCd(\"no.iso\"): cannot read"),
        ("ExpectScreen(\"no.txt\")".to_owned(), "UPDATE_GOLDEN=1 in the environment writes it"),
    ] {
        let script = load(&folder, "s.ron", &format!("Script(steps: [\n{steps}])")).unwrap();
        let error = check::files(&script).unwrap_err().to_string();
        assert!(error.contains("s.ron:2: ") && error.contains(problem), "{steps}: {error}");
    }
    let steps = format!("Snapshot({new:?}), Restore({new:?}), Insert(\"fda\", \"here.img\")");
    let script = load(&folder, "s.ron", &format!("Script(steps: [{steps}])")).unwrap();
    assert_eq!(check::files(&script), Ok(()));
    assert!(!new.exists());
    for (field, name) in [("image", "no.img"), ("kernel", "no.elf"), ("config", "no.bochs")] {
        let error = load(&folder, "s.ron", &format!("Script({field}: {name:?}, steps: [])")).unwrap_err();
        assert!(error.contains(&format!("s.ron: {field}: there is no file ")), "{error}");
    }
}

#[test]
fn steps_that_the_machine_can_only_fail_are_told_before_the_run() {
    let folder = Folder::new("misfits");
    for (name, bytes) in [("a.img", 1_474_560), ("big.iso", 4 << 20), ("empty.img", 0), ("old.snap", 64)] {
        folder.file(name, &vec![0; bytes]);
    }
    let plain =
        MachineConfig { hda: Some(AtaDrive::Disk { image: "c.img".into(), geometry: None }), ..Default::default() };
    let floppy = Floppy { kind: None, image: None, write_protected: false };
    let cdrom = Some(AtaDrive::Cdrom { image: None });
    let all = MachineConfig { fda: Some(floppy), hdc: cdrom, debug_exit: Some(0xf4), cpus: 4, ..plain.clone() };
    let passing = MachineConfig { debug_exit_pass: Some(1), ..all.clone() };
    let without_vmx = MachineConfig { cpu_model: "corei5_arrandale_m520,-vmx".into(), ..all.clone() };
    let told = |config: &MachineConfig, steps: &str| {
        let script = load(&folder, "s.ron", &format!("Script(steps: [\n{steps}])")).expect(steps);
        check::machine(&script, config).map_err(|error| error.to_string())
    };
    let good = "InsertFloppy(\"a.img\"), Eject(\"fda\"), InsertCd(\"big.iso\"), Eject(\"cdrom\"), ExpectReg(\"cpu3.rax\", 0), \
                ExpectMem(0x1fffffff, \"00\"), WaitExit(33, 1), ExpectExits(\"CPUID\", 1), ExpectEntryFailure(\"VMfailInvalid\"), \
                PowerOff, ExpectText(\"x\"), ScreenDump(\"new\")";
    assert_eq!(told(&all, good), Ok(()));
    for (config, steps, expected) in [
        (
            &plain,
            "InsertFloppy(\"a.img\")",
            "there is no drive for removable media at floppy drive A:; give the drive a floppy with --fda FILE",
        ),
        (&plain, "Eject(\"fdb\")", "floppy drive B:"),
        (
            &plain,
            "Repeat(2, [InsertCd(\"big.iso\")])",
            "there is no drive for removable media at drive 0 of ATA channel 1; give the drive a disc with --cdrom FILE",
        ),
        (&all, "Insert(\"hda\", \"a.img\")", "media can be changed in fda, fdb and cdrom"),
        (&all, "InsertFloppy(\"big.iso\")", "4194304 bytes are too many for a floppy disk; give another image"),
        (&all, "InsertFloppy(\"empty.img\")", "empty"),
        (&all, "ExpectReg(\"cpu4.rax\", 0)", "there is no processor 4; the last is 3; give more with --cpus or cpus:"),
        (&all, "ExpectMem(0xffffffff, \"00 00\")", "memory ends at 0xffffffff; give a physical address below"),
        (&plain, "WaitExit(33, 1)", "there is no isa-debug-exit; give it with --debug-exit PORT or debug_exit:"),
        (&all, "WaitExit(32, 1)", "gives the status (v << 1) | 1, never 32; give an odd number"),
        (&passing, "WaitExit(33, 1)", "the status is 0 or 1, never 33; give 0 or 1"),
        (&all, "Restore(\"old.snap\")", "it is no snapshot; give a file that a Snapshot step has written"),
        (&without_vmx, "ExpectExits(\"CPUID\", 1)", "has no VMX; give one that has, with --cpu-model or cpu_model:"),
        (&without_vmx, "ExpectEntryFailure(\"VMfailInvalid\")", "has no VMX"),
        (
            &all,
            "PowerOff, Wait(1)",
            "Wait(1): the machine has been switched off by PowerOff before; give PowerOff last",
        ),
        (&all, "Repeat(2, [Key(\"a\"), PowerOff])", "Key(\"a\"): the machine has been switched off"),
    ] {
        let error = told(config, steps).expect_err(steps);
        assert!(error.contains("s.ron:2: ") && error.contains(expected), "{steps}: {error}");
    }
    assert_eq!(told(&without_vmx, "ExpectExits(\"CPUID\", 0)"), Ok(()));
    assert_eq!(told(&all, "PowerOff, Snapshot(\"x\"), Restore(\"x\"), Wait(1)"), Ok(()));
}
