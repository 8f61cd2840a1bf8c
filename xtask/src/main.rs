//! `cargo xtask COMMAND`: acceptance runs against material that is not part of this repository.

#![forbid(unsafe_code)]

mod book;
mod kut;
mod linux;
mod machine;
mod recordings;
mod slicing;
mod snapshots;

use clap::{Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Acceptance runs against material outside the repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant a command; each lives in its own module.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the examples of 《处理器虚拟化技术》 and compare their screens
    Book(book::Args),
    /// Run the tests of a built kvm-unit-tests tree and compare their failures with the list of exceptions
    #[command(name = "kvm-unit-tests")]
    KvmUnitTests(kut::Args),
    /// Start a distribution's Linux kernel by --kernel, to a shell and power-off
    Linux(linux::Args),
    /// Record runs with random input and compare each with its replay
    Recordings(recordings::Args),
    /// Run test images in one piece and in random pieces, and compare instruction counts and states
    Slicing(slicing::Args),
    /// Compare a run that is saved and restored at random cycles with the same run in one go
    Snapshots(snapshots::Args),
}

fn main() {
    let status = match Cli::parse().command {
        Command::Book(args) => book::main(&args),
        Command::KvmUnitTests(args) => kut::main(&args),
        Command::Linux(args) => linux::main(&args),
        Command::Recordings(args) => recordings::main(&args),
        Command::Slicing(args) => slicing::main(&args),
        Command::Snapshots(args) => snapshots::main(&args),
    };
    std::process::exit(status);
}
