//! UEFI firmware: where distributions have it, its two parts in flash memory, and the file that keeps its variables.

use crate::config::Uefi;
use crate::error::InputError;
use crate::files;
use emu_core::mem::ram::MAX_ROM;
use emu_devices::flash::{BLOCK, Flash};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The usual places: who has it there, the code, and the variables as they are at first. `~` is the home folder.
pub const PLACES: &[(&str, &str, &str)] = &[
    ("Debian, Ubuntu", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("Debian, Ubuntu, Alpine", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("Fedora", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("Arch Linux", "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("Arch Linux", "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("openSUSE", "/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    ("Gentoo", "/usr/share/edk2/OvmfX64/OVMF_CODE.fd", "/usr/share/edk2/OvmfX64/OVMF_VARS.fd"),
    ("Gentoo", "/usr/share/edk2-ovmf/OVMF_CODE.fd", "/usr/share/edk2-ovmf/OVMF_VARS.fd"),
    ("NixOS", "/run/libvirt/nix-ovmf/OVMF_CODE.fd", "/run/libvirt/nix-ovmf/OVMF_VARS.fd"),
    ("Homebrew", "/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    ("Homebrew", "/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
    ("QEMU", "/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
    (
        "NixOS",
        "/run/current-system/sw/share/qemu/edk2-x86_64-code.fd",
        "/run/current-system/sw/share/qemu/edk2-i386-vars.fd",
    ),
    ("Nix", "~/.nix-profile/share/qemu/edk2-x86_64-code.fd", "~/.nix-profile/share/qemu/edk2-i386-vars.fd"),
];

const INSTALL: &str = "install it (Debian, Ubuntu: ovmf; Fedora, Arch: edk2-ovmf; openSUSE: qemu-ovmf-x86_64; \
                       Homebrew, Nix: qemu), or give --uefi FILE";

/// The GUID of a firmware volume that holds variables, as it lies in memory (PI specification, volume 3, "Firmware file
/// systems"; EFI_SYSTEM_NV_DATA_FV_GUID).
const VARIABLES: [u8; 16] =
    [0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C, 0xA9, 0x85, 0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50];

/// Firmware as it goes into the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Ends at 4 GiB.
    pub code: Vec<u8>,
    /// Lies below it.
    pub variables: Vec<u8>,
}

impl Firmware {
    /// Where the variables lie.
    pub fn variables_at(&self) -> u64 {
        (1 << 32) - (self.code.len() + self.variables.len()) as u64
    }
}

/// Whether a firmware volume begins here; its length.
fn volume(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(32..40).and_then(|length| length.try_into().ok()).map(u64::from_le_bytes)?;
    (bytes.get(40..44)? == b"_FVH").then_some(usize::try_from(length).ok()?)
}

fn is_variables(bytes: &[u8]) -> bool {
    volume(bytes).is_some() && bytes.get(16..32) == Some(&VARIABLES)
}

fn home(place: &str) -> PathBuf {
    match (place.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(place),
    }
}

/// What helps where a file is not fit for variables.
const ANOTHER: &str = "give another file with --uefi-vars; one that is not there is made";

/// The first of the usual places that has both files.
fn find() -> Result<(PathBuf, PathBuf), InputError> {
    let places = PLACES.iter().map(|(_, code, variables)| (home(code), home(variables)));
    let mut there = places.filter(|(code, variables)| code.is_file() && variables.is_file());
    there
        .next()
        .ok_or_else(|| InputError::new("--uefi", "there is no UEFI firmware in the usual places").remedy(INSTALL))
}

/// The file with the first variables that belongs to a file with code.
fn beside(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    let pairs = [("CODE", "VARS"), ("x86_64-code", "i386-vars"), ("code", "vars")];
    let others = pairs.into_iter().filter(|(code, _)| name.contains(code)).map(|(code, vars)| name.replace(code, vars));
    // OVMF_CODE_4M.secboot.fd goes with OVMF_VARS_4M.fd.
    let plain = others.clone().map(|name| name.replace(".secboot", ""));
    others.chain(plain).map(|name| code.with_file_name(name)).find(|path| path.is_file())
}

/// Reads the firmware that a configuration asks for, with the variables of its file if that is there.
pub fn load(uefi: &Uefi) -> Result<Firmware, InputError> {
    let (code_file, template) = match &uefi.code {
        Some(code) => (code.clone(), beside(code)),
        None => find().map(|(code, variables)| (code, Some(variables)))?,
    };
    let read = |path: &Path| files::read(path, "file of UEFI variables", MAX_ROM as u64);
    let mut code = files::read(&code_file, "UEFI firmware", MAX_ROM as u64)?;
    // A distribution's name may lead to it.
    let real = code_file.canonicalize().unwrap_or_else(|_| code_file.clone());
    if real.file_name().is_some_and(|name| name.to_string_lossy().contains("secboot")) {
        log::warn!(
            "{}: firmware with secure boot stands still without System Management Mode, which this machine has not; \
             give one without secboot in its name",
            code_file.display()
        );
    }
    let no_firmware = |problem: &str| InputError::file(&code_file, problem).remedy(INSTALL);
    let first = volume(&code).ok_or_else(|| no_firmware("it is no UEFI firmware"))?;
    let variables = if is_variables(&code) {
        // One file with both parts, as OVMF.fd.
        if first >= code.len() {
            return Err(no_firmware("it holds variables alone, and no code").remedy("give the file with the code"));
        }
        let rest = code.split_off(first);
        std::mem::replace(&mut code, rest)
    } else {
        let template = template.or_else(|| uefi.vars.clone().filter(|path| path.is_file()));
        let template = template.ok_or_else(|| {
            no_firmware("there is no file with its variables beside it")
                .remedy("give a copy of it with --uefi-vars FILE")
        })?;
        check_variables(&template, read(&template)?, None)?
    };
    if let Some(path) = uefi.vars.as_deref().filter(|path| path.exists() && !path.is_file()) {
        return Err(
            InputError::file(path, "the UEFI variables cannot be kept in it: it is no regular file").remedy(ANOTHER)
        );
    }
    let variables = match uefi.vars.as_deref().filter(|path| path.exists()) {
        Some(path) => check_variables(path, read(path)?, Some(variables.len()))?,
        None => variables,
    };
    if !code.len().is_multiple_of(BLOCK) || code.len() + variables.len() > 2 * MAX_ROM {
        return Err(no_firmware("its size is not that of firmware"));
    }
    Ok(Firmware { code, variables })
}

/// Variables that a flash memory can hold, of the size that the firmware's have.
fn check_variables(path: &Path, variables: Vec<u8>, length: Option<usize>) -> Result<Vec<u8>, InputError> {
    let fits = length.is_none_or(|length| length == variables.len());
    if !is_variables(&variables) || !variables.len().is_multiple_of(BLOCK) || !fits {
        let problem = match length {
            Some(length) if !fits => format!("it has {} bytes, this firmware's variables {length}", variables.len()),
            _ => "it holds no UEFI variables".to_owned(),
        };
        return Err(InputError::file(path, problem).remedy(ANOTHER));
    }
    Ok(variables)
}

/// The file that keeps the variables.
#[derive(Debug)]
pub struct VariablesFile {
    path: PathBuf,
    file: File,
}

impl VariablesFile {
    /// Opens it, or makes it of the firmware's first variables. Nobody else may write to it meanwhile.
    pub fn open(path: &Path, firmware: &Firmware) -> Result<Self, InputError> {
        let error = |e: std::io::Error| InputError::io(path, "open the UEFI variables", &e).remedy(ANOTHER);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(error)?;
        if matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
            return Err(InputError::file(path, "the UEFI variables are in use by another run")
                .remedy("end that, or give another file"));
        }
        let mut first = [0];
        if file.read(&mut first).map_err(error)? == 0 {
            file.write_all(&firmware.variables).map_err(error)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes what has changed; at the end of a run, whatever the firmware was doing.
    pub fn update(&mut self, flash: &mut Flash, last: bool) -> Result<(), InputError> {
        let changed = if last { flash.take_last_changes() } else { flash.take_changes() };
        let Some(range) = changed else { return Ok(()) };
        let data = flash.contents().get(range.clone()).unwrap_or_default();
        let written = self.file.seek(SeekFrom::Start(range.start as u64)).and_then(|_| self.file.write_all(data));
        written.map_err(|e| InputError::io(&self.path, "write the UEFI variables", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A firmware volume of this kind.
    fn volume_of(guid: [u8; 16], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[16..32].copy_from_slice(&guid);
        bytes[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        bytes[40..44].copy_from_slice(b"_FVH");
        bytes
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rvmx-emu-uefi-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, bytes).expect("a file");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn firmware_in_one_file_is_taken_apart_and_one_in_two_put_together() {
        let folder = Folder::new("parts");
        let (variables, code) = (volume_of(VARIABLES, 0x2000), volume_of([7; 16], 0x1000));
        let both = folder.file("OVMF.fd", &[variables.clone(), code.clone()].concat());
        let firmware = load(&Uefi { code: Some(both), vars: None }).expect("firmware");
        assert_eq!((firmware.variables.len(), firmware.code.len()), (0x2000, 0x1000));
        assert_eq!(firmware.variables_at(), 0xFFFF_D000);
        let alone = folder.file("A_CODE_4M.fd", &code);
        let error = load(&Uefi { code: Some(alone.clone()), vars: None }).unwrap_err().to_string();
        assert!(error.contains("no file with its variables beside it; give a copy of it with --uefi-vars"), "{error}");
        folder.file("A_VARS_4M.fd", &variables);
        assert_eq!(load(&Uefi { code: Some(alone), vars: None }), Ok(firmware));
        let other = folder.file("no.fd", &[1; 4096]);
        assert!(
            load(&Uefi { code: Some(other), vars: None })
                .unwrap_err()
                .to_string()
                .contains("no UEFI firmware; install")
        );
    }

    #[test]
    fn variables_are_kept_in_a_file_that_is_made_at_first() {
        let folder = Folder::new("kept");
        let (variables, code) = (volume_of(VARIABLES, 0x2000), volume_of([7; 16], 0x1000));
        let both = folder.file("OVMF.fd", &[variables.clone(), code].concat());
        let kept = folder.0.join("kept");
        let uefi = Uefi { code: Some(both), vars: Some(kept.clone()) };
        let firmware = load(&uefi).expect("firmware");
        let mut file = VariablesFile::open(&kept, &firmware).expect("a file");
        assert!(VariablesFile::open(&kept, &firmware).unwrap_err().to_string().contains("in use"));
        assert_eq!(std::fs::read(&kept).expect("it is there"), variables);
        let mut changed = variables.clone();
        changed[0x1234] = 9;
        std::fs::write(&kept, &changed).expect("it is written");
        assert_eq!(load(&uefi).expect("firmware").variables[0x1234], 9);
        let config = emu_devices::flash::FlashConfig { address: 0, contents: changed };
        assert_eq!(file.update(&mut Flash::new(config), true), Ok(()));
        std::fs::write(&kept, [1]).expect("it is written");
        assert!(load(&uefi).unwrap_err().to_string().contains("it has 1 bytes, this firmware's variables 8192"));
    }
}
