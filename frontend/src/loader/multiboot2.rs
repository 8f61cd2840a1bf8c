//! Multiboot 2 kernels (Multiboot2 Specification 2.0): ELF executables, or any image with an address tag.

use super::multiboot::{LOADER_NAME, place_module, segment_by_addresses};
use super::{
    EntryState, LoadError, LoadOptions, LoadedKernel, Places, Segment, elf, field, memory_sizes, number,
    protected_entry, put, u16_at, u32_at,
};

/// The header's magic number, and the architecture: i386 in protected mode.
const HEADER_MAGIC: u32 = 0xe852_50d6;
const I386: u32 = 0;
/// What EAX holds on entry.
const LOADER_MAGIC: u32 = 0x36d7_6289;
/// The header lies within this many bytes.
const SEARCH: usize = 32768;
/// Bytes of the header before its tags.
const HEADER: usize = 16;

/// Tags of the header.
mod wanted {
    pub const END: u16 = 0;
    pub const INFORMATION: u16 = 1;
    pub const ADDRESSES: u16 = 2;
    pub const ENTRY: u16 = 3;
    pub const CONSOLE: u16 = 4;
    pub const FRAMEBUFFER: u16 = 5;
    pub const MODULES_ON_PAGES: u16 = 6;
    /// EFI boot services; entries for EFI machines.
    pub const EFI: std::ops::RangeInclusive<u16> = 7..=9;
    pub const RELOCATABLE: u16 = 10;
}

/// Tags of the boot information.
mod told {
    pub const END: u32 = 0;
    pub const COMMAND_LINE: u32 = 1;
    pub const LOADER_NAME: u32 = 2;
    pub const MODULE: u32 = 3;
    pub const MEMORY: u32 = 4;
    pub const MAP: u32 = 6;
    pub const VBE: u32 = 7;
    pub const FRAMEBUFFER: u32 = 8;
    pub const SECTIONS: u32 = 9;
    pub const APM: u32 = 10;
    pub const RSDP_1: u32 = 14;
    pub const RSDP_2: u32 = 15;
    pub const LOAD_BASE: u32 = 21;
    /// The last that the specification defines.
    pub const LAST: u32 = 21;
}

/// A Multiboot 2 header and what its tags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    offset: usize,
    addresses: Option<[u32; 4]>,
    entry: Option<u32>,
    relocatable: bool,
}

/// Finds the header: the magic number with a matching checksum on an 8-byte boundary. Its offset and length.
pub fn find_header(image: &[u8]) -> Option<(usize, usize)> {
    let area = image.get(..SEARCH).unwrap_or(image);
    (0..area.len()).step_by(8).find_map(|offset| {
        let word = |index: usize| u32_at(area, offset + 4 * index);
        let (magic, architecture, length, checksum) = (word(0)?, word(1)?, word(2)?, word(3)?);
        let sum = magic.wrapping_add(architecture).wrapping_add(length).wrapping_add(checksum);
        (magic == HEADER_MAGIC && sum == 0).then_some((offset, length as usize))
    })
}

fn header(image: &[u8]) -> Result<Header, LoadError> {
    let (offset, length) = find_header(image).ok_or(LoadError::UnknownFormat)?;
    let architecture = u32_at(image, offset + 4).unwrap_or(u32::MAX);
    if architecture != I386 {
        return Err(field("architecture", format!("{architecture} is not i386 (0)")));
    }
    let truncated = || field("Multiboot 2 header", "a tag is not within it");
    let mut rest = offset
        .checked_add(length)
        .and_then(|end| image.get(offset + HEADER..end))
        .ok_or_else(|| field("header_length", format!("{length:#x} bytes are not within the file")))?;
    let mut header = Header { offset, ..Header::default() };
    loop {
        let (Some(kind), Some(flags), Some(size)) = (u16_at(rest, 0), u16_at(rest, 2), u32_at(rest, 4)) else {
            return Err(truncated());
        };
        let tag = usize::try_from(size).ok().filter(|size| *size >= 8).and_then(|size| rest.get(..size));
        let tag = tag.ok_or_else(truncated)?;
        let words = || tag.get(8..).unwrap_or_default().chunks_exact(4).filter_map(|word| u32_at(word, 0));
        let required = flags & 1 == 0;
        match kind {
            wanted::END => return Ok(header),
            wanted::INFORMATION if required => {
                let missing = |kind: &u32| matches!(*kind, told::VBE | told::APM) || *kind > told::LAST;
                if let Some(kind) = words().find(missing) {
                    return Err(field("information request", format!("it demands tag {kind}, which there is not")));
                }
            }
            wanted::ADDRESSES => {
                let all: Vec<u32> = words().take(4).collect();
                header.addresses = Some(all.try_into().map_err(|_| truncated())?);
            }
            wanted::ENTRY => header.entry = Some(words().next().ok_or_else(truncated)?),
            wanted::FRAMEBUFFER => {
                log::warn!("the kernel's Multiboot 2 header asks for a video mode; the screen stays in text mode 3");
            }
            wanted::RELOCATABLE => header.relocatable = true,
            wanted::INFORMATION | wanted::CONSOLE | wanted::MODULES_ON_PAGES => {}
            kind if wanted::EFI.contains(&kind) => {}
            kind if required => {
                return Err(field("Multiboot 2 header", format!("tag {kind} demands what no specification defines")));
            }
            _ => {}
        }
        rest = rest.get(tag.len().next_multiple_of(8)..).ok_or_else(truncated)?;
    }
}

