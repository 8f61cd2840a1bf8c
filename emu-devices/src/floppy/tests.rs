use super::*;
use crate::device::DeviceId;
use crate::device::{DmaMemory, DmaProgress, IsaDma};
use crate::dma::Dma;
use crate::testing::Bench;

const IRQ6: Line = Line(6);
const FULL: usize = 1_474_560;

fn disk() -> DiskImage {
    let mut bytes = vec![0; FULL];
    for (number, sector) in bytes.chunks_exact_mut(512).enumerate() {
        sector[..2].copy_from_slice(&(number as u16).to_le_bytes());
    }
    DiskImage::from_bytes("disk", bytes).unwrap()
}

/// A channel that moves up to `left` bytes at `address`, then gives terminal count.
struct Channel {
    address: u64,
    left: usize,
}

impl IsaDma for Channel {
    fn to_memory(&mut self, memory: &mut dyn DmaMemory, channel: u8, data: &[u8]) -> DmaProgress {
        assert_eq!(channel, 2);
        let bytes = data.len().min(self.left);
        memory.dma_write(self.address, &data[..bytes]);
        self.address += bytes as u64;
        self.left -= bytes;
        DmaProgress { bytes, terminal_count: bytes > 0 && self.left == 0 }
    }
    fn from_memory(&mut self, memory: &mut dyn DmaMemory, _: u8, buffer: &mut [u8]) -> DmaProgress {
        let bytes = buffer.len().min(self.left);
        memory.dma_read(self.address, &mut buffer[..bytes]);
        self.address += bytes as u64;
        self.left -= bytes;
        DmaProgress { bytes, terminal_count: bytes > 0 && self.left == 0 }
    }
}

/// A machine with a 1.44 MB disk in A:, an empty B:, out of reset, motor on, 500 kbit/s, DMA mode.
fn machine() -> (Bench, Floppy) {
    let drive = FloppyDrive::with_disk(None, disk()).unwrap();
    let mut floppy = Floppy::new([Some(drive), Some(FloppyDrive::empty(FloppyDriveType::D1440K))], IRQ6);
    let mut h = Bench::new(DeviceId::Floppy, 1_000_000_000);
    h.call(|ctx| floppy.reset(ctx));
    h.outb(&mut floppy, 0x3F2, 0x1C);
    h.outb(&mut floppy, 0x3F7, 0);
    h.run_ns(&mut floppy, 1_000_000);
    assert!(h.lines.level(IRQ6));
    for drive in 0..4 {
        assert_eq!(command(&mut h, &mut floppy, &[8]), [0xC0 | drive, 0]);
    }
    assert!(!h.lines.level(IRQ6));
    assert_eq!(command(&mut h, &mut floppy, &[3, 0xAF, 0x02]), []);
    (h, floppy)
}

/// Sends a command, lets it run and reads its results.
fn command(h: &mut Bench, floppy: &mut Floppy, bytes: &[u8]) -> Vec<u8> {
    for byte in bytes {
        assert_eq!(h.inb(floppy, 0x3F4) & 0xC0, 0x80);
        h.outb(floppy, 0x3F5, *byte);
    }
    h.run_ns(floppy, 20_000_000);
    results(h, floppy)
}

fn results(h: &mut Bench, floppy: &mut Floppy) -> Vec<u8> {
    let mut results = Vec::new();
    while h.inb(floppy, 0x3F4) == 0xD0 {
        results.push(h.inb(floppy, 0x3F5));
    }
    results
}

fn seek(h: &mut Bench, floppy: &mut Floppy, cylinder: u8) {
    command(h, floppy, &[0x0F, 0, cylinder]);
    assert!(h.lines.level(IRQ6));
    assert_eq!(command(h, floppy, &[8]), [0x20, cylinder]);
}

fn channel(h: &mut Bench, bytes: usize) {
    h.dma = Box::new(Channel { address: 0x1000, left: bytes });
}

fn sector_at(h: &Bench, address: usize) -> u16 {
    u16::from_le_bytes([h.memory.0[address], h.memory.0[address + 1]])
}

#[test]
fn read_data_ends_at_terminal_count_with_the_next_address() {
    let (mut h, mut floppy) = machine();
    seek(&mut h, &mut floppy, 2);
    channel(&mut h, 1024);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 4, 2, 1, 3, 2, 18, 0x1B, 0xFF]), [4, 0, 0, 2, 1, 5, 2]);
    assert_eq!((sector_at(&h, 0x1000), sector_at(&h, 0x1200)), (5 * 18 + 2, 5 * 18 + 3));
    assert!(!h.lines.level(IRQ6));
}

