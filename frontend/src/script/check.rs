//! What can be known of a script before its guest runs: its files, and what its machine has not.

use super::expect::updates_golden;
use super::values::Drive;
use super::{Script, Step};
use crate::config::{AtaDrive, MachineConfig};
use crate::error::InputError;
use crate::files::resolved;
use crate::pc::build;
use crate::{models, snapshot_file};
use emu_core::mem::ram::LOW_RAM_LIMIT;
use emu_devices::disk::{DrivePlace, FloppyFormat};
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

/// Checks that the machine has what the steps are about, and that no step can only fail.
pub fn machine(script: &Script, config: &MachineConfig) -> Result<(), InputError> {
    let all = script.all_steps();
    let written: HashSet<&PathBuf> = all.iter().filter_map(|(.., step)| step.output()).collect();
    let (mut seen, mut looked_at) = (HashSet::new(), HashSet::new());
    let has_vmx = models::find("--cpu-model", &config.cpu_model)?.vmx().is_some();
    for (script, number, step) in &all {
        let misfit = misfit(step, config, has_vmx).or_else(|| {
            let (place, path) = inserted(step)?;
            let new = !written.contains(path) && seen.insert((place, path));
            if new { unfit_medium(place, path).map(|problem| (problem, "give another image".to_owned())) } else { None }
        });
        if let Some((problem, remedy)) = misfit {
            return Err(script.step_error(*number, &step.to_string(), problem).remedy(remedy));
        }
        let restored = step.restored().filter(|path| !written.contains(path) && looked_at.insert(*path));
        if let Some(path) = restored.filter(|path| path.is_file()) {
            snapshot_file::check(path).map_err(|error| {
                script.step_error(*number, &step.to_string(), error.to_string()).remedy("give another snapshot")
            })?;
        }
    }
    switched_off(script, &script.steps, 0, &mut false)
}

/// The drive that a step puts an image into, and the image.
fn inserted(step: &Step) -> Option<(DrivePlace, &PathBuf)> {
    match step {
        Step::Insert(drive, path) => Some((drive.place, path)),
        Step::InsertFloppy(path) => Some((Drive::FLOPPY, path)),
        Step::InsertCd(path) => Some((Drive::CDROM, path)),
        _ => None,
    }
}

/// Why an image that is there does not go into such a drive.
fn unfit_medium(place: DrivePlace, path: &Path) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    match build::medium(path, true) {
        Err(error) => Some(error.to_string()),
        Ok(image) => match place {
            DrivePlace::Floppy { .. } if FloppyFormat::fitting(image.size()).is_none() => {
                Some(format!("{} bytes are too many for a floppy disk", image.size()))
            }
            _ => None,
        },
    }
}

/// What the machine has not, and the remedy.
fn misfit(step: &Step, config: &MachineConfig, has_vmx: bool) -> Option<(String, String)> {
    let misfit = |problem: String, remedy: &str| Some((problem, remedy.to_owned()));
    match step {
        Step::Eject(drive) => no_drive(drive.place, config),
        Step::ExpectReg(register, _) if register.processor >= config.cpus as usize => {
            let last = config.cpus.saturating_sub(1);
            let problem = format!("there is no processor {}; the last is {last}", register.processor);
            misfit(problem, "give more with --cpus or cpus:")
        }
        Step::ExpectMem(address, bytes) => {
            // What lies below may be RAM, a ROM, or a device's memory that the guest places.
            let end = (1 << 32) + (config.memory << 20).saturating_sub(LOW_RAM_LIMIT);
            let beyond = address.checked_add(bytes.bytes.len() as u64).is_none_or(|behind| behind > end);
            if beyond {
                misfit(format!("memory ends at {:#x}", end - 1), "give a physical address below")
            } else {
                None
            }
        }
        Step::ExpectExits(_, count) if !has_vmx && *count != 0 => no_vmx(config),
        Step::ExpectEntryFailure(_) if !has_vmx => no_vmx(config),
        Step::WaitExit(..) if config.debug_exit.is_none() => {
            misfit("there is no isa-debug-exit".to_owned(), "give it with --debug-exit PORT or debug_exit:")
        }
        Step::WaitExit(status, _) if config.debug_exit_pass.is_some() && !matches!(status, 0 | 1) => {
            misfit(format!("with --debug-exit-pass the status is 0 or 1, never {status}"), "give 0 or 1")
        }
        Step::WaitExit(status, _) if config.debug_exit_pass.is_none() && status & 1 == 0 => {
            misfit(format!("a write of v gives the status (v << 1) | 1, never {status}"), "give an odd number")
        }
        step => inserted(step).and_then(|(place, _)| no_drive(place, config)),
    }
}

fn no_vmx(config: &MachineConfig) -> Option<(String, String)> {
    let problem = format!("CPU model {} has no VMX", config.cpu_model);
    Some((problem, "give one that has, with --cpu-model or cpu_model:".to_owned()))
}

/// Why media cannot be changed there.
fn no_drive(place: DrivePlace, config: &MachineConfig) -> Option<(String, String)> {
    let (drive, remedy) = match place {
        DrivePlace::Floppy { drive } => {
            let there = config.floppies().get(usize::from(drive)).is_some_and(|floppy| floppy.is_some());
            let name = if drive == 0 { "fda" } else { "fdb" };
            let remedy = format!(
                "give the drive a floppy with --{name} FILE, or leave it empty with {name}: () in a configuration"
            );
            (if there { Some(()) } else { None }, remedy)
        }
        DrivePlace::Ata { channel, drive } => {
            let there = config.ata().into_iter().nth(usize::from(channel * 2 + drive)).flatten();
            let remedy = if place == Drive::CDROM {
                "give the drive a disc with --cdrom FILE, or leave it empty with hdc: Cdrom() in a configuration"
                    .to_owned()
            } else {
                "media can be changed in fda, fdb and cdrom".to_owned()
            };
            (there.filter(|drive| matches!(drive, AtaDrive::Cdrom { .. })).map(|_| ()), remedy)
        }
    };
    let problem = || format!("there is no drive for removable media at {place}");
    if drive.is_some() { None } else { Some((problem(), remedy)) }
}

/// Refuses steps that need a running guest behind `PowerOff`; `off` is how it is before and after these steps.
fn switched_off(script: &Script, steps: &[Step], first: usize, off: &mut bool) -> Result<(), InputError> {
    let mut number = first;
    for step in steps {
        match step {
            Step::PowerOff => *off = true,
            Step::Restore(_) => *off = false,
            Step::Repeat(times, inner) => {
                let before = *off;
                switched_off(script, inner, number + 1, off)?;
                if times.0 > 1 && *off && !before {
                    switched_off(script, inner, number + 1, off)?;
                }
            }
            Step::Include(include) => {
                if let Some(included) = &include.script {
                    switched_off(included, &included.steps, 0, off)?;
                }
            }
            step if *off && step.needs_time() => {
                let problem = "the machine has been switched off by PowerOff before";
                return Err(script.step_error(number, &step.to_string(), problem).remedy("give PowerOff last"));
            }
            _ => {}
        }
        number += step.count();
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
