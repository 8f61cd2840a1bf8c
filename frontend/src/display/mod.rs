//! Displays: how a person sees the machine and types to it.

pub mod choose;
mod fit;
mod half_blocks;
mod sixel;
pub mod status;
pub mod terminal;
mod terminal_keys;
pub mod tty;
pub mod window;

use crate::error::InputError;
use crate::machine::Machine;
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use status::Status;
use std::path::PathBuf;

/// What a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Ended the run.
    Quit,
    /// Typed keys together (a display that sees no releases).
    Keys(Vec<Key>),
    /// Pressed or released one key.
    Key(Key, bool),
    /// Moved the mouse, or its buttons.
    Mouse {
        /// Counts to the right.
        dx: i32,
        /// Counts up.
        dy: i32,
        /// Clicks of the wheel towards the user.
        dz: i32,
        /// The buttons that are held, bits: 0 left, 1 right, 2 middle.
        buttons: u8,
    },
    /// Asked for something else.
    Command(Command),
}

/// What a person asks for besides typing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Stops the guest, or lets it go on.
    Pause,
    /// Lets the guest run for a sixtieth of its second, and stops it.
    StepFrame,
    /// Keeps to the host's clock, or no longer.
    Pace,
    /// The reset button.
    Reset,
    /// The ACPI power button.
    PowerButton,
    /// A non-maskable interrupt.
    Nmi,
    /// Writes the picture.
    Screenshot(PathBuf),
    /// Writes a snapshot.
    Snapshot(PathBuf),
    /// Goes back to a snapshot.
    Restore(PathBuf),
    /// Puts a medium into a drive.
    Insert(DrivePlace, PathBuf),
    /// Takes the medium of a drive out.
    Eject(DrivePlace),
    /// Types text.
    Paste(String),
    /// Records VM exits from now on.
    RecordExits,
    /// Writes the VM exits that were recorded.
    SaveExits(PathBuf),
}

/// One way to show a machine.
pub trait Display {
    /// Whether somebody is there to look and type.
    fn is_interactive(&self) -> bool;
    /// Whether a guest that has died stays to be looked at.
    fn keeps_the_dead(&self) -> bool {
        false
    }
    /// What has been typed since the last call.
    fn poll(&mut self) -> Result<Vec<Input>, InputError>;
    /// Draws the screen, and what there is to say.
    fn present(&mut self, machine: &mut dyn Machine, status: &Status) -> Result<(), InputError>;
    /// Gives back what the display has taken (the terminal's modes); also called by dropping it.
    fn close(&mut self);
}

/// No display.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headless;

impl Display for Headless {
    fn is_interactive(&self) -> bool {
        false
    }

    fn poll(&mut self) -> Result<Vec<Input>, InputError> {
        Ok(Vec::new())
    }

    fn present(&mut self, _machine: &mut dyn Machine, _status: &Status) -> Result<(), InputError> {
        Ok(())
    }

    fn close(&mut self) {}
}
