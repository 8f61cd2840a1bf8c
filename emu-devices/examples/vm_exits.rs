//! Boots an image that uses VMX, and prints its first VM exits.

use emu_core::observe::{Observer, View, VmExit, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use std::error::Error;
use std::io::{self, Write};

/// Keeps a line for each VM exit, and stops the run at the last.
struct Exits(Vec<String>);

impl Observer for Exits {
    fn watches(&self) -> Watch {
        Watch::VM_EXITS
    }
    fn vm_exit(&mut self, view: View, exit: &VmExit) {
        let VmExit { guest_rip, reason, qualification, .. } = exit;
        let cycle = view.cpu.cycles;
        self.0.push(format!("cycle {cycle}: guest RIP {guest_rip:#x}: {}, {qualification:#x}", reason.text()));
    }
    fn stops(&mut self) -> bool {
        self.0.len() >= 20
    }
}

/// Writes what has happened to `out`.
pub fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let image = test_images::TestImage::find("vmxexits").ok_or("no such image")?;
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    let mut pc = Pc::builder().memory(16 << 20).hard_disk(disk).build()?;
    let mut exits = Exits(Vec::new());
    let end = pc.run_observed(100_000_000, &mut exits);
    exits.0.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(writeln!(out, "the run ended with {end:?} after {} instructions", pc.instructions())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}
