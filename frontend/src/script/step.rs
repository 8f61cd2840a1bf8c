//! The steps of a script.

use super::Script;
use super::expect::updates_golden;
use super::values::{
    Button, Bytes, Drive, EntryFailure, Exit, Keys, Pattern, RegisterName, Seconds, Text, Times, Typed,
};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// Another script whose steps are carried out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "PathBuf")]
pub struct Include {
    /// The file, from the folder of the script that names it.
    pub path: PathBuf,
    /// What it holds; read by [`super::load`].
    pub script: Option<Box<Script>>,
}

impl From<PathBuf> for Include {
    fn from(path: PathBuf) -> Self {
        Self { path, script: None }
    }
}

impl fmt::Display for Include {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Include({:?})", self.path)
    }
}

/// One step. Seconds are guest seconds from the step's start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Step {
    /// Until the text screen shows this; fails after the seconds.
    WaitText(Text, Seconds),
    /// Until a line of the screen is exactly this (trailing blanks aside).
    WaitLine(String, Seconds),
    /// Until the text screen no longer shows this.
    WaitNoText(Text, Seconds),
    /// Until the screen has not changed for the first number of seconds; fails after the second.
    WaitStable(Seconds, Seconds),
    /// Presses and releases a key or a combination.
    Key(Keys),
    /// Presses and releases it this many times.
    KeyTimes(Keys, u32),
    /// Presses keys and holds them.
    KeyDown(Keys),
    /// Releases held keys.
    KeyUp(Keys),
    /// Types a text.
    Type(Typed),
    /// Moves the mouse by counts to the right and up.
    #[serde(alias = "Mouse")]
    MouseMove(i32, i32),
    /// Turns its wheel by clicks towards the user.
    MouseWheel(i32),
    /// Presses and releases a button.
    Click(Button),
    /// Presses a button and holds it.
    ButtonDown(Button),
    /// Releases a held button.
    ButtonUp(Button),
    /// Puts an image into a floppy or CD-ROM drive; what was there is taken out.
    Insert(Drive, PathBuf),
    /// Puts an image into floppy drive A:.
    InsertFloppy(PathBuf),
    /// Puts an image into the CD-ROM drive.
    InsertCd(PathBuf),
    /// Takes the medium out of a floppy or CD-ROM drive.
    Eject(Drive),
    /// The screen shows this now.
    ExpectText(Text),
    /// The screen does not show this now.
    RejectText(Text),
    /// A line of the screen is exactly this now.
    ExpectLine(String),
    /// Until the text screen matches this; fails after the seconds.
    WaitMatch(Pattern, Seconds),
    /// The screen matches this now.
    ExpectMatch(Pattern),
    /// The screen does not match this now.
    RejectMatch(Pattern),
    /// The text screen is that of this file now.
    ExpectScreen(PathBuf),
    /// A register has this value now.
    ExpectReg(RegisterName, u64),
    /// Memory holds these bytes at this physical address now.
    ExpectMem(u64, Bytes),
    /// So many VM exits for this reason since power-on, on all processors; VM entries that failed as VM exits count.
    ExpectExits(Exit, u64),
    /// A VM entry has failed so since power-on.
    ExpectEntryFailure(EntryFailure),
    /// Until COM1 has sent this, after what the last `WaitSerial` found.
    WaitSerial(Text, Seconds),
    /// Sends text to COM1.
    SendSerial(String),
    /// Until port E9h has got this, after what the last `WaitDebugcon` found.
    WaitDebugcon(Text, Seconds),
    /// Until COM1 has sent what this matches, after the last find.
    WaitSerialMatch(Pattern, Seconds),
    /// Until port E9h has got what this matches, after the last find.
    WaitDebugconMatch(Pattern, Seconds),
    /// Lets guest time pass.
    Wait(Seconds),
    /// Writes the text screen to a file.
    ScreenDump(PathBuf),
    /// Writes the picture to a PNG file.
    Screenshot(PathBuf),
    /// Writes a snapshot of the machine to a file.
    Snapshot(PathBuf),
    /// Puts the machine back to a snapshot from a file.
    Restore(PathBuf),
    /// Presses the reset button.
    Reset,
    /// Until the guest powers off.
    WaitPowerOff(Seconds),
    /// Until the guest ends the run through isa-debug-exit with this status.
    WaitExit(i32, Seconds),
    /// Until the guest dies - a triple fault, a VMX abort, all processors halted for good - and this is told of it.
    WaitDeath(Text, Seconds),
    /// Switches the machine off.
    PowerOff,
    /// These steps, so many times.
    Repeat(Times, Vec<Step>),
    /// The steps of another script.
    Include(Include),
}

