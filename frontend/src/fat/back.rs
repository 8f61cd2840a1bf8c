//! From the image back into the folder.

use super::image::{self, Partition};
use super::tree::{Entry, MAX_DEPTH, MAX_ENTRIES, Tree, check_name, digest, key};
use fatfs::Dir;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// What the guest's changes came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files written, new ones and changed ones.
    pub written: usize,
    /// Files and folders removed.
    pub removed: usize,
    /// Files that both sides have changed: the guest's is under this other name.
    pub conflicts: Vec<PathBuf>,
}

type Folder<'a> = Dir<'a, Partition>;

/// What the image holds.
fn read_tree(folder: &Folder, prefix: &str, depth: usize, left: &mut u64, tree: &mut Tree) -> io::Result<()> {
    let bad = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    if depth > MAX_DEPTH {
        return Err(bad(format!("folders lie in each other more than {MAX_DEPTH} deep")));
    }
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        check_name(&name).map_err(|problem| bad(format!("the name {name:?} {problem}")))?;
        let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let found = if entry.is_dir() {
            read_tree(&entry.to_dir(), &relative, depth + 1, left, tree)?;
            Entry::Folder
        } else {
            // Files that share clusters could be longer than the disk, all together.
            *left =
                left.checked_sub(entry.len()).ok_or_else(|| bad("its files are longer than the disk".to_owned()))?;
            let (length, hash) = digest(entry.to_file())?;
            if length != entry.len() {
                return Err(bad(format!("{relative:?} ends too early")));
            }
            Entry::File { length, hash }
        };
        if tree.0.insert(key(&relative), (relative.clone(), found)).is_some() {
            return Err(bad(format!("the name {relative:?} is there twice")));
        }
        if tree.0.len() > MAX_ENTRIES {
            return Err(bad(format!("more than {MAX_ENTRIES} files are in it")));
        }
    }
    Ok(())
}

/// The same error with the path that it is about.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a path lies in the folder, and not behind a link: a folder may have become one since the disk was made.
fn inside(folder: &Path, path: &Path) -> bool {
    let mut parents = path.ancestors().skip(1).take_while(|parent| *parent != folder);
    parents.all(|parent| fs::symlink_metadata(parent).is_ok_and(|metadata| metadata.is_dir()))
}

/// What is at a path of the host's: not what a link leads to.
fn on_host(path: &Path) -> io::Result<Option<Entry>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other?,
    };
    if metadata.is_dir() {
        return Ok(Some(Entry::Folder));
    }
    if !metadata.is_file() {
        // A link or special file: nothing that the image can have.
        return Ok(Some(Entry::File { length: u64::MAX, hash: 0 }));
    }
    let (length, hash) = digest(File::open(path)?)?;
    Ok(Some(Entry::File { length, hash }))
}

/// A name beside `path` that is free.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 0..1000 {
        let ending = if number == 0 { ".guest".to_owned() } else { format!(".guest{number}") };
        let other = path.with_file_name(format!("{name}{ending}"));
        if fs::symlink_metadata(&other).is_err() {
            return Ok(other);
        }
    }
    Err(io::Error::other(format!("{}: there is no free name beside it", path.display())))
}

/// Writes a file of the image's: whole under another name first, so that half of one never takes the old one's place.
fn write_file(root: &Folder, relative: &str, to: &Path) -> io::Result<()> {
    let temporary = beside(&to.with_file_name(".rvmx-emu-new"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    // It keeps what may be done with it.
    if let Ok(old) = fs::symlink_metadata(to) {
        file.set_permissions(old.permissions())?;
    }
    let written = io::copy(&mut root.open_file(relative)?, &mut file).and_then(|_| fs::rename(&temporary, to));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Where an entry of the image's lies on the host: folders keep the names that they have there.
fn place(folder: &Path, before: &Tree, relative: &str) -> PathBuf {
    let mut path = folder.to_owned();
    let mut so_far = String::new();
    for name in relative.split('/') {
        if !so_far.is_empty() {
            so_far.push('/');
        }
        so_far.push_str(name);
        let known = before.0.get(&key(&so_far)).and_then(|(path, _)| path.rsplit('/').next());
        path.push(known.unwrap_or(name));
    }
    path
}

fn carry_back(folder: &Path, before: &Tree, image: &Path) -> io::Result<Report> {
    let system = image::open(image)?;
    let root = system.root_dir();
    let (mut after, mut left) = (Tree::default(), fs::metadata(image)?.len());
    // Everything is read before anything is written.
    read_tree(&root, "", 0, &mut left, &mut after)?;
    let mut report = Report::default();
    let changed = |key: &String, entry: &Entry| before.0.get(key).map(|(_, entry)| entry) != Some(entry);
    let mut entries: Vec<_> = after.0.iter().filter(|(key, (_, entry))| changed(key, entry)).collect();
    entries.sort_by_key(|(_, (path, _))| path.matches('/').count());
    // What is gone goes first: a file may have become a folder.
    for (key, (relative, entry)) in before.0.iter().rev() {
        let there = after.0.get(key).map(|(_, entry)| matches!(entry, Entry::Folder));
        if there == Some(matches!(entry, Entry::Folder)) {
            continue;
        }
        let path = folder.join(relative);
        let removed = inside(folder, &path)
            && match entry {
                // One that the host has put something into stays.
                Entry::Folder => fs::remove_dir(&path).is_ok(),
                Entry::File { .. } => {
                    on_host(&path).is_ok_and(|there| there.as_ref() == Some(entry)) && fs::remove_file(&path).is_ok()
                }
            };
        report.removed += usize::from(removed);
    }
    // One that cannot be brought back does not keep the others from it.
    let mut failed = None;
    for (key, (relative, entry)) in entries {
        let path = place(folder, before, relative);
        let known = before.0.get(key).map(|(_, entry)| entry);
        if let Err(error) = bring_back(folder, &root, relative, entry, known, &path, &mut report) {
            failed.get_or_insert(at(&path)(error));
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

/// Brings one entry of the image's to `path`, where `known` was when the disk was made.
fn bring_back(
    folder: &Path,
    root: &Folder,
    relative: &str,
    entry: &Entry,
    known: Option<&Entry>,
    path: &Path,
    report: &mut Report,
) -> io::Result<()> {
    if !inside(folder, path) {
        return Err(io::Error::other("a folder above it is none any longer"));
    }
    let there = on_host(path)?;
    let read_only = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.permissions().readonly());
    match entry {
        Entry::Folder if there == Some(Entry::Folder) => {}
        Entry::Folder => fs::create_dir(path)?,
        Entry::File { .. } if there.as_ref() == Some(entry) => {}
        Entry::File { .. } if there.is_none() || there.as_ref() == known && !read_only => {
            write_file(root, relative, path)?;
            report.written += 1;
        }
        Entry::File { .. } => {
            let other = beside(path)?;
            write_file(root, relative, &other)?;
            report.conflicts.push(other);
        }
    }
    Ok(())
}

/// Brings the image's changes into the folder; what is in the way as an error.
pub fn write_back(folder: &Path, before: &Tree, image: &Path) -> Result<Report, String> {
    // The guest decides what is in the image, and a crate reads it: a panic there is one more way in which it is unsound.
    let result = std::panic::catch_unwind(|| carry_back(folder, before, image));
    match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(format!("what the guest has left on the disk cannot be brought back: {error}")),
        Err(_) => Err("what the guest has left on the disk is no sound FAT file system".to_owned()),
    }
}
