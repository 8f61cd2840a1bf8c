//! The machine of a command line of rvmx-emu, for commands that run it in their own process.

use rvmx_emu::cli::{self, Parsed};
use rvmx_emu::config::MachineConfig;
use rvmx_emu::config::sources::RealHost;
use rvmx_emu::loader::KernelFiles;
use rvmx_emu::pc::{self, PcMachine};
use rvmx_emu::session;

/// A machine that can be built again and again.
pub struct Recipe {
    /// Its configuration.
    pub config: MachineConfig,
    /// What `--kernel` names, read.
    pub kernel: Option<KernelFiles>,
}

impl Recipe {
    /// The machine of these arguments, headless and with writes to its images kept in memory.
    pub fn of(arguments: &[String]) -> Result<Self, String> {
        let arguments =
            ["rvmx-emu", "--headless", "--snapshot"].into_iter().chain(arguments.iter().map(String::as_str));
        match cli::parse(arguments).map_err(|error| error.to_string())? {
            Parsed::Text(text) => Err(text),
            Parsed::Cli(cli) => {
                let (settings, _) = cli::settings(&RealHost, &cli.run).map_err(|error| error.to_string())?;
                let kernel = session::load_kernel(&settings.machine).map_err(|error| error.to_string())?;
                Ok(Self { config: settings.machine, kernel })
            }
        }
    }

    /// A new one, switched on.
    pub fn build(&self) -> Result<PcMachine, String> {
        pc::build(&self.config, self.kernel.as_ref()).map_err(|error| error.to_string())
    }
}
