//! A PC with the defaults of the command line.

use super::{DEFAULT_QUANTUM, Pc, PcConfig, PcError};
use crate::ata::AtaDrive;
use crate::board::BoardConfig;
use crate::debug_ports::{DebugExit, DebugPortsConfig};
use crate::disk::{DiskImage, Geometry};
use crate::floppy::FloppyDrive;
use crate::rtc::{BootDevice, CmosConfig, DiskGeometry, FloppyType, RtcConfig};
use emu_core::cycles::parts::Parts;
use emu_core::mem::ram::LOW_RAM_LIMIT;
use emu_core::model::CpuModel;
use std::sync::Arc;

/// Cycles per guest second, unless told otherwise.
pub const DEFAULT_HZ: u64 = 50_000_000;
/// RAM in bytes, unless told otherwise.
pub const DEFAULT_MEMORY: u64 = 512 << 20;
/// 2026-01-01T00:00:00Z, so that runs repeat.
pub const DEFAULT_TIME: i64 = 1_767_225_600;
/// Video memory in bytes.
pub const VIDEO_MEMORY: usize = 16 << 20;

/// A PC to be built: one processor of the default model, 512 MiB, the machine's own firmware, no drives.
#[derive(Debug)]
pub struct PcBuilder {
    processors: u32,
    model: Option<Arc<CpuModel>>,
    memory: u64,
    hz: u64,
    quantum: u64,
    cycles: bool,
    parts: Parts,
    time: i64,
    bios: Vec<u8>,
    vga_bios: Vec<u8>,
    disks: Vec<DiskImage>,
    cd_rom: Option<DiskImage>,
    floppy: Option<DiskImage>,
    boot: Vec<BootDevice>,
    debug_exit: Option<u16>,
    vmx_unlocked: bool,
}

impl Default for PcBuilder {
    fn default() -> Self {
        Self {
            processors: 1,
            model: None,
            memory: DEFAULT_MEMORY,
            hz: DEFAULT_HZ,
            quantum: DEFAULT_QUANTUM,
            cycles: false,
            parts: Parts::NONE,
            time: DEFAULT_TIME,
            bios: firmware::BIOS.to_vec(),
            vga_bios: firmware::VGABIOS.to_vec(),
            disks: Vec::new(),
            cd_rom: None,
            floppy: None,
            boot: Vec::new(),
            debug_exit: None,
            vmx_unlocked: false,
        }
    }
}

impl PcBuilder {
    /// Logical processors, 1 to 254.
    #[must_use]
    pub fn processors(self, processors: u32) -> Self {
        Self { processors, ..self }
    }

    /// The processors' model.
    #[must_use]
    pub fn model(self, model: CpuModel) -> Self {
        Self { model: Some(Arc::new(model)), ..self }
    }

