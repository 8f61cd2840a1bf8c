//! `cargo xtask slicing`: where a run is cut, and who watches it, changes nothing in it. The same image runs in one piece,
//! in random pieces, instruction by instruction and with observers of every kind; at every cycle that two runs have in
//! common, instruction count and state are equal.

use crate::same_run::{self, Outcome, UnknownImage, length, outcome};
use emu_core::cycles::parts::Parts;
use emu_core::observe::*;
use emu_devices::disk::ImageError;
use emu_devices::pc::{DEFAULT_HZ, Pc, PcError, PcExit};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use test_images::TestImage;

/// The options of `cargo xtask slicing`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images of test-images
    #[arg(value_name = "IMAGE", default_values = ["demo", "smp", "vmxexits", "timers", "interrupts"])]
    images: Vec<String>,
    /// Logical processors
    #[arg(long, value_name = "N", default_values_t = [1, 4])]
    cpus: Vec<u32>,
    /// Random slicings of each
    #[arg(long, value_name = "N", default_value_t = 20)]
    slicings: u64,
    /// Guest seconds of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Single instruction steps of each image
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    steps: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// All runs but the one in one piece compile what has run N times
    #[arg(long, value_name = "N")]
    jit: Option<u32>,
    /// The clock counts the cycles of the CPU model, and not instructions; and with =caches, =branches or =caches,branches
    /// what goes on there
    #[arg(long, value_name = "PARTS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = same_run::parts)]
    model_clock: Option<Parts>,
}

/// The machine besides its image.
#[derive(Clone, Copy)]
struct Setting {
    cpus: u32,
    /// Of what is compared with the run in one piece, which is interpreted.
    jit: Option<u32>,
    model_clock: Option<Parts>,
}

/// What was compared and found different, or could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unknown(#[from] UnknownImage),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Machine(#[from] PcError),
    #[error(
        "{image}, {cpus} processors, {how}: at cycle {cycle} {instructions} instructions and state {state:016x}; in one \
         piece {expected_instructions} and {expected_state:016x}"
    )]
    Differs {
        image: String,
        cpus: u32,
        how: String,
        cycle: u64,
        instructions: u64,
        state: u64,
        expected_instructions: u64,
        expected_state: u64,
    },
    #[error("{0}, {1} processors: the observer was told of {2} instructions; {3} were executed")]
    Miscounted(String, u32, u64, u64),
}

/// Cycles at which all runs are compared: distances of every magnitude, none a multiple of anything.
fn common_cycles(end: u64) -> Vec<u64> {
    let mut random = SplitMix64::seed_from_u64(0);
    let mut cycles = vec![];
    let mut at = 0;
    while at < end {
        at = (at + 1 + random.next_u64() % (end / 20)).min(end);
        cycles.push(at);
    }
    cycles
}

fn machine(image: &TestImage, setting: Setting) -> Result<Pc, Error> {
    let builder = Pc::builder().processors(setting.cpus).memory(64 << 20);
    let builder = same_run::with_clock(builder, setting.model_clock);
    Ok(same_run::with_image(builder, image)?.build()?)
}

/// Runs to `cycle`; false when the machine has ended.
fn run(pc: &mut Pc, cycle: u64) -> bool {
    pc.run_until(cycle) == PcExit::Limit
}

/// Count and hash at each of `cycles`.
type States = Vec<Outcome>;

fn in_one_piece(image: &TestImage, setting: Setting, cycles: &[u64]) -> Result<States, Error> {
    let mut pc = machine(image, setting)?;
    Ok(cycles
        .iter()
        .map(|&cycle| {
            run(&mut pc, cycle);
            outcome(&pc)
        })
        .collect())
}

/// Comes to each of `cycles` by `advance`, which is given the goal and comes no further, and compares.
fn compare(
    image: &TestImage,
    setting: Setting,
    how: &str,
    (cycles, expected): (&[u64], &States),
    mut advance: impl FnMut(&mut Pc, u64) -> bool,
) -> Result<(), Error> {
    let mut pc = machine(image, setting)?;
    pc.set_tier(setting.jit.and_then(emu_jit::tier));
    for (&cycle, &(expected_instructions, expected_state)) in cycles.iter().zip(expected) {
        while pc.now() < cycle && advance(&mut pc, cycle) {}
        run(&mut pc, cycle);
        let (instructions, state) = outcome(&pc);
        if (instructions, state) != (expected_instructions, expected_state) {
            return Err(Error::Differs {
                image: image.name.to_owned(),
                cpus: setting.cpus,
                how: how.to_owned(),
                cycle,
                instructions,
                state,
                expected_instructions,
                expected_state,
            });
        }
    }
    Ok(())
}

