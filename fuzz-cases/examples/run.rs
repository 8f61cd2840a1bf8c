//! Runs a fuzz target with as many seeds as asked for: `run TARGET [FIRST [COUNT]]`.

use fuzz_cases::{Source, TARGETS};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, count) = (number(0), number(1000));
    let Some((_, target)) = TARGETS.into_iter().find(|(known, _)| *known == name) else {
        let names = TARGETS.map(|(known, _)| known).join(", ");
        eprintln!("no target is called {name:?}; there are: {names}");
        std::process::exit(2);
    };
    let mut failures = 0;
    for seed in first..first.saturating_add(count) {
        if std::panic::catch_unwind(|| target(&mut Source::seeded(seed))).is_err() {
            eprintln!("{name}: seed {seed} panics");
            failures += 1;
        }
    }
    println!("{name}: {count} seeds from {first}, {failures} panics");
    std::process::exit(i32::from(failures > 0));
}
