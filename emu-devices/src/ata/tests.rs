use super::*;
use crate::device::DeviceId;
use crate::testing::Bench;

const IRQ14: Line = Line(14);

/// A 3-cylinder disk whose sectors begin with their number, alone on the primary channel, and a CD on the secondary.
fn machine() -> (Bench, Ata) {
    let mut bytes = vec![0; 3 * 16 * 63 * 512];
    for (number, sector) in bytes.chunks_exact_mut(512).enumerate() {
        sector[..4].copy_from_slice(&(number as u32).to_le_bytes());
    }
    let image = DiskImage::from_bytes("disk", bytes).unwrap();
    let disk = AtaDrive::HardDisk { image, geometry: None, serial: "S1".to_owned() };
    let disc = DiskImage::from_bytes("disc", (0..20u8).flat_map(|n| [n; 2048]).collect()).unwrap();
    let cdrom = AtaDrive::Cdrom { image: Some(disc) };
    let mut ata = Ata::new([[Some(disk), None], [Some(cdrom), None]], [IRQ14, Line(15)]);
    let mut h = Bench::new(DeviceId::Ata, 1_000_000_000);
    h.call(|ctx| ata.reset(ctx));
    h.run_ns(&mut ata, 1_000_000);
    (h, ata)
}

fn command(h: &mut Bench, ata: &mut Ata, registers: [u8; 5], code: u8) {
    for (port, value) in [0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6].into_iter().zip(registers) {
        h.outb(ata, port, value);
    }
    h.outb(ata, 0x1F7, code);
    assert_eq!(h.inb(ata, 0x3F6) & 0x80, 0x80);
    h.run_ns(ata, 50_000);
}

fn read_words(h: &mut Bench, ata: &mut Ata, port: u16, count: usize) -> Vec<u16> {
    (0..count).map(|_| h.call(|ctx| ata.port_read(ctx, port, 2)) as u16).collect()
}

#[test]
fn reset_gives_the_signature_of_a_hard_disk_and_of_a_packet_device() {
    let (mut h, mut ata) = machine();
    assert_eq!([0x1F1, 0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F7].map(|p| h.inb(&mut ata, p)), [1, 1, 1, 0, 0, 0x50]);
    assert_eq!([0x172, 0x173, 0x174, 0x175, 0x177].map(|p| h.inb(&mut ata, p)), [1, 1, 0x14, 0xEB, 0]);
    h.outb(&mut ata, 0x3F6, 4);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x80);
    h.outb(&mut ata, 0x3F6, 0);
    h.run_ns(&mut ata, 50_000);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x80);
    h.run_ns(&mut ata, 60_000);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
}

#[test]
fn absent_drive_beside_a_present_one_reads_status_0() {
    let (mut h, mut ata) = machine();
    h.outb(&mut ata, 0x1F6, 0xB0);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0);
    assert_eq!(h.inb(&mut ata, 0x1F6), 0xB0);
    h.outb(&mut ata, 0x176, 0xB0);
    assert_eq!([0x172, 0x174, 0x175, 0x177].map(|p| h.inb(&mut ata, p)), [0; 4]);
    h.outb(&mut ata, 0x1F7, 0xEC);
    h.run_ns(&mut ata, 1_000_000);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0);
}

#[test]
fn empty_channel_is_never_busy_and_reads_as_floating_lines_with_dd7_pulled_down() {
    let mut h = Bench::new(DeviceId::Ata, 1_000_000_000);
    let mut empty = Ata::new([[None, None], [None, None]], [IRQ14, Line(15)]);
    let registers = |h: &mut Bench, ata: &mut Ata| {
        [0x1F1, 0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F7, 0x3F6, 0x171, 0x177, 0x376].map(|port| h.inb(ata, port))
    };
    assert_eq!(registers(&mut h, &mut empty), [0x7F; 11]);
    assert_eq!([2, 4].map(|size| h.call(|ctx| empty.port_read(ctx, 0x1F0, size))), [0xFF7F, 0xFF7F_FF7F]);
    // Whatever is written: detection by registers that keep their value, commands, a software reset.
    for (port, value) in [(0x1F2, 0x55), (0x1F6, 0xB0), (0x1F7, 0xEC), (0x1F7, 0x90), (0x3F6, 4), (0x3F6, 0)] {
        h.outb(&mut empty, port, value);
        assert_eq!(registers(&mut h, &mut empty), [0x7F; 11], "after {value:#x} to port {port:#x}");
    }
}

