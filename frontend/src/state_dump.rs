//! The state of the machine at the end of a run: `--dump-state`, and what is printed of a run that did not end well.

use crate::background::write_whole;
use crate::error::InputError;
use crate::machine::Machine;
use emu_devices::report::PcReport;
use serde::Serialize;
use std::path::Path;

/// A machine's state with how its run ended.
#[derive(Debug, Serialize)]
pub struct StateDump {
    /// How the run ended, in words.
    pub end: String,
    /// The exit status.
    pub status: i32,
    /// Guest seconds since power-on.
    pub guest_seconds: f64,
    /// The machine.
    #[serde(flatten)]
    pub machine: PcReport,
}

impl StateDump {
    /// The state of a machine whose run has ended.
    pub fn new(machine: &dyn Machine, end: &str, status: i32) -> Self {
        let report = machine.report();
        let guest_seconds = report.cycle as f64 / machine.hz() as f64;
        Self { end: end.to_owned(), status, guest_seconds, machine: report }
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        format!("end: {} (status {})\n{}\n{}", self.end, self.status, self.clock(), self.machine.full_text())
    }

    /// What is printed after a run that did not end well.
    pub fn short_text(&self) -> String {
        format!("{}\n{}", self.clock(), self.machine.short_text())
    }

    fn clock(&self) -> String {
        let (cycle, instructions) = (self.machine.cycle, self.machine.instructions);
        format!("at {:.6} guest seconds, cycle {cycle}, {instructions} instructions", self.guest_seconds)
    }

    /// Writes everything to a file: JSON if its name ends in `.json`, else text.
    pub fn write(&self, path: &Path) -> Result<(), InputError> {
        let data = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            let json = serde_json::to_string_pretty(self)
                .map_err(|e| InputError::file(path, format!("cannot make JSON of the state: {e}")))?;
            json + "\n"
        } else {
            self.text()
        };
        write_whole(path, "state", data.as_bytes())
            .map_err(|error| error.remedy("give --dump-state a file that can be written"))
    }
}
