//! The timeline of VM exits of a run that nobody debugs.

use super::cmd_exits::{csv, svg};
use super::vmxlog::VmxLog;
use crate::background::write_whole;
use emu_core::observe::Observer;
use std::path::Path;

/// VM exits as they come.
#[derive(Debug, Default)]
pub struct ExitTimeline(VmxLog);

impl ExitTimeline {
    /// Writes it, as a picture if the file's name ends in .svg, else as a table for spreadsheets; the number of exits.
    pub fn save(&self, path: &Path) -> Result<usize, String> {
        let exits = self.0.all_exits();
        if exits.is_empty() {
            return Err("there was no VM exit since recording began".to_owned());
        }
        let picture = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        let text = if picture { svg(&exits).map_err(|error| error.to_string())? } else { csv(&exits) };
        write_whole(path, "timeline", text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(exits.len())
    }

    /// Forgets what the processors have not done yet: the machine went back in time. `cycles` are their clocks.
    pub fn forget_after(&mut self, cycles: &[u64]) {
        self.0.forget_after(cycles);
    }

    /// What is to be told of a run.
    pub fn observer(&mut self) -> &mut dyn Observer {
        &mut self.0
    }
}
