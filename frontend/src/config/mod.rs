//! The machine's configuration: one struct, whatever it was read from.

pub mod bochsrc;
mod clock;
pub mod dump;
pub mod options;
pub mod ron;
pub mod run;
pub mod size;
pub mod sources;

pub use clock::Clock;

use crate::error::InputError;
use crate::loader::LinuxEntry;
use emu_devices::disk::{FloppyFormat, Geometry};
use emu_devices::fw_cfg::MAX_NAME;
use emu_vmx::dump::names::shown;
use run::RunFields;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// The default CPU model: the book's own processor.
pub const DEFAULT_CPU_MODEL: &str = "corei5_arrandale_m520";
/// Most logical processors: the xAPIC's ids without the broadcast id.
pub const MAX_CPUS: u32 = 254;
/// Most guest memory, in MiB.
pub const MAX_MEMORY_MIB: u64 = 64 * 1024;
/// The range of `ips`, cycles per guest second.
pub const IPS_RANGE: std::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000;
/// The range of the quantum, in cycles.
pub const QUANTUM_RANGE: std::ops::RangeInclusive<u64> = 1..=1_000_000_000;

/// What can be booted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BootDevice {
    /// The first hard disk.
    Disk,
    /// Floppy drive A:.
    Floppy,
    /// The first CD-ROM drive.
    Cdrom,
}

/// A drive on an ATA channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum AtaDrive {
    /// A hard disk in a flat image file.
    Disk {
        /// The image.
        image: PathBuf,
        /// Its geometry; without one it comes from the image's size.
        #[serde(default)]
        geometry: Option<Geometry>,
    },
    /// A CD-ROM drive.
    Cdrom {
        /// The ISO image; an empty drive without one.
        #[serde(default)]
        image: Option<PathBuf>,
    },
}

impl AtaDrive {
    /// The image file, if there is one.
    pub fn image(&self) -> Option<&Path> {
        match self {
            Self::Disk { image, .. } => Some(image),
            Self::Cdrom { image } => image.as_deref(),
        }
    }
}

/// Kinds of floppy drives and of their media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FloppyKind {
    /// 5.25", 160 KB: 40 cylinders, 1 head, 8 sectors.
    #[serde(rename = "F160")]
    K160,
    /// 5.25", 180 KB.
    #[serde(rename = "F180")]
    K180,
    /// 5.25", 320 KB.
    #[serde(rename = "F320")]
    K320,
    /// 5.25", 360 KB.
    #[serde(rename = "F360")]
    K360,
    /// 3.5", 720 KB.
    #[serde(rename = "F720")]
    K720,
    /// 5.25", 1.2 MB.
    #[serde(rename = "F1200")]
    M1_2,
    /// 3.5", 1.44 MB.
    #[serde(rename = "F1440")]
    M1_44,
    /// 3.5", 2.88 MB.
    #[serde(rename = "F2880")]
    M2_88,
}

impl FloppyKind {
    /// All kinds with the name that the Bochs file gives them and their size in bytes.
    pub const ALL: [(Self, &'static str, u64); 8] = [
        (Self::K160, "160k", 160 * 1024),
        (Self::K180, "180k", 180 * 1024),
        (Self::K320, "320k", 320 * 1024),
        (Self::K360, "360k", 360 * 1024),
        (Self::K720, "720k", 720 * 1024),
        (Self::M1_2, "1_2", 1200 * 1024),
        (Self::M1_44, "1_44", 1440 * 1024),
        (Self::M2_88, "2_88", 2880 * 1024),
    ];

    /// The medium's layout.
    pub fn format(self) -> Option<FloppyFormat> {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).and_then(|(.., bytes)| FloppyFormat::of_size(*bytes))
    }

    /// The kind of an image of this size.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        Self::ALL.iter().find(|(.., size)| *size == bytes).map(|(kind, ..)| *kind)
    }
}

/// A floppy drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floppy {
    /// The drive's kind; without one it comes from the image's size, or is 1.44M.
    #[serde(default)]
    pub kind: Option<FloppyKind>,
    /// The image; an empty drive without one.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// The medium's write-protect notch.
    #[serde(default)]
    pub write_protected: bool,
}

/// A ROM file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rom {
    /// The file.
    pub file: PathBuf,
    /// Physical address; a BIOS without one ends at 4 GiB, a VGA BIOS is at C0000h.
    #[serde(default)]
    pub address: Option<u64>,
}

/// A kernel that is loaded without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// A Multiboot-1 ELF or a Linux bzImage.
    pub file: PathBuf,
    /// Initial RAM disk, or the Multiboot module.
    #[serde(default)]
    pub initrd: Option<PathBuf>,
    /// Command line.
    #[serde(default)]
    pub append: String,
    /// How a bzImage is entered.
    #[serde(default)]
    pub linux_entry: LinuxEntry,
}

