//! `cargo xtask lockstep`: both tiers run the same image, and wherever compiled code was left the whole processor is the
//! same in both; memory and devices are compared as the run goes on.
//!
//! The machine that compiles runs a piece and notes what each stay in compiled code has come to; the one that interprets
//! follows and stops at the same places.

use crate::same_run::{self, UnknownImage};
use emu_core::block::tier::{Code, Exit, Left, Refused, Source, Tier};
use emu_core::cycles::parts::Parts;
use emu_core::hash::StableHash;
use emu_core::state::cpu::{Cpu, Env};
use emu_devices::disk::ImageError;
use emu_devices::pc::{DEFAULT_HZ, Pc, PcError, PcExit};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use test_images::TestImage;

/// The options of `cargo xtask lockstep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images of test-images; all, without one
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Logical processors; what the image is made for, without it
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Compile what has run N times
    #[arg(long, value_name = "N", default_value_t = 1)]
    jit: u32,
    /// The clock counts the cycles of the CPU model, and not instructions; and with =caches, =branches or =caches,branches
    /// what goes on there
    #[arg(long, value_name = "PARTS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = same_run::parts)]
    model_clock: Option<Parts>,
    /// Guest seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,
    /// Cycles between two comparisons of memory and devices
    #[arg(long, value_name = "CYCLES", default_value_t = 1_000_000)]
    piece: u64,
}

/// What was found different, or could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unknown(#[from] UnknownImage),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Machine(#[from] PcError),
    #[error(
        "{image}: processor {processor} at cycle {cycle}, behind the compiled block at {start:#x}, is not what it is when \
         interpreted: RIP {compiled:#x} and {interpreted:#x}"
    )]
    Differs { image: String, processor: u32, cycle: u64, start: u64, compiled: u64, interpreted: u64 },
    #[error("{image}: at cycle {cycle} memory or devices are not what they are when everything is interpreted")]
    Surroundings { image: String, cycle: u64 },
}

/// What a stay in compiled code has come to.
struct Stay {
    processor: u32,
    cycle: u64,
    instructions: u64,
    /// RIP of the first instruction of the block that was left.
    start: u64,
    rip: u64,
    state: u64,
}

/// A tier that notes what each stay has come to.
struct Noting {
    tier: Box<dyn Tier>,
    stays: Sender<Stay>,
    /// Length in bytes of compiled blocks, by number in the cache.
    lengths: HashMap<u32, u64>,
}

fn state_of(cpu: &Cpu) -> u64 {
    let mut hash = StableHash::new();
    hash.value(&cpu.guest_state()).expect("states have an encoding");
    hash.get()
}

impl Tier for Noting {
    fn threshold(&self) -> u32 {
        self.tier.threshold()
    }

    fn compile(&mut self, source: Source) -> Result<Code, Refused> {
        self.lengths.insert(source.block, source.uops.last().map_or(0, |last| last.next()));
        self.tier.compile(source)
    }

    fn enter(&mut self, cpu: &mut Cpu, env: &mut Env, code: Code) -> Left {
        let before = (cpu.cycles, cpu.instructions);
        let left = self.tier.enter(cpu, env, code);
        // What was cut short is yet to be put right by whoever has entered. What has reached a device, or the end of the turn,
        // may bring the processor something before the other machine can be stopped. Behind PAUSE the time is given away
        // before anybody can stop. Where nothing has run, the other machine may be yet to look at its counters.
        let cut_short = left.result.is_some_and(|result| result.is_err()) || cpu.scratch.undone != 0;
        let signals = env.bus.attention() || !env.outbox.is_empty() || env.ram.has_stale_pages();
        let idle = before == (cpu.cycles, cpu.instructions);
        if idle || cut_short || signals || cpu.carried.gives_way || cpu.cycles >= cpu.scratch.turn_end {
            return left;
        }
        let rip = cpu.rip();
        if left.result.is_some() && !cpu.scratch.flow.branched {
            cpu.set_rip(left.start.wrapping_add(self.lengths.get(&left.block).copied().unwrap_or_default()));
        }
        let stay = Stay {
            processor: cpu.sys.index,
            cycle: cpu.cycles,
            instructions: cpu.instructions,
            start: left.start,
            rip: cpu.rip(),
            state: state_of(cpu),
        };
        cpu.set_rip(rip);
        self.stays.send(stay).expect("who compares is there as long as the machine");
        left
    }

    fn link(&mut self, exit: Exit, to: Code) {
        self.tier.link(exit, to);
    }

    fn forget(&mut self, code: Code) {
        self.tier.forget(code);
    }

    fn clear(&mut self) {
        self.tier.clear();
    }
}

