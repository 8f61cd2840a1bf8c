//! What the window needs of the host: a trait, so that everything else works without a display.

use super::paint::Canvas;
use emu_devices::keyboard::Key;
use std::path::PathBuf;

/// What the host tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The window is to be closed.
    Close,
    /// It has another size, or lost its contents.
    Redraw,
    /// It has the keyboard, or no longer.
    Focus(bool),
    /// A key, by its place on the keyboard; `text` is what it types in the user's layout.
    Key {
        /// The PC's key in that place, if there is one.
        key: Option<Key>,
        /// What it types.
        text: String,
        /// Down.
        pressed: bool,
    },
    /// The pointer is there, in pixels from the top left.
    Pointer {
        /// Column.
        x: usize,
        /// Line.
        y: usize,
    },
    /// The mouse was moved, wherever the pointer is: to the right and down.
    Motion {
        /// To the right.
        dx: f64,
        /// Down.
        dy: f64,
    },
    /// The wheel was turned towards the user, in clicks.
    Wheel(f64),
    /// A button; bits as in [`crate::display::Input::Mouse`].
    Button {
        /// 0 left, 1 right, 2 middle.
        bit: u8,
        /// Down.
        pressed: bool,
    },
    /// A file was dropped on the window.
    Dropped(PathBuf),
}

/// A window of the host's.
pub trait Surface {
    /// What has happened since the last call.
    fn events(&mut self) -> Vec<Event>;
    /// Its size inside, in pixels.
    fn size(&self) -> (usize, usize);
    /// Pixels of the screen that one of ours should be.
    fn unit(&self) -> usize;
    /// Asks for another size.
    fn resize(&mut self, width: usize, height: usize);
    /// Shows a picture of its size.
    fn show(&mut self, canvas: &Canvas);
    /// Keeps the pointer in the window, unseen, or lets it go.
    fn capture(&mut self, captured: bool);
    /// Its title.
    fn set_title(&mut self, title: &str);
    /// The clipboard's text.
    fn clipboard(&mut self) -> Option<String>;
    /// What has gone wrong.
    fn error(&mut self) -> Option<String>;
}
