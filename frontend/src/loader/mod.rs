//! `--kernel`: kernels that are put into memory without a boot loader. Pure functions from bytes to what goes
//! where; nothing here touches a machine.

pub mod elf;
pub mod linux;
pub mod multiboot;

use serde::{Deserialize, Serialize};

/// What a region of the memory map is (the E820 types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum MemoryKind {
    /// Free for the kernel.
    Usable = 1,
    /// Not to be touched.
    Reserved = 2,
    /// ACPI tables, free after they are read.
    AcpiReclaimable = 3,
    /// ACPI non-volatile storage.
    AcpiNvs = 4,
}

/// One region of physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRegion {
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub length: u64,
    /// What it is.
    pub kind: MemoryKind,
}

impl MemoryRegion {
    /// A region from `base` to before `end`.
    pub fn new(base: u64, end: u64, kind: MemoryKind) -> Self {
        Self { base, length: end.saturating_sub(base), kind }
    }
}

/// Where the PC's memory below 4 GiB ends at most: devices live above it.
pub const LOW_MEMORY_END: u64 = 0xc000_0000;
const MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// Start of the extended BIOS data area.
const EBDA: u64 = 0x9_fc00;

/// The memory map of a PC with this much memory, without ACPI tables: conventional memory, extended memory up to
/// [`LOW_MEMORY_END`], the rest above 4 GiB.
pub fn standard_memory_map(memory_mib: u64) -> Vec<MemoryRegion> {
    let bytes = memory_mib.saturating_mul(MIB);
    let low_end = bytes.min(LOW_MEMORY_END);
    let mut map = vec![
        MemoryRegion::new(0, EBDA, MemoryKind::Usable),
        MemoryRegion::new(EBDA, 0xa_0000, MemoryKind::Reserved),
        MemoryRegion::new(0xf_0000, MIB, MemoryKind::Reserved),
    ];
    if low_end > MIB {
        map.push(MemoryRegion::new(MIB, low_end, MemoryKind::Usable));
    }
    map.push(MemoryRegion::new(0xfffc_0000, FOUR_GIB, MemoryKind::Reserved));
    if bytes > LOW_MEMORY_END {
        map.push(MemoryRegion::new(FOUR_GIB, FOUR_GIB + (bytes - LOW_MEMORY_END), MemoryKind::Usable));
    }
    map
}

/// Bytes for physical memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Physical address.
    pub address: u64,
    /// What to write there.
    pub bytes: Vec<u8>,
    /// Bytes in all, at least `bytes.len()`; the rest is zeros.
    pub size: u64,
}

impl Segment {
    /// A segment without trailing zeros.
    pub fn new(address: u64, bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        Self { address, bytes, size }
    }

    /// The first address after it.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }
}

/// The mode in which a processor enters a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    /// Real mode: segment bases are selectors times 16.
    Real16,
    /// Protected mode with paging off; every segment is flat (base 0, limit 4 GiB, 32-bit), CS code read/execute,
    /// the others data read/write.
    Protected32,
}

/// The boot processor's state on entry; interrupts are off, A20 is on, other registers are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryState {
    /// Mode.
    pub mode: EntryMode,
    /// CS selector.
    pub cs: u16,
    /// EIP.
    pub eip: u32,
    /// DS, ES, FS, GS and SS selector.
    pub data_selector: u16,
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ESI.
    pub esi: u32,
    /// ESP.
    pub esp: u32,
    /// Base and limit of the GDT, which is among the segments; `None` leaves GDTR as it is.
    pub gdt: Option<(u32, u16)>,
}

/// A kernel ready to be put into memory and entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedKernel {
    /// What it is, for the log.
    pub description: String,
    /// Everything that goes into memory; segments do not overlap.
    pub segments: Vec<Segment>,
    /// How it is entered.
    pub entry: EntryState,
}

/// How a Linux kernel is entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LinuxEntry {
    /// Through its real-mode code, which asks the BIOS for the memory map and the video mode.
    #[default]
    Real,
    /// Directly in protected mode, with boot parameters made by the loader.
    Protected,
}