/// Random pieces, none longer than `most` cycles.
fn pieces(image: &TestImage, setting: Setting, seed: u64, most: u64, expected: (&[u64], &States)) -> Result<(), Error> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let how = format!("slicing {seed} with pieces of at most {most} cycles");
    compare(image, setting, &how, expected, |pc, goal| {
        let cycle = pc.now() + length(&mut random, most);
        run(pc, cycle.min(goal))
    })
}

/// `steps` single instructions of random processors, in between pieces of at most `most` cycles.
fn steps(
    image: &TestImage,
    setting: Setting,
    seed: u64,
    mut steps: u64,
    most: u64,
    expected: (&[u64], &States),
) -> Result<(), Error> {
    let mut random = SplitMix64::seed_from_u64(seed);
    compare(image, setting, &format!("single steps, seed {seed}"), expected, |pc, goal| {
        let n = random.next_u64() as usize % pc.cpus.len();
        for _ in 0..length(&mut random, steps.clamp(1, 20_000)) {
            if pc.step(n, goal) != PcExit::Limit {
                return false;
            }
            steps = steps.saturating_sub(1);
        }
        run(pc, (pc.now() + length(&mut random, most)).min(goal))
    })
}

/// Counts what it is told of.
struct Counter {
    watch: Watch,
    /// By the bits of `watch`.
    told: [u64; 12],
    /// Instructions that completed.
    instructions: u64,
}

impl Counter {
    fn new(watch: Watch) -> Self {
        Self { watch, told: [0; 12], instructions: 0 }
    }

    fn count(&mut self, kind: Watch) {
        assert!(self.watch.contains(kind), "not asked for");
        self.told[kind.bits().trailing_zeros() as usize] += 1;
    }
}

impl Observer for Counter {
    fn watches(&self) -> Watch {
        self.watch
    }
    fn before_instruction(&mut self, view: View, instruction: Instruction) {
        assert_eq!(view.cpu.rip(), instruction.rip);
        self.count(Watch::INSTRUCTIONS);
    }
    fn after_instruction(&mut self, view: View, _instruction: Instruction) {
        // A repeated instruction is counted when it completes.
        self.instructions += u64::from(!view.cpu.carried.repeating);
    }
    fn memory_access(&mut self, _view: View, _access: &MemoryAccess) {
        self.count(Watch::MEMORY);
    }
    fn port_access(&mut self, _view: View, _access: &DeviceAccess) {
        self.count(Watch::PORTS);
    }
    fn mmio_access(&mut self, _view: View, _access: &DeviceAccess) {
        self.count(Watch::MMIO);
    }
    fn event(&mut self, _view: View, _event: &DeliveredEvent) {
        self.count(Watch::EVENTS);
    }
    fn vm_entry(&mut self, _view: View, _entry: &VmEntry) {
        self.count(Watch::VM_ENTRIES);
    }
    fn vm_exit(&mut self, _view: View, _exit: &VmExit) {
        self.count(Watch::VM_EXITS);
    }
    fn vmcs_write(&mut self, _view: View, _write: &VmcsWrite) {
        self.count(Watch::VMCS_WRITES);
    }
    fn control_register_write(&mut self, _view: View, _write: &RegisterWrite) {
        self.count(Watch::CONTROL_REGISTERS);
    }
    fn msr_write(&mut self, _view: View, _write: &RegisterWrite) {
        self.count(Watch::MSRS);
    }
    fn block_built(&mut self, _view: View, _block: &BuiltBlock) {
        self.count(Watch::BLOCKS);
    }
}

