//! From the configuration to a [`Pc`]: files opened, sizes checked, CMOS filled.

use super::uefi::Firmware;
use super::{acpi, boot_order};
use crate::config::{
    AtaDrive, BootDevice, Clock, DEFAULT_CPU_MODEL, Floppy, FwCfgContents, FwCfgItem, JIT, MachineConfig, Rom,
};
use crate::error::InputError;
use crate::files;
use crate::models;
use emu_core::cycles::parts::Parts;
use emu_core::mem::ram::{LOW_RAM_LIMIT, MAX_ROM};
use emu_devices::ata;
use emu_devices::board::BoardConfig;
use emu_devices::debug_ports::{DebugExit, DebugPortsConfig};
use emu_devices::disk::{DiskImage, FloppyFormat, OpenMode};
use emu_devices::flash::FlashConfig;
use emu_devices::floppy::{FloppyDrive, FloppyDriveType};
use emu_devices::fw_cfg::{self, FwCfgConfig, FwCfgFile};
use emu_devices::pc::{self, DEFAULT_QUANTUM, DEFAULT_TIME, Pc, PcConfig, PcError, VIDEO_MEMORY};
use emu_devices::rtc::{self, CmosConfig, RtcConfig};
use std::path::Path;
use std::sync::Arc;

/// The PC of `config`. With `kernel` a ROM is added that takes over when the firmware boots; `uefi` takes the BIOS's place.
pub fn pc(config: &MachineConfig, kernel: bool, uefi: Option<Firmware>) -> Result<Pc, InputError> {
    let fw_cfg = fw_cfg(config, uefi.is_some())?;
    let model = models::find("--cpu-model", &config.cpu_model)?;
    let (cycles, parts) = match config.clock {
        Clock::Ips => (None, Parts::NONE),
        Clock::Model(parts) => (
            Some(model.table().map_err(|error| {
                let other = format!("give --clock ips, or a model that names one, such as {DEFAULT_CPU_MODEL}");
                InputError::new("--clock model", error.to_string()).remedy(other)
            })?),
            parts,
        ),
    };
    let mode = if config.snapshot { OpenMode::Snapshot } else { OpenMode::ReadWrite };
    let mut drives: [Option<ata::AtaDrive>; 4] = [None, None, None, None];
    for (n, (place, drive)) in drives.iter_mut().zip(config.ata()).enumerate() {
        *place = drive.map(|drive| ata_drive(drive, n, mode)).transpose()?;
    }
    let memory = config.memory << 20;
    let top = if memory > LOW_RAM_LIMIT { (1 << 32) + memory - LOW_RAM_LIMIT } else { memory };
    let bits = model.physical_bits();
    if top > 1 << bits {
        let problem =
            format!("{} MiB end at {:#x}, above the {bits} bits of the CPU model's addresses", config.memory, top - 1);
        return Err(InputError::new("--memory", problem).remedy("give less, or another --cpu-model"));
    }
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
    let mut flash = None;
    if let Some(firmware) = uefi {
        flash = Some(FlashConfig { address: firmware.variables_at(), contents: firmware.variables });
        bios = firmware.code;
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
    let other_firmware = config.rom.is_some() || config.uefi.is_some();
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
            port_402: other_firmware,
            debug_exit: config.debug_exit.map(|port| DebugExit { port, size: 4 }),
        },
        test_devices: config.test_devices,
        video_memory: VIDEO_MEMORY,
        // SeaBIOS takes the VGA BIOS from there alone; ours and Bochs's find it at C0000h.
        vga_rom: if other_firmware { vga_bios.clone() } else { Vec::new() },
        flash,
        fw_cfg,
    };
    let mut pc = Pc::new(PcConfig {
        processors: config.cpus,
        model: Arc::new(model),
        memory,
        quantum: config.quantum.unwrap_or(DEFAULT_QUANTUM),
        cycles,
        parts,
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
    if let Some((port, what)) = config.debug_exit.and_then(probed) {
        log::warn!(
            "--debug-exit: firmware looks for {what} at port {port:#x}, and may end the run with that; 0xf4 and 0x501 are free"
        );
    }
    if let (Some((port, device)), Some(exit)) = (pc.board.before_debug_exit(), config.debug_exit) {
        let problem =
            format!("{exit:#x} to {:#x}: port {port:#x} is of another device: {}", u32::from(exit) + 3, device.words());
        return Err(InputError::new("--debug-exit", problem).remedy("give a free port, such as 0xf4 or 0x501"));
    }
    if JIT.is_none() && config.jit.is_some() {
        log::warn!("--jit: nothing compiles code here; everything is interpreted");
    }
    #[cfg(feature = "jit")]
    pc.set_tier(config.jit.and_then(emu_jit::tier));
    Ok(pc)
}

/// A port of an isa-debug-exit where firmware looks for another device, and what that is.
fn probed(exit: u16) -> Option<(u16, &'static str)> {
    let places = [
        (0x2F8..=0x2FF, "COM2"),
        (0x3E8..=0x3EF, "COM3"),
        (0x2E8..=0x2EF, "COM4"),
        (0x378..=0x37F, "LPT1"),
        (0x278..=0x27F, "LPT2"),
        (0x402..=0x402, "its debug console"),
        (0x510..=0x51B, "fw_cfg"),
        (0xB000..=0xB03F, "power management"),
    ];
    let own = exit..=exit.saturating_add(3);
    places.into_iter().find_map(|(ports, what)| own.clone().find(|port| ports.contains(port)).map(|port| (port, what)))
}

/// What firmware is told: what the user gives, and for UEFI firmware the ACPI tables, the memory and VMX.
fn fw_cfg(config: &MachineConfig, uefi: bool) -> Result<Option<FwCfgConfig>, InputError> {
    if !uefi && config.fw_cfg.is_empty() {
        return Ok(None);
    }
    let memory = config.memory << 20;
    let mut files = acpi::files(config.cpus);
    let mut add = |name: &str, data: Vec<u8>| files.push(FwCfgFile { name: name.to_owned(), data });
    let mut map = Vec::new();
    for (start, length) in [(0, memory.min(LOW_RAM_LIMIT)), (1 << 32, memory.saturating_sub(LOW_RAM_LIMIT))] {
        if length != 0 {
            map.extend([start, length].into_iter().flat_map(u64::to_le_bytes));
            map.extend(1u32.to_le_bytes());
        }
    }
    add("etc/e820", map);
    if !config.vmx_unlocked {
        // Locked, VMXON outside SMX operation: the firmware writes it on every processor.
        add("etc/msr_feature_control", 5u64.to_le_bytes().to_vec());
    }
    let own = config.fw_cfg.iter().any(|item| item.name == boot_order::FILE);
    if let Some(order) = boot_order::item(config).filter(|_| !own) {
        add(boot_order::FILE, order);
    }
    for item in &config.fw_cfg {
        add(&item.name, fw_cfg_data(item)?);
    }
    let mut names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let problem = format!("there are two items {:?}", twice[0]);
        return Err(InputError::new("fw_cfg", problem).remedy("give names of your own, such as opt/org.example/x"));
    }
    Ok(Some(FwCfgConfig { processors: config.cpus as u16, memory, files }))
}

/// What an item of fw_cfg holds.
pub fn fw_cfg_data(item: &FwCfgItem) -> Result<Vec<u8>, InputError> {
    match &item.contents {
        FwCfgContents::String(text) => Ok(text.clone().into_bytes()),
        FwCfgContents::File(path) => files::read(path, "fw_cfg item", fw_cfg::MAX_BYTES as u64),
    }
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
