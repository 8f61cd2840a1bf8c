//! The Bochs configuration file, as Bochs documents it and as the book ships it (`bs`).
//!
//! An option that is not known, or that configures what is not here, is a [`Notice`] once, and the run goes on.
//! A value that cannot be right is an error with its line.

use super::options::unread;
use super::sources::{Host, is_device_name, locate};
use super::{
    AtaDrive, BootDevice, DisplayKind, Floppy, FloppyKind, IPS_RANGE, MAX_CPUS, MAX_MEMORY_MIB, MachineConfig, Notice,
    QUANTUM_RANGE, Rom, Severity, Stream,
};
use crate::error::InputError;
use crate::time;
use emu_devices::disk::Geometry;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Deepest nesting of `#include`, and most lines read in all: what keeps a file that includes itself from hanging.
const MAX_INCLUDES: usize = 16;
const MAX_LINES: usize = 100_000;

/// One option line: `name: parameter, parameter`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OptionLine {
    name: String,
    parameters: Vec<Parameter>,
}

/// `key=value`, or a value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    key: Option<String>,
    value: String,
}

/// Where the reader is: the file that was named, and the line in it or in a file that it includes.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    line: usize,
}

/// Parses a Bochs configuration file that has been read into `text`; the machine it describes, and what has no
/// effect in it.
pub fn parse(host: &dyn Host, file: &Path, text: &str) -> Result<(MachineConfig, Vec<Notice>), InputError> {
    let mut reader = Reader {
        host,
        root: file,
        config: MachineConfig::default(),
        notices: Vec::new(),
        told: HashSet::new(),
        channel_off: [None; 4],
        missing_images: Vec::new(),
        lines: 0,
    };
    reader.file(file, text, 0)?;
    reader.finish();
    Ok((reader.config, reader.notices))
}

/// Cuts a comment: `#` at the start or after a blank, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut after_blank) = (false, true);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && after_blank => return line.get(..at).unwrap_or(line),
            _ => {}
        }
        after_blank = c.is_whitespace();
    }
    line
}

/// Splits a line into its option and parameters. `Ok(None)` for a blank line; the problem as an error.
fn split(line: &str) -> Result<Option<OptionLine>, String> {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Ok(None);
    }
    let Some((name, rest)) = line.split_once(':') else {
        return Err(format!("{line:?} has no colon after the option's name"));
    };
    let (mut parameters, mut current, mut quoted) = (Vec::new(), String::new(), false);
    for c in rest.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parameters.push(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    if quoted {
        return Err("a double quote is not closed".to_owned());
    }
    parameters.push(current);
    let parameters = parameters
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(|text| match text.split_once('=') {
            Some((key, value)) => Parameter { key: Some(key.trim().to_owned()), value: value.trim().to_owned() },
            None => Parameter { key: None, value: text.to_owned() },
        })
        .collect();
    Ok(Some(OptionLine { name: name.trim().to_owned(), parameters }))
}

