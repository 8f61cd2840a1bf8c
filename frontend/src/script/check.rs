//! What can be known of a script's files before its guest runs.

use super::expect::updates_golden;
use super::{Script, Step};
use crate::error::InputError;
use crate::files::resolved;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Checks that what the steps read is there, and that what they write can be written.
pub fn files(script: &Script) -> Result<(), InputError> {
    let all = script.all_steps();
    let written: HashSet<&PathBuf> = all.iter().filter_map(|(.., step)| step.output()).collect();
    let (mut read_before, mut written_before) = (HashSet::new(), HashSet::new());
    for (script, number, step) in &all {
        let read = match step {
            Step::ExpectScreen(path) if updates_golden() => {
                writable(path).map_err(|e| problem(script, *number, step, path, "write", &e))?;
                None
            }
            Step::ExpectScreen(path) | Step::Restore(path) => Some(path),
            step => step.medium(),
        };
        if let Some(path) = read.filter(|path| !written.contains(path) && read_before.insert(*path)) {
            readable(path).map_err(|e| {
                let error = problem(script, *number, step, path, "read", &e);
                match step {
                    Step::ExpectScreen(_) => error.remedy("UPDATE_GOLDEN=1 in the environment writes it"),
                    _ => error.remedy("correct the path"),
                }
            })?;
        }
        if let Some(path) = step.output().filter(|path| written_before.insert(*path)) {
            writable(path).map_err(|e| {
                problem(script, *number, step, path, "write", &e).remedy("give a file that can be written")
            })?;
        }
    }
    Ok(())
}

fn problem(script: &Script, number: usize, step: &Step, path: &Path, doing: &str, error: &io::Error) -> InputError {
    script.step_error(number, &step.to_string(), format!("cannot {doing} {:?}: {error}", path.display().to_string()))
}

fn readable(path: &Path) -> io::Result<()> {
    // A pipe is there for whoever reads it in the end.
    if fs::metadata(path)?.is_file() { File::open(path).map(drop) } else { no_folder(path) }
}

/// Leaves nothing behind.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(_) => no_folder(path),
        Err(_) => {
            let path = resolved(path);
            OpenOptions::new().write(true).create_new(true).open(&path)?;
            fs::remove_file(path)
        }
    }
}

fn no_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() { Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")) } else { Ok(()) }
}
