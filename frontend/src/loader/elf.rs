//! ELF executables as far as a boot loader needs them: entry, loadable segments, notes and section headers (System V
//! ABI, chapters 4 and 5).

use super::{LoadError, Segment, field, number};

/// Most program headers that are looked at; a kernel has a handful.
const MAX_HEADERS: u64 = 1024;

/// One `PT_LOAD` segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load<'a> {
    /// `p_vaddr`.
    pub virtual_address: u64,
    /// `p_paddr`.
    pub physical_address: u64,
    /// The bytes in the file.
    pub bytes: &'a [u8],
    /// `p_memsz`: bytes in memory, at least `bytes.len()`.
    pub size: u64,
}

/// An executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf<'a> {
    /// 64-bit headers.
    pub is_64: bool,
    /// `e_entry`.
    pub entry: u64,
    /// The loadable segments.
    pub loads: Vec<Load<'a>>,
    /// The contents of the note segments (`PT_NOTE`).
    pub notes: Vec<&'a [u8]>,
}

/// One program header that a loader looks at.
enum ProgramHeader<'a> {
    Load(Load<'a>),
    Note(&'a [u8]),
}

/// Where section headers stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections<'a> {
    /// The headers, one behind the other.
    pub headers: &'a [u8],
    /// Bytes of one.
    pub size: usize,
    /// Which one is the table of their names.
    pub names: u32,
}

impl Elf<'_> {
    /// The entry as a physical address: through the segment whose virtual range holds it, else as it stands.
    pub fn physical_entry(&self) -> u64 {
        let inside =
            |load: &&Load| (load.virtual_address..load.virtual_address.saturating_add(load.size)).contains(&self.entry);
        self.loads
            .iter()
            .find(inside)
            .map_or(self.entry, |load| load.physical_address.wrapping_add(self.entry - load.virtual_address))
    }

    /// The loadable segments for memory, at their physical addresses.
    pub fn segments(&self) -> Vec<Segment> {
        let segment =
            |load: &Load| Segment { address: load.physical_address, bytes: load.bytes.to_vec(), size: load.size };
        self.loads.iter().map(segment).collect()
    }

    /// The contents of the first note of this owner and type.
    pub fn note(&self, owner: &[u8], kind: u32) -> Option<&[u8]> {
        self.notes.iter().find_map(|notes| {
            let mut rest = *notes;
            loop {
                let get = |at| number(rest, at, 4);
                let (name_size, size, found) = (get(0)? as usize, get(4)? as usize, get(8)?);
                let at = 12usize.checked_add(name_size)?.checked_next_multiple_of(4)?;
                let end = at.checked_add(size)?;
                let (name, contents) = (rest.get(12..12 + name_size)?, rest.get(at..end)?);
                if found == u64::from(kind) && name.strip_suffix(&[0]) == Some(owner) {
                    return Some(contents);
                }
                rest = rest.get(end.checked_next_multiple_of(4)?..)?;
            }
        })
    }
}

/// The section headers of an executable that [`parse`] has taken; `None` if it has none.
pub fn sections(image: &[u8]) -> Result<Option<Sections<'_>>, LoadError> {
    let is_64 = image.get(4) == Some(&2);
    let (offset, sizes) = if is_64 { ((40, 8), 58) } else { ((32, 4), 46) };
    let get = |at, size| number(image, at, size).ok_or_else(|| field("ELF header", "the file ends within it"));
    let (offset, size, count) = (get(offset.0, offset.1)?, get(sizes, 2)? as usize, get(sizes + 2, 2)? as usize);
    if count == 0 {
        return Ok(None);
    }
    let least = if is_64 { 64 } else { 40 };
    if size < least {
        return Err(field("e_shentsize", format!("{size} is less than {least}")));
    }
    let start = usize::try_from(offset).ok();
    let headers = start.and_then(|start| image.get(start..start.checked_add(size * count)?));
    let headers = headers.ok_or_else(|| field("e_shoff", "the section headers are not within the file"))?;
    Ok(Some(Sections { headers, size, names: get(sizes + 4, 2)? as u32 }))
}

