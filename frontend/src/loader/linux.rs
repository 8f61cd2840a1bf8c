//! Linux bzImages (Documentation/arch/x86/boot.rst: "The Linux/x86 Boot Protocol").

use super::{
    CODE_SELECTOR, DATA_SELECTOR, EntryMode, EntryState, LinuxEntry, LoadError, LoadOptions, LoadedKernel, MemoryKind,
    MemoryRegion, Places, Segment, field, flat_gdt, number, put, u16_at, u32_at,
};

/// Offsets in the setup header.
mod offset {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const SYSSIZE: usize = 0x1f4;
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
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
}

/// `loadflags`: the kernel is loaded at 1 MiB; the heap may be used.
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
/// Oldest protocol: it has `cmd_line_ptr`.
const OLDEST: u16 = 0x0202;
/// A boot loader without a number of its own.
const LOADER_UNDEFINED: u64 = 0xff;

/// Where the protected-mode kernel goes.
const KERNEL: u64 = 0x10_0000;
/// Where the real-mode code goes, with its heap and stack in the same segment.
const REAL_MODE: u64 = 0x1_0000;
const HEAP_END: u64 = 0xf000;
const STACK_TOP: u32 = 0xfff0;
/// Where the command line goes.
const COMMAND_LINE: u64 = 0x2_0000;
/// Where the 32-bit protocol's boot parameters and GDT go.
const BOOT_PARAMETERS: u64 = REAL_MODE;
const GDT: u64 = REAL_MODE + 0x1000;

/// Whether the file has a Linux setup header.
pub fn is_bzimage(image: &[u8]) -> bool {
    image.get(offset::MAGIC..offset::MAGIC + 4) == Some(b"HdrS") && u16_at(image, offset::BOOT_FLAG) == Some(0xaa55)
}

/// Loads a bzImage.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    if !is_bzimage(image) {
        return Err(LoadError::UnknownFormat);
    }
    let truncated = || field("setup header", "the file ends within it");
    let version = u16_at(image, offset::VERSION).ok_or_else(truncated)?;
    if version < OLDEST {
        return Err(field(
            "version",
            format!("boot protocol {}.{:02} is older than 2.02", version >> 8, version & 0xff),
        ));
    }
    let loadflags = *image.get(offset::LOADFLAGS).ok_or_else(truncated)?;
    if loadflags & LOADED_HIGH == 0 {
        return Err(field("loadflags", "it is a zImage, which loads below 1 MiB; use a bzImage"));
    }
    // 0 means 4, for the sake of old kernels.
    let setup_sectors = match image.get(offset::SETUP_SECTS).ok_or_else(truncated)? {
        0 => 4,
        n => usize::from(*n),
    };
    let setup_size = (setup_sectors + 1) * 512;
    let (setup, kernel) = image.split_at_checked(setup_size).ok_or_else(|| {
        field("setup_sects", format!("{setup_size} bytes of real-mode code, but the file has {}", image.len()))
    })?;
    let paragraphs = u64::from(u32_at(image, offset::SYSSIZE).ok_or_else(truncated)?);
    // Protocols before 2.04 have 16 bits there and cannot tell a large kernel's size.
    if version >= 0x0204 && paragraphs * 16 > kernel.len() as u64 + 15 {
        return Err(field(
            "syssize",
            format!("{:#x} bytes of kernel, but the file has {:#x}", paragraphs * 16, kernel.len()),
        ));
    }
    if kernel.is_empty() {
        return Err(field("syssize", "there is no protected-mode kernel in the file"));
    }

    let mut places = Places::new(&options.memory_map);
    places.take("the kernel", KERNEL, kernel.len() as u64)?;
    let mut segments = vec![Segment::new(KERNEL, kernel.to_vec())];
    let command_line = command_line(image, version, options, &mut places)?;
    segments.push(command_line);
    let initrd = match options.initrd {
        Some(data) => {
            let at = place_initrd(image, version, data.len() as u64, &mut places)?;
            segments.push(Segment::new(at, data.to_vec()));
            Some((at, data.len() as u64))
        }
        None => None,
    };

    let mut header = setup.to_vec();
    put(&mut header, offset::TYPE_OF_LOADER, LOADER_UNDEFINED, 1);
    put(&mut header, offset::LOADFLAGS, u64::from(loadflags | CAN_USE_HEAP), 1);
    put(&mut header, offset::HEAP_END_PTR, HEAP_END - 0x200, 2);
    put(&mut header, offset::CMD_LINE_PTR, COMMAND_LINE, 4);
    put(&mut header, offset::CODE32_START, KERNEL, 4);
    if let Some((at, size)) = initrd {
        put(&mut header, offset::RAMDISK_IMAGE, at, 4);
        put(&mut header, offset::RAMDISK_SIZE, size, 4);
    }
    let entry = match options.linux_entry {
        LinuxEntry::Real => {
            // Heap and stack share the 64 KiB of the real-mode code.
            if header.len() as u64 > HEAP_END {
                return Err(field("setup_sects", "the real-mode code leaves no room for its heap"));
            }
            places.take("the real-mode code", REAL_MODE, 0x1_0000)?;
            segments.push(Segment::new(REAL_MODE, header));
            EntryState {
                mode: EntryMode::Real16,
                cs: (REAL_MODE >> 4) as u16 + 0x20,
                eip: 0,
                data_selector: (REAL_MODE >> 4) as u16,
                eax: 0,
                ebx: 0,
                esi: 0,
                esp: STACK_TOP,
                gdt: None,
            }
        }
        LinuxEntry::Protected => {
            places.take("the boot parameters", BOOT_PARAMETERS, 0x2000)?;
            segments.push(Segment::new(BOOT_PARAMETERS, boot_parameters(&header, &options.memory_map)));
            let gdt = flat_gdt();
            let limit = gdt.len() as u16 - 1;
            segments.push(Segment::new(GDT, gdt));
            EntryState {
                mode: EntryMode::Protected32,
                cs: CODE_SELECTOR,
                eip: KERNEL as u32,
                data_selector: DATA_SELECTOR,
                eax: 0,
                ebx: 0,
                esi: BOOT_PARAMETERS as u32,
                esp: BOOT_PARAMETERS as u32,
                gdt: Some((GDT as u32, limit)),
            }
        }
    };
    let description = format!("Linux kernel (boot protocol {}.{:02})", version >> 8, version & 0xff);
    Ok(LoadedKernel { description, segments, entry })
}

