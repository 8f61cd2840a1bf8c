//! The window on a surface that is no window.

use super::paint::Canvas;
use super::surface::{Event, Surface};
use super::ui::{LEAVE, Ui, first_size};
use crate::display::status::{Running, Status};
use crate::display::{Command, Input};
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use emu_devices::vga::Frame;

#[derive(Default)]
struct Fake {
    size: (usize, usize),
    shown: Vec<Canvas>,
    captured: bool,
    clipboard: Option<String>,
}

impl Fake {
    fn new() -> Self {
        Self { size: first_size(1), ..Self::default() }
    }
}

impl Surface for Fake {
    fn events(&mut self) -> Vec<Event> {
        Vec::new()
    }
    fn size(&self) -> (usize, usize) {
        self.size
    }
    fn unit(&self) -> usize {
        1
    }
    fn resize(&mut self, width: usize, height: usize) {
        self.size = (width, height);
    }
    fn show(&mut self, canvas: &Canvas) {
        self.shown.push(canvas.clone());
    }
    fn capture(&mut self, captured: bool) {
        self.captured = captured;
    }
    fn set_title(&mut self, _title: &str) {}
    fn clipboard(&mut self) -> Option<String> {
        self.clipboard.clone()
    }
    fn error(&mut self) -> Option<String> {
        None
    }
}

fn frame(width: usize, height: usize) -> Frame {
    Frame { width, height, pixels: (0..width * height).map(|n| n as u32 & 0xFF_FFFF).collect() }
}

fn event(key: Key, text: &str, pressed: bool) -> Event {
    Event::Key { key: Some(key), text: text.to_owned(), pressed }
}

/// Presses and releases keys, the first ones held until the end; what comes of it.
fn press(ui: &mut Ui, fake: &mut Fake, keys: &[Key]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (keys, pressed) in [(keys.to_vec(), true), (keys.iter().rev().copied().collect(), false)] {
        for key in keys {
            inputs.extend(ui.handle(event(key, &key.name().to_lowercase(), pressed), fake));
        }
    }
    inputs
}

#[test]
fn keys_go_to_the_guest_as_they_move_and_repeats_do_not() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    assert_eq!(ui.handle(event(Key::RightAlt, "", true), &mut fake), [Input::Key(Key::RightAlt, true)]);
    assert_eq!(ui.handle(event(Key::RightAlt, "", true), &mut fake), []);
    assert_eq!(ui.handle(event(Key::RightAlt, "", false), &mut fake), [Input::Key(Key::RightAlt, false)]);
    assert_eq!(ui.handle(event(Key::RightAlt, "", false), &mut fake), []);
}

#[test]
fn keys_come_up_when_the_window_loses_the_keyboard() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    for key in [Key::LeftCtrl, Key::A] {
        ui.handle(event(key, "", true), &mut fake);
    }
    let released = ui.handle(Event::Focus(false), &mut fake);
    assert_eq!(released, [Input::Key(Key::A, false), Input::Key(Key::LeftCtrl, false)]);
}

#[test]
fn host_keys_open_the_menu_and_the_guest_keeps_no_key() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    let inputs = press(&mut ui, &mut fake, &[Key::LeftCtrl, Key::LeftAlt, Key::M]);
    let expected = [
        Input::Key(Key::LeftCtrl, true),
        Input::Key(Key::LeftAlt, true),
        Input::Key(Key::LeftAlt, false),
        Input::Key(Key::LeftCtrl, false),
    ];
    assert_eq!(inputs, expected);
    // In the menu letters choose.
    assert_eq!(press(&mut ui, &mut fake, &[Key::P]), [Input::Command(Command::Pause)]);
    assert_eq!(press(&mut ui, &mut fake, &[Key::P]).len(), 2, "and it is closed then");
}

#[test]
fn mouse_is_the_guests_from_a_click_to_the_host_key() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    ui.draw(frame(720, 400), &Status::default(), &mut fake);
    let motion = Event::Motion { dx: 3.0, dy: 2.0 };
    ui.handle(motion.clone(), &mut fake);
    assert_eq!(ui.take_mouse(), None);
    let button = |pressed| Event::Button { bit: 0, pressed };
    ui.handle(Event::Pointer { x: 100, y: 100 }, &mut fake);
    ui.handle(button(true), &mut fake);
    ui.handle(button(false), &mut fake);
    assert!(fake.captured);
    ui.take_mouse();
    ui.handle(motion.clone(), &mut fake);
    ui.handle(button(true), &mut fake);
    assert_eq!(ui.take_mouse(), Some(Input::Mouse { dx: 3, dy: -2, dz: 0, buttons: 1 }));
    press(&mut ui, &mut fake, &[Key::RightCtrl, Key::RightAlt, Key::G]);
    assert!(!fake.captured);
    assert_eq!(ui.take_mouse(), Some(Input::Mouse { dx: 0, dy: 0, dz: 0, buttons: 0 }));
}

