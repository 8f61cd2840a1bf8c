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

/// Host-side options and devices that are not emulated. A device's warning is left out where its line says
/// `enabled=0`.
pub const UNREAD: &[Unread] = &[
    harmless("config_interface", "there is no configuration menu"),
    harmless("log", "use --log-file"),
    harmless("logprefix", "the log has its own format"),
    harmless("panic", "use --log"),
    harmless("error", "use --log"),
    harmless("info", "use --log"),
    harmless("debug", "use --log"),
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
    device("parport1", "there is no parallel port"),
    device("parport2", "there is no parallel port"),
    device("com2", "only COM1 is there"),
    device("com3", "only COM1 is there"),
    device("com4", "only COM1 is there"),
    device("optramimage1", "RAM images are not loaded"),
    device("optramimage2", "RAM images are not loaded"),
    device("optramimage3", "RAM images are not loaded"),
    device("optramimage4", "RAM images are not loaded"),
    device("voodoo", "the device is not emulated"),
    device("speaker", "the speaker makes no sound"),
    device("sound", "the device is not emulated"),
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
];

/// Looks an option up.
pub fn unread(name: &str) -> Option<&'static Unread> {
    UNREAD.iter().find(|option| option.name == name)
}
