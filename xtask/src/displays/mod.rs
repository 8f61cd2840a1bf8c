//! `cargo xtask displays DIR`: the window under Xvfb with keys by xdotool, its picture read back pixel by pixel, and the
//! terminal in tmux at three sizes, given back after quitting, `kill` and a panic. DIR is the folder of the book's package.

mod picture;
mod terminal;
mod window;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The options of `cargo xtask displays`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the book's package (with chap01 to chap07)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only the window, or only the terminal
    #[arg(long, value_name = "DISPLAY", value_parser = ["window", "terminal"])]
    only: Option<String>,
}

/// The programs that are needed, each with its Debian package.
const TOOLS: [(&str, &str); 5] =
    [("Xvfb", "xvfb"), ("xdotool", "xdotool"), ("xwd", "x11-apps"), ("tmux", "tmux"), ("stty", "coreutils")];

/// Runs the command; the exit status.
pub fn main(args: &Args) -> i32 {
    crate::child::status("displays", all(args))
}

/// The number of failures, which are told.
fn all(args: &Args) -> io::Result<u32> {
    for (tool, package) in TOOLS {
        let there = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
        if !there {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{tool} is missing: apt-get install {package}"),
            ));
        }
    }
    // The emulator runs in folders of its own.
    let book = args.dir.canonicalize()?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| only == name);
    let mut failures = 0;
    let mut tell = |name: String, outcome: io::Result<()>| {
        match &outcome {
            Ok(()) => println!("ok    {name}"),
            Err(error) => println!("FAIL  {name}: {error}"),
        }
        failures += u32::from(outcome.is_err());
    };
    if wanted("window") {
        window::all(&book, &mut tell)?;
    }
    if wanted("terminal") {
        terminal::all(&book, &mut tell)?;
    }
    Ok(failures)
}

/// The disk of an example.
fn disk(book: &Path, chapter: &str, example: &str) -> PathBuf {
    book.join(chapter).join(example).join("c.img")
}

/// An error in words.
fn wrong(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

/// Runs a program to its end; what it prints.
fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(wrong(format!("{command:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Asks until the answer is `Ok`; the last one's error when `time` is over.
fn wait<T>(time: Duration, mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let started = Instant::now();
    loop {
        match ask() {
            Err(_) if started.elapsed() < time => std::thread::sleep(Duration::from_millis(100)),
            answer => return answer,
        }
    }
}

/// What the panic's check runs on a terminal: takes it, and panics.
pub fn panic_on_the_terminal() -> i32 {
    let terminal = rvmx_emu::display::terminal::Terminal::open();
    std::thread::sleep(Duration::from_millis(500));
    match terminal {
        Ok(_terminal) => panic!("on purpose"),
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}
