//! The front end of rvmx-emu: command line, configuration, scripts, displays and loaders around one [`machine::Machine`].

#![forbid(unsafe_code)]

pub mod background;
pub mod caps_file;
pub mod cli;
pub mod config;
pub mod debug;
pub mod display;
pub mod error;
pub mod fat;
pub mod files;
pub mod lint;
pub mod loader;
pub mod logging;
pub mod machine;
pub mod models;
pub mod output;
pub mod pc;
pub mod recording;
pub mod run;
pub mod screen;
pub mod script;
pub mod serial_input;
pub mod serial_link;
pub mod session;
pub mod signals;
pub mod snapshot_file;
pub mod state_dump;
pub mod suite;
pub mod time;
pub mod trace;
pub mod vmcs_dump;
