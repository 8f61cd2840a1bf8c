//! Our own configuration format: [`MachineConfig`] as RON.

mod place;
pub mod words;

use super::MachineConfig;
use super::sources::{Host, locate};
use crate::error::InputError;
use std::path::{Path, PathBuf};

/// RON as all our files use it: `Some(...)` may be left out.
pub fn dialect() -> ron::Options {
    ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME)
}

/// A configuration, as messages about one have it.
const KIND: words::Kind =
    words::Kind { see: "docs/config.md for the fields, or rvmx-emu --dump-config for all of them", form: |_| None };

/// Parses a configuration; names in it stay as they are written.
pub fn parse(path: &Path, text: &str) -> Result<MachineConfig, InputError> {
    let config: MachineConfig = dialect().from_str(text).map_err(|e| words::error(path, text, &e, KIND))?;
    config.check(&path.display().to_string()).map_err(|error| {
        let place = error.field_name().and_then(|field| {
            let last = field.rsplit(": ").find_map(|part| place_of(text, part));
            last.or_else(|| place_of(text, field.split(':').next()?))
        });
        match place {
            Some((line, column)) => error.at(line, column),
            None => error,
        }
    })?;
    Ok(config)
}

/// A line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Line and column at which a field stands, from 1.
fn place_of(text: &str, field: &str) -> Option<(usize, usize)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let at = code_of(line).match_indices(field).find(|(at, _)| {
            let before = line.get(..*at).and_then(|before| before.chars().last());
            let behind = line.get(at + field.len()..).unwrap_or_default().trim_start();
            behind.starts_with(':') && before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
        });
        at.map(|(at, _)| (index + 1, at + 1))
    })
}

/// Parses a configuration and finds the files that it names, in the working folder or beside it.
pub fn load(host: &dyn Host, path: &Path, text: &str) -> Result<MachineConfig, InputError> {
    let mut config = parse(path, text)?;
    let find = |field: &str, file: &mut PathBuf| -> Result<(), InputError> {
        *file = locate(host, file, path).ok_or_else(|| {
            let problem = format!("there is no file {:?}", file.display().to_string());
            InputError::file(path, problem)
                .field(field)
                .remedy("give its path from the working folder or beside this file")
        })?;
        Ok(())
    };
    let drives =
        [("hda", &mut config.hda), ("hdb", &mut config.hdb), ("hdc", &mut config.hdc), ("hdd", &mut config.hdd)];
    for (name, drive) in drives {
        match drive {
            Some(super::AtaDrive::Disk { image, .. } | super::AtaDrive::Cdrom { image: Some(image) }) => {
                find(name, image)?;
            }
            Some(super::AtaDrive::Cdrom { image: None }) | None => {}
        }
    }
    for (name, floppy) in [("fda", &mut config.fda), ("fdb", &mut config.fdb)] {
        if let Some(image) = floppy.as_mut().and_then(|floppy| floppy.image.as_mut()) {
            find(name, image)?;
        }
    }
    for (name, rom) in [("rom", &mut config.rom), ("vga_rom", &mut config.vga_rom)] {
        if let Some(rom) = rom {
            find(name, &mut rom.file)?;
        }
    }
    if let Some(uefi) = &mut config.uefi {
        // The file that keeps the variables may still have to be made.
        if let Some(code) = &mut uefi.code {
            find("uefi: code", code)?;
        }
        if let Some(found) = uefi.vars.as_ref().and_then(|vars| locate(host, vars, path)) {
            uefi.vars = Some(found);
        }
    }
    for item in &mut config.fw_cfg {
        if let super::FwCfgContents::File(file) = &mut item.contents {
            find("fw_cfg", file)?;
        }
    }
    if let Some(script) = &mut config.run.script {
        find("run: script", script)?;
    }
    for medium in &mut config.run.media {
        find("run: media", medium)?;
    }
    if let Some(folder) = &mut config.fat {
        find("fat", folder)?;
    }
    for rom in &mut config.option_roms {
        find("option_roms", &mut rom.file)?;
    }
    if let Some(kernel) = &mut config.kernel {
        find("kernel: file", &mut kernel.file)?;
        if let Some(initrd) = &mut kernel.initrd {
            find("kernel: initrd", initrd)?;
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AtaDrive, BootDevice, FloppyKind, Stream};

    fn parse(text: &str) -> Result<MachineConfig, String> {
        super::parse(Path::new("m.ron"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn ron_configuration_with_every_kind_of_field_is_read() {
        let config = parse(
            r#"Machine(
                cpus: 4, memory: 256, quantum: 100,
                hda: Disk(image: "c.img", geometry: (cylinders: 2, heads: 16, sectors: 63)),
                hdc: Cdrom(),
                fda: (kind: F1440, image: "demo.img"),
                boot: [floppy, disk],
                serial: file("com1.txt"), debugcon: stdio, debug_exit: 0xf4,
            )"#,
        )
        .unwrap();
        assert_eq!((config.cpus, config.memory, config.quantum, config.debug_exit), (4, 256, Some(100), Some(0xf4)));
        assert_eq!(config.hda.as_ref().and_then(AtaDrive::image), Some(Path::new("c.img")));
        assert_eq!(config.hdc, Some(AtaDrive::Cdrom { image: None }));
        assert_eq!(config.fda.unwrap().kind, Some(FloppyKind::M1_44));
        assert_eq!(config.boot, [BootDevice::Floppy, BootDevice::Disk]);
        assert_eq!((config.serial, config.debugcon), (Stream::File("com1.txt".into()), Some(Stream::Stdio)));
    }

    #[test]
    fn ron_configuration_written_and_read_again_is_the_same() {
        let config = MachineConfig {
            hda: Some(AtaDrive::Disk { image: "c.img".into(), geometry: None }),
            boot: vec![BootDevice::Cdrom],
            debugcon: Some(Stream::None),
            ..MachineConfig::default()
        };
        let text = dialect().to_string_pretty(&config, ::ron::ser::PrettyConfig::default()).unwrap();
        assert_eq!(parse(&text).unwrap(), config);
    }

    #[test]
    fn ron_configuration_mistakes_name_line_and_column() {
        let error = parse("Machine(\n  cpus: 4,\n  memroy: 5,\n)").unwrap_err();
        assert!(error.starts_with("m.ron:3:") && error.contains("memroy"), "{error}");
        let error = parse("Machine(\n  cpus: \"x\",\n)").unwrap_err();
        assert!(error.starts_with("m.ron:2:"), "{error}");
        let error = parse("Machine(cpus: 0)").unwrap_err();
        assert_eq!(error, "m.ron:1:9: cpus: 0 is out of range; give 1 to 254");
        let error = parse("Machine(\n  cpus: 1, // memory: 3\n  memory: \"1X\",\n)").unwrap_err();
        assert!(error.starts_with("m.ron:3:") && error.contains(": memory: ") && error.contains("512M"), "{error}");
        let error = parse("Machine(\n  cpus: 1, // ips: 3\n\n  ips: 7,\n)").unwrap_err();
        assert!(error.starts_with("m.ron:4:3: ips: 7 is out of range"), "{error}");
        let error = parse("Machine(\n  run: (\n    max_time: -1,\n  ),\n)").unwrap_err();
        assert!(error.starts_with("m.ron:3:5: run: max_time: it is no number of seconds above 0"), "{error}");
        assert_eq!(parse("Machine(memory: \"1G\")").map(|config| config.memory), Ok(1024));
    }
}
