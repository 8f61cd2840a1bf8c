//! `host-compare`: see [`host_compare`].

/// Compares the interpreter with this host's processor, instruction by instruction.
#[derive(clap::Parser)]
struct Options {
    /// Vector instructions (MMX, SSE, AVX) instead of general-purpose ones.
    #[arg(long)]
    vectors: bool,
    /// Cases to run.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Seed of the generator; the same seed gives the same cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The x87 FPU's instructions instead of the integer ones.
    #[arg(long)]
    x87: bool,
    /// Only this mnemonic.
    #[arg(long)]
    only: Option<String>,
    /// Differences to describe in full.
    #[arg(long, default_value_t = 10)]
    keep: usize,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() -> std::process::ExitCode {
    use clap::Parser;
    let options = Options::parse();
    let start = std::time::Instant::now();
    let run = match (options.x87, options.vectors) {
        (true, _) => host_compare::x87::run,
        (_, true) => host_compare::compare::run_vectors,
        _ => host_compare::compare::run,
    };
    let report = match run(options.seed, options.cases, options.only.as_deref(), options.keep) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("host-compare: {error}");
            return 2.into();
        }
    };
    for difference in &report.differences {
        println!("{difference}");
    }
    print!("{}", report.table());
    let total = report.total();
    let seconds = start.elapsed().as_secs_f64();
    println!("seed {}, {} cases in {seconds:.1} s, {} differences", options.seed, total.cases, total.differences);
    u8::from(total.differences != 0).into()
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() -> std::process::ExitCode {
    let _ = <Options as clap::Parser>::parse();
    eprintln!("host-compare runs instructions on the host's processor: it needs x86-64 Linux");
    2.into()
}
