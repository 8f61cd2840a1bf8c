//! Basic blocks that gcc makes of ordinary C (`blocks.c`), and what llvm-mca says of them: `make-blocks` makes the data.

use emu_core::cycles::estimate::{UNIT, estimate};
use emu_core::cycles::table::Table;
use emu_core::lower::work::Works;

/// The processors of the figures, in their order.
const PROCESSORS: [&str; 3] = ["westmere", "haswell", "skylake"];
/// Most that the estimates may be off on average, percent.
const MOST_DEVIATION: f64 = 25.0;

/// Code, and cycles per iteration for each of [`PROCESSORS`].
type Figures = (String, (f64, f64, f64));

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|n| u8::from_str_radix(&hex[n..n + 2], 16).expect("hexadecimal")).collect()
}

#[test]
fn estimates_of_compiled_blocks_are_near_those_of_llvm_mca() {
    let blocks: Vec<Figures> = ron::from_str(include_str!("blocks.ron")).expect("it parses");
    assert_eq!(blocks.len(), 300);
    for (n, processor) in PROCESSORS.iter().enumerate() {
        let table = Table::named(processor).expect("it is built in");
        let mut works = Works::new(&table);
        let mut deviation = 0.0;
        for (code, figures) in &blocks {
            let ours = f64::from(estimate(&table, &works.of_code(64, &bytes(code)))) / f64::from(UNIT);
            let theirs = [figures.0, figures.1, figures.2][n];
            deviation += (ours - theirs).abs() / theirs;
            if std::env::var_os("SHOW_BLOCKS").is_some() {
                println!("{processor} {code} {theirs:.2} {ours:.2} {:+.0} %", 100.0 * (ours - theirs) / theirs);
            }
        }
        let mean = 100.0 * deviation / blocks.len() as f64;
        println!("{processor}: {mean:.1} % on average");
        assert!(mean < MOST_DEVIATION, "{processor}: {mean:.1} % on average");
    }
}