#[test]
fn identify_device_gives_geometry_capacity_and_a_byte_sum_of_zero() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [0, 0, 0, 0, 0xA0], 0xEC);
    assert!(h.lines.level(IRQ14));
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
    assert!(!h.lines.level(IRQ14));
    let words = read_words(&mut h, &mut ata, 0x1F0, 256);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    assert_eq!((words[1], words[3], words[6]), (3, 16, 63));
    assert_eq!((words[4], words[5]), (63 * 512, 512));
    assert_eq!((words[54], words[57], words[60], words[100]), (3, 3024, 3024, 3024));
    let model: Vec<u8> = words[27..47].iter().flat_map(|word| word.to_be_bytes()).collect();
    assert!(model.starts_with(b"rvmx-emu HARDDISK   "));
    let sum = words.iter().flat_map(|word| word.to_le_bytes()).fold(0u8, u8::wrapping_add);
    assert_eq!((sum, words[255] as u8), (0, 0xA5));
}

#[test]
fn read_sectors_interrupts_for_each_sector_and_leaves_the_last_address() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [2, 0x10, 0, 0, 0xE0], 0x20);
    for expected in [0x10, 0x11] {
        assert!(h.lines.level(IRQ14));
        assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
        assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), expected);
        read_words(&mut h, &mut ata, 0x1F0, 254);
        h.run_ns(&mut ata, 50_000);
    }
    assert_eq!([0x1F7, 0x1F2, 0x1F3].map(|p| h.inb(&mut ata, p)), [0x50, 0, 0x11]);
    assert!(!h.lines.level(IRQ14));
}

#[test]
fn chs_address_is_translated_and_a_sector_out_of_range_is_not_found() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [1, 2, 1, 0, 0xA3], 0x20);
    assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), (16 + 3) * 63 + 1);
    read_words(&mut h, &mut ata, 0x1F0, 254);
    for registers in [[1, 0, 0, 0, 0xA0], [1, 64, 0, 0, 0xA0], [1, 1, 3, 0, 0xA0]] {
        command(&mut h, &mut ata, registers, 0x20);
        assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x10]);
    }
}

#[test]
fn initialize_device_parameters_changes_the_translation() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [10, 0, 0, 0, 0xA1], 0x91);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    command(&mut h, &mut ata, [1, 3, 1, 0, 0xA1], 0x20);
    assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), 32);
}

#[test]
fn read_behind_the_last_sector_ends_with_idnf_and_its_address() {
    let (mut h, mut ata) = machine();
    let last = 3023u32.to_le_bytes();
    command(&mut h, &mut ata, [2, last[0], last[1], 0, 0xE0], 0x20);
    read_words(&mut h, &mut ata, 0x1F0, 256);
    h.run_ns(&mut ata, 50_000);
    assert_eq!([0x1F7, 0x1F1, 0x1F2, 0x1F3, 0x1F4].map(|p| h.inb(&mut ata, p)), [0x51, 0x10, 1, 0xD0, 0x0B]);
}

#[test]
fn write_sectors_asks_without_an_interrupt_and_stores_what_it_got() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [1, 5, 0, 0, 0xE0], 0x30);
    assert!(!h.lines.level(IRQ14));
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
    for word in 0..256 {
        h.call(|ctx| ata.port_write(ctx, 0x1F0, 2, word | 0x100));
    }
    assert_eq!(h.inb(&mut ata, 0x3F6), 0x80);
    h.run_ns(&mut ata, 50_000);
    assert!(h.lines.level(IRQ14));
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    command(&mut h, &mut ata, [1, 5, 0, 0, 0xE0], 0x20);
    assert_eq!(read_words(&mut h, &mut ata, 0x1F0, 3), [0x100, 0x101, 0x102]);
}

