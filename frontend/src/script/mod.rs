//! Scripts: what a guest must show, and what is typed to it. The grammar is a contract (docs/scripting.md).

pub mod check;
pub mod execute;
mod expect;
pub mod header;
pub mod lines;
pub mod step;
pub mod values;

pub use step::{Include, Step};
pub use values::Seconds;

use crate::config::ron::{dialect, words};
use crate::config::sources::{Host, locate};
use crate::config::{BootDevice, Clock, Uefi, size};
use crate::error::InputError;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A script, as messages about one have it.
const KIND: words::Kind = words::Kind { see: "docs/scripting.md for fields and steps", form: step::form };

/// Scripts that may include each other, one in the other.
const MAX_INCLUDES: usize = 16;
/// Most scripts that are included in one.
const MAX_INCLUDED: usize = 1000;
/// Most steps that a script carries out.
const MAX_STEPS: u64 = 1_000_000;

/// A script. What it says of the machine, the command line overrides ([`Script::over`]); files are looked for from the
/// script's folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Guest seconds for the whole script.
    #[serde(default = "default_timeout")]
    pub timeout: Seconds,
    /// A configuration file.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// A disk or floppy image to boot.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// First hard disk's image.
    #[serde(default)]
    pub hda: Option<PathBuf>,
    /// Second hard disk's image.
    #[serde(default)]
    pub hdb: Option<PathBuf>,
    /// Third hard disk's image, in place of the CD-ROM drive.
    #[serde(default)]
    pub hdc: Option<PathBuf>,
    /// Fourth hard disk's image.
    #[serde(default)]
    pub hdd: Option<PathBuf>,
    /// Floppy A:'s image.
    #[serde(default, alias = "floppy")]
    pub fda: Option<PathBuf>,
    /// Floppy B:'s image.
    #[serde(default)]
    pub fdb: Option<PathBuf>,
    /// CD-ROM's ISO image.
    #[serde(default)]
    pub cdrom: Option<PathBuf>,
    /// A folder as a hard disk.
    #[serde(default)]
    pub fat: Option<PathBuf>,
    /// UEFI firmware, as a configuration has it.
    #[serde(default)]
    pub uefi: Option<Uefi>,
    /// What to boot from first.
    #[serde(default)]
    pub boot: Vec<BootDevice>,
    /// Kernel to start directly.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk.
    #[serde(default)]
    pub initrd: Option<PathBuf>,
    /// Its command line.
    #[serde(default)]
    pub append: Option<String>,
    /// Logical processors.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Guest memory in MiB; or a text with a unit.
    #[serde(default, deserialize_with = "size::optional")]
    pub memory: Option<u64>,
    /// CPU model.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Cycles per guest second.
    #[serde(default)]
    pub ips: Option<u64>,
    /// What the clock counts.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// Port of an isa-debug-exit device.
    #[serde(default)]
    pub debug_exit: Option<u16>,
    /// QEMU's pc-testdev and pci-testdev.
    #[serde(default)]
    pub test_devices: bool,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The file, for messages.
    #[serde(skip)]
    pub file: PathBuf,
    /// The line of each step, of those in it behind it.
    #[serde(skip)]
    pub lines: Vec<usize>,
}

fn default_timeout() -> Seconds {
    Seconds(60.0)
}

/// Parses a script; no other file is looked at.
pub fn parse(path: &Path, text: &str) -> Result<Script, InputError> {
    let script: Script = dialect().from_str(text).map_err(|e| words::error(path, text, &e, KIND))?;
    let script = Script { file: path.to_owned(), lines: lines::of_steps(text), ..script };
    script.check_header()?;
    Ok(script)
}