/// How each step is written.
const FORMS: [(&str, &str); 47] = [
    ("WaitText", "WaitText(\"text\", seconds)"),
    ("WaitLine", "WaitLine(\"line\", seconds)"),
    ("WaitNoText", "WaitNoText(\"text\", seconds)"),
    ("WaitStable", "WaitStable(quiet seconds, seconds)"),
    ("Key", "Key(\"F2\")"),
    ("KeyTimes", "KeyTimes(\"Down\", times)"),
    ("KeyDown", "KeyDown(\"LeftShift\")"),
    ("KeyUp", "KeyUp(\"LeftShift\")"),
    ("Type", "Type(\"text\\n\")"),
    ("MouseMove", "MouseMove(right, up)"),
    ("Mouse", "Mouse(right, up)"),
    ("MouseWheel", "MouseWheel(clicks)"),
    ("Click", "Click(Left), Click(Right) or Click(Middle)"),
    ("ButtonDown", "ButtonDown(Left), ButtonDown(Right) or ButtonDown(Middle)"),
    ("ButtonUp", "ButtonUp(Left), ButtonUp(Right) or ButtonUp(Middle)"),
    ("Insert", "Insert(\"fda\", \"file\")"),
    ("InsertFloppy", "InsertFloppy(\"file\")"),
    ("InsertCd", "InsertCd(\"file\")"),
    ("Eject", "Eject(\"cdrom\")"),
    ("ExpectText", "ExpectText(\"text\")"),
    ("RejectText", "RejectText(\"text\")"),
    ("ExpectLine", "ExpectLine(\"line\")"),
    ("WaitMatch", "WaitMatch(\"regex\", seconds)"),
    ("ExpectMatch", "ExpectMatch(\"regex\")"),
    ("RejectMatch", "RejectMatch(\"regex\")"),
    ("ExpectScreen", "ExpectScreen(\"golden.txt\")"),
    ("ExpectReg", "ExpectReg(\"rax\", 0x10), with a value of 64 bits"),
    ("ExpectMem", "ExpectMem(0x7c00, \"eb 3c\")"),
    ("ExpectExits", "ExpectExits(\"CPUID\", 3)"),
    ("ExpectEntryFailure", "ExpectEntryFailure(\"guest.cr0.fixed\")"),
    ("WaitSerial", "WaitSerial(\"text\", seconds)"),
    ("SendSerial", "SendSerial(\"text\")"),
    ("WaitDebugcon", "WaitDebugcon(\"text\", seconds)"),
    ("WaitSerialMatch", "WaitSerialMatch(\"regex\", seconds)"),
    ("WaitDebugconMatch", "WaitDebugconMatch(\"regex\", seconds)"),
    ("Wait", "Wait(seconds), with 0 to 1000000"),
    ("ScreenDump", "ScreenDump(\"file\")"),
    ("Screenshot", "Screenshot(\"file.png\")"),
    ("Snapshot", "Snapshot(\"file\")"),
    ("Restore", "Restore(\"file\")"),
    ("Reset", "Reset, without parentheses"),
    ("WaitPowerOff", "WaitPowerOff(seconds)"),
    ("WaitExit", "WaitExit(status, seconds)"),
    ("WaitDeath", "WaitDeath(\"VMX abort\", seconds)"),
    ("PowerOff", "PowerOff, without parentheses"),
    ("Repeat", "Repeat(times, [steps]), with 1 to 1000000 times"),
    ("Include", "Include(\"file.ron\")"),
];

