//! The window under Xvfb.

use super::picture::Picture;
use super::{disk, output, wait, wrong};
use crate::book::screens;
use crate::child::{Folder, emulator, end_within};
use emu_devices::input::InputEvent;
use rvmx_emu::recording::Recording;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a screen may take to come.
const SCREEN: Duration = Duration::from_secs(60);
/// How long a program may take to begin or to end.
const PROGRAM: Duration = Duration::from_secs(20);

/// Xvfb and its number.
struct Server {
    process: Child,
    display: String,
}

impl Server {
    fn start() -> io::Result<Self> {
        let mut process = Command::new("Xvfb")
            // Without -noreset it is away for a moment after each client.
            .args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut number = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut number)?;
        }
        let this = Self { process, display: format!(":{}", number.trim()) };
        if number.trim().is_empty() { Err(wrong("Xvfb has not begun")) } else { Ok(this) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("DISPLAY", &self.display).env_remove("WAYLAND_DISPLAY");
        command
    }

    fn xdotool(&self, arguments: &[&str]) -> io::Result<String> {
        let out = output(self.command("xdotool").args(arguments))?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// The emulator in a window.
struct Shown<'a> {
    server: &'a Server,
    process: Child,
    window: String,
}

impl<'a> Shown<'a> {
    fn start(server: &'a Server, folder: &Folder, arguments: &[&str]) -> io::Result<Self> {
        let mut command = emulator()?;
        command.current_dir(folder.path("")).env("DISPLAY", &server.display).env_remove("WAYLAND_DISPLAY");
        let process = command.args(["--snapshot", "--debugcon", "none"]).args(arguments).spawn()?;
        let mut this = Self { server, process, window: String::new() };
        this.window = wait(PROGRAM, || {
            let found = server.xdotool(&["search", "--onlyvisible", "--name", "rvmx-emu"])?;
            found.lines().next().map(str::to_owned).ok_or_else(|| wrong("there is no window"))
        })?;
        server.xdotool(&["windowfocus", "--sync", &this.window])?;
        Ok(this)
    }

    fn key(&self, keys: &[&str]) -> io::Result<()> {
        // Held for as long as people do.
        for key in keys {
            self.server.xdotool(&["keydown", key])?;
        }
        std::thread::sleep(Duration::from_millis(60));
        for key in keys.iter().rev() {
            self.server.xdotool(&["keyup", key])?;
        }
        std::thread::sleep(Duration::from_millis(60));
        Ok(())
    }

    /// The menu's entry with this letter.
    fn menu(&self, letter: &str) -> io::Result<()> {
        self.key(&["ctrl", "alt", "m"])?;
        self.key(&[letter])
    }

    fn picture(&self) -> io::Result<Picture> {
        Picture::of_xwd(&output(self.server.command("xwd").args(["-silent", "-id", &self.window]))?)
    }

