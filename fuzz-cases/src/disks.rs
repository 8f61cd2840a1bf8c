//! Disk, floppy and CD-ROM images of any size: booted by the firmware, and read and written through the controllers.

use crate::guest::model;
use crate::{Source, instructions};
use emu_core::bus::Bus;
use emu_core::mem::ram::Ram;
use emu_devices::ata::AtaDrive;
use emu_devices::board::{Board, BoardConfig};
use emu_devices::debug_ports::DebugPortsConfig;
use emu_devices::disk::{DiskImage, FloppyFormat, Geometry, ImageKind};
use emu_devices::floppy::{FloppyDrive, FloppyDriveType};
use emu_devices::pc::{Pc, PcConfig};
use emu_devices::rtc::{BootDevice, CmosConfig, DiskGeometry, FloppyType, RtcConfig};
use emu_vmx::arch::segment::SegmentRegister;

/// Cycles per guest second: few, so that the firmware's delays are short.
const HZ: u64 = 1_000_000;

/// Sizes at and around which images change their nature, bytes.
const SIZES: [usize; 22] = [
    1, 2, 446, 510, 511, 512, 513, 1024, 2047, 2048, 2049, 32_768, 34_816, 36_864, 163_840, 184_320, 327_680, 368_640,
    516_096, 737_280, 1_228_800, 1_474_560,
];

/// An image's bytes: a boot sector or a volume descriptor with mistakes, or anything.
fn bytes(source: &mut Source) -> Vec<u8> {
    let mut size = source.pick(&SIZES);
    if source.chance(40) {
        size = (size as u64).wrapping_add(source.value() % 1025).wrapping_sub(512).min(3 << 20) as usize;
    }
    if source.chance(2) {
        size = 0;
    }
    let mut image = vec![0; size];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in image.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    // int 13h with random registers, then random code.
    let mut boot = vec![0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0];
    let calls = source.below(5);
    for _ in 0..calls {
        let function =
            source.pick(&[0x00, 0x02, 0x02, 0x03, 0x04, 0x05, 0x08, 0x15, 0x16, 0x41, 0x42, 0x43, 0x48, 0x4B]);
        boot.extend([0xB4, function, 0xB0, source.byte(), 0xBB, 0x00, source.byte(), 0xB9]);
        boot.extend(source.bits(2).to_le_bytes()[..2].iter());
        boot.extend([0xBA, source.pick(&[0, 1, 0x80, 0x81, 0xE0, 0x7F]), source.byte(), 0xBE, 0x00, 0x7D, 0xCD, 0x13]);
    }
    boot.extend(instructions::code(source, 40));
    boot.truncate(440);
    put(0, &boot);
    // A partition table, and a disk address packet at 7D00h.
    let tail = source.bytes(64);
    if source.chance(30) {
        put(446, &tail);
    }
    put(0x100, &[0x10, 0, source.byte(), 0, 0, 0x80, 0, source.byte()]);
    if source.chance(85) {
        put(510, &[0x55, 0xAA]);
    }
    if source.chance(30) {
        // El Torito: boot record volume descriptor, then its catalogue (ISO 9660; El Torito 1.0).
        put(0x8000, b"\x01CD001\x01");
        put(0x8800, b"\x00CD001\x01EL TORITO SPECIFICATION");
        let catalogue = if source.chance(70) { 19 } else { source.value() as u32 };
        put(0x8847, &catalogue.to_le_bytes());
        put(19 * 2048, &[1, 0, 0, 0]);
        put(
            19 * 2048 + 28,
            &[0xAA, 0x55, 0x55, 0xAA, 0x88, source.byte() & 7, 0, 0, 0, 0, source.byte(), source.byte()],
        );
        put(19 * 2048 + 40, &(source.value() as u32).to_le_bytes());
    }
    image
}