/// UEFI firmware in place of a BIOS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uefi {
    /// The file with the code, or with code and variables; looked for in the usual places without one.
    pub code: Option<PathBuf>,
    /// The file that keeps the variables; made at first if it is not there. Without one they are the firmware's own in
    /// every run.
    pub vars: Option<PathBuf>,
}

/// Something that firmware is told through QEMU's fw_cfg device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FwCfgItem {
    /// Its name, such as `opt/org.example/setting`.
    pub name: String,
    /// What it holds.
    pub contents: FwCfgContents,
}

/// What an item of fw_cfg holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FwCfgContents {
    /// A file's bytes.
    File(PathBuf),
    /// This text, without a zero behind it.
    String(String),
}

impl std::str::FromStr for FwCfgItem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{:?} is no item; give name=NAME,file=FILE or name=NAME,string=TEXT", shown(text));
        let (name, rest) = text.split_once(',').ok_or_else(bad)?;
        let name = name.strip_prefix("name=").unwrap_or(name);
        if name.is_empty() || name.len() > MAX_NAME || !name.is_ascii() {
            let problem = format!("{:?} is no name of an item", shown(name));
            return Err(format!(
                "{problem}; give 1 to {MAX_NAME} characters of ASCII, as in name=opt/org.example/x,string=TEXT"
            ));
        }
        let contents = match rest.split_once('=').ok_or_else(bad)? {
            ("file", file) => FwCfgContents::File(PathBuf::from(file)),
            ("string", text) => FwCfgContents::String(text.to_owned()),
            _ => return Err(bad()),
        };
        Ok(Self { name: name.to_owned(), contents })
    }
}

/// Where a byte stream of the guest goes. Only a serial port can have what is beyond a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Nowhere.
    None,
    /// Standard output (and input, for a serial port).
    Stdio,
    /// A file, created anew.
    File(PathBuf),
    /// Whoever connects to this TCP address, `HOST:PORT`.
    Listen(String),
    /// The TCP server at this address.
    Connect(String),
    /// Whoever connects to this socket of the host's file system.
    Unix(PathBuf),
    /// The server at this socket.
    UnixConnect(PathBuf),
    /// A new pseudo-terminal.
    Pty,
    /// A terminal, serial port or named pipe of the host's, read and written.
    Device(PathBuf),
}

impl Stream {
    /// Whether only a serial port can have it.
    pub fn is_link(&self) -> bool {
        !matches!(self, Self::None | Self::Stdio | Self::File(_))
    }
}

/// `PORT` or `HOST:PORT` as a TCP address; this host without one.
fn address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if port.parse::<u16>().is_err() {
        return Err(format!("{:?} is no TCP port; give tcp:PORT or tcp:HOST:PORT, with 0 to 65535", shown(text)));
    }
    Ok(format!("{}:{port}", if host.is_empty() { "127.0.0.1" } else { host }))
}

/// What other programs take for a place that is no file, and is not offered: `telnet:host:1`, `file:path`, `stdout`.
fn scheme(text: &str) -> Option<&str> {
    let plain = |name: &str| name.len() > 1 && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-_".contains(c));
    match text.split_once(':') {
        // One letter is a drive.
        Some((name, _)) => Some(name).filter(|name| plain(name)),
        None => matches!(text, "stdout" | "stderr").then_some(text),
    }
}

impl std::str::FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = |rest: &str| match rest {
            "" => Err(format!("{:?} has no path; give one, as in {}PATH", shown(text), shown(text))),
            rest => Ok(PathBuf::from(rest)),
        };
        match text.split_once(':').unwrap_or((text, "")) {
            _ if text.is_empty() => Err("it is empty; give stdio, none, pty, tcp:PORT, unix:PATH or a file".to_owned()),
            ("none", "") => Ok(Self::None),
            ("stdio", "") => Ok(Self::Stdio),
            ("pty", "") => Ok(Self::Pty),
            ("tcp", rest) => address(rest).map(Self::Listen),
            ("tcp-connect", rest) => address(rest).map(Self::Connect),
            ("unix", rest) => place(rest).map(Self::Unix),
            ("unix-connect", rest) => place(rest).map(Self::UnixConnect),
            ("device", rest) => place(rest).map(Self::Device),
            _ => match scheme(text) {
                Some(scheme) => Err(format!(
                    "{} is not offered; give stdio, none, pty, tcp:PORT, unix:PATH or a file, one of this name as \
                     ./{}",
                    shown(scheme),
                    shown(text)
                )),
                None => Ok(Self::File(PathBuf::from(text))),
            },
        }
    }
}

