//! Displays: how a person sees the machine and types to it.

pub mod terminal;

use crate::error::InputError;
use crate::machine::Machine;
use emu_devices::keyboard::Key;

/// What a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Ended the run.
    Quit,
    /// Typed keys together (a display that sees no releases).
    Keys(Vec<Key>),
    /// Pressed or released one key.
    Key(Key, bool),
}

/// One way to show a machine.
pub trait Display {
    /// Whether somebody is there to look and type.
    fn is_interactive(&self) -> bool;
    /// What has been typed since the last call.
    fn poll(&mut self) -> Result<Vec<Input>, InputError>;
    /// Draws the screen.
    fn present(&mut self, machine: &mut dyn Machine) -> Result<(), InputError>;
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

    fn present(&mut self, _machine: &mut dyn Machine) -> Result<(), InputError> {
        Ok(())
    }

    fn close(&mut self) {}
}
