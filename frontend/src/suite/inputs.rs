//! The files that scripts need and make, so that the report destroys none of them.

use crate::cli::{self, RunArgs};
use crate::config::sources::RealHost;
use crate::files::InUse;
use crate::script::{self, Step};
use crate::session;
use std::path::{Path, PathBuf};

/// The files of all scripts, in use for as long as the result lives; of a script with mistakes, as far as it can be read.
pub(super) fn of_all(scripts: &[PathBuf]) -> Vec<InUse> {
    let mut used = Vec::new();
    for path in scripts {
        let mut own = InUse::default();
        own.add(path, "a script that is to run");
        of_script(path, &mut own, &mut used);
        used.push(own);
    }
    used
}

fn of_script(path: &Path, own: &mut InUse, used: &mut Vec<InUse>) {
    let loaded = script::load(&RealHost, path);
    let is_whole = loaded.is_ok();
    let Ok(script) = loaded.or_else(|_| script::read(&RealHost, path)) else { return };
    for (script, _, step) in script.all_steps() {
        let folder = script.folder();
        let mut add = |path: &Path, role: &str| {
            own.add(path, role);
            if !is_whole {
                own.add(&folder.join(path), role);
            }
        };
        step.output().iter().for_each(|path| add(path, "output of a script"));
        step.medium().iter().for_each(|path| add(path, "a medium"));
        step.restored().iter().for_each(|path| add(path, "a snapshot"));
        match step {
            // Also one that is to be written.
            Step::ExpectScreen(path) => add(path, "a golden screen"),
            Step::Include(include) => own.add(&folder.join(&include.path), "a script that is to run"),
            _ => {}
        }
    }
    for path in script.machine_files() {
        own.add(path, "a file of a script's machine");
        own.add(&script.folder().join(path), "a file of a script's machine");
    }
    // What a configuration file names, too.
    let args = script.over(&RunArgs { script: Some(path.to_owned()), ..RunArgs::default() });
    if let Ok((settings, _)) = cli::settings(&RealHost, &args) {
        used.push(session::inputs(&args, &settings, Some(&script)));
    }
}