/// How the step of this name is written.
pub fn form(name: &str) -> Option<&'static str> {
    FORMS.iter().find(|(step, _)| *step == name).map(|(_, form)| *form)
}

impl Step {
    /// Steps in it, itself among them, each once: what [`super::Script::lines`] counts.
    pub fn count(&self) -> usize {
        match self {
            Self::Repeat(_, steps) => 1 + steps.iter().map(Self::count).sum::<usize>(),
            _ => 1,
        }
    }

    /// Steps that are carried out; not those of a script that is included.
    pub fn work(&self) -> u64 {
        let all = |steps: &[Self]| steps.iter().fold(0u64, |sum, step| sum.saturating_add(step.work()));
        match self {
            Self::Repeat(times, steps) => all(steps).saturating_mul(times.0.into()).saturating_add(1),
            _ => 1,
        }
    }

    /// The image that the step puts into a drive.
    pub fn medium(&self) -> Option<&PathBuf> {
        match self {
            Self::Insert(_, path) | Self::InsertFloppy(path) | Self::InsertCd(path) => Some(path),
            _ => None,
        }
    }

    /// The snapshot that the step goes back to.
    pub fn restored(&self) -> Option<&PathBuf> {
        match self {
            Self::Restore(path) => Some(path),
            _ => None,
        }
    }

    /// The screen that the step compares with.
    pub fn golden(&self) -> Option<&PathBuf> {
        match self {
            Self::ExpectScreen(path) if !updates_golden() => Some(path),
            _ => None,
        }
    }

    /// Whether the step fails on a machine that has been switched off. Those that wait for something need none if it is
    /// there already.
    pub fn needs_time(&self) -> bool {
        let keys =
            matches!(self, Self::Key(_) | Self::KeyTimes(_, 1..) | Self::KeyDown(_) | Self::KeyUp(_) | Self::Type(_));
        let mouse = matches!(
            self,
            Self::MouseMove(..) | Self::MouseWheel(_) | Self::Click(_) | Self::ButtonDown(_) | Self::ButtonUp(_)
        );
        let media = matches!(self, Self::Insert(..) | Self::InsertFloppy(_) | Self::InsertCd(_) | Self::Eject(_));
        keys || mouse || media || matches!(self, Self::SendSerial(_) | Self::Wait(_) | Self::Reset)
    }

