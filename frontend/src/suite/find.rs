//! Which scripts there are.

use crate::config::sources::MAX_TEXT_BYTES;
use crate::error::InputError;
use crate::files;
use crate::script::lines::is_script;
use crate::script::values::short;
use regex::Regex;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The scripts of these files and folders whose path a regular expression matches; those of a folder in order of their
/// names. None at all is an error.
pub(super) fn scripts(paths: &[PathBuf], filter: Option<&str>) -> Result<Vec<PathBuf>, InputError> {
    let filter = filter.map(Regex::new).transpose().map_err(|e| {
        let problem = format!("{:?} is no regular expression: {}", filter.unwrap_or_default(), short(&e));
        InputError::new("--filter", problem).remedy("put a backslash before a character that is meant as it is")
    })?;
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path)
            .map_err(|e| InputError::io(path, "read the script", &e).remedy("give scripts or folders of scripts"))?;
        if metadata.is_dir() {
            in_folder(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(InputError::new(names.join(", "), "there is no script in it")
            .remedy("a script is a *.ron that begins with Script("));
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(identity(path)));
    let all = found.len();
    found.retain(|path| filter.as_ref().is_none_or(|filter| filter.is_match(&path.to_string_lossy())));
    if found.is_empty() {
        let problem = format!("none of {all} scripts has a path that it matches");
        return Err(InputError::new("--filter", problem).remedy("give another regular expression"));
    }
    Ok(found)
}

/// Links to folders are not followed.
fn in_folder(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), InputError> {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(folder).to_owned();
            InputError::file(&path, format!("cannot read the folder: {e}")).remedy("give a folder that can be read")
        })?;
        let path = entry.path();
        let is_ron = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ron"));
        if is_ron && path.is_file() && may_be_script(path) {
            found.push(path.to_owned());
        }
    }
    Ok(())
}

/// What makes two paths one test: a script's files are looked for from the folder that its path names, and a link to it
/// may stand in another one.
fn identity(path: &Path) -> (PathBuf, PathBuf) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let known = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    (known(folder), known(path))
}

/// Whether a file begins as a script does, in whatever encoding, or does not let anybody see: running it tells what is
/// wrong with it.
fn may_be_script(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let Ok(_) = files::open(path).and_then(|file| file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes)) else {
        return true;
    };
    // Of UTF-16, whose other bytes are 0 where the text is ASCII.
    bytes.retain(|&byte| byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    is_script(text.trim_start_matches(['\u{FEFF}', '\u{FFFD}']))
}