#[test]
fn multi_track_read_goes_on_with_the_other_side_and_ends_at_the_next_cylinder() {
    let (mut h, mut floppy) = machine();
    channel(&mut h, 36 * 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]), [4, 0, 0, 1, 0, 1, 2]);
    assert_eq!(sector_at(&h, 0x1000 + 35 * 512), 35);
    channel(&mut h, 18 * 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]), [0, 0, 0, 0, 1, 1, 2]);
}

#[test]
fn multi_track_read_beyond_the_track_goes_on_over_cylinders() {
    let (mut h, mut floppy) = machine();
    channel(&mut h, 64 * 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 2, 2, 65, 0x1B, 0xFF])[..3], [4, 0, 0]);
    for sector in 0..64 {
        assert_eq!(sector_at(&h, 0x1000 + sector * 512), sector as u16 + 1);
    }
}

#[test]
fn read_before_any_data_rate_is_chosen_works() {
    let drive = FloppyDrive::with_disk(None, disk()).unwrap();
    let mut floppy = Floppy::new([Some(drive), None], IRQ6);
    let mut h = Bench::new(DeviceId::Floppy, 1_000_000_000);
    h.call(|ctx| floppy.reset(ctx));
    h.outb(&mut floppy, 0x3F2, 0x1C);
    h.run_ns(&mut floppy, 1_000_000);
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF])[..3], [0, 0, 0]);
    assert_eq!(sector_at(&h, 0x1000), 1);
}

#[test]
fn read_without_terminal_count_ends_with_end_of_cylinder() {
    let (mut h, mut floppy) = machine();
    channel(&mut h, usize::MAX);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF]), [0x40, 0x80, 0, 1, 0, 1, 2]);
    assert_eq!(sector_at(&h, 0x1200), 17);
}

#[test]
fn read_with_a_masked_channel_is_an_overrun() {
    let (mut h, mut floppy) = machine();
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])[..2], [0x40, 0x10]);
}

#[test]
fn read_before_any_seek_moves_the_head() {
    let (mut h, mut floppy) = machine();
    let read = [0xE6, 0, 7, 0, 5, 2, 5, 0, 0xFF];
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &read)[..3], [0, 0, 0]);
    assert_eq!(sector_at(&h, 0x1000), 7 * 36 + 4);
    seek(&mut h, &mut floppy, 2);
    assert_eq!(command(&mut h, &mut floppy, &read)[..3], [0x40, 0x04, 0x10]);
}

#[test]
fn wrong_cylinder_head_record_or_rate_are_told_apart() {
    let (mut h, mut floppy) = machine();
    seek(&mut h, &mut floppy, 0);
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 1, 0, 1, 2, 18, 0x1B, 0xFF])[..3], [0x40, 0x04, 0x10]);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 0, 1, 1, 2, 18, 0x1B, 0xFF])[..3], [0x40, 0x04, 0]);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 0, 0, 19, 2, 19, 0x1B, 0xFF])[..3], [0x40, 0x04, 0]);
    h.outb(&mut floppy, 0x3F7, 2);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])[..3], [0x40, 0x01, 0]);
}

#[test]
fn write_data_stores_and_a_protected_disk_refuses() {
    let (mut h, mut floppy) = machine();
    h.memory.0[0x1000..0x1300].fill(0xAB);
    channel(&mut h, 0x300);
    assert_eq!(command(&mut h, &mut floppy, &[0xC5, 0, 0, 0, 4, 2, 18, 0x1B, 0xFF]), [0, 0, 0, 0, 0, 6, 2]);
    let image = floppy.drive_mut(0).and_then(FloppyDrive::image).unwrap();
    let mut data = [0; 1024];
    image.read(3, &mut data).unwrap();
    assert_eq!((data[0x2FF], data[0x300]), (0xAB, 0));
    image.set_write_protected(true);
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xC5, 0, 0, 0, 4, 2, 18, 0x1B, 0xFF])[..3], [0x40, 0x02, 0]);
    assert_eq!(command(&mut h, &mut floppy, &[4, 0]), [0x78]);
}