    /// The file that the step writes, whatever happens.
    pub fn output(&self) -> Option<&PathBuf> {
        match self {
            Self::ScreenDump(path) | Self::Screenshot(path) | Self::Snapshot(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitText(text, s) => write!(f, "WaitText({:?}, {s})", text.0),
            Self::WaitLine(text, s) => write!(f, "WaitLine({text:?}, {s})"),
            Self::WaitNoText(text, s) => write!(f, "WaitNoText({:?}, {s})", text.0),
            Self::WaitStable(quiet, s) => write!(f, "WaitStable({quiet}, {s})"),
            Self::Key(keys) => write!(f, "Key({:?})", keys.text),
            Self::KeyTimes(keys, n) => write!(f, "KeyTimes({:?}, {n})", keys.text),
            Self::KeyDown(keys) => write!(f, "KeyDown({:?})", keys.text),
            Self::KeyUp(keys) => write!(f, "KeyUp({:?})", keys.text),
            Self::Type(text) => write!(f, "Type({:?})", text.0),
            Self::MouseMove(dx, dy) => write!(f, "MouseMove({dx}, {dy})"),
            Self::MouseWheel(clicks) => write!(f, "MouseWheel({clicks})"),
            Self::Click(button) => write!(f, "Click({button:?})"),
            Self::ButtonDown(button) => write!(f, "ButtonDown({button:?})"),
            Self::ButtonUp(button) => write!(f, "ButtonUp({button:?})"),
            Self::Insert(drive, path) => write!(f, "Insert({:?}, {path:?})", drive.text),
            Self::Eject(drive) => write!(f, "Eject({:?})", drive.text),
            Self::ExpectText(text) => write!(f, "ExpectText({:?})", text.0),
            Self::RejectText(text) => write!(f, "RejectText({:?})", text.0),
            Self::ExpectLine(text) => write!(f, "ExpectLine({text:?})"),
            Self::WaitSerial(text, s) => write!(f, "WaitSerial({:?}, {s})", text.0),
            Self::SendSerial(text) => write!(f, "SendSerial({text:?})"),
            Self::WaitDebugcon(text, s) => write!(f, "WaitDebugcon({:?}, {s})", text.0),
            Self::Wait(s) => write!(f, "Wait({s})"),
            Self::ScreenDump(path) => write!(f, "ScreenDump({path:?})"),
            Self::Screenshot(path) => write!(f, "Screenshot({path:?})"),
            Self::Snapshot(path) => write!(f, "Snapshot({path:?})"),
            Self::Restore(path) => write!(f, "Restore({path:?})"),
            Self::Reset => write!(f, "Reset"),
            Self::WaitPowerOff(s) => write!(f, "WaitPowerOff({s})"),
            Self::WaitExit(status, s) => write!(f, "WaitExit({status}, {s})"),
            Self::WaitDeath(text, s) => write!(f, "WaitDeath({:?}, {s})", text.0),
            Self::PowerOff => write!(f, "PowerOff"),
            Self::InsertFloppy(path) => write!(f, "InsertFloppy({path:?})"),
            Self::InsertCd(path) => write!(f, "InsertCd({path:?})"),
            Self::WaitMatch(pattern, s) => write!(f, "WaitMatch({:?}, {s})", pattern.text),
            Self::ExpectMatch(pattern) => write!(f, "ExpectMatch({:?})", pattern.text),
            Self::RejectMatch(pattern) => write!(f, "RejectMatch({:?})", pattern.text),
            Self::ExpectScreen(path) => write!(f, "ExpectScreen({path:?})"),
            Self::ExpectReg(register, value) => write!(f, "ExpectReg({:?}, {value:#x})", register.text),
            Self::ExpectMem(address, bytes) => write!(f, "ExpectMem({address:#x}, {:?})", bytes.text),
            Self::ExpectExits(exit, count) if exit.text.bytes().all(|b| b.is_ascii_digit()) => {
                write!(f, "ExpectExits({}, {count})", exit.text)
            }
            Self::ExpectExits(exit, count) => write!(f, "ExpectExits({:?}, {count})", exit.text),
            Self::ExpectEntryFailure(failure) => write!(f, "ExpectEntryFailure({:?})", failure.0),
            Self::WaitSerialMatch(pattern, s) => write!(f, "WaitSerialMatch({:?}, {s})", pattern.text),
            Self::WaitDebugconMatch(pattern, s) => write!(f, "WaitDebugconMatch({:?}, {s})", pattern.text),
            Self::Repeat(times, steps) => {
                write!(f, "Repeat({}, [", times.0)?;
                for (index, step) in steps.iter().enumerate() {
                    write!(f, "{}{step}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, "])")
            }
            Self::Include(include) => include.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_form() {
        let error = crate::config::ron::dialect().from_str::<Step>("None(1)").expect_err("there is no such step").code;
        let ron::error::Error::NoSuchEnumVariant { expected, .. } = error else { panic!("{error}") };
        let forms: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
        assert!(expected.iter().all(|name| forms.contains(name)), "{expected:?}");
        assert!(FORMS.iter().all(|(name, form)| form.starts_with(name)));
        assert_eq!(forms.len(), expected.len());
    }
}