#[test]
fn write_to_a_protected_image_is_an_error() {
    let (mut h, mut ata) = machine();
    if let Some(AtaDrive::HardDisk { image, .. }) = ata.drive_mut(0, 0) {
        image.set_write_protected(true);
    }
    command(&mut h, &mut ata, [1, 5, 0, 0, 0xE0], 0x30);
    for _ in 0..128 {
        h.call(|ctx| ata.port_write(ctx, 0x1F0, 4, 0));
    }
    h.run_ns(&mut ata, 50_000);
    assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x44]);
}

#[test]
fn read_multiple_moves_blocks_and_a_rest() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [4, 0, 0, 0, 0xE0], 0xC6);
    command(&mut h, &mut ata, [6, 1, 0, 0, 0xE0], 0xC4);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
    read_words(&mut h, &mut ata, 0x1F0, 4 * 256);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x80);
    h.run_ns(&mut ata, 50_000);
    assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), 5);
    read_words(&mut h, &mut ata, 0x1F0, 2 * 256 - 2);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    command(&mut h, &mut ata, [3, 0, 0, 0, 0xE0], 0xC6);
    assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x04]);
    command(&mut h, &mut ata, [1, 0, 0, 0, 0xE0], 0xC4);
    assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x04]);
}

#[test]
fn lba48_read_takes_the_previous_register_values_as_high_bytes() {
    let (mut h, mut ata) = machine();
    for (port, high, low) in [(0x1F2, 0, 1), (0x1F3, 0, 7), (0x1F4, 0, 1), (0x1F5, 0, 0)] {
        h.outb(&mut ata, port, high);
        h.outb(&mut ata, port, low);
    }
    h.outb(&mut ata, 0x1F6, 0xE0);
    h.outb(&mut ata, 0x1F7, 0x24);
    h.run_ns(&mut ata, 50_000);
    assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), 0x107);
    read_words(&mut h, &mut ata, 0x1F0, 254);
    h.outb(&mut ata, 0x1F3, 0x01);
    command(&mut h, &mut ata, [1, 7, 1, 0, 0xE0], 0x24);
    assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x10]);
    h.outb(&mut ata, 0x3F6, 0x80);
    assert_eq!(h.inb(&mut ata, 0x1F3), 1);
}

#[test]
fn nien_holds_the_interrupt_line_and_unknown_commands_abort() {
    let (mut h, mut ata) = machine();
    h.outb(&mut ata, 0x3F6, 2);
    command(&mut h, &mut ata, [0, 0, 0, 0, 0xA0], 0x00);
    assert!(!h.lines.level(IRQ14));
    h.outb(&mut ata, 0x3F6, 0);
    assert!(h.lines.level(IRQ14));
    assert_eq!([0x1F7, 0x1F1].map(|p| h.inb(&mut ata, p)), [0x51, 0x04]);
    assert!(!h.lines.level(IRQ14));
}

#[test]
fn registers_ignore_writes_while_the_drive_is_busy() {
    let (mut h, mut ata) = machine();
    h.outb(&mut ata, 0x1F7, 0xEC);
    h.outb(&mut ata, 0x1F3, 0x77);
    h.run_ns(&mut ata, 50_000);
    assert_eq!(h.inb(&mut ata, 0x1F3), 1);
}

#[test]
fn read_native_max_gives_the_last_sector() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [0, 0, 0, 0, 0xE0], 0xF8);
    assert_eq!([0x1F3, 0x1F4, 0x1F5].map(|p| h.inb(&mut ata, p)), [0xCF, 0x0B, 0]);
}

