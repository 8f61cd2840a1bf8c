//! Options of the Bochs configuration file that have nothing to configure here, and what to say about each.

use super::Severity;

/// What an option that is not read comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The option.
    pub name: &'static str,
    /// Whether a guest may notice.
    pub severity: Severity,
    /// Why it has no effect.
    pub reason: &'static str,
}

const fn harmless(name: &'static str, reason: &'static str) -> Unread {
    Unread { name, severity: Severity::Info, reason }
}

const fn device(name: &'static str, reason: &'static str) -> Unread {
    Unread { name, severity: Severity::Warning, reason }
}

/// Host-side options and devices that are not emulated. A device's warning is left out where its line switches it off,
/// with `enabled=0` or `file=none`.
pub const UNREAD: &[Unread] = &[
    harmless("config_interface", "there is no configuration menu"),
    harmless("log", "use --log-file"),
    harmless("logprefix", "the log has its own format"),
    harmless("panic", "use --log"),
    harmless("error", "use --log"),
    harmless("info", "use --log"),
    harmless("debug", "use --log"),
    harmless("warn", "use --log"),
    harmless("debugger_log", "the debugger writes to the terminal"),
    harmless("debug_symbols", "the debugger loads symbols by command"),
    harmless("print_timestamps", "it belongs to the debugger"),
    harmless("private_colormap", "it belongs to the display"),
    harmless("fullscreen", "it belongs to the display"),
    harmless("screenmode", "it belongs to the display"),
    harmless("keyboard_mapping", "it belongs to the display"),
    harmless("keyboard_serial_delay", "the keyboard has its own timing"),
    harmless("keyboard_paste_delay", "scripts have their own timing"),
    harmless("keyboard_type", "the keyboard is an MF II"),
    harmless("user_shortcut", "it belongs to the display"),
    harmless("plugin_ctrl", "there are no plugins"),
    harmless("text_snapshot_check", "use --screen-dump"),
    harmless("vga_update_interval", "it belongs to the display"),
    harmless("vga_update_freq", "it belongs to the display"),
    device("magic_break", "use the debugger's breakpoints"),
    device("gdbstub", "use --gdb"),
    device("cpuid", "CPUID comes from the CPU model"),
    device("cmosimage", "CMOS memory is made by the machine"),
    device("i440fxsupport", "the chipset is always an i440FX"),
    harmless("parport1", "there is no parallel port"),
    harmless("parport2", "there is no parallel port"),
    device("com2", "only COM1 is there"),
    device("com3", "only COM1 is there"),
    device("com4", "only COM1 is there"),
    device("optramimage1", "RAM images are not loaded"),
    device("optramimage2", "RAM images are not loaded"),
    device("optramimage3", "RAM images are not loaded"),
    device("optramimage4", "RAM images are not loaded"),
    device("voodoo", "the device is not emulated"),
    harmless("speaker", "the speaker makes no sound"),
    harmless("sound", "no sound leaves the machine"),
    device("sb16", "the device is not emulated"),
    device("es1370", "the device is not emulated"),
    device("ne2k", "the device is not emulated"),
    device("pcipnic", "the device is not emulated"),
    device("e1000", "the device is not emulated"),
    device("usb_uhci", "the device is not emulated"),
    device("usb_ohci", "the device is not emulated"),
    device("usb_ehci", "the device is not emulated"),
    device("usb_xhci", "the device is not emulated"),
    device("pcidev", "the device is not emulated"),
    device("gameport", "the device is not emulated"),
    device("netmod", "there is no network"),
    device("svga", "the display adapter is a standard VGA with VBE"),
    harmless("usb_debug", "there is no USB"),
    harmless("pcidev_debug", "the device is not emulated"),
    harmless("print_stats", "use --stats"),
    harmless("dumpstats", "use --stats"),
    harmless("debugger_gui", "there is debug --tui"),
    // Of older versions.
    device("diska", "write ata0-master: type=disk, path=..."),
    device("diskc", "write ata0-master: type=disk, path=..."),
    device("diskd", "write ata0-slave: type=disk, path=..."),
    device("cdromd", "write ata1-master: type=cdrom, path=..."),
    device("load32bitOSImage", "use --kernel"),
    device("time0", "write clock: time0=..."),
    harmless("max_ips", "write cpu: ips=..."),
    harmless("pit", "write clock: sync=..."),
    harmless("newharddrivesupport", "it is always on"),
    harmless("floppy_command_delay", "the controller has its own timing"),
    harmless("system_clock_sync", "write clock: sync=..."),
    harmless("vga_update_frequency", "it belongs to the display"),
    harmless("keyboard_keymapping", "it belongs to the display"),
];

