//! Recorded sessions of the debugger: `sessions/NAME.txt` has the machine in its first line, then commands behind `> `,
//! each with what it must print. `UPDATE_GOLDEN=1` writes the answers anew.

use rvmx_emu::config::{AtaDrive, BootDevice, MachineConfig};
use rvmx_emu::debug;
use rvmx_emu::pc::{self, PcMachine};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `IMAGE MODEL CPUS`.
fn machine(line: &str) -> PcMachine {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [image, model, cpus] = words[..] else { panic!("{line}: write IMAGE MODEL CPUS") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../test-images/images/{image}.img"));
    machine_of(path, model, cpus, 64)
}

fn machine_of(path: PathBuf, model: &str, cpus: &str, memory: u64) -> PcMachine {
    let config = MachineConfig {
        hda: Some(AtaDrive::Disk { image: path, geometry: None }),
        boot: vec![BootDevice::Disk],
        snapshot: true,
        memory,
        cpu_model: model.to_owned(),
        cpus: cpus.parse().expect("the session is sound"),
        ..MachineConfig::default()
    };
    pc::build(&config, None).expect("the session is sound")
}

fn session(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/sessions/{name}.txt"));
    let golden = std::fs::read_to_string(&path).expect("the session is sound");
    let (head, rest) = golden.split_once('\n').expect("the session is sound");
    let commands: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    let text = format!("{head}\n{}", debug::transcript(machine(head), &commands).expect("the session is sound"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("the session is sound");
        return;
    }
    for (n, (expected, found)) in golden.lines().zip(text.lines()).enumerate() {
        assert_eq!(found, expected, "{}:{}; UPDATE_GOLDEN=1 writes it anew", path.display(), n + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count(), "{}", path.display());
}

macro_rules! sessions {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            session(stringify!($name));
        })*

        #[test]
        fn every_recorded_session_is_tested() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
            for entry in std::fs::read_dir(folder).expect("it is there") {
                let name = entry.expect("it can be read").file_name();
                let name = name.to_string_lossy().into_owned();
                assert!([$(concat!(stringify!($name), ".txt")),*].contains(&&*name), "{name} is not run");
            }
        }
    };
}

sessions! {
    running breakpoints vmx vmentry_step vmentry_why vmentry_failures vmentry_msrs vmentry_refused paging travel vmx_travel
    names
}