#[test]
fn parts_of_a_count_are_not_lost() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    press(&mut ui, &mut fake, &[Key::LeftCtrl, Key::LeftAlt, Key::G]);
    let moved: i32 = (0..10)
        .filter_map(|_| {
            ui.handle(Event::Motion { dx: 0.25, dy: 0.0 }, &mut fake);
            ui.take_mouse()
        })
        .map(|input| if let Input::Mouse { dx, .. } = input { dx } else { 0 })
        .sum();
    assert_eq!(moved, 2);
}

#[test]
fn picture_is_shown_pixel_by_pixel_above_the_line() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    let picture = frame(720, 400);
    ui.draw(picture.clone(), &Status::default(), &mut fake);
    let canvas = &fake.shown[0];
    assert_eq!((canvas.width, canvas.height), (720, 420));
    assert_eq!(canvas.pixels[..720 * 400], picture.pixels[..]);
    // The same again is not drawn again.
    ui.draw(picture.clone(), &Status::default(), &mut fake);
    assert_eq!(fake.shown.len(), 1);
    ui.handle(Event::Redraw, &mut fake);
    ui.draw(picture, &Status::default(), &mut fake);
    assert_eq!(fake.shown.len(), 2);
}

#[test]
fn window_grows_with_the_picture_until_somebody_gives_it_a_size() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    ui.draw(frame(720, 400), &Status::default(), &mut fake);
    ui.draw(frame(1024, 768), &Status::default(), &mut fake);
    assert_eq!(fake.size, (1024, 788));
    ui.draw(frame(640, 480), &Status::default(), &mut fake);
    assert_eq!(fake.size, (1024, 788));
    fake.size = (500, 300);
    ui.draw(frame(1280, 1024), &Status::default(), &mut fake);
    assert_eq!(fake.size, (500, 300));
}

#[test]
fn way_out_is_whole_however_much_there_is_to_say() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    let running = Running::Ended("x".repeat(200));
    let told = Status { running, message: Some("y".repeat(200)), ..Status::default() };
    ui.draw(frame(720, 400), &told, &mut fake);
    let mut expected = Canvas::new(720, 420);
    let text = format!("{:68}{LEAVE}", "");
    let bar = super::paint::Area { x: 0, y: 402, width: 720, height: 18 };
    expected.text(&text, bar, 1, 1);
    let (shown, lit) = (&fake.shown[0], |pixel: u32| pixel == 0xD7_DAE0);
    for y in 402..418 {
        for x in 68 * 8..720 {
            assert_eq!(lit(shown.pixels[y * 720 + x]), expected.pixels[y * 720 + x] == 1, "{x} {y}");
        }
    }
}

#[test]
fn clipboard_is_typed_and_a_dropped_file_is_asked_about() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    fake.clipboard = Some("dir\n".to_owned());
    press(&mut ui, &mut fake, &[Key::LeftCtrl, Key::LeftAlt, Key::M]);
    assert_eq!(press(&mut ui, &mut fake, &[Key::X]), [Input::Command(Command::Paste("dir\n".to_owned()))]);
    let drive = DrivePlace::Floppy { drive: 0 };
    let status = Status { removable: vec![drive], ..Status::default() };
    ui.draw(frame(720, 400), &status, &mut fake);
    ui.handle(Event::Dropped("b.img".into()), &mut fake);
    let enter = ui.handle(event(Key::Enter, "\r", true), &mut fake);
    assert_eq!(enter, [Input::Command(Command::Insert(drive, "b.img".into()))]);
}

#[test]
fn menu_is_used_with_the_mouse_too() {
    let (mut ui, mut fake) = (Ui::default(), Fake::new());
    ui.draw(frame(720, 400), &Status::default(), &mut fake);
    let click = |ui: &mut Ui, fake: &mut Fake, x, y| {
        ui.handle(Event::Pointer { x, y }, fake);
        ui.handle(Event::Button { bit: 0, pressed: true }, fake)
    };
    assert_eq!(click(&mut ui, &mut fake, 10, 410), []);
    ui.draw(frame(720, 400), &Status::default(), &mut fake);
    // The first line is the first entry: 16 lines and half a line around them, in the middle.
    let lines = super::menu::Menu::new(&[]).lines().0.len();
    let top = (400 - (lines + 1) * 16) / 2 + 8;
    assert_eq!(click(&mut ui, &mut fake, 360, top + 2), [Input::Command(Command::Pause)]);
    click(&mut ui, &mut fake, 10, 410);
    ui.draw(frame(720, 400), &Status::default(), &mut fake);
    assert_eq!(click(&mut ui, &mut fake, 360, top + 16 * 3 + 2), [Input::Command(Command::Reset)]);
}
