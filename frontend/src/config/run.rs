//! What a configuration of our own says about the run, besides the machine: the options of the same names.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Defaults for options of a run; the command line comes first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Run", deny_unknown_fields, default)]
pub struct RunFields {
    /// `--max-instructions`.
    pub max_instructions: Option<u64>,
    /// `--max-time`, guest seconds.
    pub max_time: Option<f64>,
    /// `--wall-time`, seconds of the host's.
    pub wall_time: Option<f64>,
    /// `--script`.
    pub script: Option<PathBuf>,
    /// `--medium`, each.
    pub media: Vec<PathBuf>,
    /// `--screen-dump`.
    pub screen_dump: Option<PathBuf>,
    /// `--screenshot`.
    pub screenshot: Option<PathBuf>,
    /// `--dump-state`.
    pub dump_state: Option<PathBuf>,
    /// `--trace`, as the option has it.
    pub trace: Option<String>,
    /// `--vmcs-dump`, as the option has it.
    pub vmcs_dump: Option<String>,
    /// `--gdb`.
    pub gdb: Option<u16>,
    /// `--gdb-no-wait`.
    pub gdb_no_wait: bool,
    /// `--log`, as the option has it.
    pub log: Option<String>,
    /// `--log-file`.
    pub log_file: Option<PathBuf>,
    /// `--stats`.
    pub stats: bool,
}

// Its numbers are finite: `MachineConfig::check` sees to it.
impl Eq for RunFields {}
