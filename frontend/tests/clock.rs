//! `--clock`: what it takes, and what goes with the machine.

use std::process::{Command, Output};

fn rvmx(arguments: &[&str]) -> Output {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-images/images/demo.img");
    let common = ["--headless", "--snapshot", "--debugcon", "none", image];
    Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(common).args(arguments).output().expect("the program starts")
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a program has printed, without spaces and ends of lines.
fn without_spaces(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect()
}

/// A number of the line that `--stats` prints.
fn counter(output: &Output, name: &str) -> u64 {
    let text = error(output);
    let at = text.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {text}"));
    let digits = text[at + name.len() + 3..].trim_start().chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a number")
}

#[test]
fn ips_counts_instructions_and_model_counts_cycles() {
    let cycles = |clock, instructions| {
        let output = rvmx(&["--stats", "--clock", clock, "--max-instructions", instructions]);
        counter(&output, "cycles")
    };
    // The BIOS is at work there, and waits for nothing.
    let between = |clock| cycles(clock, "20000") - cycles(clock, "10000");
    assert_eq!(between("ips"), 10_000);
    let model = between("model");
    assert!(model > 20_000, "{model}");
    assert_eq!(model, between("model"), "it repeats");
}

#[test]
fn a_limit_of_instructions_is_kept_by_code_of_several_instructions_a_cycle() {
    let file = std::env::temp_dir().join(format!("rvmx-emu-clock-{}.img", std::process::id()));
    // l: mov eax,ebx; mov ecx,edx; mov esi,edi; mov ebp,ebx; jmp l
    let mut sector = vec![0x66, 0x89, 0xD8, 0x66, 0x89, 0xD1, 0x66, 0x89, 0xFE, 0x66, 0x89, 0xDD, 0xEB, 0xF2];
    sector.resize(510, 0);
    sector.extend([0x55, 0xAA]);
    sector.resize(516_096, 0);
    std::fs::write(&file, sector).expect("it is written");
    let path = file.to_string_lossy().into_owned();
    let run = |limit: u64| {
        let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
            .args(["--headless", "--snapshot", "--debugcon", "none", "--stats", "--clock=model", "--cpu-model=haswell"])
            .args(["--max-instructions", &limit.to_string(), &path])
            .output()
            .expect("the program starts");
        let instructions = counter(&output, "instructions");
        assert!((limit..limit + 64).contains(&instructions), "{instructions}");
        counter(&output, "cycles")
    };
    let cycles = run(4_000_000) - run(3_000_000);
    std::fs::remove_file(&file).expect("it is there");
    assert!(cycles < 500_000, "more than two a cycle: {cycles}");
}

#[test]
fn configurations_have_the_clock_and_other_clocks_are_refused() {
    let dump = rvmx(&["--clock", "model", "--dump-config"]);
    assert!(String::from_utf8_lossy(&dump.stdout).contains("    clock: model,"));
    let parts = rvmx(&["--clock", "model,caches,branches", "--dump-config"]);
    let text = without_spaces(&parts);
    assert!(text.contains("clock:model_with([caches,branches,]),"), "{text}");
    for (wrong, word) in [
        ("fast", "ips"),
        ("ips,caches", "model[,caches]"),
        ("model,cashes", "caches"),
        ("model,caches,caches", "twice"),
    ] {
        let other = rvmx(&["--clock", wrong]);
        assert_eq!(other.status.code(), Some(2), "{}", error(&other));
        assert!(error(&other).contains(word) && error(&other).contains("model"), "{}", error(&other));
    }
}

#[test]
fn caches_and_branches_take_time_and_a_run_with_them_repeats() {
    let cycles = |clock| {
        let output = rvmx(&["--stats", "--clock", clock, "--max-instructions", "200000"]);
        let hash = error(&output).split("\"state_hash\":").nth(1).map(|rest| rest[..20].to_owned());
        (counter(&output, "cycles"), hash)
    };
    let model = cycles("model").0;
    let caches = cycles("model,caches");
    let both = cycles("model,caches,branches");
    assert!(model < caches.0 && caches.0 < both.0, "{model}, {caches:?}, {both:?}");
    assert_eq!(both, cycles("model,branches,caches"), "it repeats");
}

#[test]
fn files_have_the_clock_with_its_parts() {
    let file = std::env::temp_dir().join(format!("rvmx-emu-clock-parts-{}.ron", std::process::id()));
    std::fs::write(&file, "Machine(clock: model_with([branches]))").expect("it is written");
    let name = file.to_string_lossy().into_owned();
    let dump = Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(["-f", &name, "--dump-config"]).output();
    std::fs::write(&file, "Machine(clock: model_with([branch]))").expect("it is written");
    let wrong = Command::new(env!("CARGO_BIN_EXE_rvmx-emu")).args(["-f", &name, "--dump-config"]).output();
    std::fs::remove_file(&file).expect("it is there");
    let (dump, wrong) = (dump.expect("the program starts"), wrong.expect("the program starts"));
    assert!(without_spaces(&dump).contains("clock:model_with([branches,]),"), "{}", error(&dump));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(error(&wrong).contains("clock") && error(&wrong).contains("branches"), "{}", error(&wrong));
}

#[test]
fn model_without_a_table_of_cycles_runs_with_the_other_clock_alone() {
    let file = std::env::temp_dir().join(format!("rvmx-emu-clock-{}.ron", std::process::id()));
    let model = include_str!("../../emu-core/models/haswell.ron").replace("    cycles: \"haswell\",\n", "");
    std::fs::write(&file, model).expect("it is written");
    let file_name = file.to_string_lossy().into_owned();
    let refused = rvmx(&["--cpu-model", &file_name, "--clock", "model"]);
    let runs = rvmx(&["--cpu-model", &file_name, "--max-instructions", "1000"]);
    std::fs::remove_file(&file).expect("it is there");
    let message = error(&refused);
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("table of cycles") && message.contains("--clock ips"), "{message}");
    assert_eq!(runs.status.code(), Some(4), "{}", error(&runs));
}

#[test]
fn snapshot_is_refused_by_a_machine_with_another_clock() {
    let folder = std::env::temp_dir().join(format!("rvmx-emu-clock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the host has room");
    let (snapshot, script) = (folder.join("demo.snap"), folder.join("demo.ron"));
    std::fs::write(&script, format!("Script(steps: [Wait(0.1), Snapshot({snapshot:?})])")).expect("it is written");
    let taken = rvmx(&["--clock", "model", "--script", &script.to_string_lossy()]);
    assert_eq!(taken.status.code(), Some(0), "{}", error(&taken));
    let restore = ["--max-time", "0.1", "--restore", &snapshot.to_string_lossy()];
    let refused = rvmx(&restore);
    let goes_on = rvmx(&[&restore[..], &["--clock", "model"]].concat());
    let with_caches = rvmx(&[&restore[..], &["--clock", "model,caches"]].concat());
    std::fs::remove_dir_all(&folder).expect("it is there");
    assert_eq!(refused.status.code(), Some(2), "{}", error(&refused));
    assert!(error(&refused).contains("clock"), "{}", error(&refused));
    assert_eq!(goes_on.status.code(), Some(4), "{}", error(&goes_on));
    assert_eq!(with_caches.status.code(), Some(2), "{}", error(&with_caches));
    assert!(error(&with_caches).contains("clock model,caches, of westmere"), "{}", error(&with_caches));
}
