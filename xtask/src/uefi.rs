//! `cargo xtask uefi`: a distribution's UEFI firmware starts an EFI program of ours from a folder, twice: with VMX enabled,
//! ACPI tables, a variable that survives the restart, and files read and written; on every CPU model, with little and much
//! memory; then to its shell, without a disk.

use crate::child;
use emu_core::model::{CpuModel, DEFAULT};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Guest seconds within which the firmware comes to the program, with room: most of them go by as it unpacks itself.
const MOST_SECONDS: &str = "30";

/// The options of `cargo xtask uefi`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The firmware [default: where distributions have it]
    #[arg(value_name = "OVMF_CODE")]
    firmware: Option<PathBuf>,
    /// Logical processors
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,4")]
    cpus: Vec<u32>,
    /// CPU models [default: all that are built in]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    models: Vec<String>,
    /// Memory, MiB
    #[arg(long, value_name = "MIB", value_delimiter = ',', default_value = "48,64,128,256,1024,3072,4096,6144")]
    memory: Vec<u64>,
    /// The folder and outputs go here
    #[arg(long, value_name = "DIR", default_value = "target/uefi")]
    logs: PathBuf,
}

/// Runs the command; the exit status: 0 all went well, 1 a run did not, 2 they could not be made.
pub fn main(args: &Args) -> i32 {
    child::status("cargo xtask uefi", run_all(args))
}

fn run_all(args: &Args) -> io::Result<u32> {
    let mut failures = 0;
    let mut judge = |name: String, good: bool| {
        println!("{name}: {}", if good { "passed" } else { "FAILED" });
        failures += u32::from(!good);
    };
    for cpus in &args.cpus {
        let folder = args.logs.join(format!("esp-{cpus}"));
        let boot = folder.join("EFI/BOOT");
        std::fs::create_dir_all(&boot)?;
        std::fs::write(boot.join("BOOTX64.EFI"), test_images::EFI_STARTS)?;
        std::fs::write(folder.join("input.txt"), "from the folder")?;
        let variables = args.logs.join(format!("variables-{cpus}"));
        let _ = std::fs::remove_file(&variables);
        for start in 1..=2 {
            let mut extra: Vec<PathBuf> = vec!["--fat".into(), folder.clone(), "--uefi-vars".into(), variables.clone()];
            extra.extend(["--cpus".into(), cpus.to_string().into()]);
            let (status, text) = run(args, &extra, &args.logs.join("serial"))?;
            let wanted = format!(
                "feature control 5\nVMX operation entered and left\nACPI leads to the MADT\nstart {start}\n\
                 input: from the folder\nPASS starts\n"
            );
            let answer = std::fs::read_to_string(folder.join("answer.txt")).unwrap_or_default();
            let good = status == Some(0) && text.contains(&wanted) && answer == format!("start {start}\n");
            judge(format!("EFI program, {cpus} processors, start {start}"), good);
        }
    }
    let models: Vec<&str> = match args.models.is_empty() {
        true => CpuModel::names().collect(),
        false => args.models.iter().map(String::as_str).collect(),
    };
    for cpus in &args.cpus {
        let machines = models.iter().map(|model| (*model, "512".to_owned()));
        let sizes = args.memory.iter().map(|mib| (DEFAULT, mib.to_string()));
        for (model, memory) in machines.chain(sizes) {
            let folder = args.logs.join(format!("esp-{cpus}"));
            let mut extra: Vec<PathBuf> = vec!["--fat".into(), folder, "--snapshot".into()];
            let cpus = cpus.to_string();
            let options = ["--cpus", &cpus, "--cpu-model", model, "--memory", &memory, "--max-time", MOST_SECONDS];
            extra.extend(options.map(PathBuf::from));
            let (status, text) = run(args, &extra, &args.logs.join("serial"))?;
            let good = status == Some(0) && text.contains("VMX operation entered and left\n") && text.contains("PASS");
            judge(format!("EFI program, {model}, {memory} MiB, {cpus} processors"), good);
        }
    }
    let serial = args.logs.join("shell");
    let (status, _) = run(args, &["--max-time".into(), "60".into()], &serial)?;
    let shell = String::from_utf8_lossy(&std::fs::read(&serial)?).contains("UEFI Interactive Shell");
    judge("the firmware's shell".to_owned(), shell && status == Some(4));
    Ok(failures)
}

/// A run; its status and what came through port E9h.
fn run(args: &Args, extra: &[PathBuf], serial: &Path) -> io::Result<(Option<i32>, String)> {
    let mut command = child::emulator()?;
    command.args(["--headless", "--no-reboot", "--wall-time", "600"]);
    match &args.firmware {
        Some(file) => command.arg(format!("--uefi={}", file.display())),
        None => command.arg("--uefi"),
    };
    let output = command.args(extra).arg("--serial").arg(serial).stdin(Stdio::null()).output()?;
    if output.status.code() == Some(2) {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
