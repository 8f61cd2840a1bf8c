//! QEMU's `-drive`.

use super::{Spelling, refuse};
use crate::error::InputError;

/// `file=F[,format=raw][,if=ide|floppy|pflash][,index=N|unit=N][,media=disk|cdrom][,snapshot=on]`.
pub(super) fn drive(spelling: &mut Spelling, argument: &str, value: &str) -> Result<(), InputError> {
    let (mut file, mut interface, mut index, mut media) = (None, "ide", None, "disk");
    let bad = |problem: String, remedy: &str| refuse(argument, &problem, remedy);
    for part in value.split(',') {
        match part.split_once('=').unwrap_or((part, "")) {
            ("file", name) => file = Some(name),
            ("if", name) => interface = name,
            ("index" | "unit", number) => index = number.parse::<u32>().ok(),
            ("media", kind) => media = kind,
            ("snapshot", "on") => spelling.push("--snapshot"),
            ("snapshot" | "readonly" | "read-only" | "cache" | "aio" | "id" | "detect-zeroes", _) => {}
            ("format", "raw" | "vvfat") => {}
            ("format", format) => {
                let remedy = format!("convert it: qemu-img convert -O raw IMAGE.{format} IMAGE.img");
                return Err(bad(format!("images of the format {format:?} cannot be read"), &remedy));
            }
            _ => return Err(bad(format!("{part:?} is not offered"), "give --hda, --hdb, --cdrom or --fda FILE")),
        }
    }
    let file = file.ok_or_else(|| bad("the file is missing".to_owned(), "add file=IMAGE"))?;
    if let Some(folder) = file.strip_prefix("fat:") {
        let folder = folder.strip_prefix("rw:").or_else(|| folder.strip_prefix("ro:")).unwrap_or(folder);
        spelling.push_two("--fat", folder);
        return Ok(());
    }
    let used = |option: &str| spelling.out.iter().any(|argument| argument == option);
    let hard_disks = ["--hda", "--hdb", "--hdc", "--hdd"];
    let option = match (interface, media, index) {
        ("ide" | "none", "cdrom", _) => "--cdrom",
        ("ide" | "none", "disk", Some(number)) => {
            let named = hard_disks.get(number as usize).copied();
            named.ok_or_else(|| bad(format!("there is no drive {number}"), "give --hda to --hdd"))?
        }
        ("ide" | "none", "disk", None) => {
            let free = hard_disks.into_iter().find(|option| !used(option) && *option != "--hdc");
            free.ok_or_else(|| bad("there are more drives than places".to_owned(), "give --hda to --hdd"))?
        }
        ("floppy", _, None | Some(0)) => "--fda",
        ("floppy", _, Some(1)) => "--fdb",
        ("pflash", _, None)
            if spelling.out.iter().any(|argument| argument.to_string_lossy().starts_with("--uefi=")) =>
        {
            "--uefi-vars"
        }
        ("pflash", _, None | Some(0)) => {
            spelling.push(&format!("--uefi={file}"));
            return Ok(());
        }
        ("pflash", _, Some(1)) => "--uefi-vars",
        _ => {
            let problem = format!("a drive at {interface:?} is not offered");
            return Err(bad(problem, "give --hda, --hdb, --cdrom or --fda FILE"));
        }
    };
    spelling.push_two(option, file);
    Ok(())
}