    /// Leaves by the menu; the exit status must be 0.
    fn quit(mut self) -> io::Result<()> {
        self.menu("q")?;
        match end_within(&mut self.process, PROGRAM)? {
            Some((status, _)) if status.success() => Ok(()),
            other => Err(wrong(format!("the run does not end well by the menu: {other:?}"))),
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Guests that set a mode and fill 64 KiB at A0000h, and how large their pixels are shown.
const GRAPHICS: &[(&str, &[u8], usize)] = &[
    // mov ax,13h; int 10h; mov ax,0A000h; mov es,ax; xor di,di; next: mov ax,di; xor al,ah; stosb; test di,di; jnz next;
    // sti; wait: hlt; jmp wait
    (
        "mode 13h, 320x200, 256 colours",
        b"\xB8\x13\x00\xCD\x10\xB8\x00\xA0\x8E\xC0\x31\xFF\x89\xF8\x30\xE0\xAA\x85\xFF\x75\xF7\xFB\xF4\xEB\xFD",
        2,
    ),
    // The same in mode 12h, each byte into other planes: mov dx,3C4h; next: mov ax,di; mov ah,al; mov al,2; out dx,ax; ...
    (
        "mode 12h, 640x480, planar",
        b"\xB8\x12\x00\xCD\x10\xB8\x00\xA0\x8E\xC0\x31\xFF\xBA\xC4\x03\x89\xF8\x88\xC4\xB0\x02\xEF\x89\xF8\x30\xE0\
          \xAA\x85\xFF\x75\xF0\xFB\xF4\xEB\xFD",
        1,
    ),
    // As the first, by mov ax,4F02h; mov bx,115h; int 10h.
    (
        "VBE mode 115h, 800x600, true colour",
        b"\xB8\x02\x4F\xBB\x15\x01\xCD\x10\xB8\x00\xA0\x8E\xC0\x31\xFF\x89\xF8\x30\xE0\xAA\x85\xFF\x75\xF7\xFB\xF4\
          \xEB\xFD",
        1,
    ),
];

/// All checks of the window.
pub fn all(book: &Path, tell: &mut impl FnMut(String, io::Result<()>)) -> io::Result<()> {
    let server = Server::start()?;
    tell("ex4-2 by keys of X, each screen read from the window".to_owned(), example(&server, book));
    tell("the mouse: each motion and click once".to_owned(), mouse(&server));
    for (name, program, scale) in GRAPHICS {
        tell(format!("{name}: the window's pixels are the picture's"), graphics(&server, program, *scale));
    }
    Ok(())
}

/// The book's example by its keys. The last screen is the dump's, cell by cell.
fn example(server: &Server, book: &Path) -> io::Result<()> {
    let folder = Folder::new("displays-book")?;
    let image = disk(book, "chap04", "ex4-2");
    let text = screens::BY_PROCESSORS[0].1.iter().find(|(name, _)| *name == "ex4-2").map(|(_, text)| *text);
    let steps = screens::parse(text.unwrap_or_default()).map_err(wrong)?;
    let image = image.to_string_lossy().into_owned();
    let options = ["--display", "window", "--cpus", "4", "--screen-dump", "dump.txt", &image];
    let shown = Shown::start(server, &folder, &options)?;
    let mut last = Vec::new();
    for step in &steps {
        if let Some((key, times)) = &step.key {
            for _ in 0..*times {
                shown.key(&[x_name(key)])?;
            }
        }
        last = wait(SCREEN, || {
            let lines = shown.picture()?.text()?;
            match screens::compare(&step.lines, &lines) {
                None => Ok(lines),
                Some(difference) => Err(wrong(format!("step {}: {difference}", step.number))),
            }
        })?;
    }
    shown.quit()?;
    let dump = std::fs::read_to_string(folder.path("dump.txt"))?;
    let dump: Vec<&str> = dump.lines().map(str::trim_end).collect();
    match last.iter().zip(&dump).position(|(shown, dumped)| shown != dumped) {
        None if last.len() == dump.len() => Ok(()),
        row => Err(wrong(format!("the dump differs from the window in row {row:?}"))),
    }
}

/// The mouse is the guest's from a click to Ctrl-Alt-G: what was recorded is what was done meanwhile.
fn mouse(server: &Server) -> io::Result<()> {
    let folder = Folder::new("displays-mouse")?;
    let image = folder.file("idle.img", &program(b"\xFB\xF4\xEB\xFD"))?.to_string_lossy().into_owned();
    let shown = Shown::start(server, &folder, &["--display", "window", "--record", "run.rec", &image])?;
    let move_by = |dx: &str, dy: &str| server.xdotool(&["mousemove_relative", "--", dx, dy]);
    server.xdotool(&["mousemove", "--window", &shown.window, "300", "200"])?;
    std::thread::sleep(Duration::from_millis(300));
    server.xdotool(&["click", "1"])?;
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..10 {
        move_by("11", "7")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    for action in ["mousedown", "mouseup"] {
        server.xdotool(&[action, "3"])?;
        std::thread::sleep(Duration::from_millis(100));
    }
    shown.key(&["ctrl", "alt", "g"])?;
    move_by("50", "50")?;
    shown.quit()?;
    let recording = Recording::read(&folder.path("run.rec")).map_err(|error| wrong(error.to_string()))?;
    let (mut moved, mut buttons) = ((0, 0), Vec::new());
    for event in recording.events() {
        if let InputEvent::Mouse { dx, dy, buttons: held, .. } = &event.event {
            moved = (moved.0 + dx, moved.1 + dy);
            buttons.push(*held);
        }
    }
    buttons.dedup();
    buttons.retain(|held| *held != 0);
    match (moved, &buttons[..]) {
        ((110, -70), [2]) => Ok(()),
        other => Err(wrong(format!("110 to the right, 70 down and the right button became {other:?}"))),
    }
}

/// A disk with this in its first sector.
fn program(code: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk
}

/// X's name of a key.
fn x_name(key: &str) -> &str {
    match key {
        "PageDown" => "Next",
        "PageUp" => "Prior",
        "Enter" => "Return",
        other => other,
    }
}

/// The window's pixels against those of a screenshot by the menu.
fn graphics(server: &Server, program: &[u8], scale: usize) -> io::Result<()> {
    let folder = Folder::new("displays-graphics")?;
    let image = folder.file("g.img", &self::program(program))?.to_string_lossy().into_owned();
    let shown = Shown::start(server, &folder, &["--display", "window", "--memory", "16", &image])?;
    std::thread::sleep(Duration::from_secs(3));
    shown.menu("t")?;
    shown.key(&["Return"])?;
    let png = wait(PROGRAM, || Picture::of_png(&std::fs::read(folder.path("screen.png"))?))?;
    let colors: std::collections::BTreeSet<u32> = png.pixels.iter().copied().collect();
    if colors.len() < 16 {
        return Err(wrong(format!("the guest has drawn nothing: {} colours", colors.len())));
    }
    let expected = png.scaled(scale);
    wait(Duration::from_secs(5), || {
        let picture = shown.picture()?;
        // Above the line of 20 pixels, in the middle.
        let area = (picture.width, picture.height - 20);
        let corner = ((area.0 - expected.width) / 2, (area.1 - expected.height) / 2);
        let seen = picture.part(corner, (expected.width, expected.height));
        seen.difference(&expected).map_or(Ok(()), |difference| Err(wrong(difference)))
    })?;
    shown.quit()
}
