//! Other emulators' spellings: what a habit of QEMU's or Bochs's means here is taken; what means nothing here is refused
//! with what to give instead, so that no option is ever taken for another.

mod drive;
mod qemu;

use crate::config::options::is_bochs_option;
use crate::error::InputError;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::Path;

/// An error about an argument.
fn refuse(argument: &str, problem: &str, remedy: impl Into<String>) -> InputError {
    InputError::new("command line", format!("{argument}: {problem}")).remedy(remedy)
}

/// What an option of QEMU's or Bochs's comes to.
#[derive(Debug, Clone, Copy)]
enum Means {
    /// Our option without a value.
    Flag(&'static str),
    /// Our option with the same value.
    Value(&'static str),
    /// Nothing here; it takes no value.
    Nothing,
    /// The same, with a value.
    NothingOf,
    /// Code of ours that reads the value.
    Read(fn(&mut Spelling, &str, &str) -> Result<(), InputError>),
    /// Code of ours for an option without a value.
    Note(fn(&mut Spelling)),
    /// Not here: what to give instead.
    Refused(&'static str),
}

/// The options by their names without dashes.
fn meaning(name: &str) -> Option<Means> {
    let bochs = match name {
        "q" | "unlock" | "n" | "noconsole" | "dbg_gui" => Means::Nothing,
        "rc" => Means::Read(|spelling, _, file| {
            spelling.debugger = true;
            spelling.push_two("-x", file);
            Ok(())
        }),
        "log" => Means::Value("--log-file"),
        "r" => Means::Refused("give --restore FILE with a snapshot of rvmx-emu's own"),
        "benchmark" => Means::Refused("give --max-time SECONDS and --stats"),
        "dumpstats" => Means::Refused("give --stats"),
        _ => return qemu::meaning(name),
    };
    Some(bochs)
}

/// A command line being translated.
struct Spelling {
    out: Vec<OsString>,
    rest: VecDeque<OsString>,
    /// Bochs's `-rc`: the run is the debugger's.
    debugger: bool,
    /// QEMU's `-S`.
    stopped: bool,
    /// A port to wait for GDB at was given the way QEMU has it.
    gdb: bool,
    /// `-nographic`, which has the serial port on standard output unless something else is said about it.
    nographic: bool,
    serial: bool,
    /// Bare arguments that were taken for images.
    images: Vec<String>,
    /// There is an option that nobody knows: what follows may be its value.
    unknown: bool,
}

impl Spelling {
    fn push(&mut self, argument: &str) {
        self.out.push(argument.into());
    }

    fn push_two(&mut self, option: &str, value: &str) {
        self.push(option);
        self.push(value);
    }

    fn value(&mut self, argument: &str) -> Result<String, InputError> {
        let next = self.rest.pop_front().and_then(|value| value.into_string().ok());
        next.ok_or_else(|| refuse(argument, "its value is missing", "see rvmx-emu --help"))
    }

    fn carry_out(&mut self, argument: &str, means: Means) -> Result<(), InputError> {
        match means {
            Means::Flag(ours) => self.push(ours),
            Means::Value(ours) => {
                self.push(ours);
                let value = self.rest.pop_front();
                let missing = || refuse(argument, "its value is missing", "see rvmx-emu --help");
                self.out.push(value.ok_or_else(missing)?);
            }
            Means::Nothing => {}
            Means::NothingOf => drop(self.value(argument)?),
            Means::Read(read) => {
                let value = self.value(argument)?;
                read(self, argument, &value)?;
            }
            Means::Note(note) => note(self),
            Means::Refused(remedy) => return Err(refuse(argument, "there is no such option here", remedy)),
        }
        Ok(())
    }

    /// An argument without a dash: an image, or a line of a Bochs file.
    fn bare(&mut self, argument: &str) -> Result<(), InputError> {
        let option = argument.split_once(':').map(|(name, _)| name.trim());
        if option.is_some_and(is_bochs_option) && !Path::new(argument).exists() {
            if argument.ends_with(':') {
                return Err(refuse(
                    argument,
                    "its parameters are missing",
                    "quote the whole line, as in 'boot: floppy'",
                ));
            }
            self.push_two("--set", argument);
            return Ok(());
        }
        self.images.push(argument.to_owned());
        self.push(argument);
        Ok(())
    }

    /// `--uefi` has a value only if one stands behind it that is firmware: an image may follow it, too.
    fn uefi(&mut self) {
        let file = self.rest.front().filter(|file| is_firmware(Path::new(file))).cloned();
        match file {
            Some(file) => {
                self.rest.pop_front();
                let mut option = OsString::from("--uefi=");
                option.push(file);
                self.out.push(option);
            }
            None => self.push("--uefi"),
        }
    }
}

/// Whether a file is UEFI firmware: by its name, or by the signature of a firmware volume (PI specification, volume 3,
/// 3.2.1 "EFI_FIRMWARE_VOLUME_HEADER").
fn is_firmware(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 44];
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("fd"))
        || path.is_file()
            && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
            && head[40..] == *b"_FVH"
}

/// Which of our own options take a value, by their long and short names.
fn own_options(command: &clap::Command, debugger: bool) -> HashMap<String, bool> {
    let mut options = HashMap::new();
    let debug = command.find_subcommand("debug").filter(|_| debugger);
    for argument in command.get_arguments().chain(debug.into_iter().flat_map(clap::Command::get_arguments)) {
        // A value that stands behind `=` is of the same argument.
        let takes = argument.get_action().takes_values() && !argument.is_require_equals_set();
        options.extend(argument.get_long().map(|long| (format!("--{long}"), takes)));
        options.extend(argument.get_short().map(|short| (format!("-{short}"), takes)));
    }
    for flag in ["--help", "-h", "--version", "-V"] {
        options.insert(flag.to_owned(), false);
    }
    options
}

/// Puts our spellings in place of QEMU's and Bochs's.
pub(super) fn translate(arguments: Vec<OsString>, command: &clap::Command) -> Result<Vec<OsString>, InputError> {
    let mut rest: VecDeque<OsString> = arguments.into();
    let mut out: Vec<OsString> = rest.pop_front().into_iter().collect();
    let first = rest.front().and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "help" => {
            let about = rest.get(1).filter(|name| name.to_str().is_some_and(|n| command.find_subcommand(n).is_some()));
            out.extend(about.cloned());
            out.push("--help".into());
            return Ok(out);
        }
        "run" => {
            let problem = "there is no command \"run\": running is what rvmx-emu does without one";
            return Err(InputError::new("command line", problem).remedy("leave the word out, as in rvmx-emu IMAGE"));
        }
        "debug" => out.extend(rest.pop_front()),
        other if command.find_subcommand(other).is_some() => {
            let options = rest.iter().filter_map(|argument| argument.to_str()).take_while(|text| *text != "--");
            // -html is no -h.
            if let Some(text) =
                options.filter(|text| text.len() > 2).find(|text| text.starts_with("-h") || text.starts_with("-V"))
            {
                return Err(refuse(text, "there is no such option", format!("see rvmx-emu {other} --help")));
            }
            out.extend(rest);
            return Ok(out);
        }
        _ => {}
    }
    let (start, own) = (out.len(), own_options(command, first == "debug"));
    let mut spelling = Spelling {
        out,
        rest,
        debugger: false,
        stopped: false,
        gdb: false,
        nographic: false,
        serial: false,
        images: Vec::new(),
        unknown: false,
    };
    while let Some(argument) = spelling.rest.pop_front() {
        let Some(text) = argument.to_str().map(str::to_owned) else {
            spelling.out.push(argument);
            continue;
        };
        if text == "--" {
            spelling.out.push(argument);
            spelling.out.append(&mut spelling.rest.into());
            spelling.rest = VecDeque::new();
        } else if command.find_subcommand(&text).is_some() {
            // A command behind options, which clap has a word for.
            spelling.out.push(argument);
        } else if !text.starts_with('-') || text == "-" {
            spelling.bare(&text)?;
        } else if text == "--uefi" {
            spelling.uefi();
        } else if let Some(takes) = own.get(&text) {
            spelling.serial |= text == "--serial";
            spelling.out.push(argument);
            if *takes {
                spelling.out.extend(spelling.rest.pop_front());
            }
        } else if let Some(means) = meaning(text.trim_start_matches('-')) {
            spelling.carry_out(&text, means)?;
        } else if !text.starts_with("--")
            && !own.iter().any(|(own, takes)| *takes && own.len() == 2 && text.starts_with(own.as_str()))
        {
            // Behind a letter that takes a value stands the value; any other is no beginning of several letters, or
            // -headless would print the help.
            let long = format!("-{text}");
            let remedy = match own.contains_key(&long) {
                true => format!("did you mean {long}?"),
                false => "see rvmx-emu --help".to_owned(),
            };
            return Err(refuse(&text, "there is no such option", remedy));
        } else {
            spelling.unknown |= !own.contains_key(text.split('=').next().unwrap_or_default());
            spelling.out.push(argument);
        }
    }
    spelling.finish(start)
}

impl Spelling {
    /// What depends on the whole line.
    fn finish(mut self, start: usize) -> Result<Vec<OsString>, InputError> {
        if let ([first, .., second], false) = (self.images.as_slice(), self.unknown) {
            let problem = format!("there are two images, {first} and {second}");
            let remedy = "give the second drive by its name: --hdb, --fda or --cdrom";
            return Err(InputError::new("command line", problem).remedy(remedy));
        }
        if self.nographic && !self.serial {
            self.push_two("--serial", "stdio");
        }
        let debugger = self.debugger || self.out.get(1).is_some_and(|first| first == "debug");
        let gdb = self.gdb || self.out.iter().any(|argument| argument.to_string_lossy().starts_with("--gdb"));
        if self.gdb && !self.stopped {
            self.push("--gdb-no-wait");
        }
        if self.stopped && !gdb && !debugger {
            let remedy = "add -s to wait for GDB, or give rvmx-emu debug IMAGE for the debugger";
            return Err(refuse("-S", "nobody would start the machine", remedy));
        }
        if self.debugger && self.out.get(1).is_none_or(|first| first != "debug") {
            self.out.insert(start, "debug".into());
        }
        Ok(self.out)
    }
}
