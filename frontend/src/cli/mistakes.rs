//! What is wrong with a command line, in one line: the option, what was given, what would be right.

use crate::error::InputError;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use emu_vmx::dump::names::{shown, slip};
use std::error::Error;

/// clap's several lines as our one.
pub(super) fn one_line(error: &clap::Error) -> InputError {
    let command_line = |problem: String| InputError::new("command line", problem);
    let text = error.to_string();
    if text.starts_with("error: the subcommand") {
        return command_line("options stand before the command".to_owned())
            .remedy("give them behind it, as in rvmx-emu debug --headless IMAGE");
    }
    let argument = word(error, ContextKind::InvalidArg).map(|name| name_of(&name).to_owned()).unwrap_or_default();
    let value = word(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::ValueValidation => {
            let problem = error.source().map_or_else(|| format!("{:?} is wrong", shown(&value)), ToString::to_string);
            let told = InputError::new(argument, problem.clone());
            if problem.contains("; ") { told } else { told.remedy("see rvmx-emu --help") }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            let told = InputError::new(argument, "its value is missing or empty");
            match words(error, ContextKind::ValidValue) {
                Some(values) => told.remedy(format!("give one of {}", values.join(", "))),
                None => told.remedy("see rvmx-emu --help"),
            }
        }
        ErrorKind::InvalidValue => {
            let told = InputError::new(argument, format!("{:?} is not possible", shown(&value)));
            let values = words(error, ContextKind::ValidValue).unwrap_or_default();
            let near = slip(&value, values.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            told.remedy(format!("give one of {}{near}", values.join(", ")))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let told = command_line(format!("there is no option {}", shown(&argument)));
            match word(error, ContextKind::SuggestedArg) {
                Some(near) => told.remedy(format!("did you mean {near}?")),
                None => told.remedy("see rvmx-emu --help"),
            }
        }
        ErrorKind::UnknownArgument => command_line(format!("nothing can be done with {:?}", shown(&argument)))
            .remedy("leave it out; see rvmx-emu --help"),
        ErrorKind::TooManyValues if !argument.is_empty() => {
            InputError::new(argument, format!("it takes no value, and {:?} is one", shown(&value)))
                .remedy("leave the value out")
        }
        ErrorKind::ArgumentConflict if !argument.is_empty() => {
            let others = words(error, ContextKind::PriorArg).unwrap_or_default();
            let others: Vec<&str> = others.iter().map(|other| name_of(other)).collect();
            if others.contains(&argument.as_str()) {
                return InputError::new(argument, "it stands there twice").remedy("give it once");
            }
            InputError::new(argument, format!("it and {} exclude each other", others.join(", ")))
                .remedy("give one of them")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = words(error, ContextKind::InvalidArg).unwrap_or_default().join(", ");
            if missing == "<SHELL>" {
                let shells = <clap_complete::Shell as clap::ValueEnum>::value_variants().iter();
                let shells: Vec<String> = shells.map(ToString::to_string).collect();
                return command_line("the shell is missing".to_owned())
                    .remedy(format!("give one of {}", shells.join(", ")));
            }
            command_line(format!("{missing} is missing")).remedy("give it, too; see rvmx-emu --help")
        }
        _ => {
            let first = text.lines().next().unwrap_or("bad usage").trim_start_matches("error: ").to_owned();
            command_line(first).remedy("see rvmx-emu --help")
        }
    }
}

/// An argument's name in clap's way of writing it: `--cpus <N>`, `--uefi[=<FILE>]`, `[IMAGE]`.
fn name_of(argument: &str) -> &str {
    if argument.starts_with('-') {
        argument.split([' ', '[', '=']).next().unwrap_or(argument)
    } else {
        argument.trim_matches(['<', '>', '[', ']', '.'])
    }
}

/// Words that clap has put beside an error.
fn words(error: &clap::Error, kind: ContextKind) -> Option<Vec<String>> {
    match error.get(kind) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.clone()),
        Some(ContextValue::String(value)) => Some(vec![value.clone()]),
        _ => None,
    }
}

fn word(error: &clap::Error, kind: ContextKind) -> Option<String> {
    words(error, kind).and_then(|words| words.into_iter().next())
}