#[test]
fn bus_master_reads_and_writes_by_its_descriptor_table() {
    let (mut h, mut ata) = machine();
    ata.pci_moved(&PciMap { bus_master_ide: Some(0xC000), ..PciMap::default() });
    assert!(ata.claims().ports.contains(&(0xC000..0xC010)));
    // Two regions: 512 bytes at 2000h, 512 at 5000h, then the end.
    h.memory.0[0x1000..0x1010].copy_from_slice(&[0, 0x20, 0, 0, 0, 2, 0, 0, 0, 0x50, 0, 0, 0, 2, 0, 0x80]);
    h.call(|ctx| ata.port_write(ctx, 0xC004, 4, 0x1000));
    h.outb(&mut ata, 0xC000, 0x08);
    command(&mut h, &mut ata, [2, 9, 0, 0, 0xE0], 0xC8);
    assert!(!h.lines.level(IRQ14));
    h.outb(&mut ata, 0xC000, 0x09);
    h.run_ns(&mut ata, 100_000);
    assert!(h.lines.level(IRQ14));
    assert_eq!(h.inb(&mut ata, 0xC002), 0x04);
    assert_eq!((h.memory.0[0x2000], h.memory.0[0x5000]), (9, 10));
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    h.outb(&mut ata, 0xC000, 0);
    h.outb(&mut ata, 0xC002, 4);
    assert_eq!(h.inb(&mut ata, 0xC002), 0);
    h.outb(&mut ata, 0xC000, 0x01);
    command(&mut h, &mut ata, [2, 0, 1, 0, 0xE0], 0xCA);
    h.run_ns(&mut ata, 100_000);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
    command(&mut h, &mut ata, [1, 1, 1, 0, 0xE0], 0x20);
    assert_eq!(h.call(|ctx| ata.port_read(ctx, 0x1F0, 4)), 10);
}

#[test]
fn bus_master_with_a_short_table_stalls_and_goes_inactive() {
    let (mut h, mut ata) = machine();
    ata.pci_moved(&PciMap { bus_master_ide: Some(0xC000), ..PciMap::default() });
    h.memory.0[0x1000..0x1008].copy_from_slice(&[0, 0x20, 0, 0, 0, 2, 0, 0x80]);
    h.call(|ctx| ata.port_write(ctx, 0xC004, 4, 0x1000));
    h.outb(&mut ata, 0xC000, 0x09);
    command(&mut h, &mut ata, [2, 9, 0, 0, 0xE0], 0xC8);
    h.run_ns(&mut ata, 100_000);
    assert_eq!(h.inb(&mut ata, 0xC002), 0);
    assert!(!h.lines.level(IRQ14));
}

/// The command, without a look at the status and without time.
fn command_at_once(h: &mut Bench, ata: &mut Ata, registers: [u8; 5], code: u8) {
    for (port, value) in [0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6].into_iter().zip(registers) {
        h.outb(ata, port, value);
    }
    h.outb(ata, 0x1F7, code);
}

/// ATA/ATAPI-6, "PIO data-in" and "PIO data-out command protocol": a host waits for DRQ. What one that does not wait
/// reads and writes is nevertheless not lost.
#[test]
fn data_written_without_a_look_at_the_status_is_all_stored() {
    for code in [0x30, 0xC5, 0x34] {
        let (mut h, mut ata) = machine();
        if code == 0x34 {
            (0x1F2..=0x1F5).for_each(|port| h.outb(&mut ata, port, 0));
        }
        command_at_once(&mut h, &mut ata, [4, 5, 0, 0, 0xE0], code);
        for word in 0..4 * 256 {
            h.call(|ctx| ata.port_write(ctx, 0x1F0, 2, word));
        }
        command_at_once(&mut h, &mut ata, [4, 5, 0, 0, 0xE0], 0x20);
        assert_eq!(h.inb(&mut ata, 0x3F6), 0x80, "the command is taken and takes its time");
        let words: Vec<u16> = (0..4 * 256).collect();
        assert_eq!(read_words(&mut h, &mut ata, 0x1F0, 4 * 256), words, "{code:02X}");
        assert_eq!(h.inb(&mut ata, 0x1F7), 0x50);
        assert_eq!(h.deadlines.next(), u64::MAX);
    }
}

