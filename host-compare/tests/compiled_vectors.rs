//! A slice of the comparison of MMX, SSE and AVX with the host's processor, where the compiled tier runs what it has templates for. It is a program of its own,
//! as a process can run the host's side only once.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[test]
fn vectors_of_compiled_tier_and_host_agree_on_50000_random_cases() {
    let plan = host_compare::compare::Plan { seed: 2026, cases: 50_000, only: None, keep: 5, compiled: true };
    let report = host_compare::compare::run_vectors(plan).expect("the host allows the fixed mappings");
    assert!(report.differences.is_empty(), "{}{}", report.differences.join("\n"), report.table());
    assert_eq!(report.total().differences, 0);
    assert!(report.total().cases >= 50_000);
}
