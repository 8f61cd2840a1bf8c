//! The guests that cost the host most for each of their cycles (`test-images/hostile`). `docs/performance.md` has a table.

mod settings;

use criterion::{Criterion, Throughput};
use emu_devices::pc::{Pc, PcExit};
use std::time::{Duration, Instant};
use test_images::{HOSTILE, HostileGuest};

/// Cycles of work in a measured piece.
const WORK: u64 = 20_000;

fn machine(guest: &HostileGuest) -> Pc {
    let pc = Pc::builder().processors(guest.cpus).memory(64 << 20).bios(guest.rom.to_vec());
    pc.build().expect("a machine")
}

/// Host time of so many pieces, and the guest's cycles in them.
fn pieces(pc: &mut Pc, count: u64) -> (Duration, u64) {
    let (start, before) = (Instant::now(), pc.now());
    for _ in 0..count {
        if matches!(pc.run_bounded(u64::MAX, WORK, None), PcExit::Shutdown { .. }) {
            pc.reset();
        }
        pc.board.debug.take_output();
    }
    (start.elapsed(), pc.now() - before)
}

fn worst(c: &mut Criterion) {
    let mut group = c.benchmark_group("worst");
    for guest in HOSTILE {
        let mut pc = machine(guest);
        // Through the guest's preparations, and so many cycles are in a piece.
        let (_, cycles) = pieces(&mut pc, 50);
        group.throughput(Throughput::Elements((cycles / 50).max(1)));
        group.bench_function(guest.name, |b| b.iter_custom(|rounds| pieces(&mut pc, rounds).0));
    }
    group.finish();
}

fn main() {
    settings::run(&[worst]);
}