/// Reads a script with all that it includes, and finds the files that it needs.
pub fn load(host: &dyn Host, path: &Path) -> Result<Script, InputError> {
    let mut script = read(host, path)?;
    script.find_machine(host)?;
    script.check_machine(host)?;
    if script.steps.is_empty() {
        return Err(InputError::file(path, "it does nothing").field("steps").remedy("give at least one step"));
    }
    let mut left = Left { scripts: MAX_INCLUDED, steps: MAX_STEPS };
    let too_many = || {
        InputError::file(path, format!("with all that it repeats and includes it has more than {MAX_STEPS} steps"))
            .remedy("make it shorter")
    };
    left.take(&script, 1).ok_or_else(too_many)?;
    script.resolve(host, Place { depth: 0, times: 1 }, &mut left, &too_many)?;
    Ok(script)
}

/// Reads a script, and no other file.
pub fn read(host: &dyn Host, path: &Path) -> Result<Script, InputError> {
    let text = host.read_utf8(path).map_err(|e| {
        InputError::file(path, format!("cannot read the script: {e}")).remedy("give the path of a script in UTF-8")
    })?;
    parse(path, &text)
}

/// What a script may yet include.
#[derive(Debug)]
struct Left {
    scripts: usize,
    steps: u64,
}

impl Left {
    /// Takes the steps that a script has itself, so many times; `None` if they are too many.
    fn take(&mut self, script: &Script, times: u64) -> Option<()> {
        let own = script.steps.iter().fold(0u64, |sum, step| sum.saturating_add(step.work()));
        self.steps = self.steps.checked_sub(own.saturating_mul(times))?;
        Some(())
    }
}

/// What becomes of a step of a script: its number among [`Script::lines`], how often it is carried out.
type Change<'a> = dyn FnMut(&Script, usize, u64, &mut Step) -> Result<(), InputError> + 'a;

/// Where a script is included.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Scripts that have led there.
    depth: usize,
    /// How often it is carried out.
    times: u64,
}

impl Script {
    /// The folder that the script's files are looked for from.
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// An error about the step with this number among [`Script::lines`].
    pub fn step_error(&self, number: usize, step: &str, problem: impl Into<String>) -> InputError {
        let error = InputError::file(&self.file, problem).field(step);
        self.lines.get(number).into_iter().fold(error, |error, &line| error.line(line))
    }

    /// Finds the files that the steps read, and reads the scripts that they include, which stand at `place`.
    fn resolve(
        &mut self,
        host: &dyn Host,
        place: Place,
        left: &mut Left,
        too_many: &dyn Fn() -> InputError,
    ) -> Result<(), InputError> {
        let written = |(.., step): (&Self, usize, &Step)| step.output().cloned();
        let own: HashSet<PathBuf> = self.all_steps().into_iter().filter_map(written).collect();
        let mut steps = std::mem::take(&mut self.steps);
        let result = self.change(&mut steps, 0, place.times, &mut |script, number, times, step| {
            let include = match step {
                Step::Include(include) => include,
                Step::ExpectScreen(path) => {
                    *path = script.folder().join(&*path);
                    return Ok(());
                }
                Step::Insert(_, path) | Step::InsertFloppy(path) | Step::InsertCd(path) | Step::Restore(path) => {
                    // What the script itself writes is in the working folder.
                    if !own.contains(path)
                        && let Some(found) = locate(host, path, &script.file)
                    {
                        *path = found;
                    }
                    return Ok(());
                }
                _ => return Ok(()),
            };
            let text = include.to_string();
            if place.depth + 1 >= MAX_INCLUDES || left.scripts == 0 {
                let problem = format!("more than {MAX_INCLUDES} scripts, one in the other, or {MAX_INCLUDED} in all");
                return Err(script.step_error(number, &text, problem).remedy("does it include itself?"));
            }
            left.scripts -= 1;
            let path = script.folder().join(&include.path);
            let read = host.read_utf8(&path).map_err(|e| {
                script
                    .step_error(number, &text, format!("cannot read {:?}: {e}", path.display().to_string()))
                    .remedy("give the path of a script in UTF-8 from this one's folder")
            })?;
            let mut included = parse(&path, &read)?;
            left.take(&included, times).ok_or_else(too_many)?;
            included.resolve(host, Place { depth: place.depth + 1, times }, left, too_many)?;
            include.script = Some(Box::new(included));
            Ok(())
        });
        self.steps = steps;
        result
    }

