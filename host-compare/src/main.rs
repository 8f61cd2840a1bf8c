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
    /// Writes the table of the test image `evex` (and its listing beside it) instead of comparing.
    #[arg(long, value_name = "FILE")]
    evex_table: Option<std::path::PathBuf>,
    /// The checksums for that table: a file with one in each line, as the image prints them, or eight hyphens for an
    /// instruction to be skipped.
    #[arg(long, value_name = "FILE")]
    checksums: Option<std::path::PathBuf>,
    /// States of each instruction of that table.
    #[arg(long, default_value_t = 2)]
    states: u32,
    /// The image prints the checksums of this table's instructions.
    #[arg(long)]
    print: bool,
    /// The image prints the states of this instruction, and the state of this number in full.
    #[arg(long, num_args = 2, value_names = ["INSTRUCTION", "STATE"])]
    dump: Option<Vec<u32>>,
    /// Instructions that the compiled tier has templates for run compiled.
    #[arg(long)]
    jit: bool,
    /// Differences to describe in full.
    #[arg(long, default_value_t = 10)]
    keep: usize,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() -> std::process::ExitCode {
    use clap::Parser;
    use host_compare::compare::Plan;
    let options = Options::parse();
    if let Some(file) = &options.evex_table {
        return match write_table(&options, file) {
            Ok(()) => 0.into(),
            Err(error) => {
                eprintln!("host-compare: {}: {error}", file.display());
                2.into()
            }
        };
    }
    let start = std::time::Instant::now();
    let Options { seed, cases, keep, .. } = options;
    let only = options.only.as_deref();
    let plan = Plan { seed, cases, only, keep, compiled: options.jit };
    let run = match (options.x87, options.vectors) {
        (true, _) => host_compare::x87::run(plan),
        (_, true) => host_compare::compare::run_vectors(plan),
        _ => host_compare::compare::run(plan),
    };
    let report = match run {
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

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn write_table(options: &Options, file: &std::path::Path) -> std::io::Result<()> {
    use host_compare::evex;
    let wanted = evex::Options {
        seed: options.seed,
        count: usize::try_from(options.cases).unwrap_or(usize::MAX),
        states: options.states,
        print: options.print,
        dump: options.dump.as_ref().and_then(|pair| Some((*pair.first()?, *pair.get(1)?))),
    };
    let expected: Vec<Option<u32>> = match &options.checksums {
        Some(file) => std::fs::read_to_string(file)?
            .lines()
            .filter(|line| line.len() == 8 && line.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()))
            .map(|line| u32::from_str_radix(line, 16).ok())
            .collect(),
        None => Vec::new(),
    };
    let list = evex::instructions(&wanted);
    std::fs::write(file, evex::table(&wanted, &list, &expected))?;
    std::fs::write(file.with_extension("lst"), evex::listing(&list))
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() -> std::process::ExitCode {
    let _ = <Options as clap::Parser>::parse();
    eprintln!("host-compare runs instructions on the host's processor: it needs x86-64 Linux");
    2.into()
}
