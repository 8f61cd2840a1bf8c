//! A slice of the comparison of the x87 FPU with the host's processor.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn x87_of_interpreter_and_host_agree_on_50000_random_cases() {
    let report = host_compare::x87::run(2026, 50_000, None, 5).expect("the host maps a page");
    assert!(report.differences.is_empty(), "{}{}", report.differences.join("\n"), report.table());
    assert_eq!(report.total().differences, 0);
    assert!(report.total().cases >= 50_000);
}
