//! Basic blocks that gcc makes of ordinary C (`blocks.c`), and what llvm-mca says of them: `make-blocks` makes the data.

use crate::{PROCESSORS, cycles};
use emu_core::cycles::table::Table;

/// Most that the estimates may be off on average, percent.
const MOST_DEVIATION: f64 = 25.0;

/// Code, and cycles per iteration for each of [`PROCESSORS`].
type Figures = (String, (f64, f64, f64));

#[test]
fn estimates_of_compiled_blocks_are_near_those_of_llvm_mca() {
    let blocks: Vec<Figures> = ron::from_str(include_str!("blocks.ron")).expect("it parses");
    assert_eq!(blocks.len(), 300);
    for (n, processor) in PROCESSORS.iter().enumerate() {
        let table = Table::named(processor).expect("it is built in");
        let mut deviation = 0.0;
        for (code, figures) in &blocks {
            let (ours, theirs) = (cycles(&table, code), [figures.0, figures.1, figures.2][n]);
            deviation += (ours - theirs).abs() / theirs;
        }
        let mean = 100.0 * deviation / blocks.len() as f64;
        println!("{processor}: {mean:.1} % on average");
        assert!(mean < MOST_DEVIATION, "{processor}: {mean:.1} % on average");
    }
}
