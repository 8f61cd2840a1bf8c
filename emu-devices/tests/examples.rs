//! The examples do what they say.

#[allow(dead_code)]
#[path = "../examples/fuzz_ports.rs"]
mod fuzz_ports;
#[allow(dead_code)]
#[path = "../examples/memory_watch.rs"]
mod memory_watch;
#[allow(dead_code)]
#[path = "../examples/mnemonics.rs"]
mod mnemonics;
#[allow(dead_code)]
#[path = "../examples/vm_exits.rs"]
mod vm_exits;
#[allow(dead_code)]
#[path = "../examples/vmcs.rs"]
mod vmcs;

/// What an example writes.
fn output<E: std::fmt::Debug>(run: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> String {
    let mut out = Vec::new();
    run(&mut out).expect("the example runs");
    let text = String::from_utf8(out).expect("text");
    println!("{text}");
    text
}

#[test]
fn vm_exits_example_prints_the_first_twenty() {
    let text = output(vm_exits::run);
    assert_eq!(text.matches("guest RIP").count(), 20);
    assert!(text.contains("CPUID") && text.contains("Observer"));
}

#[test]
fn mnemonics_example_counts_every_instruction_of_the_run() {
    let text = output(|out| mnemonics::run(out, "vmxexits", 20_000_000, true));
    assert!(text.contains(" mov\n") && text.contains(" cmp\n"));
    let without = output(|out| mnemonics::run(out, "vmxexits", 20_000_000, false));
    assert_eq!(text.lines().last(), without.lines().last(), "the run is the same");
}

#[test]
fn memory_watch_example_sees_the_ticks_that_are_counted() {
    let text = output(memory_watch::run);
    assert!(text.matches("4 bytes at 0x46c").count() > 2);
    let last = text.lines().rev().nth(1).expect("a write");
    let value = last.split(" = 0x").nth(1).and_then(|rest| rest.split(',').next()).expect("a value");
    let value = u32::from_str_radix(value, 16).expect("a number");
    assert!(text.ends_with(&format!("the count is {value} now\n")));
}

#[test]
fn fuzz_ports_example_finds_what_resets_and_what_ends_the_machine() {
    let text = output(fuzz_ports::run);
    assert!(text.contains("port 0x501") && text.contains("ExitStatus"));
    assert!(text.contains("port 0x92"), "bit 0 resets");
    assert_eq!(text, output(fuzz_ports::run), "it repeats");
}

#[test]
fn vmcs_example_shows_the_first_exit() {
    let text = output(vmcs::run);
    assert!(text.contains("Guest RIP") && text.contains("Launched"), "{text}");
}
