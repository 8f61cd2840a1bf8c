//! The boot order as UEFI firmware is told it: QEMU's fw_cfg item `bootorder`, a list of devices by their Open Firmware
//! paths, as QEMU's `bootindex` makes it.

use crate::config::{AtaDrive, BootDevice, MachineConfig};

/// The item's name.
pub const FILE: &str = "bootorder";

/// The IDE function of the PIIX3, which is function 1 of device 1 on the PCI bus behind ports CF8h and CFCh.
const IDE: &str = "/pci@i0cf8/ide@1,1";
/// The floppy controller, behind the PIIX3's ISA bridge.
const FLOPPIES: &str = "/pci@i0cf8/isa@1/fdc@03f0";

/// All that there is to boot from, in the order of the configuration; `None` where it leaves that to the firmware.
pub fn item(config: &MachineConfig) -> Option<Vec<u8>> {
    if config.boot.is_empty() {
        return None;
    }
    let paths: Vec<String> = config.boot_order().into_iter().flat_map(|device| paths(config, device)).collect();
    (!paths.is_empty()).then(|| (paths.join("\n") + "\0").into_bytes())
}

/// The drives of a kind that have a medium.
fn paths(config: &MachineConfig, device: BootDevice) -> Vec<String> {
    let ata = |wanted: fn(&AtaDrive) -> bool| {
        let drives = config.ata().into_iter().enumerate();
        let drives = drives.filter(|(_, drive)| drive.is_some_and(wanted));
        drives.map(|(number, _)| format!("{IDE}/drive@{}/disk@{}", number / 2, number % 2)).collect()
    };
    match device {
        BootDevice::Disk => ata(|drive| matches!(drive, AtaDrive::Disk { .. })),
        BootDevice::Cdrom => ata(|drive| matches!(drive, AtaDrive::Cdrom { image: Some(_) })),
        BootDevice::Floppy if config.has(BootDevice::Floppy) => vec![format!("{FLOPPIES}/floppy@0")],
        BootDevice::Floppy => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Floppy;

    fn machine(boot: &[BootDevice]) -> MachineConfig {
        let disk = |image: &str| Some(AtaDrive::Disk { image: image.into(), geometry: None });
        MachineConfig {
            hda: disk("a"),
            hdb: Some(AtaDrive::Cdrom { image: None }),
            hdc: Some(AtaDrive::Cdrom { image: Some("c".into()) }),
            hdd: disk("d"),
            fda: Some(Floppy { kind: None, image: Some("f".into()), write_protected: false }),
            boot: boot.to_vec(),
            uefi: Some(Default::default()),
            ..MachineConfig::default()
        }
    }

    fn order(boot: &[BootDevice]) -> Vec<String> {
        let item = String::from_utf8(item(&machine(boot)).expect("an order")).expect("text");
        let paths = item.strip_suffix('\0').expect("a zero at the end");
        paths.lines().map(|path| path.replace("/pci@i0cf8/", "")).collect()
    }

    #[test]
    fn every_drive_with_a_medium_is_named_once_those_of_the_wanted_kind_first() {
        let (a, c, d) = ("ide@1,1/drive@0/disk@0", "ide@1,1/drive@1/disk@0", "ide@1,1/drive@1/disk@1");
        let floppy = "isa@1/fdc@03f0/floppy@0";
        assert_eq!(order(&[BootDevice::Disk]), [a, d, floppy, c]);
        assert_eq!(order(&[BootDevice::Cdrom]), [c, a, d, floppy]);
        assert_eq!(order(&[BootDevice::Cdrom, BootDevice::Floppy]), [c, floppy, a, d]);
    }

    #[test]
    fn without_an_order_the_firmware_has_its_own() {
        assert_eq!(item(&machine(&[])), None);
        assert_eq!(item(&MachineConfig { boot: vec![BootDevice::Disk], ..MachineConfig::default() }), None);
    }
}