/// Whether the file has the ELF mark.
pub fn is_elf(image: &[u8]) -> bool {
    image.starts_with(b"\x7fELF")
}

/// Parses a little-endian ELF executable for the i386 or x86-64.
pub fn parse(image: &[u8]) -> Result<Elf<'_>, LoadError> {
    if !is_elf(image) {
        return Err(field("e_ident", "there is no ELF mark, and the Multiboot header has no addresses"));
    }
    let is_64 = match image.get(4) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(field("e_ident[EI_CLASS]", "neither 32- nor 64-bit")),
    };
    if image.get(5) != Some(&1) {
        return Err(field("e_ident[EI_DATA]", "not little-endian"));
    }
    let truncated = || field("ELF header", "the file ends within it");
    let get = |at, size| number(image, at, size).ok_or_else(truncated);
    let machine = get(18, 2)?;
    if !matches!(machine, 3 | 62) {
        return Err(field("e_machine", format!("{machine} is neither i386 (3) nor x86-64 (62)")));
    }
    let kind = get(16, 2)?;
    if kind != 2 {
        return Err(field("e_type", format!("{kind} is no executable (2)")));
    }
    let (entry, offset, size, count) = if is_64 {
        (get(24, 8)?, get(32, 8)?, get(54, 2)?, get(56, 2)?)
    } else {
        (get(24, 4)?, get(28, 4)?, get(42, 2)?, get(44, 2)?)
    };
    let least = if is_64 { 56 } else { 32 };
    if size < least {
        return Err(field("e_phentsize", format!("{size} is less than {least}")));
    }
    if !(1..=MAX_HEADERS).contains(&count) {
        return Err(field("e_phnum", format!("{count} is not from 1 to {MAX_HEADERS}")));
    }
    let (mut loads, mut notes) = (Vec::new(), Vec::new());
    for index in 0..count {
        let at = offset.checked_add(index * size).ok_or_else(|| field("e_phoff", "out of range"))?;
        match program_header(image, is_64, at)? {
            Some(ProgramHeader::Load(load)) => loads.push(load),
            Some(ProgramHeader::Note(note)) => notes.push(note),
            None => {}
        }
    }
    if loads.is_empty() {
        return Err(field("p_type", "there is no loadable segment (PT_LOAD)"));
    }
    Ok(Elf { is_64, entry, loads, notes })
}

fn program_header(image: &[u8], is_64: bool, at: u64) -> Result<Option<ProgramHeader<'_>>, LoadError> {
    let get = |delta: u64, size| {
        let at = usize::try_from(at.saturating_add(delta)).unwrap_or(usize::MAX);
        number(image, at, size).ok_or_else(|| field("e_phoff", "the program headers are not within the file"))
    };
    let kind = get(0, 4)?;
    let (offset, virtual_address, physical_address, file_size, size) = if is_64 {
        (get(8, 8)?, get(16, 8)?, get(24, 8)?, get(32, 8)?, get(40, 8)?)
    } else {
        (get(4, 4)?, get(8, 4)?, get(12, 4)?, get(16, 4)?, get(20, 4)?)
    };
    if !matches!(kind, 1 | 4) || size == 0 {
        return Ok(None);
    }
    if file_size > size {
        return Err(field("p_filesz", format!("{file_size:#x} is more than p_memsz {size:#x}")));
    }
    let range = usize::try_from(offset).ok().zip(offset.checked_add(file_size).and_then(|end| end.try_into().ok()));
    let bytes = range.and_then(|(start, end): (usize, usize)| image.get(start..end));
    let bytes = bytes.ok_or_else(|| field("p_offset", "the segment's bytes are not within the file"))?;
    Ok(Some(match kind {
        1 => ProgramHeader::Load(Load { virtual_address, physical_address, bytes, size }),
        _ => ProgramHeader::Note(bytes),
    }))
}
