//! The x87 FPU's instructions in the interpreter and in the compiled tier, beside the host's processor.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use host_compare::compare::Plan;

fn compare(compiled: bool) {
    let plan = Plan { seed: 2026, cases: 50_000, only: None, keep: 5, compiled };
    let report = host_compare::x87::run(plan).expect("the host maps a page");
    for difference in &report.differences {
        println!("{difference}");
    }
    assert_eq!(report.total().differences, 0);
}

#[test]
fn x87_instructions_leave_what_the_host_leaves() {
    compare(false);
}

#[test]
fn compiled_x87_instructions_leave_what_the_host_leaves() {
    compare(true);
}
