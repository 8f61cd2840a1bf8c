//! The emulator as a process of its own, for what happens to its host.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Runs the emulator with these arguments in this process: what [`emulator`] starts.
pub fn main(arguments: &[std::ffi::OsString]) -> i32 {
    let all = std::iter::once("rvmx-emu".into()).chain(arguments.iter().cloned());
    rvmx_emu::session::main(all)
}

/// The emulator of this build, as a command that takes its arguments.
pub fn emulator() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("emulator").arg("--");
    Ok(command)
}

/// The exit status of a command that counts failures, which are told.
pub fn status(command: &str, failures: io::Result<u32>) -> i32 {
    match failures {
        Ok(0) => 0,
        Ok(failures) => {
            eprintln!("{command}: {failures} failures");
            1
        }
        Err(error) => {
            eprintln!("{command}: {error}");
            2
        }
    }
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) -> io::Result<()> {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status()?;
    if sent.success() { Ok(()) } else { Err(io::Error::other("kill has failed")) }
}

/// Waits for the end; `None` if it has not come in time, and the process goes on.
pub fn wait_for(child: &mut Child, time: Duration) -> io::Result<Option<(ExitStatus, Duration)>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((status, started.elapsed())));
        }
        if started.elapsed() > time {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// [`wait_for`]; a process that has not come to its end in time is killed.
pub fn end_within(child: &mut Child, time: Duration) -> io::Result<Option<(ExitStatus, Duration)>> {
    let end = wait_for(child, time)?;
    if end.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(end)
}

/// Where an emulator with `--gdb` waits, as it says itself on standard error: a port that was free a moment ago may be
/// somebody else's.
pub fn gdb_place(errors: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    while errors.read_line(&mut line)? != 0 {
        if let Some((_, place)) = line.trim_end().split_once("target remote ") {
            return Ok(place.to_owned());
        }
        line.clear();
    }
    Err(io::Error::other("rvmx-emu does not wait for GDB"))
}

/// Resident memory of a process in MiB; 0 where the host does not tell.
pub fn resident(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one in the host's temporary folder.
    pub fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rvmx-emu-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A name in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it.
    pub fn file(&self, name: &str, data: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, data)?;
        Ok(path)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
