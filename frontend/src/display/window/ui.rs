//! What the window makes of events, and what it shows: everything that needs no display.

use super::menu::{Action, Menu, Question, Step};
use super::paint::{Area, CHARACTER, Canvas, place};
use super::surface::{Event, Surface};
use crate::display::status::{Running, Status, VmxMode};
use crate::display::{Command, Input};
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use emu_devices::vga::Frame;

/// What is always at the bottom's left.
pub const LEAVE: &str = "Ctrl-Alt-M: menu, quit";
const RELEASE: &str = "Ctrl-Alt-G: free mouse";

const BAR: u32 = 0x20_242A;
const TEXT: u32 = 0xD7_DAE0;
const ALERT: u32 = 0x8B_1A1A;
const BOX: u32 = 0x1E_3A5F;
const CHOSEN: u32 = 0x3D_6FA5;

/// The window's state.
#[derive(Debug, Default)]
pub struct Ui {
    /// Keys that the guest sees as pressed.
    held: Vec<Key>,
    menu: Option<Menu>,
    /// The mouse is the guest's.
    captured: bool,
    /// Where the pointer is, while it is not.
    pointer: (usize, usize),
    buttons: u8,
    /// What the mouse has moved and the guest has not been told.
    moved: (f64, f64, f64),
    mouse_changed: bool,
    fill: bool,
    status: Status,
    /// Where the picture, the bar and the menu's lines are.
    picture: Area,
    bar: Area,
    menu_lines: Area,
    /// The last frame, to see whether there is something new.
    shown: Option<(Frame, String)>,
    /// The size that the window was last asked to have.
    asked: Option<(usize, usize)>,
}

