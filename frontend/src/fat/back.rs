//! From the image back into the folder.

use super::image::{self, Partition};
use super::tree::{Entry, MAX_DEPTH, MAX_ENTRIES, Tree, check_name, key, read_through};
use crate::files;
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
    /// Files and folders whose names differ in case from those that they had.
    pub renamed: usize,
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
            let file = read_through(entry.to_file(), |_| Ok(()))?;
            if !matches!(file, Entry::File { length, .. } if length == entry.len()) {
                return Err(bad(format!("{relative:?} ends too early")));
            }
            file
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
    read_through(File::open(path)?, |_| Ok(())).map(Some)
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
fn write_file(from: &mut impl io::Read, to: &Path) -> io::Result<()> {
    let temporary = beside(&to.with_file_name(".rvmx-emu-new"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    // It keeps what may be done with it.
    if let Ok(old) = fs::symlink_metadata(to) {
        file.set_permissions(old.permissions())?;
    }
    let written = io::copy(from, &mut file).and_then(|_| fs::rename(&temporary, to));
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

/// What is carried back, and what came of it.
struct Carrying<'a> {
    folder: &'a Path,
    before: &'a Tree,
    after: &'a Tree,
    report: Report,
    /// The first thing that could not be brought back: it does not keep the others from it.
    failed: Option<io::Error>,
}

fn carry_back(folder: &Path, before: &Tree, image: &Path) -> io::Result<Report> {
    if !folder.is_dir() {
        return Err(io::Error::other("the folder is not there any longer"));
    }
    let system = image::open(image).map_err(at(image))?;
    let root = system.root_dir();
    let (mut after, mut left) = (Tree::default(), fs::metadata(image)?.len());
    // Everything is read before anything is written.
    read_tree(&root, "", 0, &mut left, &mut after)?;
    let mut carrying = Carrying { folder, before, after: &after, report: Report::default(), failed: None };
    // What is gone goes first: a file may have become a folder.
    carrying.remove();
    carrying.bring_folder(&root, "")?;
    carrying.rename();
    match carrying.failed {
        Some(error) => Err(error),
        None => Ok(carrying.report),
    }
}

impl Carrying<'_> {
    /// Removes what the guest has removed, unless the host has changed it.
    fn remove(&mut self) {
        for (key, (relative, entry)) in self.before.0.iter().rev() {
            let there = self.after.0.get(key).map(|(_, entry)| matches!(entry, Entry::Folder));
            if there == Some(matches!(entry, Entry::Folder)) {
                continue;
            }
            let path = self.folder.join(relative);
            let removed = inside(self.folder, &path)
                && match entry {
                    // One that the host has put something into stays.
                    Entry::Folder => fs::remove_dir(&path).is_ok(),
                    Entry::File { .. } => {
                        on_host(&path).is_ok_and(|there| there.as_ref() == Some(entry))
                            && fs::remove_file(&path).is_ok()
                    }
                };
            self.report.removed += usize::from(removed);
        }
    }

    /// Brings back what has changed in one of the image's folders.
    fn bring_folder(&mut self, folder: &Folder, prefix: &str) -> io::Result<()> {
        for found in folder.iter() {
            let found = found?;
            let name = found.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let key = key(&relative);
            let Some((_, entry)) = self.after.0.get(&key) else { continue };
            let known = self.before.0.get(&key).map(|(_, entry)| entry);
            if known != Some(entry) {
                let path = place(self.folder, self.before, &relative);
                let brought = if found.is_dir() {
                    self.bring_back(&mut io::empty(), entry, known, &path)
                } else {
                    self.bring_back(&mut found.to_file(), entry, known, &path)
                };
                if let Err(error) = brought {
                    self.failed.get_or_insert(at(&path)(error));
                }
            }
            if found.is_dir() {
                self.bring_folder(&found.to_dir(), &relative)?;
            }
        }
        Ok(())
    }

    /// Brings one entry of the image's to `path`, where `known` was when the disk was made.
    fn bring_back(
        &mut self,
        from: &mut impl io::Read,
        entry: &Entry,
        known: Option<&Entry>,
        path: &Path,
    ) -> io::Result<()> {
        if !inside(self.folder, path) {
            return Err(io::Error::other("a folder above it is none any longer"));
        }
        let there = on_host(path)?;
        let read_only = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.permissions().readonly());
        match entry {
            Entry::Folder if there == Some(Entry::Folder) => {}
            Entry::Folder => fs::create_dir(path)?,
            Entry::File { .. } if there.as_ref() == Some(entry) => {}
            Entry::File { .. } if there.is_none() || there.as_ref() == known && !read_only => {
                write_file(from, path)?;
                self.report.written += 1;
            }
            Entry::File { .. } => {
                let other = beside(path)?;
                write_file(from, &other)?;
                self.report.conflicts.push(other);
            }
        }
        Ok(())
    }

    /// Gives what the guest has renamed in case alone its new name, what lies deepest first. A name in capitals may be that
    /// of a guest without long names, which knows no others: the host's stays.
    fn rename(&mut self) {
        let mut renamed: Vec<_> = self
            .after
            .0
            .iter()
            .filter_map(|(key, (after, _))| {
                let before = &self.before.0.get(key)?.0;
                let names = (before.rsplit('/').next()?, after.rsplit('/').next()?);
                (names.0 != names.1 && names.1 != super::tree::key(names.0)).then_some((before, names.1))
            })
            .collect();
        renamed.sort_by_key(|(before, _)| std::cmp::Reverse(before.matches('/').count()));
        for (before, name) in renamed {
            let path = self.folder.join(before);
            let new = path.with_file_name(name);
            let taken = fs::symlink_metadata(&new).is_ok() && !files::is_same(&path, &new);
            if taken || !inside(self.folder, &path) || fs::symlink_metadata(&path).is_err() {
                continue;
            }
            match fs::rename(&path, new) {
                Ok(()) => self.report.renamed += 1,
                Err(error) => drop(self.failed.get_or_insert(at(&path)(error))),
            }
        }
    }
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
