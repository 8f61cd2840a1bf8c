//! Watches the BIOS's count of timer ticks while an image boots: who writes it, when, and what.

use emu_core::observe::{MemoryAccess, Observer, View, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use std::error::Error;
use std::io::{self, Write};
use std::ops::Range;

/// Physical addresses of the count, a double word.
const TICKS: Range<u64> = 0x46C..0x470;

/// Lines about writes to a range.
struct Writes(Range<u64>, Vec<String>);

impl Observer for Writes {
    fn watches(&self) -> Watch {
        Watch::MEMORY
    }
    fn memory_access(&mut self, view: View, access: &MemoryAccess) {
        let MemoryAccess { physical, size, write, value, .. } = *access;
        if write && physical < self.0.end && physical + u64::from(size) > self.0.start {
            // Accesses are told after their instruction: RIP is that of the next.
            let (cycle, next) = (view.cpu.cycles, view.cpu.code_linear(view.cpu.rip()));
            self.1.push(format!("cycle {cycle}: {size} bytes at {physical:#x} = {value:#x}, before {next:#x}"));
        }
    }
}

/// Writes what has happened to `out`.
pub fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let image = test_images::TestImage::find("demo").ok_or("no such image")?;
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    let mut pc = Pc::builder().memory(16 << 20).hard_disk(disk).build()?;
    let mut writes = Writes(TICKS, Vec::new());
    pc.run_observed(20_000_000, &mut writes);
    writes.1.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    let mut ticks = [0; 4];
    pc.read_physical(TICKS.start, &mut ticks)?;
    Ok(writeln!(out, "the count is {} now", u32::from_le_bytes(ticks))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}
