//! Options about processors, memory, clock, ports and the devices that are always there.

use super::syntax::OptionLine;
use super::{Place, Reader};
use crate::config::options::nearest_model;
use crate::config::{DisplayKind, IPS_RANGE, MAX_CPUS, MAX_MEMORY_MIB, QUANTUM_RANGE, Severity, Stream};
use crate::error::InputError;
use crate::time;
use std::path::PathBuf;

impl Reader<'_> {
    pub(super) fn cpu(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
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
                "model" if value.is_empty() => {
                    return Err(reader.bad(at, "cpu: model", "there is no name", "see rvmx-emu cpu-models"));
                }
                "model" => {
                    let nearest = nearest_model(value);
                    if let Some(nearest) = nearest {
                        let text = format!("this model of Bochs's is not here; {nearest} is used");
                        reader.notice_once(at, Severity::Warning, "cpu", &format!("model={value}"), &text);
                    }
                    reader.config.cpu_model = nearest.unwrap_or(value).to_owned();
                }
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
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    pub(super) fn memory(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match key {
                "guest" | "" => {
                    let field = if key.is_empty() { "megs" } else { "memory: guest" };
                    reader.config.memory = reader.number(at, field, value, 1..=MAX_MEMORY_MIB)?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    pub(super) fn clock(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match key {
                "sync" => {
                    reader.config.realtime = match value {
                        "none" => None,
                        "slowdown" | "realtime" | "both" => Some(true),
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
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    pub(super) fn com1(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
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
            _ if device.is_empty() => {
                return Err(self.bad(at, "com1: dev", "what it is connected to is missing", "add dev=..."));
            }
            "file" => Stream::File(PathBuf::from(device)),
            "term" if matches!(device.as_str(), "/dev/stdout" | "/dev/tty" | "-") => Stream::Stdio,
            "term" | "raw" | "pipe" => Stream::Device(PathBuf::from(device)),
            "pipe-server" => Stream::Unix(PathBuf::from(device)),
            "pipe-client" => Stream::UnixConnect(PathBuf::from(device)),
            "socket-server" | "socket-client" => {
                let port = device.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
                if port.is_none() {
                    let problem = format!("{device:?} is no address");
                    return Err(self.bad(at, "com1: dev", &problem, "give HOST:PORT, such as localhost:4444"));
                }
                if mode == "socket-server" { Stream::Listen(device) } else { Stream::Connect(device) }
            }
            _ => {
                let remedy =
                    "give null, file, term, raw, pipe, pipe-server, pipe-client, socket-server or socket-client";
                return Err(self.bad(at, "com1: mode", &format!("{mode:?} is no mode"), remedy));
            }
        };
        Ok(())
    }

    pub(super) fn display(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        self.each(at, option, |reader, key, value| {
            match (key, value) {
                ("", "nogui") => reader.config.display = Some(DisplayKind::None),
                ("", "term") => reader.config.display = Some(DisplayKind::Terminal),
                // Whichever toolkit it was, the default display is ours.
                ("", _) => reader.config.display = None,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    /// Options of devices that are always there in one form: says so where the file asks for another.
    pub(super) fn fixed(&mut self, at: Place, option: &OptionLine) -> Result<(), InputError> {
        let name = option.name.clone();
        self.each(at, option, |reader, key, value| {
            // What switches and defaults may be called; the first is what the machine has.
            let expected: &[&str] = match (name.as_str(), key) {
                ("keyboard", "type") => &["mf"],
                ("mouse", "type") => &["ps2"],
                ("mouse", "enabled") => {
                    reader.switch(at, "mouse: enabled", value)?;
                    return Ok(true);
                }
                ("pci", "enabled") => &["1", "true", "yes", "on"],
                ("pci", "chipset") => &["i440fx"],
                ("pci", "advopts") => &["none", ""],
                ("floppy_bootsig_check", "disabled") => &["0", "false", "no", "off"],
                ("vga", "extension") => &["vbe", "none"],
                ("vga", "ddc") => &["disabled", "builtin"],
                ("vga", "vbe_memsize") => &["16"],
                ("pci", slot) if slot.starts_with("slot") => &["none", ""],
                _ => return Ok(false),
            };
            if !expected.contains(&value) {
                let first = expected.first().copied().unwrap_or_default();
                let text = format!("{value:?} is not offered; it is {first:?}");
                reader.notice_once(at, Severity::Warning, &name, key, &text);
            }
            Ok(true)
        })
    }
}
