//! A folder of a test's own, which goes with it.

use std::path::{Path, PathBuf};

pub struct Folder(PathBuf);

impl Folder {
    /// A new one in the host's temporary folder; each test has its own name.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rvmx-emu-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the host has a temporary folder");
        Self(path)
    }

    /// A name in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("the file is written");
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
