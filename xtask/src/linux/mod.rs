//! `cargo xtask linux KERNEL BUSYBOX`: a distribution's kernel by `--kernel`, with an initrd made of a static busybox, to
//! a shell, a checksum and the power switch, on every model, with 1, 2 and 4 processors, by both entries. KERNEL is a
//! bzImage (`/boot/vmlinuz-*` of Debian's linux-image-amd64) or an ELF kernel, BUSYBOX is `/bin/busybox` of
//! busybox-static.

pub mod initrd;
mod judge;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The options of `cargo xtask linux`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kernel
    #[arg(value_name = "KERNEL")]
    kernel: PathBuf,
    /// A statically linked busybox for it
    #[arg(value_name = "BUSYBOX")]
    busybox: PathBuf,
    /// Only these CPU models
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "corei5_arrandale_m520,max")]
    models: Vec<String>,
    /// Only these numbers of processors
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2,4")]
    cpus: Vec<u32>,
    /// Only these entries
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_value = "real,protected")]
    entries: Vec<String>,
    /// Put behind the kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "")]
    append: String,
    /// The emulator [default: built from this workspace]
    #[arg(long, value_name = "FILE")]
    emulator: Option<PathBuf>,
    /// Compile what has run N times [default: as the emulator does by itself]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jit: Option<u32>,
    /// The initrd and the serial ports' outputs go here
    #[arg(long, value_name = "DIR", default_value = "target/linux")]
    logs: PathBuf,
    /// Guest seconds that a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    max_time: u64,
}

/// Runs that could not be made; the exit status is 2.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error(transparent)]
    Emulator(#[from] crate::kut::Error),
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::File(path.clone(), error)
}

/// Runs the command; the exit status: 0 all went well, 1 a run did not, 2 they could not be made.
pub fn main(args: &Args) -> i32 {
    match run_all(args) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("cargo xtask linux: {error}");
            2
        }
    }
}

fn run_all(args: &Args) -> Result<bool, Error> {
    std::fs::metadata(&args.kernel).map_err(file(&args.kernel))?;
    let busybox = std::fs::read(&args.busybox).map_err(file(&args.busybox))?;
    std::fs::create_dir_all(&args.logs).map_err(file(&args.logs))?;
    let initrd = args.logs.join("initrd");
    std::fs::write(&initrd, initrd::build(&busybox, initrd::TO_SHELL)).map_err(file(&initrd))?;
    let emulator = args.emulator.clone().map_or_else(crate::kut::build_emulator, Ok)?;
    let mut good = true;
    for model in &args.models {
        for &cpus in &args.cpus {
            for entry in &args.entries {
                let name = format!("{model}-{cpus}-{entry}");
                let faults = run(args, &emulator, &initrd, model, cpus, entry, &name)?;
                println!("{name}: {}", if faults.is_empty() { "passed" } else { "FAILED" });
                faults.iter().for_each(|fault| println!("    {fault}"));
                good &= faults.is_empty();
            }
        }
    }
    Ok(good)
}

/// One run; what is wrong with it.
fn run(
    args: &Args,
    emulator: &Path,
    initrd: &Path,
    model: &str,
    cpus: u32,
    entry: &str,
    name: &str,
) -> Result<Vec<String>, Error> {
    let log = args.logs.join(format!("{name}.txt"));
    let output = Command::new(emulator)
        .args(["--headless", "--debugcon", "none", "--cpu-model", model, "--linux-entry", entry])
        .args(["--cpus", &cpus.to_string(), "--max-time", &args.max_time.to_string()])
        .args(args.jit.map(|threshold| format!("--jit={threshold}")))
        .args(["--append", format!("console=ttyS0 {}", args.append).trim_end()])
        .arg("--kernel")
        .arg(&args.kernel)
        .arg("--initrd")
        .arg(initrd)
        .arg("--serial")
        .arg(&log)
        .stdin(Stdio::null())
        .output()
        .map_err(file(emulator))?;
    let serial = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut faults = judge::faults(&serial, cpus);
    if output.status.code() != Some(0) {
        let errors = String::from_utf8_lossy(&output.stderr);
        faults.push(format!(
            "the emulator ended with {}: {}",
            output.status,
            errors.lines().next().unwrap_or_default()
        ));
    }
    Ok(faults)
}
