//! Scripts: what a guest must show, and what is typed to it. The grammar is a contract (docs/scripting.md).

pub mod execute;
pub mod lines;

use crate::config::ron::{dialect, error};
use crate::error::InputError;
use emu_devices::disk::DrivePlace;
use emu_devices::keyboard::Key;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Guest seconds for the whole script.
    #[serde(default = "default_timeout")]
    pub timeout: Seconds,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The file, for messages.
    #[serde(skip)]
    pub file: PathBuf,
    /// The line of each step.
    #[serde(skip)]
    pub lines: Vec<usize>,
}

fn default_timeout() -> Seconds {
    Seconds(60.0)
}

/// Guest seconds: a finite number, not negative, at most a million.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(pub f64);

impl Seconds {
    /// In cycles of a clock of `hz`.
    pub fn cycles(self, hz: u64) -> u64 {
        (self.0 * hz as f64) as u64
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=1e6).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(format!("{seconds} is no number of guest seconds from 0 to 1000000"))
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keys pressed together, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Keys {
    /// As written.
    pub text: String,
    /// The keys, in the order of pressing.
    pub keys: Vec<Key>,
}

impl TryFrom<String> for Keys {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Key::combination(&text) {
            Ok(keys) => Ok(Self { text, keys }),
            Err(part) => {
                Err(format!("{part:?} is no key; keys are a..z 0..9 F1..F12 Esc Enter Space Up PgDn LeftCtrl ..."))
            }
        }
    }
}

/// Text that the keyboard can type: ASCII, line feed and tab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Typed(pub String);

impl TryFrom<String> for Typed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().find(|c| Key::from_char(*c).is_none()) {
            None => Ok(Self(text)),
            Some(c) => Err(format!("no key types {c:?}")),
        }
    }
}

/// A drive for media that can be changed, by its name in configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Drive {
    /// As written.
    pub text: String,
    /// Where it is.
    pub place: DrivePlace,
}

impl TryFrom<String> for Drive {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = match text.as_str() {
            "fda" => DrivePlace::Floppy { drive: 0 },
            "fdb" => DrivePlace::Floppy { drive: 1 },
            "hda" => DrivePlace::Ata { channel: 0, drive: 0 },
            "hdb" => DrivePlace::Ata { channel: 0, drive: 1 },
            "hdc" | "cdrom" => DrivePlace::Ata { channel: 1, drive: 0 },
            "hdd" => DrivePlace::Ata { channel: 1, drive: 1 },
            _ => return Err(format!("{text:?} is no drive; drives are fda, fdb, cdrom and hda to hdd")),
        };
        Ok(Self { text, place })
    }
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Button {
    /// The first.
    Left,
    /// The second.
    Right,
    /// The wheel.
    Middle,
}

impl Button {
    /// Its bit in the state of all.
    pub fn mask(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 2,
            Self::Middle => 4,
        }
    }
}

/// One step. Seconds are guest seconds from the step's start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Step {
    /// Until the text screen shows this; fails after the seconds.
    WaitText(String, Seconds),
    /// Until a line of the screen is exactly this (trailing blanks aside).
    WaitLine(String, Seconds),
    /// Until the text screen no longer shows this.
    WaitNoText(String, Seconds),
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
    /// Takes the medium out of a floppy or CD-ROM drive.
    Eject(Drive),
    /// The screen shows this now.
    ExpectText(String),
    /// The screen does not show this now.
    RejectText(String),
    /// A line of the screen is exactly this now.
    ExpectLine(String),
    /// Until COM1 has sent this, after what the last `WaitSerial` found.
    WaitSerial(String, Seconds),
    /// Sends text to COM1.
    SendSerial(String),
    /// Until port E9h has got this, after what the last `WaitDebugcon` found.
    WaitDebugcon(String, Seconds),
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
    /// Switches the machine off.
    PowerOff,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitText(text, s) => write!(f, "WaitText({text:?}, {s})"),
            Self::WaitLine(text, s) => write!(f, "WaitLine({text:?}, {s})"),
            Self::WaitNoText(text, s) => write!(f, "WaitNoText({text:?}, {s})"),
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
            Self::ExpectText(text) => write!(f, "ExpectText({text:?})"),
            Self::RejectText(text) => write!(f, "RejectText({text:?})"),
            Self::ExpectLine(text) => write!(f, "ExpectLine({text:?})"),
            Self::WaitSerial(text, s) => write!(f, "WaitSerial({text:?}, {s})"),
            Self::SendSerial(text) => write!(f, "SendSerial({text:?})"),
            Self::WaitDebugcon(text, s) => write!(f, "WaitDebugcon({text:?}, {s})"),
            Self::Wait(s) => write!(f, "Wait({s})"),
            Self::ScreenDump(path) => write!(f, "ScreenDump({path:?})"),
            Self::Screenshot(path) => write!(f, "Screenshot({path:?})"),
            Self::Snapshot(path) => write!(f, "Snapshot({path:?})"),
            Self::Restore(path) => write!(f, "Restore({path:?})"),
            Self::Reset => write!(f, "Reset"),
            Self::WaitPowerOff(s) => write!(f, "WaitPowerOff({s})"),
            Self::WaitExit(status, s) => write!(f, "WaitExit({status}, {s})"),
            Self::PowerOff => write!(f, "PowerOff"),
        }
    }
}