/// How the guest's screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DisplayKind {
    /// A window.
    Window,
    /// The terminal that the program runs in.
    Terminal,
    /// Not at all.
    None,
}

/// How often code runs until it is compiled, if nobody says; nothing is where the host is not served.
#[cfg(feature = "jit")]
pub const JIT: Option<u32> = if emu_jit::SERVED { Some(emu_jit::THRESHOLD) } else { None };
/// This program has no compiled tier.
#[cfg(not(feature = "jit"))]
pub const JIT: Option<u32> = None;

/// Everything that makes the machine what it is. A RON configuration is this struct; the Bochs file and the
/// command line fill it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Machine", deny_unknown_fields, default)]
pub struct MachineConfig {
    /// Logical processors, 1 to [`MAX_CPUS`].
    pub cpus: u32,
    /// Guest memory in MiB, 1 to [`MAX_MEMORY_MIB`]; or a text with a unit.
    #[serde(with = "size")]
    pub memory: u64,
    /// Name of the CPU model.
    pub cpu_model: String,
    /// What the clock counts.
    pub clock: Clock,
    /// Cycles per guest second, [`IPS_RANGE`].
    pub ips: u64,
    /// Cycles a processor runs before the next one's turn; the machine's default without one.
    pub quantum: Option<u64>,
    /// Unknown MSRs read 0 and swallow writes instead of raising #GP.
    pub ignore_bad_msrs: bool,
    /// The machine's own BIOS leaves IA32_FEATURE_CONTROL unlocked and 0, instead of locked with VMX enabled.
    pub vmx_unlocked: bool,
    /// A triple fault resets the machine instead of ending the run.
    pub reset_on_triple_fault: bool,
    /// A reset that the guest asks for ends the run.
    pub no_reboot: bool,
    /// The BIOS; ours without one.
    pub rom: Option<Rom>,
    /// The VGA BIOS; ours without one.
    pub vga_rom: Option<Rom>,
    /// Further ROMs, each with its address.
    pub option_roms: Vec<Rom>,
    /// UEFI firmware in place of a BIOS.
    pub uefi: Option<Uefi>,
    /// What firmware is told through fw_cfg besides what it needs.
    pub fw_cfg: Vec<FwCfgItem>,
    /// A folder that is a disk with a FAT file system, at the first free place.
    pub fat: Option<PathBuf>,
    /// ATA channel 0, master.
    pub hda: Option<AtaDrive>,
    /// ATA channel 0, slave.
    pub hdb: Option<AtaDrive>,
    /// ATA channel 1, master.
    pub hdc: Option<AtaDrive>,
    /// ATA channel 1, slave.
    pub hdd: Option<AtaDrive>,
    /// Floppy drive A:.
    pub fda: Option<Floppy>,
    /// Floppy drive B:.
    pub fdb: Option<Floppy>,
    /// The boot order; empty: what there is, in the order disk, floppy, CD-ROM.
    pub boot: Vec<BootDevice>,
    /// A kernel to load without a boot loader.
    pub kernel: Option<Kernel>,
    /// Disk writes are kept in memory and dropped at the end.
    pub snapshot: bool,
    /// The RTC's start in seconds since 1970-01-01 UTC; the machine's fixed date without one.
    pub seed_time: Option<i64>,
    /// COM1.
    pub serial: Stream,
    /// Port E9h; standard output when headless, without one.
    pub debugcon: Option<Stream>,
    /// Port of an isa-debug-exit device.
    pub debug_exit: Option<u16>,
    /// What the guest writes there when all is well: the run's status is 0 then, and 1 after anything else.
    pub debug_exit_pass: Option<u32>,
    /// QEMU's pc-testdev and pci-testdev.
    pub test_devices: bool,
    /// How the screen is shown; a window or the terminal, without one.
    pub display: Option<DisplayKind>,
    /// Compile what has run so often; with none, everything is interpreted. A run is the same with any.
    pub jit: Option<u32>,
    /// Keep guest time to the host's clock, or do not; without one, while there is a display.
    pub realtime: Option<bool>,
    /// Options of the run.
    pub run: RunFields,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: 512,
            cpu_model: DEFAULT_CPU_MODEL.to_owned(),
            clock: Clock::Ips,
            ips: 50_000_000,
            quantum: None,
            ignore_bad_msrs: false,
            vmx_unlocked: false,
            reset_on_triple_fault: false,
            no_reboot: false,
            rom: None,
            vga_rom: None,
            option_roms: Vec::new(),
            uefi: None,
            fw_cfg: Vec::new(),
            fat: None,
            hda: None,
            hdb: None,
            hdc: None,
            hdd: None,
            fda: None,
            fdb: None,
            boot: Vec::new(),
            kernel: None,
            snapshot: false,
            seed_time: None,
            serial: Stream::None,
            debugcon: None,
            debug_exit: None,
            debug_exit_pass: None,
            test_devices: false,
            display: None,
            jit: JIT,
            realtime: None,
            run: RunFields::default(),
        }
    }
}

