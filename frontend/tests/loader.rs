//! `--kernel`: what a Multiboot kernel and a bzImage find in memory and registers, and which files are refused.

mod common;

use common::images::{bzimage, elf, multiboot_elf, multiboot_header, multiboot_raw};
use rvmx_emu::loader::{
    EntryMode, LinuxEntry, LoadError, LoadOptions, LoadedKernel, MemoryKind, load, standard_memory_map,
};

fn options<'a>(initrd: Option<&'a [u8]>, command_line: &'a str) -> LoadOptions<'a> {
    LoadOptions {
        initrd,
        command_line,
        file_name: "kernel.elf".to_owned(),
        linux_entry: LinuxEntry::Real,
        memory_map: standard_memory_map(64),
    }
}

/// Guest memory as the kernel finds it: zeros where nothing was loaded.
fn read(kernel: &LoadedKernel, at: u64, size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    for segment in &kernel.segments {
        for (index, byte) in out.iter_mut().enumerate() {
            let place = (at + index as u64).checked_sub(segment.address);
            if let Some(found) = place.and_then(|p| segment.bytes.get(p as usize)) {
                *byte = *found;
            }
        }
    }
    out
}

fn number(kernel: &LoadedKernel, at: u64, size: usize) -> u64 {
    read(kernel, at, size).iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn string(kernel: &LoadedKernel, at: u64) -> String {
    let bytes = read(kernel, at, 4096);
    String::from_utf8(bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()).expect("UTF-8")
}

fn refused(image: &[u8]) -> String {
    load(image, &options(None, "")).expect_err("refused").to_string()
}

#[test]
fn multiboot_elf_is_entered_in_flat_protected_mode_with_its_magic() {
    for is_64 in [false, true] {
        let kernel = load(&multiboot_elf(is_64), &options(None, "")).expect("loads");
        let entry = kernel.entry;
        assert_eq!((entry.mode, entry.eip, entry.eax), (EntryMode::Protected32, 0x40_000c, 0x2bad_b002));
        assert_eq!(read(&kernel, 0x40_000c, 4), [0xf4; 4]);
        let code = kernel.segments.iter().find(|s| s.address == 0x40_0000).expect("code");
        assert_eq!((code.size, code.bytes.len()), (0x3000, 32));
        let (gdt, limit) = entry.gdt.expect("a GDT");
        assert_eq!(limit, 31);
        assert_eq!(number(&kernel, u64::from(gdt) + u64::from(entry.cs), 8), 0x00cf_9b00_0000_ffff);
        assert_eq!(number(&kernel, u64::from(gdt) + u64::from(entry.data_selector), 8), 0x00cf_9300_0000_ffff);
    }
}

#[test]
fn multiboot_information_has_memory_command_line_module_map_and_loader_name() {
    let module = b"NR_CPUS=4\nMEMSIZE=64\n";
    let kernel = load(&multiboot_elf(false), &options(Some(module), "a \"b c\"")).expect("loads");
    let info = u64::from(kernel.entry.ebx);
    assert!(info < 0xa_0000, "clear of the heap that kernels make behind themselves: {info:#x}");
    assert_eq!(number(&kernel, info, 4), 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    assert_eq!(number(&kernel, info + 4, 4), 639);
    assert_eq!(number(&kernel, info + 8, 4), 63 * 1024);
    assert_eq!(string(&kernel, number(&kernel, info + 16, 4)), "kernel.elf a \"b c\"");
    assert_eq!(number(&kernel, info + 20, 4), 1);
    let modules = number(&kernel, info + 24, 4);
    let (start, end) = (number(&kernel, modules, 4), number(&kernel, modules + 4, 4));
    assert_eq!(start, 0x40_3000, "the page after the kernel");
    assert_eq!(read(&kernel, start, (end - start) as usize), module);
    assert_eq!(string(&kernel, number(&kernel, modules + 8, 4)), "initrd");
    assert!(string(&kernel, number(&kernel, info + 64, 4)).starts_with("rvmx-emu "));
    let (length, map) = (number(&kernel, info + 44, 4), number(&kernel, info + 48, 4));
    let regions: Vec<(u64, u64, u64)> = (0..length / 24)
        .map(|i| map + 24 * i)
        .map(|at| (number(&kernel, at + 4, 8), number(&kernel, at + 12, 8), number(&kernel, at + 20, 4)))
        .collect();
    let expected: Vec<(u64, u64, u64)> =
        standard_memory_map(64).iter().map(|r| (r.base, r.length, r.kind as u64)).collect();
    assert_eq!(regions, expected);
    assert!((0..length / 24).all(|i| number(&kernel, map + 24 * i, 4) == 20));
}

#[test]
fn multiboot_segments_never_overlap_and_lie_in_usable_memory() {
    let code = multiboot_header(3);
    // A kernel at 4000h, as real-mode tests are linked, and a large one that covers conventional memory.
    for (address, size) in [(0x4000, 0x8000), (0x1000, 0x9_e000), (0x10_0000, 0x3e0_0000)] {
        let image = elf(false, address, &[(address, address, &code, size)]);
        let kernel = load(&image, &options(Some(&[7; 5000]), "x")).unwrap_or_else(|e| panic!("{address:#x}: {e}"));
        let mut places: Vec<(u64, u64)> = kernel.segments.iter().map(|s| (s.address, s.end())).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:x?}");
        let usable: Vec<_> = standard_memory_map(64).into_iter().filter(|r| r.kind == MemoryKind::Usable).collect();
        let inside = |(start, end): &(u64, u64)| usable.iter().any(|r| r.base <= *start && *end <= r.base + r.length);
        assert!(places.iter().all(inside), "{places:x?}");
    }
}

#[test]
fn elf_entry_in_a_mapped_segment_becomes_its_physical_address() {
    let code = multiboot_header(0);
    let image = elf(true, 0xffff_ffff_8010_0004, &[(0xffff_ffff_8010_0000, 0x10_0000, &code, 0x100)]);
    assert_eq!(load(&image, &options(None, "")).expect("loads").entry.eip, 0x10_0004);
}

#[test]
fn multiboot_address_fields_load_a_raw_image() {
    let kernel = load(&multiboot_raw(0, 0), &options(None, "")).expect("loads");
    assert_eq!(kernel.entry.eip, 0x10_0020);
    let code = kernel.segments.iter().find(|s| s.address == 0x10_0000).expect("code");
    assert_eq!((code.bytes.len(), code.size), (64, 64));
    let kernel = load(&multiboot_raw(0x10_0030, 0x10_1000), &options(None, "")).expect("loads");
    let code = kernel.segments.iter().find(|s| s.address == 0x10_0000).expect("code");
    assert_eq!((code.bytes.len(), code.size), (48, 0x1000));
}

#[test]
fn multiboot_files_that_cannot_be_right_are_refused_by_field() {
    assert_eq!(
        refused(&multiboot_raw(0x10_1000, 0)),
        "load_end_addr: 0x101000 is below load_addr or beyond the end of the file"
    );
    assert_eq!(refused(&multiboot_raw(0, 0x10_0010)), "bss_end_addr: 0x100010 is below the end of the data");
    let mut flags = multiboot_header(1 << 3);
    flags.resize(64, 0);
    assert_eq!(refused(&flags), "Multiboot flags: bits 0x8 demand what no specification defines");
    let mut no_elf = multiboot_header(0);
    no_elf.resize(64, 0);
    assert!(refused(&no_elf).starts_with("e_ident: "));
    let code = multiboot_header(0);
    let far = elf(false, 0, &[(0x4000_0000, 0x4000_0000, &code, 0x1000)]);
    assert_eq!(
        refused(&far),
        "segment at 0x40000000, 0x1000 bytes, is not in the guest's usable memory; give more --memory"
    );
    let video = elf(false, 0xb_8000, &[(0xb_8000, 0xb_8000, &code, 0x100)]);
    assert!(refused(&video).contains("not in the guest's usable memory"));
    let twice = elf(false, 0x10_0000, &[(0x10_0000, 0x10_0000, &code, 0x100), (0x10_0080, 0x10_0080, &code, 0x100)]);
    assert!(refused(&twice).contains("overlaps another segment"));
    let mut cut = multiboot_elf(false);
    cut.truncate(70);
    assert_eq!(load(&cut, &options(None, "")), Err(LoadError::UnknownFormat));
    let mut machine = multiboot_elf(false);
    machine[18] = 40;
    assert_eq!(refused(&machine), "e_machine: 40 is neither i386 (3) nor x86-64 (62)");
    assert_eq!(
        load(&multiboot_elf(false), &options(None, "a\0b")).map(drop).map_err(|e| e.to_string()),
        Err("--append: a zero byte cannot be passed".to_owned())
    );
}

#[test]
fn bzimage_is_entered_in_real_mode_with_its_header_filled_in() {
    let initrd = [5; 5000];
    let kernel = load(&bzimage(), &options(Some(&initrd), "console=ttyS0")).expect("loads");
    assert_eq!(kernel.description, "Linux kernel (boot protocol 2.10)");
    let entry = kernel.entry;
    assert_eq!((entry.mode, entry.cs, entry.eip, entry.data_selector), (EntryMode::Real16, 0x1020, 0, 0x1000));
    let setup = u64::from(entry.data_selector) << 4;
    assert_eq!(read(&kernel, setup + 0x202, 4), b"HdrS");
    assert_eq!(number(&kernel, setup + 0x210, 1), 0xff);
    assert_eq!(number(&kernel, setup + 0x211, 1), 0x81);
    assert_eq!(string(&kernel, number(&kernel, setup + 0x228, 4)), "console=ttyS0");
    let (at, size) = (number(&kernel, setup + 0x218, 4), number(&kernel, setup + 0x21c, 4));
    assert_eq!((at % 4096, size), (0, 5000));
    assert_eq!(at, (64 << 20) - 8192, "as high as memory goes");
    assert_eq!(read(&kernel, at, 5000), initrd);
    assert_eq!(read(&kernel, 0x10_0000, 48), [0xf4; 48]);
    assert!(u64::from(entry.esp) > number(&kernel, setup + 0x224, 2), "the stack is above the heap");
}

#[test]
fn bzimage_entered_in_protected_mode_gets_boot_parameters() {
    let kernel =
        load(&bzimage(), &LoadOptions { linux_entry: LinuxEntry::Protected, ..options(None, "quiet") }).expect("loads");
    let entry = kernel.entry;
    assert_eq!((entry.mode, entry.cs, entry.data_selector, entry.eip), (EntryMode::Protected32, 0x10, 0x18, 0x10_0000));
    let page = u64::from(entry.esi);
    assert_eq!(read(&kernel, page + 0x202, 4), b"HdrS");
    assert_eq!(number(&kernel, page + 0x206, 2), 0x020a);
    assert_eq!(number(&kernel, page + 0x260, 4), 0x20_0000, "the header up to its end");
    assert_eq!(number(&kernel, page + 0x1e8, 1), standard_memory_map(64).len() as u64);
    assert_eq!(number(&kernel, page + 0x2d0 + 8, 8), 0x9_fc00);
    assert_eq!((number(&kernel, page + 7, 1), number(&kernel, page + 0xe, 1)), (80, 25));
    assert_eq!(string(&kernel, number(&kernel, page + 0x228, 4)), "quiet");
}

#[test]
fn bzimages_that_cannot_be_right_are_refused_by_field() {
    let with = |at: usize, bytes: &[u8]| {
        let mut image = bzimage();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&image)
    };
    assert_eq!(with(0x206, &[0, 2]), "version: boot protocol 2.00 is older than 2.02");
    assert!(with(0x211, &[0]).starts_with("loadflags: it is a zImage"));
    assert_eq!(with(0x1f1, &[9]), "setup_sects: 5120 bytes of real-mode code, but the file has 1584");
    assert_eq!(with(0x1f4, &[99, 0, 0, 0]), "syssize: 0x630 bytes of kernel, but the file has 0x30");
    let long = "x".repeat(3000);
    let error = load(&bzimage(), &options(None, &long)).expect_err("too long").to_string();
    assert_eq!(error, "cmdline_size: --append has 3000 bytes, the kernel takes 2047");
    let small = LoadOptions { memory_map: standard_memory_map(2), ..options(Some(&[0; 9]), "") };
    let error = load(&bzimage(), &small).expect_err("no room").to_string();
    assert_eq!(error, "there is no room for the initrd, 0x9 bytes; give more --memory");
}
