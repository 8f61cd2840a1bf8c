//! `kvm-unit-tests/plan.ron`: which tests are run and how, and which failures are no fault of ours.

use super::config::Section;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The tests that need no VMX.
    tests: Vec<Entry>,
    /// What the tests of the group vmx need besides their sections.
    vmx: Vec<Entry>,
    /// Failures with their reasons.
    pub exceptions: Vec<Exception>,
}

/// How one test is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Its section in `unittests.cfg`.
    name: String,
    /// The file of a test that has no section.
    #[serde(default)]
    file: Option<String>,
    /// Processors, instead of what the section says.
    #[serde(default)]
    cpus: Option<u32>,
    /// TEST_DEVICE in the environment file: whether the test may use what only QEMU with KVM has.
    #[serde(default = "yes")]
    test_device: bool,
    /// Guest seconds after which it hangs.
    #[serde(default = "limit")]
    limit: u32,
    /// Why it is run like this, for the table.
    #[serde(default)]
    note: Option<String>,
    /// Why it is not run.
    #[serde(default)]
    left_out: Option<String>,
    /// What of it is not run on some CPU models.
    #[serde(default)]
    without: Vec<Without>,
}

/// A part of a test that ends it on a CPU model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Without {
    /// The models.
    models: Vec<String>,
    /// What is put behind the test's arguments to leave the part out.
    argument: String,
    /// Why.
    reason: String,
}

const fn yes() -> bool {
    true
}

/// The largest tests that are no benchmarks take a tenth of it.
const fn limit() -> u32 {
    120
}

/// A failure that is no fault of ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The tests that it is in.
    pub tests: Vec<String>,
    /// The CPU models that it is on; on all, without one.
    #[serde(default)]
    pub models: Vec<String>,
    /// What a cycle is where it fails; with any clock, without one.
    #[serde(default)]
    pub clock: Option<String>,
    /// A part of the line that reports it.
    pub line: String,
    /// What kind of reason it is.
    pub kind: Kind,
    /// The reason, with the section of the SDM or what it is that KVM adds.
    pub reason: String,
}

/// The reasons that there are. "Not implemented" is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// The test expects what this processor, or any real one, does not do.
    WrongExpectation,
    /// The test needs something that KVM adds to a processor.
    KvmFeature,
}

impl Kind {
    /// As the table says it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::WrongExpectation => "wrong expectation",
            Self::KvmFeature => "KVM's own feature",
        }
    }
}

/// A test to run.
#[derive(Debug, Clone)]
pub struct Test {
    /// What `unittests.cfg` says.
    pub section: Section,
    /// TEST_DEVICE in the environment file.
    pub test_device: bool,
    /// Guest seconds.
    pub limit: u32,
    /// For the table.
    pub note: Option<String>,
    /// Why it is not run.
    pub left_out: Option<String>,
}

/// Which tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Those that need no VMX.
    Basic,
    /// The group vmx.
    Vmx,
    /// By name.
    Named(&'a [String]),
}

impl Plan {
    /// The plan of this repository.
    pub fn ours() -> Result<Self, String> {
        ron::from_str(include_str!("../../kvm-unit-tests/plan.ron")).map_err(|error| error.to_string())
    }

    /// With what is said of one CPU model and one clock alone.
    pub fn of_machine(mut self, model: &str, clock: &str) -> Self {
        self.exceptions.retain(|exception| {
            (exception.models.is_empty() || exception.models.iter().any(|m| m == model))
                && exception.clock.as_ref().is_none_or(|c| c == clock)
        });
        for entry in self.tests.iter_mut().chain(&mut self.vmx) {
            entry.without.retain(|without| without.models.iter().any(|m| m == model));
        }
        self
    }

    /// The tests to run, in the order of the plan, or of `unittests.cfg` for the group vmx.
    pub fn select(&self, sections: &[Section], which: Which) -> Result<Vec<Test>, String> {
        match which {
            Which::Basic => self.tests.iter().map(|entry| entry.test(sections)).collect(),
            Which::Vmx => {
                let group = sections.iter().filter(|section| section.is_in("vmx"));
                Ok(group.map(|section| self.entry(&section.name).of(section)).collect())
            }
            Which::Named(names) => names.iter().map(|name| self.entry(name).test(sections)).collect(),
        }
    }

    /// A test that the plan does not name is run as its section says.
    fn entry(&self, name: &str) -> Entry {
        let known = self.tests.iter().chain(&self.vmx).find(|entry| entry.name == name);
        let plain = || Entry {
            name: name.to_owned(),
            file: None,
            cpus: None,
            test_device: yes(),
            limit: limit(),
            note: None,
            left_out: None,
            without: Vec::new(),
        };
        known.cloned().unwrap_or_else(plain)
    }
}

impl Entry {
    fn test(&self, sections: &[Section]) -> Result<Test, String> {
        if let Some(file) = &self.file {
            return Ok(self.of(&Section::of_file(&self.name, file)));
        }
        let section = sections.iter().find(|section| section.name == self.name);
        section.map(|section| self.of(section)).ok_or_else(|| format!("no section [{}]", self.name))
    }

    fn of(&self, section: &Section) -> Test {
        let mut arguments = section.arguments.clone();
        let mut notes: Vec<&str> = self.note.iter().map(String::as_str).collect();
        for Without { argument, reason, .. } in &self.without {
            arguments = [arguments.as_str(), argument].join(" ").trim_start().to_owned();
            notes.push(reason);
        }
        Test {
            section: Section { cpus: self.cpus.unwrap_or(section.cpus), arguments, ..section.clone() },
            test_device: self.test_device,
            limit: self.limit,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
            left_out: self.left_out.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_in_the_repository_names_each_test_once_and_each_exception_has_a_reason() {
        let plan = Plan::ours().unwrap();
        let names: Vec<_> = plan.tests.iter().chain(&plan.vmx).map(|entry| &entry.name).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name} twice");
        }
        for exception in &plan.exceptions {
            assert!(exception.reason.len() > 20 && !exception.line.is_empty(), "{exception:?}");
            assert!(!exception.reason.to_lowercase().contains("implemented"), "{exception:?}");
            assert!(!exception.tests.is_empty(), "{exception:?}");
            let known = |model: &String| emu_core::model::CpuModel::names().any(|name| name == model);
            assert!(exception.models.iter().all(known), "{exception:?}");
        }
    }

    #[test]
    fn vmx_tests_are_those_of_the_group_and_named_ones_may_have_no_section() {
        let plan = Plan::ours().unwrap();
        let section =
            |name: &str, group: &str| Section { groups: vec![group.to_owned()], ..Section::of_file(name, "vmx.flat") };
        let sections = [section("a", "vmx"), section("b", "apic")];
        let vmx = plan.select(&sections, Which::Vmx).unwrap();
        assert_eq!(vmx.iter().map(|test| test.section.name.as_str()).collect::<Vec<_>>(), ["a"]);
        let names = ["b".to_owned(), "hpet_read_test".to_owned()];
        assert_eq!(plan.select(&sections, Which::Named(&names)).unwrap()[1].section.file, "hpet_read_test.flat");
        assert!(plan.select(&sections, Which::Named(&["c".to_owned()])).is_err());
    }
}
