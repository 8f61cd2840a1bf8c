//! How long and how often all benchmarks run.

use criterion::Criterion;
use std::time::Duration;

/// Runs groups of benchmarks with the options of the command line.
pub fn run(groups: &[fn(&mut Criterion)]) {
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
        .configure_from_args();
    groups.iter().for_each(|group| group(&mut c));
    c.final_summary();
}
