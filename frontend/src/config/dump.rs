//! `--dump-config`: the effective configuration, as a file that `-f` takes.

use super::{MachineConfig, ron};
use crate::error::InputError;
use std::fmt::Write;

/// The fields, each with what it means.
const FIELDS: &[(&str, &str)] = &[
    ("cpus", "logical processors, 1 to 254"),
    ("memory", "guest memory in MiB; with a unit as a text: \"512M\", \"1G\""),
    ("cpu_model", "see rvmx-emu cpu-models"),
    (
        "clock",
        "ips: an instruction is a cycle; model: cycles of the CPU model's pipeline; model_with([caches, branches])",
    ),
    ("ips", "cycles a guest second"),
    ("quantum", "cycles of a processor's turn; None: 1000"),
    ("ignore_bad_msrs", "MSRs that the CPU model lacks read 0 and swallow writes"),
    ("vmx_unlocked", "IA32_FEATURE_CONTROL is left unlocked and 0"),
    ("reset_on_triple_fault", "a triple fault resets the machine instead of ending the run"),
    ("no_reboot", "a reset ends the run"),
    ("rom", "(file: \"bios.bin\", address: 0xfffe0000); None: the built-in BIOS"),
    ("vga_rom", "the same; None: the built-in VGA BIOS"),
    ("option_roms", "a list of the same, each with its address"),
    ("uefi", "(code: \"OVMF_CODE.fd\", vars: \"variables\"), each may be left out; None: a BIOS"),
    ("fw_cfg", "[(name: \"opt/org.example/x\", contents: string(\"text\")), ...] or contents: file(\"FILE\")"),
    ("fat", "a folder as a hard disk"),
    ("hda", "Disk(image: \"c.img\", geometry: (cylinders: 2, heads: 16, sectors: 63)) or Cdrom(image: \"x.iso\")"),
    ("hdb", "the slave of the first channel"),
    ("hdc", "the master of the second"),
    ("hdd", "its slave"),
    ("fda", "(kind: F1440, image: \"a.img\", write_protected: true)"),
    ("fdb", "the same"),
    ("boot", "a list of disk, floppy, cdrom; []: what there is, in this order"),
    ("kernel", "(file: \"vmlinuz\", initrd: \"initrd\", append: \"console=ttyS0\", linux_entry: real)"),
    ("snapshot", "disk writes are dropped at the end"),
    ("seed_time", "the RTC's start in seconds since 1970; None: 2026-01-01"),
    (
        "serial",
        "COM1: none, stdio, file(\"F\"), listen(\"127.0.0.1:4444\"), connect(\"HOST:PORT\"), unix(\"P\"), pty, ...",
    ),
    ("debugcon", "port E9h: none, stdio, file(\"F\"); None: stdio when headless"),
    ("debug_exit", "port of isa-debug-exit"),
    ("debug_exit_pass", "the value written there that is success"),
    ("test_devices", "QEMU's pc-testdev and pci-testdev"),
    ("display", "window, terminal or none; None: a window, else the terminal, else none"),
    ("run", "options of the run; they do not go with the machine"),
    ("jit", "compile code that has run so often; None: interpret all"),
    ("realtime", "guest time keeps to the host's clock; None: with a display"),
];

/// The fields of `run`.
const RUN_FIELDS: &[(&str, &str)] = &[
    ("max_instructions", "the run ends there, status 4"),
    ("max_time", "the same in guest seconds: 2.5"),
    ("wall_time", "the same in the host's seconds"),
    ("script", "a script (docs/scripting.md)"),
    ("media", "images at hand, to be put into drives"),
    ("screen_dump", "the text screen at exit goes there"),
    ("screenshot", "the picture at exit"),
    ("dump_state", "the machine's state at exit, as JSON if the name ends so"),
    ("trace", "\"FILE,cpu=0,from=CYCLE,to=CYCLE\""),
    ("vmcs_dump", "\"FILE\" or \"FILE,all\""),
    ("gdb", "port to wait for GDB at"),
    ("gdb_no_wait", "the guest runs until GDB comes"),
    ("log", "\"warn,disk=trace,config=off\""),
    ("log_file", "the log goes there instead of standard error"),
    ("stats", "one JSON line of counters at exit"),
];

