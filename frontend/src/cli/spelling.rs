//! Other emulators' spellings: what a habit of QEMU's or Bochs's means here is taken; what means nothing here is refused
//! with what to give instead, so that no option is ever taken for another.

mod drive;
mod qemu;

use crate::config::options::is_bochs_option;
use crate::error::InputError;
use emu_vmx::dump::names::shown;
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
    end_with_stdin: bool,
}

/// A command line in our own spelling.
pub(super) struct Translated {
    /// For clap.
    pub arguments: Vec<OsString>,
    /// `--end-with-stdin` is given, which clap does not know of.
    pub end_with_stdin: bool,
}

impl From<Vec<OsString>> for Translated {
    fn from(arguments: Vec<OsString>) -> Self {
        Self { arguments, end_with_stdin: false }
    }
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

/// What an option of our own takes.
#[derive(Debug, Clone, Copy, Default)]
struct Takes {
    /// A value, as the next argument.
    value: bool,
    /// One that may begin with a dash.
    dashed: bool,
    /// One that may be a negative number, which its parser refuses with its range.
    negative: bool,
}

impl Takes {
    /// Whether `value` can be the option's.
    fn accepts(self, value: &str) -> bool {
        let number = value.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        !value.starts_with('-') || value == "-" || self.dashed || self.negative && number
    }

    /// Refuses an option in the place of this one's value.
    fn check(self, option: &str, value: Option<&OsString>) -> Result<(), InputError> {
        match value.and_then(|value| value.to_str()).filter(|value| !self.accepts(value)) {
            Some(value) => {
                let value = shown(value);
                Err(InputError::new(option, format!("its value is missing: {value:?} begins with a dash"))
                    .remedy(format!("give one, or a file of this name as {option}=./{value}")))
            }
            None => Ok(()),
        }
    }
}

/// Our own options by their long and short names.
fn own_options<'c>(commands: impl Iterator<Item = &'c clap::Command>) -> HashMap<String, Takes> {
    let mut options = HashMap::new();
    for argument in commands.flat_map(clap::Command::get_arguments) {
        // A value that stands behind `=` is of the same argument.
        let takes = Takes {
            value: argument.get_action().takes_values() && !argument.is_require_equals_set(),
            dashed: argument.is_allow_hyphen_values_set(),
            negative: argument.is_allow_negative_numbers_set(),
        };
        options.extend(argument.get_long().map(|long| (format!("--{long}"), takes)));
        options.extend(argument.get_short().map(|short| (format!("-{short}"), takes)));
    }
    for flag in ["--help", "-h", "--version", "-V"] {
        options.insert(flag.to_owned(), Takes::default());
    }
    options
}

/// Puts our spellings in place of QEMU's and Bochs's.
pub(super) fn translate(arguments: Vec<OsString>, command: &clap::Command) -> Result<Translated, InputError> {
    let mut rest: VecDeque<OsString> = arguments.into();
    let mut out: Vec<OsString> = rest.pop_front().into_iter().collect();
    let first = rest.front().and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "help" => {
            let about = rest.get(1).filter(|name| name.to_str().is_some_and(|n| command.find_subcommand(n).is_some()));
            out.extend(about.cloned());
            out.push("--help".into());
            return Ok(out.into());
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
            let own = own_options(command.find_subcommand(other).into_iter());
            for (at, option) in rest.iter().enumerate().take_while(|(_, option)| *option != "--") {
                let takes = option.to_str().and_then(|option| own.get(option)).filter(|takes| takes.value);
                takes.map_or(Ok(()), |takes| takes.check(&option.to_string_lossy(), rest.get(at + 1)))?;
            }
            out.extend(rest);
            return Ok(out.into());
        }
        _ => {}
    }
    let debug = command.find_subcommand("debug").filter(|_| first == "debug");
    let (start, own) = (out.len(), own_options([command].into_iter().chain(debug)));
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
        end_with_stdin: false,
    };
    while let Some(argument) = spelling.rest.pop_front() {
        let Some(text) = argument.to_str().map(str::to_owned) else {
            spelling.out.push(argument);
            continue;
        };
        if text == "--" {
            // Whatever stands behind it is an image, whether it looks like an option or not.
            spelling.out.push(argument);
            spelling.images.extend(spelling.rest.iter().map(|image| image.to_string_lossy().into_owned()));
            spelling.out.append(&mut spelling.rest.into());
            spelling.rest = VecDeque::new();
        } else if command.find_subcommand(&text).is_some() {
            // A command behind options, which clap has a word for.
            spelling.out.push(argument);
        } else if !text.starts_with('-') || text == "-" {
            spelling.bare(&text)?;
        } else if text == "--end-with-stdin" {
            spelling.end_with_stdin = true;
        } else if text == "--uefi" {
            spelling.uefi();
        } else if let Some(takes) = own.get(&text) {
            spelling.serial |= text == "--serial";
            spelling.out.push(argument);
            if takes.value {
                let next = spelling.rest.pop_front();
                takes.check(&text, next.as_ref())?;
                spelling.out.extend(next);
            }
        } else if let Some(means) = meaning(text.trim_start_matches('-')) {
            spelling.carry_out(&text, means)?;
        } else if !text.starts_with("--")
            && !own.iter().any(|(own, takes)| takes.value && own.len() == 2 && text.starts_with(own.as_str()))
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
    fn finish(mut self, start: usize) -> Result<Translated, InputError> {
        if let ([first, .., second], false) = (self.images.as_slice(), self.unknown) {
            let problem = format!("there are two images, {} and {}", shown(first), shown(second));
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
        Ok(Translated { arguments: self.out, end_with_stdin: self.end_with_stdin })
    }
}
