//! Good files that are made here.

/// A Multiboot kernel that halts.
pub fn elf() -> Vec<u8> {
    let mut file = vec![0; 0x1000 + 64];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x01\x01\x01");
    // Executable, 386, version 1; entry, program headers behind the header.
    put(16, &[2, 0, 3, 0, 1, 0, 0, 0]);
    for (at, value) in [(24, 0x10_000Cu32), (28, 52), (40, 0x0020_0034), (44, 1)] {
        put(at, &value.to_le_bytes());
    }
    for (n, value) in [1u32, 0x1000, 0x10_0000, 0x10_0000, 64, 128, 7, 0x1000].into_iter().enumerate() {
        put(52 + 4 * n, &value.to_le_bytes());
    }
    for (n, value) in [0x1BAD_B002u32, 0, 0u32.wrapping_sub(0x1BAD_B002)].into_iter().enumerate() {
        put(0x1000 + 4 * n, &value.to_le_bytes());
    }
    put(0x100C, &[0xFA, 0xF4]);
    file
}

/// A kernel by the Linux boot protocol 2.10 that halts.
pub fn bzimage() -> Vec<u8> {
    let mut file = vec![0xF4; 0x400 + 0x1000];
    file[..0x400].fill(0);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1F1, &[1]);
    put(0x1F4, &0x100u32.to_le_bytes());
    put(0x1FE, &[0x55, 0xAA, 0xEB, 0x66]);
    put(0x202, b"HdrS");
    put(0x206, &[0x0A, 0x02]);
    put(0x211, &[1]);
    put(0x214, &0x10_0000u32.to_le_bytes());
    put(0x22C, &0x7FFF_FFFFu32.to_le_bytes());
    put(0x230, &0x1000u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x238, &255u32.to_le_bytes());
    put(0x260, &0x1_0000u32.to_le_bytes());
    put(0x268, &[0xFA, 0xF4]);
    file
}

/// A disc with an El Torito catalogue that boots a disk's first sectors (El Torito Bootable CD-ROM Format 1.0).
pub fn iso(disk: &[u8]) -> Vec<u8> {
    let mut disc = vec![0; 24 * 2048];
    let mut put = |at: usize, bytes: &[u8]| disc[at..at + bytes.len()].copy_from_slice(bytes);
    put(16 * 2048, b"\x01CD001\x01");
    put(17 * 2048, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17 * 2048 + 0x47, &19u32.to_le_bytes());
    put(18 * 2048, b"\xFFCD001\x01");
    // The validation entry with its sum, and the default entry: no emulation, 4 sectors from block 20 on.
    put(19 * 2048, &[1]);
    put(19 * 2048 + 0x1C, &[0xAA, 0x55, 0x55, 0xAA]);
    put(19 * 2048 + 0x20, &[0x88, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0]);
    put(20 * 2048, disk.get(..2048).unwrap_or_default());
    disc
}
