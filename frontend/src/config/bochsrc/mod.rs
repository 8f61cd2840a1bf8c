//! The Bochs configuration file, as Bochs documents it and as the book ships it (`bs`).
//!
//! An option that is not known, or that configures what is not here, is a [`Notice`] once, and the run goes on.
//! A value that cannot be right is an error with its line.

mod drives;
mod machine;
mod syntax;

use super::options::{unread, unread_parameter};
use super::sources::{Host, locate};
use super::{IPS_RANGE, MachineConfig, Notice, Severity, Stream};
use crate::error::InputError;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::Path;
use syntax::{OptionLine, split};

/// Deepest nesting of `#include`, and most lines read in all: what keeps a file that includes itself from hanging.
const MAX_INCLUDES: usize = 16;
const MAX_LINES: usize = 100_000;

/// Where the reader is: the file that was named, and the line in it or in a file that it includes.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    line: usize,
}

/// Parses a Bochs configuration file that has been read into `text`; the machine it describes, and what has no
/// effect in it.
pub fn parse(host: &dyn Host, file: &Path, text: &str) -> Result<(MachineConfig, Vec<Notice>), InputError> {
    parse_over(host, MachineConfig::default(), file, text)
}

/// [`parse`], over a machine that is described already.
pub fn parse_over(
    host: &dyn Host,
    config: MachineConfig,
    file: &Path,
    text: &str,
) -> Result<(MachineConfig, Vec<Notice>), InputError> {
    let mut reader = Reader {
        host,
        root: file,
        config,
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
                match key {
                    "enabled" => {
                        let on = reader.switch(at, "port_e9_hack: enabled", value)?;
                        reader.config.debugcon = Some(if on { Stream::Stdio } else { Stream::None });
                    }
                    // Ring 3 needs IOPL or the I/O permission bitmap, as for any port.
                    "all_rings" => {
                        if reader.switch(at, "port_e9_hack: all_rings", value)? {
                            let text = "the port obeys IOPL and the I/O permission bitmap";
                            reader.notice_once(at, Severity::Warning, "port_e9_hack", key, text);
                        }
                    }
                    _ => return Ok(false),
                }
                Ok(true)
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
            if let Some(reason) = unread_parameter(&option.name, key) {
                self.notice_once(at, Severity::Info, &option.name, key, reason);
                continue;
            }
            let what = format!("{}: {key}", option.name);
            let value = self.expand(at, &what, &parameter.value)?;
            if !read(self, key, &value)? {
                let shown = if key.is_empty() { value } else { key.to_owned() };
                self.notice_once(at, Severity::Warning, &option.name, &shown, "unknown parameter, ignored");
            }
        }
        Ok(())
    }

    fn unread_option(&mut self, at: Place, option: &OptionLine) {
        match unread(&option.name) {
            Some(known) => {
                let off = option.parameters.iter().any(|parameter| match parameter.key.as_deref() {
                    Some("enabled") => matches!(self.switch(at, "", &parameter.value), Ok(false)),
                    Some("file" | "mode" | "card") => parameter.value == "none",
                    // A switch alone, as in `i440fxsupport: 0` or `voodoo: none`.
                    None => matches!(self.switch(at, "", &parameter.value), Ok(false)),
                    _ => false,
                });
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
        Notice { severity, place: at.file.display().to_string(), line: at.line, text, missing_medium: false }
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
        match value.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" | "enabled" => Ok(true),
            "0" | "false" | "no" | "off" | "none" | "disabled" => Ok(false),
            _ => Err(self.bad(at, field, &format!("{value:?} is no switch"), "give 0, 1, false, true, off or on")),
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
