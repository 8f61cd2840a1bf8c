//! Loops of one instruction beside published latencies and throughputs.

use crate::{PROCESSORS, cycles};
use emu_core::cycles::table::Table;

/// Latency and throughput, cycles an instruction.
type Measured = (Option<f64>, Option<f64>);

/// Name, code that waits for itself, code that does not and how many instructions that has, figures of [`PROCESSORS`].
type Figures = (String, String, String, u32, (Measured, Measured, Measured));

/// Most that an estimate may be off, cycles.
const CLOSE: f64 = 1.0;
/// How many of 100 must be as close.
const MOST: usize = 90;

#[test]
fn loops_of_one_instruction_take_what_was_measured() {
    let all: Vec<Figures> = ron::from_str(include_str!("instructions.ron")).expect("it parses");
    assert_eq!(all.len(), 200);
    for (n, processor) in PROCESSORS.iter().enumerate() {
        let table = Table::named(processor).expect("it is built in");
        let mut far = Vec::new();
        for (name, chain, many, count, figures) in &all {
            let (latency, throughput) = [figures.0, figures.1, figures.2][n];
            let ours = (cycles(&table, chain), cycles(&table, many) / f64::from(*count));
            let close = |ours: f64, theirs: Option<f64>| theirs.is_none_or(|theirs| (ours - theirs).abs() <= CLOSE);
            if !close(ours.0, latency) || !close(ours.1, throughput) {
                far.push(format!("{name}: {:.2}, {:.2} for {latency:?}, {throughput:?}", ours.0, ours.1));
            }
        }
        println!("{processor}: {} of {} are close; not:\n  {}", all.len() - far.len(), all.len(), far.join("\n  "));
        assert!(100 * (all.len() - far.len()) >= MOST * all.len(), "{processor}: {} are off by more", far.len());
    }
}
