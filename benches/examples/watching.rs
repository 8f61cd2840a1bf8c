//! What an observer that counts instructions costs: `watching IMAGE...` runs the first 400 million cycles of each raw
//! disk image with and without it, in turns, and prints the median of three ratios. The runs must agree on their
//! instructions; status 1 if a ratio is above 4.

use emu_core::model::CpuModel;
use emu_core::observe::{Instruction, Observer, View, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const CYCLES: u64 = 400_000_000;
const TURNS: usize = 3;
/// The most that counting may cost.
const LIMIT: f64 = 4.0;

struct Counter(u64);

impl Observer for Counter {
    fn watches(&self) -> Watch {
        Watch::INSTRUCTIONS
    }
    fn after_instruction(&mut self, _view: View, _instruction: Instruction) {
        self.0 += 1;
    }
}

/// Seconds of the host, and the instructions that the machine counts.
fn run(image: &str, observer: Option<&mut Counter>) -> Result<(f64, u64), Box<dyn Error>> {
    let disk = DiskImage::from_bytes(image, std::fs::read(image)?)?;
    let model = CpuModel::named("max")?;
    let processors = if Path::new(image).file_stem().is_some_and(|stem| stem == "smp") { 4 } else { 1 };
    let mut pc = Pc::builder().memory(128 << 20).processors(processors).model(model).hard_disk(disk).build()?;
    let started = Instant::now();
    match observer {
        Some(counter) => pc.run_observed(CYCLES, counter),
        None => pc.run_until(CYCLES),
    };
    Ok((started.elapsed().as_secs_f64(), pc.instructions()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut worst = 0.0f64;
    for image in std::env::args().skip(1) {
        let mut ratios = Vec::new();
        for _ in 0..TURNS {
            let mut counter = Counter(0);
            let (without, instructions) = run(&image, None)?;
            let (with, same) = run(&image, Some(&mut counter))?;
            if instructions != same || counter.0 < instructions {
                return Err(format!("{image}: {instructions} instructions, {same} watched, {} told", counter.0).into());
            }
            ratios.push(with / without);
        }
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[TURNS / 2];
        worst = worst.max(ratio);
        println!("{ratio:5.2} {image}");
    }
    if worst > LIMIT { Err(format!("{worst:.2} is above {LIMIT}").into()) } else { Ok(()) }
}