/// What a kernel is loaded with.
#[derive(Debug, Clone)]
pub struct LoadOptions<'a> {
    /// Initial RAM disk or Multiboot module.
    pub initrd: Option<&'a [u8]>,
    /// Command line.
    pub command_line: &'a str,
    /// The kernel's own name, which Multiboot puts before the command line.
    pub file_name: String,
    /// How a bzImage is entered.
    pub linux_entry: LinuxEntry,
    /// The machine's memory.
    pub memory_map: Vec<MemoryRegion>,
}

/// Why a kernel cannot be loaded. Each names the field or region that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Neither format's mark is there.
    #[error(
        "it is neither a Multiboot-1 kernel (no header 1BADB002h in the first 8192 bytes) nor a Linux bzImage (no \"HdrS\" at 202h); give one of these to --kernel"
    )]
    UnknownFormat,
    /// A field has a value that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// The field, by its specification's name.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A part does not fit into guest memory.
    #[error("{what} at {address:#x}, {size:#x} bytes, is not in the guest's usable memory; give more --memory")]
    DoesNotFit {
        /// The part.
        what: &'static str,
        /// Its address.
        address: u64,
        /// Its size.
        size: u64,
    },
    /// There is no free place for a part.
    #[error("there is no room for {what}, {size:#x} bytes; give more --memory")]
    NoRoom {
        /// The part.
        what: &'static str,
        /// Its size.
        size: u64,
    },
}

/// A wrong field.
pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> LoadError {
    LoadError::Field { field, problem: problem.into() }
}

/// Loads a kernel of either format.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    if linux::is_bzimage(image) {
        linux::load(image, options)
    } else if multiboot::find_header(image).is_some() {
        multiboot::load(image, options)
    } else {
        Err(LoadError::UnknownFormat)
    }
}

/// Reads a little-endian number of 1 to 8 bytes.
pub(crate) fn number(data: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

pub(crate) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    number(data, at, 2).map(|value| value as u16)
}

pub(crate) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    number(data, at, 4).map(|value| value as u32)
}

/// Writes a little-endian number; outside of `data` nothing happens.
pub(crate) fn put(data: &mut [u8], at: usize, value: u64, size: usize) {
    if let Some(place) = at.checked_add(size).and_then(|end| data.get_mut(at..end)) {
        place.copy_from_slice(value.to_le_bytes().get(..size).unwrap_or_default());
    }
}

/// Finds places in memory for what comes with a kernel.
pub(crate) struct Places<'a> {
    map: &'a [MemoryRegion],
    taken: Vec<(u64, u64)>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(map: &'a [MemoryRegion]) -> Self {
        Self { map, taken: Vec::new() }
    }

    /// Takes a fixed place; it must lie in usable memory and be free.
    pub(crate) fn take(&mut self, what: &'static str, address: u64, size: u64) -> Result<(), LoadError> {
        let wrong = || LoadError::DoesNotFit { what, address, size };
        let end = address.checked_add(size).ok_or_else(wrong)?;
        let usable = |region: &&MemoryRegion| region.kind == MemoryKind::Usable;
        let inside =
            self.map.iter().filter(usable).any(|r| r.base <= address && end <= r.base.saturating_add(r.length));
        if !inside && size > 0 {
            return Err(wrong());
        }
        if self.overlaps(address, end) {
            return Err(field(
                "segments",
                format!("{what} at {address:#x}, {size:#x} bytes, overlaps another segment"),
            ));
        }
        self.taken.push((address, end));
        Ok(())
    }

    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.taken.iter().any(|(s, e)| start < *e && *s < end)
    }

    /// The end of the highest place taken.
    pub(crate) fn highest(&self) -> u64 {
        self.taken.iter().map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// Takes the lowest free place from `from` on that ends at or below `below`.
    pub(crate) fn lowest(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        from: u64,
        below: u64,
    ) -> Result<u64, LoadError> {
        let ends = self.taken.iter().map(|(_, end)| *end).chain(self.map.iter().map(|region| region.base));
        let mut starts: Vec<u64> =
            ends.chain([from]).filter_map(|at| at.max(from).checked_next_multiple_of(align)).collect();
        starts.sort_unstable();
        self.first_free(what, size, below, &starts)
    }

    /// Takes the highest free place from `from` on that ends at or below `below`.
    pub(crate) fn highest_free(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        from: u64,
        below: u64,
    ) -> Result<u64, LoadError> {
        let ends = self.taken.iter().map(|(start, _)| *start);
        let tops = self.map.iter().map(|region| region.base.saturating_add(region.length));
        let mut starts: Vec<u64> = ends
            .chain(tops)
            .chain([below])
            .filter_map(|end| end.min(below).checked_sub(size))
            .map(|start| start - start % align)
            .filter(|start| *start >= from)
            .collect();
        starts.sort_unstable_by(|a, b| b.cmp(a));
        self.first_free(what, size, below, &starts)
    }

    fn first_free(&mut self, what: &'static str, size: u64, below: u64, starts: &[u64]) -> Result<u64, LoadError> {
        for start in starts {
            let fits = start.checked_add(size).is_some_and(|end| end <= below);
            if fits && self.take(what, *start, size).is_ok() {
                return Ok(*start);
            }
        }
        Err(LoadError::NoRoom { what, size })
    }
}

