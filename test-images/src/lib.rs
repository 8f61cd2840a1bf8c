//! Small boot images of our own, each about one thing, with the script that drives it and the line that it must show.
//!
//! The sources are NASM files in `asm/`, the built images are in `images/` (so that nobody needs NASM to run them) and
//! `check-images` proves that the two agree. An image writes to the text screen and to port E9; it checks what it
//! computes against what the architecture demands, prints `FAIL name: what expected X got Y` for each difference and
//! ends with `PASS name: N checks` or `FAIL name: ...`, then idles in HLT with interrupts on. (`demo` checks nothing; it
//! shows the machine and powers off on Esc.)

mod hostile;

pub use hostile::{HOSTILE, HostileGuest, WRITER};

/// An EFI program that says on port E9h what it finds – VMX, ACPI, how often it was started, its folder's `input.txt` –,
/// writes `answer.txt` and powers off. Its source is `efi/starts.asm`.
pub const EFI_STARTS: &[u8] = include_bytes!("../efi/starts.efi");

/// What kind of drive an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A hard disk of one cylinder, 16 heads, 63 sectors.
    Disk,
    /// A 1.44M floppy.
    Floppy,
}

/// A boot image and what it must show.
#[derive(Debug, Clone, Copy)]
pub struct TestImage {
    /// The name of the files: `asm/NAME.asm`, `images/NAME.img`, `scripts/NAME.ron`.
    pub name: &'static str,
    /// The whole drive.
    pub bytes: &'static [u8],
    /// The script that drives and judges it (the command line's `--script`).
    pub script: &'static str,
    /// The number of logical processors that it is written for; it runs with any number from 1 up.
    pub cpus: u32,
    /// The drive to give it in.
    pub kind: Kind,
    /// One line: what it is about.
    pub about: &'static str,
    /// Text that port E9 must carry, in this order.
    pub debugcon: &'static [&'static str],
}

impl TestImage {
    /// The image of that name.
    pub fn find(name: &str) -> Option<&'static TestImage> {
        ALL.iter().find(|image| image.name == name)
    }
}

/// One line of the table from the name of the files.
macro_rules! image {
    ($name:literal, $kind:ident, $cpus:literal, $about:literal, $($debugcon:literal),+) => {
        TestImage {
            name: $name,
            bytes: include_bytes!(concat!("../images/", $name, ".img")),
            script: include_str!(concat!("../scripts/", $name, ".ron")),
            cpus: $cpus,
            kind: Kind::$kind,
            about: $about,
            debugcon: &[$($debugcon),+],
        }
    };
}

