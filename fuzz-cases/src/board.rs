//! Random port and MMIO accesses to the whole board, and random time.

use crate::Source;
use crate::disks::{cdrom, floppy, hard_disk};
use emu_core::bus::Bus;
use emu_core::mem::ram::Ram;
use emu_devices::board::{Board, BoardConfig};
use emu_devices::debug_ports::{DebugExit, DebugPortsConfig};
use emu_devices::flash::FlashConfig;
use emu_devices::fw_cfg::FwCfgConfig;
use emu_devices::input::InputEvent;
use emu_devices::keyboard::Key;
use emu_devices::rtc::{CmosConfig, RtcConfig};
use emu_devices::vga::Frame;

/// First port and number of ports of what is on the board.
const PORTS: [(u16, u16); 26] = [
    (0x00, 0x10),
    (0x20, 2),
    (0x40, 4),
    (0x60, 5),
    (0x61, 1),
    (0x70, 4),
    (0x80, 0x10),
    (0x92, 1),
    (0xA0, 2),
    (0xB2, 2),
    (0xC0, 0x20),
    (0xE0, 0x10),
    (0x170, 8),
    (0x1CE, 3),
    (0x1F0, 8),
    (0x376, 1),
    (0x3B0, 0x10),
    (0x3C0, 0x20),
    (0x3F0, 8),
    (0x3F8, 8),
    (0x4D0, 2),
    (0x510, 4),
    (0xCF8, 8),
    (0x8900, 1),
    (0xB000, 0x40),
    (0xC000, 0x20),
];

/// Places in memory at which devices are, and how far they reach.
const MMIO: [(u64, u64); 8] = [
    (0xA_0000, 0x2_0000),
    (0xC_0000, 0x4_0000),
    (0xFEC0_0000, 0x100),
    (0xFED0_0000, 0x400),
    (0xFEE0_0000, 0x1000),
    (0xFEBF_0000, 0x1_0000),
    (0xE000_0000, 0x10_0000),
    (0xFD00_0000, 0x10_0000),
];

/// A board with drives of all kinds.
pub fn config(source: &mut Source) -> BoardConfig {
    BoardConfig {
        flash: Some(FlashConfig { address: 0xFFC0_0000, contents: vec![0xFF; 8192] }),
        fw_cfg: Some(FwCfgConfig { processors: 1, memory: 1 << 20, files: Vec::new() }),
        hz: source.pick(&[1_000_000, 50_000_000, 3_000_000_000]),
        rtc: RtcConfig {
            start: source.pick(&[0, 1_767_225_600, 4_102_444_799, -1, i64::MAX, i64::MIN]),
            cmos: CmosConfig { memory_below_4g: 4 << 20, processors: 2, ..CmosConfig::default() },
        },
        ata: [[Some(hard_disk(source, 70 * 512 + 100)), None], [Some(cdrom(source, Some(9000))), None]],
        floppies: [floppy(source, 40_000), None],
        debug: DebugPortsConfig { port_402: true, debug_exit: Some(DebugExit { port: 0x501, size: 4 }) },
        test_devices: source.chance(60),
        video_memory: 0x4_0000,
        vga_rom: vec![0x55; 3000],
    }
}

/// Lets an event happen now.
fn inject(board: &mut Board, ram: &mut Ram, event: InputEvent) {
    let at = board.inject(0, event).expect("nothing else waits");
    board.advance(ram, at);
}

/// Somebody outside: keys, the mouse, bytes on the serial line.
pub fn press(source: &mut Source, board: &mut Board, ram: &mut Ram) {
    match source.below(6) {
        0 => {
            let number = usize::from(source.byte());
            let Some(key) = Key::all().nth(number % 100) else { return };
            let pressed = source.chance(60);
            inject(board, ram, InputEvent::Key { key, pressed });
        }
        1 => {
            let [x, y, z] = [(); 3].map(|()| source.value() as i32);
            let buttons = source.byte();
            inject(board, ram, InputEvent::Mouse { dx: x, dy: y, dz: z, buttons });
        }
        2 => {
            let bytes = source.bytes(5);
            inject(board, ram, InputEvent::Serial(bytes));
        }
        3 => drop(board.serial.take_output()),
        _ => {}
    }
}

/// A port of the board, or any.
fn port(source: &mut Source) -> u16 {
    if source.chance(4) {
        return source.bits(2) as u16;
    }
    let (first, count) = source.pick(&PORTS);
    first + source.below(count.into()) as u16
}

/// An address of a device, or any; an access there does not cross 8 bytes.
fn address(source: &mut Source, size: u8) -> u64 {
    let address = if source.chance(5) {
        source.value()
    } else {
        let (base, len) = source.pick(&MMIO);
        base + source.below(len)
    };
    let offset = (address & 7).min(8 - u64::from(size));
    address & !7 | offset
}

/// Reads, writes, time and events at the whole board.
pub fn ports_mmio(source: &mut Source) {
    let mut ram = Ram::new(1 << 20).expect("the host has memory");
    let config = config(source);
    let hz = config.hz;
    let mut board = Board::new(config, &mut ram);
    let mut now = 0u64;
    // A guest second in all, at most.
    let budget = hz;
    let steps = 100 + source.below(400);
    for _ in 0..steps {
        let magnitude = source.byte() % 24;
        now = (now + source.below(1 << magnitude)).min(budget);
        let action = source.byte();
        let size = [1u8, 2, 4, 1][usize::from(action >> 6)];
        match action & 0x1F {
            0..=9 => {
                let port = port(source);
                let value = if source.chance(60) { source.bits(1) } else { source.value() };
                board.port_write(&mut ram, now, port, size, value as u32);
            }
            10..=15 => {
                let port = port(source);
                let times = if source.chance(10) { 64 } else { 1 };
                for _ in 0..times {
                    board.port_read(&mut ram, now, port, size);
                }
            }
            16..=19 => {
                let size = if action & 0x20 != 0 { 8 } else { size };
                let address = address(source, size);
                let value = source.value();
                board.mmio_write(&mut ram, now, address, size, value);
            }
            20..=22 => {
                let size = if action & 0x20 != 0 { 8 } else { size };
                let address = address(source, size);
                board.mmio_read(&mut ram, now, address, size);
            }
            23 | 24 => {
                // A function that exists, and a register of it.
                let function = source.pick(&[0, 0x800, 0x900, 0xB00, 0x1000, 0x1800]);
                let register = u32::from(source.byte() & 0xFC);
                board.port_write(&mut ram, now, 0xCF8, 4, 0x8000_0000 | function | register);
                let value = source.value();
                board.port_write(&mut ram, now, 0xCFC, size, value as u32);
            }
            25 => press(source, &mut board, &mut ram),
            26 => {
                board.interrupt_acknowledge(now);
            }
            27 => board.end_of_interrupt(now, source.byte()),
            28 => {
                let asserted = source.chance(50);
                board.numeric_error(&mut ram, now, asserted);
            }
            29 => {
                board.advance(&mut ram, now);
                board.vga.render(&mut Frame::default(), now, hz);
                board.vga.text_screen();
            }
            _ => {
                if board.take_requests().reset {
                    board.reset(&mut ram);
                }
                assert!(board.next_deadline() > 0 || now == 0, "a deadline at the beginning of time");
            }
        }
    }
    assert!(board.encode_state().is_ok());
}