/// What commands print, each with its own lines.
fn answers(head: &str, commands: &[&str]) -> Vec<String> {
    let text = debug::transcript(machine(head), commands).expect("a session");
    let mut rest = text.as_str();
    let mut list = Vec::new();
    for (n, command) in commands.iter().enumerate() {
        rest = rest.strip_prefix(&format!("> {command}\n")).expect("each command is told");
        let end = commands.get(n + 1).and_then(|next| rest.find(&format!("> {next}\n"))).unwrap_or(rest.len());
        list.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    list
}

/// Whatever the MSR-load area of a VM entry holds: what `vmentry` says before it is what comes of it.
#[test]
fn judgement_of_the_msr_load_area_is_what_the_vm_entry_does() {
    let values: [(u64, u64); 23] = [
        (0x277, 0x0007_0406), // IA32_PAT
        (0x277, 2),
        (0xC000_0080, 0x500), // IA32_EFER
        (0xC000_0080, 1 << 40),
        (0xC000_0100, 0),       // IA32_FS_BASE
        (0xC000_0102, 1 << 62), // IA32_KERNEL_GS_BASE
        (0xC000_0102, 0x1000),
        (0x1_0000_0277, 6),
        (0x1234_5678, 0),
        (0x480, 0),          // IA32_VMX_BASIC
        (0x3A, 5),           // IA32_FEATURE_CONTROL, locked
        (0x1B, 0xFEE0_0400), // IA32_APIC_BASE
        (0x1B, 0xFEE0_0900),
        (0x10, 0),         // IA32_TIME_STAMP_COUNTER
        (0x174, 8),        // IA32_SYSENTER_CS
        (0x1A0, u64::MAX), // IA32_MISC_ENABLE
        (0x808, 0),        // an x2APIC MSR
        (0x14CF, 8),       // IA32_LBR_DEPTH
        (0x14CF, 9),
        (0x14CE, 1 << 5), // IA32_LBR_CTL
        (0x151F, 0x1000), // IA32_LBR_31_FROM_IP
        (0x1520, 0x1000),
        (0x1DD, 1 << 62), // IA32_LER_FROM_IP
    ];
    for (first, value) in values {
        let (first, value) = (format!("setpmem 0x31000 8 {first:#x}"), format!("setpmem 0x31008 8 {value:#x}"));
        let commands = [
            "b vmentry ignore 8",
            "c",
            &first,
            &value,
            "vmentry",
            "vmentry step 1000",
            "d all",
            "b vmentry failed",
            "s",
        ];
        let said = answers("vmxentry max 1", &commands);
        let fails = said[8].contains("VMLAUNCH failed");
        assert_eq!(fails, said[4].contains("FAIL 27.4 Loading MSRs"), "{first}, {value}: {said:?}");
        assert_eq!(fails, said[5].contains("the VM entry fails: VM exit 34"), "{first}, {value}: {said:?}");
        assert_eq!(!fails, said[5].contains("the VM entry is complete"), "{first}, {value}: {said:?}");
    }
}

/// Code that sets IA32_DEBUGCTL.LBR and jumps to the next instruction, in the place of the image's.
#[test]
fn last_branches_are_told_with_what_their_format_has() {
    let code = ["0x3166000001d9b966", "0x0f00000001b866d2", "0xf400eb30"];
    let writes = code.iter().enumerate().map(|(n, word)| format!("setpmem {:#x} 8 {word}", 0x7C00 + 8 * n));
    let mut commands: Vec<String> = ["b 0x7c00", "c", "info lbr"].map(str::to_owned).into();
    commands.extend(writes.chain(["s 5", "info lbr", "info lbr --json"].map(str::to_owned)));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    for (model, records, flags) in [("haswell", 16, ""), ("skylake_sp", 32, "cycles")] {
        let said = answers(&format!("timers {model} 1"), &commands);
        assert_eq!(said[2], format!("branches are not recorded at present; 0 of {records} records\n"), "{model}");
        let shown = &said[7];
        assert!(shown.starts_with(&format!("branches are recorded; 1 of {records} records\n")), "{model}: {shown}");
        assert!(shown.contains("0x7c11") && shown.contains("0x7c13") && shown.contains(flags), "{model}: {shown}");
        assert!(said[8].contains("\"from\":\"0x7c11\""), "{model}: {}", said[8]);
    }
    let said = answers("timers max,-arch_lbr 1", &["info lbr"]);
    assert_eq!(said, ["error: this processor has no last branch records\n"]);
}

#[test]
fn going_back_and_on_again_forgets_no_vm_exit_and_no_failure() {
    let all = [
        "b vmexit",
        "c",
        "c",
        "c",
        "c",
        "exits",
        "vmexit",
        "goto exit 1",
        "exits",
        "vmexit",
        "c",
        "c",
        "exits",
        "vmexit",
    ];
    let said = answers("vmxexits max 1", &all);
    assert_eq!(said[5], said[12], "the same VM exits, with the same times");
    assert_eq!(said[6], said[13]);
    assert!(said[9].starts_with("VM exit at cycle"), "{}", said[9]);
    assert!(said[8].lines().count() == 4 && said[8].contains("2 more come after this moment"), "{}", said[8]);
    let back = [
        "b vmexit",
        "c",
        "c",
        "c",
        "goto exit 1",
        "goto exit 2",
        "ptime",
        "rs",
        "vmexit",
        "rc",
        "vmexit",
        "d all",
        "goto exit 5",
        "exits",
    ];
    let said = answers("vmxexits max 1", &back);
    assert!(said.iter().all(|answer| !answer.contains("error")), "{said:?}");
    assert!(said[13].lines().last().is_some_and(|line| line.starts_with("5 ")), "{}", said[13]);
    let failures =
        ["b vmentry failed", "c", "c", "vmentry why", "c", "rc", "vmentry why", "d all", "goto exit 0", "vmentry why"];
    let said = answers("vmxentry max 1", &failures);
    // rc goes to before the instruction that fails for the third time.
    assert_eq!(said[3], said[6], "{said:?}");
    assert!(said[9].contains("guest.cr4.fixed"), "{}", said[9]);
}

#[test]
fn change_from_outside_begins_another_future_of_vm_exits() {
    let commands = [
        "b vmexit",
        "c",
        "c",
        "goto exit 0",
        "setpmem 0x8000 1 0x55",
        "exits",
        "c",
        "exits",
        "goto 4481000",
        "s",
        "c",
        "exits",
    ];
    let said = answers("vmxexits max 1", &commands);
    assert!(said[5].lines().count() == 2 && !said[5].contains("more come"), "{}", said[5]);
    assert_eq!(said[7].lines().count(), 3, "{}", said[7]);
    assert_eq!(said[11].lines().count(), 2, "{}", said[11]);
}

#[test]
fn failed_vm_entries_are_vm_exits_for_vmexit_too() {
    let said = answers("vmxentry max 1", &["b vmentry failed ignore 4", "c", "vmexit", "vmexit step load"]);
    for part in [
        "VM-entry failure due to invalid guest state",
        "nothing was saved",
        "27.8 VM-Entry Failures During or After Loading Guest State\n  Exit reason",
        "28.5.1",
        "RIP: 8d6f",
        "blocking by NMI: as it was before the VM entry",
    ] {
        assert!(said[2].contains(part), "{part}: {}", said[2]);
    }
    assert!(said[3].contains("28.5.1") && said[3].contains("CR0"), "{}", said[3]);
}

#[test]
fn vmx_and_exits_count_the_same_vm_exits() {
    let said = answers("vmxentry max 1", &["b vmexit 18", "c", "vmx", "exits 100 --json", "vmx --json"]);
    assert!(said[2].contains(", 1 VM entry, 9 VM exits, 13 failed VM entries\n"), "{}", said[2]);
    assert!(said[3].contains("\"all\":9,"), "{}", said[3]);
    for control in ["PinBasedControls", "PrimaryProcessorControls", "VmExitControls", "VmEntryControls"] {
        assert!(said[4].contains(&format!("\"{control}\":{{")), "{control}: {}", said[4]);
    }
    assert!(!said[4].contains("\"words\":\"\""), "{}", said[4]);
}

#[test]
fn slips_are_answered_with_what_was_probably_meant() {
    for (command, part) in [
        ("vmentyr", "did you mean vmentry?"),
        ("b vmetry", "did you mean vmentry?"),
        ("b vmexit cupid", "\"CPUID\""),
        ("b msr IA32_EFFER", "did you mean IA32_EFER?"),
        ("msr IA32_EFFER", "did you mean IA32_EFER?"),
        ("b mnemonic cpiud", "did you mean cpuid?"),
        ("b vmwrite GuestRipp", "did you mean Guest RIP?"),
        ("vmcs GuestRipp", "did you mean Guest RIP?"),
    ] {
        let said = answers("vmxentry max 1", &[command]);
        assert!(said[0].starts_with("error: ") && said[0].contains(part), "{command}: {}", said[0]);
    }
    let said = answers("vmxentry max 1", &["b vmwrite GuestCsRights", "b mnemonic a"]);
    assert!(said[0].contains("Guest CS access rights") && said[1].starts_with("error: "), "{said:?}");
}

#[test]
fn vm_exit_tells_all_that_it_loads() {
    let said = answers("vmxinject max 1", &["b vmexit", "c", "vmexit"]);
    for part in [
        "DR7: ",
        "IA32_DEBUGCTL: ",
        "GDTR: ",
        "IDTR: ",
        "limit ffff",
        "IA32_EFER: not saved ->",
        "28.5.5",
        "28.5.6",
        "mappings of VPID 0000h",
    ] {
        assert!(said[2].contains(part), "{part}: {}", said[2]);
    }
    assert!(said[2].ends_with("fields of the VMCS that kept their values are not shown\n"), "{}", said[2]);
}

#[test]
fn values_that_remedies_try_make_their_rules_hold() {
    let commands = [
        "b vmentry failed",
        "c",
        "c",
        "c",
        "c",
        "c",
        "vmentry why",
        "rs",
        "vmcs set GuestCsAccessRights = 0xc09b",
        "vmentry",
    ];
    let said = answers("vmxentry max 1", &commands);
    assert!(said[6].contains("vmcs set GuestCsAccessRights = 0xc09b  (all rules hold then)"), "{}", said[6]);
    assert!(said[9].ends_with("all 318 rules hold\n"), "{}", said[9]);
}

#[test]
fn rules_that_the_controls_do_not_use_do_not_apply() {
    let said = answers("vmxentry max 1", &["b vmentry", "c", "vmentry rules"]);
    let verdict = |rule: &str| {
        let line = said[2].lines().find(|line| line.contains(&format!(" {rule}:"))).expect("the rule is there");
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(verdict("guest.pat.types"), "n/a");
    assert_eq!(verdict("guest.cr4.fixed"), "ok");
    assert_eq!(verdict("guest.rflags.fixed_1"), "ok");
}

#[test]
fn last_instructions_are_those_that_were_executed() {
    let said = answers("modes max 1", &["s 100", "ptime", "last 3", "ptime", "rs 3", "s", "s"]);
    let lines: Vec<&str> = said[2].lines().collect();
    assert_eq!((lines.len(), &said[1]), (3, &said[3]));
    assert_eq!([4, 5, 6].map(|n| said[n].trim_end()), lines[..]);
}

#[test]
fn frame_that_is_none_has_no_caller() {
    let said = answers("vmxentry max 1", &["b vmentry", "c", "set rbp = 0", "bt", "set rbp = rsp - 64", "bt"]);
    for n in [3, 5] {
        assert!(said[n].lines().count() == 2 && !said[n].contains("#1"), "{}", said[n]);
    }
}

#[test]
fn failures_that_vmentry_why_tells_are_not_logged_too() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/vmxentry.img");
    let run = |options: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"));
        program.args(["debug", "--snapshot", "--cpu-model", "max", "-c", "b vmentry failed ignore 4; c"]);
        let output = program.args(options).arg(image).output().expect("the program runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(run(&[]), "");
    assert!(run(&["--log", "warn"]).contains("VM entry fails"));
}

#[test]
fn run_under_the_debugger_is_the_run_without_it() {
    let plain = debug::transcript(machine("vmxexits max 1"), &["sba 3000000", "hash"]).unwrap();
    let hash = plain.lines().last().unwrap().to_owned();
    let watched = [
        "watch rw 0x9000 64 if 0",
        "b io 0..0xffff if 0",
        "b exception",
        "b vmexit ignore 1000000",
        "b mnemonic cpuid ignore 1000000",
        "s 100",
        "sb 1500000",
        "rs 50",
        "vmentry",
        "d all",
        "sba 3000000",
        "hash",
    ];
    let watched = debug::transcript(machine("vmxexits max 1"), &watched).unwrap();
    assert_eq!(watched.lines().last(), Some(hash.as_str()), "{watched}");
}

/// Steps on, back and on again from where these commands lead: the same states each time.
fn steps_back_and_forth(line: &str, before: &[&str]) {
    back_and_forth(machine(line), before);
}

fn back_and_forth(machine: PcMachine, before: &[&str]) {
    let mut commands: Vec<&str> = before.to_vec();
    for step in ["s", "rs", "s"] {
        commands.extend((0..30).flat_map(|_| [step, "hash"]));
    }
    let text = debug::transcript(machine, &commands).expect("a session");
    let hashes: Vec<&str> = text.lines().filter(|line| line.len() == 16).collect();
    assert_eq!(hashes.len(), 90, "{text}");
    let there: Vec<&str> = hashes[..30].to_vec();
    let back: Vec<&str> = hashes[30..60].iter().rev().copied().collect();
    assert_eq!(back[1..], there[..29]);
    assert_eq!(hashes[60..], there);
}

#[test]
fn steps_back_and_forth_come_to_the_same_states() {
    steps_back_and_forth("vmxexits max 1", &["b vmentry", "c", "d all"]);
}

#[test]
fn steps_of_one_of_several_processors_come_to_the_same_states() {
    for cpu in ["cpu 0", "cpu 1", "cpu 3"] {
        steps_back_and_forth("smp max 4", &["sba 5500000", cpu]);
    }
}

/// A boot sector: the first processor is halted, all others count.
#[rustfmt::skip]
const HALTED: [u8; 57] = [
    0xFA,                                                       // cli
    0xC7, 0x06, 0x00, 0x80, 0x40, 0xEB,                         // mov word [8000h], inc ax; jmp
    0xC6, 0x06, 0x02, 0x80, 0xFD,                               // mov byte [8002h], -3
    0x66, 0xB9, 0x1B, 0x00, 0x00, 0x00, 0x0F, 0x32,             // mov ecx, IA32_APIC_BASE; rdmsr
    0x66, 0x0D, 0x00, 0x0C, 0x00, 0x00, 0x0F, 0x30,             // or eax, 0C00h; wrmsr: x2APIC mode
    0x66, 0xB9, 0x30, 0x08, 0x00, 0x00, 0x66, 0x31, 0xD2,       // mov ecx, IA32_X2APIC_ICR; xor edx, edx
    0x66, 0xB8, 0x00, 0x45, 0x0C, 0x00, 0x0F, 0x30,             // mov eax, INIT; wrmsr
    0x66, 0xB8, 0x08, 0x46, 0x0C, 0x00, 0x0F, 0x30,             // mov eax, SIPI 8; wrmsr
    0xF4, 0xEB, 0xFD, 0x90,                                     // hlt; jmp $-1
];

#[test]
fn steps_beside_halted_processors_come_to_the_same_states() {
    let mut image = HALTED.to_vec();
    image.resize(510, 0);
    image.extend([0x55, 0xAA]);
    image.resize(16 * 63 * 512, 0);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("halted.img");
    std::fs::write(&path, image).expect("the folder for tests can be written");
    let text = debug::transcript(machine_of(path.clone(), "max", "3", 64), &["sba 6000500", "cpu"]).expect("a session");
    assert_eq!((text.matches(", halted").count(), text.matches("executing at 0800").count()), (1, 2), "{text}");
    for cpu in ["cpu 1", "cpu 2"] {
        back_and_forth(machine_of(path.clone(), "max", "3", 64), &["sba 6000500", cpu]);
    }
}

/// The walks in the documents are sessions, too: what they print is what the debugger prints.
#[test]
fn documents_show_what_the_debugger_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, head) in [("debugger.md", "## Why did this VM entry fail?"), ("debugger.zh.md", "# ")] {
        let text = std::fs::read_to_string(root.join("docs").join(name)).expect("the document is there");
        let section = text.split_once(head).expect("the section is there").1;
        let section = section.split("\n## ").next().unwrap_or_default();
        let shown: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let first = shown.iter().position(|line| line.starts_with("(rvmx) ")).expect("there is a session");
        let shown: Vec<String> = shown[first..].iter().map(|line| line.replacen("(rvmx) ", "> ", 1)).collect();
        let commands: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("> ")).collect();
        let machine = machine_of(root.join("test-images/images/vmxentry.img"), "max", "1", 512);
        let printed = debug::transcript(machine, &commands).expect("a session");
        assert!(commands.len() > 10, "{commands:?}");
        assert_eq!(printed.lines().collect::<Vec<_>>(), shown, "docs/{name}");
    }
}