/// All images.
#[rustfmt::skip]
pub const ALL: &[TestImage] = &[
    image!("demo", Disk, 4, "the bundled demo: what this machine is, a running clock, keys", "rvmx-emu: this machine", "Type something; Esc powers off"),
    image!("vmdemo", Disk, 1, "a guest and its monitor, beside each other: VM exits, single steps, a VM entry that fails", "... and its monitor", "Exit reason "),
    image!("modes", Disk, 1, "real, protected, virtual-8086, PAE, compatibility, 64-bit mode and back", "real mode again", "PASS modes: "),
    image!("paging", Disk, 1, "32-bit, PAE and 4-level paging: violations, error codes, A and D, reserved bits", "4-level paging", "PASS paging: "),
    image!("interrupts", Disk, 1, "PIC, PIT, gates, exceptions, shadows, debug registers, NMI, double faults", "double fault", "PASS interrupts: "),
    image!("tasks", Disk, 1, "hardware task switches by JMP, CALL, IRET, INT; 16- and 32-bit TSSs", "what goes wrong", "PASS tasks: "),
    image!("smp", Disk, 4, "INIT-SIPI-SIPI, locks, IPIs of every kind, the local APIC's timer", "processors: ", "PASS smp: "),
    image!("disk", Disk, 1, "int 13h by CHS and LBA, ATA PIO by ports", "ATA ports", "PASS disk: "),
    image!("floppy", Floppy, 1, "int 13h on a floppy: up to 64 sectors in one call, writes, errors", "many sectors in one read", "PASS floppy: "),
    image!("keyboard", Disk, 1, "int 16h, IRQ 1, the 8042, LEDs, scan-code sets 1 to 3", "scan-code sets", "PASS keyboard: "),
    image!("serial", Disk, 1, "COM1: polled, FIFO, interrupts, loopback, input, no waiting at all", "without waiting", "PASS serial: "),
    image!("strings", Disk, 1, "string instructions: widths, directions, overlap, restarts, wrap-around", "trap flag, ports", "PASS strings: "),
    image!("selfmod", Disk, 2, "self-modifying and cross-modifying code, aliases", "alias", "PASS selfmod: "),
    image!("gates", Disk, 1, "call gates, privilege, LAR and kin, SYSENTER, SYSCALL, IRET", "expand-down segments", "PASS gates: "),
    image!("timers", Disk, 1, "PIT, RTC, HPET, ACPI PM timer and TSC measured against each other", "ACPI PM timer", "PASS timers: "),
    image!("counters", Disk, 1, "performance counters, their overflows as interrupts and NMIs, freezing", "overflow", "PASS counters: "),
    image!("vgatext", Disk, 1, "text mode, palette, mode 13h, planar mode 12h with its write and read modes", "mode 12h", "PASS vgatext: "),
    image!("vmxexits", Disk, 1, "VM exits of CPUID and RDTSC, and 1000 round trips", "1000 round trips", "PASS vmxexits: "),
    image!("vmxentry", Disk, 1, "VM entries that fail in every stage of the checks, also in two at once", "two of the guest", "PASS vmxentry: "),
    image!("vmxfail", Disk, 1, "VMX instructions that fail, with every error number", "no current VMCS", "PASS vmxfail: "),
    image!("vmxfaults", Disk, 1, "exceptions that come before VM exits, exceptions that are VM exits", "exceptions that exit", "PASS vmxfaults: "),
    image!("vmxinject", Disk, 1, "event injection, with single-step and data breakpoints behind MOV SS", "types of events", "PASS vmxinject: "),
    image!("vmxmtf", Disk, 1, "stepping a guest by the monitor trap flag", "without it", "PASS vmxmtf: "),
    image!("vmxreal", Disk, 1, "a real-mode guest under EPT (unrestricted guest)", "protected mode and back", "PASS vmxreal: "),
    image!("vmxsysenter", Disk, 1, "SYSENTER watched by the MSR bitmap and by EPT", "SYSENTER", "PASS vmxsysenter: "),
    image!("vmxtask", Disk, 1, "VM exits of task switches, and a switch by the host", "the host switches", "PASS vmxtask: "),
    image!("vmxapic", Disk, 1, "a guest's local APIC by EPT: APIC-access page, TPR shadow, threshold", "other registers", "PASS vmxapic: "),
    image!("vmxint", Disk, 1, "INT intercepted by the limit of IDTR and delivered by the host", "interrupts", "PASS vmxint: "),
    image!("vmxirq", Disk, 2, "external interrupts of CPU1 forwarded to its guest", "HLT", "PASS vmxirq: "),
    image!("evex", Disk, 1, "random AVX-512 instructions against checksums (needs AVX-512)", "AVX-512", "PASS evex: "),
    image!("programs", Disk, 1, "programs that gcc has compiled: AVX-512, x87 (needs AVX-512)", "programs", "PASS programs: "),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, fs, path::Path};

    #[test]
    fn table_entry_names_are_unique_and_findable() {
        let names: HashSet<_> = ALL.iter().map(|image| image.name).collect();
        assert_eq!(names.len(), ALL.len());
        for image in ALL {
            assert_eq!(TestImage::find(image.name).map(|found| found.about), Some(image.about));
        }
        assert!(TestImage::find("no such image").is_none());
    }

    #[test]
    fn every_image_has_its_drives_size_and_a_boot_signature() {
        for image in ALL {
            let size = match image.kind {
                Kind::Disk => 16 * 63 * 512,
                Kind::Floppy => 2 * 80 * 18 * 512,
            };
            assert_eq!(image.bytes.len(), size, "{}", image.name);
            assert_eq!(image.bytes[510..512], [0x55, 0xAA], "{}", image.name);
            assert!(image.bytes[446..510].iter().all(|&byte| byte == 0), "{}: partition table", image.name);
            assert!(image.cpus >= 1 && !image.about.is_empty(), "{}", image.name);
        }
    }

    #[test]
    fn efi_program_is_an_image_of_the_right_kind() {
        let word = |at: usize| u16::from_le_bytes([EFI_STARTS[at], EFI_STARTS[at + 1]]);
        assert_eq!((&EFI_STARTS[..2], &EFI_STARTS[0x40..0x44]), (&b"MZ"[..], &b"PE\0\0"[..]));
        // x86-64, PE32+, an EFI application; the entry point is the section's begin.
        assert_eq!((word(0x44), word(0x58), word(0x58 + 68), word(0x58 + 16)), (0x8664, 0x020B, 10, 0x1000));
    }

    #[test]
    fn every_script_waits_for_its_images_last_line_and_rejects_failures() {
        for image in ALL {
            assert!(image.script.contains("Script("), "{}", image.name);
            assert!(image.script.contains("PowerOff"), "{}", image.name);
            let machine = format!("image: \"../images/{}.img\",\n", image.name);
            assert!(image.script.contains(&machine), "{}", image.name);
            let cpus = format!("    cpus: {},\n", image.cpus);
            assert_eq!(image.script.contains(&cpus), image.cpus != 1, "{}", image.name);
            if let Some(last) = image.debugcon.last().and_then(|line| line.strip_suffix(": ")) {
                assert!(image.script.contains(&format!("WaitText(\"{last}\"")), "{}", image.name);
                assert!(image.script.contains("RejectText(\"FAIL\")"), "{}", image.name);
            }
        }
    }

    #[test]
    fn every_expected_line_is_in_its_image() {
        for image in ALL {
            for line in image.debugcon {
                // "PASS name: " is in one piece in the image, as every heading is.
                assert!(
                    image.bytes.windows(line.len()).any(|window| window == line.as_bytes()),
                    "{}: {line:?}",
                    image.name
                );
            }
        }
    }

    #[test]
    fn every_source_has_a_table_entry_and_the_reverse() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("asm");
        let sources: HashSet<String> = fs::read_dir(folder)
            .expect("asm/")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".asm").map(str::to_owned))
            .collect();
        let entries: HashSet<String> = ALL.iter().map(|image| image.name.to_owned()).collect();
        assert_eq!(sources, entries);
    }
}