    /// RAM in bytes.
    #[must_use]
    pub fn memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }

    /// Cycles per guest second.
    #[must_use]
    pub fn hz(self, hz: u64) -> Self {
        Self { hz: hz.max(1), ..self }
    }

    /// Cycles of a processor's turn.
    #[must_use]
    pub fn quantum(self, quantum: u64) -> Self {
        Self { quantum, ..self }
    }

    /// Instructions and events cost what the model's table of cycles says, and not a cycle each.
    #[must_use]
    pub fn model_clock(self) -> Self {
        self.model_clock_with(Parts::NONE)
    }

    /// [`PcBuilder::model_clock`], and what goes on in caches or in branch prediction takes time, too.
    #[must_use]
    pub fn model_clock_with(self, parts: Parts) -> Self {
        Self { cycles: true, parts, ..self }
    }

    /// The clock's start, in seconds since 1970-01-01T00:00:00.
    #[must_use]
    pub fn start_time(self, time: i64) -> Self {
        Self { time, ..self }
    }

    /// The system ROM, in place of the machine's own.
    #[must_use]
    pub fn bios(self, bios: Vec<u8>) -> Self {
        Self { bios, ..self }
    }

    /// The next hard disk, up to two. What is added first is booted first.
    #[must_use]
    pub fn hard_disk(mut self, image: DiskImage) -> Self {
        self.disks.push(image);
        self.boots(BootDevice::Disk)
    }

    /// The CD-ROM drive, with this disc in it.
    #[must_use]
    pub fn cd_rom(mut self, image: DiskImage) -> Self {
        self.cd_rom = Some(image);
        self.boots(BootDevice::CdRom)
    }

    /// Drive A:, with this disk in it.
    #[must_use]
    pub fn floppy(mut self, image: DiskImage) -> Self {
        self.floppy = Some(image);
        self.boots(BootDevice::Floppy)
    }

    /// isa-debug-exit at this port.
    #[must_use]
    pub fn debug_exit(self, port: u16) -> Self {
        Self { debug_exit: Some(port), ..self }
    }

    /// The machine's own BIOS leaves IA32_FEATURE_CONTROL unlocked and 0.
    #[must_use]
    pub fn vmx_unlocked(self) -> Self {
        Self { vmx_unlocked: true, ..self }
    }

    fn boots(mut self, device: BootDevice) -> Self {
        if !self.boot.contains(&device) {
            self.boot.push(device);
        }
        self
    }

    /// The PC after power-on.
    ///
    /// # Errors
    /// [`PcError`] if the host has too little memory, a ROM does not fit, the floppy image is none, or the model names no
    /// table of cycles for its clock.
    pub fn build(self) -> Result<Pc, PcError> {
        let floppy = self.floppy.map(|image| FloppyDrive::with_disk(None, image)).transpose()?;
        let mut disk_images = self.disks.into_iter().enumerate().map(|(n, image)| AtaDrive::HardDisk {
            image,
            geometry: None,
            serial: format!("RVMX{n:04}"),
        });
        let (first, second) = (disk_images.next(), disk_images.next());
        let ata = [[first, second], [self.cd_rom.map(|image| AtaDrive::Cdrom { image: Some(image) }), None]];
        let floppies = [floppy, None];
        let board = BoardConfig {
            hz: self.hz,
            rtc: RtcConfig {
                start: self.time,
                cmos: CmosConfig {
                    boot: self.boot,
                    vmx_unlocked: self.vmx_unlocked,
                    ..cmos(self.processors, self.memory, &ata, &floppies)
                },
            },
            ata,
            floppies,
            debug: DebugPortsConfig {
                port_402: false,
                debug_exit: self.debug_exit.map(|port| DebugExit { port, size: 4 }),
            },
            test_devices: false,
            video_memory: VIDEO_MEMORY,
            vga_rom: Vec::new(),
            flash: None,
            fw_cfg: None,
        };
        let model = self.model.unwrap_or_else(|| Arc::new(CpuModel::default_model()));
        Pc::new(PcConfig {
            processors: self.processors,
            cycles: self.cycles.then(|| model.table()).transpose()?,
            parts: self.parts,
            model,
            memory: self.memory,
            quantum: self.quantum,
            bios: self.bios,
            vga_bios: self.vga_bios,
            option_roms: Vec::new(),
            board,
        })
    }
}

/// What CMOS tells the firmware of a machine: its processors, its memory in bytes and its drives. The boot order is the
/// firmware's own.
pub fn cmos(
    processors: u32,
    memory: u64,
    ata: &[[Option<AtaDrive>; 2]; 2],
    floppies: &[Option<FloppyDrive>; 2],
) -> CmosConfig {
    let disk = |drive: &Option<AtaDrive>| match drive {
        Some(AtaDrive::HardDisk { image, geometry, .. }) => {
            let Geometry { cylinders, heads, sectors } =
                geometry.unwrap_or_else(|| Geometry::of_sectors(image.sectors()));
            Some(DiskGeometry { cylinders, heads, sectors })
        }
        _ => None,
    };
    CmosConfig {
        memory_below_4g: memory.min(LOW_RAM_LIMIT),
        memory_above_4g: memory.saturating_sub(LOW_RAM_LIMIT),
        floppies: floppies.each_ref().map(|drive| FloppyType::of(drive.as_ref().map(FloppyDrive::kind))),
        // There is room for two, and they are those of the primary channel.
        disks: ata[0].each_ref().map(disk),
        boot: Vec::new(),
        skip_floppy_signature: true,
        processors: processors as u8,
        vmx_unlocked: false,
    }
}
