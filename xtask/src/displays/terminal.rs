//! The terminal display in tmux.

use super::{disk, output, wait, wrong};
use crate::child::Folder;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a screen may take to come.
const SCREEN: Duration = Duration::from_secs(60);
/// The legend of ex6-1's debug record, in row 25.
const LEGEND: &str = "<Esc>:quit,  <Pgup>:PageUp,  <Pgdn>:PageDown   <Enter>:MsgList";
const LEAVE: &str = "Ctrl-] ends the run";

/// How a run ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    Quit,
    Kill,
    Panic,
}

/// A tmux server of its own, with one shell.
struct Tmux(String);

impl Tmux {
    fn start(columns: u16, rows: u16, way: Way) -> io::Result<Self> {
        // One that ends is not to be met again.
        let this = Self(format!("rvmx-emu-{}-{columns}x{rows}-{way:?}", std::process::id()));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        this.run(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, "sh"])?;
        this.run(&["set", "-g", "status", "off"])?;
        this.run(&["resize-window", "-x", &columns, "-y", &rows])?;
        Ok(this)
    }

    fn run(&self, arguments: &[&str]) -> io::Result<String> {
        let out = output(Command::new("tmux").args(["-L", &self.0]).args(arguments))?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn keys(&self, keys: &[&str]) -> io::Result<()> {
        self.run(&[&["send-keys"], keys].concat()).map(drop)
    }

    fn screen(&self) -> io::Result<String> {
        self.run(&["capture-pane", "-p"])
    }

    fn shows(&self, text: &str) -> io::Result<()> {
        wait(SCREEN, || {
            let screen = self.screen()?;
            if screen.contains(text) { Ok(()) } else { Err(wrong(format!("{text:?} is not shown, but\n{screen}"))) }
        })
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.run(&["kill-server"]);
    }
}

/// All checks of the terminal.
pub fn all(book: &Path, tell: &mut impl FnMut(String, io::Result<()>)) -> io::Result<()> {
    for (columns, rows) in [(80, 24), (80, 25), (132, 50)] {
        for way in [Way::Quit, Way::Kill, Way::Panic] {
            let name = format!("terminal of {columns}x{rows}, {way:?}: the same modes and screen as before");
            tell(name, check(book, (columns, rows), way));
        }
    }
    Ok(())
}

fn check(book: &Path, (columns, rows): (u16, u16), way: Way) -> io::Result<()> {
    let (tmux, folder) = (Tmux::start(columns, rows, way)?, Folder::new("displays-terminal")?);
    let xtask = std::env::current_exe()?.display().to_string();
    let place = |name: &str| folder.path(name).display().to_string();
    let command = match way {
        Way::Panic => format!("{xtask} panic-on-the-terminal"),
        _ => {
            let image = disk(book, "chap06", "ex6-1").display().to_string();
            format!("{xtask} emulator -- --display terminal --snapshot --cpus 4 '{image}'")
        }
    };
    let line = format!(
        "stty -a > {}; echo begin; {command}; echo ended $?; stty -a > {}; echo over",
        place("before"),
        place("after")
    );
    tmux.keys(&[&line, "Enter"])?;
    match way {
        Way::Panic => {}
        Way::Quit | Way::Kill => {
            tmux.shows("press a key to do command")?;
            tmux.shows(LEAVE)?;
            tmux.keys(&["1"])?;
            std::thread::sleep(Duration::from_secs(3));
            tmux.keys(&["F4"])?;
            tmux.shows(LEGEND)?;
            tmux.shows(LEAVE)?;
        }
    }
    match way {
        Way::Quit => tmux.keys(&["C-]"])?,
        Way::Kill => {
            let shell = tmux.run(&["display-message", "-p", "#{pane_pid}"])?;
            output(Command::new("pkill").args(["-TERM", "-P", shell.trim()]))?;
        }
        Way::Panic => tmux.shows("on purpose")?,
    }
    let status = match way {
        Way::Quit => "ended 0",
        Way::Kill => "ended 143",
        Way::Panic => "ended 101",
    };
    tmux.shows(status)?;
    tmux.shows("over")?;
    let (before, after) = wait(SCREEN, || {
        Ok((std::fs::read_to_string(folder.path("before"))?, std::fs::read_to_string(folder.path("after"))?))
    })?;
    if before != after {
        return Err(wrong(format!("stty -a was\n{before}and is\n{after}")));
    }
    Ok(())
}
