//! From the configuration to a [`Pc`]: files opened, sizes checked, CMOS filled.

use crate::config::{AtaDrive, BootDevice, Floppy, MachineConfig, Rom};
use crate::error::InputError;
use crate::files;
use crate::models;
use emu_core::mem::ram::MAX_ROM;
use emu_devices::ata;
use emu_devices::board::BoardConfig;
use emu_devices::debug_ports::{DebugExit, DebugPortsConfig};
use emu_devices::disk::{DiskImage, FloppyFormat, OpenMode};
use emu_devices::floppy::{FloppyDrive, FloppyDriveType};
use emu_devices::pc::{self, DEFAULT_QUANTUM, DEFAULT_TIME, Pc, PcConfig, PcError, VIDEO_MEMORY};
use emu_devices::rtc::{self, CmosConfig, RtcConfig};
use std::path::Path;
use std::sync::Arc;

/// The PC of `config`. With `kernel` a ROM is added that takes over when the firmware boots.
pub fn pc(config: &MachineConfig, kernel: bool) -> Result<Pc, InputError> {
    let model = models::find("--cpu-model", &config.cpu_model)?;
    let mode = if config.snapshot { OpenMode::Snapshot } else { OpenMode::ReadWrite };
    let mut drives: [Option<ata::AtaDrive>; 4] = [None, None, None, None];
    for (n, (place, drive)) in drives.iter_mut().zip(config.ata()).enumerate() {
        *place = drive.map(|drive| ata_drive(drive, n, mode)).transpose()?;
    }
    let memory = config.memory << 20;
    let (mut bios, mut option_roms) = (firmware::BIOS.to_vec(), Vec::new());
    if let Some(rom) = &config.rom {
        let bytes = read_rom(rom)?;
        // A BIOS for a place of its own must end where the processor starts: at 1 MiB or 4 GiB.
        let end = rom.address.map(|address| address + bytes.len() as u64);
        if end.is_some_and(|end| end != 1 << 20 && end != 1 << 32) {
            let problem = format!("a BIOS of {} bytes does not end at 0xfffff or 0xffffffff there", bytes.len());
            return Err(InputError::file(&rom.file, problem).remedy("leave the address out"));
        }
        bios = bytes;
    }
    let vga_bios = match &config.vga_rom {
        Some(rom) => read_rom(rom)?,
        None => firmware::VGABIOS.to_vec(),
    };
    for rom in &config.option_roms {
        let Some(address) = rom.address else {
            return Err(InputError::file(&rom.file, "an option ROM needs an address").remedy("give 0xc8000 to 0xdf800"));
        };
        option_roms.push((address, read_rom(rom)?));
    }
    if kernel {
        option_roms.push(super::kernel::loader_rom());
    }
    let [fda, fdb] = config.floppies();
    let floppies = [floppy_drive(fda, mode)?, floppy_drive(fdb, mode)?];
    let boot = config.boot_order().into_iter().map(|device| match device {
        BootDevice::Floppy => rtc::BootDevice::Floppy,
        BootDevice::Disk => rtc::BootDevice::Disk,
        BootDevice::Cdrom => rtc::BootDevice::CdRom,
    });
    let [a, b, c, d] = drives;
    let ata = [[a, b], [c, d]];
    let board = BoardConfig {
        hz: config.ips,
        rtc: RtcConfig {
            start: config.seed_time.unwrap_or(DEFAULT_TIME),
            cmos: CmosConfig {
                boot: boot.collect(),
                vmx_unlocked: config.vmx_unlocked,
                ..pc::cmos(config.cpus, memory, &ata, &floppies)
            },
        },
        ata,
        floppies,
        debug: DebugPortsConfig {
            port_402: config.rom.is_some(),
            debug_exit: config.debug_exit.map(|port| DebugExit { port, size: 4 }),
        },
        test_devices: config.test_devices,
        video_memory: VIDEO_MEMORY,
        // SeaBIOS takes the VGA BIOS from there alone; ours and Bochs's find it at C0000h.
        vga_rom: if config.rom.is_some() { vga_bios.clone() } else { Vec::new() },
    };
    let mut pc = Pc::new(PcConfig {
        processors: config.cpus,
        model: Arc::new(model),
        memory,
        quantum: config.quantum.unwrap_or(DEFAULT_QUANTUM),
        bios,
        vga_bios,
        option_roms,
        board,
    })
    .map_err(|error| {
        if let PcError::Memory(error) = error {
            return InputError::new("memory", error.to_string()).remedy("give less with --memory");
        }
        let place =
            config.rom.as_ref().or(config.vga_rom.as_ref()).map_or("ROM".into(), |rom| rom.file.display().to_string());
        InputError::new(place, error.to_string())
    })?;
    pc.cpus.iter_mut().for_each(|cpu| cpu.config.ignore_bad_msrs = config.ignore_bad_msrs);
    Ok(pc)
}

/// Reads a ROM's file.
pub fn read_rom(rom: &Rom) -> Result<Vec<u8>, InputError> {
    files::read(&rom.file, "ROM", MAX_ROM as u64)
}

fn open(path: &Path, mode: OpenMode) -> Result<DiskImage, InputError> {
    DiskImage::open(path, mode).map_err(|error| InputError::new("drive", error.to_string()))
}

/// A medium to be put in later: what has a floppy disk's size is written to as floppies are, the rest are discs.
pub fn medium(path: &Path, snapshot: bool) -> Result<DiskImage, InputError> {
    let size = std::fs::metadata(path).map_err(|error| InputError::io(path, "read the image", &error))?.len();
    let mode = match (FloppyFormat::of_size(size), snapshot) {
        (None, _) => OpenMode::ReadOnly,
        (Some(_), true) => OpenMode::Snapshot,
        (Some(_), false) => OpenMode::ReadWrite,
    };
    open(path, mode)
}

fn ata_drive(drive: &AtaDrive, number: usize, mode: OpenMode) -> Result<ata::AtaDrive, InputError> {
    Ok(match drive {
        AtaDrive::Disk { image, geometry } => ata::AtaDrive::HardDisk {
            geometry: *geometry,
            image: open(image, mode)?,
            serial: format!("RVMX{number:04}"),
        },
        AtaDrive::Cdrom { image } => {
            ata::AtaDrive::Cdrom { image: image.as_deref().map(|path| open(path, OpenMode::ReadOnly)).transpose()? }
        }
    })
}

/// A floppy drive; one without a kind is of the kind that fits its medium, or 1.44M.
fn floppy_drive(floppy: Option<&Floppy>, mode: OpenMode) -> Result<Option<FloppyDrive>, InputError> {
    use crate::config::FloppyKind::*;
    let Some(floppy) = floppy else { return Ok(None) };
    let kind = floppy.kind.map(|kind| match kind {
        K160 | K180 | K320 | K360 => FloppyDriveType::D360K,
        K720 => FloppyDriveType::D720K,
        M1_2 => FloppyDriveType::D1200K,
        M1_44 => FloppyDriveType::D1440K,
        M2_88 => FloppyDriveType::D2880K,
    });
    let Some(path) = &floppy.image else {
        return Ok(Some(FloppyDrive::empty(kind.unwrap_or(FloppyDriveType::D1440K))));
    };
    let mut image = open(path, mode)?;
    image.set_write_protected(floppy.write_protected || image.write_protected());
    FloppyDrive::with_disk(kind, image).map(Some).map_err(|error| InputError::file(path, error.to_string()))
}