/// A flat GDT: null, two unused, then 32-bit code at 10h and data at 18h, as the Linux boot protocol wants them.
pub(crate) const CODE_SELECTOR: u16 = 0x10;
pub(crate) const DATA_SELECTOR: u16 = 0x18;

/// The bytes of that GDT.
pub(crate) fn flat_gdt() -> Vec<u8> {
    const CODE: u64 = 0x00cf_9b00_0000_ffff;
    const DATA: u64 = 0x00cf_9300_0000_ffff;
    [0, 0, CODE, DATA].iter().flat_map(|descriptor: &u64| descriptor.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_map_of_a_pc_leaves_the_hole_below_4_gib() {
        let usable = |mib| -> u64 {
            standard_memory_map(mib).iter().filter(|r| r.kind == MemoryKind::Usable).map(|r| r.length).sum()
        };
        assert_eq!(usable(512), 512 * MIB - (MIB - EBDA));
        assert_eq!(usable(8192), 8192 * MIB - (MIB - EBDA));
        assert_eq!(standard_memory_map(8192).last().map(|r| r.base), Some(FOUR_GIB));
        assert_eq!(usable(1), EBDA);
    }

    #[test]
    fn places_are_found_around_what_is_taken() {
        let map = standard_memory_map(16);
        let mut places = Places::new(&map);
        places.take("kernel", 0x10_0000, 0x1234).unwrap();
        assert!(places.take("other", 0x10_1000, 1).is_err());
        assert!(places.take("hole", 0xa_0000, 1).is_err());
        assert_eq!(places.lowest("module", 0x10, 0x1000, places.highest(), u64::MAX), Ok(0x10_2000));
        assert_eq!(places.highest_free("info", 0x100, 16, 0x1000, 0xa_0000), Ok(0x9_fb00));
        assert_eq!(places.highest_free("initrd", 0x1000, 0x1000, 0, u64::MAX), Ok(0xff_f000));
        assert_eq!(places.highest_free("initrd", 0x1000, 0x1000, 0, u64::MAX), Ok(0xff_e000));
        assert!(places.lowest("huge", 1 << 30, 1, 0, u64::MAX).is_err());
    }

    #[test]
    fn image_of_no_known_format_is_refused() {
        let options = LoadOptions {
            initrd: None,
            command_line: "",
            file_name: String::new(),
            linux_entry: LinuxEntry::Real,
            memory_map: standard_memory_map(64),
        };
        assert_eq!(load(b"", &options), Err(LoadError::UnknownFormat));
        assert_eq!(load(&[0; 9000], &options), Err(LoadError::UnknownFormat));
    }
}
