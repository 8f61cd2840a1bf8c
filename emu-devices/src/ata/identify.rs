//! IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data (ATA/ATAPI-6, 8.15 and 8.16).

use super::AtaDrive;
use super::commands::MAX_MULTIPLE;
use super::drive::Drive;
use crate::disk::SECTOR_SIZE;

/// Puts ASCII into words: first character in the high byte, padded with blanks.
fn text(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().map(|byte| if (0x20..0x7F).contains(&byte) { byte } else { b'?' });
    for word in words {
        let mut next = || u16::from(bytes.next().unwrap_or(b' '));
        *word = next() << 8 | next();
    }
}

/// Word 63 and 88: supported modes low, the selected one high.
fn mode_word(supported: u16, selected: u8, group: u8) -> u16 {
    if selected & 0xF8 == group { supported | 0x100 << (selected & 7) } else { supported }
}

fn to_bytes(words: &mut [u16; 256]) -> Vec<u8> {
    // Word 255: signature A5h and a checksum that makes the sum of all bytes 0.
    words[255] = 0x00A5;
    let sum = words.iter().flat_map(|word| word.to_le_bytes()).fold(0u8, u8::wrapping_add);
    words[255] |= u16::from(sum.wrapping_neg()) << 8;
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Words that both kinds of drive have.
fn common(drive: &Drive, words: &mut [u16; 256]) {
    text(&mut words[23..27], env!("CARGO_PKG_VERSION"));
    words[48] = 1; // 32-bit data port.
    words[53] = 0x0007; // Words 54-58, 64-70 and 88 are valid.
    words[63] = mode_word(0x0007, drive.state.transfer_mode, 0x20);
    words[64] = 0x0003; // PIO modes 3 and 4.
    words[65..69].fill(120); // Cycle times in ns.
    words[80] = 0x007E; // ATA-1 to ATA/ATAPI-6.
    words[88] = mode_word(0x0007, drive.state.transfer_mode, 0x40);
    words[93] = if drive.number == 0 { 0x400B } else { 0x4B00 };
}

/// IDENTIFY DEVICE of a hard disk.
pub(super) fn hard_disk(drive: &Drive) -> Vec<u8> {
    let AtaDrive::HardDisk { image, serial, .. } = &*drive.media else { return vec![0; 512] };
    let mut words = [0u16; 256];
    let Some(geometry) = drive.geometry() else { return vec![0; 512] };
    let (state, total) = (&*drive.state, image.sectors());
    words[0] = 0x0040; // Fixed drive.
    words[1] = geometry.cylinders;
    words[3] = u16::from(geometry.heads);
    // ATA-1's unformatted bytes per track and sector, retired since; Bochs's BIOS reads sectors of this size.
    words[4] = (SECTOR_SIZE as u16).wrapping_mul(u16::from(geometry.sectors));
    words[5] = SECTOR_SIZE as u16;
    words[6] = u16::from(geometry.sectors);
    text(&mut words[10..20], serial);
    words[20] = 3; // Dual-ported buffer with read cache.
    words[21] = 512; // Its size in sectors.
    text(&mut words[27..47], "rvmx-emu HARDDISK");
    words[47] = 0x8000 | u16::from(MAX_MULTIPLE);
    words[49] = 0x0F00; // LBA, DMA, IORDY and its disabling.
    words[50] = 0x4000;
    words[51] = 0x0200; // PIO timing mode 2.
    words[52] = 0x0200;
    common(drive, &mut words);
    let track = u64::from(state.heads.max(1)) * u64::from(state.sectors_per_track.max(1));
    let cylinders = (total / track).min(0xFFFF);
    let current = (cylinders * track) as u32;
    words[54] = cylinders as u16;
    words[55] = u16::from(state.heads);
    words[56] = u16::from(state.sectors_per_track);
    (words[57], words[58]) = (current as u16, (current >> 16) as u16);
    words[59] = if state.multiple == 0 { 0 } else { 0x100 | u16::from(state.multiple) };
    let lba28 = total.min(0x0FFF_FFFF) as u32;
    (words[60], words[61]) = (lba28 as u16, (lba28 >> 16) as u16);
    // NOP, READ BUFFER, WRITE BUFFER, look-ahead, write cache, power management.
    words[82] = 0x7068;
    // LBA48, FLUSH CACHE, FLUSH CACHE EXT.
    words[83] = 0x7400;
    words[84] = 0x4000;
    words[85] = 0x7008 | u16::from(state.write_cache) << 5 | u16::from(state.look_ahead) << 6;
    words[86] = 0x3400;
    words[87] = 0x4000;
    for (i, word) in words[100..104].iter_mut().enumerate() {
        *word = (total >> (16 * i)) as u16;
    }
    to_bytes(&mut words)
}

/// IDENTIFY PACKET DEVICE of a CD-ROM drive.
pub(super) fn cdrom(drive: &Drive) -> Vec<u8> {
    let mut words = [0u16; 256];
    words[0] = 0x85C0; // ATAPI, CD-ROM, removable, DRQ within 50 us, 12-byte packets.
    text(&mut words[10..20], "RVMX00000");
    text(&mut words[27..47], "rvmx-emu CD-ROM");
    words[49] = 0x0F00;
    words[51] = 0x0200;
    common(drive, &mut words);
    words[82] = 0x4210; // NOP, DEVICE RESET, PACKET.
    words[83] = 0x4000;
    words[84] = 0x4000;
    words[85] = 0x4210;
    words[87] = 0x4000;
    to_bytes(&mut words)
}