/// An observer of everything, and one of each kind, from beginning to end.
fn observed(image: &TestImage, setting: Setting, expected: (&[u64], &States)) -> Result<[u64; 12], Error> {
    let mut all = Counter::new(Watch::all());
    compare(image, setting, "with an observer of everything", expected, |pc, goal| {
        pc.run_observed(goal, &mut all) == PcExit::Limit
    })?;
    for kind in Watch::all().iter() {
        let mut one = Counter::new(kind);
        let how = format!("with an observer of {kind:?}");
        compare(image, setting, &how, expected, |pc, goal| pc.run_observed(goal, &mut one) == PcExit::Limit)?;
        if kind == Watch::INSTRUCTIONS {
            let executed = expected.1.last().map_or(0, |last| last.0);
            if one.instructions != executed {
                return Err(Error::Miscounted(image.name.to_owned(), setting.cpus, one.instructions, executed));
            }
        }
    }
    Ok(all.told)
}

/// Runs the comparison.
pub fn check(args: &Args) -> Result<(), Error> {
    let end = (args.seconds * DEFAULT_HZ as f64) as u64;
    for name in &args.images {
        let image = same_run::image(name)?;
        for &cpus in &args.cpus {
            let cycles = common_cycles(end);
            let setting = Setting { cpus, jit: args.jit, model_clock: args.model_clock };
            let expected = in_one_piece(image, setting, &cycles)?;
            let last = expected.last().copied().unwrap_or_default();
            for n in 0..args.slicings {
                // From a cycle to a second.
                let most = [10, 1000, 100_000, DEFAULT_HZ][n as usize % 4];
                pieces(image, setting, args.seed + n, most, (&cycles, &expected))?;
            }
            steps(image, setting, args.seed, args.steps, end / 50, (&cycles, &expected))?;
            let told = observed(image, setting, (&cycles, &expected))?;
            println!(
                "{name}, {cpus} processors: {} slicings, {} steps and {} observers end with {} instructions and state \
                 {:016x}; told of {told:?}",
                args.slicings,
                args.steps,
                told.len() + 1,
                last.0,
                last.1
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an image: the firmware, and for most of them all that they do.
    fn check_image(name: &str, cpus: u32) {
        check_setting(name, Setting { cpus, jit: None, model_clock: None });
    }

    fn check_setting(name: &str, setting: Setting) {
        let image = TestImage::find(name).expect("the image exists");
        let cycles = common_cycles(4_000_000);
        let expected = in_one_piece(image, setting, &cycles).expect("the image runs");
        let expected = (&cycles[..], &expected);
        for (seed, most) in [(1, 100_000), (2, 5_000), (3, 300)] {
            pieces(image, setting, seed, most, expected).unwrap_or_else(|error| panic!("{error}"));
        }
        steps(image, setting, 4, 30_000, 300_000, expected).unwrap_or_else(|error| panic!("{error}"));
        observed(image, setting, expected).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn demo_in_pieces_on_one_processor_is_the_same_run() {
        check_image("demo", 1);
    }

    #[test]
    fn compiled_images_in_pieces_are_the_same_runs() {
        check_setting("vmxexits", Setting { cpus: 1, jit: Some(1), model_clock: None });
        check_setting("smp", Setting { cpus: 4, jit: Some(20), model_clock: None });
    }

    #[test]
    fn images_whose_clock_is_the_models_in_pieces_are_the_same_runs() {
        for (name, cpus, jit) in [
            ("demo", 1, None),
            ("vmxexits", 1, Some(1)),
            ("timers", 1, None),
            ("smp", 4, Some(20)),
            ("paging", 1, None),
        ] {
            check_setting(name, Setting { cpus, jit, model_clock: Some(Parts::NONE) });
        }
    }

    #[test]
    fn images_with_caches_and_branch_prediction_in_pieces_are_the_same_runs() {
        for (name, cpus, jit, parts) in [
            ("vmxexits", 1, Some(1), Parts { caches: true, branches: true }),
            ("smp", 4, None, Parts { caches: true, branches: true }),
            ("demo", 1, None, Parts { caches: false, branches: true }),
        ] {
            check_setting(name, Setting { cpus, jit, model_clock: Some(parts) });
        }
    }

    #[test]
    fn smp_in_pieces_on_four_processors_is_the_same_run() {
        check_image("smp", 4);
    }

    #[test]
    fn vmxexits_in_pieces_on_one_processor_is_the_same_run() {
        check_image("vmxexits", 1);
    }

    #[test]
    fn timers_in_pieces_on_one_processor_is_the_same_run() {
        check_image("timers", 1);
    }

    #[test]
    fn interrupts_in_pieces_on_four_processors_is_the_same_run() {
        check_image("interrupts", 4);
    }
}
