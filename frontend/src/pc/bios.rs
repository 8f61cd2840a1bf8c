//! The machine's own BIOS, seen from outside: whether it has found nothing to boot, and why.

use crate::config::{AtaDrive, BootDevice, MachineConfig};
use crate::fat::FatFolder;
use emu_core::state::system::Activity;
use emu_devices::pc::Pc;
use emu_vmx::arch::segment::SegmentRegister;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

/// The end of the handler of INT 18h: HLT, a jump back to it, and what it has printed.
const GIVEN_UP: &[u8] = b"\xF4\xEB\xFD\x0D\x0ANo bootable device.";

/// Where the processor stands when the BIOS has given up: the offset in F000h behind the HLT.
static STOPPED: LazyLock<Option<u64>> = LazyLock::new(|| {
    let at = firmware::BIOS.windows(GIVEN_UP.len()).position(|window| window == GIVEN_UP)?;
    Some((at + 1) as u64)
});

/// Whether the boot processor waits in the handler of INT 18h.
pub fn has_given_up(pc: &Pc) -> bool {
    let Some(cpu) = pc.cpus.first() else { return false };
    let code = cpu.sys.seg(SegmentRegister::Cs);
    cpu.sys.activity == Activity::Hlt && Some(cpu.rip()) == *STOPPED && code.base == 0xF_0000
}

/// What there is to boot from, and what is wrong with it.
pub fn why_nothing_boots(config: &MachineConfig) -> String {
    let mut reasons = Vec::new();
    for device in config.boot_order() {
        match device {
            BootDevice::Disk => {
                let first = config.ata().into_iter().flatten().find_map(|drive| match drive {
                    AtaDrive::Disk { image, .. } => Some(image),
                    AtaDrive::Cdrom { .. } => None,
                });
                reasons.extend(first.map(|image| match FatFolder::of_image(config, image) {
                    Some(folder) => format!("the disk of --fat {} is for --uefi or --kernel", folder.display()),
                    None => of_sector(image, true),
                }));
            }
            BootDevice::Floppy => {
                let image = config.fda.as_ref().and_then(|floppy| floppy.image.as_deref());
                reasons.push(image.map_or("floppy drive A: is empty".to_owned(), |image| of_sector(image, false)));
            }
            BootDevice::Cdrom => reasons.push("the CD-ROM is not bootable (El Torito)".to_owned()),
        }
    }
    format!("nothing bootable: {}", reasons.join("; "))
}

fn of_sector(image: &Path, signature: bool) -> String {
    let mut sector = [0; 512];
    let read = std::fs::File::open(image).and_then(|mut file| file.read_exact(&mut sector));
    let what = match read {
        Err(_) => "its first sector cannot be read",
        Ok(()) if signature && sector[510..] != [0x55, 0xAA] => "its first sector does not end in 55 AA",
        Ok(()) if sector[..512 - 2].iter().all(|byte| *byte == sector[0]) => "its first sector is empty",
        Ok(()) => "what its first sector holds has given up",
    };
    format!("{}: {what}", image.display())
}