/// How the runs of an image are made.
#[derive(Debug, Clone, Copy)]
struct Setting {
    cpus: u32,
    /// Compile what has run so often.
    threshold: u32,
    model_clock: Option<Parts>,
}

fn machine(image: &TestImage, setting: Setting) -> Result<Pc, Error> {
    let builder = Pc::builder().processors(setting.cpus).memory(64 << 20);
    let builder = same_run::with_clock(builder, setting.model_clock);
    Ok(same_run::with_image(builder, image)?.build()?)
}

/// Brings processor `n` to `cycle`, in the turn in which it comes there.
fn follow(pc: &mut Pc, n: u32, cycle: u64) {
    let place = |pc: &Pc| (pc.cpus[n as usize].cycles, pc.cpus[n as usize].instructions);
    while pc.cpus[n as usize].cycles < cycle {
        let before = place(pc);
        if pc.turn().is_some_and(|turn| turn.processor == n && turn.end > cycle) {
            pc.run_until(cycle);
        }
        // Those before it finish their turn first.
        if place(pc) == before && pc.step(n as usize, u64::MAX) != PcExit::Limit {
            return;
        }
    }
}

fn compare_stays(image: &TestImage, interpreted: &mut Pc, stays: &Receiver<Stay>) -> Result<u64, Error> {
    let mut count = 0;
    for stay in stays.try_iter() {
        follow(interpreted, stay.processor, stay.cycle);
        // Instructions may cost nothing, and some that do have run since that cycle came.
        let behind = |pc: &Pc| {
            let cpu = &pc.cpus[stay.processor as usize];
            cpu.cycles == stay.cycle && cpu.instructions < stay.instructions
        };
        while behind(interpreted) && interpreted.step(stay.processor as usize, u64::MAX) == PcExit::Limit {}
        let cpu = &interpreted.cpus[stay.processor as usize];
        if state_of(cpu) != stay.state {
            return Err(Error::Differs {
                image: image.name.to_owned(),
                processor: stay.processor,
                cycle: stay.cycle,
                start: stay.start,
                compiled: stay.rip,
                interpreted: cpu.rip(),
            });
        }
        count += 1;
    }
    Ok(count)
}

/// Runs an image in both tiers; how many stays in compiled code were compared.
fn lockstep(image: &TestImage, setting: Setting, end: u64, piece: u64) -> Result<u64, Error> {
    let (mut compiled, mut interpreted) = (machine(image, setting)?, machine(image, setting)?);
    let (sender, stays) = channel();
    compiled.set_tier(emu_jit::tier(setting.threshold).map(|tier| {
        let noting = Noting { tier, stays: sender, lengths: HashMap::new() };
        Box::new(noting) as Box<dyn Tier>
    }));
    let mut count = 0;
    let mut cycle = 0;
    while cycle < end {
        cycle = (cycle + piece).min(end);
        let exit = compiled.run_until(cycle);
        count += compare_stays(image, &mut interpreted, &stays)?;
        let same_exit = interpreted.run_until(cycle) == exit;
        if !same_exit || same_run::outcome(&compiled) != same_run::outcome(&interpreted) {
            return Err(Error::Surroundings { image: image.name.to_owned(), cycle });
        }
        if exit != PcExit::Limit {
            break;
        }
    }
    Ok(count)
}

/// Runs the comparison.
pub fn check(args: &Args) -> Result<(), Error> {
    let images = match &args.images[..] {
        [] => test_images::ALL.iter().collect(),
        names => names.iter().map(|name| same_run::image(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let end = (args.seconds * DEFAULT_HZ as f64) as u64;
    for image in images {
        let cpus = args.cpus.unwrap_or(image.cpus);
        let setting = Setting { cpus, threshold: args.jit.max(1), model_clock: args.model_clock };
        let count = lockstep(image, setting, end, args.piece.max(1))?;
        println!("{}, {cpus} processors: {count} stays in compiled code end as when interpreted", image.name);
    }
    Ok(())
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_stay_in_compiled_code_ends_as_when_interpreted() {
        // The firmware, of 16 bits, takes the first five million cycles.
        let model = Some(Parts::NONE);
        let images = [("vmxexits", 1, None), ("interrupts", 1, None), ("smp", 4, None), ("vmxexits", 1, model)];
        for (name, cpus, model_clock) in images {
            let image = TestImage::find(name).expect("the image exists");
            let setting = Setting { cpus, threshold: 1, model_clock };
            let count = lockstep(image, setting, 7_000_000, 500_000).unwrap_or_else(|error| panic!("{error}"));
            assert!(count > 1000, "{name}: {count}");
        }
    }
}