#[test]
fn keys_that_were_pressed_are_pressed_again_behind_a_step_back() {
    let commands =
        ["sba 10000000", "key x", "sba 16000000", "hash", "goto 10500000", "sba 16000000", "hash", "rs 3", "screen"];
    let text = debug::transcript(machine("demo max 2"), &commands).unwrap();
    let hashes: Vec<&str> = text.lines().filter(|line| line.len() == 16).collect();
    assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{text}");
    let unpressed = debug::transcript(machine("demo max 2"), &["sba 16000000", "hash"]).unwrap();
    assert!(!unpressed.contains(hashes[0]), "the key changes nothing: {text}");
}

#[test]
fn program_answers_in_json_and_ends_with_status_2_after_a_command_that_failed() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/modes.img");
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_rvmx-emu");
        Command::new(program).args(["debug", "--snapshot"]).args(arguments).arg(image).output().unwrap()
    };
    let output = run(&["-c", "s --json; r; quit; r"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (first, rest) = text.split_once('\n').unwrap();
    let value: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!((value["stopped"].as_str(), value["cycle"].as_u64()), (Some("done"), Some(1)));
    assert_eq!(rest.lines().filter(|line| line.starts_with("EIP")).count(), 1, "{text}");
    let output = run(&["-c", "x nothing; r"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.starts_with("error: nothing is called \"nothing\"") && text.lines().count() == 1, "{text}");
    assert_eq!(run(&["--script", "x.ron", "-c", "r"]).status.code(), Some(2));
}
