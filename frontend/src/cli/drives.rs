//! The options that name drives and images.

use super::args::RunArgs;
use super::misspelled_command;
use crate::config::sources::{Host, locate};
use crate::config::{AtaDrive, BootDevice, Floppy, FloppyKind, MachineConfig};
use crate::error::InputError;
use std::path::{Path, PathBuf};

/// The file that an option names.
pub(super) fn existing(host: &dyn Host, option: &str, file: &Path) -> Result<PathBuf, InputError> {
    locate(host, file, Path::new("")).ok_or_else(|| {
        let problem = format!("there is no file {:?}", file.display().to_string());
        InputError::new(option, problem).remedy("correct the path")
    })
}

/// Whether an image is a CD-ROM's: its first volume descriptor is ISO 9660's (ECMA-119, 8.1), 16 sectors of 2048 bytes
/// from the start.
fn is_iso(host: &dyn Host, path: &Path) -> bool {
    host.bytes(path, 16 * 2048 + 1, 5) == b"CD001"
}

/// IMAGE as a disc.
fn apply_disc(
    args: &RunArgs,
    machine: &mut MachineConfig,
    image: PathBuf,
    mut first: Vec<BootDevice>,
) -> Result<(), InputError> {
    if args.cdrom.is_some() || args.hdc.is_some() {
        let option = if args.cdrom.is_some() { "--cdrom" } else { "--hdc" };
        return Err(InputError::new("command line", format!("IMAGE and {option} name the same drive"))
            .remedy("give one of them"));
    }
    machine.hdc = Some(AtaDrive::Cdrom { image: Some(image) });
    if first.is_empty() {
        first.push(BootDevice::Cdrom);
    }
    order(args, machine, first);
    Ok(())
}

/// The boot order: what the command line has first, then what is left of the configuration's.
fn order(args: &RunArgs, machine: &mut MachineConfig, mut first: Vec<BootDevice>) {
    let rest: Vec<BootDevice> = machine.boot.iter().filter(|device| !first.contains(device)).copied().collect();
    first.extend(rest);
    machine.boot = first;
    machine.snapshot |= args.snapshot;
}

/// Puts the drives that the command line names in place of the configuration's, and first in the boot order.
pub(super) fn apply_drives(host: &dyn Host, args: &RunArgs, machine: &mut MachineConfig) -> Result<(), InputError> {
    let disk = |image| Some(AtaDrive::Disk { image, geometry: None });
    if let Some(file) = &args.hda {
        machine.hda = disk(existing(host, "--hda", file)?);
    }
    if let Some(file) = &args.hdb {
        machine.hdb = disk(existing(host, "--hdb", file)?);
    }
    if let Some(file) = &args.hdc {
        machine.hdc = disk(existing(host, "--hdc", file)?);
    }
    if let Some(file) = &args.hdd {
        machine.hdd = disk(existing(host, "--hdd", file)?);
    }
    if let Some(file) = &args.cdrom {
        machine.hdc = Some(AtaDrive::Cdrom { image: Some(existing(host, "--cdrom", file)?) });
    }
    let floppy = |image| Some(Floppy { kind: None, image: Some(image), write_protected: false });
    if let Some(file) = &args.fda {
        machine.fda = floppy(existing(host, "--fda", file)?);
    }
    if let Some(file) = &args.fdb {
        machine.fdb = floppy(existing(host, "--fdb", file)?);
    }
    let mut first = args.boot.clone();
    if let Some(file) = &args.image {
        let path = existing(host, "IMAGE", file)
            .map_err(|error| file.to_str().and_then(misspelled_command).unwrap_or(error))?;
        let size = host.size(&path).unwrap_or(0);
        if size == 0 {
            return Err(
                InputError::file(&path, "the image is empty, or no regular file").remedy("give a disk or floppy image")
            );
        }
        let floppies = [FloppyKind::K360, FloppyKind::K720, FloppyKind::M1_44, FloppyKind::M2_88];
        let is_floppy = FloppyKind::from_bytes(size).is_some_and(|kind| floppies.contains(&kind));
        if is_iso(host, &path) {
            return apply_disc(args, machine, path, first);
        }
        let (taken, option) = if is_floppy { (&args.fda, "--fda") } else { (&args.hda, "--hda") };
        if taken.is_some() {
            return Err(InputError::new("command line", format!("IMAGE and {option} name the same drive"))
                .remedy("give one of them"));
        }
        if is_floppy {
            machine.fda = floppy(path)
        } else {
            machine.hda = disk(path)
        }
        if first.is_empty() {
            first.push(if is_floppy { BootDevice::Floppy } else { BootDevice::Disk });
        }
    } else if first.is_empty() {
        // What the command line names comes before what the configuration has.
        let disk = [&args.hda, &args.hdb, &args.hdc, &args.hdd].iter().any(|disk| disk.is_some());
        // A folder is a disk to boot from for UEFI firmware; it holds no boot sector for another.
        let folder = args.fat.is_some() && args.rom.is_none() && (args.uefi.is_some() || machine.uefi.is_some());
        let given = [
            (disk || folder, BootDevice::Disk),
            (args.fda.is_some(), BootDevice::Floppy),
            (args.cdrom.is_some(), BootDevice::Cdrom),
        ];
        first.extend(given.into_iter().filter(|(given, _)| *given).map(|(_, device)| device));
    }
    order(args, machine, first);
    Ok(())
}
