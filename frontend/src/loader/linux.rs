//! Linux bzImages (Documentation/arch/x86/boot.rst: "The Linux/x86 Boot Protocol").

use super::boot_params::{self, offset};
use super::{
    EntryMode, EntryState, LinuxEntry, LoadError, LoadOptions, LoadedKernel, Places, Segment, field, number,
    protected_entry, put, u16_at, u32_at,
};

/// `loadflags`: the kernel is loaded at 1 MiB; the heap may be used.
const LOADED_HIGH: u8 = 1;
const CAN_USE_HEAP: u8 = 0x80;
/// Oldest protocol: it has `cmd_line_ptr`.
const OLDEST: u16 = 0x0202;
/// A boot loader without a number of its own.
const LOADER_UNDEFINED: u64 = 0xff;
/// `vid_mode`: 80 columns, 25 lines.
const MODE_NORMAL: u16 = 0xffff;

/// Where the protected-mode kernel goes.
const KERNEL: u64 = 0x10_0000;
/// Where the real-mode code goes, with its heap and stack in the same segment.
const REAL_MODE: u64 = 0x1_0000;
const HEAP_END: u64 = 0xf000;
const STACK_TOP: u32 = 0xfff0;
/// Where the command line goes.
const COMMAND_LINE: u64 = 0x2_0000;
/// Where the 32-bit protocol's boot parameters go.
const BOOT_PARAMETERS: u64 = REAL_MODE;

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
    let unpacked = room_to_unpack(image, version, &places)?;
    let mut segments = vec![Segment::new(KERNEL, kernel.to_vec())];
    let command_line = command_line(image, version, options, &mut places)?;
    segments.push(command_line);
    let initrd = match options.initrd {
        Some(data) => {
            let at = place_initrd(image, version, data.len() as u64, unpacked, &mut places)?;
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
    let video_mode = video_mode(options.command_line)?;
    put(&mut header, offset::VIDEO_MODE, u64::from(video_mode.unwrap_or(MODE_NORMAL)), 2);
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
            // It is the real-mode code that sets the mode.
            if let Some(mode) = video_mode.filter(|mode| *mode != MODE_NORMAL) {
                let problem =
                    format!("nobody sets video mode {mode:#x} for a kernel that is entered in protected mode");
                return Err(field("vga=", format!("{problem}; give --linux-entry real")));
            }
            places.take("the boot parameters", BOOT_PARAMETERS, boot_params::SIZE)?;
            let rsdp = options.rsdp.as_ref().filter(|_| version >= 0x020e);
            let parameters = boot_params::page(&header, &options.memory_map, rsdp);
            segments.push(Segment::new(BOOT_PARAMETERS, parameters));
            let page = BOOT_PARAMETERS as u32;
            EntryState { esi: page, esp: page, ..protected_entry(KERNEL as u32, &mut places, &mut segments)? }
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

/// Where the kernel unpacks itself it needs `init_size` bytes before it looks at the memory map. Their end; 0 for kernels
/// that do not say.
fn room_to_unpack(image: &[u8], version: u16, places: &Places) -> Result<u64, LoadError> {
    if version < 0x020a {
        return Ok(0);
    }
    let truncated = || field("setup header", "the file ends within it");
    let preferred = number(image, offset::PREF_ADDRESS, 8).ok_or_else(truncated)?;
    let size = u32_at(image, offset::INIT_SIZE).ok_or_else(truncated)?;
    let start = match image.get(offset::RELOCATABLE_KERNEL).ok_or_else(truncated)? {
        0 => preferred,
        _ => {
            let alignment = u32_at(image, offset::KERNEL_ALIGNMENT).ok_or_else(truncated)?;
            let aligned = KERNEL.max(preferred).checked_next_multiple_of(u64::from(alignment).max(1));
            aligned
                .ok_or_else(|| field("kernel_alignment", format!("{alignment:#x} leaves no place for the kernel")))?
        }
    };
    places.require("the kernel unpacked (pref_address, init_size)", start, u64::from(size))
}

/// As high as the kernel allows, clear of the room that it needs to unpack itself.
fn place_initrd(image: &[u8], version: u16, size: u64, unpacked: u64, places: &mut Places) -> Result<u64, LoadError> {
    let stated = if version >= 0x0203 { u32_at(image, offset::INITRD_ADDR_MAX).unwrap_or(0) } else { 0 };
    let most = if stated == 0 { 0x37ff_ffff } else { u64::from(stated) };
    let from = places.highest().max(unpacked);
    places.highest_free("the initrd", size.max(1), 4096, from, most + 1)
}

/// The video mode that the last `vga=` asks for, as a boot loader puts it into `vid_mode` (boot protocol, "Special
/// Command Line Options").
fn video_mode(command_line: &str) -> Result<Option<u16>, LoadError> {
    let Some(value) = command_line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("vga=")).next_back()
    else {
        return Ok(None);
    };
    let parsed = match value {
        "normal" => Some(MODE_NORMAL),
        "ext" => Some(0xfffe),
        "ask" => Some(0xfffd),
        // An integer in C's notation.
        number => match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None if number.starts_with('0') => u16::from_str_radix(number, 8).ok(),
            None => number.parse().ok(),
        },
    };
    match parsed {
        Some(mode) => Ok(Some(mode)),
        None => Err(field("vga=", format!("{value:?} is neither normal, ext, ask nor a number up to 0xffff"))),
    }
}