#[test]
fn read_of_64_sectors_takes_less_than_a_twentieth_of_a_second() {
    let (mut h, mut floppy) = machine();
    let begin = h.now;
    for (cylinder, sectors) in [(0, 36), (1, 28)] {
        for byte in [0x0F, 0, cylinder] {
            h.outb(&mut floppy, 0x3F5, byte);
        }
        while !h.lines.level(IRQ6) {
            h.run_ns(&mut floppy, 10_000);
        }
        h.outb(&mut floppy, 0x3F5, 8);
        results(&mut h, &mut floppy);
        channel(&mut h, sectors * 512);
        for byte in [0xE6, 0, cylinder, 0, 1, 2, 18, 0x1B, 0xFF] {
            h.outb(&mut floppy, 0x3F5, byte);
        }
        while !h.lines.level(IRQ6) {
            h.run_ns(&mut floppy, 10_000);
        }
        assert_eq!(results(&mut h, &mut floppy)[0] & 0xC0, 0);
    }
    assert!(h.now - begin < 50_000_000, "{} ns", h.now - begin);
}

#[test]
fn non_dma_mode_moves_bytes_through_the_fifo() {
    let (mut h, mut floppy) = machine();
    command(&mut h, &mut floppy, &[3, 0xAF, 0x03]);
    for byte in [0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF] {
        h.outb(&mut floppy, 0x3F5, byte);
    }
    for number in [16, 17] {
        h.run_ns(&mut floppy, 1_000_000);
        assert!(h.lines.level(IRQ6));
        let data: Vec<u8> = (0..512).map(|_| h.inb(&mut floppy, 0x3F5)).collect();
        assert_eq!(data[0], number);
    }
    h.run_ns(&mut floppy, 1_000_000);
    assert_eq!(results(&mut h, &mut floppy), [0x40, 0x80, 0, 1, 0, 1, 2]);
    for byte in [0x45, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF] {
        h.outb(&mut floppy, 0x3F5, byte);
    }
    for _ in 0..512 {
        assert_eq!(h.inb(&mut floppy, 0x3F4), 0xB0);
        h.outb(&mut floppy, 0x3F5, 0x5A);
    }
    h.run_ns(&mut floppy, 1_000_000);
    assert_eq!(results(&mut h, &mut floppy)[..2], [0x40, 0x80]);
    let mut data = [0; 512];
    floppy.drive_mut(0).and_then(FloppyDrive::image).unwrap().read(17, &mut data).unwrap();
    assert_eq!(data, [0x5A; 512]);
}

#[test]
fn disk_change_line_shows_until_a_step_with_a_disk() {
    let (mut h, mut floppy) = machine();
    assert_eq!(h.inb(&mut floppy, 0x3F7), 0x80);
    seek(&mut h, &mut floppy, 1);
    assert_eq!(h.inb(&mut floppy, 0x3F7), 0);
    assert!(floppy.change_disk(0, None).unwrap().is_some());
    seek(&mut h, &mut floppy, 0);
    assert_eq!(h.inb(&mut floppy, 0x3F7), 0x80);
    assert!(floppy.change_disk(0, Some(disk())).unwrap().is_none());
    seek(&mut h, &mut floppy, 1);
    assert_eq!(h.inb(&mut floppy, 0x3F7), 0);
}

#[test]
fn empty_and_absent_drives_end_with_errors() {
    let (mut h, mut floppy) = machine();
    h.outb(&mut floppy, 0x3F2, 0xFD);
    assert_eq!(command(&mut h, &mut floppy, &[0x4A, 1])[..2], [0x41, 0x01]);
    command(&mut h, &mut floppy, &[7, 1]);
    assert_eq!(command(&mut h, &mut floppy, &[8]), [0x21, 0]);
    command(&mut h, &mut floppy, &[7, 2]);
    assert_eq!(command(&mut h, &mut floppy, &[8]), [0x72, 0]);
}

#[test]
fn read_id_gives_the_address_under_the_head() {
    let (mut h, mut floppy) = machine();
    seek(&mut h, &mut floppy, 7);
    let result = command(&mut h, &mut floppy, &[0x4A, 4]);
    assert_eq!((result[0], result[3], result[4], result[6]), (4, 7, 1, 2));
    assert!((1..=18).contains(&result[5]));
}

#[test]
fn implied_seek_moves_the_head_first() {
    let (mut h, mut floppy) = machine();
    command(&mut h, &mut floppy, &[0x13, 0, 0x57, 0]);
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &[0x46, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF])[..3], [0, 0, 0]);
    assert_eq!(sector_at(&h, 0x1000), 9 * 36);
}

#[test]
fn format_track_fills_the_named_sectors() {
    let (mut h, mut floppy) = machine();
    for record in 0..18 {
        h.memory.0[0x1000 + record * 4..][..4].copy_from_slice(&[0, 1, record as u8 + 1, 2]);
    }
    channel(&mut h, 18 * 4);
    assert_eq!(command(&mut h, &mut floppy, &[0x4D, 4, 2, 18, 0x54, 0xF6])[..3], [4, 0, 0]);
    let mut data = [0; 512];
    let image = floppy.drive_mut(0).and_then(FloppyDrive::image).unwrap();
    image.read(18, &mut data).unwrap();
    assert_eq!(data, [0xF6; 512]);
    image.read(36, &mut data).unwrap();
    assert_eq!(data[0], 36);
}

