//! `--kernel`: kernels that are put into memory without a boot loader. Pure functions from bytes to what goes
//! where; nothing here touches a machine.

mod boot_params;
pub mod elf;
pub mod linux;
mod map;
pub mod multiboot;
pub mod multiboot2;
mod places;
pub mod pvh;
pub mod vmlinux;

pub use map::{LOW_MEMORY_END, MemoryKind, MemoryRegion, parse_e820, standard_memory_map};
pub(crate) use places::Places;
use serde::{Deserialize, Serialize};

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
    /// 64-bit mode with the paging structures at `cr3`, which are among the segments; CS is 64-bit code.
    Long64 {
        /// CR3.
        cr3: u32,
    },
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
    /// Directly in protected mode, with boot parameters made by the loader. (An ELF kernel has no other entry.)
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
    /// Where the firmware has put the ACPI tables' root; `None` if it has none, or has not run.
    pub rsdp: Option<Rsdp>,
}

/// The root system description pointer (ACPI specification 5.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rsdp {
    /// Its address.
    pub address: u64,
    /// The structure: 20 bytes of ACPI 1.0, or its length field's.
    pub bytes: Vec<u8>,
}

/// A kernel's files, and how it is started: everything that [`load`] wants but what the machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// The kernel's name, as it was given.
    pub file_name: String,
    /// The kernel.
    pub image: Vec<u8>,
    /// Initial RAM disk or Multiboot module.
    pub initrd: Option<Vec<u8>>,
    /// Command line.
    pub command_line: String,
    /// How a bzImage is entered.
    pub linux_entry: LinuxEntry,
}

impl KernelFiles {
    /// Finds the kernel's place in a machine of this memory map.
    ///
    /// # Errors
    /// [`LoadError`], as [`load`].
    pub fn load(&self, memory_map: Vec<MemoryRegion>, rsdp: Option<Rsdp>) -> Result<LoadedKernel, LoadError> {
        let options = LoadOptions {
            initrd: self.initrd.as_deref(),
            command_line: &self.command_line,
            file_name: self.file_name.clone(),
            linux_entry: self.linux_entry,
            memory_map,
            rsdp,
        };
        load(&self.image, &options)
    }
}

/// Why a kernel cannot be loaded. Each names the field or region that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No format's mark is there.
    #[error(
        "it is no Linux bzImage (no \"HdrS\" at 202h), no Multiboot kernel (no header 1BADB002h in the first 8192 bytes, none E85250D6h in the first 32768), no ELF executable with Xen's PVH note and no vmlinux; give one of these to --kernel"
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

/// Loads a kernel of any format.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    if linux::is_bzimage(image) {
        linux::load(image, options)
    } else if multiboot::find_header(image).is_some() {
        multiboot::load(image, options)
    } else if multiboot2::find_header(image).is_some() {
        multiboot2::load(image, options)
    } else if pvh::entry(image).is_some() {
        pvh::load(image, options)
    } else if vmlinux::is_vmlinux(image) {
        vmlinux::load(image, options)
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

/// KiB of conventional memory, and of memory from 1 MiB up to its first hole.
pub(crate) fn memory_sizes(map: &[MemoryRegion]) -> (u64, u64) {
    let usable_at = |base: u64| {
        let region = map.iter().find(|r| r.kind == MemoryKind::Usable && r.base == base);
        region.map_or(0, |r| r.length / 1024)
    };
    (usable_at(0), usable_at(0x10_0000))
}

/// Selectors of the GDT: code and data, where the Linux boot protocol wants them.
pub(crate) const CODE_SELECTOR: u16 = 0x10;
pub(crate) const DATA_SELECTOR: u16 = 0x18;
/// Its descriptors: flat 32-bit and 64-bit code, flat data.
pub(crate) const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
pub(crate) const CODE_64: u64 = 0x00af_9b00_0000_ffff;
const DATA: u64 = 0x00cf_9300_0000_ffff;

/// The bytes of a GDT with this code descriptor: null, one unused, code, data.
pub(crate) fn gdt(code: u64) -> Vec<u8> {
    [0, 0, code, DATA].iter().flat_map(|descriptor: &u64| descriptor.to_le_bytes()).collect()
}

/// An entry in flat 32-bit protected mode, with its GDT among the segments.
pub(crate) fn protected_entry(
    eip: u32,
    places: &mut Places,
    segments: &mut Vec<Segment>,
) -> Result<EntryState, LoadError> {
    let gdt = gdt(CODE_32);
    let (size, limit) = (gdt.len() as u64, gdt.len() as u16 - 1);
    let at = places.for_information("the GDT", size, 16)?;
    segments.push(Segment::new(at, gdt));
    Ok(EntryState {
        mode: EntryMode::Protected32,
        cs: CODE_SELECTOR,
        eip,
        data_selector: DATA_SELECTOR,
        eax: 0,
        ebx: 0,
        esi: 0,
        esp: 0,
        gdt: Some((at as u32, limit)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_of_no_known_format_is_refused() {
        let options = LoadOptions {
            initrd: None,
            command_line: "",
            file_name: String::new(),
            linux_entry: LinuxEntry::Real,
            memory_map: standard_memory_map(64),
            rsdp: None,
        };
        assert_eq!(load(b"", &options), Err(LoadError::UnknownFormat));
        assert_eq!(load(&[0; 9000], &options), Err(LoadError::UnknownFormat));
    }
}
