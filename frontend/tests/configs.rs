//! Forty configuration files in the styles that people have. The first line of each says what it comes to.

use rvmx_emu::cli::load_config;
use rvmx_emu::config::sources::Host;
use rvmx_emu::config::{MachineConfig, Severity, Stream, dump, options, ron};
use std::path::{Path, PathBuf};

/// A host that has every image, disc, ROM and kernel that is asked for, and the configurations.
struct Images;

impl Host for Images {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn size(&self, path: &Path) -> Option<u64> {
        let ending = path.extension()?.to_str()?;
        let there = ["img", "iso", "bin"].contains(&ending) && !path.starts_with("/usr");
        there.then_some(if path.ends_with("hd.img") { 20 * 16 * 63 * 512 } else { 1_032_192 })
    }

    fn read_text(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }

    fn now(&self) -> i64 {
        0
    }
}

fn serial(stream: &Stream) -> &'static str {
    match stream {
        Stream::None => "none",
        Stream::Stdio => "stdio",
        Stream::File(_) => "file",
        Stream::Listen(_) => "listen",
        Stream::Connect(_) => "connect",
        Stream::Unix(_) => "unix",
        Stream::UnixConnect(_) => "unix-connect",
        Stream::Pty => "pty",
        Stream::Device(_) => "device",
    }
}

/// What a configuration comes to, in the words of the first lines.
fn fact(config: &MachineConfig, key: &str, warnings: usize) -> String {
    match key {
        "cpus" => config.cpus.to_string(),
        "memory" => config.memory.to_string(),
        "boot" => config.boot.iter().map(|device| format!("{device:?}").to_lowercase()).collect::<Vec<_>>().join(","),
        "serial" => serial(&config.serial).to_owned(),
        "warnings" => warnings.to_string(),
        other => panic!("{other}"),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn forty_files_in_peoples_styles_come_to_what_they_say() {
    let files = files();
    assert_eq!(files.len(), 40);
    for file in files {
        let (config, notices) = load_config(&Images, &file).unwrap_or_else(|e| panic!("{e}"));
        let warnings: Vec<String> =
            notices.iter().filter(|n| n.severity == Severity::Warning).map(ToString::to_string).collect();
        let text = std::fs::read_to_string(&file).expect("a text");
        let expected = text.lines().next().expect("a first line").trim_start_matches(['#', '/', ' ']).trim();
        for (key, value) in expected.split(' ').filter_map(|word| word.split_once('=')) {
            assert_eq!(fact(&config, key, warnings.len()), value, "{}: {key}: {warnings:#?}", file.display());
        }
    }
}

#[test]
fn every_option_that_is_read_or_named_is_in_the_documentation() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md")).expect("a text");
    let ranges = ["optromimage", "optramimage", "com", "ata"];
    let names = options::READ.iter().copied().chain(options::UNREAD.iter().map(|option| option.name));
    for name in names.filter(|name| !ranges.iter().any(|range| name.starts_with(range))) {
        let seldom =
            ["pcidev_debug", "print_stats", "dumpstats", "debugger_gui", "vga_update_frequency", "keyboard_keymapping"];
        assert!(seldom.contains(&name) || text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn each_of_the_forty_is_the_same_after_it_is_dumped_and_read() {
    for file in files() {
        let (config, _) = load_config(&Images, &file).unwrap_or_else(|e| panic!("{e}"));
        let text = dump::text(&config).expect("a text");
        assert_eq!(ron::parse(Path::new("dump.ron"), &text), Ok(config), "{}", file.display());
    }
}