fn image(source: &mut Source, bytes: Vec<u8>) -> Option<DiskImage> {
    let empty = bytes.is_empty();
    let image = DiskImage::from_bytes("fuzz", bytes);
    assert_eq!(image.is_err(), empty, "an image is refused if and only if it is empty");
    let mut image = image.ok()?;
    image.set_write_protected(source.chance(15));
    Some(image)
}

/// A hard disk of `size` bytes of zeros.
pub fn hard_disk(source: &mut Source, size: usize) -> AtaDrive {
    let image = DiskImage::from_bytes("disk", vec![0; size.max(1)]).expect("not empty");
    AtaDrive::HardDisk { image, geometry: geometry(source), serial: "1".to_owned() }
}

/// A CD-ROM drive, with a disc of `size` bytes.
pub fn cdrom(source: &mut Source, size: Option<usize>) -> AtaDrive {
    AtaDrive::Cdrom { image: size.and_then(|size| image(source, vec![1; size])) }
}

/// A floppy drive with a disk of `size` bytes.
pub fn floppy(source: &mut Source, size: usize) -> Option<FloppyDrive> {
    let image = image(source, vec![2; size])?;
    FloppyDrive::with_disk(None, image).ok()
}

fn geometry(source: &mut Source) -> Option<Geometry> {
    if source.chance(50) {
        return None;
    }
    let (cylinders, heads, sectors) = (source.value() as u32, source.below(18) as u32, source.below(66) as u32);
    Geometry::new(cylinders, heads, sectors).ok()
}

/// What is in which drive.
struct Drives {
    config: BoardConfig,
    boot: BootDevice,
}

fn drives(source: &mut Source) -> Drives {
    let kinds = [FloppyDriveType::D360K, FloppyDriveType::D1200K, FloppyDriveType::D720K, FloppyDriveType::D2880K];
    let mut ata = [[None, None], [None, None]];
    let mut floppies = [None, None];
    let mut cmos = CmosConfig { memory_below_4g: 2 << 20, processors: 1, ..CmosConfig::default() };
    let first = bytes(source);
    let boot = source.pick(&[BootDevice::Disk, BootDevice::Floppy, BootDevice::CdRom]);
    match boot {
        BootDevice::Disk => {
            ImageKind::of_size(first.len() as u64);
            let geometry = geometry(source);
            if let Some(image) = image(source, first) {
                let shape = geometry.unwrap_or(Geometry::of_sectors(image.sectors()));
                cmos.disks[0] =
                    Some(DiskGeometry { cylinders: shape.cylinders, heads: shape.heads, sectors: shape.sectors });
                ata[0][0] =
                    Some(AtaDrive::HardDisk { image, geometry, serial: "a disk with a long serial".to_owned() });
            }
        }
        BootDevice::Floppy => {
            FloppyFormat::of_size(first.len() as u64);
            let kind = source.chance(30).then(|| source.pick(&kinds));
            cmos.floppies[0] = FloppyType::Mb1_44;
            floppies[0] = image(source, first).and_then(|image| FloppyDrive::with_disk(kind, image).ok());
        }
        BootDevice::CdRom => ata[1][0] = Some(AtaDrive::Cdrom { image: image(source, first) }),
    }
    if source.chance(20) {
        ata[0][1] = Some(cdrom(source, None));
    }
    if source.chance(20) {
        floppies[1] = Some(FloppyDrive::empty(source.pick(&kinds)));
    }
    cmos.boot = vec![boot];
    let config = BoardConfig {
        hz: HZ,
        rtc: RtcConfig { start: 0, cmos },
        ata,
        floppies,
        debug: DebugPortsConfig { port_402: false, debug_exit: None },
        test_devices: false,
        video_memory: 0x4_0000,
        vga_rom: Vec::new(),
        flash: None,
        fw_cfg: None,
    };
    Drives { config, boot }
}