#[test]
fn data_read_without_a_look_at_the_status_is_all_there() {
    for (code, count) in [(0x20, 3), (0xC4, 3), (0xEC, 1)] {
        let (mut h, mut ata) = machine();
        command_at_once(&mut h, &mut ata, [3, 7, 0, 0, 0xE0], code);
        let words = read_words(&mut h, &mut ata, 0x1F0, count * 256);
        let first: Vec<u16> = words.chunks_exact(256).map(|sector| sector[0]).collect();
        assert_eq!(first, if code == 0xEC { vec![0x40] } else { vec![7, 8, 9] }, "{code:02X}");
        assert_eq!([0x1F7, 0x1F1].map(|port| h.inb(&mut ata, port)), [0x50, 0]);
        assert_eq!(h.deadlines.next(), u64::MAX);
    }
}

#[test]
fn packet_sent_and_answered_without_a_look_at_the_status_is_carried_out() {
    let (mut h, mut ata) = machine();
    for (port, value) in [(0x171, 0), (0x174, 0), (0x175, 8), (0x176, 0xA0), (0x177, 0xA0)] {
        h.outb(&mut ata, port, value);
    }
    for word in [0x0028, 0, 0x0300, 0, 2, 0] {
        h.call(|ctx| ata.port_write(ctx, 0x170, 2, word));
    }
    let words = read_words(&mut h, &mut ata, 0x170, 2048);
    assert_eq!((words[0], words[1024], words[2047]), (0x303, 0x404, 0x404));
    h.run_ns(&mut ata, 100_000);
    assert_eq!([0x172, 0x177].map(|p| h.inb(&mut ata, p)), [3, 0x50]);
}

#[test]
fn data_port_read_during_a_write_command_and_written_during_a_read_hastens_nothing() {
    let (mut h, mut ata) = machine();
    command_at_once(&mut h, &mut ata, [1, 5, 0, 0, 0xE0], 0x30);
    assert_eq!(read_words(&mut h, &mut ata, 0x1F0, 1), [0xFFFF]);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x80);
    h.run_ns(&mut ata, 50_000);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
    h.outb(&mut ata, 0x3F6, 4);
    h.outb(&mut ata, 0x3F6, 0);
    h.run_ns(&mut ata, 200_000);
    command_at_once(&mut h, &mut ata, [1, 5, 0, 0, 0xE0], 0x20);
    h.call(|ctx| ata.port_write(ctx, 0x1F0, 2, 1));
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x80);
}

#[test]
fn command_written_while_the_drive_resets_or_ends_another_is_carried_out() {
    let (mut h, mut ata) = machine();
    h.outb(&mut ata, 0x3F6, 4);
    h.outb(&mut ata, 0x3F6, 0);
    command_at_once(&mut h, &mut ata, [2, 0, 0, 0, 0xE0], 0xC6); // SET MULTIPLE MODE
    command_at_once(&mut h, &mut ata, [2, 9, 0, 0, 0xE0], 0xC4);
    assert_eq!(read_words(&mut h, &mut ata, 0x1F0, 257)[256], 10);
}

#[test]
fn look_at_a_busy_drive_is_worth_a_microsecond() {
    let (mut h, mut ata) = machine();
    command_at_once(&mut h, &mut ata, [1, 7, 0, 0, 0xE0], 0x20);
    let looks = (0..).take_while(|_| {
        let until = h.now + 1;
        h.run_until(&mut ata, until);
        h.inb(&mut ata, 0x1F7) & 0x80 != 0
    });
    assert!((9..=11).contains(&looks.count()), "the command takes 10 us");
}

