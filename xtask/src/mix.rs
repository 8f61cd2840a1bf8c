//! `cargo xtask mix`: everything at once that must not change a run – random pieces, steps of random processors, observers
//! that stop it at random, snapshots read back into another machine, excursions from which a snapshot leads back – while
//! keys, bytes, media, NMIs, resets and a debugger's writes come at random moments. Then the same input, at the cycles
//! that it was stamped with, in one piece: instruction count and state must be the same.

mod program;

use crate::same_run::{self, Outcome, UnknownImage, length, outcome};
use emu_core::cycles::parts::Parts;
use emu_core::model::{CpuModel, ModelError};
use emu_core::observe::*;
use emu_devices::disk::{DiskImage, DrivePlace, ImageError, MediumId};
use emu_devices::input::{self, InjectError, InputEvent, Register, Stamped};
use emu_devices::keyboard::Key;
use emu_devices::pc::{DEFAULT_HZ, Pc, PcError, PcExit};
use emu_devices::snapshot::{ReadError, Snapshot};
use emu_devices::state::StateError;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use test_images::TestImage;

/// The options of `cargo xtask mix`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images of test-images; all of them without any
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Runs of each image
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: u64,
    /// Random programs to run
    #[arg(long, value_name = "N", default_value_t = 200)]
    programs: u64,
    /// Guest seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    seconds: f64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// At most this many actions a run
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    actions: u64,
    /// The mixed runs compile what has run N times; those in one piece are interpreted
    #[arg(long, value_name = "N")]
    jit: Option<u32>,
}

/// What differs, or could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unknown(#[from] UnknownImage),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Machine(#[from] PcError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error("{0}: the mixed run has {1:x?}, the one in one piece {2:x?}")]
    Differs(String, Outcome, Outcome),
    #[error("{0} runs have failed")]
    Failed(u64),
    #[error("{0}: after going back to a snapshot {1:x?}, before it {2:x?}")]
    NotBack(String, Outcome, Outcome),
}

/// Where the builder puts a CD-ROM drive.
const CD: DrivePlace = DrivePlace::Ata { channel: 1, drive: 0 };

/// What a machine runs.
#[derive(Clone, Copy)]
enum Guest<'a> {
    Image(&'a TestImage),
    /// A random program, by its seed.
    Program(u64),
}

impl Guest<'_> {
    fn name(self) -> String {
        match self {
            Self::Image(image) => image.name.to_owned(),
            Self::Program(seed) => format!("program {seed}"),
        }
    }
}

/// A machine and what it is built from.
struct Plan<'a> {
    guest: Guest<'a>,
    cpus: u32,
    quantum: u64,
    hz: u64,
    /// The clock counts the cycles of the CPU model, and not instructions.
    model_clock: Option<Parts>,
    /// Of the mixed run.
    jit: Option<u32>,
}

impl Plan<'_> {
    fn draw<'a>(guest: Guest<'a>, random: &mut SplitMix64, jit: Option<u32>) -> Plan<'a> {
        let cpus = [1, 2, 3, 4, 8][(random.next_u64() % 5) as usize];
        let quantum = [1000, 1000, 100, 7, 20_000][(random.next_u64() % 5) as usize];
        let hz = [DEFAULT_HZ, DEFAULT_HZ, 3_000_000, 1_000_000_000][(random.next_u64() % 4) as usize];
        let model_clock = match random.next_u64() % 6 {
            0 => Some(Parts::NONE),
            1 => Some(Parts { caches: true, branches: true }),
            _ => None,
        };
        Plan { guest, cpus, quantum, hz, model_clock, jit }
    }

    /// The machine, with a floppy and a CD-ROM at hand.
    fn build(&self) -> Result<(Pc, [MediumId; 2]), Error> {
        let disc = DiskImage::from_bytes("a CD", vec![1; 64 << 10])?;
        let builder = Pc::builder().processors(self.cpus).memory(32 << 20).quantum(self.quantum).hz(self.hz);
        // It boots from what is named last.
        let builder = builder.cd_rom(disc);
        let builder = match self.guest {
            Guest::Image(image) => same_run::with_image(builder, image)?,
            Guest::Program(_) => builder.model(CpuModel::named("max")?),
        };
        let builder = same_run::with_clock(builder, self.model_clock);
        let mut pc = builder.build()?;
        if let Guest::Program(seed) = self.guest {
            program::start(&mut pc, seed);
        }
        let floppy = pc.add_medium(DiskImage::from_bytes("another floppy", vec![0xF6; 1_474_560])?)?;
        let cd = pc.add_medium(DiskImage::from_bytes("another CD", vec![2; 32 << 10])?)?;
        Ok((pc, [floppy, cd]))
    }
}

