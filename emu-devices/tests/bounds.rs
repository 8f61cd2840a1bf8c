//! What a machine costs its host has bounds, and the bounds change nothing in a run.

use emu_devices::disk::DiskImage;
use emu_devices::pc::{Pc, PcExit};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use test_images::TestImage;

fn machine(image: &str, cpus: u32) -> Pc {
    let image = TestImage::find(image).expect("an image of ours");
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec()).expect("it is not empty");
    Pc::builder().processors(cpus).memory(16 << 20).hard_disk(disk).build().expect("a machine")
}

/// A machine whose ROM starts with these bytes at F000:FFF0.
fn reset_vector(code: &[u8]) -> Pc {
    let mut rom = vec![0; 0x1_0000];
    rom[0xFFF0..0xFFF0 + code.len()].copy_from_slice(code);
    Pc::builder().memory(2 << 20).bios(rom).build().expect("a machine")
}

fn state(pc: &Pc) -> (u64, u64, u64) {
    (pc.now(), pc.instructions(), pc.state_hash())
}

#[test]
fn cache_of_few_blocks_gives_the_run_of_a_cache_of_all() {
    // With one block each is decoded whenever it runs.
    for (image, cpus, cycles, blocks) in
        [("selfmod", 2, 100_000, 1), ("modes", 1, 100_000, 1), ("selfmod", 2, 1_500_000, 60), ("smp", 3, 800_000, 60)]
    {
        let run = |limit: Option<usize>| {
            let mut pc = machine(image, cpus);
            limit.into_iter().for_each(|limit| pc.set_cache_limit(limit));
            let exit = pc.run_until(cycles);
            assert_eq!(pc.cache_counts().evicted == 0, limit.is_none(), "{image}, {limit:?} blocks");
            (exit, state(&pc))
        };
        assert_eq!(run(Some(blocks)), run(None), "{image}, {blocks} blocks");
    }
}

#[test]
fn run_that_is_cut_by_its_work_is_the_same_run() {
    for (image, cpus) in [("demo", 1), ("smp", 4)] {
        let cycles = 2_000_000;
        let mut whole = machine(image, cpus);
        let expected = (whole.run_until(cycles), state(&whole));
        let (mut cut, mut random) = (machine(image, cpus), SplitMix64::seed_from_u64(5));
        let mut before = 0;
        let exit = loop {
            let most = 1 << (random.next_u64() % 20);
            let exit = cut.run_bounded(cycles, random.next_u64() % most, None);
            assert!((before..=cycles).contains(&cut.now()), "the clock goes on, and not too far");
            before = cut.now();
            if exit != PcExit::Work {
                break exit;
            }
            assert!(before < cycles);
        };
        assert_eq!((exit, state(&cut)), expected, "{image}");
    }
}

/// Two cycles of the guest are a whole reset of the host's: the clock hardly moves.
#[test]
fn run_of_a_guest_that_only_resets_comes_back_by_its_work() {
    // mov dx,0cf9h; mov al,6; out dx,al
    let mut pc = reset_vector(&[0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE]);
    for _ in 0..10 {
        let before = pc.now();
        assert_eq!(pc.run_bounded(1 << 40, 500_000, None), PcExit::Work);
        assert!((1..100).contains(&(pc.now() - before)), "a few resets");
    }
    // cs lidt [0fff8h]; int3
    let mut pc = reset_vector(&[0x2E, 0x0F, 0x01, 0x1E, 0xF8, 0xFF, 0xCC]);
    assert!(matches!(pc.run_bounded(1 << 40, 500_000, None), PcExit::Shutdown { .. }));
}

#[test]
fn output_that_nobody_takes_is_bounded() {
    // mov dx,0e9h; cld; again: mov cx,0ffffh; rep outsb; jmp again
    let mut pc = reset_vector(&[0xBA, 0xE9, 0x00, 0xFC, 0xB9, 0xFF, 0xFF, 0xF3, 0x6E, 0xEB, 0xF9]);
    pc.run_until(20 << 20);
    assert_eq!(pc.board.debug.take_output().len(), emu_devices::device::MAX_OUTPUT);
}
