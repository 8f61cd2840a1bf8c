//! Snapshots of whole machines that run guests: a run goes on from one as if it had not been taken.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rvmx_emu::cli::{self, Parsed};
use rvmx_emu::config::sources::RealHost;
use rvmx_emu::machine::{Machine, RunResult, Statistics};
use rvmx_emu::pc::{self, PcMachine};
use rvmx_emu::snapshot_file::VERSION;

/// A machine from options and a test image.
fn machine(options: &[&str], image: &str) -> PcMachine {
    let image = format!("{}/../test-images/images/{image}.img", env!("CARGO_MANIFEST_DIR"));
    let arguments = ["rvmx-emu", "--headless", "--snapshot"].iter().chain(options).copied().chain([image.as_str()]);
    let Ok(Parsed::Cli(cli)) = cli::parse(arguments) else { panic!("{options:?}") };
    let (settings, _) = cli::settings(&RealHost, &cli.run).expect("the options are good");
    pc::build(&settings.machine, None).expect("the machine can be built")
}

fn result(machine: &dyn Machine) -> (u64, u64, u64) {
    (machine.now(), machine.instructions(), machine.state_hash())
}

/// What a run has counted of the guest's doing.
fn counted(machine: &dyn Machine) -> impl PartialEq + std::fmt::Debug + use<> {
    let Statistics { vm_entries, vm_exits, failed_entries, vm_fails, .. } = machine.statistics();
    (vm_entries, vm_exits, failed_entries, vm_fails)
}

/// A number below `below`.
fn random(generator: &mut SplitMix64, below: u64) -> u64 {
    generator.next_u64() % below
}

/// Runs to `end` in one go, and again from snapshot to snapshot at random cycles, each going on in a new machine.
fn goes_on_from_snapshots(options: &[&str], image: &str, end: u64, points: u64) {
    let mut whole = machine(options, image);
    let expected = (whole.run_until(end), result(&whole), counted(&whole));
    let mut seed = SplitMix64::seed_from_u64(end ^ points);
    let mut cut = machine(options, image);
    for n in 0..points {
        let cycle = end * n / points + random(&mut seed, end / points);
        if cut.run_until(cycle) != RunResult::Limit {
            break;
        }
        let snapshot = cut.snapshot().expect("a snapshot can be taken");
        let mut other = machine(options, image);
        other.restore(&snapshot).expect("it is this machine's");
        assert_eq!((result(&other), counted(&other)), (result(&cut), counted(&cut)), "{image} at {cycle}");
        // The one that was saved goes on as well as the one that was restored.
        if n % 2 == 0 {
            cut = other;
        }
    }
    assert_eq!((cut.run_until(end), result(&cut), counted(&cut)), expected, "{image}");
}

#[test]
fn four_processors_restored_anywhere_end_as_the_run_without() {
    goes_on_from_snapshots(&["--cpus", "4"], "smp", 20_000_000, 8);
}

#[test]
fn vmx_guests_restored_anywhere_end_as_the_run_without() {
    goes_on_from_snapshots(&[], "vmxexits", 100_000_000, 6);
    goes_on_from_snapshots(&["--cpu-model", "max"], "vmxmtf", 60_000_000, 3);
}

#[test]
fn timers_and_interrupts_restored_anywhere_end_as_the_run_without() {
    goes_on_from_snapshots(&[], "timers", 60_000_000, 4);
    goes_on_from_snapshots(&["--cpus", "2"], "interrupts", 60_000_000, 4);
}

/// Magic, version and hash of a snapshot file.
const HEADER: usize = 20;

/// A file with this body, its header right.
fn sealed(body: &[u8]) -> Vec<u8> {
    let body = zstd::encode_all(body, 1).expect("it is compressed");
    let hash = emu_core::hash::StableHash::of(&body);
    [&b"RVMXSNAP"[..], &VERSION.to_le_bytes(), &hash.to_le_bytes(), &body].concat()
}

fn small_machine() -> (PcMachine, Vec<u8>) {
    let mut machine = machine(&["--memory", "8"], "vmxexits");
    machine.run_until(30_000_000);
    let snapshot = machine.snapshot().expect("a snapshot can be taken");
    (machine, snapshot)
}

#[test]
fn snapshot_of_another_machine_is_refused_with_what_differs() {
    let (_, snapshot) = small_machine();
    let cases: [(&[&str], &str); 5] = [
        (&["--memory", "9"], "8192 KiB of memory"),
        (&["--memory", "8", "--cpus", "2"], "1 processors"),
        (&["--memory", "8", "--cpu-model", "max"], "CPU model"),
        (&["--memory", "8", "--quantum", "7"], "turns of 1000 cycles"),
        (&["--memory", "8", "--ips", "7000000"], "50000000 cycles a second"),
    ];
    for (options, text) in cases {
        let error = machine(options, "vmxexits").restore(&snapshot).expect_err(text);
        assert!(error.contains(text), "{error}");
    }
    let error = machine(&["--memory", "8"], "demo").restore(&snapshot).expect_err("another disk");
    assert!(error.contains("vmxexits.img"), "{error}");
}

#[test]
fn damaged_snapshot_files_are_errors_and_leave_the_machine_as_it_was() {
    let (mut machine, snapshot) = small_machine();
    let before = result(&machine);
    let mut seed = SplitMix64::seed_from_u64(1);
    let mut refuse = |bytes: &[u8]| {
        let error = machine.restore(bytes).expect_err("it is damaged");
        assert_eq!(result(&machine), before, "{error}");
        error
    };
    assert!(refuse(b"").contains("no snapshot"));
    assert!(refuse(b"RVMXSNAP").contains("damaged"));
    let mut other = snapshot.clone();
    other[8] = 99;
    assert!(refuse(&other).contains("version 99"));
    for n in 0..40 {
        let mut bytes = snapshot.clone();
        let at = 12 + random(&mut seed, bytes.len() as u64 - 12) as usize;
        bytes[at] ^= 1 << (n % 8);
        assert!(refuse(&bytes).contains("damaged"));
        assert!(refuse(&snapshot[..at]).contains("damaged"));
    }
    machine.restore(&snapshot).expect("the whole file is good");
}

#[test]
fn forged_snapshot_files_never_panic_whatever_they_hold() {
    let (mut machine, snapshot) = small_machine();
    let body = zstd::decode_all(&snapshot[HEADER..]).expect("it is compressed");
    machine.restore(&sealed(&body)).expect("nothing was forged yet");
    let state = body.len().min(60_000) as u64;
    let mut seed = SplitMix64::seed_from_u64(2);
    let mut accepted = 0;
    for n in 0..150 {
        let mut forged = body.clone();
        for _ in 0..=n % 3 {
            let at = random(&mut seed, state) as usize;
            forged[at] = random(&mut seed, 256) as u8;
        }
        if n % 10 == 0 {
            forged.truncate(random(&mut seed, forged.len() as u64) as usize);
        }
        if machine.restore(&sealed(&forged)).is_ok() {
            accepted += 1;
            let now = machine.now();
            machine.run_until(now.saturating_add(1000));
        }
    }
    assert!((1..150).contains(&accepted), "{accepted}");
    // Lengths that nothing stands behind.
    for length in [u64::MAX, 1 << 31] {
        let forged = [&length.to_le_bytes()[..], &[0; 64]].concat();
        assert!(machine.restore(&sealed(&forged)).is_err());
    }
}