/// The configuration as text, each field with a comment.
pub fn text(config: &MachineConfig) -> Result<String, InputError> {
    let style = ::ron::ser::PrettyConfig::new().struct_names(true);
    let plain = ron::dialect().to_string_pretty(config, style);
    let plain = plain.map_err(|error| InputError::new("--dump-config", error.to_string()))?;
    let mut text = String::from("// rvmx-emu -f FILE.ron; every field may be left out (docs/config.md).\n");
    let mut in_run = false;
    for line in plain.lines() {
        // Fields of the machine itself are one step in, those of the run two.
        let rest = line.trim_start();
        let (depth, name) = (line.len() - rest.len(), rest.split_once(':').map_or("", |(name, _)| name));
        in_run = if depth == 4 { name == "run" } else { in_run };
        let fields = match depth {
            4 => FIELDS,
            8 if in_run => RUN_FIELDS,
            _ => &[],
        };
        if let Some((_, comment)) = fields.iter().find(|(known, _)| *known == name) {
            let _ = writeln!(text, "{:depth$}// {comment}", "");
        }
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AtaDrive, Floppy, FwCfgContents, FwCfgItem, Kernel, Rom, Stream, Uefi};
    use std::path::Path;

    #[test]
    fn every_field_is_printed_with_its_comment_and_read_back() {
        let text = text(&MachineConfig::default()).expect("a text");
        for (field, comment) in FIELDS {
            assert!(text.contains(&format!("    // {comment}\n    {field}: ")), "{field}: {text}");
        }
        let fields =
            text.lines().filter(|line| line.starts_with("    ") && line.contains(": ") && !line.contains("// "));
        assert_eq!(fields.count(), FIELDS.len() + RUN_FIELDS.len(), "{text}");
        for (field, comment) in RUN_FIELDS {
            assert!(text.contains(&format!("        // {comment}\n        {field}: ")), "{field}: {text}");
        }
        assert_eq!(ron::parse(Path::new("m.ron"), &text), Ok(MachineConfig::default()));
    }

    #[test]
    fn configuration_with_all_parts_is_read_back_as_it_was() {
        let item = |contents| FwCfgItem { name: "opt/x".into(), contents };
        let config = MachineConfig {
            quantum: Some(7),
            rom: Some(Rom { file: "b".into(), address: Some(0xE_0000) }),
            uefi: Some(Uefi { code: None, vars: Some("v".into()) }),
            fw_cfg: vec![item(FwCfgContents::String("a \"b\" // c".into())), item(FwCfgContents::File("f".into()))],
            fat: Some("folder: x".into()),
            hda: Some(AtaDrive::Disk { image: "c".into(), geometry: None }),
            hdc: Some(AtaDrive::Cdrom { image: None }),
            fda: Some(Floppy { kind: None, image: Some("a".into()), write_protected: true }),
            kernel: Some(Kernel {
                file: "k".into(),
                initrd: None,
                append: "x=\ny".into(),
                linux_entry: crate::loader::LinuxEntry::default(),
            }),
            serial: Stream::Pty,
            debugcon: Some(Stream::File("e9".into())),
            debug_exit_pass: Some(16),
            run: crate::config::run::RunFields {
                max_time: Some(2.5),
                trace: Some("t,cpu=0".into()),
                media: vec!["m".into()],
                stats: true,
                ..Default::default()
            },
            ..MachineConfig::default()
        };
        let text = text(&config).expect("a text");
        assert_eq!(ron::parse(Path::new("m.ron"), &text), Ok(config), "{text}");
    }
}