#[test]
fn scan_and_verify_compare_without_moving_the_disk_data() {
    let (mut h, mut floppy) = machine();
    h.memory.0[0x1000..0x1400].fill(0);
    h.memory.0[0x1200] = 1;
    channel(&mut h, 0x400);
    // Sector 1 is all zeros but FFh matches; the host's second sector equals disk sector 2.
    h.memory.0[0x1000] = 9;
    assert_eq!(command(&mut h, &mut floppy, &[0x51, 0, 0, 0, 1, 2, 18, 0x1B, 1])[..3], [0, 0, 0x08]);
    assert_eq!(command(&mut h, &mut floppy, &[0x56, 0x80, 0, 0, 1, 2, 18, 0x1B, 3]), [0, 0, 0, 0, 0, 4, 2]);
}

#[test]
fn read_deleted_data_of_normal_sectors_sets_control_mark_and_stops() {
    let (mut h, mut floppy) = machine();
    channel(&mut h, 1024);
    let read_deleted = [0x4C, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF];
    assert_eq!(command(&mut h, &mut floppy, &read_deleted), [0, 0, 0x40, 0, 0, 2, 2]);
    command(&mut h, &mut floppy, &[3, 0xAF, 0x03]);
    assert_eq!(command(&mut h, &mut floppy, &read_deleted), []);
    assert_eq!((0..512).map(|_| h.inb(&mut floppy, 0x3F5)).max(), Some(0));
    h.run_ns(&mut floppy, 1_000_000);
    assert_eq!(results(&mut h, &mut floppy), [0, 0, 0x40, 0, 0, 2, 2]);
}

#[test]
fn invalid_and_identifying_commands_answer_as_an_82077aa() {
    let (mut h, mut floppy) = machine();
    assert_eq!(command(&mut h, &mut floppy, &[0x10]), [0x90]);
    assert_eq!(command(&mut h, &mut floppy, &[0x18]), [0x80]);
    assert_eq!(command(&mut h, &mut floppy, &[0x1F]), [0x80]);
    assert_eq!(command(&mut h, &mut floppy, &[8]), [0x80]);
    assert_eq!(command(&mut h, &mut floppy, &[0x94]), [0x10]);
    command(&mut h, &mut floppy, &[0x13, 0, 0x57, 3]);
    assert_eq!(command(&mut h, &mut floppy, &[0x0E]), [0, 0, 0, 0, 0xAF, 2, 0, 0x80, 0x57, 3]);
}

#[test]
fn software_reset_keeps_locked_configuration() {
    let (mut h, mut floppy) = machine();
    command(&mut h, &mut floppy, &[0x13, 0, 0x57, 3]);
    command(&mut h, &mut floppy, &[0x94]);
    h.outb(&mut floppy, 0x3F4, 0x80);
    assert_eq!(h.inb(&mut floppy, 0x3F4), 0);
    h.run_ns(&mut floppy, 1_000_000);
    assert_eq!(h.inb(&mut floppy, 0x3F4), 0x80);
    assert_eq!(floppy.state().configure, [0x57, 3]);
    // Polling is off in that configuration: no interrupt after the reset.
    assert!(!h.lines.level(IRQ6));
}

#[test]
fn truncated_image_is_the_next_larger_format_and_reads_zeros() {
    let image = DiskImage::from_bytes("short", vec![1; 1_000_000]).unwrap();
    let drive = FloppyDrive::with_disk(None, image).unwrap();
    assert_eq!(drive.format().unwrap().sectors, 15);
    let image = DiskImage::from_bytes("large", vec![1; 3_000_000]).unwrap();
    assert!(FloppyDrive::with_disk(None, image).is_err());
}

#[test]
fn the_8237_and_the_controller_work_together() {
    let (mut h, mut floppy) = machine();
    let mut dma = Dma::new();
    for (port, value) in [
        (0xD6, 0xC0),
        (0xD4, 0),
        (0x0A, 6),
        (0x0C, 0),
        (0x0B, 0x46),
        (0x04, 0x00),
        (0x04, 0x7C),
        (0x81, 1),
        (0x05, 0xFF),
        (0x05, 3),
        (0x0A, 2),
    ] {
        h.outb(&mut dma, port, value);
    }
    h.dma = Box::new(dma);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF]), [0, 0, 0, 0, 0, 4, 2]);
    assert_eq!((sector_at(&h, 0x1_7C00), sector_at(&h, 0x1_7E00)), (1, 2));
}

