//! Options that exclude each other or need one another, whoever gives them: the command line or the head of a script.

use super::args::RunArgs;
use crate::error::InputError;

/// An option that does not go with the others.
type Misfit = (&'static str, String, String);

/// Checks which options are given together. An error's place is an option.
pub fn check(args: &RunArgs) -> Result<(), InputError> {
    let RunArgs { hdc, cdrom, kernel, initrd, append, linux_entry, uefi, rom, vga_rom, boot, .. } = args;
    let excludes = [
        (("hdc", hdc.is_some()), ("cdrom", cdrom.is_some()), "give one of them, or the disk as --hdb or --hdd"),
        (("uefi", uefi.is_some()), ("rom", rom.is_some()), "give one of them"),
        (("uefi", uefi.is_some()), ("vga-rom", vga_rom.is_some()), "leave the VGA BIOS out"),
    ];
    let needs = [
        (("initrd", initrd.is_some()), ("kernel", kernel.is_some())),
        (("append", append.is_some()), ("kernel", kernel.is_some())),
        (("linux-entry", linux_entry.is_some()), ("kernel", kernel.is_some())),
    ];
    let excluded = excludes.into_iter().filter(|((_, first), (_, second), _)| *first && *second);
    let excluded = excluded.map(|((first, _), (second, _), remedy)| -> Misfit {
        (first, format!("it and --{second} exclude each other"), remedy.to_owned())
    });
    let lacking = needs.into_iter().filter(|((_, given), (_, needed))| *given && !*needed);
    let lacking = lacking.map(|((option, _), (needed, _))| -> Misfit {
        (option, format!("there is no {needed} that it is for"), format!("give a {needed}, too"))
    });
    let twice = boot.iter().enumerate().find(|(n, device)| boot[..*n].contains(device));
    let twice = twice.map(|(_, device)| -> Misfit {
        let name = format!("{device:?}").to_lowercase();
        ("boot", format!("{name} stands there twice"), "give each device once".to_owned())
    });
    match excluded.chain(lacking).chain(twice).next() {
        Some((option, problem, remedy)) => Err(InputError::new(format!("--{option}"), problem).remedy(remedy)),
        None => Ok(()),
    }
}