impl MachineConfig {
    /// The ATA drives: channel 0 master and slave, channel 1 master and slave.
    pub fn ata(&self) -> [Option<&AtaDrive>; 4] {
        [&self.hda, &self.hdb, &self.hdc, &self.hdd].map(Option::as_ref)
    }

    /// The floppy drives A: and B:.
    pub fn floppies(&self) -> [Option<&Floppy>; 2] {
        [&self.fda, &self.fdb].map(Option::as_ref)
    }

    /// The boot order with what was left open filled in by what there is.
    pub fn boot_order(&self) -> Vec<BootDevice> {
        let mut order = self.boot.clone();
        for device in [BootDevice::Disk, BootDevice::Floppy, BootDevice::Cdrom] {
            if self.has(device) && !order.contains(&device) {
                order.push(device);
            }
        }
        order
    }

    /// Whether there is a medium of this kind.
    pub fn has(&self, device: BootDevice) -> bool {
        let any = |wanted: fn(&AtaDrive) -> bool| self.ata().into_iter().flatten().any(wanted);
        match device {
            BootDevice::Disk => any(|drive| matches!(drive, AtaDrive::Disk { .. })),
            BootDevice::Floppy => self.fda.as_ref().is_some_and(|floppy| floppy.image.is_some()),
            BootDevice::Cdrom => any(|drive| matches!(drive, AtaDrive::Cdrom { image: Some(_) })),
        }
    }

    /// Whether there is anything to run.
    pub fn has_something_to_boot(&self) -> bool {
        let firmware = self.rom.is_some() || self.uefi.is_some();
        self.kernel.is_some() || firmware || self.fat.is_some() || !self.boot_order().is_empty()
    }

    /// Checks every number against its range. `place` is what to blame.
    pub fn check(&self, place: &str) -> Result<(), InputError> {
        let range = |field: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let problem = format!("{value} is out of range");
            Err(InputError::new(place, problem).field(field).remedy(format!("give {low} to {high}")))
        };
        range("cpus", u64::from(self.cpus), 1, u64::from(MAX_CPUS))?;
        range("memory", self.memory, 1, MAX_MEMORY_MIB)?;
        range("ips", self.ips, *IPS_RANGE.start(), *IPS_RANGE.end())?;
        if let Some(quantum) = self.quantum {
            range("quantum", quantum, *QUANTUM_RANGE.start(), *QUANTUM_RANGE.end())?;
        }
        if let Some(port) = self.debug_exit.filter(|port| *port > u16::MAX - 3) {
            let problem = format!("{port:#x}: the device has four ports");
            return Err(InputError::new(place, problem).field("debug_exit").remedy("give 0 to 0xfffc"));
        }
        for (name, seconds) in [("run: max_time", self.run.max_time), ("run: wall_time", self.run.wall_time)] {
            if seconds.is_some_and(|seconds| !seconds.is_finite() || seconds <= 0.0) {
                let problem = "it is no number of seconds above 0";
                return Err(InputError::new(place, problem).field(name).remedy("give seconds, such as 2.5"));
            }
        }
        for (drive, name) in self.ata().into_iter().zip(["hda", "hdb", "hdc", "hdd"]) {
            if let Some(AtaDrive::Disk { geometry: Some(geometry), .. }) = drive {
                let (cylinders, heads, sectors) = (geometry.cylinders, geometry.heads, geometry.sectors);
                Geometry::new(cylinders.into(), heads.into(), sectors.into())
                    .map_err(|e| InputError::new(place, e.to_string()).field(format!("{name}: geometry")))?;
            }
        }
        Ok(())
    }
}

/// Something in a configuration that has no effect here, or another; the run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether a user should be told at the default log level.
    pub severity: Severity,
    /// The file, or the option.
    pub place: String,
    /// Line, from 1; 0 for an option.
    pub line: usize,
    /// What has no effect, and why.
    pub text: String,
    /// A drive is empty because its medium was not found.
    pub missing_medium: bool,
}

/// How much a [`Notice`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The guest may notice.
    Warning,
    /// Nothing that the guest could notice.
    Info,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file's own words must not break the line or drive the terminal.
        let told = InputError::new(&self.place, &self.text);
        match self.line {
            0 => write!(f, "{told}"),
            line => write!(f, "{}", told.line(line)),
        }
    }
}