struct Reader<'a> {
    host: &'a dyn Host,
    root: &'a Path,
    config: MachineConfig,
    notices: Vec<Notice>,
    /// Options and parameters that have had their notice.
    told: HashSet<String>,
    /// The line that switched a channel off.
    channel_off: [Option<usize>; 4],
    /// Floppy images that were not found, by drive; told at the end, for a later line may replace them.
    missing_images: Vec<(usize, Notice)>,
    lines: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, text: &str, depth: usize) -> Result<(), InputError> {
        let (mut whole, mut start) = (String::new(), 0);
        for (index, line) in text.lines().enumerate() {
            self.lines += 1;
            if self.lines > MAX_LINES {
                return Err(InputError::file(file, format!("more than {MAX_LINES} lines")).line(index + 1));
            }
            if whole.is_empty() {
                start = index + 1;
            }
            // A comment has no continuation.
            let comment = whole.is_empty() && line.trim_start().starts_with('#');
            if let Some(part) = line.trim_end().strip_suffix('\\').filter(|_| !comment) {
                whole.push_str(part);
                whole.push(' ');
                continue;
            }
            whole.push_str(line);
            self.line(Place { file, line: start }, &std::mem::take(&mut whole), depth)?;
        }
        if whole.is_empty() { Ok(()) } else { self.line(Place { file, line: start }, &whole, depth) }
    }

    fn line(&mut self, at: Place, text: &str, depth: usize) -> Result<(), InputError> {
        if let Some(name) = text.trim_start().strip_prefix("#include").filter(|rest| rest.starts_with([' ', '\t'])) {
            return self.include(at, name.trim().trim_matches('"'), depth);
        }
        let option = split(text).map_err(|problem| {
            InputError::file(at.file, problem).line(at.line).remedy("write option: parameter=value, parameter=value")
        })?;
        option.map_or(Ok(()), |option| self.option(at, &option))
    }

    fn include(&mut self, at: Place, name: &str, depth: usize) -> Result<(), InputError> {
        let error = |problem: String| InputError::file(at.file, problem).line(at.line).field("#include");
        if depth >= MAX_INCLUDES {
            return Err(error(format!("files include each other more than {MAX_INCLUDES} deep")));
        }
        let name = self.expand(at, "#include", name)?;
        let path = locate(self.host, Path::new(&name), at.file)
            .ok_or_else(|| error(format!("there is no file {name:?}")).remedy("correct its path"))?;
        let text = self.host.read_text(&path).map_err(|e| error(format!("cannot read {name:?}: {e}")))?;
        self.file(&path, &text, depth + 1)
    }

    fn option(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let name = option.name.as_str();
        match name {
            "cpu" => self.cpu(at, option),
            "ips" => self.each(at, option, |reader, _, value| {
                reader.config.ips = reader.number(at, "ips", value, IPS_RANGE)?;
                Ok(true)
            }),
            "memory" | "megs" => self.memory(at, option),
            "romimage" => {
                self.config.rom = self.rom(at, option, "the built-in BIOS is used")?;
                Ok(())
            }
            "vgaromimage" => {
                self.config.vga_rom = self.rom(at, option, "the built-in VGA BIOS is used")?;
                Ok(())
            }
            "optromimage1" | "optromimage2" | "optromimage3" | "optromimage4" => {
                let rom = self.rom(at, option, "it is left out")?;
                self.config.option_roms.extend(rom);
                Ok(())
            }
            "floppya" => self.floppy(at, option, 0),
            "floppyb" => self.floppy(at, option, 1),
            "ata0" | "ata1" | "ata2" | "ata3" => self.ata_channel(at, option),
            "boot" => self.boot(at, option),
            "clock" => self.clock(at, option),
            "com1" => self.com1(at, option),
            "port_e9_hack" => self.each(at, option, |reader, key, value| {
                let known = key == "enabled";
                if known {
                    let on = reader.switch(at, "port_e9_hack: enabled", value)?;
                    reader.config.debugcon = Some(if on { Stream::Stdio } else { Stream::None });
                }
                Ok(known)
            }),
            "display_library" => self.display(at, option),
            "keyboard" | "mouse" | "vga" | "pci" | "floppy_bootsig_check" => self.fixed(at, option),
            _ => {
                if let Some((channel, slave)) = ata_position(name) {
                    return self.ata_drive(at, option, channel, slave);
                }
                self.unread_option(at, option);
                Ok(())
            }
        }
    }

    /// Calls `read` with each parameter; it returns whether it knows the parameter.
    fn each(
        &mut self,
        at: Place,
        option: &OptionLine,
        mut read: impl FnMut(&mut Self, &str, &str) -> Result<bool, InputError>,
    ) -> Result<(), InputError> {
        for parameter in &option.parameters {
            let key = parameter.key.as_deref().unwrap_or("");
            let what = format!("{}: {key}", option.name);
            let value = self.expand(at, &what, &parameter.value)?;
            if !read(self, key, &value)? {
                let shown = if key.is_empty() { value } else { key.to_owned() };
                self.notice_once(at, Severity::Warning, &option.name, &shown, "unknown parameter, ignored");
            }
        }
        Ok(())
    }

    fn cpu(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match key {
                "count" => {
                    // processors:cores:threads; the product is what the machine has.
                    let mut count = 1;
                    for part in value.split(':') {
                        count *= reader.number(at, "cpu: count", part, 1..=u64::from(MAX_CPUS))?;
                        reader.number(at, "cpu: count", &count.to_string(), 1..=u64::from(MAX_CPUS))?;
                    }
                    reader.config.cpus = count as u32;
                }
                "ips" => reader.config.ips = reader.number(at, "cpu: ips", value, IPS_RANGE)?,
                "quantum" => {
                    reader.config.quantum = Some(reader.number(at, "cpu: quantum", value, QUANTUM_RANGE)?);
                }
                "model" if value == "bx_generic" => {
                    let text = format!("Bochs's generic model is not here; {} is used", super::DEFAULT_CPU_MODEL);
                    reader.notice_once(at, Severity::Warning, "cpu", "model=bx_generic", &text);
                }
                "model" if value.is_empty() => {
                    return Err(reader.bad(at, "cpu: model", "there is no name", "see rvmx-emu cpu-models"));
                }
                "model" => reader.config.cpu_model = value.to_owned(),
                "reset_on_triple_fault" => {
                    reader.config.reset_on_triple_fault = reader.switch(at, "cpu: reset_on_triple_fault", value)?;
                }
                "ignore_bad_msrs" => {
                    reader.config.ignore_bad_msrs = reader.switch(at, "cpu: ignore_bad_msrs", value)?;
                }
                "cpuid_limit_winnt" => {
                    if reader.switch(at, "cpu: cpuid_limit_winnt", value)? {
                        let text = "the limit on CPUID leaves is not offered";
                        reader.notice_once(at, Severity::Warning, "cpu", key, text);
                    }
                }
                "mwait_is_nop" => {
                    if reader.switch(at, "cpu: mwait_is_nop", value)? {
                        reader.notice_once(at, Severity::Warning, "cpu", key, "MWAIT is never a NOP");
                    }
                }
                "msrs" => reader.notice_once(at, Severity::Info, "cpu", key, "MSRs come from the CPU model"),
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn memory(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match key {
                "guest" | "" => {
                    let field = if key.is_empty() { "megs" } else { "memory: guest" };
                    reader.config.memory = reader.number(at, field, value, 1..=MAX_MEMORY_MIB)?;
                }
                "host" | "block_size" => {
                    reader.notice_once(at, Severity::Info, "memory", key, "host memory is managed by the host");
                }
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn rom(&mut self, at: Place, option: &OptionLine, without: &str) -> Result<Option<Rom>, InputError> {
        let (mut file, mut address) = (None, None);
        for parameter in &option.parameters {
            let key = parameter.key.as_deref().unwrap_or("");
            match key {
                "file" | "" if parameter.value.contains("$BXSHARE") && self.host.variable("BXSHARE").is_none() => {
                    let text = format!("BXSHARE is not set; {without}");
                    self.notice_once(at, Severity::Warning, &option.name, &parameter.value, &text);
                }
                "file" | "" => {
                    file = Some(self.expand(at, &format!("{}: file", option.name), &parameter.value)?);
                }
                "address" => {
                    let field = format!("{}: address", option.name);
                    address = Some(self.number(at, &field, &parameter.value, 0..=0xffff_ffff)?);
                }
                "options" => {
                    self.notice_once(at, Severity::Info, &option.name, key, "they are for the Bochs BIOS's menu");
                }
                _ => self.notice_once(at, Severity::Warning, &option.name, key, "unknown parameter, ignored"),
            }
        }
        let Some(file) = file else { return Ok(None) };
        let found = locate(self.host, Path::new(&file), at.file);
        if found.is_none() {
            let text = format!("there is no such file; {without}");
            self.notice_once(at, Severity::Warning, &option.name, &file, &text);
        }
        Ok(found.map(|file| Rom { file, address }))
    }

    fn floppy(&mut self, at: Place, option: &OptionLine, drive: usize) -> Result<(), InputError> {
        let (mut kind, mut image, mut inserted, mut write_protected) = (None, None, true, false);
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            let kind_of =
                |text: &str| FloppyKind::ALL.iter().find(|(_, name, _)| *name == text).map(|(kind, ..)| *kind);
            let field = format!("{name}: {key}");
            match key {
                "image" => image = Some(value.to_owned()),
                "type" if value == "none" => kind = None,
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
                let notice = self.make_notice(at, severity, text);
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

    fn ata_channel(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
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

    fn ata_drive(&mut self, at: Place, option: &OptionLine, channel: usize, slave: bool) -> Result<(), InputError> {
        let (mut kind, mut named, mut inserted, mut chs) = (String::new(), None, true, [None; 3]);
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
                "mode" => {
                    let remedy = match value {
                        "undoable" | "volatile" => "use mode=flat and --snapshot",
                        _ => "convert the image to a flat one and use mode=flat",
                    };
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
                "biosdetect" | "translation" | "model" | "journal" => {
                    reader.notice_once(at, Severity::Info, &name, key, "the machine decides it");
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let named = named.filter(|named| !named.is_empty());
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
                self.notice_once(at, severity, name, &named, "there is no such file; the drive is empty");
            }
            found
        });
        AtaDrive::Cdrom { image }
    }

    fn boot(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
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

    fn clock(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match key {
                "sync" => {
                    reader.config.realtime = match value {
                        "none" => false,
                        "slowdown" | "realtime" | "both" => true,
                        _ => {
                            let problem = format!("{value:?} is no way to keep time");
                            return Err(reader.bad(at, "clock: sync", &problem, "give none or slowdown"));
                        }
                    }
                }
                "time0" => {
                    let moment = match value {
                        "local" | "utc" | "1" | "2" => Some(reader.host.now()),
                        _ => value.parse().ok().filter(|s: &i64| (0..=253_402_300_799).contains(s)),
                    };
                    let moment = moment.or_else(|| time::parse_ctime(value)).ok_or_else(|| {
                        let remedy = "give seconds since 1970, local, utc or \"Sat Jan  1 00:00:00 2000\"";
                        reader.bad(at, "clock: time0", &format!("{value:?} is no time"), remedy)
                    })?;
                    reader.config.seed_time = Some(moment);
                }
                "rtc_sync" => reader.notice_once(at, Severity::Info, "clock", key, "the RTC runs on guest time"),
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn com1(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let (mut enabled, mut mode, mut device) = (true, "null".to_owned(), String::new());
        self.each(at, option, |reader, key, value| {
            match key {
                "enabled" => enabled = reader.switch(at, "com1: enabled", value)?,
                "mode" => mode = value.to_owned(),
                "dev" => device = value.to_owned(),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        self.config.serial = match mode.as_str() {
            _ if !enabled => Stream::None,
            "null" => Stream::None,
            "file" if device.is_empty() => {
                return Err(self.bad(at, "com1: dev", "the file is missing", "add dev=FILE"));
            }
            "file" => Stream::File(PathBuf::from(device)),
            "term" if matches!(device.as_str(), "/dev/stdout" | "/dev/tty" | "-") => Stream::Stdio,
            _ => {
                let text = format!("mode {mode:?} is not offered; use --serial stdio or mode=file");
                self.notice_once(at, Severity::Warning, "com1", "mode", &text);
                Stream::None
            }
        };
        Ok(())
    }

    fn display(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match (key, value) {
                ("", "nogui") => reader.config.display = Some(DisplayKind::None),
                ("", "term") => reader.config.display = Some(DisplayKind::Terminal),
                // Whichever toolkit it was, the default display is ours.
                ("", _) => reader.config.display = None,
                ("options", _) => {
                    reader.notice_once(at, Severity::Info, "display_library", key, "they are for Bochs's displays");
                }
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    /// Options of devices that are always there in one form: says so where the file asks for another.
    fn fixed(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            let expected: &[&str] = match (name.as_str(), key) {
                ("keyboard", "type") => &["mf"],
                ("mouse", "type") => &["ps2"],
                ("mouse", "enabled") => &["0", "1"],
                ("pci", "enabled") => &["1"],
                ("pci", "chipset") => &["i440fx"],
                ("floppy_bootsig_check", "disabled") => &["0"],
                ("vga", "extension") => &["none", "vbe"],
                ("keyboard", "serial_delay" | "paste_delay" | "keymap" | "user_shortcut")
                | ("mouse", "toggle")
                | ("vga", "update_freq" | "realtime") => {
                    reader.notice_once(at, Severity::Info, &name, key, "the front end decides it");
                    return Ok(true);
                }
                ("pci", "advopts") | ("vga", "ddc") => &[],
                ("pci", slot) if slot.starts_with("slot") => &["none"],
                _ => return Ok(false),
            };
            if !expected.contains(&value) {
                let text = match expected {
                    [] => format!("{value:?} is not offered, ignored"),
                    [first, ..] => format!("{value:?} is not offered; it is {first:?}"),
                };
                reader.notice_once(at, Severity::Warning, &name, key, &text);
            }
            Ok(true)
        })
    }

    fn unread_option(&mut self, at: Place, option: &OptionLine) {
        match unread(&option.name) {
            Some(known) => {
                let off = option.parameters.iter().any(|p| p.key.as_deref() == Some("enabled") && p.value == "0");
                let severity = if off { Severity::Info } else { known.severity };
                self.notice_once(at, severity, known.name, "", known.reason);
            }
            None => self.notice_once(at, Severity::Warning, &option.name, "", "unknown option, ignored"),
        }
    }

    /// What needs the whole file: drives on channels that are off, media that are not there.
    fn finish(&mut self) {
        for (channel, name) in [(0, "ata0"), (1, "ata1")] {
            let drives = if channel == 0 {
                [&mut self.config.hda, &mut self.config.hdb]
            } else {
                [&mut self.config.hdc, &mut self.config.hdd]
            };
            let Some(line) = self.channel_off[channel].filter(|_| drives.iter().any(|drive| drive.is_some())) else {
                continue;
            };
            drives.into_iter().for_each(|drive| *drive = None);
            let place = Place { file: self.root, line };
            self.notice_once(place, Severity::Warning, name, "", "the channel is not enabled; its drives are left out");
        }
        let missing = std::mem::take(&mut self.missing_images);
        self.notices.extend(missing.into_iter().map(|(_, notice)| notice));
    }

    fn make_notice(&self, at: Place, severity: Severity, text: String) -> Notice {
        Notice { severity, place: at.file.display().to_string(), line: at.line, text }
    }

    fn notice_once(&mut self, at: Place, severity: Severity, option: &str, parameter: &str, text: &str) {
        let what = if parameter.is_empty() { option.to_owned() } else { format!("{option}: {parameter}") };
        if self.told.insert(what.clone()) {
            let notice = self.make_notice(at, severity, format!("{what}: {text}"));
            self.notices.push(notice);
        }
    }

    fn bad(&self, at: Place, field: &str, problem: &str, remedy: &str) -> InputError {
        InputError::file(at.file, problem).line(at.line).field(field).remedy(remedy)
    }

    fn number(&self, at: Place, field: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, InputError> {
        let text = value.trim();
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let number = hex.map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
        let remedy = format!("give a number from {} to {}", range.start(), range.end());
        let number = number.ok_or_else(|| self.bad(at, field, &format!("{text:?} is not a number"), &remedy))?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(self.bad(at, field, &format!("{text} is out of range"), &remedy))
        }
    }

    fn switch(&self, at: Place, field: &str, value: &str) -> Result<bool, InputError> {
        match value {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(self.bad(at, field, &format!("{value:?} is no switch"), "give 0 or 1")),
        }
    }

    /// Replaces `$NAME` by the environment's variable.
    fn expand(&self, at: Place, field: &str, text: &str) -> Result<String, InputError> {
        let mut parts = text.split('$');
        let mut out = parts.next().unwrap_or("").to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            if name.is_empty() {
                out.push('$');
            } else {
                let value = self.host.variable(name).ok_or_else(|| {
                    let problem = format!("the environment variable {name} is not set");
                    self.bad(at, field, &problem, "set it, or write the path out")
                })?;
                out.push_str(&value);
            }
            out.push_str(rest);
        }
        Ok(out)
    }
}

/// `ata0-master` to `ata3-slave`: channel and whether it is the slave.
fn ata_position(name: &str) -> Option<(usize, bool)> {
    let (channel, position) = name.strip_prefix("ata")?.split_once('-')?;
    let channel = ["0", "1", "2", "3"].iter().position(|digit| *digit == channel)?;
    match position {
        "master" => Some((channel, false)),
        "slave" => Some((channel, true)),
        _ => None,
    }
}
