//! `--kernel` as the program has it: the firmware runs, then the kernel does.

mod common;

use common::images::{bzimage, elf, multiboot_header};
use std::process::{Command, Output};

/// Ends the run through isa-debug-exit with status 33: mov al,10h; out 0F4h,al; hlt.
const EXIT: [u8; 5] = [0xB0, 0x10, 0xE6, 0xF4, 0xF4];

fn run(name: &str, kernel: &[u8], options: &[&str]) -> Output {
    let path = std::env::temp_dir().join(format!("rvmx-emu-kernel-{name}-{}", std::process::id()));
    std::fs::write(&path, kernel).expect("the host has a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_rvmx-emu"))
        .args(["--headless", "--debugcon", "none", "--memory", "64", "--debug-exit", "0xf4", "--max-time", "5"])
        .args(options)
        .arg("--kernel")
        .arg(&path)
        .output()
        .expect("the program starts");
    std::fs::remove_file(&path).expect("it was written");
    output
}

#[test]
fn multiboot_kernel_runs_where_the_firmware_would_boot() {
    let mut code = multiboot_header(0);
    code.extend(EXIT);
    let kernel = elf(false, 0x40_000C, &[(0x40_0000, 0x40_0000, &code, 0x3000)]);
    for cpus in ["1", "4"] {
        let output = run(&format!("multiboot-{cpus}"), &kernel, &["--cpus", cpus]);
        assert_eq!(output.status.code(), Some(33), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn linux_kernel_runs_at_either_of_its_entries() {
    let mut kernel = bzimage();
    // The 16-bit entry lies behind the setup header's jump, the 32-bit one is the kernel's first byte.
    let real = 0x200 + 2 + usize::from(kernel[0x201]);
    kernel[real..real + EXIT.len()].copy_from_slice(&EXIT);
    kernel[3 * 512..][..EXIT.len()].copy_from_slice(&EXIT);
    for entry in ["real", "protected"] {
        let output = run(entry, &kernel, &["--linux-entry", entry]);
        assert_eq!(output.status.code(), Some(33), "{entry}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
