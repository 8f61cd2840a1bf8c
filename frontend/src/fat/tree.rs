//! What a folder holds: names, sizes and hashes.

use crate::error::InputError;
use emu_core::hash::StableHash;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most files and folders, and the deepest nesting.
pub const MAX_ENTRIES: usize = 100_000;
pub const MAX_DEPTH: usize = 32;
/// Most files and folders in one folder: each costs a search through those before it.
pub const MAX_IN_FOLDER: usize = 1000;
/// Most bytes of all files: what a FAT32 file system of 4 KiB clusters has room for, with half of it free.
pub const MAX_TOTAL: u64 = 16 << 30;
/// The longest file of a FAT file system, in bytes.
const LONGEST: u64 = u32::MAX as u64;

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file: its length and the hash of its bytes, 0 until they were read.
    File { length: u64, hash: u64 },
}

/// What is in a folder, by path with `/` between the names. FAT knows no case, so the key has none; the path itself is
/// beside the entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, (String, Entry)>);

/// What of a folder is not on the disk: links and special files.
pub type LeftOut = Vec<PathBuf>;

/// The key of a path.
pub fn key(path: &str) -> String {
    path.to_uppercase()
}

/// Whether a name can be that of a file on both sides; what is in the way of it as an error. What the guest calls its
/// files comes here, too.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let reserved = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    if name.is_empty() || name == "." || name == ".." {
        return Err("is no name");
    }
    if name.encode_utf16().count() > 255 {
        return Err("is longer than 255 characters");
    }
    if name.chars().any(reserved) {
        return Err("has a character that FAT file systems do not have in names");
    }
    if name.ends_with(['.', ' ']) {
        return Err("ends in a dot or a blank");
    }
    Ok(())
}

/// Bytes that are read and hashed together.
const PIECE: u64 = 1 << 16;

/// Reads `from` to its end and gives each piece to `each`; the entry of a file that holds this.
pub fn read_through(mut from: impl Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Entry> {
    let (mut length, mut hash, mut buffer) = (0, StableHash::new(), Vec::with_capacity(PIECE as usize));
    loop {
        buffer.clear();
        // Whole pieces: how many bytes a read brings must not be in the hash.
        if from.by_ref().take(PIECE).read_to_end(&mut buffer)? == 0 {
            return Ok(Entry::File { length, hash: hash.get() });
        }
        length += buffer.len() as u64;
        hash.bytes(&buffer);
        each(&buffer)?;
    }
}

impl Tree {
    /// What a folder of the host's holds, and what is left out.
    pub fn of_folder(folder: &Path) -> Result<(Self, LeftOut), InputError> {
        if !folder.is_dir() {
            return Err(InputError::file(folder, "it is no folder").remedy("give a folder with --fat"));
        }
        let mut tree = Self::default();
        let mut left_out = LeftOut::new();
        tree.add_folder(folder, "", 0, &mut left_out)?;
        let total: u64 =
            tree.0.values().map(|(_, entry)| if let Entry::File { length, .. } = entry { *length } else { 0 }).sum();
        if total > MAX_TOTAL {
            let problem = format!("its files have {total} bytes; {MAX_TOTAL} is the most");
            return Err(InputError::file(folder, problem).remedy("give a folder with what the guest needs"));
        }
        Ok((tree, left_out))
    }

    fn add_folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        left_out: &mut LeftOut,
    ) -> Result<(), InputError> {
        let io = |e: io::Error| InputError::io(folder, "read the folder", &e);
        if depth > MAX_DEPTH {
            let problem = format!("folders lie in each other more than {MAX_DEPTH} deep");
            return Err(InputError::file(folder, problem).remedy("give a folder with what the guest needs"));
        }
        let mut entries = fs::read_dir(folder).map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        if entries.len() > MAX_IN_FOLDER {
            let problem = format!("it has {} files; {MAX_IN_FOLDER} is the most in one folder", entries.len());
            return Err(InputError::file(folder, problem).remedy("give a folder with what the guest needs"));
        }
        for entry in entries {
            let path = entry.path();
            let bad = |problem: &str| InputError::file(&path, format!("its name {problem}")).remedy("rename it");
            let name = entry.file_name().into_string().map_err(|_| bad("is no text"))?;
            check_name(&name).map_err(bad)?;
            if name.chars().any(|c| c > '\u{FFFF}') {
                return Err(bad("has a character beyond U+FFFF, which the disk's names do not have"));
            }
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(io)?;
            let found = if kind.is_dir() {
                Entry::Folder
            } else if kind.is_file() {
                let length = entry.metadata().map_err(io)?.len();
                if length > LONGEST {
                    return Err(
                        InputError::file(&path, "it is longer than a file of a FAT file system").remedy("remove it")
                    );
                }
                Entry::File { length, hash: 0 }
            } else {
                left_out.push(path);
                continue;
            };
            let is_folder = found == Entry::Folder;
            if let Some((other, _)) = self.0.insert(key(&relative), (relative.clone(), found)) {
                return Err(bad(&format!("differs from that of {other:?} in case alone")));
            }
            if self.0.len() > MAX_ENTRIES {
                return Err(InputError::file(folder, format!("more than {MAX_ENTRIES} files are in it"))
                    .remedy("give a folder with what the guest needs"));
            }
            if is_folder {
                self.add_folder(&path, &relative, depth + 1, left_out)?;
            }
        }
        Ok(())
    }
}