/// Boots an image, or drives the controllers.
pub fn disk_images(source: &mut Source) {
    let boots = source.chance(15);
    let drives = drives(source);
    if boots {
        return boot(source, drives.config);
    }
    let mut ram = Ram::new(1 << 20).expect("the host has memory");
    let mut controller = Controller { board: Board::new(drives.config, &mut ram), ram, now: 0 };
    let commands = 1 + source.below(24);
    for _ in 0..commands {
        match drives.boot {
            BootDevice::Floppy => controller.floppy_command(source),
            device => controller.ata_command(source, device == BootDevice::CdRom),
        }
    }
    assert!(controller.board.encode_state().is_ok());
}

/// Cycles that the BIOS is busy with itself at least; some of its code runs from RAM.
const POST: u64 = 150_000;
/// Where RAM ends and ROMs begin, below 1 MiB: code below it is the image's.
const VIDEO_MEMORY: u64 = 0xA_0000;

fn boot(source: &mut Source, board: BoardConfig) {
    let config = PcConfig {
        processors: 1,
        model: model(false),
        memory: 2 << 20,
        quantum: 1000,
        cycles: None,
        parts: emu_core::cycles::parts::Parts::NONE,
        bios: firmware::BIOS.to_vec(),
        vga_bios: firmware::VGABIOS.to_vec(),
        option_roms: Vec::new(),
        board,
    };
    let mut pc = Pc::new(config).expect("the ROMs are good");
    for _ in 0..2000 {
        pc.run_until(pc.now() + 997);
        if pc.now() > POST && pc.cpus[0].sys.seg(SegmentRegister::Cs).base < VIDEO_MEMORY {
            break;
        }
    }
    // Little more: code that faults at once and by that rewrites itself is decoded again for every cycle.
    pc.run_until(pc.now() + 20_000 + source.below(100_000));
}

/// A board and its clock.
struct Controller {
    board: Board,
    ram: Ram,
    now: u64,
}

impl Controller {
    fn read(&mut self, port: u16, size: u8) -> u32 {
        self.now += 1;
        self.board.port_read(&mut self.ram, self.now, port, size)
    }

    fn write(&mut self, port: u16, size: u8, value: u32) {
        self.now += 1;
        self.board.port_write(&mut self.ram, self.now, port, size, value);
    }

    /// Lets time pass until the status register has what is wanted, a guest second at most.
    fn wait(&mut self, port: u16, mask: u32, value: u32) -> bool {
        for step in 0..200 {
            if self.read(port, 1) & mask == value {
                return true;
            }
            self.now += 10 + step * 50;
        }
        false
    }

    fn ata_command(&mut self, source: &mut Source, packet: bool) {
        const COMMANDS: [u8; 34] = [
            0x20, 0x20, 0x21, 0x24, 0x25, 0x29, 0x30, 0x30, 0x31, 0x34, 0x35, 0x39, 0x40, 0x42, 0x70, 0x90, 0x91, 0xA0,
            0xA1, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xE0, 0xE5, 0xE7, 0xEA, 0xEC, 0xEF, 0xF8, 0x27, 0x37, 0x08,
        ];
        let base = if packet { 0x170 } else { 0x1F0 };
        let deep = 1 + source.below(2);
        for _ in 0..deep {
            for register in 1..6 {
                let value = if source.chance(60) { source.below(4) as u8 } else { source.byte() };
                self.write(base + register, 1, value.into());
            }
        }
        let device = source.pick(&[0xE0, 0xA0, 0x40, 0x00, 0xF0, 0xEF]);
        self.write(base + 6, 1, device);
        if source.chance(5) {
            let control = u32::from(source.byte());
            self.write(base + 0x206, 1, control);
            self.write(base + 0x206, 1, 0);
        }
        let command = if packet && source.chance(70) { 0xA0 } else { source.pick(&COMMANDS) };
        self.write(base + 7, 1, command.into());
        self.wait(base + 7, 0x80, 0);
        if command == 0xA0 {
            let opcode = source.pick(&[
                0x00, 0x03, 0x12, 0x1B, 0x1E, 0x25, 0x28, 0x28, 0xA8, 0x43, 0x46, 0x4A, 0x51, 0x5A, 0xBE, 0xAD, 0x2B,
            ]);
            let mut bytes = [0; 12];
            bytes[0] = opcode;
            for byte in &mut bytes[1..] {
                *byte = if source.chance(70) { source.below(3) as u8 } else { source.byte() };
            }
            for pair in bytes.chunks(2) {
                self.write(base, 2, u32::from(pair[0]) | u32::from(pair[1]) << 8);
            }
        }
        let size = source.pick(&[2, 2, 4, 1]);
        let limit = source.below(2000);
        for step in 0..limit {
            // Mostly a polite program; at times one that does not look.
            if step % 64 == 0 && source.chance(80) && !self.wait(base + 7, 0x80, 0) {
                break;
            }
            if self.read(base + 0x206, 1) & 8 == 0 && source.chance(80) {
                break;
            }
            if step & 1 == 0 || !source.chance(30) {
                self.read(base, size);
            } else {
                let value = source.value() as u32;
                self.write(base, size, value);
            }
        }
    }

