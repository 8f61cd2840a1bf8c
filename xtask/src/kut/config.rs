//! `x86/unittests.cfg`: the suite's own list of tests.

/// A section of `unittests.cfg`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// What stands in the brackets.
    pub name: String,
    /// The kernel's file name in `x86/`.
    pub file: String,
    /// Processors; 1 unless the section says otherwise.
    pub cpus: u32,
    /// The test's arguments, one string, quotes removed.
    pub arguments: String,
    /// Memory in MiB, if `qemu_params` has `-m`.
    pub memory: Option<u64>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// A file of the host and the value that it must have.
    pub check: Option<String>,
    /// i386 or x86_64; any if missing.
    pub arch: Option<String>,
}

impl Section {
    /// A test of one processor without arguments.
    pub fn of_file(name: &str, file: &str) -> Self {
        Self { name: name.to_owned(), file: file.to_owned(), cpus: 1, ..Self::default() }
    }

    /// Whether it belongs to the group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// Reads the file. An error says which line and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let at = |what: &str| format!("line {}: {what}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or_else(|| at("a section's name ends with ]"))?;
            sections.push(Section::of_file(name, ""));
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| at("neither a [section] nor key = value"))?;
        let (key, value) = (key.trim(), value.trim());
        let section = sections.last_mut().ok_or_else(|| at("comes before the first section"))?;
        match key {
            "file" => section.file = value.to_owned(),
            "smp" => section.cpus = value.parse().map_err(|_| at("smp is a number of processors"))?,
            "test_args" => section.arguments = unquoted(value).to_owned(),
            "extra_params" | "qemu_params" => {
                section.memory = memory(value).map_err(|word| at(&format!("{word} is no amount of memory")))?;
            }
            "groups" => section.groups = value.split_whitespace().map(str::to_owned).collect(),
            "check" => section.check = Some(value.to_owned()),
            "arch" => section.arch = Some(value.to_owned()),
            // Limits of time are those of a processor of some GHz under KVM; accelerators and machines are QEMU's.
            "timeout" | "accel" | "machine" | "disabled_if" => {}
            _ => return Err(at("unknown key")),
        }
    }
    match sections.iter().find(|section| section.file.is_empty()) {
        Some(section) => Err(format!("section [{}] has no file", section.name)),
        None => Ok(sections),
    }
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// The MiB after `-m` in a command line of QEMU.
fn memory(parameters: &str) -> Result<Option<u64>, &str> {
    let mut words = parameters.split_whitespace();
    if !words.any(|word| word == "-m") {
        return Ok(None);
    }
    let word = words.next().unwrap_or_default();
    let (digits, factor) = match word.strip_suffix(['g', 'G']) {
        Some(digits) => (digits, 1024),
        None => (word.strip_suffix(['m', 'M']).unwrap_or(word), 1),
    };
    digits.parse::<u64>().ok().and_then(|amount| amount.checked_mul(factor)).map(Some).ok_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_with_all_keys_is_read() {
        let text = "# a comment\n[vmx_a]\nfile = vmx.flat\nsmp = 2\ntest_args = \"a -b*\"\n\
                    qemu_params = -cpu max,+vmx -m 2560\narch = x86_64\ngroups = vmx nodefault\ntimeout = 10\n\
                    check = /sys/x=Y\n\n[b]\nfile = b.flat\ntest_args = 'c'\nqemu_params = -m 4g\n";
        let sections = parse(text).unwrap();
        let first = &sections[0];
        assert_eq!((first.name.as_str(), first.file.as_str(), first.cpus), ("vmx_a", "vmx.flat", 2));
        assert_eq!((first.arguments.as_str(), first.memory), ("a -b*", Some(2560)));
        assert!(first.is_in("vmx") && first.is_in("nodefault") && !first.is_in("vm"));
        assert_eq!((first.check.as_deref(), first.arch.as_deref()), (Some("/sys/x=Y"), Some("x86_64")));
        assert_eq!((sections[1].cpus, sections[1].arguments.as_str(), sections[1].memory), (1, "c", Some(4096)));
    }

    #[test]
    fn line_that_is_wrong_is_named() {
        assert!(parse("file = a.flat\n").unwrap_err().starts_with("line 1: "));
        assert!(parse("[a]\nfile = a.flat\nspm = 2\n").unwrap_err().starts_with("line 3: unknown key"));
        assert!(parse("[a]\nsmp = two\n").unwrap_err().contains("number of processors"));
        assert!(parse("[a]\nfile = a.flat\nqemu_params = -m lots\n").unwrap_err().contains("lots"));
        assert!(parse("[a]\nsmp = 2\n").unwrap_err().contains("[a] has no file"));
    }
}