    /// Calls `change` with every step of this script, its number among [`Script::lines`] and how often it is carried out;
    /// not with those of scripts that it includes.
    fn change(&self, steps: &mut [Step], first: usize, times: u64, change: &mut Change) -> Result<(), InputError> {
        let mut number = first;
        for step in steps {
            let count = step.count();
            change(self, number, times, step)?;
            if let Step::Repeat(turns, inner) = step {
                self.change(inner, number + 1, times.saturating_mul(turns.0.into()), change)?;
            }
            number += count;
        }
        Ok(())
    }

    /// All steps, also of scripts that this one includes, each with the script in which it stands and its number among
    /// that one's [`Script::lines`].
    pub fn all_steps(&self) -> Vec<(&Self, usize, &Step)> {
        fn add<'s>(script: &'s Script, steps: &'s [Step], first: usize, all: &mut Vec<(&'s Script, usize, &'s Step)>) {
            let mut number = first;
            for step in steps {
                all.push((script, number, step));
                match step {
                    Step::Repeat(_, inner) => add(script, inner, number + 1, all),
                    Step::Include(include) => {
                        include.script.iter().for_each(|script| add(script, &script.steps, 0, all));
                    }
                    _ => {}
                }
                number += step.count();
            }
        }
        let mut all = Vec::new();
        add(self, &self.steps, 0, &mut all);
        all
    }
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
                    Insert(\"fda\", \"b.img\"), Eject(\"cdrom\"), InsertFloppy(\"b.img\"), InsertCd(\"x.iso\"), \
                    WaitPowerOff(3), WaitExit(33, 4), WaitDeath(\"VMX abort\", 5), WaitMatch(\"^a+$\", 3), ExpectMatch(\"b|c\"), \
                    RejectMatch(\"d\"), WaitSerialMatch(\"e\", 1), WaitDebugconMatch(\"f\", 2), \
                    ExpectScreen(\"golden.txt\"), ExpectReg(\"cpu1.rax\", 0x10), ExpectMem(0x7c00, \"eb 3c\"), \
                    ExpectExits(\"CPUID\", 3), ExpectEntryFailure(\"VMfailInvalid\"), \
                    Repeat(3, [Key(\"a\"), Repeat(2, [Wait(1), Reset])]), Include(\"more.ron\")";
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
        for (step, problem) in [
            ("WaitText(\"\", 3)", "the text is empty"),
            ("ExpectMatch(\"a(\")", "is no regular expression: unclosed group"),
            ("ExpectReg(\"rqx\", 1)", "the nearest name is r"),
            ("ExpectExits(\"CPUIT\", 1)", "the nearest is \"CPUID\""),
            ("ExpectEntryFailure(\"guest.cr0\")", "is no rule of VM entry"),
            ("ExpectMem(0, \"e\")", "two hexadecimal digits"),
            ("Repeat(0, [])", "is not 1 to 1000000 times"),
            ("Repeat(2, [Type(\"\")])", "the text is empty"),
        ] {
            let error = fails(&format!("Script(\n  steps: [ {step} ])"));
            assert!(error.starts_with("s.ron:2:") && error.contains(problem), "{step}: {error}");
        }
        assert_eq!(fails("Script(cpus: 0, steps: [])"), "s.ron: cpus: 0 is out of range; give 1 to 254");
        let error = fails("Script(append: \"x\", steps: [])");
        assert_eq!(error, "s.ron: append: there is no kernel that it is for; give a kernel, too");
        let error = fails("Script(\n  steps: [],\n  retries: 3)");
        assert!(error.starts_with("s.ron:3:") && error.contains("retries"), "{error}");
    }
}
