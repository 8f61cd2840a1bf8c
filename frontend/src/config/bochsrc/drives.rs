//! Options about ROMs, drives and what is booted.

use super::syntax::OptionLine;
use super::{Place, Reader};
use crate::config::sources::{is_device_name, locate};
use crate::config::{AtaDrive, BootDevice, Floppy, FloppyKind, Notice, Rom, Severity};
use crate::error::InputError;
use emu_devices::disk::Geometry;
use std::path::Path;

/// Whether a ROM's name is that of one that Bochs comes with.
fn is_bochs_rom(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ["bios-bochs", "vgabios", "bios.bin-1."].iter().any(|own| name.starts_with(own))
}

impl Reader<'_> {
    pub(super) fn rom(&mut self, at: Place, option: &OptionLine, without: &str) -> Result<Option<Rom>, InputError> {
        let (mut file, mut address) = (None, None);
        for parameter in &option.parameters {
            let key = parameter.key.as_deref().unwrap_or("");
            match key {
                // An empty place, as Bochs saves it.
                "file" | "" if parameter.value == "none" => {}
                "file" | "" if parameter.value.contains("$BXSHARE") && self.host.variable("BXSHARE").is_none() => {
                    let text = format!("BXSHARE is not set; {without}");
                    self.notice_once(at, Severity::Info, &option.name, &parameter.value, &text);
                }
                "file" | "" => {
                    file = Some(self.expand(at, &format!("{}: file", option.name), &parameter.value)?);
                }
                "address" => {
                    let field = format!("{}: address", option.name);
                    // 0 stands for the end of the address space.
                    address = Some(self.number(at, &field, &parameter.value, 0..=0xffff_ffff)?).filter(|at| *at != 0);
                }
                "options" => {
                    self.notice_once(at, Severity::Info, &option.name, key, "they are for the Bochs BIOS's menu");
                }
                "flash_data" if parameter.value == "none" => {}
                "flash_data" => {
                    self.notice_once(at, Severity::Warning, &option.name, key, "the BIOS is ROM, not flash memory");
                }
                _ => self.notice_once(at, Severity::Warning, &option.name, key, "unknown parameter, ignored"),
            }
        }
        let Some(file) = file else { return Ok(None) };
        let found = locate(self.host, Path::new(&file), at.file);
        if found.is_none() {
            let text = format!("there is no such file; {without}");
            // Bochs's own are what ours stand for.
            let severity = if is_bochs_rom(Path::new(&file)) { Severity::Info } else { Severity::Warning };
            self.notice_once(at, severity, &option.name, &file, &text);
        }
        Ok(found.map(|file| Rom { file, address }))
    }

    pub(super) fn floppy(&mut self, at: Place, option: &OptionLine, drive: usize) -> Result<(), InputError> {
        let (mut kind, mut image, mut inserted, mut write_protected) = (None, None, true, false);
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            let kind_of =
                |text: &str| FloppyKind::ALL.iter().find(|(_, name, _)| *name == text).map(|(kind, ..)| *kind);
            let field = format!("{name}: {key}");
            match key {
                "image" => image = Some(value.to_owned()),
                "type" if matches!(value, "none" | "auto") => kind = None,
                "type" => {
                    let remedy = "give one of 160k 180k 320k 360k 720k 1_2 1_44 2_88";
                    let problem = format!("{value:?} is no floppy type");
                    kind = Some(kind_of(value).ok_or_else(|| reader.bad(at, &field, &problem, remedy))?);
                }
                "status" => {
                    inserted = match value {
                        "inserted" => true,
                        "ejected" => false,
                        _ => {
                            return Err(reader.bad(
                                at,
                                &field,
                                &format!("{value:?} is no status"),
                                "give inserted or ejected",
                            ));
                        }
                    };
                }
                "write_protected" => write_protected = reader.switch(at, &field, value)?,
                _ => {
                    let Some(known) = kind_of(key) else { return Ok(false) };
                    kind = Some(known);
                    image = Some(value.to_owned());
                }
            }
            Ok(true)
        })?;
        self.missing_images.retain(|(of, _)| *of != drive);
        let mut floppy = Floppy { kind, image: None, write_protected };
        if let Some(named) = image.filter(|named| inserted && !named.is_empty()) {
            if named.starts_with("vvfat:") {
                let remedy = "make an image of the folder";
                return Err(self.bad(at, &name, "a folder as a floppy (vvfat) is not offered", remedy));
            }
            floppy.image = locate(self.host, Path::new(&named), at.file);
            if floppy.image.is_none() {
                // A drive of the host that is not there is what the book's own file has in its first line.
                let device = is_device_name(Path::new(&named));
                let severity = if device { Severity::Info } else { Severity::Warning };
                let what = if device { "device" } else { "file" };
                let text = format!("{name}: there is no {what} {named:?}; the drive is empty");
                let notice = Notice { missing_medium: true, ..self.make_notice(at, severity, text) };
                self.missing_images.push((drive, notice));
            }
        }
        if drive == 0 {
            self.config.fda = Some(floppy)
        } else {
            self.config.fdb = Some(floppy)
        }
        Ok(())
    }

    pub(super) fn ata_channel(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let channel = match option.name.as_str() {
            "ata0" => 0,
            "ata1" => 1,
            "ata2" => 2,
            _ => 3,
        };
        let standard = [(0x1f0, 0x3f0, 14), (0x170, 0x370, 15), (0x1e8, 0x3e0, 11), (0x168, 0x360, 9)][channel];
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            let field = format!("{name}: {key}");
            let expected = match key {
                "enabled" => {
                    reader.channel_off[channel] = (!reader.switch(at, &field, value)?).then_some(at.line);
                    return Ok(true);
                }
                "ioaddr1" => standard.0,
                "ioaddr2" => standard.1,
                "irq" => standard.2,
                _ => return Ok(false),
            };
            if reader.number(at, &field, value, 0..=0xffff)? != expected {
                let text = format!("the channel stays at {expected:#x}");
                reader.notice_once(at, Severity::Warning, &name, key, &text);
            }
            Ok(true)
        })
    }

    pub(super) fn ata_drive(
        &mut self,
        at: Place,
        option: &OptionLine,
        channel: usize,
        slave: bool,
    ) -> Result<(), InputError> {
        let (mut kind, mut named, mut inserted, mut chs) = (String::new(), None, true, [None; 3]);
        let mut folder = false;
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            let field = format!("{name}: {key}");
            match key {
                "type" if matches!(value, "disk" | "cdrom" | "none") => kind = value.to_owned(),
                "type" => {
                    let problem = format!("{value:?} is no drive type");
                    return Err(reader.bad(at, &field, &problem, "give disk, cdrom or none"));
                }
                "path" => named = Some(value.to_owned()),
                "mode" if value == "flat" => {}
                "mode" if matches!(value, "undoable" | "volatile") => {
                    reader.config.snapshot = true;
                    let text =
                        format!("{value}: what is written to any drive is kept in memory and dropped at the end");
                    reader.notice_once(at, Severity::Warning, &name, "mode", &text);
                }
                "mode" if value == "vvfat" => folder = true,
                "mode" => {
                    let remedy = "convert the image to a flat one and use mode=flat";
                    return Err(reader.bad(at, &field, &format!("images of mode {value:?} cannot be read"), remedy));
                }
                "cylinders" => chs[0] = Some(reader.number(at, &field, value, 0..=65_535)?),
                "heads" => chs[1] = Some(reader.number(at, &field, value, 0..=16)?),
                "spt" => chs[2] = Some(reader.number(at, &field, value, 0..=63)?),
                "status" if matches!(value, "inserted" | "ejected") => inserted = value == "inserted",
                "status" => {
                    let problem = format!("{value:?} is no status");
                    return Err(reader.bad(at, &field, &problem, "give inserted or ejected"));
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let named = named.filter(|named| !named.is_empty());
        if let (true, "disk", Some(named)) = (folder, kind.as_str(), &named) {
            let found = locate(self.host, Path::new(named), at.file);
            self.config.fat = Some(found.ok_or_else(|| {
                self.bad(at, &format!("{name}: path"), &format!("there is no folder {named:?}"), "correct the path")
            })?);
            return Ok(());
        }
        let drive = match kind.as_str() {
            "disk" => Some(self.disk(at, &name, named, chs)?),
            "cdrom" => Some(self.cdrom(at, &name, named.filter(|_| inserted))),
            "none" => None,
            _ => return Err(self.bad(at, &name, "the type is missing", "add type=disk or type=cdrom")),
        };
        match (channel, slave) {
            (0, false) => self.config.hda = drive,
            (0, true) => self.config.hdb = drive,
            (1, false) => self.config.hdc = drive,
            (1, true) => self.config.hdd = drive,
            _ if drive.is_some() => {
                self.notice_once(
                    at,
                    Severity::Warning,
                    &name,
                    "",
                    "only ata0 and ata1 are there; the drive is left out",
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn disk(
        &mut self,
        at: Place,
        name: &str,
        named: Option<String>,
        chs: [Option<u64>; 3],
    ) -> Result<AtaDrive, InputError> {
        let field = format!("{name}: path");
        let Some(named) = named else {
            return Err(self.bad(at, &field, "the image is missing", "add path=\"FILE\""));
        };
        let image = locate(self.host, Path::new(&named), at.file).ok_or_else(|| {
            let remedy = "correct the path, or make the image first";
            self.bad(at, &field, &format!("there is no file {named:?}"), remedy)
        })?;
        // 0/0/0 and cylinders=0 ask for detection from the size, as does leaving them out.
        let [Some(cylinders @ 1..), Some(heads @ 1..), Some(sectors @ 1..)] = chs else {
            return Ok(AtaDrive::Disk { image, geometry: None });
        };
        let bytes = cylinders * heads * sectors * 512;
        if let Some(size @ 1..) = self.host.size(&image).filter(|size| *size != bytes) {
            let text = format!("the image has {size} bytes, its geometry {bytes}");
            self.notice_once(at, Severity::Warning, name, "cylinders", &text);
        }
        let geometry = Geometry::new(cylinders as u32, heads as u32, sectors as u32)
            .map_err(|e| self.bad(at, name, &e.to_string(), "correct cylinders, heads and spt"))?;
        Ok(AtaDrive::Disk { image, geometry: Some(geometry) })
    }

    fn cdrom(&mut self, at: Place, name: &str, named: Option<String>) -> AtaDrive {
        let image = named.and_then(|named| {
            let found = locate(self.host, Path::new(&named), at.file);
            if found.is_none() {
                let severity = if is_device_name(Path::new(&named)) { Severity::Info } else { Severity::Warning };
                let text = format!("{name}: there is no file {named:?}; the drive is empty");
                let notice = Notice { missing_medium: true, ..self.make_notice(at, severity, text) };
                self.notices.push(notice);
            }
            found
        });
        AtaDrive::Cdrom { image }
    }

    pub(super) fn boot(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let mut order = Vec::new();
        for parameter in &option.parameters {
            let value = self.expand(at, "boot", &parameter.value)?;
            let device = match value.as_str() {
                "disk" | "c" => BootDevice::Disk,
                "floppy" | "a" => BootDevice::Floppy,
                "cdrom" => BootDevice::Cdrom,
                "network" => {
                    self.notice_once(at, Severity::Warning, "boot", "network", "there is no network to boot from");
                    continue;
                }
                "none" => continue,
                _ => {
                    let problem = format!("{value:?} is no boot device");
                    return Err(self.bad(at, "boot", &problem, "give disk, floppy or cdrom"));
                }
            };
            if !order.contains(&device) {
                order.push(device);
            }
        }
        self.config.boot = order;
        Ok(())
    }
}
