//! The window display: the picture scaled into a window of the host's, a PC's whole keyboard by the places of its keys,
//! the mouse, a line that tells of the run, and a menu.

// Without the host's window what it would use is only tested.
#![cfg_attr(not(feature = "window"), allow(dead_code))]

#[cfg(feature = "window")]
mod host;
#[cfg(feature = "window")]
mod keys;
mod menu;
mod paint;
mod surface;
#[cfg(test)]
mod tests;
mod ui;

use super::status::Status;
use super::{Display, Input};
use crate::error::InputError;
use crate::machine::Machine;
use surface::Surface;
use ui::Ui;

/// A window.
pub struct Window {
    surface: Box<dyn Surface>,
    ui: Ui,
    name: String,
}

impl Window {
    /// Opens a window. `name` says what runs in it.
    #[cfg(feature = "window")]
    pub fn open(name: &str) -> Result<Self, InputError> {
        Ok(Self::on(Box::new(host::Host::open(name)?), name))
    }

    /// This build has none.
    #[cfg(not(feature = "window"))]
    pub fn open(_name: &str) -> Result<Self, InputError> {
        Err(InputError::new("--display window", "this build has no window")
            .remedy("build it with the feature window, or give --display terminal or --headless"))
    }

    /// Whether there seems to be a display.
    pub fn is_likely() -> bool {
        let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let desktop = cfg!(any(windows, target_os = "macos"));
        cfg!(feature = "window") && (desktop || named("DISPLAY") || named("WAYLAND_DISPLAY"))
    }

    #[cfg(any(feature = "window", test))]
    fn on(surface: Box<dyn Surface>, name: &str) -> Self {
        Self { surface, ui: Ui::default(), name: name.to_owned() }
    }
}

impl Display for Window {
    fn is_interactive(&self) -> bool {
        true
    }

    fn keeps_the_dead(&self) -> bool {
        true
    }

    fn poll(&mut self) -> Result<Vec<Input>, InputError> {
        let mut inputs = Vec::new();
        for event in self.surface.events() {
            inputs.extend(self.ui.handle(event, &mut *self.surface));
        }
        inputs.extend(self.ui.take_mouse());
        match self.surface.error() {
            Some(error) => Err(InputError::new("window", error)),
            None => Ok(inputs),
        }
    }

    fn present(&mut self, machine: &mut dyn Machine, status: &Status) -> Result<(), InputError> {
        self.ui.draw(machine.render(), status, &mut *self.surface);
        self.surface.set_title(&ui::title(&self.name, status));
        Ok(())
    }

    fn close(&mut self) {}
}