fn packet(h: &mut Bench, ata: &mut Ata, bytes: [u8; 12]) -> u8 {
    for (port, value) in [(0x171, 0), (0x174, 0), (0x175, 8), (0x176, 0xA0), (0x177, 0xA0)] {
        h.outb(ata, port, value);
    }
    h.run_ns(ata, 50_000);
    assert_eq!((h.inb(ata, 0x177) & 0x88, h.inb(ata, 0x172)), (0x08, 1));
    for pair in bytes.chunks_exact(2) {
        h.call(|ctx| ata.port_write(ctx, 0x170, 2, u32::from(pair[0]) | u32::from(pair[1]) << 8));
    }
    h.run_ns(ata, 100_000);
    h.inb(ata, 0x177)
}

#[test]
fn packet_read_hands_out_blocks_up_to_the_byte_count_limit() {
    let (mut h, mut ata) = machine();
    assert_eq!(packet(&mut h, &mut ata, [0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0, 0, 0]) & 0x89, 0x08);
    for block in [3, 4] {
        assert_eq!([0x172, 0x174, 0x175].map(|p| h.inb(&mut ata, p)), [2, 0, 8]);
        assert_eq!(read_words(&mut h, &mut ata, 0x170, 1024), [block * 0x101; 1024]);
        h.run_ns(&mut ata, 100_000);
    }
    assert_eq!([0x172, 0x177].map(|p| h.inb(&mut ata, p)), [3, 0x50]);
}

#[test]
fn packet_read_out_of_range_is_an_illegal_request_in_sense_data() {
    let (mut h, mut ata) = machine();
    assert_eq!(packet(&mut h, &mut ata, [0x28, 0, 0, 0, 0, 20, 0, 0, 1, 0, 0, 0]), 0x51);
    assert_eq!(h.inb(&mut ata, 0x171), 0x54);
    packet(&mut h, &mut ata, [3, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0]);
    let words = read_words(&mut h, &mut ata, 0x170, 9);
    assert_eq!((words[1] & 0xFF, words[6]), (5, 0x0021));
}