    fn floppy_command(&mut self, source: &mut Source) {
        const COMMANDS: [(u8, u8); 18] = [
            (0x06, 8),
            (0x06, 8),
            (0x05, 8),
            (0x02, 8),
            (0x0D, 5),
            (0x0A, 1),
            (0x07, 1),
            (0x08, 0),
            (0x0F, 2),
            (0x03, 2),
            (0x04, 1),
            (0x0E, 0),
            (0x10, 0),
            (0x12, 1),
            (0x13, 3),
            (0x14, 0),
            (0x11, 8),
            (0x8F, 2),
        ];
        if source.chance(60) {
            let control = u32::from(source.pick(&[0x1C, 0x1C, 0x14, 0x2D, 0x00, 0x0C, 0x18u8]));
            self.write(0x3F2, 1, control);
        }
        if source.chance(20) {
            let rate = u32::from(source.byte() & 3);
            self.write(0x3F7, 1, rate);
        }
        // DMA channel 2.
        let mode = u32::from(source.pick(&[0x46, 0x4A, 0x42, 0x56, 0x5A, 0x86u8]));
        let (address, count) = (source.bits(2) as u32, source.pick(&[0x1FF, 0x3FF, 0x23FF, 0xFFFF, 0, 0x1FE]));
        for (port, value) in [
            (0x0A, 6),
            (0x0C, 0),
            (0x04, address & 0xFF),
            (0x04, address >> 8),
            (0x81, 1),
            (0x05, count & 0xFF),
            (0x05, count >> 8),
            (0x0B, mode),
            (0x0A, 2),
        ] {
            self.write(port, 1, value);
        }
        let (command, parameters) = source.pick(&COMMANDS);
        let flags = source.pick(&[0xC0, 0x40, 0xE0, 0x00, 0x80]);
        self.command_byte(command | if command < 0x0E { flags } else { 0 });
        for _ in 0..parameters {
            let value = if source.chance(75) { source.below(4) as u8 } else { source.byte() };
            self.command_byte(value);
        }
        let bytes = if source.chance(30) { 600 } else { 10 };
        for _ in 0..bytes {
            self.now += if source.chance(20) { 2000 } else { 20 };
            match self.read(0x3F4, 1) & 0xC0 {
                0xC0 => {
                    self.read(0x3F5, 1);
                }
                0x80 if source.chance(20) => break,
                _ => {}
            }
        }
        if source.chance(10) {
            let changed = self.board.floppy.change_disk(0, None);
            assert!(changed.is_ok(), "a disk can always be taken out");
        }
    }

    fn command_byte(&mut self, value: u8) {
        self.wait(0x3F4, 0xC0, 0x80);
        self.write(0x3F5, 1, value.into());
    }
}