#[test]
fn random_accesses_never_panic() {
    let (mut h, mut floppy) = machine();
    let mut seed = 7u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for _ in 0..50_000 {
        channel(&mut h, random() as usize % 2000);
        let port = [0x3F2, 0x3F5, 0x3F5, 0x3F5, 0x3F5, 0x3F5, 0x3F5, 0x3F4, 0x3F7][random() as usize % 9];
        let value = if port == 0x3F2 { 0x1C } else { random() as u8 };
        if random() % 3 == 0 {
            h.inb(&mut floppy, port);
        } else {
            h.outb(&mut floppy, port, value);
        }
        if random() % 4 == 0 {
            h.run_ns(&mut floppy, random() % 1_000_000);
        }
    }
}

fn send(h: &mut Bench, floppy: &mut Floppy, bytes: &[u8]) {
    bytes.iter().for_each(|byte| h.outb(floppy, 0x3F5, *byte));
}

fn receive(h: &mut Bench, floppy: &mut Floppy, count: usize) -> Vec<u8> {
    (0..count).map(|_| h.inb(floppy, 0x3F5)).collect()
}

/// 82077AA, "Command Phase", "Execution Phase": a host waits for RQM and for interrupts. What one that does not wait sends
/// and reads is nevertheless not lost.
#[test]
fn sectors_moved_by_programmed_io_without_a_look_at_the_status_are_complete() {
    let (mut h, mut floppy) = machine();
    send(&mut h, &mut floppy, &[3, 0xAF, 0x03]);
    send(&mut h, &mut floppy, &[0x45, 0, 0, 0, 4, 2, 5, 0x1B, 0xFF]);
    send(&mut h, &mut floppy, &[4; 512]);
    send(&mut h, &mut floppy, &[5; 512]);
    assert_eq!(receive(&mut h, &mut floppy, 7), [0x40, 0x80, 0, 1, 0, 1, 2]);
    send(&mut h, &mut floppy, &[0x46, 0, 0, 0, 4, 2, 5, 0x1B, 0xFF]);
    assert_eq!(receive(&mut h, &mut floppy, 1024), [[4; 512], [5; 512]].concat());
    assert_eq!(receive(&mut h, &mut floppy, 7), [0x40, 0x80, 0, 1, 0, 1, 2]);
    assert_eq!((h.inb(&mut floppy, 0x3F4), h.deadlines.next()), (0x80, u64::MAX));
}

#[test]
fn result_read_before_the_end_of_a_dma_transfer_is_the_transfers() {
    let (mut h, mut floppy) = machine();
    channel(&mut h, 1024);
    send(&mut h, &mut floppy, &[0xE6, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF]);
    assert_eq!(receive(&mut h, &mut floppy, 7), [0, 0, 0, 0, 0, 5, 2]);
    assert_eq!(sector_at(&h, 0x1200), 3);
}

#[test]
fn command_sent_during_a_seek_or_a_reset_is_carried_out_after_it() {
    let (mut h, mut floppy) = machine();
    send(&mut h, &mut floppy, &[0x0F, 0, 7]);
    send(&mut h, &mut floppy, &[8]);
    assert_eq!(receive(&mut h, &mut floppy, 2), [0x20, 7]);
    send(&mut h, &mut floppy, &[0x0F, 0, 9]);
    channel(&mut h, 512);
    assert_eq!(command(&mut h, &mut floppy, &[0xE6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF])[..3], [0, 0, 0]);
    assert_eq!(command(&mut h, &mut floppy, &[8]), [0x20, 9]);
    h.outb(&mut floppy, 0x3F2, 0x18);
    send(&mut h, &mut floppy, &[8]);
    h.outb(&mut floppy, 0x3F2, 0x1C);
    send(&mut h, &mut floppy, &[8]);
    assert_eq!(receive(&mut h, &mut floppy, 2), [0xC0, 0], "in reset nothing is heard, after it everything");
    assert_eq!(h.deadlines.next(), u64::MAX);
}

#[test]
fn look_at_the_main_status_is_worth_a_microsecond() {
    let (mut h, mut floppy) = machine();
    send(&mut h, &mut floppy, &[7, 0]);
    let looks = (0..).take_while(|_| {
        let until = h.now + 1;
        h.run_until(&mut floppy, until);
        h.inb(&mut floppy, 0x3F4) & 1 != 0
    });
    assert!((199..=201).contains(&looks.count()), "the heads settle in 200 us");
}
