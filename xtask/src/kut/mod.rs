//! `cargo xtask kvm-unit-tests DIR`: the tests of a built kvm-unit-tests tree on the CPU model `max`, headless, their
//! failures against a list of exceptions with reasons. DIR has `x86/*.flat` and `x86/unittests.cfg`.

mod config;
mod output;
mod plan;
mod run;
mod table;

use output::Verdict;
use plan::{Plan, Test, Which};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The options of `cargo xtask kvm-unit-tests`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a built kvm-unit-tests tree (with x86/)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only these sections of unittests.cfg [default: those that need no VMX]
    #[arg(value_name = "TEST", conflicts_with_all = ["vmx", "write"])]
    tests: Vec<String>,
    /// The processor; exceptions are told apart by it
    #[arg(long, value_name = "MODEL", default_value = "max", conflicts_with = "write")]
    cpu_model: String,
    /// The sections of the group vmx
    #[arg(long)]
    vmx: bool,
    /// Replace the table in this document (docs/conformance.md)
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The emulator [default: built from this workspace]
    #[arg(long, value_name = "FILE")]
    emulator: Option<PathBuf>,
    /// Compile what has run N times [default: as the emulator does by itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jit: Option<u32>,
    /// What a cycle is, as the emulator's option has it; exceptions are told apart by it
    #[arg(long, value_name = "CLOCK", default_value = "ips", conflicts_with = "write")]
    clock: String,
    /// Outputs, errors and environment files go here
    #[arg(long, value_name = "DIR", default_value = "target/kvm-unit-tests")]
    logs: PathBuf,
    /// Do not run a test again whose results are among the logs
    #[arg(long)]
    reuse: bool,
    /// Tests at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Seconds of the host after which a test is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    host_limit: u64,
}

/// Runs that could not be made; the exit status is 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}: {1}; build the suite first: ./configure && make")]
    Suite(String, std::io::Error),
    #[error("{0}: {1}")]
    Config(String, String),
    #[error("kvm-unit-tests/plan.ron: {0}")]
    Plan(String),
    #[error("{0}: {1}")]
    Host(String, std::io::Error),
    #[error("the emulator could not be built: cargo ended with {0}")]
    Build(std::process::ExitStatus),
}

/// Runs the command; the exit status: 0 every failure has a reason, 1 one has none, 2 it could not be run.
pub fn main(args: &Args) -> i32 {
    match run_all(args) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("kvm-unit-tests: {error}");
            2
        }
    }
}

fn host(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::Host(path.clone(), error)
}

fn run_all(args: &Args) -> Result<bool, Error> {
    let plan = Plan::ours().map_err(Error::Plan)?.of_machine(&args.cpu_model, &args.clock);
    let kernels = args.dir.join("x86");
    let tests = tests(args, &plan, &kernels)?;
    std::fs::create_dir_all(&args.logs).map_err(host(&args.logs))?;
    let emulator = args.emulator.clone().map_or_else(build_emulator, Ok)?;
    let host_limit = Duration::from_secs(args.host_limit);
    let places = run::Places {
        emulator,
        kernels,
        logs: args.logs.clone(),
        model: args.cpu_model.clone(),
        clock: args.clock.clone(),
        jit: args.jit,
        host_limit,
        reuse: args.reuse,
    };
    let results = results(args, &plan, &tests, &places)?;
    let rows: Vec<_> = tests.iter().zip(results).collect();
    let text = table::markdown(&rows);
    println!("\n{text}");
    if let Some(path) = &args.write {
        let document = std::fs::read_to_string(path).map_err(host(path))?;
        let section = if args.vmx { "kvm-unit-tests vmx" } else { "kvm-unit-tests" };
        let new = table::replace_section(&document, section, &text)
            .map_err(|error| Error::Config(path.display().to_string(), error))?;
        std::fs::write(path, new).map_err(host(path))?;
    }
    let mut verdicts = rows.iter().filter_map(|(_, result)| result.as_ref());
    Ok(verdicts.all(|verdict| verdict.unexpected.is_empty() && verdict.stale.is_empty()))
}

/// The tests to run; their files are there.
fn tests(args: &Args, plan: &Plan, kernels: &Path) -> Result<Vec<Test>, Error> {
    let path = kernels.join("unittests.cfg");
    let suite = |path: &Path, error| Error::Suite(path.display().to_string(), error);
    let text = std::fs::read_to_string(&path).map_err(|error| suite(&path, error))?;
    let bad = |error| Error::Config(path.display().to_string(), error);
    let sections = config::parse(&text).map_err(bad)?;
    let which = match args.vmx {
        true => Which::Vmx,
        false if args.tests.is_empty() => Which::Basic,
        false => Which::Named(&args.tests),
    };
    let tests = plan.select(&sections, which).map_err(bad)?;
    for test in tests.iter().filter(|test| test.left_out.is_none()) {
        let kernel = kernels.join(&test.section.file);
        std::fs::metadata(&kernel).map_err(|error| suite(&kernel, error))?;
    }
    Ok(tests)
}

/// Builds the program `rvmx-emu`; its path.
pub fn build_emulator() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(host(Path::new("the path of this program")))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--package", "rvmx-emu", "--bin", "rvmx-emu"];
    let status = Command::new(&cargo).args(build).status().map_err(host(Path::new(&cargo)))?;
    if !status.success() {
        return Err(Error::Build(status));
    }
    // This program lies in target/PROFILE/.
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    Ok(target.join("release").join(format!("rvmx-emu{}", std::env::consts::EXE_SUFFIX)))
}

type TestResult = Option<Verdict>;

/// Runs the tests, some at a time, and tells of each as it ends.
fn results(args: &Args, plan: &Plan, tests: &[Test], places: &run::Places) -> Result<Vec<TestResult>, Error> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<TestResult>> = Mutex::new(vec![None; tests.len()]);
    let worker = || -> Result<(), Error> {
        while let Some((index, test)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            tests.get(index).map(|test| (index, test))
        } {
            if test.left_out.is_some() {
                continue;
            }
            let name = &test.section.name;
            let run = run::run(test, places).map_err(host(&places.emulator))?;
            let verdict = output::judge(name, &run.output, &run.ended, &plan.exceptions);
            let Verdict { pass, fail, skip, .. } = verdict;
            println!("{name:45} PASS {pass:7} FAIL {fail:4} SKIP {skip:4}  {}", table::word(&verdict));
            verdict.unexpected.iter().for_each(|line| println!("    {line}"));
            verdict.stale.iter().for_each(|line| println!("    an exception that nothing needed: {line}"));
            // A thread that panicked has ended the program.
            if let Some(slot) = results.lock().unwrap_or_else(|poison| poison.into_inner()).get_mut(index) {
                *slot = Some(verdict);
            }
        }
        Ok(())
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.jobs).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    for outcome in outcomes {
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    Ok(results.into_inner().unwrap_or_else(|poison| poison.into_inner()))
}