impl Ui {
    /// What a person's doings mean.
    pub fn handle(&mut self, event: Event, surface: &mut dyn Surface) -> Vec<Input> {
        match event {
            Event::Close => return vec![Input::Quit],
            Event::Redraw => self.shown = None,
            Event::Focus(false) => {
                self.set_captured(false, surface);
                return self.release_all();
            }
            Event::Focus(true) => {}
            Event::Key { key, text, pressed } => return self.key(key, &text, pressed, surface),
            Event::Pointer { x, y } => self.pointer = (x, y),
            Event::Motion { dx, dy } if self.captured => {
                (self.moved.0, self.moved.1) = (self.moved.0 + dx, self.moved.1 - dy);
            }
            Event::Wheel(clicks) if self.captured => self.moved.2 += clicks,
            Event::Motion { .. } | Event::Wheel(_) => {}
            Event::Button { bit, pressed } => return self.button(bit, pressed, surface),
            Event::Dropped(file) => {
                let disc = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("iso"));
                let fits = |place: &&DrivePlace| matches!(place, DrivePlace::Ata { .. }) == disc;
                if let Some(place) = self.status.removable.iter().find(fits) {
                    let answer = file.display().to_string();
                    self.menu = Some(Menu::asking(&self.status.removable, Question::Medium(*place), answer));
                    return self.release_all();
                }
            }
        }
        Vec::new()
    }

    /// What the mouse has done since the last call.
    pub fn take_mouse(&mut self) -> Option<Input> {
        let [dx, dy, dz] = [&mut self.moved.0, &mut self.moved.1, &mut self.moved.2].map(|moved| {
            let whole = moved.trunc();
            *moved -= whole;
            whole as i32
        });
        let changed = std::mem::take(&mut self.mouse_changed) || (dx, dy, dz) != (0, 0, 0);
        changed.then_some(Input::Mouse { dx, dy, dz, buttons: self.buttons })
    }

    fn key(&mut self, key: Option<Key>, text: &str, pressed: bool, surface: &mut dyn Surface) -> Vec<Input> {
        let Some(known) = key.filter(|_| self.menu.is_none()) else {
            return if pressed { self.menu_key(key, text, surface) } else { self.release(key) };
        };
        if !pressed {
            return self.release(key);
        }
        let holds = |keys: [Key; 2]| keys.iter().any(|key| self.held.contains(key));
        if holds([Key::LeftCtrl, Key::RightCtrl]) && holds([Key::LeftAlt, Key::RightAlt]) {
            match known {
                Key::M => {
                    self.set_captured(false, surface);
                    return self.open_menu();
                }
                Key::G => {
                    self.set_captured(!self.captured, surface);
                    return self.release_all();
                }
                _ => {}
            }
        }
        // Repeats are the keyboard's own.
        if self.held.contains(&known) {
            return Vec::new();
        }
        self.held.push(known);
        vec![Input::Key(known, true)]
    }

    /// The guest sees a key come up, if it has seen it go down.
    fn release(&mut self, key: Option<Key>) -> Vec<Input> {
        let Some(place) = self.held.iter().position(|held| Some(*held) == key) else { return Vec::new() };
        vec![Input::Key(self.held.remove(place), false)]
    }

    /// All keys and buttons come up: what happens to them next is not for the guest.
    fn release_all(&mut self) -> Vec<Input> {
        self.mouse_changed |= self.buttons != 0;
        self.buttons = 0;
        self.held.drain(..).rev().map(|key| Input::Key(key, false)).collect()
    }

    fn open_menu(&mut self) -> Vec<Input> {
        self.menu = Some(Menu::new(&self.status.removable));
        self.shown = None;
        self.release_all()
    }

    fn menu_key(&mut self, key: Option<Key>, text: &str, surface: &mut dyn Surface) -> Vec<Input> {
        let Some(menu) = &mut self.menu else { return Vec::new() };
        let step = menu.key(key, text);
        self.follow(step, surface)
    }

    fn follow(&mut self, step: Step, surface: &mut dyn Surface) -> Vec<Input> {
        self.shown = None;
        if step == Step::Stay {
            return Vec::new();
        }
        self.menu = None;
        match step {
            Step::Do(Action::Run(input)) => return vec![input],
            Step::Do(Action::Paste) => {
                return surface.clipboard().map(|text| Input::Command(Command::Paste(text))).into_iter().collect();
            }
            Step::Do(Action::Capture) => self.set_captured(true, surface),
            Step::Do(Action::Fill) => self.fill = !self.fill,
            Step::Do(Action::Ask(_)) | Step::Stay | Step::Close => {}
        }
        Vec::new()
    }

    fn button(&mut self, bit: u8, pressed: bool, surface: &mut dyn Surface) -> Vec<Input> {
        if self.captured {
            self.buttons = if pressed { self.buttons | 1 << bit } else { self.buttons & !(1 << bit) };
            self.mouse_changed = true;
            return Vec::new();
        }
        let (x, y) = self.pointer;
        if !pressed || bit != 0 {
            return Vec::new();
        }
        if let Some(menu) = &mut self.menu {
            if self.menu_lines.holds(x, y) && !menu.asks() {
                let height = self.menu_lines.height / menu.lines().0.len().max(1);
                let step = menu.choose((y - self.menu_lines.y) / height.max(1));
                return self.follow(step, surface);
            }
            return self.follow(Step::Close, surface);
        }
        if self.bar.holds(x, y) {
            return self.open_menu();
        }
        if self.picture.holds(x, y) {
            self.set_captured(true, surface);
        }
        Vec::new()
    }

    fn set_captured(&mut self, captured: bool, surface: &mut dyn Surface) {
        if self.captured != captured {
            self.captured = captured;
            self.shown = None;
            surface.capture(captured);
        }
    }

    /// Draws the window, if there is something new.
    pub fn draw(&mut self, frame: Frame, status: &Status, surface: &mut dyn Surface) {
        self.status.clone_from(status);
        let unit = surface.unit().max(1);
        self.fit_window(&frame, unit, surface);
        let size = surface.size();
        let line = self.bar_text(size.0 / (CHARACTER.0 * unit));
        let same = |shown: &(Frame, String)| shown.0 == frame && shown.1 == line;
        if self.shown.as_ref().is_some_and(same) {
            return;
        }
        let canvas = self.canvas(&frame, &line, size, unit);
        surface.show(&canvas);
        self.shown = Some((frame, line));
    }

    /// A larger picture than before makes a larger window, unless somebody has given it a size.
    fn fit_window(&mut self, frame: &Frame, unit: usize, surface: &mut dyn Surface) {
        let (width, height) = surface.size();
        let needed = (frame.width * unit, frame.height * unit + bar_height(unit));
        let wanted = (width.max(needed.0), height.max(needed.1));
        if wanted != (width, height) && self.asked.is_none_or(|asked| asked == (width, height)) {
            surface.resize(wanted.0, wanted.1);
            self.asked = Some(wanted);
        } else if self.asked.is_none() {
            self.asked = Some((width, height));
        }
    }

    /// The bar's text, the way out last so that it is whole.
    fn bar_text(&self, columns: usize) -> String {
        let leave = if self.captured { RELEASE } else { LEAVE };
        let room = columns.saturating_sub(leave.len() + 3);
        let status: String = self.status.line().chars().take(room).collect();
        format!(" {status:room$}  {leave}")
    }

    fn canvas(&mut self, frame: &Frame, line: &str, (width, height): (usize, usize), unit: usize) -> Canvas {
        let mut canvas = Canvas::new(width, height);
        let bar = bar_height(unit).min(height);
        self.bar = Area { x: 0, y: height - bar, width, height: bar };
        let above = Area { x: 0, y: 0, width, height: height - bar };
        self.picture = place((frame.width, frame.height), above, self.fill);
        canvas.picture(frame, self.picture);
        canvas.fill(self.bar, if matches!(self.status.running, Running::Ended(_)) { ALERT } else { BAR });
        let text = Area { y: self.bar.y + 2 * unit, height: bar.saturating_sub(2 * unit), ..self.bar };
        canvas.text(line, text, unit, TEXT);
        if let Some(menu) = &self.menu {
            self.menu_lines = draw_menu(menu, above, unit, &mut canvas);
        }
        canvas
    }
}