fn command_line(image: &[u8], version: u16, options: &LoadOptions, places: &mut Places) -> Result<Segment, LoadError> {
    let mut line = options.command_line.as_bytes().to_vec();
    if line.contains(&0) {
        return Err(field("--append", "a zero byte cannot be passed"));
    }
    // Without the field the kernel takes 255 characters.
    let stated = if version >= 0x0206 { u32_at(image, offset::CMDLINE_SIZE).unwrap_or(0) } else { 0 };
    let most = if stated == 0 { 255 } else { stated.min(0x8000) };
    if line.len() as u64 > u64::from(most) {
        return Err(field("cmdline_size", format!("--append has {} bytes, the kernel takes {most}", line.len())));
    }
    line.push(0);
    places.take("the command line", COMMAND_LINE, line.len() as u64)?;
    Ok(Segment::new(COMMAND_LINE, line))
}

/// As high as the kernel allows, clear of the room that it needs to unpack itself.
fn place_initrd(image: &[u8], version: u16, size: u64, places: &mut Places) -> Result<u64, LoadError> {
    let stated = if version >= 0x0203 { u32_at(image, offset::INITRD_ADDR_MAX).unwrap_or(0) } else { 0 };
    let most = if stated == 0 { 0x37ff_ffff } else { u64::from(stated) };
    let unpacked = if version >= 0x020a {
        let preferred = number(image, offset::PREF_ADDRESS, 8).unwrap_or(0);
        preferred.saturating_add(u64::from(u32_at(image, offset::INIT_SIZE).unwrap_or(0)))
    } else {
        0
    };
    let from = places.highest().max(unpacked);
    places.highest_free("the initrd", size.max(1), 4096, from, most + 1)
}

/// The 32-bit protocol's `boot_params` page: the header, a screen in mode 3, the memory map.
fn boot_parameters(header: &[u8], map: &[MemoryRegion]) -> Vec<u8> {
    const E820_ENTRIES: usize = 0x1e8;
    const E820_TABLE: usize = 0x2d0;
    const E820_MAX: usize = 128;
    let mut page = vec![0; 4096];
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
    let upper = map.iter().find(|r| r.kind == MemoryKind::Usable && r.base == KERNEL).map_or(0, |r| r.length / 1024);
    put(&mut page, 0x02, upper.min(0xffff), 2);
    put(&mut page, 0x1e0, upper.min(0xffff_ffff), 4);
    for (index, region) in map.iter().take(E820_MAX).enumerate() {
        let at = E820_TABLE + 20 * index;
        put(&mut page, at, region.base, 8);
        put(&mut page, at + 8, region.length, 8);
        put(&mut page, at + 16, region.kind as u64, 4);
    }
    put(&mut page, E820_ENTRIES, map.len().min(E820_MAX) as u64, 1);
    page
}
