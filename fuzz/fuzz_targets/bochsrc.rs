//! Bochs configuration files, on a host where half of all files exist and every include is the file itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvmx_emu::config::bochsrc;
use rvmx_emu::config::sources::Host;
use std::path::Path;

struct Maze<'a>(&'a str);

impl Host for Maze<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        name.len().is_multiple_of(2).then(|| name.to_lowercase())
    }

    fn size(&self, path: &Path) -> Option<u64> {
        let length = path.as_os_str().len() as u64;
        length.is_multiple_of(2).then_some(length * 512)
    }

    fn read_text(&self, _path: &Path) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn now(&self) -> i64 {
        0
    }
}

fuzz_target!(|text: &str| {
    match bochsrc::parse(&Maze(text), Path::new("folder/bs"), text) {
        Ok((config, notices)) => {
            config.check("bs").expect("the parser checks every number");
            assert!(notices.iter().all(|notice| !notice.to_string().contains('\n')));
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
});