/// Loads a kernel that has a header.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    let header = header(image)?;
    let mut places = Places::new(&options.memory_map);
    let (mut segments, entry, kind, sections) = match header.addresses {
        Some(addresses) => {
            let entry = header.entry.ok_or_else(|| field("entry address tag", "an address tag needs it"))?;
            (vec![segment_by_addresses(image, header.offset, addresses)?], u64::from(entry), "by address tag", None)
        }
        None => {
            let elf = elf::parse(image)?;
            let entry = header.entry.map_or(elf.physical_entry(), u64::from);
            (elf.segments(), entry, if elf.is_64 { "ELF64" } else { "ELF32" }, elf::sections(image)?)
        }
    };
    for segment in &segments {
        places.take("segment", segment.address, segment.size)?;
    }
    let base = segments.iter().map(|segment| segment.address).min().unwrap_or(0);
    let entry = u32::try_from(entry).map_err(|_| field("e_entry", format!("{entry:#x} is above 4 GiB")))?;
    let module = place_module(options, &mut places, &mut segments)?;
    let mut block = Block::default();
    memory_tags(&mut block, options);
    if options.command_line.contains('\0') {
        return Err(field("--append", "a zero byte cannot be passed"));
    }
    block.tag(told::COMMAND_LINE, &[options.command_line.as_bytes(), &[0]]);
    block.tag(told::LOADER_NAME, &[LOADER_NAME]);
    if let Some((start, end)) = module {
        block.tag(told::MODULE, &[&(start as u32).to_le_bytes(), &(end as u32).to_le_bytes(), b"initrd\0"]);
    }
    if let Some(sections) = sections {
        let headers = place_sections(image, sections, &mut places, &mut segments)?;
        let count = (headers.len() / sections.size) as u32;
        let words: Vec<u8> =
            [count, sections.size as u32, sections.names].iter().flat_map(|word| word.to_le_bytes()).collect();
        block.tag(told::SECTIONS, &[&words, &headers]);
    }
    if let Some(rsdp) = &options.rsdp {
        let kind = if rsdp.bytes.len() > 20 { told::RSDP_2 } else { told::RSDP_1 };
        block.tag(kind, &[&rsdp.bytes]);
    }
    if header.relocatable {
        block.tag(told::LOAD_BASE, &[&(base as u32).to_le_bytes()]);
    }
    let block = block.finish();
    let at = places.for_information("the Multiboot information", block.len() as u64, 16)?;
    segments.push(Segment::new(at, block));
    let state = EntryState { eax: LOADER_MAGIC, ebx: at as u32, ..protected_entry(entry, &mut places, &mut segments)? };
    Ok(LoadedKernel { description: format!("Multiboot 2 kernel ({kind})"), segments, entry: state })
}

/// The boot information while it grows.
#[derive(Default)]
struct Block(Vec<u8>);

impl Block {
    fn tag(&mut self, kind: u32, contents: &[&[u8]]) {
        // Room for the fixed part.
        if self.0.is_empty() {
            self.0.resize(8, 0);
        }
        let size = 8 + contents.iter().map(|part| part.len()).sum::<usize>() as u32;
        self.0.extend(kind.to_le_bytes());
        self.0.extend(size.to_le_bytes());
        contents.iter().for_each(|part| self.0.extend_from_slice(part));
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.tag(told::END, &[]);
        let size = self.0.len() as u64;
        put(&mut self.0, 0, size, 4);
        self.0
    }
}

/// Memory sizes, memory map, and the screen: 80 by 25 characters at B8000h.
fn memory_tags(block: &mut Block, options: &LoadOptions) {
    let (lower, upper) = memory_sizes(&options.memory_map);
    block.tag(told::MEMORY, &[&(lower as u32).to_le_bytes(), &(upper as u32).to_le_bytes()]);
    let mut map = vec![0; 8];
    put(&mut map, 0, 24, 4);
    for region in &options.memory_map {
        map.extend(region.base.to_le_bytes());
        map.extend(region.length.to_le_bytes());
        map.extend(u64::from(region.kind as u32).to_le_bytes());
    }
    block.tag(told::MAP, &[&map]);
    let mut screen = [0; 24];
    // Address, bytes a line, columns, lines, bits, type 2: text.
    for (at, value, size) in [(0, 0xb_8000, 8), (8, 160, 4), (12, 80, 4), (16, 25, 4), (20, 16, 1), (21, 2, 1)] {
        put(&mut screen, at, value, size);
    }
    block.tag(told::FRAMEBUFFER, &[&screen]);
}

/// The section headers, with symbols and strings that no segment holds loaded, and their addresses filled in.
fn place_sections(
    image: &[u8],
    sections: elf::Sections,
    places: &mut Places,
    segments: &mut Vec<Segment>,
) -> Result<Vec<u8>, LoadError> {
    const SYMBOLS: u64 = 2;
    const STRINGS: u64 = 3;
    let mut headers = sections.headers.to_vec();
    // sh_addr, sh_offset, sh_size.
    let (addr, offset, length, word) = if sections.size >= 64 { (16, 24, 32, 8) } else { (12, 16, 20, 4) };
    for header in headers.chunks_exact_mut(sections.size) {
        let get = |at, size| number(header, at, size).unwrap_or(0);
        if !matches!(get(4, 4), SYMBOLS | STRINGS) || get(addr, word) != 0 || get(length, word) == 0 {
            continue;
        }
        let (start, size) = (get(offset, word), get(length, word));
        let bytes = usize::try_from(start).ok().zip(usize::try_from(size).ok());
        let bytes = bytes.and_then(|(start, size)| image.get(start..start.checked_add(size)?));
        let bytes = bytes.ok_or_else(|| field("sh_offset", "a section's bytes are not within the file"))?;
        let at = places.lowest("a symbol table", size, 4096, places.highest().max(0x10_0000), 1 << 32)?;
        put(header, addr, at, word);
        segments.push(Segment::new(at, bytes.to_vec()));
    }
    Ok(headers)
}
