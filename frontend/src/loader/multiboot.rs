//! Multiboot-1 kernels (Multiboot Specification 0.6.96): ELF executables, or any image with the header's address
//! fields.

use super::{
    EntryState, LoadError, LoadOptions, LoadedKernel, MemoryRegion, Places, Segment, elf, field, memory_sizes,
    protected_entry, put, u32_at,
};

/// The header's magic number.
const HEADER_MAGIC: u32 = 0x1bad_b002;
/// What EAX holds on entry.
const LOADER_MAGIC: u32 = 0x2bad_b002;
/// The header lies within this many bytes.
const SEARCH: usize = 8192;
/// Header flags: modules on page boundaries, memory information, video mode, address fields.
const FLAG_VIDEO: u32 = 1 << 2;
const FLAG_ADDRESSES: u32 = 1 << 16;
/// Flags 0 to 15 are demands; those known are 0 to 2.
const DEMANDS: u32 = 0xffff;
const KNOWN_DEMANDS: u32 = 0b111;
/// The boot information's size with everything up to the VBE fields.
const INFO_SIZE: usize = 116;
/// Boot information flags: memory, command line, modules, memory map, loader name.
const INFO_MEMORY: u32 = 1 << 0;
const INFO_COMMAND_LINE: u32 = 1 << 2;
const INFO_MODULES: u32 = 1 << 3;
const INFO_MAP: u32 = 1 << 6;
const INFO_LOADER_NAME: u32 = 1 << 9;
const FOUR_GIB: u64 = 1 << 32;

/// A Multiboot header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its place in the file.
    pub offset: usize,
    /// Its flags.
    pub flags: u32,
}

/// Finds the header: the magic number with a matching checksum on a 4-byte boundary.
pub fn find_header(image: &[u8]) -> Option<Header> {
    let area = image.get(..SEARCH).unwrap_or(image);
    (0..area.len()).step_by(4).find_map(|offset| {
        let (magic, flags, checksum) = (u32_at(area, offset)?, u32_at(area, offset + 4)?, u32_at(area, offset + 8)?);
        let fits = magic == HEADER_MAGIC && magic.wrapping_add(flags).wrapping_add(checksum) == 0;
        fits.then_some(Header { offset, flags })
    })
}

/// Loads a kernel that has a header.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    let header = find_header(image).ok_or(LoadError::UnknownFormat)?;
    let unknown = header.flags & DEMANDS & !KNOWN_DEMANDS;
    if unknown != 0 {
        return Err(field("Multiboot flags", format!("bits {unknown:#x} demand what no specification defines")));
    }
    if header.flags & FLAG_VIDEO != 0 {
        log::warn!("the kernel's Multiboot header asks for a video mode; the screen stays in text mode 3");
    }
    let mut places = Places::new(&options.memory_map);
    let (mut segments, entry, kind) = if header.flags & FLAG_ADDRESSES != 0 {
        let (segment, entry) = load_by_addresses(image, header)?;
        (vec![segment], entry, "by address fields")
    } else {
        let elf = elf::parse(image)?;
        (elf.segments(), elf.physical_entry(), if elf.is_64 { "ELF64" } else { "ELF32" })
    };
    for segment in &segments {
        places.take("segment", segment.address, segment.size)?;
    }
    let entry = u32::try_from(entry).map_err(|_| field("e_entry", format!("{entry:#x} is above 4 GiB")))?;
    let module = place_module(options, &mut places, &mut segments)?;
    let (information, info_at) = boot_information(options, module, &mut places)?;
    segments.push(Segment::new(info_at, information));
    let state =
        EntryState { eax: LOADER_MAGIC, ebx: info_at as u32, ..protected_entry(entry, &mut places, &mut segments)? };
    Ok(LoadedKernel { description: format!("Multiboot kernel ({kind})"), segments, entry: state })
}

/// Puts the module, if there is one, on a page right after the kernel, where boot loaders put modules; kernels that map
/// only a few MiB at first rely on it. Its start and end.
pub(super) fn place_module(
    options: &LoadOptions,
    places: &mut Places,
    segments: &mut Vec<Segment>,
) -> Result<Option<(u64, u64)>, LoadError> {
    let Some(data) = options.initrd else { return Ok(None) };
    let (size, from) = (data.len() as u64, places.highest().max(0x10_0000));
    let at = places.lowest("the initrd", size.max(1), 4096, from, FOUR_GIB)?;
    segments.push(Segment::new(at, data.to_vec()));
    Ok(Some((at, at + size)))
}