#[test]
fn packet_capacity_and_identify_tell_a_cdrom() {
    let (mut h, mut ata) = machine();
    packet(&mut h, &mut ata, [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read_words(&mut h, &mut ata, 0x170, 4), [0, 0x1300, 0, 0x0008]);
    h.run_ns(&mut ata, 100_000);
    h.outb(&mut ata, 0x177, 0xA1);
    h.run_ns(&mut ata, 100_000);
    assert_eq!(read_words(&mut h, &mut ata, 0x170, 1), [0x85C0]);
}

/// MMC-3, "GET CONFIGURATION", "READ DISC INFORMATION", "MECHANISM STATUS".
#[test]
fn packet_configuration_disc_and_mechanism_tell_a_cdrom_drive_with_a_finished_disc() {
    let (mut h, mut ata) = machine();
    let mut ask = |ata: &mut Ata, bytes, words| {
        let status = packet(&mut h, ata, bytes);
        let count = usize::from(h.inb(ata, 0x174)) | usize::from(h.inb(ata, 0x175)) << 8;
        let data = read_words(&mut h, ata, 0x170, words);
        let data: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        h.run_ns(ata, 100_000);
        (status, count, data, h.inb(ata, 0x177))
    };
    let configuration = |start, request, length| [0x46, request, 0, start, 0, 0, 0, 0, length, 0, 0, 0];
    let header = [0, 0, 0, 0x10, 0, 0, 0, 8];
    assert_eq!(ask(&mut ata, configuration(0, 0, 8), 4), (0x58, 8, header.to_vec(), 0x50));
    let profiles = [0, 0, 3, 4, 0, 8, 1, 0];
    let multi_read = [0, 0x1D, 3, 0];
    let all = [&header[..], &profiles, &multi_read].concat();
    assert_eq!(ask(&mut ata, configuration(0, 0, 255), 10), (0x58, 20, all, 0x50));
    let later = [&[0, 0, 0, 8, 0, 0, 0, 8][..], &multi_read].concat();
    assert_eq!(ask(&mut ata, configuration(1, 0, 255), 6), (0x58, 12, later, 0x50));
    let none = vec![0, 0, 0, 4, 0, 0, 0, 8];
    assert_eq!(ask(&mut ata, configuration(0x20, 0, 255), 4), (0x58, 8, none.clone(), 0x50));
    assert_eq!(ask(&mut ata, configuration(1, 2, 255), 4), (0x58, 8, none, 0x50));
    let (_, count, disc, _) = ask(&mut ata, [0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0], 17);
    assert_eq!((count, &disc[..9]), (34, &[0, 32, 0x0E, 1, 1, 1, 1, 0x20, 0][..]));
    let mechanism = [0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0];
    assert_eq!(ask(&mut ata, mechanism, 4), (0x58, 8, vec![0, 0, 0, 0, 0, 1, 0, 0], 0x50));
    // Without a disc there is no current profile; the news is for whoever asks for the medium.
    assert!(ata.change_disc(1, 0, None).is_some());
    assert_eq!(ask(&mut ata, configuration(1, 0, 8), 4).2, [0, 0, 0, 8, 0, 0, 0, 0]);
    assert_eq!(packet(&mut h, &mut ata, [0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0]), 0x51);
    assert_eq!(h.inb(&mut ata, 0x171), 0x60);
}

#[test]
fn changed_disc_is_a_unit_attention_once() {
    let (mut h, mut ata) = machine();
    assert!(ata.change_disc(1, 0, None).is_some());
    assert_eq!(packet(&mut h, &mut ata, [0; 12]), 0x51);
    assert_eq!(h.inb(&mut ata, 0x171), 0x60);
    assert_eq!(packet(&mut h, &mut ata, [0; 12]), 0x51);
    assert_eq!(h.inb(&mut ata, 0x171), 0x20);
}

#[test]
fn read_multiple_over_the_end_hands_out_the_good_sectors_first() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [4, 0xCE, 0x0B, 0, 0xE0], 0xC4);
    assert_eq!(h.inb(&mut ata, 0x1F7), 0x58);
    read_words(&mut h, &mut ata, 0x1F0, 2 * 256);
    h.run_ns(&mut ata, 50_000);
    assert_eq!([0x1F7, 0x1F1, 0x1F2, 0x1F3].map(|p| h.inb(&mut ata, p)), [0x51, 0x10, 2, 0xD0]);
}

#[test]
fn a_saved_state_goes_on_in_another_machine() {
    let (mut h, mut ata) = machine();
    command(&mut h, &mut ata, [2, 0x10, 0, 0, 0xE0], 0x20);
    read_words(&mut h, &mut ata, 0x1F0, 100);
    let (mut other, mut copy) = machine();
    copy.restore(ata.save()).unwrap();
    assert_eq!(read_words(&mut h, &mut ata, 0x1F0, 156), read_words(&mut other, &mut copy, 0x1F0, 156));
    other.run_ns(&mut copy, 50_000);
    assert_eq!(read_words(&mut other, &mut copy, 0x1F0, 1), [0x11]);
}

#[test]
fn random_accesses_never_panic() {
    let (mut h, mut ata) = machine();
    ata.pci_moved(&PciMap { bus_master_ide: Some(0xC000), ..PciMap::default() });
    let mut seed = 3u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for _ in 0..60_000 {
        let base = [0x1F0, 0x170, 0x3F6, 0x376, 0xC000][random() as usize % 5];
        let port = if base & 0xF0F == 0x306 { base } else { base + (random() % 8) as u16 };
        let size = [1, 2, 4][random() as usize % 3];
        if random() % 3 == 0 {
            h.call(|ctx| ata.port_read(ctx, port, size));
        } else {
            let value = if base & 0xF0F == 0x306 { random() as u32 & 2 } else { random() as u32 };
            h.call(|ctx| ata.port_write(ctx, port, size, value));
        }
        if random() % 4 == 0 {
            h.run_ns(&mut ata, random() % 200_000);
        }
    }
}