/// Parses a script.
pub fn parse(path: &Path, text: &str) -> Result<Script, InputError> {
    let script: Script =
        dialect().from_str(text).map_err(|e| error(path, &e, "see docs/scripting.md for the steps"))?;
    Ok(Script { file: path.to_owned(), lines: lines::of_steps(text), ..script })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        parse(Path::new("s.ron"), text).expect_err(text).to_string()
    }

    #[test]
    fn script_with_every_step_of_the_contract_is_read_in_order() {
        let script = parse(
            Path::new("s.ron"),
            r#"Script(
                timeout: 60, // guest seconds
                steps: [
                    WaitText("press a key", 20),
                    Key("1"), Key("F2"), Key("LeftShift+a"),
                    Type("hello\n"),
                    ExpectText("MTF VM exit"),
                    RejectText("Failure"),
                    WaitSerial("login:", 60), WaitDebugcon("W1 ", 60),
                    Wait(1.5),
                    ScreenDump("screen.txt"), Screenshot("screen.png"),
                    Snapshot("boot.snap"), Restore("boot.snap"),
                    PowerOff,
                ],
            )"#,
        )
        .unwrap();
        assert_eq!(script.timeout, Seconds(60.0));
        let shown: Vec<String> = script.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown.join(" "),
            "WaitText(\"press a key\", 20) Key(\"1\") Key(\"F2\") Key(\"LeftShift+a\") Type(\"hello\\n\") \
             ExpectText(\"MTF VM exit\") RejectText(\"Failure\") WaitSerial(\"login:\", 60) WaitDebugcon(\"W1 \", 60) \
             Wait(1.5) ScreenDump(\"screen.txt\") Screenshot(\"screen.png\") Snapshot(\"boot.snap\") \
             Restore(\"boot.snap\") PowerOff"
        );
    }

    #[test]
    fn every_step_shown_and_parsed_again_is_the_same() {
        let text = "WaitLine(\"a\", 1), WaitNoText(\"b\", 2), WaitStable(0.5, 9), KeyTimes(\"Down\", 18), \
                    KeyDown(\"LeftCtrl\"), KeyUp(\"LeftCtrl\"), ExpectLine(\"c\"), SendSerial(\"d\\n\"), Reset, \
                    MouseMove(-3, 40), MouseWheel(1), Click(Left), ButtonDown(Middle), ButtonUp(Right), \
                    Insert(\"fda\", \"b.img\"), Eject(\"cdrom\"), \
                    WaitPowerOff(3), WaitExit(33, 4)";
        let script = parse(Path::new("s.ron"), &format!("Script(steps: [{text}])")).unwrap();
        let shown: Vec<String> = script.steps.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(", "), text);
    }

    #[test]
    fn script_mistakes_name_line_and_column() {
        let error = fails("Script(\n  steps: [\n    Key(\"Foo\"),\n  ],\n)");
        assert!(error.starts_with("s.ron:3:") && error.contains("\"Foo\" is no key"), "{error}");
        let error = fails("Script(\n  steps: [\n    Push(\"a\"),\n  ],\n)");
        assert!(error.starts_with("s.ron:3:") && error.contains("Push"), "{error}");
        let error = fails("Script(\n  steps: [ Eject(\"C:\") ])");
        assert!(error.starts_with("s.ron:2:") && error.contains("\"C:\" is no drive"), "{error}");
        let error = fails("Script(\n  steps: [ Wait(-1) ])");
        assert!(error.starts_with("s.ron:2:") && error.contains("seconds"), "{error}");
        let error = fails("Script(\n  steps: [ Type(\"é\") ])");
        assert!(error.starts_with("s.ron:2:") && error.contains("no key types"), "{error}");
        let error = fails("Script(\n  steps: [],\n  retries: 3)");
        assert!(error.starts_with("s.ron:3:") && error.contains("retries"), "{error}");
    }
}
