//! Small kernels, made byte by byte.

fn put(data: &mut [u8], at: usize, value: u64, size: usize) {
    data[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// A Multiboot header with these flags.
pub fn multiboot_header(flags: u32) -> Vec<u8> {
    let magic = 0x1bad_b002u32;
    let checksum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
    [magic, flags, checksum].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A segment for an ELF: virtual address, physical address, bytes, size in memory.
pub type ElfSegment<'a> = (u64, u64, &'a [u8], u64);

/// An ELF32 or ELF64 executable with these segments.
pub fn elf(is_64: bool, entry: u64, segments: &[ElfSegment]) -> Vec<u8> {
    let (header, entry_size) = if is_64 { (64, 56) } else { (52, 32) };
    let mut image = vec![0; header + entry_size * segments.len()];
    image[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }, 1, 1]);
    put(&mut image, 16, 2, 2);
    put(&mut image, 18, if is_64 { 62 } else { 3 }, 2);
    let word = if is_64 { 8 } else { 4 };
    put(&mut image, 24, entry, word);
    put(&mut image, 24 + word, header as u64, word);
    let sizes = if is_64 { 54 } else { 42 };
    put(&mut image, sizes, entry_size as u64, 2);
    put(&mut image, sizes + 2, segments.len() as u64, 2);
    for (index, (virtual_address, physical_address, bytes, size)) in segments.iter().enumerate() {
        image.resize(image.len().next_multiple_of(8), 0);
        let (at, offset) = (header + index * entry_size, image.len() as u64);
        let length = bytes.len() as u64;
        put(&mut image, at, 1, 4);
        let fields: [(usize, u64); 5] = if is_64 {
            [(8, offset), (16, *virtual_address), (24, *physical_address), (32, length), (40, *size)]
        } else {
            [(4, offset), (8, *virtual_address), (12, *physical_address), (16, length), (20, *size)]
        };
        for (delta, value) in fields {
            put(&mut image, at + delta, value, word);
        }
        image.extend_from_slice(bytes);
    }
    image
}

/// A Multiboot ELF with one segment at 4 MiB and some zeroed memory after it.
pub fn multiboot_elf(is_64: bool) -> Vec<u8> {
    let mut code = multiboot_header(0);
    code.extend_from_slice(&[0xf4; 20]);
    elf(is_64, 0x40_000c, &[(0x40_0000, 0x40_0000, &code, 0x3000)])
}

/// A raw image with the header's address fields, loaded at 1 MiB; the header is 8 bytes into it.
pub fn multiboot_raw(load_end: u32, bss_end: u32) -> Vec<u8> {
    let mut image = vec![0x90; 8];
    image.extend(multiboot_header(1 << 16));
    for word in [0x10_0008u32, 0x10_0000, load_end, bss_end, 0x10_0020] {
        image.extend(word.to_le_bytes());
    }
    image.resize(64, 0xcc);
    image
}

/// A bzImage with protocol 2.10, 2 setup sectors and a small kernel.
pub fn bzimage() -> Vec<u8> {
    let mut image = vec![0; 3 * 512];
    image[0x1f1] = 2;
    put(&mut image, 0x1f4, 3, 4);
    put(&mut image, 0x1fe, 0xaa55, 2);
    image[0x200..0x202].copy_from_slice(&[0xeb, 0x66]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    put(&mut image, 0x206, 0x020a, 2);
    image[0x211] = 1;
    put(&mut image, 0x214, 0x10_0000, 4);
    put(&mut image, 0x22c, 0x7fff_ffff, 4);
    put(&mut image, 0x238, 2047, 4);
    put(&mut image, 0x258, 0x100_0000, 8);
    put(&mut image, 0x260, 0x20_0000, 4);
    image.extend_from_slice(&[0xf4; 48]);
    image
}

/// A Multiboot 2 header with these tags: type, flags, contents.
pub fn multiboot2_header(tags: &[(u16, u16, &[u32])]) -> Vec<u8> {
    let mut header = vec![0; 16];
    for (kind, flags, words) in tags.iter().chain([&(0, 0, &[][..])]) {
        header.extend(kind.to_le_bytes());
        header.extend(flags.to_le_bytes());
        header.extend((8 + 4 * words.len() as u32).to_le_bytes());
        words.iter().for_each(|word| header.extend(word.to_le_bytes()));
        header.resize(header.len().next_multiple_of(8), 0);
    }
    let (magic, length) = (0xe852_50d6u32, header.len() as u32);
    put(&mut header, 0, u64::from(magic), 4);
    put(&mut header, 8, u64::from(length), 4);
    put(&mut header, 12, u64::from(0u32.wrapping_sub(magic).wrapping_sub(length)), 4);
    header
}

/// A kernel with Xen's PVH note, which names this entry; one segment at 1 MiB.
pub fn pvh_elf(entry: u32, code: &[u8]) -> Vec<u8> {
    let mut note: Vec<u8> = [4u32, 4, 18].iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend(b"Xen\0");
    note.extend(entry.to_le_bytes());
    let mut image = elf(true, 0xdead, &[(0, 0, &note, 20), (0x10_0000, 0x10_0000, code, 0x2000)]);
    put(&mut image, 64, 4, 4); // PT_NOTE
    image
}

/// A Linux kernel as an ELF executable: linked high, loaded at 16 MiB.
pub fn vmlinux(code: &[u8]) -> Vec<u8> {
    let mut code = code.to_vec();
    code.extend(b"\0Linux version 6.1\0");
    elf(true, 0x100_0000, &[(0xffff_ffff_8100_0000, 0x100_0000, &code, 0x2000)])
}
