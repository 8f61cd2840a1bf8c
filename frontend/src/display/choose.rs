//! Which display a run has.

use super::window::Window;
use crate::config::{AtaDrive, DisplayKind, MachineConfig, Stream};
use crate::error::InputError;
use std::io::{self, IsTerminal};
use std::path::Path;

/// What was chosen.
pub struct Choice {
    /// The display.
    pub kind: DisplayKind,
    /// The window, open already.
    pub window: Option<Window>,
    /// Why there is no window, where one was to be expected.
    pub no_window: Option<InputError>,
}

impl Choice {
    fn window(window: Window) -> Self {
        Self { kind: DisplayKind::Window, window: Some(window), no_window: None }
    }
}

/// The display that was asked for; else a window where there is a display, else the terminal where there is one, else
/// none, as for a run that is `alone`: one that a script or GDB leads. A window is open when this comes back.
pub fn choose(machine: &MachineConfig, alone: bool) -> Result<Choice, InputError> {
    let mut no_window = None;
    let kind = match machine.display {
        Some(DisplayKind::Window) => return Window::open(&name(machine)).map(Choice::window),
        Some(kind) => kind,
        None if alone => DisplayKind::None,
        None => {
            if Window::is_likely() {
                match Window::open(&name(machine)) {
                    Ok(window) => return Ok(Choice::window(window)),
                    Err(error) => no_window = Some(error),
                }
            }
            let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
            // A serial console on the terminal is what the user looks at.
            if is_terminal && !uses_terminal(machine) { DisplayKind::Terminal } else { DisplayKind::None }
        }
    };
    check_streams(machine, kind)?;
    Ok(Choice { kind, window: None, no_window })
}

/// What runs, for the window's title.
pub fn name(machine: &MachineConfig) -> String {
    let drives = machine.ata().into_iter().flatten().filter_map(|drive| match drive {
        AtaDrive::Disk { image, .. } => Some(image.as_path()),
        AtaDrive::Cdrom { image } => image.as_deref(),
    });
    let floppies = machine.floppies().into_iter().flatten().filter_map(|floppy| floppy.image.as_deref());
    let kernel = machine.kernel.iter().map(|kernel| kernel.file.as_path());
    // Its disk is a file that nobody has named.
    let folder = machine.fat.as_deref();
    let file = kernel.chain(folder).chain(drives).chain(floppies).find_map(Path::file_name);
    file.map_or("rvmx-emu".to_owned(), |file| format!("{} - rvmx-emu", file.display()))
}

fn uses_terminal(machine: &MachineConfig) -> bool {
    machine.serial == Stream::Stdio || machine.debugcon == Some(Stream::Stdio)
}

fn check_streams(machine: &MachineConfig, display: DisplayKind) -> Result<(), InputError> {
    if display != DisplayKind::Terminal || !uses_terminal(machine) {
        return Ok(());
    }
    let option = if machine.serial == Stream::Stdio { "--serial" } else { "--debugcon" };
    Err(InputError::new(option, "the terminal already shows the screen")
        .remedy("give a file instead of stdio, or --headless"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Floppy;

    #[test]
    fn terminal_display_and_standard_output_streams_exclude_each_other() {
        let machine = MachineConfig { serial: Stream::Stdio, ..MachineConfig::default() };
        assert!(check_streams(&machine, DisplayKind::None).is_ok());
        assert!(check_streams(&machine, DisplayKind::Window).is_ok());
        let error = check_streams(&machine, DisplayKind::Terminal).unwrap_err().to_string();
        assert!(error.starts_with("--serial: ") && error.contains("--headless"), "{error}");
    }

    #[test]
    fn run_that_is_led_has_no_display_unless_one_is_asked_for() {
        let mut machine = MachineConfig::default();
        assert_eq!(choose(&machine, true).unwrap().kind, DisplayKind::None);
        machine.display = Some(DisplayKind::Terminal);
        assert_eq!(choose(&machine, true).unwrap().kind, DisplayKind::Terminal);
    }

    #[test]
    fn title_names_what_runs() {
        let image = Some("/a/b.img".into());
        let fda = Some(Floppy { kind: None, image, write_protected: false });
        let mut machine = MachineConfig { fda, ..MachineConfig::default() };
        assert_eq!(name(&machine), "b.img - rvmx-emu");
        machine.fat = Some("/a/esp".into());
        assert_eq!(name(&machine), "esp - rvmx-emu");
    }
}
