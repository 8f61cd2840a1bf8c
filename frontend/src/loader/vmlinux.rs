//! Linux kernels as ELF executables, without a setup header: entered in 64-bit mode at `startup_64`, or in protected mode
//! at `startup_32` (boot protocol, "64-bit Boot Protocol" and "32-bit Boot Protocol"), with boot parameters made here.

use super::boot_params::{self, offset};
use super::{
    CODE_64, CODE_SELECTOR, EntryMode, EntryState, LoadError, LoadOptions, LoadedKernel, Places, Segment, elf, field,
    gdt, protected_entry, put,
};

/// What every Linux kernel has in its data.
const MARK: &[u8] = b"Linux version ";
/// The protocol whose fields are filled in.
const VERSION: u64 = 0x020c;
/// Most characters of a command line, as kernels for PCs have them.
const COMMAND_LINE: usize = 2047;
/// Where an initrd may end: what a 64-bit kernel maps of itself at first reaches further, a 32-bit kernel's does not.
const INITRD_END: u64 = 0x8000_0000;
const INITRD_END_32: u64 = 0x3800_0000;
/// Bytes of the stack on entry.
const STACK: u64 = 0x1000;
/// GiB that the first paging structures map.
const MAPPED: u64 = 4;

/// Whether an ELF executable is a Linux kernel.
pub fn is_vmlinux(image: &[u8]) -> bool {
    let Ok(elf) = elf::parse(image) else { return false };
    elf.loads.iter().any(|load| load.bytes.windows(MARK.len()).any(|window| window == MARK))
}

/// Loads a kernel that [`is_vmlinux`] knows.
pub fn load(image: &[u8], options: &LoadOptions) -> Result<LoadedKernel, LoadError> {
    let elf = elf::parse(image)?;
    let mut places = Places::new(&options.memory_map);
    let mut segments = elf.segments();
    for segment in &segments {
        places.take("segment", segment.address, segment.size)?;
    }
    let entry = elf.physical_entry();
    let entry = u32::try_from(entry).map_err(|_| field("e_entry", format!("{entry:#x} is above 4 GiB")))?;
    let mut header = vec![0; 0x280];
    // The header's length: its jump instruction lands behind the last field.
    put(&mut header, offset::JUMP_LENGTH, 0x66, 1);
    put(&mut header, offset::BOOT_FLAG, 0xaa55, 2);
    put(&mut header, offset::MAGIC, u64::from(u32::from_le_bytes(*b"HdrS")), 4);
    put(&mut header, offset::VERSION, VERSION, 2);
    put(&mut header, offset::TYPE_OF_LOADER, 0xff, 1);
    put(&mut header, offset::LOADFLAGS, 1, 1);
    let command_line = command_line(options)?;
    put(&mut header, offset::CMDLINE_SIZE, COMMAND_LINE as u64, 4);
    let at = places.for_information("the command line", command_line.len() as u64, 16)?;
    put(&mut header, offset::CMD_LINE_PTR, at, 4);
    segments.push(Segment::new(at, command_line));
    if let Some(initrd) = options.initrd {
        let end = if elf.is_64 { INITRD_END } else { INITRD_END_32 };
        let size = initrd.len() as u64;
        let at = places.highest_free("the initrd", size.max(1), 4096, places.highest(), end)?;
        put(&mut header, offset::RAMDISK_IMAGE, at, 4);
        put(&mut header, offset::RAMDISK_SIZE, size, 4);
        segments.push(Segment::new(at, initrd.to_vec()));
    }
    let page = places.for_information("the boot parameters", boot_params::SIZE, 4096)?;
    segments.push(Segment::new(page, boot_params::page(&header, &options.memory_map, options.rsdp.as_ref())));
    let state = if elf.is_64 {
        long_entry(entry, &mut places, &mut segments)?
    } else {
        protected_entry(entry, &mut places, &mut segments)?
    };
    let kind = if elf.is_64 { "ELF64" } else { "ELF32" };
    let stack = places.for_information("a stack", STACK, 16)?;
    let entry = EntryState { esi: page as u32, esp: (stack + STACK) as u32, ..state };
    Ok(LoadedKernel { description: format!("Linux kernel ({kind})"), segments, entry })
}

/// The command line with its zero, for kernels that take [`COMMAND_LINE`] characters.
pub(super) fn command_line(options: &LoadOptions) -> Result<Vec<u8>, LoadError> {
    let mut line = options.command_line.as_bytes().to_vec();
    if line.contains(&0) {
        return Err(field("--append", "a zero byte cannot be passed"));
    }
    if line.len() > COMMAND_LINE {
        return Err(field("--append", format!("it has {} bytes, the kernel takes {COMMAND_LINE}", line.len())));
    }
    line.push(0);
    Ok(line)
}

/// An entry in 64-bit mode, with the first [`MAPPED`] GiB mapped where they are, by pages of 2 MiB.
fn long_entry(eip: u32, places: &mut Places, segments: &mut Vec<Segment>) -> Result<EntryState, LoadError> {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let size = (2 + MAPPED) * 4096;
    let cr3 = places.for_information("the paging structures", size, 4096)?;
    let pointers = (0..MAPPED).map(|n| cr3 + (2 + n) * 4096 + PRESENT_WRITABLE);
    let mut tables = vec![0; 2 * 4096];
    put(&mut tables, 0, cr3 + 4096 + PRESENT_WRITABLE, 8);
    for (n, pointer) in pointers.enumerate() {
        put(&mut tables, 4096 + 8 * n, pointer, 8);
    }
    tables.extend((0..MAPPED * 512).flat_map(|n| (n << 21 | LARGE | PRESENT_WRITABLE).to_le_bytes()));
    segments.push(Segment::new(cr3, tables));
    let table = gdt(CODE_64);
    let (bytes, limit) = (table.len() as u64, table.len() as u16 - 1);
    let at = places.for_information("the GDT", bytes, 16)?;
    segments.push(Segment::new(at, table));
    Ok(EntryState {
        mode: EntryMode::Long64 { cr3: cr3 as u32 },
        cs: CODE_SELECTOR,
        eip,
        data_selector: super::DATA_SELECTOR,
        eax: 0,
        ebx: 0,
        esi: 0,
        esp: 0,
        gdt: Some((at as u32, limit)),
    })
}
