//! The machine that the program runs.

use crate::config::MachineConfig;
use crate::error::InputError;
use crate::loader::LoadedKernel;
use crate::machine::Machine;

/// Builds the PC that a configuration describes. `kernel` has been read and checked already.
pub fn build(_config: &MachineConfig, _kernel: Option<&LoadedKernel>) -> Result<Box<dyn Machine>, InputError> {
    Err(InputError::new("rvmx-emu", "this version has the front end only, no machine to run")
        .remedy("use a later version"))
}