/// Parameters whose values are not looked at, by the option's name and theirs; `ata` stands for every ATA drive. A guest
/// notices none of them.
const UNREAD_PARAMETERS: &[(&str, &[&str], &str)] = &[
    ("cpu", &["msrs"], "MSRs come from the CPU model"),
    ("memory", &["host", "block_size"], "host memory is managed by the host"),
    ("clock", &["rtc_sync"], "the RTC runs on guest time"),
    ("display_library", &["options"], "they are for Bochs's displays"),
    ("keyboard", &["serial_delay", "paste_delay", "keymap", "user_shortcut"], "the front end decides it"),
    ("mouse", &["toggle"], "the front end decides it"),
    ("vga", &["update_freq", "realtime"], "the front end decides it"),
    ("ata", &["biosdetect", "translation", "model", "journal"], "the machine decides it"),
];

/// Why a parameter's value is not looked at, if it is not.
pub fn unread_parameter(option: &str, parameter: &str) -> Option<&'static str> {
    let drive = option.strip_prefix("ata").is_some_and(|rest| rest.contains('-'));
    let option = if drive { "ata" } else { option };
    let row = UNREAD_PARAMETERS.iter().find(|(name, keys, _)| *name == option && keys.contains(&parameter));
    row.map(|(_, _, reason)| *reason)
}

/// Bochs's CPU models that are not here, each with the model of ours that comes nearest: the same core or its successor;
/// of other makers' the default one for processors without AVX, `max` for those with it.
const BOCHS_MODELS: &[(&str, &[&str])] = &[
    (
        super::DEFAULT_CPU_MODEL,
        &[
            "bx_generic",
            "pentium",
            "pentium_mmx",
            "amd_k6_2_chomper",
            "athlon_xp",
            "p2_klamath",
            "p3_katmai",
            "p4_willamette",
            "p4_prescott_celeron_336",
            "athlon64_clawhammer",
            "athlon64_venice",
            "turion64_tyler",
            "phenom_8650_toliman",
            "core_duo_t2400_yonah",
            "atom_n270",
            "corei5_lynnfield_750",
        ],
    ),
    ("penryn", &["core2_penryn_t9600"]),
    ("sandy_bridge", &["corei7_sandy_bridge_2600k", "corei7_ivy_bridge_3770k"]),
    ("haswell", &["corei7_haswell_4770", "broadwell_ult"]),
    ("skylake_sp", &["corei7_skylake_x", "corei3_cnl"]),
    ("ice_lake", &["corei7_icelake_u"]),
    ("tiger_lake", &["tigerlake"]),
    ("wildcat_lake", &["arrow_lake"]),
    ("max", &["zambezi", "trinity_apu", "ryzen"]),
];

/// The model of ours that comes nearest to one of Bochs's.
pub fn nearest_model(name: &str) -> Option<&'static str> {
    BOCHS_MODELS.iter().find(|(_, models)| models.contains(&name)).map(|(nearest, _)| *nearest)
}

/// Options that are read.
pub const READ: &[&str] = &[
    "cpu",
    "ips",
    "memory",
    "megs",
    "romimage",
    "vgaromimage",
    "optromimage1",
    "optromimage2",
    "optromimage3",
    "optromimage4",
    "floppya",
    "floppyb",
    "ata0",
    "ata1",
    "ata2",
    "ata3",
    "ata0-master",
    "ata0-slave",
    "ata1-master",
    "ata1-slave",
    "ata2-master",
    "ata2-slave",
    "ata3-master",
    "ata3-slave",
    "boot",
    "clock",
    "com1",
    "port_e9_hack",
    "display_library",
    "keyboard",
    "mouse",
    "vga",
    "pci",
    "floppy_bootsig_check",
];

/// Whether a Bochs file can have this option.
pub fn is_bochs_option(name: &str) -> bool {
    READ.contains(&name) || unread(name).is_some()
}

/// Looks an option up.
pub fn unread(name: &str) -> Option<&'static Unread> {
    UNREAD.iter().find(|option| option.name == name)
}