/// Stops a run after it was told of `left` things.
struct Stopper {
    watch: Watch,
    left: u64,
}

impl Stopper {
    fn draw(random: &mut SplitMix64) -> Self {
        let watch = Watch::from_bits_truncate(random.next_u64() as _);
        Self { watch, left: length(random, 20_000) }
    }

    fn told(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

impl Observer for Stopper {
    fn watches(&self) -> Watch {
        self.watch
    }
    fn before_instruction(&mut self, _: View, _: Instruction) {
        self.told();
    }
    fn after_instruction(&mut self, _: View, _: Instruction) {
        self.told();
    }
    fn memory_access(&mut self, _: View, _: &MemoryAccess) {
        self.told();
    }
    fn port_access(&mut self, _: View, _: &DeviceAccess) {
        self.told();
    }
    fn mmio_access(&mut self, _: View, _: &DeviceAccess) {
        self.told();
    }
    fn event(&mut self, _: View, _: &DeliveredEvent) {
        self.told();
    }
    fn vm_entry(&mut self, _: View, _: &VmEntry) {
        self.told();
    }
    fn vm_exit(&mut self, _: View, _: &VmExit) {
        self.told();
    }
    fn vmcs_write(&mut self, _: View, _: &VmcsWrite) {
        self.told();
    }
    fn control_register_write(&mut self, _: View, _: &RegisterWrite) {
        self.told();
    }
    fn msr_write(&mut self, _: View, _: &RegisterWrite) {
        self.told();
    }
    fn block_built(&mut self, _: View, _: &BuiltBlock) {
        self.told();
    }
    fn stops(&mut self) -> bool {
        self.left == 0
    }
}

fn event(random: &mut SplitMix64, cpus: u32, [floppy, cd]: [MediumId; 2]) -> InputEvent {
    const KEYS: [&str; 8] = ["1", "a", "s", "F1", "Enter", "Space", "Up", "Esc"];
    let number = random.next_u64();
    let small = (number >> 8) as usize;
    match number % 40 {
        0..14 => {
            let keys = Key::combination(KEYS[small % KEYS.len()]).unwrap_or_default();
            keys.first().map_or(InputEvent::Nmi, |&key| InputEvent::Key { key, pressed: small & 0x100 == 0 })
        }
        14..18 => InputEvent::Mouse { dx: small as i32 % 99, dy: -3, dz: 0, buttons: (number >> 60) as u8 & 7 },
        18..26 => InputEvent::Serial(number.to_le_bytes()[..1 + small % 8].to_vec()),
        26..29 => InputEvent::Nmi,
        29 => InputEvent::Reset,
        30 => InputEvent::PowerButton,
        31 => InputEvent::Insert { drive: DrivePlace::Floppy { drive: 0 }, medium: floppy },
        32 => InputEvent::Eject { drive: DrivePlace::Floppy { drive: 0 } },
        33 => InputEvent::Insert { drive: CD, medium: cd },
        34 => InputEvent::Eject { drive: CD },
        35..38 => {
            InputEvent::WriteMemory { address: number >> 8 & 0x1F_FFFF, bytes: vec![number as u8; 1 + small % 9] }
        }
        _ => InputEvent::WriteRegister(input::RegisterWrite {
            processor: (number >> 32) as u32 % cpus,
            register: if number >> 62 == 0 { Register::General(small as u8 & 15) } else { Register::Rflags },
            value: number >> 16 & 0x3F_7FD5 | 0x200,
        }),
    }
}

/// Injects an event, if there is a drive for it.
fn inject(pc: &mut Pc, at: u64, event: InputEvent) -> Result<Option<Stamped>, InjectError> {
    match pc.inject(at, event.clone()) {
        Ok(at) => Ok(Some(Stamped { at, event })),
        Err(InjectError::NoDrive(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A random piece of a run, not beyond `goal`.
fn piece(pc: &mut Pc, random: &mut SplitMix64, goal: u64, most: u64) -> PcExit {
    let until = (pc.now() + length(random, most)).min(goal);
    match random.next_u64() % 6 {
        0 | 1 => pc.run_until(until),
        2 => {
            let n = random.next_u64() as usize % pc.cpus.len();
            for _ in 0..length(random, 1_000) {
                let exit = pc.step(n, goal);
                if exit != PcExit::Limit {
                    return exit;
                }
            }
            PcExit::Limit
        }
        3 => {
            let n = random.next_u64() as usize % pc.cpus.len();
            pc.step_observed(n, until, &mut Stopper::draw(random))
        }
        _ => pc.run_observed(until, &mut Stopper::draw(random)),
    }
}

/// Whether the run goes on after this. The end of a halted machine, or of one that shut down, is none here.
fn goes_on(exit: &PcExit) -> bool {
    matches!(exit, PcExit::Limit | PcExit::Observer { .. })
}

/// Goes back to a snapshot, which was taken of `before`.
fn back(pc: &mut Pc, snapshot: &Snapshot, before: Outcome, how: &str) -> Result<(), Error> {
    pc.restore(snapshot)?;
    let after = outcome(pc);
    if after == before { Ok(()) } else { Err(Error::NotBack(how.to_owned(), after, before)) }
}

/// A run of everything; the input with its cycles, and where it came to.
fn mixed(plan: &Plan, seed: u64, how: &str, end: u64, actions: u64) -> Result<(Vec<Stamped>, Outcome, PcExit), Error> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let (mut pc, media) = plan.build()?;
    pc.set_tier(plan.jit.and_then(emu_jit::tier));
    let mut stamps = Vec::new();
    let most = (8 * end / actions.max(1)).max(1);
    for _ in 0..actions {
        if pc.now() >= end {
            break;
        }
        match random.next_u64() % 32 {
            0 => {
                let mut bytes = Vec::new();
                pc.snapshot()?.write(&mut bytes)?;
                let before = outcome(&pc);
                pc = plan.build()?.0;
                pc.set_tier(plan.jit.and_then(emu_jit::tier));
                let snapshot = Snapshot::read(&mut &bytes[..], &pc.configuration())?;
                if random.next_u64() % 2 == 0 {
                    // What it was before does not matter.
                    piece(&mut pc, &mut random, end, 1_000_000);
                }
                back(&mut pc, &snapshot, before, how)?;
            }
            1 => {
                let snapshot = pc.snapshot()?;
                let before = outcome(&pc);
                for _ in 0..random.next_u64() % 4 {
                    let event = event(&mut random, plan.cpus, media);
                    let at = pc.now() + random.next_u64() % 2_000;
                    inject(&mut pc, at, event)?;
                    piece(&mut pc, &mut random, end, 100_000);
                }
                back(&mut pc, &snapshot, before, how)?;
            }
            2 => {
                let event = event(&mut random, plan.cpus, media);
                let wanted = match random.next_u64() % 3 {
                    0 => 0,
                    1 => pc.now(),
                    _ => pc.now() + length(&mut random, most),
                };
                stamps.extend(inject(&mut pc, wanted, event)?);
            }
            _ => {
                let exit = piece(&mut pc, &mut random, end, most);
                if !goes_on(&exit) {
                    return Ok((stamps, outcome(&pc), exit));
                }
            }
        }
    }
    let exit = pc.run_until(end);
    Ok((stamps, outcome(&pc), exit))
}

/// The same in one piece.
fn whole(plan: &Plan, stamps: &[Stamped], end: u64) -> Result<(Outcome, PcExit), Error> {
    let (mut pc, _) = plan.build()?;
    for Stamped { at, event } in stamps {
        pc.inject(*at, event.clone())?;
    }
    let exit = pc.run_until(end);
    Ok((outcome(&pc), exit))
}

/// One run and its repetition; what it came to.
fn compare(
    guest: Guest,
    seed: u64,
    seconds: f64,
    actions: u64,
    jit: Option<u32>,
) -> Result<(Outcome, PcExit, usize), Error> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let plan = Plan::draw(guest, &mut random, jit);
    let Plan { cpus, quantum, hz, model_clock, .. } = plan;
    let clock = match model_clock {
        None => "ips",
        Some(parts) if parts.any() => "the model's clock with caches and branches",
        Some(_) => "the model's clock",
    };
    let how = format!("{}, seed {seed}, {cpus} processors, quantum {quantum}, {hz} Hz, {clock}", guest.name());
    let end = (seconds * DEFAULT_HZ as f64) as u64;
    let (stamps, mixed, exit) = mixed(&plan, random.next_u64(), &how, end, actions)?;
    let (whole, expected) = whole(&plan, &stamps, end)?;
    if mixed != whole || exit != expected {
        return Err(Error::Differs(format!("{how}: {exit:?} and {expected:?}"), mixed, whole));
    }
    Ok((mixed, exit, stamps.len()))
}

/// Runs the comparison; each difference is told as it comes.
pub fn check(args: &Args) -> Result<(), Error> {
    let images: Vec<&TestImage> = match &args.images[..] {
        [] => test_images::ALL.iter().collect(),
        names => names.iter().map(|name| same_run::image(name)).collect::<Result<_, _>>()?,
    };
    let images = images.into_iter().map(|image| (image.name, args.runs, Some(image)));
    let mut failed = 0;
    for (kind, (name, runs, image)) in images.chain([("random programs", args.programs, None)]).enumerate() {
        let (mut instructions, mut inputs, mut ended) = (0, 0, 0);
        for n in 0..runs {
            // No two guests have the same luck.
            let seed = args.seed + n + 1_000_000 * kind as u64;
            let guest = image.map_or(Guest::Program(seed), Guest::Image);
            match compare(guest, seed, args.seconds, args.actions, args.jit) {
                Ok((outcome, exit, stamps)) => {
                    instructions += outcome.0;
                    inputs += stamps;
                    ended += u64::from(exit != PcExit::Limit);
                }
                Err(error) => {
                    eprintln!("{error}");
                    failed += 1;
                }
            }
        }
        println!("{name}: {runs} runs, {instructions} instructions, {inputs} inputs; {ended} ended by themselves");
    }
    if failed == 0 { Ok(()) } else { Err(Error::Failed(failed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_with_everything_mixed_is_the_run_in_one_piece() {
        for (n, name) in ["smp", "vmxint", "timers", "floppy"].into_iter().enumerate() {
            let image = TestImage::find(name).expect("the image exists");
            // In both tiers.
            let jit = (n % 2 == 1).then_some(1);
            compare(Guest::Image(image), 100 + n as u64, 0.1, 400, jit).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn random_program_with_everything_mixed_is_the_run_in_one_piece() {
        for seed in 0..20 {
            let jit = (seed % 2 == 1).then_some(1);
            compare(Guest::Program(seed), seed, 0.002, 300, jit).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
