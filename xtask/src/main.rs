//! `cargo xtask COMMAND`: acceptance runs against material that is not part of this repository.

#![forbid(unsafe_code)]

mod book;
mod child;
mod crashes;
mod debugger;
mod displays;
mod gdb;
mod kut;
mod linux;
mod lockstep;
mod machine;
mod mix;
mod mutated;
mod recordings;
mod same_run;
mod slicing;
mod snapshots;
mod soak;
mod uefi;

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
    /// Kill the emulator while its guest writes and flushes, and look for what is lost
    Crashes(crashes::Args),
    /// Give the emulator files with mistakes, of every kind that it reads
    MutatedFiles(mutated::Args),
    /// Run hostile guests, and watch memory, ends and states
    Soak(soak::Args),
    /// The emulator itself, for the commands above
    #[command(hide = true)]
    Emulator {
        /// Its arguments
        #[arg(last = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Debug the examples of 《处理器虚拟化技术》: VM entry step by step, VM exits, back in time; the cost of watching
    Debugger(debugger::Args),
    /// Show the book's examples in a window under Xvfb and in tmux, and read back what is shown
    Displays(displays::Args),
    /// What `displays` lets panic
    #[command(hide = true)]
    PanicOnTheTerminal,
    /// Let a real GDB attach to four processors in real, protected and 64-bit mode
    Gdb(gdb::Args),
    /// Run the tests of a built kvm-unit-tests tree and compare their failures with the list of exceptions
    #[command(name = "kvm-unit-tests")]
    KvmUnitTests(kut::Args),
    /// Start a distribution's Linux kernel by --kernel, to a shell and power-off
    Linux(linux::Args),
    /// Run test images in both tiers, and compare wherever compiled code is left
    Lockstep(lockstep::Args),
    /// Mix pieces, steps, observers, snapshots and input at random, and compare with the same input in one piece
    Mix(mix::Args),
    /// Record runs with random input and compare each with its replay
    Recordings(recordings::Args),
    /// Run test images in one piece and in random pieces, and compare instruction counts and states
    Slicing(slicing::Args),
    /// Start an EFI program of ours, and the shell, with a distribution's UEFI firmware
    Uefi(uefi::Args),
    /// Compare a run that is saved and restored at random cycles with the same run in one go
    Snapshots(snapshots::Args),
}

/// The exit status of a comparison, whose difference is told.
fn status(outcome: Result<(), impl std::fmt::Display>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn main() {
    let status = match Cli::parse().command {
        Command::Book(args) => book::main(&args),
        Command::Crashes(args) => crashes::main(&args),
        Command::Emulator { arguments } => child::main(&arguments),
        Command::MutatedFiles(args) => mutated::main(&args),
        Command::Soak(args) => soak::main(&args),
        Command::Debugger(args) => debugger::main(&args),
        Command::Displays(args) => displays::main(&args),
        Command::PanicOnTheTerminal => displays::panic_on_the_terminal(),
        Command::Gdb(args) => gdb::main(&args),
        Command::KvmUnitTests(args) => kut::main(&args),
        Command::Linux(args) => linux::main(&args),
        Command::Lockstep(args) => status(lockstep::check(&args)),
        Command::Mix(args) => status(mix::check(&args)),
        Command::Recordings(args) => recordings::main(&args),
        Command::Slicing(args) => status(slicing::check(&args)),
        Command::Uefi(args) => uefi::main(&args),
        Command::Snapshots(args) => snapshots::main(&args),
    };
    std::process::exit(status);
}