fn bar_height(unit: usize) -> usize {
    (CHARACTER.1 + 4) * unit
}

/// The size of the window for a text screen.
pub fn first_size(unit: usize) -> (usize, usize) {
    (720 * unit, 400 * unit + bar_height(unit))
}

/// Draws the menu in the middle; where its lines are.
fn draw_menu(menu: &Menu, above: Area, unit: usize, canvas: &mut Canvas) -> Area {
    let (lines, chosen) = menu.lines();
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let (cell, row) = (CHARACTER.0 * unit, CHARACTER.1 * unit);
    let (width, height) = (((longest + 4) * cell).min(above.width), ((lines.len() + 1) * row).min(above.height));
    let (x, y) = (above.x + (above.width - width) / 2, above.y + (above.height - height) / 2);
    canvas.fill(Area { x, y, width, height }, BOX);
    let area = Area { x, y: y + row / 2, width, height: (lines.len() * row).min(height) };
    for (n, line) in lines.iter().enumerate() {
        let place = Area { y: area.y + n * row, height: row, ..area };
        if place.y + row > above.y + above.height {
            break;
        }
        if chosen == Some(n) {
            canvas.fill(place, CHOSEN);
        }
        canvas.text(line, Area { x: x + 2 * cell, width: width.saturating_sub(2 * cell), ..place }, unit, TEXT);
    }
    area
}

/// Which processors run guests, for the window's title.
pub fn title(name: &str, status: &Status) -> String {
    let guests = status.processors.iter().filter(|mode| **mode == VmxMode::NonRoot).count();
    let state = match status.running {
        Running::Yes if guests != 0 => " - guest runs",
        Running::Yes => "",
        Running::Paused => " - paused",
        Running::Ended(_) => " - ended",
    };
    format!("{name}{state}")
}
