//! What a Linux kernel finds where ESI or RSI points (Documentation/arch/x86/zero-page.rst: "Zero Page", and boot.rst).

use super::{MemoryRegion, Rsdp, memory_sizes, put};

/// Offsets in the setup header.
pub(super) mod offset {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const SYSSIZE: usize = 0x1f4;
    pub const VIDEO_MODE: usize = 0x1fa;
    pub const BOOT_FLAG: usize = 0x1fe;
    pub const JUMP_LENGTH: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const CODE32_START: usize = 0x214;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const HEAP_END_PTR: usize = 0x224;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22c;
    pub const KERNEL_ALIGNMENT: usize = 0x230;
    pub const RELOCATABLE_KERNEL: usize = 0x234;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
}

/// Bytes of the page.
pub(super) const SIZE: u64 = 4096;

/// The `boot_params` page: the setup header from `header`, a file's first sectors; a screen in mode 3; the memory map.
pub(super) fn page(header: &[u8], map: &[MemoryRegion], rsdp: Option<&Rsdp>) -> Vec<u8> {
    const EXT_MEM_K: usize = 0x002;
    const ACPI_RSDP_ADDR: usize = 0x070;
    const ALT_MEM_K: usize = 0x1e0;
    const E820_ENTRIES: usize = 0x1e8;
    const E820_TABLE: usize = 0x2d0;
    const E820_MAX: usize = 128;
    let mut page = vec![0; SIZE as usize];
    // The header ends where its jump instruction lands.
    let end = offset::MAGIC + usize::from(header.get(offset::JUMP_LENGTH).copied().unwrap_or(0));
    let end = end.min(E820_TABLE).min(header.len());
    if let (Some(to), Some(from)) = (page.get_mut(offset::SETUP_SECTS..end), header.get(offset::SETUP_SECTS..end)) {
        to.copy_from_slice(from);
    }
    // screen_info: video mode 3, 80 columns, 25 lines, VGA, 16 scan lines a character.
    for (at, value, size) in [(0x06, 3, 1), (0x07, 80, 1), (0x0e, 25, 1), (0x0f, 1, 1), (0x10, 16, 2)] {
        put(&mut page, at, value, size);
    }
    let (_, upper) = memory_sizes(map);
    put(&mut page, EXT_MEM_K, upper.min(0xffff), 2);
    put(&mut page, ALT_MEM_K, upper.min(0xffff_ffff), 4);
    put(&mut page, ACPI_RSDP_ADDR, rsdp.map_or(0, |rsdp| rsdp.address), 8);
    for (index, region) in map.iter().take(E820_MAX).enumerate() {
        let at = E820_TABLE + 20 * index;
        put(&mut page, at, region.base, 8);
        put(&mut page, at + 8, region.length, 8);
        put(&mut page, at + 16, region.kind as u64, 4);
    }
    put(&mut page, E820_ENTRIES, map.len().min(E820_MAX) as u64, 1);
    page
}
