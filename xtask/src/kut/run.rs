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
    /// The time of the host that a test may take.
    pub host_limit: Duration,
}

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// Its serial port.
    pub output: String,
    /// Its end.
    pub ended: Ended,
    /// Instructions of all processors.
    pub instructions: Option<u64>,
}

/// The options of the emulator for a test; `environment` is its environment file.
pub fn options(test: &Test, kernels: &Path, environment: &Path) -> Vec<String> {
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
    let fixed = "--cpu-model max --debug-exit 0xf4 --test-devices --serial stdio --debugcon none --headless --stats";
    options.extend(fixed.split(' ').map(str::to_owned));
    options
}

/// The environment file: what the suite would else ask QEMU's fw_cfg for.
pub fn environment(test: &Test) -> String {
    let memory = test.section.memory.unwrap_or(MEMORY);
    let device = u8::from(test.test_device);
    format!("NR_CPUS={}\nMEMSIZE={memory}\nTEST_DEVICE={device}\nBOOTLOADER=0\n", test.section.cpus)
}

/// Runs a test.
pub fn run(test: &Test, places: &Places) -> io::Result<Run> {
    let file = |kind: &str| places.logs.join(format!("{}.{kind}", test.section.name));
    std::fs::write(file("env"), environment(test))?;
    let (out, err) = (file("out"), file("err"));
    let mut child = Command::new(&places.emulator)
        .args(options(test, &places.kernels, &file("env")))
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > places.host_limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(LOOK);
    };
    let text = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (output, errors) = (text(&out)?, text(&err)?);
    let words = last_words(&errors);
    let ended = match status {
        None => Ended::Killed(format!("not done after {} seconds of the host", places.host_limit.as_secs())),
        Some(status) => match status.code() {
            Some(code) => Ended::Status(code, words),
            None => Ended::Killed(format!("the emulator ended with {status}: {words}")),
        },
    };
    Ok(Run { output, ended, instructions: instructions(&errors) })
}

/// The last line that is neither the counters nor a line of the log.
fn last_words(errors: &str) -> String {
    let lines = errors.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('{'));
    let mut own = lines.filter(|line| ["rvmx-emu: ", "thread '", "panicked"].iter().any(|part| line.contains(part)));
    own.next_back().unwrap_or_default().to_owned()
}

fn instructions(errors: &str) -> Option<u64> {
    let after = errors.split("\"instructions\":").nth(1)?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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
        let options = options(&test(), Path::new("x86"), Path::new("env"));
        let line = std::iter::once("rvmx-emu".to_owned()).chain(options);
        let cli = rvmx_emu::cli::Cli::try_parse_from(line).unwrap();
        assert_eq!((cli.run.append.as_deref(), cli.run.cpus, cli.run.memory), (Some("-a b*"), Some(2), Some(MEMORY)));
    }

    #[test]
    fn environment_tells_processors_memory_and_the_test_device() {
        assert_eq!(environment(&test()), "NR_CPUS=2\nMEMSIZE=512\nTEST_DEVICE=0\nBOOTLOADER=0\n");
    }

    #[test]
    fn counters_and_last_words_are_found_among_the_errors() {
        let errors = "[cpu] a line of the log\nrvmx-emu: the guest died: x\n{\"instructions\":15,\"cycles\":1}\n";
        assert_eq!((instructions(errors), last_words(errors)), (Some(15), "rvmx-emu: the guest died: x".to_owned()));
        assert_eq!((instructions(""), last_words("")), (None, String::new()));
    }
}