/// The one segment of a kernel whose header has address fields, and its entry.
fn load_by_addresses(image: &[u8], header: Header) -> Result<(Segment, u64), LoadError> {
    let get = |index: usize| u32_at(image, header.offset + 12 + 4 * index);
    let all = || Some(([get(0)?, get(1)?, get(2)?, get(3)?], get(4)?));
    let (addresses, entry) =
        all().ok_or_else(|| field("Multiboot header", "the file ends within its address fields"))?;
    Ok((segment_by_addresses(image, header.offset, addresses)?, u64::from(entry)))
}

/// The segment that `header_addr`, `load_addr`, `load_end_addr` and `bss_end_addr` describe, for a header at `offset`.
pub(super) fn segment_by_addresses(image: &[u8], offset: usize, addresses: [u32; 4]) -> Result<Segment, LoadError> {
    let [header_addr, load_addr, load_end, bss_end] = addresses;
    let before = header_addr.checked_sub(load_addr).and_then(|before| usize::try_from(before).ok());
    let start = before.and_then(|before| offset.checked_sub(before));
    let start = start.ok_or_else(|| {
        field(
            "load_addr",
            format!("{load_addr:#x} does not fit header_addr {header_addr:#x} at file offset {offset:#x}"),
        )
    })?;
    let available = image.len() - start.min(image.len());
    let length = match load_end {
        0 => available,
        end => {
            let length = end.checked_sub(load_addr).map(|length| length as usize);
            length.filter(|length| *length <= available).ok_or_else(|| {
                field("load_end_addr", format!("{end:#x} is below load_addr or beyond the end of the file"))
            })?
        }
    };
    let bytes = image.get(start..start + length).unwrap_or_default().to_vec();
    let size = match bss_end {
        0 => bytes.len() as u64,
        end => {
            let size = u64::from(end).checked_sub(u64::from(load_addr)).filter(|size| *size >= bytes.len() as u64);
            size.ok_or_else(|| field("bss_end_addr", format!("{end:#x} is below the end of the data")))?
        }
    };
    if size == 0 {
        return Err(field("load_end_addr", "there is nothing to load"));
    }
    Ok(Segment { address: u64::from(load_addr), bytes, size })
}

/// The name that kernels are told.
pub(super) const LOADER_NAME: &[u8] = concat!("rvmx-emu ", env!("CARGO_PKG_VERSION"), "\0").as_bytes();

/// Builds the boot information with all that it points to in one block; the block and its address.
fn boot_information(
    options: &LoadOptions,
    module: Option<(u64, u64)>,
    places: &mut Places,
) -> Result<(Vec<u8>, u64), LoadError> {
    let command_line = format!("{} {}", options.file_name, options.command_line);
    if command_line.contains('\0') {
        return Err(field("--append", "a zero byte cannot be passed"));
    }
    let mut block = vec![0; INFO_SIZE];
    let mut append = |data: &[u8]| {
        let at = block.len();
        block.extend_from_slice(data);
        block.resize(block.len().next_multiple_of(4), 0);
        at
    };
    let map: Vec<u8> = options
        .memory_map
        .iter()
        .flat_map(|region: &MemoryRegion| {
            let mut entry = [0; 24];
            put(&mut entry, 0, 20, 4);
            put(&mut entry, 4, region.base, 8);
            put(&mut entry, 12, region.length, 8);
            put(&mut entry, 20, region.kind as u64, 4);
            entry
        })
        .collect();
    let map_at = append(&map);
    let module_at = append(&[0; 16]);
    let module_name_at = append(b"initrd\0");
    let name_at = append(LOADER_NAME);
    let mut line = command_line.trim_end().as_bytes().to_vec();
    line.push(0);
    let line_at = append(&line);

    let size = block.len() as u64;
    let info_at = places.for_information("the Multiboot information", size, 16)?;
    let address = |offset: usize| info_at + offset as u64;
    let (lower, upper) = memory_sizes(&options.memory_map);
    let mut flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MAP | INFO_LOADER_NAME;
    put(&mut block, 4, lower, 4);
    put(&mut block, 8, upper, 4);
    put(&mut block, 16, address(line_at), 4);
    if let Some((start, end)) = module {
        flags |= INFO_MODULES;
        put(&mut block, 20, 1, 4);
        put(&mut block, 24, address(module_at), 4);
        put(&mut block, module_at, start, 4);
        put(&mut block, module_at + 4, end, 4);
        put(&mut block, module_at + 8, address(module_name_at), 4);
    }
    put(&mut block, 44, map.len() as u64, 4);
    put(&mut block, 48, address(map_at), 4);
    put(&mut block, 64, address(name_at), 4);
    put(&mut block, 0, u64::from(flags), 4);
    Ok((block, info_at))
}
