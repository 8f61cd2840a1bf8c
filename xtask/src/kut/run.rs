//! One test in a process of its own: the emulator may crash or hang without taking the others along.

use super::output::Ended;
use super::plan::Test;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Memory of a test that does not say, in MiB.
const MEMORY: u64 = 512;
/// Between two looks whether the emulator is done.
const LOOK: Duration = Duration::from_millis(20);

/// Where things are.
#[derive(Debug)]
pub struct Places {
    /// The emulator.
    pub emulator: PathBuf,
    /// The suite's folder `x86`.
    pub kernels: PathBuf,
    /// Outputs and environment files.
    pub logs: PathBuf,
    /// The CPU model.
    pub model: String,
    /// What a cycle is.
    pub clock: String,
    /// How often code runs until it is compiled, if not as the emulator has it by itself.
    pub jit: Option<u32>,
    /// The time of the host that a test may take.
    pub host_limit: Duration,
    /// A test that has its results among the logs is not run again.
    pub reuse: bool,
}

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// Its serial port.
    pub output: String,
    /// Its end.
    pub ended: Ended,
}

/// The options of the emulator for a test; `environment` is its environment file.
pub fn options(test: &Test, model: &str, kernels: &Path, environment: &Path) -> Vec<String> {
    let section = &test.section;
    let path = |path: &Path| path.display().to_string();
    let mut options = vec!["--kernel".to_owned(), path(&kernels.join(&section.file))];
    options.extend(["--initrd".to_owned(), path(environment)]);
    if !section.arguments.is_empty() {
        options.extend(["--append".to_owned(), section.arguments.clone()]);
    }
    let numbers = [
        ("--cpus", section.cpus.to_string()),
        ("--memory", section.memory.unwrap_or(MEMORY).to_string()),
        ("--max-time", test.limit.to_string()),
    ];
    options.extend(numbers.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    options.extend(["--cpu-model", model].map(str::to_owned));
    let fixed = "--debug-exit 0xf4 --test-devices --serial stdio --debugcon none --headless";
    options.extend(fixed.split(' ').map(str::to_owned));
    options
}

/// The environment file: what the suite would else ask QEMU's fw_cfg for.
pub fn environment(test: &Test) -> String {
    let memory = test.section.memory.unwrap_or(MEMORY);
    let device = u8::from(test.test_device);
    format!("NR_CPUS={}\nMEMSIZE={memory}\nTEST_DEVICE={device}\nBOOTLOADER=0\n", test.section.cpus)
}

/// Runs a test, or reads what an earlier run left.
pub fn run(test: &Test, places: &Places) -> io::Result<Run> {
    let file = |kind: &str| places.logs.join(format!("{}.{kind}", test.section.name));
    if !places.reuse || !file("status").is_file() {
        let status = execute(test, places)?;
        std::fs::write(file("status"), status)?;
    }
    let text = |kind| std::fs::read(file(kind)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (status, words) = (text("status")?, last_words(&text("err")?));
    let ended = match status.trim().parse() {
        Ok(code) => Ended::Status(code, words),
        Err(_) => Ended::Killed(format!("{} {words}", status.trim()).trim_end().to_owned()),
    };
    Ok(Run { output: text("out")?, ended })
}

/// The emulator's exit status as a number, or how else it ended.
fn execute(test: &Test, places: &Places) -> io::Result<String> {
    let file = |kind: &str| places.logs.join(format!("{}.{kind}", test.section.name));
    std::fs::write(file("env"), environment(test))?;
    let mut child = Command::new(&places.emulator)
        .args(options(test, &places.model, &places.kernels, &file("env")))
        .args(["--clock", &places.clock])
        .args(places.jit.map(|threshold| format!("--jit={threshold}")))
        .stdin(Stdio::null())
        .stdout(File::create(file("out"))?)
        .stderr(File::create(file("err"))?)
        .spawn()?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status
                .code()
                .map_or_else(|| format!("the emulator ended with {status}:"), |code| code.to_string()));
        }
        if start.elapsed() > places.host_limit {
            child.kill()?;
            child.wait()?;
            return Ok(format!("not done after {} seconds of the host", places.host_limit.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// The emulator's last line of its own, or a panic's.
fn last_words(errors: &str) -> String {
    let lines = errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut own = lines.filter(|line| ["rvmx-emu: ", "thread '", "panicked"].iter().any(|part| line.contains(part)));
    own.next_back().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::config::Section;
    use super::*;
    use clap::Parser;

    fn test() -> Test {
        let section = Section { arguments: "-a b*".to_owned(), cpus: 2, ..Section::of_file("t", "t.flat") };
        Test { section, test_device: false, limit: 9, note: None, left_out: None }
    }

    #[test]
    fn options_of_a_test_are_options_of_the_emulator() {
        let options = options(&test(), "haswell", Path::new("x86"), Path::new("env"));
        let line = std::iter::once("rvmx-emu".to_owned()).chain(options);
        let cli = rvmx_emu::cli::Cli::try_parse_from(line).unwrap();
        assert_eq!((cli.run.append.as_deref(), cli.run.cpus, cli.run.memory), (Some("-a b*"), Some(2), Some(MEMORY)));
    }

    #[test]
    fn environment_tells_processors_memory_and_the_test_device() {
        assert_eq!(environment(&test()), "NR_CPUS=2\nMEMSIZE=512\nTEST_DEVICE=0\nBOOTLOADER=0\n");
    }

    #[test]
    fn last_words_are_found_among_the_errors() {
        let errors = "[cpu] a line of the log\nrvmx-emu: the guest died: x\n";
        assert_eq!((last_words(errors).as_str(), last_words("").as_str()), ("rvmx-emu: the guest died: x", ""));
    }
}
