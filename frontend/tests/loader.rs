//! `--kernel`: what a Multiboot kernel and a bzImage find in memory and registers, and which files are refused.

mod common;

use common::images::{
    bzimage, elf, multiboot_elf, multiboot_header, multiboot_raw, multiboot2_header, pvh_elf, vmlinux,
};
use rvmx_emu::loader::{
    EntryMode, LinuxEntry, LoadError, LoadOptions, LoadedKernel, MemoryKind, Rsdp, load, standard_memory_map,
};

fn options<'a>(initrd: Option<&'a [u8]>, command_line: &'a str) -> LoadOptions<'a> {
    LoadOptions {
        initrd,
        command_line,
        file_name: "kernel.elf".to_owned(),
        linux_entry: LinuxEntry::Real,
        memory_map: standard_memory_map(64),
        rsdp: None,
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
    assert_eq!(number(&kernel, info + 8, 4), 63 * 1024 - 64, "up to the ACPI tables");
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
    assert_eq!(at, (64 << 20) - (64 << 10) - 8192, "as high as memory goes, below the ACPI tables");
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
    let small = |memory| LoadOptions { memory_map: standard_memory_map(memory), ..options(Some(&[0; 1 << 20]), "") };
    let error = load(&bzimage(), &small(18)).expect_err("no room").to_string();
    assert_eq!(
        error,
        "the kernel unpacked (pref_address, init_size) at 0x1000000, 0x200000 bytes, is not in the guest's usable memory; \
         give more --memory"
    );
    let error = load(&bzimage(), &small(19)).expect_err("no room").to_string();
    assert_eq!(error, "there is no room for the initrd, 0x100000 bytes; give more --memory");
    load(&bzimage(), &small(20)).expect("there is room");
}

/// The tags of Multiboot 2 boot information: type, address of the contents, their size.
fn tags(kernel: &LoadedKernel) -> Vec<(u64, u64, u64)> {
    let info = u64::from(kernel.entry.ebx);
    let (mut at, end) = (info + 8, info + number(kernel, info, 4));
    let mut tags = Vec::new();
    while at < end {
        let (kind, size) = (number(kernel, at, 4), number(kernel, at + 4, 4));
        tags.push((kind, at + 8, size - 8));
        at += size.next_multiple_of(8);
    }
    assert_eq!((at, tags.last().map(|tag| tag.0)), (end, Some(0)));
    tags
}

#[test]
fn multiboot_2_information_has_a_tag_for_each_thing_told() {
    let rsdp = Rsdp { address: 0xf_b000, bytes: vec![7; 36] };
    let options = LoadOptions { rsdp: Some(rsdp), ..options(Some(b"module"), "a b") };
    let mut code = multiboot2_header(&[(1, 0, &[1, 2, 3, 4, 6, 9]), (4, 0, &[1]), (6, 0, &[]), (77, 1, &[])]);
    code.resize(0x100, 0xf4);
    let kernel = load(&elf(true, 0x10_0080, &[(0x10_0000, 0x10_0000, &code, 0x2800)]), &options).expect("loads");
    assert_eq!(
        (kernel.entry.mode, kernel.entry.eax, kernel.entry.eip),
        (EntryMode::Protected32, 0x36d7_6289, 0x10_0080)
    );
    assert_eq!(kernel.entry.ebx % 8, 0);
    let tags = tags(&kernel);
    let find = |kind| *tags.iter().find(|tag| tag.0 == kind).unwrap_or_else(|| panic!("no tag {kind}: {tags:x?}"));
    assert_eq!(string(&kernel, find(1).1), "a b");
    assert!(string(&kernel, find(2).1).starts_with("rvmx-emu "));
    let (_, module, _) = find(3);
    assert_eq!((number(&kernel, module, 4), number(&kernel, module + 4, 4)), (0x10_3000, 0x10_3006));
    assert_eq!(string(&kernel, module + 8), "initrd");
    assert_eq!((number(&kernel, find(4).1, 4), number(&kernel, find(4).1 + 4, 4)), (639, 63 * 1024 - 64));
    let (_, map, size) = find(6);
    assert_eq!((number(&kernel, map, 4), (size - 8) / 24), (24, standard_memory_map(64).len() as u64));
    assert_eq!((number(&kernel, map + 8 + 8, 8), number(&kernel, map + 8 + 16, 4)), (0x9_fc00, 1));
    assert_eq!((number(&kernel, find(8).1, 8), number(&kernel, find(8).1 + 21, 1)), (0xb_8000, 2));
    assert_eq!(read(&kernel, find(15).1, 36), [7; 36]);
}

#[test]
fn multiboot_2_address_and_entry_tags_load_a_raw_image() {
    let mut image = multiboot2_header(&[
        (2, 0, &[0x20_0000, 0x20_0000, 0, 0x20_1000]),
        (3, 0, &[0x20_0040]),
        (10, 1, &[0, 0, 0, 0]),
    ]);
    image.resize(0x80, 0xf4);
    let kernel = load(&image, &options(None, "")).expect("loads");
    assert_eq!(kernel.entry.eip, 0x20_0040);
    let code = kernel.segments.iter().find(|s| s.address == 0x20_0000).expect("code");
    assert_eq!((code.bytes.len(), code.size), (0x80, 0x1000));
    let base = tags(&kernel).into_iter().find(|tag| tag.0 == 21).expect("the load base");
    assert_eq!(number(&kernel, base.1, 4), 0x20_0000);
}

#[test]
fn multiboot_2_headers_that_cannot_be_right_are_refused_by_field() {
    let with = |tags: &[(u16, u16, &[u32])]| {
        let mut image = multiboot2_header(tags);
        image.resize(0x100, 0);
        refused(&image)
    };
    assert_eq!(with(&[(1, 0, &[2, 7])]), "information request: it demands tag 7, which there is not");
    assert!(with(&[(1, 1, &[7])]).starts_with("e_ident: "), "optional");
    assert_eq!(with(&[(77, 0, &[])]), "Multiboot 2 header: tag 77 demands what no specification defines");
    assert_eq!(with(&[(2, 0, &[0x10_0000, 0x10_0000, 0, 0])]), "entry address tag: an address tag needs it");
    assert_eq!(with(&[(2, 0, &[0x10_0000])]), "Multiboot 2 header: a tag is not within it");
}

#[test]
fn pvh_kernel_is_entered_at_its_note_with_start_information() {
    let rsdp = Rsdp { address: 0xf_b000, bytes: vec![0; 36] };
    let options = LoadOptions { rsdp: Some(rsdp), ..options(Some(&[9; 5000]), "quiet") };
    let kernel = load(&pvh_elf(0x10_0010, &[0xf4; 64]), &options).expect("loads");
    assert_eq!(kernel.description, "PVH kernel");
    assert_eq!((kernel.entry.mode, kernel.entry.eip), (EntryMode::Protected32, 0x10_0010));
    let info = u64::from(kernel.entry.ebx);
    let get = |offset, size| number(&kernel, info + offset, size);
    assert_eq!((get(0, 4), get(4, 4), get(12, 4)), (0x336e_c578, 1, 1));
    assert_eq!(string(&kernel, get(24, 8)), "quiet");
    assert_eq!((get(32, 8), get(48, 4)), (0xf_b000, standard_memory_map(64).len() as u64));
    let (module, size) = (number(&kernel, get(16, 8), 8), number(&kernel, get(16, 8) + 8, 8));
    assert_eq!((size, module % 4096, read(&kernel, module, 5000)), (5000, 0, vec![9; 5000]));
    assert_eq!((number(&kernel, get(40, 8) + 8, 8), number(&kernel, get(40, 8) + 16, 4)), (0x9_fc00, 1));
}

#[test]
fn vmlinux_is_entered_in_64_bit_mode_with_boot_parameters() {
    let kernel = load(&vmlinux(&[0xf4; 64]), &options(Some(&[5; 100]), "quiet")).expect("loads");
    assert_eq!(kernel.description, "Linux kernel (ELF64)");
    let EntryMode::Long64 { cr3 } = kernel.entry.mode else { panic!("{:?}", kernel.entry.mode) };
    assert_eq!(kernel.entry.eip, 0x100_0000);
    let (pml4, base) = (number(&kernel, u64::from(cr3), 8), !0xfffu64);
    let pointer = number(&kernel, (pml4 & base) + 8 * 3, 8);
    assert_eq!(number(&kernel, (pointer & base) + 8 * 511, 8), 0xffe0_0083, "the last 2 MiB below 4 GiB");
    let (gdt, _) = kernel.entry.gdt.expect("a GDT");
    assert_eq!(number(&kernel, u64::from(gdt) + u64::from(kernel.entry.cs), 8), 0x00af_9b00_0000_ffff);
    let page = u64::from(kernel.entry.esi);
    assert_eq!((read(&kernel, page + 0x202, 4), number(&kernel, page + 0x1fe, 2)), (b"HdrS".to_vec(), 0xaa55));
    assert_eq!(string(&kernel, number(&kernel, page + 0x228, 4)), "quiet");
    assert_eq!((number(&kernel, page + 0x21c, 4), number(&kernel, page + 0x218, 4) % 4096), (100, 0));
    let long = "x".repeat(2048);
    let error = load(&vmlinux(&[0xf4; 64]), &options(None, &long)).expect_err("too long").to_string();
    assert_eq!(error, "--append: it has 2048 bytes, the kernel takes 2047");
}
