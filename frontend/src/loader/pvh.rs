//! Kernels with a PVH entry (Xen's "x86/HVM direct boot ABI"): an ELF note of Xen's says where to enter in protected mode
//! with paging off; EBX points to what the kernel is told.

use super::vmlinux::command_line;
use super::{
    EntryState, LoadError, LoadOptions, LoadedKernel, Places, Segment, elf, field, number, protected_entry, put,
};

/// The note: the physical entry.
const NOTE_OWNER: &[u8] = b"Xen";
const NOTE_PHYS32_ENTRY: u32 = 18;
/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u64 = 0x336e_c578;
/// Sizes of `hvm_start_info` (version 1), `hvm_modlist_entry` and `hvm_memmap_table_entry`.
const START_INFO: usize = 56;
const MODULE: usize = 32;
const MAP_ENTRY: usize = 24;
/// Where the module may end at most: Linux maps so much of itself at first.
const MODULE_END: u64 = 0x8000_0000;

/// The entry that the note names, if the file is such a kernel.
pub fn entry(image: &[u8]) -> Option<u64> {
    let elf = elf::parse(image).ok()?;
    let note = elf.note(NOTE_OWNER, NOTE_PHYS32_ENTRY)?;
    number(note, 0, note.len().min(8)).filter(|_| note.len() >= 4)
}

/// Loads a kernel that has such an [`entry`].
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    let elf = elf::parse(image)?;
    let entry = entry(image).ok_or(LoadError::UnknownFormat)?;
    let entry =
        u32::try_from(entry).map_err(|_| field("XEN_ELFNOTE_PHYS32_ENTRY", format!("{entry:#x} is above 4 GiB")))?;
    let mut places = Places::new(&options.memory_map);
    let mut segments = elf.segments();
    for segment in &segments {
        places.take("segment", segment.address, segment.size)?;
    }
    let module = match options.initrd {
        Some(data) => {
            let size = data.len() as u64;
            let at = places.highest_free("the initrd", size.max(1), 4096, places.highest(), MODULE_END)?;
            segments.push(Segment::new(at, data.to_vec()));
            Some((at, size))
        }
        None => None,
    };
    let command_line = command_line(options)?;
    let map_at = START_INFO + MODULE;
    let line_at = map_at + MAP_ENTRY * options.memory_map.len();
    let mut block = vec![0; line_at];
    block.extend_from_slice(&command_line);
    let at = places.for_information("the start information", block.len() as u64, 16)?;
    let address = |offset: usize| at + offset as u64;
    let count = options.memory_map.len() as u64;
    let rsdp = options.rsdp.as_ref().map_or(0, |rsdp| rsdp.address);
    for (offset, value, size) in [(0, MAGIC, 4), (4, 1, 4), (24, address(line_at), 8), (32, rsdp, 8)] {
        put(&mut block, offset, value, size);
    }
    if let Some((start, size)) = module {
        put(&mut block, 12, 1, 4);
        put(&mut block, 16, address(START_INFO), 8);
        put(&mut block, START_INFO, start, 8);
        put(&mut block, START_INFO + 8, size, 8);
    }
    put(&mut block, 40, address(map_at), 8);
    put(&mut block, 48, count, 4);
    for (index, region) in options.memory_map.iter().enumerate() {
        let entry = map_at + MAP_ENTRY * index;
        put(&mut block, entry, region.base, 8);
        put(&mut block, entry + 8, region.length, 8);
        put(&mut block, entry + 16, region.kind as u64, 4);
    }
    segments.push(Segment::new(at, block));
    let entry = EntryState { ebx: at as u32, ..protected_entry(entry, &mut places, &mut segments)? };
    Ok(LoadedKernel { description: "PVH kernel".to_owned(), segments, entry })
}
