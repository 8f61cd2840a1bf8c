//! `--kernel`: kernels of our own, started by the program.

mod common;

use common::folder::Folder;
use common::images::{elf, multiboot_header, multiboot2_header, pvh_elf, vmlinux};
use std::process::Command;

/// Exit status, standard output (port E9h) and standard error.
fn run(options: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--max-time", "5"])
        .args(options)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// mov al,'K'; out 0E9h,al; mov al,3; out 0F4h,al; hlt
const CODE: [u8; 9] = [0xB0, b'K', 0xE6, 0xE9, 0xB0, 3, 0xE6, 0xF4, 0xF4];

#[test]
fn kernel_of_every_format_runs_when_the_firmware_is_done() {
    let folder = Folder::new("kernel-runs");
    let multiboot = [multiboot_header(0), CODE.to_vec()].concat();
    let multiboot2 = [multiboot2_header(&[]), CODE.to_vec()].concat();
    let elf = |code: &[u8], entry| elf(false, entry, &[(0x10_0000, 0x10_0000, code, 0x1000)]);
    let kernels = [
        ("multiboot", elf(&multiboot, 0x10_000C)),
        ("multiboot2", elf(&multiboot2, 0x10_0018)),
        ("pvh", pvh_elf(0x10_0000, &CODE)),
        ("vmlinux", vmlinux(&CODE)),
    ];
    for (name, bytes) in kernels {
        let kernel = folder.file(name, &bytes).display().to_string();
        for cpus in ["1", "2"] {
            let (status, out, err) = run(&["--kernel", &kernel, "--debug-exit", "0xf4", "--cpus", cpus]);
            assert_eq!((status, out.as_str()), (Some(7), "K"), "{name}, {cpus} processors: {err}");
        }
    }
}

/// What `firmware/tests-asm/kernel.asm` computes of its initrd.
fn initrd_sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |sum, byte| sum.rotate_left(1).wrapping_add(u32::from(*byte)))
}

/// Starts the kernel of `firmware/tests-asm` with an initrd; its words.
fn bzimage(initrd: &str, options: &[&str]) -> String {
    let kernel = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/tests-asm/kernel.bzimage");
    let (status, out, err) = run(&[&["--kernel", kernel, "--initrd", initrd][..], options].concat());
    assert_eq!(status, Some(0), "{out}\n{err}");
    assert!(!out.contains("FAIL") && out.ends_with("end\n"), "{options:?}: {out}");
    out
}

#[test]
fn bzimage_finds_its_initrd_and_acpi_tables_whole_at_any_size_of_memory() {
    let folder = Folder::new("kernel-initrd");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    let (initrd, sum) =
        (folder.file("initrd", &bytes).display().to_string(), format!("initrd sum: {:08x}\n", initrd_sum(&bytes)));
    for (memory, entry) in [("2", "real"), ("16", "protected"), ("512", "real"), ("2048", "protected")]
        .into_iter()
        .chain([("2048", "real"), ("3072", "protected"), ("4096", "real")])
    {
        let out = bzimage(&initrd, &["--memory", memory, "--linux-entry", entry, "--append", "hello \"a b\""]);
        assert!(out.contains(&sum) && out.contains("ACPI tables are whole"), "{memory} MiB, {entry}: {out}");
        assert!(out.contains("command line: hello \"a b\"\n"), "{out}");
        let address = if entry == "real" { "acpi_rsdp_addr: 00000000" } else { "acpi_rsdp_addr: 000f" };
        assert!(out.contains(address), "{entry}: {out}");
    }
}

#[test]
fn vga_option_becomes_vid_mode_and_what_nobody_can_set_is_refused() {
    let folder = Folder::new("kernel-vga");
    let initrd = folder.file("initrd", b"x").display().to_string();
    for (line, mode) in [
        ("quiet", "ffff"),
        ("vga=normal", "ffff"),
        ("vga=ext x", "fffe"),
        ("vga=1 vga=0x317", "0317"),
        ("vga=791", "0317"),
    ] {
        let out = bzimage(&initrd, &["--append", line]);
        assert!(out.contains(&format!("vid_mode: 0000{mode}\n")), "{line}: {out}");
    }
    let kernel = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/tests-asm/kernel.bzimage");
    let refused = |options: &[&str]| {
        let (status, _, err) = run(&[&["--kernel", kernel][..], options].concat());
        assert_eq!(status, Some(2), "{options:?}: {err}");
        err
    };
    assert!(refused(&["--append", "vga=wide"]).contains("vga=: \"wide\" is neither normal, ext, ask nor a number"));
    let err = refused(&["--append", "vga=0x317", "--linux-entry", "protected"]);
    assert!(err.contains("give --linux-entry real"), "{err}");
    let err = refused(&["--memory", "1"]);
    assert!(err.contains("the kernel at 0x100000") && err.contains("give more --memory"), "{err}");
}
