//! A seeded slice of every fuzz target.

use fuzz_cases::{Source, TARGETS};

/// Seeds from 0 on; `FUZZ_CASES` times as many where that is set.
fn run(name: &str, cases: u64) {
    let times = std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let cases = cases.saturating_mul(times);
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("there is such a target");
    for seed in 0..cases {
        let result = std::panic::catch_unwind(|| target(&mut Source::seeded(seed)));
        assert!(result.is_ok(), "{name}: seed {seed} panics");
    }
}

#[test]
fn guest_code_of_any_kind_does_not_panic() {
    run("guest_code", 300);
}

#[test]
fn ports_and_mmio_at_random_do_not_panic() {
    run("ports_mmio", 150);
}

#[test]
fn disk_images_of_any_size_do_not_panic() {
    run("disk_images", 60);
}

#[test]
fn roms_of_any_contents_do_not_panic() {
    run("roms", 25);
}

#[test]
fn snapshots_that_are_damaged_do_not_panic() {
    run("snapshots", 150);
}

#[test]
fn vm_entry_succeeds_exactly_if_no_rule_fails() {
    run("vmx_entry", 300);
}

#[test]
fn guests_under_ept_of_any_kind_do_not_panic() {
    run("vmx_ept", 200);
}

#[test]
fn vmx_instructions_with_any_operands_do_not_panic() {
    run("vmx_instructions", 300);
}

#[test]
fn runs_cut_by_their_work_are_the_runs_in_one_piece() {
    run("host_work", 60);
}

#[test]
fn runs_that_are_cut_watched_and_moved_end_as_the_run_in_one_piece() {
    run("cuts", 300);
}

#[test]
fn guests_end_in_the_same_state_in_both_tiers() {
    run("tiers", 400);
}
