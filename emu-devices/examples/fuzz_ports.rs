//! Runs an image up to its boot sector, takes a snapshot, and from there writes random bytes to ports, each time anew:
//! which of them end the machine, or take it away from what it was doing?

use emu_core::observe::{Instruction, Observer, View, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::{Pc, PcExit};
use std::error::Error;
use std::io::{self, Write};

/// Where the BIOS puts the boot sector.
const BOOT: u64 = 0x7C00;

/// Stops the run before the instruction at [`BOOT`]; whether it is there.
struct Booting(bool);

impl Observer for Booting {
    fn watches(&self) -> Watch {
        Watch::INSTRUCTIONS
    }
    fn before_instruction(&mut self, view: View, instruction: Instruction) {
        self.0 |= view.cpu.code_linear(instruction.rip) == BOOT;
    }
    fn stops(&mut self) -> bool {
        self.0
    }
}

/// Writes what has happened to `out`.
pub fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let image = test_images::TestImage::find("demo").ok_or("no such image")?;
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    let mut pc = Pc::builder().memory(16 << 20).hard_disk(disk).debug_exit(0x501).build()?;
    pc.run_observed(1_000_000_000, &mut Booting(false));
    pc.write_linear(0, BOOT, &[0xEE, 0xEB, 0xFE])?; // out dx, al; jmp $
    let snapshot = pc.snapshot()?;
    let mut random = 1u64;
    for _ in 0..300 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (port, value) = ([0x60, 0x64, 0x92, 0xCF9, 0x501][(random >> 40) as usize % 5], random >> 56);
        pc.restore(&snapshot)?;
        pc.set_register(0, "DX", port)?;
        pc.set_register(0, "AL", value)?;
        let end = pc.run_for(1_000);
        let rip = pc.register(0, "RIP")?;
        if end != PcExit::Limit || rip != BOOT + 1 {
            writeln!(out, "port {port:#x} = {value:#x}: {end:?} at {rip:#x}")?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}
